//! A busy document, as its own shard sees the others that serve its subscribers.
//!
//! Past so many subscribers, those whose connections are on another shard are handed to the document's *edge* there
//! (`edge`) as soon as they are live. Everything else still comes over their links: pages, answers, a Resync. An edge is
//! itself a subscriber of the ring: it has a place in it, takes what is new in one message for all of its own
//! subscribers, and is overtaken if its shard takes nothing for too long.
//!
//! A subscriber is handed over where both it and the edge have everything. Nothing is on the way then that the edge would
//! get later: in the lane to a shard, what its edges get goes before what its links get.

use std::sync::Arc;

use super::document::Open;
use super::edge::{EdgeMessage, Opening, Returned, Update};
use super::key::{ConnectionId, DocumentKey, SessionKey};
use super::lane::MeshMessage;
use super::ring::{Cursor, Lapped};
use super::session::{Carrier, Stage};
use super::shard::Shard;
use super::time::Instant;

/// The subscribers of a document that another shard serves.
#[derive(Debug)]
pub struct Branch {
    shard: usize,
    pub subscribers: Vec<SessionKey>,
    /// What the edge has.
    cursor: Cursor,
    presence_cursor: u64,
    /// How many more bytes may be on their way to it; one batch may overdraw it.
    credit_bytes: i64,
    is_queued: bool,
}

impl Branch {
    pub fn footprint_bytes(&self) -> usize {
        size_of::<Self>() + self.subscribers.capacity() * size_of::<SessionKey>()
    }
}

impl Shard {
    /// Tells all shards when a document comes to have many subscribers, and when it has only half as many.
    pub(super) fn check_busy(&mut self, document_key: DocumentKey) {
        let subscribers_min = self.settings.fanout.edge_subscribers_min;
        let subscribers_min = subscribers_min.unwrap_or(usize::MAX);
        let document = &mut self.documents[document_key];
        let name = Arc::clone(&document.name);
        let open = document.open_mut().expect("its caller has seen it open");
        let count = open.subscribers_count();
        let is_busy = match open.is_busy {
            true => count >= subscribers_min.div_ceil(2),
            false => count >= subscribers_min,
        };
        if is_busy == open.is_busy {
            return;
        }
        open.is_busy = is_busy;
        for (index, outbox) in self.outboxes.iter_mut().enumerate() {
            if index != self.settings.index {
                let name = Arc::clone(&name);
                outbox
                    .requests
                    .push_back(MeshMessage::Busy { name, is_busy });
            }
        }
    }

    /// Hands those subscriptions of a link that have everything to the edges on its client's shard.
    pub(super) fn hand_over(&mut self, key: SessionKey) {
        let session = &self.sessions[key];
        let Carrier::Link(link) = &session.carrier else {
            return;
        };
        let (shard, connection) = (link.shard, link.connection);
        for index in 0..session.subscriptions.len() {
            let subscription = &self.sessions[key].subscriptions[index];
            let document_key = subscription.document;
            let open = self.documents[document_key].open();
            let open = open.expect("subscribed to");
            let has_everything = |cursor: Cursor, presence_cursor: Option<u64>| {
                cursor == open.ring.head() && presence_cursor == Some(open.presence.roster.head())
            };
            let presence_cursor = subscription.progress.presence_cursor;
            let is_ready = matches!(subscription.stage, Stage::Live(cursor)
                if has_everything(cursor, presence_cursor) && subscription.pages.is_none());
            let mut branches = open.branches.iter();
            let branch = branches.find(|branch| branch.shard == shard);
            let is_edge_ready = branch
                .is_none_or(|branch| has_everything(branch.cursor, Some(branch.presence_cursor)));
            let is_staying = subscription.stays || subscription.is_once;
            if open.is_busy && is_ready && is_edge_ready && !is_staying {
                self.join_edge(key, document_key, shard, connection);
            }
        }
    }

    fn join_edge(
        &mut self,
        key: SessionKey,
        document_key: DocumentKey,
        shard: usize,
        connection: ConnectionId,
    ) {
        self.stays += 1;
        let stay = self.stays;
        let document = &mut self.documents[document_key];
        let (handle, name) = (document.handle, Arc::clone(&document.name));
        let open = document.open_mut().expect("subscribed to");
        let head = open.ring.head();
        let replies = &mut self.outboxes[shard].replies;
        if open.branch(shard).is_none() {
            replies.push_back(MeshMessage::Edge(EdgeMessage::Open(Box::new(Opening {
                document: handle,
                name,
                kind_name: Arc::clone(&open.kind_name),
                next_revision: head.revision,
                everybody: open.presence.roster.everybody(),
            }))));
            open.branches.push(Branch {
                shard,
                subscribers: Vec::new(),
                cursor: head,
                presence_cursor: open.presence.roster.head(),
                credit_bytes: self.settings.memory.lane_window_bytes as i64,
                is_queued: false,
            });
        }
        let subscription = self.sessions[key].subscription(document_key);
        let subscription = subscription.expect("its caller has seen it");
        subscription.stage = Stage::Edge(stay);
        replies.push_back(MeshMessage::Edge(EdgeMessage::Join {
            connection,
            document: handle,
            session: key,
            stay,
            next_revision: head.revision,
            progress: subscription.progress,
        }));
        let index = subscription.index;
        self.strike(document_key, None, index);
        self.enlist(key, document_key, Some(shard));
    }

    /// Takes a subscription back from the edge where it is, if it is. `gets_rest`: with what it has not been sent of the
    /// ring, if its client takes what it is sent.
    pub(super) fn recall(&mut self, key: SessionKey, document_key: DocumentKey, gets_rest: bool) {
        let Some((shard, connection)) = self.edge_of(key, document_key) else {
            return;
        };
        let update = gets_rest.then(|| self.branch_update(document_key, shard, usize::MAX));
        let document = self.documents[document_key].handle;
        let leave = MeshMessage::Edge(EdgeMessage::Leave {
            connection,
            document,
            gets_rest,
        });
        let replies = &mut self.outboxes[shard].replies;
        replies.extend(update.flatten().into_iter().chain([leave]));
        self.leave_branch(key, document_key, shard);
    }

    /// Where the connection of a subscription is, if the document's edge there serves it.
    fn edge_of(
        &mut self,
        key: SessionKey,
        document_key: DocumentKey,
    ) -> Option<(usize, ConnectionId)> {
        let session = self.sessions.get_mut(key)?;
        let is_there = session
            .subscription(document_key)
            .is_some_and(|subscription| matches!(subscription.stage, Stage::Edge(_)));
        match &session.carrier {
            Carrier::Link(link) if is_there => Some((link.shard, link.connection)),
            Carrier::Link(_) | Carrier::Socket(_) => None,
        }
    }

    /// The subscription is served here again, from the newest batch on.
    fn leave_branch(&mut self, key: SessionKey, document_key: DocumentKey, shard: usize) {
        let document = &mut self.documents[document_key];
        let handle = document.handle;
        let open = document.open_mut().expect("subscribed to");
        let head = open.ring.head();
        let subscription = self.sessions[key].subscription(document_key);
        let subscription = subscription.expect("its caller has seen it");
        subscription.stage = Stage::Live(head);
        let branch = open.branch(shard).expect("it serves this one");
        subscription.progress.presence_cursor = Some(branch.presence_cursor);
        let index = subscription.index;
        self.strike(document_key, Some(shard), index);
        self.enlist(key, document_key, None);
        let open = self.documents[document_key].open_mut();
        let open = open.expect("as before");
        if open
            .branch(shard)
            .is_some_and(|branch| branch.subscribers.is_empty())
        {
            open.branches.retain(|branch| branch.shard != shard);
            let close = EdgeMessage::Close { document: handle };
            let replies = &mut self.outboxes[shard].replies;
            replies.push_back(MeshMessage::Edge(close));
        }
    }

    /// An edge no longer serves a subscriber, who has everything up to `revision`.
    pub(super) fn take_back(&mut self, key: SessionKey, returned: &Returned, now: Instant) {
        let Some(document_key) = self.handles.get(&returned.document).copied() else {
            return;
        };
        let Some((shard, _)) = self.edge_of(key, document_key) else {
            return;
        };
        let subscription = self.sessions[key].subscription(document_key);
        let subscription = subscription.expect("just seen");
        // It may have left that edge, and come back, since this was said.
        if !matches!(subscription.stage, Stage::Edge(stay) if stay == returned.stay) {
            return;
        }
        subscription.stays |= !returned.is_lapped;
        self.leave_branch(key, document_key, shard);
        let subscription = self.sessions[key].subscription(document_key);
        let subscription = subscription.expect("as before");
        subscription.progress.presence_cursor = returned.presence_cursor;
        let open = self.documents[document_key].open();
        let cursor = open
            .expect("subscribed to")
            .ring
            .cursor(returned.revision + 1)
            .filter(|_| !returned.is_lapped);
        match (cursor, self.sessions[key].subscription(document_key)) {
            (Some(cursor), Some(subscription)) => {
                subscription.stage = Stage::Live(cursor);
                self.mark_writable(key);
            }
            _overtaken => self.catch_up_again(key, document_key, returned.revision, now),
        }
    }

    pub(super) fn mark_branches(&mut self, document_key: DocumentKey) {
        let open = self.documents[document_key].open_mut();
        for branch in &mut open.expect("it has subscribers").branches {
            if !branch.is_queued && branch.credit_bytes > 0 {
                branch.is_queued = true;
                self.outboxes[branch.shard].branches.push_back(document_key);
            }
        }
    }

    /// So many more bytes may go to an edge.
    pub(super) fn credit_branch(&mut self, handle: u64, shard: usize, bytes: usize) {
        let Some(document_key) = self.handles.get(&handle).copied() else {
            return;
        };
        let bytes_max = self.settings.memory.lane_window_bytes as i64;
        let open = self.documents[document_key].open_mut();
        if let Some(branch) = open.and_then(|open| open.branch(shard)) {
            // Some of it may have been given to another edge that was there before.
            branch.credit_bytes = bytes_max.min(branch.credit_bytes + bytes as i64);
            self.mark_branches(document_key);
        }
    }

    /// What a document's edge on the shard has not been told, up to about so many bytes.
    pub(super) fn branch_update(
        &mut self,
        document_key: DocumentKey,
        shard: usize,
        bytes_max: usize,
    ) -> Option<MeshMessage> {
        let document = self.documents.get_mut(document_key)?;
        let handle = document.handle;
        let open = document.open_mut()?;
        let queue_depth = open.pending.len();
        let Open {
            ring,
            presence,
            branches,
            ..
        } = open;
        let branch = branches.iter_mut().find(|branch| branch.shard == shard)?;
        branch.is_queued = false;
        let mut update = Update {
            document: handle,
            restarts_at: None,
            slots: Vec::new(),
            news: None,
            bytes: 0,
            queue_depth,
        };
        while update.bytes < bytes_max {
            match ring.read(branch.cursor) {
                Ok(None) => break,
                Ok(Some((slot, next))) => {
                    update.bytes += slot.bytes();
                    update.slots.push(slot.clone());
                    branch.cursor = next;
                }
                Err(Lapped) => {
                    branch.cursor = ring.head();
                    update.restarts_at = Some(branch.cursor.revision);
                }
            }
        }
        let presence_head = presence.roster.head();
        if branch.presence_cursor != presence_head {
            let news = presence.roster.news(branch.presence_cursor);
            update.bytes += news.bytes();
            update.news = Some(news);
            branch.presence_cursor = presence_head;
        }
        branch.credit_bytes -= update.bytes as i64;
        if branch.cursor != ring.head() {
            self.mark_branches(document_key);
        }
        let is_news =
            !update.slots.is_empty() || update.restarts_at.is_some() || update.news.is_some();
        is_news.then(|| MeshMessage::Edge(EdgeMessage::Update(Box::new(update))))
    }

    /// Takes a subscriber off a document's list of those who are served here, or by that shard.
    pub(super) fn strike(&mut self, document_key: DocumentKey, shard: Option<usize>, index: usize) {
        let list = self.served_by(document_key, shard);
        list.swap_remove(index);
        if let Some(moved) = list.get(index).copied()
            && let Some(subscription) = self.sessions[moved].subscription(document_key)
        {
            subscription.index = index;
        }
    }

    fn enlist(&mut self, key: SessionKey, document_key: DocumentKey, shard: Option<usize>) {
        let list = self.served_by(document_key, shard);
        let index = list.len();
        list.push(key);
        if let Some(subscription) = self.sessions[key].subscription(document_key) {
            subscription.index = index;
        }
    }

    /// The subscribers that are served by that shard, or here.
    fn served_by(
        &mut self,
        document_key: DocumentKey,
        shard: Option<usize>,
    ) -> &mut Vec<SessionKey> {
        let open = self.documents[document_key].open_mut();
        let open = open.expect("it has subscribers");
        match shard {
            None => &mut open.subscribers,
            Some(shard) => {
                let branch = open.branch(shard);
                &mut branch.expect("it has subscribers there").subscribers
            }
        }
    }
}

impl Open {
    fn branch(&mut self, shard: usize) -> Option<&mut Branch> {
        self.branches
            .iter_mut()
            .find(|branch| branch.shard == shard)
    }
}

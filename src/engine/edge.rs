//! A busy document of another shard, for those of its subscribers who are connected here.
//!
//! The document's shard hands subscribers over when they are live (`branch`). From then on what is broadcast comes once
//! for all of them, into a ring and a roster of the edge's own, and each is served from there as subscribers are
//! everywhere. Who is overtaken goes back to the document's shard, which has all that it missed.
//!
//! An edge decides nothing about the document. It sends a client nothing that its token does not allow.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::config;

use super::gather::{Gather, Gathered};
use super::identity::Identity;
use super::key::{ConnectionId, SessionKey};
use super::lane::MeshMessage;
use super::ring::{Cursor, Lag, Ring, Slot};
use super::roster::{Everybody, News, Roster};
use super::route;
use super::session::Progress;
use super::shard::Shard;
use super::voice::{Topic, Voice};

/// What the shard of a document says to the one that has an edge of it. The document's handle is in each.
#[derive(Debug)]
pub enum EdgeMessage {
    /// There is an edge.
    Open(Box<Opening>),
    Update(Box<Update>),
    /// A subscriber who has everything before `next_revision`, as the edge has.
    Join {
        connection: ConnectionId,
        document: u64,
        /// What the document's shard calls its session, in the slots of its own batches, too.
        session: SessionKey,
        stay: u64,
        next_revision: u64,
        progress: Progress,
    },
    /// The document's shard goes on with this subscriber.
    Leave {
        connection: ConnectionId,
        document: u64,
        /// With what is left for it in the ring.
        gets_rest: bool,
    },
    /// It has no subscribers left.
    Close {
        document: u64,
    },
}

/// What an edge begins with.
#[derive(Debug)]
pub struct Opening {
    pub document: u64,
    pub name: Arc<str>,
    pub kind_name: Arc<str>,
    pub next_revision: u64,
    /// Who is present.
    pub everybody: Everybody,
}

/// What is new.
#[derive(Debug)]
pub struct Update {
    pub document: u64,
    /// The edge was overtaken: it has nothing before this revision.
    pub restarts_at: Option<u64>,
    /// What follows, in order.
    pub slots: Vec<Slot>,
    /// Presences, if there are any.
    pub news: Option<News>,
    /// What it takes in memory.
    pub bytes: usize,
    /// Batches that wait for the store.
    pub queue_depth: usize,
}

/// What an edge says of a subscriber whom it no longer serves.
#[derive(Debug)]
pub struct Returned {
    pub document: u64,
    pub stay: u64,
    /// It has everything up to here.
    pub revision: u64,
    /// Up to where it has been told who is present.
    pub presence_cursor: Option<u64>,
    /// It was overtaken. Otherwise there is no room for the edge.
    pub is_lapped: bool,
}

#[derive(Debug)]
pub struct Edge {
    name: Arc<str>,
    kind_name: Arc<str>,
    queue_depth: usize,
    ring: Ring,
    roster: Roster,
    subscribers: Vec<SessionKey>,
    /// What has come and the document's shard has not been told.
    taken_bytes: usize,
    /// What it holds of the budget for documents, as last counted.
    counted_bytes: usize,
}

/// A session's place at an edge.
#[derive(Debug)]
pub struct EdgeSubscription {
    document: u64,
    /// Where the edge's list of subscribers has it.
    index: usize,
    /// What the document's shard calls the session.
    session: SessionKey,
    stay: u64,
    cursor: Cursor,
    progress: Progress,
}

impl Edge {
    pub fn subscribers_count(&self) -> u64 {
        self.subscribers.len() as u64
    }

    pub fn set_limits(&mut self, fanout: &config::Fanout) {
        self.ring
            .set_limits(fanout.ring_slots, fanout.ring_bytes_max);
        self.roster.set_slots_max(fanout.presence_ring_slots);
    }

    fn topic(&self) -> Topic<'_> {
        Topic {
            name: &self.name,
            kind_name: &self.kind_name,
            queue_depth: self.queue_depth,
        }
    }

    /// What it takes in memory, as if it shared none with the document's shard.
    fn footprint_bytes(&self) -> usize {
        size_of::<Self>()
            + self.name.len()
            + self.ring.footprint_bytes()
            + self.roster.footprint_bytes()
            + self.subscribers.capacity() * size_of::<SessionKey>()
    }
}

impl EdgeSubscription {
    /// The document, by its global id, and what has not been sent of it.
    pub fn report<'a>(
        &self,
        edges: &'a FxHashMap<u64, Edge>,
    ) -> Option<(&'a Arc<str>, Option<Lag>)> {
        let edge = edges.get(&self.document)?;
        Some((&edge.name, Some(edge.ring.lag(self.cursor))))
    }

    fn returned(&self, is_lapped: bool) -> Returned {
        Returned {
            document: self.document,
            stay: self.stay,
            revision: self.cursor.revision - 1,
            presence_cursor: self.progress.presence_cursor,
            is_lapped,
        }
    }
}

/// What comes from the documents' shards.
impl Shard {
    /// A document of another shard has many subscribers, or no longer.
    pub(super) fn hear_busy(&mut self, name: Arc<str>, is_busy: bool) {
        let bytes = name.len() + size_of::<Arc<str>>();
        if is_busy && self.busy.insert(Arc::clone(&name)) {
            self.ledger.document_bytes += bytes;
        } else if !is_busy && self.busy.remove(&name) {
            self.ledger.document_bytes -= bytes;
        }
    }

    pub(super) fn receive_edge(&mut self, message: EdgeMessage) {
        match message {
            EdgeMessage::Open(opening) => self.open_edge(*opening),
            EdgeMessage::Update(update) => self.update_edge(*update),
            EdgeMessage::Join {
                connection,
                document,
                session,
                stay,
                next_revision,
                progress,
            } => {
                let Some(edge) = self.edges.get(&document) else {
                    let returned = Returned {
                        document,
                        stay,
                        revision: next_revision - 1,
                        presence_cursor: progress.presence_cursor,
                        is_lapped: false,
                    };
                    return self.return_subscriber(connection, returned);
                };
                let subscription = EdgeSubscription {
                    document,
                    index: edge.subscribers.len(),
                    session,
                    stay,
                    cursor: edge.ring.head(),
                    progress,
                };
                assert_eq!(subscription.cursor.revision, next_revision, "no gap");
                self.join_edge_here(connection.into(), subscription);
            }
            EdgeMessage::Leave {
                connection,
                document,
                gets_rest,
            } => {
                self.gather_rest(connection.into(), document, gets_rest);
                self.leave_edge(connection.into(), document);
            }
            EdgeMessage::Close { document } => self.close_edge(document),
        }
    }

    fn open_edge(&mut self, opening: Opening) {
        if !self.make_room(0) {
            return;
        }
        let fanout = &self.settings.fanout;
        let ring = Ring::new(
            opening.next_revision,
            fanout.ring_slots,
            fanout.ring_bytes_max,
        );
        let mut roster = Roster::new(opening.document, fanout.presence_ring_slots);
        roster.replace(opening.everybody);
        let edge = Edge {
            name: opening.name,
            kind_name: opening.kind_name,
            queue_depth: 0,
            ring,
            roster,
            subscribers: Vec::new(),
            taken_bytes: 0,
            counted_bytes: 0,
        };
        self.edges.insert(opening.document, edge);
        self.count_edge(opening.document);
    }

    fn update_edge(&mut self, update: Update) {
        let Some(edge) = self.edges.get_mut(&update.document) else {
            return;
        };
        edge.queue_depth = update.queue_depth;
        edge.taken_bytes += update.bytes;
        if edge.taken_bytes >= self.settings.memory.lane_window_bytes / 4 {
            let document = update.document;
            let bytes = std::mem::take(&mut edge.taken_bytes);
            let shard = route::shard_of_handle(document, self.settings.shards);
            let requests = &mut self.outboxes[shard].requests;
            requests.push_back(MeshMessage::EdgeCredit { document, bytes });
        }
        if let Some(revision) = update.restarts_at {
            edge.ring.restart(revision);
        }
        let presences = update.news.as_ref().map_or(0, News::len);
        self.metrics.edge_events += (update.slots.len() + presences) as u64;
        for slot in update.slots {
            edge.ring.push(slot);
        }
        if let Some(news) = update.news {
            edge.roster.take(news);
        }
        for index in 0..edge.subscribers.len() {
            let edge = &self.edges[&update.document];
            self.mark_writable(edge.subscribers[index]);
        }
        self.count_edge(update.document);
        if !self.make_room(0) {
            self.give_up_edge(update.document);
        }
    }

    /// There is no room for the edge: the document's shard goes on with its subscribers.
    fn give_up_edge(&mut self, document: u64) {
        while let Some(edge) = self.edges.get(&document)
            && let Some(key) = edge.subscribers.last().copied()
            && let Some(subscription) = self.leave_edge(key, document)
        {
            self.return_subscriber(key.into(), subscription.returned(false));
        }
        self.close_edge(document);
    }

    fn close_edge(&mut self, document: u64) {
        if let Some(edge) = self.edges.remove(&document) {
            assert!(edge.subscribers.is_empty(), "each has left it before");
            self.ledger.document_bytes -= edge.counted_bytes;
        }
    }

    /// Brings the budget up to date with what the edge holds.
    fn count_edge(&mut self, document: u64) {
        if let Some(edge) = self.edges.get_mut(&document) {
            let held = edge.footprint_bytes();
            self.ledger.document_bytes += held;
            self.ledger.document_bytes -= edge.counted_bytes;
            edge.counted_bytes = held;
        }
    }

    fn return_subscriber(&mut self, connection: ConnectionId, returned: Returned) {
        let shard = route::shard_of_handle(returned.document, self.settings.shards);
        let requests = &mut self.outboxes[shard].requests;
        requests.push_back(MeshMessage::Return {
            connection,
            returned,
        });
    }
}

/// Subscribers.
impl Shard {
    fn join_edge_here(&mut self, key: SessionKey, subscription: EdgeSubscription) {
        let document = subscription.document;
        // Who is gone has told the document's shard.
        let Some(edges) = self.edges_of(key, document) else {
            return;
        };
        edges.push(subscription);
        let edge = self.edges.get_mut(&document);
        edge.expect("its caller has seen it").subscribers.push(key);
        self.count_edge(document);
    }

    fn leave_edge(&mut self, key: SessionKey, document: u64) -> Option<EdgeSubscription> {
        let edges = self.edges_of(key, document)?;
        let position = edges.iter().position(|edge| edge.document == document)?;
        let left = edges.swap_remove(position);
        let edge = self.edges.get_mut(&document).expect("it has a subscriber");
        edge.subscribers.swap_remove(left.index);
        let moved = edge.subscribers.get(left.index).copied();
        if let Some(moved) = moved.and_then(|moved| self.edges_of(moved, document)) {
            let mut places = moved.iter_mut();
            let place = places.find(|edge| edge.document == document);
            place.expect("the edge lists it").index = left.index;
        }
        Some(left)
    }

    /// The session's places at the edges of documents of the shard that has this one.
    fn edges_of(&mut self, key: SessionKey, document: u64) -> Option<&mut Vec<EdgeSubscription>> {
        let shard = route::shard_of_handle(document, self.settings.shards);
        let forward = self.socket_of(key)?.forward(shard)?;
        Some(&mut forward.edges)
    }

    /// The connection is going.
    pub(super) fn leave_edges(&mut self, key: SessionKey) {
        for document in self.documents_at_edges(key) {
            self.leave_edge(key, document);
        }
    }

    /// The session is this client's from here on. The document's shard says what it may no longer read.
    pub(super) fn identify_at_edges(&mut self, key: SessionKey, identity: &Identity) {
        for document in self.documents_at_edges(key) {
            if !identity.permissions_for(&self.edges[&document].name).read {
                self.leave_edge(key, document);
            }
        }
    }

    fn documents_at_edges(&self, key: SessionKey) -> Vec<u64> {
        let socket = self.sessions.get(key).and_then(|session| session.socket());
        let forwards = socket.map_or(&[][..], |socket| &socket.forwards);
        let edges = forwards.iter().flat_map(|forward| &forward.edges);
        edges.map(|edge| edge.document).collect()
    }

    /// Appends what the edges here have for the session. True: there is more.
    pub(super) fn gather_edges(
        &mut self,
        key: SessionKey,
        first: usize,
        was_blocked: bool,
        out: &mut Vec<u8>,
        end: usize,
    ) -> bool {
        let forwards = self.sessions[key]
            .socket()
            .map_or(0, |it| it.forwards.len());
        let (mut has_more, mut lapped) = (false, Vec::new());
        for forward in 0..forwards {
            let edges = self.edges_by(key, forward).len();
            for offset in 0..edges {
                let index = first.wrapping_add(offset) % edges;
                match self.gather_edge(key, (forward, index), was_blocked, out, end) {
                    Gathered::All => (),
                    Gathered::More => has_more = true,
                    Gathered::Lapped { .. } => {
                        lapped.push(self.edges_by(key, forward)[index].document);
                    }
                    Gathered::NeedsPage | Gathered::Done => unreachable!("it is live"),
                }
            }
        }
        for document in lapped {
            let subscription = self.leave_edge(key, document).expect("just seen");
            self.return_subscriber(key.into(), subscription.returned(true));
        }
        has_more
    }

    /// The session's places at the edges of one of the shards that it is tied to.
    fn edges_by(&mut self, key: SessionKey, forward: usize) -> &mut Vec<EdgeSubscription> {
        let socket = self
            .socket_of(key)
            .expect("only a socket is tied to others");
        &mut socket.forwards[forward].edges
    }

    /// `place`: by which of its ties, and which of its places there.
    fn gather_edge(
        &mut self,
        key: SessionKey,
        place: (usize, usize),
        was_blocked: bool,
        out: &mut Vec<u8>,
        end: usize,
    ) -> Gathered {
        let (forward, index) = place;
        let session = &mut self.sessions[key];
        let document = {
            let socket = session.socket().expect("only a socket is tied to others");
            socket.forwards[forward].edges[index].document
        };
        let edge = &self.edges[&document];
        let voice = Voice::new(session, Some(edge.topic()), &self.settings, self.now);
        let socket = session.socket_mut().expect("as before");
        let place = &mut socket.forwards[forward].edges[index];
        Gather {
            session: place.session,
            voice,
            handle: document,
            settings: &self.settings,
            metrics: &mut self.metrics,
            sending_since: &mut self.sending_since,
            out,
            end,
        }
        .live(
            &edge.ring,
            &edge.roster,
            &mut place.cursor,
            &mut place.progress,
            was_blocked,
        )
    }

    fn place_of(&self, key: SessionKey, document: u64) -> Option<(usize, usize)> {
        let shard = route::shard_of_handle(document, self.settings.shards);
        let forwards = &self.sessions.get(key)?.socket()?.forwards;
        let forward = forwards.iter().position(|forward| forward.shard == shard)?;
        let mut edges = forwards[forward].edges.iter();
        let index = edges.position(|edge| edge.document == document)?;
        Some((forward, index))
    }

    /// Puts among the session's replies what a subscriber that is about to leave has not been told of who is present, and,
    /// if it gets the rest and takes what it is sent, what it lacks of the ring; after what came for it before.
    fn gather_rest(&mut self, key: SessionKey, document: u64, gets_rest: bool) {
        let Some((forward, index)) = self.place_of(key, document) else {
            return;
        };
        let edge = &self.edges[&document];
        let (head, presence_head) = (edge.ring.head(), edge.roster.head());
        let is_blocked = self.sessions[key].is_blocked();
        let place = &mut self.edges_by(key, forward)[index];
        if !gets_rest || is_blocked {
            place.cursor = head;
        }
        if place.cursor == head && place.progress.presence_cursor == Some(presence_head) {
            return;
        }
        let mut replies = std::mem::take(&mut self.sessions[key].replies);
        self.gather_forwarded(key, &mut replies, usize::MAX);
        let end = replies.len() + self.settings.fanout.flush_bytes_max;
        self.gather_edge(key, (forward, index), false, &mut replies, end);
        self.sessions[key].replies = replies;
        self.mark_writable(key);
        self.count_output(key);
        self.check_output(key, self.now);
    }
}

//! Clients open documents and join them.

use std::sync::Arc;

use crate::auth::{Permissions, global_id};
use crate::codec::wire::{self, ResyncReason, SyncMode, event};

use super::document::{Joiner, Open, State};
use super::key::DocumentKey;
use super::key::SessionKey;
use super::kind;
use super::load::no_memory;
use super::refusal::Refusal;
use super::session::{Pages, Progress, Subscription};
use super::shard::Shard;
use super::sync::resync;
use super::time::Instant;
use super::voice::is_json;
use super::wants::{Have, Wants};

/// The most bytes of a document id.
pub const DOCUMENT_ID_BYTES_MAX: usize = 256;
/// How much of an unknown kind's name is said back.
const KIND_ECHO_CHARS_MAX: usize = 32;

impl Shard {
    /// A client asks for a document of this shard.
    pub(super) fn join(&mut self, key: SessionKey, mut open: wire::Open, now: Instant) {
        let joiner = Joiner {
            session: key,
            asked: self.sessions[key].asked.clone(),
            request_id: open.request_id,
            wants: Wants::of_open(&mut open),
            kind: open.kind,
            create: open.create,
            is_told: true,
            permissions: Permissions::default(),
        };
        self.take_joiner(joiner, &open.document, now);
    }

    /// A client wants to be brought up to date with a document that it does not have open.
    pub(super) fn join_by_sync(
        &mut self,
        key: SessionKey,
        mut request: wire::SyncRequest,
        now: Instant,
    ) {
        let joiner = Joiner {
            session: key,
            asked: self.sessions[key].asked.clone(),
            request_id: 0,
            wants: Wants::of_sync_request(&mut request),
            kind: request.kind,
            create: request.create,
            is_told: false,
            permissions: Permissions::default(),
        };
        self.take_joiner(joiner, &request.document_id, now);
    }

    fn take_joiner(&mut self, mut joiner: Joiner, document_id: &str, now: Instant) {
        let key = joiner.session;
        let admitted = self
            .document_name(key, document_id)
            .and_then(|name| self.admit_joiner(&mut joiner, &name).map(|()| name));
        let name = match admitted {
            Ok(name) => name,
            Err(refusal) => return self.reply(key, refusal.error(joiner.request_id, 0)),
        };
        let document_key = self.names.get(&name).copied();
        let is_open = document_key.is_some_and(|it| self.documents[it].open().is_some());
        if !is_open && !self.make_room(joiner.wants.said_bytes()) {
            return self.refuse_joiner(&joiner, &no_memory());
        }
        let document_key = match document_key {
            Some(document_key) => document_key,
            None => match self.load(name) {
                Ok(document_key) => document_key,
                Err(refusal) => return self.refuse_joiner(&joiner, &refusal),
            },
        };
        match &mut self.documents[document_key].state {
            State::Loading { waiting, .. } | State::Restoring { waiting, .. } => {
                waiting.join(joiner);
                self.sessions[key].joining += 1;
                self.count_document(document_key);
            }
            State::Open(_) => self.admit(document_key, joiner, now),
        }
    }

    /// What can be known without the document.
    fn admit_joiner(&self, joiner: &mut Joiner, name: &str) -> Result<(), Refusal> {
        if self.is_stopping {
            return Err(Refusal::Unavailable("the relay is stopping".to_owned()));
        }
        if !joiner.kind.is_empty() && !kind::exists(&joiner.kind) {
            return Err(Refusal::KindUnknown {
                kind: joiner.kind.chars().take(KIND_ECHO_CHARS_MAX).collect(),
            });
        }
        let documents_max = self.settings.connection.documents_max;
        let session = &self.sessions[joiner.session];
        let identity = session.identity().ok_or(Refusal::HelloRequired)?;
        joiner.permissions = identity.permissions_for(name);
        if !joiner.permissions.read {
            return Err(Refusal::Forbidden("reading the document"));
        }
        let has_it_open = self
            .names
            .get(name)
            .is_some_and(|document| session.has_open(*document));
        if session.subscriptions.len() + session.joining >= documents_max && !has_it_open {
            return Err(Refusal::TooManyDocuments { documents_max });
        }
        Ok(())
    }

    /// The global id of the document that an Open names, by its name or by the connection's URL.
    pub(super) fn document_name(&self, key: SessionKey, name: &str) -> Result<Arc<str>, Refusal> {
        let session = &self.sessions[key];
        let name = match session.document.as_deref() {
            Some(document) if name.is_empty() => document,
            Some(_) | None => name,
        };
        if !is_document_id(name) {
            return Err(Refusal::DocumentIdInvalid);
        }
        let tenant = session.identity().map_or("", |identity| identity.tenant());
        Ok(global_id(tenant, name).into())
    }

    pub(super) fn refuse_joiner(&mut self, joiner: &Joiner, refusal: &Refusal) {
        let error = refusal.error(joiner.request_id, 0);
        self.answer(joiner.session, &joiner.asked, error);
    }

    /// Joins a client to an open document, in one step.
    pub(super) fn admit(&mut self, document_key: DocumentKey, joiner: Joiner, now: Instant) {
        if let Err(refusal) = self.try_admit(document_key, &joiner, now) {
            self.refuse_joiner(&joiner, &refusal);
        }
    }

    fn try_admit(
        &mut self,
        document_key: DocumentKey,
        joiner: &Joiner,
        now: Instant,
    ) -> Result<(), Refusal> {
        let key = joiner.session;
        let epoch = self.settings.epoch;
        if !joiner.permissions.read {
            return Err(Refusal::Forbidden("reading the document"));
        }
        let open = self.documents[document_key].open();
        let open = open.expect("the caller knows that it is open");
        if open.is_deleting {
            return Err(Refusal::DocumentDeleted);
        }
        if !joiner.kind.is_empty() && *joiner.kind != *open.kind_name {
            return Err(Refusal::KindMismatch {
                is: open.kind.name(),
                asked: joiner.kind.clone(),
            });
        }
        let content_bytes = open.kind.content_bytes() as u64;
        let client_id = self.sessions[key].client_id();
        if joiner.wants.is_subscribing && self.is_seated_later(client_id, key, open) {
            return Err(Refusal::Replaced);
        }
        let start = self.start(key, document_key, &joiner.wants)?;
        let document = &mut self.documents[document_key];
        let handle = document.handle;
        let open = document.open_mut().expect("as before");
        // A token leads on from where its bearer was told so.
        let is_void = joiner.wants.resume_token.is_empty()
            && !joiner.wants.is_from_newest
            && open.voids(&joiner.wants.have, epoch);
        // What a client has of an earlier life can end where this one begins: a snapshot tells it.
        if is_void && joiner.is_told && open.origin_revision > 0 && start.sync != SyncMode::Snapshot
        {
            return Err(Refusal::SnapshotRequired);
        }
        let (from_revision, sync) = (start.from_revision, start.sync);
        let next_clock = open.dedupe.next_clock(client_id);
        let color = match joiner.wants.is_subscribing {
            true => open.presence.assign_color(client_id).to_owned(),
            false => String::new(),
        };
        let opened = wire::Opened {
            request_id: joiner.request_id,
            document: handle,
            kind: open.kind_name.as_ref().to_owned(),
            position: Some(wire::Position {
                epoch,
                revision: open.durable_revision,
            }),
            from_revision: start.from_revision,
            sync: start.sync.into(),
            next_clock,
            permissions: Some(wire::Permissions {
                read: joiner.permissions.read,
                write: joiner.permissions.write,
            }),
            presences: open.presence.roster.full_set(client_id),
            color,
            shard: u32::try_from(self.settings.index).expect("no machine has so many cores"),
            content_bytes,
            unwritten: open.durable_revision == open.origin_revision,
        };
        let is_due = !joiner.is_told
            || !joiner.wants.is_subscribing
            || joiner.wants.is_bidirectional
            || start.sync != SyncMode::UpToDate;
        let pages = Pages::new(joiner.asked.clone(), &joiner.wants, start.sync);
        let subscription = Subscription {
            document: document_key,
            index: open.subscribers.len(),
            stage: start.stage,
            progress: Progress {
                placed_revision: open.durable_revision,
                presence_cursor: joiner.is_told.then(|| open.presence.roster.head()),
                is_warned: false,
            },
            pages: is_due.then(|| Box::new(pages)),
            upload: None,
            is_once: !joiner.wants.is_subscribing,
            takes_snapshots: joiner.wants.takes_snapshots,
            can_write: joiner.permissions.write && joiner.wants.is_subscribing,
            stays: false,
        };
        let returns =
            !matches!(joiner.wants.have, Have::Nothing) || !joiner.wants.resume_token.is_empty();
        self.metrics.returns += u64::from(returns);
        self.recall(key, document_key, false);
        // A snapshot of which not all has come begins anew.
        self.drop_upload(key, document_key);
        if let Some(existing) = self.sessions[key].subscription(document_key) {
            let index = existing.index;
            *existing = Subscription {
                index,
                ..subscription
            };
        } else {
            self.subscribe(key, document_key, subscription);
            self.check_busy(document_key);
        }
        if joiner.wants.is_subscribing {
            self.seat(key, document_key, now);
        }
        if joiner.is_told {
            self.answer(key, &joiner.asked, event::Body::Opened(opened));
        } else if is_void {
            // Opened would have told it; what follows alone would not.
            let from = wire::Position {
                epoch,
                revision: from_revision,
            };
            let resync = resync(handle, ResyncReason::Void, from, sync, next_clock);
            self.answer(key, &joiner.asked, event::Body::Resync(resync));
        } else {
            self.mark_writable(key);
        }
        Ok(())
    }

    fn subscribe(
        &mut self,
        key: SessionKey,
        document_key: DocumentKey,
        subscription: Subscription,
    ) {
        let session = &mut self.sessions[key];
        let is_json = is_json(session.manner);
        // Most have one document, and room for no more.
        if session.subscriptions.is_empty() {
            session.subscriptions.reserve_exact(1);
        }
        session.subscriptions.push(subscription);
        let open = self.documents[document_key].open_mut();
        let open = open.expect("the caller knows that it is open");
        open.subscribers.push(key);
        self.metrics.subscribers += 1;
        open.idle_since = None;
        if is_json {
            open.json_subscribers += 1;
            open.presence.is_json_spoken = true;
        }
    }

    /// The session is where its client is in the document from here on.
    fn seat(&mut self, key: SessionKey, document_key: DocumentKey, now: Instant) {
        let client_id = self.sessions[key].client_id();
        let open = self.documents[document_key].open_mut();
        let open = open.expect("the caller knows that it is open");
        let is_first = open.members.is_empty();
        let older = open.members.insert(client_id, key);
        if is_first {
            self.note_occupancy(document_key, true);
        }
        if let Some(older) = older.filter(|older| *older != key) {
            self.replace(older, document_key, now);
        }
    }

    /// Whether the client is in the document on a connection that is newer than this one: on its way from another shard,
    /// what came over a connection that was given up can be late.
    fn is_seated_later(&self, client_id: u64, key: SessionKey, open: &Open) -> bool {
        let seated = open.members.get(&client_id);
        seated.is_some_and(|seated| {
            self.sessions[*seated].connected_at > self.sessions[key].connected_at
        })
    }

    /// Whether another version of the document's state may be held.
    pub(super) fn has_room_for_version(&self, document: DocumentKey) -> bool {
        let open = self.documents[document].open();
        let state_bytes = open.map_or(0, |open| open.kind.state_bytes());
        self.ledger.document_bytes + state_bytes <= self.settings.memory.document_bytes_max
    }

    /// The same client on an older connection, which it may have given up, makes way for the new one.
    fn replace(&mut self, older: SessionKey, document: DocumentKey, now: Instant) {
        let handle = self.documents[document].handle;
        self.reply(older, Refusal::Replaced.close(handle));
        self.unsubscribe(older, document, now);
    }
}

impl Joiner {
    /// Whether it brings an unknown document into being.
    pub(super) fn creates(&self) -> bool {
        self.create && self.permissions.create && !self.kind_to_create().is_empty()
    }

    /// Of which kind it makes it. Who only asks to be brought up to date makes a log.
    pub(super) fn kind_to_create(&self) -> &str {
        match self.kind.is_empty() && !self.is_told {
            true => "log",
            false => &self.kind,
        }
    }

    /// Why it does not get a document that does not exist.
    pub(super) fn why_not_found(&self) -> Refusal {
        if self.create && !self.permissions.create {
            Refusal::Forbidden("creating the document")
        } else {
            Refusal::DocumentNotFound
        }
    }
}

/// 1 to 256 bytes, no control characters.
pub fn is_document_id(name: &str) -> bool {
    (1..=DOCUMENT_ID_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}

//! Documents come into memory, and clients join them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::auth::{Permissions, global_id};
use crate::codec::record::{self, SnapshotRecord};
use crate::codec::wire::{self, SyncMode, event};
use crate::store::{Loaded, LoadedDocument, ReadError, StoreRequest};

use super::dedupe::Dedupe;
use super::document::{Document, Have, Joiner, Open, SnapshotPolicy, State};
use super::key::DocumentKey;
use super::key::SessionKey;
use super::kind::{self, Kind, StateError};
use super::presence::Presence;
use super::refusal::Refusal;
use super::ring::Ring;
use super::route;
use super::session::{Stage, Subscription};
use super::settings::Settings;
use super::shard::Shard;
use super::time::Instant;
use super::timer::Alarm;
use super::version::{Version, Versions};

/// The most bytes of a document id.
pub const DOCUMENT_ID_BYTES_MAX: usize = 256;
/// How much of an unknown kind's name is said back.
const KIND_ECHO_CHARS_MAX: usize = 32;

impl Shard {
    /// A client asks for a document of this shard.
    pub(super) fn join(&mut self, key: SessionKey, open: wire::Open, now: Instant) {
        let mut joiner = Joiner {
            session: key,
            request_id: open.request_id,
            kind: open.kind,
            have: open.have.map(|have| Have {
                epoch: have.epoch,
                revision: have.revision,
            }),
            create: open.create,
            permissions: Permissions::default(),
        };
        let admitted = self
            .document_name(key, &open.document)
            .and_then(|name| self.admit_joiner(&mut joiner, &name).map(|()| name));
        let name = match admitted {
            Ok(name) => name,
            Err(refusal) => return self.reply(key, refusal.error(open.request_id, 0)),
        };
        let Some(document_key) = self.names.get(&name).copied() else {
            return self.begin_load(name, joiner);
        };
        match &mut self.documents[document_key].state {
            State::Loading { waiting } => {
                waiting.push(joiner);
                self.sessions[key].joining += 1;
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
        let of_url = session
            .socket()
            .and_then(|socket| socket.document.as_deref());
        let name = match of_url {
            Some(document) if name.is_empty() => document,
            Some(_) | None => name,
        };
        if !is_document_id(name) {
            return Err(Refusal::DocumentIdInvalid);
        }
        let tenant = session.identity().map_or("", |identity| identity.tenant());
        Ok(global_id(tenant, name).into())
    }

    fn begin_load(&mut self, name: Arc<str>, joiner: Joiner) {
        if !self.make_room() {
            let refusal = Refusal::Unavailable("no memory for another document".to_owned());
            return self.reply(joiner.session, refusal.error(joiner.request_id, 0));
        }
        self.sessions[joiner.session].joining += 1;
        self.opened += 1;
        let document = Document {
            name: name.clone(),
            handle: route::handle_of(self.opened, self.settings.index, self.settings.shards),
            state: State::Loading {
                waiting: vec![joiner],
            },
            alarm: Alarm::default(),
            counted_bytes: 0,
        };
        let handle = document.handle;
        let document_key = self.documents.insert(document);
        self.names.insert(name, document_key);
        self.handles.insert(handle, document_key);
        self.count_document(document_key);
        let document = self.documents[document_key].reference(document_key);
        self.store.push_back(StoreRequest::Load { document });
    }

    pub(super) fn finish_load(
        &mut self,
        document_key: DocumentKey,
        result: Result<Loaded, ReadError>,
        now: Instant,
    ) {
        let Some(document) = self.documents.get_mut(document_key) else {
            return;
        };
        let State::Loading { waiting } = &mut document.state else {
            return;
        };
        let mut waiting = std::mem::take(waiting);
        let handle = document.handle;
        waiting.retain(|joiner| {
            let session = self.sessions.get(joiner.session);
            session.is_some_and(|session| !session.is_closing())
        });
        for joiner in &waiting {
            self.sessions[joiner.session].joining -= 1;
        }
        let opened = result
            .map_err(|error| Refusal::Unavailable(error.to_string()))
            .and_then(|loaded| match loaded {
                Loaded::Live(loaded) => self
                    .open_loaded(handle, loaded, now)
                    .map(Some)
                    .map_err(|error| Refusal::Unavailable(error.to_string())),
                Loaded::Unknown => Ok(self.open_created(handle, &waiting, now)),
                Loaded::Deleted { .. } | Loaded::Gone { .. } => {
                    unreachable!("nothing deletes documents yet")
                }
            });
        match opened {
            Ok(Some(open)) => {
                self.documents[document_key].state = State::Open(Box::new(open));
                for joiner in waiting {
                    self.admit(document_key, joiner, now);
                }
                self.count_document(document_key);
                self.check_idle(document_key, now);
            }
            Ok(None) => {
                self.forget_document(document_key);
                for joiner in waiting {
                    let refusal = joiner.why_not_found();
                    self.reply(joiner.session, refusal.error(joiner.request_id, 0));
                }
            }
            Err(refusal) => {
                self.metrics.load_failures += 1;
                self.forget_document(document_key);
                for joiner in waiting {
                    self.reply(joiner.session, refusal.error(joiner.request_id, 0));
                }
            }
        }
    }

    fn open_loaded(
        &self,
        handle: u64,
        loaded: LoadedDocument,
        now: Instant,
    ) -> Result<Open, StateError> {
        let broken = |error: record::RecordError| StateError(error.to_string());
        let snapshot = match loaded.snapshot {
            Some((_, bytes)) => record::decode_snapshot(&bytes).map_err(broken)?,
            None => SnapshotRecord::default(),
        };
        let limits = &self.settings.document;
        let kind = if snapshot.revision == 0 {
            kind::empty(&loaded.kind, limits)
        } else {
            kind::restore(&loaded.kind, &snapshot.state, limits)?
        };
        let unknown = || StateError(format!("there is no kind {:?}", loaded.kind));
        let mut open = self.open_with(handle, kind.ok_or_else(unknown)?, snapshot, now);
        for bytes in &loaded.records {
            let record = record::decode_operations(bytes).map_err(broken)?;
            open.replay(&record)?;
        }
        open.durable_revision = open.head_revision;
        let fanout = &self.settings.fanout;
        open.ring = Ring::new(
            open.head_revision + 1,
            fanout.ring_slots,
            fanout.ring_bytes_max,
        );
        Ok(open)
    }

    /// An unknown document, if the first who may create it says of what kind.
    fn open_created(&self, handle: u64, waiting: &[Joiner], now: Instant) -> Option<Open> {
        let creator = waiting.iter().find(|joiner| joiner.creates())?;
        let kind = kind::empty(&creator.kind, &self.settings.document)?;
        Some(self.open_with(handle, kind, SnapshotRecord::default(), now))
    }

    fn open_with(
        &self,
        handle: u64,
        kind: Box<dyn Kind>,
        snapshot: SnapshotRecord,
        now: Instant,
    ) -> Open {
        let Settings {
            fanout,
            presence,
            started_at_ms,
            ..
        } = &self.settings;
        Open {
            kind_name: kind.name().into(),
            head_revision: snapshot.revision,
            durable_revision: snapshot.revision,
            pending: VecDeque::new(),
            pending_bytes: 0,
            repeated: Vec::new(),
            ring: Ring::new(
                snapshot.revision + 1,
                fanout.ring_slots,
                fanout.ring_bytes_max,
            ),
            presence: Presence::new(
                handle,
                presence.clone(),
                fanout.presence_ring_slots,
                *started_at_ms,
            ),
            subscribers: Vec::new(),
            members: BTreeMap::new(),
            idle_since: None,
            versions: Versions::default(),
            snapshot: SnapshotPolicy {
                revision: snapshot.revision,
                operation_bytes_since: 0,
                considered_at: now,
                storing_bytes: 0,
            },
            operation_bytes_total: snapshot.operation_bytes_total,
            dedupe: Dedupe::restore(snapshot.clients),
            kind,
        }
    }

    /// Joins a client to an open document, in one step.
    fn admit(&mut self, document_key: DocumentKey, joiner: Joiner, now: Instant) {
        let key = joiner.session;
        let Some(identity) = self.sessions[key].identity().cloned() else {
            return;
        };
        let epoch = self.settings.epoch;
        let has_room = self.has_room_for_version(document_key);
        let document = &mut self.documents[document_key];
        let handle = document.handle;
        let open = document
            .open_mut()
            .expect("the caller knows that it is open");
        if !joiner.kind.is_empty() && *joiner.kind != *open.kind_name {
            let refusal = Refusal::KindMismatch {
                is: open.kind.name(),
                asked: joiner.kind,
            };
            return self.reply(key, refusal.error(joiner.request_id, 0));
        }
        let (stage, sync, from) = open.place(identity.client_id, joiner.have, epoch, has_room);
        let opened = wire::Opened {
            request_id: joiner.request_id,
            document: handle,
            kind: open.kind_name.as_ref().to_owned(),
            position: Some(wire::Position {
                epoch,
                revision: open.durable_revision,
            }),
            from_revision: from,
            sync: sync.into(),
            next_clock: open.dedupe.next_clock(identity.client_id),
            permissions: Some(wire::Permissions {
                read: joiner.permissions.read,
                write: joiner.permissions.write,
            }),
            presences: open.presence.full_set(identity.client_id),
            color: open.presence.assign_color(identity.client_id).to_owned(),
        };
        let subscription = Subscription {
            document: document_key,
            index: open.subscribers.len(),
            stage,
            placed_revision: open.durable_revision,
            is_catching_up: sync != SyncMode::UpToDate,
            can_write: joiner.permissions.write,
            presence_cursor: open.presence.head(),
            is_warned: false,
        };
        if let Some(existing) = self.sessions[key].subscription(document_key) {
            let index = existing.index;
            *existing = Subscription {
                index,
                ..subscription
            };
        } else {
            open.subscribers.push(key);
            open.idle_since = None;
            let older = open.members.insert(identity.client_id, key);
            self.sessions[key].subscriptions.push(subscription);
            if let Some(older) = older {
                self.replace(older, document_key, now);
            }
        }
        self.reply(key, event::Body::Opened(opened));
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
    fn creates(&self) -> bool {
        self.create && self.permissions.create && !self.kind.is_empty()
    }

    /// Why it does not get a document that does not exist.
    fn why_not_found(&self) -> Refusal {
        if self.create && !self.permissions.create {
            Refusal::Forbidden("creating the document")
        } else {
            Refusal::DocumentNotFound
        }
    }
}

impl Open {
    /// Where a client that has `have` starts: its stage, what follows for it, and after which revision.
    /// `has_room`: there is memory for another version of its state.
    pub(super) fn place(
        &mut self,
        client_id: u64,
        have: Option<Have>,
        epoch: u64,
        has_room: bool,
    ) -> (Stage, SyncMode, u64) {
        let have = have
            .filter(|have| have.epoch == epoch && have.revision <= self.durable_revision)
            .map_or(0, |have| have.revision);
        if have == self.durable_revision {
            return (Stage::Live(self.ring.head()), SyncMode::UpToDate, have);
        }
        if self.is_snapshot_shorter(have)
            && let Some((version, next_clock)) = self.version(client_id, have, has_room)
        {
            let revision = version.revision;
            let stage = Stage::Snapshot {
                version,
                next_clock,
                offset: 0,
            };
            return (stage, SyncMode::Snapshot, revision);
        }
        let stage = Stage::CatchUp {
            next_revision: have + 1,
            ticket: None,
        };
        (stage, SyncMode::Delta, have)
    }

    /// The state to send to a client, and its next clock there. `None`: the kind has none, or there is no room.
    fn version(
        &mut self,
        client_id: u64,
        have: u64,
        has_room: bool,
    ) -> Option<(Arc<Version>, u64)> {
        if let Some(newest) = self.versions.newest()
            && newest.revision >= have
            && self.leads_on_from(newest.revision)
            && let Some(next_clock) = self.dedupe.next_clock_at(client_id, newest.revision)
        {
            return Some((newest, next_clock));
        }
        let snapshot = self.kind.snapshot().filter(|_| has_room)?;
        let version = self.versions.add(snapshot, self.head_revision);
        Some((version, self.dedupe.next_clock(client_id)))
    }

    /// Whether everything after `revision` is in the ring or on its way there.
    fn leads_on_from(&self, revision: u64) -> bool {
        revision >= self.durable_revision || self.ring.cursor(revision + 1).is_some()
    }

    /// Whether the snapshot is less to send than the operations after `have`. A client that has nothing always
    /// gets the snapshot.
    fn is_snapshot_shorter(&self, have: u64) -> bool {
        /// What an operation takes beside its payload.
        const OVERHEAD_BYTES: u64 = 16;
        /// A difference below this is not worth losing the history for.
        const WORTH_BYTES: u64 = 64 * 1024;
        let missing = self.durable_revision - have;
        let operations = missing * (self.operation_bytes_mean() + OVERHEAD_BYTES);
        have == 0 || operations > self.kind.state_bytes() as u64 + WORTH_BYTES
    }
}

/// 1 to 256 bytes, no control characters.
pub fn is_document_id(name: &str) -> bool {
    (1..=DOCUMENT_ID_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}

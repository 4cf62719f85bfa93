//! Documents come into memory, and clients join them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::auth::{Permissions, global_id};
use crate::codec::record::{self, SnapshotRecord};
use crate::codec::wire::{self, SyncMode, event};
use crate::store::{Loaded, LoadedDocument, ReadError, StoreRequest};

use super::dedupe::Dedupe;
use super::document::{Document, Joiner, Open, SnapshotPolicy, State};
use super::key::DocumentKey;
use super::key::SessionKey;
use super::kind::{self, Kind, StateError};
use super::presence::Presence;
use super::rate::Meter;
use super::refusal::Refusal;
use super::ring::Ring;
use super::route;
use super::session::{Pages, Subscription};
use super::settings::Settings;
use super::shard::Shard;
use super::time::Instant;
use super::timer::Alarm;
use super::version::Versions;
use super::voice::is_json;
use super::wants::Wants;

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
        let document_key = match self.names.get(&name).copied() {
            Some(document_key) => document_key,
            None => match self.load(name) {
                Ok(document_key) => document_key,
                Err(refusal) => return self.refuse_joiner(&joiner, &refusal),
            },
        };
        match &mut self.documents[document_key].state {
            State::Loading { waiting, .. } | State::Restoring { waiting, .. } => {
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

    /// Asks the store for a document that is not in memory.
    pub(super) fn load(&mut self, name: Arc<str>) -> Result<DocumentKey, Refusal> {
        if !self.make_room() {
            return Err(Refusal::Unavailable(
                "no memory for another document".to_owned(),
            ));
        }
        self.opened += 1;
        let document = Document {
            name: name.clone(),
            handle: route::handle_of(self.opened, self.settings.index, self.settings.shards),
            state: State::Loading {
                waiting: Vec::new(),
                deletions: Vec::new(),
                is_restored: false,
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
        Ok(document_key)
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
        let State::Loading {
            waiting,
            deletions,
            is_restored,
        } = &mut document.state
        else {
            return;
        };
        let mut waiting = std::mem::take(waiting);
        let deletions = std::mem::take(deletions);
        let is_restored = *is_restored;
        let (name, handle) = (document.name.clone(), document.handle);
        waiting.retain(|joiner| {
            let session = self.sessions.get(joiner.session);
            session.is_some_and(|session| !session.is_closing())
        });
        for joiner in &waiting {
            self.sessions[joiner.session].joining -= 1;
        }
        let opened = match result {
            Ok(Loaded::Live(loaded)) => self
                .open_loaded(name, handle, loaded, now)
                .map_err(|error| Refusal::Unavailable(error.to_string())),
            Ok(Loaded::Unknown) => self.open_created(name, handle, 0, &waiting, now),
            Ok(Loaded::Gone { revision }) => {
                self.open_created(name, handle, revision, &waiting, now)
            }
            Ok(Loaded::Deleted { .. }) => {
                return self.restore_or_refuse(document_key, waiting, deletions);
            }
            Err(error) => Err(Refusal::Unavailable(error.to_string())),
        };
        match opened {
            Ok(open) => {
                let kind = open.kind_name.clone();
                let document = &mut self.documents[document_key];
                document.state = State::Open(Box::new(open));
                let name = document.name.clone();
                if is_restored {
                    self.announce(name, kind, false);
                }
                for joiner in waiting {
                    self.admit(document_key, joiner, now);
                }
                self.count_document(document_key);
                self.begin_deletions(document_key, deletions, now);
                self.check_idle(document_key, now);
            }
            Err(refusal) => {
                self.metrics.load_failures += u64::from(refusal.is_retryable());
                self.forget_document(document_key);
                for deletion in deletions {
                    self.refuse_deletion(&deletion, &refusal);
                }
                for joiner in waiting {
                    let refusal = match &refusal {
                        Refusal::DocumentNotFound => &joiner.why_not_found(),
                        other => other,
                    };
                    self.refuse_joiner(&joiner, refusal);
                }
            }
        }
    }

    fn open_loaded(
        &self,
        name: Arc<str>,
        handle: u64,
        loaded: LoadedDocument,
        now: Instant,
    ) -> Result<Open, StateError> {
        let broken = |error: record::RecordError| StateError(error.to_string());
        let limits = &self.settings.document;
        let origin_revision = loaded.first_revision - 1;
        let (kind, snapshot) = match loaded.snapshot {
            Some((_, bytes)) => {
                let snapshot = record::decode_snapshot(&bytes).map_err(broken)?;
                let kind = kind::restore(&loaded.kind, &snapshot.state, limits)?;
                (kind, snapshot)
            }
            None => (
                kind::empty(&loaded.kind, limits),
                unwritten(origin_revision),
            ),
        };
        let unknown = || StateError(format!("there is no kind {:?}", loaded.kind));
        let mut open = self.open_with(name, handle, kind.ok_or_else(unknown)?, snapshot, now);
        open.origin_revision = origin_revision;
        open.stored_bytes = loaded.stored_bytes;
        open.horizon_revision = loaded.history_from_revision - 1;
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

    /// An unknown document, if the first who may create it says of what kind. `revision`: of its earlier life.
    fn open_created(
        &self,
        name: Arc<str>,
        handle: u64,
        revision: u64,
        waiting: &[Joiner],
        now: Instant,
    ) -> Result<Open, Refusal> {
        let creator = waiting.iter().find(|joiner| joiner.creates());
        let kind = creator
            .and_then(|creator| kind::empty(creator.kind_to_create(), &self.settings.document))
            .ok_or(Refusal::DocumentNotFound)?;
        Ok(self.open_with(name, handle, kind, unwritten(revision), now))
    }

    fn open_with(
        &self,
        name: Arc<str>,
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
            meter: Meter::default(),
            tenant: None,
            stored_bytes: 0,
            presence: Presence::new(
                name,
                handle,
                presence.clone(),
                fanout.presence_ring_slots,
                *started_at_ms,
            ),
            subscribers: Vec::new(),
            json_subscribers: 0,
            members: BTreeMap::new(),
            idle_since: None,
            is_deleting: false,
            is_deleted: false,
            deletion: None,
            versions: Versions::default(),
            origin_revision: snapshot.revision,
            horizon_revision: snapshot.revision,
            snapshot: SnapshotPolicy {
                revision: snapshot.revision,
                considered_at: now,
                ..SnapshotPolicy::default()
            },
            operation_bytes_total: snapshot.operation_bytes_total,
            dedupe: Dedupe::restore(snapshot.clients),
            kind,
        }
    }

    /// Joins a client to an open document, in one step.
    fn admit(&mut self, document_key: DocumentKey, joiner: Joiner, now: Instant) {
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
        let start = self.start(key, document_key, &joiner.wants)?;
        let client_id = self.sessions[key].client_id();
        let document = &mut self.documents[document_key];
        let handle = document.handle;
        let open = document.open_mut().expect("as before");
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
            next_clock: open.dedupe.next_clock(client_id),
            permissions: Some(wire::Permissions {
                read: joiner.permissions.read,
                write: joiner.permissions.write,
            }),
            presences: open.presence.full_set(client_id),
            color,
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
            placed_revision: open.durable_revision,
            pages: is_due.then_some(pages),
            upload: None,
            is_once: !joiner.wants.is_subscribing,
            takes_snapshots: joiner.wants.takes_snapshots,
            can_write: joiner.permissions.write && joiner.wants.is_subscribing,
            presence_cursor: joiner.is_told.then(|| open.presence.head()),
            is_warned: false,
        };
        self.drop_upload(key, document_key);
        if let Some(existing) = self.sessions[key].subscription(document_key) {
            let index = existing.index;
            *existing = Subscription {
                index,
                ..subscription
            };
        } else {
            self.subscribe(key, document_key, subscription);
        }
        if joiner.wants.is_subscribing {
            self.seat(key, document_key, now);
        }
        if joiner.is_told {
            self.answer(key, &joiner.asked, event::Body::Opened(opened));
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
        session.subscriptions.push(subscription);
        let open = self.documents[document_key].open_mut();
        let open = open.expect("the caller knows that it is open");
        open.subscribers.push(key);
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
        let older = open.members.insert(client_id, key);
        if let Some(older) = older.filter(|older| *older != key) {
            self.replace(older, document_key, now);
        }
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
        self.create && self.permissions.create && !self.kind_to_create().is_empty()
    }

    /// Of which kind it makes it. Who only asks to be brought up to date makes a log.
    fn kind_to_create(&self) -> &str {
        match self.kind.is_empty() && !self.is_told {
            true => "log",
            false => &self.kind,
        }
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

/// What a document is before its first operation.
fn unwritten(revision: u64) -> SnapshotRecord {
    SnapshotRecord {
        revision,
        ..SnapshotRecord::default()
    }
}

/// 1 to 256 bytes, no control characters.
pub fn is_document_id(name: &str) -> bool {
    (1..=DOCUMENT_ID_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}

//! Documents come into memory: from the store, or because a client makes them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::codec::record::{self, SnapshotRecord};
use crate::store::{Loaded, LoadedDocument, ReadError, StoreRequest};

use super::dedupe::Dedupe;
use super::document::{Document, Joiner, Open, SnapshotPolicy, State};
use super::heat::Heat;
use super::key::DocumentKey;
use super::kind::{self, Kind, StateError};
use super::presence::Presence;
use super::refusal::Refusal;
use super::ring::Ring;
use super::route;
use super::settings::Settings;
use super::shard::Shard;
use super::time::Instant;
use super::timer::Alarm;
use super::version::Versions;
use super::waiting::Waiting;

impl Shard {
    /// Asks the store for a document that is not in memory.
    pub(super) fn load(&mut self, name: Arc<str>) -> Result<DocumentKey, Refusal> {
        if !self.make_room(0) {
            return Err(no_memory());
        }
        self.opened += 1;
        let document = Document {
            name: name.clone(),
            handle: route::handle_of(self.opened, self.settings.index, self.settings.shards),
            state: State::Loading {
                waiting: Waiting::default(),
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
        self.ask_for_load(document_key);
        Ok(document_key)
    }

    /// Asks the store for the document; if too many are being loaded, it waits for its turn.
    pub(super) fn ask_for_load(&mut self, document_key: DocumentKey) {
        if self.loads >= self.settings.memory.document_loads_max {
            return self.queued_loads.push_back(document_key);
        }
        self.loads += 1;
        let document = self.documents[document_key].reference(document_key);
        self.store.push_back(StoreRequest::Load { document });
    }

    /// The store has answered a load: the next one's turn has come.
    pub(super) fn end_load(&mut self) {
        self.loads -= 1;
        self.admit_loads();
    }

    /// Asks for those that wait for their turn, as many as there is room for.
    pub(super) fn admit_loads(&mut self) {
        while self.loads < self.settings.memory.document_loads_max
            && let Some(next) = self.queued_loads.pop_front()
        {
            self.ask_for_load(next);
        }
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
            is_restored,
        } = &mut document.state
        else {
            return;
        };
        let Waiting {
            joiners: mut waiting,
            deletions,
            ..
        } = std::mem::take(waiting);
        let is_restored = *is_restored;
        let (name, handle) = (document.name.clone(), document.handle);
        let deletions = self.recheck_deletions(&name, deletions);
        waiting.retain(|joiner| {
            let session = self.sessions.get(joiner.session);
            session.is_some_and(|session| !session.is_closing())
        });
        for joiner in &mut waiting {
            let session = &mut self.sessions[joiner.session];
            session.joining -= 1;
            // A fresh token may have taken away what the one granted with which it asked.
            let identity = session
                .identity()
                .expect("it said Hello, and is not closing");
            joiner.permissions = identity.permissions_for(&name);
        }
        let opened = match result {
            Ok(Loaded::Live(loaded)) => self
                .open_loaded(name, handle, loaded, now)
                .map_err(Refusal::from)
                .and_then(|open| match self.make_room(open.footprint_bytes()) {
                    true => Ok(open),
                    false => Err(no_memory()),
                }),
            Ok(Loaded::Unknown) => self.open_created(name, handle, 0, &waiting, now),
            Ok(Loaded::Gone { revision }) => {
                self.open_created(name, handle, revision, &waiting, now)
            }
            Ok(Loaded::Deleted { .. }) => {
                return self.restore_or_refuse(document_key, waiting, deletions);
            }
            Err(error) => Err(error.into()),
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
                self.set_document_alarm(document_key);
            }
            Err(refusal) => {
                self.metrics.load_failures += u64::from(refusal != Refusal::DocumentNotFound);
                let name = self.documents[document_key].name.clone();
                self.note_unreadable(&name, &refusal);
                if is_restored {
                    // Of which kind it is cannot be said.
                    self.announce(name, "".into(), false);
                }
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
            head_time_ms: snapshot.time_ms,
            durable_revision: snapshot.revision,
            pending: VecDeque::new(),
            pending_bytes: 0,
            repeated: Vec::new(),
            ring: Ring::new(
                snapshot.revision + 1,
                fanout.ring_slots,
                fanout.ring_bytes_max,
            ),
            meter: None,
            heat: Heat::default(),
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
            branches: Vec::new(),
            is_busy: false,
            json_subscribers: 0,
            members: BTreeMap::new(),
            idle_since: None,
            awake_since: Some(now),
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
}

pub(super) fn no_memory() -> Refusal {
    Refusal::Unavailable("no memory for another document".to_owned())
}

/// What a document is before its first operation.
fn unwritten(revision: u64) -> SnapshotRecord {
    SnapshotRecord {
        revision,
        ..SnapshotRecord::default()
    }
}

//! One open document: its newest state, what of it is durable, and who listens.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::auth::Permissions;
use crate::store::DocumentRef;

use super::branch::Branch;
use super::census::Tenant;
use super::dedupe::Dedupe;
use super::deletion::Deletion;
use super::heat::Heat;
use super::key::{DocumentKey, SessionKey};
use super::kind::Kind;
use super::offer::Promise;
use super::presence::Presence;
use super::rate::Meter;
use super::request::Asked;
use super::ring::Ring;

use super::time::Instant;
use super::timer::Alarm;
use super::version::Versions;
use super::voice::Topic;
use super::waiting::Waiting;
use super::wants::Wants;

#[derive(Debug)]
pub struct Document {
    pub name: Arc<str>,
    /// What frames call it.
    pub handle: u64,
    pub state: State,
    pub alarm: Alarm,
    /// What it holds of the budget for documents, as last counted.
    pub counted_bytes: usize,
}

#[derive(Debug)]
pub enum State {
    /// The store has been asked; these wait for its answer.
    Loading {
        waiting: Waiting,
        /// Its deletion has been taken back.
        is_restored: bool,
    },
    /// The store has been asked to take its deletion back.
    Restoring {
        waiting: Waiting,
        deletion: Deletion,
    },
    Open(Box<Open>),
}

/// A client's Open request.
#[derive(Debug)]
pub struct Joiner {
    pub session: SessionKey,
    pub asked: Asked,
    pub request_id: u64,
    /// Empty: whatever it is.
    pub kind: String,
    pub wants: Wants,
    pub create: bool,
    /// It asked with Open, and is answered with Opened.
    pub is_told: bool,
    /// What its identity may do with the document.
    pub permissions: Permissions,
}

#[derive(Debug)]
pub struct Open {
    pub kind: Box<dyn Kind>,
    pub kind_name: Arc<str>,
    /// The newest revision.
    pub head_revision: u64,
    /// When it took its place. 0: not known.
    pub head_time_ms: u64,
    /// The newest revision that the store has confirmed: what anybody may be told of.
    pub durable_revision: u64,
    /// What lies between the two, in order.
    pub pending: VecDeque<PendingBatch>,
    pub pending_bytes: usize,
    /// Repeated batches that are acknowledged when their revision is durable.
    pub repeated: Vec<RepeatedBatch>,
    pub dedupe: Dedupe,
    pub ring: Ring,
    /// What has come of late, where documents have a rate.
    pub meter: Option<Box<Meter>>,
    pub heat: Heat,
    /// The numbers of its tenant, from the first batch on, where they matter.
    pub tenant: Option<Tenant>,
    /// What it counts there among the stored bytes, as far as is known.
    pub stored_bytes: u64,
    pub presence: Presence,
    /// Those that are served here.
    pub subscribers: Vec<SessionKey>,
    /// Those of them who are served by its edges on their own shards.
    pub branches: Vec<Branch>,
    /// It has so many that they may be.
    pub is_busy: bool,
    /// How many of all of them speak JSON.
    pub json_subscribers: usize,
    /// The subscribers by client id: a client is there once.
    pub members: BTreeMap<u64, SessionKey>,
    /// The revision at which it was empty: 0, or the newest of an earlier life, which was deleted.
    pub origin_revision: u64,
    /// The history up to here is gone: who has less gets a snapshot.
    pub horizon_revision: u64,
    /// Nothing more is written to it.
    pub is_deleting: bool,
    /// The store has deleted it.
    pub is_deleted: bool,
    /// Who has asked for that.
    pub deletion: Option<Deletion>,
    /// States of it that are being sent.
    pub versions: Versions,
    /// Since when it has had none.
    pub idle_since: Option<Instant>,
    /// When it last came into memory or changed, unless it rests.
    pub awake_since: Option<Instant>,
    pub snapshot: SnapshotPolicy,
    /// The bytes of all its operations, ever.
    pub operation_bytes_total: u64,
}

/// A batch that has its place and is not durable.
#[derive(Debug)]
pub struct PendingBatch {
    pub session: SessionKey,
    pub asked: Asked,
    pub origin: u64,
    pub client_seq: u64,
    pub first_clock: u64,
    pub first_revision: u64,
    pub operations: Vec<Bytes>,
    pub bytes: usize,
}

impl PendingBatch {
    pub fn last_revision(&self) -> u64 {
        self.first_revision + self.operations.len() as u64 - 1
    }
}

#[derive(Debug)]
pub struct RepeatedBatch {
    pub session: SessionKey,
    pub asked: Asked,
    pub client_seq: u64,
    /// 0: no longer known.
    pub first_revision: u64,
    pub count: u32,
    pub durable_at_revision: u64,
}

/// What has happened since the last snapshot.
#[derive(Debug, Default)]
pub struct SnapshotPolicy {
    pub revision: u64,
    pub operation_bytes_since: usize,
    pub considered_at: Instant,
    /// The size of the one that the store has not confirmed.
    pub storing_bytes: usize,
    /// A client's offer that the next one has in it.
    pub promise: Option<Promise>,
    /// The offer in the one that the store has not confirmed.
    pub storing_promise: Option<Promise>,
}

impl Document {
    pub fn reference(&self, key: DocumentKey) -> DocumentRef {
        DocumentRef {
            name: self.name.clone(),
            token: key.token(),
        }
    }

    pub fn open(&self) -> Option<&Open> {
        match &self.state {
            State::Open(open) => Some(open),
            State::Loading { .. } | State::Restoring { .. } => None,
        }
    }

    pub fn open_mut(&mut self) -> Option<&mut Open> {
        match &mut self.state {
            State::Open(open) => Some(open),
            State::Loading { .. } | State::Restoring { .. } => None,
        }
    }

    pub fn topic(&self) -> Topic<'_> {
        let open = self.open();
        Topic {
            name: &self.name,
            kind_name: open.map_or("", |open| &open.kind_name),
            queue_depth: open.map_or(0, |open| open.pending.len()),
        }
    }

    /// What it takes in memory, about.
    pub fn footprint_bytes(&self) -> usize {
        let state = match &self.state {
            State::Loading { waiting, .. } | State::Restoring { waiting, .. } => {
                waiting.footprint_bytes()
            }
            State::Open(open) => open.footprint_bytes(),
        };
        size_of::<Self>() + self.name.len() + state
    }
}

impl Open {
    /// What it holds in memory.
    pub fn footprint_bytes(&self) -> usize {
        size_of::<Self>()
            + self.kind.footprint_bytes()
            + self.versions.held_bytes(self.head_revision)
            + self.dedupe.footprint_bytes()
            + self.ring.footprint_bytes()
            + self.presence.footprint_bytes()
            + self.subscribers.capacity() * size_of::<SessionKey>()
            + self
                .branches
                .iter()
                .map(Branch::footprint_bytes)
                .sum::<usize>()
            + self.members.len() * size_of::<(u64, SessionKey)>()
            + self.meter.as_ref().map_or(0, |_| size_of::<Meter>())
    }

    pub fn subscribers_count(&self) -> usize {
        let elsewhere = self.branches.iter().map(|branch| branch.subscribers.len());
        self.subscribers.len() + elsewhere.sum::<usize>()
    }

    /// What a snapshot of it takes, about.
    pub fn snapshot_bytes(&self) -> usize {
        self.kind.state_bytes() + self.dedupe.snapshot_bytes()
    }

    /// Whether a snapshot costs no more than the operations since the last one did.
    pub fn pays_for_snapshot(&self) -> bool {
        self.snapshot.operation_bytes_since >= self.snapshot_bytes()
    }

    /// Nothing of it waits for the store.
    pub fn is_at_rest(&self) -> bool {
        let is_being_deleted = self.is_deleting && !self.is_deleted;
        self.pending.is_empty() && self.snapshot.storing_bytes == 0 && !is_being_deleted
    }

    /// The store has so many bytes of it.
    pub fn count_stored(&mut self, stored_bytes: u64) {
        if let Some(tenant) = &self.tenant {
            tenant.remove_bytes(self.stored_bytes);
            tenant.add_bytes(stored_bytes);
        }
        self.stored_bytes = stored_bytes;
    }

    /// It has had no operation.
    pub fn is_unwritten(&self) -> bool {
        self.head_revision == self.origin_revision
    }

    /// The mean size of an operation.
    pub fn operation_bytes_mean(&self) -> u64 {
        self.operation_bytes_total / (self.head_revision - self.origin_revision).max(1)
    }
}

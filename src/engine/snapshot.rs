//! When a document's state is stored, so that it opens again without its whole history.

use crate::codec::record::{self, SnapshotRecord};
use crate::store::StoreRequest;

use super::key::DocumentKey;
use super::operations::PENDING_OVERHEAD_BYTES;
use super::shard::Shard;
use super::time::Instant;

/// What an operation costs beside its own bytes, in the store and when it is read again.
const REPLAY_OVERHEAD_BYTES: usize = 100;

impl Shard {
    /// Takes a snapshot if enough has happened since the last one, and it costs no more than that did.
    pub(super) fn consider_snapshot(&mut self, document_key: DocumentKey, now: Instant) {
        let limits = self.settings.document.clone();
        let Some(open) = self.open_of(document_key) else {
            return;
        };
        let operations = open.head_revision - open.snapshot.revision;
        let is_time = now >= open.snapshot.considered_at + limits.snapshot_period;
        let is_due = operations >= limits.snapshot_operations || (is_time && operations > 0);
        if is_time {
            open.snapshot.considered_at = now;
        }
        let overhead_bytes = REPLAY_OVERHEAD_BYTES.saturating_mul(operations as usize);
        let replay_bytes = open.snapshot.operation_bytes_since + overhead_bytes;
        let is_affordable = replay_bytes >= open.snapshot_bytes();
        if (is_due && is_affordable) || open.snapshot.promise.is_some() {
            self.take_snapshot(document_key, now);
        }
    }

    /// Takes a snapshot of a document that nobody has open, if it costs no more than what has happened since the last
    /// one. Before the document leaves memory that does not matter if it would have to replay as many operations as a
    /// snapshot is worth.
    pub(super) fn take_last_snapshot(
        &mut self,
        document_key: DocumentKey,
        is_leaving: bool,
        now: Instant,
    ) {
        let worth = self.settings.document.snapshot_operations;
        let Some(open) = self.open_of(document_key) else {
            return;
        };
        let operations = open.head_revision - open.snapshot.revision;
        if operations > 0 && (open.pays_for_snapshot() || (is_leaving && operations >= worth)) {
            self.take_snapshot(document_key, now);
        }
    }

    /// Stores a snapshot, unless one is on its way or there is no room for it among what is. One that is larger
    /// than that room goes when no other does.
    pub(super) fn take_snapshot(&mut self, document_key: DocumentKey, now: Instant) {
        let document = &mut self.documents[document_key];
        let reference = document.reference(document_key);
        let open = document.open_mut().expect("its caller has seen it");
        let pending_bytes = self.ledger.pending_bytes + open.snapshot_bytes();
        let has_room = pending_bytes <= self.settings.memory.pending_bytes_max
            || self.ledger.snapshot_bytes == 0;
        if open.snapshot.storing_bytes > 0 || open.is_deleting || !has_room {
            return;
        }
        let snapshot = record::encode_snapshot(&SnapshotRecord {
            revision: open.head_revision,
            state: open.kind.state(),
            operation_bytes_total: open.operation_bytes_total,
            clients: open.dedupe.records(),
            time_ms: open.head_time_ms,
        });
        open.snapshot.revision = open.head_revision;
        open.snapshot.operation_bytes_since = 0;
        open.snapshot.considered_at = now;
        open.snapshot.storing_bytes = snapshot.len();
        open.snapshot.storing_promise = open.snapshot.promise.take();
        let promise = open.snapshot.storing_promise.as_ref();
        let compacts = self.settings.document.log_compaction;
        let compact_to_revision = promise.filter(|_| compacts).map(|it| it.revision);
        self.ledger.pending_bytes += snapshot.len();
        self.ledger.snapshot_bytes += snapshot.len();
        self.store.push_back(StoreRequest::PutSnapshot {
            document: reference,
            revision: open.head_revision,
            snapshot,
            compact_to_revision,
        });
    }

    /// The store has the snapshot. `stored_bytes`: what it has of the whole document now.
    pub(super) fn finish_snapshot(
        &mut self,
        document_key: DocumentKey,
        stored_bytes: u64,
        now: Instant,
    ) {
        self.metrics.snapshots += 1;
        let compacts = self.settings.document.log_compaction;
        let Some(open) = self.open_of(document_key) else {
            return;
        };
        let snapshot_bytes = std::mem::take(&mut open.snapshot.storing_bytes);
        let promise = open.snapshot.storing_promise.take();
        if let Some(promise) = promise.as_ref().filter(|_| compacts) {
            open.horizon_revision = open.horizon_revision.max(promise.revision);
        }
        // What waits for the store's answer was written later.
        let pending = open.pending.iter();
        let later_bytes: usize = pending
            .map(|batch| batch.bytes - PENDING_OVERHEAD_BYTES)
            .sum();
        open.count_stored(stored_bytes + later_bytes as u64);
        self.ledger.pending_bytes -= snapshot_bytes;
        self.ledger.snapshot_bytes -= snapshot_bytes;
        if let Some(promise) = promise {
            self.keep_promise(document_key, &promise);
        }
        self.consider_snapshot(document_key, now);
        self.check_idle(document_key, now);
    }
}

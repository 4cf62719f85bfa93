//! What the committer counts, for whoever shows metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// The longest time that is told apart; a longer one counts as this.
const DURATION_MICROS_MAX: u64 = 60_000_000;

/// Written by the committer, the readers and whoever takes their answers, read by anyone.
#[derive(Debug)]
pub struct Counters {
    commits: AtomicU64,
    operations: AtomicU64,
    operation_bytes: AtomicU64,
    snapshots: AtomicU64,
    snapshot_bytes: AtomicU64,
    reads: AtomicU64,
    /// When the commit that is under way began.
    commit_began: Mutex<Option<Instant>>,
    queue_micros: Mutex<Histogram<u64>>,
    gather_micros: Mutex<Histogram<u64>>,
    commit_micros: Mutex<Histogram<u64>>,
    sync_micros: Mutex<Histogram<u64>>,
    reply_micros: Mutex<Histogram<u64>>,
    commit_operations: Mutex<Histogram<u64>>,
}

/// The counters at one moment, since the start.
#[derive(Debug, Clone)]
pub struct CountersSnapshot {
    pub commits: u64,
    /// Operations and their records' bytes, in commits that were answered.
    pub operations: u64,
    pub operation_bytes: u64,
    /// Snapshots that are in place, and the bytes of all that were asked for.
    pub snapshots: u64,
    pub snapshot_bytes: u64,
    /// Loads and reads that were answered.
    pub reads: u64,
    /// For each append, from when it arrived at its shard until the committer took it, in microseconds.
    pub queue_micros: Histogram<u64>,
    /// For each append, from then until its commit began, in microseconds.
    pub gather_micros: Histogram<u64>,
    /// For each commit, from its start to its answer, in microseconds.
    pub commit_micros: Histogram<u64>,
    /// For each sync, the part of it that waits for the disk, in microseconds.
    pub sync_micros: Histogram<u64>,
    /// For each answer, until its shard took it, in microseconds.
    pub reply_micros: Histogram<u64>,
    /// For each commit that had any, how many operations.
    pub commit_operations: Histogram<u64>,
}

impl Default for Counters {
    fn default() -> Self {
        let histogram = || {
            let histogram = Histogram::new_with_bounds(1, DURATION_MICROS_MAX, 2);
            Mutex::new(histogram.expect("the bounds are in order"))
        };
        Self {
            commits: AtomicU64::new(0),
            operations: AtomicU64::new(0),
            operation_bytes: AtomicU64::new(0),
            snapshots: AtomicU64::new(0),
            snapshot_bytes: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            commit_began: Mutex::new(None),
            queue_micros: histogram(),
            gather_micros: histogram(),
            commit_micros: histogram(),
            sync_micros: histogram(),
            reply_micros: histogram(),
            commit_operations: histogram(),
        }
    }
}

impl Counters {
    pub fn snapshot(&self) -> CountersSnapshot {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CountersSnapshot {
            commits: load(&self.commits),
            operations: load(&self.operations),
            operation_bytes: load(&self.operation_bytes),
            snapshots: load(&self.snapshots),
            snapshot_bytes: load(&self.snapshot_bytes),
            reads: load(&self.reads),
            queue_micros: lock(&self.queue_micros).clone(),
            gather_micros: lock(&self.gather_micros).clone(),
            commit_micros: lock(&self.commit_micros).clone(),
            sync_micros: lock(&self.sync_micros).clone(),
            reply_micros: lock(&self.reply_micros).clone(),
            commit_operations: lock(&self.commit_operations).clone(),
        }
    }

    /// For how long the commit that is under way has been so. It is a long time where the disk does not answer.
    pub fn commit_age(&self) -> Option<Duration> {
        let began = *lock(&self.commit_began);
        began.map(|began| began.elapsed())
    }

    pub(super) fn begin_commit(&self, at: Instant) {
        *lock(&self.commit_began) = Some(at);
    }

    pub(super) fn end_commit(&self) {
        *lock(&self.commit_began) = None;
    }

    pub(super) fn count_commit(&self, took: Duration) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        lock(&self.commit_micros).saturating_record(micros(took));
    }

    pub(super) fn count_taken(&self, appends: u64, queued: Duration) {
        lock(&self.queue_micros).saturating_record_n(micros(queued), appends);
    }

    pub(super) fn count_begun(&self, appends: u64, gathered: Duration) {
        lock(&self.gather_micros).saturating_record_n(micros(gathered), appends);
    }

    /// A shard has taken an answer.
    pub fn count_reply(&self, took: Duration) {
        lock(&self.reply_micros).saturating_record(micros(took));
    }

    pub(super) fn count_sync(&self, took: Duration) {
        lock(&self.sync_micros).saturating_record(micros(took));
    }

    pub(super) fn count_operations(&self, operations: u64, bytes: u64) {
        self.operations.fetch_add(operations, Ordering::Relaxed);
        self.operation_bytes.fetch_add(bytes, Ordering::Relaxed);
        if operations > 0 {
            lock(&self.commit_operations).saturating_record(operations);
        }
    }

    pub(super) fn count_snapshot_bytes(&self, bytes: u64) {
        self.snapshot_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn count_snapshots(&self, snapshots: u64) {
        self.snapshots.fetch_add(snapshots, Ordering::Relaxed);
    }

    pub(super) fn count_read(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    // All of them are whole whenever their lock is free.
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

//! What a shard counts and holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a shard has counted since its start, and what it holds at this moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Metrics {
    // Held.
    pub connections: u64,
    pub documents: u64,
    pub input_bytes: u64,
    pub output_bytes: u64,
    pub document_bytes: u64,
    pub pending_bytes: u64,
    /// Subscribers of other shards' documents who are served here.
    pub edge_subscribers: u64,
    // Counted.
    pub operations: u64,
    pub duplicates: u64,
    pub acks: u64,
    pub nacks: u64,
    /// Batches and own acknowledgements handed to subscribers from the ring.
    pub deliveries: u64,
    pub presence_updates: u64,
    /// Batches and presences of other shards' documents that came for them, once for all.
    pub edge_events: u64,
    pub pages: u64,
    pub warnings: u64,
    pub resyncs: u64,
    pub backpressure_closes: u64,
    pub refused_connections: u64,
    pub load_failures: u64,
    pub snapshots: u64,
}

/// How much is held of something that ends by itself.
#[derive(Debug, Clone, Default)]
pub struct Pool(Arc<AtomicUsize>);

/// Bytes that are counted in a pool for as long as this is there.
#[derive(Debug)]
pub struct Held {
    bytes: usize,
    pool: Pool,
}

impl Pool {
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub fn hold(&self, bytes: usize) -> Held {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Held {
            bytes,
            pool: self.clone(),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.pool.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Bytes held of each part of the memory budget.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub input_bytes: usize,
    pub output_bytes: usize,
    /// What readers have said to have; part of the budget for output.
    pub filters: Pool,
    pub document_bytes: usize,
    /// Snapshots included.
    pub pending_bytes: usize,
    pub snapshot_bytes: usize,
}

impl Ledger {
    /// What clients have not taken, and what it is reckoned with.
    pub fn output_total_bytes(&self) -> usize {
        self.output_bytes + self.filters.bytes()
    }
}

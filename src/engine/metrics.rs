//! What a shard counts and holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::histogram::Histogram;
use super::refusals::RefusalCounts;

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
    /// Of the documents here, wherever they are connected.
    pub subscribers: u64,
    /// Subscribers of other shards' documents who are served here.
    pub edge_subscribers: u64,
    /// Connections that have not taken all that they were given.
    pub blocked_connections: u64,
    /// Documents that are being loaded.
    pub document_loads: u64,
    /// Pages that are being read from the store.
    pub catch_up_reads: u64,
    /// Tokens that are being asked about.
    pub inquiries: u64,
    /// How much of each may be held.
    pub limits: Limits,
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
    /// Subscribers that were overtaken.
    pub gaps: u64,
    /// Those, and those who have asked to be put elsewhere.
    pub resyncs: u64,
    /// Sends without the presence that there was, because the subscriber had not had all operations.
    pub presence_shed: u64,
    /// Documents opened by clients that said what they had of them from before.
    pub returns: u64,
    pub backpressure_closes: u64,
    pub refused_connections: u64,
    /// What clients were told that they are refused.
    pub refusals: RefusalCounts,
    pub load_failures: u64,
    pub snapshots: u64,
    /// The operations of each batch that was applied.
    pub batch_operations: Histogram<12>,
    /// Of each of them, in microseconds, from when it came until its Ack went out.
    pub ack_micros: Histogram<25>,
    /// Of each send of operations, in microseconds, from when the store had confirmed the oldest of them.
    pub fanout_micros: Histogram<25>,
    /// How many operations a subscriber was behind when it was sent some.
    pub lag_operations: Histogram<18>,
    /// The bytes of each answer to a client that had to catch up, snapshots included.
    pub sync_bytes: Histogram<28>,
}

/// What a shard may hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    pub connections: u64,
    pub input_bytes: u64,
    pub output_bytes: u64,
    pub document_bytes: u64,
    pub pending_bytes: u64,
    pub document_loads: u64,
    pub catch_up_reads: u64,
    /// 0: nobody is asked.
    pub inquiries: u64,
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

//! What a shard counts and holds.

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
    // Counted.
    pub operations: u64,
    pub duplicates: u64,
    pub acks: u64,
    pub nacks: u64,
    /// Batches and own acknowledgements handed to subscribers from the ring.
    pub deliveries: u64,
    pub presence_updates: u64,
    pub pages: u64,
    pub warnings: u64,
    pub resyncs: u64,
    pub backpressure_closes: u64,
    pub refused_connections: u64,
    pub load_failures: u64,
    pub snapshots: u64,
}

/// Bytes held of each part of the memory budget.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub input_bytes: usize,
    pub output_bytes: usize,
    pub document_bytes: usize,
    /// Snapshots included.
    pub pending_bytes: usize,
    pub snapshot_bytes: usize,
}

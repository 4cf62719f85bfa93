//! What a relay tells of itself at one moment (`GET /overview`): who serves it and who shows it share these types. And what
//! it did between two such moments.

mod ask;
mod change;
mod distribution;
#[cfg(test)]
pub mod example;
mod fetch;
#[cfg(test)]
mod vectors;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::engine::shard::{ConnectionReport, DocumentReport};

pub use ask::{Answer, Patience, ask, shown};
pub use change::{Change, ShardChange};
pub use distribution::{Distribution, Quantiles};
pub use fetch::{fetch, overview};

/// Everything. What is called a counter only rises while the relay runs; whoever shows a rate takes two overviews and
/// divides what lies between them by the difference of their `time_ms`. Two with different `started_at_ms` are of two
/// runs, and have nothing between them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    pub version: Cow<'static, str>,
    /// `ready`, or why not.
    pub state: Cow<'static, str>,
    /// Milliseconds since 1970: of the start, and of this overview.
    pub started_at_ms: u64,
    pub time_ms: u64,
    pub uptime_ms: u64,
    pub process: Process,
    /// By their number. One that does not answer in time is missing, and among the silent.
    pub shards: Vec<Shard>,
    pub store: Store,
    /// The connections that do not take what they are given, furthest behind first, `top` at the most; see
    /// `/connections`.
    pub slowest: Vec<ConnectionReport>,
    /// The documents with the most operations in a second, `top` at the most; see `/documents`.
    pub hottest: Vec<DocumentReport>,
    pub silent_shards: Vec<usize>,
}

/// What the system says of the process. What it does not say is 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Of all threads, since the start.
    pub cpu_seconds: f64,
    pub resident_bytes: u64,
    pub open_descriptors: u64,
    pub open_descriptors_max: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shard {
    pub shard: usize,
    pub connections: u64,
    pub connections_limit: u64,
    /// Of them, those that have not taken all that they were given.
    pub blocked_connections: u64,
    pub documents: u64,
    /// Clients that have them open, each counted for each of its documents.
    pub subscribers: u64,
    /// Counter. Time in which its core worked, in microseconds: of the time between two overviews, this is the busy share.
    pub busy_micros: u64,
    /// Counters.
    pub operations: u64,
    pub acks: u64,
    pub nacks: u64,
    pub deliveries: u64,
    pub presence_updates: u64,
    pub presence_shed: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub sends: u64,
    pub gaps: u64,
    pub resyncs: u64,
    pub backpressure_closes: u64,
    pub stalls: u64,
    /// The longest turn since the start.
    pub longest_turn_micros: u64,
    pub memory: Vec<MemoryPool>,
    /// Of a batch, from when it came until its acknowledgement went out, in microseconds.
    pub ack_micros: Distribution,
    /// Of a send of operations, from when its shard knew the oldest of them to be stored, in microseconds.
    pub fanout_micros: Distribution,
}

/// A part of the memory budget: `input`, `output`, `documents`, `pending`, `posts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemoryPool {
    pub pool: Cow<'static, str>,
    pub used_bytes: u64,
    pub limit_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Store {
    /// Counters.
    pub commits: u64,
    pub operations: u64,
    pub operation_bytes: u64,
    pub table_bytes: u64,
    pub journal_bytes: u64,
    /// The way to an acknowledgement in microseconds: until the committer takes an append, until its commit begins, the
    /// commit, of it the sync, and until the shard takes the answer.
    pub queue_micros: Distribution,
    pub gather_micros: Distribution,
    pub commit_micros: Distribution,
    pub sync_micros: Distribution,
    pub reply_micros: Distribution,
    /// The operations of each commit that had any.
    pub commit_operations: Distribution,
}

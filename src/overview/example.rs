//! Overviews for tests.

use super::{Distribution, Overview, Process, Shard, Store};
use crate::engine::shard::{ConnectionReport, DocumentReport};

/// What a client may call a document, or itself.
const HOSTILE: &str = "<b>\u{1b}[2J\u{202e}\n李🦀e\u{301}";

fn times(counts: [u64; 3]) -> Distribution {
    Distribution {
        bounds: vec![1000, 2000],
        counts: counts.to_vec(),
        sum: 0,
    }
}

/// What it has counted follows from `counted`; so many took long.
pub fn shard(shard: usize, counted: u64, slow: u64) -> Shard {
    Shard {
        shard,
        connections: 7,
        connections_limit: 100,
        blocked_connections: 0,
        documents: 3,
        subscribers: 9,
        busy_micros: counted * 1000,
        operations: counted,
        acks: counted,
        nacks: 0,
        deliveries: counted * 10,
        presence_updates: 0,
        presence_shed: 0,
        bytes_in: counted * 64,
        bytes_out: counted * 640,
        sends: counted,
        gaps: 0,
        resyncs: 0,
        backpressure_closes: 0,
        stalls: slow,
        longest_turn_micros: 5,
        memory: Vec::new(),
        ack_micros: times([counted, slow, 0]),
        fanout_micros: times([0, counted, 0]),
    }
}

pub fn overview(time_ms: u64, shards: Vec<Shard>, commits: u64) -> Overview {
    Overview {
        version: "1.2.3".into(),
        state: "ready".into(),
        started_at_ms: 1_000,
        time_ms,
        uptime_ms: time_ms - 1_000,
        process: Process {
            cpu_seconds: time_ms as f64 / 2_000.0,
            resident_bytes: 0,
            open_descriptors: 0,
            open_descriptors_max: 0,
        },
        shards,
        store: Store {
            commits,
            operations: commits * 8,
            operation_bytes: 0,
            table_bytes: 0,
            journal_bytes: 0,
            queue_micros: times([commits, 0, 0]),
            gather_micros: times([0, commits, 0]),
            commit_micros: times([0, 0, commits]),
            sync_micros: times([0, 0, 0]),
            reply_micros: times([0, 0, 0]),
            commit_operations: times([0, 0, 0]),
        },
        slowest: vec![connection()],
        hottest: vec![document()],
        silent_shards: Vec::new(),
    }
}

fn document() -> DocumentReport {
    DocumentReport {
        shard: 0,
        tenant: "acme".to_owned(),
        id: HOSTILE.repeat(9),
        state: "open".into(),
        kind: "text".to_owned(),
        operations_per_second: 12.5,
        revision: 99,
        durable_revision: 98,
        subscribers: 3,
        edge_subscribers: 0,
        present: 3,
        memory_bytes: 4096,
    }
}

fn connection() -> ConnectionReport {
    ConnectionReport {
        id: "0-17.3".to_owned(),
        shard: 0,
        address: None,
        proxy: None,
        transport: "tcp".into(),
        phase: "ready".into(),
        client_id: u64::MAX,
        user: HOSTILE.to_owned(),
        tenant: String::new(),
        documents: vec![HOSTILE.to_owned()],
        documents_count: 1,
        other_shards: 0,
        lag_operations: 77,
        queued_bytes: 65_536,
        is_blocked: true,
        connected_at_ms: 1,
    }
}

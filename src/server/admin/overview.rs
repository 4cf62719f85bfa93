//! `GET /overview`: what a page shows that looks once a second.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Response;
use hdrhistogram::Histogram as StoreHistogram;
use serde::Deserialize;

use super::ask::{Silent, ask};
use super::exposition::time_bounds;
use super::process;
use super::{Admin, connections, documents, health, json};
use crate::engine::Histogram;
use crate::overview::{Distribution, MemoryPool, Overview, Shard, Store};
use crate::server::metrics::{Pool, Reading};
use crate::store::Disk;

const TOP_DEFAULT: usize = 10;
const TOP_MAX: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverviewQuery {
    top: Option<usize>,
}

/// `GET /overview?top=10`: an [`Overview`], at most 100 of the slowest and hottest.
pub async fn overview(
    State(admin): State<Arc<Admin>>,
    Query(query): Query<OverviewQuery>,
) -> Response {
    let running = admin.relay();
    let top = query.top.unwrap_or(TOP_DEFAULT).min(TOP_MAX);
    let (mut shards, mut silent_shards) = (Vec::new(), Vec::new());
    for (shard, mailbox) in admin.mailboxes.iter().enumerate() {
        match ask(mailbox, |driver, _| driver.reading()).await {
            Ok(reading) => shards.push(Shard::new(shard, &reading)),
            Err(Silent) => silent_shards.push(shard),
        }
    }
    let (slowest, silent) = connections::slowest(&admin, top).await;
    silent_shards.extend(silent);
    let (hottest, _, silent) = documents::hottest(&admin, None, top).await;
    silent_shards.extend(silent);
    silent_shards.sort_unstable();
    silent_shards.dedup();
    json(&Overview {
        version: env!("CARGO_PKG_VERSION").into(),
        state: health::unready(&admin).unwrap_or(health::READY).into(),
        started_at_ms: admin.clock.origin_unix_ms(),
        time_ms: admin.clock.unix_ms(),
        uptime_ms: admin.clock.now().as_millis(),
        process: process::of_self(),
        shards,
        store: Store::new(&running.store.snapshot(), Disk::of(&running.store_path)),
        slowest,
        hottest,
        silent_shards,
    })
}

impl Shard {
    fn new(shard: usize, reading: &Reading) -> Self {
        let (engine, counters) = (&reading.engine, &reading.counters);
        Self {
            shard,
            connections: engine.connections,
            connections_limit: engine.limits.connections,
            blocked_connections: engine.blocked_connections,
            documents: engine.documents,
            subscribers: engine.subscribers,
            busy_micros: counters.busy_micros,
            operations: engine.operations,
            acks: engine.acks,
            nacks: engine.nacks,
            deliveries: engine.deliveries,
            presence_updates: engine.presence_updates,
            presence_shed: engine.presence_shed,
            bytes_in: counters.bytes_in,
            bytes_out: counters.bytes_out,
            sends: counters.sends,
            gaps: engine.gaps,
            resyncs: engine.resyncs,
            backpressure_closes: engine.backpressure_closes,
            stalls: counters.stalls,
            longest_turn_micros: counters.longest_turn_micros,
            memory: reading.pools().map(MemoryPool::new).into(),
            ack_micros: Distribution::of(&engine.ack_micros),
            fanout_micros: Distribution::of(&engine.fanout_micros),
        }
    }
}

impl MemoryPool {
    fn new((pool, used_bytes, limit_bytes): Pool) -> Self {
        Self {
            pool: pool.into(),
            used_bytes,
            limit_bytes,
        }
    }
}

impl Distribution {
    fn of<const BUCKETS: usize>(histogram: &Histogram<BUCKETS>) -> Self {
        Self {
            bounds: (0..BUCKETS)
                .filter_map(Histogram::<BUCKETS>::bound)
                .collect(),
            counts: histogram.counts().to_vec(),
            sum: histogram.sum(),
        }
    }

    fn of_store(histogram: &StoreHistogram<u64>, bounds: impl Iterator<Item = u64>) -> Self {
        let (bounds, mut below) = (Vec::from_iter(bounds), 0);
        let upto = bounds
            .iter()
            .map(|bound| histogram.count_between(0, *bound));
        let counts = upto.chain([histogram.len()]).map(|count| {
            let counted = count - below;
            below = count;
            counted
        });
        Self {
            counts: counts.collect(),
            sum: (histogram.mean() * histogram.len() as f64) as u64,
            bounds,
        }
    }
}

impl Store {
    fn new(store: &crate::store::CountersSnapshot, disk: Disk) -> Self {
        let times = |micros| Distribution::of_store(micros, time_bounds());
        Self {
            commits: store.commits,
            operations: store.operations,
            operation_bytes: store.operation_bytes,
            table_bytes: disk.tables_bytes,
            journal_bytes: disk.journals_bytes,
            queue_micros: times(&store.queue_micros),
            gather_micros: times(&store.gather_micros),
            commit_micros: times(&store.commit_micros),
            sync_micros: times(&store.sync_micros),
            reply_micros: times(&store.reply_micros),
            commit_operations: Distribution::of_store(
                &store.commit_operations,
                (0..=16).map(|power| 1 << power),
            ),
        }
    }
}

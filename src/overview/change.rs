//! What a relay did between two overviews: rates and latencies. The page at the admin address does the same sums
//! (`server/admin/dashboard/change.js`); `vectors` holds both against each other.

use std::ops::Add;

use serde::Serialize;

use super::{Distribution, Overview, Quantiles, Shard};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// How long that was.
    pub seconds: f64,
    /// Processor time of the whole process: 1.5 is one core and a half.
    pub cores: f64,
    /// Of all shards together.
    pub operations_per_second: f64,
    pub deliveries_per_second: f64,
    pub commits_per_second: f64,
    /// `null`: there was no commit.
    pub operations_per_commit: Option<f64>,
    pub ack: Quantiles,
    /// The parts of it; see [`Store`](super::Store).
    pub queue: Quantiles,
    pub gather: Quantiles,
    pub commit: Quantiles,
    pub sync: Quantiles,
    pub reply: Quantiles,
    pub fanout: Quantiles,
    /// Those that are in both overviews.
    pub shards: Vec<ShardChange>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShardChange {
    pub shard: usize,
    /// Of the time of its core: 0 to 1.
    pub busy_share: f64,
    pub operations_per_second: f64,
    pub deliveries_per_second: f64,
    pub bytes_in_per_second: f64,
    pub bytes_out_per_second: f64,
    /// How many there were.
    pub stalls: u64,
    pub ack: Quantiles,
    pub fanout: Quantiles,
}

impl Change {
    /// `None`: they are of two runs, or of one moment.
    pub fn between(older: &Overview, newer: &Overview) -> Option<Self> {
        let ms = newer.time_ms.checked_sub(older.time_ms)?;
        if ms == 0 || older.started_at_ms != newer.started_at_ms {
            return None;
        }
        let seconds = ms as f64 / 1000.0;
        let pairs: Vec<(&Shard, &Shard)> = newer
            .shards
            .iter()
            .filter_map(|shard| Some((older.shard(shard.shard)?, shard)))
            .collect();
        let shards: Vec<ShardChange> = pairs
            .iter()
            .map(|(older, newer)| ShardChange::between(older, newer, seconds))
            .collect();
        // `sum` makes -0 of nothing.
        let of_all = |rate: fn(&ShardChange) -> f64| shards.iter().map(rate).fold(0.0, f64::add);
        let together = |of: fn(&Shard) -> &Distribution| {
            let mut all = Distribution::default();
            for (older, newer) in &pairs {
                all.add(&of(newer).since(of(older)));
            }
            all.quantiles()
        };
        let (store, before) = (&newer.store, &older.store);
        let commits = rise(before.commits, store.commits);
        let operations = rise(before.operations, store.operations);
        Some(Self {
            seconds,
            cores: (newer.process.cpu_seconds - older.process.cpu_seconds).max(0.0) / seconds,
            operations_per_second: of_all(|shard| shard.operations_per_second),
            deliveries_per_second: of_all(|shard| shard.deliveries_per_second),
            commits_per_second: commits / seconds,
            operations_per_commit: (commits > 0.0).then(|| operations / commits),
            ack: together(|shard| &shard.ack_micros),
            queue: store.queue_micros.since(&before.queue_micros).quantiles(),
            gather: store.gather_micros.since(&before.gather_micros).quantiles(),
            commit: store.commit_micros.since(&before.commit_micros).quantiles(),
            sync: store.sync_micros.since(&before.sync_micros).quantiles(),
            reply: store.reply_micros.since(&before.reply_micros).quantiles(),
            fanout: together(|shard| &shard.fanout_micros),
            shards,
        })
    }

    pub fn shard(&self, shard: usize) -> Option<&ShardChange> {
        self.shards.iter().find(|one| one.shard == shard)
    }
}

impl ShardChange {
    fn between(older: &Shard, newer: &Shard, seconds: f64) -> Self {
        let rate = |of: fn(&Shard) -> u64| rise(of(older), of(newer)) / seconds;
        Self {
            shard: newer.shard,
            busy_share: (rate(|shard| shard.busy_micros) / 1e6).min(1.0),
            operations_per_second: rate(|shard| shard.operations),
            deliveries_per_second: rate(|shard| shard.deliveries),
            bytes_in_per_second: rate(|shard| shard.bytes_in),
            bytes_out_per_second: rate(|shard| shard.bytes_out),
            stalls: newer.stalls.saturating_sub(older.stalls),
            ack: newer.ack_micros.since(&older.ack_micros).quantiles(),
            fanout: newer.fanout_micros.since(&older.fanout_micros).quantiles(),
        }
    }
}

impl Overview {
    pub fn shard(&self, shard: usize) -> Option<&Shard> {
        self.shards.iter().find(|one| one.shard == shard)
    }
}

/// How much a counter has risen.
fn rise(older: u64, newer: u64) -> f64 {
    newer.saturating_sub(older) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overview::example::{overview, shard};

    #[test]
    fn rates_and_latencies() {
        let older = overview(10_000, vec![shard(0, 1000, 0), shard(1, 500, 5)], 100);
        let newer = overview(12_000, vec![shard(0, 2000, 1000), shard(1, 500, 5)], 300);
        let change = Change::between(&older, &newer).expect("they are of one run");
        assert_eq!(change.seconds, 2.0);
        assert_eq!(change.cores, 0.5);
        assert_eq!(change.operations_per_second, 500.0);
        assert_eq!(change.deliveries_per_second, 5000.0);
        assert_eq!(change.commits_per_second, 100.0);
        assert_eq!(change.operations_per_commit, Some(8.0));
        assert_eq!(change.ack.p50_ms, Some(1.0));
        assert_eq!(change.ack.p99_ms, Some(1.98));
        assert_eq!(change.queue.p50_ms, Some(0.5));
        assert_eq!(change.gather.p50_ms, Some(1.5));
        assert_eq!(change.commit.p50_ms, Some(2.0));
        assert_eq!(change.sync, Quantiles::default());
        assert_eq!(change.fanout.p50_ms, Some(1.5));
        let [busy, idle] = &change.shards[..] else {
            panic!("there are two: {change:?}");
        };
        assert_eq!(busy.busy_share, 0.5);
        assert_eq!(busy.bytes_in_per_second, 32_000.0);
        assert_eq!(busy.bytes_out_per_second, 320_000.0);
        assert_eq!(busy.stalls, 1000);
        assert_eq!((idle.busy_share, idle.operations_per_second), (0.0, 0.0));
        assert_eq!(idle.ack, Quantiles::default());
    }

    #[test]
    fn a_shard_that_was_silent_is_left_out() {
        let older = overview(10_000, vec![shard(1, 500, 0)], 0);
        let newer = overview(11_000, vec![shard(0, 900, 0), shard(1, 600, 0)], 0);
        let change = Change::between(&older, &newer).expect("they are of one run");
        assert_eq!(change.operations_per_second, 100.0);
        assert!(change.shard(0).is_none());
        assert_eq!(change.operations_per_commit, None);
    }

    #[test]
    fn there_is_nothing_between_two_runs() {
        let older = overview(10_000, vec![shard(0, 1000, 0)], 100);
        let restarted = Overview {
            started_at_ms: 11_000,
            ..overview(12_000, vec![shard(0, 1, 0)], 1)
        };
        assert_eq!(Change::between(&older, &restarted), None);
        assert_eq!(Change::between(&older, &older), None);
    }

    #[test]
    fn who_shows_it_reads_what_is_served() {
        let served = overview(10_000, vec![shard(0, 1000, 0)], 100);
        let text = serde_json::to_string(&served).expect("it is JSON");
        let read: Overview = serde_json::from_str(&text).expect("it is an overview");
        assert_eq!(read, served);
    }
}

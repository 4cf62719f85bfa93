//! What lies between overviews, for whoever does these sums in another language: the page at the admin address.
//!
//! The vectors are in `tests/data/overview_changes.json`. `CORELAY_WRITE_VECTORS=1` writes them anew.

use std::path::Path;

use serde_json::json;

use super::example;
use super::{Change, Distribution, Overview, Shard};

const RANDOM_CASES: u64 = 12;

#[test]
fn the_vectors_are_what_the_code_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/overview_changes.json");
    let vectors = vectors();
    if std::env::var_os("CORELAY_WRITE_VECTORS").is_some() {
        std::fs::write(&path, &vectors).expect("the vectors can be written");
    }
    let committed = std::fs::read_to_string(&path).expect("the vectors are there");
    assert!(
        committed == vectors,
        "write them anew with CORELAY_WRITE_VECTORS=1"
    );
}

/// One case a line.
fn vectors() -> String {
    let cases: Vec<String> = cases()
        .into_iter()
        .map(|(name, older, newer)| {
            let change = Change::between(&older, &newer);
            let case = json!({"name": name, "older": older, "newer": newer, "change": change});
            case.to_string()
        })
        .collect();
    format!("[\n{}\n]\n", cases.join(",\n"))
}

fn cases() -> Vec<(String, Overview, Overview)> {
    let shard = example::shard;
    let start = overview(10_000, vec![shard(0, 1000, 3), shard(1, 500, 5)], 100);
    let later = |shards, commits| overview(12_000, shards, commits);
    let restarted = Overview {
        started_at_ms: 11_000,
        ..later(vec![shard(0, 1, 0)], 1)
    };
    let busy = later(vec![shard(0, 9000, 4), shard(1, 501, 5)], 317);
    let mut cases = vec![
        ("two shards", start.clone(), busy.clone()),
        ("a restart", start.clone(), restarted),
        ("one moment", start.clone(), start.clone()),
        ("a clock that was set back", busy.clone(), start.clone()),
        (
            "nothing to do",
            start.clone(),
            later(start.shards.clone(), 100),
        ),
        (
            "counters that fell",
            start.clone(),
            later(vec![shard(0, 400, 0), shard(1, 600, 9)], 90),
        ),
        (
            "a shard that was silent",
            overview(10_000, vec![shard(1, 500, 0)], 0),
            busy.clone(),
        ),
        (
            "no shard in both",
            overview(10_000, vec![shard(1, 500, 0)], 0),
            later(vec![shard(0, 900, 0)], 7),
        ),
        ("a third of a second", start.clone(), {
            overview(10_333, vec![shard(0, 1007, 4), shard(1, 511, 5)], 103)
        }),
    ];
    for (name, bounds, before, after) in [
        ("no buckets", &[][..], &[][..], &[][..]),
        ("no buckets before", &[500, 900], &[], &[1, 2, 0]),
        ("one bucket", &[], &[4], &[9]),
        ("one bound, and all below it", &[700], &[1, 1], &[8, 1]),
        ("one bound, and all above it", &[700], &[1, 1], &[1, 5]),
        ("one value", &[10, 20, 50], &[7, 7, 7, 7], &[7, 7, 8, 7]),
        ("empty buckets between", &[1, 3, 9], &[0; 4], &[1, 0, 1, 0]),
    ] {
        let of = |time_ms, counts: &[u64]| {
            let distribution = Distribution {
                bounds: bounds.to_vec(),
                counts: counts.to_vec(),
                sum: 0,
            };
            with_times(overview(time_ms, vec![shard(0, 5, 0)], 1), &mut || {
                distribution.clone()
            })
        };
        cases.push((name, of(10_000, before), of(11_000, after)));
    }
    let mut cases: Vec<_> = cases
        .into_iter()
        .map(|(name, older, newer)| (name.to_owned(), older, newer))
        .collect();
    for seed in 0..RANDOM_CASES {
        let random = &mut Random(seed);
        let (older, newer) = (random.overview(20_000), random.overview(21_000));
        cases.push((format!("by chance, {seed}"), older, newer));
    }
    cases
}

/// Without names, which no sums are about.
fn overview(time_ms: u64, shards: Vec<Shard>, commits: u64) -> Overview {
    Overview {
        slowest: Vec::new(),
        hottest: Vec::new(),
        ..example::overview(time_ms, shards, commits)
    }
}

/// Every time of it is one of `next`.
fn with_times(mut overview: Overview, next: &mut impl FnMut() -> Distribution) -> Overview {
    for shard in &mut overview.shards {
        shard.ack_micros = next();
        shard.fanout_micros = next();
    }
    let store = &mut overview.store;
    for times in [
        &mut store.queue_micros,
        &mut store.gather_micros,
        &mut store.commit_micros,
        &mut store.sync_micros,
        &mut store.reply_micros,
    ] {
        *times = next();
    }
    overview
}

/// A linear congruential generator: enough for figures without a pattern.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = (self.0)
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn overview(&mut self, time_ms: u64) -> Overview {
        let shards = (0..3).map(|number| {
            let (counted, slow) = (self.below(100_000), self.below(100));
            example::shard(number, counted, slow)
        });
        let shards = shards.collect();
        let overview = overview(time_ms + self.below(1000), shards, self.below(1000));
        with_times(overview, &mut || Distribution {
            bounds: vec![10, 15, 20, 30, 50, 70, 100],
            counts: (0..8).map(|_| self.below(1000)).collect(),
            sum: 0,
        })
    }
}

//! What the store has counted, and what it has on disk.

use hdrhistogram::Histogram;

use super::page::{Kind, Page, Value, counter, gauge};
use crate::server::admin::Running;
use crate::store::Disk;

pub fn tell(page: &mut Page, running: &Running) {
    let store = running.store.snapshot();
    let commit_age = running.store.commit_age().unwrap_or_default();
    let disk = Disk::of(&running.store_path);
    let commit_age = u64::try_from(commit_age.as_micros()).unwrap_or(u64::MAX);
    page.numbers(
        "corelay_store_",
        [
            counter("commits", "Commits of the store.", store.commits),
            counter("operations", "Operations stored.", store.operations),
            counter(
                "operation_bytes",
                "The bytes of their records.",
                store.operation_bytes,
            ),
            counter("snapshots", "Snapshots in place.", store.snapshots),
            counter(
                "snapshot_bytes",
                "The bytes of all that were asked for.",
                store.snapshot_bytes,
            ),
            counter("reads", "Loads and reads answered.", store.reads),
            (
                "commit_age_seconds",
                "How long the commit that is under way has taken so far.",
                Kind::Gauge,
                Value::Micros(commit_age),
            ),
            gauge("table_bytes", "Tables on disk.", disk.tables_bytes),
            gauge("journal_bytes", "Journals on disk.", disk.journals_bytes),
        ],
    );
    if let Some(room) = running.room.read() {
        page.numbers(
            "corelay_store_disk_",
            [
                gauge(
                    "free_bytes",
                    "What the file system of the store has left for the relay, as of the last ten seconds.",
                    room.free_bytes,
                ),
                gauge("bytes", "How large it is.", room.total_bytes),
            ],
        );
    }
    let times = [
        (
            "queue",
            "Of an append, from its arrival at the shard until the committer takes it.",
            &store.queue_micros,
        ),
        (
            "gather",
            "Of an append, from then until its commit begins.",
            &store.gather_micros,
        ),
        (
            "commit",
            "A commit, from its start to its answer.",
            &store.commit_micros,
        ),
        (
            "sync",
            "The part of it that waits for the disk.",
            &store.sync_micros,
        ),
        (
            "reply",
            "An answer, until its shard takes it.",
            &store.reply_micros,
        ),
    ];
    for (name, help, micros) in times {
        let name = format!("corelay_store_{name}_seconds");
        histogram(page, &name, help, micros, time_bounds(), 1e6);
    }
    histogram(
        page,
        "corelay_store_commit_operations",
        "The operations of each commit that had any.",
        &store.commit_operations,
        (0..=16).map(|power| 1 << power),
        1.0,
    );
}

fn histogram(
    page: &mut Page,
    name: &str,
    help: &str,
    counted: &Histogram<u64>,
    bounds: impl Iterator<Item = u64>,
    scale: f64,
) {
    page.family(name, Kind::Histogram, help);
    let finite = bounds.map(|bound| (bound as f64 / scale, counted.count_between(0, bound)));
    let buckets = finite.chain([(f64::INFINITY, counted.len())]);
    let sum = counted.mean() * counted.len() as f64 / scale;
    page.histogram(name, "", buckets, sum);
}

/// Bounds of the buckets of the store's times, in microseconds: so many in each decade, from 10 on.
pub fn time_bounds() -> impl Iterator<Item = u64> {
    const BOUNDS_PER_DECADE: [u64; 6] = [10, 15, 20, 30, 50, 70];
    const DECADES: u32 = 6;
    (0..DECADES).flat_map(|decade| BOUNDS_PER_DECADE.map(|bound| bound * 10_u64.pow(decade)))
}

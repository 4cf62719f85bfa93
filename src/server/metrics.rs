//! What the drivers count, and how the control thread gets to see it.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::engine::shard::Metrics;
use crate::store::{CountersSnapshot, Disk};

/// What a shard's driver has counted since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted, on any listener.
    pub accepted: u64,
    /// Handshakes answered with anything but a WebSocket, and connections closed because there are too many.
    pub refused: u64,
    /// WebSockets opened.
    pub upgraded: u64,
    /// Event streams opened.
    pub streams: u64,
    /// What was posted to them and handled.
    pub posts: u64,
    /// Requests given to the control thread.
    pub requests: u64,
    /// Connections given to the shard of their document.
    pub handed_off: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub sends: u64,
    pub turns: u64,
    /// Those that took longer than `shards.stall_after`.
    pub stalls: u64,
    pub longest_turn_micros: u64,
    pub parks: u64,
}

impl Counters {
    pub fn count_turn(&mut self, took: Duration, stall_after: Duration) {
        self.turns += 1;
        self.stalls += u64::from(took > stall_after);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.longest_turn_micros = self.longest_turn_micros.max(micros);
    }
}

/// What one shard has published last. Its driver writes it about once a second, and the lock is held for no longer
/// than a copy takes.
#[derive(Debug, Default)]
pub struct Gauge {
    reading: Mutex<Reading>,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    pub engine: Metrics,
    pub counters: Counters,
}

impl Gauge {
    pub fn publish(&self, engine: Metrics, counters: Counters) {
        *self.reading.lock().unwrap_or_else(PoisonError::into_inner) = Reading { engine, counters };
    }

    pub fn read(&self) -> Reading {
        *self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything that there is to see of the process.
pub struct Observed {
    pub gauges: Vec<Arc<Gauge>>,
    pub store: Arc<crate::store::Counters>,
    /// Where it is on disk.
    pub store_path: PathBuf,
}

/// The name of a number, what it means, and whether it only rises.
type Described = (&'static str, &'static str, Kind, u64);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
}

impl Reading {
    /// Every number of a shard. A field that is forgotten here does not compile.
    fn described(&self) -> Vec<Described> {
        let Metrics {
            connections,
            documents,
            input_bytes,
            output_bytes,
            document_bytes,
            pending_bytes,
            edge_subscribers,
            operations,
            duplicates,
            acks,
            nacks,
            deliveries,
            presence_updates,
            edge_events,
            pages,
            warnings,
            resyncs,
            backpressure_closes,
            refused_connections,
            load_failures,
            snapshots,
        } = self.engine;
        let Counters {
            accepted,
            refused,
            upgraded,
            streams,
            posts,
            requests,
            handed_off,
            bytes_in,
            bytes_out,
            sends,
            turns,
            stalls,
            longest_turn_micros,
            parks,
        } = self.counters;
        vec![
            gauge("connections", "Connections that are open.", connections),
            gauge("documents", "Documents in memory.", documents),
            gauge("input_bytes", "Pieces of frames.", input_bytes),
            gauge("output_bytes", "What sockets have not taken.", output_bytes),
            gauge("document_bytes", "Memory of documents.", document_bytes),
            gauge("pending_bytes", "Bytes on the way to disk.", pending_bytes),
            gauge(
                "edge_subscribers",
                "Subscribers of other cores' documents who are served here.",
                edge_subscribers,
            ),
            counter("operations", "Operations applied.", operations),
            counter("duplicates", "Operations seen again.", duplicates),
            counter("acks", "Batches acknowledged.", acks),
            counter("nacks", "Batches refused.", nacks),
            counter("deliveries", "Batches given to subscribers.", deliveries),
            counter("presence_updates", "Presences taken.", presence_updates),
            counter(
                "edge_events",
                "Batches and presences that came for them.",
                edge_events,
            ),
            counter("pages", "Pages of catching up.", pages),
            counter("warnings", "Warnings of falling behind.", warnings),
            counter("resyncs", "Subscribers put elsewhere.", resyncs),
            counter(
                "backpressure_closes",
                "Stalled clients.",
                backpressure_closes,
            ),
            counter(
                "full_refusals",
                "Connections too many.",
                refused_connections,
            ),
            counter("load_failures", "Documents not read.", load_failures),
            counter("snapshots", "Snapshots stored.", snapshots),
            counter("accepted", "Connections accepted.", accepted),
            counter("refused", "Connections refused by the shell.", refused),
            counter("upgraded", "WebSockets opened.", upgraded),
            counter("streams", "Event streams opened.", streams),
            counter("posts", "Posts to event streams.", posts),
            counter(
                "requests",
                "HTTP requests given to the control thread.",
                requests,
            ),
            counter("handed_off", "Connections moved to their core.", handed_off),
            counter("received_bytes", "Bytes read.", bytes_in),
            counter("sent_bytes", "Bytes written.", bytes_out),
            counter("sends", "System calls that wrote.", sends),
            counter("turns", "Turns of the driver.", turns),
            counter(
                "stalls",
                "Turns that took longer than shards.stall_after.",
                stalls,
            ),
            gauge(
                "longest_turn_microseconds",
                "The longest turn since the start.",
                longest_turn_micros,
            ),
            counter("parks", "Times that the driver slept.", parks),
        ]
    }
}

fn counter(name: &'static str, help: &'static str, value: u64) -> Described {
    (name, help, Kind::Counter, value)
}

fn gauge(name: &'static str, help: &'static str, value: u64) -> Described {
    (name, help, Kind::Gauge, value)
}

/// The text format of Prometheus: one series per shard, which it can add up.
impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shards: Vec<_> = self
            .gauges
            .iter()
            .map(|gauge| gauge.read().described())
            .collect();
        let Some(first) = shards.first() else {
            return Ok(());
        };
        for (index, (name, help, kind, _)) in first.iter().enumerate() {
            let (kind, suffix) = match kind {
                Kind::Counter => ("counter", "_total"),
                Kind::Gauge => ("gauge", ""),
            };
            writeln!(f, "# HELP corelay_{name}{suffix} {help}")?;
            writeln!(f, "# TYPE corelay_{name}{suffix} {kind}")?;
            for (shard, numbers) in shards.iter().enumerate() {
                writeln!(
                    f,
                    "corelay_{name}{suffix}{{shard=\"{shard}\"}} {}",
                    numbers[index].3
                )?;
            }
        }
        write_store(f, &self.store.snapshot())?;
        write_disk(f, Disk::of(&self.store_path))?;
        writeln!(
            f,
            "# HELP process_resident_memory_bytes Memory of the process."
        )?;
        writeln!(f, "# TYPE process_resident_memory_bytes gauge")?;
        writeln!(f, "process_resident_memory_bytes {}", resident_bytes())
    }
}

fn write_store(f: &mut fmt::Formatter<'_>, store: &CountersSnapshot) -> fmt::Result {
    let counters = [
        counter("store_commits", "Commits of the store.", store.commits),
        counter("store_operations", "Operations stored.", store.operations),
        counter(
            "store_operation_bytes",
            "Their bytes.",
            store.operation_bytes,
        ),
        counter("store_snapshots", "Snapshots in place.", store.snapshots),
        counter("store_snapshot_bytes", "Their bytes.", store.snapshot_bytes),
        counter("store_reads", "Loads and reads answered.", store.reads),
    ];
    for (name, help, _, value) in counters {
        writeln!(f, "# HELP corelay_{name}_total {help}")?;
        writeln!(f, "# TYPE corelay_{name}_total counter")?;
        writeln!(f, "corelay_{name}_total {value}")?;
    }
    let times = [
        (
            "store_queue",
            "Of an append, from its arrival at the shard until the committer takes it.",
            &store.queue_micros,
        ),
        (
            "store_gather",
            "Of an append, from then until its commit begins.",
            &store.gather_micros,
        ),
        (
            "store_commit",
            "A commit, from its start to its answer.",
            &store.commit_micros,
        ),
        (
            "store_sync",
            "The part of it that waits for the disk.",
            &store.sync_micros,
        ),
        (
            "store_reply",
            "An answer, until its shard takes it.",
            &store.reply_micros,
        ),
    ];
    for (name, help, micros) in times {
        write_histogram(f, name, help, micros)?;
    }
    Ok(())
}

/// Bounds of the buckets of times, in microseconds: so many in each decade, from 10 on.
const BOUNDS_PER_DECADE: [u64; 6] = [10, 15, 20, 30, 50, 70];
const DECADES: u32 = 6;

fn write_histogram(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    help: &str,
    micros: &Histogram<u64>,
) -> fmt::Result {
    writeln!(f, "# HELP corelay_{name}_seconds {help}")?;
    writeln!(f, "# TYPE corelay_{name}_seconds histogram")?;
    for bound in (0..DECADES).flat_map(|decade| BOUNDS_PER_DECADE.map(|it| it * 10_u64.pow(decade)))
    {
        let count = micros.count_between(0, bound);
        let seconds = bound as f64 / 1e6;
        writeln!(
            f,
            "corelay_{name}_seconds_bucket{{le=\"{seconds}\"}} {count}"
        )?;
    }
    let (sum, count) = (micros.mean() * micros.len() as f64 / 1e6, micros.len());
    writeln!(f, "corelay_{name}_seconds_bucket{{le=\"+Inf\"}} {count}")?;
    writeln!(f, "corelay_{name}_seconds_sum {sum}")?;
    writeln!(f, "corelay_{name}_seconds_count {count}")
}

fn write_disk(f: &mut fmt::Formatter<'_>, disk: Disk) -> fmt::Result {
    let gauges = [
        gauge("store_table_bytes", "Tables on disk.", disk.tables_bytes),
        gauge(
            "store_journal_bytes",
            "Journals on disk.",
            disk.journals_bytes,
        ),
    ];
    for (name, help, _, value) in gauges {
        writeln!(f, "# HELP corelay_{name} {help}")?;
        writeln!(f, "# TYPE corelay_{name} gauge")?;
        writeln!(f, "corelay_{name} {value}")?;
    }
    Ok(())
}

/// 0 where the system does not say.
fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages
        .as_deref()
        .and_then(|text| text.split(' ').nth(1)?.parse().ok());
    pages.unwrap_or(0_usize) * rustix::param::page_size()
}

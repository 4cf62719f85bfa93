//! What the drivers count, and how the control thread gets to see it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::shard::Metrics;
use crate::store::CountersSnapshot;

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
    /// Connections given to the shard of their document.
    pub handed_off: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub sends: u64,
    pub turns: u64,
    pub parks: u64,
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
            handed_off,
            bytes_in,
            bytes_out,
            sends,
            turns,
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
            counter("handed_off", "Connections moved to their core.", handed_off),
            counter("received_bytes", "Bytes read.", bytes_in),
            counter("sent_bytes", "Bytes written.", bytes_out),
            counter("sends", "System calls that wrote.", sends),
            counter("turns", "Turns of the driver.", turns),
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
            "store_commit",
            "A batch, from its start to its answer.",
            &store.commit_micros,
        ),
        (
            "store_sync",
            "The part of it that waits for the disk.",
            &store.sync_micros,
        ),
    ];
    for (name, help, micros) in times {
        writeln!(f, "# HELP corelay_{name}_seconds {help}")?;
        writeln!(f, "# TYPE corelay_{name}_seconds summary")?;
        for quantile in [0.5, 0.9, 0.99, 0.999, 1.0] {
            let seconds = micros.value_at_quantile(quantile) as f64 / 1e6;
            writeln!(
                f,
                "corelay_{name}_seconds{{quantile=\"{quantile}\"}} {seconds}"
            )?;
        }
        writeln!(f, "corelay_{name}_seconds_count {}", micros.len())?;
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

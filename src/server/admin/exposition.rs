//! `GET /metrics`: everything that is counted, in the text format of Prometheus, or in that of OpenMetrics for who asks
//! for it.
//!
//! The text is made by hand: what is counted are plain numbers of each shard, which are copied once a second, and no
//! library for metrics keeps those without atomics of its own. Series have no label but the shard's number, the name of
//! a memory pool (one that no shard has of its own has no shard), the code of a refusal, and `le`, so that there are as
//! many on the first day as on the last, whatever documents, users and connections there are.

use std::fmt::{Display, Write as _};
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use hdrhistogram::Histogram as StoreHistogram;

use super::process;
use super::{Admin, Running, health};
use crate::config::{LOG_BYTES_MAX, REQUESTS_MAX};
use crate::engine::shard::Metrics;
use crate::engine::{Histogram, RefusalCounts};
use crate::server::log;
use crate::server::metrics::{Counters, Pool, Reading};
use crate::server::notify::{self, Counts};
use crate::store::Disk;

pub async fn metrics(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    let accepted = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok());
    let is_open = accepted.is_some_and(|kinds| kinds.contains("application/openmetrics-text"));
    let kind = match is_open {
        true => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        false => "text/plain; version=0.0.4; charset=utf-8",
    };
    let mut page = Page::new(is_open);
    page.relay(&admin);
    if let Some(running) = admin.running() {
        page.shards(running);
        page.beside_shards(running);
        page.store(running);
        if let Some(notices) = &running.notices {
            page.notices(notices, admin.clock.unix_ms());
        }
    }
    ([(header::CONTENT_TYPE, kind)], page.finish()).into_response()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A number of a shard: its name without `corelay_` and without what its kind adds, what it means, and what it is.
type Described = (&'static str, &'static str, Kind, Value);

#[derive(Clone, Copy)]
enum Value {
    Whole(u64),
    /// In microseconds; told in seconds.
    Micros(u64),
}

impl Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(value) => value.fmt(f),
            Self::Micros(micros) => seconds(*micros).fmt(f),
        }
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn counter(name: &'static str, help: &'static str, value: u64) -> Described {
    (name, help, Kind::Counter, Value::Whole(value))
}

fn gauge(name: &'static str, help: &'static str, value: u64) -> Described {
    (name, help, Kind::Gauge, Value::Whole(value))
}

/// Every number of a shard that is neither a pool nor a histogram. A field that is forgotten here does not compile.
fn described(reading: &Reading) -> Vec<Described> {
    let Metrics {
        connections,
        documents,
        input_bytes: _,
        output_bytes: _,
        document_bytes: _,
        pending_bytes: _,
        subscribers,
        edge_subscribers,
        blocked_connections,
        document_loads,
        catch_up_reads,
        inquiries,
        limits,
        operations,
        duplicates,
        acks,
        nacks,
        deliveries,
        presence_updates,
        edge_events,
        pages,
        warnings,
        gaps,
        resyncs,
        presence_shed,
        returns,
        backpressure_closes,
        refused_connections,
        refusals: _,
        load_failures,
        snapshots,
        batch_operations: _,
        ack_micros: _,
        fanout_micros: _,
        lag_operations: _,
        sync_bytes: _,
    } = reading.engine;
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
        busy_micros,
        parks,
    } = reading.counters;
    vec![
        gauge("connections", "Connections that are open.", connections),
        gauge(
            "connections_limit",
            "How many there may be.",
            limits.connections,
        ),
        gauge(
            "blocked_connections",
            "Connections that have not taken all that they were given.",
            blocked_connections,
        ),
        gauge(
            "requests_held",
            "Connections with an HTTP request that is going on, or kept for the next one.",
            reading.requests_held,
        ),
        gauge(
            "requests_held_limit",
            "How many there may be.",
            REQUESTS_MAX as u64,
        ),
        gauge("documents", "Documents in memory.", documents),
        gauge(
            "document_loads",
            "Documents that are being read from the store; further ones wait.",
            document_loads,
        ),
        gauge(
            "document_loads_limit",
            "How many there may be.",
            limits.document_loads,
        ),
        gauge(
            "catch_up_reads",
            "Pages that are being read from the store; further ones wait.",
            catch_up_reads,
        ),
        gauge(
            "catch_up_reads_limit",
            "How many there may be.",
            limits.catch_up_reads,
        ),
        gauge(
            "inquiries",
            "Tokens that the backend is being asked about.",
            inquiries,
        ),
        gauge(
            "inquiries_limit",
            "How many there may be; 0: there is no backend.",
            limits.inquiries,
        ),
        gauge(
            "subscribers",
            "Clients that have them open, each counted for each of its documents.",
            subscribers,
        ),
        gauge(
            "edge_subscribers",
            "Subscribers of other shards' documents who are served here.",
            edge_subscribers,
        ),
        counter("operations", "Operations applied.", operations),
        counter(
            "duplicates",
            "Batches of operations seen again.",
            duplicates,
        ),
        counter("acks", "Batches acknowledged.", acks),
        counter("nacks", "Batches refused.", nacks),
        counter(
            "deliveries",
            "Batches given to subscribers, acknowledgements included.",
            deliveries,
        ),
        counter(
            "presence_updates",
            "Changes of presence that are passed on.",
            presence_updates,
        ),
        counter(
            "presence_shed",
            "Sends without the presence that there was, to subscribers who had not had all operations.",
            presence_shed,
        ),
        counter(
            "edge_events",
            "Batches and presences of other shards' documents that came for all of their subscribers here.",
            edge_events,
        ),
        counter(
            "returns",
            "Documents opened by clients that said what they had of them from before.",
            returns,
        ),
        counter("pages", "Pages of catching up.", pages),
        counter("warnings", "Warnings of falling behind.", warnings),
        counter(
            "gaps",
            "Subscribers that were overtaken in a document's ring.",
            gaps,
        ),
        counter(
            "resyncs",
            "Subscribers put to another place, because they were overtaken or have asked.",
            resyncs,
        ),
        counter(
            "backpressure_closes",
            "Connections closed because they took nothing for too long.",
            backpressure_closes,
        ),
        counter(
            "full_refusals",
            "Connections refused because the shard has as many as it may, or is stopping.",
            refused_connections,
        ),
        counter(
            "load_failures",
            "Documents that could not be read.",
            load_failures,
        ),
        counter("snapshots", "Snapshots asked for.", snapshots),
        counter("accepted", "Connections accepted.", accepted),
        counter(
            "refused",
            "Connections closed before they were anybody's.",
            refused,
        ),
        counter("upgraded", "WebSockets opened.", upgraded),
        counter("streams", "Event streams opened.", streams),
        counter("posts", "Posts to event streams.", posts),
        counter(
            "requests",
            "HTTP requests given to the control thread.",
            requests,
        ),
        counter(
            "handed_off",
            "Connections moved to their document's shard.",
            handed_off,
        ),
        counter("received_bytes", "Bytes read from clients.", bytes_in),
        counter("sent_bytes", "Bytes written to clients.", bytes_out),
        counter("sends", "System calls that wrote.", sends),
        counter("turns", "Turns of the executor's one task.", turns),
        counter(
            "stalls",
            "Turns that took longer than shards.stall_after.",
            stalls,
        ),
        (
            "longest_turn_seconds",
            "The longest turn since the start.",
            Kind::Gauge,
            Value::Micros(longest_turn_micros),
        ),
        (
            "busy_seconds",
            "Time in turns; the rest is time without work.",
            Kind::Counter,
            Value::Micros(busy_micros),
        ),
        counter("parks", "Times that the executor slept.", parks),
    ]
}

/// The text, as far as it is written.
struct Page {
    is_open: bool,
    text: String,
}

impl Page {
    fn new(is_open: bool) -> Self {
        Self {
            is_open,
            text: String::new(),
        }
    }

    fn finish(mut self) -> String {
        if self.is_open {
            self.text += "# EOF\n";
        }
        self.text
    }

    /// What the following samples are. OpenMetrics has the name of a counter without its `_total` there.
    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let (kind, suffix) = match kind {
            Kind::Counter if self.is_open => ("counter", ""),
            Kind::Counter => ("counter", "_total"),
            Kind::Gauge => ("gauge", ""),
            Kind::Histogram => ("histogram", ""),
        };
        self.line(format_args!("# HELP {name}{suffix} {help}"));
        self.line(format_args!("# TYPE {name}{suffix} {kind}"));
    }

    fn line(&mut self, line: impl Display) {
        writeln!(self.text, "{line}").expect("a string takes everything");
    }

    fn sample(&mut self, name: &str, kind: Kind, labels: &str, value: impl Display) {
        let suffix = if kind == Kind::Counter { "_total" } else { "" };
        self.line(format_args!("{name}{suffix}{labels} {value}"));
    }

    fn alone(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, kind, "", value);
    }

    fn relay(&mut self, admin: &Admin) {
        let process = process::of_self();
        let version = env!("CARGO_PKG_VERSION");
        self.family("corelay_build_info", Kind::Gauge, "What runs here: 1.");
        let labels = format!("{{version=\"{version}\"}}");
        self.sample("corelay_build_info", Kind::Gauge, &labels, 1);
        self.alone(
            "corelay_ready",
            Kind::Gauge,
            "1 if the relay takes clients, otherwise 0.",
            u8::from(health::unready(admin).is_none()),
        );
        self.alone(
            "process_cpu_seconds",
            Kind::Counter,
            "Processor time of all threads.",
            process.cpu_seconds,
        );
        self.alone(
            "process_resident_memory_bytes",
            Kind::Gauge,
            "Memory of the process.",
            process.resident_bytes,
        );
        self.alone(
            "process_open_fds",
            Kind::Gauge,
            "Descriptors that are open.",
            process.open_descriptors,
        );
        self.alone(
            "process_max_fds",
            Kind::Gauge,
            "How many there may be.",
            process.open_descriptors_max,
        );
        self.alone(
            "process_start_time_seconds",
            Kind::Gauge,
            "When the process began, in seconds since 1970.",
            admin.clock.origin_unix_ms() as f64 / 1e3,
        );
    }

    /// What the control thread and the log hold.
    fn beside_shards(&mut self, running: &Running) {
        let (requests, requests_max) = running.web.requests();
        let (revocations, revocations_max) = running.revocations.read();
        let numbers = [
            gauge("http_requests", "HTTP requests being answered.", requests),
            gauge(
                "http_requests_limit",
                "How many there may be.",
                requests_max,
            ),
            gauge(
                "revocations",
                "Revocations that are remembered.",
                revocations,
            ),
            gauge(
                "revocations_limit",
                "How many there may be; 0: nobody is asked for a token.",
                revocations_max,
            ),
            counter(
                "log_dropped_lines",
                "Lines of the log that are dropped because it is not read fast enough.",
                log::usage().dropped,
            ),
        ];
        for (name, help, kind, value) in numbers {
            self.alone(&format!("corelay_{name}"), kind, help, value);
        }
    }

    fn shards(&mut self, running: &Running) {
        let readings: Vec<_> = running.gauges.iter().map(|gauge| gauge.read()).collect();
        let numbers: Vec<_> = readings.iter().map(described).collect();
        for index in 0..numbers[0].len() {
            let (name, help, kind, _) = numbers[0][index];
            let name = format!("corelay_{name}");
            self.family(&name, kind, help);
            for (shard, numbers) in numbers.iter().enumerate() {
                let labels = format!("{{shard=\"{shard}\"}}");
                self.sample(&name, kind, &labels, numbers[index].3);
            }
        }
        self.pools(&readings, running);
        self.refusals(&readings, running.refusals.counts());
        self.histograms(
            "batch_operations",
            "The operations of each batch that was applied.",
            &readings,
            |reading| reading.engine.batch_operations,
            |count| count as f64,
        );
        self.histograms(
            "ack_seconds",
            "Of a batch, from when it came until its acknowledgement went out.",
            &readings,
            |reading| reading.engine.ack_micros,
            seconds,
        );
        self.histograms(
            "fanout_seconds",
            "Of a send of operations, from when its shard knew the oldest of them to be stored.",
            &readings,
            |reading| reading.engine.fanout_micros,
            seconds,
        );
        self.histograms(
            "lag_operations",
            "How many operations a subscriber was behind in a document's ring when it was sent some.",
            &readings,
            |reading| reading.engine.lag_operations,
            |count| count as f64,
        );
        self.histograms(
            "sync_bytes",
            "The bytes that a client was sent to catch up, snapshots included.",
            &readings,
            |reading| reading.engine.sync_bytes,
            |bytes| bytes as f64,
        );
    }

    fn pools(&mut self, readings: &[Reading], running: &Running) {
        let (http_bytes, http_bytes_max) = running.web.memory();
        let log_bytes = log::usage().held_bytes;
        let of_all: [Pool; 2] = [
            ("http", http_bytes, http_bytes_max),
            ("log", log_bytes, LOG_BYTES_MAX as u64),
        ];
        let families = [
            (
                "corelay_memory_used_bytes",
                "What a pool of the memory budget holds.",
            ),
            ("corelay_memory_limit_bytes", "What it may hold."),
        ];
        for (index, (family, help)) in families.into_iter().enumerate() {
            self.family(family, Kind::Gauge, help);
            for (shard, reading) in readings.iter().enumerate() {
                for (pool, used, limit) in reading.pools() {
                    let labels = format!("{{shard=\"{shard}\",pool=\"{pool}\"}}");
                    self.sample(family, Kind::Gauge, &labels, [used, limit][index]);
                }
            }
            for (pool, used, limit) in of_all {
                let labels = format!("{{pool=\"{pool}\"}}");
                self.sample(family, Kind::Gauge, &labels, [used, limit][index]);
            }
        }
    }

    /// Of all shards, and of what is refused outside them.
    fn refusals(&mut self, readings: &[Reading], mut counts: RefusalCounts) {
        for reading in readings {
            counts.add(&reading.engine.refusals);
        }
        let name = "corelay_refusals";
        let help = "Refusals that went out, by the name of their code in corelay.proto.";
        self.family(name, Kind::Counter, help);
        for (code, count) in counts.iter() {
            let labels = format!("{{code=\"{}\"}}", code.as_str_name());
            self.sample(name, Kind::Counter, &labels, count);
        }
    }

    /// One of the shards' histograms. `scale` brings what was counted to what is told.
    fn histograms<const BUCKETS: usize>(
        &mut self,
        name: &str,
        help: &str,
        readings: &[Reading],
        of: impl Fn(&Reading) -> Histogram<BUCKETS>,
        scale: impl Fn(u64) -> f64,
    ) {
        let name = format!("corelay_{name}");
        self.family(&name, Kind::Histogram, help);
        for (shard, reading) in readings.iter().enumerate() {
            let histogram = of(reading);
            let mut count = 0;
            for (index, counted) in histogram.counts().iter().enumerate() {
                count += counted;
                let bound = Histogram::<BUCKETS>::bound(index).map(&scale);
                let le = bound.map_or_else(|| "+Inf".to_owned(), |bound| format!("{bound:?}"));
                self.line(format_args!(
                    "{name}_bucket{{shard=\"{shard}\",le=\"{le}\"}} {count}"
                ));
            }
            let sum = scale(histogram.sum());
            self.line(format_args!("{name}_sum{{shard=\"{shard}\"}} {sum}"));
            self.line(format_args!("{name}_count{{shard=\"{shard}\"}} {count}"));
        }
    }

    fn notices(&mut self, notices: &notify::Gauge, now_ms: u64) {
        let Counts {
            sent,
            failed,
            retried,
            lost,
            queued,
            changed,
            oldest_ms,
            is_gone,
        } = notices.read();
        let age_seconds = match oldest_ms {
            0 => 0,
            oldest_ms => now_ms.saturating_sub(oldest_ms) / 1000,
        };
        let numbers = [
            counter("sent", "Notices taken by their receiver.", sent),
            counter("failed", "Attempts to send a notice that failed.", failed),
            counter("retried", "Attempts that were not the first.", retried),
            counter(
                "lost",
                "Notices given up, or for which there was no room.",
                lost,
            ),
            gauge("queued", "Notices that are not taken yet.", queued),
            gauge(
                "changed_documents",
                "Changed documents of which there is no notice yet.",
                changed,
            ),
            gauge(
                "limit",
                "How many there may be of these and of the queued ones together.",
                notices.queue_max as u64,
            ),
            gauge(
                "oldest_seconds",
                "The age of the oldest notice.",
                age_seconds,
            ),
            gauge(
                "stopped",
                "1: the receiver has said that it is gone.",
                is_gone.into(),
            ),
        ];
        for (name, help, kind, value) in numbers {
            self.alone(&format!("corelay_notices_{name}"), kind, help, value);
        }
    }

    fn store(&mut self, running: &Running) {
        let store = running.store.snapshot();
        let disk = Disk::of(&running.store_path);
        let counted = [
            ("commits", "Commits of the store.", store.commits),
            ("operations", "Operations stored.", store.operations),
            (
                "operation_bytes",
                "The bytes of their records.",
                store.operation_bytes,
            ),
            ("snapshots", "Snapshots in place.", store.snapshots),
            (
                "snapshot_bytes",
                "The bytes of all that were asked for.",
                store.snapshot_bytes,
            ),
            ("reads", "Loads and reads answered.", store.reads),
        ];
        for (name, help, value) in counted {
            self.alone(&format!("corelay_store_{name}"), Kind::Counter, help, value);
        }
        self.alone(
            "corelay_store_table_bytes",
            Kind::Gauge,
            "Tables on disk.",
            disk.tables_bytes,
        );
        self.alone(
            "corelay_store_journal_bytes",
            Kind::Gauge,
            "Journals on disk.",
            disk.journals_bytes,
        );
        if let Some(room) = running.room.read() {
            self.alone(
                "corelay_store_disk_free_bytes",
                Kind::Gauge,
                "What the file system of the store has left for the relay, as of the last ten seconds.",
                room.free_bytes,
            );
            self.alone(
                "corelay_store_disk_bytes",
                Kind::Gauge,
                "How large it is.",
                room.total_bytes,
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
            self.store_histogram(&name, help, micros, time_bounds(), 1e6);
        }
        self.store_histogram(
            "corelay_store_commit_operations",
            "The operations of each commit that had any.",
            &store.commit_operations,
            (0..=16).map(|power| 1 << power),
            1.0,
        );
    }

    fn store_histogram(
        &mut self,
        name: &str,
        help: &str,
        histogram: &StoreHistogram<u64>,
        bounds: impl Iterator<Item = u64>,
        scale: f64,
    ) {
        self.family(name, Kind::Histogram, help);
        for bound in bounds {
            let count = histogram.count_between(0, bound);
            let le = bound as f64 / scale;
            self.line(format_args!("{name}_bucket{{le=\"{le:?}\"}} {count}"));
        }
        let count = histogram.len();
        let sum = histogram.mean() * count as f64 / scale;
        self.line(format_args!("{name}_bucket{{le=\"+Inf\"}} {count}"));
        self.line(format_args!("{name}_sum {sum}"));
        self.line(format_args!("{name}_count {count}"));
    }
}

/// Bounds of the buckets of the store's times, in microseconds: so many in each decade, from 10 on.
pub fn time_bounds() -> impl Iterator<Item = u64> {
    const BOUNDS_PER_DECADE: [u64; 6] = [10, 15, 20, 30, 50, 70];
    const DECADES: u32 = 6;
    (0..DECADES).flat_map(|decade| BOUNDS_PER_DECADE.map(|bound| bound * 10_u64.pow(decade)))
}

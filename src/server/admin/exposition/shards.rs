//! What each shard has counted.

use super::page::{Described, Kind, Page, Value, counter, gauge, seconds};
use crate::config::{LOG_BYTES_MAX, REQUESTS_MAX};
use crate::engine::shard::Metrics;
use crate::engine::{Histogram, RefusalCounts};
use crate::server::admin::Running;
use crate::server::log;
use crate::server::metrics::{Counters, Pool, Reading};

pub fn tell(page: &mut Page, running: &Running) {
    let readings: Vec<_> = running.gauges.iter().map(|gauge| gauge.read()).collect();
    let numbers: Vec<_> = readings.iter().map(described).collect();
    for index in 0..numbers[0].len() {
        let (name, help, kind, _) = numbers[0][index];
        let name = format!("corelay_{name}");
        page.family(&name, kind, help);
        for (shard, numbers) in numbers.iter().enumerate() {
            let labels = format!("{{shard=\"{shard}\"}}");
            page.sample(&name, kind, &labels, numbers[index].3);
        }
    }
    pools(page, &readings, running);
    refusals(page, &readings, running.refusals.counts());
    histograms(
        page,
        "batch_operations",
        "The operations of each batch that was applied.",
        &readings,
        |reading| reading.engine.batch_operations,
        |count| count as f64,
    );
    histograms(
        page,
        "ack_seconds",
        "Of a batch, from when it came until its acknowledgement went out.",
        &readings,
        |reading| reading.engine.ack_micros,
        seconds,
    );
    histograms(
        page,
        "fanout_seconds",
        "Of a send of operations, from when its shard knew the oldest of them to be stored.",
        &readings,
        |reading| reading.engine.fanout_micros,
        seconds,
    );
    histograms(
        page,
        "lag_operations",
        "How many operations a subscriber was behind in a document's ring when it was sent some.",
        &readings,
        |reading| reading.engine.lag_operations,
        |count| count as f64,
    );
    histograms(
        page,
        "sync_bytes",
        "The bytes that a client was sent to catch up, snapshots included.",
        &readings,
        |reading| reading.engine.sync_bytes,
        |bytes| bytes as f64,
    );
}

fn pools(page: &mut Page, readings: &[Reading], running: &Running) {
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
        page.family(family, Kind::Gauge, help);
        for (shard, reading) in readings.iter().enumerate() {
            for (pool, used, limit) in reading.pools() {
                let labels = format!("{{shard=\"{shard}\",pool=\"{pool}\"}}");
                page.sample(family, Kind::Gauge, &labels, [used, limit][index]);
            }
        }
        for (pool, used, limit) in of_all {
            let labels = format!("{{pool=\"{pool}\"}}");
            page.sample(family, Kind::Gauge, &labels, [used, limit][index]);
        }
    }
}

/// Of all shards, and of what is refused outside them.
fn refusals(page: &mut Page, readings: &[Reading], mut counts: RefusalCounts) {
    for reading in readings {
        counts.add(&reading.engine.refusals);
    }
    let name = "corelay_refusals";
    let help = "Refusals that went out, by the name of their code in corelay.proto.";
    page.family(name, Kind::Counter, help);
    for (code, count) in counts.iter() {
        let labels = format!("{{code=\"{}\"}}", code.as_str_name());
        page.sample(name, Kind::Counter, &labels, count);
    }
}

/// One of the shards' histograms. `scale` brings what was counted to what is told.
fn histograms<const BUCKETS: usize>(
    page: &mut Page,
    name: &str,
    help: &str,
    readings: &[Reading],
    of: impl Fn(&Reading) -> Histogram<BUCKETS>,
    scale: impl Fn(u64) -> f64,
) {
    let name = format!("corelay_{name}");
    page.family(&name, Kind::Histogram, help);
    for (shard, reading) in readings.iter().enumerate() {
        let histogram = of(reading);
        let mut count = 0;
        let buckets = histogram
            .counts()
            .iter()
            .enumerate()
            .map(|(index, counted)| {
                count += counted;
                let bound = Histogram::<BUCKETS>::bound(index);
                (bound.map_or(f64::INFINITY, &scale), count)
            });
        let labels = format!("shard=\"{shard}\"");
        page.histogram(&name, &labels, buckets, scale(histogram.sum()));
    }
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

//! A run's figures, for people and for programs.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::plan::{Pace, Plan};
use super::process::Usage;
use super::scrape::Activity;
use super::tally::Tally;
use super::verify::Verdict;

/// Everything that a run found out.
#[derive(Debug)]
pub(super) struct Report<'a> {
    pub plan: &'a Plan,
    pub tally: &'a Tally,
    /// What the relay's process used during the measured window, and its memory at the end of it.
    pub server: Option<ServerUsage>,
    /// What the relay itself counted meanwhile.
    pub relay: Option<Activity>,
    /// What this process used meanwhile.
    pub load: LoadUsage,
    /// Clients that did not get through, and through what.
    pub unfinished: &'a [(usize, &'static str)],
    /// With `--verify`.
    pub verdict: Option<Verdict>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ServerUsage {
    pub cpu: Duration,
    pub rss_bytes: u64,
}

impl ServerUsage {
    pub fn between(start: Usage, end: Usage) -> Self {
        Self {
            cpu: end.cpu.saturating_sub(start.cpu),
            rss_bytes: end.rss_bytes,
        }
    }
}

/// What it costs to put the load on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LoadUsage {
    pub cpu: Duration,
    pub threads: usize,
}

/// Past this, latencies are rather the load's own than the relay's.
const BUSY_PERCENT_MAX: f64 = 80.0;
/// Points of the percentile curve each time that the distance to 100 % halves.
const TICKS_PER_HALF: u32 = 4;

const QUANTILES: [(&str, f64); 5] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("max", 1.0),
];

impl Report<'_> {
    fn delivered(&self) -> u64 {
        self.tally.delivered.iter().sum()
    }

    /// What the processor time is shared by: operations and presence updates that reached a receiver.
    fn received(&self) -> u64 {
        self.delivered() + self.tally.presence_received
    }

    fn per_second(&self, count: u64) -> f64 {
        let seconds = self.plan.duration.as_secs_f64();
        if seconds > 0.0 {
            count as f64 / seconds
        } else {
            0.0
        }
    }

    /// Microseconds of the relay's processor time.
    fn cpu_us_per_delivery(&self) -> Option<f64> {
        let received = self.received();
        let server = self.server.filter(|_| received > 0)?;
        Some(server.cpu.as_secs_f64() * 1e6 / received as f64)
    }

    /// Microseconds of this process's own time.
    fn load_us_per_delivery(&self) -> Option<f64> {
        let received = self.received();
        (received > 0).then(|| self.load.cpu.as_secs_f64() * 1e6 / received as f64)
    }

    /// So many clients read like that.
    fn count(&self, pace: Pace) -> usize {
        let clients = self.plan.clients.iter();
        clients.filter(|client| client.pace == pace).count()
    }

    /// What [`Self::received`] counts.
    fn received_name(&self) -> &'static str {
        match self.tally.presence_received {
            0 => "delivery",
            _ => "delivery or presence update",
        }
    }

    /// How much of its threads' time the load needs.
    fn busy_percent(&self) -> f64 {
        let available = self.plan.duration.as_secs_f64() * self.load.threads as f64;
        if available > 0.0 {
            100.0 * self.load.cpu.as_secs_f64() / available
        } else {
            0.0
        }
    }

    /// How many deliveries a second its threads could take at this price.
    fn ceiling(&self) -> Option<f64> {
        let micros = self.load_us_per_delivery().filter(|micros| *micros > 0.0)?;
        Some(1e6 / micros * self.load.threads as f64)
    }

    /// Latencies by what was measured; those that have nothing are left out.
    fn latencies(&self) -> impl Iterator<Item = (String, &Histogram<u64>)> {
        let delivery = Pace::ALL.into_iter().map(|pace| {
            let name = format!("delivery, {}", pace.name());
            (name, &self.tally.delivery[pace as usize])
        });
        std::iter::once(("ack".to_owned(), &self.tally.ack))
            .chain(delivery)
            .chain([("presence".to_owned(), &self.tally.presence)])
            .chain([("join".to_owned(), &self.tally.join)])
            .filter(|(_, histogram)| !histogram.is_empty())
    }

    /// By what was measured: pairs of a percentile and microseconds.
    fn percentiles(&self) -> Value {
        let curves = self.latencies().map(|(name, histogram)| {
            let points = histogram.iter_quantiles(TICKS_PER_HALF);
            let curve: Value = points
                .map(|point| json!([point.percentile(), point.value_iterated_to()]))
                .collect();
            (name.replace(", ", "_"), curve)
        });
        Value::Object(curves.collect())
    }

    fn timeline(&self) -> Value {
        let slices = &self.tally.timeline.slices;
        let seconds = self.plan.slice().as_secs_f64();
        let micros = |quantile: f64| -> Value {
            let figures = slices.iter().map(|slice| {
                let is_empty = slice.delivery.is_empty();
                (!is_empty).then(|| slice.delivery.value_at_quantile(quantile))
            });
            figures.collect()
        };
        json!({
            "slice_s": seconds,
            "delivered_per_second": slices
                .iter()
                .map(|slice| slice.delivered as f64 / seconds)
                .collect::<Value>(),
            "p50_us": micros(0.5),
            "p99_us": micros(0.99),
        })
    }

    pub fn to_json(&self) -> Value {
        let latencies: serde_json::Map<String, Value> = self
            .latencies()
            .map(|(name, histogram)| {
                let mut figures: serde_json::Map<String, Value> = QUANTILES
                    .iter()
                    .map(|(name, quantile)| {
                        (
                            (*name).to_owned(),
                            histogram.value_at_quantile(*quantile).into(),
                        )
                    })
                    .collect();
                figures.insert("count".to_owned(), histogram.len().into());
                (name.replace(", ", "_"), figures.into())
            })
            .collect();
        let tally = self.tally;
        let by_pace = |pace: Pace| tally.delivered[pace as usize];
        json!({
            "scenario": self.plan.scenario,
            "url": self.plan.endpoint.to_string(),
            "kind": self.plan.kind.name(),
            "documents": self.plan.documents.len(),
            "clients": self.plan.clients.len(),
            "writers": self.plan.writers,
            "payload_bytes": self.plan.payload_bytes,
            "operations_per_second": self.plan.interval.map(|interval| 1.0 / interval.as_secs_f64()),
            "burst": self.plan.burst,
            "presence_rate": self.plan.presence_period.map(|period| 1.0 / period.as_secs_f64()),
            "slow": self.count(Pace::Slow),
            "slow_bytes_per_second": self.plan.slow_bytes_per_second,
            "stalled": self.count(Pace::Stalled),
            "joiners": self.plan.clients.iter().filter(|client| client.joins_late).count(),
            "durability": tally.durability.map(|durability| format!("{durability:?}").to_lowercase()),
            "duration_s": self.plan.duration.as_secs_f64(),
            "warm_up_s": self.plan.warm_up.as_secs_f64(),
            "operations": {
                "sent": tally.sent,
                "acknowledged": tally.acknowledged,
                "delivered": self.delivered(),
                "delivered_healthy": by_pace(Pace::Healthy),
                "delivered_slow": by_pace(Pace::Slow),
                "delivered_stalled": by_pace(Pace::Stalled),
                "not_submitted": tally.overflowed,
                "acknowledged_below_always": tally.weaker_acknowledgements,
            },
            "per_second": {
                "sent": self.per_second(tally.sent),
                "acknowledged": self.per_second(tally.acknowledged),
                "delivered": self.per_second(self.delivered()),
                "bytes_sent": self.per_second(tally.bytes_sent),
                "bytes_received": self.per_second(tally.bytes_received),
            },
            "latency_us": latencies,
            "percentiles_us": self.percentiles(),
            "timeline": self.timeline(),
            "presence": { "sent": tally.presence_sent, "received": tally.presence_received },
            "bytes": { "sent": tally.bytes_sent, "received": tally.bytes_received },
            "connections_lost": tally.connections_lost,
            "reconnects": tally.reconnects,
            "resyncs": tally.resyncs,
            "warnings": tally.warnings,
            "goaways": tally.goaways,
            "errors": tally.errors,
            "unfinished_clients": self.unfinished.len(),
            "server": self.server.map(|server| json!({
                "cpu_s": server.cpu.as_secs_f64(),
                "cpu_us_per_delivery": self.cpu_us_per_delivery(),
                "rss_bytes": server.rss_bytes,
            })),
            "relay": self.relay.as_ref().map(Activity::to_json),
            "load": {
                "cpu_s": self.load.cpu.as_secs_f64(),
                "threads": self.load.threads,
                "busy_percent": self.busy_percent(),
                "cpu_us_per_delivery": self.load_us_per_delivery(),
                "deliveries_per_second_max": self.ceiling(),
            },
            "verified": self.verdict.as_ref().map(|verdict| json!({
                "violations": verdict.values().map(|broken| broken.count).sum::<usize>(),
                "broken": verdict.iter().map(|(promise, broken)| {
                    ((*promise).to_owned(), broken.count.into())
                }).collect::<serde_json::Map<String, Value>>(),
            })),
        })
    }
}

impl Report<'_> {
    fn fmt_load(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let busy = self.busy_percent();
        write!(
            out,
            "load: {:.2} s CPU, {busy:.0} % of {} thread{}",
            self.load.cpu.as_secs_f64(),
            self.load.threads,
            if self.load.threads == 1 { "" } else { "s" },
        )?;
        if let Some((micros, ceiling)) = self.load_us_per_delivery().zip(self.ceiling()) {
            write!(
                out,
                ", {micros:.2} µs per {}: it could take {ceiling:.0}/s",
                self.received_name()
            )?;
        }
        writeln!(out)?;
        if busy > BUSY_PERCENT_MAX {
            writeln!(
                out,
                "load: too busy to measure with, give it more --cores or less to do"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (plan, tally) = (self.plan, self.tally);
        writeln!(
            out,
            "{} documents, {} clients ({} write), kind {}, {} bytes, {:.1} s after {:.1} s of warm-up",
            plan.documents.len(),
            plan.clients.len(),
            plan.writers,
            plan.kind.name(),
            plan.payload_bytes,
            plan.duration.as_secs_f64(),
            plan.warm_up.as_secs_f64(),
        )?;
        let rows = [
            ("operations sent", tally.sent),
            ("operations acknowledged", tally.acknowledged),
            ("operations delivered", self.delivered()),
            ("presence sent", tally.presence_sent),
            ("presence received", tally.presence_received),
            ("bytes sent", tally.bytes_sent),
            ("bytes received", tally.bytes_received),
        ];
        writeln!(out, "\n{:26} {:>14} {:>14}", "", "total", "per second")?;
        for (name, count) in rows.into_iter().filter(|(_, count)| *count > 0) {
            writeln!(
                out,
                "{name:26} {count:>14} {:>14.1}",
                self.per_second(count)
            )?;
        }
        if tally.sent == 0 {
            writeln!(out, "no operation was written in the measured time")?;
        }
        write!(out, "\n{:26}", "latency, ms")?;
        for (name, _) in QUANTILES {
            write!(out, " {name:>10}")?;
        }
        writeln!(out)?;
        for (name, histogram) in self.latencies() {
            write!(out, "{name:26}")?;
            for (_, quantile) in QUANTILES {
                let micros = histogram.value_at_quantile(quantile);
                write!(out, " {:>10.3}", micros as f64 / 1000.0)?;
            }
            writeln!(out)?;
        }
        let counts = [
            ("connections lost", tally.connections_lost),
            ("reconnects", tally.reconnects),
            ("resyncs", tally.resyncs),
            ("warnings", tally.warnings),
            ("goaways", tally.goaways),
            ("acks below `always`", tally.weaker_acknowledgements),
        ];
        writeln!(out)?;
        for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            writeln!(out, "{name:26} {count:>14}")?;
        }
        for (what, count) in &tally.errors {
            writeln!(out, "error {what}: {count}")?;
        }
        if let Some(server) = self.server {
            let rss = server.rss_bytes as f64 / (1024.0 * 1024.0);
            write!(out, "server: {:.2} s CPU", server.cpu.as_secs_f64())?;
            if let Some(micros) = self.cpu_us_per_delivery() {
                write!(out, ", {micros:.2} µs per {}", self.received_name())?;
            }
            writeln!(out, ", {rss:.1} MiB resident")?;
        }
        if let Some(relay) = &self.relay {
            write!(out, "{relay}")?;
        }
        self.fmt_load(out)?;
        for (client, phase) in self.unfinished.iter().take(10) {
            writeln!(out, "client {client} was not done with {phase} in time")?;
        }
        match &self.verdict {
            None => Ok(()),
            Some(verdict) if verdict.is_empty() => writeln!(out, "verified: S1 to S6 were kept"),
            Some(verdict) => {
                for (promise, broken) in verdict {
                    writeln!(out, "BROKEN {promise}: {} times", broken.count)?;
                    for what in &broken.first {
                        writeln!(out, "  {what}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

//! What the relay says of itself at its admin address, and what it says it did between two moments.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Value, json};

use crate::overview::fetch;

/// All numbers at one moment. Those of all shards are added up; of what is not counted, the largest is taken.
#[derive(Debug, Clone, Default)]
pub struct Scrape {
    numbers: BTreeMap<String, f64>,
    /// By name, how many were at most so many seconds.
    buckets: BTreeMap<String, Vec<(f64, f64)>>,
}

impl Scrape {
    /// Asks the relay whose admin address (`listen.admin`) this is.
    pub fn ask(address: &str) -> io::Result<Self> {
        fetch(address, "/metrics").map(|text| Self::parse(&text))
    }

    /// From the text format of Prometheus.
    fn parse(text: &str) -> Self {
        let mut scrape = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, number)) = line.rsplit_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse::<f64>() else {
                continue;
            };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let mut labels = labels.trim_end_matches('}').split(',');
            let bound = labels.find_map(|label| label.strip_prefix("le=\"")?.strip_suffix('"'));
            if let Some(bound) = bound.and_then(|bound| bound.parse().ok()) {
                let buckets: &mut Vec<(f64, f64)> =
                    scrape.buckets.entry(name.to_owned()).or_default();
                match buckets.iter_mut().find(|(known, _)| *known == bound) {
                    Some((_, count)) => *count += number,
                    None => buckets.push((bound, number)),
                }
            } else {
                let known = scrape.numbers.entry(name.to_owned()).or_default();
                let is_counted = ["_total", "_count", "_sum"]
                    .iter()
                    .any(|suffix| name.ends_with(suffix));
                *known = match is_counted {
                    true => *known + number,
                    false => known.max(number),
                };
            }
        }
        scrape
    }

    fn number(&self, name: &str) -> f64 {
        self.numbers.get(name).copied().unwrap_or_default()
    }
}

/// What a relay did between two moments.
#[derive(Debug, Clone)]
pub struct Activity {
    before: Scrape,
    after: Scrape,
}

/// The parts of the way to an acknowledgement.
const STAGES: [(&str, &str); 5] = [
    ("queue", "waits for the committer"),
    ("gather", "waits for its commit"),
    ("commit", "commit"),
    ("sync", "of it, sync"),
    ("reply", "way back to the shard"),
];
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

impl Activity {
    pub fn between(before: Scrape, after: Scrape) -> Self {
        Self { before, after }
    }

    fn counted(&self, name: &str) -> f64 {
        self.after.number(name) - self.before.number(name)
    }

    /// Batches that one send carried on average.
    pub fn deliveries_per_send(&self) -> Option<f64> {
        let sends = self.counted("corelay_sends_total");
        (sends > 0.0).then(|| self.counted("corelay_deliveries_total") / sends)
    }

    pub fn operations_per_commit(&self) -> Option<f64> {
        let commits = self.counted("corelay_store_commits_total");
        (commits > 0.0).then(|| self.counted("corelay_store_operations_total") / commits)
    }

    /// Milliseconds, somewhere in the bucket that the quantile is in. `None`: nothing was counted, or it took longer than
    /// the last bucket.
    fn quantile_ms(&self, stage: &str, quantile: f64) -> Option<f64> {
        let name = format!("corelay_store_{stage}_seconds");
        let wanted = quantile * self.counted(&format!("{name}_count"));
        let name = format!("{name}_bucket");
        let (before, after) = (
            self.before.buckets.get(&name)?,
            self.after.buckets.get(&name)?,
        );
        let mut below = (0.0, 0.0);
        for ((bound, count), (_, counted)) in after.iter().zip(before) {
            let count = count - counted;
            if count > 0.0 && count >= wanted {
                if bound.is_infinite() {
                    break;
                }
                let share = (wanted - below.1) / (count - below.1);
                return Some(1000.0 * (below.0 + share * (bound - below.0)));
            }
            below = (*bound, count);
        }
        None
    }

    pub fn to_json(&self) -> Value {
        let stages = STAGES.iter().map(|(stage, _)| {
            let figures = QUANTILES.iter().map(|(name, quantile)| {
                let ms = self.quantile_ms(stage, *quantile);
                ((*name).to_owned(), ms.into())
            });
            ((*stage).to_owned(), Value::Object(figures.collect()))
        });
        json!({
            "deliveries_per_send": self.deliveries_per_send(),
            "operations_per_commit": self.operations_per_commit(),
            "stalls": self.counted("corelay_stalls_total"),
            "longest_turn_us": self.after.number("corelay_longest_turn_seconds") * 1e6,
            "stages_ms": Value::Object(stages.collect()),
        })
    }
}

impl std::fmt::Display for Activity {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            out,
            "relay: {:.1} deliveries a send, {:.1} operations a commit, {} stalls, longest turn so far {:.1} ms",
            self.deliveries_per_send().unwrap_or_default(),
            self.operations_per_commit().unwrap_or_default(),
            self.counted("corelay_stalls_total"),
            self.after.number("corelay_longest_turn_seconds") * 1000.0,
        )?;
        write!(out, "{:26}", "relay, ms")?;
        QUANTILES
            .iter()
            .try_for_each(|(name, _)| write!(out, " {name:>10}"))?;
        writeln!(out)?;
        for (stage, what) in STAGES {
            write!(out, "{what:26}")?;
            for (_, quantile) in QUANTILES {
                match self.quantile_ms(stage, quantile) {
                    Some(ms) => write!(out, " {ms:>10.3}")?,
                    None => write!(out, " {:>10}", "-")?,
                }
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_in_between() {
        let text = |sends: u32, fast: u32, slow: u32| {
            Scrape::parse(&format!(
                "# HELP corelay_sends_total Calls.\n\
                 corelay_sends_total{{shard=\"0\"}} {sends}\n\
                 corelay_sends_total{{shard=\"1\"}} {sends}\n\
                 corelay_deliveries_total{{shard=\"0\"}} {}\n\
                 corelay_store_sync_seconds_bucket{{le=\"0.001\"}} {fast}\n\
                 corelay_store_sync_seconds_bucket{{le=\"0.003\"}} {}\n\
                 corelay_store_sync_seconds_bucket{{le=\"+Inf\"}} {}\n\
                 corelay_store_sync_seconds_count {}\n\
                 corelay_ack_seconds_bucket{{shard=\"0\",le=\"0.001\"}} {fast}\n\
                 corelay_ack_seconds_bucket{{shard=\"0\",le=\"+Inf\"}} {fast}\n\
                 corelay_ack_seconds_count{{shard=\"0\"}} {fast}\n\
                 corelay_ack_seconds_bucket{{shard=\"1\",le=\"0.001\"}} {slow}\n\
                 corelay_ack_seconds_bucket{{shard=\"1\",le=\"+Inf\"}} {slow}\n\
                 corelay_ack_seconds_count{{shard=\"1\"}} {slow}\n",
                sends * 8,
                fast + slow,
                fast + slow,
                fast + slow,
            ))
        };
        let activity = Activity::between(text(10, 100, 0), text(20, 110, 10));
        assert_eq!(activity.deliveries_per_send(), Some(4.0));
        assert_eq!(activity.operations_per_commit(), None);
        assert_eq!(activity.quantile_ms("sync", 0.5), Some(1.0));
        assert_eq!(activity.quantile_ms("sync", 0.75), Some(2.0));
        assert_eq!(activity.quantile_ms("queue", 0.5), None);
        assert_eq!(activity.counted("corelay_ack_seconds_count"), 20.0);
        let buckets = &activity.after.buckets["corelay_ack_seconds_bucket"];
        assert_eq!(buckets, &[(0.001, 120.0), (f64::INFINITY, 120.0)]);
    }
}

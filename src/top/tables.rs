//! What is shown, as words in rows; on the screen and in plain text alike.

use super::figure::{bytes, name, number, percent, span, time, whole};
use super::view::{Row, View};
use crate::engine::shard::{ConnectionReport, DocumentReport};
use crate::overview::{Change, Overview, Quantiles, Shard};

/// The first column is a name, the others are figures.
pub struct Table {
    pub title: String,
    pub head: Vec<&'static str>,
    pub rows: Vec<Vec<String>>,
    /// What is said if there are none.
    pub empty: &'static str,
}

/// Of the relay as a whole: names, and what stands behind them.
pub fn summary(overview: &Overview, change: Option<&Change>) -> Vec<(&'static str, String)> {
    let total = |of: fn(&Shard) -> u64| overview.shards.iter().map(of).sum::<u64>();
    let lately = |of: fn(&Change) -> f64| change.map_or_else(|| time(None), |it| number(of(it)));
    let each = change.and_then(|change| change.operations_per_commit);
    let ack = change.map_or_else(Quantiles::default, |change| change.ack);
    vec![
        (
            "operations/s",
            lately(|change| change.operations_per_second),
        ),
        (
            "deliveries/s",
            lately(|change| change.deliveries_per_second),
        ),
        ("connections", whole(total(|shard| shard.connections))),
        ("documents", whole(total(|shard| shard.documents))),
        ("ack p50", time(ack.p50_ms)),
        ("p99", time(ack.p99_ms)),
        ("commits/s", lately(|change| change.commits_per_second)),
        ("operations each", each.map_or_else(|| time(None), number)),
        ("operations in all", whole(total(|shard| shard.operations))),
        ("deliveries in all", whole(total(|shard| shard.deliveries))),
        ("cores busy", lately(|change| change.cores)),
        ("memory", bytes(overview.process.resident_bytes)),
        (
            "on disk",
            bytes(overview.store.table_bytes + overview.store.journal_bytes),
        ),
        ("uptime", span(overview.uptime_ms)),
    ]
}

pub fn shards(rows: &[Row], silent: &[usize]) -> Table {
    let row = |(shard, change): &Row| {
        let lately =
            |of: fn(&crate::overview::ShardChange) -> String| change.map_or_else(|| time(None), of);
        vec![
            shard.shard.to_string(),
            lately(|change| percent(change.busy_share)),
            lately(|change| number(change.operations_per_second)),
            lately(|change| number(change.deliveries_per_second)),
            whole(shard.connections),
            whole(shard.blocked_connections),
            whole(shard.documents),
            fullest(shard),
            whole(shard.stalls),
            time(Some(shard.longest_turn_micros as f64 / 1000.0)),
        ]
    };
    let missing = silent
        .iter()
        .map(|shard| vec![shard.to_string(), "no answer".to_owned()]);
    Table {
        title: "Shards".to_owned(),
        head: vec![
            "Shard",
            "Busy",
            "Ops/s",
            "Deliveries/s",
            "Clients",
            "Behind",
            "Documents",
            "Memory",
            "Stalls",
            "Longest turn",
        ],
        rows: rows.iter().map(row).chain(missing).collect(),
        empty: "",
    }
}

/// The part of its memory budget that is nearest to its limit.
fn fullest(shard: &Shard) -> String {
    let shares = shard.memory.iter().map(|pool| {
        let share = pool.used_bytes as f64 / pool.limit_bytes.max(1) as f64;
        (share, &pool.pool)
    });
    let fullest = shares.max_by(|(one, _), (other, _)| one.total_cmp(other));
    fullest.map_or_else(String::new, |(share, pool)| {
        format!("{pool} {}", percent(share))
    })
}

/// The way to an acknowledgement. What the store does is of all shards together.
pub fn latencies(change: Option<&Change>, view: &View) -> Table {
    let shard = view.chosen.and_then(|shard| change?.shard(shard));
    let (ack, fanout) = match (shard, change) {
        (Some(shard), _) => (shard.ack, shard.fanout),
        (None, Some(change)) => (change.ack, change.fanout),
        (None, None) => (Quantiles::default(), Quantiles::default()),
    };
    let stored = |of: fn(&Change) -> Quantiles| change.map_or_else(Quantiles::default, of);
    let parts = [
        ("until acknowledged", ack),
        ("  waits for the committer", stored(|change| change.queue)),
        ("  waits for its commit", stored(|change| change.gather)),
        ("  commit", stored(|change| change.commit)),
        ("  of it, sync", stored(|change| change.sync)),
        ("  way back to its shard", stored(|change| change.reply)),
        ("until passed on, once stored", fanout),
    ];
    let row = |(name, part): (&str, Quantiles)| {
        let times = [part.p50_ms, part.p99_ms, part.p999_ms].map(time);
        [name.to_owned()].into_iter().chain(times).collect()
    };
    Table {
        title: titled("Latency", view),
        head: vec!["", "p50", "p99", "p99.9"],
        rows: parts.map(row).into(),
        empty: "",
    }
}

pub fn hottest(overview: &Overview, view: &View) -> Table {
    let documents = overview.hottest.iter();
    let row = |one: &DocumentReport| {
        vec![
            name(&one.id),
            name(&one.tenant),
            one.shard.to_string(),
            number(one.operations_per_second),
            whole(one.subscribers as u64),
            whole(one.revision),
            bytes(one.memory_bytes as u64),
        ]
    };
    Table {
        title: titled("Hottest documents", view),
        head: vec![
            "Document", "Tenant", "Shard", "Ops/s", "Clients", "Revision", "Memory",
        ],
        rows: documents
            .filter(|one| view.shows(one.shard))
            .map(row)
            .collect(),
        empty: "No document is in memory.",
    }
}

pub fn slowest(overview: &Overview, view: &View) -> Table {
    let row = |one: &ConnectionReport| {
        let who = match (one.user.as_str(), &one.address) {
            ("", Some(address)) => address.clone(),
            ("", None) => one.id.clone(),
            (user, _) => name(user),
        };
        vec![
            who,
            name(&one.tenant),
            one.shard.to_string(),
            whole(one.lag_operations),
            bytes(one.queued_bytes as u64),
            one.id.clone(),
        ]
    };
    let connections = overview.slowest.iter();
    Table {
        title: titled("Slowest consumers", view),
        head: vec![
            "Client",
            "Tenant",
            "Shard",
            "Behind",
            "Waiting",
            "Connection",
        ],
        rows: connections
            .filter(|one| view.shows(one.shard))
            .map(row)
            .collect(),
        empty: "Everybody takes what they are given.",
    }
}

fn titled(title: &str, view: &View) -> String {
    match view.chosen {
        None => title.to_owned(),
        Some(shard) => format!("{title} of shard {shard}"),
    }
}

//! New limits for a relay that runs: it becomes what it would be if it had begun with them, for every key.

use std::sync::Arc;
use std::time::Duration;

use corelay::codec::wire::{self, ErrorCode, event, request};
use corelay::config::{Change, Config, Draft, KEYS, Key, Quota};
use corelay::engine::Census;
use corelay::engine::shard::{Settings, Transport};

use crate::expect;
use crate::fixture::{Client, Relay, STARTED_AT_MS};
use crate::mesh::{joined_to, name_on};
use crate::requests::{hello, log_batch, open};

/// What a shard has of the configuration.
const TABLES: [&str; 7] = [
    "connection",
    "rate",
    "document",
    "fanout",
    "presence",
    "memory",
    "quota",
];

fn base() -> Config {
    let mut config = Config::default();
    config.fanout.edge_subscribers_min = Some(2);
    config.connection.per_user_max = Some(50);
    config.rate.user_operations_per_second = Some(1000);
    config.quota = Quota {
        connections_max: Some(100),
        documents_max: Some(100),
        stored_bytes_max: Some(1_000_000),
    };
    config
}

/// `base` with another value of this key, which is written as TOML, and what fits it.
fn another(base: &Config, key: &Key) -> Config {
    let value = key.value(base);
    let text = value.trim_matches('"');
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    // A unit smaller, so that there is a half.
    let (factor, unit) = match unit {
        "MiB" => (1024, "KiB"),
        "KiB" => (1024, "B"),
        "h" => (60, "min"),
        "min" => (60, "s"),
        "s" => (1000, "ms"),
        other => (1, other),
    };
    let number = number.parse::<u64>().ok();
    let scaled = |numerator: u64, denominator: u64| {
        number.map(|number| format!("{} {unit}", number * factor * numerator / denominator))
    };
    let candidates = [
        scaled(2, 1),
        scaled(1, 2),
        scaled(9, 10),
        scaled(101, 100),
        Some("off".to_owned()),
        Some("on".to_owned()),
        Some("7".to_owned()),
    ];
    let printed = base.to_toml();
    let changed = candidates.into_iter().flatten().find_map(|candidate| {
        let mut draft = Draft::default();
        draft.file("base", &printed);
        draft.set(&format!("{}={}", key.path(), candidate.trim()));
        let config = draft.finish().ok()?;
        (key.value(&config) != value).then_some(config)
    });
    changed.unwrap_or_else(|| panic!("{} = {value} has no other value", key.path()))
}

fn relay(config: &Config) -> Relay {
    Relay::with(2, |settings| {
        let census = Census::new(&config.connection, &config.quota, &[]);
        *settings = Settings {
            shards: 2,
            identity_key: [7; 32],
            started_at_ms: STARTED_AT_MS,
            census: Arc::new(census),
            ..Settings::new(config, settings.authority.clone())
        };
    })
}

/// A busy log with an edge, a text, a document that is shared by a link, presences; nobody has written anything.
fn populate(relay: &mut Relay, who: &str) {
    for number in 0..4 {
        let client = relay.connect_to(number % 2, Transport::Tcp, None);
        told(relay, client, hello(&format!("{who} {number}")));
        for (home, kind) in [(1, "log"), (0, "text")] {
            let told_of = told(relay, client, open(&name_on(home), kind, true));
            let opened = told_of.into_iter().find_map(|event| match event {
                event::Body::Opened(opened) => Some(opened),
                _other => None,
            });
            let presence = wire::Presence {
                document: opened.expect("it is opened").document,
                is_typing: true,
                ..Default::default()
            };
            told(relay, client, request::Body::Presence(presence));
        }
    }
}

/// What a client is told after a request, also where that takes a moment.
fn told(relay: &mut Relay, client: Client, request: request::Body) -> Vec<event::Body> {
    relay.send(client, request);
    relay.pass(Duration::from_millis(1));
    relay.drain(client)
}

/// What a shard is: all that it has in memory, but for when it looks at it next, as an alarm may ring too early, and
/// for what has been used of rates, which counts from when there are any.
fn state(relay: &Relay) -> String {
    const SKIPPED: [&str; 5] = [
        "alarm:",
        "sweep_alarm:",
        "timers:",
        "meter:",
        "requests: Bucket",
    ];
    let state = format!("{:#?}", relay.shards);
    let mut kept = String::new();
    let mut skipped = None;
    for line in state.lines() {
        let field = line.trim_start();
        let depth = line.len() - field.len();
        match skipped {
            Some(until) if depth > until => {}
            // What is skipped ends with its bracket.
            Some(_) => skipped = None,
            None if SKIPPED.iter().any(|name| field.starts_with(name)) => {
                skipped = line.ends_with(['(', '{', '[']).then_some(depth);
            }
            None => {
                kept += line;
                kept.push('\n');
            }
        }
    }
    kept
}

#[track_caller]
fn assert_same(path: &str, reloaded: &Relay, fresh: &Relay) {
    let (reloaded, fresh) = (state(reloaded), state(fresh));
    let mut lines = reloaded.lines().zip(fresh.lines()).enumerate();
    if let Some((number, (left, right))) = lines.find(|(_, (left, right))| left != right) {
        let around: Vec<_> = reloaded
            .lines()
            .skip(number.saturating_sub(12))
            .take(12)
            .collect();
        panic!(
            "{path}: {left:?} after a reload, {right:?} from the start, after\n{}",
            around.join("\n")
        );
    }
    assert_eq!(reloaded.len(), fresh.len(), "{path}");
}

#[test]
fn a_relay_with_new_limits_is_as_one_that_began_with_them() {
    let old = base();
    let mut reloadable = 0;
    for key in KEYS.iter().filter(|key| TABLES.contains(&key.table)) {
        let path = key.path();
        let new = another(&old, key);
        let mut draft = Draft::default();
        draft.file("new", &new.to_toml());
        let reload = draft.finish_over(&old).expect("the two fit each other");
        if key.change == Change::Restart {
            assert_eq!(reload.config, old, "{path} needs a restart");
            continue;
        }
        assert_eq!(reload.config, new, "{path} does not");
        reloadable += 1;
        let [mut reloaded, mut fresh] = [&old, &new].map(relay);
        for relay in [&mut reloaded, &mut fresh] {
            populate(relay, "early");
        }
        reloaded.set_limits(&reload.config);
        // Whose connection stays where it is depends on when a document has become busy.
        if key.name != "edge_subscribers_min" {
            assert_same(&path, &reloaded, &fresh);
        }
        // The next to come are told the same, and so is everybody whose time is up.
        for relay in [&mut reloaded, &mut fresh] {
            populate(relay, "late");
            relay.pass(Duration::from_secs(400));
        }
        if key.name != "edge_subscribers_min" {
            assert_same(&path, &reloaded, &fresh);
        }
    }
    assert!(reloadable > 40, "only {reloadable} keys can be reloaded");
}

#[test]
fn who_is_there_stays_and_who_comes_finds_the_new_limits() {
    let mut config = Config::default();
    let mut relay = relay(&config);
    let [ann, ben] = ["ann", "ben"].map(|name| joined_to(&mut relay, name, 0, Transport::Tcp));
    let notes = relay.open(ann, &name_on(0), "log").document;
    relay.open(ben, &name_on(0), "log");
    config.connection.count_max = 1;
    config.connection.per_user_max = Some(1);
    config.connection.documents_max = 1;
    config.rate.connection_operations_per_second = Some(1);
    config.rate.burst = Duration::from_secs(1);
    relay.set_limits(&config);
    assert!(!relay.is_closed(ann) && !relay.is_closed(ben));
    assert!(relay.try_connect(0, Transport::Tcp, None).is_none());
    relay.send(ann, open("other", "log", true));
    assert_eq!(
        expect!(relay, ann, Error).code(),
        ErrorCode::TooManyDocuments
    );
    relay.send(ann, log_batch(notes, 0, ["one", "two"]));
    expect!(relay, ann, Ack);
    relay.send(ann, log_batch(notes, 2, ["three"]));
    let nack = expect!(relay, ann, Nack);
    assert_eq!(nack.code(), ErrorCode::RateLimited);

    config.connection.count_max = 10;
    config.rate.connection_operations_per_second = None;
    relay.set_limits(&config);
    relay.send(ann, log_batch(notes, 2, ["three"]));
    expect!(relay, ann, Ack);
    // One user may have one connection, and those from before count.
    let again = relay.connect(Transport::Tcp);
    relay.send(again, hello("ann"));
    let error = expect!(relay, again, Error);
    assert_eq!(error.code(), ErrorCode::TooManyConnections);
}

#[test]
fn what_was_waited_for_is_due_by_the_new_limits() {
    let mut config = Config::default();
    let mut relay = relay(&config);
    let ann = joined_to(&mut relay, "ann", 0, Transport::Tcp);
    relay.mute(ann);
    relay.pass(Duration::from_secs(50));
    let silent = relay.connect(Transport::Tcp);
    config.connection.handshake_timeout = Duration::from_secs(2);
    config.connection.ping_period = Duration::from_secs(3);
    config.connection.pong_timeout = Duration::from_secs(5);
    relay.set_limits(&config);
    relay.pass(Duration::from_millis(1999));
    assert!(!relay.is_closed(silent) && !relay.is_closed(ann));
    relay.pass(Duration::from_millis(1));
    assert!(relay.is_closed(silent));
    // It has been silent for longer than anybody may now, and has been asked as soon as that was so.
    expect!(relay, ann, Ping);
    assert!(relay.is_closed(ann));
}

#[test]
fn a_document_becomes_busy_and_quiet_again_by_the_new_limits() {
    let mut config = Config::default();
    config.fanout.edge_subscribers_min = None;
    let mut relay = relay(&config);
    let clients = ["ann", "ben"].map(|name| joined_to(&mut relay, name, 0, Transport::Tcp));
    let notes = clients.map(|client| relay.open(client, &name_on(1), "log").document)[0];
    let served_by_edges = |relay: &Relay| relay.shards[0].metrics().edge_subscribers;
    let mut clock = 0;
    let mut write = |relay: &mut Relay| {
        relay.send(clients[0], log_batch(notes, clock, ["news"]));
        clock += 1;
        assert_eq!(expect!(relay, clients[0], Ack).first_revision, clock);
        assert_eq!(expect!(relay, clients[1], RemoteOps).revision, clock);
    };
    write(&mut relay);
    assert_eq!(served_by_edges(&relay), 0);
    config.fanout.edge_subscribers_min = Some(2);
    relay.set_limits(&config);
    write(&mut relay);
    assert_eq!(served_by_edges(&relay), 2);
    config.fanout.edge_subscribers_min = None;
    relay.set_limits(&config);
    let late = joined_to(&mut relay, "late", 0, Transport::Tcp);
    relay.open(late, &name_on(1), "log");
    write(&mut relay);
    assert_eq!(
        served_by_edges(&relay),
        2,
        "only who comes from now on is served by the document's shard"
    );
    expect!(relay, late, RemoteOps);
}

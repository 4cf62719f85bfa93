//! Configuration as its writer meets it: the values that are taken, and in `refusals` the words of those that are not.

mod refusals;
mod reloads;

use std::path::{Path, PathBuf};
use std::time::Duration;

use corelay::config::{
    AuthMode, Budget, Change, Config, ConfigError, Cores, CoresError, Draft, Durability, KEYS,
    KeySource, LogFormat,
};

fn from_file(text: &str) -> Result<Config, Vec<ConfigError>> {
    let mut draft = Draft::default();
    draft.file("corelay.toml", text);
    draft.finish()
}

fn from_arguments(arguments: &[&str]) -> Result<Config, Vec<ConfigError>> {
    let mut draft = Draft::default();
    for argument in arguments {
        draft.set(argument);
    }
    draft.finish()
}

#[test]
fn an_empty_file_gives_the_defaults() {
    assert_eq!(from_file(""), Ok(Config::default()));
}

#[test]
fn values_of_every_unit_are_read() {
    let config = from_file(
        r#"
        [listen]
        websocket = "127.0.0.1:9000"
        tcp = "off"
        admin = "[::1]:9002"

        [shards]
        cores = "0,2-3"

        [store]
        path = "/var/lib/corelay"
        durability = "interval"
        sync_interval = "250 ms"
        commit_bytes_max = 4_194_304

        [connection]
        count_max = 500
        ping_period = "5min"
        pong_timeout = "1 h"
        inflight_bytes_max = "2MiB"

        [auth]
        mode = "jwt"
        jwks_file = "/etc/corelay/keys.json"
        jwt_secret_env = ""
        jwt_issuer = "https://id.example"

        [presence]
        updates_per_second_max = 30

        [log]
        filter = "info,corelay::server=debug"
        format = "json"
        "#,
    )
    .expect("every line of it is right");
    assert_eq!(config.listen.websocket, Some(([127, 0, 0, 1], 9000).into()));
    assert_eq!(config.listen.tcp, None);
    assert_eq!(config.listen.admin, "[::1]:9002".parse().ok());
    assert_eq!(config.shards.cores, Cores::List(vec![0, 2, 3]));
    assert_eq!(config.store.path, PathBuf::from("/var/lib/corelay"));
    assert_eq!(config.store.durability, Durability::Interval);
    assert_eq!(config.store.sync_interval, Duration::from_millis(250));
    assert_eq!(config.store.commit_bytes_max, 4 << 20);
    assert_eq!(config.connection.count_max, 500);
    assert_eq!(config.connection.ping_period, Duration::from_secs(300));
    assert_eq!(config.connection.pong_timeout, Duration::from_secs(3600));
    assert_eq!(config.connection.inflight_bytes_max, 2 << 20);
    assert_eq!(config.auth.mode, AuthMode::Jwt);
    let sources: Vec<_> = config.auth.key_sources().collect();
    let jwks = Path::new("/etc/corelay/keys.json");
    assert_eq!(sources, [KeySource::JwksFile(jwks)]);
    assert_eq!(
        config.auth.jwt_issuer.as_deref(),
        Some("https://id.example")
    );
    assert_eq!(config.auth.jwt_audience, None);
    assert_eq!(config.presence.updates_per_second_max, 30);
    assert_eq!(config.log.filter, "info,corelay::server=debug");
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.fanout, Config::default().fanout);
}

#[test]
fn cores_are_all_a_count_or_a_list() {
    let table = [
        (r#"cores = "all""#, Cores::All),
        ("cores = 4", Cores::Count(4)),
        (r#"cores = "4""#, Cores::Count(4)),
        (r#"cores = "0,1""#, Cores::List(vec![0, 1])),
        (r#"cores = "2-5""#, Cores::List(vec![2, 3, 4, 5])),
        (r#"cores = "0, 2-3""#, Cores::List(vec![0, 2, 3])),
        (r#"cores = "3-3""#, Cores::List(vec![3])),
    ];
    for (line, expected) in table {
        let config = from_file(&format!("[shards]\n{line}\n")).expect(line);
        assert_eq!(config.shards.cores, expected, "{line}");
    }
}

#[test]
fn cores_are_chosen_from_those_that_the_process_may_run_on() {
    let allowed = [1, 3, 5];
    let table = [
        (Cores::All, Ok(vec![1, 3, 5])),
        (Cores::Count(2), Ok(vec![1, 3])),
        (
            Cores::Count(4),
            Err(CoresError::TooFew {
                wanted: 4,
                allowed: 3,
            }),
        ),
        (Cores::List(vec![5, 1]), Ok(vec![5, 1])),
        (
            Cores::List(vec![1, 2, 3, 4]),
            Err(CoresError::NotAllowed {
                missing: vec![2, 4],
            }),
        ),
    ];
    for (cores, expected) in table {
        assert_eq!(cores.choose(&allowed), expected, "{cores:?}");
    }
}

#[test]
fn the_command_line_wins_over_the_file_and_over_itself() {
    let mut draft = Draft::default();
    draft.file(
        "corelay.toml",
        "[connection]\ncount_max = 10\ndocuments_max = 7\n",
    );
    draft.set("connection.count_max=20");
    draft.set("connection.count_max = 30");
    draft.set("log.filter=corelay=debug");
    draft.set("store.path='/srv/with space'");
    draft.set(r#"shards.cores="0,1""#);
    let config = draft.finish().expect("every value is right");
    assert_eq!(config.connection.count_max, 30);
    assert_eq!(config.connection.documents_max, 7);
    assert_eq!(config.log.filter, "corelay=debug");
    assert_eq!(config.store.path, PathBuf::from("/srv/with space"));
    assert_eq!(config.shards.cores, Cores::List(vec![0, 1]));
}

#[test]
fn the_printed_form_is_read_back_unchanged() {
    let changed = from_arguments(&[
        "listen.tcp=off",
        "shards.cores=3-3",
        "store.durability=never",
        r"store.path=/srv/a\b",
        "presence.ttl=1500 ms",
        "auth.mode=jwt",
        r"auth.jwt_key_file=/etc/a\b.pem",
        "auth.jwt_audience=a \"relay\"",
        "store.cache_bytes=1048577",
    ])
    .expect("every value is right");
    for config in [Config::default(), changed] {
        assert_eq!(from_file(&config.to_toml()), Ok(config.clone()));
        assert_eq!(from_file(&config.to_commented_toml()), Ok(config));
    }
}

/// The file in `tuning` is the table of keys in print: every key, its default, its unit, its range.
#[test]
fn the_commented_file_is_the_defaults() {
    let text = include_str!("../../tuning/corelay.toml");
    assert_eq!(from_file(text), Ok(Config::default()));
    for key in KEYS {
        let (unit, range) = (key.unit)();
        let line = format!("{} = {}", key.name, key.value(&Config::default()));
        let change = match key.change {
            Change::Reload => "a reload",
            Change::Counted => "a reload if a quota was set before",
            Change::Told => "a reload from one to another, and by a restart from or to none",
            Change::Restart => "a restart",
        };
        let entry = format!("# Unit: {unit}. Range: {range}. Changed by {change}.\n{line}\n");
        assert!(text.contains(&entry), "{} should have\n{entry}", key.path());
        assert!(!key.effect.is_empty(), "{} says nothing", key.path());
    }
    assert_eq!(
        text,
        Config::default().to_commented_toml(),
        "write it again: corelay serve --explain > tuning/corelay.toml"
    );
}

/// Every bound is one that the key takes, and what lies beyond is refused.
#[test]
fn ranges_mean_what_they_say() {
    let mut bounded = 0;
    for key in KEYS {
        let (unit, range) = (key.unit)();
        if !["bytes", "count", "percent", "time"].contains(&unit) {
            continue;
        }
        bounded += 1;
        let refused_itself = |value: &str| {
            let errors = from_arguments(&[&format!("{}={value}", key.path())]).err();
            errors.is_some_and(|errors| {
                errors
                    .iter()
                    .any(|error| matches!(error, ConfigError::ValueInvalid { .. }))
            })
        };
        let (range, is_optional) = match range.strip_suffix(", or \"off\" (or 0)") {
            Some(range) => (range, true),
            None => (range.as_str(), false),
        };
        let (low, high) = range.split_once(" to ").expect("a range has two ends");
        assert!(!refused_itself(low), "{} = {low}", key.path());
        assert!(!refused_itself(high), "{} = {high}", key.path());
        let digits = high.find(|character: char| !character.is_ascii_digit());
        let (number, rest) = high.split_at(digits.unwrap_or(high.len()));
        let number: u64 = number.parse().expect("a bound starts with its number");
        assert!(
            refused_itself(&format!("{}{rest}", number + 1)),
            "{} above {high}",
            key.path()
        );
        let zero = if unit == "time" { "0 s" } else { "0" };
        assert_eq!(
            refused_itself(zero),
            !is_optional,
            "{} = {zero}",
            key.path()
        );
        assert_eq!(refused_itself("off"), !is_optional, "{} = off", key.path());
    }
    assert!(bounded > 30, "only {bounded} keys have bounds");
}

#[test]
fn the_budget_is_the_sum_of_the_limits() {
    let config = from_arguments(&[
        "connection.count_max=1024",
        "auth.revocations_max=1024",
        "connection.handshake_bytes_max=2 KiB",
        "connection.posted_bytes_max=3 MiB",
        "http.bytes_max=260 MiB",
        "memory.input_bytes_max=4 MiB",
        "memory.output_bytes_max=8 MiB",
        "memory.document_bytes_max=100 MiB",
        "memory.pending_bytes_max=16 MiB",
        "memory.catch_up_reads_max=10",
        "memory.catch_up_page_bytes=100 KiB",
        "store.commit_bytes_max=2 MiB",
        "store.cache_bytes=32 MiB",
        "store.write_buffer_bytes=64 MiB",
    ])
    .expect("every value is right");
    let mib = 1 << 20;
    // 1024 connections of 4 KiB, 1024 requests of 2 KiB, the pools, the pages.
    let per_shard = (4 + 2) * mib + (3 + 4 + 8 + 100 + 16) * mib + 10 * 100 * 1024;
    for shards in [1, 3] {
        let budget = Budget::new(&config, shards);
        // With 28 MiB and four messages of a MiB for a backup, and one for the log.
        assert_eq!(budget.bytes(), shards as u64 * per_shard + 393 * mib);
        let text = budget.to_string();
        for share in &budget.shares {
            assert!(
                text.contains(share.what) && text.contains(share.keys),
                "{text}"
            );
        }
    }
}

//! Configuration as its writer meets it: the values that are taken, and the words of every refusal.

use std::path::PathBuf;
use std::time::Duration;

use corelay::config::{
    Budget, Config, ConfigError, Cores, CoresError, Draft, Durability, KEYS, LogFormat,
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

/// What a user reads, a line for each mistake.
fn refusal(result: Result<Config, Vec<ConfigError>>) -> String {
    let errors = result.expect_err("it should have been refused");
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
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
fn a_refused_file_says_where_what_and_what_instead() {
    let table = [
        (
            "[connection]\n\nping_perod = \"5 s\"\n",
            "corelay.toml line 3: there is no key connection.ping_perod; did you mean connection.ping_period?",
        ),
        (
            "[conection]\ncount_max = 3\n",
            "corelay.toml line 1: there is no table [conection]; did you mean [connection]?",
        ),
        (
            "[plumbing]\n",
            "corelay.toml line 1: there is no table [plumbing]; the tables are listen, shards, store, connection, \
             document, fanout, presence, memory, log",
        ),
        (
            "[store]\nidle_timeout = \"1 s\"\n",
            "corelay.toml line 2: there is no key store.idle_timeout; did you mean document.idle_timeout?",
        ),
        (
            "[presence]\nxyzzy = 1\n",
            "corelay.toml line 2: there is no key presence.xyzzy; the keys of [presence] are \
             updates_per_second_max, ttl, bytes_max",
        ),
        (
            "ping_period = \"5 s\"\n",
            "corelay.toml line 1: there is no key ping_period; did you mean connection.ping_period?",
        ),
        (
            "listen = \"0.0.0.0:80\"\n",
            "corelay.toml line 1: listen is a table; write its keys below [listen]",
        ),
        (
            "[connection]\nwrite_timeout = 10\n",
            "corelay.toml line 2: connection.write_timeout = \"10\" is wrong: it has no unit (ms, s, min, h); \
             write it as in \"10 s\". Range: 100 ms to 1 h",
        ),
        (
            "[connection]\nwrite_timeout = \"10 sec\"\n",
            "corelay.toml line 2: connection.write_timeout = \"10 sec\" is wrong: its unit is none of \
             ms, s, min, h. Range: 100 ms to 1 h",
        ),
        (
            "[connection]\nwrite_timeout = \"2 h\"\n",
            "corelay.toml line 2: connection.write_timeout = \"2 h\" is wrong: it is too large. \
             Range: 100 ms to 1 h",
        ),
        (
            "[connection]\nwrite_timeout = \"1.5 s\"\n",
            "corelay.toml line 2: connection.write_timeout = \"1.5 s\" is wrong: it has a fraction; \
             write a whole number of a smaller unit (ms, s, min, h). Range: 100 ms to 1 h",
        ),
        (
            "[connection]\nmessage_bytes_max = \"1 MB\"\n",
            "corelay.toml line 2: connection.message_bytes_max = \"1 MB\" is wrong: its unit is none of \
             B, KiB, MiB, GiB. Range: 4 KiB to 64 MiB",
        ),
        (
            "[connection]\nmessage_bytes_max = 17\n",
            "corelay.toml line 2: connection.message_bytes_max = \"17\" is wrong: it is too small. \
             Range: 4 KiB to 64 MiB",
        ),
        (
            "[connection]\nmessage_bytes_max = \"99999999999 GiB\"\n",
            "corelay.toml line 2: connection.message_bytes_max = \"99999999999 GiB\" is wrong: it is too large. \
             Range: 4 KiB to 64 MiB",
        ),
        (
            "[connection]\ncount_max = \"many\"\n",
            "corelay.toml line 2: connection.count_max = \"many\" is wrong: it is not a whole number. \
             Range: 1 to 1000000",
        ),
        (
            "[connection]\ncount_max = -1\n",
            "corelay.toml line 2: connection.count_max = \"-1\" is wrong: it is not a whole number. \
             Range: 1 to 1000000",
        ),
        (
            "[connection]\ncount_max = 1.5\n",
            "corelay.toml line 2: connection.count_max is a number with a fraction, not a text or a whole number",
        ),
        (
            "[shards]\ncores = [0, 1]\n",
            "corelay.toml line 2: shards.cores is an array, not a text or a whole number",
        ),
        (
            "[shards]\ncores = \"1,1-2\"\n",
            "corelay.toml line 2: shards.cores = \"1,1-2\" is wrong: core 1 is in it twice. Range: \"all\", a count \
             from 1 to 1024 as in 4, or a list of core numbers as in \"0,1\", \"2-5\", \"0,2-3\", \"3-3\"",
        ),
        (
            "[store]\ndurability = \"alway\"\n",
            "corelay.toml line 2: store.durability = \"alway\" is wrong: there is no such choice; \
             \"always\" is the nearest. Range: \"always\", \"interval\", \"never\"",
        ),
        (
            "[listen]\nwebsocket = \"localhost:7400\"\n",
            "corelay.toml line 2: listen.websocket = \"localhost:7400\" is wrong: names are not looked up; \
             write \"127.0.0.1:7400\". Range: an IP address and a port as in \"0.0.0.0:7400\" or \"[::]:7400\", \
             or \"off\"",
        ),
        (
            "[listen]\nwebsocket = 7400\n",
            "corelay.toml line 2: listen.websocket = \"7400\" is wrong: it has no IP address; \
             write \"0.0.0.0:7400\". Range: an IP address and a port as in \"0.0.0.0:7400\" or \"[::]:7400\", \
             or \"off\"",
        ),
        (
            "[log]\nfilter = \"corelay=loud\"\n",
            "corelay.toml line 2: log.filter = \"corelay=loud\" is wrong: it is no filter. Range: off, error, warn, info, debug or trace, also for one module as in \
             \"info,corelay::server=debug\"",
        ),
        (
            "[connection]\ncount_max = 3\ncount_max = 4\n",
            "corelay.toml line 3: this is no TOML: duplicate key",
        ),
        (
            "[connection\ncount_max = 3\n",
            "corelay.toml line 1: this is no TOML: unclosed table, expected `]`",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(refusal(from_file(text)), expected, "for the file\n{text}");
    }
}

#[test]
fn a_refused_argument_is_named() {
    let table = [
        (
            "connection.ping_perod=5 s",
            "--set connection.ping_perod=5 s: there is no key connection.ping_perod; \
             did you mean connection.ping_period?",
        ),
        (
            "connection.count_max",
            "--set connection.count_max: there is no \"=\"; write table.key=value",
        ),
        (
            "durability=never",
            "--set durability=never: there is no key durability; did you mean store.durability?",
        ),
        (
            "shop.durability=never",
            "--set shop.durability=never: there is no table [shop]; the tables are listen, shards, store, \
             connection, document, fanout, presence, memory, log",
        ),
        (
            "store.path=",
            "--set store.path=: store.path = \"\" is wrong: it is empty. \
             Range: a directory; a relative one starts where the relay was started",
        ),
        (
            "fanout.warning_percent=100",
            "--set fanout.warning_percent=100: fanout.warning_percent = \"100\" is wrong: it is too large. \
             Range: 1 to 99",
        ),
    ];
    for (argument, expected) in table {
        assert_eq!(refusal(from_arguments(&[argument])), expected);
    }
}

#[test]
fn values_that_do_not_fit_each_other_are_explained() {
    let mut draft = Draft::default();
    draft.file("corelay.toml", "[connection]\nping_period = \"90 s\"\n");
    assert_eq!(
        refusal(draft.finish()),
        "connection.pong_timeout must be more than connection.ping_period: a quiet client is asked before it is \
         given up. Here: connection.pong_timeout = \"1 min\" (the default); \
         connection.ping_period = \"90 s\" (corelay.toml line 2)"
    );
    assert_eq!(
        refusal(from_arguments(&["listen.tcp=127.0.0.1:7400"])),
        "the addresses of [listen] must not share a port: each speaks another protocol. \
         Here: listen.websocket = \"0.0.0.0:7400\" (the default); \
         listen.tcp = \"127.0.0.1:7400\" (--set listen.tcp=127.0.0.1:7400); \
         listen.admin = \"127.0.0.1:7402\" (the default)"
    );
}

#[test]
fn each_relation_between_keys_is_checked() {
    let table: &[(&[&str], &str)] = &[
        (
            &["listen.websocket=off", "listen.tcp=off"],
            "listen.websocket and listen.tcp must not both be off",
        ),
        (
            &["connection.inflight_bytes_max=512 KiB"],
            "connection.inflight_bytes_max must be at least connection.message_bytes_max",
        ),
        (
            &["fanout.ring_slots=999"],
            "fanout.ring_slots must be at least fanout.lag_operations_max",
        ),
        (
            &["fanout.ring_bytes_max=1023 KiB"],
            "fanout.ring_bytes_max must be at least connection.message_bytes_max",
        ),
        (
            &["fanout.lag_bytes_max=1023 KiB"],
            "fanout.lag_bytes_max must be at least connection.message_bytes_max",
        ),
        (
            &["fanout.lag_operations_max=999"],
            "fanout.lag_operations_max must be at least connection.batch_operations_max",
        ),
        (
            &["fanout.flush_bytes_max=2 MiB"],
            "fanout.lag_bytes_max must be at least fanout.flush_bytes_max",
        ),
        (
            &["connection.message_bytes_max=32 KiB"],
            "connection.message_bytes_max must be at least presence.bytes_max",
        ),
        (
            &["store.commit_bytes_max=512 KiB"],
            "store.commit_bytes_max must be at least connection.message_bytes_max",
        ),
        (
            &["memory.input_bytes_max=512 KiB"],
            "memory.input_bytes_max must be at least connection.message_bytes_max",
        ),
        (
            &["memory.output_bytes_max=512 KiB"],
            "memory.output_bytes_max must be at least connection.message_bytes_max",
        ),
        (
            &["memory.pending_bytes_max=2 MiB"],
            "memory.pending_bytes_max must be at least connection.inflight_bytes_max",
        ),
        (
            &["memory.document_bytes_max=32 MiB"],
            "memory.document_bytes_max must be at least document.bytes_max",
        ),
    ];
    for (arguments, expected) in table {
        let text = refusal(from_arguments(arguments));
        assert!(text.contains(expected), "{arguments:?} gave\n{text}");
    }
}

#[test]
fn all_mistakes_are_named_at_once() {
    let mut draft = Draft::default();
    draft.file("corelay.toml", "[log]\nformat = 7\n\n[shard]\ncores = 1\n");
    draft.set("presence.ttl=30");
    let text = refusal(draft.finish());
    let places: Vec<_> = text
        .lines()
        .map(|line| line.split(": ").next().unwrap_or_default())
        .collect();
    assert_eq!(
        places,
        [
            "corelay.toml line 2",
            "corelay.toml line 4",
            "--set presence.ttl=30"
        ],
        "{text}"
    );
}

#[test]
fn the_printed_form_is_read_back_unchanged() {
    let changed = from_arguments(&[
        "listen.tcp=off",
        "shards.cores=3-3",
        "store.durability=never",
        r"store.path=/srv/a\b",
        "presence.ttl=1500 ms",
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
    let text = include_str!("../tuning/corelay.toml");
    assert_eq!(from_file(text), Ok(Config::default()));
    for key in KEYS {
        let (unit, range) = (key.unit)();
        let line = format!("{} = {}", key.name, key.value(&Config::default()));
        let entry = format!("# Unit: {unit}. Range: {range}.\n{line}\n");
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
        assert!(refused_itself(zero), "{} = {zero}", key.path());
    }
    assert!(bounded > 30, "only {bounded} keys have bounds");
}

#[test]
fn the_budget_is_the_sum_of_the_limits() {
    let config = from_arguments(&[
        "memory.input_bytes_max=4 MiB",
        "memory.output_bytes_max=8 MiB",
        "memory.document_bytes_max=100 MiB",
        "memory.pending_bytes_max=16 MiB",
        "memory.catch_up_reads_max=10",
        "memory.catch_up_page_bytes=100 KiB",
        "store.commit_bytes_max=2 MiB",
        "store.cache_bytes=32 MiB",
    ])
    .expect("every value is right");
    let mib = 1 << 20;
    let per_shard = (4 + 8 + 100 + 16) * mib + 10 * 100 * 1024;
    for shards in [1, 3] {
        let budget = Budget::new(&config, shards);
        assert_eq!(budget.bytes(), shards as u64 * per_shard + 34 * mib);
        let text = budget.to_string();
        for share in &budget.shares {
            assert!(
                text.contains(share.what) && text.contains(share.keys),
                "{text}"
            );
        }
    }
}

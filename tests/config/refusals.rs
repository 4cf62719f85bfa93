//! What a user reads when a configuration is wrong, word for word.

use corelay::config::{Config, ConfigError, Draft};

use super::{from_arguments, from_file};

/// What a user reads, a line for each mistake.
fn refusal(result: Result<Config, Vec<ConfigError>>) -> String {
    let errors = result.expect_err("it should have been refused");
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
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
            "corelay.toml line 1: there is no table [plumbing]; the tables are listen, shards, store, connection, http, \
             rate, auth, notify, quota, document, fanout, presence, memory, shutdown, log",
        ),
        (
            "[store]\nidle_timeout = \"1 s\"\n",
            "corelay.toml line 2: there is no key store.idle_timeout; did you mean document.idle_timeout?",
        ),
        (
            "[presence]\nxyzzy = 1\n",
            "corelay.toml line 2: there is no key presence.xyzzy; the keys of [presence] are \
             updates_per_second_max, ttl, bytes_max, document_bytes_max",
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
             write \"127.0.0.1:7400\". Range: an IP address and a port (0: any free one) as in \"0.0.0.0:7400\" or \"[::]:7400\", \
             or \"off\"",
        ),
        (
            "[listen]\nwebsocket = 7400\n",
            "corelay.toml line 2: listen.websocket = \"7400\" is wrong: it has no IP address; \
             write \"0.0.0.0:7400\". Range: an IP address and a port (0: any free one) as in \"0.0.0.0:7400\" or \"[::]:7400\", \
             or \"off\"",
        ),
        (
            "[log]\nfilter = \"corelay=loud\"\n",
            "corelay.toml line 2: log.filter = \"corelay=loud\" is wrong: \"loud\" is no level (off, error, warn, info, debug, trace). Range: off, error, warn, info, debug or trace, also for one module as in \
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
             connection, http, rate, auth, notify, quota, document, fanout, presence, memory, shutdown, log",
        ),
        (
            "store.path=",
            "--set store.path=: store.path = \"\" is wrong: it is empty. \
             Range: a directory; a relative one starts where the relay was started",
        ),
        (
            "auth.jwt_secret_env=$SECRET",
            "--set auth.jwt_secret_env=$SECRET: auth.jwt_secret_env = \"$SECRET\" is wrong: it is not the name of an \
             environment variable. Range: letters, digits and \"_\", or \"\" for none",
        ),
        (
            "auth.jwks_url=ftp://keys",
            "--set auth.jwks_url=ftp://keys: auth.jwks_url = \"ftp://keys\" is wrong: it starts with neither https:// \
             nor http://. Range: an address that starts with https:// or http://, or \"\" for none",
        ),
        (
            "auth.jwks_url=https://me:word@keys",
            "--set auth.jwks_url=https://me:word@keys: auth.jwks_url = \"https://me:word@keys\" is wrong: a name or a \
             password in it would be written to the log. Range: an address that starts with https:// or http://, or \
             \"\" for none",
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
            &["auth.mode=jwt"],
            "auth.mode = \"jwt\" needs exactly one of auth.jwt_key_file, auth.jwks_file, auth.jwks_url, \
             auth.jwt_secret_file and auth.jwt_secret_env",
        ),
        (
            &["auth.mode=jwt", "auth.jwks_file=a", "auth.jwt_secret_env=B"],
            "auth.mode = \"jwt\" needs exactly one of",
        ),
        (
            &["auth.jwt_key_file=public.pem"],
            "the keys of tokens need auth.mode = \"jwt\"",
        ),
        (
            &["auth.mode=webhook"],
            "auth.webhook_url and auth.mode = \"webhook\" need each other",
        ),
        (
            &["auth.webhook_url=http://backend/"],
            "auth.webhook_url and auth.mode = \"webhook\" need each other",
        ),
        (
            &[
                "auth.mode=webhook",
                "auth.webhook_url=http://b/",
                "auth.jwks_file=a",
            ],
            "the keys of tokens need auth.mode = \"jwt\"",
        ),
        (
            &[
                "auth.mode=webhook",
                "auth.webhook_url=http://b/",
                "auth.webhook_timeout=10 s",
            ],
            "with auth.mode = \"webhook\", connection.handshake_timeout must be more than auth.webhook_timeout",
        ),
        (
            &["notify.url=https://app.example/"],
            "notify.url and notify.secret_file need each other",
        ),
        (
            &["notify.debounce=1 min"],
            "notify.debounce_max must be at least notify.debounce",
        ),
        (
            &["auth.jwks_refresh=5 s"],
            "auth.jwks_refresh must be at least auth.jwks_refetch_after",
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

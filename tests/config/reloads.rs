//! A configuration over that of a relay that runs: what changes, what stays until a restart, and what is refused.

use corelay::config::{Change, Config, ConfigError, Draft, KEYS, Reload};

fn over(running: &Config, text: &str) -> Result<Reload, Vec<ConfigError>> {
    let mut draft = Draft::default();
    draft.file("corelay.toml", text);
    draft.finish_over(running)
}

#[test]
fn what_changes_and_what_stays_is_named() {
    let running = Config::default();
    let text =
        "[store]\npath = \"/elsewhere\"\n[presence]\nttl = \"1 min\"\n[quota]\ndocuments_max = 3\n";
    let reload = over(&running, text).expect("nothing is wrong");
    let changed: Vec<_> = reload
        .changed
        .iter()
        .map(|it| (it.key.path(), it.was.as_str()))
        .collect();
    assert_eq!(changed, [("presence.ttl".to_owned(), "\"30 s\"")]);
    let kept: Vec<_> = reload.kept.iter().map(|key| key.path()).collect();
    assert_eq!(kept, ["store.path", "quota.documents_max"]);
    let mut expected = running;
    expected.presence.ttl *= 2;
    assert_eq!(reload.config, expected);
}

#[test]
fn quotas_change_where_there_is_one() {
    let mut running = Config::default();
    running.quota.connections_max = Some(3);
    let reload = over(&running, "[quota]\ndocuments_max = 3\n").expect("nothing is wrong");
    assert_eq!(reload.config.quota.documents_max, Some(3));
    assert_eq!(reload.config.quota.connections_max, None);
    assert!(reload.kept.is_empty());
}

#[test]
fn whoever_is_told_can_be_another_and_not_nobody() {
    let mut running = Config::default();
    let told = "[notify]\nurl = \"http://there/\"\nsecret_file = \"there\"\ntimeout = \"1 s\"\n";
    let reload = over(&running, told).expect("nothing is wrong");
    let kept: Vec<_> = reload.kept.iter().map(|key| key.path()).collect();
    assert_eq!(kept, ["notify.url", "notify.secret_file"]);
    running.notify.timeout *= 2;
    running.notify.url = Some("http://here/".parse().expect("a URL"));
    running.notify.secret_file = Some("here".into());
    let reload = over(&running, told).expect("nothing is wrong");
    assert!(reload.kept.is_empty(), "{:?}", reload.kept);
    assert_eq!(reload.changed.len(), 3);
    let reload = over(&running, "[notify]\npeers = \"off\"\n").expect("nothing is wrong");
    let kept: Vec<_> = reload.kept.iter().map(|key| key.path()).collect();
    assert_eq!(kept, ["notify.url", "notify.secret_file", "notify.peers"]);
    assert_eq!(reload.config.notify.url, running.notify.url);
}

#[test]
fn what_does_not_fit_what_stays_is_refused() {
    let running = Config::default();
    let text = "[connection]\nmessage_bytes_max = \"4 KiB\"\ninflight_bytes_max = \"8 KiB\"\n[presence]\nbytes_max = \"4 KiB\"\n";
    let errors = over(&running, text).expect_err("the two do not fit");
    let [error] = &errors[..] else {
        panic!("{errors:?}")
    };
    assert_eq!(
        error.to_string(),
        "connection.inflight_bytes_max must be at least connection.message_bytes_max: a client must be able to send \
         its largest message. Here: connection.inflight_bytes_max = \"8 KiB\" (corelay.toml line 3); \
         connection.message_bytes_max = \"1 MiB\" (until a restart)"
    );
    let mut draft = Draft::default();
    draft.file("corelay.toml", text);
    draft.finish().expect("a restart takes it");
}

#[test]
fn what_is_wrong_is_wrong_as_at_the_start() {
    let text = "[connection]\nping_period = \"2 min\"\n[store]\ncount = 3\n";
    let errors = over(&Config::default(), text).expect_err("two things are wrong");
    let mut draft = Draft::default();
    draft.file("corelay.toml", text);
    assert_eq!(draft.finish().expect_err("they are"), errors);
    assert_eq!(errors.len(), 2);
}

/// Where a socket listens, where the store is, what is told of changes, what clients have been told of and of what pages the
/// memory is, is as it was at the start.
#[test]
fn the_keys_that_need_a_restart() {
    let (store, others): (Vec<_>, Vec<_>) = KEYS.iter().partition(|key| key.table == "store");
    assert!(store.iter().all(|key| key.change == Change::Restart));
    let restart = others.iter().filter(|key| key.change == Change::Restart);
    let paths: Vec<_> = restart.map(|key| key.path()).collect();
    assert_eq!(
        paths,
        [
            "listen.websocket",
            "listen.tcp",
            "listen.admin",
            "shards.cores",
            "connection.message_bytes_max",
            "connection.batch_operations_max",
            "auth.mode",
            "notify.peers",
            "notify.queue_max",
            "document.clients_max",
            "memory.lane_window_bytes",
            "memory.huge_pages",
        ]
    );
}

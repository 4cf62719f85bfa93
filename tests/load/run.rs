//! `corelay load` against the real relay: its figures, and its verdict.

use crate::common::Server;
use crate::support::{Load, load};

#[test]
fn every_operation_is_acknowledged_and_reaches_everybody() {
    let server = Server::spawn(&[]);
    for url in [
        format!("ws://{}", server.websocket),
        format!("tcp://{}", server.tcp),
    ] {
        for kind in ["log", "text"] {
            let ended = load(
                &url,
                &format!(
                    "--kind {kind} --documents 2 --clients 4 --writers 2 --operations-per-second 200 \
                     --payload-bytes 50 --duration 1.5 --warm-up 0 --presence-rate 2 --verify --pid {} --metrics {}",
                    server.pid(),
                    server.admin,
                ),
            );
            ended.expect_kept();
            assert_eq!(ended.number("operations.sent"), 300.0);
            assert_eq!(ended.number("operations.acknowledged"), 300.0);
            // Three others read each operation.
            let latencies = "latency_us.delivery_healthy";
            assert_eq!(ended.number(&format!("{latencies}.count")), 900.0);
            assert!(
                ended.number(&format!("{latencies}.p50"))
                    <= ended.number(&format!("{latencies}.max"))
            );
            assert!(ended.number("presence.received") > 0.0);
            assert!(ended.number("server.rss_bytes") > 0.0);
            assert_eq!(ended.figures["errors"], serde_json::json!({}));
            assert!(ended.number("relay.operations_per_commit") > 0.0);
            assert!(ended.number("relay.deliveries_per_send") > 0.0);
            for stage in ["queue", "gather", "commit", "sync", "reply"] {
                let p50 = ended.number(&format!("relay.stages_ms.{stage}.p50"));
                assert!(p50 > 0.0, "{stage}: {}", ended.output);
            }
        }
    }
}

#[test]
fn an_idle_relay_is_no_error_and_an_absent_one_is() {
    let server = Server::spawn(&[]);
    let url = format!("ws://{}", server.websocket);
    let idle = load(&url, "--writers 0 --duration 0.2 --warm-up 0");
    assert!(idle.success, "{}", idle.output);
    assert_eq!(idle.number("operations.sent"), 0.0);

    let unchecked = load(&url, "--writers 0 --duration 0.2 --warm-up 0 --verify");
    assert!(
        !unchecked.success && unchecked.output.contains("nothing was checked"),
        "{}",
        unchecked.output
    );
    let unwritable = load(&url, "--duration 60 --html /does/not/exist/page.html");
    assert!(
        !unwritable.success && unwritable.output.contains("/does/not/exist/page.html"),
        "{}",
        unwritable.output
    );

    let wrong = load(&url, "--writers 11 --clients 10");
    assert!(
        !wrong.success && wrong.output.contains("--writers 11"),
        "{}",
        wrong.output
    );
    let trace = load(&url, "--trace /does/not/exist");
    assert!(
        !trace.success && trace.output.contains("/does/not/exist"),
        "{}",
        trace.output
    );
}

#[test]
fn slow_and_stalled_clients_are_resynced_and_the_healthy_see_nothing_of_it() {
    let server = Server::spawn(&[]);
    let ended = load(
        &format!("ws://{}", server.websocket),
        "--clients 6 --writers 2 --operations-per-second 400 --payload-bytes 16000 --duration 3 --warm-up 0 \
         --slow-percent 17 --slow-bytes-per-second 100000 --stalled-percent 17 --verify --drain 30",
    );
    ended.expect_kept();
    assert!(ended.number("resyncs") >= 1.0, "{}", ended.output);
    // Three healthy others read each operation, without an error of any kind.
    assert_eq!(ended.number("latency_us.delivery_healthy.count"), 3600.0);
    assert_eq!(ended.figures["errors"], serde_json::json!({}));
}

#[test]
fn a_stalled_client_that_the_relay_gives_up_comes_back_to_the_same_document() {
    let server = Server::spawn(&["connection.write_timeout=\"1 s\""]);
    let ended = load(
        &format!("tcp://{}", server.tcp),
        "--clients 4 --writers 1 --operations-per-second 400 --payload-bytes 16000 --duration 4 --warm-up 0 \
         --stalled-percent 25 --verify --reconnect --drain 30",
    );
    ended.expect_kept();
    assert_eq!(ended.number("connections_lost"), 1.0, "{}", ended.output);
    assert_eq!(ended.number("reconnects"), 1.0, "{}", ended.output);
}

#[test]
fn a_relay_that_forgets_what_it_acknowledged_is_found_out() {
    let directory = tempfile::TempDir::new().expect("there is room for a directory");
    let mut server = Server::spawn_in(directory.path(), &[]);
    let address = format!("listen.tcp={}", server.tcp);
    let load = Load::spawn(
        &format!("tcp://{}", server.tcp),
        "--clients 3 --writers 1 --operations-per-second 200 --duration 4 --warm-up 0 --verify --reconnect --drain 3",
    );
    server.wait_for("an acknowledgement", || {
        (server.metric("acks_total") > 50).then_some(())
    });
    server.kill();
    std::fs::remove_dir_all(server.data()).expect("it is ours");
    let _forgetful = Server::spawn_in(directory.path(), &[&address]);
    let ended = load.wait();
    assert!(!ended.success);
    assert!(ended.output.contains("S3 durability"), "{}", ended.output);
}

#[test]
fn a_load_that_nobody_lets_in_is_an_error() {
    let directory = tempfile::TempDir::new().expect("there is room");
    let [mode, secret] = crate::common::tokens::settings(directory.path());
    let server = Server::spawn(&[&mode, &secret]);
    let url = format!("ws://{}", server.websocket);
    let run = |token: &str, others: &str| {
        load(
            &url,
            &format!("--token {token} --duration 0.2 --warm-up 0 --clients 3 {others}"),
        )
    };
    for others in ["", "--reconnect", "--verify"] {
        let refused = run("x.y.z", others);
        assert!(!refused.success, "{}", refused.output);
        assert!(
            refused.output.contains("3 of 3 clients") && refused.output.contains("UNAUTHORIZED"),
            "{}",
            refused.output
        );
    }
    // They are let in, and nothing that they write is.
    let all = crate::common::tokens::token(serde_json::json!({}));
    run(&all, "--document-prefix read --verify").expect_kept();
    let reader = crate::common::tokens::token(serde_json::json!({"permissions": ["read"]}));
    let refused = run(&reader, "--document-prefix read");
    assert!(!refused.success, "{}", refused.output);
    assert!(
        refused.output.contains("none of ") && refused.output.contains("FORBIDDEN"),
        "{}",
        refused.output
    );
}

#[test]
fn a_relay_that_lets_nobody_be_that_fast_is_named_as_the_reason() {
    let server = Server::spawn(&["rate.connection_operations_per_second=200", "rate.burst=1s"]);
    let url = format!("tcp://{}", server.tcp);
    let ended = load(
        &url,
        "--clients 2 --writers 1 --operations-per-second 500 --duration 1 --warm-up 0",
    );
    assert!(ended.success, "{}", ended.output);
    assert!(ended.number("errors.RATE_LIMITED") > 0.0);
    assert!(
        ended.output.contains("error RATE_LIMITED: "),
        "{}",
        ended.output
    );
}

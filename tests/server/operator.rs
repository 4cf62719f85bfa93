//! What the log tells whoever runs the relay of what they have done, and of what happened while they were not there.

use std::time::Duration;

use crate::common::client::Client;
use crate::common::receiver::{self, Receiver, SECRETS};
use crate::common::tokens::{self, greet, last_word, token};
use crate::common::{Server, nobody};
use serde_json::{Value, json};
use tempfile::TempDir;

fn post(server: &Server, path: &str, what: &Value) -> Value {
    let (status, body) = server.post_control(path, "application/json", &what.to_string());
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

/// The lines that say who was closed by hand.
fn closed(server: &Server) -> Vec<String> {
    let log = server.log();
    let lines = log
        .lines()
        .filter(|line| line.contains("closed by whoever runs the relay "));
    lines.map(str::to_owned).collect()
}

#[test]
fn everybody_who_is_closed_by_hand_is_named() {
    let directory = TempDir::new().expect("a directory");
    let [mode, secret] = tokens::settings(directory.path());
    let server = Server::spawn(&[&mode, &secret]);
    let token = token(json!({"tenant": "acme"}));
    let mut clients: Vec<_> = (0..20).map(|_| Client::tcp(&server)).collect();
    for (number, client) in (0..).zip(&mut clients) {
        greet(client, number, &token).expect("it is good");
    }
    let reason = "tidying up";
    let what = json!({"user": "ada", "tenant": "acme", "reason": reason, "may_return": false});
    assert_eq!(post(&server, "/close", &what)["closed"], 20);
    for client in &mut clients {
        last_word(client);
    }
    let lines = server.wait_for("a line for each", || {
        Some(closed(&server)).filter(|lines| lines.len() == 20)
    });
    for line in &lines {
        for part in [
            reason,
            "connection=\"0-",
            "user=\"ada\"",
            "tenant=\"acme\"",
            "address=127.0.0.1",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
    let mut last = Client::tcp(&server);
    greet(&mut last, 30, &token).expect("it is good");
    assert_eq!(
        post(
            &server,
            "/revoke",
            &json!({"user": "ada", "tenant": "acme"})
        )["closed"],
        1
    );
    last_word(&mut last);
    let line = server.wait_for("a line", || closed(&server).get(20).cloned());
    assert!(
        line.contains("revoked") && line.contains("user=\"ada\""),
        "{line}"
    );
}

#[test]
fn a_start_after_a_crash_says_so() {
    let directory = TempDir::new().expect("a directory");
    let word = "did not stop as planned";
    let mut server = Server::spawn_in(directory.path(), &[]);
    let mut writer = Client::tcp(&server);
    writer.hello(1);
    let opened = writer.open("paper");
    writer.send(opened.document, 1, 0, &["hello"]);
    writer.ack(1);
    assert!(!server.log().contains(word));
    server.kill();
    drop(server);

    let mut server = Server::spawn_in(directory.path(), &[]);
    server.wait_for_log(word);
    server.wait_for_log("everything that was acknowledged is there");
    server.terminate();
    assert!(server.wait().success());
    drop(server);

    let server = Server::spawn_in(directory.path(), &[]);
    assert_eq!(server.log().matches(word).count(), 1, "{}", server.log());
}

#[test]
fn a_reload_says_that_other_keys_hold() {
    let directory = TempDir::new().expect("a directory");
    let [mode, secret] = tokens::settings(directory.path());
    let server = Server::spawn(&[&mode, &secret]);
    let word = "is not what it was";
    assert!(!server.reload().contains(word));
    std::fs::write(
        directory.path().join("secret"),
        "another secret, which is long enough\n",
    )
    .expect("the directory is there");
    let log = server.reload();
    assert!(log.contains(word) && log.contains("changed=0"), "{log}");
    assert!(!server.reload().contains(word));
}

#[test]
fn a_backend_that_is_not_there_is_no_line_for_each_client() {
    let nobody = nobody();
    let url = format!("auth.webhook_url=http://{nobody}/");
    let mut server = Server::spawn(&["auth.mode=webhook", &url]);
    for number in 0..20 {
        let mut client = Client::tcp(&server);
        let error = greet(&mut client, number, "token").expect_err("nobody answers");
        assert!(error.retryable);
    }
    // Its log is whole when it has ended.
    server.terminate();
    assert!(server.wait().success());
    let lines = server.log().matches("no word about a token").count();
    assert!((1..=10).contains(&lines), "{}", server.log());
}

#[test]
fn a_receiver_that_is_there_again_is_said_to_be() {
    let directory = TempDir::new().expect("a directory");
    let receiver = Receiver::start();
    receiver.answer(503, Duration::ZERO);
    let own = receiver::settings(receiver.address, directory.path(), SECRETS[0]);
    let own: Vec<_> = own.iter().map(String::as_str).collect();
    let server = Server::spawn_in(directory.path(), &own);
    let mut writer = Client::tcp(&server);
    writer.hello(1);
    let opened = writer.open("paper");
    writer.send(opened.document, 1, 0, &["hello"]);
    writer.ack(1);
    server.wait_for_log("does not take what it is told: the answer is 503");
    assert!(!server.log().contains("takes again"));
    receiver.answer(200, Duration::ZERO);
    server.wait_for_log("takes again what it is told");
}

#[test]
fn memory_is_of_huge_pages_only_if_that_is_wanted() {
    for (settings, expected) in [(&[][..], "0"), (&["memory.huge_pages=on"][..], "1")] {
        let server = Server::spawn(settings);
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid()));
        let status = status.expect("the relay runs");
        let enabled = status
            .lines()
            .find_map(|line| line.strip_prefix("THP_enabled:"))
            .expect("a line about huge pages");
        assert_eq!(enabled.trim(), expected, "{settings:?}");
    }
}

//! Tokens that are taken back while their clients are connected, over real sockets of two shards.

use std::path::Path;

use crate::common::Server;
use crate::common::client::{Client, connect};
use crate::common::tokens::{self, greet, last_word, now_s, token};
use serde_json::{Value, json};
use tempfile::TempDir;

fn server(directory: &Path, settings: &[&str]) -> Server {
    let [mode, secret] = tokens::settings(directory);
    let own = [mode.as_str(), &secret, "shards.cores=2"];
    Server::spawn_in(directory, &[&own, settings].concat())
}

/// Returns how many connections were closed.
fn revoke(server: &Server, what: Value) -> u64 {
    let (status, body) = server.post_control("/revoke", "application/json", &what.to_string());
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    let revoked = answer["revoked"].as_str().expect("whose");
    server.wait_for_log(&format!("revoked: {revoked}"));
    answer["closed"].as_u64().expect("a number")
}

fn tcp(server: &Server, number: u64, token: &str) -> Client {
    let mut client = Client::tcp(server);
    greet(&mut client, number, token).expect("the token is accepted");
    client
}

/// One whose token came with its request, and with a document in its URL: it is on that document's shard.
fn websocket(server: &Server, number: u64, token: &str, document: &str) -> Client {
    let mut client = in_head(server, token, document).expect("the token is accepted");
    greet(&mut client, number, "").expect("the token is accepted");
    client.open(document);
    client
}

fn in_head(server: &Server, token: &str, document: &str) -> Result<Client, u16> {
    let header = ("Authorization", format!("Bearer {token}"));
    connect(server, &format!("/ws/documents/{document}"), Some(header))
}

fn assert_refused(server: &Server, token: &str) {
    for document in ["a", "b", "c", "d"] {
        assert_eq!(in_head(server, token, document).err(), Some(401));
        let mut client = Client::tcp(server);
        let error = greet(&mut client, 1, token).expect_err("it was revoked");
        assert_eq!((error.code, error.retryable), (4001, false));
        assert!(error.message.contains("revoked"), "{}", error.message);
    }
}

#[test]
fn one_token_is_taken_back_everywhere_and_for_good() {
    let directory = TempDir::new().expect("a directory");
    let mut server = server(directory.path(), &[]);
    let (lost, kept) = (token(json!({"jti": "lost"})), token(json!({"jti": "kept"})));
    let mut clients: Vec<_> = (0..8).map(|number| tcp(&server, number, &lost)).collect();
    let documents = ["a", "b", "c", "d", "e", "f"];
    clients.extend(
        (8..)
            .zip(documents)
            .map(|(number, document)| websocket(&server, number, &lost, document)),
    );
    let mut stays = websocket(&server, 20, &kept, "a");
    // It has said nothing yet.
    let mut early = in_head(&server, &lost, "b").expect("the token is accepted");

    assert_eq!(revoke(&server, json!({"token_id": "lost"})), 15);
    for mut client in clients {
        let close = last_word(&mut client);
        assert_eq!((close.code, close.retryable), (4001, false));
        assert!(close.message.contains("revoked"), "{}", close.message);
    }
    assert_eq!(last_word(&mut early).code, 4001);
    assert_refused(&server, &lost);
    let opened = stays.open("c");
    stays.send(opened.document, 1, 0, &["still here"]);
    assert_eq!(stays.ack(1), 1);
    assert_eq!(revoke(&server, json!({"token_id": "lost"})), 0);

    server.kill();
    let server = self::server(directory.path(), &[]);
    assert_refused(&server, &lost);
    tcp(&server, 20, &kept);
}

#[test]
fn every_token_of_a_user_is_taken_back_and_a_later_one_is_good() {
    let directory = TempDir::new().expect("a directory");
    let server = server(directory.path(), &[]);
    let earlier = token(json!({"tenant": "acme", "iat": now_s() - 5}));
    let undated = token(json!({"tenant": "acme", "jti": "undated"}));
    let elsewhere = token(json!({"tenant": "beta", "iat": now_s() - 5}));
    let another = token(json!({"tenant": "acme", "sub": "eve", "iat": now_s() - 5}));
    let mut gone = [
        tcp(&server, 1, &earlier),
        websocket(&server, 2, &undated, "a"),
    ];
    let mut stay = [
        tcp(&server, 3, &elsewhere),
        websocket(&server, 4, &another, "a"),
    ];

    assert_eq!(revoke(&server, json!({"user": "ada", "tenant": "acme"})), 2);
    for client in &mut gone {
        assert_eq!(last_word(client).code, 4001);
    }
    for client in &mut stay {
        client.open("b");
    }
    assert_refused(&server, &earlier);
    assert_refused(&server, &undated);
    let later = token(json!({"tenant": "acme", "iat": now_s() + 1}));
    let mut back = tcp(&server, 5, &later);
    // As a fresh token it does not do either.
    let error = greet(&mut back, 5, &earlier).expect_err("it was revoked");
    assert_eq!(error.code, 4001);
}

#[test]
fn what_cannot_be_revoked_is_said_in_words() {
    let directory = TempDir::new().expect("a directory");
    let server = server(directory.path(), &["auth.revocations_max=1"]);
    let long = json!({"token_id": "x".repeat(257)}).to_string();
    let huge = json!({"token_id": "x".repeat(17_000)}).to_string();
    let kind = "application/json";
    let table = [
        ("text/plain", r#"{"token_id": "x"}"#, 415, "Content-Type"),
        (kind, "", 400, "no request"),
        (kind, "{}", 400, "token_id"),
        (kind, r#"{"token_id": ""}"#, 400, "no token can have"),
        (kind, &long, 400, "no token can have"),
        (kind, r#"{"token_id": 7}"#, 400, "no request"),
        (kind, r#"{"token_id": "x", "user": "y"}"#, 400, "or {"),
        (kind, r#"{"tenant": "acme"}"#, 400, "or {"),
        (kind, r#"{"user": ""}"#, 400, "no token can name"),
        (
            kind,
            r#"{"user": "ada", "tenant": "a::b"}"#,
            400,
            "no token can name",
        ),
        (
            kind,
            r#"{"user": "ada", "tenants": "a"}"#,
            400,
            "unknown field",
        ),
        (kind, &huge, 413, ""),
    ];
    for (kind, body, status, words) in table {
        let answer = server.post_control("/revoke", kind, body);
        assert_eq!(answer.0, status, "{body}: {}", answer.1);
        assert!(answer.1.contains(words), "{body}: {}", answer.1);
    }
    assert_eq!(revoke(&server, json!({"token_id": "one"})), 0);
    let (status, problem) = server.post_control("/revoke", kind, r#"{"token_id": "two"}"#);
    assert_eq!(status, 503);
    assert!(problem.contains("auth.revocations_max"), "{problem}");
    // What cannot be kept over a restart is not in effect either.
    std::fs::create_dir(server.data().join("revocations.new")).expect("the directory is there");
    let (status, _) = server.post_control("/revoke", kind, r#"{"token_id": "one"}"#);
    assert_eq!(status, 500);

    let nobody = Server::spawn(&[]);
    let (status, problem) = nobody.post_control("/revoke", kind, r#"{"token_id": "one"}"#);
    assert_eq!(status, 409);
    assert!(problem.contains("auth.mode"), "{problem}");
}

#[test]
fn a_list_that_cannot_be_read_lets_nobody_in() {
    let directory = TempDir::new().expect("a directory");
    let mut server = server(directory.path(), &[]);
    revoke(&server, json!({"token_id": "one"}));
    let path = server.data().join("revocations");
    server.kill();
    let whole = std::fs::read_to_string(&path).expect("it is there");
    std::fs::write(&path, &whole[..whole.len() / 2]).expect("it can be written");
    let [mode, secret] = tokens::settings(directory.path());
    let refused = Server::try_spawn_in(directory.path(), &[&mode, &secret]);
    let log = refused.err().expect("it must not serve").log;
    assert!(log.contains("what was revoked cannot be read"), "{log}");
}

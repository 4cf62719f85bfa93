//! A backend that is asked what a token grants, over real sockets.

use std::collections::HashSet;
use std::time::Duration;

use crate::common::backend::Backend;
use crate::common::client::{Client, connect};
use crate::common::tokens::{greet, last_word, now_s};
use crate::common::{Server, nobody};
use bytes::Bytes;
use corelay::codec::wire::{Error, ErrorCode, Open, event, request};
use serde_json::{Value, json};

fn server(backend: &Backend, settings: &[&str]) -> Server {
    let url = format!("auth.webhook_url={}", backend.url());
    let own = ["auth.mode=webhook", &url, "shards.cores=2"];
    Server::spawn(&[&own, settings].concat())
}

fn greeted(server: &Server, number: u64, token: &str) -> Result<Client, Error> {
    let mut client = Client::tcp(server);
    greet(&mut client, number, token).map(|_| client)
}

fn opened(client: &mut Client, document: &str) -> Result<(bool, bool), i32> {
    client.request(request::Body::Open(Open {
        document: document.to_owned(),
        kind: "log".to_owned(),
        create: true,
        ..Open::default()
    }));
    client.expect("an answer", |event| match event {
        event::Body::Opened(opened) => {
            let may = opened.permissions.expect("Opened has them");
            Some(Ok((may.read, may.write)))
        }
        event::Body::Error(error) => Some(Err(error.code)),
        _other => None,
    })
}

#[test]
fn the_backend_says_who_a_client_is_and_what_it_may_do() {
    let backend = Backend::start();
    let directory = tempfile::tempdir().expect("a directory");
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "the backend knows this\n").expect("the directory is there");
    let secret = format!("auth.webhook_secret_file={}", secret.display());
    let server = server(&backend, &[&secret]);
    let grant = |tenant: &str, permissions: Value| json!({"sub": "ada", "name": "Ada", "tenant": tenant, "documents": ["no*"], "permissions": permissions});
    backend.answer(200, grant("acme", json!(["read", "write", "create"])));
    let mut writer = greeted(&server, 1, "writer's").expect("it is let in");
    assert_eq!(opened(&mut writer, "notes"), Ok((true, true)));
    assert_eq!(
        opened(&mut writer, "other"),
        Err(ErrorCode::Forbidden as i32)
    );
    let handle = writer.open("notes").document;
    writer.send(handle, 1, 0, &["secret"]);
    assert_eq!(writer.ack(1), 1);

    let (headers, body) = backend.requests().remove(0);
    assert_eq!(headers["authorization"], "Bearer the backend knows this");
    let expected = json!({"token": "writer's", "client": "00000000-0000-0000-0000-000000000001"});
    assert_eq!(
        serde_json::from_slice::<Value>(&body).expect("JSON"),
        expected
    );

    backend.answer(200, grant("acme", json!(["read"])));
    let mut reader = greeted(&server, 2, "reader's").expect("it is let in");
    assert_eq!(opened(&mut reader, "notes"), Ok((true, false)));
    assert_eq!(reader.remote(), (1, vec![Bytes::from("secret")]));
    // Another tenant's document of that name is another document, and this one may not make it.
    backend.answer(200, grant("beta", json!(["read"])));
    let mut stranger = greeted(&server, 3, "stranger's").expect("it is let in");
    assert_eq!(
        opened(&mut stranger, "notes"),
        Err(ErrorCode::Forbidden as i32)
    );

    // In the head of a WebSocket it is not looked at before Hello.
    backend.answer(200, grant("acme", json!(["read"])));
    let header = ("Authorization", "Bearer in the head".to_owned());
    let mut client = connect(&server, "/ws/documents/notes", Some(header)).expect("it is open");
    greet(&mut client, 4, "").expect("it is let in");
    assert_eq!(opened(&mut client, ""), Ok((true, false)));
}

#[test]
fn a_refusal_is_for_good_and_silence_is_not() {
    let backend = Backend::start();
    let server = server(&backend, &["auth.webhook_timeout=1s"]);
    let good = json!({"sub": "ada"});
    let no = (4001, false);
    let later = (5003, true);
    let table = [
        (401, good.to_string(), no),
        (403, String::new(), no),
        (
            200,
            json!({"sub": "ada", "exp": now_s() - 60}).to_string(),
            no,
        ),
        (500, good.to_string(), later),
        (404, String::new(), later),
        (302, String::new(), later),
        (200, String::new(), later),
        (200, json!({"user": "ada"}).to_string(), later),
        (
            200,
            json!({"sub": "ada", "permissions": ["rule"]}).to_string(),
            later,
        ),
        (
            200,
            json!({"sub": "ada", "padding": "x".repeat(70_000)}).to_string(),
            later,
        ),
    ];
    for (number, (status, body, expected)) in (0..).zip(table) {
        backend.answer(status, &body);
        let error = greeted(&server, number, "token")
            .err()
            .expect("it is refused");
        let found = (error.code, error.retryable);
        assert_eq!(found, expected, "{status}: {:.60}", body);
    }
    backend.answer(200, good);
    // None of that was remembered.
    greeted(&server, 0, "token")
        .map(drop)
        .expect("it is let in");

    backend.delay(Duration::from_secs(600));
    let error = greeted(&server, 20, "token").err().expect("it is refused");
    assert_eq!((error.code, error.retryable), later);
    server.wait_for_log("no answer within 1000 ms");
}

#[test]
fn a_backend_that_is_not_there_is_a_reason_to_come_back() {
    let nobody = nobody();
    let url = format!("auth.webhook_url=http://{nobody}/");
    let server = Server::spawn(&["auth.mode=webhook", &url]);
    let error = greeted(&server, 1, "token").err().expect("it is refused");
    assert_eq!((error.code, error.retryable), (5003, true));
}

#[test]
fn a_grant_is_remembered_for_a_while_and_no_longer_than_it_is_good() {
    let backend = Backend::start();
    let server = server(&backend, &["auth.webhook_cache=1h", "auth.leeway=1ms"]);
    backend.answer(200, json!({"sub": "ada"}));
    for _ in 0..5 {
        greeted(&server, 1, "token")
            .map(drop)
            .expect("it is let in");
    }
    assert_eq!(backend.requests().len(), 1);
    greeted(&server, 2, "token")
        .map(drop)
        .expect("another client");
    greeted(&server, 1, "other")
        .map(drop)
        .expect("another token");
    assert_eq!(backend.requests().len(), 3);

    backend.answer(200, json!({"sub": "ada", "exp": now_s() + 2}));
    let mut short = greeted(&server, 3, "short").expect("it is let in");
    assert_eq!(last_word(&mut short).code, 4001);
    backend.answer(401, "");
    let error = greeted(&server, 3, "short")
        .err()
        .expect("it is asked about again");
    assert_eq!(error.code, 4001);
    assert_eq!(backend.requests().len(), 5);
}

#[test]
fn a_revoked_user_is_asked_about_again() {
    let backend = Backend::start();
    let server = server(&backend, &["auth.webhook_cache=1h"]);
    backend.answer(200, json!({"sub": "ada", "tenant": "acme"}));
    let mut clients = [1, 2].map(|number| greeted(&server, number, "token").expect("it is let in"));
    let body = r#"{"user": "ada", "tenant": "acme"}"#;
    let (status, answer) = server.post_control("/revoke", "application/json", body);
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("the answer is JSON");
    assert_eq!((status, &answer["closed"]), (200, &json!(2)));
    assert_eq!(
        answer["revoked"],
        "the tokens of user \"ada\" of tenant \"acme\""
    );
    for client in &mut clients {
        assert_eq!(last_word(client).code, 4001);
    }
    // Its grant counts from when the backend is asked, in whole milliseconds.
    server.wait_for("the user to come back", || {
        greeted(&server, 1, "token").ok()
    });
    let asked: HashSet<_> = backend
        .requests()
        .into_iter()
        .map(|(_, body)| body)
        .collect();
    assert_eq!(asked.len(), 2);
    assert!(backend.requests().len() >= 3);
}

#[test]
fn a_secret_that_cannot_be_sent_is_named_and_nothing_is_served() {
    let backend = Backend::start();
    let url = format!("auth.webhook_url={}", backend.url());
    let settings = [
        "auth.mode=webhook",
        &url,
        "auth.webhook_secret_file=/nowhere/secret",
    ];
    let log = Server::try_spawn(&settings)
        .err()
        .expect("it must not serve")
        .log;
    assert!(
        log.contains("auth.webhook_secret_file") && log.contains("/nowhere/secret"),
        "{log}"
    );
}

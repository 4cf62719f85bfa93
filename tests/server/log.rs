//! The log of a real relay: its form, what of it is shown, that nobody waits for it, and that no secret is in it.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::common::backend::Backend;
use crate::common::client::{Client, connect, stream};
use crate::common::tokens::{self, greet};
use crate::common::{Server, http};
use serde_json::{Value, json};

fn put(server: &Server, filter: &str) -> (u16, String) {
    let length = filter.len();
    let request = format!(
        "PUT /log HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{filter}"
    );
    http(server.admin, &request)
}

#[test]
fn a_line_is_one_object() {
    let mut server = Server::spawn(&["log.format=json", "log.filter=trace"]);
    let mut client = Client::tcp(&server);
    client.hello(1);
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    let log = server.log();
    assert!(log.lines().count() > 10, "{log}");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        for member in ["timestamp", "level", "target"] {
            assert!(line[member].is_string(), "{line}");
        }
        assert!(line["fields"].is_object(), "{line}");
    }
    let mut lines = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let is_start = |line: &Value| line["fields"]["message"] == "corelay is up";
    let start = lines.find(is_start).expect("it says that it is up");
    let listening = start["fields"]["listening"].as_str().expect("text");
    assert!(listening.contains(&format!("tcp={}", server.tcp)));
    assert_eq!(start["fields"]["shards"], 1, "{start}");
}

#[test]
fn what_is_logged_is_changed_while_it_runs() {
    let server = Server::spawn(&[]);
    let shown = "warn,corelay=info\n".to_owned();
    assert_eq!(server.control("/log"), (200, shown.clone()));
    for (filter, reason) in [
        ("loud", "\"loud\" is no level"),
        ("corelay=loud", "\"loud\" is no level"),
        ("info,=debug", "is no module"),
        ("info,corelay[x]=debug", "is no module"),
        ("", "it is empty"),
    ] {
        let (status, body) = put(&server, filter);
        assert_eq!(status, 400, "{body}");
        assert!(body.contains(reason), "{body}");
        assert_eq!(server.control("/log"), (200, shown.clone()));
    }
    assert!(!server.log().contains("DEBUG"));
    let shown = "info,axum=off,mio=trace\n".to_owned();
    assert_eq!(
        put(&server, "info, axum=off, mio = trace\n"),
        (200, shown.clone())
    );
    assert_eq!(server.control("/log"), (200, shown));
    server.wait_for("a line of that module", || {
        server.control("/healthz");
        server.log().contains("TRACE").then_some(())
    });
    // What is said between these two lines is what is shown with the first.
    let [first, second] = ["corelay=info", "info"].map(|filter| {
        assert_eq!(put(&server, filter).0, 200);
        server.wait_for_log(&format!("has changed filter={filter:?}"));
        for _ in 0..3 {
            server.control("/healthz");
        }
        server.log().len()
    });
    assert!(!server.log()[first..second].contains("TRACE"));
}

#[test]
fn nobody_waits_for_who_reads_it_and_what_was_lost_is_said() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let settings = ["log.filter=trace", "shards.cores=2"];
    let mut server = Server::spawn_logging_to(Stdio::from(writer), &settings);
    let mut client = Client::tcp(&server);
    client.hello(1);
    let document = client.open("document").document;
    // More than the pipe and the relay hold: every request is a few lines of the HTTP server's.
    for number in 0..4000 {
        assert_eq!(server.control("/healthz").0, 200);
        client.send(document, number + 1, number, &["more"]);
        assert_eq!(client.ack(number + 1), number + 1);
    }
    assert!(server.metric("log_dropped_lines_total") > 0);
    let (_, metrics) = server.control("/metrics");
    assert!(metrics.contains("corelay_memory_limit_bytes{pool=\"log\"} 1048576"));
    server.terminate();
    let mut lines = BufReader::new(reader).lines();
    let missing = lines.find(|line| {
        let line = line.as_ref().expect("text");
        line.contains("lines are missing here")
    });
    assert!(missing.is_some(), "everything had room");
    std::thread::spawn(move || lines.for_each(drop));
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn who_never_reads_it_does_not_keep_the_relay_from_its_end() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut server = Server::spawn_logging_to(Stdio::from(writer), &["log.filter=trace"]);
    for _ in 0..1000 {
        assert_eq!(server.control("/healthz").0, 200);
    }
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    drop(reader);
}

#[test]
fn no_secret_is_in_it() {
    let directory = tempfile::TempDir::new().expect("there is room");
    let everything = ["log.filter=trace", "log.format=json"];
    let assert_hidden = |mut server: Server, secrets: &[&str]| {
        server.terminate();
        assert_eq!(server.wait().code(), Some(0));
        let log = server.log();
        assert!(log.contains("TRACE"), "all of it is shown");
        for secret in secrets {
            assert!(!log.contains(secret), "{secret} is in the log");
        }
    };

    let [mode, secret_file] = tokens::settings(directory.path());
    let settings = [&everything[..], &[&mode, &secret_file]].concat();
    let server = Server::spawn(&settings);
    let good = tokens::token(json!({}));
    let expired = tokens::token(json!({"exp": 1}));
    let wrong = format!("{}x", good);
    for token in [&good, &expired, &wrong] {
        let bearer = ("Authorization", format!("Bearer {token}"));
        let protocol = (
            "Sec-WebSocket-Protocol",
            format!("corelay.v1, bearer.{token}"),
        );
        for header in [bearer, protocol] {
            drop(connect(&server, "/ws/documents/notes", Some(header)));
        }
        drop(connect(&server, &format!("/ws?token={token}"), None));
        let _ = greet(&mut Client::tcp(&server), 1, token);
        for path in [
            format!("/v1/documents?token={token}"),
            format!("/events/documents/notes?version=3&token={token}"),
            "/v1/documents".to_owned(),
        ] {
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
            );
            std::io::Write::write_all(&mut stream(server.websocket), request.as_bytes())
                .expect("it is taken");
            http(server.admin, &request.replace(&path, "/healthz"));
        }
    }
    server.reload();
    assert_hidden(
        server,
        &[&good, &expired, &wrong, "a secret that only", "Bearer ey"],
    );

    let backend = Backend::start();
    backend.answer(200, json!({"sub": "ada"}));
    let secret = directory.path().join("webhook_secret");
    std::fs::write(&secret, "the backend's own secret").expect("there is room");
    let url = format!("auth.webhook_url={}", backend.url());
    let secret = format!("auth.webhook_secret_file={}", secret.display());
    let server = Server::spawn(&[&everything[..], &["auth.mode=webhook", &url, &secret]].concat());
    greet(&mut Client::tcp(&server), 1, "the client's token").expect("it is let in");
    backend.answer(500, "");
    greet(&mut Client::tcp(&server), 1, "the client's other token").expect_err("no answer");
    assert_eq!(backend.requests().len(), 2);
    assert_hidden(server, &["the backend's own", "the client's"]);
}

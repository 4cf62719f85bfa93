//! Event streams and what is posted to them, over real sockets.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::client::{Client, narrow, stream};
use crate::common::events::{Events, Http, Message, uuid};
use crate::common::{PATIENCE, Server, readme};
use corelay::client::{Event, Settings, TextDocument};
use corelay::engine::route;
use serde_json::{Value, json};

fn operations(document: Option<&str>, seq: u64, base: u64, operations: Value) -> Value {
    json!({"type": "operations", "payload": {
        "documentId": document, "clientSeq": seq, "firstClock": seq - 1, "baseRevision": base, "operations": operations,
    }})
}

/// The revisions of the operations in a message.
fn revisions(message: &Message) -> Vec<u64> {
    let payload = &message.json["payload"];
    let number = |value: &Value| value.as_u64().expect("a number");
    match message.json["type"].as_str() {
        Some("remote_ops") => {
            let first = number(&payload["revision"]);
            let count = payload["operations"].as_array().expect("an array").len() as u64;
            (first..first + count).collect()
        }
        Some("sync_response") => {
            let batches = payload["batches"].as_array().expect("an array").iter();
            batches
                .flat_map(|batch| {
                    let first = number(&batch["revision"]);
                    first..first + number(&batch["count"])
                })
                .collect()
        }
        _other => Vec::new(),
    }
}

#[test]
fn a_stream_and_a_client_over_tcp_edit_one_text() {
    let server = Server::spawn(&["shards.cores=2"]);
    let mut events = Events::of(&server, 1, "/events/documents/novel?kind=text");
    let connected = events.expect("connected");
    assert_eq!(connected.json["payload"]["protocolVersion"], 3);
    assert_eq!(events.expect_caught_up().id, "1.0");

    let settings = Settings {
        client_uuid: [9; 16],
        ..Settings::default()
    };
    let url = format!("tcp://{}", server.tcp);
    let mut client = corelay::client::Client::new(&url, settings).expect("a URL");
    let mut text = TextDocument::open(client.session(), "novel", true);
    let mut until = |text: &mut TextDocument, wanted: &str| {
        let deadline = std::time::Instant::now() + PATIENCE;
        while text.pending_operations() > 0
            || text.text().map(ToString::to_string).as_deref() != Some(wanted)
        {
            assert!(std::time::Instant::now() < deadline, "{:?}", text.text());
            let now = client.now();
            text.poll(client.session(), now);
            if let Some(event) = client.next_event(Duration::from_millis(2)) {
                assert!(!matches!(event, Event::Violation(_)), "{event:?}");
                text.handle_event(&event, client.session())
                    .expect("it fits");
            }
        }
    };

    events.send(&operations(None, 1, 0, json!([[{"insert": "Once"}]])));
    let ack = events.expect("ack");
    assert_eq!(
        (ack.id.as_str(), &ack.json["payload"]["clock"]),
        ("1.1", &json!(0))
    );
    until(&mut text, "Once");
    let edit = corelay::text::Operation::splice(4, 0, " upon 𝄞");
    text.edit(edit, corelay::engine::Instant::default())
        .expect("it fits");
    until(&mut text, "Once upon 𝄞");
    let remote = events.expect("remote_ops");
    assert_eq!(remote.id, "1.2");
    assert_eq!(
        remote.json["payload"]["operations"],
        json!([[{"retain": 4}, {"insert": " upon 𝄞"}]])
    );
    // Against what came before: the relay transforms it.
    events.send(&operations(None, 2, 2, json!([[{"delete": 5}]])));
    events.expect("ack");
    until(&mut text, "upon 𝄞");
}

#[test]
fn a_stream_goes_on_after_the_last_event() {
    let server = Server::spawn(&["shards.cores=2"]);
    let mut writer = Client::tcp(&server);
    writer.hello(1);
    let log = writer.open("log").document;
    let path = format!("/events/documents/log?client={}", uuid(2));
    let mut last_id = String::new();
    let mut seen = Vec::new();
    let mut sent = 0;
    for round in 0..5 {
        let header = match last_id.as_str() {
            "" => String::new(),
            id => format!("Last-Event-ID: {id}\r\n"),
        };
        let mut events = Events::open(&server, &path, &header);
        for _ in 0..10 {
            writer.send(log, sent + 1, sent, &["{}"]);
            writer.ack(sent + 1);
            sent += 1;
        }
        // Gone at some place in what it is sent, its own operation in the last round.
        let until = sent - (4 - round) % 3;
        while seen.last().is_none_or(|revision| *revision < until) {
            let message = events.next().expect("more");
            seen.extend(revisions(&message));
            if !message.id.is_empty() {
                last_id = message.id;
            }
        }
        assert_eq!(last_id, format!("1.{}", seen.last().expect("some")));
    }
    assert_eq!(seen, (1..=sent).collect::<Vec<_>>());
}

#[test]
fn a_stream_has_documents_on_every_shard_and_says_hello_by_itself() {
    let server = Server::spawn(&["shards.cores=2"]);
    let names: Vec<String> = [0, 1]
        .map(|shard| {
            (0..)
                .map(|number| format!("document-{number}"))
                .find(|name| route::shard_of(name, 2) == shard)
                .expect("every shard has some")
        })
        .into();
    for home in &names {
        let mut events = Events::open(&server, &format!("/events/documents/{home}"), "");
        let connect =
            json!({"type": "connect", "payload": {"clientId": uuid(7), "protocolVersion": 3}});
        let sync = |name: &String| json!({"type": "sync_request", "payload": {"documentId": name}});
        events.send(&json!([connect, sync(&names[0]), sync(&names[1])]));
        events.expect("connected");
        let mut opened = BTreeSet::new();
        while opened.len() < 2 {
            let page = events.expect_caught_up();
            let name = page.json["payload"]["documentId"].as_str().expect("a name");
            // Only the URL's document is resumed with an id.
            assert_eq!(page.id.is_empty(), name != home, "{page:?}");
            opened.insert(name.to_owned());
        }
        for name in &names {
            let operation = json!({"type": "operations", "id": name, "payload": {
                "documentId": name, "clientSeq": 1, "operations": [{"from": home}],
            }});
            events.send(&operation);
            let ack = events.expect("ack");
            assert_eq!(ack.json["id"], name.as_str());
            assert_eq!(ack.id.is_empty(), name != home, "{ack:?}");
        }
    }
}

#[test]
fn a_slow_reader_is_put_elsewhere_and_hurts_nobody() {
    const BATCHES: u64 = 100;
    let server = Server::spawn(&["connection.write_timeout=60s"]);
    let mut writer = Client::tcp(&server);
    writer.hello(1);
    let log = writer.open("long").document;
    let path = |number| format!("/events/documents/long?version=3&client={}", uuid(number));
    let mut slow = Events::open_over(narrow(server.websocket), &path(2), "").expect("a stream");
    slow.expect_caught_up();
    let mut quick = Events::open(&server, &path(3), "");
    quick.expect_caught_up();
    let payload = "x".repeat(100_000);
    for number in 0..BATCHES {
        writer.send(log, number + 1, number, &[&payload]);
        writer.ack(number + 1);
        assert_eq!(revisions(&quick.expect("remote_ops")), [number + 1]);
    }
    let mut next = 1;
    let mut resyncs = 0;
    while next <= BATCHES {
        let message = slow.next().expect("it is not closed");
        if message.json["type"] == "resync" {
            resyncs += 1;
            assert_eq!(message.json["payload"]["reason"], "lapped");
            assert_eq!(message.json["payload"]["from"]["revision"], next - 1);
        }
        for revision in revisions(&message) {
            assert_eq!(revision, next);
            next += 1;
        }
    }
    assert!(resyncs > 0, "it was never behind");
}

#[test]
fn a_planned_stop_says_goodbye_and_ends_streams() {
    let mut server = Server::spawn(&["shards.cores=2"]);
    let mut streams: Vec<_> = (1..=6)
        .map(|number| {
            let name = format!("document-{number}");
            let mut events = Events::of(&server, number, &format!("/events/documents/{name}"));
            events.expect_caught_up();
            events.send(&operations(None, 1, 0, json!([number])));
            events
        })
        .collect();
    let mut idle = Http::connect(server.websocket);
    assert_eq!(idle.post(&streams[0].path, "[]").status, 204);
    server.terminate();
    for events in &mut streams {
        let rest: Vec<_> = std::iter::from_fn(|| events.next()).collect();
        let has = |kind: &str| rest.iter().any(|message| message.json["type"] == kind);
        assert!(has("ack") && has("goaway"), "{rest:?}");
        let last = rest.last().expect("some");
        assert_eq!(last.json["type"], "disconnect", "{rest:?}");
        assert_eq!(last.json["payload"]["code"], 5003);
    }
    assert!(idle.is_closed());
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
}

#[test]
fn pages_of_other_origins_are_kept_out() {
    let server = Server::spawn(&["listen.origins=https://app.example"]);
    let events = Events::of(&server, 1, "/events");
    let ask = |origin: &str, line: &str, body: &str| {
        let head = format!("{line}\nOrigin: {origin}");
        Http::connect(server.websocket).request(&head, body)
    };
    let post = format!(
        "POST {} HTTP/1.1\nContent-Type: text/plain\nContent-Length: 2",
        events.path
    );
    let options = format!("OPTIONS {} HTTP/1.1", events.path);
    let allowed = "Access-Control-Allow-Origin: https://app.example\r\n";
    for (line, body, status) in [(&post, "[]", 204), (&post, "x]", 400), (&options, "", 204)] {
        let response = ask("https://app.example", line, body);
        assert_eq!(response.status, status, "{response:?}");
        assert!(response.head.contains(allowed), "{response:?}");
        let response = ask("https://evil.example", line, body);
        assert_eq!(response.status, 403, "{response:?}");
        assert!(!response.head.contains("Access-Control"), "{response:?}");
    }
    let origin = "Origin: https://evil.example\r\n";
    let refused = Events::open_over(stream(server.websocket), "/events", origin);
    assert_eq!(refused.err(), Some(403));
}

#[test]
fn a_thousand_idle_streams_are_kept_alive() {
    let server = Server::spawn(&[
        "shards.cores=2",
        "connection.ping_period=300ms",
        "connection.pong_timeout=1s",
    ]);
    let mut streams: Vec<_> = (1..=1000)
        .map(|number| {
            let path = format!("/events/documents/room-{}", number % 10);
            let mut events = Events::of(&server, number, &path);
            events.expect_caught_up();
            events
        })
        .collect();
    // Longer than anybody may be silent over TCP.
    std::thread::sleep(Duration::from_millis(1500));
    for events in &streams[1..=10] {
        events.send(&operations(None, 1, 0, json!([{"from": events.path}])));
    }
    for (index, events) in streams.iter_mut().enumerate() {
        match index {
            1..=10 => drop(events.expect("ack")),
            _other => assert_eq!(revisions(&events.expect("remote_ops")), [1]),
        }
    }
    server.wait_for("published connections", || {
        (server.metric("connections") == 1000).then_some(())
    });
    drop(streams);
    server.wait_for("the end of the connections", || {
        (server.metric("connections") == 0).then_some(())
    });
}

#[test]
fn too_many_streams_are_told_so_and_a_session_ends_with_its_stream() {
    let server = Server::spawn(&["connection.count_max=1"]);
    let first = Events::of(&server, 1, "/events");
    let path = format!("/events?client={}", uuid(2));
    let second = Events::open_over(stream(server.websocket), &path, "");
    assert_eq!(second.err(), Some(503));
    let post = first.path.clone();
    drop(first);
    server.wait_for("the end of the session", || {
        (Http::connect(server.websocket).post(&post, "[]").status == 404).then_some(())
    });
    Events::of(&server, 3, "/events").expect("connected");
}

#[test]
fn the_readme_is_right_about_curl() {
    use std::io::{BufRead, BufReader};
    let server = Server::spawn(&[]);
    let examples = readme::examples(&server, |command| !command.contains("/v1/"));
    let [listen, post] = &examples[..] else {
        panic!("there are two: {examples:?}");
    };
    assert_eq!(post.printed, "");
    let mut curl = listen
        .shell("")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("curl runs");
    let mut lines = BufReader::new(curl.stdout.take().expect("it is piped")).lines();
    let mut next = || lines.next().expect("a line").expect("text");
    let mut path = String::new();
    for expected in listen.printed.lines() {
        let line = next();
        assert!(
            readme::is_printed(&line, expected),
            "{line} is no {expected}"
        );
        if let Some(data) = line.strip_prefix("data: {\"post\":\"") {
            path = data.trim_end_matches("\"}").to_owned();
        }
    }
    let output = post.shell(&path).output().expect("curl runs");
    assert!(
        output.status.success() && output.stdout.is_empty(),
        "{output:?}"
    );
    assert_eq!(next(), "");
    assert_eq!(next(), "id: 1.1");
    assert!(next().starts_with("data: {\"type\":\"ack\""));
    curl.kill().expect("it is our child");
    curl.wait().expect("it is our child");
}

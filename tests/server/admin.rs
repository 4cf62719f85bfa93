//! What the admin address says of documents and connections, against what clients did; connections that are closed by hand.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::common::client::{Client, connect, hello};
use crate::common::tokens::{self, greet, last_word, token};
use crate::common::{Server, http, receiver};
use corelay::codec::wire::{Close, Open, event, request};
use corelay::engine::route::shard_of;
use serde_json::{Value, json};
use tempfile::TempDir;

fn get(server: &Server, path: &str) -> Value {
    let (status, body) = server.control(path);
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).expect("JSON")
}

fn post(server: &Server, what: &Value) -> (u16, String) {
    server.post_control("/close", "application/json", &what.to_string())
}

fn list<'a>(value: &'a Value, member: &str) -> &'a Vec<Value> {
    value[member].as_array().expect("a list")
}

fn find<'a>(values: &'a [Value], member: &str, is: &Value) -> &'a Value {
    let found = values.iter().find(|value| value[member] == *is);
    found.unwrap_or_else(|| panic!("{is} is not there: {values:?}"))
}

/// A document that lives on the shard, of two.
fn document_on(shard: usize) -> String {
    let mut names = (0..).map(|number| format!("document-{number}"));
    let found = names.find(|name| shard_of(name, 2) == shard);
    found.expect("one of them does")
}

/// The numbers of `/metrics` with their names and labels.
fn samples(text: &str) -> Vec<(&str, f64)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a number");
            (name, value.parse().expect("a number"))
        })
        .collect()
}

#[test]
fn health_and_readiness_before_and_after_the_start() {
    let directory = TempDir::new().expect("a directory");
    let [mode, secret] = tokens::settings(directory.path());
    // The list of what was revoked is read at the start, from a pipe, when somebody writes into it: first to see whether
    // it can be, and then when the relay answers already.
    let pipe = directory.path().join("data/revocations");
    std::fs::create_dir(directory.path().join("data")).expect("the directory is there");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo is there").success());
    let port = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let admin = port.local_addr().expect("it has one");
    drop(port);
    let starting = std::thread::spawn({
        let directory = directory.path().to_owned();
        let admin = format!("listen.admin={admin}");
        move || Server::spawn_in(&directory, &[&mode, &secret, &admin])
    });
    let ask = |path: &str| {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        http(admin, &request)
    };
    let tell = || {
        let mut pipe = File::options().write(true).open(&pipe).expect("a pipe");
        let nobody = br#"{"tokens": [], "users": []}"#;
        pipe.write_all(nobody).expect("it is read");
    };
    tell();
    while std::net::TcpStream::connect(admin).is_err() {
        assert!(!starting.is_finished(), "it starts only when it can");
        std::thread::yield_now();
    }
    assert_eq!(ask("/healthz"), (200, "alive\n".to_owned()));
    assert_eq!(ask("/readyz"), (503, "recovering\n".to_owned()));
    assert_eq!(ask("/overview"), (503, "recovering\n".to_owned()));
    let (status, text) = ask("/metrics");
    assert_eq!(status, 200);
    assert!(text.contains("\ncorelay_ready 0\n"), "{text}");
    assert!(text.contains("\nprocess_cpu_seconds_total "), "{text}");
    tell();
    let server = starting.join().expect("it starts");
    assert_eq!(server.control("/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(server.control("/health").0, 404);
    let (_, text) = server.control("/metrics");
    assert!(text.contains("\ncorelay_ready 1\n"), "{text}");
}

#[test]
fn a_page_under_another_name_for_this_machine_is_told_nothing() {
    let server = Server::spawn(&[]);
    for path in ["/overview", "/documents", "/connections", "/log"] {
        let ask = |host: &str| {
            let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            http(server.admin, &head).0
        };
        assert_eq!(ask("evil.example:7402"), 403);
        assert_eq!(ask(&server.admin.to_string()), 200);
    }
}

#[test]
fn numbers_are_what_clients_did() {
    let server = Server::spawn(&["shards.cores=2"]);
    let document = document_on(1);
    let path = format!("/ws/documents/{document}");
    let mut writer = Client::websocket(&server, &path);
    writer.hello(1);
    let opened = writer.open("");
    let (handle, position) = (opened.document, opened.position.expect("always"));
    let mut readers = [2, 3].map(|number| {
        let mut reader = Client::websocket(&server, &path);
        reader.hello(number);
        reader.open("");
        reader
    });
    let mut clock = 0;
    for (number, size) in [1, 2, 3, 5].into_iter().enumerate() {
        writer.send(handle, number as u64, clock, &vec!["x"; size]);
        writer.ack(number as u64);
        for reader in &mut readers {
            assert_eq!(reader.remote().1.len(), size);
        }
        clock += size as u64;
    }
    // A batch that comes again is no operation, and one out of turn is refused.
    writer.send(handle, 9, 0, &["x"]);
    writer.ack(9);
    writer.send(handle, 10, 99, &["x"]);
    writer.expect("Nack", |event| {
        matches!(event, event::Body::Nack(_)).then_some(())
    });
    // One comes back with six revisions, and is sent the rest.
    let mut returned = Client::websocket(&server, &path);
    returned.hello(4);
    returned.request(request::Body::Open(Open {
        kind: "log".to_owned(),
        have: Some(corelay::codec::wire::Position {
            revision: 6,
            ..position
        }),
        ..Default::default()
    }));
    returned.expect("the last page", |event| match event {
        event::Body::SyncResponse(page) if !page.has_more => Some(()),
        _other => None,
    });

    let expected = [
        ("connections", 4.0),
        ("documents", 1.0),
        ("subscribers", 4.0),
        ("blocked_connections", 0.0),
        ("operations_total", 11.0),
        ("duplicates_total", 1.0),
        ("acks_total", 5.0),
        ("nacks_total", 1.0),
        ("deliveries_total", 13.0),
        ("returns_total", 1.0),
        ("gaps_total", 0.0),
        ("batch_operations_sum", 11.0),
        ("batch_operations_count", 4.0),
        ("ack_seconds_count", 4.0),
        ("fanout_seconds_count", 12.0),
        ("lag_operations_count", 12.0),
        ("lag_operations_sum", 33.0),
        ("sync_bytes_count", 1.0),
        ("upgraded_total", 4.0),
    ];
    for (name, value) in expected {
        let series = format!("corelay_{name}{{shard=\"1\"}}");
        server.wait_for(&format!("{series} {value}"), || {
            let (_, text) = server.control("/metrics");
            let sample = samples(&text).into_iter().find(|(name, _)| *name == series);
            let (_, is) = sample.unwrap_or_else(|| panic!("{series} is not there"));
            (is == value).then_some(())
        });
    }
    let (_, text) = server.control("/metrics");
    for (batches, bound) in [(1, "1.0"), (2, "2.0"), (3, "4.0"), (4, "8.0"), (4, "+Inf")] {
        let series = "corelay_batch_operations_bucket{shard=\"1\",le=";
        let line = format!("{series}\"{bound}\"}} {batches}\n");
        assert!(text.contains(&line), "{line}{text}");
    }
    assert_eq!(server.metric("store_operations_total"), 11);
    assert_eq!(server.metric("store_commit_operations_count"), 4);
    // The overview has the same.
    let overview = get(&server, "/overview");
    assert_eq!(overview["state"], "ready");
    let shard = &overview["shards"][1];
    assert_eq!(shard["operations"], 11);
    assert_eq!(shard["deliveries"], 13);
    assert_eq!(shard["connections"], 4);
    assert!(shard["busy_micros"].as_u64().expect("a number") > 0);
    let counts = list(&shard["ack_micros"], "counts");
    let sum: u64 = counts.iter().filter_map(Value::as_u64).sum();
    assert_eq!(sum, 4);
    let bounds = list(&shard["ack_micros"], "bounds");
    assert_eq!(counts.len(), bounds.len() + 1);
    let counts = list(&overview["store"]["commit_operations"], "counts");
    let counts: Vec<_> = counts.iter().filter_map(Value::as_u64).collect();
    assert_eq!(counts[..5], [1, 1, 1, 1, 0]);
    assert_eq!(overview["hottest"][0]["id"], json!(document));
    assert_eq!(overview["slowest"], json!([]));
    assert_eq!(overview["silent_shards"], json!([]));
}

#[test]
fn there_are_as_many_series_with_ten_thousand_documents_as_with_none() {
    const DOCUMENTS: usize = 10_000;
    let server = Server::spawn(&["connection.documents_max=10000"]);
    let series = |server: &Server| {
        let (status, text) = server.control("/metrics");
        assert_eq!(status, 200);
        let names = samples(&text).into_iter().map(|(name, _)| name.to_owned());
        let names: Vec<String> = names.collect();
        let different: BTreeSet<_> = names.iter().cloned().collect();
        assert_eq!(names.len(), different.len(), "each series is there once");
        different
    };
    let before = series(&server);
    let mut client = Client::tcp(&server);
    client.hello(1);
    let mut handles = Vec::new();
    for from in (0..DOCUMENTS).step_by(100) {
        client.requests((from..from + 100).map(|number| {
            request::Body::Open(Open {
                document: format!("document-{number:05}"),
                request_id: number as u64,
                kind: "log".to_owned(),
                create: true,
                ..Default::default()
            })
        }));
        for _ in from..from + 100 {
            handles.push(client.expect("Opened", |event| match event {
                event::Body::Opened(opened) => Some((opened.request_id, opened.document)),
                _other => None,
            }));
        }
    }
    handles.sort_unstable();
    // The first ones are busier than the others.
    for ((_, handle), operations) in handles.into_iter().zip([3, 2, 1]) {
        client.send(handle, 1, 0, &vec!["x"; operations]);
        client.ack(1);
    }
    server.wait_for("all documents", || {
        (server.metric("documents") == DOCUMENTS as u64).then_some(())
    });
    assert_eq!(series(&server), before);
    assert!(before.len() < 1000, "{}", before.len());

    let all = get(&server, "/documents?limit=3");
    assert_eq!(all["total"], json!(DOCUMENTS));
    let ids: Vec<_> = list(&all, "documents").iter().map(|it| &it["id"]).collect();
    assert_eq!(ids, ["document-00000", "document-00001", "document-00002"]);
    assert_eq!(all["documents"][0]["revision"], 3);
    let connections = get(&server, "/connections");
    let one = &connections["connections"][0];
    assert_eq!(one["documents_count"], json!(DOCUMENTS));
    assert_eq!(list(one, "documents").len(), 16);
}

/// Two tenants; of acme, Ada has a document on each shard open, and Eve one of them.
fn office(directory: &Path) -> (Server, [Client; 3]) {
    let [mode, secret] = tokens::settings(directory);
    let server = Server::spawn_in(directory, &[&mode, &secret, "shards.cores=2"]);
    let ada = token(json!({"sub": "ada", "tenant": "acme"}));
    let eve = token(json!({"sub": "eve", "tenant": "acme"}));
    let other = token(json!({"sub": "ada", "tenant": "beta"}));
    let header = ("Authorization", format!("Bearer {ada}"));
    let mut ada = connect(&server, "/ws/documents/plan", Some(header)).expect("it is good");
    greet(&mut ada, 1, "").expect("it is good");
    let mut eve_client = Client::tcp(&server);
    greet(&mut eve_client, 2, &eve).expect("it is good");
    let mut other_client = Client::tcp(&server);
    greet(&mut other_client, 3, &other).expect("it is good");
    (server, [ada, eve_client, other_client])
}

#[test]
fn documents_and_connections_are_told_as_clients_made_them() {
    let directory = TempDir::new().expect("a directory");
    let (server, [mut ada, mut eve, mut other]) = office(directory.path());
    let plan = ada.open("").document;
    let notes = ada.open("notes").document;
    let seen = eve.open("plan").document;
    other.open("plan");
    ada.send(plan, 1, 0, &["a", "b"]);
    ada.ack(1);
    assert_eq!(eve.remote().0, 1);
    eve.send(seen, 1, 0, &["c"]);
    eve.ack(1);
    assert_eq!(ada.remote().0, 3);
    ada.send(notes, 1, 0, &["d"]);
    ada.ack(1);
    ada.request(request::Body::Presence(corelay::codec::wire::Presence {
        document: plan,
        ..Default::default()
    }));
    eve.expect("presence", |event| {
        matches!(event, event::Body::PresenceUpdate(_)).then_some(())
    });

    let all = get(&server, "/documents");
    assert_eq!(all["total"], 3);
    let acme = get(&server, "/documents?tenant=acme");
    let ids = list(&acme, "documents").iter().map(|it| it["id"].as_str());
    assert_eq!(
        ids.flatten().collect::<BTreeSet<_>>(),
        ["notes", "plan"].into()
    );
    assert_eq!(get(&server, "/documents?tenant=")["total"], 0);
    assert_eq!(server.control("/documents?tenant=a::b").0, 400);

    let document = get(&server, "/documents/plan?tenant=acme");
    let expected = json!({
        "shard": shard_of("acme::plan", 2), "tenant": "acme", "id": "plan", "state": "open", "kind": "log",
        "revision": 3, "durable_revision": 3, "subscribers": 2, "present": 1, "pending_batches": 0,
    });
    for (member, value) in expected.as_object().expect("an object") {
        assert_eq!(document[member], *value, "{member}: {document}");
    }
    assert!(
        document["operations_per_second"]
            .as_f64()
            .expect("a number")
            > 0.0
    );
    assert_eq!(document["ring"]["batches"], 2);
    assert_eq!(document["ring"]["batches_max"], 1024);
    let connections = get(&server, "/connections");
    let connections = list(&connections, "connections");
    assert_eq!(connections.len(), 3);
    let of_ada = connections
        .iter()
        .find(|one| one["user"] == "ada" && one["tenant"] == "acme")
        .expect("she is connected");
    let of_eve = find(connections, "user", &json!("eve"));
    let operations = list(&document, "operations");
    for (index, (revision, count, client, clock)) in [(3, 1, of_eve, 0), (1, 2, of_ada, 0)]
        .into_iter()
        .enumerate()
    {
        let operation = &operations[index];
        assert_eq!(operation["first_revision"], revision);
        assert_eq!(operation["count"], count);
        assert_eq!(operation["client_id"], client["client_id"]);
        assert_eq!(operation["first_clock"], clock);
        let at = operation["persisted_at_ms"].as_u64().expect("a time") / 1000;
        assert!(at.abs_diff(tokens::now_s()) < 600);
    }
    let subscriptions = list(&document, "subscriptions");
    assert_eq!(subscriptions.len(), 2);
    let subscription = find(subscriptions, "user", &json!("ada"));
    assert_eq!(subscription["connection"], of_ada["id"]);
    assert_eq!(subscription["stage"], "live");
    assert_eq!(subscription["lag_operations"], 0);
    assert_eq!(subscription["queued_bytes"], 0);

    let local = match &ada.socket {
        crate::common::client::Socket::WebSocket(socket) => socket.get_ref().local_addr(),
        crate::common::client::Socket::Tcp(socket) => socket.local_addr(),
    };
    assert_eq!(of_ada["address"], json!(local.expect("it has one")));
    assert_eq!(of_ada["transport"], "websocket");
    assert_eq!(of_eve["transport"], "tcp");
    assert_eq!(of_ada["phase"], "ready");
    assert_eq!(of_ada["is_blocked"], false);
    assert!(list(of_ada, "documents").contains(&json!("plan")));
    let at = of_ada["connected_at_ms"].as_u64().expect("a time") / 1000;
    assert!(at.abs_diff(tokens::now_s()) < 600);

    // Page by page they are the same, and by user and tenant.
    let (mut pages, mut path) = (Vec::new(), "/connections?limit=1".to_owned());
    loop {
        let page = get(&server, &path);
        pages.extend(list(&page, "connections").clone());
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("/connections?limit=1&after={next}");
    }
    assert_eq!(pages, *connections);
    let beta = get(&server, "/connections?user=ada&tenant=beta");
    assert_eq!(list(&beta, "connections").len(), 1);

    let (status, problem) = server.control("/documents/nothing?tenant=acme");
    assert_eq!(
        (status, problem.as_str()),
        (404, "the document is not in memory\n")
    );
    assert_eq!(server.control("/documents/plan?tenant=a::b").0, 400);
    assert_eq!(server.control("/documents?limits=7").0, 400);
    assert_eq!(server.control("/connections?after=x").0, 400);
}

#[test]
fn who_takes_nothing_is_the_slowest() {
    let server = Server::spawn(&["connection.write_timeout=\"1 min\""]);
    let mut slow = Client::narrow(&server);
    slow.hello(1);
    slow.open("long");
    let mut writer = Client::tcp(&server);
    writer.hello(2);
    let document = writer.open("long").document;
    for number in 0..30 {
        writer.send(document, number + 1, number, &[&"x".repeat(100_000)]);
        writer.ack(number + 1);
    }
    let overview = server.wait_for("somebody who is slow", || {
        let overview = get(&server, "/overview");
        (overview["slowest"] != json!([])).then_some(overview)
    });
    let slowest = list(&overview, "slowest");
    assert_eq!(slowest.len(), 1);
    assert_eq!(slowest[0]["user"], "user-1");
    assert_eq!(slowest[0]["is_blocked"], true);
    assert!(
        slowest[0]["lag_operations"].as_u64() > Some(0),
        "{slowest:?}"
    );
    assert!(slowest[0]["queued_bytes"].as_u64() > Some(0), "{slowest:?}");
    assert_eq!(overview["shards"][0]["blocked_connections"], 1);
    let blocked = get(&server, "/connections?blocked=true");
    assert_eq!(list(&blocked, "connections").len(), 1);
    let document = get(&server, "/documents/long");
    assert_eq!(document["subscriptions"][0]["user"], "user-1");
    assert!(document["subscriptions"][0]["lag_operations"].as_u64() > Some(0));
    // It is over when it reads.
    drop(slow);
    server.wait_for("nobody who is slow", || {
        (get(&server, "/overview")["slowest"] == json!([])).then_some(())
    });
}

#[test]
fn a_connection_is_closed_and_told_why() {
    let directory = TempDir::new().expect("a directory");
    let (server, [mut ada, mut eve, mut other]) = office(directory.path());
    let all = get(&server, "/connections");
    let of_eve = find(list(&all, "connections"), "user", &json!("eve"));
    let close = json!({"connection": of_eve["id"], "reason": "the host is moved"});
    let (status, answer) = post(&server, &close);
    assert_eq!(
        (status, answer.as_str()),
        (200, "{\"closed\":1,\"silent_shards\":[]}\n")
    );
    let told = last_word(&mut eve);
    assert_eq!((told.code, told.retryable), (4038, true));
    assert!(told.retry_after_ms > 0);
    assert_eq!(
        told.message,
        "closed by whoever runs the relay: the host is moved"
    );
    assert_eq!(post(&server, &close).0, 404, "it is closed already");

    // Every connection of a user of one tenant, for good.
    let again = token(json!({"sub": "ada", "tenant": "acme"}));
    let mut second = Client::tcp(&server);
    greet(&mut second, 5, &again).expect("it is good");
    let close = json!({"user": "ada", "tenant": "acme", "reason": "left", "may_return": false});
    let (status, answer) = post(&server, &close);
    assert_eq!(
        (status, answer.as_str()),
        (200, "{\"closed\":2,\"silent_shards\":[]}\n")
    );
    for client in [&mut ada, &mut second] {
        let told: Close = last_word(client);
        assert_eq!((told.code, told.retryable), (4038, false));
    }
    other.open("still here");
    server.wait_for_log("closed by whoever runs the relay: left");

    let kind = "application/json";
    let table = [
        ("text/plain", r#"{"user": "ada"}"#, 415),
        (kind, "{}", 400),
        (kind, r#"{"connection": "0-1", "user": "ada"}"#, 400),
        (kind, r#"{"connection": "zero"}"#, 404),
        (kind, r#"{"connection": "9-1.1"}"#, 404),
        (kind, r#"{"user": "ada", "code": 7}"#, 400),
        (kind, r#"{"user": "ada", "reason": "a\nb"}"#, 400),
    ];
    for (kind, body, status) in table {
        assert_eq!(
            server.post_control("/close", kind, body).0,
            status,
            "{body}"
        );
    }
    let (status, answer) = post(&server, &json!({"user": "nobody"}));
    assert_eq!(
        (status, answer.as_str()),
        (200, "{\"closed\":0,\"silent_shards\":[]}\n")
    );
}

#[test]
fn a_browser_is_told_the_code_and_the_reason() {
    let server = Server::spawn(&[]);
    let mut client = Client::websocket(&server, "/ws");
    client.request(hello(1));
    client.expect("Connected", |event| {
        matches!(event, event::Body::Connected(_)).then_some(())
    });
    let (status, _) = post(&server, &json!({"user": "user-1", "reason": "tidying up"}));
    assert_eq!(status, 200);
    let crate::common::client::Socket::WebSocket(mut socket) = client.socket else {
        unreachable!("that is what it is")
    };
    let frame = loop {
        match socket.read().expect("a close frame") {
            tungstenite::Message::Close(frame) => break frame.expect("with a code"),
            _other => continue,
        }
    };
    assert_eq!(u16::from(frame.code), 4038);
    assert!(frame.reason.as_str().ends_with("tidying up"), "{frame:?}");
}

#[test]
fn what_the_dashboard_and_the_alerts_ask_for_is_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let nobody = ([127, 0, 0, 1], 9).into();
    let told = receiver::settings(nobody, directory.path(), receiver::SECRETS[0]);
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    let server = Server::spawn_in(directory.path(), &told);
    let (_, text) = server.control("/metrics");
    let known: BTreeSet<&str> = samples(&text)
        .into_iter()
        .map(|(name, _)| name.split('{').next().expect("a name"))
        .collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tuning");
    let mut asked = 0;
    for file in ["grafana.json", "alerts.yaml", "README.md"] {
        let text = std::fs::read_to_string(folder.join(file)).expect("it is there");
        let is_part = |letter: char| letter.is_ascii_lowercase() || letter == '_';
        let words = text.split(|letter| !is_part(letter));
        let names = words
            .filter(|word| word.starts_with("corelay_") || word.starts_with("process_"))
            .filter(|word| !word.ends_with('_'));
        for name in names {
            let is_known = known.contains(name) || known.contains(&*format!("{name}_count"));
            assert!(is_known, "{file}: {name} is not in /metrics");
            asked += 1;
        }
    }
    assert!(asked > 30);
    let [alerts, readme] = ["alerts.yaml", "README.md"]
        .map(|file| std::fs::read_to_string(folder.join(file)).expect("it is there"));
    for alert in alerts.split("- alert: ").skip(1) {
        let name = alert.lines().next().expect("a name");
        let says_what_to_do = readme.contains(&format!("\n| `{name}` | "));
        assert!(
            says_what_to_do,
            "README.md does not say what to do about {name}"
        );
    }
    let dashboard = std::fs::read_to_string(folder.join("grafana.json")).expect("it is there");
    let dashboard: Value = serde_json::from_str(&dashboard).expect("JSON");
    assert_eq!(dashboard["templating"]["list"][0]["type"], "datasource");
}

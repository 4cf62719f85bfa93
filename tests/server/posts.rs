//! What is posted to event streams, over real sockets: its order, its limits, and the connections that carry it.

use crate::common::Server;
use crate::common::client::narrow;
use crate::common::events::{Events, Http, uuid};
use serde_json::{Value, json};

#[test]
fn what_cannot_be_posted_is_answered_in_words() {
    let server = Server::spawn(&[
        "shards.cores=2",
        "connection.message_bytes_max=4KiB",
        "presence.bytes_max=4KiB",
    ]);
    let mut events = Events::of(&server, 1, "/events");
    events.expect("connected");
    let path = events.path.clone();
    let gone = format!(
        "{}{}",
        &path[..path.len() - 1],
        if path.ends_with('0') { 1 } else { 0 }
    );
    let table: &[(&str, &str, &str, u16, &str)] = &[
        (
            &path,
            "application/json",
            "{\"type\":",
            400,
            "no JSON message",
        ),
        (
            &path,
            "text/plain",
            "[{}, 1]",
            400,
            "a message is an object",
        ),
        (
            &path,
            "application/x-www-form-urlencoded",
            "{}",
            415,
            "text/plain",
        ),
        (
            &path,
            "application/json",
            &"x".repeat(4097),
            413,
            "4096 bytes",
        ),
        (&gone, "application/json", "{}", 404, "no such session"),
        (
            "/events/ffff00000000000000000000000000000000",
            "application/json",
            "{}",
            404,
            "no such session",
        ),
        (
            "/events/me",
            "application/json",
            "{}",
            404,
            "no such session",
        ),
    ];
    for (path, content_type, body, status, words) in table {
        let length = body.len();
        let head =
            format!("POST {path} HTTP/1.1\nContent-Type: {content_type}\nContent-Length: {length}");
        let response = Http::connect(server.websocket).request(&head, body);
        assert_eq!(response.status, *status, "{path} {body}: {response:?}");
        assert!(response.body.contains(words), "{response:?}");
    }
    let mut chunked = Http::connect(server.websocket);
    let head =
        format!("POST {path} HTTP/1.1\nContent-Type: text/plain\nTransfer-Encoding: chunked");
    assert_eq!(chunked.request(&head, "2\r\n{}\r\n0\r\n\r\n").status, 411);

    // None of it has done the session any harm.
    events.send(&json!([{"type": "ping", "payload": {"nonce": 5}}]));
    assert_eq!(events.expect("pong").json["payload"]["nonce"], 5);

    // What is JSON and no message ends it, as over every transport.
    events.send(&json!({"type": "dance"}));
    while events.next().is_some() {}
    assert_eq!(events.post("{}").status, 404);
}

#[test]
fn one_connection_carries_one_request_after_the_other() {
    let server = Server::spawn(&["shards.cores=2"]);
    let mut events = Events::of(&server, 1, "/events");
    events.expect("connected");
    let path = events.path.clone();
    let ping = |nonce: u64| json!({"type": "ping", "payload": {"nonce": nonce}}).to_string();

    let mut http = Http::connect(server.websocket);
    let preflight = format!("OPTIONS {path} HTTP/1.1\nOrigin: https://app.example");
    let response = http.request(&preflight, "");
    assert_eq!(response.status, 204);
    assert!(
        response
            .head
            .contains("Access-Control-Allow-Methods: POST\r\n"),
        "{response:?}"
    );
    for nonce in 1..=100 {
        assert_eq!(http.post(&path, &ping(nonce)).status, 204);
        assert_eq!(events.expect("pong").json["payload"]["nonce"], nonce);
    }
    // A client that waits to be asked for its body, and sends it in pieces.
    let length = ping(101).len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nExpect: 100-continue\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
    );
    for byte in head.as_bytes() {
        http.write(&[*byte]);
    }
    assert_eq!(http.read().status, 100);
    for byte in ping(101).as_bytes() {
        http.write(&[*byte]);
    }
    assert_eq!(http.read().status, 204);
    assert_eq!(events.expect("pong").json["payload"]["nonce"], 101);

    // Two at once: the first is answered, and that the second has to be sent again.
    let two = http_text(&path, &ping(102)) + &http_text(&path, &ping(103));
    let mut hasty = Http::connect(server.websocket);
    hasty.write(two.as_bytes());
    let response = hasty.read();
    assert_eq!(response.status, 204);
    assert!(
        response.head.contains("Connection: close\r\n"),
        "{response:?}"
    );
    assert!(hasty.is_closed());
    assert_eq!(events.expect("pong").json["payload"]["nonce"], 102);

    // What carried posts can carry a stream.
    let socket = http.into_stream();
    let query = format!("/events?client={}", uuid(2));
    let mut other = Events::open_over(socket, &query, "").expect("another stream");
    other.expect("connected");
}

#[test]
fn a_connection_that_carries_no_further_request_is_closed_without_a_word() {
    let server = Server::spawn(&["connection.keep_alive_timeout=100ms"]);
    let events = Events::of(&server, 1, "/events");
    let mut http = Http::connect(server.websocket);
    assert_eq!(http.post(&events.path, "[]").status, 204);
    assert!(http.is_closed());
}

fn http_text(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: relay\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

#[test]
fn posts_keep_their_order_and_wait_for_a_client_that_reads() {
    let server = Server::spawn(&[
        "connection.handshake_timeout=2s",
        "memory.catch_up_page_bytes=4KiB",
    ]);
    let socket = narrow(server.websocket);
    let path = format!("/events?client={}", uuid(1));
    let mut events = Events::open_over(socket, &path, "").expect("a stream");
    let mut http = Http::connect(server.websocket);
    let mut nonce = 0;
    let mut pings = || -> String {
        let body = (0..4000).map(|_| {
            nonce += 1;
            json!({"type": "ping", "payload": {"nonce": nonce}})
        });
        Value::from_iter(body).to_string()
    };
    let mut taken = 0;
    let refused = loop {
        let response = http.post(&events.path, &pings());
        if response.status != 204 {
            break response;
        }
        taken += 4000;
        assert!(taken < 4_000_000, "the relay must stop reading some time");
    };
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.head.contains("Retry-After: 1\r\n"), "{refused:?}");
    assert!(http.is_closed());
    for expected in 1..=taken {
        assert_eq!(events.expect("pong").json["payload"]["nonce"], expected);
    }
    // What was refused was not taken, and what comes next is.
    events.send(&json!({"type": "ping", "payload": {"nonce": 0}}));
    assert_eq!(events.expect("pong").json["payload"]["nonce"], 0);
}

//! Tokens over real sockets: every way in which one can come, keys from a file, and refusals before the WebSocket.

use crate::common::client::{connect, stream};
use crate::common::events::{Events, uuid};
use crate::common::{PATIENCE, Server, tokens};
use corelay::client::{ErrorCode, Event, OpenOptions, Settings};
use corelay::codec::wire::event;
use serde_json::json;

fn token(document: &str) -> String {
    tokens::token(json!({"tenant": "acme", "documents": [document]}))
}

fn server(directory: &tempfile::TempDir) -> Server {
    let [mode, secret] = tokens::settings(directory.path());
    Server::spawn(&[&mode, &secret, "shards.cores=2"])
}

#[test]
fn a_token_may_come_in_the_head() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = server(&directory);
    let token = token("notes");
    let ways = [
        (
            "/ws/documents/notes".to_owned(),
            Some(("Authorization", format!("Bearer {token}"))),
        ),
        (
            "/ws".to_owned(),
            Some((
                "Sec-WebSocket-Protocol",
                format!("corelay.v1, bearer.{token}"),
            )),
        ),
        (format!("/ws/documents/notes?token={token}"), None),
    ];
    for (number, (path, header)) in (0..).zip(ways) {
        let mut client = connect(&server, &path, header).expect("the token is accepted");
        client.hello(number);
        let opened = client.open("notes");
        client.send(opened.document, 1, 0, &["hello"]);
        assert_eq!(client.ack(1), number + 1, "{path}");
    }
}

#[test]
fn a_wrong_token_is_refused_before_the_websocket_and_a_missing_one_at_hello() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = server(&directory);
    let mut altered = token("notes");
    altered.pop();
    let header = ("Authorization", format!("Bearer {altered}"));
    assert_eq!(connect(&server, "/ws", Some(header)).err(), Some(401));

    let mut client = connect(&server, "/ws", None).expect("it may still come in Hello");
    client.request(crate::common::client::hello(1));
    let code = client.expect("a refusal", |event| match event {
        event::Body::Error(error) => Some(error.code),
        _other => None,
    });
    assert_eq!(code, 4001);

    let header = ("Authorization", format!("Bearer {}", token("other")));
    let mut client = connect(&server, "/ws", Some(header)).expect("the token is accepted");
    client.hello(1);
    client.request(corelay::codec::wire::request::Body::Open(
        corelay::codec::wire::Open {
            document: "notes".to_owned(),
            kind: "log".to_owned(),
            create: true,
            ..Default::default()
        },
    ));
    let code = client.expect("a refusal", |event| match event {
        event::Body::Error(error) => Some(error.code),
        _other => None,
    });
    assert_eq!(code, 4003);
}

#[test]
fn keys_that_cannot_be_read_are_named_and_nothing_is_served() {
    let refused = Server::try_spawn(&["auth.mode=jwt", "auth.jwt_key_file=/nowhere/key.pem"]);
    let message = refused.err().expect("it must not serve").log;
    assert!(
        message.contains("auth.jwt_key_file") && message.contains("/nowhere/key.pem"),
        "{message}"
    );
}

#[test]
fn an_event_stream_needs_a_token_and_what_is_posted_to_it_none() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = server(&directory);
    let token = token("notes");
    let path = format!("/events/documents/notes?client={}", uuid(1));
    let open = |path: &str, header: &str| {
        Events::open_over(stream(server.websocket), path, header)
            .map_err(|status| status.to_string())
    };
    let refused = Some("401".to_owned());
    assert_eq!(open(&path, "").err(), refused);
    assert_eq!(
        open(&path, &format!("Authorization: Bearer {token}x\r\n")).err(),
        refused
    );
    assert_eq!(open(&format!("{path}&token={token}x"), "").err(), refused);

    let header = format!("Authorization: Bearer {token}\r\n");
    for (path, header) in [
        (path.clone(), header),
        (format!("{path}&token={token}"), String::new()),
    ] {
        let mut events = open(&path, &header).expect("the token is accepted");
        events.expect_caught_up();
        events.send(&json!({"type": "operations", "payload": {"clientSeq": 1, "operations": [1]}}));
        events.expect("ack");
        let other = json!({"type": "sync_request", "payload": {"documentId": "other"}});
        events.send(&other);
        assert_eq!(
            events.next().expect("a refusal").json["payload"]["code"],
            4003
        );
    }

    // Or it comes by post, with the rest of Hello.
    let mut events = open("/events", "").expect("a stream of nobody yet");
    let hello = json!({"clientId": uuid(1), "token": token});
    events.send(&json!({"type": "connect", "payload": hello}));
    events.expect("connected");
}

#[test]
fn a_client_stays_connected_with_a_fresh_token() {
    let directory = tempfile::tempdir().expect("a directory");
    let [mode, secret] = tokens::settings(directory.path());
    let server = Server::spawn(&[&mode, &secret, "auth.leeway=1ms"]);
    let until = |seconds: u64| tokens::token(json!({"exp": tokens::now_s() + seconds}));
    let settings = Settings {
        token: until(3),
        ..Settings::default()
    };
    let url = format!("ws://{}", server.websocket);
    let mut client = corelay::client::Client::new(&url, settings).expect("a URL");
    let notes = client.session().open(OpenOptions {
        document: "notes".to_owned(),
        kind: "log".to_owned(),
        create: true,
        have: None,
    });
    let mut next = || client.next_event(PATIENCE).expect("an event in time");
    while !matches!(next(), Event::Synced { .. }) {}
    client.session().renew_token(&until(6));
    let renewed = client.next_event(PATIENCE).expect("an event in time");
    assert!(
        matches!(
            renewed,
            Event::Connected {
                is_renewal: true,
                ..
            }
        ),
        "{renewed:?}"
    );
    // It goes on over the same connection, and for as long as the second one is good.
    let now = client.now();
    let operation = "hello".into();
    client
        .session()
        .submit(notes, operation, now)
        .expect("there is room");
    let written = client.next_event(PATIENCE).expect("an event in time");
    assert!(matches!(written, Event::Acknowledged { .. }), "{written:?}");
    let ended_at = tokens::now_s() + 4;
    let refusal = loop {
        match client.next_event(PATIENCE).expect("an event in time") {
            Event::Stopped { refusal } => break refusal,
            Event::Error { refusal, .. } => assert!(refusal.is(ErrorCode::Unauthorized)),
            other => panic!("{other:?}"),
        }
    };
    assert!(refusal.is(ErrorCode::Unauthorized), "{refusal:?}");
    assert!(
        tokens::now_s() >= ended_at,
        "the first one had ended before"
    );
}

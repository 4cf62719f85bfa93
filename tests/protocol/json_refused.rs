//! What the JSON dialect does not take, and what it does without.

use bytes::Bytes;
use corelay::codec::wire::{self, ErrorCode};
use corelay::engine::shard::{Arrival, Transport};
use serde_json::{Value, json};
use tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::end::masked;
use crate::fixture::{Client, Relay};
use crate::json::message;
use crate::requests::open;
use crate::scene::Scene;

#[test]
fn a_connection_keeps_to_its_dialect() {
    let text = |value: &Value| masked(OpCode::Data(Data::Text), true, value.to_string().as_bytes());
    let ping = json!({"type": "ping"});
    // It has spoken protobuf.
    let mut scene = Scene::new();
    let bad = scene.relay.greeted_over("bad", Transport::WebSocket);
    scene.relay.send_bytes(bad, &text(&ping));
    scene.refused(bad, ErrorCode::DialectMixed, "a text message");
    // It has spoken JSON, or come with headers that say so.
    let frame = corelay::codec::frame::encode(&wire::Request::from(open("notes", "", false)));
    let binary = masked(OpCode::Data(Data::Binary), true, &frame);
    for by_headers in [true, false] {
        let mut scene = Scene::new();
        let bad = match by_headers {
            true => scene.relay.greeted_in_json("bad", 0, None),
            false => scene.relay.connect(Transport::WebSocket),
        };
        scene.relay.say(bad, &ping);
        scene.relay.drain_texts(bad);
        scene.relay.send_bytes(bad, &binary);
        refused(&mut scene, bad, 4016, "");
    }
}

/// The connection ends with that code, and is told so in JSON.
#[track_caller]
fn refused(scene: &mut Scene, client: Client, code: u16, id: &str) {
    let error = scene.relay.text(client, "error", id);
    assert_eq!(error["code"], code, "{error}");
    let close = scene.relay.text(client, "disconnect", id);
    assert_eq!(close["code"], code);
    assert_eq!(scene.relay.close_code(client), Some(code));
    assert!(scene.relay.is_closed(client));
    scene.check();
}

#[test]
fn what_is_no_message_ends_the_connection() {
    let texts = [
        "",
        "ping",
        "{",
        "[]",
        "{}",
        r#"{"type": "ping"} {"type": "ping"}"#,
        r#"{"type": 7}"#,
        r#"{"type": "connected"}"#,
        r#"{"type": "Ping"}"#,
        r#"{"type": "ping", "payload": []}"#,
        r#"{"type": "ping", "payload": {"nonce": -1}}"#,
        r#"{"type": "open", "payload": {"documentId": 7}}"#,
        r#"{"type": "open", "payload": {"have": [1, 2]}}"#,
        r#"{"type": "operations", "payload": {"clientSeq": 1}}"#,
        r#"{"type": "operations", "payload": {"operations": {}}}"#,
        r#"{"type": "operations", "payload": {"operations": [1], "firstClock": -1}}"#,
        r#"{"type": "sync_request", "payload": {"stateVector": [1]}}"#,
        r#"{"type": "sync_request", "payload": {"stateVector": {"1": -2}}}"#,
        r#"{"type": "sync_request", "payload": {"stateVector": {"ann": 1}}}"#,
        r#"{"type": "sync_request", "payload": {"resumeToken": "*"}}"#,
    ];
    for text in texts {
        let mut scene = Scene::new();
        let bad = scene.relay.greeted_in_json("bad", 0, Some("notes"));
        scene.relay.text(bad, "connected", "");
        let bytes = masked(OpCode::Data(Data::Text), true, text.as_bytes());
        scene.relay.send_bytes(bad, &bytes);
        refused(&mut scene, bad, 4000, "");
    }
    let mut scene = Scene::new();
    let bad = scene.relay.greeted_in_json("bad", 0, None);
    scene.relay.drain_texts(bad);
    let bytes = masked(OpCode::Data(Data::Text), true, b"{\"type\":\"\xff\"}");
    scene.relay.send_bytes(bad, &bytes);
    refused(&mut scene, bad, 4000, "");
}

#[test]
fn nothing_is_answered_before_hello_but_ping() {
    let mut scene = Scene::new();
    let bad = scene.relay.connect(Transport::WebSocket);
    scene.relay.say(bad, &message("ping", "p", json!({})));
    scene.relay.text(bad, "pong", "p");
    scene.relay.say(
        bad,
        &message("sync_request", "s", json!({"documentId": "notes"})),
    );
    refused(&mut scene, bad, 4002, "s");
}

#[test]
fn a_hello_that_does_not_do_is_named_and_may_be_said_again() {
    let mut relay = Relay::new();
    let ann = relay.connect(Transport::WebSocket);
    let long = "u".repeat(129);
    for payload in [
        json!({}),
        json!({"clientId": "me"}),
        json!({"clientId": "00112233-4455-6677-8899-aabbccddee"}),
        json!({"clientId": "00112233445566778899aabbccddeeff", "userId": long}),
    ] {
        relay.say(ann, &message("connect", "c", payload.clone()));
        assert_eq!(relay.text(ann, "error", "c")["code"], 4010, "{payload}");
    }
    relay.say(
        ann,
        &json!({"type": "connect", "payload": {"clientId": "00112233445566778899aabbccddeeff"}}),
    );
    assert_eq!(relay.text(ann, "connected", "")["protocolVersion"], 1);
}

#[test]
fn what_may_be_left_out_may_be_null_and_what_is_unknown_is_passed_over() {
    let mut relay = Relay::new();
    let ann = relay.greeted_in_json("ann", 0, Some("notes"));
    relay.text(ann, "connected", "");
    for text in [
        json!({"type": "sync_request"}),
        json!({"type": "sync_request", "payload": null, "id": null, "timestamp": null}),
        json!({"type": "sync_request", "extra": 1, "payload": {"extra": {}, "stateVector": null, "have": null}}),
    ] {
        relay.say(ann, &text);
        let answers = relay.drain_texts(ann);
        assert!(
            answers
                .iter()
                .any(|answer| answer["type"] == "sync_response"),
            "{answers:?}"
        );
    }
    relay.say(
        ann,
        &json!({"type": "operations", "payload": {"operations": [null]}}),
    );
    let ack = relay.text(ann, "ack", "");
    assert_eq!((&ack["clientSeq"], &ack["clock"]), (&json!(0), &json!(0)));
    for kind in ["presence", "heartbeat", "pong"] {
        relay.say(ann, &json!({"type": kind}));
        relay.assert_quiet(ann);
    }
    // Without a document in the URL it must be named.
    let ben = relay.greeted_in_json("ben", 0, None);
    relay.text(ben, "connected", "");
    for kind in ["sync_request", "open", "presence", "heartbeat"] {
        relay.say(ben, &json!({"type": kind}));
        assert_eq!(relay.text(ben, "error", "")["code"], 4007, "{kind}");
    }
    relay.say(ben, &json!({"type": "close"}));
    assert!(relay.is_closed(ben), "it is the connection that it closes");
}

#[test]
fn an_arrival_whose_hello_does_not_do_is_told_so_in_its_dialect() {
    let mut relay = Relay::new();
    let arrival = Arrival {
        dialect: Some(corelay::codec::dialect::Dialect::Json),
        hello: Some(wire::Hello {
            protocol_version: 0,
            client_uuid: Bytes::from_static(&[1; 16]),
            ..wire::Hello::default()
        }),
        ..Arrival::new(Transport::WebSocket)
    };
    let ann = relay.arrive(0, arrival).expect("it is taken");
    relay.settle();
    let error = relay.text(ann, "error", "");
    assert_eq!(error["code"], 4009);
    assert_eq!(error["details"]["supportedVersions"], json!([1, 2, 3]));
    assert_eq!(relay.text(ann, "disconnect", "")["code"], 4009);
    assert!(relay.is_closed(ann));
}

//! What ends a connection, and Hello: at the limit it is taken, one past it it is refused with its own code, and nobody
//! else notices.

use std::time::Duration;

use bytes::Bytes;
use corelay::codec::wire::{self, ErrorCode, request};
use corelay::engine::shard::Transport;
use prost::Message;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::end::masked;
use crate::expect;
use crate::fixture::TRANSPORTS;
use crate::requests::{hello, log_batch, open};
use crate::scene::Scene;

#[test]
fn bytes_that_are_no_request_are_malformed() {
    let fields = |count: usize| {
        let mut operations = Vec::new();
        for _ in 0..count {
            operations.extend_from_slice(&[0x2a, 0x00]);
        }
        framed(&[&[0x1a], &varint(operations.len())[..], &operations].concat())
    };
    let cases: [(&str, Vec<u8>); 7] = [
        ("an empty message", framed(&[])),
        ("a request of the future", framed(&[0xfa, 0x01, 0x00])),
        ("a field that is cut off", framed(&[0x0a, 0x05, 0x00])),
        ("a field of no type", framed(&[0x0f])),
        ("an endless number", framed(&[0xff; 11])),
        (
            "a string that is not UTF-8",
            framed(&[0x12, 0x03, 0x12, 0x01, 0xff]),
        ),
        ("a million empty operations", fields(500_000)),
    ];
    for transport in TRANSPORTS {
        for (what, bytes) in &cases {
            let mut scene = Scene::new();
            let client = scene.relay.greeted_over("bad", transport);
            let bytes = scene.relay.wrap(client, bytes);
            scene.relay.send_bytes(client, &bytes);
            scene.refused(client, ErrorCode::MalformedFrame, what);
        }
    }
}

#[test]
fn websocket_frames_that_break_the_rules_are_malformed() {
    let binary = OpCode::Data(Data::Binary);
    let mut reserved_bits = masked(binary, true, b"x");
    reserved_bits[0] |= 0x40;
    let cases = [
        ("no mask", vec![0x82, 0x01, 0x00]),
        ("reserved bits", reserved_bits),
        (
            "a reserved opcode",
            masked(OpCode::Data(Data::Reserved(3)), true, b"x"),
        ),
        (
            "a reserved control",
            masked(OpCode::Control(Control::Reserved(11)), true, b"x"),
        ),
        (
            "a ping in pieces",
            masked(OpCode::Control(Control::Ping), false, b"x"),
        ),
        (
            "a ping of 126 bytes",
            masked(OpCode::Control(Control::Ping), true, &[0; 126]),
        ),
        (
            "a continuation of nothing",
            masked(OpCode::Data(Data::Continue), true, b"x"),
        ),
        ("half a frame", masked(binary, true, &[0, 0, 0, 9, 1])),
        ("half a length", masked(binary, true, &[0, 0, 0])),
    ];
    for (what, bytes) in cases {
        let mut scene = Scene::new();
        let client = scene.relay.greeted_over("bad", Transport::WebSocket);
        scene.relay.send_bytes(client, &bytes);
        scene.refused(client, ErrorCode::MalformedFrame, what);
    }
}

#[test]
fn text_messages_are_not_spoken() {
    let mut scene = Scene::new();
    let client = scene.relay.greeted_over("bad", Transport::WebSocket);
    scene
        .relay
        .send_bytes(client, &masked(OpCode::Data(Data::Text), true, b"{}"));
    scene.refused(client, ErrorCode::DialectMixed, "a text message");
}

#[test]
fn a_frame_is_as_long_as_it_may_be_and_no_longer() {
    let bytes_max = 8192;
    for transport in TRANSPORTS {
        let mut scene = Scene::with(|settings| {
            settings.connection.message_bytes_max = bytes_max;
        });
        let client = scene.relay.greeted_over("bad", transport);
        let notes = scene.relay.open(client, "mine", "log").document;
        let batch = |payload: usize| log_batch(notes, 0, [vec![7; payload]]);
        let overhead = message_bytes(batch(8000)) - 8000;
        scene.relay.send(client, batch(bytes_max - overhead));
        expect!(scene.relay, client, Ack);
        scene.relay.send(client, batch(bytes_max - overhead + 1));
        let error = scene.refused(client, ErrorCode::MessageTooLarge, "one byte too many");
        assert!(error.message.contains("819"));
    }
    // From the length alone, before the rest comes.
    for transport in TRANSPORTS {
        let mut scene = Scene::new();
        let client = scene.relay.greeted_over("bad", transport);
        let start = match transport {
            Transport::Tcp | Transport::EventStream => vec![0xff; 4],
            Transport::WebSocket => vec![0x82, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
        };
        scene.relay.send_bytes(client, &start);
        scene.refused(client, ErrorCode::MessageTooLarge, "the length alone");
    }
    // However it is cut.
    let mut scene = Scene::with(|settings| settings.connection.message_bytes_max = bytes_max);
    let client = scene.relay.greeted_over("bad", Transport::WebSocket);
    let part = |kind, length| masked(OpCode::Data(kind), false, &vec![0; length]);
    scene.relay.send_bytes(client, &part(Data::Binary, 8000));
    scene.relay.send_bytes(client, &part(Data::Continue, 196));
    assert!(!scene.relay.is_closed(client));
    scene.relay.send_bytes(client, &part(Data::Continue, 1));
    scene.refused(client, ErrorCode::MessageTooLarge, "fragments");
}

#[test]
fn only_ping_comes_before_hello() {
    for transport in TRANSPORTS {
        for request in [
            open("notes", "log", true),
            log_batch(1, 0, ["x"]),
            request::Body::SyncRequest(wire::SyncRequest::default()),
            request::Body::Presence(wire::Presence::default()),
            request::Body::Heartbeat(wire::Heartbeat::default()),
            request::Body::Close(wire::Close::default()),
            request::Body::Pong(wire::Pong::default()),
        ] {
            let mut scene = Scene::new();
            let client = scene.relay.connect(transport);
            let nonce = u64::MAX;
            scene
                .relay
                .send(client, request::Body::Ping(wire::Ping { nonce }));
            assert_eq!(expect!(scene.relay, client, Pong).nonce, nonce);
            let what = format!("{request:?}");
            scene.relay.send(client, request);
            scene.refused(client, ErrorCode::HelloRequired, &what);
        }
    }
}

#[test]
fn versions_that_are_not_spoken_are_told_which_are() {
    for transport in TRANSPORTS {
        for version in 0..2 {
            let mut scene = Scene::new();
            let client = scene.relay.connect(transport);
            let old = wire::Hello {
                protocol_version: version,
                client_uuid: vec![1; 16].into(),
                ..Default::default()
            };
            scene.relay.send(client, request::Body::Hello(old));
            let error = scene.refused(
                client,
                ErrorCode::VersionMismatch,
                "JSON's version in protobuf",
            );
            assert_eq!(error.supported_versions, [2, 3]);
            assert!(!error.retryable);
        }
    }
}

#[test]
fn hello_has_fields_within_their_ranges_and_comes_once() {
    let request::Body::Hello(good) = hello("ann") else {
        unreachable!()
    };
    let at_the_edge = wire::Hello {
        user_id: "é".repeat(64),
        user_name: "x".repeat(128),
        ..good.clone()
    };
    let bad = [
        wire::Hello {
            client_uuid: Bytes::new(),
            ..good.clone()
        },
        wire::Hello {
            client_uuid: vec![1; 15].into(),
            ..good.clone()
        },
        wire::Hello {
            client_uuid: vec![1; 17].into(),
            ..good.clone()
        },
        wire::Hello {
            user_id: "x".repeat(129),
            ..good.clone()
        },
        wire::Hello {
            user_name: "x".repeat(129),
            ..good
        },
    ];
    let mut scene = Scene::new();
    let client = scene.relay.connect(Transport::Tcp);
    for hello in bad {
        scene.relay.send(client, request::Body::Hello(hello));
        let error = expect!(scene.relay, client, Error);
        assert_eq!(error.code(), ErrorCode::HelloInvalid);
        assert!(!scene.relay.is_closed(client), "it may say it again");
    }
    scene
        .relay
        .send(client, request::Body::Hello(at_the_edge.clone()));
    expect!(scene.relay, client, Connected);
    scene.relay.send(client, request::Body::Hello(at_the_edge));
    assert_eq!(
        expect!(scene.relay, client, Error).code(),
        ErrorCode::HelloInvalid
    );
    scene.relay.open(client, "mine", "log");
    scene.check();
}

#[test]
fn hello_must_come_in_time() {
    for transport in TRANSPORTS {
        let mut scene = Scene::new();
        let client = scene.relay.connect(transport);
        scene
            .relay
            .send(client, request::Body::Ping(wire::Ping { nonce: 1 }));
        expect!(scene.relay, client, Pong);
        scene.relay.pass(Duration::from_millis(9_999));
        assert!(!scene.relay.is_closed(client));
        scene.relay.pass(Duration::from_millis(1));
        let error = scene.refused(client, ErrorCode::HandshakeTimeout, "silence");
        assert!(error.retryable);
    }
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut bytes = (message.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(message);
    bytes
}

fn message_bytes(body: request::Body) -> usize {
    wire::Request::from(body).encoded_len()
}

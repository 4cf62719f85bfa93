//! Every way to ask wrongly: at the limit it is taken, one past it it is refused with its own code, and nobody else
//! notices.

use std::time::Duration;

use bytes::Bytes;
use corelay::codec::wire::{self, ErrorCode, event, request};
use corelay::engine::shard::Transport;
use corelay::text::Operation;
use prost::Message;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::expect;
use crate::fixture::{Client, Relay, TRANSPORTS, hello, log_batch, masked, open, text_batch};

/// A relay with a healthy client in a document, to be there before and after.
struct Scene {
    relay: Relay,
    healthy: Client,
    notes: u64,
    clock: u64,
}

impl Scene {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut corelay::engine::shard::Settings)) -> Self {
        let mut relay = Relay::with(1, change);
        let (healthy, notes) = relay.joined("healthy", "notes", "log");
        Self {
            relay,
            healthy,
            notes,
            clock: 0,
        }
    }

    /// The healthy client's next operation goes through.
    #[track_caller]
    fn check(&mut self) {
        self.relay.drain(self.healthy);
        let batch = log_batch(self.notes, self.clock, ["still here"]);
        self.relay.send(self.healthy, batch);
        self.clock += 1;
        assert_eq!(
            expect!(self.relay, self.healthy, Ack).first_revision,
            self.clock
        );
        assert!(!self.relay.is_closed(self.healthy));
    }

    /// The connection was refused: the reason as Error and as Close, then the end.
    #[track_caller]
    fn refused(&mut self, client: Client, code: ErrorCode, what: &str) -> wire::Error {
        let error = expect!(self.relay, client, Error);
        assert_eq!(error.code(), code, "{what}");
        let close = expect!(self.relay, client, Close);
        assert_eq!((close.document, close.code()), (0, code), "{what}");
        assert_eq!(close.retryable, error.retryable);
        assert!(!error.message.is_empty());
        assert!(self.relay.is_closed(client), "{what}");
        if let Some(close_code) = self.relay.close_code(client) {
            assert_eq!(i32::from(close_code), code as i32, "{what}");
        }
        self.check();
        error
    }
}

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
    scene.refused(client, ErrorCode::TextUnsupported, "a text message");
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
            Transport::Tcp => vec![0xff; 4],
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
        for version in 0..3 {
            let mut scene = Scene::new();
            let client = scene.relay.connect(transport);
            let old = wire::Hello {
                protocol_version: version,
                client_uuid: vec![1; 16].into(),
                ..Default::default()
            };
            scene.relay.send(client, request::Body::Hello(old));
            let error = scene.refused(client, ErrorCode::VersionMismatch, "an old client");
            assert_eq!(error.supported_versions, [3]);
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

#[test]
fn document_ids_have_1_to_256_bytes_and_no_control_characters() {
    let mut scene = Scene::new();
    let client = scene.relay.greeted("bad");
    for name in [
        "",
        "a\nb",
        "\0",
        "a\u{7f}",
        "a\u{85}",
        &"x".repeat(257),
        &"é".repeat(129),
    ] {
        scene.relay.send(client, open(name, "log", true));
        let error = expect!(scene.relay, client, Error);
        assert_eq!(error.code(), ErrorCode::DocumentIdInvalid, "{name:?}");
        assert_eq!(error.request_id, 1);
    }
    for name in [
        " ",
        "../..",
        "acme::invoice-42",
        "👋",
        &"x".repeat(256),
        &"é".repeat(128),
    ] {
        scene.relay.open(client, name, "log");
    }
    scene.check();
}

#[test]
fn kinds_are_known_and_stay_what_they_are() {
    let mut scene = Scene::new();
    let client = scene.relay.greeted("bad");
    for kind in ["Log", "sheet", " ", "text ", "\0"] {
        scene.relay.send(client, open("mine", kind, true));
        assert_eq!(
            expect!(scene.relay, client, Error).code(),
            ErrorCode::KindUnknown
        );
    }
    scene
        .relay
        .send(client, open("mine", &"\u{1}".repeat(500_000), true));
    let error = expect!(scene.relay, client, Error);
    assert_eq!(error.code(), ErrorCode::KindUnknown);
    assert!(error.message.len() < 1000, "what was sent is not sent back");
    scene.relay.send(client, open("notes", "text", true));
    let error = expect!(scene.relay, client, Error);
    assert_eq!(error.code(), ErrorCode::KindMismatch);
    assert!(error.message.contains("log") && error.message.contains("text"));
    scene.relay.open(client, "notes", "log");
    scene.check();
}

#[test]
fn handles_are_of_documents_that_the_connection_has_open() {
    for shards in [1, 2] {
        let mut relay = Relay::with(shards, |_| ());
        let (_ann, notes) = relay.joined("ann", "notes", "log");
        let client = relay.greeted("bad");
        for document in [0, notes, notes + 1, notes + 2, u64::MAX, u64::MAX - 1] {
            relay.send(client, log_batch(document, 7, ["x"]));
            let nack = expect!(relay, client, Nack);
            assert_eq!(
                nack.code(),
                ErrorCode::DocumentNotOpen,
                "{document} of {shards} shards"
            );
            assert_eq!((nack.document, nack.client_seq), (document, 7));
            for request in [
                request::Body::SyncRequest(wire::SyncRequest {
                    document,
                    ..Default::default()
                }),
                request::Body::Presence(wire::Presence {
                    document,
                    ..Default::default()
                }),
                request::Body::Heartbeat(wire::Heartbeat { document }),
            ] {
                relay.send(client, request);
                let error = expect!(relay, client, Error);
                assert_eq!(error.code(), ErrorCode::DocumentNotOpen);
                assert_eq!(error.document, document);
            }
        }
        relay.send(client, crate::fixture::close(notes));
        assert_eq!(
            expect!(relay, client, Error).code(),
            ErrorCode::DocumentNotOpen
        );
        assert!(!relay.is_closed(client));
    }
}

#[test]
fn a_connection_has_no_more_documents_open_than_it_may() {
    let mut scene = Scene::with(|settings| settings.connection.documents_max = 3);
    let client = scene.relay.greeted("bad");
    // All at once, so that none is loaded when the last is asked for.
    for name in ["a", "b", "c", "d", "e"] {
        scene.relay.push(client, open(name, "log", true));
    }
    scene.relay.settle();
    let mut opened = Vec::new();
    for event in scene.relay.drain(client) {
        match event {
            event::Body::Opened(one) => opened.push(one.document),
            event::Body::Error(error) => assert_eq!(error.code(), ErrorCode::TooManyDocuments),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(opened.len(), 3);
    scene.relay.open(client, "a", "log");
    scene.relay.send(client, open("d", "log", true));
    assert_eq!(
        expect!(scene.relay, client, Error).code(),
        ErrorCode::TooManyDocuments
    );
    scene.relay.send(client, crate::fixture::close(opened[1]));
    scene.relay.open(client, "d", "log");
    scene.check();
}

#[test]
fn a_batch_has_as_many_operations_as_it_may() {
    let mut scene = Scene::with(|settings| settings.connection.batch_operations_max = 5);
    let (client, mine) = scene.relay.joined("bad", "mine", "log");
    for count in [0, 6] {
        scene
            .relay
            .send(client, log_batch(mine, 0, vec!["x"; count]));
        let nack = expect!(scene.relay, client, Nack);
        assert_eq!(
            (nack.code(), nack.retryable),
            (ErrorCode::BatchInvalid, false)
        );
    }
    scene.relay.send(client, log_batch(mine, u64::MAX, ["x"]));
    assert_eq!(
        expect!(scene.relay, client, Nack).code(),
        ErrorCode::BatchInvalid
    );
    scene.relay.send(client, log_batch(mine, 0, vec!["x"; 5]));
    assert_eq!(expect!(scene.relay, client, Ack).count, 5);
    scene.check();
}

#[test]
fn operations_of_a_text_are_what_a_text_understands() {
    let component = |edit| wire::TextComponent { edit };
    let encoded = |components: Vec<_>| wire::TextOperation { components }.encode_to_vec();
    use wire::text_component::Edit;
    let cases: [(&str, Vec<u8>, ErrorCode); 7] = [
        ("garbage", vec![0xff], ErrorCode::OperationInvalid),
        (
            "no edit",
            encoded(vec![component(None)]),
            ErrorCode::OperationInvalid,
        ),
        (
            "an empty insert",
            encoded(vec![component(Some(Edit::Insert(String::new())))]),
            ErrorCode::OperationInvalid,
        ),
        (
            "an empty delete",
            encoded(vec![component(Some(Edit::Delete(0)))]),
            ErrorCode::OperationInvalid,
        ),
        (
            "an insert that is not UTF-8",
            vec![0x0a, 0x03, 0x12, 0x01, 0xff],
            ErrorCode::OperationInvalid,
        ),
        (
            "a retain past everything",
            encoded(vec![component(Some(Edit::Retain(u64::MAX)))]),
            ErrorCode::OperationOutOfBounds,
        ),
        (
            "a retain past the end",
            encoded(vec![
                component(Some(Edit::Retain(1))),
                component(Some(Edit::Delete(1))),
            ]),
            ErrorCode::OperationOutOfBounds,
        ),
    ];
    let mut scene = Scene::new();
    let (client, mine) = scene.relay.joined("bad", "mine", "text");
    for (what, bytes, code) in cases {
        scene.relay.send(client, log_batch(mine, 0, [bytes]));
        assert_eq!(expect!(scene.relay, client, Nack).code(), code, "{what}");
    }
    // One that changes nothing is an operation like any other.
    scene
        .relay
        .send(client, text_batch(mine, 0, 0, &[Operation::default()]));
    assert_eq!(expect!(scene.relay, client, Ack).first_revision, 1);
    scene.check();
}

#[test]
fn a_text_grows_to_its_limit() {
    let mut scene = Scene::with(|settings| settings.document.bytes_max = 1024);
    let (client, mine) = scene.relay.joined("bad", "mine", "text");
    scene.relay.send(
        client,
        text_batch(mine, 0, 0, &[Operation::splice(0, 0, &"x".repeat(1024))]),
    );
    expect!(scene.relay, client, Ack);
    let edit = Operation::splice(3, 0, "y");
    scene.relay.send(client, text_batch(mine, 1, 1, &[edit]));
    let nack = expect!(scene.relay, client, Nack);
    assert_eq!(
        (nack.code(), nack.retryable),
        (ErrorCode::DocumentTooLarge, false)
    );
    scene.relay.send(
        client,
        text_batch(mine, 1, 1, &[Operation::splice(0, 1, "z")]),
    );
    expect!(scene.relay, client, Ack);
    scene.check();
}

#[test]
fn a_document_that_is_larger_than_a_lowered_limit_still_opens_and_shrinks() {
    let mut relay = Relay::new();
    let (ann, mine) = relay.joined("ann", "mine", "text");
    relay.send(
        ann,
        text_batch(mine, 0, 0, &[Operation::splice(0, 0, &"x".repeat(2000))]),
    );
    relay.send(
        ann,
        text_batch(mine, 1, 1, &[Operation::splice(0, 0, &"x".repeat(2000))]),
    );
    relay.restart(|settings| settings.document.bytes_max = 1024);
    let ann = relay.greeted("ann");
    let mine = relay.open(ann, "mine", "text").document;
    relay.drain(ann);
    relay.send(ann, text_batch(mine, 2, 2, &[Operation::splice(0, 0, "x")]));
    assert_eq!(
        expect!(relay, ann, Nack).code(),
        ErrorCode::DocumentTooLarge
    );
    relay.send(
        ann,
        text_batch(mine, 2, 2, &[Operation::splice(0, 1000, "")]),
    );
    expect!(relay, ann, Ack);
}

#[test]
fn a_document_has_as_many_writers_as_it_may_and_any_number_of_readers() {
    let mut scene = Scene::with(|settings| settings.document.clients_max = 2);
    let clients = ["one", "two", "three"].map(|name| scene.relay.joined(name, "mine", "log"));
    for (client, mine) in &clients[..2] {
        scene.relay.send(*client, log_batch(*mine, 0, ["x"]));
    }
    let (third, mine) = clients[2];
    scene.relay.drain(third);
    scene.relay.send(third, log_batch(mine, 0, ["x"]));
    let nack = expect!(scene.relay, third, Nack);
    assert_eq!(
        (nack.code(), nack.retryable),
        (ErrorCode::TooManyClients, false)
    );
    scene.relay.drain(clients[0].0);
    scene.relay.send(clients[0].0, log_batch(mine, 1, ["y"]));
    expect!(scene.relay, clients[0].0, Ack);
    assert_eq!(expect!(scene.relay, third, RemoteOps).revision, 3);
    scene.check();
}

#[test]
fn a_presence_is_as_large_as_it_may_be() {
    let mut scene = Scene::with(|settings| settings.presence.bytes_max = 1000);
    let (client, mine) = scene.relay.joined("bad", "mine", "log");
    let presence = |bytes: usize| wire::Presence {
        document: mine,
        fields: [("x".to_owned(), vec![7; bytes].into())].into(),
        ..Default::default()
    };
    let overhead = presence(500).encoded_len() - 500;
    scene
        .relay
        .send(client, request::Body::Presence(presence(1001 - overhead)));
    let error = expect!(scene.relay, client, Error);
    assert_eq!(
        (error.code(), error.document),
        (ErrorCode::PresenceTooLarge, mine)
    );
    scene
        .relay
        .send(client, request::Body::Presence(presence(1000 - overhead)));
    scene.relay.assert_quiet(client);
    scene.check();
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
    wire::Request { body: Some(body) }.encoded_len()
}

//! Requests that are refused with their own code while the connection goes on: at the limit they are taken, one past it
//! they are not, and nobody else notices.

use corelay::codec::wire::{self, ErrorCode, event, request};
use corelay::text::Operation;
use prost::Message;

use crate::expect;
use crate::fixture::Relay;
use crate::requests::{log_batch, open, text_batch};
use crate::scene::Scene;

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
        for document in [
            notes + 3,
            notes,
            notes + 1,
            notes + 2,
            u64::MAX,
            u64::MAX - 1,
        ] {
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
        relay.send(client, crate::requests::close(notes));
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
    scene.relay.send(client, crate::requests::close(opened[1]));
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

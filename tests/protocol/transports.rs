//! One script over every transport and dialect: what a client is told does not depend on how it is told.

use corelay::codec::dialect::Dialect;
use corelay::codec::wire::{self, event, request};
use corelay::engine::shard::{Arrival, Transport};
use corelay::text::Operation;
use serde_json::{Value, json};

use crate::fixture::{Client, Relay};
use crate::requests::{hello, text_batch};

const WAYS: [(Transport, Dialect); 4] = [
    (Transport::Tcp, Dialect::Protobuf),
    (Transport::WebSocket, Dialect::Protobuf),
    (Transport::WebSocket, Dialect::Json),
    (Transport::EventStream, Dialect::EventStream),
];

/// A client that speaks in one of the ways, and notes what it is told in words that are the same for all.
struct Speaker {
    client: Client,
    is_json: bool,
    handle: u64,
}

impl Speaker {
    fn new(relay: &mut Relay, way: (Transport, Dialect), shard: usize) -> Self {
        Self {
            client: relay.connect_to(shard, way.0, None),
            is_json: way.1 != Dialect::Protobuf,
            handle: 0,
        }
    }

    fn say(&mut self, relay: &mut Relay, json: &Value, wire: impl FnOnce(u64) -> request::Body) {
        if self.is_json {
            relay.say(self.client, json);
        } else {
            relay.send(self.client, wire(self.handle));
        }
    }

    fn told(&mut self, relay: &mut Relay) -> Vec<String> {
        if self.is_json {
            let mut told = Vec::new();
            while let Some((_, message)) = relay.next_message(self.client) {
                told.push(of_json(&message));
            }
            told
        } else {
            let bodies = relay.drain(self.client);
            for body in &bodies {
                if let event::Body::Opened(opened) = body {
                    self.handle = opened.document;
                }
            }
            bodies.iter().map(of_wire).collect()
        }
    }
}

fn of_wire(body: &event::Body) -> String {
    let texts = |remote: &wire::RemoteOps| -> Vec<String> {
        let operations = remote.operations.iter();
        operations.map(components).collect()
    };
    match body {
        event::Body::Connected(connected) => format!("connected v{}", connected.protocol_version),
        event::Body::Opened(opened) => format!(
            "opened {} at {} {}",
            opened.kind,
            opened.position.expect("set").revision,
            opened.sync().as_str_name().to_lowercase()
        ),
        event::Body::Ack(ack) => format!(
            "ack {} first {} count {} {}",
            ack.client_seq, ack.first_revision, ack.count, ack.duplicate
        ),
        event::Body::Nack(nack) => format!(
            "nack {} {} next {}",
            nack.client_seq, nack.code, nack.next_clock
        ),
        event::Body::RemoteOps(remote) => {
            format!("remote {} {:?}", remote.revision, texts(remote))
        }
        event::Body::SyncResponse(page) => {
            let data = page.snapshot.as_ref().map(|chunk| chunk.data.clone());
            let text = String::from_utf8(data.unwrap_or_default().to_vec()).expect("UTF-8");
            let operations: Vec<_> = page.operations.iter().flat_map(texts).collect();
            format!("page {text:?} {operations:?} more {}", page.has_more)
        }
        event::Body::Resync(resync) => {
            format!("resync {}", resync.sync().as_str_name().to_lowercase())
        }
        event::Body::PresenceUpdate(update) => {
            let typing = |user: &wire::UserPresence| {
                let at = user.cursor.as_ref().map_or(0, |cursor| cursor.offset);
                format!("{} {} {at} {}", user.name, user.is_typing, user.left)
            };
            let users: Vec<_> = update.presences.iter().map(typing).collect();
            format!("presence {users:?} {}", update.full)
        }
        event::Body::Error(error) => format!("error {} {}", error.code, error.retryable),
        event::Body::Pong(pong) => format!("pong {}", pong.nonce),
        event::Body::Directory(directory) => {
            let ids: Vec<_> = directory
                .documents
                .iter()
                .map(|it| &it.document_id)
                .collect();
            format!("directory {ids:?}")
        }
        event::Body::Close(close) => format!("close {}", close.code),
        event::Body::Deleted(deleted) => format!("deleted {}", deleted.document_id),
        other => panic!("the script does not lead to {other:?}"),
    }
}

fn of_json(message: &Value) -> String {
    let payload = &message["payload"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let operations = |value: &Value| -> Vec<String> {
        let operations = value.as_array().into_iter().flatten();
        operations.map(Value::to_string).collect()
    };
    match message["type"].as_str().expect("a type") {
        "connected" => format!("connected v{}", payload["protocolVersion"]),
        "opened" => format!(
            "opened {} at {} {}",
            text(&payload["kind"]),
            payload["position"]["revision"],
            text(&payload["sync"])
        ),
        "ack" => format!(
            "ack {} first {} count {} {}",
            payload["clientSeq"], payload["firstRevision"], payload["count"], payload["duplicate"]
        ),
        "nack" => format!(
            "nack {} {} next {}",
            payload["clientSeq"], payload["code"], payload["nextClock"]
        ),
        "remote_ops" => format!(
            "remote {} {:?}",
            payload["revision"],
            operations(&payload["operations"])
        ),
        "sync_response" => format!(
            "page {:?} {:?} more {}",
            text(&payload["snapshot"]["data"]),
            operations(&payload["operations"]),
            payload["hasMore"]
        ),
        "resync" => format!("resync {}", text(&payload["sync"])),
        "presence_update" => {
            let users = payload["presences"].as_array().expect("an array").iter();
            let typing = |user: &Value| {
                let at = user["cursor"]["offset"].as_u64().unwrap_or_default();
                let is = |name: &str| user[name].as_bool().unwrap_or_default();
                format!(
                    "{} {} {at} {}",
                    text(&user["name"]),
                    is("isTyping"),
                    is("left")
                )
            };
            let users: Vec<_> = users.map(typing).collect();
            format!(
                "presence {users:?} {}",
                payload["full"].as_bool().unwrap_or_default()
            )
        }
        "error" => format!("error {} {}", payload["code"], payload["retryable"]),
        "pong" => format!("pong {}", payload["nonce"]),
        "directory" => {
            let documents = payload["documents"].as_array().expect("an array").iter();
            let ids: Vec<_> = documents.map(|it| text(&it["documentId"])).collect();
            format!("directory {ids:?}")
        }
        "close" => format!("close {}", payload["code"]),
        "deleted" => format!("deleted {}", text(&payload["documentId"])),
        other => panic!("the script does not lead to {other}: {message}"),
    }
}

/// An encoded operation as JSON has it.
fn components(bytes: &bytes::Bytes) -> String {
    use prost::Message;
    use wire::text_component::Edit;
    let operation = wire::TextOperation::decode(bytes.clone()).expect("an operation");
    let components = operation.components.into_iter();
    let component = |component: wire::TextComponent| match component.edit.expect("one") {
        Edit::Retain(count) => json!({"retain": count}),
        Edit::Insert(text) => json!({"insert": text}),
        Edit::Delete(count) => json!({"delete": count}),
    };
    Value::Array(components.map(component).collect()).to_string()
}

/// What the client is told, step by step.
fn play(
    way: (Transport, Dialect),
    shards: usize,
    home: usize,
    edge_subscribers_min: Option<usize>,
) -> Vec<String> {
    let mut relay = Relay::with(shards, |settings| {
        settings.fanout.edge_subscribers_min = edge_subscribers_min;
    });
    let (peer, page) = relay.joined("peer", "page", "text");
    relay.send(
        peer,
        text_batch(page, 0, 0, &[Operation::splice(0, 0, "hello")]),
    );
    relay.drain(peer);
    let mut me = Speaker::new(&mut relay, way, home);
    let mut log = Vec::new();
    let mut step = |me: &mut Speaker, relay: &mut Relay, what: &str| {
        log.push(format!("-- {what}"));
        log.extend(me.told(relay));
    };
    let uuid = "00112233-4455-6677-8899-aabbccddeeff";
    let bytes = (0..16).map(|digit| digit * 0x11).collect::<Vec<u8>>();

    let connect = json!({"clientId": uuid, "protocolVersion": 3, "userName": "Me"});
    me.say(
        &mut relay,
        &json!({"type": "connect", "payload": connect}),
        |_| {
            request::Body::Hello(wire::Hello {
                protocol_version: 3,
                client_uuid: bytes.into(),
                user_name: "Me".to_owned(),
                ..Default::default()
            })
        },
    );
    step(&mut me, &mut relay, "connect");
    me.say(
        &mut relay,
        &json!({"type": "ping", "payload": {"nonce": 7}}),
        |_| request::Body::Ping(wire::Ping { nonce: 7 }),
    );
    step(&mut me, &mut relay, "ping");
    for (name, kind) in [("page", "log"), ("none", ""), ("page", "text")] {
        let open = json!({"documentId": name, "kind": kind});
        me.say(
            &mut relay,
            &json!({"type": "open", "payload": open}),
            |_| {
                request::Body::Open(wire::Open {
                    document: name.to_owned(),
                    kind: kind.to_owned(),
                    ..Default::default()
                })
            },
        );
        step(&mut me, &mut relay, "open");
    }
    let edit = |seq: u64, clock: u64, base: u64, position: u64, insert: &str| {
        let components = json!([{"retain": position}, {"insert": insert}]);
        json!({"type": "operations", "payload": {
            "documentId": "page", "clientSeq": seq, "firstClock": clock, "baseRevision": base,
            "operations": [components],
        }})
    };
    // The first, the same again, one after a gap, one that reaches too far, one from the future.
    for (seq, clock, base, position, insert) in [
        (1, 0, 1, 5, "!"),
        (1, 0, 1, 5, "!"),
        (2, 5, 2, 1, "x"),
        (3, 1, 2, 99, "x"),
        (4, 1, 9, 1, "x"),
    ] {
        let json = edit(seq, clock, base, position, insert);
        me.say(&mut relay, &json, |document| {
            let operation = Operation::splice(position as usize, 0, insert);
            match text_batch(document, clock, base, &[operation]) {
                request::Body::Operations(batch) => request::Body::Operations(wire::Operations {
                    client_seq: seq,
                    ..batch
                }),
                other => other,
            }
        });
        step(&mut me, &mut relay, "operations");
    }
    relay.send(
        peer,
        text_batch(page, 1, 1, &[Operation::splice(0, 1, "J")]),
    );
    step(&mut me, &mut relay, "another's operations");
    relay.send(
        peer,
        request::Body::Presence(wire::Presence {
            document: page,
            is_typing: true,
            cursor: Some(wire::Cursor {
                block_id: "b".to_owned(),
                offset: 3,
            }),
            ..Default::default()
        }),
    );
    step(&mut me, &mut relay, "another's presence");
    let presence = json!({"documentId": "page", "isTyping": true});
    me.say(
        &mut relay,
        &json!({"type": "presence", "payload": presence}),
        |document| {
            request::Body::Presence(wire::Presence {
                document,
                is_typing: true,
                ..Default::default()
            })
        },
    );
    step(&mut me, &mut relay, "presence");
    for have in [1, 3] {
        let sync = json!({"documentId": "page", "have": {"epoch": 1, "revision": have}});
        me.say(
            &mut relay,
            &json!({"type": "sync_request", "payload": sync}),
            |document| {
                request::Body::SyncRequest(wire::SyncRequest {
                    document,
                    have: Some(wire::Position {
                        epoch: 1,
                        revision: have,
                    }),
                    ..Default::default()
                })
            },
        );
        step(&mut me, &mut relay, "sync_request");
    }
    me.say(
        &mut relay,
        &json!({"type": "list", "payload": {"prefix": "p"}}),
        |_| {
            request::Body::List(wire::List {
                prefix: "p".to_owned(),
                ..Default::default()
            })
        },
    );
    step(&mut me, &mut relay, "list");
    me.say(
        &mut relay,
        &json!({"type": "delete", "payload": {"documentId": "page"}}),
        |_| {
            request::Body::Delete(wire::Delete {
                document_id: "page".to_owned(),
                ..Default::default()
            })
        },
    );
    step(&mut me, &mut relay, "delete");
    log
}

#[test]
fn a_session_is_the_same_over_every_transport_and_wherever_its_document_is() {
    let expected = play(WAYS[0], 1, 0, None);
    let said = expected.join("\n");
    for what in [
        "connected v3",
        "pong 7",
        "error 4006 false",
        "error 4004 false",
        "opened text at 1 snapshot",
        "page \"hello\" [] more true",
        "ack 1 first 2 count 1 false",
        "ack 1 first 2 count 1 true",
        "nack 2 4024 next 1",
        "nack 3 4022 next 1",
        "nack 4 4100 next 1",
        "remote 3",
        "presence [\"",
        "resync delta",
        "directory [\"page\"]",
        "close 4017",
        "deleted page",
    ] {
        assert!(said.contains(what), "{what:?} is not in\n{said}");
    }
    for way in WAYS {
        for (shards, home) in [(1, 0), (2, 0), (2, 1), (3, 2)] {
            for edges in [None, Some(1)] {
                let told = play(way, shards, home, edges);
                let place = format!("shard {home} of {shards}, edges from {edges:?}");
                assert_eq!(told, expected, "{way:?}, {place}");
            }
        }
    }
}

#[test]
fn hello_is_the_same_however_it_is_said() {
    let mut relay = Relay::new();
    let client = relay.connect(Transport::WebSocket);
    relay.send(client, hello("ann"));
    let Some(event::Body::Connected(by_message)) = relay.next(client) else {
        panic!("it is not connected");
    };
    let request::Body::Hello(hello) = hello("ann") else {
        unreachable!()
    };
    let arrival = Arrival {
        hello: Some(hello),
        dialect: Some(Dialect::Json),
        ..Arrival::new(Transport::WebSocket)
    };
    let client = relay.arrive(0, arrival).expect("it is taken");
    relay.settle();
    let (_, connected) = relay.next_message(client).expect("at once");
    assert_eq!(connected["type"], "connected");
    assert_eq!(connected["payload"]["clientId"], by_message.client_id);
}

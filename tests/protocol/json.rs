//! The JSON dialect: what it says is what protobuf says, in the words of the sync protocol.

use std::collections::BTreeMap;

use bytes::Bytes;
use corelay::codec::wire::{self, ErrorCode, event, request};
use corelay::engine::shard::Transport;
use serde_json::{Value, json};

use crate::expect;
use crate::fixture::{Client, Relay, STARTED_AT_MS};
use crate::requests::{hello, log_batch, open};
use crate::scene::Scene;

/// A state vector as a client keeps it.
type Vector = BTreeMap<String, i64>;

/// Takes over the entries of a `serverVector`.
fn merge(vector: &mut Vector, payload: &Value) {
    let entries = payload["serverVector"].as_object().expect("an object");
    for (client, clock) in entries {
        vector.insert(client.clone(), clock.as_i64().expect("a clock"));
    }
}

fn vector<const N: usize>(entries: [(u64, i64); N]) -> Vector {
    entries
        .map(|(client, clock)| (client.to_string(), clock))
        .into()
}

pub fn message(kind: &str, id: &str, payload: Value) -> Value {
    json!({"type": kind, "id": id, "timestamp": 5, "payload": payload})
}

/// Connects in JSON to the document that the URL names, and opens it by asking to be brought up to date.
pub fn in_sync(relay: &mut Relay, name: &str, document: &str, kind: &str) -> Client {
    let client = relay.greeted_in_json(name, 0, Some(document));
    relay.text(client, "connected", "");
    relay.say(
        client,
        &message("sync_request", "sync", json!({"kind": kind})),
    );
    while relay.text(client, "sync_response", "sync")["hasMore"] == true {}
    relay.assert_quiet(client);
    client
}

/// The client id that the relay gives to this name.
fn id_of(relay: &mut Relay, name: &str) -> u64 {
    let client = relay.connect(Transport::Tcp);
    relay.send(client, hello(name));
    expect!(relay, client, Connected).client_id
}

#[test]
fn the_session_of_the_sync_protocol() {
    let mut relay = Relay::new();
    let (one, two) = (id_of(&mut relay, "one"), id_of(&mut relay, "two"));
    let (first, notes) = relay.joined("one", "notes", "log");
    let (second, _) = relay.joined("two", "notes", "log");
    let operation = |clock: u64| Bytes::from(format!(r#"{{"n":{clock}}}"#));
    relay.send(first, log_batch(notes, 0, (0..=10).map(operation)));
    relay.send(second, log_batch(notes, 0, (0..=5).map(operation)));
    relay.send(first, log_batch(notes, 11, (11..=15).map(operation)));
    relay.send(second, log_batch(notes, 6, (6..=8).map(operation)));
    relay.restart(|_| ());
    let (second, _) = relay.joined("two", "notes", "log");
    let presence = wire::Presence {
        document: notes,
        is_typing: true,
        ..wire::Presence::default()
    };
    relay.send(second, request::Body::Presence(presence));

    // → [WebSocket Connect]
    let ann = relay.greeted_in_json("ann", 0, Some("notes"));
    let connected = relay.text(ann, "connected", "");
    let me = connected["clientId"].as_u64().expect("a number");
    assert_eq!(connected["serverTime"], STARTED_AT_MS);
    assert_eq!(connected["protocolVersion"], 1);
    assert!(connected["features"].is_array());
    relay.assert_quiet(ann);

    // → sync_request
    let mut own = vector([(one, 10), (two, 5)]);
    let sync = json!({"documentId": "notes", "stateVector": own});
    relay.say(ann, &message("sync_request", "sync", sync));
    let mut operations = Vec::new();
    let mut batches = Vec::new();
    let last = loop {
        let mut page = relay.text(ann, "sync_response", "sync");
        assert_eq!(page["documentId"], "notes");
        assert_eq!(page["snapshot"], Value::Null);
        operations.extend(page["operations"].as_array().expect("an array").clone());
        batches.extend(page["batches"].as_array().expect("an array").clone());
        if page["hasMore"] == false {
            break page.take();
        }
        assert_eq!(page["serverVector"], json!({}));
    };
    let numbers = operations.iter().map(|operation| &operation["n"]);
    assert!(numbers.eq(&[11, 12, 13, 14, 15, 6, 7, 8]));
    let batch = |origin: u64, revision, first_clock, count| json!({"origin": origin, "revision": revision, "firstClock": first_clock, "count": count});
    assert_eq!(batches, [batch(one, 18, 11, 5), batch(two, 23, 6, 3)]);
    merge(&mut own, &last);
    assert_eq!(own, vector([(one, 15), (two, 8), (me, -1)]));
    assert_eq!(last["position"], json!({"epoch": 1, "revision": 25}));
    let presence = relay.text(ann, "presence_update", "");
    assert_eq!(presence["full"], true);
    assert_eq!(presence["presences"][0]["clientId"], two);
    relay.assert_quiet(ann);

    // → operations
    let (first, _) = relay.joined("one", "notes", "log");
    relay.drain(first);
    relay.hold_store();
    let insert = json!({"type": "text_insert", "position": 3, "text": "é"});
    let batch = json!({"documentId": "notes", "ops": [insert], "clientSeq": 1});
    relay.say(ann, &message("operations", "edit", batch));
    relay.assert_quiet(ann);
    relay.release_store();
    let ack = relay.text(ann, "ack", "edit");
    assert_eq!(
        (&ack["documentId"], &ack["clientSeq"]),
        (&json!("notes"), &json!(1))
    );
    assert!(ack["persistedAt"].as_u64().expect("a time") >= STARTED_AT_MS);
    merge(&mut own, &ack);
    assert_eq!(own, vector([(one, 15), (two, 8), (me, 0)]));
    let remote = relay
        .drain(first)
        .into_iter()
        .find_map(|event| match event {
            event::Body::RemoteOps(remote) => Some(remote),
            _another => None,
        });
    let remote = remote.expect("the others have it");
    let (operation, _) = remote.operations.split_first().expect("one");
    assert_eq!(
        serde_json::from_slice::<Value>(operation).expect("JSON"),
        insert
    );

    // ← remote_ops
    relay.send(first, log_batch(notes, 16, [operation_16()]));
    let remote = relay.text(ann, "remote_ops", "");
    assert_eq!(remote["operations"], json!([{"n": 16}]));
    assert_eq!(
        (&remote["documentId"], &remote["origin"]),
        (&json!("notes"), &json!(one))
    );
    merge(&mut own, &remote);
    assert_eq!(own, vector([(one, 16), (two, 8), (me, 0)]));

    // → presence
    relay.drain(first);
    let cursor = json!({"blockId": "p1", "offset": 42});
    let presence = json!({"documentId": "notes", "cursor": cursor, "isTyping": true});
    relay.say(ann, &message("presence", "", presence));
    relay.assert_quiet(ann);
    let seen = expect!(relay, first, PresenceUpdate).presences.remove(0);
    let at = seen.cursor.expect("a cursor");
    assert_eq!((&*at.block_id, at.offset, seen.is_typing), ("p1", 42, true));
    relay.send(
        first,
        request::Body::Presence(wire::Presence {
            document: notes,
            fields: [("mood".to_owned(), Bytes::from_static(b"\"good\""))].into(),
            ..wire::Presence::default()
        }),
    );
    let update = relay.text(ann, "presence_update", "");
    let seen = &update["presences"][0];
    assert_eq!(
        (&seen["userId"], &seen["name"]),
        (&json!("one"), &json!("ONE"))
    );
    assert_eq!(seen["fields"], json!({"mood": "good"}));
    assert!(seen["color"].as_str().expect("a color").starts_with('#'));
    assert!(seen["lastSeen"].is_u64());

    // → ping
    relay.say(ann, &json!({"type": "ping"}));
    assert_eq!(relay.text(ann, "pong", "")["nonce"], 0);
    relay.say(ann, &message("ping", "p", json!({"nonce": 7})));
    let pong = relay.text(ann, "pong", "p");
    assert_eq!(
        (&pong["nonce"], &pong["serverTime"]),
        (&json!(7), &json!(STARTED_AT_MS))
    );

    // → [WebSocket Close]
    relay.say(ann, &json!({"type": "disconnect"}));
    assert_eq!(relay.close_code(ann), Some(1000));
    assert!(relay.is_closed(ann));
    assert!(expect!(relay, first, PresenceUpdate).presences[0].left);
}

fn operation_16() -> Bytes {
    Bytes::from_static(br#"{"n":16}"#)
}

#[test]
fn every_answer_has_the_id_of_what_it_answers_and_no_broadcast_has_one() {
    let mut relay = Relay::with(1, |settings| {
        settings.memory.catch_up_page_bytes = 4096;
        settings.fanout.ring_slots = 4;
    });
    let (ben, notes) = relay.joined("ben", "notes", "log");
    for clock in 0..40 {
        relay.send(ben, log_batch(notes, clock, [vec![b'1'; 500]]));
    }
    let ann = relay.connect(Transport::WebSocket);
    relay.say(
        ann,
        &message(
            "connect",
            "c",
            json!({"clientId": "00112233-4455-6677-8899-aabbccddeeff"}),
        ),
    );
    relay.text(ann, "connected", "c");
    // Answers that have to wait: for a document to be loaded, for pages, for the disk.
    relay.hold_store();
    relay.say(
        ann,
        &message(
            "open",
            "o",
            json!({"documentId": "other", "kind": "log", "create": true}),
        ),
    );
    relay.say(ann, &message("open", "n", json!({"documentId": "notes"})));
    relay.text(ann, "opened", "n");
    relay.assert_quiet(ann);
    relay.release_store();
    let mut pages = 0;
    let mut opened = 0;
    for message in relay.drain_texts(ann) {
        match message["type"].as_str().expect("a type") {
            "opened" => {
                assert_eq!(message["id"], "o");
                opened += 1;
            }
            "sync_response" => {
                assert_eq!(message["id"], "n");
                pages += 1;
            }
            "remote_ops" => assert_eq!(message["id"], Value::Null),
            other => panic!("{other}"),
        }
    }
    assert!(opened == 1 && pages > 3, "{opened} {pages}");
    relay.say(
        ann,
        &message(
            "sync_request",
            "s",
            json!({"documentId": "notes", "have": {"epoch": 1, "revision": 40}}),
        ),
    );
    assert_eq!(relay.text(ann, "resync", "s")["reason"], "requested");
    assert_eq!(relay.text(ann, "sync_response", "s")["hasMore"], false);

    relay.hold_store();
    for (id, seq) in [("first", 1), ("second", 2)] {
        relay.say(
            ann,
            &message(
                "operations",
                id,
                json!({"documentId": "notes", "operations": [seq], "clientSeq": seq}),
            ),
        );
    }
    // A batch that is sent again is answered as what it is now.
    let again = json!({"documentId": "notes", "operations": [1], "clientSeq": 1, "firstClock": 0});
    relay.say(ann, &message("operations", "again", again));
    relay.assert_quiet(ann);
    relay.release_store();
    let mut acks: Vec<_> = relay.drain_texts(ann);
    acks.sort_by_key(|ack| ack["id"].to_string());
    for (ack, id, seq, duplicate) in [
        (0, "again", 1, true),
        (1, "first", 1, false),
        (2, "second", 2, false),
    ] {
        let ack = &acks[ack];
        assert_eq!((&ack["type"], &ack["id"]), (&json!("ack"), &json!(id)));
        assert_eq!(ack["payload"]["clientSeq"], seq);
        assert_eq!(ack["payload"]["duplicate"], duplicate);
    }

    let refused = [
        ("open", json!({"documentId": "unknown"}), 4004),
        ("open", json!({"documentId": ""}), 4007),
        ("open", json!({"documentId": "notes", "kind": "text"}), 4006),
        (
            "open",
            json!({"documentId": "notes", "kind": "opera"}),
            4005,
        ),
        (
            "sync_request",
            json!({"documentId": "notes", "resumeToken": "AAAA"}),
            4102,
        ),
        ("presence", json!({"documentId": "unknown"}), 4008),
        ("heartbeat", json!({"documentId": "unknown"}), 4008),
        ("close", json!({"documentId": "unknown"}), 4008),
        (
            "connect",
            json!({"clientId": "00112233445566778899aabbccddeeff"}),
            4010,
        ),
    ];
    for (kind, payload, code) in refused {
        relay.say(ann, &message(kind, "x", payload.clone()));
        let error = relay.text(ann, "error", "x");
        assert_eq!(error["code"], code, "{kind} {payload}");
        assert_eq!(error["retryable"], false);
        assert!(error["message"].is_string() && error["details"].is_object());
    }
    for (payload, code) in [
        (
            json!({"documentId": "notes", "operations": [1], "clientSeq": 7, "firstClock": 9}),
            4024,
        ),
        (
            json!({"documentId": "notes", "operations": [], "clientSeq": 7}),
            4020,
        ),
        (
            json!({"documentId": "notes", "operations": vec![1; 1001], "clientSeq": 7}),
            4020,
        ),
        (
            json!({"documentId": "unknown", "operations": [1], "clientSeq": 7}),
            4008,
        ),
    ] {
        relay.say(ann, &message("operations", "x", payload));
        let nack = relay.text(ann, "nack", "x");
        assert_eq!(
            (&nack["code"], &nack["clientSeq"]),
            (&json!(code), &json!(7))
        );
    }
    relay.assert_quiet(ann);
    relay.say(ann, &message("close", "x", json!({"documentId": "notes"})));
    relay.say(
        ann,
        &message(
            "operations",
            "y",
            json!({"documentId": "notes", "operations": [1], "clientSeq": 8}),
        ),
    );
    assert_eq!(relay.text(ann, "nack", "y")["code"], 4008);
    assert!(!relay.is_closed(ann));
}

#[test]
fn protobuf_has_ids_too() {
    let mut relay = Relay::new();
    let ann = relay.greeted("ann");
    let answer = |relay: &mut Relay| relay.next_event(ann).expect("an answer");
    relay.ask(ann, "o", open("notes", "log", true));
    let opened = answer(&mut relay);
    assert_eq!(opened.reply_to, "o");
    let Some(event::Body::Opened(opened)) = opened.body else {
        panic!("{opened:?}");
    };
    relay.hold_store();
    relay.ask(ann, "b", log_batch(opened.document, 0, ["x"]));
    relay.send(ann, request::Body::Ping(wire::Ping { nonce: 1 }));
    assert_eq!(answer(&mut relay).reply_to, "", "none is wanted");
    relay.release_store();
    assert_eq!(answer(&mut relay).reply_to, "b");
    relay.ask(ann, "e", open("unknown", "", false));
    assert_eq!(answer(&mut relay).reply_to, "e");
    relay.ask(
        ann,
        &"i".repeat(64),
        request::Body::Ping(wire::Ping { nonce: 1 }),
    );
    assert_eq!(answer(&mut relay).reply_to.len(), 64);
    let mut scene = Scene::new();
    let bad = scene.relay.greeted("bad");
    scene
        .relay
        .ask(bad, &"i".repeat(65), open("notes", "", false));
    scene.refused(bad, ErrorCode::MalformedFrame, "an id of 65 bytes");
}

#[test]
fn without_a_first_clock_operations_are_new_each_time() {
    let mut relay = Relay::new();
    let ann = in_sync(&mut relay, "ann", "notes", "log");
    for (payload, first_revision, duplicate) in [
        (json!({"operations": [1]}), 1, false),
        (json!({"operations": [1]}), 2, false),
        (json!({"operations": [1], "firstClock": 1}), 2, true),
        (json!({"operations": [1], "firstClock": 2}), 3, false),
    ] {
        relay.say(ann, &message("operations", "", payload));
        let ack = relay.text(ann, "ack", "");
        assert_eq!(
            (&ack["firstRevision"], &ack["duplicate"]),
            (&json!(first_revision), &json!(duplicate))
        );
    }
}

#[test]
fn a_bidirectional_client_is_asked_for_what_it_alone_has() {
    let mut relay = Relay::new();
    let me = id_of(&mut relay, "ann");
    let (ben, notes) = relay.joined("ben", "notes", "log");
    let other = id_of(&mut relay, "ben");
    relay.send(ben, log_batch(notes, 0, ["1", "2"]));
    for (next_clock, is_new) in [(0, true), (1, false)] {
        let ann = relay.greeted_in_json("ann", 0, Some("notes"));
        relay.text(ann, "connected", "");
        relay.say(
            ann,
            &message("sync_request", "s", json!({"bidirectional": true})),
        );
        while relay.next_text(ann).expect("pages")["payload"]["hasMore"] != false {}
        let asked = relay.text(ann, "sync_request", "");
        assert_eq!(asked["nextClock"], next_clock);
        let mut own = Vector::new();
        merge(&mut own, &json!({"serverVector": asked["stateVector"]}));
        assert_eq!(own, vector([(other, 1), (me, if is_new { -1 } else { 0 })]));
        if is_new {
            relay.drain_texts(ann);
            relay.say(
                ann,
                &message(
                    "operations",
                    "",
                    json!({"operations": [3], "firstClock": 0}),
                ),
            );
            relay.text(ann, "ack", "");
        }
    }
}

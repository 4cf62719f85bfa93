//! The JSON dialect: what it says is what protobuf says, in the words of the sync protocol.

use std::collections::BTreeMap;

use bytes::Bytes;
use corelay::codec::wire::{self, ErrorCode, event, request};
use corelay::engine::shard::{Arrival, Transport};
use corelay::text::Operation;
use serde_json::{Value, json};
use tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::end::masked;
use crate::expect;
use crate::fixture::{Client, Relay, STARTED_AT_MS};
use crate::mesh::name_on;
use crate::requests::{hello, log_batch, open, text_batch};
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

fn message(kind: &str, id: &str, payload: Value) -> Value {
    json!({"type": kind, "id": id, "timestamp": 5, "payload": payload})
}

/// Connects in JSON to the document that the URL names, and opens it by asking to be brought up to date.
fn in_sync(relay: &mut Relay, name: &str, document: &str, kind: &str) -> Client {
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
fn both_dialects_edit_one_log() {
    let mut relay = Relay::new();
    let (ben, notes) = relay.joined("ben", "notes", "log");
    let ann = in_sync(&mut relay, "ann", "notes", "log");
    // What the bytes are in JSON, and that they are the same bytes again.
    let values: [(&[u8], Value); 8] = [
        (br#"{"a":[1,2.5,null]}"#, json!({"a": [1, 2.5, null]})),
        (b"\"text\"", json!("text")),
        (b"17", json!(17)),
        (b"null", Value::Null),
        (b"\xff\x00\x01", json!({"base64": "/wAB"})),
        (b"", json!({"base64": ""})),
        (b" 1", json!({"base64": "IDE="})),
        (
            br#"{"base64":"AA=="}"#,
            json!({"base64": "eyJiYXNlNjQiOiJBQT09In0="}),
        ),
    ];
    for (clock, (bytes, value)) in (0..).zip(&values) {
        relay.send(ben, log_batch(notes, clock, [bytes.to_vec()]));
        expect!(relay, ben, Ack);
        assert_eq!(
            relay.text(ann, "remote_ops", "")["operations"],
            json!([value])
        );
        let batch = json!({"operations": [value], "clientSeq": clock});
        relay.say(ann, &message("operations", "", batch));
        relay.text(ann, "ack", "");
        assert_eq!(expect!(relay, ben, RemoteOps).operations, [*bytes]);
    }
    // Several at once, and what is not passed on.
    let batch = json!({"operations": [1, 2, 3], "clientSeq": 9, "firstClock": 8});
    relay.say(ann, &message("operations", "", batch));
    let ack = relay.text(ann, "ack", "");
    assert_eq!(
        (&ack["firstRevision"], &ack["count"], &ack["clock"]),
        (&json!(17), &json!(3), &json!(10))
    );
    let remote = expect!(relay, ben, RemoteOps);
    assert_eq!(
        (remote.revision, remote.first_clock, remote.operations.len()),
        (17, 8, 3)
    );
    let deep = format!("{}1{}", "[".repeat(101), "]".repeat(101));
    for bad in [&deep[..], r#""\ud800""#, "1e999", r#"{"base64":"*"}"#] {
        let text = format!(
            r#"{{"type":"operations","id":"x","payload":{{"operations":[1,{bad}],"clientSeq":10}}}}"#
        );
        relay.send_bytes(
            ann,
            &masked(OpCode::Data(Data::Text), true, text.as_bytes()),
        );
        let nack = relay.text(ann, "nack", "x");
        assert_eq!(
            (&nack["code"], &nack["nextClock"]),
            (&json!(4021), &json!(11)),
            "{bad}"
        );
    }
    relay.assert_quiet(ben);
}

#[test]
fn both_dialects_edit_one_text() {
    let mut relay = Relay::new();
    let (ben, notes) = relay.joined("ben", "notes", "text");
    let ann = in_sync(&mut relay, "ann", "notes", "text");
    relay.send(
        ben,
        text_batch(notes, 0, 0, &[Operation::splice(0, 0, "one 👋 two")]),
    );
    expect!(relay, ben, Ack);
    let remote = relay.text(ann, "remote_ops", "");
    assert_eq!(remote["operations"], json!([[{"insert": "one 👋 two"}]]));
    // At the same time: Ann appends, Ben writes in front.
    relay.hold_store();
    relay.send(
        ben,
        text_batch(notes, 1, 1, &[Operation::splice(0, 0, "> ")]),
    );
    let edit = json!([[{"retain": 10}, {"insert": " three"}], [{"delete": 4}]]);
    let batch = json!({"operations": edit, "clientSeq": 1, "firstClock": 0, "baseRevision": 1});
    relay.say(ann, &message("operations", "edit", batch));
    relay.release_store();
    let remote = relay.text(ann, "remote_ops", "");
    assert_eq!(remote["operations"], json!([[{"insert": "> "}]]));
    assert_eq!(relay.text(ann, "ack", "edit")["firstRevision"], 3);
    expect!(relay, ben, Ack);
    let remote = expect!(relay, ben, RemoteOps);
    assert_eq!((remote.revision, remote.operations.len()), (3, 2));
    // What everybody has now, to both.
    let cat = in_sync_snapshot(&mut relay, "cat");
    assert_eq!(cat, json!("> 👋 two three"));
    let dan = relay.greeted("dan");
    relay.open(dan, "notes", "text");
    let chunk = expect!(relay, dan, SyncResponse)
        .snapshot
        .expect("a snapshot");
    assert_eq!(chunk.data, "> 👋 two three");
    let bad = [
        (json!([[{"retain": 1}, {"insert": ""}]]), 4021),
        (json!([[{"retain": 1, "delete": 2}]]), 4021),
        (json!([{"insert": "x"}]), 4021),
        (json!(["x"]), 4021),
        (json!([[{"retain": 100}, {"insert": "x"}]]), 4022),
        (json!([[{"retain": 3}, {"insert": "x"}]]), 4023),
    ];
    for (operations, code) in bad {
        let batch = json!({"operations": operations, "clientSeq": 2, "baseRevision": 4});
        relay.say(ann, &message("operations", "x", batch));
        assert_eq!(relay.text(ann, "nack", "x")["code"], code, "{operations}");
    }
}

/// The snapshot of the text "notes" that a client gets in JSON.
fn in_sync_snapshot(relay: &mut Relay, name: &str) -> Value {
    let client = relay.greeted_in_json(name, 0, Some("notes"));
    relay.text(client, "connected", "");
    relay.say(client, &json!({"type": "sync_request"}));
    let mut page = relay.text(client, "sync_response", "");
    assert_eq!(page["sync"], "snapshot");
    assert_eq!(page["snapshot"]["revision"], 4);
    page["snapshot"]["data"].take()
}

#[test]
fn a_document_may_be_on_another_shard() {
    for home in 0..2 {
        let mut relay = Relay::with(2, |_| ());
        let name = name_on(1);
        let ann = relay.greeted_in_json("ann", home, None);
        relay.text(ann, "connected", "");
        let ben = relay.greeted_in_json("ben", 1 - home, Some(&name));
        relay.text(ben, "connected", "");
        relay.say(
            ann,
            &message(
                "open",
                "o",
                json!({"documentId": name, "kind": "text", "create": true}),
            ),
        );
        let opened = relay.text(ann, "opened", "o");
        assert_eq!(
            (&opened["documentId"], &opened["sync"]),
            (&json!(name), &json!("up_to_date"))
        );
        relay.say(ben, &message("sync_request", "s", json!({})));
        assert_eq!(relay.text(ben, "sync_response", "s")["hasMore"], false);
        let batch = json!({"documentId": name, "ops": [[{"insert": "x"}]], "clientSeq": 1});
        relay.say(ann, &message("operations", "e", batch));
        assert_eq!(relay.text(ann, "ack", "e")["firstRevision"], 1);
        assert_eq!(
            relay.text(ben, "remote_ops", "")["operations"],
            json!([[{"insert": "x"}]])
        );
        relay.say(ben, &message("presence", "", json!({"isTyping": true})));
        assert_eq!(
            relay.text(ann, "presence_update", "")["presences"][0]["isTyping"],
            true
        );
        relay.say(ann, &message("heartbeat", "", json!({"documentId": name})));
        let bad = json!({"documentId": name, "ops": [[{"retain": 9}, {"insert": "x"}]], "baseRevision": 1});
        relay.say(ann, &message("operations", "b", bad));
        assert_eq!(relay.text(ann, "nack", "b")["code"], 4022);
        relay.say(ann, &message("close", "", json!({"documentId": name})));
        relay.say(ann, &message("presence", "p", json!({"documentId": name})));
        assert_eq!(relay.text(ann, "error", "p")["code"], 4008);
        relay.assert_quiet(ann);
    }
}

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

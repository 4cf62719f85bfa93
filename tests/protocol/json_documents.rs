//! Documents in JSON: one document for both dialects, wherever it lives, and what can be done with it as a whole.

use std::time::Duration;

use corelay::text::Operation;
use serde_json::{Value, json};
use tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::end::masked;
use crate::expect;
use crate::fixture::Relay;
use crate::json::{in_sync, message};
use crate::mesh::name_on;
use crate::requests::{log_batch, text_batch};

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
fn documents_are_listed_deleted_and_summed_up() {
    let mut relay = Relay::new();
    let ann = in_sync(&mut relay, "ann", "notes", "log");
    let list = json!({"requestId": 3, "prefix": "n", "watch": true});
    relay.say(ann, &message("list", "l", list.clone()));
    let directory = relay.text(ann, "directory", "l");
    assert_eq!(
        directory,
        json!({"requestId": 3, "documents": [], "hasMore": false})
    );
    relay.say(ann, &message("operations", "", json!({"ops": [1, 2]})));
    relay.pass(Duration::from_secs(1));
    let mut messages = relay.drain_texts(ann);
    messages.sort_by_key(|message| message["type"].to_string());
    assert_eq!(messages[0]["type"], "ack");
    assert_eq!(messages[1]["type"], "directory_update");
    let entry = json!({"documentId": "notes", "kind": "log"});
    assert_eq!(messages[1]["payload"]["created"], json!([entry]));

    let data = json!({"base64": "AAEC"});
    let offer = json!({"revision": 2, "bytesTotal": 3, "data": data});
    relay.say(ann, &message("snapshot_offer", "s", offer));
    let accepted = relay.text(ann, "snapshot_accepted", "s");
    assert_eq!(accepted, json!({"documentId": "notes", "revision": 2}));
    let offer = json!({"revision": 2, "bytesTotal": 3, "data": data});
    relay.say(ann, &message("snapshot_offer", "s", offer));
    assert_eq!(relay.text(ann, "error", "s")["code"], 4032);
    let ben = relay.greeted_in_json("ben", 0, Some("notes"));
    relay.text(ben, "connected", "");
    relay.say(ben, &message("sync_request", "s", json!({})));
    let page = relay.text(ben, "sync_response", "s");
    assert_eq!(
        (&page["sync"], &page["snapshot"]["data"]),
        (&json!("snapshot"), &data)
    );
    relay.drain_texts(ben);

    relay.say(
        ann,
        &message(
            "delete",
            "d",
            json!({"requestId": 4, "documentId": "notes"}),
        ),
    );
    relay.pass(Duration::from_secs(1));
    let closed = relay.text(ben, "close", "");
    assert_eq!(
        (&closed["documentId"], &closed["code"]),
        (&json!("notes"), &json!(4017))
    );
    let messages = relay.drain_texts(ann);
    let answer = messages.iter().find(|message| message["id"] == "d");
    let answer = answer.expect("an answer");
    assert_eq!(answer["type"], "deleted");
    let deleted = json!({"requestId": 4, "documentId": "notes", "undone": false});
    assert_eq!(answer["payload"], deleted);
    let update = messages.iter().find(|it| it["type"] == "directory_update");
    assert_eq!(
        update.expect("it is watched")["payload"]["deleted"],
        json!(["notes"])
    );
    relay.say(ann, &message("list", "l", list));
    assert_eq!(relay.text(ann, "directory", "l")["documents"], json!([]));
}

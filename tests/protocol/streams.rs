//! Event streams: JSON both ways, and events whose ids say where a client is.

use std::time::Duration;

use corelay::engine::shard::Transport;
use serde_json::{Value, json};

use crate::expect;
use crate::fixture::{Client, Relay};
use crate::requests::log_batch;

const DOCUMENT: &str = "notes";

/// A stream whose URL names the document.
fn stream(relay: &mut Relay, shard: usize, uuid: u32) -> Client {
    let client = relay.connect_to(shard, Transport::EventStream, Some(DOCUMENT));
    let uuid = format!("00000000-0000-0000-0000-{uuid:012}");
    let payload = json!({"clientId": uuid, "protocolVersion": 3});
    relay.say(client, &json!({"type": "connect", "payload": payload}));
    told(relay, client, "connected");
    client
}

/// The id and the payload of the next message, which must be of that type.
#[track_caller]
fn told(relay: &mut Relay, client: Client, kind: &str) -> (String, Value) {
    let (id, mut message) = relay.next_message(client).expect("a message");
    assert_eq!(message["type"], kind, "{message}");
    (id, message["payload"].take())
}

fn sync(relay: &mut Relay, client: Client, payload: &Value) -> (String, Value) {
    relay.say(client, &json!({"type": "sync_request", "payload": payload}));
    told(relay, client, "sync_response")
}

#[test]
fn a_document_of_no_kind_is_made_as_a_log_wherever_the_stream_is() {
    for home in 0..2 {
        let mut relay = Relay::with(2, |_| ());
        let ann = stream(&mut relay, home, 1);
        let (id, page) = sync(&mut relay, ann, &json!({}));
        assert_eq!((id.as_str(), &page["hasMore"]), ("1.0", &json!(false)));
        let payload = json!({"clientSeq": 1, "operations": [{"a": 1}, 2]});
        relay.say(ann, &json!({"type": "operations", "payload": payload}));
        assert_eq!(told(&mut relay, ann, "ack").0, "1.2");

        let ben = relay.greeted("ben");
        let opened = relay.open(ben, DOCUMENT, "log");
        relay.drain(ben);
        relay.send(ben, log_batch(opened.document, 0, ["x"]));
        assert_eq!(expect!(relay, ben, Ack).first_revision, 3);
        let (id, payload) = told(&mut relay, ann, "remote_ops");
        assert_eq!((id.as_str(), &payload["revision"]), ("1.3", &json!(3)));
        relay.assert_quiet(ann);
    }
}

#[test]
fn every_page_has_an_id_from_which_its_reader_goes_on() {
    let mut relay = Relay::with(1, |settings| {
        settings.memory.catch_up_page_bytes = 4096;
    });
    let (ann, notes) = relay.joined("ann", DOCUMENT, "log");
    for clock in 0..30 {
        relay.send(ann, log_batch(notes, clock, [vec![b'1'; 500]]));
    }
    relay.restart(|_| ());
    let mut have = 0;
    let mut pages = 0;
    while have < 30 {
        // It leaves after the first page.
        let ben = stream(&mut relay, 0, 2);
        let payload = json!({"have": {"epoch": 1, "revision": have}});
        let (id, page) = sync(&mut relay, ben, &payload);
        assert_eq!(page["batches"][0]["revision"], have + 1);
        let count = page["operations"].as_array().expect("an array").len();
        have += count as u64;
        assert_eq!(id, format!("1.{have}"));
        pages += 1;
        relay.vanish(ben);
    }
    assert!(pages > 3, "{pages}");
}

#[test]
fn a_quiet_stream_is_kept() {
    let mut relay = Relay::new();
    let ann = stream(&mut relay, 0, 1);
    relay.pass(Duration::from_secs(3600));
    relay.assert_quiet(ann);
    assert!(!relay.is_closed(ann));
    relay.limit(ann, 0);
    relay.pass(Duration::from_secs(70));
    assert!(relay.is_closed(ann), "it takes no heartbeat");
}

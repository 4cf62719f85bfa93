//! Hello's `debug`: how an answer came about.

use std::time::Duration;

use corelay::codec::wire::{self, Debug, event, request};
use corelay::engine::shard::Transport;
use serde_json::json;

use crate::expect;
use crate::fixture::{Client, Relay};
use crate::mesh::name_on;
use crate::requests::{hello, log_batch, open};

fn with_debug(relay: &mut Relay, name: &str) -> (Client, u64) {
    let request::Body::Hello(hello) = hello(name) else {
        unreachable!("that is what it makes")
    };
    let client = relay.connect(Transport::Tcp);
    let debug = true;
    relay.send(client, request::Body::Hello(wire::Hello { debug, ..hello }));
    let id = expect!(relay, client, Connected).client_id;
    (client, id)
}

/// What stands beside the next answer.
#[track_caller]
fn beside(relay: &mut Relay, client: Client) -> Option<Debug> {
    relay.next_event(client).expect("an answer").debug
}

#[test]
fn answers_say_how_long_they_took_what_waited_and_what_changed() {
    let mut relay = Relay::new();
    let (ann, id) = with_debug(&mut relay, "ann");
    let (ben, _) = with_debug(&mut relay, "ben");
    relay.hold_store();
    relay.ask(ann, "open", open("notes", "log", true));
    relay.pass(Duration::from_micros(1500));
    relay.release_store();
    let debug = beside(&mut relay, ann).expect("it asked for it");
    assert_eq!(debug.message_id, "open");
    assert_eq!((debug.processing_us, debug.queue_depth), (1500, 0));
    assert!(debug.vector_delta.is_empty());
    let notes = relay.open(ben, "notes", "").document;

    relay.hold_store();
    relay.ask(ann, "first", log_batch(notes, 0, ["1", "2"]));
    relay.pass(Duration::from_millis(2));
    relay.ask(ann, "second", log_batch(notes, 2, ["3"]));
    relay.pass(Duration::from_millis(3));
    for (message, processing_us, queue_depth, clock) in
        [("first", 5000, 1, 1), ("second", 3000, 0, 2)]
    {
        relay.serve_one();
        let expected = Debug {
            message_id: message.to_owned(),
            processing_us,
            queue_depth,
            vector_delta: [(id, clock)].into(),
        };
        assert_eq!(beside(&mut relay, ann), Some(expected));
        assert_eq!(beside(&mut relay, ben), None, "it is for many");
    }
    relay.release_store();
    // What was applied before changes nothing, nor what is refused.
    relay.ask(ann, "again", log_batch(notes, 0, ["1"]));
    relay.ask(ann, "gap", log_batch(notes, 9, ["1"]));
    relay.ask(ann, "ping", request::Body::Ping(wire::Ping { nonce: 1 }));
    relay.ask(ann, "wrong", open("unknown", "", false));
    for message in ["again", "gap", "ping", "wrong"] {
        let debug = beside(&mut relay, ann).expect("it asked for it");
        assert_eq!(debug.message_id, message);
        assert!(debug.vector_delta.is_empty(), "{message}");
    }
    // An answer that was not given a name has nothing beside it.
    relay.send(ann, request::Body::Ping(wire::Ping { nonce: 1 }));
    assert_eq!(beside(&mut relay, ann), None);
}

#[test]
fn who_does_not_ask_is_told_nothing() {
    let mut relay = Relay::new();
    let ann = relay.greeted("ann");
    relay.ask(ann, "ping", request::Body::Ping(wire::Ping { nonce: 1 }));
    let answer = relay.next_event(ann).expect("an answer");
    assert_eq!((&*answer.reply_to, answer.debug), ("ping", None));
    assert!(matches!(answer.body, Some(event::Body::Pong(_))));
}

#[test]
fn in_json_it_stands_beside_the_payload_wherever_the_document_is() {
    for (home, edge_subscribers_min) in [(0, None), (0, Some(1)), (1, None)] {
        let mut relay = Relay::with(2, |settings| {
            settings.fanout.edge_subscribers_min = edge_subscribers_min;
        });
        let name = name_on(1);
        let ann = relay.connect_to(home, Transport::WebSocket, Some(&name));
        let payload = json!({"clientId": "00112233-4455-6677-8899-aabbccddeeff", "debug": true});
        relay.say(ann, &json!({"type": "connect", "payload": payload}));
        let id = relay.text(ann, "connected", "")["clientId"].to_string();
        relay.say(ann, &json!({"type": "sync_request", "id": "s"}));
        let page = relay.next_text(ann).expect("a page");
        assert_eq!(page["debug"]["messageId"], "s");
        relay.hold_store();
        let payload = json!({"operations": [1, 2]});
        relay.say(
            ann,
            &json!({"type": "operations", "id": "o", "payload": payload}),
        );
        relay.pass(Duration::from_micros(2500));
        relay.release_store();
        let ack = relay.next_text(ann).expect("an ack");
        let debug = json!({
            "messageId": "o",
            "serverProcessing": 2.5,
            "queueDepth": 0,
            "stateVectorDelta": {id: 1},
        });
        assert_eq!(ack["debug"], debug);
    }
}

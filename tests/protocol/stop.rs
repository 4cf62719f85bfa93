//! The planned stop: everybody is told, what was taken is kept, then everybody is let go.

use corelay::codec::wire;
use corelay::codec::wire::{ErrorCode, request};
use corelay::engine::shard::Transport;
use corelay::store::StoreRequest;
use serde_json::json;

use crate::expect;
use crate::fixture::{Relay, TRANSPORTS};
use crate::requests::{log_batch, open};

#[test]
fn a_stop_finishes_what_was_taken_and_takes_nothing_more() {
    for transport in TRANSPORTS {
        let mut relay = Relay::new();
        let ann = relay.greeted_over("ann", transport);
        let notes = relay.open(ann, "notes", "log").document;
        let (ben, _) = relay.joined("ben", "notes", "log");
        relay.hold_store();
        relay.send(ann, log_batch(notes, 0, [vec![b't'; 500]]));
        let loading = relay.greeted("cid");
        relay.send(loading, open("other", "log", true));
        assert!(!relay.shards[0].is_drained());

        relay.shards[0].stop();
        relay.settle();
        for client in [ann, ben, loading] {
            let goaway = expect!(relay, client, Goaway);
            assert!(goaway.reconnect_after_ms > 0 && goaway.jitter_ms > 0);
        }
        assert!(!relay.shards[0].is_drained());
        relay.send(ann, log_batch(notes, 1, ["not taken"]));
        let nack = expect!(relay, ann, Nack);
        assert_eq!(
            (nack.code(), nack.retryable),
            (ErrorCode::ServiceUnavailable, true)
        );
        relay.send(ben, open("third", "log", true));
        let error = expect!(relay, ben, Error);
        assert_eq!(
            (error.code(), error.retryable),
            (ErrorCode::ServiceUnavailable, true)
        );
        assert_eq!(relay.try_connect(0, transport, None), None);

        relay.release_store();
        assert_eq!(expect!(relay, ann, Ack).first_revision, 1);
        assert_eq!(expect!(relay, ben, RemoteOps).operations, [vec![b't'; 500]]);
        assert!(relay.shards[0].is_drained());
        assert!(!relay.shards[0].is_stopped());

        relay.drain(loading);
        let now = relay.now();
        relay.shards[0].close(now);
        relay.settle();
        for client in [ann, ben, loading] {
            let close = expect!(relay, client, Close);
            assert_eq!((close.document, close.retryable), (0, true));
            assert!(relay.is_closed(client));
        }
        if transport == Transport::WebSocket {
            assert_eq!(relay.close_code(ann), Some(1001));
        }
        assert!(relay.shards[0].is_stopped());
        let is_snapshot =
            |request: &StoreRequest| matches!(request, StoreRequest::PutSnapshot { .. });
        assert!(
            relay.served.iter().any(is_snapshot),
            "the last peer has left"
        );
        assert_eq!(relay.shards[0].metrics().pending_bytes, 0);
    }
}

#[test]
fn a_stop_does_not_wait_for_a_client_that_does_not_read() {
    let mut relay = Relay::new();
    let ann = relay.greeted("ann");
    relay.limit(ann, 0);
    relay.send(ann, request::Body::Ping(wire::Ping { nonce: 1 }));
    relay.shards[0].stop();
    assert!(relay.shards[0].is_drained());
    let now = relay.now();
    relay.shards[0].close(now);
    relay.settle();
    assert!(!relay.shards[0].is_stopped());
    relay.pass(std::time::Duration::from_secs(10));
    assert!(relay.is_closed(ann));
    assert!(relay.shards[0].is_stopped());
}

#[test]
fn two_shards_drain_what_they_do_for_each_other() {
    let mut relay = Relay::with(2, |_| ());
    let ann = relay.greeted("ann");
    let names = ["a", "b", "c", "d", "e", "f"];
    let handles = names.map(|name| relay.open(ann, name, "log").document);
    assert!(
        handles.iter().any(|handle| handle % 2 == 1),
        "some are elsewhere"
    );
    relay.hold_store();
    for handle in handles {
        relay.push(ann, log_batch(handle, 0, ["taken"]));
    }
    relay
        .shards
        .iter_mut()
        .for_each(corelay::engine::Shard::stop);
    assert!(!relay.shards.iter().all(corelay::engine::Shard::is_drained));
    relay.settle();
    expect!(relay, ann, Goaway);
    relay.release_store();
    let mut taken = 0;
    let mut refused = 0;
    for event in relay.drain(ann) {
        match event {
            wire::event::Body::Ack(_) => taken += 1,
            wire::event::Body::Nack(nack) => {
                assert_eq!(nack.code(), ErrorCode::ServiceUnavailable);
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(taken + refused, handles.len(), "every batch has an answer");
    assert!(taken > 0);
    assert!(relay.shards.iter().all(corelay::engine::Shard::is_drained));
    let now = relay.now();
    for index in 0..2 {
        relay.shards[index].close(now);
    }
    relay.settle();
    expect!(relay, ann, Close);
    assert!(relay.shards.iter().all(corelay::engine::Shard::is_stopped));
}

#[test]
fn who_has_said_nothing_when_the_relay_stops_is_answered_in_its_dialect() {
    let mut relay = Relay::new();
    let client = relay.connect(Transport::WebSocket);
    relay.shards[0].stop();
    let payload = json!({"clientId": "00000000-0000-0000-0000-000000000001"});
    relay.say(client, &json!({"type": "connect", "payload": payload}));
    let greeting = relay.next_text(client).expect("a text message");
    assert_eq!(greeting["type"], "connected");
}

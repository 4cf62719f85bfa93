//! How many connections a user has: at the limit one is taken, past it it is refused with its own code.

use std::sync::Arc;
use std::time::Duration;

use corelay::codec::wire::{ErrorCode, request};
use corelay::config::{Connection, Quota};
use corelay::engine::Census;
use corelay::engine::shard::Transport;

use crate::expect;
use crate::fixture::{Client, Relay, TRANSPORTS};
use crate::requests::{close, hello, open};

fn relay(shards: usize) -> Relay {
    let connection = Connection {
        per_user_max: Some(2),
        ..Connection::default()
    };
    Relay::with(shards, |settings| {
        settings.census = Arc::new(Census::new(&connection, &Quota::default(), &[]));
    })
}

fn greeting(device: &str, user: &str) -> request::Body {
    match hello(device) {
        request::Body::Hello(mut hello) => {
            hello.user_id = user.to_owned();
            request::Body::Hello(hello)
        }
        other => other,
    }
}

fn greeted(relay: &mut Relay, shard: usize, transport: Transport, user: &str) -> Client {
    let client = relay.connect_to(shard, transport, None);
    relay.send(client, greeting("device", user));
    expect!(relay, client, Connected);
    client
}

#[track_caller]
fn refused(relay: &mut Relay, shard: usize, transport: Transport, user: &str) {
    let client = relay.connect_to(shard, transport, None);
    relay.send(client, greeting("device", user));
    let error = expect!(relay, client, Error);
    assert_eq!(
        (error.code(), error.retryable),
        (ErrorCode::TooManyConnections, true)
    );
    assert_eq!(error.retry_after_ms, 5000);
    let close = expect!(relay, client, Close);
    assert_eq!(
        (close.document, close.code()),
        (0, ErrorCode::TooManyConnections)
    );
    assert!(relay.is_closed(client));
    if transport == Transport::WebSocket {
        assert_eq!(relay.close_code(client), Some(4027));
    }
}

#[test]
fn a_user_has_as_many_connections_as_it_may_over_all_shards() {
    for transport in TRANSPORTS {
        let mut relay = relay(2);
        let first = greeted(&mut relay, 0, transport, "ann");
        let second = greeted(&mut relay, 1, transport, "ann");
        for shard in [0, 1] {
            refused(&mut relay, shard, transport, "ann");
            greeted(&mut relay, shard, transport, "ben");
            for _ in 0..3 {
                greeted(&mut relay, shard, transport, "");
            }
        }
        // A connection that ends gives its place back: at once when it says so, breaks, or is given up.
        relay.vanish(first);
        let third = greeted(&mut relay, 1, transport, "ann");
        refused(&mut relay, 0, transport, "ann");
        relay.send(second, close(0));
        greeted(&mut relay, 0, transport, "ann");
        refused(&mut relay, 0, transport, "ann");
        relay.mute(third);
        relay.pass(Duration::from_secs(61));
        assert!(relay.is_closed(third));
        greeted(&mut relay, 0, transport, "ann");
        refused(&mut relay, 0, transport, "ann");
    }
}

#[test]
fn documents_on_other_shards_and_a_second_hello_take_no_place() {
    let mut relay = relay(2);
    for _ in 0..2 {
        let ann = greeted(&mut relay, 0, Transport::Tcp, "ann");
        for document in ["a", "b", "c", "d"] {
            relay.send(ann, open(document, "log", true));
            expect!(relay, ann, Opened);
            relay.drain(ann);
        }
        relay.send(ann, greeting("device", "ann"));
        assert_eq!(expect!(relay, ann, Error).code(), ErrorCode::HelloInvalid);
    }
    refused(&mut relay, 1, Transport::Tcp, "ann");
}

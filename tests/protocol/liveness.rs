//! Clients that are slow, and those that are gone: what has arrived of what they were sent tells them apart.

use std::time::Duration;

use corelay::codec::wire::{ErrorCode, event};
use corelay::engine::shard::Transport;

use crate::fixture::{Client, Relay, TRANSPORTS};
use crate::requests::log_batch;

const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// So often it is looked whether a client takes anything.
const LOOK: Duration = Duration::from_millis(2500);
const PING_PERIOD: Duration = Duration::from_secs(54);
const PONG_TIMEOUT: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// Ben, who answers nothing, has been sent 10 kB, of which 9 kB are on their way.
fn with_slow(transport: Transport) -> (Relay, Client) {
    let mut relay = Relay::new();
    let ben = relay.greeted_over("ben", transport);
    let notes = relay.open(ben, "notes", "log").document;
    let ann = relay.joined("ann", "notes", "log").0;
    relay.mute(ben);
    relay.send(ann, log_batch(notes, 0, [vec![7; 10_000]]));
    relay.drain(ben);
    relay.hold_up(ben, 9000);
    (relay, ben)
}

/// Why the relay has closed the connection.
fn reason(relay: &mut Relay, client: Client) -> Option<ErrorCode> {
    let events = relay.drain(client).into_iter();
    let mut closes = events.filter_map(|event| match event {
        event::Body::Close(close) => Some(close.code()),
        _other => None,
    });
    closes.next()
}

/// Time passes, and of what is on its way one byte in a second arrives.
fn creep(relay: &mut Relay, client: Client, seconds: u64) {
    for second in 1..=seconds {
        relay.hold_up(client, 9000 - second);
        relay.pass(SECOND);
        assert_eq!(reason(relay, client), None, "after {second} s");
    }
}

#[test]
fn a_full_socket_is_waited_for_as_long_as_anything_arrives() {
    for transport in TRANSPORTS {
        let (mut relay, ben) = with_slow(transport);
        let (cid, notes) = relay.joined("cid", "notes", "log");
        relay.limit(ben, 0);
        relay.send(cid, log_batch(notes, 0, ["x"]));
        creep(&mut relay, ben, 600);
        relay.pass(WRITE_TIMEOUT - 2 * LOOK);
        assert_eq!(relay.shards[0].metrics().backpressure_closes, 0);
        relay.pass(3 * LOOK);
        assert_eq!(relay.shards[0].metrics().backpressure_closes, 1);
        relay.limit(ben, usize::MAX);
        assert_eq!(reason(&mut relay, ben), Some(ErrorCode::Backpressure));
    }
}

#[test]
fn a_ping_that_has_not_arrived_need_not_be_answered() {
    for transport in TRANSPORTS {
        let (mut relay, ben) = with_slow(transport);
        creep(&mut relay, ben, 600);
        // It has arrived, and there is as much time for the answer as always.
        relay.hold_up(ben, 0);
        relay.pass(PONG_TIMEOUT - PING_PERIOD);
        assert_eq!(reason(&mut relay, ben), None);
        relay.pass(PONG_TIMEOUT - PING_PERIOD);
        assert_eq!(reason(&mut relay, ben), Some(ErrorCode::PongTimeout));

        // Whoever answers stays, and is asked again.
        let (mut relay, ben) = with_slow(transport);
        creep(&mut relay, ben, 600);
        relay.hold_up(ben, 0);
        relay.send(ben, log_batch(1, 0, ["y"]));
        relay.pass(PONG_TIMEOUT - SECOND);
        assert_eq!(reason(&mut relay, ben), None);
        relay.pass(SECOND);
        assert_eq!(reason(&mut relay, ben), Some(ErrorCode::PongTimeout));
    }
}

#[test]
fn who_takes_nothing_need_not_have_a_full_socket() {
    for transport in TRANSPORTS {
        let (mut relay, ben) = with_slow(transport);
        creep(&mut relay, ben, 100);
        relay.pass(WRITE_TIMEOUT + PONG_TIMEOUT - PING_PERIOD);
        assert_eq!(reason(&mut relay, ben), Some(ErrorCode::PongTimeout));
    }
}

#[test]
fn a_system_that_takes_everything_does_not_answer_for_its_program() {
    for transport in TRANSPORTS {
        let (mut relay, ben) = with_slow(transport);
        relay.hold_up(ben, 0);
        let (ann, notes) = relay.joined("cid", "notes", "log");
        for clock in 0..59 {
            relay.send(ann, log_batch(notes, clock, ["x"]));
            relay.pass(SECOND);
            assert_eq!(reason(&mut relay, ben), None, "{clock}");
        }
        relay.pass(SECOND);
        assert_eq!(reason(&mut relay, ben), Some(ErrorCode::PongTimeout));
    }
}

#[test]
fn who_was_not_looked_at_for_long_is_asked_before_it_is_given_up() {
    for transport in TRANSPORTS {
        let mut relay = Relay::new();
        let ben = relay.greeted_over("ben", transport);
        relay.oversleep(10 * PONG_TIMEOUT);
        relay.pass(PONG_TIMEOUT);
        assert_eq!(reason(&mut relay, ben), None);
    }
}

#[test]
fn a_stream_whose_heartbeats_do_not_arrive_is_given_up() {
    for (unconfirmed_bytes, closes) in [(0, 0), (u64::MAX, 1)] {
        let mut relay = Relay::new();
        let ann = relay.connect(Transport::EventStream);
        relay.say(
            ann,
            &serde_json::json!({
                "type": "connect",
                "payload": {"clientId": "00000000-0000-0000-0000-000000000001", "protocolVersion": 3}
            }),
        );
        relay.text(ann, "connected", "");
        relay.hold_up(ann, unconfirmed_bytes);
        relay.pass(2 * PING_PERIOD);
        assert_eq!(relay.shards[0].metrics().backpressure_closes, closes);
    }
}

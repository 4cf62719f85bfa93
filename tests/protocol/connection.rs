//! A connection's own life: pings, silence, the ways in which it ends, and bytes in any pieces.

use std::time::Duration;

use corelay::codec::wire::{self, ErrorCode, request};
use corelay::engine::shard::Transport;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::end::masked;
use crate::expect;
use crate::fixture::{Relay, STARTED_AT_MS, TRANSPORTS};
use crate::requests::{close, log_batch};

const PING_PERIOD: Duration = Duration::from_secs(54);
const PONG_TIMEOUT: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(1);

#[test]
fn a_ping_is_answered_with_its_nonce_and_the_time() {
    for transport in TRANSPORTS {
        let mut relay = Relay::new();
        let client = relay.greeted_over("ann", transport);
        relay.pass(Duration::from_secs(2));
        relay.send(client, request::Body::Ping(wire::Ping { nonce: 9 }));
        let pong = expect!(relay, client, Pong);
        assert_eq!((pong.nonce, pong.server_time_ms), (9, STARTED_AT_MS + 2000));
    }
}

#[test]
fn a_websocket_ping_is_answered_with_its_payload() {
    let mut relay = Relay::new();
    let client = relay.connect(Transport::WebSocket);
    for payload in [&b""[..], b"abc", &[7; 125]] {
        relay.send_bytes(
            client,
            &masked(OpCode::Control(Control::Ping), true, payload),
        );
        assert_eq!(relay.controls(client), [OpCode::Control(Control::Pong)]);
    }
    relay.send_bytes(
        client,
        &masked(OpCode::Control(Control::Pong), true, b"unasked"),
    );
    relay.assert_quiet(client);
    assert!(!relay.is_closed(client));
}

#[test]
fn whoever_is_silent_is_asked_and_then_given_up() {
    for transport in TRANSPORTS {
        let mut relay = Relay::new();
        let client = relay.greeted_over("ann", transport);
        relay.mute(client);
        relay.pass(PING_PERIOD - MOMENT);
        relay.assert_quiet(client);
        relay.pass(MOMENT);
        match transport {
            Transport::Tcp | Transport::EventStream => drop(expect!(relay, client, Ping)),
            Transport::WebSocket => {
                assert_eq!(relay.controls(client), [OpCode::Control(Control::Ping)]);
            }
        }
        // Anything at all is a sign of life.
        relay.send(client, request::Body::Pong(wire::Pong::default()));
        relay.pass(PONG_TIMEOUT - MOMENT);
        assert!(!relay.is_closed(client));
        relay.pass(MOMENT);
        if transport == Transport::Tcp {
            expect!(relay, client, Ping);
        }
        let error = expect!(relay, client, Error);
        assert_eq!(
            (error.code(), error.retryable),
            (ErrorCode::PongTimeout, true)
        );
        assert_eq!(expect!(relay, client, Close).code(), ErrorCode::PongTimeout);
        assert!(relay.is_closed(client));
    }
}

#[test]
fn whoever_answers_pings_stays() {
    for transport in TRANSPORTS {
        let mut relay = Relay::new();
        let client = relay.greeted_over("ann", transport);
        relay.pass(10 * PONG_TIMEOUT);
        assert!(!relay.is_closed(client));
        relay.assert_quiet(client);
    }
}

#[test]
fn a_client_ends_its_connection_and_gets_what_it_was_owed() {
    for transport in TRANSPORTS {
        let mut relay = Relay::new();
        let client = relay.greeted_over("ann", transport);
        relay.push(client, request::Body::Ping(wire::Ping { nonce: 1 }));
        relay.push(client, close(0));
        relay.push(client, request::Body::Ping(wire::Ping { nonce: 2 }));
        relay.settle();
        assert_eq!(expect!(relay, client, Pong).nonce, 1);
        relay.assert_quiet(client);
        assert!(relay.is_closed(client));
        if transport == Transport::WebSocket {
            assert_eq!(relay.close_code(client), Some(1000));
        }
        assert_eq!(relay.shards[0].metrics().connections, 0);
    }
    // By the WebSocket's own means.
    let mut relay = Relay::new();
    let client = relay.greeted_over("ann", Transport::WebSocket);
    relay.send_bytes(
        client,
        &masked(OpCode::Control(Control::Close), true, &[0x03, 0xe9]),
    );
    assert!(relay.is_closed(client));
    assert_eq!(relay.close_code(client), Some(1000));
}

#[test]
fn bytes_come_in_any_pieces() {
    for transport in TRANSPORTS {
        for piece_bytes in [1, 2, 3, 7, 64, 1000] {
            let mut relay = Relay::new();
            let client = relay.greeted_over("ann", transport);
            let notes = relay.open(client, "notes", "log").document;
            let mut frames = Vec::new();
            let mut add = |body: request::Body| {
                let request = wire::Request::from(body);
                corelay::codec::frame::append(&request, &mut frames);
            };
            for clock in 0..20 {
                add(log_batch(
                    notes,
                    clock,
                    [vec![clock as u8; 10 * clock as usize]],
                ));
            }
            let bytes = match transport {
                Transport::Tcp | Transport::EventStream => frames,
                // One message of several fragments with a ping between them.
                Transport::WebSocket => {
                    let (first, second) = frames.split_at(frames.len() / 3);
                    let mut bytes = masked(OpCode::Data(Data::Binary), false, first);
                    bytes.extend(masked(OpCode::Control(Control::Ping), true, b"?"));
                    bytes.extend(masked(OpCode::Data(Data::Continue), false, second));
                    bytes.extend(masked(OpCode::Data(Data::Continue), true, b""));
                    bytes
                }
            };
            for piece in bytes.chunks(piece_bytes) {
                relay.send_bytes(client, piece);
            }
            for clock in 0..20 {
                assert_eq!(expect!(relay, client, Ack).first_revision, clock + 1);
            }
            let metrics = relay.shards[0].metrics();
            assert_eq!(metrics.input_bytes, 0, "{piece_bytes}");
        }
    }
}

#[test]
fn only_so_many_connect() {
    let mut relay = Relay::with(1, |settings| settings.connection.count_max = 2);
    let ann = relay.greeted("ann");
    relay.greeted("ben");
    assert_eq!(relay.try_connect(0, Transport::Tcp, None), None);
    assert_eq!(relay.shards[0].metrics().refused_connections, 1);
    relay.vanish(ann);
    assert!(relay.try_connect(0, Transport::Tcp, None).is_some());
}

#[test]
fn what_does_not_arrive_whole_has_its_limit() {
    let start_of_a_frame = |bytes: usize| {
        let mut start = 1_000_000_u32.to_be_bytes().to_vec();
        start.resize(bytes, 0);
        start
    };
    let fragment = |bytes: usize| masked(OpCode::Data(Data::Binary), false, &vec![0; bytes]);
    for transport in TRANSPORTS {
        let mut relay = Relay::with(1, |settings| settings.memory.input_bytes_max = 100_000);
        let clients: Vec<_> = (0..3)
            .map(|number| relay.greeted_over(&format!("{number}"), transport))
            .collect();
        for client in &clients {
            let bytes = match transport {
                Transport::Tcp | Transport::EventStream => start_of_a_frame(45_000),
                Transport::WebSocket => fragment(45_000),
            };
            relay.send_bytes(*client, &bytes);
        }
        assert!(!relay.is_closed(clients[0]) && !relay.is_closed(clients[1]));
        let error = expect!(relay, clients[2], Error);
        assert_eq!(error.code(), ErrorCode::ServiceUnavailable);
        assert!(error.retryable && error.message.contains("memory"));
        expect!(relay, clients[2], Close);
        assert!(relay.is_closed(clients[2]));
        if transport == Transport::WebSocket {
            assert_eq!(relay.close_code(clients[2]), Some(1013));
        }
        assert!(relay.shards[0].metrics().input_bytes <= 100_000);
        // Whoever sends little is served all the same.
        relay.send(clients[0], request::Body::Ping(wire::Ping { nonce: 1 }));
        for client in clients {
            relay.vanish(client);
        }
        assert_eq!(relay.shards[0].metrics().input_bytes, 0);
    }
}

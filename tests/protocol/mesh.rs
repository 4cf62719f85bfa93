//! Documents of one connection that live on another shard: the same answers, and room for only so much on the way.

use std::time::Duration;

use corelay::codec::wire::{self, ErrorCode, event, request};
use corelay::engine::route;
use corelay::engine::shard::Transport;
use corelay::text::Operation;

use crate::expect;
use crate::fixture::{Client, Relay, TRANSPORTS};
use crate::join::{pages, text_of};
use crate::requests::{close, hello, log_batch, open, text_batch};

/// A name of a document that lives on that shard.
pub fn name_on(shard: usize) -> String {
    (0..)
        .map(|number| format!("document-{number}"))
        .find(|name| route::shard_of(name, 2) == shard)
        .expect("every shard has some")
}

pub fn joined_to(relay: &mut Relay, name: &str, shard: usize, transport: Transport) -> Client {
    let client = relay.connect_to(shard, transport, None);
    relay.send(client, hello(name));
    expect!(relay, client, Connected);
    client
}

#[test]
fn it_makes_no_difference_where_a_document_is() {
    for (transport, edge_subscribers_min) in TRANSPORTS
        .into_iter()
        .flat_map(|it| [(it, None), (it, Some(1))])
    {
        for home in 0..2 {
            let mut relay = Relay::with(2, |settings| {
                settings.fanout.edge_subscribers_min = edge_subscribers_min;
            });
            let ann = joined_to(&mut relay, "ann", home, transport);
            let ben = joined_to(&mut relay, "ben", 1 - home, transport);
            let name = name_on(1);
            let opened = relay.open(ann, &name, "text");
            assert_eq!(relay.open(ben, &name, "text").document, opened.document);
            let notes = opened.document;
            relay.send(
                ann,
                text_batch(notes, 0, 0, &[Operation::splice(0, 0, "both")]),
            );
            assert_eq!(expect!(relay, ann, Ack).first_revision, 1);
            assert_eq!(expect!(relay, ben, RemoteOps).revision, 1);
            relay.send(
                ben,
                text_batch(notes, 0, 9, &[Operation::splice(0, 0, "x")]),
            );
            assert_eq!(expect!(relay, ben, Nack).code(), ErrorCode::SyncConflict);
            relay.send(
                ben,
                request::Body::Presence(wire::Presence {
                    document: notes,
                    is_typing: true,
                    ..Default::default()
                }),
            );
            assert!(expect!(relay, ann, PresenceUpdate).presences[0].is_typing);
            relay.send(
                ann,
                request::Body::SyncRequest(wire::SyncRequest {
                    document: notes,
                    have: None,
                    ..Default::default()
                }),
            );
            expect!(relay, ann, Resync);
            assert_eq!(text_of(pages(&mut relay, ann).1), "both");
            relay.send(
                ann,
                request::Body::Heartbeat(wire::Heartbeat { document: notes }),
            );
            relay.send(ann, open("nobody's", "sheet", true));
            assert_eq!(expect!(relay, ann, Error).code(), ErrorCode::KindUnknown);
            relay.send(ann, close(notes));
            relay.send(
                ann,
                text_batch(notes, 1, 1, &[Operation::splice(0, 0, "x")]),
            );
            assert_eq!(expect!(relay, ann, Nack).code(), ErrorCode::DocumentNotOpen);
            relay.vanish(ben);
            let documents: u64 = relay.shards.iter().map(|s| s.metrics().documents).sum();
            assert_eq!(documents, 1, "idle, not forgotten");
            relay.pass(Duration::from_secs(300));
            let documents: u64 = relay.shards.iter().map(|s| s.metrics().documents).sum();
            assert_eq!(documents, 0);
        }
    }
}

#[test]
fn one_connection_has_documents_on_both_and_keeps_their_orders() {
    let mut relay = Relay::with(2, |_| ());
    let ann = joined_to(&mut relay, "ann", 0, Transport::Tcp);
    let handles = [0, 1].map(|shard| relay.open(ann, &name_on(shard), "log").document);
    for clock in 0..50 {
        for handle in handles {
            relay.push(ann, log_batch(handle, clock, ["x"]));
        }
    }
    relay.settle();
    let mut next = [1, 1];
    for event in relay.drain(ann) {
        let event::Body::Ack(ack) = event else {
            panic!("{event:?}");
        };
        let index = handles.iter().position(|handle| *handle == ack.document);
        let next = &mut next[index.expect("one of them")];
        assert_eq!(ack.first_revision, *next);
        *next += 1;
    }
    assert_eq!(next, [51, 51]);
}

#[test]
fn a_shard_that_is_behind_stops_only_who_sends_to_it() {
    let mut relay = Relay::with(2, |settings| settings.memory.lane_window_bytes = 10_000);
    let ann = joined_to(&mut relay, "ann", 0, Transport::Tcp);
    let ben = joined_to(&mut relay, "ben", 0, Transport::Tcp);
    let far = relay.open(ann, &name_on(1), "log").document;
    let near = relay.open(ben, &name_on(0), "log").document;
    relay.is_mesh_held = true;
    let mut clock = 0;
    while relay.wants_bytes(ann) {
        relay.send(ann, log_batch(far, clock, [vec![0; 500]]));
        clock += 1;
        assert!(clock < 1000);
    }
    assert!((15..=25).contains(&clock), "{clock}");
    relay.send(ben, log_batch(near, 0, ["x"]));
    expect!(relay, ben, Ack);
    relay.release_mesh();
    assert!(relay.wants_bytes(ann));
    for expected in 0..clock {
        assert_eq!(expect!(relay, ann, Ack).client_seq, expected);
    }
}

#[test]
fn a_home_that_cannot_send_stops_what_comes_from_the_other_shard() {
    let window = 20_000;
    let mut relay = Relay::with(2, |settings| {
        settings.memory.lane_window_bytes = window;
        settings.fanout.flush_bytes_max = 4096;
        settings.fanout.lag_operations_max = 100;
        settings.fanout.ring_slots = 200;
    });
    let ann = joined_to(&mut relay, "ann", 1, Transport::Tcp);
    let ben = joined_to(&mut relay, "ben", 0, Transport::Tcp);
    let far = relay.open(ann, &name_on(1), "log").document;
    relay.open(ben, &name_on(1), "log");
    relay.limit(ben, 0);
    for clock in 0..1000 {
        relay.send(ann, log_batch(far, clock, [vec![0; 500]]));
        expect!(relay, ann, Ack);
    }
    let held = relay.shards[0].metrics().output_bytes as usize;
    assert!(
        held < 2 * window,
        "{held} bytes wait for a client that does not read"
    );
    relay.limit(ben, usize::MAX);
    let mut next = 1;
    let mut resyncs = 0;
    for event in relay.drain(ben) {
        let all = match event {
            event::Body::RemoteOps(remote) => vec![remote],
            event::Body::SyncResponse(page) => page.operations,
            event::Body::Resync(_) => {
                resyncs += 1;
                vec![]
            }
            event::Body::Warning(_) => vec![],
            other => panic!("{other:?}"),
        };
        for remote in all {
            assert_eq!(remote.revision, next);
            next += remote.operations.len() as u64;
        }
    }
    assert_eq!((next, resyncs), (1001, 1));
    assert_eq!(relay.shards[0].metrics().output_bytes, 0);
}

#[test]
fn a_connection_that_breaks_off_is_gone_everywhere() {
    let mut relay = Relay::with(2, |_| ());
    let ann = joined_to(&mut relay, "ann", 0, Transport::Tcp);
    let ben = joined_to(&mut relay, "ben", 1, Transport::Tcp);
    let far = relay.open(ann, &name_on(1), "log").document;
    relay.open(ben, &name_on(1), "log");
    relay.send(
        ann,
        request::Body::Presence(wire::Presence {
            document: far,
            ..Default::default()
        }),
    );
    expect!(relay, ben, PresenceUpdate);
    relay.push(ann, log_batch(far, 0, ["the last"]));
    relay.vanish(ann);
    let mut events = relay.drain(ben);
    events.sort_by_key(|event| matches!(event, event::Body::PresenceUpdate(_)));
    let [
        event::Body::RemoteOps(last),
        event::Body::PresenceUpdate(gone),
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(last.operations, ["the last"]);
    assert!(gone.presences[0].left);
}

#[test]
fn the_same_client_on_two_shards_is_replaced_all_the_same() {
    let mut relay = Relay::with(2, |_| ());
    let name = name_on(1);
    let first = joined_to(&mut relay, "ann", 0, Transport::Tcp);
    let far = relay.open(first, &name, "log").document;
    let second = joined_to(&mut relay, "ann", 1, Transport::Tcp);
    relay.open(second, &name, "log");
    assert_eq!(expect!(relay, first, Close).code(), ErrorCode::Replaced);
    relay.send(first, log_batch(far, 0, ["x"]));
    assert_eq!(
        expect!(relay, first, Nack).code(),
        ErrorCode::DocumentNotOpen
    );
    relay.send(second, log_batch(far, 0, ["x"]));
    expect!(relay, second, Ack);
}

#[test]
fn what_an_older_connection_asked_late_replaces_nobody() {
    let mut relay = Relay::with(2, |_| ());
    let name = name_on(1);
    let first = joined_to(&mut relay, "ann", 0, Transport::Tcp);
    relay.is_mesh_held = true;
    relay.send(first, open(&name, "log", true));
    relay.pass(Duration::from_millis(2));
    let second = joined_to(&mut relay, "ann", 1, Transport::Tcp);
    let document = relay.open(second, &name, "log").document;
    relay.release_mesh();
    assert_eq!(expect!(relay, first, Error).code(), ErrorCode::Replaced);
    relay.assert_quiet(second);
    relay.send(second, log_batch(document, 0, ["x"]));
    expect!(relay, second, Ack);
}

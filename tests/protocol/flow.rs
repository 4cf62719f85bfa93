//! Subscribers that do not keep up: warned, lapped, brought back, and in the end closed.

use std::time::Duration;

use corelay::codec::wire::{ErrorCode, ResyncReason, SyncMode, event, request};
use corelay::engine::shard::{Settings, Transport};
use corelay::text::Operation;

use crate::expect;
use crate::fixture::{Client, Relay, TRANSPORTS};
use crate::join::{pages, text_of};
use crate::requests::{hello, log_batch, open, text_batch};

const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// So often it is looked whether a client takes anything.
const LOOK: Duration = Duration::from_millis(2500);

/// A ring of 20 operations, of which a subscriber may lag 10.
fn small(settings: &mut Settings) {
    settings.fanout.ring_slots = 20;
    settings.fanout.lag_operations_max = 10;
    settings.connection.batch_operations_max = 10;
}

/// Ann writes operations from the clock `from` on, which Ben, whose socket is full, does not take.
fn write(relay: &mut Relay, ann: Client, notes: u64, clocks: std::ops::Range<u64>) {
    for clock in clocks {
        relay.send(ann, log_batch(notes, clock, [format!("{clock}")]));
        expect!(relay, ann, Ack);
    }
}

/// The revisions of what is delivered, and everything else.
fn sorted(events: Vec<event::Body>) -> (Vec<u64>, Vec<event::Body>) {
    let mut revisions = Vec::new();
    let mut others = Vec::new();
    for event in events {
        match event {
            event::Body::RemoteOps(remote) => {
                revisions.extend(remote.revision..remote.revision + remote.operations.len() as u64);
            }
            event::Body::SyncResponse(page) => {
                for remote in page.operations {
                    let count = remote.operations.len() as u64;
                    revisions.extend(remote.revision..remote.revision + count);
                }
            }
            other => others.push(other),
        }
    }
    (revisions, others)
}

#[test]
fn a_subscriber_that_is_a_little_behind_gets_it_all_in_one_go() {
    for transport in TRANSPORTS {
        let mut relay = Relay::with(1, small);
        let (ann, notes) = relay.joined("ann", "notes", "log");
        let ben = relay.greeted_over("ben", transport);
        relay.open(ben, "notes", "log");
        relay.limit(ben, 0);
        write(&mut relay, ann, notes, 0..8);
        relay.limit(ben, usize::MAX);
        let (revisions, others) = sorted(relay.drain(ben));
        assert_eq!(revisions, (1..=8).collect::<Vec<_>>());
        assert!(others.is_empty(), "{others:?}");
        assert_eq!(relay.shards[0].metrics().output_bytes, 0);
    }
}

#[test]
fn at_80_percent_there_is_a_warning_and_nothing_is_lost() {
    let mut relay = Relay::with(1, small);
    let (ann, notes) = relay.joined("ann", "notes", "log");
    let (ben, _) = relay.joined("ben", "notes", "log");
    relay.limit(ben, 0);
    // The first is with the socket; 7 more behind it are no reason, 8 are.
    write(&mut relay, ann, notes, 0..8);
    relay.limit(ben, usize::MAX);
    assert!(sorted(relay.drain(ben)).1.is_empty());
    relay.limit(ben, 0);
    write(&mut relay, ann, notes, 8..17);
    relay.limit(ben, usize::MAX);
    let (revisions, others) = sorted(relay.drain(ben));
    assert_eq!(revisions, (9..=17).collect::<Vec<_>>());
    let [event::Body::Warning(warning)] = &others[..] else {
        panic!("{others:?}");
    };
    assert_eq!((warning.document, warning.pending_operations), (notes, 8));
    assert!(warning.pending_bytes > 0);
    assert_eq!(relay.shards[0].metrics().warnings, 1);
}

#[test]
fn bytes_are_a_reason_for_a_warning_and_for_a_resync_too() {
    let mut relay = Relay::with(1, |settings| {
        settings.fanout.lag_bytes_max = 10_000;
        settings.fanout.ring_bytes_max = 20_000;
    });
    let (ann, notes) = relay.joined("ann", "notes", "log");
    let (ben, _) = relay.joined("ben", "notes", "log");
    for (batches, warnings, resyncs) in [(8, 0, 0), (10, 1, 0), (15, 1, 1), (40, 1, 2)] {
        relay.limit(ben, 0);
        let start = relay.shards[0].metrics().operations;
        for clock in start..start + batches {
            relay.send(ann, log_batch(notes, clock, [vec![7; 1000]]));
        }
        relay.limit(ben, usize::MAX);
        let (revisions, _) = sorted(relay.drain(ben));
        assert_eq!(revisions, (start + 1..=start + batches).collect::<Vec<_>>());
        let metrics = relay.shards[0].metrics();
        assert_eq!(
            (metrics.warnings, metrics.resyncs, metrics.gaps),
            (warnings, resyncs, resyncs),
            "{batches}"
        );
    }
}

#[test]
fn a_lapped_subscriber_gets_a_resync_in_place_of_what_it_missed() {
    for (missed, is_in_ring) in [(12, true), (40, false)] {
        let mut relay = Relay::with(1, small);
        let (ann, notes) = relay.joined("ann", "notes", "log");
        let (ben, _) = relay.joined("ben", "notes", "log");
        write(&mut relay, ann, notes, 0..3);
        relay.drain(ben);
        relay.limit(ben, 0);
        write(&mut relay, ann, notes, 3..3 + missed);
        relay.served.clear();
        relay.limit(ben, usize::MAX);
        // The first was with the socket.
        assert_eq!(expect!(relay, ben, RemoteOps).revision, 4);
        let resync = expect!(relay, ben, Resync);
        assert_eq!(resync.document, notes);
        assert_eq!(resync.reason(), ResyncReason::Lapped);
        assert_eq!(resync.sync(), SyncMode::Delta);
        assert_eq!(
            resync.from.map(|from| (from.epoch, from.revision)),
            Some((1, 4))
        );
        assert_eq!(resync.next_clock, 0);
        let (revisions, others) = sorted(relay.drain(ben));
        assert_eq!(revisions, (5..=3 + missed).collect::<Vec<_>>());
        assert!(others.is_empty(), "{others:?}");
        assert_eq!(
            relay.served.is_empty(),
            is_in_ring,
            "from the store only if it must be"
        );
        write(&mut relay, ann, notes, 3 + missed..4 + missed);
        assert_eq!(expect!(relay, ben, RemoteOps).revision, 4 + missed);
    }
}

#[test]
fn a_lapped_subscriber_of_a_text_can_get_a_snapshot() {
    let mut relay = Relay::with(1, small);
    let (ann, notes) = relay.joined("ann", "notes", "text");
    let (ben, _) = relay.joined("ben", "notes", "text");
    relay.limit(ben, 0);
    // So much is written and taken back that the document is the shorter thing to send.
    for round in 0..60 {
        let clock = 2 * round;
        let written = Operation::splice(0, 0, &"x".repeat(5000));
        relay.send(ann, text_batch(notes, clock, clock, &[written]));
        let erased = Operation::splice(round as usize, 4999, "");
        relay.send(ann, text_batch(notes, clock + 1, clock + 1, &[erased]));
    }
    relay.limit(ben, usize::MAX);
    expect!(relay, ben, RemoteOps);
    let resync = expect!(relay, ben, Resync);
    assert_eq!(
        (resync.reason(), resync.sync()),
        (ResyncReason::Lapped, SyncMode::Snapshot)
    );
    let (operations, snapshot) = pages(&mut relay, ben);
    assert!(operations.is_empty());
    assert_eq!(text_of(snapshot), "x".repeat(60));
    relay.assert_quiet(ben);
}

#[test]
fn a_writer_that_is_lapped_learns_what_became_of_its_own() {
    let mut relay = Relay::with(1, small);
    let (ann, notes) = relay.joined("ann", "notes", "log");
    let (ben, _) = relay.joined("ben", "notes", "log");
    relay.limit(ben, 0);
    relay.send(ben, log_batch(notes, 0, ["mine"]));
    relay.send(ben, log_batch(notes, 1, ["mine, too"]));
    relay.drain(ann);
    write(&mut relay, ann, notes, 0..40);
    relay.limit(ben, usize::MAX);
    assert_eq!(expect!(relay, ben, Ack).first_revision, 1);
    let resync = expect!(relay, ben, Resync);
    assert_eq!(resync.next_clock, 2);
    let page = expect!(relay, ben, SyncResponse);
    assert_eq!(page.operations[0].operations, ["mine, too"]);
    assert_eq!(page.operations[0].first_clock, 1);
}

#[test]
fn no_progress_is_backpressure() {
    for transport in TRANSPORTS {
        let mut relay = Relay::with(1, small);
        let (ann, notes) = relay.joined("ann", "notes", "log");
        let ben = relay.greeted_over("ben", transport);
        relay.open(ben, "notes", "log");
        relay.limit(ben, 0);
        write(&mut relay, ann, notes, 0..1);
        relay.pass(WRITE_TIMEOUT - Duration::from_millis(1));
        // A single byte is progress.
        relay.limit(ben, 1);
        relay.pass(WRITE_TIMEOUT - Duration::from_millis(1));
        assert_eq!(relay.shards[0].metrics().backpressure_closes, 0);
        relay.pass(LOOK + Duration::from_millis(1));
        assert_eq!(relay.shards[0].metrics().backpressure_closes, 1);
        write(&mut relay, ann, notes, 1..2);
        // Should it read after all, it learns why.
        relay.limit(ben, usize::MAX);
        assert_eq!(expect!(relay, ben, RemoteOps).revision, 1);
        let error = expect!(relay, ben, Error);
        assert_eq!(
            (error.code(), error.retryable),
            (ErrorCode::Backpressure, true)
        );
        assert_eq!(expect!(relay, ben, Close).code(), ErrorCode::Backpressure);
        assert!(relay.is_closed(ben));
        if transport == Transport::WebSocket {
            assert_eq!(relay.close_code(ben), Some(4030));
        }
        write(&mut relay, ann, notes, 2..3);
    }
}

#[test]
fn a_socket_that_never_reads_again_is_dropped_with_all_it_held() {
    let mut relay = Relay::with(1, small);
    let (ann, notes) = relay.joined("ann", "notes", "log");
    let (ben, _) = relay.joined("ben", "notes", "log");
    relay.limit(ben, 0);
    write(&mut relay, ann, notes, 0..30);
    assert!(relay.shards[0].metrics().output_bytes > 0);
    relay.pass(2 * WRITE_TIMEOUT + LOOK);
    assert!(relay.is_closed(ben));
    let metrics = relay.shards[0].metrics();
    assert_eq!((metrics.output_bytes, metrics.connections), (0, 1));
}

#[test]
fn a_slow_subscriber_costs_the_others_nothing() {
    let mut relay = Relay::with(1, small);
    let (ann, notes) = relay.joined("ann", "notes", "log");
    let (ben, _) = relay.joined("ben", "notes", "log");
    let (cid, _) = relay.joined("cid", "notes", "log");
    relay.limit(ben, 0);
    for clock in 0..100 {
        write(&mut relay, ann, notes, clock..clock + 1);
        assert_eq!(expect!(relay, cid, RemoteOps).revision, clock + 1);
        // A trickle: a few bytes for each operation.
        relay.limit(ben, 3);
    }
    let warned = |event: &event::Body| matches!(event, event::Body::Warning(_));
    assert!(!relay.drain(cid).iter().any(warned));
    relay.limit(ben, usize::MAX);
    let (revisions, others) = sorted(relay.drain(ben));
    assert_eq!(revisions, (1..=100).collect::<Vec<_>>());
    let is_resync = |event: &event::Body| matches!(event, event::Body::Resync(_));
    assert!(others.iter().any(is_resync), "{others:?}");
}

#[test]
fn who_has_too_much_on_its_way_to_the_disk_is_not_read() {
    let mut relay = Relay::with(1, |settings| {
        settings.connection.inflight_bytes_max = 10_000;
    });
    let (ann, notes) = relay.joined("ann", "notes", "log");
    let (ben, other) = relay.joined("ben", "other", "log");
    relay.hold_store();
    let mut clock = 0;
    while relay.wants_bytes(ann) {
        relay.send(ann, log_batch(notes, clock, [vec![7; 1000]]));
        clock += 1;
        assert!(clock < 100);
    }
    assert!((5..=10).contains(&clock), "{clock}");
    assert!(relay.wants_bytes(ben));
    relay.send(ben, log_batch(other, 0, ["x"]));
    relay.release_store();
    assert!(relay.wants_bytes(ann));
    expect!(relay, ben, Ack);
    for expected in 0..clock {
        assert_eq!(expect!(relay, ann, Ack).client_seq, expected);
    }
}

#[test]
fn while_the_disk_is_behind_nobody_is_read_and_nobody_is_given_up() {
    let mut relay = Relay::with(1, |settings| settings.memory.pending_bytes_max = 10_000);
    let clients = ["ann", "ben", "cid"].map(|name| relay.joined(name, "notes", "log"));
    relay.hold_store();
    for (client, notes) in clients {
        relay.send(client, log_batch(notes, 0, [vec![7; 5000]]));
    }
    let (cid, notes) = clients[2];
    assert!(!relay.wants_bytes(cid));
    // A minute of a slow disk: what they say in that time is not read, so their silence means nothing.
    relay.pass(Duration::from_secs(61));
    relay.release_store();
    for (client, _) in clients {
        assert!(!relay.is_closed(client));
        assert!(relay.wants_bytes(client));
    }
    relay.drain(cid);
    relay.send(cid, log_batch(notes, 1, ["x"]));
    expect!(relay, cid, Ack);
}

#[test]
fn a_document_whose_ring_would_overflow_is_not_written_to() {
    let mut relay = Relay::with(1, small);
    let (ann, notes) = relay.joined("ann", "notes", "log");
    let (ben, _) = relay.joined("ben", "notes", "log");
    relay.hold_store();
    let mut clock = 0;
    while relay.wants_bytes(ann) {
        relay.send(ann, log_batch(notes, clock, ["x"]));
        clock += 1;
        assert!(clock < 100);
    }
    assert_eq!(clock, 20);
    relay.release_store();
    assert!(relay.wants_bytes(ann));
    let (revisions, others) = sorted(relay.drain(ben));
    assert_eq!(revisions, (1..=20).collect::<Vec<_>>());
    assert!(
        others.is_empty(),
        "nobody is lapped by a late disk: {others:?}"
    );
}

#[test]
fn who_does_not_take_its_answers_is_not_read() {
    for transport in TRANSPORTS {
        let mut relay = Relay::with(1, |settings| {
            settings.memory.catch_up_page_bytes = 4096;
        });
        let client = relay.greeted_over("bad", transport);
        relay.limit(client, 0);
        let mut asked = 0;
        while relay.wants_bytes(client) {
            let ping = corelay::codec::wire::Ping { nonce: asked };
            relay.send(client, request::Body::Ping(ping));
            asked += 1;
            assert!(asked < 10_000);
        }
        relay.limit(client, usize::MAX);
        assert!(relay.wants_bytes(client));
        for nonce in 0..asked {
            assert_eq!(expect!(relay, client, Pong).nonce, nonce);
        }
    }
}

/// Ann has a presence of 60 kB, which everybody who opens the document is told.
fn with_large_answers(shards: usize) -> (Relay, String) {
    let mut relay = Relay::with(shards, |_| ());
    let name = (0..)
        .map(|number| format!("document-{number}"))
        .find(|name| corelay::engine::route::shard_of(name, shards) == shards - 1)
        .expect("every shard has some");
    let (ann, document) = relay.joined("ann", &name, "log");
    let presence = corelay::codec::wire::Presence {
        document,
        fields: [("x".to_owned(), vec![7; 60_000].into())].into(),
        ..Default::default()
    };
    relay.send(ann, request::Body::Presence(presence));
    (relay, name)
}

#[test]
fn small_requests_with_large_answers_are_handled_as_far_as_there_is_room() {
    for transport in TRANSPORTS {
        for shards in [1, 2] {
            let (mut relay, name) = with_large_answers(shards);
            let client = relay.greeted_over("bad", transport);
            relay.limit(client, 0);
            // All in one piece of 60 kB, that is, two thousand answers or 120 MB.
            let open =
                corelay::codec::wire::Request::from(crate::requests::open(&name, "log", true));
            let mut frames = Vec::new();
            for _ in 0..2000 {
                corelay::codec::frame::append(&open, &mut frames);
            }
            assert!(frames.len() < 70_000);
            let bytes = relay.wrap(client, &frames);
            relay.send_bytes(client, &bytes);
            let held: u64 = relay.shards.iter().map(|s| s.metrics().output_bytes).sum();
            assert!(held < 2_000_000, "{held} bytes over {shards} shards");
            // To another shard there is a window of its own.
            assert_eq!(relay.wants_bytes(client), shards == 2);
            // As the client takes them, all are answered.
            relay.limit(client, usize::MAX);
            assert!(relay.wants_bytes(client));
            let answers = relay.drain(client);
            assert_eq!(answers.len(), 2000);
            let is_opened = |event: &event::Body| matches!(event, event::Body::Opened(_));
            assert!(answers.iter().all(is_opened));
            let metrics = relay.shards[0].metrics();
            assert_eq!((metrics.input_bytes, metrics.output_bytes), (0, 0));
        }
    }
}

#[test]
fn many_batches_in_one_piece_wait_for_the_disk_like_single_ones() {
    for transport in TRANSPORTS {
        let mut relay = Relay::with(1, small);
        let ann = relay.greeted_over("ann", transport);
        let notes = relay.open(ann, "notes", "log").document;
        let (ben, _) = relay.joined("ben", "notes", "log");
        let mut frames = Vec::new();
        for clock in 0..100 {
            let body = Some(log_batch(notes, clock, ["x"]));
            corelay::codec::frame::append(
                &corelay::codec::wire::Request {
                    body,
                    ..Default::default()
                },
                &mut frames,
            );
        }
        relay.hold_store();
        let bytes = relay.wrap(ann, &frames);
        relay.send_bytes(ann, &bytes);
        assert_eq!(relay.held.len(), 20, "no more than the ring takes at once");
        relay.release_store();
        for clock in 0..100 {
            assert_eq!(expect!(relay, ann, Ack).client_seq, clock);
        }
        let (revisions, others) = sorted(relay.drain(ben));
        assert_eq!(revisions, (1..=100).collect::<Vec<_>>());
        assert!(
            others.is_empty(),
            "nobody is lapped by a late disk: {others:?}"
        );
    }
}

#[test]
fn what_comes_within_the_moment_goes_out_together_when_it_is_over() {
    const MOMENT: Duration = Duration::from_micros(300);
    for transport in TRANSPORTS {
        let mut relay = Relay::with(1, |settings| settings.fanout.coalesce_us = Some(300));
        let mut join = |name| {
            let client = relay.connect(transport);
            relay.send(client, hello(name));
            relay.send(client, open("notes", "log", true));
            relay.assert_quiet(client);
            relay.pass(MOMENT);
            expect!(relay, client, Connected);
            (client, expect!(relay, client, Opened).document)
        };
        let (ann, notes) = join("ann");
        let (ben, _) = join("ben");
        relay.drain(ben);
        let idle = relay.shards[0].poll_timeout().expect("it pings");
        assert!(idle > relay.now() + Duration::from_secs(1), "no timer");
        for clock in 0..3 {
            relay.send(ann, log_batch(notes, clock, ["x"]));
            relay.pass(MOMENT / 4);
        }
        relay.assert_quiet(ann);
        relay.assert_quiet(ben);
        relay.pass(MOMENT / 4);
        let (revisions, _) = sorted(relay.drain(ben));
        assert_eq!(revisions, [1, 2, 3]);
        for clock in 0..3 {
            assert_eq!(expect!(relay, ann, Ack).client_seq, clock);
        }
        // What comes later has a moment of its own.
        relay.send(ann, log_batch(notes, 3, ["x"]));
        relay.assert_quiet(ben);
        relay.pass(MOMENT);
        assert_eq!(sorted(relay.drain(ben)).0, [4]);
    }
}

//! The defaults that decide who is slow, each at its edge: up to it nothing happens, one further it does.

use std::time::Duration;

use corelay::codec::frame;
use corelay::codec::wire::{self, Event, ResyncReason, event, request};
use corelay::engine::shard::Transport;
use corelay::store::StoreRequest;

use crate::expect;
use crate::fixture::{Client, Relay};
use crate::join::pages;
use crate::requests::{hello, log_batch, open_from};

/// Ann writes, and Ben takes nothing from here on: the first operation is with his socket.
fn writer_and_stalled() -> (Relay, Client, u64, Client) {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "log");
    let (ben, _) = relay.joined("ben", "notes", "log");
    relay.limit(ben, 0);
    relay.send(ann, log_batch(notes, 0, ["with the socket"]));
    (relay, ann, notes, ben)
}

/// What Ben is told beside the operations when he takes things again.
fn told(relay: &mut Relay, ben: Client) -> Vec<event::Body> {
    relay.limit(ben, usize::MAX);
    let mut events = relay.drain(ben);
    events.retain(|event| !matches!(event, event::Body::RemoteOps(_)));
    events
}

#[test]
fn a_subscriber_may_lag_1000_operations_and_is_warned_at_800() {
    for (behind, is_warned, is_lapped) in [
        (799, false, false),
        (800, true, false),
        (1000, true, false),
        (1001, false, true),
    ] {
        let (mut relay, ann, notes, ben) = writer_and_stalled();
        for clock in 1..=behind {
            relay.send(ann, log_batch(notes, clock, ["x"]));
        }
        let events = told(&mut relay, ben);
        match events.first() {
            None => assert!(!is_warned && !is_lapped, "{behind}"),
            Some(event::Body::Warning(warning)) => {
                assert!(is_warned && events.len() == 1, "{behind}");
                assert_eq!(warning.pending_operations, behind);
            }
            Some(event::Body::Resync(resync)) => {
                assert!(is_lapped, "{behind}");
                assert_eq!(resync.reason(), ResyncReason::Lapped);
            }
            Some(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_subscriber_may_lag_1_mib_and_is_warned_at_80_percent() {
    const FRAME_BYTES: usize = 1024 * 1024 / 64;
    for (behind, is_warned, is_lapped) in [
        (51, false, false),
        (52, true, false),
        (64, true, false),
        (65, false, true),
    ] {
        let (mut relay, ann, notes, ben) = writer_and_stalled();
        let again = relay.connect(Transport::Tcp);
        relay.send(again, hello("ann"));
        let origin = expect!(relay, again, Connected).client_id;
        for clock in 1..=behind {
            let with = |bytes: usize| wire::RemoteOps {
                document: notes,
                revision: clock + 1,
                origin,
                first_clock: clock,
                operations: vec![vec![b'x'; bytes].into()],
            };
            let length = |bytes: usize| {
                frame::encode(&Event::from(event::Body::RemoteOps(with(bytes)))).len()
            };
            let around = length(FRAME_BYTES - 100) - (FRAME_BYTES - 100);
            let payload = FRAME_BYTES - around;
            assert_eq!(length(payload), FRAME_BYTES);
            relay.send(ann, log_batch(notes, clock, [vec![b'x'; payload]]));
        }
        let events = told(&mut relay, ben);
        match events.first() {
            None => assert!(!is_warned && !is_lapped, "{behind}"),
            Some(event::Body::Warning(warning)) => {
                assert!(is_warned, "{behind}");
                assert_eq!(warning.pending_bytes, behind * FRAME_BYTES as u64);
            }
            Some(event::Body::Resync(_)) => assert!(is_lapped, "{behind}"),
            Some(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_ring_has_the_newest_1024_batches() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "log");
    for clock in 0..1100 {
        relay.send(ann, log_batch(notes, clock, ["x"]));
    }
    for (missing, reads) in [(1024, 0), (1025, 1)] {
        let ben = relay.greeted("ben");
        relay.served.clear();
        relay.send(ben, open_from("notes", 1, 1100 - missing));
        expect!(relay, ben, Opened);
        let operations = pages(&mut relay, ben).0;
        assert_eq!(operations.len() as u64, missing);
        let served = relay.served.iter();
        let read = served.filter(|request| matches!(request, StoreRequest::Read { .. }));
        assert_eq!(read.count(), reads, "{missing}");
    }
}

#[test]
fn the_presence_ring_has_the_newest_256_changes() {
    for (changes, is_full) in [(256, false), (257, true)] {
        let mut relay = Relay::new();
        let (ben, notes) = relay.joined("ben", "notes", "log");
        let peers: Vec<_> = (0..64)
            .map(|number| relay.joined(&format!("peer{number}"), "notes", "log").0)
            .collect();
        relay.limit(ben, 0);
        // One is with the socket.
        for change in 0..=changes {
            if change % 64 == 0 {
                relay.pass(Duration::from_millis(100));
            }
            let presence = wire::Presence {
                document: notes,
                cursor: Some(wire::Cursor {
                    block_id: String::new(),
                    offset: change,
                }),
                ..wire::Presence::default()
            };
            let peer = peers[(change % 64) as usize];
            relay.send(peer, request::Body::Presence(presence));
        }
        relay.limit(ben, usize::MAX);
        let with_the_socket = expect!(relay, ben, PresenceUpdate);
        assert!(!with_the_socket.full);
        let updates = relay.drain(ben);
        let full = updates
            .iter()
            .filter(|event| matches!(event, event::Body::PresenceUpdate(update) if update.full));
        assert_eq!(full.count(), usize::from(is_full), "{changes}");
        // Either way he knows the newest of everybody.
        let told: usize = updates
            .iter()
            .map(|event| match event {
                event::Body::PresenceUpdate(update) => update.presences.len(),
                other => panic!("{other:?}"),
            })
            .sum();
        assert_eq!(told, 64);
    }
}

//! Snapshots that clients offer for a log, and what they make unneeded.

use corelay::codec::wire::{self, ErrorCode, SyncMode, event, request};

use crate::expect;
use crate::fixture::{Client, Relay};
use crate::requests::{log_batch, open};

fn offer(document: u64, revision: u64, total: u64, offset: u64, data: &str) -> request::Body {
    request::Body::SnapshotOffer(wire::SnapshotOffer {
        document,
        revision,
        bytes_total: total,
        offset,
        data: data.to_owned().into(),
    })
}

/// A log with so many operations.
fn log_of(relay: &mut Relay, operations: u64) -> (Client, u64) {
    let (ann, notes) = relay.joined("ann", "notes", "log");
    for clock in 0..operations {
        relay.send(ann, log_batch(notes, clock, [format!("operation {clock}")]));
        expect!(relay, ann, Ack);
    }
    (ann, notes)
}

/// What a client is sent that has nothing: the snapshot's bytes and the operations after it.
fn joined(relay: &mut Relay, name: &str, have: Option<u64>) -> (String, Vec<String>) {
    let client = relay.greeted(name);
    let have = have.map(|revision| wire::Position { epoch: 1, revision });
    relay.send(
        client,
        request::Body::Open(wire::Open {
            document: "notes".to_owned(),
            have,
            ..Default::default()
        }),
    );
    let opened = expect!(relay, client, Opened);
    let mut snapshot = String::new();
    let mut operations = Vec::new();
    let mut revision = opened.from_revision;
    let mut take = |remote: wire::RemoteOps| {
        assert_eq!(remote.revision, revision + 1);
        revision += remote.operations.len() as u64;
        operations.extend(remote.operations);
    };
    for body in relay.drain(client) {
        match body {
            event::Body::SyncResponse(page) => {
                if let Some(chunk) = page.snapshot {
                    assert_eq!(opened.sync(), SyncMode::Snapshot);
                    assert_eq!(chunk.revision, opened.from_revision);
                    assert_eq!(chunk.offset, snapshot.len() as u64);
                    snapshot += std::str::from_utf8(&chunk.data).expect("text");
                }
                page.operations.into_iter().for_each(&mut take);
            }
            event::Body::RemoteOps(remote) => take(remote),
            other => panic!("{other:?}"),
        }
    }
    let text = |bytes: &bytes::Bytes| String::from_utf8(bytes.to_vec()).expect("text");
    (snapshot, operations.iter().map(text).collect())
}

#[test]
fn who_joins_gets_the_offer_and_what_came_after_it_before_and_after_a_restart() {
    for is_compacting in [true, false] {
        let mut relay = Relay::with(1, |settings| {
            settings.document.log_compaction = is_compacting;
        });
        let (ann, notes) = log_of(&mut relay, 10);
        // In two pieces.
        relay.send(ann, offer(notes, 8, 10, 0, "first"));
        relay.assert_quiet(ann);
        relay.send(ann, offer(notes, 8, 10, 5, "eight"));
        let accepted = expect!(relay, ann, SnapshotAccepted);
        assert_eq!((accepted.document, accepted.revision), (notes, 8));
        let expected = (
            "firsteight".to_owned(),
            vec!["operation 8".to_owned(), "operation 9".to_owned()],
        );
        assert_eq!(joined(&mut relay, "ben", None), expected);
        relay.restart(|_| ());
        assert_eq!(joined(&mut relay, "cleo", None), expected);
        // A duplicate is known again though its operation is gone.
        let ann = relay.greeted("ann");
        let notes = relay.open(ann, "notes", "log").document;
        relay.drain(ann);
        relay.send(ann, log_batch(notes, 3, ["operation 3"]));
        assert!(expect!(relay, ann, Ack).duplicate);
        // Who is only a little behind gets operations, as long as they are there.
        let (snapshot, operations) = joined(&mut relay, "dan", Some(9));
        assert_eq!((&*snapshot, operations.len()), ("", 1));
        let (snapshot, operations) = joined(&mut relay, "eve", Some(5));
        let history_is_kept = !is_compacting;
        assert_eq!(snapshot.is_empty(), history_is_kept);
        assert_eq!(operations.len(), if history_is_kept { 5 } else { 2 });
        let client = relay.greeted("fay");
        relay.send(
            client,
            request::Body::Open(wire::Open {
                document: "notes".to_owned(),
                snapshots: Some(false),
                ..Default::default()
            }),
        );
        if history_is_kept {
            expect!(relay, client, Opened);
        } else {
            let error = expect!(relay, client, Error);
            assert_eq!(error.code(), ErrorCode::SnapshotRequired);
        }
    }
}

#[test]
fn what_is_no_snapshot_is_refused() {
    let mut relay = Relay::with(1, |settings| settings.document.bytes_max = 100);
    let (ann, notes) = log_of(&mut relay, 5);
    relay.send(ann, offer(notes, 3, 1, 0, "x"));
    expect!(relay, ann, SnapshotAccepted);
    for (what, offers) in [
        ("the future", &[offer(notes, 6, 1, 0, "x")][..]),
        ("one of the past", &[offer(notes, 3, 1, 0, "x")]),
        ("too large", &[offer(notes, 4, 101, 0, "x")]),
        ("more than it says", &[offer(notes, 4, 1, 0, "xy")]),
        ("no beginning", &[offer(notes, 4, 2, 1, "x")]),
        (
            "a hole",
            &[offer(notes, 4, 9, 0, "x"), offer(notes, 4, 9, 2, "x")],
        ),
        (
            "another's end",
            &[offer(notes, 4, 2, 0, "x"), offer(notes, 5, 2, 1, "x")],
        ),
    ] {
        for offer in offers {
            relay.send(ann, offer.clone());
        }
        let error = expect!(relay, ann, Error);
        assert_eq!(error.code(), ErrorCode::SnapshotInvalid, "{what}");
        assert_eq!(error.document, notes);
        relay.assert_quiet(ann);
    }
    relay.send(ann, offer(notes, 4, 100, 0, &"x".repeat(100)));
    expect!(relay, ann, SnapshotAccepted);
    relay.send(ann, open("page", "text", true));
    let page = expect!(relay, ann, Opened).document;
    relay.send(ann, offer(page, 0, 1, 0, "x"));
    let error = expect!(relay, ann, Error);
    assert_eq!(error.code(), ErrorCode::SnapshotInvalid);
    assert_eq!(relay.shards[0].metrics().input_bytes, 0, "nothing is kept");
}

#[test]
fn who_reads_history_while_it_is_compacted_gets_the_snapshot() {
    let mut relay = Relay::with(1, |settings| {
        settings.memory.catch_up_page_bytes = 200;
        settings.fanout.ring_slots = 4;
    });
    let (ann, notes) = log_of(&mut relay, 60);
    let ben = relay.greeted("ben");
    relay.limit(ben, 300);
    relay.send(
        ben,
        request::Body::Open(wire::Open {
            document: "notes".to_owned(),
            ..Default::default()
        }),
    );
    relay.send(ann, offer(notes, 55, 3, 0, "sum"));
    expect!(relay, ann, SnapshotAccepted);
    relay.limit(ben, usize::MAX);
    let events = relay.drain(ben);
    let resync = events.iter().find_map(|body| match body {
        event::Body::Resync(resync) => Some(resync),
        _other => None,
    });
    assert_eq!(resync.expect("it is told").sync(), SyncMode::Snapshot);
    let last = events.iter().rev().find_map(|body| match body {
        event::Body::SyncResponse(page) if !page.has_more => page.position,
        _other => None,
    });
    assert_eq!(last.expect("it arrives").revision, 60);
}

#[test]
fn who_opens_the_document_again_gives_up_what_it_had_begun_to_offer() {
    let mut relay = Relay::new();
    let (ann, notes) = log_of(&mut relay, 3);
    relay.send(ann, offer(notes, 2, 10, 0, "half"));
    assert!(relay.shards[0].metrics().input_bytes > 0);
    let again = relay.open(ann, "notes", "log").document;
    assert_eq!(relay.shards[0].metrics().input_bytes, 0);
    relay.drain(ann);
    relay.send(ann, offer(again, 2, 10, 4, "of it"));
    let error = expect!(relay, ann, Error);
    assert_eq!(error.code(), ErrorCode::SnapshotInvalid);
}

#[test]
fn offers_and_what_is_loaded_with_them_stay_within_the_memory_for_documents() {
    const BYTES: usize = 1 << 20;
    let mut relay = Relay::with(1, |settings| {
        settings.memory.document_bytes_max = 3 * BYTES;
        settings.document.bytes_max = BYTES;
    });
    let sum = "s".repeat(BYTES / 2);
    let ann = relay.greeted("ann");
    let mut refused = 0;
    for number in 0..16 {
        relay.send(ann, open(&format!("{number}"), "log", true));
        let notes = match relay.next(ann) {
            Some(event::Body::Opened(opened)) => opened.document,
            Some(event::Body::Error(error)) => {
                assert_eq!(error.code(), ErrorCode::ServiceUnavailable);
                continue;
            }
            other => panic!("{other:?}"),
        };
        relay.send(ann, log_batch(notes, 0, ["x"]));
        expect!(relay, ann, Ack);
        relay.send(ann, offer(notes, 1, BYTES as u64 / 2, 0, &sum));
        match relay.next(ann) {
            Some(event::Body::SnapshotAccepted(_)) => {
                relay.send(ann, crate::requests::close(notes));
            }
            Some(event::Body::Error(error)) => {
                assert_eq!(error.code(), ErrorCode::ServiceUnavailable);
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
        let held = relay.shards[0].metrics().document_bytes as usize;
        assert!(held < 4 * BYTES, "{held} bytes after {number}");
    }
    assert_eq!(refused, 0, "what is idle makes room");

    // All at once, and nobody leaves.
    relay.hold_store();
    let mut readers = Vec::new();
    for number in 0..16 {
        let reader = relay.greeted(&format!("reader {number}"));
        relay.send(reader, open(&format!("{number}"), "", false));
        readers.push(reader);
    }
    relay.release_store();
    let held = relay.shards[0].metrics().document_bytes as usize;
    assert!(held < 4 * BYTES, "{held} bytes are loaded");
    let mut opened = 0;
    for reader in readers {
        match relay.next(reader) {
            Some(event::Body::Opened(_)) => opened += 1,
            Some(event::Body::Error(error)) => {
                assert_eq!(error.code(), ErrorCode::ServiceUnavailable);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!((4..16).contains(&opened), "{opened}");
}

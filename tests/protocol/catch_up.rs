//! Catching up: pages from the store, snapshots in pieces, and asking again.

use bytes::Bytes;
use corelay::codec::wire::{self, ErrorCode, ResyncReason, SyncMode, event, request};
use corelay::store::{Page, ReadError, StoreReply, StoreRequest};
use corelay::text::Operation;

use crate::expect;
use crate::fixture::{Relay, TRANSPORTS};
use crate::join::{pages, text_of};
use crate::requests::{log_batch, open, open_from, text_batch};

fn sync(document: u64, have: Option<(u64, u64)>) -> request::Body {
    request::Body::SyncRequest(wire::SyncRequest {
        document,
        have: have.map(|(epoch, revision)| wire::Position { epoch, revision }),
        ..Default::default()
    })
}

/// A relay whose log "notes" has 100 batches of 3 operations, none of them in memory.
fn with_history(change: impl FnOnce(&mut corelay::engine::shard::Settings)) -> Relay {
    let mut relay = Relay::with(1, change);
    let (ann, notes) = relay.joined("ann", "notes", "log");
    for batch in 0..100_u64 {
        let operations: Vec<Bytes> = (0..3)
            .map(|index| vec![(3 * batch + index) as u8; 500].into())
            .collect();
        relay.send(ann, log_batch(notes, 3 * batch, operations));
    }
    relay.restart(|_| ());
    relay
}

#[test]
fn a_large_history_comes_in_pages_without_a_gap() {
    for transport in TRANSPORTS {
        // From inside a batch, from its end, and from the start.
        for have in [0, 1, 2, 3, 150, 298, 299] {
            let mut relay = with_history(|settings| settings.memory.catch_up_page_bytes = 8192);
            let ben = relay.greeted_over("ben", transport);
            relay.send(ben, open_from("notes", 1, have));
            let opened = expect!(relay, ben, Opened);
            assert_eq!(
                (opened.sync(), opened.from_revision),
                (SyncMode::Delta, have)
            );
            let is_read = |request: &&StoreRequest| matches!(request, StoreRequest::Read { .. });
            let reads = relay.served.iter().filter(is_read).count();
            assert_eq!(reads >= 4, have < 200, "{reads} reads");
            let (operations, snapshot) = pages(&mut relay, ben);
            assert!(snapshot.is_none());
            let mut next = have + 1;
            for remote in operations {
                assert_eq!((remote.revision, remote.first_clock), (next, next - 1));
                for operation in &remote.operations {
                    assert_eq!(operation[0], (next - 1) as u8);
                    next += 1;
                }
            }
            assert_eq!(next, 301);
            relay.assert_quiet(ben);
        }
    }
}

#[test]
fn edits_while_somebody_catches_up_follow_the_pages() {
    let mut relay = with_history(|settings| settings.memory.catch_up_page_bytes = 8192);
    let (ann, notes) = relay.joined("ann", "notes", "log");
    relay.drain(ann);
    let ben = relay.greeted("ben");
    relay.send(ben, open_from("notes", 1, 0));
    let mut next = 301;
    for clock in 300..310 {
        relay.limit(ben, 0);
        relay.send(ann, log_batch(notes, clock, ["more"]));
        relay.limit(ben, 30_000);
    }
    relay.limit(ben, usize::MAX);
    let mut seen = 1;
    for event in relay.drain(ben) {
        let all = match event {
            event::Body::Opened(_) => vec![],
            event::Body::SyncResponse(page) => page.operations,
            event::Body::RemoteOps(remote) => vec![remote],
            other => panic!("{other:?}"),
        };
        for remote in all {
            assert_eq!(remote.revision, seen);
            seen += remote.operations.len() as u64;
        }
        next = seen;
    }
    assert_eq!(next, 311);
}

#[test]
fn a_large_snapshot_comes_in_pieces_that_cut_no_character() {
    for transport in TRANSPORTS {
        let mut relay = Relay::with(1, |settings| settings.fanout.flush_bytes_max = 1024);
        let (ann, notes) = relay.joined("ann", "notes", "text");
        let text = "aé€👋".repeat(5000);
        relay.send(
            ann,
            text_batch(notes, 0, 0, &[Operation::splice(0, 0, &text)]),
        );
        let ben = relay.greeted_over("ben", transport);
        let opened = relay.open(ben, "notes", "text");
        assert_eq!(opened.sync(), SyncMode::Snapshot);
        let first = expect!(relay, ben, SyncResponse);
        let chunk = first.snapshot.expect("the snapshot is first");
        assert_eq!((chunk.revision, chunk.offset), (1, 0));
        assert_eq!(chunk.bytes_total, text.len() as u64);
        assert!(chunk.data.len() <= 1024 && first.has_more);
        let mut data = chunk.data.to_vec();
        let mut chunks = 1;
        loop {
            let page = expect!(relay, ben, SyncResponse);
            let Some(chunk) = page.snapshot else {
                assert!(!page.has_more);
                break;
            };
            assert!(std::str::from_utf8(&chunk.data).is_ok());
            assert_eq!(chunk.offset, data.len() as u64);
            data.extend_from_slice(&chunk.data);
            chunks += 1;
        }
        assert_eq!(data, text.as_bytes());
        assert!(chunks > 30, "{chunks}");
        relay.assert_quiet(ben);
    }
}

#[test]
fn a_snapshot_of_what_is_not_durable_waits_and_says_what_it_has_of_the_client() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "text");
    relay.send(
        ann,
        text_batch(notes, 0, 0, &[Operation::splice(0, 0, "durable")]),
    );
    relay.hold_store();
    relay.send(
        ann,
        text_batch(notes, 1, 1, &[Operation::splice(0, 0, "not ")]),
    );
    let ben = relay.greeted("ben");
    relay.send(ben, open("notes", "", false));
    let opened = expect!(relay, ben, Opened);
    assert_eq!(opened.position.map(|p| p.revision), Some(1));
    relay.assert_quiet(ben);
    relay.release_store();
    assert_eq!(opened.from_revision, 2);
    assert_eq!(text_of(pages(&mut relay, ben).1), "not durable");
    // Ann, who asks for everything while her own is on its way.
    relay.drain(ann);
    relay.hold_store();
    relay.send(
        ann,
        text_batch(notes, 2, 2, &[Operation::splice(0, 0, "or ")]),
    );
    relay.send(ann, sync(notes, None));
    assert_eq!(expect!(relay, ann, Resync).next_clock, 3);
    relay.release_store();
    let chunk = expect!(relay, ann, SyncResponse)
        .snapshot
        .expect("a snapshot");
    assert_eq!((chunk.revision, chunk.next_clock), (3, 3));
    assert_eq!(chunk.data, "or not durable");
    assert!(!expect!(relay, ann, SyncResponse).has_more);
    relay.assert_quiet(ann);
    relay.send(
        ann,
        text_batch(notes, 3, 3, &[Operation::splice(0, 0, "x")]),
    );
    assert_eq!(expect!(relay, ann, Ack).first_revision, 4);
}

#[test]
fn who_asks_again_is_brought_from_where_it_says() {
    for (have, sync_mode, from) in [
        (Some((1, 3)), SyncMode::Delta, 3),
        (Some((1, 1)), SyncMode::Delta, 1),
        (Some((9, 3)), SyncMode::Delta, 0),
        (None, SyncMode::Delta, 0),
    ] {
        let mut relay = Relay::new();
        let (ann, notes) = relay.joined("ann", "notes", "log");
        for clock in 0..3 {
            relay.send(ann, log_batch(notes, clock, ["x"]));
        }
        relay.drain(ann);
        relay.send(ann, sync(notes, have));
        let resync = expect!(relay, ann, Resync);
        assert_eq!(resync.reason(), ResyncReason::Requested);
        assert_eq!(resync.sync(), sync_mode);
        assert_eq!(
            resync.from.map(|from| (from.epoch, from.revision)),
            Some((1, from))
        );
        assert_eq!(resync.next_clock, 3);
        let (operations, _) = pages(&mut relay, ann);
        let mut seen = from
            + operations
                .iter()
                .map(|r| r.operations.len() as u64)
                .sum::<u64>();
        for event in relay.drain(ann) {
            let event::Body::RemoteOps(remote) = event else {
                panic!("{event:?}");
            };
            assert_eq!(remote.revision, seen + 1);
            seen += remote.operations.len() as u64;
        }
        assert_eq!(seen, 3);
        relay.send(ann, log_batch(notes, 3, ["y"]));
        assert_eq!(expect!(relay, ann, Ack).first_revision, 4);
    }
}

#[test]
fn asking_again_while_a_page_is_on_its_way_starts_again() {
    let mut relay = with_history(|settings| settings.memory.catch_up_page_bytes = 8192);
    let ben = relay.greeted("ben");
    relay.send(ben, open_from("notes", 1, 0));
    let opened = expect!(relay, ben, Opened);
    relay.drain(ben);
    relay.hold_store();
    for have in [0, 100, 299] {
        relay.send(ben, sync(opened.document, Some((1, have))));
        expect!(relay, ben, Resync);
    }
    relay.release_store();
    let (operations, _) = pages(&mut relay, ben);
    assert_eq!(operations.len(), 1);
    assert_eq!(operations[0].revision, 300);
    relay.assert_quiet(ben);
}

#[test]
fn a_page_that_cannot_be_read_closes_the_document_for_that_client() {
    let failures: [(Result<Page, ReadError>, bool); 4] = [
        (Err(ReadError::passing("a bad sector")), false),
        (Ok(Page::Records(vec![])), false),
        (Err(ReadError::damaged("a checksum")), true),
        (
            Ok(Page::Records(vec![Bytes::from_static(b"\x01junk")])),
            true,
        ),
    ];
    for (result, is_damaged) in failures {
        let mut relay = with_history(|_| ());
        let (ann, notes) = relay.joined("ann", "notes", "log");
        relay.drain(ann);
        relay.hold_store();
        let ben = relay.greeted("ben");
        relay.send(ben, open_from("notes", 1, 0));
        expect!(relay, ben, Opened);
        let Some((
            0,
            StoreRequest::Read {
                document, ticket, ..
            },
        )) = relay.held.pop_front()
        else {
            panic!("a read is asked for: {:?}", relay.held);
        };
        let token = document.token;
        relay.reply(
            0,
            StoreReply::Page {
                token,
                ticket,
                result,
            },
        );
        let close = expect!(relay, ben, Close);
        let code = match is_damaged {
            true => ErrorCode::InternalError,
            false => ErrorCode::ServiceUnavailable,
        };
        assert_eq!((close.document, close.code()), (notes, code));
        assert_eq!(close.retryable, !is_damaged);
        assert_eq!(close.retry_after_ms > 0, !is_damaged);
        let told = relay.shards[0].poll_unreadable().expect("it is said");
        assert_eq!((&*told.document, told.is_damaged), ("notes", is_damaged));
        assert!(!close.message.contains(&told.reason), "{}", close.message);
        assert_eq!(relay.shards[0].metrics().load_failures, 1);
        assert!(!relay.is_closed(ben));
        relay.release_store();
        relay.send(ben, open_from("notes", 1, 0));
        assert_eq!(expect!(relay, ben, Opened).sync(), SyncMode::Delta);
        assert_eq!(pages(&mut relay, ben).0.len(), 100);
        relay.assert_quiet(ann);
    }
}

#[test]
fn only_so_many_read_at_a_time_and_all_have_their_turn() {
    let mut relay = with_history(|settings| {
        settings.memory.catch_up_reads_max = 2;
        settings.memory.catch_up_page_bytes = 8192;
    });
    let (ann, _) = relay.joined("ann", "notes", "log");
    relay.drain(ann);
    relay.hold_store();
    let clients: Vec<_> = (0..6)
        .map(|number| {
            let client = relay.greeted(&format!("{number}"));
            relay.send(client, open_from("notes", 1, 0));
            expect!(relay, client, Opened);
            client
        })
        .collect();
    assert_eq!(relay.held.len(), 2);
    // One whose read is under way goes, and one that waits.
    relay.vanish(clients[0]);
    relay.vanish(clients[3]);
    relay.release_store();
    for client in [1, 2, 4, 5].map(|index| clients[index]) {
        assert_eq!(pages(&mut relay, client).0.len(), 100);
    }
}

#[test]
fn a_client_that_went_through_another_epoch_gets_everything_again() {
    let mut relay = with_history(|_| ());
    relay.restart(|settings| settings.epoch = 2);
    let ben = relay.greeted("ben");
    relay.send(ben, open_from("notes", 1, 250));
    let opened = expect!(relay, ben, Opened);
    let position = opened.position.expect("it is told");
    assert_eq!((position.epoch, position.revision), (2, 300));
    assert_eq!((opened.sync(), opened.from_revision), (SyncMode::Delta, 0));
    assert_eq!(pages(&mut relay, ben).0.len(), 100);
}

//! Snapshots that the relay sends.

use bytes::Bytes;
use corelay::client::Event;
use corelay::codec::wire::{self, ErrorCode, SyncMode, event::Body as Told, request::Body};

use crate::fixture::{
    HANDLE, OTHER, Play, ack, at, batch, operations, page, remote_revisions, up_to_date,
};

#[test]
fn a_snapshot_is_put_together_and_settles_what_it_contains() {
    let (mut play, document) = Play::opened("text", up_to_date(0, 0));
    play.session
        .submit_batch(document, batch(0, 2))
        .expect("ready");
    assert!(!play.session.is_ready(document));
    assert_eq!(play.batches(), [(1, 0, 2)]);
    play.reconnect();
    play.events();
    play.answer_open(
        "text",
        wire::Opened {
            sync: SyncMode::Snapshot as i32,
            ..up_to_date(9, 2)
        },
    );
    let chunk = |offset: u64, data: &'static [u8]| {
        Told::SyncResponse(wire::SyncResponse {
            document: HANDLE,
            snapshot: Some(wire::SnapshotChunk {
                revision: 8,
                bytes_total: 5,
                offset,
                data: Bytes::from_static(data),
                next_clock: 2,
            }),
            operations: Vec::new(),
            has_more: true,
            ..Default::default()
        })
    };
    play.tell(chunk(0, b"hel"));
    play.tell(chunk(3, b"lo"));
    play.tell(page(vec![operations(9, OTHER, 0, 1)], false));
    let events = play.events();
    assert_eq!(play.session.pending_operations(document), 0);
    assert!(events.contains(&Event::Snapshot {
        document,
        revision: 8,
        data: Bytes::from_static(b"hello"),
        next_clock: 2
    }));
    assert_eq!(remote_revisions(&events), [(9, 1)]);
    assert!(play.session.is_ready(document));
}

fn chunk(revision: u64, data: &[u8], at: std::ops::Range<usize>) -> Told {
    Told::SyncResponse(wire::SyncResponse {
        document: HANDLE,
        snapshot: Some(wire::SnapshotChunk {
            revision,
            bytes_total: data.len() as u64,
            offset: at.start as u64,
            data: Bytes::copy_from_slice(&data[at.clone()]),
            next_clock: 0,
        }),
        has_more: true,
        resume_token: format!("{revision} {}", at.end).into(),
        ..Default::default()
    })
}

fn snapshot(revision: u64) -> wire::Opened {
    wire::Opened {
        sync: SyncMode::Snapshot as i32,
        ..up_to_date(revision, 0)
    }
}

fn snapshots(events: &[Event]) -> Vec<(u64, &[u8])> {
    let snapshots = events.iter().filter_map(|event| match event {
        Event::Snapshot { revision, data, .. } => Some((*revision, &data[..])),
        _ => None,
    });
    snapshots.collect()
}

#[test]
fn a_log_has_a_snapshot_and_operations_after_it() {
    let (mut play, document) = Play::opened("log", snapshot(8));
    play.tell(chunk(8, b"\xff\x00 any bytes", 0..12));
    play.tell(page(vec![operations(9, OTHER, 0, 2)], false));
    let events = play.events();
    assert_eq!(snapshots(&events), [(8, &b"\xff\x00 any bytes"[..])]);
    assert_eq!(remote_revisions(&events), [(9, 2)]);
    assert_eq!(play.session.position(document), at(10));
    assert!(matches!(
        events.last(),
        Some(Event::Synced { revision: 10, .. })
    ));
}

#[test]
fn a_log_that_begins_a_new_life_is_an_empty_snapshot_and_counts_anew() {
    let (mut play, document) = Play::opened("log", up_to_date(0, 0));
    play.submit(document, 50);
    play.batches();
    play.tell(Told::Ack(ack(1, 1, 50, 49)));
    play.submit(document, 1);
    let sent = play.reconnect();
    assert!(matches!(&sent[..], [Body::Open(open)] if open.have == at(50)));
    play.answer_open("log", snapshot(50));
    play.events();
    play.tell(chunk(50, b"", 0..0));
    play.tell(page(vec![operations(51, OTHER, 0, 1)], false));
    let events = play.events();
    assert_eq!(snapshots(&events), [(50, &b""[..])]);
    assert_eq!(remote_revisions(&events), [(51, 1)]);
    play.pass(50);
    assert_eq!(play.batches(), [(2, 0, 1)], "the clocks of the new life");
}

#[test]
fn a_snapshot_that_was_cut_off_goes_on_where_it_was() {
    let (mut play, _) = Play::opened("log", snapshot(8));
    play.tell(chunk(8, b"hello", 0..2));
    play.tell(chunk(8, b"hello", 2..3));
    // Nothing comes of the next connection.
    play.reconnect();
    let sent = play.reconnect();
    assert!(
        matches!(&sent[..], [Body::Open(open)] if open.resume_token == "8 3"),
        "{sent:?}"
    );
    play.answer_open("log", snapshot(8));
    play.tell(chunk(8, b"hello", 3..5));
    play.tell(page(Vec::new(), false));
    assert_eq!(snapshots(&play.events()), [(8, &b"hello"[..])]);
    // Whole is whole.
    let sent = play.reconnect();
    assert!(
        matches!(&sent[..], [Body::Open(open)] if open.resume_token.is_empty() && open.have == at(8))
    );
}

#[test]
fn a_snapshot_that_is_gone_is_asked_for_anew() {
    for code in [ErrorCode::ResumeTokenInvalid, ErrorCode::SnapshotRequired] {
        let (mut play, _) = Play::opened("log", snapshot(8));
        play.tell(chunk(8, b"hello", 0..2));
        play.reconnect();
        play.events();
        play.tell(Told::Error(wire::Error {
            code: code.into(),
            request_id: 1,
            ..wire::Error::default()
        }));
        let sent = play.sent();
        assert!(
            matches!(&sent[..], [Body::Open(open)] if open.resume_token.is_empty()),
            "{sent:?}"
        );
        play.answer_open("log", snapshot(9));
        play.tell(chunk(9, b"newer", 0..5));
        play.tell(page(Vec::new(), false));
        assert_eq!(snapshots(&play.events()), [(9, &b"newer"[..])]);
    }
}

#[test]
fn a_snapshot_that_is_too_long_closes_its_document_alone() {
    let (mut play, document) = Play::opened("log", snapshot(8));
    play.tell(Told::SyncResponse(wire::SyncResponse {
        document: HANDLE,
        snapshot: Some(wire::SnapshotChunk {
            revision: 8,
            bytes_total: 1 << 40,
            ..Default::default()
        }),
        has_more: true,
        ..Default::default()
    }));
    let events = play.events();
    assert!(
        matches!(&events[..], [Event::Closed { document: closed, refusal }]
            if *closed == document && refusal.is(ErrorCode::MessageTooLarge)),
        "{events:?}"
    );
    assert!(matches!(&play.sent()[..], [Body::Close(close)] if close.document == HANDLE));
    assert!(play.session.is_live());
}

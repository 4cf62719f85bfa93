//! Snapshots that the client offers.

use std::time::Duration;

use bytes::Bytes;
use corelay::client::{DocumentKey, Event, OfferError};
use corelay::codec::wire::{self, ErrorCode, SnapshotOffer, event::Body as Told, request::Body};

use crate::fixture::{HANDLE, MESSAGE_BYTES_MAX, OTHER, Play, operations, up_to_date};

const BYTES: usize = MESSAGE_BYTES_MAX * 5 / 2;

/// With a snapshot of revision 9 on its way.
fn offering() -> (Play, DocumentKey) {
    let (mut play, document) = Play::opened("log", up_to_date(0, 0));
    play.tell(Told::RemoteOps(operations(1, OTHER, 0, 9)));
    play.events();
    let offered = play.session.offer_snapshot(document, 9, summary());
    assert_eq!(offered, Ok(()));
    (play, document)
}

fn summary() -> Bytes {
    (0..BYTES).map(|at| at as u8).collect()
}

/// What is sent until nothing is, and the id that it has.
fn pieces(play: &mut Play) -> (String, Vec<SnapshotOffer>) {
    let mut ids = Vec::new();
    let mut pieces = Vec::new();
    for request in play.requests() {
        match request.body {
            Some(Body::SnapshotOffer(piece)) => pieces.push(piece),
            other => panic!("{other:?}"),
        }
        ids.push(request.id);
    }
    ids.dedup();
    assert!(ids.len() <= 1, "{ids:?}");
    (ids.pop().unwrap_or_default(), pieces)
}

fn is_whole(pieces: &[SnapshotOffer]) -> bool {
    let mut data = Vec::new();
    for piece in pieces {
        assert_eq!((piece.document, piece.revision), (HANDLE, 9));
        assert_eq!(piece.bytes_total, BYTES as u64);
        assert_eq!(piece.offset, data.len() as u64);
        data.extend_from_slice(&piece.data);
    }
    data == summary()
}

fn refuse(play: &mut Play, id: &str, code: ErrorCode, retry_after_ms: u32) {
    let error = wire::Error {
        code: code.into(),
        retryable: retry_after_ms > 0,
        retry_after_ms,
        document: HANDLE,
        ..wire::Error::default()
    };
    play.answer(id, Told::Error(error));
}

fn accept(play: &mut Play, revision: u64) {
    play.tell(Told::SnapshotAccepted(wire::SnapshotAccepted {
        document: HANDLE,
        revision,
    }));
}

#[test]
fn an_offer_goes_out_in_pieces_that_fit_and_is_accepted() {
    let (mut play, document) = offering();
    let (_, sent) = pieces(&mut play);
    assert_eq!(sent.len(), 3);
    assert!(is_whole(&sent));
    let again = play.session.offer_snapshot(document, 9, summary());
    assert_eq!(again, Err(OfferError::Busy));
    accept(&mut play, 7);
    assert_eq!(play.events(), [], "that is another one");
    accept(&mut play, 9);
    let revision = 9;
    assert_eq!(
        play.events(),
        [Event::SnapshotAccepted { document, revision }]
    );
    let empty = play.session.offer_snapshot(document, 9, Bytes::new());
    assert_eq!(empty, Ok(()));
    let (_, sent) = pieces(&mut play);
    assert!(matches!(&sent[..], [piece] if piece.bytes_total == 0 && piece.data.is_empty()));
    let huge = Bytes::from(vec![0; 65 << 20]);
    let refused = play.session.offer_snapshot(document, 9, huge);
    assert_eq!(refused, Err(OfferError::TooLarge));
}

#[test]
fn operations_do_not_wait_for_a_whole_snapshot() {
    let (mut play, document) = offering();
    let first = play.message();
    assert!(
        matches!(&first[..], [request] if matches!(request.body, Some(Body::SnapshotOffer(_))))
    );
    play.submit(document, 50);
    let second = play.message();
    assert!(
        matches!(&second[0].body, Some(Body::Operations(_))),
        "{second:?}"
    );
}

#[test]
fn an_offer_begins_again_on_the_next_connection() {
    let (mut play, _) = offering();
    play.message();
    let sent = play.reconnect();
    assert!(matches!(&sent[..], [Body::Open(_)]));
    play.answer_open("log", up_to_date(9, 0));
    let (_, sent) = pieces(&mut play);
    assert!(is_whole(&sent));
}

#[test]
fn a_refused_offer_is_over_and_what_is_said_of_it_later_is_passed_over() {
    let (mut play, document) = offering();
    let (id, _) = pieces(&mut play);
    refuse(&mut play, &id, ErrorCode::SnapshotInvalid, 0);
    refuse(&mut play, &id, ErrorCode::SnapshotInvalid, 0);
    let events = play.events();
    assert!(
        matches!(&events[..], [Event::SnapshotRefused { revision: 9, refusal, .. }]
            if refusal.is(ErrorCode::SnapshotInvalid)),
        "{events:?}"
    );
    let next = play.session.offer_snapshot(document, 9, summary());
    assert_eq!(next, Ok(()));
    let (next, _) = pieces(&mut play);
    refuse(&mut play, &id, ErrorCode::SnapshotInvalid, 0);
    assert_eq!(play.events(), []);
    refuse(&mut play, &next, ErrorCode::Forbidden, 0);
    assert!(matches!(
        &play.events()[..],
        [Event::SnapshotRefused { .. }]
    ));
}

#[test]
fn pieces_that_are_too_fast_are_sent_again_and_further_apart() {
    let (mut play, _) = offering();
    let (id, _) = pieces(&mut play);
    refuse(&mut play, &id, ErrorCode::RateLimited, 40);
    refuse(&mut play, &id, ErrorCode::SnapshotInvalid, 0);
    assert_eq!(play.events(), []);
    let at = play.now + Duration::from_millis(40);
    assert_eq!(play.session.poll_timeout(), Some(at));
    let mut sent = Vec::new();
    for _ in 0..3 {
        play.pass(39);
        assert_eq!(play.requests(), []);
        play.pass(1);
        sent.extend(pieces(&mut play).1);
    }
    assert!(is_whole(&sent));
    accept(&mut play, 9);
    assert_eq!(play.events().len(), 1);
}

#[test]
fn a_document_that_is_deleted_takes_its_offer_with_it() {
    let (mut play, document) = offering();
    pieces(&mut play);
    play.tell(Told::RemoteOps(operations(10, OTHER, 0, 1)));
    play.submit(document, 1);
    play.events();
    play.tell(Told::Close(wire::Close {
        document: HANDLE,
        code: ErrorCode::DocumentDeleted.into(),
        ..wire::Close::default()
    }));
    let events = play.events();
    assert!(
        matches!(
            &events[..],
            [
                Event::SnapshotRefused { .. },
                Event::Refused { .. },
                Event::Closed { refusal, .. }
            ] if refusal.is(ErrorCode::DocumentDeleted)
        ),
        "{events:?}"
    );
    assert_eq!(play.reconnect(), [], "nobody asks for it any more");
    let late = play.session.offer_snapshot(document, 9, Bytes::new());
    assert_eq!(late, Err(OfferError::Closed));
}

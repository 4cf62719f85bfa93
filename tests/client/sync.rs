//! Where a document stands: gaps, resyncs, epochs.

use corelay::client::{ConnectionRequest, Event, Violation};
use corelay::codec::wire::{
    self, Position, ResyncReason, SyncMode, event::Body as Told, request::Body,
};

use crate::fixture::{
    CLIENT, HANDLE, OTHER, Play, ack, at, delta, operations, page, remote_revisions, up_to_date,
    violation,
};

#[test]
fn a_gap_or_a_repeat_in_the_revisions_is_a_violation_and_starts_a_new_connection() {
    for (revision, expected) in [(4, 3), (2, 3)] {
        let (mut play, _) = Play::opened("log", up_to_date(0, 0));
        play.tell(Told::RemoteOps(operations(1, OTHER, 0, 2)));
        play.tell(Told::RemoteOps(operations(revision, OTHER, 2, 1)));
        let events = play.events();
        assert_eq!(
            violation(&events),
            Some(&Violation::Revision {
                document: "paper".to_owned(),
                expected,
                found: revision
            })
        );
        assert_eq!(
            play.session.poll_connection(play.now),
            Some(ConnectionRequest::Disconnect)
        );
        play.pass(1300);
        play.connect();
        assert!(matches!(&play.sent()[..], [Body::Open(open)] if open.have == at(2)));
    }
}

#[test]
fn a_resync_may_go_back_but_the_application_sees_no_repeat() {
    let (mut play, document) = Play::opened("log", up_to_date(0, 0));
    play.tell(Told::RemoteOps(operations(1, OTHER, 0, 10)));
    let resync = |from| {
        Told::Resync(wire::Resync {
            document: HANDLE,
            reason: ResyncReason::Lapped as i32,
            from: at(from),
            sync: SyncMode::Delta as i32,
            ..wire::Resync::default()
        })
    };
    play.tell(resync(7));
    play.tell(page(vec![operations(8, OTHER, 7, 5)], false));
    let events = play.events();
    assert_eq!(remote_revisions(&events), [(1, 10), (11, 2)]);
    assert!(events.contains(&Event::Synced {
        document,
        revision: 12,
        next_clock: 0
    }));
    play.tell(resync(13));
    assert!(violation(&play.events()).is_some(), "that would be a gap");
}

#[test]
fn another_epoch_starts_the_document_again_and_numbers_operations_anew() {
    let (mut play, document) = Play::opened("log", up_to_date(0, 0));
    play.submit(document, 100);
    play.batches();
    play.tell(Told::Ack(ack(1, 1, 50, 49)));
    play.reconnect();
    play.events();
    play.answer_open(
        "log",
        wire::Opened {
            position: Some(Position {
                epoch: 2,
                revision: 20,
            }),
            ..delta(0, 20)
        },
    );
    play.tell(page(vec![operations(1, CLIENT, 0, 20)], false));
    let events = play.events();
    let reset = events
        .iter()
        .position(|event| matches!(event, Event::Reset { next_clock: 20, .. }));
    assert!(reset.is_some(), "{events:?}");
    assert_eq!(remote_revisions(&events), [(1, 20)]);
    assert_eq!(play.batches(), [(3, 20, 50)]);
}

//! Own operations: batches, acknowledgements, refusals.

use corelay::client::{Event, SubmitError};
use corelay::codec::wire::{self, ErrorCode, event::Body as Told, request::Body};

use crate::fixture::{
    CLIENT, OTHER, Play, ack, acknowledged, at, batch, delta, nack, operations, page,
    remote_revisions, up_to_date,
};

#[test]
fn operations_go_out_in_batches_and_come_back_acknowledged_among_the_others() {
    let (mut play, document) = Play::opened("log", up_to_date(0, 0));
    play.submit(document, 3);
    assert_eq!(play.batches(), []);
    play.pass(50);
    assert_eq!(play.batches(), [(1, 0, 3)]);
    play.tell(Told::RemoteOps(operations(1, OTHER, 0, 2)));
    play.tell(Told::Ack(ack(1, 3, 3, 2)));
    play.tell(Told::RemoteOps(operations(6, OTHER, 2, 1)));
    let events = play.events();
    assert_eq!(remote_revisions(&events), [(1, 2), (6, 1)]);
    assert_eq!(acknowledged(&events), [(3, 0, 3)]);
    assert_eq!(play.session.position(document), at(6));
    assert_eq!(play.session.pending_operations(document), 0);
}

#[test]
fn after_a_reconnect_only_what_was_not_applied_is_sent_again() {
    let (mut play, document) = Play::opened("log", up_to_date(0, 0));
    play.submit(document, 150);
    assert_eq!(play.batches().len(), 3);
    play.tell(Told::Ack(ack(1, 1, 50, 49)));
    play.events();

    // The second batch was applied, but its Ack is lost.
    let sent = play.reconnect();
    assert!(
        matches!(&sent[..], [Body::Open(open)] if open.have == at(50)),
        "{sent:?}"
    );
    play.answer_open(
        "log",
        wire::Opened {
            position: at(102),
            ..delta(50, 100)
        },
    );
    assert_eq!(
        play.batches(),
        [],
        "nothing is sent before the pages are there"
    );
    play.tell(page(vec![operations(51, OTHER, 0, 2)], true));
    play.tell(page(vec![operations(53, CLIENT, 50, 50)], false));
    let events = play.events();
    assert_eq!(remote_revisions(&events), [(51, 2)]);
    assert_eq!(acknowledged(&events), [(53, 50, 50)]);
    assert_eq!(play.batches(), [(4, 100, 50)]);
    play.tell(Told::Ack(ack(4, 103, 50, 149)));
    assert_eq!(acknowledged(&play.events()), [(103, 100, 50)]);
    assert_eq!(play.session.pending_operations(document), 0);
}

#[test]
fn an_answer_that_is_repeated_moves_nothing() {
    let (mut play, document) = Play::opened("log", up_to_date(0, 0));
    play.submit(document, 50);
    play.batches();
    play.reconnect();
    play.answer_open("log", up_to_date(0, 50));
    assert_eq!(play.batches(), [(2, 0, 50)]);
    play.events();
    let duplicate = wire::Ack {
        duplicate: true,
        ..ack(2, 1, 50, 49)
    };
    play.tell(Told::Ack(duplicate));
    assert_eq!(play.events(), [], "what it is about is still to come");
    play.tell(Told::RemoteOps(operations(1, CLIENT, 0, 50)));
    assert_eq!(acknowledged(&play.events()), [(1, 0, 50)]);
    play.tell(Told::Ack(duplicate));
    assert_eq!(acknowledged(&play.events()), [(1, 0, 0)]);
    assert_eq!(play.session.position(document), at(50));
    assert_eq!(play.session.pending_operations(document), 0);
}

#[test]
fn a_refused_batch_is_given_back_and_those_behind_it_are_sent_again() {
    let (mut play, document) = Play::opened("log", up_to_date(0, 0));
    play.submit(document, 150);
    play.batches();
    play.tell(Told::Nack(nack(1, ErrorCode::OperationInvalid, 0)));
    play.tell(Told::Nack(nack(2, ErrorCode::ClockGap, 0)));
    play.tell(Told::Nack(nack(3, ErrorCode::ClockGap, 0)));
    let events = play.events();
    let [
        Event::Refused {
            operations,
            refusal,
            ..
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!((operations.len(), &operations[49][..]), (50, &b"49"[..]));
    assert!(refusal.is(ErrorCode::OperationInvalid));
    assert_eq!(play.batches(), [(4, 0, 50), (5, 50, 50)]);
}

#[test]
fn a_conflict_is_rebased_once_the_missing_operations_are_there() {
    let (mut play, document) = Play::opened("text", up_to_date(0, 0));
    play.session
        .submit_batch(document, batch(0, 1))
        .expect("ready");
    assert_eq!(
        play.session.submit_batch(document, batch(0, 1)),
        Err(SubmitError::NotReady)
    );
    play.batches();
    play.tell(Told::Nack(wire::Nack {
        revision: 2,
        ..nack(1, ErrorCode::SyncConflict, 0)
    }));
    play.pass(1);
    assert_eq!(play.events(), []);
    play.tell(Told::RemoteOps(operations(1, OTHER, 0, 2)));
    play.pass(1);
    let events = play.events();
    assert_eq!(events.last(), Some(&Event::Rebase { document }));
    play.session
        .submit_batch(document, batch(2, 1))
        .expect("ready again");
    assert!(matches!(
        &play.sent()[..],
        [Body::Operations(batch)] if batch.base_revision == 2 && batch.first_clock == 0
    ));
}

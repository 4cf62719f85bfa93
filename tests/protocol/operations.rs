//! Operations: their place, their acknowledgement, and what everybody else sees.

use bytes::Bytes;
use std::time::Duration;

use corelay::codec::wire::{self, Ack, Durability, ErrorCode, event};
use corelay::store::{StoreReply, StoreRequest};
use corelay::text::{Operation, Text};

use crate::expect;
use crate::fixture::{Relay, STARTED_AT_MS, TRANSPORTS};
use crate::join::{pages, text_of};
use crate::requests::{close, log_batch, open, text_batch};

#[test]
fn an_operation_is_acknowledged_to_its_sender_and_sent_to_the_others() {
    for transport in TRANSPORTS {
        let mut relay = Relay::new();
        let ann = relay.greeted_over("ann", transport);
        let ben = relay.greeted_over("ben", transport);
        let notes = relay.open(ann, "notes", "log").document;
        relay.open(ben, "notes", "log");
        relay.pass(Duration::from_millis(5));
        relay.hold_store();
        relay.send(ann, log_batch(notes, 0, ["one", "two"]));
        relay.assert_quiet(ann);
        relay.assert_quiet(ben);
        relay.release_store();
        let ack = Ack {
            document: notes,
            client_seq: 0,
            first_revision: 1,
            count: 2,
            clock: 1,
            persisted_at_ms: STARTED_AT_MS + 5,
            durability: Durability::Always.into(),
            duplicate: false,
        };
        assert_eq!(expect!(relay, ann, Ack), ack);
        let remote = expect!(relay, ben, RemoteOps);
        assert_eq!((remote.document, remote.revision), (notes, 1));
        assert_eq!(remote.first_clock, 0);
        assert_eq!(remote.operations, ["one", "two"]);
        relay.assert_quiet(ann);
        relay.assert_quiet(ben);
    }
}

#[test]
fn everybody_sees_one_order_in_which_revisions_rise_by_one() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "log");
    let (ben, _) = relay.joined("ben", "notes", "log");
    let (cid, _) = relay.joined("cid", "notes", "log");
    relay.hold_store();
    for clock in 0..10 {
        relay.push(ann, log_batch(notes, 2 * clock, ["a", "a"]));
        relay.push(ben, log_batch(notes, clock, ["b"]));
    }
    relay.release_store();
    for client in [ann, ben, cid] {
        let mut next = 1;
        let mut acknowledged = 0;
        for event in relay.drain(client) {
            match event {
                event::Body::Ack(ack) => {
                    assert_eq!(ack.first_revision, next);
                    assert_eq!(
                        ack.client_seq, acknowledged,
                        "in the order in which they came"
                    );
                    acknowledged += u64::from(ack.count);
                    next += u64::from(ack.count);
                }
                event::Body::RemoteOps(remote) => {
                    assert_eq!(remote.revision, next);
                    next += remote.operations.len() as u64;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(next, 31);
    }
}

#[test]
fn a_batch_is_acknowledged_as_the_store_says_how_safe_it_is() {
    for (durability, word) in [
        (corelay::config::Durability::Always, Durability::Always),
        (corelay::config::Durability::Interval, Durability::Interval),
        (corelay::config::Durability::Never, Durability::Never),
    ] {
        let mut relay = Relay::with(1, |settings| settings.durability = durability);
        let (ann, notes) = relay.joined("ann", "notes", "log");
        relay.send(ann, log_batch(notes, 0, ["one"]));
        assert_eq!(expect!(relay, ann, Ack).durability(), word);
    }
}

#[test]
fn a_resent_batch_is_acknowledged_again_and_counts_once() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "log");
    let (ben, _) = relay.joined("ben", "notes", "log");
    relay.send(ben, log_batch(notes, 0, ["ben's"]));
    relay.send(ann, log_batch(notes, 0, ["one", "two"]));
    relay.drain(ann);
    relay.drain(ben);
    relay.send(ann, log_batch(notes, 0, ["one", "two"]));
    let ack = expect!(relay, ann, Ack);
    assert!(ack.duplicate);
    assert_eq!((ack.first_revision, ack.count, ack.clock), (2, 2, 1));
    relay.assert_quiet(ben);
    relay.send(ben, log_batch(notes, 1, ["next"]));
    assert_eq!(
        expect!(relay, ben, Ack).first_revision,
        4,
        "no revision was used up"
    );
}

#[test]
fn a_batch_resent_before_it_is_durable_waits_like_the_first() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "log");
    relay.hold_store();
    relay.send(ann, log_batch(notes, 0, ["one"]));
    relay.vanish(ann);
    let ann = relay.greeted("ann");
    relay.send(ann, open("notes", "log", true));
    let opened = expect!(relay, ann, Opened);
    assert_eq!(opened.next_clock, 1);
    relay.send(ann, log_batch(notes, 0, ["one"]));
    relay.assert_quiet(ann);
    let is_append = |(_, request): &&_| matches!(request, StoreRequest::Append { .. });
    let appends = relay.held.iter().filter(is_append).count();
    assert_eq!(appends, 1, "nothing is written twice");
    relay.release_store();
    let mut events = relay.drain(ann);
    events.sort_by_key(|event| matches!(event, event::Body::Ack(_)));
    let [event::Body::RemoteOps(own), event::Body::Ack(ack)] = &events[..] else {
        panic!("{events:#?}");
    };
    assert_eq!((own.revision, own.operations.len()), (1, 1));
    assert!(ack.duplicate);
    assert_eq!(ack.first_revision, 1);
}

#[test]
fn a_batch_resent_in_other_pieces_is_not_called_durable_before_all_of_it_is() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "log");
    let (ben, _) = relay.joined("ben", "notes", "log");
    relay.send(ann, log_batch(notes, 0, ["one", "two"]));
    relay.send(ben, log_batch(notes, 0, ["between"]));
    relay.hold_store();
    relay.send(ann, log_batch(notes, 2, ["three"]));
    relay.drain(ann);
    // Clocks 1 and 2 are the revisions 2 and 4, and 4 is not durable.
    relay.send(ann, log_batch(notes, 1, ["two", "three"]));
    relay.assert_quiet(ann);
    relay.release_store();
    let acks: Vec<Ack> = (0..2).map(|_| expect!(relay, ann, Ack)).collect();
    let repeated = acks
        .iter()
        .find(|ack| ack.duplicate)
        .expect("it is answered");
    assert_eq!(
        repeated.first_revision, 0,
        "they have no first revision that the others follow"
    );
    assert_eq!((repeated.count, repeated.clock), (2, 2));
}

#[test]
fn a_batch_of_long_ago_is_still_known() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "log");
    let (ben, _) = relay.joined("ben", "notes", "log");
    for clock in 0..20 {
        relay.send(ann, log_batch(notes, clock, ["a"]));
        relay.send(ben, log_batch(notes, clock, ["b"]));
    }
    relay.drain(ann);
    relay.send(ann, log_batch(notes, 0, ["a"]));
    let ack = expect!(relay, ann, Ack);
    assert!(ack.duplicate);
    assert_eq!(ack.first_revision, 0);
    relay.restart(|_| ());
    let (ann, notes) = relay.joined("ann", "notes", "log");
    relay.drain(ann);
    relay.send(ann, log_batch(notes, 19, ["a"]));
    let ack = expect!(relay, ann, Ack);
    assert_eq!(
        (ack.duplicate, ack.first_revision),
        (true, 39),
        "after a restart, too"
    );
}

#[test]
fn what_a_client_must_send_next_is_told_with_every_refusal() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "log");
    relay.send(ann, log_batch(notes, 0, ["one", "two"]));
    expect!(relay, ann, Ack);
    for (first_clock, operations) in [(3, &["x"][..]), (1, &["x", "y"]), (u64::MAX - 1, &["x"])] {
        relay.send(
            ann,
            log_batch(notes, first_clock, operations.iter().copied()),
        );
        let nack = expect!(relay, ann, Nack);
        assert_eq!(nack.code(), ErrorCode::ClockGap);
        assert_eq!(
            (nack.client_seq, nack.next_clock, nack.revision),
            (first_clock, 2, 2)
        );
        assert!(nack.retryable);
    }
    relay.send(ann, log_batch(notes, 2, ["three"]));
    assert_eq!(expect!(relay, ann, Ack).first_revision, 3);
}

#[test]
fn a_log_takes_any_bytes_and_gives_them_back() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "log");
    let (ben, _) = relay.joined("ben", "notes", "log");
    let all: Vec<Bytes> = vec![Bytes::new(), (0..=255).collect(), vec![0xff; 10_000].into()];
    relay.send(ann, log_batch(notes, 0, all.clone()));
    expect!(relay, ann, Ack);
    assert_eq!(expect!(relay, ben, RemoteOps).operations, all);
}

/// What a client holds of a text.
fn applied(text: &mut Text, remote: &wire::RemoteOps) {
    for bytes in &remote.operations {
        let operation = Operation::decode(bytes).expect("the relay sends operations");
        text.apply(&operation).expect("it fits");
    }
}

#[test]
fn texts_are_transformed_so_that_what_is_sent_applies() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "text");
    let (ben, _) = relay.joined("ben", "notes", "text");
    relay.send(
        ann,
        text_batch(notes, 0, 0, &[Operation::splice(0, 0, "abcdef")]),
    );
    relay.drain(ann);
    let mut bens = Text::default();
    applied(&mut bens, &expect!(relay, ben, RemoteOps));
    // Both edit revision 1: Ann twice in one batch, Ben where she deletes.
    relay.send(
        ann,
        text_batch(
            notes,
            1,
            1,
            &[Operation::splice(0, 2, ""), Operation::splice(4, 0, "!")],
        ),
    );
    applied(&mut bens, &expect!(relay, ben, RemoteOps));
    relay.send(
        ben,
        text_batch(
            notes,
            0,
            1,
            &[Operation::splice(1, 0, "X"), Operation::splice(7, 0, "Y")],
        ),
    );
    let ack = expect!(relay, ben, Ack);
    assert_eq!((ack.first_revision, ack.count), (4, 2));
    expect!(relay, ann, Ack);
    let remote = expect!(relay, ann, RemoteOps);
    assert_eq!((remote.revision, remote.operations.len()), (4, 2));
    applied(&mut bens, &remote);

    let cid = relay.greeted("cid");
    relay.open(cid, "notes", "text");
    let snapshot = text_of(pages(&mut relay, cid).1);
    assert_eq!(snapshot, bens.to_string());
    assert_eq!(snapshot.matches(['X', 'Y', '!']).count(), 3, "{snapshot}");
}

#[test]
fn base_revisions_that_do_not_do_are_conflicts() {
    let mut relay = Relay::with(1, |settings| settings.document.history_operations_max = 16);
    let (ann, notes) = relay.joined("ann", "notes", "text");
    let (ben, _) = relay.joined("ben", "notes", "text");
    let edit = || [Operation::splice(0, 0, "x")];
    for revision in 0..20 {
        relay.send(ann, text_batch(notes, revision, revision, &edit()));
        expect!(relay, ann, Ack);
    }
    let refused = |relay: &mut Relay, client, clock, base, reason: &str| {
        relay.send(client, text_batch(notes, clock, base, &edit()));
        let nack = expect!(relay, client, Nack);
        assert_eq!(nack.code(), ErrorCode::SyncConflict, "{reason}");
        assert!(nack.message.contains(reason), "{}", nack.message);
        assert_eq!((nack.retryable, nack.revision), (true, 20));
    };
    relay.drain(ben);
    refused(&mut relay, ben, 0, 21, "in the future");
    refused(&mut relay, ben, 0, u64::MAX, "in the future");
    refused(&mut relay, ben, 0, 3, "too old");
    refused(&mut relay, ann, 20, 19, "own last operation");
    // The oldest base that is still there.
    relay.send(ben, text_batch(notes, 0, 4, &edit()));
    assert_eq!(expect!(relay, ben, Ack).first_revision, 21);
    // Ben may not have seen Ann's, but must have seen its own.
    refused_own(&mut relay, ben, notes);
}

fn refused_own(relay: &mut Relay, ben: usize, notes: u64) {
    relay.send(
        ben,
        text_batch(notes, 1, 20, &[Operation::splice(0, 0, "x")]),
    );
    assert_eq!(expect!(relay, ben, Nack).code(), ErrorCode::SyncConflict);
    relay.send(
        ben,
        text_batch(notes, 1, 21, &[Operation::splice(0, 0, "x")]),
    );
    assert_eq!(expect!(relay, ben, Ack).first_revision, 22);
}

#[test]
fn a_batch_with_one_bad_operation_changes_nothing() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "text");
    relay.send(
        ann,
        text_batch(notes, 0, 0, &[Operation::splice(0, 0, "a👋b")]),
    );
    expect!(relay, ann, Ack);
    let good = Operation::splice(0, 0, "good");
    for (bad, code) in [
        (
            Operation::splice(9, 0, "x"),
            ErrorCode::OperationOutOfBounds,
        ),
        (Operation::splice(0, 9, ""), ErrorCode::OperationOutOfBounds),
        (Operation::splice(6, 0, "x"), ErrorCode::SurrogateSplit),
        (Operation::splice(5, 1, ""), ErrorCode::SurrogateSplit),
    ] {
        relay.send(ann, text_batch(notes, 1, 1, &[good.clone(), bad]));
        let nack = expect!(relay, ann, Nack);
        assert_eq!((nack.code(), nack.retryable), (code, false));
        assert_eq!((nack.next_clock, nack.revision), (1, 1));
    }
    let ben = relay.greeted("ben");
    relay.open(ben, "notes", "text");
    assert_eq!(text_of(pages(&mut relay, ben).1), "a👋b");
    relay.send(
        ann,
        text_batch(notes, 1, 1, &[Operation::splice(4, 0, "x")]),
    );
    assert_eq!(
        expect!(relay, ann, Ack).first_revision,
        2,
        "the edge itself is inside"
    );
}

#[test]
fn nothing_is_acknowledged_after_the_store_has_failed() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "log");
    let (ben, _) = relay.joined("ben", "notes", "log");
    relay.send(ann, log_batch(notes, 0, ["kept"]));
    expect!(relay, ann, Ack);
    expect!(relay, ben, RemoteOps);
    relay.hold_store();
    relay.send(ann, log_batch(notes, 1, ["lost"]));
    let Some((0, StoreRequest::Append { document, .. })) = relay.held.pop_front() else {
        panic!("it is to be stored");
    };
    let reason = "no space left".to_owned();
    relay.reply(0, StoreReply::Failed { reason });
    relay.reply(
        0,
        StoreReply::Appended {
            token: document.token,
            revision: 2,
            persisted_at_ms: 0,
        },
    );
    relay.assert_quiet(ann);
    relay.assert_quiet(ben);
    relay.send(ann, log_batch(notes, 2, ["more"]));
    let nack = expect!(relay, ann, Nack);
    assert_eq!(nack.code(), ErrorCode::ServiceUnavailable);
    assert!(nack.retryable && nack.retry_after_ms > 0);
    assert!(relay.held.is_empty());
}

#[test]
fn the_batch_of_a_client_that_is_gone_is_kept_and_sent_all_the_same() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "log");
    let (ben, _) = relay.joined("ben", "notes", "log");
    relay.hold_store();
    relay.send(ann, log_batch(notes, 0, ["one"]));
    relay.send(ann, log_batch(notes, 1, ["two"]));
    relay.send(ann, close(notes));
    relay.vanish(ann);
    relay.release_store();
    assert_eq!(expect!(relay, ben, RemoteOps).operations, ["one"]);
    assert_eq!(expect!(relay, ben, RemoteOps).operations, ["two"]);
    assert_eq!(relay.shards[0].metrics().pending_bytes, 0);
}

#[test]
fn documents_do_not_see_each_other() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "log");
    let (ben, other) = relay.joined("ben", "other", "log");
    relay.send(ann, log_batch(notes, 0, ["one"]));
    expect!(relay, ann, Ack);
    relay.assert_quiet(ben);
    relay.send(ben, log_batch(notes, 0, ["mine"]));
    assert_eq!(expect!(relay, ben, Nack).code(), ErrorCode::DocumentNotOpen);
    relay.send(ben, log_batch(other, 0, ["mine"]));
    assert_eq!(expect!(relay, ben, Ack).first_revision, 1);
    relay.assert_quiet(ann);
}

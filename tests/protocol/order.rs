//! The order in which a batch is checked: of two faults, the earlier one is named.

use bytes::Bytes;
use corelay::codec::wire::{ErrorCode, request};
use corelay::text::Operation;
use serde_json::json;

use crate::expect;
use crate::fixture::Relay;
use crate::requests::{log_batch, text_batch};
use crate::tokens;

/// What can be wrong with a batch, in the order in which it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Schema,
    Permission,
    Rate,
    Content,
    Causality,
}

const FAULTS: [(Fault, ErrorCode); 5] = [
    (Fault::Schema, ErrorCode::BatchInvalid),
    (Fault::Permission, ErrorCode::Forbidden),
    (Fault::Rate, ErrorCode::RateLimited),
    (Fault::Content, ErrorCode::OperationInvalid),
    (Fault::Causality, ErrorCode::ClockGap),
];

/// What a relay says of a batch with these faults.
fn said_of(faults: &[Fault]) -> ErrorCode {
    let has = |fault| faults.contains(&fault);
    let mut relay = tokens::relay(1);
    relay.restart(|settings| {
        settings.connection.batch_operations_max = 5;
        settings.rate.document_operations_per_second = Some(1);
    });
    let writer = tokens::admitted(&mut relay, "writer", &json!({}));
    let notes = relay.open(writer, "notes", "text").document;
    let reader = tokens::admitted(&mut relay, "reader", &json!({"permissions": ["read"]}));
    relay.open(reader, "notes", "text");
    let mut next_clock = 0;
    if has(Fault::Rate) {
        for _ in 0..2 {
            let batch = vec![Operation::default(); 5];
            relay.send(writer, text_batch(notes, next_clock, next_clock, &batch));
            expect!(relay, writer, Ack);
            next_clock += 5;
        }
    }
    let (client, first_clock) = if has(Fault::Permission) {
        (reader, 0)
    } else {
        (writer, next_clock)
    };
    let operation = if has(Fault::Content) {
        Bytes::from_static(&[0xff])
    } else {
        Operation::default().encode().into()
    };
    let count = if has(Fault::Schema) { 6 } else { 1 };
    let first_clock = first_clock + u64::from(has(Fault::Causality));
    let batch = log_batch(notes, first_clock, vec![operation; count]);
    relay.drain(client);
    relay.send(client, batch);
    expect!(relay, client, Nack).code()
}

#[test]
fn of_two_faults_the_earlier_is_named() {
    for (index, (fault, code)) in FAULTS.into_iter().enumerate() {
        assert_eq!(said_of(&[fault]), code, "{fault:?}");
        for (later, _) in &FAULTS[index + 1..] {
            assert_eq!(said_of(&[fault, *later]), code, "{fault:?} and {later:?}");
        }
    }
}

#[test]
fn a_batch_that_was_applied_is_acknowledged_again_whatever_is_in_it() {
    let mut relay = Relay::with(1, |settings| settings.document.history_operations_max = 16);
    let (ann, notes) = relay.joined("ann", "notes", "text");
    let first = text_batch(notes, 0, 0, &[Operation::splice(0, 0, "x")]);
    relay.send(ann, first.clone());
    expect!(relay, ann, Ack);
    for clock in 1..30 {
        relay.send(
            ann,
            text_batch(notes, clock, clock, &[Operation::splice(0, 0, "x")]),
        );
        expect!(relay, ann, Ack);
    }
    // Its base is too old by now to transform from.
    let garbage: request::Body = log_batch(notes, 0, [Bytes::from_static(&[0xff])]);
    for batch in [first, garbage] {
        relay.send(ann, batch);
        let ack = expect!(relay, ann, Ack);
        assert_eq!((ack.duplicate, ack.first_revision, ack.count), (true, 1, 1));
    }
}

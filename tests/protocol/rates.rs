//! How fast clients may go: at the rate they are taken, past it they are refused, and told exactly for how long.

use std::time::Duration;

use corelay::codec::wire::{self, ErrorCode, event, request};
use corelay::config::Rate;
use corelay::text::Operation;

use crate::expect;
use crate::fixture::{Client, Relay, TRANSPORTS};
use crate::requests::{close, hello, log_batch, open, text_batch};

const MS: Duration = Duration::from_millis(1);

fn limited(change: impl FnOnce(&mut Rate)) -> Relay {
    Relay::with(1, |settings| {
        settings.rate.burst = Duration::from_secs(2);
        change(&mut settings.rate);
    })
}

/// The batch is refused for its rate. Returns for how long.
#[track_caller]
fn refused(relay: &mut Relay, client: Client, batch: &request::Body) -> Duration {
    relay.send(client, batch.clone());
    let nack = expect!(relay, client, Nack);
    assert_eq!(
        (nack.code(), nack.retryable),
        (ErrorCode::RateLimited, true)
    );
    Duration::from_millis(nack.retry_after_ms.into())
}

/// The batch is refused, and taken exactly when the refusal said.
#[track_caller]
fn waits(relay: &mut Relay, client: Client, batch: &request::Body) -> Duration {
    let wait = refused(relay, client, batch);
    relay.pass(wait - MS);
    assert_eq!(refused(relay, client, batch), MS);
    relay.pass(MS);
    relay.send(client, batch.clone());
    expect!(relay, client, Ack);
    wait
}

#[test]
fn every_rate_is_taken_to_its_limit_and_no_further() {
    type Change = fn(&mut Rate);
    // Two seconds' worth at once: 10 operations, or 1000 bytes.
    let table: [(&str, Change, bool, bool); 6] = [
        (
            "connection_operations",
            |rate| rate.connection_operations_per_second = Some(5),
            false,
            false,
        ),
        (
            "connection_bytes",
            |rate| rate.connection_bytes_per_second = Some(500),
            false,
            false,
        ),
        (
            "user_operations",
            |rate| rate.user_operations_per_second = Some(5),
            true,
            false,
        ),
        (
            "user_bytes",
            |rate| rate.user_bytes_per_second = Some(500),
            true,
            false,
        ),
        (
            "document_operations",
            |rate| rate.document_operations_per_second = Some(5),
            true,
            true,
        ),
        (
            "document_bytes",
            |rate| rate.document_bytes_per_second = Some(500),
            true,
            true,
        ),
    ];
    for transport in TRANSPORTS {
        for (rate, change, spans_connections, spans_users) in table {
            let mut relay = limited(change);
            let ann = relay.greeted_over("ann", transport);
            let notes = relay.open(ann, "notes", "log").document;
            // The same user's other device, and somebody else.
            let tablet = relay.connect(transport);
            let request::Body::Hello(mut device) = hello("tablet") else {
                unreachable!("that is what it makes");
            };
            device.user_id = "ann".to_owned();
            relay.send(tablet, request::Body::Hello(device));
            expect!(relay, tablet, Connected);
            relay.open(tablet, "notes", "log");
            let ben = relay.greeted_over("ben", transport);
            relay.open(ben, "notes", "log");

            let operation = [0; 100];
            for clock in 0..10 {
                relay.send(ann, log_batch(notes, clock, [operation.to_vec()]));
                expect!(relay, ann, Ack);
            }
            let next = log_batch(notes, 10, [operation.to_vec()]);
            let wait = waits(&mut relay, ann, &next);
            let expected = if rate.ends_with("bytes") { 2 } else { 200 };
            assert_eq!(wait, expected * MS, "{rate}");
            relay.drain(tablet);
            relay.drain(ben);
            for (client, is_limited) in [(tablet, spans_connections), (ben, spans_users)] {
                let batch = log_batch(notes, 0, [operation.to_vec()]);
                if is_limited {
                    waits(&mut relay, client, &batch);
                } else {
                    relay.send(client, batch);
                    expect!(relay, client, Ack);
                }
                relay.drain(tablet);
                relay.drain(ben);
            }
        }
    }
}

#[test]
fn a_batch_that_is_larger_than_the_burst_is_taken_and_made_up_for() {
    let mut relay = limited(|rate| rate.document_operations_per_second = Some(5));
    let (ann, notes) = relay.joined("ann", "notes", "log");
    relay.send(ann, log_batch(notes, 0, vec!["x"; 100]));
    assert_eq!(expect!(relay, ann, Ack).count, 100);
    // 90 too many, and the one that it wants.
    let wait = waits(&mut relay, ann, &log_batch(notes, 100, vec!["x"; 100]));
    assert_eq!(wait, 18_200 * MS);
}

#[test]
fn the_rate_that_takes_longest_is_the_one_that_is_named() {
    let mut relay = limited(|rate| {
        rate.connection_operations_per_second = Some(1);
        rate.document_bytes_per_second = Some(1);
    });
    let (ann, notes) = relay.joined("ann", "notes", "log");
    relay.send(ann, log_batch(notes, 0, ["1234567", "8"]));
    expect!(relay, ann, Ack);
    relay.send(ann, log_batch(notes, 2, ["x"]));
    let nack = expect!(relay, ann, Nack);
    assert_eq!(nack.retry_after_ms, 7000);
    assert!(
        nack.message.contains("rate.document_bytes_per_second"),
        "{}",
        nack.message
    );
    assert!(!nack.message.contains("connection"), "{}", nack.message);
}

#[test]
fn what_is_refused_because_something_is_missing_before_it_costs_nothing() {
    let mut relay = limited(|rate| rate.connection_operations_per_second = Some(5));
    let (ann, notes) = relay.joined("ann", "notes", "log");
    relay.send(ann, log_batch(notes, 0, vec!["x"; 10]));
    expect!(relay, ann, Ack);
    let first = log_batch(notes, 10, ["first"]);
    let wait = refused(&mut relay, ann, &first);
    relay.pass(wait);
    for clock in 11..20 {
        relay.send(ann, log_batch(notes, clock, ["later"]));
        assert_eq!(expect!(relay, ann, Nack).code(), ErrorCode::ClockGap);
    }
    relay.send(ann, first);
    assert_eq!(expect!(relay, ann, Ack).first_revision, 11);
}

#[test]
fn what_is_wrong_in_itself_costs_what_it_would_have() {
    let mut relay = limited(|rate| rate.connection_operations_per_second = Some(5));
    let (ann, notes) = relay.joined("ann", "notes", "text");
    relay.send(ann, log_batch(notes, 0, vec![vec![0xff]; 10]));
    assert_eq!(
        expect!(relay, ann, Nack).code(),
        ErrorCode::OperationInvalid
    );
    refused(
        &mut relay,
        ann,
        &text_batch(notes, 0, 0, &[Operation::default()]),
    );
}

#[test]
fn a_batch_that_was_applied_costs_its_bytes_and_no_operations() {
    let batch = |notes| log_batch(notes, 0, vec!["0123456789"; 10]);
    let mut relay = limited(|rate| rate.user_operations_per_second = Some(5));
    let (ann, notes) = relay.joined("ann", "notes", "log");
    for is_repeated in [false, true, true] {
        relay.send(ann, batch(notes));
        assert_eq!(expect!(relay, ann, Ack).duplicate, is_repeated);
    }
    let mut relay = limited(|rate| rate.user_bytes_per_second = Some(50));
    let (ann, notes) = relay.joined("ann", "notes", "log");
    relay.send(ann, batch(notes));
    expect!(relay, ann, Ack);
    assert_eq!(waits(&mut relay, ann, &batch(notes)), 20 * MS);
}

#[test]
fn a_user_without_a_name_is_not_limited_as_one() {
    let mut relay = limited(|rate| rate.user_operations_per_second = Some(1));
    let request::Body::Hello(mut nobody) = hello("nobody") else {
        unreachable!("that is what it makes");
    };
    nobody.user_id.clear();
    let client = relay.connect(TRANSPORTS[0]);
    relay.send(client, request::Body::Hello(nobody));
    expect!(relay, client, Connected);
    let notes = relay.open(client, "notes", "log").document;
    for clock in 0..10 {
        relay.send(client, log_batch(notes, clock, ["x"]));
        expect!(relay, client, Ack);
    }
}

#[test]
fn a_user_who_comes_back_has_used_what_was_used() {
    for shards in [1, 2] {
        let mut relay = Relay::with(shards, |settings| {
            settings.rate.burst = Duration::from_secs(10);
            settings.rate.user_operations_per_second = Some(1);
        });
        // Two shards: one of these is not on the connection's.
        for document in ["a", "b", "c"] {
            let (ann, handle) = relay.joined("ann", document, "log");
            relay.pass(Duration::from_secs(1000));
            relay.send(ann, log_batch(handle, 0, vec!["x"; 10]));
            expect!(relay, ann, Ack);
            relay.vanish(ann);
            relay.pass(Duration::from_secs(3));
            let (ann, handle) = relay.joined("ann", document, "log");
            relay.send(ann, log_batch(handle, 10, vec!["x"; 3]));
            while !matches!(relay.next(ann), Some(event::Body::Ack(_))) {}
            assert_eq!(
                refused(&mut relay, ann, &log_batch(handle, 13, ["x"])),
                1000 * MS
            );
            relay.vanish(ann);
        }
    }
}

#[test]
fn requests_have_a_rate_and_presence_and_leaving_have_none() {
    for transport in TRANSPORTS {
        let mut relay = limited(|rate| rate.connection_requests_per_second = Some(1));
        let ann = relay.greeted_over("ann", transport);
        // Hello was the first of two.
        let notes = relay.open(ann, "notes", "log").document;
        let requests = [
            (open("more", "log", true), 1, 0),
            (hello("ann"), 0, 0),
            (request::Body::Ping(wire::Ping { nonce: 7 }), 0, 0),
            (
                request::Body::SyncRequest(wire::SyncRequest {
                    document: notes,
                    ..Default::default()
                }),
                0,
                notes,
            ),
        ];
        for (request, request_id, document) in requests {
            relay.send(ann, request);
            let error = expect!(relay, ann, Error);
            assert_eq!(
                (error.code(), error.retryable),
                (ErrorCode::RateLimited, true)
            );
            assert_eq!((error.request_id, error.document), (request_id, document));
            assert_eq!(error.retry_after_ms, 1000);
        }
        for _ in 0..50 {
            relay.send(
                ann,
                request::Body::Presence(wire::Presence {
                    document: notes,
                    is_typing: true,
                    ..Default::default()
                }),
            );
            relay.send(
                ann,
                request::Body::Heartbeat(wire::Heartbeat { document: notes }),
            );
        }
        relay.send(ann, log_batch(notes, 0, ["x"]));
        expect!(relay, ann, Ack);
        relay.send(ann, close(notes));
        relay.pass(999 * MS);
        relay.send(ann, open("more", "log", true));
        assert_eq!(expect!(relay, ann, Error).retry_after_ms, 1);
        relay.pass(MS);
        relay.open(ann, "more", "log");
        relay.assert_quiet(ann);
        assert!(!relay.is_closed(ann));
    }
}

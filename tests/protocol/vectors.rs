//! State vectors: what the relay asks for, what a batch expects, and that they tell of nothing that is not durable.

use corelay::codec::wire::{self, ErrorCode, ResyncReason, event, request};
use corelay::store::StoreRequest;

use crate::expect;
use crate::history::{History, Vector, WAYS, Way, note, open_with, position, received, sync_with};
use crate::join::pages;
use crate::requests::{close, log_batch, open_from};

#[test]
fn a_bidirectional_client_is_asked_for_what_the_relay_lacks() {
    for way in WAYS {
        let mut history = History::new(2, "log", |_| ());
        history.write(0, 3);
        history.write(1, 1);
        let vector = history.vector_at(4);
        for (name, next_clock) in [("writer0", 3), ("reader", 0)] {
            let client = history.relay.greeted(name);
            let (document, have) = (history.document, position(2));
            let relay = &mut history.relay;
            if way == Way::Again {
                relay.send(client, open_from("notes", 1, 4));
                expect!(relay, client, Opened);
            }
            relay.send(
                client,
                match way {
                    Way::Open => open_with("notes", |open| {
                        open.have = have;
                        open.bidirectional = true;
                    }),
                    Way::ById => sync_with(|sync| {
                        sync.document_id = "notes".to_owned();
                        sync.have = have;
                        sync.bidirectional = true;
                    }),
                    Way::Again => sync_with(|sync| {
                        sync.document = document;
                        sync.have = have;
                        sync.bidirectional = true;
                    }),
                },
            );
            match way {
                Way::Open => drop(expect!(relay, client, Opened)),
                Way::ById => {}
                Way::Again => drop(expect!(relay, client, Resync)),
            }
            pages(relay, client);
            let asked = expect!(relay, client, SyncRequest);
            assert_eq!((asked.document, asked.next_clock), (document, next_clock));
            assert_eq!(asked.state_vector, vector);
            relay.assert_quiet(client);
            // It does what it is asked.
            relay.send(client, log_batch(document, next_clock, ["what only I had"]));
            assert!(expect!(relay, client, Ack).first_revision > 4);
            relay.send(client, close(document));
            if name == "writer0" {
                break;
            }
        }
    }
}

#[test]
fn a_batch_may_say_what_it_expects_of_the_others() {
    let mut history = History::new(3, "log", |_| ());
    history.write(1, 2);
    history.write(0, 1);
    let [ann, ben, cat] = [0, 1, 2].map(|writer| history.id(writer));
    let (client, _) = history.writers[0];
    let notes = history.document;
    let relay = &mut history.relay;
    relay.drain(client);
    let batch = |clock: u64, expected: &[(u64, u64)]| {
        let request::Body::Operations(batch) = log_batch(notes, clock, ["x"]) else {
            unreachable!("that is what it makes");
        };
        request::Body::Operations(wire::Operations {
            expected_server_vector: expected.iter().copied().collect(),
            ..batch
        })
    };
    for (clock, expected) in [
        (1, &[(ben, 1)][..]),
        (2, &[(ben, 1), (ann, 1)]),
        // What it says of itself does not matter, nor what is not there yet.
        (3, &[(ben, 1), (ann, 0)]),
        (4, &[(ben, 7), (cat, 3)]),
        (5, &[]),
    ] {
        relay.send(client, batch(clock, expected));
        assert_eq!(expect!(relay, client, Ack).clock, clock, "{expected:?}");
    }
    for expected in [&[(ben, 0)][..], &[(ann, 5)], &[(cat, 1)]] {
        relay.send(client, batch(6, expected));
        let nack = expect!(relay, client, Nack);
        assert_eq!(
            (nack.code(), nack.next_clock),
            (ErrorCode::SyncConflict, 6),
            "{expected:?}"
        );
        assert!(nack.retryable);
        // One that was applied is acknowledged again, whatever it expects.
        relay.send(client, batch(3, expected));
        assert!(expect!(relay, client, Ack).duplicate);
    }
    // What is on its way to the disk counts.
    relay.hold_store();
    let (other, _) = history.writers[2];
    relay.send(other, log_batch(notes, 0, ["y"]));
    relay.send(client, batch(6, &[(ben, 1)]));
    assert_eq!(expect!(relay, client, Nack).code(), ErrorCode::SyncConflict);
}

#[test]
fn a_batch_may_say_at_which_revision_it_expects_the_document() {
    let mut history = History::new(2, "log", |_| ());
    history.write(1, 2);
    let [(client, _), (other, _)] = [history.writers[0], history.writers[1]];
    let notes = history.document;
    let relay = &mut history.relay;
    relay.drain(client);
    let batch = |clock: u64, expected: u64| {
        let request::Body::Operations(batch) = log_batch(notes, clock, ["x"]) else {
            unreachable!("that is what it makes");
        };
        request::Body::Operations(wire::Operations {
            expected_revision: Some(expected),
            ..batch
        })
    };
    relay.send(client, batch(0, 2));
    assert_eq!(expect!(relay, client, Ack).first_revision, 3);
    for expected in [0, 2, 4, u64::MAX] {
        relay.send(client, batch(1, expected));
        let nack = expect!(relay, client, Nack);
        let found = (nack.code(), nack.next_clock, nack.revision);
        assert_eq!(found, (ErrorCode::SyncConflict, 1, 3), "{expected}");
        assert!(nack.retryable);
        // One that was applied is acknowledged again, whatever it expects.
        relay.send(client, batch(0, expected));
        assert!(expect!(relay, client, Ack).duplicate);
    }
    // What is on its way to the disk counts.
    relay.hold_store();
    relay.send(other, log_batch(notes, 2, ["y"]));
    relay.send(client, batch(1, 3));
    assert_eq!(expect!(relay, client, Nack).code(), ErrorCode::SyncConflict);
}

#[test]
fn who_begins_at_the_newest_revision_is_sent_nothing_of_before() {
    for kind in ["log", "text"] {
        let mut history = History::new(1, kind, |_| ());
        history.write(0, 5);
        let reader = history.relay.greeted("reader");
        for (subscribe, have) in [(false, None), (false, position(2)), (true, position(99))] {
            let open = open_with("notes", |open| {
                open.from_newest = true;
                open.subscribe = Some(subscribe);
                open.have = have;
            });
            let relay = &mut history.relay;
            relay.send(reader, open);
            let opened = expect!(relay, reader, Opened);
            assert_eq!(opened.position, position(5));
            assert_eq!(
                (opened.sync(), opened.from_revision),
                (wire::SyncMode::UpToDate, 5)
            );
            assert_eq!(opened.content_bytes > 0, kind == "text");
            if !subscribe {
                let page = expect!(relay, reader, SyncResponse);
                assert!(!page.has_more && page.operations.is_empty() && page.snapshot.is_none());
            }
            relay.assert_quiet(reader);
        }
        history.write(0, 1);
        let remote = expect!(history.relay, reader, RemoteOps);
        assert_eq!(remote.revision, 6);
    }
}

#[test]
fn nobody_is_told_of_what_is_not_durable() {
    for way in WAYS {
        let mut history = History::new(2, "log", |_| ());
        history.write(0, 2);
        history.write(1, 1);
        let durable = history.vector_at(3);
        let reader = history.relay.greeted("reader");
        history.relay.hold_store();
        history.write(0, 1);
        history.write(1, 2);
        let vector = Vector::from([(history.id(0), 0)]);
        let document = history.document;
        let relay = &mut history.relay;
        if way == Way::Again {
            relay.send(reader, open_from("notes", 1, 3));
            assert_eq!(expect!(relay, reader, Opened).position, position(3));
        }
        relay.send(
            reader,
            match way {
                Way::Open => open_with("notes", |open| {
                    open.state_vector = vector;
                    open.bidirectional = true;
                }),
                Way::ById => sync_with(|sync| {
                    sync.document_id = "notes".to_owned();
                    sync.state_vector = vector;
                    sync.bidirectional = true;
                }),
                Way::Again => sync_with(|sync| {
                    sync.document = document;
                    sync.state_vector = vector;
                    sync.bidirectional = true;
                }),
            },
        );
        if way == Way::Open {
            assert_eq!(expect!(relay, reader, Opened).position, position(3));
        }
        // The reads that were asked for come before the appends.
        let is_read =
            |(_, request): &(usize, StoreRequest)| matches!(request, StoreRequest::Read { .. });
        while let Some(index) = relay.held.iter().position(is_read) {
            let read = relay.held.remove(index).expect("just seen");
            relay.held.push_front(read);
            relay.serve_one();
        }
        let mut last = None;
        for event in relay.drain(reader) {
            match event {
                event::Body::SyncResponse(page) if !page.has_more => last = Some(page),
                event::Body::SyncResponse(page) => {
                    assert!(
                        page.operations.iter().all(|remote| remote.revision <= 3),
                        "{page:?}"
                    );
                }
                event::Body::RemoteOps(remote) => assert!(remote.revision <= 3),
                event::Body::SyncRequest(asked) => assert_eq!(asked.state_vector, durable),
                event::Body::Resync(resync) => assert!(resync.from.expect("a place").revision <= 3),
                other => panic!("{other:?}"),
            }
        }
        let last = last.expect("it has all that is durable");
        assert_eq!((last.server_vector, last.position), (durable, position(3)));
        relay.release_store();
        let (sent, _) = received(relay, reader);
        assert_eq!(sent.len(), 3);
    }
}

#[test]
fn an_acknowledgement_says_nothing_of_later_batches_that_are_not_durable() {
    let mut history = History::new(1, "log", |_| ());
    history.write(0, 2);
    let (ann, _) = history.writers[0];
    history.relay.drain(ann);
    history.relay.hold_store();
    history.write(0, 3);
    let notes = history.document;
    // The first again, while the second is on its way.
    history.relay.send(ann, log_batch(notes, 0, ["0", "1"]));
    let ack = expect!(history.relay, ann, Ack);
    assert_eq!((ack.duplicate, ack.clock), (true, 1));
}

#[test]
fn who_is_overtaken_while_it_catches_up_is_still_told_what_it_asked_for() {
    let mut history = History::new(1, "log", |settings| {
        settings.fanout.ring_slots = 20;
        settings.fanout.lag_operations_max = 10;
        settings.fanout.flush_bytes_max = 1024;
    });
    for _ in 0..10 {
        history.write(0, 1);
    }
    let vector = history.vector_at(1);
    let reader = history.relay.greeted("reader");
    history.relay.limit(reader, 1);
    let (document, state_vector) = (history.document, vector.clone());
    history.relay.ask(
        reader,
        "sync",
        sync_with(|sync| {
            sync.document_id = "notes".to_owned();
            sync.state_vector = state_vector;
            sync.bidirectional = true;
        }),
    );
    // Its socket is full while it is being sent what is in the ring, for longer than that stays there.
    for _ in 0..30 {
        history.write(0, 1);
    }
    history.relay.limit(reader, usize::MAX);
    let mut sent = Vec::new();
    let mut is_last = false;
    let mut is_asked = false;
    let mut is_lapped = false;
    while let Some(event) = history.relay.next_event(reader) {
        match event.body.expect("an event") {
            event::Body::SyncResponse(page) => {
                assert!(!is_last);
                assert_eq!(event.reply_to, "sync");
                page.operations
                    .iter()
                    .for_each(|remote| note(remote, &mut sent));
                if !page.has_more {
                    is_last = true;
                    assert_eq!(page.server_vector, history.vector_at(40));
                }
            }
            event::Body::RemoteOps(remote) => note(&remote, &mut sent),
            event::Body::Resync(resync) => {
                assert_eq!(resync.reason(), ResyncReason::Lapped);
                is_lapped = true;
            }
            event::Body::SyncRequest(asked) => {
                is_asked = true;
                assert_eq!(asked.document, document);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(is_last && is_asked && is_lapped);
    assert_eq!(sent, history.after(&vector));
}

#[test]
fn a_vector_is_held_while_it_is_reckoned_with_and_refused_where_there_is_no_memory() {
    let mut history = History::new(2, "log", |_| ());
    history.write(0, 3);
    history.write(1, 1);
    history.evict();
    let vector = Vector::from([(history.id(1), 0)]);
    let relay = &mut history.relay;
    let with_vector = || {
        let vector = vector.clone();
        open_with("notes", |open| open.state_vector = vector)
    };
    let ben = relay.greeted("ben");
    relay.hold_store();
    let before = relay.shards[0].metrics().output_bytes;
    relay.send(ben, with_vector());
    expect!(relay, ben, Opened);
    let held = relay.shards[0].metrics().output_bytes - before;
    assert!(held > 0, "it waits for a page");
    relay.vanish(ben);
    assert_eq!(relay.shards[0].metrics().output_bytes, before);
    relay.release_store();

    relay.restart(|settings| settings.memory.output_bytes_max = 1);
    let ben = relay.greeted("ben");
    relay.send(ben, with_vector());
    let error = expect!(relay, ben, Error);
    assert_eq!(
        (error.code(), error.retryable),
        (ErrorCode::ServiceUnavailable, true)
    );
    assert!(error.message.contains("memory"), "{}", error.message);
    relay.open(ben, "notes", "log");
}

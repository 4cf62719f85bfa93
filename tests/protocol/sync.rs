//! Being brought up to date: from a revision or from a state vector, each operation once and none missing.

use bytes::Bytes;
use corelay::codec::wire::{self, ErrorCode, ResyncReason, SyncMode, event, request};
use corelay::text::Operation;
use proptest::prelude::*;

use crate::expect;
use crate::fixture::Relay;
use crate::history::{
    History, Vector, WAYS, Way, ask, newest_token, open_with, position, received, sync_with,
};
use crate::join::{pages, text_of};
use crate::requests::{log_batch, open_from, text_batch};

#[test]
fn what_a_client_has_is_a_revision_or_a_state_vector() {
    for way in WAYS {
        for evicted in [false, true] {
            // Ann 0 1 2, Ben 0 1, Ann 3, Cat 0.
            let mut history = History::new(3, "log", |_| ());
            for (writer, count) in [(0, 3), (1, 2), (0, 1), (2, 1)] {
                history.write(writer, count);
            }
            if evicted {
                history.evict();
            }
            let [ann, ben, cat] = [0, 1, 2].map(|writer| history.id(writer));
            let stranger = 77;
            let vectors: [&[(u64, u64)]; 13] = [
                &[(ann, 2)],
                &[(ann, 2), (ben, 1)],
                &[(ann, 2), (ben, 0)],
                &[(ann, 3), (ben, 1), (cat, 0)],
                &[(ann, 0)],
                &[(ann, 1), (ben, 0), (cat, 0)],
                &[(ben, 1)],
                &[(ann, 3)],
                &[(cat, 0)],
                &[(stranger, 5)],
                &[(ann, 3), (ben, 1), (cat, 0), (stranger, 5)],
                &[(ann, 50), (ben, 1)],
                &[
                    (ann, u64::MAX),
                    (ben, u64::MAX),
                    (cat, u64::MAX),
                    (stranger, u64::MAX),
                ],
            ];
            for (number, entries) in vectors.into_iter().enumerate() {
                let vector: Vector = entries.iter().copied().collect();
                let reader = history.relay.greeted(&format!("reader{number}"));
                ask(&mut history, reader, way, &vector, &Bytes::new());
                let (sent, last) = received(&mut history.relay, reader);
                assert_eq!(sent, history.after(&vector), "{way:?} {entries:?}");
                let Some(last) = last else {
                    assert!(sent.is_empty() && way == Way::Open, "{way:?} {entries:?}");
                    continue;
                };
                assert_eq!(last.server_vector, history.vector_at(7), "{entries:?}");
                assert_eq!(last.position, position(7));
                history.relay.vanish(reader);
            }
        }
    }
}

#[test]
fn the_answer_to_a_document_by_its_id_is_pages_alone_and_who_is_there() {
    let mut history = History::new(2, "log", |_| ());
    history.write(0, 2);
    let document = history.document;
    let (first, _) = history.writers[0];
    let relay = &mut history.relay;
    let presence = wire::Presence {
        document,
        is_typing: true,
        ..wire::Presence::default()
    };
    relay.send(first, request::Body::Presence(presence));
    let reader = relay.greeted("reader");
    relay.send(
        reader,
        sync_with(|sync| sync.document_id = "notes".to_owned()),
    );
    let (operations, _) = pages(relay, reader);
    assert_eq!(operations.len(), 1);
    let update = expect!(relay, reader, PresenceUpdate);
    assert!(update.full && update.presences.len() == 1 && update.presences[0].is_typing);
    relay.assert_quiet(reader);
    // It is open now: this is answered with Resync.
    relay.send(reader, sync_with(|sync| sync.document = document));
    assert_eq!(
        expect!(relay, reader, Resync).reason(),
        ResyncReason::Requested
    );
    pages(relay, reader);
    relay.assert_quiet(reader);
    relay.send(reader, log_batch(document, 0, ["x"]));
    assert_eq!(expect!(relay, reader, Ack).first_revision, 3);
    // Not open, and no id; not there, and not to be made.
    for (id, code) in [
        ("", ErrorCode::DocumentIdInvalid),
        ("unknown", ErrorCode::DocumentNotFound),
    ] {
        relay.send(reader, sync_with(|sync| sync.document_id = id.to_owned()));
        assert_eq!(expect!(relay, reader, Error).code(), code);
    }
    relay.send(reader, sync_with(|sync| sync.document = document + 1));
    assert_eq!(
        expect!(relay, reader, Error).code(),
        ErrorCode::DocumentNotOpen
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_a_client_has_and_what_it_is_sent_is_the_history_and_nothing_twice(
        batches in prop::collection::vec((0..4_usize, 1..6_u64), 1..40),
        more in prop::collection::vec((0..4_usize, 1..4_u64), 0..12),
        clocks in prop::collection::vec(prop::option::weighted(0.8, 0..60_u64), 4),
        prefix in prop::option::of(0..100_usize),
        // A document waits when as much is on its way to the disk as the ring has room for.
        ring_slots in 12..50_usize,
        way in prop::sample::select(&WAYS),
        is_evicted: bool,
        resumes: bool,
    ) {
        let mut history = History::new(4, "log", |settings| {
            settings.fanout.ring_slots = ring_slots;
            settings.memory.catch_up_page_bytes = 2000;
        });
        for (writer, count) in batches {
            history.write(writer, count);
        }
        if is_evicted {
            history.evict();
        }
        let head = history.operations.len();
        let mut vector: Vector = match prefix {
            Some(revision) => history.vector_at(revision.min(head)),
            None => (0..4).filter_map(|writer| Some((history.id(writer), clocks[writer]?))).collect(),
        };
        vector.insert(5, 5);
        let had: Vector = vector
            .iter()
            .filter_map(|(id, clock)| Some((*id, (*clock).min(history.next_clock(*id).checked_sub(1)?))))
            .collect();

        if resumes {
            // What it alone has may become known before it asks again, and is then what it has.
            vector = had.clone();
            vector.insert(5, 5);
        }
        let mut reader = history.relay.greeted("reader");
        history.relay.hold_store();
        ask(&mut history, reader, way, &vector, &Bytes::new());
        let mut sent = Vec::new();
        let mut last = None;
        let mut more = more.into_iter();
        loop {
            let is_served = history.relay.serve_one();
            if resumes && let Some(token) = newest_token(&mut history.relay, reader, &mut sent) {
                // The connection breaks, and another goes on after the page that has come.
                history.relay.vanish(reader);
                reader = history.relay.greeted("reader");
                ask(&mut history, reader, Way::Open, &vector, &token);
            }
            if let Some((writer, count)) = more.next() {
                history.write(writer, count);
            } else if !is_served {
                break;
            }
        }
        let (rest, page) = received(&mut history.relay, reader);
        sent.extend(rest);
        last = page.or(last);
        prop_assert!(sent.is_sorted_by(|left, right| left.0 < right.0), "{sent:?}");
        prop_assert_eq!(sent, history.after(&had));
        if let Some(last) = last {
            let revision = last.position.expect("the last page has it").revision;
            prop_assert_eq!(last.server_vector, history.vector_at(usize::try_from(revision).expect("small")));
        }
    }
}

#[test]
fn where_a_client_wrote_is_forgotten_after_a_while_and_it_is_sent_what_it_lacks_all_the_same() {
    for evicted in [false, true] {
        let mut history = History::new(2, "log", |_| ());
        for _ in 0..20 {
            history.write(0, 1);
            history.write(1, 1);
        }
        if evicted {
            history.evict();
        }
        for revision in [1, 2, 9, 24, 25, 39, 40] {
            let vector = history.vector_at(revision);
            let reader = history.relay.greeted("reader");
            ask(&mut history, reader, Way::ById, &vector, &Bytes::new());
            let (sent, last) = received(&mut history.relay, reader);
            assert_eq!(sent, history.after(&vector), "{revision}");
            assert_eq!(
                last.expect("the last page").server_vector,
                history.vector_at(40)
            );
            history.relay.vanish(reader);
        }
    }
}

#[test]
fn a_text_is_sent_whole_to_who_has_it_with_holes() {
    for way in WAYS {
        let mut history = History::new(2, "text", |_| ());
        for (writer, count) in [(0, 3), (1, 2), (0, 1)] {
            history.write(writer, count);
        }
        history.evict();
        let [ann, ben] = [0, 1].map(|writer| history.id(writer));
        for (vector, revisions) in [
            (Vector::from([(ann, 2)]), Some(4..7)),
            (Vector::from([(ann, 2), (ben, 0)]), Some(5..7)),
            (Vector::from([(ann, 0), (9, 9)]), Some(2..7)),
            (Vector::from([(ben, 1)]), None),
            (Vector::from([(ann, 3), (ben, 0)]), None),
            (Vector::from([(9, 9)]), None),
        ] {
            let reader = history.relay.greeted("reader");
            ask(&mut history, reader, way, &vector, &Bytes::new());
            let relay = &mut history.relay;
            match way {
                Way::Open => drop(expect!(relay, reader, Opened)),
                Way::ById => {}
                Way::Again => drop(expect!(relay, reader, Resync)),
            }
            let (operations, snapshot) = pages(relay, reader);
            if let Some(revisions) = revisions {
                assert_eq!(snapshot, None, "{vector:?}");
                let sent = operations.iter().flat_map(|remote| {
                    remote.revision..remote.revision + remote.operations.len() as u64
                });
                assert!(sent.eq(revisions), "{vector:?}");
            } else {
                assert_eq!(text_of(snapshot), "tttttt", "{vector:?}");
                assert!(operations.is_empty());
            }
            relay.vanish(reader);
        }
        // Who takes no snapshots gets all operations.
        let reader = history.relay.greeted("reader");
        let vector = Vector::from([(ben, 1)]);
        history.relay.send(
            reader,
            open_with("notes", |open| {
                open.state_vector = vector;
                open.snapshots = Some(false);
            }),
        );
        let opened = expect!(history.relay, reader, Opened);
        assert_eq!((opened.sync(), opened.from_revision), (SyncMode::Delta, 0));
        let (operations, snapshot) = pages(&mut history.relay, reader);
        assert_eq!((operations.len(), snapshot), (3, None));
    }
}

#[test]
fn whichever_is_smaller_is_sent() {
    // 3000 operations that are gone again, 100 bytes each, against a short text.
    let mut relay = Relay::with(1, |settings| settings.fanout.ring_slots = 8);
    let (ann, notes) = relay.joined("ann", "notes", "text");
    let long = "x".repeat(100);
    for clock in 0..3000 {
        let edit = match clock % 2 {
            0 => Operation::splice(0, 0, &long),
            _ => Operation::splice(0, 100, ""),
        };
        relay.send(ann, text_batch(notes, clock, clock, &[edit]));
    }
    for (revision, sync) in [
        (0, SyncMode::Snapshot),
        (1, SyncMode::Snapshot),
        (2900, SyncMode::Delta),
        (3000, SyncMode::UpToDate),
    ] {
        let reader = relay.greeted("reader");
        relay.send(reader, open_from("notes", 1, revision));
        let opened = expect!(relay, reader, Opened);
        assert_eq!(opened.sync(), sync, "{revision}");
        relay.vanish(reader);
    }
    // A long text, and a few operations that are less.
    let (ben, long) = relay.joined("ben", "long", "text");
    let book = "page ".repeat(40_000);
    relay.send(
        ben,
        text_batch(long, 0, 0, &[Operation::splice(0, 0, &book)]),
    );
    for clock in 1..1000 {
        relay.send(
            ben,
            text_batch(long, clock, clock, &[Operation::splice(0, 1, "P")]),
        );
    }
    for (revision, sync) in [
        (0, SyncMode::Snapshot),
        (1, SyncMode::Delta),
        (999, SyncMode::Delta),
    ] {
        let reader = relay.greeted("reader");
        relay.send(reader, open_from("long", 1, revision));
        assert_eq!(expect!(relay, reader, Opened).sync(), sync, "{revision}");
        relay.vanish(reader);
    }
}

#[test]
fn a_client_whose_history_is_void_is_told_before_anything_else() {
    for kind in ["log", "text"] {
        let mut history = History::new(1, kind, |_| ());
        history.write(0, 2);
        let ann = history.operations[0].0;
        let (epoch_of, vector) = (
            |epoch, revision| Some(wire::Position { epoch, revision }),
            [(ann, 1)],
        );
        for (have, vector, is_void) in [
            (epoch_of(9, 2), vec![], true),
            (epoch_of(1, 2000), vec![], true),
            (epoch_of(9, 0), vector.to_vec(), true),
            (epoch_of(1, 2), vec![], false),
            (epoch_of(1, 0), vector.to_vec(), false),
            (epoch_of(9, 0), vec![], false),
            (None, vector.to_vec(), false),
            (None, vec![], false),
        ] {
            let client = history.relay.greeted("reader");
            let request = sync_with(|sync| {
                sync.document_id = "notes".to_owned();
                sync.have = have;
                sync.state_vector = vector.iter().copied().collect();
            });
            history.relay.send(client, request);
            let events = history.relay.drain(client);
            let resyncs = events.iter().filter_map(|body| match body {
                event::Body::Resync(resync) => Some(resync.reason()),
                _other => None,
            });
            let expected = is_void.then_some(ResyncReason::Void);
            assert_eq!(
                resyncs.collect::<Vec<_>>(),
                Vec::from_iter(expected),
                "{have:?}"
            );
            if is_void {
                assert!(matches!(events[0], event::Body::Resync(_)), "{events:#?}");
            }
        }
    }
}

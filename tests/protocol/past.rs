//! What has happened in a document: who wrote what and when, in pages in either direction.

use std::time::Duration;

use corelay::codec::wire::{self, ErrorCode, event, request};
use corelay::engine::shard::Transport;
use corelay::store::StoreRequest;
use serde_json::json;

use crate::expect;
use crate::fixture::{Client, Relay, STARTED_AT_MS};
use crate::requests::{log_batch, open, text_batch};
use crate::tokens;

const SECOND: Duration = Duration::from_secs(1);

fn history(change: impl FnOnce(&mut wire::History)) -> request::Body {
    let mut history = wire::History {
        request_id: 4,
        document_id: "notes".to_owned(),
        ..Default::default()
    };
    change(&mut history);
    request::Body::History(history)
}

/// Asks for a page, and shows it as revision × count of each entry.
fn told(relay: &mut Relay, client: Client, change: impl FnOnce(&mut wire::History)) -> String {
    relay.send(client, history(change));
    let page = expect!(relay, client, HistoryPage);
    let entries = page.entries.iter();
    let entries = entries.map(|entry| format!("{}×{} ", entry.revision, entry.count));
    let entries: String = entries.collect();
    format!("{entries}then {}", page.next_revision)
}

/// A second apart, ann writes one operation, ben two, ann one, ben two: revisions 1, 2 and 3, 4, 5 and 6.
fn written(relay: &mut Relay) -> [Client; 2] {
    let writers = ["ann", "ben"].map(|name| relay.joined(name, "notes", "log"));
    for (round, texts) in [&["a"][..], &["b", "cc"], &["d"], &["e", "f"]]
        .iter()
        .enumerate()
    {
        let (client, notes) = writers[round % 2];
        let clock = (round / 2 * texts.len()) as u64;
        relay.pass(SECOND);
        relay.send(client, log_batch(notes, clock, texts.iter().copied()));
    }
    for (client, _) in writers {
        relay.drain(client);
    }
    writers.map(|(client, _)| client)
}

#[test]
fn a_page_says_who_wrote_what_and_when() {
    for shards in [1, 2, 3] {
        for is_in_memory in [true, false] {
            let mut relay = Relay::with(shards, |_| ());
            written(&mut relay);
            if !is_in_memory {
                relay.restart(|_| ());
            }
            // It has not opened the document.
            let reader = relay.greeted("reader");
            for with_operations in [false, true] {
                relay.send(reader, history(|it| it.with_operations = with_operations));
                let page = expect!(relay, reader, HistoryPage);
                assert_eq!(
                    (page.request_id, &*page.document_id, &*page.kind),
                    (4, "notes", "log")
                );
                let position = page.position.expect("it is always told");
                assert_eq!((position.epoch, position.revision), (1, 6));
                assert_eq!((page.first_revision, page.oldest_revision), (1, 1));
                assert_eq!(page.next_revision, 0);
                let entries = page.entries.iter().map(|entry| {
                    let seconds = (entry.time_ms - STARTED_AT_MS) / 1000;
                    (
                        entry.revision,
                        entry.count,
                        &*entry.author,
                        seconds,
                        entry.bytes,
                    )
                });
                let expected = [
                    (1, 1, "ann", 1, 1),
                    (2, 2, "ben", 2, 3),
                    (4, 1, "ann", 3, 1),
                    (5, 2, "ben", 4, 2),
                ];
                assert_eq!(entries.collect::<Vec<_>>(), expected);
                let operations = page.entries.iter().flat_map(|entry| &entry.operations);
                let operations: Vec<_> = operations.map(|it| it.to_vec()).collect();
                let expected: &[&[u8]] = match with_operations {
                    true => &[b"a", b"b", b"cc", b"d", b"e", b"f"],
                    false => &[],
                };
                assert_eq!(operations, expected);
                let [ann, ben] = [0, 1].map(|index| page.entries[index].origin);
                assert!(
                    ann != ben && page.entries[2].origin == ann && page.entries[3].origin == ben
                );
            }
        }
    }
}

#[test]
fn pages_lead_through_the_history_in_both_directions() {
    let mut relay = Relay::new();
    let [ann, _] = written(&mut relay);
    let at = |second: u64| STARTED_AT_MS + second * 1000;
    // (newest first, from revision, from time, limit)
    let table = [
        (false, 0, 0, 0, "1×1 2×2 4×1 5×2 then 0"),
        (true, 0, 0, 0, "5×2 4×1 2×2 1×1 then 0"),
        (false, 0, 0, 2, "1×1 2×2 then 4"),
        (false, 4, 0, 2, "4×1 5×2 then 0"),
        (true, 0, 0, 2, "5×2 4×1 then 3"),
        (true, 3, 0, 2, "2×2 1×1 then 0"),
        // In the middle of an entry, and past the end.
        (false, 3, 0, 1, "2×2 then 4"),
        (true, 5, 0, 1, "5×2 then 4"),
        (false, 7, 0, 0, "then 0"),
        (true, 99, 0, 1, "5×2 then 4"),
        (false, u64::MAX, 0, u32::MAX, "then 0"),
        // At a time, and between two.
        (false, 0, at(2), 0, "2×2 4×1 5×2 then 0"),
        (true, 0, at(2), 0, "2×2 1×1 then 0"),
        (false, 0, at(2) + 1, 1, "4×1 then 5"),
        (true, 0, at(3) - 1, 1, "2×2 then 1"),
        (true, 0, at(1) - 1, 0, "then 0"),
        (false, 0, at(4) + 1, 0, "then 0"),
        (true, 0, u64::MAX, 1, "5×2 then 4"),
        // A time takes the place of a revision.
        (true, 1, at(4), 1, "5×2 then 4"),
    ];
    for (newest_first, from_revision, from_time_ms, limit, expected) in table {
        let page = told(&mut relay, ann, |it| {
            it.newest_first = newest_first;
            it.from_revision = from_revision;
            it.from_time_ms = from_time_ms;
            it.limit = limit;
        });
        assert_eq!(
            page, expected,
            "{newest_first} {from_revision} {from_time_ms} {limit}"
        );
    }
}

#[test]
fn a_page_has_so_many_bytes_and_one_more_entry() {
    let mut relay = Relay::with(1, |settings| settings.memory.catch_up_page_bytes = 4096);
    let (ann, notes) = relay.joined("ann", "notes", "log");
    for clock in 0..20 {
        relay.send(ann, log_batch(notes, clock, [vec![b'x'; 1000]]));
        expect!(relay, ann, Ack);
    }
    for newest_first in [false, true] {
        let mut revisions = Vec::new();
        let mut next = 0;
        loop {
            relay.send(
                ann,
                history(|it| {
                    it.newest_first = newest_first;
                    it.from_revision = next;
                }),
            );
            let page = expect!(relay, ann, HistoryPage);
            assert!((1..=4).contains(&page.entries.len()));
            revisions.extend(page.entries.iter().map(|entry| entry.revision));
            next = page.next_revision;
            if next == 0 {
                break;
            }
        }
        if newest_first {
            revisions.reverse();
        }
        assert_eq!(revisions, Vec::from_iter(1..=20));
    }
}

#[test]
fn only_what_is_durable_is_told() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "log");
    relay.send(ann, log_batch(notes, 0, ["one"]));
    expect!(relay, ann, Ack);
    relay.hold_store();
    relay.send(ann, log_batch(notes, 1, ["two"]));
    relay.send(ann, history(|_| ()));
    // The store has written it, and its confirmation is still to come.
    let Some((0, append)) = relay.held.pop_front() else {
        panic!("an append is asked for");
    };
    relay.store.handle(append, STARTED_AT_MS);
    relay.release_store();
    let page = expect!(relay, ann, HistoryPage);
    assert_eq!(page.position.expect("it is told").revision, 1);
    assert_eq!((page.entries.len(), page.next_revision), (1, 0));
}

#[test]
fn a_document_that_came_into_memory_meanwhile_is_asked_about_again() {
    let mut relay = Relay::new();
    let [..] = written(&mut relay);
    relay.restart(|_| ());
    let reader = relay.greeted("reader");
    relay.hold_store();
    relay.send(reader, history(|it| it.newest_first = true));
    let asked = relay.held.pop_front().expect("the store is asked");
    relay.release_store();
    let (ann, notes) = relay.joined("ann", "notes", "log");
    relay.drain(ann);
    relay.hold_store();
    relay.send(ann, log_batch(notes, 2, ["not durable"]));
    let (_, append) = relay.held.pop_front().expect("the store is asked");
    relay.store.handle(append, STARTED_AT_MS);
    // Only now it reads what it was asked for first.
    relay.held.push_back(asked);
    relay.release_store();
    let page = expect!(relay, reader, HistoryPage);
    assert_eq!(page.position.expect("it is told").revision, 6);
    assert_eq!(page.entries[0].revision, 5);
    let questions = relay
        .served
        .iter()
        .filter(|it| matches!(it, StoreRequest::History { .. }));
    assert_eq!(questions.count(), 2);
}

#[test]
fn times_never_decrease_though_the_clock_is_set_back() {
    let mut relay = Relay::new();
    let mut times = Vec::new();
    for (restart, started_at_ms) in [
        (0, STARTED_AT_MS),
        (1, STARTED_AT_MS - 1_000_000),
        (2, STARTED_AT_MS + 7),
    ] {
        relay.restart(|settings| settings.started_at_ms = started_at_ms);
        let (ann, notes) = relay.joined("ann", "notes", "text");
        relay.drain(ann);
        relay.send(
            ann,
            text_batch(
                notes,
                restart,
                restart,
                &[corelay::text::Operation::splice(0, 0, "x")],
            ),
        );
        expect!(relay, ann, Ack);
        // Snapshots keep it, too.
        relay.vanish(ann);
        relay.pass(SECOND * 301);
        let reader = relay.greeted("reader");
        relay.send(reader, history(|it| it.newest_first = true));
        times.push(expect!(relay, reader, HistoryPage).entries[0].time_ms);
    }
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(times[0], times[1]);
}

#[test]
fn a_compacted_log_says_what_is_left() {
    let mut relay = Relay::new();
    let [ann, _] = written(&mut relay);
    let notes = relay.open(ann, "notes", "log").document;
    relay.drain(ann);
    relay.send(
        ann,
        request::Body::SnapshotOffer(wire::SnapshotOffer {
            document: notes,
            revision: 3,
            bytes_total: 0,
            ..Default::default()
        }),
    );
    expect!(relay, ann, SnapshotAccepted);
    for (newest_first, from_revision, expected) in [
        (false, 0, "4×1 5×2 then 0"),
        (false, 2, "4×1 5×2 then 0"),
        (true, 0, "5×2 4×1 then 0"),
        (true, 3, "then 0"),
    ] {
        let page = told(&mut relay, ann, |it| {
            it.newest_first = newest_first;
            it.from_revision = from_revision;
        });
        assert_eq!(page, expected);
    }
    relay.send(ann, history(|_| ()));
    let page = expect!(relay, ann, HistoryPage);
    assert_eq!((page.first_revision, page.oldest_revision), (1, 4));
}

#[test]
fn of_a_document_that_was_made_again_only_the_new_life_is_told() {
    let mut relay = Relay::new();
    let [ann, _] = written(&mut relay);
    let delete = |undo| {
        request::Body::Delete(wire::Delete {
            request_id: 9,
            document_id: "notes".to_owned(),
            undo,
            expected_revision: None,
        })
    };
    relay.send(ann, delete(false));
    relay.drain(ann);
    relay.send(ann, history(|_| ()));
    assert_eq!(
        expect!(relay, ann, Error).code(),
        ErrorCode::DocumentDeleted
    );
    relay.send(ann, delete(true));
    expect!(relay, ann, Deleted);
    assert_eq!(told(&mut relay, ann, |it| it.limit = 1), "1×1 then 2");
    relay.send(ann, delete(false));
    expect!(relay, ann, Deleted);
    relay.pass(SECOND * 8 * 24 * 3600);
    let ann = relay.greeted("ann");
    relay.send(ann, history(|_| ()));
    assert_eq!(
        expect!(relay, ann, Error).code(),
        ErrorCode::DocumentNotFound
    );

    let notes = relay.open(ann, "notes", "log").document;
    relay.drain(ann);
    relay.send(ann, history(|_| ()));
    // It exists from its first operation on.
    assert_eq!(
        expect!(relay, ann, Error).code(),
        ErrorCode::DocumentNotFound
    );
    relay.send(ann, log_batch(notes, 0, ["a new life"]));
    expect!(relay, ann, Ack);
    relay.send(ann, history(|it| it.from_revision = 1));
    let page = expect!(relay, ann, HistoryPage);
    assert_eq!((page.first_revision, page.oldest_revision), (7, 7));
    assert_eq!(page.entries.len(), 1);
}

#[test]
fn who_may_not_read_is_told_nothing() {
    for shards in [1, 2, 3] {
        let mut relay = tokens::relay(shards);
        let writer = tokens::admitted(&mut relay, "writer", &json!({}));
        relay.send(writer, open("notes", "log", true));
        let notes = expect!(relay, writer, Opened).document;
        relay.send(writer, log_batch(notes, 0, ["secret"]));
        expect!(relay, writer, Ack);
        for claims in [
            json!({"permissions": ["write", "create", "delete"]}),
            json!({"documents": ["other"]}),
        ] {
            let client = tokens::admitted(&mut relay, "client", &claims);
            relay.send(client, history(|_| ()));
            let error = expect!(relay, client, Error);
            assert_eq!((error.code(), error.request_id), (ErrorCode::Forbidden, 4));
        }
        let client = tokens::admitted(&mut relay, "reader", &json!({"permissions": ["read"]}));
        relay.send(client, history(|_| ()));
        assert_eq!(expect!(relay, client, HistoryPage).entries[0].author, "ada");
        // Another tenant's document of that name is another.
        let client = tokens::admitted(&mut relay, "stranger", &json!({"tenant": "acme"}));
        relay.send(client, history(|_| ()));
        assert_eq!(
            expect!(relay, client, Error).code(),
            ErrorCode::DocumentNotFound
        );

        // What was granted when it asked may be over when the store answers.
        let client = tokens::admitted(&mut relay, "late", &json!({}));
        relay.hold_store();
        relay.send(client, history(|_| ()));
        let narrow = tokens::token(&json!({"documents": ["other"]}));
        relay.send(client, tokens::hello_with("late", narrow));
        expect!(relay, client, Connected);
        relay.release_store();
        assert_eq!(expect!(relay, client, Error).code(), ErrorCode::Forbidden);
        relay.hold_store();
        let client = tokens::admitted(&mut relay, "expired", &json!({}));
        relay.send(client, history(|_| ()));
        relay.oversleep(SECOND * 20);
        relay.release_store();
        relay.assert_quiet(client);
    }
}

#[test]
fn what_cannot_be_answered_is_refused() {
    let mut relay = Relay::new();
    let [ann, _] = written(&mut relay);
    for (document_id, code) in [
        ("", ErrorCode::DocumentIdInvalid),
        ("no\u{7}", ErrorCode::DocumentIdInvalid),
        ("unknown", ErrorCode::DocumentNotFound),
    ] {
        relay.send(ann, history(|it| it.document_id = document_id.to_owned()));
        let error = expect!(relay, ann, Error);
        assert_eq!(
            (error.code(), error.request_id),
            (code, 4),
            "{document_id:?}"
        );
    }
    relay.hold_store();
    for _ in 0..5 {
        relay.send(ann, history(|_| ()));
    }
    assert_eq!(
        expect!(relay, ann, Error).code(),
        ErrorCode::ServiceUnavailable
    );
    relay.assert_quiet(ann);
    relay.release_store();
    for _ in 0..4 {
        expect!(relay, ann, HistoryPage);
    }
    assert_eq!(told(&mut relay, ann, |it| it.limit = 1), "1×1 then 2");
}

#[test]
fn only_so_many_pages_are_read_at_a_time_and_all_have_their_turn() {
    let mut relay = Relay::with(1, |settings| settings.memory.catch_up_reads_max = 2);
    written(&mut relay);
    relay.hold_store();
    let clients = ["cleo", "dan", "eve", "fay"].map(|name| relay.greeted(name));
    for client in clients {
        relay.send(client, history(|_| ()));
    }
    assert_eq!(relay.held.len(), 2);
    // One whose read is under way goes, and one that waits.
    relay.vanish(clients[0]);
    relay.vanish(clients[2]);
    relay.release_store();
    for client in [clients[1], clients[3]] {
        assert_eq!(expect!(relay, client, HistoryPage).entries.len(), 4);
    }
}

#[test]
fn in_json_operations_are_what_their_kind_makes_of_them() {
    let mut relay = Relay::with(2, |_| ());
    let page = relay.greeted_in_json("ann", 0, Some("page"));
    relay.drain_texts(page);
    for message in [
        json!({"type": "open", "payload": {"kind": "text", "create": true}}),
        json!({"type": "operations", "payload": {"clientSeq": 1, "firstClock": 0, "operations": [[{"insert": "hi"}]]}}),
    ] {
        relay.say(page, &message);
    }
    relay.drain_texts(page);
    // The URL names the document.
    relay.say(page, &json!({"type": "history", "id": "h", "payload": {
        "requestId": 3, "newestFirst": true, "fromTime": STARTED_AT_MS, "limit": 5, "withOperations": true,
    }}));
    let told = relay.text(page, "history_page", "h");
    let origin = told["entries"][0]["origin"].clone();
    assert_eq!(
        told,
        json!({
            "requestId": 3,
            "documentId": "page",
            "kind": "text",
            "entries": [{
                "revision": 1, "count": 1, "origin": origin, "author": "ann", "time": STARTED_AT_MS,
                "bytes": 6, "operations": [[{"insert": "hi"}]],
            }],
            "nextRevision": 0,
            "position": {"epoch": 1, "revision": 1},
            "firstRevision": 1,
            "oldestRevision": 1,
        })
    );
}

#[test]
fn a_relay_that_stops_or_a_store_that_fails_says_so() {
    let mut relay = Relay::new();
    let [ann, ben] = written(&mut relay);
    relay.hold_store();
    relay.send(ann, history(|_| ()));
    let Some((0, StoreRequest::History { ticket, .. })) = relay.held.pop_front() else {
        panic!("the store is asked");
    };
    let result = Err(corelay::store::ReadError::passing("a bad sector").into());
    relay.reply(0, corelay::store::StoreReply::History { ticket, result });
    let error = expect!(relay, ann, Error);
    assert_eq!(
        (error.code(), error.retryable),
        (ErrorCode::ServiceUnavailable, true)
    );
    relay.shards[0].stop();
    relay.send(ben, history(|_| ()));
    let told: Vec<_> = relay.drain(ben);
    let is_refused = |body: &event::Body| matches!(body, event::Body::Error(error) if error.code() == ErrorCode::ServiceUnavailable);
    assert!(told.iter().any(is_refused), "{told:?}");
}

#[test]
fn it_is_among_the_features() {
    let mut relay = Relay::new();
    let client = relay.connect(Transport::Tcp);
    relay.send(client, crate::requests::hello("ann"));
    let connected = expect!(relay, client, Connected);
    assert!(
        connected
            .features
            .iter()
            .any(|feature| feature == "history")
    );
}

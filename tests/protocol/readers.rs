//! Who only reads: seen by nobody, for one time.

use corelay::codec::wire::{self, ErrorCode, event, request};
use serde_json::json;

use crate::expect;
use crate::history::{History, Way, open_with, sync_with};
use crate::requests::{close, log_batch, open_from};
use crate::tokens;

#[test]
fn who_only_reads_is_seen_by_nobody_and_leaves_after_the_last_page() {
    for way in [Way::Open, Way::ById] {
        let mut history = History::new(2, "log", |settings| {
            settings.memory.catch_up_page_bytes = 2000
        });
        for _ in 0..20 {
            history.write(0, 1);
        }
        history.evict();
        let (ann, _) = history.writers[0];
        let notes = history.document;
        let relay = &mut history.relay;
        relay.drain(ann);
        // On another connection of the same client, whose own one is not replaced.
        for name in ["reader", "writer0"] {
            let reader = relay.greeted(name);
            relay.hold_store();
            relay.send(
                reader,
                match way {
                    Way::Open => open_with("notes", |open| open.subscribe = Some(false)),
                    _by_id => sync_with(|sync| {
                        sync.document_id = "notes".to_owned();
                        sync.subscribe = Some(false);
                    }),
                },
            );
            if way == Way::Open {
                let opened = expect!(relay, reader, Opened);
                assert_eq!((opened.document, &*opened.color), (notes, ""));
            }
            relay.serve_one();
            // Before the last page it has the document open, but only to read.
            relay.send(reader, log_batch(notes, 20, ["x"]));
            let refusals = |events: Vec<event::Body>| -> Vec<ErrorCode> {
                events
                    .into_iter()
                    .filter_map(|event| match event {
                        event::Body::Nack(nack) => Some(nack.code()),
                        event::Body::Error(error) => Some(error.code()),
                        event::Body::SyncResponse(_) => None,
                        other => panic!("{other:?}"),
                    })
                    .collect()
            };
            assert_eq!(refusals(relay.drain(reader)), [ErrorCode::Forbidden]);
            let presence = wire::Presence {
                document: notes,
                is_typing: true,
                ..wire::Presence::default()
            };
            relay.send(reader, request::Body::Presence(presence));
            assert_eq!(refusals(relay.drain(reader)), [ErrorCode::Forbidden]);
            relay.release_store();
            let mut is_last = false;
            for event in relay.drain(reader) {
                let event::Body::SyncResponse(page) = event else {
                    panic!("{event:?}");
                };
                is_last = !page.has_more;
            }
            assert!(is_last);
            relay.send(reader, log_batch(notes, 20, ["x"]));
            assert_eq!(
                expect!(relay, reader, Nack).code(),
                ErrorCode::DocumentNotOpen
            );
            relay.send(reader, close(notes));
            assert_eq!(
                expect!(relay, reader, Error).code(),
                ErrorCode::DocumentNotOpen
            );
            relay.vanish(reader);
            relay.assert_quiet(ann);
        }
        history.write(0, 1);
        assert_eq!(expect!(history.relay, ann, Ack).first_revision, 21);
    }
}

#[test]
fn who_has_read_may_stay_after_all() {
    let mut history = History::new(2, "log", |settings| {
        settings.memory.catch_up_page_bytes = 2000
    });
    for _ in 0..20 {
        history.write(0, 1);
    }
    history.evict();
    let notes = history.document;
    let relay = &mut history.relay;
    let older = relay.greeted("reader");
    relay.send(older, open_from("notes", 1, 20));
    expect!(relay, older, Opened);
    let reader = relay.greeted("reader");
    relay.hold_store();
    relay.send(
        reader,
        open_with("notes", |open| open.subscribe = Some(false)),
    );
    relay.assert_quiet(older);
    // While it reads it opens the document as usual, and takes the place of its older connection.
    relay.send(reader, open_from("notes", 1, 20));
    relay.release_store();
    relay.drain(reader);
    assert_eq!(expect!(relay, older, Close).code(), ErrorCode::Replaced);
    relay.send(reader, log_batch(notes, 0, ["x"]));
    assert_eq!(expect!(relay, reader, Ack).first_revision, 21);
    let newest = relay.greeted("reader");
    relay.send(newest, open_from("notes", 1, 21));
    assert_eq!(expect!(relay, reader, Close).code(), ErrorCode::Replaced);
}

#[test]
fn a_fresh_token_does_not_let_a_reader_write() {
    let mut relay = tokens::relay(1);
    let writer = tokens::admitted(&mut relay, "writer", &json!({}));
    let notes = relay.open(writer, "notes", "log").document;
    relay.send(writer, log_batch(notes, 0, ["x"]));
    relay.restart(|_| ());
    let reader = tokens::admitted(&mut relay, "reader", &json!({}));
    relay.hold_store();
    relay.send(
        reader,
        open_with("notes", |open| open.subscribe = Some(false)),
    );
    relay.serve_one();
    expect!(relay, reader, Opened);
    relay.send(
        reader,
        tokens::hello_with("reader", tokens::token(&json!({}))),
    );
    expect!(relay, reader, Connected);
    relay.send(reader, log_batch(notes, 0, ["x"]));
    assert_eq!(expect!(relay, reader, Nack).code(), ErrorCode::Forbidden);
}

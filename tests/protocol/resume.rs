//! Going on after a page, on any connection, and what is no longer there.

use bytes::Bytes;
use corelay::codec::wire::{ErrorCode, SyncMode};
use corelay::config::Config;
use corelay::store::{Backend, DocumentRef, Loaded, StoreReply, StoreRequest};
use corelay::text::Operation;
use serde_json::json;

use crate::expect;
use crate::fixture::{Client, Relay};
use crate::history::{
    History, Sent, Vector, WAYS, Way, ask, newest_token, open_with, position, received, sync_with,
};
use crate::join::pages;
use crate::requests::{log_batch, open, text_batch};
use crate::tokens;

/// Histories in pages, of a log and of a text, and the token of the first page that a reader with this vector gets.
fn first_token(history: &mut History, vector: &Vector) -> (Vec<Sent>, Bytes) {
    let reader = history.relay.greeted("reader");
    history.relay.hold_store();
    ask(history, reader, Way::Open, vector, &Bytes::new());
    while history.relay.serve_one() {
        let mut sent = Vec::new();
        if let Some(token) = newest_token(&mut history.relay, reader, &mut sent) {
            history.relay.vanish(reader);
            history.relay.release_store();
            return (sent, token);
        }
    }
    panic!("there is no page");
}

#[test]
fn a_resume_token_goes_on_after_its_page_on_any_connection_and_after_a_restart() {
    for restarts in [false, true] {
        for way in WAYS {
            for has_holes in [false, true] {
                let mut history = History::new(2, "log", |settings| {
                    settings.memory.catch_up_page_bytes = 2000;
                    settings.fanout.ring_slots = 2;
                });
                for _ in 0..15 {
                    history.write(0, 2);
                    history.write(1, 1);
                }
                let vector = match has_holes {
                    true => Vector::from([(history.id(0), 4), (history.id(1), 12)]),
                    false => Vector::new(),
                };
                let (mut sent, token) = first_token(&mut history, &vector);
                assert!(!sent.is_empty() && sent.len() < 20, "{}", sent.len());
                if restarts {
                    history.evict();
                }
                // Somebody else has it now.
                let other = history.relay.greeted("other");
                ask(&mut history, other, way, &vector, &token);
                let (rest, last) = received(&mut history.relay, other);
                sent.extend(rest);
                assert_eq!(sent, history.after(&vector), "{way:?}");
                let server_vector = last.expect("the last page").server_vector;
                assert_eq!(server_vector.is_empty(), !has_holes);
            }
        }
    }
}

#[test]
fn a_snapshot_can_be_resumed_inside_as_long_as_it_is_the_same() {
    for restarts in [false, true] {
        let mut relay = Relay::with(1, |settings| settings.fanout.flush_bytes_max = 1024);
        let (ann, notes) = relay.joined("ann", "notes", "text");
        let text = "aé€👋".repeat(500);
        relay.send(
            ann,
            text_batch(notes, 0, 0, &[Operation::splice(0, 0, &text)]),
        );
        let ben = relay.greeted("ben");
        relay.send(ben, open("notes", "text", false));
        expect!(relay, ben, Opened);
        let mut tokens = Vec::new();
        let mut data = Vec::new();
        loop {
            let page = expect!(relay, ben, SyncResponse);
            let Some(chunk) = page.snapshot else {
                break;
            };
            data.extend_from_slice(&chunk.data);
            tokens.push((data.len(), page.resume_token));
        }
        assert!(tokens.len() > 3);
        if restarts {
            relay.restart(|_| ());
        }
        for (offset, token) in &tokens {
            let cat = relay.greeted("cat");
            let resume = open_with("notes", |open| open.resume_token = token.clone());
            relay.send(cat, resume);
            let opened = expect!(relay, cat, Opened);
            let is_over = *offset == text.len();
            let sync = if is_over {
                SyncMode::Delta
            } else {
                SyncMode::Snapshot
            };
            assert_eq!((opened.sync(), opened.from_revision), (sync, 1));
            let mut at = *offset;
            loop {
                let page = expect!(relay, cat, SyncResponse);
                let Some(chunk) = page.snapshot else {
                    assert_eq!(page.position, position(1));
                    break;
                };
                assert_eq!(chunk.offset, at as u64);
                assert!(text.as_bytes()[at..].starts_with(&chunk.data));
                at += chunk.data.len();
            }
            assert_eq!(at, text.len());
            relay.assert_quiet(cat);
        }
        // The text goes on, and what the token leads to is not kept; what comes after it is.
        let (ann, _) = relay.joined("ann", "notes", "");
        relay.drain(ann);
        let notes = notes_of(&mut relay, ann);
        relay.send(
            ann,
            text_batch(notes, 1, 1, &[Operation::splice(0, 0, "x")]),
        );
        let cat = relay.greeted("cat");
        for (offset, token) in tokens {
            relay.send(cat, open_with("notes", |open| open.resume_token = token));
            if offset == text.len() {
                assert_eq!(expect!(relay, cat, Opened).from_revision, 1);
                assert_eq!(pages(&mut relay, cat).0[0].revision, 2);
            } else {
                assert_eq!(
                    expect!(relay, cat, Error).code(),
                    ErrorCode::SnapshotRequired
                );
            }
        }
    }
}

/// The handle of "notes" for a client that has it open.
fn notes_of(relay: &mut Relay, client: Client) -> u64 {
    relay.drain(client);
    relay.send(client, open("notes", "", false));
    let opened = expect!(relay, client, Opened).document;
    relay.drain(client);
    opened
}

#[test]
fn a_token_that_is_not_of_this_document_and_epoch_is_refused() {
    let mut relay = tokens::relay(1);
    for settings in ["acme", "beta"] {
        let writer = tokens::admitted(&mut relay, "writer", &json!({"tenant": settings}));
        for document in ["notes", "other"] {
            let handle = relay.open(writer, document, "log").document;
            for clock in 0..3 {
                relay.send(writer, log_batch(handle, clock, ["x"]));
                expect!(relay, writer, Ack);
            }
        }
    }
    relay.restart(|_| ());
    let reader = tokens::admitted(&mut relay, "reader", &json!({"tenant": "acme"}));
    relay.send(reader, open("notes", "", false));
    expect!(relay, reader, Opened);
    let token = expect!(relay, reader, SyncResponse).resume_token;
    assert!(!token.is_empty());
    relay.drain(reader);

    let refused = |relay: &mut Relay, reader: Client, document: &str, token: Bytes, what: &str| {
        relay.send(
            reader,
            open_with(document, |open| {
                open.request_id = 9;
                open.resume_token = token.clone();
            }),
        );
        let error = expect!(relay, reader, Error);
        assert_eq!(
            (error.code(), error.request_id),
            (ErrorCode::ResumeTokenInvalid, 9),
            "{what}"
        );
        assert!(!error.retryable);
        relay.send(
            reader,
            sync_with(|sync| {
                sync.document_id = document.to_owned();
                sync.resume_token = token;
            }),
        );
        assert_eq!(
            expect!(relay, reader, Error).code(),
            ErrorCode::ResumeTokenInvalid
        );
        relay.assert_quiet(reader);
    };
    for index in 0..token.len() {
        let mut changed = token.to_vec();
        changed[index] ^= 0x40;
        refused(&mut relay, reader, "notes", changed.into(), "tampered");
    }
    refused(&mut relay, reader, "notes", token.slice(1..), "shortened");
    refused(
        &mut relay,
        reader,
        "other",
        token.clone(),
        "of another document",
    );
    let beta = tokens::admitted(&mut relay, "reader", &json!({"tenant": "beta"}));
    refused(
        &mut relay,
        beta,
        "notes",
        token.clone(),
        "of another tenant",
    );
    // On an open document, which stays as it is.
    let notes = notes_of(&mut relay, reader);
    relay.send(
        reader,
        sync_with(|sync| {
            sync.document = notes;
            sync.resume_token = Bytes::from_static(b"token");
        }),
    );
    let error = expect!(relay, reader, Error);
    assert_eq!(
        (error.code(), error.document),
        (ErrorCode::ResumeTokenInvalid, notes)
    );
    relay.send(reader, log_batch(notes, 0, ["still there"]));
    assert_eq!(expect!(relay, reader, Ack).first_revision, 4);
    // It is good where it was made.
    relay.send(
        reader,
        open_with("notes", |open| open.resume_token = token.clone()),
    );
    expect!(relay, reader, Opened);
    relay.restart(|settings| settings.epoch = 2);
    let reader = tokens::admitted(&mut relay, "reader", &json!({"tenant": "acme"}));
    refused(&mut relay, reader, "notes", token, "of another epoch");
}

/// Lets the store forget the history of "notes" up to a revision, and starts the relay anew.
pub fn compact(relay: &mut Relay, revision: u64) {
    let document = || DocumentRef {
        name: "notes".into(),
        token: 0,
    };
    let loaded = relay.store.handle(
        StoreRequest::Load {
            document: document(),
        },
        0,
    );
    let StoreReply::Loaded {
        result: Ok(Loaded::Live(loaded)),
        ..
    } = loaded
    else {
        panic!("{loaded:?}");
    };
    let (at, snapshot) = loaded.snapshot.expect("the relay has stored one");
    assert!(at >= revision);
    relay.store.handle(
        StoreRequest::PutSnapshot {
            document: document(),
            revision: at,
            snapshot,
            compact_to_revision: Some(revision),
        },
        0,
    );
    relay.store.sync().expect("memory does not fail");
    relay.restart(|_| ());
}

#[test]
fn where_history_is_gone_a_snapshot_is_required() {
    let mut history = History::new(2, "text", |settings| {
        settings.document.snapshot_operations = 20
    });
    for _ in 0..10 {
        history.write(0, 1);
        history.write(1, 1);
    }
    let History {
        mut relay, writers, ..
    } = history;
    for (writer, _) in writers {
        relay.vanish(writer);
    }
    relay.pass(Config::default().document.idle_timeout);
    relay.restart(|_| ());
    let reader = relay.greeted("reader");
    relay.send(
        reader,
        open_with("notes", |open| {
            open.have = position(3);
            open.snapshots = Some(false);
        }),
    );
    expect!(relay, reader, Opened);
    let token = expect!(relay, reader, SyncResponse).resume_token;
    compact(&mut relay, 10);
    for (revision, snapshots, expected) in [
        (3, false, None),
        (9, false, None),
        (10, false, Some(SyncMode::Delta)),
        (3, true, Some(SyncMode::Snapshot)),
        (0, true, Some(SyncMode::Snapshot)),
        (10, true, Some(SyncMode::Delta)),
        (20, false, Some(SyncMode::UpToDate)),
    ] {
        let reader = relay.greeted("reader");
        relay.send(
            reader,
            open_with("notes", |open| {
                open.have = position(revision);
                open.snapshots = Some(snapshots);
            }),
        );
        match expected {
            None => {
                let error = expect!(relay, reader, Error);
                assert_eq!(
                    (error.code(), error.retryable),
                    (ErrorCode::SnapshotRequired, false)
                );
            }
            Some(sync) => assert_eq!(
                expect!(relay, reader, Opened).sync(),
                sync,
                "{revision} {snapshots}"
            ),
        }
        relay.vanish(reader);
    }
    // What the token leads to is there.
    let reader = relay.greeted("reader");
    relay.send(reader, open_with("notes", |open| open.resume_token = token));
    assert_eq!(expect!(relay, reader, Opened).from_revision, 20);
    assert!(pages(&mut relay, reader).0.is_empty());
}

//! Documents are deleted, brought back, let go for good and made again.

use std::time::Duration;

use corelay::codec::wire::{self, ErrorCode, SyncMode, event, request};
use corelay::store::{Page, StoreReply, StoreRequest};
use serde_json::json;

use crate::directory::list;
use crate::expect;
use crate::fixture::{Client, Relay};
use crate::history::open_with;
use crate::requests::{log_batch, open, text_batch};
use crate::tokens;

const GRACE: Duration = Duration::from_secs(7 * 24 * 3600);

pub fn delete(document_id: &str, undo: bool) -> request::Body {
    request::Body::Delete(wire::Delete {
        request_id: 9,
        document_id: document_id.to_owned(),
        undo,
        expected_revision: None,
    })
}

/// A client that has written one operation to a new document.
pub fn written(relay: &mut Relay, name: &str, document: &str) -> (Client, u64) {
    let (client, handle) = relay.joined(name, document, "log");
    relay.send(client, log_batch(handle, 0, ["one"]));
    expect!(relay, client, Ack);
    (client, handle)
}

#[test]
fn only_what_the_client_has_seen_is_deleted_if_it_says_so() {
    for shards in [1, 2, 3] {
        let mut relay = Relay::with(shards, |_| ());
        let (ann, notes) = written(&mut relay, "ann", "notes");
        let cleo = relay.greeted("cleo");
        let expecting = |revision| {
            request::Body::Delete(wire::Delete {
                document_id: "notes".to_owned(),
                expected_revision: Some(revision),
                ..wire::Delete::default()
            })
        };
        relay.send(ann, log_batch(notes, 1, ["two"]));
        expect!(relay, ann, Ack);
        for revision in [0, 1, 3] {
            relay.send(cleo, expecting(revision));
            let error = expect!(relay, cleo, Error);
            assert_eq!(error.code(), ErrorCode::SyncConflict, "{revision}");
        }
        relay.send(ann, log_batch(notes, 2, ["three"]));
        expect!(relay, ann, Ack);
        relay.send(cleo, expecting(3));
        assert!(!expect!(relay, cleo, Deleted).undone);
        let close = expect!(relay, ann, Close);
        assert_eq!(close.code(), ErrorCode::DocumentDeleted);
    }
}

#[test]
fn a_deleted_document_is_closed_for_all_and_can_be_brought_back() {
    for shards in [1, 2, 3] {
        let mut relay = Relay::with(shards, |_| ());
        let (ann, notes) = written(&mut relay, "ann", "notes");
        let (ben, _) = relay.joined("ben", "notes", "log");
        relay.drain(ben);
        let cleo = relay.greeted("cleo");

        relay.send(cleo, delete("notes", false));
        let deleted = expect!(relay, cleo, Deleted);
        assert_eq!(
            (deleted.request_id, &*deleted.document_id, deleted.undone),
            (9, "notes", false)
        );
        for client in [ann, ben] {
            let close = expect!(relay, client, Close);
            assert_eq!(close.code(), ErrorCode::DocumentDeleted);
            assert_eq!((close.document, close.retryable), (notes, false));
        }
        relay.send(ann, log_batch(notes, 1, ["two"]));
        assert_eq!(expect!(relay, ann, Nack).code(), ErrorCode::DocumentNotOpen);
        for create in [false, true] {
            relay.send(ben, open("notes", "log", create));
            let error = expect!(relay, ben, Error);
            assert_eq!(error.code(), ErrorCode::DocumentDeleted);
        }
        relay.send(cleo, delete("notes", false));
        assert_eq!(
            expect!(relay, cleo, Error).code(),
            ErrorCode::DocumentDeleted
        );

        relay.send(cleo, delete("notes", true));
        assert!(expect!(relay, cleo, Deleted).undone);
        let opened = relay.open(ben, "notes", "log");
        assert_eq!(opened.position.expect("set").revision, 1);
        relay.drain(ben);
        relay.open(ann, "notes", "log");
        relay.drain(ann);
        relay.send(ann, log_batch(opened.document, 1, ["two"]));
        assert_eq!(expect!(relay, ann, Ack).first_revision, 2);
    }
}

#[test]
fn a_document_that_is_gone_begins_a_new_life_after_its_last_revision() {
    for kind in ["log", "text"] {
        let mut relay = Relay::new();
        let (ann, notes) = relay.joined("ann", "notes", kind);
        let batch = |handle, clock, base| match kind {
            "log" => log_batch(handle, clock, ["old"]),
            _ => text_batch(
                handle,
                clock,
                base,
                &[corelay::text::Operation::splice(0, 0, "old")],
            ),
        };
        relay.send(ann, batch(notes, 0, 0));
        expect!(relay, ann, Ack);
        relay.send(ann, delete("notes", false));
        expect!(relay, ann, Close);
        expect!(relay, ann, Deleted);
        relay.pass(GRACE - Duration::from_secs(61));
        let ben = relay.greeted("ben");
        relay.send(ben, open("notes", kind, true));
        assert_eq!(
            expect!(relay, ben, Error).code(),
            ErrorCode::DocumentDeleted
        );
        relay.pass(Duration::from_secs(180));
        let ben = relay.greeted("ben");
        relay.send(ben, delete("notes", true));
        assert_eq!(
            expect!(relay, ben, Error).code(),
            ErrorCode::DocumentNotFound
        );
        relay.send(ben, open("notes", kind, false));
        assert_eq!(
            expect!(relay, ben, Error).code(),
            ErrorCode::DocumentNotFound
        );

        // Whoever has the old one learns that it is void, though its revision is the newest.
        let cleo = relay.greeted("cleo");
        relay.send(
            cleo,
            request::Body::Open(wire::Open {
                document: "notes".to_owned(),
                kind: kind.to_owned(),
                create: true,
                have: Some(wire::Position {
                    epoch: 1,
                    revision: 1,
                }),
                ..Default::default()
            }),
        );
        let opened = expect!(relay, cleo, Opened);
        assert_eq!(opened.sync(), SyncMode::Snapshot, "{kind}");
        assert_eq!(opened.from_revision, 1);
        let page = expect!(relay, cleo, SyncResponse);
        let chunk = page.snapshot.expect("a snapshot");
        assert_eq!((chunk.revision, chunk.bytes_total), (1, 0));
        assert!(!expect!(relay, cleo, SyncResponse).has_more);
        relay.send(cleo, batch(opened.document, 0, 1));
        assert_eq!(expect!(relay, cleo, Ack).first_revision, 2, "{kind}");

        // The same clocks were seen in the old life.
        let dan = relay.greeted("dan");
        for (revision, is_void) in [(None, true), (Some(1), true), (Some(2), false)] {
            relay.send(
                dan,
                request::Body::Open(wire::Open {
                    document: "notes".to_owned(),
                    have: revision.map(|revision| wire::Position { epoch: 1, revision }),
                    state_vector: [(7, 0)].into(),
                    ..Default::default()
                }),
            );
            let opened = expect!(relay, dan, Opened);
            if is_void {
                assert_eq!(opened.sync(), SyncMode::Snapshot, "{kind} {revision:?}");
            }
            relay.drain(dan);
        }

        relay.restart(|_| ());
        let ben = relay.greeted("ben");
        let opened = relay.open(ben, "notes", kind);
        assert_eq!(opened.position.expect("set").revision, 2);
    }
}

#[test]
fn nobody_goes_on_from_an_earlier_life_without_being_told() {
    for kind in ["log", "text"] {
        let mut relay = Relay::new();
        let batch = |handle, base, word: &str| match kind {
            "log" => log_batch(handle, 0, [word.to_owned()]),
            _text => {
                let insert = corelay::text::Operation::splice(0, 0, word);
                text_batch(handle, 0, base, &[insert])
            }
        };
        let operations_only = |open: &mut wire::Open| open.snapshots = Some(false);
        let (ann, notes) = relay.joined("ann", "notes", kind);
        relay.send(ann, batch(notes, 0, "old"));
        expect!(relay, ann, Ack);
        relay.restart(|_| ());
        let ben = relay.greeted("ben");
        relay.send(ben, open_with("notes", operations_only));
        expect!(relay, ben, Opened);
        let token = expect!(relay, ben, SyncResponse).resume_token;
        assert!(!token.is_empty());
        relay.drain(ben);
        relay.send(ben, delete("notes", false));
        relay.drain(ben);
        relay.pass(GRACE + Duration::from_secs(120));

        let (cleo, notes) = relay.joined("cleo", "notes", kind);
        relay.drain(cleo);
        relay.send(cleo, batch(notes, 1, "new"));
        assert_eq!(expect!(relay, cleo, Ack).first_revision, 2);
        // The old life ends where the new one begins.
        let dan = relay.greeted("dan");
        let have = wire::Position {
            epoch: 1,
            revision: 1,
        };
        for vector in [vec![], vec![(7, 0)]] {
            let request = open_with("notes", |open| {
                open.have = Some(have);
                open.state_vector = vector.into_iter().collect();
                operations_only(open);
            });
            relay.send(dan, request);
            let refused = expect!(relay, dan, Error).code();
            assert_eq!(refused, ErrorCode::SnapshotRequired, "{kind}");
        }
        relay.send(dan, open_with("notes", |open| open.resume_token = token));
        let refused = expect!(relay, dan, Error).code();
        assert_eq!(refused, ErrorCode::ResumeTokenInvalid, "{kind}");
        // Who says that it has nothing gets all there is.
        relay.send(dan, open_with("notes", operations_only));
        let opened = expect!(relay, dan, Opened);
        assert_eq!((opened.sync(), opened.from_revision), (SyncMode::Delta, 1));
        assert_eq!(expect!(relay, dan, RemoteOps).revision, 2, "{kind}");
    }
}

#[test]
fn who_takes_a_deletion_back_too_early_may_try_again() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "log");
    relay.send(ann, log_batch(notes, 0, ["kept"]));
    expect!(relay, ann, Ack);
    relay.hold_store();
    relay.send(ann, delete("notes", false));
    relay.send(ann, delete("notes", true));
    let error = expect!(relay, ann, Error);
    assert_eq!(error.code(), ErrorCode::ServiceUnavailable);
    assert!(error.retryable);
    relay.release_store();
    expect!(relay, ann, Close);
    assert!(!expect!(relay, ann, Deleted).undone);
    relay.send(ann, delete("notes", true));
    assert!(expect!(relay, ann, Deleted).undone);
}

#[test]
fn deletions_wait_for_a_document_that_nobody_gets_to_make() {
    let mut relay = Relay::new();
    let ann = relay.greeted("ann");
    relay.hold_store();
    relay.send(
        ann,
        open_with("notes", |open| {
            open.kind = "log".to_owned();
            open.create = true;
            open.resume_token = "none".into();
        }),
    );
    for _ in 0..3 {
        relay.send(ann, delete("notes", false));
    }
    relay.release_store();
    let mut expected = vec![ErrorCode::ResumeTokenInvalid];
    expected.extend([ErrorCode::DocumentNotFound; 3]);
    for code in expected {
        assert_eq!(expect!(relay, ann, Error).code(), code);
    }
}

#[test]
fn deleting_needs_its_permission_and_a_document() {
    let mut relay = tokens::relay(1);
    let writer = tokens::admitted(&mut relay, "writer", &json!({}));
    let opened = relay.open(writer, "notes", "log");
    relay.send(writer, log_batch(opened.document, 0, ["x"]));
    expect!(relay, writer, Ack);
    relay.send(writer, delete("notes", false));
    assert_eq!(expect!(relay, writer, Error).code(), ErrorCode::Forbidden);
    let may_delete = json!({"permissions": ["delete"], "documents": ["notes", "none"]});
    let deleter = tokens::admitted(&mut relay, "deleter", &may_delete);
    for (name, code) in [
        ("none", ErrorCode::DocumentNotFound),
        ("other", ErrorCode::Forbidden),
        ("", ErrorCode::DocumentIdInvalid),
    ] {
        relay.send(deleter, delete(name, false));
        let error = expect!(relay, deleter, Error);
        assert_eq!((error.code(), error.request_id), (code, 9), "{name}");
    }
    relay.send(deleter, delete("notes", false));
    expect!(relay, deleter, Deleted);
    expect!(relay, writer, Close);
}

#[test]
fn nothing_is_written_after_a_deletion_and_nobody_is_told_before_it_is_durable() {
    let mut relay = Relay::new();
    let (ann, notes) = written(&mut relay, "ann", "notes");
    let ben = relay.greeted("ben");
    relay.hold_store();
    relay.send(ann, log_batch(notes, 1, ["before"]));
    relay.send(ben, delete("notes", false));
    relay.send(ann, log_batch(notes, 2, ["after"]));
    let nack = expect!(relay, ann, Nack);
    assert_eq!(nack.code(), ErrorCode::DocumentDeleted);
    relay.assert_quiet(ann);
    relay.assert_quiet(ben);
    relay.release_store();
    assert_eq!(expect!(relay, ann, Ack).first_revision, 2);
    expect!(relay, ann, Close);
    expect!(relay, ben, Deleted);
}

#[test]
fn a_document_that_is_being_deleted_stays_in_memory_until_it_is() {
    let mut relay = Relay::with(1, |settings| {
        settings.document.idle_timeout = Duration::from_secs(1);
    });
    let (ann, notes) = written(&mut relay, "ann", "notes");
    relay.send(ann, crate::requests::close(notes));
    let watcher = relay.greeted("watcher");
    relay.send(watcher, list("", "", 0, true));
    expect!(relay, watcher, Directory);
    relay.hold_store();
    relay.send(ann, delete("notes", false));
    relay.pass(Duration::from_secs(2));
    relay.release_store();
    expect!(relay, ann, Deleted);
    assert_eq!(expect!(relay, watcher, DirectoryUpdate).deleted, ["notes"]);
}

#[test]
fn only_so_many_deletions_wait_for_a_document() {
    let mut relay = Relay::new();
    written(&mut relay, "ann", "notes");
    relay.restart(|_| ());
    let ben = relay.greeted("ben");
    relay.hold_store();
    for _ in 0..100 {
        relay.send(ben, delete("notes", false));
    }
    let refused = relay.drain(ben);
    assert_eq!(refused.len(), 84);
    for body in refused {
        let event::Body::Error(error) = body else {
            panic!("{body:?}");
        };
        assert_eq!(error.code(), ErrorCode::ServiceUnavailable);
        assert_eq!(error.request_id, 9);
    }
    relay.release_store();
    let answered = relay.drain(ben);
    assert_eq!(answered.len(), 16);
    let deleted = |body: &&event::Body| matches!(body, event::Body::Deleted(_));
    assert_eq!(answered.iter().filter(deleted).count(), 1);
}

#[test]
fn who_reads_what_is_being_deleted_is_told_that_it_is() {
    let mut relay = Relay::new();
    written(&mut relay, "ann", "notes");
    relay.restart(|_| ());
    let (ben, cleo) = (relay.greeted("ben"), relay.greeted("cleo"));
    let notes = relay.open(ben, "notes", "log").document;
    relay.drain(ben);
    relay.hold_store();
    relay.send(cleo, delete("notes", false));
    relay.send(
        ben,
        request::Body::SyncRequest(wire::SyncRequest {
            document: notes,
            ..wire::SyncRequest::default()
        }),
    );
    expect!(relay, ben, Resync);
    let Some((
        0,
        StoreRequest::Read {
            document, ticket, ..
        },
    )) = relay.held.pop_back()
    else {
        panic!("it reads from the start");
    };
    let token = document.token;
    let result = Ok(Page::Records(Vec::new()));
    relay.reply(
        0,
        StoreReply::Page {
            token,
            ticket,
            result,
        },
    );
    relay.assert_quiet(ben);
    relay.release_store();
    let close = expect!(relay, ben, Close);
    assert_eq!(
        (close.code(), close.document),
        (ErrorCode::DocumentDeleted, notes)
    );
    expect!(relay, cleo, Deleted);
}

#[test]
fn a_deletion_that_waits_for_its_document_needs_the_permission_when_it_is_done() {
    let claims = |permissions: &[&str]| json!({"permissions": permissions});
    for undo in [false, true] {
        let mut relay = tokens::relay(1);
        let all = claims(&["read", "write", "create", "delete"]);
        let writer = tokens::admitted(&mut relay, "writer", &all);
        let notes = relay.open(writer, "notes", "log").document;
        relay.send(writer, log_batch(notes, 0, ["x"]));
        expect!(relay, writer, Ack);
        if undo {
            relay.send(writer, delete("notes", false));
            expect!(relay, writer, Close);
            expect!(relay, writer, Deleted);
        }
        relay.restart(|_| ());
        let cleo = tokens::admitted(&mut relay, "cleo", &all);
        let gone = tokens::admitted(&mut relay, "gone", &all);
        relay.hold_store();
        relay.send(cleo, delete("notes", undo));
        relay.send(gone, delete("notes", undo));
        let less = tokens::token(&claims(&["read", "write"]));
        relay.send(cleo, tokens::hello_with("cleo", less));
        expect!(relay, cleo, Connected);
        relay.vanish(gone);
        relay.release_store();
        let error = expect!(relay, cleo, Error);
        assert_eq!((error.code(), error.request_id), (ErrorCode::Forbidden, 9));
        relay.send(cleo, open("notes", "log", false));
        match undo {
            false => drop(expect!(relay, cleo, Opened)),
            true => {
                let error = expect!(relay, cleo, Error);
                assert_eq!(error.code(), ErrorCode::DocumentDeleted);
            }
        }
    }
}

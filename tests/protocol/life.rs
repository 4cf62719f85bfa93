//! Documents are deleted, brought back, let go for good and made again; they are listed, and whoever watches is told.

use std::time::Duration;

use corelay::codec::wire::{self, ErrorCode, SyncMode, event, request};
use corelay::engine::shard::Transport;
use corelay::store::{Page, StoreReply, StoreRequest};
use serde_json::json;

use crate::expect;
use crate::fixture::{Client, Relay};
use crate::history::open_with;
use crate::requests::{log_batch, open, text_batch};
use crate::tokens;

const GRACE: Duration = Duration::from_secs(7 * 24 * 3600);

fn delete(document_id: &str, undo: bool) -> request::Body {
    request::Body::Delete(wire::Delete {
        request_id: 9,
        document_id: document_id.to_owned(),
        undo,
    })
}

fn list(prefix: &str, after: &str, limit: u32, watch: bool) -> request::Body {
    request::Body::List(wire::List {
        request_id: 5,
        prefix: prefix.to_owned(),
        after: after.to_owned(),
        limit,
        watch,
    })
}

fn ids(directory: &wire::Directory) -> Vec<&str> {
    let entries = directory.documents.iter();
    entries.map(|entry| &*entry.document_id).collect()
}

/// A client that has written one operation to a new document.
fn written(relay: &mut Relay, name: &str, document: &str) -> (Client, u64) {
    let (client, handle) = relay.joined(name, document, "log");
    relay.send(client, log_batch(handle, 0, ["one"]));
    expect!(relay, client, Ack);
    (client, handle)
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
fn documents_are_listed_by_prefix_and_permission_and_in_parts() {
    let mut relay = tokens::relay(2);
    let acme = json!({"tenant": "acme"});
    let writer = tokens::admitted(&mut relay, "writer", &acme);
    for name in ["a/1", "a/2", "a/3", "b/1", "secret"] {
        let opened = relay.open(writer, name, "log");
        relay.send(writer, log_batch(opened.document, 0, ["x"]));
        expect!(relay, writer, Ack);
    }
    // A visit makes no document.
    relay.open(writer, "a/0", "text");
    let other = tokens::admitted(&mut relay, "other", &json!({"tenant": "other"}));
    relay.send(other, list("", "", 0, false));
    assert!(expect!(relay, other, Directory).documents.is_empty());

    let reader = json!({"tenant": "acme", "documents": ["a/1", "a/3", "b/*"]});
    let reader = tokens::admitted(&mut relay, "reader", &reader);
    for (prefix, after, limit, expected, has_more) in [
        ("", "", 0, &["a/1", "a/3", "b/1"][..], false),
        ("a/", "", 0, &["a/1", "a/3"], false),
        ("a/", "a/1", 0, &["a/3"], false),
        ("", "a/1", 1, &["a/3"], true),
        ("", "b/1", 0, &[], false),
        ("sec", "", 0, &[], false),
    ] {
        relay.send(reader, list(prefix, after, limit, false));
        let directory = expect!(relay, reader, Directory);
        assert_eq!(ids(&directory), expected, "{prefix} {after}");
        assert_eq!((directory.request_id, directory.has_more), (5, has_more));
        assert!(directory.documents.iter().all(|entry| entry.kind == "log"));
    }
}

#[test]
fn whoever_watches_is_told_what_comes_and_goes() {
    for shards in [1, 2, 3] {
        let mut relay = Relay::with(shards, |_| ());
        let watcher = relay.greeted("watcher");
        relay.send(watcher, list("a", "", 0, true));
        expect!(relay, watcher, Directory);
        for name in ["a1", "b1", "a2"] {
            written(&mut relay, name, name);
        }
        let told = |relay: &mut Relay| -> (Vec<String>, Vec<String>) {
            let (mut created, mut deleted) = (Vec::new(), Vec::new());
            for body in relay.drain(watcher) {
                let event::Body::DirectoryUpdate(update) = body else {
                    panic!("{body:?}");
                };
                assert!(!update.is_incomplete);
                created.extend(update.created.into_iter().map(|entry| entry.document_id));
                deleted.extend(update.deleted);
            }
            (created, deleted)
        };
        assert_eq!(told(&mut relay), (vec!["a1".into(), "a2".into()], vec![]));
        let cleo = relay.greeted("cleo");
        relay.send(cleo, delete("a1", false));
        relay.send(cleo, delete("b1", false));
        assert_eq!(told(&mut relay), (vec![], vec!["a1".into()]));
        relay.send(cleo, delete("a1", true));
        assert_eq!(told(&mut relay), (vec!["a1".into()], vec![]));
        relay.send(watcher, list("a", "", 0, false));
        expect!(relay, watcher, Directory);
        relay.send(cleo, delete("a1", false));
        relay.assert_quiet(watcher);
    }
}

#[test]
fn who_watches_and_does_not_listen_is_told_to_list_again() {
    let mut relay = Relay::new();
    let watcher = relay.connect(Transport::Tcp);
    relay.send(watcher, crate::requests::hello("watcher"));
    expect!(relay, watcher, Connected);
    relay.send(watcher, list("", "", 0, true));
    expect!(relay, watcher, Directory);
    relay.limit(watcher, 0);
    let writer = relay.greeted("writer");
    for number in 0..300 {
        let opened = relay.open(writer, &format!("{number}"), "log");
        relay.send(writer, log_batch(opened.document, 0, ["x"]));
        expect!(relay, writer, Ack);
        relay.send(writer, crate::requests::close(opened.document));
    }
    relay.limit(watcher, usize::MAX);
    let mut updates = relay.drain(watcher).into_iter();
    let is_incomplete = updates.any(|body| match body {
        event::Body::DirectoryUpdate(update) => update.is_incomplete,
        other => panic!("{other:?}"),
    });
    assert!(is_incomplete);
}

#[test]
fn what_no_document_id_can_be_compared_with_is_not_looked_for() {
    let mut relay = Relay::new();
    let (ann, _) = written(&mut relay, "ann", "notes");
    let (longest, longer) = ("n".repeat(256), "n".repeat(70_000));
    for (prefix, after) in [(&*longer, ""), ("", &*longer)] {
        relay.send(ann, list(prefix, after, 0, true));
        let error = expect!(relay, ann, Error);
        assert_eq!(error.code(), ErrorCode::DocumentIdInvalid);
        assert_eq!(error.request_id, 5);
    }
    relay.send(ann, list(&longest, &longest, 0, false));
    assert!(expect!(relay, ann, Directory).documents.is_empty());
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
fn what_changes_while_a_watcher_lists_page_by_page_is_told_in_the_end() {
    let mut relay = Relay::new();
    for name in ["a1", "a2"] {
        written(&mut relay, name, name);
    }
    let watcher = relay.greeted("watcher");
    relay.send(watcher, list("a", "", 1, true));
    assert!(expect!(relay, watcher, Directory).has_more);
    relay.limit(watcher, 0);
    written(&mut relay, "first", "a3");
    // The first news is on its way; the others wait.
    written(&mut relay, "second", "a0");
    let cleo = relay.greeted("cleo");
    relay.send(cleo, delete("a1", false));
    relay.send(cleo, delete("a1", true));
    relay.send(watcher, list("a", "a1", 0, true));
    relay.limit(watcher, usize::MAX);
    let mut documents = vec!["a1".to_owned()];
    for body in relay.drain(watcher) {
        let (created, deleted) = match body {
            event::Body::Directory(list) => (list.documents, vec![]),
            event::Body::DirectoryUpdate(update) => {
                let mut created = update.created.iter();
                assert!(created.all(|entry| !update.deleted.contains(&entry.document_id)));
                (update.created, update.deleted)
            }
            other => panic!("{other:?}"),
        };
        documents.retain(|id| !deleted.contains(id));
        documents.extend(created.into_iter().map(|entry| entry.document_id));
    }
    documents.sort_unstable();
    documents.dedup();
    assert_eq!(documents, ["a0", "a1", "a2", "a3"]);
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
fn who_watches_learns_nothing_of_how_busy_other_tenants_are() {
    let mut relay = tokens::relay(1);
    let [acme, other] = ["acme", "other"].map(|tenant| json!({"tenant": tenant}));
    let watcher = tokens::admitted(&mut relay, "watcher", &acme);
    relay.send(watcher, list("", "", 0, true));
    expect!(relay, watcher, Directory);
    relay.limit(watcher, 0);
    let busy = tokens::admitted(&mut relay, "busy", &other);
    for number in 0..300 {
        let opened = relay.open(busy, &format!("{number}"), "log");
        relay.send(busy, log_batch(opened.document, 0, ["x"]));
        expect!(relay, busy, Ack);
        relay.send(busy, crate::requests::close(opened.document));
    }
    let writer = tokens::admitted(&mut relay, "writer", &acme);
    let notes = relay.open(writer, "notes", "log").document;
    relay.send(writer, log_batch(notes, 0, ["x"]));
    relay.limit(watcher, usize::MAX);
    let update = expect!(relay, watcher, DirectoryUpdate);
    assert_eq!(update.created.len(), 1);
    assert!(!update.is_incomplete);
    relay.assert_quiet(watcher);
}

#[test]
fn a_connection_waits_for_a_few_lists_and_others_get_theirs() {
    let mut relay = Relay::with(1, |settings| settings.memory.catch_up_reads_max = 1);
    let (ann, _) = written(&mut relay, "ann", "notes");
    let ben = relay.greeted("ben");
    relay.hold_store();
    for _ in 0..4 {
        relay.send(ann, list("", "", 0, false));
    }
    relay.assert_quiet(ann);
    relay.send(ann, list("", "", 0, false));
    let error = expect!(relay, ann, Error);
    assert_eq!(
        (error.code(), error.retryable, error.request_id),
        (ErrorCode::ServiceUnavailable, true, 5)
    );
    relay.send(ben, list("", "", 0, false));
    assert_eq!(relay.held.len(), 1, "one is read at a time");
    relay.vanish(ann);
    relay.serve_one();
    relay.assert_quiet(ben);
    relay.serve_one();
    assert_eq!(ids(&expect!(relay, ben, Directory)), ["notes"]);
    assert!(relay.held.is_empty());
    relay.release_store();
    relay.send(ben, list("", "", 0, false));
    expect!(relay, ben, Directory);
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

//! Documents are listed, and whoever watches is told of those that come and go.

use corelay::codec::wire::{self, ErrorCode, event, request};
use corelay::engine::shard::Transport;
use serde_json::json;

use crate::expect;
use crate::fixture::Relay;
use crate::life::{delete, written};
use crate::requests::log_batch;
use crate::tokens;

pub fn list(prefix: &str, after: &str, limit: u32, watch: bool) -> request::Body {
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

//! Versions: revisions that have names.

use corelay::codec::wire::{self, ErrorCode, event, request};
use corelay::engine::shard::Transport;
use serde_json::json;

use crate::expect;
use crate::fixture::{Client, Relay, STARTED_AT_MS};
use crate::requests::{hello, log_batch, open};
use crate::tokens;

fn save(name: &str, revision: u64) -> request::Body {
    request::Body::SaveVersion(wire::SaveVersion {
        request_id: 5,
        document_id: "notes".to_owned(),
        name: name.to_owned(),
        revision,
    })
}

fn list() -> request::Body {
    request::Body::ListVersions(wire::ListVersions {
        request_id: 6,
        document_id: "notes".to_owned(),
    })
}

fn delete(name: &str) -> request::Body {
    request::Body::DeleteVersion(wire::DeleteVersion {
        request_id: 7,
        document_id: "notes".to_owned(),
        name: name.to_owned(),
    })
}

/// Names and revisions, as they are listed.
fn listed(relay: &mut Relay, client: Client) -> Vec<(String, u64)> {
    relay.send(client, list());
    let versions = expect!(relay, client, Versions).versions;
    let versions = versions.into_iter();
    versions
        .map(|version| (version.name, version.revision))
        .collect()
}

/// A log of five operations, and a client that does not have it open.
fn written(shards: usize) -> (Relay, Client) {
    let mut relay = Relay::with(shards, |settings| settings.document.versions_max = 3);
    let (ann, notes) = relay.joined("ann", "notes", "log");
    relay.send(ann, log_batch(notes, 0, ["1", "2", "3", "4", "5"]));
    expect!(relay, ann, Ack);
    let ben = relay.greeted("ben");
    (relay, ben)
}

#[test]
fn a_version_is_saved_listed_and_deleted() {
    for shards in [1, 2, 3] {
        let (mut relay, ben) = written(shards);
        for (name, revision, named) in [("today", 0, 5), ("a draft", 2, 2)] {
            relay.send(ben, save(name, revision));
            let saved = expect!(relay, ben, VersionSaved);
            assert_eq!((saved.request_id, &*saved.document_id), (5, "notes"));
            let expected = wire::Version {
                name: name.to_owned(),
                revision: named,
                author: "ben".to_owned(),
                time_ms: STARTED_AT_MS,
            };
            assert_eq!(saved.version, Some(expected));
        }
        let expected = [("a draft".to_owned(), 2), ("today".to_owned(), 5)];
        assert_eq!(listed(&mut relay, ben), expected);
        relay.restart(|_| ());
        let ben = relay.greeted("ben");
        assert_eq!(listed(&mut relay, ben), expected);
        relay.send(ben, delete("a draft"));
        let deleted = expect!(relay, ben, VersionDeleted);
        assert_eq!((deleted.request_id, &*deleted.name), (7, "a draft"));
        assert_eq!(listed(&mut relay, ben), expected[1..]);
        // Its name is free again.
        relay.send(ben, save("a draft", 4));
        expect!(relay, ben, VersionSaved);
    }
}

#[test]
fn what_is_no_version_is_refused() {
    let (mut relay, ben) = written(1);
    let long = "ä".repeat(64);
    let too_long = format!("{long}x");
    for (name, revision) in [("one", 1), (&*long, 5)] {
        relay.send(ben, save(name, revision));
        expect!(relay, ben, VersionSaved);
    }
    for (request, request_id, code) in [
        (save("", 1), 5, ErrorCode::VersionNameInvalid),
        (save(&too_long, 1), 5, ErrorCode::VersionNameInvalid),
        (save("bell\u{7}", 1), 5, ErrorCode::VersionNameInvalid),
        (save("one", 2), 5, ErrorCode::VersionExists),
        (save("tomorrow", 6), 5, ErrorCode::RevisionUnknown),
        (delete("two"), 7, ErrorCode::VersionNotFound),
        (delete(""), 7, ErrorCode::VersionNameInvalid),
    ] {
        relay.send(ben, request);
        let error = expect!(relay, ben, Error);
        assert_eq!((error.code(), error.request_id), (code, request_id));
        assert!(!error.retryable);
    }
    relay.send(ben, save("three", 3));
    expect!(relay, ben, VersionSaved);
    relay.send(ben, save("four", 4));
    assert_eq!(
        expect!(relay, ben, Error).code(),
        ErrorCode::TooManyVersions
    );
    assert_eq!(listed(&mut relay, ben).len(), 3);
}

#[test]
fn a_version_is_confirmed_when_it_is_durable() {
    let (mut relay, ben) = written(1);
    relay.hold_store();
    relay.send(ben, save("soon", 0));
    relay.assert_quiet(ben);
    // What waits for an answer is bounded.
    for _ in 0..4 {
        relay.send(ben, list());
    }
    assert_eq!(
        expect!(relay, ben, Error).code(),
        ErrorCode::ServiceUnavailable
    );
    relay.assert_quiet(ben);
    relay.release_store();
    expect!(relay, ben, VersionSaved);
    assert_eq!(relay.drain(ben).len(), 3);
}

#[test]
fn versions_go_with_their_document() {
    let (mut relay, ben) = written(1);
    relay.send(ben, save("old", 3));
    expect!(relay, ben, VersionSaved);
    let delete = |undo| {
        request::Body::Delete(wire::Delete {
            request_id: 9,
            document_id: "notes".to_owned(),
            undo,
            expected_revision: None,
        })
    };
    relay.send(ben, delete(false));
    expect!(relay, ben, Deleted);
    for request in [list(), save("new", 0), self::delete("old")] {
        relay.send(ben, request);
        assert_eq!(
            expect!(relay, ben, Error).code(),
            ErrorCode::DocumentDeleted
        );
    }
    relay.send(ben, delete(true));
    expect!(relay, ben, Deleted);
    assert_eq!(listed(&mut relay, ben), [("old".to_owned(), 3)]);
    relay.send(ben, delete(false));
    expect!(relay, ben, Deleted);
    relay.pass(std::time::Duration::from_secs(8 * 24 * 3600));
    let (ann, notes) = relay.joined("ann", "notes", "log");
    relay.drain(ann);
    relay.send(ann, list());
    assert_eq!(
        expect!(relay, ann, Error).code(),
        ErrorCode::DocumentNotFound
    );
    relay.send(ann, log_batch(notes, 0, ["a new life"]));
    expect!(relay, ann, Ack);
    assert_eq!(listed(&mut relay, ann), []);
    // A revision of the earlier life is none of this one.
    relay.send(ann, save("old", 3));
    assert_eq!(
        expect!(relay, ann, Error).code(),
        ErrorCode::RevisionUnknown
    );
}

#[test]
fn reading_lists_and_writing_saves_and_deletes() {
    for shards in [1, 2, 3] {
        let mut relay = tokens::relay(shards);
        let writer = tokens::admitted(&mut relay, "writer", &json!({}));
        relay.send(writer, open("notes", "log", true));
        let notes = expect!(relay, writer, Opened).document;
        relay.send(writer, log_batch(notes, 0, ["x"]));
        expect!(relay, writer, Ack);
        for (permission, may) in [
            ("read", [true, false, false]),
            ("write", [false, true, true]),
        ] {
            let claims = json!({"permissions": [permission]});
            let client = tokens::admitted(&mut relay, permission, &claims);
            for (request, may) in [list(), save("x", 1), delete("x")].into_iter().zip(may) {
                relay.send(client, request);
                match relay.next(client) {
                    Some(event::Body::Error(error)) => {
                        assert_eq!((error.code(), may), (ErrorCode::Forbidden, false));
                    }
                    other => assert!(may, "{other:?}"),
                }
            }
        }
    }
}

#[test]
fn versions_are_spoken_of_in_json() {
    let mut relay = Relay::new();
    let ann = relay.greeted_in_json("ann", 0, Some("notes"));
    let say = |relay: &mut Relay, kind: &str, payload| {
        relay.say(ann, &json!({"type": kind, "id": "i", "payload": payload}));
    };
    say(&mut relay, "open", json!({"kind": "log", "create": true}));
    say(
        &mut relay,
        "operations",
        json!({"clientSeq": 1, "firstClock": 0, "operations": [1]}),
    );
    relay.drain_texts(ann);
    say(
        &mut relay,
        "save_version",
        json!({"name": "one", "requestId": 2}),
    );
    let version = json!({"name": "one", "revision": 1, "author": "ann", "time": STARTED_AT_MS});
    let saved = relay.text(ann, "version_saved", "i");
    assert_eq!(
        saved,
        json!({"requestId": 2, "documentId": "notes", "version": version})
    );
    say(&mut relay, "list_versions", json!({}));
    let list = relay.text(ann, "versions", "i");
    assert_eq!(list, json!({"documentId": "notes", "versions": [version]}));
    say(
        &mut relay,
        "delete_version",
        json!({"name": "one", "documentId": "notes"}),
    );
    let deleted = relay.text(ann, "version_deleted", "i");
    assert_eq!(deleted, json!({"documentId": "notes", "name": "one"}));
}

#[test]
fn a_client_that_has_gone_is_not_answered() {
    let (mut relay, ben) = written(1);
    relay.hold_store();
    relay.send(ben, save("late", 1));
    relay.vanish(ben);
    relay.release_store();
    let cleo = relay.connect(Transport::Tcp);
    relay.send(cleo, hello("cleo"));
    expect!(relay, cleo, Connected);
    assert_eq!(listed(&mut relay, cleo), [("late".to_owned(), 1)]);
}

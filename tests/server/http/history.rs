//! The HTTP interface: who changed what and when, and texts as they were, over real sockets.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::common::Server;
use crate::common::api::Api;
use crate::common::tokens::{settings, token};
use corelay::codec::record::{self, OperationsRecord};
use corelay::store::{Backend as _, Write};
use corelay::text::Operation;
use serde_json::{Value, json};

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.expect("it is after 1970").as_millis()).expect("not so late")
}

fn texts(api: &mut Api, path: &str, query: &str) -> (String, u64) {
    let content = api.get(&format!("{path}/content?{query}")).ok();
    let text = content["text"].as_str().expect("a text").to_owned();
    (text, content["revision"].as_u64().expect("a revision"))
}

#[test]
fn changes_have_authors_and_times_and_texts_are_read_as_they_were() {
    let directory = tempfile::TempDir::new().expect("room");
    let settings = settings(directory.path());
    let server = Server::spawn_in(
        directory.path(),
        &[&settings[0], &settings[1], "shards.cores=2"],
    );
    let mut ada = Api::with_token(&server, &token(json!({"sub": "ada"})));
    let mut bob = Api::with_token(&server, &token(json!({"sub": "bob"})));
    let path = "/v1/documents/novel";
    let content = format!("{path}/content");
    let begun = now_ms();
    ada.put(path, json!({"kind": "text", "text": "Once"})).ok();
    bob.write(&content, "", "Once upon").ok();
    std::thread::sleep(std::time::Duration::from_millis(5));
    let between = now_ms();
    std::thread::sleep(std::time::Duration::from_millis(5));
    let two = json!({"operations": [[{"retain": 9}, {"insert": " a"}], [{"retain": 11}, {"insert": " time 😀"}]], "baseRevision": 2});
    ada.post(&format!("{path}/operations"), two).ok();

    let history = ada.get(&format!("{path}/history")).ok();
    let changes = history["changes"].as_array().expect("an array");
    let of = |change: &Value| {
        (
            change["author"].as_str().expect("a name").to_owned(),
            change["firstRevision"].as_u64().expect("a number"),
            change["revision"].as_u64().expect("a number"),
        )
    };
    let expected = [("ada", 3, 4), ("bob", 2, 2), ("ada", 1, 1)];
    let expected = expected.map(|(author, first, last)| (author.to_owned(), first, last));
    assert_eq!(changes.iter().map(of).collect::<Vec<_>>(), expected);
    for change in changes {
        let time = change["time"].as_u64().expect("a time");
        assert!((begun..=now_ms()).contains(&time), "{change}");
        assert!(change["bytes"].as_u64() > Some(0));
    }
    assert_eq!(history["kind"], "text");
    assert_eq!(
        (&history["revision"], &history["next"]),
        (&json!(4), &Value::Null)
    );
    let mut seen = Vec::new();
    let mut query = String::from("order=oldest&limit=1");
    loop {
        let page = bob.get(&format!("{path}/history?{query}")).ok();
        seen.push(of(&page["changes"][0]));
        match page["next"].as_u64() {
            Some(next) => query = format!("order=oldest&limit=1&after={next}"),
            None => break,
        }
    }
    assert!(seen.iter().eq(expected.iter().rev()), "{seen:?}");
    for (query, revisions) in [
        ("", vec![4, 2, 1]),
        ("after=5", vec![4, 2, 1]),
        ("after=3", vec![2, 1]),
        ("after=2", vec![1]),
        ("after=1", vec![]),
        ("after=0", vec![]),
        ("order=oldest&after=0", vec![1, 2, 4]),
        ("order=oldest&after=2", vec![4]),
        ("order=oldest&after=4", vec![]),
        (&format!("time={between}"), vec![2, 1]),
        (&format!("time={between}&order=oldest"), vec![4]),
        ("time=1970-01-01T00:00:00Z", vec![]),
        ("time=2970-01-01T00:00:00%2B01:00&limit=1", vec![4]),
        ("time=2970-01-01T00:00:00+01:00&limit=1", vec![4]),
    ] {
        let page = ada.get(&format!("{path}/history?{query}")).ok();
        let changes = page["changes"].as_array().expect("an array").iter();
        let found: Vec<_> = changes.map(|change| change["revision"].clone()).collect();
        assert_eq!(found, revisions, "{query}: {page}");
    }

    for (revision, text) in [
        "",
        "Once",
        "Once upon",
        "Once upon a",
        "Once upon a time 😀",
    ]
    .iter()
    .enumerate()
    {
        let (found, at) = texts(&mut bob, path, &format!("revision={revision}"));
        assert_eq!((found.as_str(), at), (*text, revision as u64));
    }
    assert_eq!(
        texts(&mut bob, path, &format!("time={between}")),
        ("Once upon".to_owned(), 2)
    );
    assert_eq!(texts(&mut bob, path, "time=1").0, "");
    let (_, revision) = texts(&mut bob, path, "time=2970-01-01T00:00:00Z");
    assert_eq!(revision, 4);
    for (query, tag, status) in [
        ("revision=2", "\"1.2\"", 304),
        ("revision=2", "\"1.4\"", 200),
        ("revision=0", "\"1.0\"", 304),
        ("revision=5", "\"1.5\"", 404),
        ("revision=5", "*", 404),
        (&format!("time={between}"), "\"1.2\"", 304),
    ] {
        let path = format!("{content}?{query}");
        let found = bob.request("GET", &path, &format!("If-None-Match: {tag}\n"), "");
        assert_eq!(found.status, status, "{query} {tag}: {found:?}");
        if status == 304 {
            assert_eq!((found.header("etag"), found.body.as_str()), (Some(tag), ""));
        }
    }
    let plain = bob.request(
        "GET",
        &format!("{content}?revision=2"),
        "Accept: text/plain\n",
        "",
    );
    assert_eq!(
        (plain.body.as_str(), plain.header("etag")),
        ("Once upon", Some("\"1.2\""))
    );
    assert_eq!(
        bob.get(&format!("{content}?revision=5")).problem(404),
        "REVISION_UNKNOWN"
    );

    let stale = bob.send(
        "POST",
        &format!("{path}/revert"),
        "If-Match: \"1.3\"\n",
        &json!({"revision": 2}),
    );
    stale.whole_problem(412);
    let reverted = bob
        .post(&format!("{path}/revert"), json!({"revision": 2}))
        .ok();
    assert_eq!(
        (&reverted["revision"], &reverted["count"]),
        (&json!(5), &json!(1))
    );
    assert_eq!(texts(&mut ada, path, ""), ("Once upon".to_owned(), 5));
    let again = bob
        .post(&format!("{path}/revert"), json!({"revision": 2}))
        .ok();
    assert_eq!(
        (&again["revision"], &again["count"]),
        (&json!(5), &json!(0))
    );
    assert_eq!(
        bob.post(&format!("{path}/revert"), json!({"revision": 9}))
            .problem(404),
        "REVISION_UNKNOWN"
    );
    assert_eq!(
        ada.get(&format!("{path}/history")).ok()["changes"][0]["author"],
        "bob"
    );
    for place in ["history", "content?revision=0", "content?time=0"] {
        let unknown = ada.get(&format!("/v1/documents/none/{place}"));
        assert_eq!(unknown.problem(404), "DOCUMENT_NOT_FOUND");
    }
    let reader = json!({"sub": "eve", "documents": ["other-*"]});
    let mut eve = Api::with_token(&server, &token(reader));
    for place in [
        "history",
        "content?revision=1",
        "content?revision=0",
        "content?time=1",
    ] {
        assert_eq!(
            eve.get(&format!("{path}/{place}")).problem(403),
            "FORBIDDEN"
        );
    }
}

#[test]
fn a_long_history_leads_to_the_same_text() {
    let server = Server::spawn(&["shards.cores=2"]);
    let mut api = Api::of(&server);
    let path = "/v1/documents/long";
    api.put(path, json!({"kind": "text", "text": "0"})).ok();
    let mut expected = vec![String::new(), "0".to_owned()];
    for batch in 0..20 {
        let base = expected.len() - 1;
        let mut text = expected[base].clone();
        let operations: Vec<Value> = (0..250)
            .map(|number| {
                let word = format!("{batch}.{number} ");
                text.insert_str(0, &word);
                expected.push(text.clone());
                json!([{"insert": word}])
            })
            .collect();
        let body = json!({"operations": operations, "baseRevision": base});
        api.post(&format!("{path}/operations"), body).ok();
    }
    for revision in [1, 2, 999, 2500, 4999, expected.len() - 1] {
        let (found, _) = texts(&mut api, path, &format!("revision={revision}"));
        assert_eq!(found, expected[revision], "{revision}");
    }
    api.put(
        "/v1/documents/log",
        json!({"kind": "log", "operations": [1]}),
    )
    .ok();
    assert_eq!(api.get("/v1/documents/log/history").ok()["kind"], "log");
    for query in ["revision=0", "revision=1", "time=0"] {
        let log = api.get(&format!("/v1/documents/log/content?{query}"));
        assert_eq!(log.problem(409), "KIND_MISMATCH");
    }
}

#[test]
fn revisions_have_names() {
    let server = Server::spawn(&["shards.cores=2"]);
    let mut api = Api::of(&server);
    let path = "/v1/documents/novel/versions";
    assert_eq!(api.get(path).problem(404), "DOCUMENT_NOT_FOUND");
    api.put(
        "/v1/documents/novel",
        json!({"kind": "text", "text": "Once"}),
    )
    .ok();
    api.write("/v1/documents/novel/content", "", "Once upon")
        .ok();
    assert_eq!(api.get(path).ok(), json!({"versions": []}));
    let newest = api.send(
        "POST",
        path,
        "X-User-ID: ada\n",
        &json!({"name": "second/draft"}),
    );
    assert_eq!(newest.status, 201, "{newest:?}");
    let newest = newest.ok();
    assert_eq!(
        (&newest["revision"], &newest["author"]),
        (&json!(2), &json!("ada"))
    );
    assert!(newest["time"].as_u64() > Some(0));
    api.post(path, json!({"name": "first", "revision": 1})).ok();
    for (wrong, status, name) in [
        (json!({"name": "first"}), 409, "VERSION_EXISTS"),
        (
            json!({"name": "third", "revision": 3}),
            404,
            "REVISION_UNKNOWN",
        ),
        (
            json!({"name": "", "revision": 1}),
            400,
            "VERSION_NAME_INVALID",
        ),
        (json!({"name": "x", "revision": 0}), 400, "BAD_REQUEST"),
    ] {
        assert_eq!(
            api.post(path, wrong.clone()).problem(status),
            name,
            "{wrong}"
        );
    }
    let names = |api: &mut Api| {
        let versions = api.get(path).ok();
        let versions = versions["versions"].as_array().expect("an array").iter();
        let named = versions.map(|version| (version["name"].clone(), version["revision"].clone()));
        named.collect::<Vec<_>>()
    };
    let first = (json!("first"), json!(1));
    let second = (json!("second/draft"), json!(2));
    assert_eq!(names(&mut api), [first.clone(), second]);
    let deleted = api.request("DELETE", &format!("{path}/second%2Fdraft"), "", "");
    assert_eq!(deleted.status, 204, "{deleted:?}");
    let again = api.request("DELETE", &format!("{path}/second%2Fdraft"), "", "");
    assert_eq!(again.problem(404), "VERSION_NOT_FOUND");
    assert_eq!(names(&mut api), [first]);
}

/// A store with a text of two operations, which is gone for good, and another of that name, of three. Neither has an author.
fn two_lives(directory: &std::path::Path) {
    let config = corelay::config::Store {
        path: directory.join("data"),
        ..corelay::config::Store::default()
    };
    let append = |revision: u64, letter: &str| Write::Append {
        document: "phoenix".into(),
        kind: "text".into(),
        first_revision: revision,
        count: 1,
        record: record::encode_operations(&OperationsRecord {
            revision,
            origin: 1,
            first_clock: (revision - 1) % 2,
            operations: vec![Operation::splice(0, 0, letter).encode().into()],
            time_ms: 1_700_000_000_000 + revision,
            author: "".into(),
        }),
    };
    let delete = Write::Delete {
        document: "phoenix".into(),
        at_ms: 1,
    };
    let sweep = Write::Sweep {
        deleted_before_ms: 2,
    };
    let mut store = corelay::store::open(&config).expect("an empty store").store;
    for writes in [
        vec![append(1, "a"), append(2, "b"), delete],
        vec![sweep],
        vec![append(3, "x"), append(4, "y")],
    ] {
        store.commit(&writes).expect("there is room");
    }
    store.close().expect("there is room");
}

#[test]
fn a_second_life_begins_after_the_first() {
    let directory = tempfile::TempDir::new().expect("room");
    two_lives(directory.path());
    let settings = settings(directory.path());
    let server = Server::spawn_in(directory.path(), &[&settings[0], &settings[1]]);
    let mut api = Api::with_token(&server, &token(json!({})));
    let path = "/v1/documents/phoenix";
    for (after, count) in [(0, 2), (2, 2), (3, 1), (4, 0)] {
        let page = api.get(&format!("{path}/operations?after={after}")).ok();
        let operations = page["operations"].as_array().expect("an array");
        assert_eq!(operations.len(), count, "{page}");
        assert_eq!(page["fromRevision"], after.max(2));
    }
    // Of the first there is nothing left.
    let gone = api.get(&format!("{path}/operations?after=1"));
    assert_eq!(gone.problem(410), "SNAPSHOT_REQUIRED");
    let ahead = api.get(&format!("{path}/operations?after=5"));
    assert_eq!(ahead.problem(409), "SYNC_CONFLICT");
    for (revision, text) in [(2, ""), (3, "x"), (4, "yx")] {
        assert_eq!(
            texts(&mut api, path, &format!("revision={revision}")).0,
            text
        );
    }
    for revision in [0, 1, 5] {
        let unknown = api.get(&format!("{path}/content?revision={revision}"));
        assert_eq!(unknown.problem(404), "REVISION_UNKNOWN", "{revision}");
    }
    assert_eq!(texts(&mut api, path, "time=1"), (String::new(), 2));
    let history = api.get(&format!("{path}/history")).ok();
    assert_eq!(
        (&history["firstRevision"], &history["next"]),
        (&json!(3), &Value::Null)
    );

    // What can be refused at once is not computed: neither would fit what the document was.
    let operations = format!("{path}/operations");
    let many = vec![json!([{"insert": "z"}]); 1001];
    let too_many = api.post(&operations, json!({"operations": many, "baseRevision": 1}));
    assert_eq!(too_many.problem(400), "BATCH_INVALID");
    let reader = token(json!({"permissions": ["read"]}));
    let edit = |base| json!({"edits": [{"at": 0, "insert": "z"}], "baseRevision": base});
    let refused = Api::with_token(&server, &reader).post(&operations, edit(1));
    assert_eq!(refused.problem(403), "FORBIDDEN");
    assert_eq!(
        api.post(&operations, edit(1)).problem(410),
        "SNAPSHOT_REQUIRED"
    );
    // What was made of nothing is.
    assert_eq!(api.post(&operations, edit(2)).ok()["revision"], 5);
    let (text, _) = texts(&mut api, path, "");
    assert!(text.contains('z') && text.len() == 3, "{text}");
}

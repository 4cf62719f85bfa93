//! The HTTP interface: documents by name, over real sockets.

use crate::common::Server;
use crate::common::api::Api;
use crate::common::client::Client;
use corelay::config;
use corelay::store::{Backend as _, Write};
use serde_json::{Value, json};

fn ids(directory: &Value) -> Vec<&str> {
    let documents = directory["documents"].as_array().expect("an array");
    let ids = documents.iter().map(|entry| entry["id"].as_str());
    ids.map(|id| id.expect("an id")).collect()
}

#[test]
fn a_document_is_made_looked_at_listed_deleted_and_brought_back() {
    let server = Server::spawn(&["shards.cores=2"]);
    let mut api = Api::of(&server);
    assert_eq!(
        api.get("/v1/documents/diary").problem(404),
        "DOCUMENT_NOT_FOUND"
    );

    let made = api.put(
        "/v1/documents/diary",
        json!({"kind": "text", "text": "Dear 😀"}),
    );
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.header("location"), Some("/v1/documents/diary"));
    assert_eq!(made.header("etag"), Some("\"1.1\""));
    let accepted = made.ok();
    assert_eq!(accepted["revision"], 1);
    assert_eq!(accepted["durability"], "always");
    assert_eq!(accepted["duplicate"], false);

    let found = api.get("/v1/documents/diary");
    assert_eq!(found.header("etag"), Some("\"1.1\""));
    let document = found.ok();
    assert_eq!(document["id"], "diary");
    assert_eq!(document["kind"], "text");
    assert_eq!(
        (&document["epoch"], &document["revision"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(document["contentBytes"], 9);
    assert_eq!(
        document["shard"],
        corelay::engine::route::shard_of("diary", 2)
    );
    assert_eq!(
        document["permissions"],
        json!({"read": true, "write": true})
    );
    let same = api.request("GET", "/v1/documents/diary", "If-None-Match: \"1.1\"\n", "");
    assert_eq!((same.status, same.body.as_str()), (304, ""));
    let head = "HEAD /v1/documents/diary HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n";
    let (status, body) = crate::common::http(server.websocket, head);
    assert_eq!((status, body.as_str()), (200, ""));

    assert_eq!(ids(&api.get("/v1/documents").ok()), ["diary"]);
    let again = api.put("/v1/documents/diary", json!({"kind": "text", "text": "x"}));
    let problem = again.whole_problem(409);
    assert_eq!(
        (&problem["name"], &problem["revision"]),
        (&json!("DOCUMENT_EXISTS"), &json!(1))
    );
    assert_eq!(
        api.put("/v1/documents/diary", json!({"kind": "text"}))
            .status,
        200
    );
    let other = api.put("/v1/documents/diary", json!({"kind": "log"}));
    assert_eq!(other.problem(409), "KIND_MISMATCH");

    let deleted = api.request("DELETE", "/v1/documents/diary", "", "");
    assert_eq!((deleted.status, deleted.body.as_str()), (204, ""));
    let gone = api.get("/v1/documents/diary");
    assert!([404, 410].contains(&gone.status), "{gone:?}");
    assert_eq!(ids(&api.get("/v1/documents").ok()), Vec::<&str>::new());
    let restored = server.wait_for("the end of the deletion", || {
        let restored = api.request("POST", "/v1/documents/diary/restore", "", "");
        (restored.status != 503).then_some(restored)
    });
    assert_eq!(restored.status, 204, "{restored:?}");
    assert_eq!(api.get("/v1/documents/diary").ok()["revision"], 1);
    let unknown = api.request("POST", "/v1/documents/other/restore", "", "");
    assert_eq!(unknown.problem(404), "DOCUMENT_NOT_FOUND");
}

#[test]
fn a_document_exists_from_its_first_operation_on() {
    let server = Server::spawn(&[]);
    let mut api = Api::of(&server);
    let made = api.put("/v1/documents/later", json!({"kind": "log"}));
    assert_eq!((made.status, &made.ok()["revision"]), (202, &json!(0)));
    assert_eq!(ids(&api.get("/v1/documents").ok()), Vec::<&str>::new());
    let first = json!({"operations": [{"first": true}], "create": "log"});
    let accepted = api.post("/v1/documents/later/operations", first).ok();
    assert_eq!(
        (&accepted["firstRevision"], &accepted["count"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(ids(&api.get("/v1/documents").ok()), ["later"]);
    let log = json!({"kind": "log", "operations": [1, {"base64": "/w=="}]});
    assert_eq!(api.put("/v1/documents/now", log).ok()["revision"], 2);
    for wrong in [
        json!({"kind": "text", "operations": [[{"insert": "x"}]]}),
        json!({"kind": "log", "text": "x"}),
        json!({"kind": "text", "text": ""}),
        json!({"kind": "poem"}),
        json!({"kind": "log", "content": 1}),
        json!({}),
        json!([]),
    ] {
        let refused = api.put("/v1/documents/wrong", wrong.clone());
        assert_eq!(refused.problem(400), "BAD_REQUEST", "{wrong}");
    }
}

#[test]
fn a_list_comes_in_pages() {
    let server = Server::spawn(&["shards.cores=2"]);
    let mut api = Api::of(&server);
    for id in ["a/1", "a/2", "a/3", "b", "ü"] {
        let path = format!(
            "/v1/documents/{}",
            id.replace('/', "%2F").replace('ü', "%C3%BC")
        );
        assert_eq!(
            api.put(&path, json!({"kind": "log", "operations": [0]}))
                .status,
            201
        );
    }
    let first = api.get("/v1/documents?limit=2").ok();
    assert_eq!(ids(&first), ["a/1", "a/2"]);
    assert_eq!(first["next"], "a/2");
    assert_eq!(first["documents"][0]["kind"], "log");
    let rest = api.get("/v1/documents?limit=10&after=a%2F2").ok();
    assert_eq!(ids(&rest), ["a/3", "b", "ü"]);
    assert_eq!(rest["next"], Value::Null);
    assert_eq!(ids(&api.get("/v1/documents?prefix=a%2F").ok()).len(), 3);
    let long = "x".repeat(257);
    for (query, name) in [
        ("limit=0", "BAD_REQUEST"),
        ("limit=1001", "BAD_REQUEST"),
        ("limit=some", "BAD_REQUEST"),
        (&format!("prefix={long}"), "DOCUMENT_ID_INVALID"),
    ] {
        let refused = api.get(&format!("/v1/documents?{query}"));
        assert_eq!(refused.problem(400), name, "{query}");
    }
    for id in ["%00", &long, "%FF"] {
        let refused = api.get(&format!("/v1/documents/{id}"));
        refused.problem(400);
    }
}

#[test]
fn readers_are_not_seen_and_see_who_is_there() {
    let server = Server::spawn(&[]);
    let mut api = Api::of(&server);
    api.put(
        "/v1/documents/room",
        json!({"kind": "log", "operations": [0]}),
    )
    .ok();
    assert_eq!(
        api.get("/v1/documents/room/presence").ok(),
        json!({"presences": []})
    );
    let mut ada = Client::tcp(&server);
    ada.hello(1);
    let document = ada.open("room").document;
    ada.request(corelay::codec::wire::request::Body::Presence(
        corelay::codec::wire::Presence {
            document,
            is_typing: true,
            cursor: Some(corelay::codec::wire::Cursor {
                block_id: "p1".to_owned(),
                offset: 7,
            }),
            fields: [("mood".to_owned(), "\"calm\"".into())].into(),
            ..Default::default()
        },
    ));
    let there = server.wait_for("the presence", || {
        let people = api.get("/v1/documents/room/presence").ok();
        let presence = people["presences"].get(0)?.clone();
        Some(presence)
    });
    assert_eq!(there["cursor"], json!({"blockId": "p1", "offset": 7}));
    assert_eq!(there["fields"], json!({"mood": "calm"}));
    assert_eq!(
        (&there["isTyping"], &there["selection"]),
        (&json!(true), &Value::Null)
    );
    assert!(there["clientId"].as_u64() > Some(0) && there["lastSeen"].as_u64() > Some(0));
}

#[test]
fn every_write_looks_at_its_conditions() {
    let server = Server::spawn(&["shards.cores=2"]);
    let mut api = Api::of(&server);
    let path = "/v1/documents/plan";
    let new = json!({"kind": "text", "text": "one"});
    let none = json!({"kind": "text"});
    // There is none yet.
    for (headers, body) in [
        ("If-Match: *\n", &new),
        ("If-Match: \"1.1\"\n", &new),
        ("If-Match: *\n", &none),
    ] {
        let refused = api.send("PUT", path, headers, body);
        assert_eq!(refused.problem(412), "PRECONDITION_FAILED", "{headers}");
    }
    assert_eq!(api.get(path).status, 404);
    let made = api.send("PUT", path, "If-None-Match: *\n", &new);
    assert_eq!((made.status, made.header("etag")), (201, Some("\"1.1\"")));
    for (headers, status) in [
        ("If-None-Match: *\n", 412),
        ("If-None-Match: \"1.7\"\nIf-None-Match: W/\"1.1\"\n", 412),
        ("If-Match: \"1.2\"\n", 412),
        ("If-Match: \"1.1\"\n", 200),
        ("If-Match: \"1.2\", \"1.1\"\n", 200),
        ("If-None-Match: \"1.2\"\n", 200),
    ] {
        let found = api.send("PUT", path, headers, &none);
        assert_eq!(found.status, status, "{headers}: {found:?}");
    }
    assert_eq!(
        api.send("PUT", path, "If-None-Match: *\n", &new).status,
        412
    );

    let content = format!("{path}/content");
    let versions = format!("{path}/versions");
    let operations = format!("{path}/operations");
    let edit = json!({"edits": [{"at": 0, "insert": "x"}], "baseRevision": 1});
    let name = json!({"name": "first"});
    let revert = json!({"revision": 0});
    for wrong in [
        "If-Match: \"1.2\"\n",
        "If-Match: W/\"1.1\"\n",
        "If-Match: \"2.1\"\n",
        "If-None-Match: *\n",
        "If-None-Match: \"1.1\"\n",
    ] {
        let refused = [
            api.write(&content, wrong, "two"),
            api.send("POST", &operations, wrong, &edit),
            api.send("POST", &format!("{path}/revert"), wrong, &revert),
            api.send("POST", &versions, wrong, &name),
            api.request("DELETE", path, wrong, ""),
            api.request("POST", &format!("{path}/restore"), wrong, ""),
        ];
        for refused in refused {
            assert_eq!(refused.whole_problem(412)["revision"], 1, "{wrong}");
        }
    }
    assert_eq!(api.get(&content).ok()["text"], "one");
    assert_eq!(api.get(&versions).ok(), json!({"versions": []}));

    let right = "If-Match: \"1.1\"\n";
    let saved = api.send("POST", &versions, right, &name).ok();
    assert_eq!(saved["revision"], 1);
    let version = format!("{versions}/first");
    assert_eq!(
        api.request("DELETE", &version, "If-Match: \"1.2\"\n", "")
            .status,
        412
    );
    assert_eq!(api.request("DELETE", &version, right, "").status, 204);
    assert_eq!(
        api.request("POST", &format!("{path}/restore"), right, "")
            .status,
        204
    );
    assert_eq!(api.request("DELETE", path, right, "").status, 204);
    // What is deleted is nowhere.
    for condition in [right, "If-Match: *\n"] {
        let refused = server.wait_for("the end of the deletion", || {
            let restored = api.request("POST", &format!("{path}/restore"), condition, "");
            (restored.status != 503).then_some(restored)
        });
        assert_eq!(refused.problem(412), "PRECONDITION_FAILED");
    }
    assert!([404, 410].contains(&api.request("DELETE", path, right, "").status));
    let restored = api.request("POST", &format!("{path}/restore"), "If-None-Match: *\n", "");
    assert_eq!(restored.status, 204, "{restored:?}");
    assert_eq!(api.get(&content).ok()["text"], "one");
}

#[test]
fn of_many_who_delete_what_they_have_seen_and_write_to_it_one_wins() {
    let server = Server::spawn(&["shards.cores=2"]);
    let mut api = Api::of(&server);
    for round in 0..10 {
        let path = format!("/v1/documents/round-{round}");
        api.put(&path, json!({"kind": "log", "operations": [0]}))
            .ok();
        let (deleted, written) = std::thread::scope(|scope| {
            let condition = "If-Match: \"1.1\"\n";
            let delete = scope.spawn(|| Api::of(&server).request("DELETE", &path, condition, ""));
            let body = json!({"operations": [1]});
            let written = api.send("POST", &format!("{path}/operations"), condition, &body);
            (delete.join().expect("it is answered"), written)
        });
        match deleted.status {
            204 => assert!([404, 409, 410].contains(&written.status), "{written:?}"),
            412 => assert_eq!(written.status, 200),
            _other => panic!("{deleted:?}"),
        }
    }
}

#[test]
fn ids_come_through_a_path_as_they_are() {
    let server = Server::spawn(&["shards.cores=2"]);
    let mut api = Api::of(&server);
    for (id, path) in [
        ("a/b", "a%2Fb"),
        ("a/b/../c", "a%2fb%2F..%2Fc"),
        ("..", "%2E%2E"),
        ("100%", "100%25"),
        ("%2F", "%252F"),
        ("a b+c", "a%20b+c"),
        ("?x=1#y", "%3Fx=1%23y"),
        ("ü😀", "%C3%BC%F0%9F%98%80"),
    ] {
        let path = format!("/v1/documents/{path}");
        let made = api.put(&path, json!({"kind": "log", "operations": [id]}));
        assert_eq!(made.status, 201, "{id}: {made:?}");
        let location = made.header("location").expect("where it is").to_owned();
        for path in [&path, &location] {
            assert_eq!(api.get(path).ok()["id"], id);
            let operations = api.get(&format!("{path}/operations")).ok();
            assert_eq!(operations["operations"][0]["operation"], id);
        }
        assert!(ids(&api.get("/v1/documents").ok()).contains(&id));
    }
    // A slash that is none of the id's leads elsewhere.
    assert_eq!(api.get("/v1/documents/a/b").problem(404), "NOT_FOUND");
    for path in [
        "/v1/documents/%zz",
        "/v1/documents/a%2",
        "/v1/documents/a%",
        "/v1/documents/%C3",
        "/v1/documents?prefix=%zz",
        "/v1/documents?prefix=%C3",
        "/v1/%zz",
    ] {
        let mut api = Api::of(&server);
        assert_eq!(api.get(path).problem(400), "BAD_REQUEST", "{path}");
    }
}

#[test]
fn what_is_asked_for_in_vain_is_refused_in_words() {
    let server = Server::spawn(&[]);
    let mut api = Api::of(&server);
    for (path, words) in [
        ("/v1/documents?limt=5", "unknown field `limt`, expected"),
        ("/v1/documents/x/operations?since=5", "`after`"),
        ("/v1/documents/x/history?from=5", "`after`"),
        ("/v1/documents/x/content?at=5", "`revision`"),
        ("/v1/documents/x/history?time=yesterday", "RFC 3339"),
        ("/v1/documents/x/content?time=-5", "milliseconds since 1970"),
        ("/v1/documents/x/history?limit=0", "from 1 to 1000"),
        ("/v1/documents/x/operations?limit=10001", "from 1 to 10000"),
    ] {
        let problem = api.get(path).whole_problem(400);
        let detail = problem["detail"].as_str().expect("words");
        assert!(detail.contains(words), "{path}: {detail}");
    }
}

#[test]
fn a_new_life_without_an_operation_is_no_document() {
    let directory = tempfile::TempDir::new().expect("there is room for a directory");
    let config = config::Store {
        path: directory.path().join("data"),
        ..config::Store::default()
    };
    let mut store = corelay::store::open(&config).expect("a new store").store;
    let document = "notes";
    let past = [
        Write::Append {
            document: document.into(),
            kind: "log".into(),
            first_revision: 1,
            count: 1,
            record: "of no interest".into(),
        },
        Write::Delete {
            document: document.into(),
            at_ms: 5,
        },
        Write::Sweep {
            deleted_before_ms: 6,
        },
    ];
    for write in past {
        store.commit(&[write]).expect("it is written");
    }
    store.close().expect("it is closed");
    let server = Server::spawn_in(directory.path(), &[]);
    let mut peer = Client::tcp(&server);
    peer.hello(1);
    let opened = peer.open(document);
    assert!(opened.unwritten);
    assert_eq!(opened.position.map(|position| position.revision), Some(1));

    let mut api = Api::of(&server);
    let path = "/v1/documents/notes";
    let none = json!({"kind": "log"});
    let new = json!({"kind": "log", "operations": [1]});
    for (headers, status) in [
        ("", 202),
        ("If-None-Match: *\n", 202),
        ("If-Match: *\n", 412),
    ] {
        let found = api.send("PUT", path, headers, &none);
        assert_eq!(found.status, status, "{headers}: {found:?}");
    }
    let made = api.send("PUT", path, "If-None-Match: *\n", &new);
    assert_eq!((made.status, made.header("etag")), (201, Some("\"1.2\"")));
    assert_eq!(
        api.send("PUT", path, "If-None-Match: *\n", &new).status,
        412
    );
    assert_eq!(api.send("PUT", path, "If-Match: *\n", &none).status, 200);
    let mut late = Client::tcp(&server);
    late.hello(2);
    assert!(!late.open(document).unwritten);
}

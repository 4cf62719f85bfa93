//! The HTTP interface: documents by name, over real sockets.

mod common;

use common::Server;
use common::api::Api;
use common::client::Client;
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
    let (status, body) = common::http(server.websocket, head);
    assert_eq!((status, body.as_str()), (200, ""));

    assert_eq!(ids(&api.get("/v1/documents").ok()), ["diary"]);
    let again = api.put("/v1/documents/diary", json!({"kind": "text", "text": "x"}));
    assert_eq!(again.whole_problem(409)["revision"], 1);
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

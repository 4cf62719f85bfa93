//! The HTTP interface: what is in documents, and their operations, over real sockets.

use crate::common::Server;
use crate::common::api::Api;
use crate::common::client::Client;
use crate::common::events::uuid;
use serde_json::{Value, json};

/// The text of a document, and its revision.
fn text(api: &mut Api, path: &str) -> (String, u64) {
    let content = api.get(path).ok();
    let text = content["text"].as_str().expect("a text").to_owned();
    (text, content["revision"].as_u64().expect("a revision"))
}

#[test]
fn a_text_is_read_and_written_as_a_whole() {
    let server = Server::spawn(&["shards.cores=2"]);
    let mut api = Api::of(&server);
    let path = "/v1/documents/poem/content";
    api.put(
        "/v1/documents/poem",
        json!({"kind": "text", "text": "roses are 😀 red"}),
    )
    .ok();

    let read = api.get(path);
    assert_eq!(read.header("etag"), Some("\"1.1\""));
    assert_eq!(
        read.ok(),
        json!({"kind": "text", "epoch": 1, "revision": 1, "text": "roses are 😀 red"})
    );
    let plain = api.request("GET", path, "Accept: text/plain\n", "");
    assert_eq!(
        (plain.status, plain.body.as_str()),
        (200, "roses are 😀 red")
    );
    assert_eq!(
        plain.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(plain.header("vary"), Some("Accept"));
    let known = api.request("GET", path, "If-None-Match: \"1.1\"\n", "");
    assert_eq!((known.status, known.header("etag")), (304, Some("\"1.1\"")));
    let picture = api.request("GET", path, "Accept: image/png\n", "");
    assert_eq!(picture.problem(406), "NOT_ACCEPTABLE");

    let written = api.write(path, "If-Match: \"1.1\"\n", "roses are 😁 blue");
    assert_eq!(written.header("etag"), Some("\"1.2\""));
    assert_eq!(written.ok()["count"], 1);
    let operations = api.get("/v1/documents/poem/operations?after=1").ok();
    assert_eq!(
        operations["operations"][0]["operation"],
        json!([{"retain": 10}, {"insert": "😁"}, {"delete": 2}, {"retain": 1}, {"insert": "blue"}, {"delete": 3}])
    );
    let late = api.write(path, "If-Match: \"1.1\"\n", "lost");
    assert_eq!(late.whole_problem(412)["revision"], 2);
    let same = api.write(path, "", "roses are 😁 blue").ok();
    assert_eq!((&same["count"], &same["revision"]), (&json!(0), &json!(2)));
    assert_eq!(text(&mut api, path), ("roses are 😁 blue".to_owned(), 2));
    // A text of many pages.
    let long: String = (0..100_000).map(|n| format!("{n} 𝄞\n")).collect();
    let (half, rest) = long.split_at(long.len() / 2);
    api.write(path, "", half).ok();
    let revision = api.get("/v1/documents/poem").ok()["revision"].clone();
    let edit = json!({"at": half.encode_utf16().count(), "insert": rest});
    let edits = json!({"edits": [edit], "baseRevision": revision});
    api.post("/v1/documents/poem/operations", edits).ok();
    assert_eq!(text(&mut api, path).0, long);
    let plain = api.request("GET", path, "Accept: text/plain\n", "");
    assert_eq!(plain.body, long);
    assert_eq!(
        api.write("/v1/documents/none/content", "", "x")
            .problem(404),
        "DOCUMENT_NOT_FOUND"
    );
    let json = api.send("PUT", path, "", &json!("x"));
    assert_eq!(json.problem(415), "UNSUPPORTED_MEDIA_TYPE");
}

#[test]
fn only_utf_8_is_taken() {
    let server = Server::spawn(&[]);
    let mut api = Api::of(&server);
    let path = "/v1/documents/poem";
    let new = json!({"kind": "text", "text": "red"}).to_string();
    let utf_16 = "Content-Type: application/json; charset=utf-16\n";
    assert_eq!(api.request("PUT", path, utf_16, &new).status, 415);
    let utf_8 = "Content-Type: Application/JSON ;charset=\"UTF-8\"\n";
    assert_eq!(api.request("PUT", path, utf_8, &new).status, 201);
    let content = format!("{path}/content");
    for (kind, status) in [
        ("text/plain", 200),
        ("text/plain; charset=UTF-8", 200),
        ("text/plain; charset=us-ascii", 200),
        ("text/plain; format=flowed; Charset=utf8", 200),
        ("text/plain; charset=utf-16", 415),
        ("text/plain;charset=\"iso-8859-1\"", 415),
        ("text/plain; charset=utf-8; charset=utf-16", 415),
        ("text/html", 415),
    ] {
        let written = api.request("PUT", &content, &format!("Content-Type: {kind}\n"), "blue");
        assert_eq!(written.status, status, "{kind}: {written:?}");
    }
    let mut raw = Api::of(&server);
    let head = format!(
        "PUT {content} HTTP/1.1\r\nHost: relay\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\n"
    );
    raw.http().write(head.as_bytes());
    raw.http().write(b"\xff");
    assert_eq!(raw.http().read().problem(400), "BAD_REQUEST");
}

#[test]
fn headers_that_are_no_text_are_not_passed_over() {
    let server = Server::spawn(&[]);
    let mut api = Api::of(&server);
    let path = "/v1/documents/log/operations";
    api.post(path, json!({"operations": [0], "create": "log"}))
        .ok();
    for (header, status) in [("If-Match: \"", 412), ("X-Client-ID: ", 400)] {
        let body = r#"{"operations": [1]}"#;
        let mut bytes = format!("POST {path} HTTP/1.1\r\nHost: relay\r\n{header}").into_bytes();
        bytes.push(0xff);
        let rest = format!(
            "\"\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        bytes.extend_from_slice(rest.as_bytes());
        api.http().write(&bytes);
        let refused = api.http().read();
        refused.whole_problem(status);
    }
    assert_eq!(api.get("/v1/documents/log").ok()["revision"], 1);
}

#[test]
fn what_is_written_reaches_those_who_edit_and_is_transformed_over_what_they_wrote() {
    let server = Server::spawn(&["shards.cores=2"]);
    let mut api = Api::of(&server);
    let path = "/v1/documents/draft/operations";
    let create = json!({"operations": [[{"insert": "b"}]], "baseRevision": 0, "create": "text"});
    api.post(path, create).ok();
    let mut events = crate::common::events::Events::of(&server, 7, "/events/documents/draft");
    events.expect_caught_up();
    // Three callers who do not know of each other, as one client.
    for insert in ["1", "2", "3"] {
        let edits = json!({"edits": [{"at": 1, "insert": insert}], "baseRevision": 1});
        api.post(path, edits).ok();
        let remote = events.expect("remote_ops");
        let inserted = remote.json["payload"]["operations"][0].to_string();
        assert!(
            inserted.contains(&format!("{{\"insert\":\"{insert}\"}}")),
            "{inserted}"
        );
    }
    let edits = json!({"edits": [{"at": 0, "delete": 1, "insert": "a"}, {"at": 1, "insert": "z"}], "baseRevision": 1});
    let accepted = api.post(path, edits).ok();
    assert_eq!(accepted["revision"], 5);
    let (found, _) = text(&mut api, "/v1/documents/draft/content");
    let mut sorted: Vec<_> = found.chars().collect();
    assert_eq!(sorted.remove(0), 'a');
    sorted.sort_unstable();
    assert_eq!(sorted, ['1', '2', '3', 'z']);

    for (wrong, status, name) in [
        (
            json!({"operations": [[{"retain": 90}, {"insert": "x"}]], "baseRevision": 5}),
            422,
            "OPERATION_OUT_OF_BOUNDS",
        ),
        (
            json!({"operations": [[{"insert": "x"}]], "baseRevision": 9}),
            409,
            "SYNC_CONFLICT",
        ),
        (
            json!({"operations": [[{"insert": "x"}]]}),
            428,
            "PRECONDITION_REQUIRED",
        ),
        (
            json!({"operations": [{"insert": "x"}], "baseRevision": 5}),
            422,
            "OPERATION_INVALID",
        ),
        (
            json!({"operations": [[{"insert": ""}]], "baseRevision": 5}),
            422,
            "OPERATION_INVALID",
        ),
        (
            json!({"operations": [], "baseRevision": 5}),
            400,
            "BATCH_INVALID",
        ),
        (
            json!({"edits": [{"at": 4, "insert": "x"}, {"at": 2, "insert": "y"}], "baseRevision": 5}),
            422,
            "OPERATION_INVALID",
        ),
        (json!({"baseRevision": 5}), 400, "BAD_REQUEST"),
        (json!({"edits": [], "operations": []}), 400, "BAD_REQUEST"),
        (json!({"edit": []}), 400, "BAD_REQUEST"),
    ] {
        let refused = api.post(path, wrong.clone());
        assert_eq!(refused.problem(status), name, "{wrong}");
    }
    let split = json!({"operations": [[{"insert": "😀"}]], "baseRevision": 5});
    api.post(path, split).ok();
    let split = json!({"operations": [[{"retain": 1}, {"insert": "x"}]], "baseRevision": 6});
    assert_eq!(api.post(path, split).problem(422), "SURROGATE_SPLIT");
}

#[test]
fn a_log_is_read_by_pages_and_from_its_snapshot() {
    let server = Server::spawn(&["shards.cores=2"]);
    let mut api = Api::of(&server);
    let path = "/v1/documents/board/operations";
    let values = json!([{"shape": 1}, "two", {"base64": "/w=="}, null, [5]]);
    let accepted = api
        .post(path, json!({"operations": values, "create": "log"}))
        .ok();
    assert_eq!(
        (&accepted["revision"], &accepted["firstClock"]),
        (&json!(5), &json!(0))
    );
    let mut seen = Vec::new();
    let mut after = json!(0);
    loop {
        let page = api.get(&format!("{path}?after={after}&limit=2")).ok();
        assert_eq!(
            (&page["fromRevision"], &page["revision"]),
            (&after, &json!(5))
        );
        for entry in page["operations"].as_array().expect("an array") {
            assert_eq!(entry["revision"], seen.len() + 1);
            assert_eq!(entry["clock"], seen.len());
            seen.push(entry["operation"].clone());
        }
        after = page["next"].clone();
        if after.is_null() {
            break;
        }
    }
    assert_eq!(Value::from(seen), values);
    let newest = api.get(&format!("{path}?after=5")).ok();
    assert_eq!(
        (&newest["operations"], &newest["next"]),
        (&json!([]), &Value::Null)
    );
    assert_eq!(
        api.get(&format!("{path}?after=6")).whole_problem(409)["revision"],
        5
    );
    assert_eq!(
        api.get(&format!("{path}?after=-1")).problem(400),
        "BAD_REQUEST"
    );

    let mut ada = Client::tcp(&server);
    ada.hello(1);
    let document = ada.open("board").document;
    ada.request(corelay::codec::wire::request::Body::SnapshotOffer(
        corelay::codec::wire::SnapshotOffer {
            document,
            revision: 4,
            bytes_total: 3,
            offset: 0,
            data: "sum".into(),
        },
    ));
    let content = server.wait_for("the snapshot", || {
        let content = api.get("/v1/documents/board/content").ok();
        (!content["snapshot"].is_null()).then_some(content)
    });
    assert_eq!(
        content["snapshot"],
        json!({"revision": 4, "base64": "c3Vt"})
    );
    assert_eq!(content["operations"].as_array().expect("an array").len(), 1);
    assert_eq!(
        (&content["revision"], &content["hasMore"]),
        (&json!(5), &json!(false))
    );
    let compacted = server.wait_for("the history to go", || {
        let page = api.get(&format!("{path}?after=1"));
        (page.status != 200).then_some(page)
    });
    assert_eq!(compacted.problem(410), "SNAPSHOT_REQUIRED");
    assert_eq!(
        api.get(&format!("{path}?after=4")).ok()["operations"][0]["operation"],
        json!([5])
    );
    let plain = api.request(
        "GET",
        "/v1/documents/board/content",
        "Accept: text/plain\n",
        "",
    );
    assert_eq!(plain.problem(406), "NOT_ACCEPTABLE");
    let text = api.write("/v1/documents/board/content", "", "x");
    assert_eq!(text.problem(409), "KIND_MISMATCH");
    let edits = api.post(
        path,
        json!({"edits": [{"at": 0, "insert": "x"}], "baseRevision": 5}),
    );
    assert_eq!(edits.problem(409), "KIND_MISMATCH");
}

#[test]
fn what_is_sent_again_is_applied_once() {
    let server = Server::spawn(&["shards.cores=2"]);
    let mut api = Api::of(&server);
    let path = "/v1/documents/orders/operations";
    let client = format!("X-Client-ID: {}\n", uuid(5));
    let order = json!({"operations": ["order"], "firstClock": 0, "create": "log"});
    let first = api.send("POST", path, &client, &order).ok();
    assert_eq!(
        (&first["revision"], &first["duplicate"]),
        (&json!(1), &json!(false))
    );
    // Also where the document has gone on, and the condition no longer holds.
    api.post(path, json!({"operations": ["another"]})).ok();
    let condition = format!("{client}If-Match: \"1.0\"\n");
    let again = api.send("POST", path, &condition, &order).ok();
    assert_eq!(
        (&again["firstRevision"], &again["duplicate"]),
        (&json!(1), &json!(true))
    );
    let gap = json!({"operations": ["order"], "firstClock": 2});
    let refused = api.send("POST", path, &client, &gap);
    let problem = refused.whole_problem(409);
    assert_eq!(
        (&problem["name"], &problem["nextClock"]),
        (&json!("CLOCK_GAP"), &json!(1))
    );
    assert_eq!(problem["retryable"], true);
    assert_eq!(api.get("/v1/documents/orders").ok()["revision"], 2);
    let expected = api.send(
        "POST",
        path,
        "If-Match: \"1.1\"\n",
        &json!({"operations": [0]}),
    );
    expected.whole_problem(412);
    let wrong = api.send(
        "POST",
        path,
        "X-Client-ID: me\n",
        &json!({"operations": [0]}),
    );
    assert_eq!(wrong.problem(400), "BAD_REQUEST");
}

#[test]
fn two_writers_of_one_user_at_once_take_turns() {
    const WRITERS: u64 = 8;
    const EACH: u64 = 25;
    let server = Server::spawn(&["shards.cores=2"]);
    let path = "/v1/documents/tally/operations";
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let server = &server;
            scope.spawn(move || {
                let mut api = Api::of(server);
                for number in 0..EACH {
                    let value = json!({"operations": [[writer, number]], "create": "log"});
                    let accepted = api.post(path, value).ok();
                    assert_eq!(accepted["duplicate"], false);
                }
            });
        }
    });
    let mut api = Api::of(&server);
    let page = api.get(path).ok();
    let operations = page["operations"].as_array().expect("an array");
    assert_eq!(operations.len() as u64, WRITERS * EACH);
    let mut next = [0; WRITERS as usize];
    for (index, entry) in operations.iter().enumerate() {
        // One client, whose clocks rise by one.
        assert_eq!(entry["clock"], index);
        assert_eq!(entry["clientId"], operations[0]["clientId"]);
        let pair = entry["operation"].as_array().expect("a pair");
        let writer = pair[0].as_u64().expect("a number") as usize;
        assert_eq!(pair[1], next[writer]);
        next[writer] += 1;
    }
}

#[test]
fn of_many_who_expect_the_same_revision_one_wins() {
    let server = Server::spawn(&["shards.cores=2"]);
    let mut api = Api::of(&server);
    let path = "/v1/documents/leader/operations";
    api.post(path, json!({"operations": ["begin"], "create": "log"}))
        .ok();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let claims = (1..=8_u64).map(|number| {
            let server = &server;
            scope.spawn(move || {
                let headers = format!("If-Match: \"1.1\"\nX-Client-ID: {}\n", uuid(number));
                let claim = json!({"operations": [number]});
                Api::of(server).send("POST", path, &headers, &claim).status
            })
        });
        let claims: Vec<_> = claims.collect();
        claims
            .into_iter()
            .map(|claim| claim.join().expect("it is answered"))
            .collect()
    });
    let won = statuses.iter().filter(|status| **status == 200).count();
    let lost = statuses.iter().filter(|status| **status == 412).count();
    assert_eq!((won, lost), (1, 7), "{statuses:?}");
}

#[test]
fn the_readme_is_right_about_the_http_interface() {
    let server = Server::spawn(&[]);
    let examples = crate::common::readme::examples(&server, |command| command.contains("/v1/"));
    assert!(examples.len() >= 3, "{examples:?}");
    for example in &examples {
        example.check();
    }
}

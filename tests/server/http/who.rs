//! The HTTP interface: who may do what, over real sockets.

use crate::common::api::Api;
use crate::common::tokens::{settings, token};
use crate::common::{Server, http};
use serde_json::json;

fn spawn(directory: &tempfile::TempDir, others: &[&str]) -> Server {
    let settings = settings(directory.path());
    let mut all: Vec<&str> = settings.iter().map(String::as_str).collect();
    all.push("shards.cores=2");
    all.extend(others);
    Server::spawn_in(directory.path(), &all)
}

#[test]
fn a_token_says_what_is_granted() {
    let directory = tempfile::TempDir::new().expect("room");
    let server = spawn(&directory, &[]);
    for headers in [
        "",
        "Authorization: Bearer x.y.z\n",
        "Authorization: Basic eA==\n",
    ] {
        for path in ["/v1/documents", "/v1/documents/x"] {
            let refused = Api::of(&server).request("GET", path, headers, "");
            assert_eq!(refused.problem(401), "UNAUTHORIZED", "{headers}");
            assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
        }
    }
    let forged = token(json!({})) + "x";
    let refused = Api::with_token(&server, &forged).get("/v1/documents");
    assert_eq!(refused.whole_problem(401)["code"], 4001);
    let expired = token(json!({"exp": 1}));
    assert_eq!(
        Api::with_token(&server, &expired)
            .get("/v1/documents/x")
            .problem(401),
        "UNAUTHORIZED"
    );
    // A URL is no place for a token.
    let in_query = format!("/v1/documents?token={}", token(json!({})));
    assert_eq!(Api::of(&server).get(&in_query).problem(400), "BAD_REQUEST");

    let all = json!({"permissions": ["read", "write", "create", "delete"]});
    let mut owner = Api::with_token(&server, &token(all));
    owner
        .put(
            "/v1/documents/invoice-1",
            json!({"kind": "text", "text": "due"}),
        )
        .ok();
    owner
        .put(
            "/v1/documents/letter",
            json!({"kind": "text", "text": "dear"}),
        )
        .ok();

    let reader = json!({"sub": "bob", "permissions": ["read"], "documents": ["invoice-*"]});
    let mut reader = Api::with_token(&server, &token(reader));
    assert_eq!(
        reader.get("/v1/documents/invoice-1/content").ok()["text"],
        "due"
    );
    assert_eq!(
        reader.get("/v1/documents/invoice-1").ok()["permissions"],
        json!({"read": true, "write": false})
    );
    for path in ["", "/content", "/operations", "/presence"] {
        let refused = reader.get(&format!("/v1/documents/letter{path}"));
        assert_eq!(refused.problem(403), "FORBIDDEN", "{path}");
    }
    let listed = reader.get("/v1/documents").ok();
    assert_eq!(
        listed["documents"],
        json!([{"id": "invoice-1", "kind": "text"}])
    );
    let edits = json!({"edits": [{"at": 0, "insert": "x"}], "baseRevision": 1});
    let operations = "/v1/documents/invoice-1/operations";
    assert_eq!(reader.post(operations, edits).problem(403), "FORBIDDEN");
    assert_eq!(
        reader
            .write("/v1/documents/invoice-1/content", "", "paid")
            .problem(403),
        "FORBIDDEN"
    );
    assert_eq!(
        reader
            .put("/v1/documents/invoice-2", json!({"kind": "log"}))
            .problem(403),
        "FORBIDDEN"
    );
    for (method, path) in [
        ("DELETE", "/v1/documents/invoice-1"),
        ("POST", "/v1/documents/invoice-1/restore"),
    ] {
        assert_eq!(
            reader.request(method, path, "", "").problem(403),
            "FORBIDDEN"
        );
    }
    assert_eq!(
        owner.get("/v1/documents/invoice-1/content").ok()["text"],
        "due"
    );
}

#[test]
fn tenants_do_not_meet() {
    let directory = tempfile::TempDir::new().expect("room");
    let server = spawn(&directory, &[]);
    let of = |tenant: &str| {
        let all = ["read", "write", "create", "delete"];
        let claims = json!({"tenant": tenant, "permissions": all});
        Api::with_token(&server, &token(claims))
    };
    let (mut acme, mut other) = (of("acme"), of("other"));
    let path = "/v1/documents/plan";
    acme.put(path, json!({"kind": "text", "text": "of acme"}))
        .ok();
    assert_eq!(other.get(path).problem(404), "DOCUMENT_NOT_FOUND");
    assert_eq!(other.get("/v1/documents").ok()["documents"], json!([]));
    other
        .put(path, json!({"kind": "log", "operations": ["of other"]}))
        .ok();
    assert_eq!(acme.get(&format!("{path}/content")).ok()["text"], "of acme");
    assert_eq!(other.get(path).ok()["kind"], "log");
    assert_eq!(other.request("DELETE", path, "", "").status, 204);
    assert_eq!(acme.get(path).ok()["revision"], 1);
    // Ada of one is not ada of the other.
    let client = |api: &mut Api| {
        let body = json!({"operations": [1], "create": "log"});
        api.post("/v1/documents/who/operations", body).ok();
        let page = api.get("/v1/documents/who/operations").ok();
        page["operations"][0]["clientId"].clone()
    };
    assert_ne!(client(&mut acme), client(&mut other));
}

#[test]
fn rates_and_quotas_are_those_of_every_client() {
    let directory = tempfile::TempDir::new().expect("room");
    let server = spawn(
        &directory,
        &[
            "rate.user_operations_per_second=1",
            "rate.burst=2s",
            "quota.documents_max=2",
        ],
    );
    let mut ada = Api::with_token(&server, &token(json!({"sub": "ada"})));
    let mut bob = Api::with_token(&server, &token(json!({"sub": "bob"})));
    let one = json!({"operations": [1], "create": "log"});
    let path = "/v1/documents/busy/operations";
    let refused = server.wait_for("the rate to be used up", || {
        let answer = ada.post(path, one.clone());
        (answer.status != 200).then_some(answer)
    });
    let problem = refused.whole_problem(429);
    assert_eq!(
        (&problem["name"], &problem["code"]),
        (&json!("RATE_LIMITED"), &json!(4029))
    );
    let after_ms = problem["retryAfterMs"].as_u64().expect("a time");
    let after_s = after_ms.div_ceil(1000).to_string();
    assert_eq!(refused.header("retry-after"), Some(after_s.as_str()));
    bob.post(path, one.clone()).ok();
    bob.post("/v1/documents/second/operations", one.clone())
        .ok();
    let third = server.wait_for("bob's rate", || {
        let answer = bob.post("/v1/documents/third/operations", one.clone());
        (answer.status != 429).then_some(answer)
    });
    assert_eq!(third.problem(507), "TENANT_QUOTA_EXCEEDED");
}

#[test]
fn what_a_backend_grants_is_granted_here_too() {
    use crate::common::backend::Backend;
    let backend = Backend::start();
    let permissions = ["read", "write", "create"];
    backend.answer(
        200,
        json!({"sub": "ada", "tenant": "acme", "permissions": permissions}),
    );
    let url = format!("auth.webhook_url={}", backend.url());
    let server = Server::spawn(&["auth.mode=webhook", &url, "shards.cores=2"]);
    let mut api = Api::with_token(&server, "good");
    api.put("/v1/documents/plan", json!({"kind": "text", "text": "x"}))
        .ok();
    assert_eq!(api.get("/v1/documents/plan/content").ok()["text"], "x");
    backend.answer(401, "");
    let refused = Api::with_token(&server, "bad").get("/v1/documents/plan");
    assert_eq!(refused.problem(401), "UNAUTHORIZED");
}

#[test]
fn where_nobody_is_asked_a_caller_names_itself() {
    let server = Server::spawn(&[]);
    let body = json!({"operations": [1], "create": "log"});
    let client = |user: &str| {
        let mut api = Api::of(&server);
        let headers = format!("X-User-ID: {user}\nX-User-Name: Somebody\n");
        let path = format!("/v1/documents/of-{user}/operations");
        api.send("POST", &path, &headers, &body).ok();
        api.get(&path).ok()["operations"][0]["clientId"].clone()
    };
    assert_ne!(client("ada"), client("bob"));
    let long = "x".repeat(129);
    let headers = format!("X-User-ID: {long}\n");
    let refused = Api::of(&server).request("GET", "/v1/documents", &headers, "");
    assert_eq!(refused.problem(400), "HELLO_INVALID");
    let head = "GET /v1/documents HTTP/1.0\r\n\r\n";
    assert_eq!(http(server.websocket, head).0, 200);
}

//! The HTTP interface as HTTP: connections that are kept, limits, slow clients, origins, and the page at `/`.

use std::io::{Read as _, Write as _};

use crate::common::api::Api;
use crate::common::client::{narrow, stream};
use crate::common::events::{Events, Http, uuid};
use crate::common::{Server, http};
use serde_json::json;

#[test]
fn one_connection_carries_requests_of_every_kind() {
    let server = Server::spawn(&["shards.cores=2"]);
    let mut events = Events::of(&server, 1, "/events/documents/mixed");
    events.expect_caught_up();
    let mut api = Api::of(&server);
    for number in 1..=50 {
        let body = json!({"operations": [number], "create": "log"});
        assert_eq!(
            api.post("/v1/documents/mixed/operations", body).ok()["revision"],
            number
        );
        assert_eq!(api.get("/v1/documents/mixed").ok()["revision"], number);
        events.expect("remote_ops");
        // A post to an event stream, as a browser sends it that has loaded the page over the same connection.
        let ping = json!({"type": "ping", "payload": {"nonce": number}});
        let path = events.path.clone();
        assert_eq!(api.http().post(&path, &ping.to_string()).status, 204);
        assert_eq!(events.expect("pong").json["payload"]["nonce"], number);
    }
    // And at last a stream.
    let query = format!("/events?client={}", uuid(2));
    let mut other = Events::open_over(api.into_stream(), &query, "").expect("a stream");
    other.expect("connected");
}

#[test]
fn what_is_not_http_is_refused_on_kept_connections_too() {
    let server = Server::spawn(&[]);
    for wrong in [
        "GET /v1/documents HTTP/1.1\nHost: relay\r\n\r\n",
        "GET /v1/documents HTTP/1.1\r\nHost: relay\r\n folded\r\n\r\n",
        "GET /v1/documents HTTP/1.1\r\n\r\n",
        "GET /v1/documents HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    ] {
        let mut api = Api::of(&server);
        api.get("/v1/documents").ok();
        api.http().write(wrong.as_bytes());
        let response = api.http().read();
        assert_eq!(response.status, 400, "{wrong:?}: {response:?}");
        assert!(api.http().is_closed());
    }
    // Two at once: the first is answered, and that the second has to be sent again.
    let two = "GET /v1/documents HTTP/1.1\r\nHost: relay\r\n\r\n".repeat(2);
    let mut hasty = Http::connect(server.websocket);
    hasty.write(two.as_bytes());
    let response = hasty.read();
    assert_eq!(
        (response.status, response.header("connection")),
        (200, Some("close"))
    );
    assert!(hasty.is_closed());
}

#[test]
fn what_cannot_be_answered_is_a_problem() {
    let server = Server::spawn(&[
        "connection.handshake_bytes_max=1KiB",
        "connection.message_bytes_max=4KiB",
        "presence.bytes_max=4KiB",
    ]);
    let long = "x".repeat(2000);
    let body = "x".repeat(4097);
    let table: &[(&str, &str, &str, &str, u16, &str)] = &[
        ("GET", "/v1", "", "", 404, "NOT_FOUND"),
        ("GET", "/v1/nowhere", "", "", 404, "NOT_FOUND"),
        (
            "PATCH",
            "/v1/documents/x",
            "",
            "",
            405,
            "METHOD_NOT_ALLOWED",
        ),
        ("POST", "/v1/documents", "", "", 405, "METHOD_NOT_ALLOWED"),
        (
            "GET",
            "/v1/documents",
            "Accept: text/html\n",
            "",
            406,
            "NOT_ACCEPTABLE",
        ),
        (
            "POST",
            "/v1/documents/x/operations",
            "Transfer-Encoding: chunked\n",
            "",
            411,
            "LENGTH_REQUIRED",
        ),
        (
            "POST",
            "/v1/documents/x/operations",
            "",
            &body,
            413,
            "CONTENT_TOO_LARGE",
        ),
        (
            "POST",
            "/v1/documents/x/operations",
            "",
            "{}",
            415,
            "UNSUPPORTED_MEDIA_TYPE",
        ),
        (
            "POST",
            "/v1/documents/x/operations",
            "Content-Type: application/json\n",
            "{",
            400,
            "BAD_REQUEST",
        ),
        (
            "GET",
            "/v1/documents",
            &format!("X-Long: {long}\n"),
            "",
            431,
            "REQUEST_HEADER_FIELDS_TOO_LARGE",
        ),
    ];
    for (method, path, headers, body, status, name) in table {
        let mut api = Api::of(&server);
        let response = api.request(method, path, headers, body);
        assert_eq!(response.problem(*status), *name, "{method} {path}");
    }
    let mut api = Api::of(&server);
    let refused = api.request("PATCH", "/v1/documents/x", "", "");
    let allowed = refused.header("allow").expect("it says what is");
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        assert!(allowed.contains(method), "{allowed}");
    }
}

#[test]
fn a_slow_client_is_not_waited_for() {
    let server = Server::spawn(&[
        "connection.handshake_timeout=2s",
        "connection.keep_alive_timeout=100ms",
        "connection.write_timeout=300ms",
    ]);
    let text = Api::of(&server).write_text("/v1/documents/long", 10_000_000);
    // Its body does not come.
    let mut slow = stream(server.websocket);
    let head =
        "POST /v1/documents/x/operations HTTP/1.1\r\nHost: relay\r\nContent-Length: 5\r\n\r\n{";
    slow.write_all(head.as_bytes()).expect("it is taken");
    let mut answer = String::new();
    slow.read_to_string(&mut answer).expect("the relay closes");
    assert!(
        answer.starts_with("HTTP/1.1 408 ") && answer.contains("application/problem+json"),
        "{answer}"
    );
    // It does not take its answer.
    let mut deaf = narrow(server.websocket);
    let head = "GET /v1/documents/long/content HTTP/1.1\r\nHost: relay\r\n\r\n";
    deaf.write_all(head.as_bytes()).expect("it is taken");
    std::thread::sleep(std::time::Duration::from_secs(1));
    let mut rest = Vec::new();
    // The relay has given up: what is still on its way is all that there is.
    let _ = deaf.read_to_end(&mut rest);
    assert!(rest.len() < text.len(), "{}", rest.len());
    // No further request comes.
    let mut idle = Api::of(&server);
    idle.get("/v1/documents").ok();
    assert!(idle.http().is_closed());
}

/// Asks for a text, and reads so much of the answer at a time, with a pause after each. Returns all that came.
fn read_slowly(server: &Server, path: &str, step: usize, pause_ms: u64) -> Vec<u8> {
    let mut slow = stream(server.websocket);
    let head = format!(
        "GET {path}/content HTTP/1.1\r\nHost: relay\r\nAccept: text/plain\r\nConnection: close\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).expect("it is taken");
    let mut answer = Vec::new();
    let mut piece = vec![0; step];
    while let Ok(length @ 1..) = slow.read(&mut piece) {
        answer.extend_from_slice(&piece[..length]);
        std::thread::sleep(std::time::Duration::from_millis(pause_ms));
    }
    answer
}

#[test]
fn a_slow_client_that_reads_all_the_time_gets_everything() {
    let server = Server::spawn(&["connection.write_timeout=500ms"]);
    let path = "/v1/documents/long";
    // More than what the system takes at once.
    let text = Api::of(&server).write_text(path, 12_000_000);
    let answer = read_slowly(&server, path, 50_000, 25);
    assert!(answer.ends_with(text.as_bytes()), "{} bytes", answer.len());
}

#[test]
fn who_takes_long_makes_room_where_others_need_it() {
    let server = Server::spawn(&[
        "connection.write_timeout=200ms",
        "document.bytes_max=8MiB",
        "http.bytes_max=32MiB",
        "http.requests_max=2",
    ]);
    let path = "/v1/documents/long";
    let text = Api::of(&server).write_text(path, 7_900_000);
    let whole = std::thread::scope(|scope| {
        let slow: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| read_slowly(&server, path, 20_000, 50)))
            .collect();
        // Sooner or later they hold all that there is; then they are given up.
        for _ in 0..8 {
            server.wait_for("an answer", || {
                let content = Api::of(&server).get(&format!("{path}/content"));
                (content.status == 200).then_some(())
            });
        }
        let slow = slow.into_iter().map(|slow| slow.join().expect("it ends"));
        slow.filter(|answer| answer.ends_with(text.as_bytes()))
            .count()
    });
    assert!(whole < 8, "they take half a minute each");
}

/// The head of a request with a body of so many bytes, in JSON.
fn head(path: &str, body_bytes: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: relay\r\nContent-Type: application/json\r\nContent-Length: {body_bytes}\r\n\r\n"
    )
}

#[test]
fn there_are_so_many_requests_at_one_time() {
    // It is asked about each token, and says nothing.
    let backend = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!(
        "auth.webhook_url=http://{}/",
        backend.local_addr().expect("it is bound")
    );
    let server = Server::spawn(&[
        "http.requests_max=2",
        "connection.per_address_max=4",
        "auth.mode=webhook",
        &url,
    ]);
    let ask = "GET /v1/documents HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer x\r\n\r\n";
    let _asked: Vec<_> = (0..2)
        .map(|_| {
            let mut http = Http::connect(server.websocket);
            http.write(ask.as_bytes());
            http
        })
        .collect();
    server.wait_for("both to be at work", || {
        let refused = Api::of(&server).get("/v1/openapi.json");
        let is_full = refused.status == 503;
        if is_full {
            assert_eq!(refused.header("retry-after"), Some("1"));
            let problem = refused.whole_problem(503);
            assert_eq!(
                (&problem["code"], &problem["retryable"]),
                (&json!(5003), &json!(true))
            );
        }
        is_full.then_some(())
    });
    // The places of their address are taken for as long.
    let _third = stream(server.websocket);
    let _fourth = server.wait_for("a place", || {
        let mut fourth = stream(server.websocket);
        fourth
            .set_read_timeout(Some(std::time::Duration::from_millis(50)))
            .expect("a time");
        fourth.read(&mut [0]).is_err().then_some(fourth)
    });
    let (status, _) = http(
        server.websocket,
        "GET /v1/openapi.json HTTP/1.1\r\nHost: relay\r\n\r\n",
    );
    assert_eq!(status, 429);
}

#[test]
fn bodies_that_do_not_come_keep_nobody_out() {
    let server = Server::spawn(&[
        "http.requests_max=2",
        "connection.message_bytes_max=4KiB",
        "presence.bytes_max=4KiB",
        "connection.posted_bytes_max=16KiB",
    ]);
    let path = "/v1/documents/x/operations";
    let begun: Vec<_> = (0..20)
        .map(|_| {
            let mut http = Http::connect(server.websocket);
            http.write(head(path, 4096).as_bytes());
            http
        })
        .collect();
    let mut api = Api::of(&server);
    for number in 1..=10 {
        let body = json!({"operations": [number], "create": "log"});
        assert_eq!(api.post(path, body).ok()["revision"], number);
    }
    // Not even if a good part of them comes: who has waited longest makes room.
    let mut body = json!({"operations": ["y".repeat(3000)]}).to_string();
    body += &" ".repeat(4096 - body.len());
    let (part, rest) = body.split_at(3500);
    let mut half: Vec<_> = begun
        .into_iter()
        .map(|mut http| {
            http.write(part.as_bytes());
            http
        })
        .collect();
    for number in 11..=20 {
        let body = json!({"operations": ["x".repeat(4000), number]});
        assert_eq!(api.post(path, body).ok()["firstRevision"], 2 * number - 11);
    }
    let first = half.remove(0).read();
    assert_eq!(first.problem(503), "SERVICE_UNAVAILABLE");
    let mut last = half.pop().expect("there are some");
    last.write(rest.as_bytes());
    assert_eq!(last.read().status, 200, "it was the youngest");
    // What is announced is not held.
    let mut honest = Http::connect(server.websocket);
    honest.write(head(path, 4096).as_bytes());
    for number in 0..20 {
        let mut other = Http::connect(server.websocket);
        other.write(head(path, 4096).as_bytes());
        assert_eq!(api.get("/v1/documents/x").status, 200, "{number}");
    }
    honest.write(body.as_bytes());
    assert_eq!(honest.read().status, 200);
}

#[test]
fn pages_of_other_origins_may_ask_unless_they_are_kept_out() {
    let open = Server::spawn(&[]);
    let ask = |server: &Server, origin: &str, method: &str| {
        let header = format!("Origin: {origin}\nAccess-Control-Request-Method: PUT\n");
        Api::of(server).request(method, "/v1/documents", &header, "")
    };
    let preflight = ask(&open, "https://app.example", "OPTIONS");
    assert_eq!(
        (
            preflight.status,
            preflight.header("access-control-allow-origin")
        ),
        (204, Some("*"))
    );
    let methods = preflight
        .header("access-control-allow-methods")
        .expect("some");
    assert!(
        methods.contains("PUT") && methods.contains("DELETE"),
        "{methods}"
    );
    let headers = preflight
        .header("access-control-allow-headers")
        .expect("some");
    assert!(
        headers.contains("Authorization") && headers.contains("If-Match"),
        "{headers}"
    );
    assert_eq!(
        ask(&open, "https://app.example", "GET").header("access-control-allow-origin"),
        Some("*")
    );

    let listed = Server::spawn(&["listen.origins=https://app.example"]);
    for method in ["OPTIONS", "GET"] {
        let allowed = ask(&listed, "https://app.example", method);
        assert!([200, 204].contains(&allowed.status), "{allowed:?}");
        assert_eq!(
            allowed.header("access-control-allow-origin"),
            Some("https://app.example")
        );
        assert_eq!(allowed.header("vary"), Some("Origin"));
        let refused = ask(&listed, "https://evil.example", method);
        assert_eq!(refused.problem(403), "FORBIDDEN");
        assert_eq!(refused.header("access-control-allow-origin"), None);
    }
    // Also what goes wrong can be read.
    let missing = Api::of(&listed).request(
        "GET",
        "/v1/documents/x",
        "Origin: https://app.example\n",
        "",
    );
    assert_eq!(missing.problem(404), "DOCUMENT_NOT_FOUND");
    assert_eq!(
        missing.header("access-control-allow-origin"),
        Some("https://app.example")
    );
}

#[test]
fn browsers_get_the_demo_and_others_a_few_words() {
    const BROWSER: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\n";
    let server = Server::spawn(&[]);
    let mut api = Api::of(&server);
    for accept in ["", "Accept: */*\n", "Accept: text/plain\n"] {
        let words = api.request("GET", "/", accept, "");
        assert_eq!(words.status, 200);
        assert!(words.body.contains("corelay relay"), "{words:?}");
    }
    let page = api.request("GET", "/", BROWSER, "");
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8"),
        "{page:?}"
    );
    let policy = page.header("content-security-policy").expect("one");
    assert!(
        policy.contains("default-src 'none'") && policy.contains("connect-src 'self' ws: wss:")
    );
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(page.header("vary"), Some("Accept, Accept-Encoding"));
    assert_eq!(page.header("content-encoding"), None);
    let tag = page.header("etag").expect("one").to_owned();
    let known = api.request("GET", "/", &format!("{BROWSER}If-None-Match: {tag}\n"), "");
    assert_eq!((known.status, known.body.as_str()), (304, ""));
    // Compressed it is another form, with a tag of its own.
    let packed_tag = format!("{}-gzip\"", tag.trim_end_matches('"'));
    let conditions = format!("{BROWSER}Accept-Encoding: gzip\nIf-None-Match: {packed_tag}\n");
    let packed = api.request("GET", "/", &conditions, "");
    assert_eq!(packed.status, 304);
    assert_eq!(packed.header("etag"), Some(packed_tag.as_str()));
    // Whatever the page asks for is there, and is what it says.
    let asked = page
        .body
        .split(['"', '\''])
        .filter(|path| path.starts_with("./assets/"));
    let mut count = 0;
    for path in asked {
        let file = api.get(path.trim_start_matches('.'));
        assert_eq!(file.status, 200, "{path}");
        let kind = file.header("content-type").expect("one");
        let expected = match path.rsplit('.').next() {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            other => panic!("{other:?}"),
        };
        assert_eq!(kind, expected);
        assert_eq!(file.header("cache-control"), Some("no-cache"));
        count += 1;
    }
    assert!(count > 0, "{page:?}");
    let refused = api.request("POST", "/", "", "");
    assert_eq!(
        (refused.status, refused.header("allow")),
        (405, Some("GET,HEAD"))
    );
    let nowhere = api.get("/assets/../secret");
    assert_eq!(nowhere.status, 404);

    let without = Server::spawn(&["listen.demo=off"]);
    let words = Api::of(&without).request("GET", "/", BROWSER, "");
    assert_eq!(words.status, 200);
    assert!(words.body.contains("/v1/openapi.json"), "{words:?}");
}

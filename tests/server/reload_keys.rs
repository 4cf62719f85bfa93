//! What a reload changes beside the engine has its effect, key by key, and whoever is connected stays. (For the engine's
//! keys: `tests/protocol/limits.rs`.)

use std::io::Read as _;
use std::time::Duration;

use crate::common::api::Api;
use crate::common::backend::Backend;
use crate::common::client::{Client, stream};
use crate::common::events::Http;
use crate::common::tokens::{self, greet, now_s, token};
use crate::common::{Server, http};
use corelay::codec::wire::{Hello, request};
use serde_json::json;
use tempfile::TempDir;

/// A relay with a configuration file, and somebody who is connected all the time.
struct Relay {
    server: Server,
    /// Lines that are in its file for good.
    fixed: String,
    witness: Client,
    document: u64,
    /// How many operations the witness has written, each of a batch of its own.
    written: u64,
    directory: TempDir,
}

impl Relay {
    /// Nobody is asked for tokens.
    fn start(first: &str) -> Self {
        Self::with("", first, |client| drop(client.hello(1)))
    }

    /// Tokens are signed with the tests' secret.
    fn asking_for_tokens(first: &str) -> Self {
        let directory = TempDir::new().expect("there is room");
        let [_, secret] = tokens::settings(directory.path());
        let fixed = format!("auth.mode = \"jwt\"\n{secret}\n");
        let enter = |client: &mut Client| {
            greet(client, 1, &token(json!({}))).expect("the token is good");
        };
        Self::in_directory(directory, &fixed, first, enter)
    }

    /// A backend says what tokens grant, and lets the witness in.
    fn asking(backend: &Backend, first: &str) -> Self {
        backend.answer(200, json!({"sub": "ada"}));
        let url = backend.url();
        let fixed = format!(
            "auth.mode = \"webhook\"\nauth.webhook_url = \"{url}\"\nconnection.handshake_timeout = \"1 h\"\n"
        );
        Self::with(&fixed, first, |client| {
            greet(client, 1, "the witness's").expect("the backend lets it in");
        })
    }

    fn with(fixed: &str, first: &str, enter: impl FnOnce(&mut Client)) -> Self {
        let directory = TempDir::new().expect("there is room");
        Self::in_directory(directory, fixed, first, enter)
    }

    fn in_directory(
        directory: TempDir,
        fixed: &str,
        first: &str,
        enter: impl FnOnce(&mut Client),
    ) -> Self {
        let file = directory.path().join("corelay.toml");
        std::fs::write(file, format!("{fixed}{first}\n")).expect("there is room");
        let server = Server::spawn_in(directory.path(), &[]);
        let mut witness = Client::tcp(&server);
        enter(&mut witness);
        let document = witness.open("witness").document;
        Self {
            server,
            fixed: fixed.to_owned(),
            witness,
            document,
            written: 0,
            directory,
        }
    }

    fn write(&mut self, operation: &str) {
        let (seq, clock) = (self.written + 1, self.written);
        self.witness.send(self.document, seq, clock, &[operation]);
        self.witness.ack(seq);
        self.written += 1;
    }

    /// These lines take the place of those from before. Everything in them can be reloaded, and the witness notices nothing.
    fn reload(&mut self, lines: &str) {
        let file = self.directory.path().join("corelay.toml");
        std::fs::write(file, format!("{}{lines}\n", self.fixed)).expect("there is room");
        let log = self.server.reload();
        assert!(log.contains("configuration is reloaded"), "{log}");
        assert!(log.contains("need_restart=0"), "{log}");
        self.write("still here");
    }

    /// How many turns took too long, of all until now.
    fn stalls(&mut self) -> u64 {
        self.write("the last that counts");
        let written = self.written;
        self.server.wait_for("the shard's word", || {
            (self.server.metric("operations_total") == written).then_some(())
        });
        self.server.metric("stalls_total")
    }

    /// Whether it takes this token.
    fn accepts(&self, token: &str) -> bool {
        greet(&mut Client::tcp(&self.server), 2, token).is_ok()
    }
}

#[test]
fn what_a_stall_is() {
    let mut relay = Relay::start("shards.stall_after = \"1 min\"");
    let work = "x".repeat(900_000);
    for _ in 0..5 {
        relay.write(&work);
    }
    assert_eq!(relay.stalls(), 0);
    relay.reload("shards.stall_after = \"1 ms\"");
    while relay.stalls() == 0 {
        relay.write(&work);
    }
    relay.reload("shards.stall_after = \"1 min\"");
    let stalls = relay.stalls();
    for _ in 0..5 {
        relay.write(&work);
    }
    assert_eq!(relay.stalls(), stalls);
}

#[test]
fn how_long_and_how_large_a_request_may_be() {
    let mut relay = Relay::start(
        "connection.handshake_timeout = \"1 h\"\nconnection.keep_alive_timeout = \"1 h\"",
    );
    let long = format!("X-Long: {}\n", "x".repeat(2000));
    let mut kept = Api::of(&relay.server);
    let answer = kept.request("GET", "/v1/documents", &long, "");
    assert_eq!(answer.status, 200);
    relay.reload(
        "connection.handshake_timeout = \"1 s\"\nconnection.keep_alive_timeout = \"1 s\"\n\
         connection.handshake_bytes_max = \"1 KiB\"",
    );
    kept.get("/v1/documents").ok();
    let mut api = Api::of(&relay.server);
    let refused = api.request("GET", "/v1/documents", &long, "");
    assert_eq!(refused.problem(431), "REQUEST_HEADER_FIELDS_TOO_LARGE");
    // It says nothing.
    let mut silent = stream(relay.server.websocket);
    let _ = silent.read_to_end(&mut Vec::new());
    // It says nothing more.
    assert!(kept.http().is_closed());
}

#[test]
fn what_bodies_may_hold() {
    let small = "connection.message_bytes_max = \"4 KiB\"\npresence.bytes_max = \"4 KiB\"\n";
    let enter = |client: &mut Client| drop(client.hello(1));
    let mut relay = Relay::with(small, "connection.posted_bytes_max = \"1 MiB\"", enter);
    let body = json!({"operations": ["y".repeat(4000)], "create": "log"}).to_string();
    let (part, rest) = body.split_at(3500);
    let head = format!(
        "POST /v1/documents/x/operations HTTP/1.1\r\nHost: relay\r\nContent-Type: application/json\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let begin = |relay: &Relay| {
        [(); 3].map(|()| {
            let mut http = Http::connect(relay.server.websocket);
            http.write(head.as_bytes());
            // The relay has them in this order.
            assert_eq!(http.read().status, 100);
            http.write(part.as_bytes());
            http
        })
    };
    for mut http in begin(&relay) {
        http.write(rest.as_bytes());
        assert_eq!(http.read().status, 200);
    }
    relay.reload("connection.posted_bytes_max = \"16 KiB\"");
    let [mut first, _second, mut third] = begin(&relay);
    assert_eq!(first.read().problem(503), "SERVICE_UNAVAILABLE");
    third.write(rest.as_bytes());
    assert_eq!(third.read().status, 200);
}

#[test]
fn what_requests_may_hold() {
    let mut relay = Relay::start("");
    let large = |relay: &Relay| {
        let body = json!({"operations": ["y".repeat(600_000)], "create": "log"});
        Api::of(&relay.server).post("/v1/documents/x/operations", body)
    };
    large(&relay).ok();
    let limit = |relay: &Relay, bytes: usize| {
        let line = format!("corelay_memory_limit_bytes{{pool=\"http\"}} {bytes}\n");
        let (_, metrics) = relay.server.control("/metrics");
        assert!(metrics.contains(&line), "{metrics}");
    };
    limit(&relay, 512 << 20);
    relay.reload("http.bytes_max = \"1 MiB\"\ndocument.bytes_max = \"64 KiB\"");
    limit(&relay, 1 << 20);
    assert_eq!(large(&relay).problem(503), "SERVICE_UNAVAILABLE");
    relay.reload("");
    large(&relay).ok();
}

#[test]
fn how_many_requests_there_may_be_and_how_long_each_may_take() {
    let backend = Backend::start();
    let fixed = "auth.webhook_timeout = \"10 min\"\nhttp.request_timeout = \"1 h\"";
    let mut relay = Relay::asking(&backend, fixed);
    backend.delay(Duration::from_secs(600));
    let page = "GET /v1/openapi.json HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n";
    let ask = "GET /v1/documents HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer x\r\n\r\n";
    let mut asked = Http::connect(relay.server.websocket);
    asked.write(ask.as_bytes());
    relay.server.wait_for("it to be at work", || {
        (relay.server.metric("http_requests") == 1).then_some(())
    });
    assert_eq!(http(relay.server.websocket, page).0, 200);
    relay.reload(&format!("{fixed}\nhttp.requests_max = 1"));
    assert_eq!(relay.server.metric("http_requests_limit"), 1);
    assert_eq!(http(relay.server.websocket, page).0, 503);
    relay.reload("auth.webhook_timeout = \"10 min\"\nhttp.request_timeout = \"100 ms\"");
    let mut late = Http::connect(relay.server.websocket);
    late.write(ask.as_bytes());
    assert_eq!(late.read().problem(503), "SERVICE_UNAVAILABLE");
}

#[test]
fn which_tokens_are_good() {
    let mut relay = Relay::asking_for_tokens("");
    let plain = token(json!({}));
    let named = token(json!({"iss": "us"}));
    let meant = token(json!({"aud": "relay"}));
    let late = token(json!({"exp": now_s() - 60}));
    let long = token(json!({"documents": vec!["x".repeat(100); 3]}));
    let table = [
        ("", [true, true, false, false, true]),
        (
            "auth.jwt_issuer = \"us\"",
            [false, true, false, false, false],
        ),
        (
            "auth.jwt_audience = \"relay\"",
            [false, false, true, false, false],
        ),
        ("auth.leeway = \"5 min\"", [true, true, false, true, true]),
        // They are good for ten.
        (
            "auth.token_lifetime_max = \"1 min\"",
            [false, false, false, false, false],
        ),
        (
            "auth.token_bytes_max = 256",
            [true, true, false, false, false],
        ),
        ("", [true, true, false, false, true]),
    ];
    for (lines, expected) in table {
        relay.reload(lines);
        let found = [&plain, &named, &meant, &late, &long].map(|token| relay.accepts(token));
        assert_eq!(found, expected, "{lines}");
    }
}

#[test]
fn how_many_revocations_are_remembered() {
    let mut relay = Relay::asking_for_tokens("");
    let revoke = |relay: &Relay, token_id: &str| {
        let body = json!({"token_id": token_id}).to_string();
        let answer = relay
            .server
            .post_control("/revoke", "application/json", &body);
        answer.0
    };
    assert_eq!(revoke(&relay, "one"), 200);
    relay.reload("auth.revocations_max = 1");
    assert_eq!(revoke(&relay, "two"), 503);
    let level = |name: &str| relay.server.metric(name);
    assert_eq!((level("revocations"), level("revocations_limit")), (1, 1));
    relay.reload("auth.revocations_max = 2");
    assert_eq!(revoke(&relay, "two"), 200);
}

#[test]
fn how_the_backend_is_asked() {
    let backend = Backend::start();
    let mut relay = Relay::asking(&backend, "auth.webhook_cache = \"1 h\"");
    assert!(relay.accepts("one") && relay.accepts("one"));
    let asked = backend.requests().len();
    assert_eq!(asked, 2, "the witness's token, and one");
    // What was remembered by the old rules is not.
    relay.reload("auth.webhook_cache = \"1 ms\"");
    assert!(relay.accepts("one"));
    std::thread::sleep(Duration::from_millis(10));
    assert!(relay.accepts("one"));
    assert_eq!(backend.requests().len(), asked + 2);

    backend.delay(Duration::from_secs(600));
    relay.reload("auth.webhook_timeout = \"100 ms\"");
    assert!(!relay.accepts("two"));
    relay.server.wait_for_log("no answer within 100 ms");

    relay.reload("auth.webhook_timeout = \"10 min\"\nauth.webhook_inquiries_max = 1");
    let mut waits = Client::tcp(&relay.server);
    waits.request(request::Body::Hello(Hello {
        protocol_version: 3,
        client_uuid: vec![3; 16].into(),
        token: "three".to_owned(),
        ..Hello::default()
    }));
    relay.server.wait_for("the question", || {
        (relay.server.metric("inquiries") == 1).then_some(())
    });
    let error = greet(&mut Client::tcp(&relay.server), 4, "four").expect_err("there is one");
    assert_eq!((error.code, error.retryable), (5003, true));
}

#[test]
fn how_long_a_stop_waits_for_who_takes_nothing() {
    let mut relay = Relay::start("shutdown.timeout = \"1 h\"\nconnection.write_timeout = \"1 h\"");
    let mut deaf = Client::narrow(&relay.server);
    deaf.hello(2);
    deaf.open("witness");
    // More than its kernel and the relay's take.
    while relay.server.metric("blocked_connections") == 0 {
        relay.write(&"x".repeat(500_000));
    }
    relay.reload("shutdown.timeout = \"100 ms\"\nconnection.write_timeout = \"1 h\"");
    relay.server.terminate();
    assert_eq!(relay.server.wait().code(), Some(0));
    let log = relay.server.log();
    assert!(
        log.contains("did not take what they were owed in time"),
        "{log}"
    );
}

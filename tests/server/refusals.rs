//! What whoever runs the relay sees of those who are refused, over real sockets: a counter for each code, and some lines of
//! the log that say who it was.

use crate::common::api::Api;
use crate::common::client::{Client, hello};
use crate::common::tokens::{self, greet, last_word, token};
use crate::common::{Server, http, upgrade};
use corelay::codec::wire::{ErrorCode, Open, event, request};
use serde_json::json;
use tempfile::TempDir;

/// Waits until so many refusals with this code are counted.
fn wait_for_refusals(server: &Server, code: &str, count: u64) {
    let series = format!("corelay_refusals_total{{code=\"{code}\"}} {count}");
    server.wait_for(&series, || {
        let (_, text) = server.control("/metrics");
        text.lines().any(|line| line == series).then_some(())
    });
}

/// The lines of the log about refusals with this code.
fn lines(server: &Server, code: &str) -> Vec<String> {
    let log = server.log();
    let code = format!("code=\"{code}\"");
    let lines = log.lines().filter(|line| line.contains(&code));
    lines.map(str::to_owned).collect()
}

#[test]
fn who_shows_a_wrong_token_or_asks_for_too_much_is_counted_and_named() {
    let directory = TempDir::new().expect("a directory");
    let [mode, secret] = tokens::settings(directory.path());
    let server = Server::spawn(&[&mode, &secret, "shards.cores=2"]);
    for number in 0..10 {
        let mut client = Client::websocket(&server, "/ws");
        let error = greet(&mut client, number, "a.wrong.token").expect_err("it is wrong");
        assert_eq!(error.code(), ErrorCode::Unauthorized);
        last_word(&mut client);
    }
    wait_for_refusals(&server, "UNAUTHORIZED", 10);
    let line = server.wait_for("a line", || lines(&server, "UNAUTHORIZED").first().cloned());
    for part in [
        "refused",
        "reason=\"the token is not accepted",
        "address=127.0.0.1",
        "connection=",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }

    // What a peer calls itself is a text in quotes.
    let reader = token(json!({
        "sub": "ada \"x\"", "tenant": "acme", "documents": ["*"], "permissions": ["read"]
    }));
    let mut client = Client::tcp(&server);
    greet(&mut client, 1, &reader).expect("it is good");
    for request_id in 1..=10 {
        client.request(request::Body::Open(Open {
            request_id,
            document: "paper".to_owned(),
            kind: "log".to_owned(),
            create: true,
            ..Open::default()
        }));
        let error = client.expect("Error", |event| match event {
            event::Body::Error(error) => Some(error),
            _other => None,
        });
        assert_eq!(error.code(), ErrorCode::Forbidden, "{error:?}");
    }
    wait_for_refusals(&server, "FORBIDDEN", 10);
    let line = server.wait_for("a line", || lines(&server, "FORBIDDEN").first().cloned());
    for part in [r#"user="ada \"x\"""#, "tenant=\"acme\""] {
        assert!(line.contains(part), "{part}: {line}");
    }

    // Over HTTP a client is refused once, though it is two that pass it on.
    let mut api = Api::with_token(&server, "another.wrong.token");
    for _ in 0..10 {
        assert_eq!(api.get("/v1/documents/paper").problem(401), "UNAUTHORIZED");
    }
    wait_for_refusals(&server, "UNAUTHORIZED", 20);
    let told = lines(&server, "UNAUTHORIZED");
    assert!(
        told.iter()
            .all(|line| line.contains("address=127.0.0.1") || line.contains("left_out=")),
        "{told:?}"
    );
}

#[test]
fn a_flood_of_refusals_is_a_few_lines_and_the_number_of_the_others() {
    let server = Server::spawn(&["rate.connection_requests_per_second=1"]);
    let mut client = Client::tcp(&server);
    client.hello(1);
    let asked = 500;
    client.requests((0..asked).map(|request_id| {
        request::Body::Open(Open {
            request_id,
            document: "paper".to_owned(),
            ..Open::default()
        })
    }));
    let codes = (0..asked).map(|_| match client.next_event() {
        Some(event::Body::Error(error)) => error.code(),
        other => panic!("{other:?}"),
    });
    let refused = codes.filter(|code| *code == ErrorCode::RateLimited).count() as u64;
    assert!(refused > asked / 2, "{refused}");
    wait_for_refusals(&server, "RATE_LIMITED", refused);
    let told = server.wait_for("all to be told of", || {
        let told = lines(&server, "RATE_LIMITED");
        let left_out = told
            .iter()
            .filter_map(|line| line.split_once("left_out=")?.1.parse::<u64>().ok());
        let others = told
            .iter()
            .filter(|line| line.contains("others were refused"))
            .count();
        (left_out.sum::<u64>() + (told.len() - others) as u64 == refused).then_some(told)
    });
    assert!(told.len() < 50, "{}", told.len());
}

#[test]
fn crowds_and_foreign_pages_are_counted_and_named() {
    let server = Server::spawn(&[
        "connection.per_user_max=1",
        "listen.origins=https://app.example",
    ]);
    let mut first = Client::tcp(&server);
    let name = |number| match hello(number) {
        request::Body::Hello(hello) => request::Body::Hello(corelay::codec::wire::Hello {
            user_id: "grace".to_owned(),
            ..hello
        }),
        other => other,
    };
    first.request(name(1));
    assert!(matches!(
        first.next_event(),
        Some(event::Body::Connected(_))
    ));
    let mut second = Client::tcp(&server);
    second.request(name(2));
    assert_eq!(last_word(&mut second).code(), ErrorCode::TooManyConnections);
    wait_for_refusals(&server, "TOO_MANY_CONNECTIONS", 1);
    let line = server.wait_for("a line", || {
        lines(&server, "TOO_MANY_CONNECTIONS").first().cloned()
    });
    assert!(
        line.contains("user=\"grace\"") && line.contains("the user has 1"),
        "{line}"
    );

    let (status, _) = http(
        server.websocket,
        &upgrade("Origin: https://evil.example/\"\r\n"),
    );
    assert_eq!(status, 403);
    wait_for_refusals(&server, "FORBIDDEN", 1);
    let line = server.wait_for("a line", || lines(&server, "FORBIDDEN").first().cloned());
    assert!(
        line.contains(r#"origin="https://evil.example/\"""#),
        "{line}"
    );

    let server = Server::spawn(&["connection.per_address_max=1"]);
    let _first = Client::websocket(&server, "/ws");
    assert_eq!(http(server.websocket, &upgrade("")).0, 429);
    last_word(&mut Client::tcp(&server));
    wait_for_refusals(&server, "TOO_MANY_CONNECTIONS", 2);
    let told = server.wait_for("two lines", || {
        Some(lines(&server, "TOO_MANY_CONNECTIONS")).filter(|told| told.len() == 2)
    });
    let is_whole =
        |line: &String| line.contains("the address has 1") && line.contains("address=127.0.0.1");
    assert!(told.iter().all(is_whole), "{told:?}");
}

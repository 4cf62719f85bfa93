//! Tokens that only the operator's backend can judge: what happens while nobody knows, and after.

use std::sync::Arc;
use std::time::Duration;

use corelay::auth::{Grant, Revocation, Revocations, TokenError};
use corelay::codec::wire::{ErrorCode, Hello, request};
use corelay::engine::shard::{Arrival, Authority, Backend, Inquiry, Transport};
use serde_json::{Value, json};

use crate::expect;
use crate::fixture::{Client, Relay, STARTED_AT_MS, TRANSPORTS};
use crate::requests::{hello, log_batch, open};

const INQUIRIES_MAX: usize = 4;

fn backend() -> Backend {
    Backend {
        token_bytes_max: 100,
        inquiries_max: INQUIRIES_MAX,
        revocations: Arc::default(),
    }
}

fn relay(shards: usize) -> Relay {
    Relay::with(shards, |settings| {
        settings.authority = Authority::Backend(backend());
    })
}

fn hello_with(device: &str, token: &str) -> request::Body {
    match hello(device) {
        request::Body::Hello(hello) => request::Body::Hello(Hello {
            token: token.to_owned(),
            ..hello
        }),
        other => other,
    }
}

fn grant(answer: Value) -> Arc<Grant> {
    let grant = Grant::from_answer(answer.to_string().as_bytes(), 0, STARTED_AT_MS);
    Arc::new(grant.expect("it is an answer"))
}

fn judge(relay: &mut Relay, inquiry: &Inquiry, verdict: Result<Arc<Grant>, TokenError>) {
    let now = relay.now();
    relay.shards[0].handle_verdict(inquiry.connection, verdict, now);
    relay.settle();
}

fn asked(relay: &mut Relay) -> Inquiry {
    let inquiry = relay.shards[0]
        .poll_inquiry()
        .expect("the backend is asked");
    assert_eq!(relay.shards[0].poll_inquiry(), None);
    inquiry
}

fn admitted(relay: &mut Relay, device: &str, answer: Value) -> Client {
    let client = relay.connect(Transport::Tcp);
    relay.send(client, hello_with(device, "token"));
    let inquiry = asked(relay);
    judge(relay, &inquiry, Ok(grant(answer)));
    expect!(relay, client, Connected);
    client
}

#[test]
fn a_client_waits_for_the_verdict_and_is_then_served() {
    for transport in TRANSPORTS {
        let mut relay = relay(2);
        let client = relay.connect(transport);
        relay.send(client, hello_with("laptop", "a token"));
        // It asks on before it is let in.
        for document in ["a", "b", "c"] {
            relay.send(client, open(document, "log", true));
        }
        relay.assert_quiet(client);
        assert!(!relay.wants_bytes(client));
        let inquiry = asked(&mut relay);
        assert_eq!(inquiry.token, "a token");
        judge(
            &mut relay,
            &inquiry,
            Ok(grant(json!({"sub": "ada", "documents": ["a", "b"]}))),
        );
        expect!(relay, client, Connected);
        let mut answers = [0, 0];
        for event in relay.drain(client) {
            match event {
                corelay::codec::wire::event::Body::Opened(_) => answers[0] += 1,
                corelay::codec::wire::event::Body::Error(error) => {
                    assert_eq!(error.code(), ErrorCode::Forbidden);
                    answers[1] += 1;
                }
                _other => (),
            }
        }
        assert_eq!(answers, [2, 1]);
        assert!(relay.wants_bytes(client));
    }
}

#[test]
fn what_the_backend_says_is_what_the_client_gets() {
    let table = [
        (TokenError::Denied, ErrorCode::Unauthorized, false),
        (TokenError::Expired, ErrorCode::Unauthorized, false),
        (TokenError::Unjudged, ErrorCode::ServiceUnavailable, true),
    ];
    for (error, code, retryable) in table {
        for transport in TRANSPORTS {
            let mut relay = relay(1);
            let client = relay.connect(transport);
            relay.send(client, hello_with("laptop", "token"));
            let inquiry = asked(&mut relay);
            judge(&mut relay, &inquiry, Err(error));
            let answer = expect!(relay, client, Error);
            assert_eq!((answer.code(), answer.retryable), (code, retryable));
            assert_eq!(expect!(relay, client, Close).code(), code);
            assert!(relay.is_closed(client));
        }
    }
}

#[test]
fn nobody_is_asked_about_what_is_no_token() {
    for bad in ["", &"x".repeat(101)] {
        let mut relay = relay(1);
        let client = relay.connect(Transport::Tcp);
        relay.send(client, hello_with("laptop", bad));
        assert_eq!(
            expect!(relay, client, Error).code(),
            ErrorCode::Unauthorized
        );
        assert_eq!(relay.shards[0].poll_inquiry(), None);
    }
}

#[test]
fn a_token_of_the_handshake_is_that_of_hello_unless_hello_has_one() {
    for (said, expected) in [("", "early"), ("late", "late")] {
        let mut relay = relay(1);
        let arrival = Arrival {
            token: Some("early".to_owned()),
            ..Arrival::new(Transport::WebSocket)
        };
        let client = relay.arrive(0, arrival).expect("there is room");
        assert_eq!(relay.shards[0].metrics().input_bytes, 5);
        relay.send(client, hello_with("laptop", said));
        assert_eq!(relay.shards[0].metrics().input_bytes, 0);
        assert_eq!(asked(&mut relay).token, expected);
    }
    let mut relay = relay(1);
    let arrival = Arrival {
        token: Some("early".to_owned()),
        ..Arrival::new(Transport::WebSocket)
    };
    let client = relay.arrive(0, arrival).expect("there is room");
    relay.vanish(client);
    assert_eq!(relay.shards[0].metrics().input_bytes, 0);
}

#[test]
fn too_many_at_once_are_told_to_come_back() {
    let mut relay = relay(1);
    let waiting: Vec<_> = (0..INQUIRIES_MAX)
        .map(|number| {
            let client = relay.connect(Transport::Tcp);
            relay.send(client, hello_with(&format!("device {number}"), "token"));
            (client, asked(&mut relay))
        })
        .collect();
    let refused = |relay: &mut Relay| {
        let client = relay.connect(Transport::Tcp);
        relay.send(client, hello_with("laptop", "token"));
        let error = expect!(relay, client, Error);
        (error.code(), error.retryable)
    };
    assert_eq!(refused(&mut relay), (ErrorCode::ServiceUnavailable, true));
    // The question is not taken back with its client.
    let (gone, inquiry) = &waiting[0];
    relay.vanish(*gone);
    assert_eq!(refused(&mut relay), (ErrorCode::ServiceUnavailable, true));
    judge(&mut relay, inquiry, Ok(grant(json!({"sub": "ada"}))));
    let client = relay.connect(Transport::Tcp);
    relay.send(client, hello_with("laptop", "token"));
    asked(&mut relay);
}

#[test]
fn a_verdict_that_does_not_come_ends_the_handshake() {
    let mut relay = relay(1);
    let client = relay.connect(Transport::Tcp);
    relay.send(client, hello_with("laptop", "token"));
    let inquiry = asked(&mut relay);
    relay.pass(Duration::from_secs(10));
    let error = expect!(relay, client, Error);
    assert_eq!(
        (error.code(), error.retryable),
        (ErrorCode::ServiceUnavailable, true)
    );
    expect!(relay, client, Close);
    // It comes after all.
    judge(&mut relay, &inquiry, Ok(grant(json!({"sub": "ada"}))));
    assert!(relay.is_closed(client));
    relay.assert_quiet(client);
}

#[test]
fn a_fresh_token_is_asked_about_too() {
    let exp = STARTED_AT_MS / 1000 + 20;
    let mut relay = relay(1);
    let client = admitted(&mut relay, "laptop", json!({"sub": "ada", "exp": exp}));
    let handle = relay.open(client, "notes", "log").document;
    // The backend is down: what it said before still counts.
    relay.send(client, hello_with("laptop", "fresh"));
    let inquiry = asked(&mut relay);
    judge(&mut relay, &inquiry, Err(TokenError::Unjudged));
    let error = expect!(relay, client, Error);
    assert_eq!(
        (error.code(), error.retryable),
        (ErrorCode::ServiceUnavailable, true)
    );
    // What the client sends meanwhile is handled after the verdict.
    relay.send(client, hello_with("laptop", "fresh"));
    relay.send(client, log_batch(handle, 0, ["one"]));
    relay.assert_quiet(client);
    let inquiry = asked(&mut relay);
    let answer = json!({"sub": "ada", "exp": exp + 20, "permissions": ["read"]});
    judge(&mut relay, &inquiry, Ok(grant(answer)));
    expect!(relay, client, Connected);
    assert_eq!(expect!(relay, client, Nack).code(), ErrorCode::Forbidden);
    relay.pass(Duration::from_secs(30));
    assert!(!relay.is_closed(client), "the fresh one counts");
    relay.drain(client);
    relay.send(client, hello_with("laptop", "bad"));
    let inquiry = asked(&mut relay);
    judge(&mut relay, &inquiry, Err(TokenError::Denied));
    assert_eq!(
        expect!(relay, client, Error).code(),
        ErrorCode::Unauthorized
    );
    expect!(relay, client, Close);
    assert!(relay.is_closed(client));
}

#[test]
fn a_revocation_means_whom_the_backend_let_in_and_those_it_is_asked_about() {
    let mut relay = relay(1);
    let known = admitted(&mut relay, "laptop", json!({"sub": "ada"}));
    let waiting = relay.connect(Transport::Tcp);
    relay.send(waiting, hello_with("phone", "token"));
    let inquiry = asked(&mut relay);
    let mut revocations = Revocations::default();
    let user = Revocation::User {
        tenant: String::new(),
        user_id: "ada".to_owned(),
    };
    revocations.add(user, STARTED_AT_MS, u64::MAX);
    let authority = Authority::Backend(Backend {
        revocations: Arc::new(revocations),
        ..backend()
    });
    let now = relay.now();
    assert_eq!(relay.shards[0].set_authority(authority, now), 1);
    relay.settle();
    // It was asked before.
    judge(&mut relay, &inquiry, Ok(grant(json!({"sub": "ada"}))));
    for client in [known, waiting] {
        let error = expect!(relay, client, Error);
        assert_eq!(error.code(), ErrorCode::Unauthorized);
        assert!(error.message.contains("revoked"), "{}", error.message);
        expect!(relay, client, Close);
    }
    // The backend was asked afterwards, and lets the user in.
    let later = json!({"sub": "ada", "iat": STARTED_AT_MS / 1000 + 1});
    admitted(&mut relay, "laptop", later);
}

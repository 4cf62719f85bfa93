//! Tokens: who a client is said to be, what it may do, and until when.

use std::sync::Arc;
use std::time::Duration;

use corelay::auth::{KeyMaterial, Revocation, Revocations, Rules, Verifier};
use corelay::codec::wire::{ErrorCode, event, request};
use corelay::engine::shard::{Arrival, Authority, Transport};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::expect;
use crate::fixture::{Client, Relay, STARTED_AT_MS, TRANSPORTS};
use crate::requests::{hello, log_batch, open};

const SECRET: &[u8] = b"a secret that only the test and the relay know";
const LIFETIME_S: u64 = 20;

fn rules() -> Rules {
    Rules {
        issuer: None,
        audience: None,
        leeway_ms: 0,
        lifetime_max_ms: 1000 * 24 * 3600 * 1000,
        token_bytes_max: 8192,
    }
}

fn verifier() -> Verifier {
    let material = KeyMaterial::Secret(SECRET.to_vec());
    Verifier::new(&material, rules()).expect("the secret is long enough")
}

pub fn relay(shards: usize) -> Relay {
    let verifier = verifier();
    Relay::with(shards, |settings| {
        settings.authority = Authority::Tokens(Arc::new(verifier));
    })
}

/// A token that ends `LIFETIME_S` after the relay's start, with these claims over the usual.
pub fn token(others: &Value) -> String {
    let mut claims = json!({"sub": "ada", "exp": STARTED_AT_MS / 1000 + LIFETIME_S});
    for (name, value) in others.as_object().expect("claims are an object") {
        claims[name] = value.clone();
    }
    let key = EncodingKey::from_secret(SECRET);
    encode(&Header::default(), &claims, &key).expect("the key signs")
}

pub fn hello_with(device: &str, token: String) -> request::Body {
    match hello(device) {
        request::Body::Hello(hello) => {
            request::Body::Hello(corelay::codec::wire::Hello { token, ..hello })
        }
        other => other,
    }
}

pub fn admitted(relay: &mut Relay, device: &str, claims: &Value) -> Client {
    let client = relay.connect(Transport::Tcp);
    relay.send(client, hello_with(device, token(claims)));
    expect!(relay, client, Connected);
    client
}

#[test]
fn nothing_is_answered_without_a_token_that_is_accepted() {
    let expired = token(&json!({"exp": STARTED_AT_MS / 1000}));
    let early = token(&json!({"nbf": STARTED_AT_MS / 1000 + 5}));
    let mut altered = token(&json!({}));
    altered.truncate(altered.len() - 2);
    let oversized = "x".repeat(8193);
    for bad in [
        String::new(),
        "nonsense".to_owned(),
        expired,
        early,
        altered,
        oversized,
    ] {
        for transport in TRANSPORTS {
            let mut relay = relay(1);
            let healthy = admitted(&mut relay, "phone", &json!({}));
            let client = relay.connect(transport);
            relay.send(client, hello_with("laptop", bad.clone()));
            let error = expect!(relay, client, Error);
            assert_eq!(error.code(), ErrorCode::Unauthorized, "{bad}");
            assert!(!error.retryable);
            assert_eq!(
                expect!(relay, client, Close).code(),
                ErrorCode::Unauthorized
            );
            assert!(relay.is_closed(client));
            if transport == Transport::WebSocket {
                assert_eq!(relay.close_code(client), Some(4001));
            }
            relay.open(healthy, "notes", "log");
        }
    }
}

#[test]
fn the_token_says_who_a_client_is_and_not_the_client() {
    let mut relay = relay(1);
    let ann = relay.connect(Transport::Tcp);
    relay.send(ann, hello_with("laptop", token(&json!({"name": "Ada"}))));
    let first = expect!(relay, ann, Connected).client_id;
    let again = relay.connect(Transport::Tcp);
    relay.send(
        again,
        hello_with("laptop", token(&json!({"name": "Ada L."}))),
    );
    assert_eq!(expect!(relay, again, Connected).client_id, first);
    for others in [json!({"sub": "eve"}), json!({"tenant": "acme"})] {
        let other = relay.connect(Transport::Tcp);
        relay.send(other, hello_with("laptop", token(&others)));
        assert_ne!(
            expect!(relay, other, Connected).client_id,
            first,
            "{others}"
        );
    }
}

#[test]
fn tenants_never_meet() {
    let mut relay = relay(2);
    let acme = admitted(&mut relay, "acme", &json!({"tenant": "acme"}));
    let beta = admitted(&mut relay, "beta", &json!({"tenant": "beta"}));
    let nobody = admitted(&mut relay, "nobody", &json!({}));
    let ours = relay.open(acme, "invoice-42", "log").document;
    let theirs = relay.open(beta, "invoice-42", "log").document;
    // Without a tenant, the name that the document has inside the relay leads nowhere else either.
    let outside = relay.open(nobody, "acme::invoice-42", "log").document;
    assert!(ours != theirs && ours != outside);
    relay.send(acme, log_batch(ours, 0, ["secret"]));
    expect!(relay, acme, Ack);
    relay.assert_quiet(beta);
    relay.assert_quiet(nobody);
    relay.send(beta, log_batch(ours, 0, ["forged"]));
    assert_eq!(
        expect!(relay, beta, Nack).code(),
        ErrorCode::DocumentNotOpen
    );
}

#[test]
fn a_token_grants_what_it_names_and_no_more() {
    let mut relay = relay(1);
    let writer = admitted(&mut relay, "writer", &json!({}));
    let handle = relay.open(writer, "notes", "log").document;
    relay.send(writer, log_batch(handle, 0, ["one"]));
    expect!(relay, writer, Ack);

    let claims = json!({"sub": "rea", "documents": ["no*"], "permissions": ["read"]});
    let reader = admitted(&mut relay, "reader", &claims);
    relay.send(reader, open("notes", "log", true));
    let opened = expect!(relay, reader, Opened);
    let permissions = opened.permissions.expect("Opened has them");
    assert_eq!((permissions.read, permissions.write), (true, false));
    relay.drain(reader);
    relay.send(reader, log_batch(handle, 0, ["two"]));
    let nack = expect!(relay, reader, Nack);
    assert_eq!((nack.code(), nack.retryable), (ErrorCode::Forbidden, false));
    relay.send(reader, open("nothing-yet", "log", true));
    assert!(
        matches!(expect!(relay, reader, Error).code(), ErrorCode::Forbidden),
        "may not create"
    );
    relay.send(reader, open("nothing-yet", "log", false));
    assert_eq!(
        expect!(relay, reader, Error).code(),
        ErrorCode::DocumentNotFound
    );
    relay.send(reader, open("other", "log", true));
    assert_eq!(expect!(relay, reader, Error).code(), ErrorCode::Forbidden);

    relay.send(writer, log_batch(handle, 1, ["three"]));
    assert_eq!(expect!(relay, reader, RemoteOps).operations, ["three"]);
}

#[test]
fn a_connection_ends_with_its_token_unless_a_fresh_one_comes() {
    let mut relay = relay(1);
    let [stays, goes] = ["stays", "goes"].map(|device| admitted(&mut relay, device, &json!({})));
    relay.pass(Duration::from_secs(LIFETIME_S - 1));
    let fresh = json!({"exp": STARTED_AT_MS / 1000 + 2 * LIFETIME_S});
    relay.send(stays, hello_with("stays", token(&fresh)));
    expect!(relay, stays, Connected);
    relay.pass(Duration::from_secs(1));
    assert_eq!(expect!(relay, goes, Error).code(), ErrorCode::Unauthorized);
    assert_eq!(expect!(relay, goes, Close).code(), ErrorCode::Unauthorized);
    assert!(relay.is_closed(goes));
    relay.open(stays, "notes", "log");
    relay.pass(Duration::from_secs(LIFETIME_S));
    assert!(relay.drain(stays).len() >= 2);
    assert!(relay.is_closed(stays));
}

#[test]
fn nothing_is_answered_after_a_token_s_end_though_its_alarm_has_not_rung() {
    let mut relay = relay(2);
    let client = admitted(&mut relay, "client", &json!({}));
    relay.oversleep(Duration::from_secs(LIFETIME_S));
    relay.send(client, open("notes", "log", true));
    let error = expect!(relay, client, Error);
    assert_eq!(error.code(), ErrorCode::Unauthorized);
    expect!(relay, client, Close);
    assert!(relay.is_closed(client));
}

#[test]
fn a_fresh_token_is_the_same_client_s_and_may_take_away() {
    // On both shards: what a connection may do elsewhere changes with it.
    let mut relay = relay(2);
    let client = admitted(&mut relay, "laptop", &json!({}));
    let documents = ["a", "b", "c", "d", "e", "f"];
    let handles = documents.map(|document| relay.open(client, document, "log").document);
    assert!(
        handles.iter().any(|handle| handle % 2 == 0)
            && handles.iter().any(|handle| handle % 2 == 1)
    );

    relay.send(client, hello_with("laptop", token(&json!({"sub": "eve"}))));
    assert_eq!(
        expect!(relay, client, Error).code(),
        ErrorCode::HelloInvalid
    );
    relay.send(client, log_batch(handles[0], 0, ["still"]));
    expect!(relay, client, Ack);

    let less = json!({"documents": ["a", "b"], "permissions": ["read"]});
    relay.send(client, hello_with("laptop", token(&less)));
    let mut closed = Vec::new();
    for event in relay.drain(client) {
        if let corelay::codec::wire::event::Body::Close(close) = event {
            assert_eq!(close.code(), ErrorCode::Forbidden);
            closed.push(close.document);
        }
    }
    closed.sort_unstable();
    let mut expected = handles[2..].to_vec();
    expected.sort_unstable();
    assert_eq!(closed, expected);
    for handle in &handles[..2] {
        relay.send(client, log_batch(*handle, 9, ["no more"]));
        assert_eq!(expect!(relay, client, Nack).code(), ErrorCode::Forbidden);
    }
}

#[test]
fn a_revoked_grant_ends_where_it_is() {
    for transport in TRANSPORTS {
        let mut relay = relay(2);
        let now = relay.now();
        let token = |id: &str| token(&json!({"jti": id}));
        let grant = |relay: &mut Relay, id| {
            let granted = relay.shards[1].authenticate(&token(id), now);
            granted.expect("the token is good")
        };
        let arrival = |grant| Arrival {
            grant,
            ..Arrival::new(transport)
        };
        let lost = grant(&mut relay, "lost");
        let said = relay.connect(transport);
        relay.send(said, hello_with("said", token("lost")));
        expect!(relay, said, Connected);
        let documents = ["a", "b", "c", "d"];
        for document in documents {
            relay.open(said, document, "log");
        }
        let early = relay
            .arrive(1, arrival(lost.clone()))
            .expect("there is room");
        let stays = relay.connect(transport);
        relay.send(stays, hello_with("stays", token("kept")));
        expect!(relay, stays, Connected);

        let mut revocations = Revocations::default();
        let token_id = "lost".to_owned();
        revocations.add(Revocation::Token { token_id }, STARTED_AT_MS, u64::MAX);
        let verifier = verifier().with_revocations(Arc::new(revocations));
        let authority = Authority::Tokens(Arc::new(verifier));
        for shard in 0..2 {
            assert_eq!(relay.shards[shard].set_authority(authority.clone(), now), 1);
        }
        relay.settle();
        // On its way to this shard when that was told.
        let late = relay.arrive(1, arrival(lost)).expect("there is room");
        relay.send(late, hello("late"));
        for client in [said, early, late] {
            let error = expect!(relay, client, Error);
            assert_eq!(
                (error.code(), error.retryable),
                (ErrorCode::Unauthorized, false)
            );
            assert!(error.message.contains("revoked"), "{}", error.message);
            expect!(relay, client, Close);
            assert!(relay.is_closed(client));
            let code = (transport == Transport::WebSocket).then_some(4001);
            assert_eq!(relay.close_code(client), code);
        }
        assert!(relay.shards[0].authenticate(&token("lost"), now).is_err());
        for document in documents {
            let opened = relay.open(stays, document, "log");
            assert!(
                opened.presences.is_empty(),
                "the other one is gone from {document}"
            );
        }
    }
}

#[test]
fn a_key_that_may_have_come_is_asked_for() {
    let set = |kid: &str| {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let set = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid}]});
        let material = KeyMaterial::Jwks(set.to_string().into_bytes());
        let verifier = Verifier::new(&material, rules()).expect("the set has a key");
        Authority::Tokens(Arc::new(verifier.stale_at(STARTED_AT_MS + 1000)))
    };
    let mut relay = Relay::with(1, |settings| settings.authority = set("old"));
    let answer = |relay: &mut Relay, kid: &str| {
        let mut header = Header::new(jsonwebtoken::Algorithm::EdDSA);
        header.kid = Some(kid.to_owned());
        let pem = include_bytes!("../data/keys/ed25519.pem");
        let key = EncodingKey::from_ed_pem(pem).expect("it is an Ed25519 key");
        let token = encode(&header, &json!({"sub": "ada", "exp": 1}), &key).expect("it signs");
        let client = relay.connect(Transport::Tcp);
        relay.send(client, hello_with("laptop", token));
        let error = expect!(relay, client, Error);
        (
            error.code(),
            error.retryable,
            relay.shards[0].poll_keys_wanted(),
        )
    };
    let refused = (ErrorCode::Unauthorized, false, false);
    assert_eq!(answer(&mut relay, "new"), refused);
    relay.pass(Duration::from_secs(1));
    // It is known, and its signature wrong.
    assert_eq!(answer(&mut relay, "old"), refused);
    let later = (ErrorCode::ServiceUnavailable, true, true);
    assert_eq!(answer(&mut relay, "new"), later);
    assert!(!relay.shards[0].poll_keys_wanted(), "once is enough");
    let now = relay.now();
    assert_eq!(relay.shards[0].set_authority(set("new"), now), 0);
    assert_eq!(answer(&mut relay, "new"), refused);
    assert_eq!(answer(&mut relay, "old"), later);
}

#[test]
fn a_fresh_token_counts_for_what_is_still_being_loaded() {
    for shards in [1, 2, 3] {
        let mut relay = relay(shards);
        let writer = admitted(&mut relay, "writer", &json!({}));
        for name in ["readable", "closed"] {
            let opened = relay.open(writer, name, "log");
            relay.send(writer, log_batch(opened.document, 0, ["x"]));
            expect!(relay, writer, Ack);
        }
        relay.restart(|_| ());
        let client = admitted(&mut relay, "client", &json!({}));
        relay.hold_store();
        for name in ["readable", "closed", "new"] {
            relay.send(client, open(name, "log", true));
        }
        let narrow = json!({"documents": ["readable", "new"], "permissions": ["read"]});
        relay.send(client, hello_with("client", token(&narrow)));
        expect!(relay, client, Connected);
        relay.release_store();
        let mut opened = Vec::new();
        let mut refused = Vec::new();
        for body in relay.drain(client) {
            match body {
                event::Body::Opened(found) => opened.push(found),
                event::Body::Error(error) => refused.push(error.code()),
                event::Body::RemoteOps(_) | event::Body::SyncResponse(_) => (),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(refused, [ErrorCode::Forbidden; 2]);
        let [readable] = &opened[..] else {
            panic!("{opened:?}");
        };
        let permissions = readable.permissions.expect("set");
        assert!(permissions.read && !permissions.write);
        relay.send(client, log_batch(readable.document, 0, ["y"]));
        assert_eq!(expect!(relay, client, Nack).code(), ErrorCode::Forbidden);
    }
}

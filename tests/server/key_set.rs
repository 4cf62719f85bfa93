//! Keys of tokens from an address: had before the relay serves, and followed while it does.

use std::net::TcpListener;

use crate::common::backend::Backend;
use crate::common::client::{Client, connect};
use crate::common::tokens::{claims, greet};
use crate::common::{Server, nobody};
use corelay::codec::wire::Error;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tempfile::TempDir;

/// One of the two pairs of keys, by the name of its file.
fn key(name: &str) -> EncodingKey {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/keys");
    let pem = std::fs::read(format!("{folder}/{name}.pem")).expect("the key file is there");
    EncodingKey::from_ed_pem(&pem).expect("it is an Ed25519 key")
}

/// A set of these keys, each with its file's name as its own.
fn set(names: &[&str]) -> Value {
    let member = |name: &&str| {
        let jwk = Jwk::from_encoding_key(&key(name), Algorithm::EdDSA).expect("it has this form");
        let mut jwk = serde_json::to_value(jwk).expect("it is JSON");
        jwk["kid"] = json!(name);
        jwk
    };
    json!({"keys": names.iter().map(member).collect::<Vec<_>>()})
}

fn token(name: &str) -> String {
    token_of(name, json!({}))
}

fn token_of(name: &str, others: Value) -> String {
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(name.to_owned());
    encode(&header, &claims(others), &key(name)).expect("the key signs")
}

const OLD: &str = "ed25519";
const NEW: &str = "ed25519_other";

fn server(backend: &Backend, settings: &[&str]) -> Server {
    let url = format!("auth.jwks_url={}", backend.url());
    let own = ["auth.mode=jwt", &url, "shards.cores=2"];
    Server::spawn(&[&own, settings].concat())
}

/// Says Hello with a token of that key: accepted, or why not.
fn greeted(server: &Server, name: &str) -> Result<Client, Error> {
    let mut client = Client::tcp(server);
    greet(&mut client, 1, &token(name)).map(|_| client)
}

fn in_head(server: &Server, name: &str) -> Result<Client, u16> {
    let header = ("Authorization", format!("Bearer {}", token(name)));
    connect(server, "/ws", Some(header))
}

#[test]
fn a_new_key_is_fetched_when_a_token_names_it() {
    let backend = Backend::start();
    backend.answer(200, set(&[OLD]));
    let server = server(&backend, &["auth.jwks_refetch_after=100ms"]);
    let mut stays = greeted(&server, OLD).expect("the key is in the set");
    assert_eq!(backend.requests().len(), 1);
    assert_eq!(in_head(&server, OLD).err(), None);

    // The set has not got it yet: the client may try again.
    server.wait_for("the set to be stale", || {
        let error = greeted(&server, NEW).err().expect("nobody knows the key");
        (error.code == 5003 && error.retryable).then_some(())
    });
    server.wait_for("the set to be asked for", || {
        (backend.requests().len() > 1).then_some(())
    });
    // It has, and no longer the old one; nobody but the clients tells the relay.
    backend.answer(200, set(&[NEW]));
    server.wait_for("the new key", || greeted(&server, NEW).ok());
    // Both shards know, and every way in.
    for _ in 0..8 {
        assert_eq!(in_head(&server, NEW).err(), None);
    }
    assert!(matches!(in_head(&server, OLD), Err(401 | 503)));
    // Who was let in stays.
    let opened = stays.open("notes");
    stays.send(opened.document, 1, 0, &["still here"]);
    assert_eq!(stays.ack(1), 1);
}

#[test]
fn a_key_that_is_taken_out_of_the_set_is_soon_no_longer_good() {
    let backend = Backend::start();
    backend.answer(200, set(&[OLD, NEW]));
    let often = ["auth.jwks_refetch_after=100ms", "auth.jwks_refresh=1s"];
    let server = server(&backend, &often);
    greeted(&server, OLD)
        .map(drop)
        .expect("the key is in the set");
    backend.answer(200, set(&[NEW]));
    server.wait_for("the end of the old key", || greeted(&server, OLD).err());
    greeted(&server, NEW)
        .map(drop)
        .expect("the other one stays");
}

#[test]
fn keys_that_cannot_be_refreshed_are_kept() {
    let backend = Backend::start();
    backend.answer(200, set(&[OLD]));
    let often = ["auth.jwks_refetch_after=100ms", "auth.jwks_refresh=1s"];
    let server = server(&backend, &often);
    let answers = [
        (500, String::new()),
        (200, "no set".to_owned()),
        (200, set(&[]).to_string()),
        (200, format!("{}{}", " ".repeat(300 * 1024), set(&[NEW]))),
        (302, set(&[NEW]).to_string()),
    ];
    for (status, body) in answers {
        backend.answer(status, body);
        // The second one is asked for after the answer to the first has been judged.
        let asked = backend.requests().len();
        server.wait_for("two more requests", || {
            (backend.requests().len() > asked + 1).then_some(())
        });
        greeted(&server, OLD).map(drop).expect("the key is kept");
        assert!(greeted(&server, NEW).is_err());
    }
    server.wait_for_log("Those of before are used");
    server.wait_for_log("more than 262144 bytes");
}

#[test]
fn a_key_that_nobody_has_is_not_asked_for_again_and_again() {
    let backend = Backend::start();
    backend.answer(200, set(&[OLD]));
    let server = server(
        &backend,
        &["auth.jwks_refresh=1h", "auth.jwks_refetch_after=1h"],
    );
    for _ in 0..20 {
        let error = greeted(&server, NEW).err().expect("nobody knows the key");
        assert_eq!((error.code, error.retryable), (4001, false));
    }
    assert_eq!(in_head(&server, NEW).err(), Some(401));
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn without_keys_nothing_is_served() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let nobody = listener.local_addr().expect("it is bound");
    drop(listener);
    let backend = Backend::start();
    backend.answer(503, "not now");
    let table = [
        (format!("http://{nobody}/keys"), "refused"),
        (backend.url(), "503 Service Unavailable"),
        // It speaks no TLS.
        (
            backend.url().replace("http://", "https://"),
            "the keys of tokens cannot be had",
        ),
    ];
    for (url, reason) in table {
        let setting = format!("auth.jwks_url={url}");
        let refused = Server::try_spawn(&["auth.mode=jwt", &setting]);
        let log = refused.err().expect("it must not serve").log;
        assert!(
            log.contains("tokens cannot be checked with auth.jwks_url"),
            "{log}"
        );
        assert!(log.contains(reason), "{log}");
    }
}

/// A relay with a configuration file, which is written anew for a reload.
struct Reloadable {
    directory: TempDir,
    server: Option<Server>,
}

impl Reloadable {
    fn configure(&self, url: &str, rest: &str) {
        let text = format!("[auth]\nmode = \"jwt\"\njwks_url = \"{url}\"\n{rest}\n");
        let file = self.directory.path().join("corelay.toml");
        std::fs::write(file, text).expect("there is room");
    }

    fn start(url: &str, rest: &str) -> Self {
        let directory = TempDir::new().expect("there is room");
        let mut relay = Self {
            directory,
            server: None,
        };
        relay.configure(url, rest);
        relay.server = Some(Server::spawn_in(relay.directory.path(), &[]));
        relay
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("it was started")
    }

    fn reload(&self, url: &str, rest: &str) -> String {
        self.configure(url, rest);
        self.server().reload()
    }
}

const OFTEN: &str = "jwks_refetch_after = \"100 ms\"\njwks_refresh = \"1 s\"\n";

#[test]
fn a_reload_without_word_from_the_address_keeps_its_keys_and_changes_all_else() {
    let backend = Backend::start();
    backend.answer(200, set(&[OLD]));
    let relay = Reloadable::start(&backend.url(), OFTEN);
    let server = relay.server();
    let mut stays = greeted(server, OLD).expect("the key is in the set");

    for (status, body) in [(503, "not now"), (200, "no set")] {
        backend.answer(status, body);
        let log = relay.reload(
            &backend.url(),
            &format!("{OFTEN}jwt_issuer = \"us {status}\""),
        );
        for part in [
            "Those of before are used",
            "auth.jwt_issuer: now",
            "the configuration is reloaded",
        ] {
            assert!(log.contains(part), "{part}: {log}");
        }
        // The old keys, by the new rules.
        let error = greeted(server, OLD).err().expect("it names no issuer");
        assert_eq!(error.code, 4001);
        let good = token_of(OLD, json!({"iss": format!("us {status}")}));
        greet(&mut Client::tcp(server), 1, &good).expect("it names the issuer");
    }

    // Another address has to have keys, or it is not taken.
    let nobody = nobody();
    let elsewhere = format!("http://{nobody}/keys");
    let log = relay.reload(&elsewhere, OFTEN);
    let expected = format!("auth.jwks_url = \"{elsewhere}\", whose keys cannot be had");
    for part in [expected.as_str(), "refused", "nothing has changed"] {
        assert!(log.contains(part), "{part}: {log}");
    }
    let good = token_of(OLD, json!({"iss": "us 200"}));
    greet(&mut Client::tcp(server), 1, &good).expect("nothing has changed");

    // The set of before is followed as before.
    backend.answer(200, set(&[NEW]));
    let good = token_of(NEW, json!({"iss": "us 200"}));
    server.wait_for("the new key", || {
        greet(&mut Client::tcp(server), 1, &good).ok()
    });
    let log = relay.reload(&backend.url(), OFTEN);
    assert!(!log.contains("Those of before"), "{log}");
    greeted(server, NEW)
        .map(drop)
        .expect("the key is in the set");
    let opened = stays.open("notes");
    stays.send(opened.document, 1, 0, &["still here"]);
    assert_eq!(stays.ack(1), 1);
}

#[test]
fn how_often_keys_are_asked_for_is_changed_by_a_reload() {
    let backend = Backend::start();
    backend.answer(200, set(&[OLD]));
    let seldom = "jwks_refetch_after = \"1 h\"\njwks_refresh = \"1 h\"\n";
    let relay = Reloadable::start(&backend.url(), seldom);
    let server = relay.server();
    let error = greeted(server, NEW).err().expect("nobody knows the key");
    assert_eq!((error.code, backend.requests().len()), (4001, 1));
    // Only a token that names another key has it asked for.
    relay.reload(
        &backend.url(),
        "jwks_refetch_after = \"100 ms\"\njwks_refresh = \"1 h\"\n",
    );
    backend.answer(200, set(&[OLD, NEW]));
    server.wait_for("the new key", || greeted(server, NEW).ok());
    let asked = backend.requests().len();
    // By itself.
    relay.reload(&backend.url(), OFTEN);
    server.wait_for("two more requests", || {
        (backend.requests().len() > asked + 2).then_some(())
    });
}

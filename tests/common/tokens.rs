//! Tokens that a test makes as an operator's backend would, and clients that show them.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use corelay::codec::wire::{Close, Error, Hello, event, request};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::client::Client;

const SECRET: &str = "a secret that only the test and the relay know";

/// Settings with which the relay asks for tokens that are signed with the tests' secret, which is put into the directory.
pub fn settings(directory: &Path) -> [String; 2] {
    let secret = directory.join("secret");
    std::fs::write(&secret, format!("{SECRET}\n")).expect("the directory is there");
    let file = format!("auth.jwt_secret_file={:?}", secret.display().to_string());
    ["auth.mode=jwt".to_owned(), file]
}

pub fn now_s() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("it is after 1970").as_secs()
}

/// These claims, over those of ada for ten minutes.
pub fn claims(others: Value) -> Value {
    let mut claims = json!({"sub": "ada", "exp": now_s() + 600});
    let (Value::Object(all), Value::Object(others)) = (&mut claims, others) else {
        panic!("claims are an object");
    };
    all.extend(others);
    claims
}

/// Signed with the secret.
pub fn token(others: Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::default(), &claims(others), &key).expect("the key signs")
}

/// Says Hello with a token: who the relay takes the client for, or why not.
pub fn greet(client: &mut Client, number: u64, token: &str) -> Result<u64, Error> {
    client.request(request::Body::Hello(Hello {
        protocol_version: 3,
        client_uuid: Bytes::copy_from_slice(&u128::from(number).to_be_bytes()),
        token: token.to_owned(),
        ..Default::default()
    }));
    client.expect("an answer", |event| match event {
        event::Body::Connected(connected) => Some(Ok(connected.client_id)),
        event::Body::Error(error) => Some(Err(error)),
        _other => None,
    })
}

/// The relay's last word to a client that it closes.
pub fn last_word(client: &mut Client) -> Close {
    let close = client.expect("Close", |event| match event {
        event::Body::Close(close) if close.document == 0 => Some(close),
        _other => None,
    });
    assert_eq!(client.next_event(), None);
    close
}

//! A JSON Web Key Set.
//!
//! A set may hold keys that are for others: those that encrypt, or that sign in ways that are not spoken here. They are
//! passed over. A secret in a set (`"kty": "oct"`) is one of them, because sets are made to be published. A key that
//! could be used and is broken is an error.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::error::KeyError;
use super::key::{Key, NamedKey, base64url};

const KEYS_MAX: usize = 100;

#[derive(Deserialize)]
struct Set {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// Only a private key has it.
    d: Option<IgnoredAny>,
}

/// The keys of the set that can be used, at least one.
pub fn read(bytes: &[u8]) -> Result<Vec<NamedKey>, KeyError> {
    let set: Set = serde_json::from_slice(bytes).map_err(|error| KeyError::SetMalformed {
        line: error.line(),
        column: error.column(),
    })?;
    if set.keys.len() > KEYS_MAX {
        return Err(KeyError::SetTooLong { keys_max: KEYS_MAX });
    }
    let mut keys: Vec<NamedKey> = Vec::new();
    for (index, jwk) in set.keys.into_iter().enumerate() {
        let in_set = |error| KeyError::InSet {
            index,
            error: Box::new(error),
        };
        let Some(key) = jwk.key().transpose().map_err(in_set)? else {
            continue;
        };
        keys.push(NamedKey { kid: jwk.kid, key });
    }
    match keys.len() {
        0 => Err(KeyError::SetUnusable),
        1 => Ok(keys),
        _ if are_distinct(&keys) => Ok(keys),
        _ => Err(KeyError::KidAmbiguous),
    }
}

fn are_distinct(keys: &[NamedKey]) -> bool {
    keys.iter().enumerate().all(|(index, one)| {
        one.kid.is_some()
            && keys[..index]
                .iter()
                .all(|other| one.kid != other.kid || one.key.algorithm() != other.key.algorithm())
    })
}

impl Jwk {
    /// `None` if the key is for others.
    fn key(&self) -> Option<Result<Key, KeyError>> {
        type Read = fn(&Jwk) -> Result<Key, KeyError>;
        let (algorithm, read): (_, Read) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => ("RS256", |jwk| Key::rsa(&number(&jwk.n)?, &number(&jwk.e)?)),
            ("EC", Some("P-256")) => ("ES256", |jwk| Key::p256(&number(&jwk.x)?, &number(&jwk.y)?)),
            ("OKP", Some("Ed25519")) => ("EdDSA", |jwk| Key::ed25519(&number(&jwk.x)?)),
            _ => return None,
        };
        let is_absent_or = |value: &Option<String>, expected| {
            value.as_deref().is_none_or(|value| value == expected)
        };
        if !is_absent_or(&self.purpose, "sig") || !is_absent_or(&self.alg, algorithm) {
            return None;
        }
        Some(match self.d {
            Some(_) => Err(KeyError::PrivateKey),
            None => read(self),
        })
    }
}

fn number(text: &Option<String>) -> Result<Vec<u8>, KeyError> {
    base64url(text.as_deref().ok_or(KeyError::KeyInvalid)?)
}

//! The check of a token, from its text to its grant.

use std::str::FromStr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, crypto};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::claims::Claims;
use super::error::{KeyError, TokenError};
use super::grant::Grant;
use super::key::{KeyMaterial, Keys};
use super::revocation::Revocations;

/// What must hold for a token beyond its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// What `iss` must be. `None`: anything, or nothing.
    pub issuer: Option<String>,
    /// What `aud` must be or contain. `None`: a token that has an `aud` is meant for somebody else, and is refused.
    pub audience: Option<String>,
    /// How far the clocks of the relay and of the token's maker may differ. It lengthens a token's life at both ends.
    pub leeway_ms: u64,
    /// How long a token may live at the most: from `iat`, or from now where that is earlier or is not said, until `exp`.
    /// For so long a revocation is remembered.
    pub lifetime_max_ms: u64,
    /// The longest token that is looked at.
    pub token_bytes_max: usize,
}

/// Checks tokens. One serves all connections of a shard, for as long as its keys are good.
#[derive(Debug, Clone)]
pub struct Verifier {
    keys: Keys,
    rules: Rules,
    revocations: Arc<Revocations>,
    /// From when on the keys may be newer elsewhere, in milliseconds since 1970.
    stale_at_ms: Option<u64>,
}

/// What comes first in a token. Where a key could be found (`jku`, `jwk`, `x5c`) is for the operator to say and not
/// for the token.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

impl Verifier {
    /// # Errors
    ///
    /// The key material is not what it should be. The operator is at fault.
    pub fn new(material: &KeyMaterial, rules: Rules) -> Result<Self, KeyError> {
        let keys = Keys::new(material)?;
        Ok(Self {
            keys,
            rules,
            revocations: Arc::default(),
            stale_at_ms: None,
        })
    }

    /// The same for keys that come from somewhere where they change: from this time on, in milliseconds since 1970, a
    /// name of a key that is not known is [`TokenError::KeysStale`].
    pub fn stale_at(self, stale_at_ms: u64) -> Self {
        Self {
            stale_at_ms: Some(stale_at_ms),
            ..self
        }
    }

    /// The same with these revocations in place of its own.
    pub fn with_revocations(self, revocations: Arc<Revocations>) -> Self {
        Self {
            revocations,
            ..self
        }
    }

    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// What the token grants at this time, in milliseconds since 1970. The token is bare: no `Bearer` in front of it.
    ///
    /// # Errors
    ///
    /// The token is not good, or not here or now. Its bearer, or whoever made it, is at fault.
    pub fn verify(&self, token: &str, now_ms: u64) -> Result<Grant, TokenError> {
        let bytes_max = self.rules.token_bytes_max;
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        if token.len() > bytes_max {
            return Err(TokenError::TooLong { bytes_max });
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
        let header: Header =
            serde_json::from_slice(&decode(header)?).map_err(|_| TokenError::Malformed)?;
        let payload = decode(payload)?;
        decode(signature)?;
        if header.crit.is_some() {
            return Err(TokenError::ClaimInvalid(
                "crit asks for an extension that is not known here",
            ));
        }
        // "none" is no algorithm.
        let algorithm =
            Algorithm::from_str(&header.alg).map_err(|_| TokenError::AlgorithmRefused)?;
        let is_stale = self.stale_at_ms.is_some_and(|at_ms| now_ms >= at_ms);
        let keys =
            self.keys
                .choose(header.kid.as_deref(), algorithm)
                .map_err(|error| match error {
                    TokenError::UnknownKey if is_stale => TokenError::KeysStale,
                    error => error,
                })?;
        let fits = |key| crypto::verify(signature, message.as_bytes(), key, algorithm);
        if !keys.into_iter().any(|key| matches!(fits(key), Ok(true))) {
            return Err(TokenError::WrongSignature);
        }
        let grant = Claims::parse(&payload)?.grant(&self.rules, now_ms)?;
        match self.revocations.revokes(&grant) {
            true => Err(TokenError::Revoked),
            false => Ok(grant),
        }
    }
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenError::Malformed)
}

//! What tokens are checked with: reads the keys that `[auth]` names.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::Notify;

use super::ServerError;
use super::clock::Clock;
use super::key_set::{KeySet, LastSet};
use crate::auth::{KeyMaterial, Rules, Verifier};
use crate::config::{Auth, KeySource};

/// What tokens are checked with, and where it may be newer.
pub struct Keys {
    pub verifier: Verifier,
    pub key_set: Option<KeySet>,
    /// Of what was read on this machine.
    pub fingerprint: Option<Fingerprint>,
}

/// A hash of key material, which tells whether it is another.
pub type Fingerprint = [u8; 32];

/// `Ok(None)`: no tokens are asked for. `wanted` is told when a token names a key that is not there. `before`: what was had
/// from an address, if that is what tokens were checked with so far.
///
/// # Errors
///
/// [`ServerError::Keys`] if the keys cannot be read, or tokens cannot be checked with them; [`ServerError::KeySet`] if
/// they cannot be had from elsewhere.
pub async fn read(
    config: &Auth,
    clock: Clock,
    wanted: &Arc<Notify>,
    before: Option<&LastSet>,
) -> Result<Option<Keys>, ServerError> {
    // The configuration has at most one source, and none exactly if tokens are not asked for.
    let Some(source) = config.key_sources().next() else {
        return Ok(None);
    };
    if let KeySource::JwksUrl(url) = source {
        let mut key_set = KeySet::new(config, url, clock, Arc::clone(wanted))?;
        return Ok(Some(Keys {
            verifier: key_set.begin(before).await?,
            key_set: Some(key_set),
            fingerprint: None,
        }));
    }
    let keys = read_here(config, &source)?;
    Ok(keys.map(|(verifier, fingerprint)| Keys {
        verifier,
        key_set: None,
        fingerprint: Some(fingerprint),
    }))
}

/// Whether the keys can be read, where they are on this machine.
///
/// # Errors
///
/// [`ServerError::Keys`], as [`read`] has it.
pub fn check(config: &Auth) -> Result<(), ServerError> {
    config
        .key_sources()
        .try_for_each(|source| read_here(config, &source).map(drop))
}

/// `Ok(None)`: they are elsewhere.
fn read_here(
    config: &Auth,
    source: &KeySource<'_>,
) -> Result<Option<(Verifier, Fingerprint)>, ServerError> {
    let material = match *source {
        KeySource::KeyFile(path) => std::fs::read(path).map(KeyMaterial::Pem),
        KeySource::JwksFile(path) => std::fs::read(path).map(KeyMaterial::Jwks),
        KeySource::SecretFile(path) => std::fs::read(path).map(KeyMaterial::Secret),
        KeySource::SecretEnv(variable) => std::env::var_os(variable)
            .map(|secret| KeyMaterial::Secret(secret.into_encoded_bytes()))
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it is not set")),
        KeySource::JwksUrl(_) => return Ok(None),
    };
    let refuse = |reason: String| ServerError::Keys {
        source_name: name(source),
        reason,
    };
    let material = material.map_err(|error| refuse(error.to_string()))?;
    let verifier =
        Verifier::new(&material, rules(config)).map_err(|error| refuse(error.to_string()))?;
    let (KeyMaterial::Pem(bytes) | KeyMaterial::Jwks(bytes) | KeyMaterial::Secret(bytes)) =
        &material;
    Ok(Some((verifier, blake3::hash(bytes).into())))
}

/// What must hold for a token beyond its signature.
pub fn rules(config: &Auth) -> Rules {
    Rules {
        issuer: config.jwt_issuer.clone(),
        audience: config.jwt_audience.clone(),
        leeway_ms: u64::try_from(config.leeway.as_millis()).expect("at most ten minutes"),
        lifetime_max_ms: u64::try_from(config.token_lifetime_max.as_millis())
            .expect("at most a year"),
        token_bytes_max: config.token_bytes_max,
    }
}

/// How the configuration says it.
pub fn name(source: &KeySource<'_>) -> String {
    let file = |key: &str, path: &Path| format!("{key} = {:?}", path.display().to_string());
    match source {
        KeySource::KeyFile(path) => file("auth.jwt_key_file", path),
        KeySource::JwksFile(path) => file("auth.jwks_file", path),
        KeySource::JwksUrl(url) => format!("auth.jwks_url = \"{url}\""),
        KeySource::SecretFile(path) => file("auth.jwt_secret_file", path),
        KeySource::SecretEnv(variable) => format!("auth.jwt_secret_env = {variable:?}"),
    }
}

//! What tokens are checked with: reads the keys that `[auth]` names.

use std::io;
use std::path::Path;

use super::ServerError;
use crate::auth::{KeyMaterial, Rules, Verifier};
use crate::config::{Auth, KeySource};
use crate::engine::shard::Authority;

/// Who says who clients are.
///
/// # Errors
///
/// [`ServerError::Keys`] if the keys cannot be read, or tokens cannot be checked with them.
pub fn authority(config: &Auth) -> Result<Authority, ServerError> {
    // The configuration has at most one source, and none exactly if tokens are not asked for.
    let Some(source) = config.key_sources().next() else {
        return Ok(Authority::Anybody);
    };
    let rules = Rules {
        issuer: config.jwt_issuer.clone(),
        audience: config.jwt_audience.clone(),
        leeway_ms: u64::try_from(config.leeway.as_millis()).expect("at most ten minutes"),
        token_bytes_max: config.token_bytes_max,
    };
    let refuse = |reason: String| ServerError::Keys {
        source_name: name(&source),
        reason,
    };
    let material = read(&source).map_err(|error| refuse(error.to_string()))?;
    let verifier = Verifier::new(&material, rules).map_err(|error| refuse(error.to_string()))?;
    Ok(Authority::Tokens(verifier))
}

fn read(source: &KeySource<'_>) -> io::Result<KeyMaterial> {
    match source {
        KeySource::KeyFile(path) => std::fs::read(path).map(KeyMaterial::Pem),
        KeySource::JwksFile(path) => std::fs::read(path).map(KeyMaterial::Jwks),
        KeySource::SecretFile(path) => std::fs::read(path).map(without_line_end),
        KeySource::SecretEnv(variable) => std::env::var_os(variable)
            .map(|secret| KeyMaterial::Secret(secret.into_encoded_bytes()))
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it is not set")),
    }
}

/// Editors put a line end behind a secret.
fn without_line_end(mut secret: Vec<u8>) -> KeyMaterial {
    if secret.last() == Some(&b'\n') {
        secret.pop();
        if secret.last() == Some(&b'\r') {
            secret.pop();
        }
    }
    KeyMaterial::Secret(secret)
}

fn name(source: &KeySource<'_>) -> String {
    let file = |key: &str, path: &Path| format!("{key} = {:?}", path.display().to_string());
    match source {
        KeySource::KeyFile(path) => file("auth.jwt_key_file", path),
        KeySource::JwksFile(path) => file("auth.jwks_file", path),
        KeySource::SecretFile(path) => file("auth.jwt_secret_file", path),
        KeySource::SecretEnv(variable) => format!("auth.jwt_secret_env = {variable:?}"),
    }
}

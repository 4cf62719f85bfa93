//! Tokens as the relay meets them: `tokens` has what is signed and how, `claims` what is said, `keys` what is trusted,
//! `revocations` what is taken back.

mod claims;
mod keys;
mod revocations;
mod tokens;

use corelay::auth::{Grant, KeyMaterial, Rules, TokenError, Verifier};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

const NOW_S: u64 = 1_800_000_000;
const NOW_MS: u64 = NOW_S * 1000;
const SECRET: &str = "secret of the tests, known to everybody";
const OTHER_SECRET: &str = "another secret, known to everybody";
const TOKEN_BYTES_MAX: usize = 8192;

fn rules() -> Rules {
    Rules {
        issuer: None,
        audience: None,
        leeway_ms: 0,
        lifetime_max_ms: u64::MAX,
        token_bytes_max: TOKEN_BYTES_MAX,
    }
}

fn verifier(material: &KeyMaterial) -> Verifier {
    Verifier::new(material, rules()).expect("the key is sound")
}

fn secret() -> KeyMaterial {
    KeyMaterial::Secret(SECRET.into())
}

/// The content of one of the key files.
fn pem(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/keys");
    std::fs::read(format!("{folder}/{name}.pem")).expect("the key file is there")
}

/// One way to sign.
struct Signer {
    algorithm: Algorithm,
    private: EncodingKey,
    /// Of the same kind, and not the one that belongs to the material.
    other: EncodingKey,
    material: KeyMaterial,
}

fn signers() -> [Signer; 4] {
    let rsa = |name| EncodingKey::from_rsa_pem(&pem(name)).expect("it is an RSA key");
    let p256 = |name| EncodingKey::from_ec_pem(&pem(name)).expect("it is a P-256 key");
    let ed25519 = |name| EncodingKey::from_ed_pem(&pem(name)).expect("it is an Ed25519 key");
    let of = |algorithm, private, other, material| Signer {
        algorithm,
        private,
        other,
        material,
    };
    [
        of(
            Algorithm::HS256,
            EncodingKey::from_secret(SECRET.as_bytes()),
            EncodingKey::from_secret(OTHER_SECRET.as_bytes()),
            secret(),
        ),
        of(
            Algorithm::RS256,
            rsa("rsa"),
            rsa("rsa_other"),
            KeyMaterial::Pem(pem("rsa.public")),
        ),
        of(
            Algorithm::ES256,
            p256("p256"),
            p256("p256_other"),
            KeyMaterial::Pem(pem("p256.public")),
        ),
        of(
            Algorithm::EdDSA,
            ed25519("ed25519"),
            ed25519("ed25519_other"),
            KeyMaterial::Pem(pem("ed25519.public")),
        ),
    ]
}

fn signed(algorithm: Algorithm, key: &EncodingKey, kid: Option<&str>, claims: &Value) -> String {
    let mut header = Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    encode(&header, claims, key).expect("the key signs")
}

/// Signed with the secret.
fn token(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    signed(Algorithm::HS256, &key, None, claims)
}

/// Claims that are in order, with these over them.
fn claims(others: Value) -> Value {
    let mut claims = json!({"sub": "ada", "exp": NOW_S + 60});
    let (Value::Object(all), Value::Object(others)) = (&mut claims, others) else {
        panic!("claims are an object");
    };
    all.extend(others);
    claims
}

/// What the relay says to these claims when it knows the secret.
fn verified(rules: Rules, claims: &Value, now_ms: u64) -> Result<Grant, TokenError> {
    let verifier = Verifier::new(&secret(), rules).expect("the secret is long enough");
    verifier.verify(&token(claims), now_ms)
}

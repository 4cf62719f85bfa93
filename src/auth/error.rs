//! What can be wrong with a token, which is its bearer's concern, and with a key, which is the operator's. No message
//! repeats anything of either.

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("there is no token")]
    Missing,
    #[error("the token has more than {bytes_max} bytes")]
    TooLong { bytes_max: usize },
    #[error("the token is not a signed JSON Web Token in the compact form")]
    Malformed,
    #[error("the token's signature does not belong to it, or not to the relay's key")]
    WrongSignature,
    #[error("the relay does not know the key that the token names (kid)")]
    UnknownKey,
    /// As [`UnknownKey`](Self::UnknownKey), where the keys may be newer elsewhere: whoever tries again soon may succeed.
    #[error(
        "the relay does not know the key that the token names (kid), and asks for the keys again"
    )]
    KeysStale,
    #[error("the token's algorithm (alg) is not the one of the relay's key")]
    AlgorithmRefused,
    #[error("the token has expired (exp)")]
    Expired,
    #[error("the token was revoked")]
    Revoked,
    #[error(
        "the token lives longer (from iat, or from now, until exp) than auth.token_lifetime_max allows"
    )]
    LivesTooLong,
    #[error("the token is not valid yet (nbf)")]
    NotYetValid,
    #[error("the token is not from the issuer that the relay trusts (iss)")]
    WrongIssuer,
    #[error("the token is not meant for this relay (aud)")]
    WrongAudience,
    #[error("the operator's backend does not accept it")]
    Denied,
    /// Whoever tries again may succeed.
    #[error("the operator's backend, which is asked about tokens, does not answer")]
    Unjudged,
    /// The token is genuine, and whoever made it has put something into it that the relay does not take.
    #[error("{0}")]
    ClaimInvalid(&'static str),
}

impl TokenError {
    /// Whether the same token may be accepted if it is shown again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::KeysStale | Self::Unjudged => true,
            Self::Missing
            | Self::TooLong { .. }
            | Self::Malformed
            | Self::WrongSignature
            | Self::UnknownKey
            | Self::AlgorithmRefused
            | Self::Expired
            | Self::Revoked
            | Self::LivesTooLong
            | Self::NotYetValid
            | Self::WrongIssuer
            | Self::WrongAudience
            | Self::Denied
            | Self::ClaimInvalid(_) => false,
        }
    }
}

/// Why tokens cannot be checked with this key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("it has more than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    #[error("there is no public key in PEM form (-----BEGIN PUBLIC KEY-----) in it")]
    PemMissing,
    #[error("it holds more than {keys_max} keys or secrets")]
    TooMany { keys_max: usize },
    /// `number` counts from 1.
    #[error("key or secret {number} in it: {error}")]
    OneOfSeveral { number: usize, error: Box<Self> },
    #[error(
        "it holds a private key; the relay needs the public one, and nothing else should have the private one"
    )]
    PrivateKey,
    #[error("it is no sound key of a kind that is spoken here: RSA, EC P-256 or Ed25519")]
    KeyInvalid,
    #[error("an RSA key has {bits_min} to {bits_max} bits, and this one has {bits}")]
    RsaSize {
        bits: usize,
        bits_min: usize,
        bits_max: usize,
    },
    #[error("a secret has at least {bytes_min} bytes, and this one has {bytes}")]
    SecretTooShort { bytes: usize, bytes_min: usize },
    /// Everybody may know a public key: whoever does could sign tokens, if it were a secret.
    #[error("it is a key in PEM form and not a secret; set it as the key file")]
    SecretIsPem,
    #[error("it is no JSON Web Key Set (line {line}, column {column})")]
    SetMalformed { line: usize, column: usize },
    #[error("the set has more than {keys_max} keys")]
    SetTooLong { keys_max: usize },
    #[error("no key of the set checks signatures with RS256, ES256 or EdDSA")]
    SetUnusable,
    #[error("the set has several keys, and not each has its own name (kid)")]
    KidAmbiguous,
    /// `index` counts from 0, over all keys of the set.
    #[error("key {index} of the set: {error}")]
    InSet { index: usize, error: Box<Self> },
}

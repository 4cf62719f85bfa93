//! The keys that tokens are checked with, and what they are read from.
//!
//! A key knows its one algorithm, and a token with another one is refused: so a public key is never taken for the
//! secret of an HMAC. What a key is worth is checked when it is read, so that no token can meet a broken one.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};

use super::error::{KeyError, TokenError};
use super::jwks;

const MATERIAL_BYTES_MAX: usize = 256 * 1024;
/// Without names: a token may have to be checked with each.
const UNNAMED_MAX: usize = 8;
/// As long as what SHA-256 gives: a shorter secret would be easier to guess than the signature.
const SECRET_BYTES_MIN: usize = 32;
const PEM_BEGIN: &str = "-----BEGIN ";
const RSA_BITS_MIN: usize = 2048;
const RSA_BITS_MAX: usize = 4096;
const RSA_EXPONENT_BYTES_MAX: usize = 4;
const ED25519_BYTES: usize = 32;

/// The content of a file or of an environment variable, as it was read.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyMaterial {
    /// Public keys in PEM form, one after the other: RSA (for RS256), EC P-256 (ES256) or Ed25519 (EdDSA).
    Pem(Vec<u8>),
    /// A JSON Web Key Set of such keys. Others in it are passed over.
    Jwks(Vec<u8>),
    /// At least 32 bytes that only the relay and whoever makes tokens know (HS256). In text, each line that is not empty
    /// is such a secret.
    Secret(Vec<u8>),
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pem(_) => "Pem",
            Self::Jwks(_) => "Jwks",
            Self::Secret(_) => "Secret",
        })
    }
}

/// A key with the one algorithm that it is for.
#[derive(Debug, Clone)]
pub struct Key {
    algorithm: Algorithm,
    key: DecodingKey,
}

/// A key of a set, with its name.
#[derive(Debug, Clone)]
pub struct NamedKey {
    pub kid: Option<String>,
    pub key: Key,
}

#[derive(Debug, Clone)]
pub enum Keys {
    /// At least one. A token is good if one of them says so, whatever it calls it.
    Unnamed(Vec<Key>),
    /// At least one. If several, each has a name, and no two have both name and algorithm in common.
    Set(Vec<NamedKey>),
}

impl Keys {
    pub fn new(material: &KeyMaterial) -> Result<Self, KeyError> {
        let (KeyMaterial::Pem(bytes) | KeyMaterial::Jwks(bytes) | KeyMaterial::Secret(bytes)) =
            material;
        if bytes.len() > MATERIAL_BYTES_MAX {
            return Err(KeyError::TooLarge {
                bytes_max: MATERIAL_BYTES_MAX,
            });
        }
        match material {
            KeyMaterial::Pem(bytes) => unnamed(pems(bytes)?, Key::pem),
            KeyMaterial::Jwks(bytes) => jwks::read(bytes).map(Self::Set),
            KeyMaterial::Secret(bytes) => unnamed(secrets(bytes)?, Key::secret),
        }
    }

    /// The keys for a token with this name of a key and this algorithm, at least one. A token that names none can only
    /// be checked where no key has a name, or there is no choice.
    pub fn choose(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Vec<&DecodingKey>, TokenError> {
        match self {
            Self::Unnamed(keys) => {
                let fitting = keys
                    .iter()
                    .filter_map(|key| key.for_algorithm(algorithm).ok());
                let fitting: Vec<_> = fitting.collect();
                match fitting.is_empty() {
                    true => Err(TokenError::AlgorithmRefused),
                    false => Ok(fitting),
                }
            }
            Self::Set(keys) => {
                let is_named = |named: &&NamedKey| match kid {
                    Some(_) => named.kid.as_deref() == kid,
                    None => keys.len() == 1,
                };
                keys.iter()
                    .filter(is_named)
                    .map(|named| named.key.for_algorithm(algorithm))
                    .reduce(Result::or)
                    .unwrap_or(Err(TokenError::UnknownKey))
                    .map(|key| vec![key])
            }
        }
    }
}

impl Key {
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn for_algorithm(&self, algorithm: Algorithm) -> Result<&DecodingKey, TokenError> {
        (self.algorithm == algorithm)
            .then_some(&self.key)
            .ok_or(TokenError::AlgorithmRefused)
    }

    fn secret(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(KeyError::SecretTooShort {
                bytes: secret.len(),
                bytes_min: SECRET_BYTES_MIN,
            });
        }
        Ok(Self {
            algorithm: Algorithm::HS256,
            key: DecodingKey::from_secret(secret),
        })
    }

    fn pem(bytes: &[u8]) -> Result<Self, KeyError> {
        if let Ok(key) = DecodingKey::from_ed_pem(bytes) {
            let point = key.try_get_as_bytes().map_err(|_| KeyError::KeyInvalid)?;
            return Self::ed25519(point);
        }
        if let Ok(key) = DecodingKey::from_ec_pem(bytes) {
            return Self::sound(Algorithm::ES256, key);
        }
        let key = DecodingKey::from_rsa_pem(bytes).map_err(|_| KeyError::KeyInvalid)?;
        let jwk = Jwk::from_decoding_key(&key, Some(Algorithm::RS256))
            .map_err(|_| KeyError::KeyInvalid)?;
        let AlgorithmParameters::RSA(numbers) = jwk.algorithm else {
            return Err(KeyError::KeyInvalid);
        };
        Self::rsa(&base64url(&numbers.n)?, &base64url(&numbers.e)?)
    }

    /// From modulus and exponent, the most significant byte first.
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        let significant = |number: &[u8]| {
            let zeros = number.iter().take_while(|byte| **byte == 0).count();
            number[zeros..].to_vec()
        };
        let (modulus, exponent) = (significant(modulus), significant(exponent));
        let unused = modulus.first().map_or(0, |byte| byte.leading_zeros());
        let bits = modulus.len() * 8 - unused as usize;
        if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
            return Err(KeyError::RsaSize {
                bits,
                bits_min: RSA_BITS_MIN,
                bits_max: RSA_BITS_MAX,
            });
        }
        let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
        let exponent_does =
            is_odd(&exponent) && exponent != [1] && exponent.len() <= RSA_EXPONENT_BYTES_MAX;
        if !is_odd(&modulus) || !exponent_does {
            return Err(KeyError::KeyInvalid);
        }
        let key = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
        Self::sound(Algorithm::RS256, key)
    }

    /// From the coordinates of a point on P-256.
    pub fn p256(x: &[u8], y: &[u8]) -> Result<Self, KeyError> {
        let uncompressed = [&[4], x, y].concat();
        Self::sound(Algorithm::ES256, DecodingKey::from_ec_der(&uncompressed))
    }

    /// From the 32 bytes of a compressed point.
    pub fn ed25519(point: &[u8]) -> Result<Self, KeyError> {
        // The library cuts off what is longer, and panics at what is shorter.
        if point.len() != ED25519_BYTES {
            return Err(KeyError::KeyInvalid);
        }
        Self::sound(Algorithm::EdDSA, DecodingKey::from_ed_der(point))
    }

    /// The library looks at a key when it is used; so it is used, on a signature that cannot be right.
    fn sound(algorithm: Algorithm, key: DecodingKey) -> Result<Self, KeyError> {
        match crypto::verify("", b"", &key, algorithm) {
            Ok(_) => Ok(Self { algorithm, key }),
            Err(_) => Err(KeyError::KeyInvalid),
        }
    }
}

pub fn base64url(text: &str) -> Result<Vec<u8>, KeyError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| KeyError::KeyInvalid)
}

/// Of each of the parts the key.
fn unnamed(parts: Vec<&[u8]>, read: fn(&[u8]) -> Result<Key, KeyError>) -> Result<Keys, KeyError> {
    let count = parts.len();
    if count > UNNAMED_MAX {
        return Err(KeyError::TooMany {
            keys_max: UNNAMED_MAX,
        });
    }
    let keys = parts.into_iter().zip(1..).map(|(part, number)| {
        read(part).map_err(|error| match count {
            1 => error,
            _ => KeyError::OneOfSeveral {
                number,
                error: Box::new(error),
            },
        })
    });
    keys.collect::<Result<_, _>>().map(Keys::Unnamed)
}

/// Each from its `-----BEGIN`, with what comes before the next one.
fn pems(bytes: &[u8]) -> Result<Vec<&[u8]>, KeyError> {
    let text = std::str::from_utf8(bytes).map_err(|_| KeyError::PemMissing)?;
    if text.contains("PRIVATE KEY-----") {
        return Err(KeyError::PrivateKey);
    }
    let mut starts: Vec<usize> = text.match_indices(PEM_BEGIN).map(|(at, _)| at).collect();
    starts.push(text.len());
    let parts = starts.windows(2).map(|pair| &text[pair[0]..pair[1]]);
    let parts: Vec<&str> = parts.collect();
    let is_public = |part: &&str| part.contains(" PUBLIC KEY-----");
    match !parts.is_empty() && parts.iter().all(is_public) {
        true => Ok(parts.into_iter().map(str::as_bytes).collect()),
        false => Err(KeyError::PemMissing),
    }
}

/// Lines that are not empty, or what is no text, as it is.
fn secrets(bytes: &[u8]) -> Result<Vec<&[u8]>, KeyError> {
    if bytes.trim_ascii_start().starts_with(PEM_BEGIN.as_bytes()) {
        return Err(KeyError::SecretIsPem);
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Ok(vec![bytes]);
    };
    let lines = text.lines().filter(|line| !line.is_empty());
    let lines: Vec<_> = lines.map(str::as_bytes).collect();
    Ok(match lines.is_empty() {
        true => vec![b"".as_slice()],
        false => lines,
    })
}

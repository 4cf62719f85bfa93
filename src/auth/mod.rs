//! Who a token says its bearer is, and what they may do.
//!
//! A [`Verifier`] is made of key material that somebody else has read and of [`Rules`], and turns the text of a JSON
//! Web Token into a [`Grant`] or a [`TokenError`]. The server makes one from the configuration; the engine asks it
//! when a client says Hello, and when one brings a fresh token.
//!
//! Nothing here reads a clock, a file, the environment or the network: the time is an argument of
//! [`Verifier::verify`]. Tokens are only checked, never made: the operator's own backend makes them. What a token
//! should hold is listed at [`Grant`]. With Python's PyJWT, for a relay with `jwt_secret_file`:
//!
//! ```python
//! import jwt, time
//! claims = {"sub": "ada", "name": "Ada", "tenant": "acme", "documents": ["invoice-*"],
//!           "permissions": ["read", "write"], "exp": int(time.time()) + 3600}
//! print(jwt.encode(claims, open("secret").read().rstrip("\n"), algorithm="HS256"))
//! ```
//!
//! and with the private key that belongs to `jwt_key_file`, the last line is
//!
//! ```python
//! print(jwt.encode(claims, open("private.pem").read(), algorithm="EdDSA"))
//! ```
//!
//! A secret of the right length comes from `openssl rand -hex 32`, a pair of keys from
//! `openssl genpkey -algorithm ed25519 -out private.pem` and `openssl pkey -in private.pem -pubout -out public.pem`.

mod claims;
mod error;
mod grant;
mod jwks;
mod key;
mod pattern;
mod revocation;
mod tenant;
mod verifier;

pub use error::{KeyError, TokenError};
pub use grant::{
    Grant, Permissions, TOKEN_ID_BYTES_MAX, USER_BYTES_MAX, is_token_id, is_user_text,
};
pub use key::KeyMaterial;
pub use pattern::Pattern;
pub use revocation::{Revocation, Revocations, TextInvalid};
pub use tenant::{global_id, is_tenant, split_global_id};
pub use verifier::{Rules, Verifier};

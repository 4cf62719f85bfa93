//! Who asks: the credential and the names that came with a request.

use std::convert::Infallible;
use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

use crate::codec::json::client_uuid;
use crate::server::http::problem::Problem;

/// The identity of those who write and do not say which client they are. The relay makes the client id from the user,
/// too, so that each user has one of their own.
const CLIENT_UUID: [u8; 16] = *b"corelay by http.";

const CLIENT: &str = "x-client-id";

#[derive(Debug, Clone)]
pub struct Visitor {
    /// Empty: none came.
    pub token: String,
    /// Where a token names the user, the token wins.
    pub user_id: String,
    pub user_name: String,
    client: Option<String>,
    /// Where the request came from.
    pub address: Option<IpAddr>,
}

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub struct Address(pub Option<IpAddr>);

/// Who writes.
#[derive(Debug, Clone)]
pub struct Author {
    pub visitor: Visitor,
    pub client_uuid: [u8; 16],
}

impl<S: Sync> FromRequestParts<S> for Author {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Ok(visitor) = Visitor::from_request_parts(parts, state).await;
        let client_uuid = match &visitor.client {
            Some(client) => client_uuid(client),
            // It is there, and no text.
            None if parts.headers.contains_key(CLIENT) => None,
            None => Some(CLIENT_UUID),
        };
        Ok(Self {
            visitor,
            client_uuid: client_uuid.ok_or_else(|| Problem::bad("X-Client-ID must be a UUID."))?,
        })
    }
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let text = |name: &str| text(&parts.headers, name);
        let bearer = text(header::AUTHORIZATION.as_str()).and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            let is_bearer = scheme.eq_ignore_ascii_case("bearer");
            is_bearer.then(|| token.trim().to_owned())
        });
        Ok(Self {
            token: bearer.unwrap_or_default(),
            user_id: text("x-user-id").unwrap_or_default(),
            user_name: text("x-user-name").unwrap_or_default(),
            client: text(CLIENT),
            address: parts.extensions.get().and_then(|Address(address)| *address),
        })
    }
}

/// A header's value, which is UTF-8 if it is text at all.
pub fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.as_bytes();
    Some(std::str::from_utf8(value).ok()?.trim().to_owned())
}

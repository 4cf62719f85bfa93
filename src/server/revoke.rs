//! `POST /revoke` of the control thread: takes tokens back before their time.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use super::authority::{Keeper, RevokeError};
use crate::auth::{Revocation, is_tenant, is_token_id, is_user_text};

/// `None`: nobody asks for tokens.
pub type SharedKeeper = Option<Arc<Mutex<Keeper>>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    token_id: Option<String>,
    user: Option<String>,
    tenant: Option<String>,
}

/// Answers when the revocation is on disk and every shard has closed what it means.
pub async fn revoke(
    State(keeper): State<SharedKeeper>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(keeper) = keeper else {
        let problem = "auth.mode = \"none\" asks nobody for a token: there is nothing to revoke";
        return refusal(StatusCode::CONFLICT, problem);
    };
    // A page in somebody's browser cannot send this without being asked first.
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            value
                .split(';')
                .next()
                .is_some_and(|kind| kind.trim() == "application/json")
        });
    if !is_json {
        let problem = "the request needs \"Content-Type: application/json\"";
        return refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, problem);
    }
    let revocation = match read(&body) {
        Ok(revocation) => revocation,
        Err(problem) => return refusal(StatusCode::BAD_REQUEST, &problem),
    };
    let revoked = revocation.to_string();
    match keeper.lock().await.revoke(revocation).await {
        Ok(closed) => {
            tracing::info!(closed, "revoked: {revoked}");
            let content = (header::CONTENT_TYPE, "application/json");
            let body = json!({ "closed": closed, "revoked": revoked });
            ([content], format!("{body}\n")).into_response()
        }
        Err(error) => {
            tracing::error!("not revoked: {revoked}: {error}");
            let status = match error {
                RevokeError::Full { .. } => StatusCode::SERVICE_UNAVAILABLE,
                RevokeError::NotWritten(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            refusal(status, &error.to_string())
        }
    }
}

fn read(body: &[u8]) -> Result<Revocation, String> {
    let asked: Asked =
        serde_json::from_slice(body).map_err(|error| format!("this is no request: {error}"))?;
    match asked {
        Asked {
            token_id: Some(token_id),
            user: None,
            tenant: None,
        } if is_token_id(&token_id) => Ok(Revocation::Token { token_id }),
        Asked {
            token_id: None,
            user: Some(user_id),
            tenant,
        } => {
            let tenant = tenant.unwrap_or_default();
            if user_id.is_empty() || !is_user_text(&user_id) || !is_tenant(&tenant) {
                return Err("no token can name this user of this tenant".to_owned());
            }
            Ok(Revocation::User { tenant, user_id })
        }
        Asked {
            token_id: Some(_),
            user: None,
            tenant: None,
        } => Err("no token can have this id".to_owned()),
        Asked { .. } => Err(
            "write {\"token_id\": \"…\"}, or {\"user\": \"…\", \"tenant\": \"…\"}; without a tenant, the user's tokens \
             that have none are meant"
                .to_owned(),
        ),
    }
}

fn refusal(status: StatusCode, problem: &str) -> Response {
    (status, format!("{problem}\n")).into_response()
}

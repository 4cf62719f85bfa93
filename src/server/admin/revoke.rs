//! `POST /revoke`: takes tokens back before their time.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::{Admin, json, read_json, refusal};
use crate::auth::{Revocation, is_tenant, is_token_id, is_user_text};
use crate::server::authority::{Keeper, RevokeError};

/// `None`: nobody asks for tokens.
pub type SharedKeeper = Option<Arc<Mutex<Keeper>>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    token_id: Option<String>,
    user: Option<String>,
    tenant: Option<String>,
}

#[derive(Serialize)]
struct Revoked {
    closed: usize,
    /// Whose tokens, in words.
    revoked: String,
}

/// Answers when the revocation is on disk and every shard has closed what it means.
pub async fn revoke(State(admin): State<Arc<Admin>>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(keeper) = &admin.relay().keeper else {
        let problem = "auth.mode = \"none\" asks nobody for a token: there is nothing to revoke";
        return refusal(StatusCode::CONFLICT, problem);
    };
    let revocation = match read_json(&headers, &body) {
        Ok(asked) => read(asked),
        Err(answer) => return *answer,
    };
    let revocation = match revocation {
        Ok(revocation) => revocation,
        Err(problem) => return refusal(StatusCode::BAD_REQUEST, problem),
    };
    let revoked = revocation.to_string();
    match keeper.lock().await.revoke(revocation).await {
        Ok(closed) => {
            tracing::info!(closed, "revoked: {revoked}");
            json(&Revoked { closed, revoked })
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

fn read(asked: Asked) -> Result<Revocation, &'static str> {
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
                return Err("no token can name this user of this tenant");
            }
            Ok(Revocation::User { tenant, user_id })
        }
        Asked {
            token_id: Some(_),
            user: None,
            tenant: None,
        } => Err("no token can have this id"),
        Asked { .. } => Err(
            "write {\"token_id\": \"…\"}, or {\"user\": \"…\", \"tenant\": \"…\"}; without a tenant, the user's tokens \
             that have none are meant",
        ),
    }
}

//! Whether the process lives, and whether it takes clients.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::{Admin, refusal};
use crate::server::lifecycle::Phase;

pub const READY: &str = "ready";
pub const RECOVERING: &str = "recovering";

pub async fn healthz() -> &'static str {
    "alive\n"
}

/// 200 and `ready`, or 503 and why not: `recovering` the store, `draining` before the end, or `disk failed`.
pub async fn readyz(State(admin): State<Arc<Admin>>) -> Response {
    match unready(&admin) {
        None => (StatusCode::OK, format!("{READY}\n")).into_response(),
        Some(why) => refusal(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

/// Why the relay takes no clients. `None`: it does.
pub fn unready(admin: &Admin) -> Option<&'static str> {
    if admin.lifecycle.has_store_failed() {
        return Some("disk failed");
    }
    match admin.lifecycle.phase() {
        Phase::Announced | Phase::Draining | Phase::Closing | Phase::Leaving => Some("draining"),
        Phase::Serving if admin.running().is_none() => Some(RECOVERING),
        Phase::Serving => None,
    }
}

//! Whether the process lives, and whether it takes clients.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::{Admin, refusal};
use crate::server::lifecycle::Phase;

pub const READY: &str = "ready";
pub const RECOVERING: &str = "recovering";

/// A disk that takes longer for a commit is taken for one that does not answer.
const COMMIT_AGE_MAX: Duration = Duration::from_secs(10);

pub async fn healthz() -> &'static str {
    "alive\n"
}

/// 200 and `ready`, or 503 and why not: `recovering` the store, `draining` before the end, `disk failed`, or `disk
/// hangs`, from which it may come back.
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
        Phase::Serving => match admin.running() {
            None => Some(RECOVERING),
            Some(running) => {
                let age = running.store.commit_age();
                age.filter(|age| *age > COMMIT_AGE_MAX)
                    .map(|_| "disk hangs")
            }
        },
    }
}

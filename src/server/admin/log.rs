//! `GET` and `PUT /log`: what is logged, until the next reload says otherwise.

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::refusal;
use crate::config::Draft;
use crate::server::log;

pub async fn get() -> String {
    log::filter() + "\n"
}

/// The body is what `log.filter` takes. A page in somebody's browser cannot send it without being asked first.
pub async fn put(body: Bytes) -> Response {
    let Ok(filter) = std::str::from_utf8(&body) else {
        return refusal(StatusCode::BAD_REQUEST, "this is no text");
    };
    let mut draft = Draft::default();
    draft.set(&format!("log.filter={}", filter.trim()));
    match draft.finish() {
        Ok(config) => {
            log::set_filter(&config.log.filter);
            tracing::info!(filter = config.log.filter, "what is logged has changed");
            get().await.into_response()
        }
        Err(errors) => {
            let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
            refusal(StatusCode::BAD_REQUEST, &lines.join("\n"))
        }
    }
}

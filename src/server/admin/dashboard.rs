//! `GET /`: a page that shows [`Overview`](crate::overview::Overview), once a second. It is three files as they are
//! written, in the binary.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get};

/// Nothing comes from elsewhere, and nothing goes there.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route(
            "/",
            file("text/html", include_str!("dashboard/dashboard.html")),
        )
        .route(
            "/dashboard.css",
            file("text/css", include_str!("dashboard/dashboard.css")),
        )
        .route(
            "/dashboard.js",
            file("text/javascript", include_str!("dashboard/dashboard.js")),
        )
        .route(
            "/icon.svg",
            file(
                "image/svg+xml",
                include_str!("../../../demo/public/assets/icon.svg"),
            ),
        )
}

fn file<S: Clone + Send + Sync + 'static>(kind: &str, text: &'static str) -> MethodRouter<S> {
    let kind = format!("{kind}; charset=utf-8");
    get(async move || {
        let headers = [
            (header::CONTENT_TYPE, kind.as_str()),
            (header::CACHE_CONTROL, "no-cache"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        ];
        (headers, text).into_response()
    })
}

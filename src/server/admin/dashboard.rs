//! `GET /`: a page that shows [`Overview`](crate::overview::Overview), once a second.

use axum::Router;

use crate::server::assets::DASHBOARD;

/// Nothing comes from elsewhere, and nothing goes there.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    DASHBOARD.iter().fold(Router::new(), |routes, asset| {
        let path = match asset.path {
            "index.html" => "/".to_owned(),
            path => format!("/{path}"),
        };
        routes.route(&path, asset.serve(CONTENT_SECURITY_POLICY))
    })
}

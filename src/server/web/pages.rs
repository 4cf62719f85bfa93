//! What a browser sees at `/`: the demo, whose built files are in the binary.

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

use super::accept::quality;
use crate::server::assets::{Asset, DEMO, PLAIN_TEXT};
use crate::server::http::{ABOUT, nothing_here};

/// Nothing comes from elsewhere, and nothing goes there.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    font-src 'self'; connect-src 'self' ws: wss:; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// The page and its files where the demo is switched on, and what there is without it.
pub fn routes(is_demo_on: bool) -> Router {
    let files = if is_demo_on { DEMO } else { &[] };
    let mut routes = Router::new();
    let mut root = get(about);
    for file in files {
        match file.path {
            "index.html" => root = page(file),
            path => {
                let asset = file.serve(CONTENT_SECURITY_POLICY);
                routes = routes.route(&format!("/{path}"), asset);
            }
        }
    }
    routes.route("/", root)
}

async fn about() -> Response {
    ([(header::CONTENT_TYPE, PLAIN_TEXT)], ABOUT).into_response()
}

/// The page for browsers, and a few words for everybody else.
fn page(file: &'static Asset) -> MethodRouter {
    let answer = file.answer(CONTENT_SECURITY_POLICY);
    get(async move |headers: HeaderMap| {
        let wanted = quality(&headers, "text/html");
        let is_page_wanted = headers.contains_key(header::ACCEPT)
            && wanted > 0
            && wanted >= quality(&headers, "text/plain")
            && is_named(&headers);
        let mut response = match is_page_wanted {
            true => answer(&headers),
            false => about().await,
        };
        let vary = HeaderValue::from_static("Accept, Accept-Encoding");
        response.headers_mut().insert(header::VARY, vary);
        response
    })
}

/// Whether the caller asks for a page in so many words, as browsers do. Others take anything.
fn is_named(headers: &HeaderMap) -> bool {
    let accept = super::visitor::text(headers, header::ACCEPT.as_str()).unwrap_or_default();
    accept.contains("text/html")
}

/// Elsewhere.
pub async fn nowhere() -> Response {
    let kind = [(header::CONTENT_TYPE, PLAIN_TEXT)];
    (StatusCode::NOT_FOUND, kind, nothing_here() + "\n").into_response()
}

//! What a browser sees at `/`: the demo, whose built files are in the binary.

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

use super::accept::quality;
use super::tag;
use crate::server::http::{ABOUT, nothing_here};

/// A file of the demo: its path below `demo/dist`, and what is in it.
type File = (&'static str, &'static [u8]);

include!(concat!(env!("OUT_DIR"), "/demo.rs"));

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
        match file.0 {
            "index.html" => root = page(*file),
            path => routes = routes.route(&format!("/{path}"), serve(*file)),
        }
    }
    routes.route("/", root)
}

async fn about() -> Response {
    ([(header::CONTENT_TYPE, PLAIN_TEXT)], ABOUT).into_response()
}

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// The page for browsers, and a few words for everybody else.
fn page(file: File) -> MethodRouter {
    let etag = etag(file);
    get(async move |headers: HeaderMap| {
        let wanted = quality(&headers, "text/html");
        let is_page_wanted = headers.contains_key(header::ACCEPT)
            && wanted > 0
            && wanted >= quality(&headers, "text/plain")
            && is_named(&headers);
        let mut response = match is_page_wanted {
            true => answer(file, &etag, &headers),
            false => about().await,
        };
        let vary = HeaderValue::from_static("Accept");
        response.headers_mut().insert(header::VARY, vary);
        response
    })
}

/// Whether the caller asks for a page in so many words, as browsers do. Others take anything.
fn is_named(headers: &HeaderMap) -> bool {
    let accept = super::visitor::text(headers, header::ACCEPT.as_str()).unwrap_or_default();
    accept.contains("text/html")
}

fn serve(file: File) -> MethodRouter {
    let etag = etag(file);
    get(async move |headers: HeaderMap| answer(file, &etag, &headers))
}

/// Names stay the same when what is in a file changes: a browser asks each time, and is told when it has it.
fn answer((path, bytes): File, etag: &str, headers: &HeaderMap) -> Response {
    let common = [
        (header::ETAG, etag),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    ];
    if tag::is_listed(headers, etag) {
        return (StatusCode::NOT_MODIFIED, response_headers(&common)).into_response();
    }
    let kind = [(header::CONTENT_TYPE, content_type(path))];
    (response_headers(&common), kind, bytes).into_response()
}

fn response_headers(common: &[(header::HeaderName, &str)]) -> HeaderMap {
    let value = |value: &str| HeaderValue::from_str(value).expect("they are ours");
    let headers = common.iter();
    headers
        .map(|(name, text)| (name.clone(), value(text)))
        .collect()
}

fn etag((_, bytes): File) -> String {
    format!("\"{}\"", &blake3::hash(bytes).to_hex()[..16])
}

fn content_type(path: &str) -> &'static str {
    let extension = path.rsplit('.').next().unwrap_or_default();
    match extension {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => PLAIN_TEXT,
        _other => "application/octet-stream",
    }
}

/// Elsewhere.
pub async fn nowhere() -> Response {
    let kind = [(header::CONTENT_TYPE, PLAIN_TEXT)];
    (StatusCode::NOT_FOUND, kind, nothing_here() + "\n").into_response()
}

//! What a request brings: a document's id, a query, a body. What is wrong with them is a problem.

use std::collections::HashMap;
use std::error::Error as _;

use axum::extract::{FromRequest, FromRequestParts, Path, Query as AxumQuery, Request};
use axum::http::header;
use axum::http::request::Parts;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::accept::JSON;
use super::visitor::text;
use crate::codec::wire::ErrorCode;
use crate::engine::{is_document_id, is_version_name};
use crate::server::http::problem::Problem;

/// What is UTF-8, as charsets are called.
const UTF_8: [&str; 3] = ["utf-8", "utf8", "us-ascii"];

/// The document that the path names.
pub struct DocumentId(pub String);

/// How a path is described that names a document.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it is read by `DocumentId`")]
pub struct InDocument {
    /// The document: 1 to 256 bytes of UTF-8 without control characters. A slash is written as %2F.
    #[param(
        example = "diary",
        min_length = 1,
        max_length = 256,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$"
    )]
    id: String,
}

/// How the header of a read is described.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it is read by `tag`")]
pub struct Known {
    /// ETags that the caller has: of what is there already the answer is 304.
    #[param(rename = "If-None-Match", nullable = false)]
    if_none_match: Option<String>,
}

/// How the header of a write is described.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it is read by `tag`")]
pub struct Expected {
    /// The document's ETag, or several: if it is at none of them nothing is done, and the answer is 412.
    #[param(rename = "If-Match", nullable = false)]
    if_match: Option<String>,
    /// If the document is at one of these ETags, or with `*` if it is there at all, nothing is done, and the answer is 412.
    #[param(rename = "If-None-Match", nullable = false)]
    if_none_match: Option<String>,
}

/// How those are described who write.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it is read by `Visitor`")]
pub struct Writer {
    /// The UUID of the client that writes. Without it, there is one for all requests of the user.
    #[param(rename = "X-Client-ID", format = "uuid", nullable = false)]
    client_id: Option<String>,
}

/// The part of the path with that name.
async fn path_parameter<S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    name: &str,
) -> Result<String, Problem> {
    let path = Path::<HashMap<String, String>>::from_request_parts(parts, state).await;
    let Path(mut parameters) =
        path.map_err(|_| Problem::bad("The path is not UTF-8 where it is decoded."))?;
    Ok(parameters.remove(name).expect("the route has it"))
}

impl<S: Send + Sync> FromRequestParts<S> for DocumentId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = path_parameter(parts, state, "id").await?;
        if !is_document_id(&id) {
            let words = "a document id has 1 to 256 bytes and no control characters";
            return Err(Problem::of_code(ErrorCode::DocumentIdInvalid, words));
        }
        Ok(Self(id))
    }
}

/// # Errors
///
/// No version can be called so.
pub fn check_version_name(name: &str) -> Result<(), Problem> {
    if is_version_name(name) {
        return Ok(());
    }
    let words = "a version's name has 1 to 128 bytes and no control characters";
    Err(Problem::of_code(ErrorCode::VersionNameInvalid, words))
}

/// The version that the path names.
pub struct VersionName(pub String);

/// How a path is described that names a version.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it is read by `VersionName`")]
pub struct InVersion {
    /// The version.
    #[param(
        min_length = 1,
        max_length = 128,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$"
    )]
    name: String,
}

impl<S: Send + Sync> FromRequestParts<S> for VersionName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let name = path_parameter(parts, state, "name").await?;
        check_version_name(&name)?;
        Ok(Self(name))
    }
}

pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match AxumQuery::from_request_parts(parts, state).await {
            Ok(AxumQuery(query)) => Ok(Self(query)),
            Err(rejection) => {
                let reason = rejection
                    .source()
                    .map_or_else(String::new, ToString::to_string);
                let words = format!("The query is not what is asked for here: {reason}.");
                Err(Problem::bad(words))
            }
        }
    }
}

/// How many a page of an answer has at most.
///
/// # Errors
///
/// It is to have none, or too many.
pub fn page_limit(limit: Option<u32>, default: u32, max: u32) -> Result<u32, Problem> {
    match limit.unwrap_or(default) {
        limit if (1..=max).contains(&limit) => Ok(limit),
        _other => Err(Problem::bad(format!("limit must be from 1 to {max}."))),
    }
}

/// A body in JSON.
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        check_type(&request, JSON)?;
        let body = body(request, state).await?;
        match serde_json::from_slice(&body) {
            Ok(value) => Ok(Self(value)),
            Err(error) => Err(Problem::bad(format!(
                "The body is not what is asked for here: {error}."
            ))),
        }
    }
}

/// A body that is text.
pub struct Plain(pub String);

impl<S: Send + Sync> FromRequest<S> for Plain {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        check_type(&request, super::accept::PLAIN)?;
        let body = body(request, state).await?;
        match String::from_utf8(body.into()) {
            Ok(text) => Ok(Self(text)),
            Err(_) => Err(Problem::bad("The body is not UTF-8.")),
        }
    }
}

async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    let body = Bytes::from_request(request, state).await;
    body.map_err(|rejection| Problem::bad(rejection.body_text()))
}

fn check_type(request: &Request, wanted: &str) -> Result<(), Problem> {
    let found = text(request.headers(), header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let mut parts = found.split(';').map(str::trim);
    let is_wanted = parts
        .next()
        .is_some_and(|kind| kind.eq_ignore_ascii_case(wanted));
    let is_utf_8 = parts
        .filter_map(|parameter| parameter.split_once('='))
        .filter(|(name, _)| name.eq_ignore_ascii_case("charset"))
        .all(|(_, charset)| {
            let charset = charset.trim_matches('"');
            UTF_8.iter().any(|name| charset.eq_ignore_ascii_case(name))
        });
    let words = match (is_wanted, is_utf_8) {
        (true, true) => return Ok(()),
        (true, false) => "The body must be in UTF-8.".to_owned(),
        (false, _) => format!("The body's Content-Type must be {wanted}."),
    };
    Err(Problem::of_http(415, "Unsupported Media Type", words))
}

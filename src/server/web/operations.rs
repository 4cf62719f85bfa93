//! A document's operations: read by pages, and submitted.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::Web;
use super::call::Call;
use super::input::{DocumentId, Expected, InDocument, Json, Query, Writer, page_limit};
use super::reading::{Limit, Placed, once, position_of};
use super::submission::{Accepted, Batch, Operations, Submission};
use super::visitor::{Author, Visitor};
use super::whole::Whole;
use crate::codec::json::Payload;
use crate::codec::wire::{ErrorCode, Position};
use crate::server::http::problem::Problem;

pub const LIMIT_DEFAULT: u32 = 1000;
const LIMIT_MAX: u32 = 10_000;
/// A page has no more operations when they have so many bytes.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// An operation in its place.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationEntry {
    revision: u64,
    /// The client id of who made it.
    client_id: u64,
    /// How many that client had made before.
    clock: u64,
    /// Of a text: components from the text's start, `{"retain": 5}`, `{"insert": "x"}`, `{"delete": 2}`, their lengths in
    /// UTF-16 code units. Of a log: any JSON value, or `{"base64": "…"}` where it is none.
    #[schema(value_type = serde_json::Value)]
    operation: Box<RawValue>,
}

/// Operations as they stand in an answer.
///
/// # Errors
///
/// None that input could cause.
pub fn entries(kind: &str, operations: &[Placed]) -> Result<Vec<OperationEntry>, Problem> {
    let payload = Payload::of_kind(kind);
    let entry = |placed: &Placed| {
        let mut json = Vec::new();
        payload.write(&placed.operation, &mut json);
        let json = String::from_utf8(json).ok().map(RawValue::from_string);
        let Some(Ok(operation)) = json else {
            let words = "an operation has no form in JSON";
            return Err(Problem::of_code(ErrorCode::InternalError, words));
        };
        Ok(OperationEntry {
            revision: placed.revision,
            client_id: placed.origin,
            clock: placed.clock,
            operation,
        })
    };
    operations.iter().map(entry).collect()
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Range {
    /// Only operations after this revision: `next` of the page before.
    #[serde(default)]
    #[param(value_type = u64, default = 0, maximum = 9_007_199_254_740_991_i64)]
    after: Whole,
    /// How many at most. A page ends earlier where its operations come to 1 MiB.
    #[param(minimum = 1, maximum = 10000, default = 1000)]
    limit: Option<u32>,
}

/// A page of operations.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    kind: String,
    epoch: u64,
    /// The revision after which the operations start. It is `after`; but after 0, of a document that was deleted and made
    /// again, the one where the deleted one ended.
    from_revision: u64,
    operations: Vec<OperationEntry>,
    /// There are more: ask again with this as `after`.
    next: Option<u64>,
    /// The document's newest revision.
    revision: u64,
}

/// Read operations
///
/// Those after a revision, in order; none where there are no newer ones. It does not wait for any. Where history that old
/// is no longer kept, because a snapshot stands in its place, the problem is SNAPSHOT_REQUIRED (410): read the content.
#[utoipa::path(
    get, path = "/v1/documents/{id}/operations", tag = "operations", operation_id = "getOperations",
    params(InDocument, Range),
    responses((status = 200, description = "A page of operations.", body = Page)),
)]
pub async fn get(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    DocumentId(id): DocumentId,
    Query(range): Query<Range>,
) -> Result<Response, Problem> {
    let limit = Limit {
        operations: page_limit(range.limit, LIMIT_DEFAULT, LIMIT_MAX)? as usize,
        bytes: PAGE_BYTES_MAX,
    };
    let mut call = Call::to_read(&web, &visitor, &id).await?;
    let opened = call.open_after(&web, once(&id), range.after.0).await?;
    let sent = call.take_pages(&web, limit).await?;
    let reached = sent.revision(&opened);
    let Position { epoch, revision } = position_of(&opened);
    let mut held = sent.held;
    held.grow(2 * PAGE_BYTES_MAX)?;
    let page = Page {
        operations: entries(&opened.kind, &sent.operations)?,
        kind: opened.kind,
        epoch,
        from_revision: opened.from_revision,
        next: sent.has_more.then_some(reached),
        revision: revision.max(reached),
    };
    let mut response = axum::Json(page).into_response();
    response.extensions_mut().insert(Arc::new(held));
    Ok(response)
}

/// Submit operations
///
/// They are applied and acknowledged as a whole, or refused as a whole. What is retried after an answer was lost is
/// applied once if `firstClock` says which operations of the client `X-Client-ID` they are: the answer says then that
/// it is a `duplicate`.
#[utoipa::path(
    post, path = "/v1/documents/{id}/operations", tag = "operations", operation_id = "postOperations",
    params(InDocument, Writer, Expected),
    request_body(content = Operations, description = "What to apply."),
    responses((status = 200, description = "They are applied.", body = Accepted)),
)]
pub async fn post(
    State(web): State<Arc<Web>>,
    author: Author,
    headers: HeaderMap,
    DocumentId(id): DocumentId,
    Json(submission): Json<Submission>,
) -> Result<Accepted, Problem> {
    submission.check()?;
    let batch = Batch::new(submission);
    batch.submit(&web, &author, &id, &headers).await
}

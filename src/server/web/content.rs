//! What is in a document: read, and of a text written as a whole.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::accept::{JSON, PLAIN, choose};
use super::call::Call;
use super::history::{Moment, Past};
use super::input::{DocumentId, Expected, InDocument, Known, Plain, Query, Writer};
use super::memory::Held;
use super::operations::{LIMIT_DEFAULT, OperationEntry, PAGE_BYTES_MAX, entries};
use super::reading::{Limit, beside, once, position_of};
use super::submission::{Accepted, Batch};
use super::time::Time;
use super::visitor::{Author, Visitor};
use super::whole::Whole;
use super::{Web, difference, tag};
use crate::codec::wire::{ErrorCode, Position};
use crate::server::http::problem::Problem;
use crate::text::Text;

/// What is in a document.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Content {
    Text(TextContent),
    Log(LogContent),
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TextContent {
    #[schema(example = "text")]
    kind: &'static str,
    epoch: u64,
    /// The revision that the text is at.
    revision: u64,
    text: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogContent {
    #[schema(example = "log")]
    kind: &'static str,
    epoch: u64,
    /// The revision that it leads to.
    revision: u64,
    /// What a client has offered in place of the operations up to its revision.
    snapshot: Option<LogSnapshot>,
    /// Those after the snapshot, as many as one page has.
    operations: Vec<OperationEntry>,
    /// There are more: read the operations after `revision`.
    has_more: bool,
}

#[derive(Debug, Serialize, ToSchema)]
struct LogSnapshot {
    revision: u64,
    base64: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct When {
    /// Of a text: as it was at this revision.
    #[param(value_type = Option<u64>, maximum = 9_007_199_254_740_991_i64)]
    revision: Option<Whole>,
    /// Of a text: as it was at this time, in milliseconds since 1970 or as RFC 3339 has it. With a `revision` it is not
    /// looked at.
    #[param(schema_with = Time::schema)]
    time: Option<Time>,
}

impl When {
    /// `None`: now.
    fn moment(&self) -> Option<Moment> {
        let time = self.time.map(Moment::Time);
        let revision = self.revision.map(|revision| Moment::Revision(revision.0));
        revision.or(time)
    }
}

/// Read what is in a document
///
/// A text comes as JSON, or as it is (`Accept: text/plain`). A log comes as the snapshot that a client has offered, if
/// one has, and the first page of the operations after it.
#[utoipa::path(
    get, path = "/v1/documents/{id}/content", tag = "content", operation_id = "getContent",
    params(InDocument, When, Known),
    responses(
        (status = 200, description = "What is in it.",
            content((Content = "application/json"), (String = "text/plain")),
            headers(("ETag" = String, description = "`\"epoch.revision\"`."))),
        (status = 304, description = "The caller has it as it is."),
    ),
)]
pub async fn get(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    headers: HeaderMap,
    DocumentId(id): DocumentId,
    Query(when): Query<When>,
) -> Result<Response, Problem> {
    let kind = choose(&headers, &[JSON, PLAIN])?;
    let mut call = Call::to_read(&web, &visitor, &id).await?;
    if let Some(moment) = when.moment() {
        let past = Past::find(&web, &mut call, &id, moment).await?;
        if tag::is_known(&headers, past.position) {
            return Ok(not_modified(past.position));
        }
        let (text, held) = past.read(&web, &mut call).await?;
        return text_answer(text, held, past.position, kind).await;
    }
    let opened = call.open(once(&id)).await?;
    if tag::is_known(&headers, position_of(&opened)) {
        return Ok(not_modified(position_of(&opened)));
    }
    let epoch = position_of(&opened).epoch;
    if opened.kind == "text" {
        let sent = call.take_pages(&web, Limit::NONE).await?;
        let revision = sent.revision(&opened);
        let (text, held) = sent.into_text().await?;
        let position = Position { epoch, revision };
        return text_answer(text, held, position, kind).await;
    }
    choose(&headers, &[JSON])?;
    let limit = Limit {
        operations: LIMIT_DEFAULT as usize,
        bytes: PAGE_BYTES_MAX,
    };
    let sent = call.take_pages(&web, limit).await?;
    let revision = sent.revision(&opened);
    let mut held = sent.held;
    let snapshot_bytes = sent.snapshot.as_ref().map_or(0, |(_, data)| data.len());
    // In base64, and once more in the answer.
    held.grow(3 * snapshot_bytes + 2 * PAGE_BYTES_MAX)?;
    let make = move || -> Result<Vec<u8>, Problem> {
        let snapshot = sent.snapshot.map(|(revision, data)| LogSnapshot {
            revision,
            base64: STANDARD.encode(data),
        });
        let content = Content::Log(LogContent {
            kind: "log",
            epoch,
            revision,
            snapshot,
            operations: entries(&opened.kind, &sent.operations)?,
            has_more: sent.has_more,
        });
        Ok(serde_json::to_vec(&content).expect("it has a form in JSON"))
    };
    let body = beside(snapshot_bytes + PAGE_BYTES_MAX, make).await?;
    Ok(answer(body, JSON, held, Position { epoch, revision }))
}

/// The caller has it as it is.
pub fn not_modified(position: Position) -> Response {
    let headers = [tag::header_of(position)];
    (StatusCode::NOT_MODIFIED, headers).into_response()
}

async fn text_answer(
    text: Text,
    mut held: Held,
    position: Position,
    kind: &'static str,
) -> Result<Response, Problem> {
    let bytes = text.len_bytes();
    held.grow(bytes)?;
    let body = beside(bytes, move || text.to_string()).await;
    if kind == PLAIN {
        return Ok(answer(
            body.into(),
            "text/plain; charset=utf-8",
            held,
            position,
        ));
    }
    // A character can take six bytes in JSON.
    let escaped = |byte: u8| byte < b' ' || matches!(byte, b'"' | b'\\');
    let escaped = body.bytes().filter(|byte| escaped(*byte)).count();
    held.grow(bytes + 5 * escaped)?;
    let content = Content::Text(TextContent {
        kind: "text",
        epoch: position.epoch,
        revision: position.revision,
        text: body,
    });
    let make = move || serde_json::to_vec(&content).expect("it has a form in JSON");
    Ok(answer(beside(bytes, make).await, JSON, held, position))
}

/// It is held until it is sent.
fn answer(body: Vec<u8>, kind: &'static str, mut held: Held, position: Position) -> Response {
    held.shrink_to(body.len());
    let headers = [(header::CONTENT_TYPE, kind), (header::VARY, "Accept")];
    let tag = [tag::header_of(position)];
    let mut response = (headers, tag, body).into_response();
    response.extensions_mut().insert(Arc::new(held));
    response
}

/// A text, and where it is in its history.
///
/// # Errors
///
/// The document is none.
async fn read_text(
    web: &Web,
    call: &mut Call,
    id: &str,
) -> Result<(Text, Held, Position), Problem> {
    let opened = call.open(once(id)).await?;
    if opened.kind != "text" {
        let words = format!("this is for a text, and the document is a {}", opened.kind);
        return Err(Problem::of_code(ErrorCode::KindMismatch, words));
    }
    let sent = call.take_pages(web, Limit::NONE).await?;
    let position = Position {
        epoch: position_of(&opened).epoch,
        revision: sent.revision(&opened),
    };
    let (text, held) = sent.into_text().await?;
    Ok((text, held, position))
}

/// Write a text as a whole
///
/// What is different from the text as it is becomes one operation, so that others who write at the same time keep what
/// they have written. With `If-Match` it is taken only while the text is at that ETag.
#[utoipa::path(
    put, path = "/v1/documents/{id}/content", tag = "content", operation_id = "putContent",
    params(InDocument, Writer, Expected),
    request_body(content = String, content_type = "text/plain", description = "The text, in UTF-8."),
    responses((status = 200, description = "The text is this, as far as nobody else has written. `count` is 0 where it was already.", body = Accepted)),
)]
pub async fn put(
    State(web): State<Arc<Web>>,
    author: Author,
    headers: HeaderMap,
    DocumentId(id): DocumentId,
    Plain(target): Plain,
) -> Result<Accepted, Problem> {
    choose(&headers, &[JSON])?;
    let mut call = Call::to_read(&web, &author.visitor, &id).await?;
    replace(&web, &author, &mut call, &id, &headers, target).await
}

/// Makes a text what it is to be.
pub async fn replace(
    web: &Arc<Web>,
    author: &Author,
    call: &mut Call,
    id: &str,
    headers: &HeaderMap,
    target: String,
) -> Result<Accepted, Problem> {
    let (text, held, position) = read_text(web, call, id).await?;
    let expected_revision = tag::expected_revision(headers, position)?;
    let operation = difference::of_texts(text, target, held).await?;
    if operation.is_identity() {
        return Ok(Accepted::nothing(web, position));
    }
    let batch = Batch::of_text(position.revision, operation).expecting(expected_revision);
    batch.submit(web, author, id, headers).await
}

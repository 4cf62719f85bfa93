//! Documents by name: listed, looked at, created, deleted and brought back.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::Web;
use super::call::{Call, random_uuid, unexpected};
use super::content::not_modified;
use super::input::{DocumentId, Expected, InDocument, Json, Known, Query, Writer, page_limit};
use super::reading::{condition_of, glance, position_of};
use super::submission::{Accepted, Batch, Submission};
use super::tag;
use super::visitor::{Author, Visitor};
use crate::codec::wire::{self, ErrorCode, Position, event, request::Body};
use crate::engine::DOCUMENT_ID_BYTES_MAX;
use crate::server::http::problem::Problem;

const LIST_DEFAULT: u32 = 100;
const LIST_MAX: u32 = 1000;

/// A document as it is now.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    #[schema(example = "diary")]
    id: String,
    /// `log`, `text`: what its operations mean.
    #[schema(example = "text")]
    kind: String,
    /// With `revision`, a place in the document's history, and its ETag. It changes when the relay has lost
    /// acknowledged operations, which it can only with `store.durability` weaker than `always`.
    #[schema(example = 1)]
    epoch: u64,
    /// How many operations it has had.
    #[schema(example = 17)]
    revision: u64,
    /// Which of the relay's cores has it.
    shard: u32,
    /// A text's length in UTF-8. Of a log, that of the snapshot that a client has offered.
    content_bytes: u64,
    permissions: Permissions,
}

/// What the caller may do with it.
#[derive(Debug, Serialize, ToSchema)]
struct Permissions {
    read: bool,
    write: bool,
}

impl Document {
    fn new(id: String, opened: &wire::Opened) -> Self {
        let position = position_of(opened);
        let permissions = opened.permissions.unwrap_or_default();
        Self {
            id,
            kind: opened.kind.clone(),
            epoch: position.epoch,
            revision: position.revision,
            shard: opened.shard,
            content_bytes: opened.content_bytes,
            permissions: Permissions {
                read: permissions.read,
                write: permissions.write,
            },
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Listing {
    /// Only documents whose ids start with this.
    #[serde(default)]
    #[param(max_length = 256)]
    prefix: String,
    /// Only documents whose ids come after this one, in the order of their bytes: `next` of the page before.
    #[serde(default)]
    #[param(max_length = 256)]
    after: String,
    /// How many at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Directory {
    /// In the order of their ids' bytes.
    documents: Vec<Entry>,
    /// There are more: ask again with this as `after`.
    next: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Entry {
    id: String,
    kind: String,
}

/// List documents
///
/// Those that the caller may read. A document is listed from its first operation on.
#[utoipa::path(
    get, path = "/v1/documents", tag = "documents", operation_id = "listDocuments", params(Listing),
    responses((status = 200, description = "A page of the list.", body = Directory)),
)]
pub async fn list(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Query(listing): Query<Listing>,
) -> Result<axum::Json<Directory>, Problem> {
    let limit = page_limit(listing.limit, LIST_DEFAULT, LIST_MAX)?;
    if listing.prefix.len().max(listing.after.len()) > DOCUMENT_ID_BYTES_MAX {
        let words = format!("prefix and after have at most {DOCUMENT_ID_BYTES_MAX} bytes");
        return Err(Problem::of_code(ErrorCode::DocumentIdInvalid, words));
    }
    let mut call = Call::connect(&web, &visitor, random_uuid(), None).await?;
    let list = Body::List(wire::List {
        prefix: listing.prefix,
        after: listing.after,
        limit,
        ..wire::List::default()
    });
    let directory = match call.ask(list).await? {
        event::Body::Directory(directory) => directory,
        other => return Err(unexpected(&other)),
    };
    let last = directory.documents.last();
    let next = last.filter(|_| directory.has_more);
    let next = next.map(|entry| entry.document_id.clone());
    let entry = |entry: wire::DocumentEntry| Entry {
        id: entry.document_id,
        kind: entry.kind,
    };
    Ok(axum::Json(Directory {
        documents: directory.documents.into_iter().map(entry).collect(),
        next,
    }))
}

/// Look at a document
///
/// What it is and where it is in its history, without what is in it.
#[utoipa::path(
    get, path = "/v1/documents/{id}", tag = "documents", operation_id = "getDocument",
    params(InDocument, Known),
    responses(
        (status = 200, description = "The document.", body = Document, headers(("ETag" = String, description = "`\"epoch.revision\"`."))),
        (status = 304, description = "The caller has it as it is."),
    ),
)]
pub async fn get(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    headers: HeaderMap,
    DocumentId(id): DocumentId,
) -> Result<Response, Problem> {
    let mut call = Call::to_read(&web, &visitor, &id).await?;
    let opened = call.open(glance(&id)).await?;
    let position = position_of(&opened);
    if tag::is_known(&headers, position) {
        return Ok(not_modified(position));
    }
    let document = Document::new(id, &opened);
    Ok(([tag::header_of(position)], axum::Json(document)).into_response())
}

/// What a document is made of: how it is read. `NewDocument` describes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Creation {
    kind: NewKind,
    text: Option<String>,
    operations: Option<Vec<Box<RawValue>>>,
}

/// What a document is made of.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is read as a `Creation`")]
enum NewDocument {
    Text(NewText),
    Log(NewLog),
}

/// A plain text.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "as above")]
struct NewText {
    #[schema(inline)]
    kind: TextKind,
    /// What is in it at first.
    #[schema(min_length = 1, example = "Dear diary")]
    text: Option<String>,
}

/// Operations that the relay does not read.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "as above")]
struct NewLog {
    #[schema(inline)]
    kind: LogKind,
    /// The first of them, each any JSON value, or `{"base64": "…"}` for bytes.
    #[schema(min_items = 1)]
    operations: Option<Vec<serde_json::Value>>,
}

#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "as above")]
enum TextKind {
    Text,
}

#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "as above")]
enum LogKind {
    Log,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NewKind {
    Log,
    Text,
}

impl NewKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Text => "text",
        }
    }
}

/// Create a document
///
/// A document exists from its first operation on. With a `text` or `operations` it is made, unless there is one of that
/// name: then the problem is DOCUMENT_EXISTS (409), or with `If-None-Match: *` that the condition does not hold (412).
/// Without, nothing is stored: the answer says whether it can be made (202) or is there already (200).
#[utoipa::path(
    put, path = "/v1/documents/{id}", tag = "documents", operation_id = "createDocument",
    params(InDocument, Writer, Expected),
    request_body(content = NewDocument, description = "What it is made of."),
    responses(
        (status = 200, description = "It is there already, and of this kind.", body = Document, headers(("ETag" = String, description = "`\"epoch.revision\"`."))),
        (status = 201, description = "It is made.", body = Accepted,
            headers(("Location" = String, description = "Where it is."), ("ETag" = String, description = "`\"epoch.revision\"`."))),
        (status = 202, description = "It can be made, and will be by its first operation.", body = Document),
    ),
)]
pub async fn create(
    State(web): State<Arc<Web>>,
    author: Author,
    headers: HeaderMap,
    DocumentId(id): DocumentId,
    Json(creation): Json<Creation>,
) -> Result<Response, Problem> {
    let kind = creation.kind;
    let first = creation.into_submission()?;
    let mut open = glance(&id);
    open.kind = kind.name().to_owned();
    let mut call = Call::to_read(&web, &author.visitor, &id).await?;
    let (opened, exists) = match call.open(open.clone()).await {
        Err(problem) if problem.is(ErrorCode::DocumentNotFound) => {
            open.create = true;
            (call.open(open).await?, false)
        }
        opened => {
            let opened = opened?;
            let exists = !opened.unwritten;
            (opened, exists)
        }
    };
    let position = position_of(&opened);
    tag::expected_revision(&headers, condition_of(&opened))?;
    match first {
        None if exists => {
            let tag = [tag::header_of(position)];
            Ok((tag, axum::Json(Document::new(id, &opened))).into_response())
        }
        None => {
            let document = axum::Json(Document::new(id, &opened));
            Ok((StatusCode::ACCEPTED, document).into_response())
        }
        Some(_) if exists => Err(exists_already(position.revision)),
        Some(submission) => {
            let batch = Batch::new(submission)
                .creating(kind)
                .expecting(Some(position.revision));
            let accepted = batch.submit(&web, &author, &id, &HeaderMap::new()).await;
            let accepted = accepted.map_err(|problem| {
                // Somebody else was faster.
                match (problem.is(ErrorCode::SyncConflict), problem.revision()) {
                    (true, Some(revision)) => exists_already(revision),
                    _other => problem,
                }
            })?;
            let location = format!("/v1/documents/{}", percent_encoded(&id));
            let headers = [(header::LOCATION, location)];
            Ok((StatusCode::CREATED, headers, accepted).into_response())
        }
    }
}

fn exists_already(revision: u64) -> Problem {
    let words = "there is a document of this name already; write to it, or take another name";
    Problem::of_http(409, "Document Exists", words).at_revision(revision)
}

impl Creation {
    /// The first operations. `None`: there are none.
    fn into_submission(self) -> Result<Option<Submission>, Problem> {
        match (self.kind, self.text, self.operations) {
            (_, None, None) => Ok(None),
            (NewKind::Text, Some(text), None) if !text.is_empty() => {
                Ok(Some(Submission::first_text(text)))
            }
            (NewKind::Log, None, Some(operations)) if !operations.is_empty() => {
                Ok(Some(Submission::of_log(operations)))
            }
            _other => Err(Problem::bad(
                "A text is made with a text, a log with operations, neither with nothing in it.",
            )),
        }
    }
}

/// As a segment of a path.
fn percent_encoded(id: &str) -> String {
    let mut encoded = String::new();
    for byte in id.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            other => encoded += &format!("%{other:02X}"),
        }
    }
    encoded
}

/// Delete a document
///
/// For everybody who has it open, too. For a time (`document.delete_grace`) it can be restored.
#[utoipa::path(
    delete, path = "/v1/documents/{id}", tag = "documents", operation_id = "deleteDocument",
    params(InDocument, Expected),
    responses((status = 204, description = "It is deleted.")),
)]
pub async fn delete(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    headers: HeaderMap,
    DocumentId(id): DocumentId,
) -> Result<StatusCode, Problem> {
    let mut call = Call::to_read(&web, &visitor, &id).await?;
    let expected_revision = call.expected_revision(&id, &headers).await?;
    let deleted = call.delete(id, false, expected_revision).await;
    deleted.map_err(|problem| match expected_revision {
        Some(_) if problem.is(ErrorCode::SyncConflict) => problem.as_precondition_failed(),
        _other => problem,
    })
}

/// Restore a document
///
/// Takes its deletion back. To bring back what was in it at an earlier time, take it back to that (`/revert`). While it is
/// deleted it has no ETag.
#[utoipa::path(
    post, path = "/v1/documents/{id}/restore", tag = "documents", operation_id = "restoreDocument",
    params(InDocument, Expected),
    responses((status = 204, description = "It is there again.")),
)]
pub async fn restore(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    headers: HeaderMap,
    DocumentId(id): DocumentId,
) -> Result<StatusCode, Problem> {
    let mut call = Call::to_read(&web, &visitor, &id).await?;
    match call.expected_revision(&id, &headers).await {
        Err(problem) if problem.is(ErrorCode::DocumentDeleted) => {
            tag::expected_revision(&headers, Position::default())?;
        }
        expected => {
            expected?;
        }
    }
    call.delete(id, true, None).await
}

impl Call {
    /// The revision that the caller of a write wants a document to be at, which is looked at only if there are conditions.
    pub async fn expected_revision(
        &mut self,
        id: &str,
        headers: &HeaderMap,
    ) -> Result<Option<u64>, Problem> {
        if !tag::has_conditions(headers) {
            return Ok(None);
        }
        let opened = self.open(glance(id)).await?;
        tag::expected_revision(headers, condition_of(&opened))
    }

    async fn delete(
        &mut self,
        document_id: String,
        undo: bool,
        expected_revision: Option<u64>,
    ) -> Result<StatusCode, Problem> {
        let delete = Body::Delete(wire::Delete {
            document_id,
            undo,
            expected_revision,
            ..wire::Delete::default()
        });
        match self.ask(delete).await? {
            event::Body::Deleted(_) => Ok(StatusCode::NO_CONTENT),
            other => Err(unexpected(&other)),
        }
    }
}

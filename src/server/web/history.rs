//! What has happened in a document: who changed what and when, what was in it at a revision, and a text taken back to one.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::call::{Call, unexpected};
use super::content::read_text;
use super::input::{DocumentId, Expected, InDocument, Json, Query, Writer};
use super::memory::Held;
use super::reading::{beside, misfit};
use super::submission::{Accepted, Batch};
use super::visitor::{Author, Visitor};
use super::whole::Whole;
use super::{Web, difference, tag};
use crate::codec::wire::{self, ErrorCode, event, request::Body};
use crate::server::http::problem::Problem;
use crate::text::{Operation, Text, TextError};

const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 1000;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Span {
    /// Which comes first.
    #[param(inline)]
    order: Option<Order>,
    /// Begin with this revision: `next` of the page before.
    #[param(value_type = Option<u64>, maximum = 9_007_199_254_740_991_i64)]
    from: Option<Whole>,
    /// Begin at this time, in milliseconds since 1970: with the newest change that is not later, or, where the oldest comes
    /// first, with the oldest that is not earlier. With a `from` it is not looked at.
    #[param(value_type = Option<u64>, maximum = 9_007_199_254_740_991_i64)]
    time: Option<Whole>,
    /// How many at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Order {
    #[default]
    Newest,
    Oldest,
}

/// A page of a document's changes.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    kind: String,
    changes: Vec<Change>,
    /// There are more: ask again with this as `from`, and without a time.
    next: Option<u64>,
    /// The document's newest revision.
    revision: u64,
    /// The document began with this revision. 1, or more if it was deleted and made again.
    first_revision: u64,
    /// The oldest revision that is kept.
    oldest_revision: u64,
}

/// Operations that were applied together.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Change {
    /// The revision of the first of them.
    first_revision: u64,
    /// The revision of the last of them.
    revision: u64,
    /// The client that made them.
    client_id: u64,
    /// The user who made them; empty where nobody was named.
    author: String,
    /// When, in milliseconds since 1970.
    time: u64,
    /// How large they are.
    bytes: u64,
}

/// List changes
///
/// Who changed the document and when, the newest change first unless `order` says otherwise.
#[utoipa::path(
    get, path = "/v1/documents/{id}/history", tag = "history", operation_id = "getHistory",
    params(InDocument, Span),
    responses((status = 200, description = "A page of changes.", body = Changes)),
)]
pub async fn get(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    DocumentId(id): DocumentId,
    Query(span): Query<Span>,
) -> Result<axum::Json<Changes>, Problem> {
    let limit = span.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::bad(format!(
            "limit must be from 1 to {LIMIT_MAX}."
        )));
    }
    // 0 is no revision and no time to the relay.
    let from = span.from.map_or(0, |from| from.0.max(1));
    let time = span.time.map_or(0, |time| time.0.max(1));
    let mut call = Call::to_read(&web, &visitor, &id).await?;
    let page = call
        .ask_history(wire::History {
            document_id: id,
            newest_first: span.order.unwrap_or_default() == Order::Newest,
            from_revision: from,
            from_time_ms: if from > 0 { 0 } else { time },
            limit,
            ..wire::History::default()
        })
        .await?;
    let change = |entry: wire::HistoryEntry| Change {
        first_revision: entry.revision,
        revision: last_revision(&entry),
        client_id: entry.origin,
        author: entry.author,
        time: entry.time_ms,
        bytes: entry.bytes,
    };
    Ok(axum::Json(Changes {
        kind: page.kind,
        changes: page.entries.into_iter().map(change).collect(),
        next: (page.next_revision > 0).then_some(page.next_revision),
        revision: page.position.unwrap_or_default().revision,
        first_revision: page.first_revision,
        oldest_revision: page.oldest_revision,
    }))
}

fn last_revision(entry: &wire::HistoryEntry) -> u64 {
    entry.revision + u64::from(entry.count.saturating_sub(1))
}

impl Call {
    async fn ask_history(&mut self, history: wire::History) -> Result<wire::HistoryPage, Problem> {
        self.send(Body::History(history)).await;
        match self.next().await? {
            event::Body::HistoryPage(page) => Ok(page),
            other => Err(unexpected(&other)),
        }
    }
}

/// A moment in a document's past.
#[derive(Debug, Clone, Copy)]
pub enum Moment {
    Revision(u64),
    /// In milliseconds since 1970.
    Time(u64),
}

/// What was in a text, and at which revision that was.
///
/// # Errors
///
/// The document is no text, or has never been at that revision.
pub async fn text_at(
    web: &Web,
    call: &mut Call,
    id: &str,
    moment: Moment,
) -> Result<(Text, Held, u64), Problem> {
    let revision = match moment {
        Moment::Revision(revision) => revision,
        Moment::Time(time) => revision_at(call, id, time).await?,
    };
    let mut text = Text::default();
    let mut held = web.memory.hold(0)?;
    let mut reached = 0;
    // Whoever asks for a beginning, too, is told whether there is such a document, and whether it may be read.
    let mut is_checked = false;
    while reached < revision || !is_checked {
        let page = call
            .ask_history(wire::History {
                document_id: id.to_owned(),
                // What was before the document's beginning is none of it.
                from_revision: if reached == 0 { 0 } else { reached + 1 },
                with_operations: true,
                ..wire::History::default()
            })
            .await?;
        check_past(&page, revision)?;
        is_checked = true;
        let Some(last) = page.entries.last() else {
            return Err(misfit("the history ends early"));
        };
        reached = last_revision(last);
        let bytes = page.entries.iter().map(|entry| entry.bytes as usize).sum();
        held.grow(bytes)?;
        let replay = move || -> Result<Text, TextError> {
            for entry in page.entries {
                // A batch can lead beyond it.
                for (_, operation) in (entry.revision..=revision).zip(&entry.operations) {
                    text.apply(&Operation::decode(operation)?)?;
                }
            }
            Ok(text)
        };
        text = beside(bytes, replay).await.map_err(misfit)?;
    }
    Ok((text, held, revision))
}

fn check_past(page: &wire::HistoryPage, revision: u64) -> Result<(), Problem> {
    if page.kind != "text" {
        let words = "only a text can be read at a revision; of a log, read the operations";
        return Err(Problem::of_code(ErrorCode::KindMismatch, words));
    }
    let newest = page.position.unwrap_or_default().revision;
    if revision > newest || revision + 1 < page.first_revision {
        let words = format!("the document has never been at revision {revision}");
        return Err(Problem::of_code(ErrorCode::RevisionUnknown, words).at_revision(newest));
    }
    Ok(())
}

/// The revision that a document was at.
async fn revision_at(call: &mut Call, id: &str, time_ms: u64) -> Result<u64, Problem> {
    let page = call
        .ask_history(wire::History {
            document_id: id.to_owned(),
            newest_first: true,
            from_time_ms: time_ms.max(1),
            limit: 1,
            ..wire::History::default()
        })
        .await?;
    check_past(&page, page.first_revision)?;
    let beginning = page.first_revision.saturating_sub(1);
    Ok(page.entries.first().map_or(beginning, last_revision))
}

/// Where to take a text back to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reversion {
    /// The revision whose text it is to have again.
    #[schema(value_type = u64, maximum = 9_007_199_254_740_991_i64)]
    revision: Whole,
}

/// Take a text back to a revision
///
/// What is different from the text as it is becomes one new operation; history goes on. With `If-Match` it is taken only
/// while the text is at that ETag.
#[utoipa::path(
    post, path = "/v1/documents/{id}/revert", tag = "history", operation_id = "revertDocument",
    params(InDocument, Writer, Expected),
    request_body(content = Reversion, description = "Where to."),
    responses((status = 200, description = "The text is as it was, as far as nobody else has written. `count` is 0 where it was already.", body = Accepted)),
)]
pub async fn revert(
    State(web): State<Arc<Web>>,
    author: Author,
    headers: HeaderMap,
    DocumentId(id): DocumentId,
    Json(reversion): Json<Reversion>,
) -> Result<Accepted, Problem> {
    let mut call = Call::to_read(&web, &author.visitor, &id).await?;
    let moment = Moment::Revision(reversion.revision.0);
    let (old, _held_old, _) = text_at(&web, &mut call, &id, moment).await?;
    let (text, held, position) = read_text(&web, &mut call, &id).await?;
    let expected = tag::expected_revision(&headers, position)?;
    let operation = difference::of_texts(text, old.to_string(), held).await?;
    if operation.is_identity() {
        return Ok(Accepted::nothing(&web, position));
    }
    let batch = Batch::of_text(position.revision, operation).expecting(expected);
    batch.submit(&web, &author, &id, &headers).await
}

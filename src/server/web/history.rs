//! What has happened in a document: who changed what and when, what was in it at a revision, and a text taken back to one.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Web;
use super::call::{Call, unexpected};
use super::content::replace;
use super::input::{DocumentId, Expected, InDocument, Json, Query, Writer, page_limit};
use super::memory::Held;
use super::reading::{beside, misfit};
use super::submission::Accepted;
use super::time::Time;
use super::visitor::{Author, Visitor};
use super::whole::Whole;
use crate::client::{HistoryOptions, TextAt, TextAtError, revision_at};
use crate::codec::wire::{self, ErrorCode, Position, event, request::Body};
use crate::server::http::problem::Problem;
use crate::text::Text;

const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 1000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Span {
    /// Which comes first.
    #[param(inline)]
    order: Option<Order>,
    /// Only changes that come after this revision in that order: `next` of the page before.
    #[param(value_type = Option<u64>, maximum = 9_007_199_254_740_991_i64)]
    after: Option<Whole>,
    /// Begin at this time, in milliseconds since 1970 or as RFC 3339 has it: with the newest change that is not later, or,
    /// where the oldest comes first, with the oldest that is not earlier. With an `after` it is not looked at.
    #[param(schema_with = Time::schema)]
    time: Option<Time>,
    /// How many at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

impl Span {
    fn history(&self, document_id: &str) -> Result<wire::History, Problem> {
        let order = self.order.unwrap_or_default();
        let from_revision = match (order, self.after) {
            (_, None) => 0,
            (Order::Oldest, Some(Whole(after))) => after + 1,
            (Order::Newest, Some(Whole(after))) => after.saturating_sub(1).max(1),
        };
        Ok(wire::History {
            document_id: document_id.to_owned(),
            newest_first: order == Order::Newest,
            from_revision,
            // 0 is no time to the relay.
            from_time_ms: match (self.after, self.time) {
                (None, Some(time)) => time.0.max(1),
                _other => 0,
            },
            limit: page_limit(self.limit, LIMIT_DEFAULT, LIMIT_MAX)?,
            ..wire::History::default()
        })
    }

    /// What is to be asked for to go on after a page.
    fn next(&self, page: &wire::HistoryPage) -> Option<u64> {
        match (page.next_revision, self.order.unwrap_or_default()) {
            (0, _) => None,
            (next, Order::Oldest) => Some(next - 1),
            (next, Order::Newest) => Some(next + 1),
        }
    }
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
    /// There are more: ask again with this as `after`.
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
    let history = span.history(&id)?;
    let mut call = Call::to_read(&web, &visitor, &id).await?;
    let page = call.ask_history(history).await?;
    let next = span.next(&page);
    let change = |entry: wire::HistoryEntry| Change {
        first_revision: entry.revision,
        revision: entry.revision + u64::from(entry.count.saturating_sub(1)),
        client_id: entry.origin,
        author: entry.author,
        time: entry.time_ms,
        bytes: entry.bytes,
    };
    let mut changes: Vec<_> = page.entries.into_iter().map(change).collect();
    if let (Order::Newest, Some(Whole(after))) = (span.order.unwrap_or_default(), span.after) {
        // Nothing comes after the first revision.
        changes.retain(|change| change.first_revision < after);
    }
    Ok(axum::Json(Changes {
        kind: page.kind,
        changes,
        next,
        revision: page.position.unwrap_or_default().revision,
        first_revision: page.first_revision,
        oldest_revision: page.oldest_revision,
    }))
}

impl Call {
    async fn ask_history(&mut self, history: wire::History) -> Result<wire::HistoryPage, Problem> {
        match self.ask(Body::History(history)).await? {
            event::Body::HistoryPage(page) => Ok(page),
            other => Err(unexpected(&other)),
        }
    }
}

/// A moment in a document's past.
#[derive(Debug, Clone, Copy)]
pub enum Moment {
    Revision(u64),
    Time(Time),
}

/// A text as it was.
pub struct Past {
    document_id: String,
    /// Where it is in its history.
    pub position: Position,
}

impl Past {
    /// # Errors
    ///
    /// The document is no text, or has never been at that revision.
    pub async fn find(
        web: &Web,
        call: &mut Call,
        id: &str,
        moment: Moment,
    ) -> Result<Self, Problem> {
        let glance = match moment {
            Moment::Revision(_) => wire::History {
                document_id: id.to_owned(),
                limit: 1,
                ..wire::History::default()
            },
            Moment::Time(time) => HistoryOptions::at_time(id, time.0.max(1)).into(),
        };
        let page = call.ask_history(glance).await?;
        let revision = match moment {
            Moment::Revision(revision) => revision,
            Moment::Time(_) => revision_at(&page),
        };
        TextAt::new(id, Some(revision)).check(&page)?;
        Ok(Self {
            document_id: id.to_owned(),
            position: Position {
                epoch: web.epoch,
                revision,
            },
        })
    }

    /// What was in it.
    pub async fn read(&self, web: &Web, call: &mut Call) -> Result<(Text, Held), Problem> {
        let mut held = web.memory.hold(0)?;
        let mut past = TextAt::new(&self.document_id, Some(self.position.revision));
        while let Some(options) = past.next() {
            let page = call.ask_history(options.into()).await?;
            let bytes = page.entries.iter().map(|entry| entry.bytes as usize).sum();
            held.grow(bytes)?;
            let replay = move || past.take(&page).map(|()| past);
            past = beside(bytes, replay).await?;
        }
        Ok((past.into_text(), held))
    }
}

impl From<TextAtError> for Problem {
    fn from(error: TextAtError) -> Self {
        match error {
            TextAtError::NoText { .. } => {
                let words = "only a text can be read at a revision; of a log, read the operations";
                Self::of_code(ErrorCode::KindMismatch, words)
            }
            TextAtError::RevisionUnknown {
                revision, newest, ..
            } => {
                let words = format!("the document has never been at revision {revision}");
                Self::of_code(ErrorCode::RevisionUnknown, words).at_revision(newest)
            }
            TextAtError::Gap { .. } | TextAtError::Text(_) => misfit(error),
        }
    }
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
    let past = Past::find(&web, &mut call, &id, moment).await?;
    let (old, _held_old) = past.read(&web, &mut call).await?;
    let target = old.to_string();
    replace(&web, &author, &mut call, &id, &headers, target).await
}

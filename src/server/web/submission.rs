//! Operations on their way from a request to the relay.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::call::{Call, unexpected};
use super::documents::NewKind;
use super::reading::{Limit, beside, condition_of, position_of};
use super::visitor::Author;
use super::whole::Whole;
use super::{Web, tag};
use crate::codec::json::Payload;
use crate::codec::wire::{self, Durability, ErrorCode, Position, event, request::Body};
use crate::config;
use crate::server::http::problem::Problem;
use crate::text::{Operation, TextError, transform_batch};

/// Operations for a document: how they are read. `Operations` describes them.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Submission {
    operations: Option<Vec<Box<RawValue>>>,
    edits: Option<Vec<Edit>>,
    base_revision: Option<Whole>,
    first_clock: Option<Whole>,
    create: Option<NewKind>,
}

/// What is applied to a document.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is read as a `Submission`")]
pub enum Operations {
    Operations(OperationList),
    Edits(EditList),
}

/// Operations of a document of either kind.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "as above")]
pub struct OperationList {
    /// Of a text: each an array of components, as they are read. Of a log: each any JSON value, or `{"base64": "…"}` for
    /// bytes.
    #[schema(min_items = 1)]
    operations: Vec<serde_json::Value>,
    /// Of a text: the revision that they were made against. Needed unless `If-Match` says it (428). What others have
    /// written since then is kept.
    #[schema(maximum = 9_007_199_254_740_991_i64)]
    base_revision: Option<u64>,
    /// The clock of the first of them: how many operations this client has made on the document before. Without it they
    /// count as new.
    #[schema(maximum = 9_007_199_254_740_991_i64)]
    first_clock: Option<u64>,
    /// Make the document as one of this kind if there is none.
    create: Option<NewKind>,
}

/// Changes of a text.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "as above")]
pub struct EditList {
    /// In order, none of which reaches into the next. They become one operation.
    edits: Vec<Edit>,
    /// The revision that they were made against. Needed unless `If-Match` says it (428). What others have written since
    /// then is kept.
    #[schema(maximum = 9_007_199_254_740_991_i64)]
    base_revision: Option<u64>,
    /// The clock of the operation that they become.
    #[schema(maximum = 9_007_199_254_740_991_i64)]
    first_clock: Option<u64>,
    /// Make the document as one of this kind if there is none.
    create: Option<NewKind>,
}

/// A change of a text. Places and lengths are in UTF-16 code units of the text before all edits, as JavaScript counts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// Where.
    #[schema(value_type = u64, maximum = 9_007_199_254_740_991_i64)]
    at: Whole,
    /// How much is deleted there.
    #[serde(default)]
    #[schema(value_type = u64, maximum = 9_007_199_254_740_991_i64)]
    delete: Whole,
    /// What is inserted there.
    #[serde(default)]
    insert: String,
}

/// The relay has applied operations, and has them as safe as `durability` says.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    epoch: u64,
    /// The revision of the first of them. 0 where a duplicate is so old that it is no longer known.
    first_revision: u64,
    /// The revision of the last of them.
    revision: u64,
    /// How many.
    count: u32,
    /// The clock of the first of them.
    first_clock: Option<u64>,
    /// They had been applied before, and were not applied again.
    duplicate: bool,
    durability: Safety,
    /// When, in milliseconds since 1970.
    persisted_at: Option<u64>,
}

/// On disk (`always`), or written and synced within a time (`interval`), or when the operating system likes (`never`).
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Safety {
    Always,
    Interval,
    Never,
}

impl Accepted {
    /// There was nothing to do.
    pub fn nothing(web: &Web, position: Position) -> Self {
        Self {
            epoch: position.epoch,
            first_revision: position.revision,
            revision: position.revision,
            count: 0,
            first_clock: None,
            duplicate: false,
            durability: match web.durability {
                config::Durability::Always => Safety::Always,
                config::Durability::Interval => Safety::Interval,
                config::Durability::Never => Safety::Never,
            },
            persisted_at: None,
        }
    }

    fn new(epoch: u64, first_clock: u64, ack: &wire::Ack) -> Self {
        let further = u64::from(ack.count.saturating_sub(1));
        Self {
            epoch,
            first_revision: ack.first_revision,
            revision: match ack.first_revision {
                0 => 0,
                first => first + further,
            },
            count: ack.count,
            first_clock: Some(first_clock),
            duplicate: ack.duplicate,
            durability: match ack.durability() {
                Durability::Always => Safety::Always,
                Durability::Interval => Safety::Interval,
                Durability::Never => Safety::Never,
            },
            persisted_at: Some(ack.persisted_at_ms),
        }
    }
}

impl IntoResponse for Accepted {
    fn into_response(self) -> Response {
        // A duplicate does not say where the document is now, nor does one whose place is not known.
        let is_newest = !self.duplicate && self.revision > 0;
        let position = Position {
            epoch: self.epoch,
            revision: self.revision,
        };
        let tag = is_newest.then(|| [tag::header_of(position)]);
        (tag, axum::Json(self)).into_response()
    }
}

impl Submission {
    pub fn of_log(operations: Vec<Box<RawValue>>) -> Self {
        Self {
            operations: Some(operations),
            ..Self::default()
        }
    }

    /// The first operation of a text.
    pub fn first_text(text: String) -> Self {
        Self {
            edits: Some(vec![Edit {
                at: Whole(0),
                delete: Whole(0),
                insert: text,
            }]),
            base_revision: Some(Whole(0)),
            ..Self::default()
        }
    }

    /// Whether it says what is to be applied, whatever the document is.
    ///
    /// # Errors
    ///
    /// It says it twice, or not at all.
    pub fn check(&self) -> Result<(), Problem> {
        match (&self.operations, &self.edits) {
            (Some(operations), None) if operations.is_empty() => {
                let words = "there are no operations in it";
                Err(Problem::of_code(ErrorCode::BatchInvalid, words))
            }
            (Some(_), None) | (None, Some(_)) => Ok(()),
            (Some(_), Some(_)) | (None, None) => Err(both_or_neither()),
        }
    }

    /// The operations as the protocol has them.
    fn payloads(&self, kind: &str) -> Result<Vec<Bytes>, Problem> {
        match (&self.operations, &self.edits) {
            (Some(operations), None) => {
                let payload = Payload::of_kind(kind);
                let read = operations.iter().map(|json| payload.read(json));
                let read: Result<Vec<_>, _> = read.collect();
                read.map_err(|error| invalid(error.to_string()))
            }
            (None, Some(edits)) if kind == "text" => {
                let operation = operation_of(edits)?;
                Ok(vec![operation.encode().into()])
            }
            (None, Some(_)) => Err(Problem::of_code(
                ErrorCode::KindMismatch,
                format!("edits are for a text, and this is a {kind}"),
            )),
            _both_or_neither => Err(both_or_neither()),
        }
    }
}

/// The edits as one operation.
fn operation_of(edits: &[Edit]) -> Result<Operation, Problem> {
    /// Longer than any text.
    const PLACE_MAX: u64 = u32::MAX as u64;
    let mut operation = Operation::builder();
    let mut reached = 0;
    for edit in edits {
        let (Whole(at), Whole(deleted)) = (edit.at, edit.delete);
        if at < reached || at + deleted > PLACE_MAX {
            let words = "edits are in order, none of which reaches into the next";
            return Err(invalid(words));
        }
        operation.retain((at - reached) as usize);
        operation.insert(&edit.insert);
        operation.delete(deleted as usize);
        reached = at + deleted;
    }
    Ok(operation.build())
}

fn both_or_neither() -> Problem {
    Problem::bad("The body has either operations or edits.")
}

fn invalid(words: impl Into<String>) -> Problem {
    Problem::of_code(ErrorCode::OperationInvalid, words)
}

/// A submission, and what must be so for it to be taken.
pub struct Batch {
    submission: Submission,
    /// The operation itself, where it is not to be read from the submission.
    operation: Option<Operation>,
    create: Option<NewKind>,
    /// The revision that the document must be at.
    expected_revision: Option<u64>,
}

impl Batch {
    pub fn new(submission: Submission) -> Self {
        Self {
            create: submission.create,
            submission,
            operation: None,
            expected_revision: None,
        }
    }

    pub fn creating(mut self, kind: NewKind) -> Self {
        self.create = Some(kind);
        self
    }

    pub fn expecting(mut self, revision: Option<u64>) -> Self {
        self.expected_revision = revision;
        self
    }

    /// An operation of a text that was made here.
    pub fn of_text(base_revision: u64, operation: Operation) -> Self {
        let submission = Submission {
            base_revision: Some(Whole(base_revision)),
            ..Submission::default()
        };
        Self {
            operation: Some(operation),
            ..Self::new(submission)
        }
    }

    /// Applies it as the author's client. Requests of one client on one document are applied one after the other.
    ///
    /// # Errors
    ///
    /// Why nothing was applied; or the answer was lost, and the problem says so.
    pub async fn submit(
        self,
        web: &Arc<Web>,
        author: &Author,
        id: &str,
        headers: &HeaderMap,
    ) -> Result<Accepted, Problem> {
        let mut call = Call::connect(web, &author.visitor, author.client_uuid, Some(id)).await?;
        let _turn = web.turns.take(call.client_id, id).await;
        let opened = match call.open(self.open(id)).await {
            // A newer connection of the client had it, and may be gone. The newest wins.
            Err(problem) if problem.is(ErrorCode::Replaced) => {
                call = Call::connect(web, &author.visitor, author.client_uuid, Some(id)).await?;
                call.open(self.open(id)).await?
            }
            opened => opened?,
        };
        let accepted = self.apply(web, &mut call, &opened, id, headers).await;
        // Whoever is next finds the client gone from the document.
        call.end().await;
        accepted
    }

    /// Only to write.
    fn open(&self, id: &str) -> wire::Open {
        wire::Open {
            document: id.to_owned(),
            kind: self.create.map_or("", NewKind::name).to_owned(),
            create: self.create.is_some(),
            from_newest: true,
            ..wire::Open::default()
        }
    }

    async fn apply(
        self,
        web: &Web,
        call: &mut Call,
        opened: &wire::Opened,
        id: &str,
        headers: &HeaderMap,
    ) -> Result<Accepted, Problem> {
        let position = position_of(opened);
        let is_resent = self
            .submission
            .first_clock
            .is_some_and(|clock| clock.0 < opened.next_clock);
        // What was applied before is answered so, wherever the document is now.
        let matched = match is_resent {
            true => None,
            false => tag::expected_revision(headers, condition_of(opened))?,
        };
        let payloads = match &self.operation {
            Some(operation) => vec![operation.encode().into()],
            None => self.submission.payloads(&opened.kind)?,
        };
        // Before any work is done for it.
        if !opened.permissions.unwrap_or_default().write {
            let words = "the token does not permit writing to this document";
            return Err(Problem::of_code(ErrorCode::Forbidden, words));
        }
        let operations_max = web.limits.batch_operations_max;
        if payloads.len() > operations_max {
            let words = format!(
                "a batch has at most {operations_max} operations; this one has {}",
                payloads.len()
            );
            return Err(Problem::of_code(ErrorCode::BatchInvalid, words));
        }
        let base_revision = self.submission.base_revision.map(|base| base.0);
        let base_revision = base_revision.or(matched);
        let (base_revision, operations) = match (&*opened.kind, base_revision) {
            ("text", Some(base)) if base < position.revision && !is_resent => {
                rebase(web, call, id, base, payloads).await?
            }
            ("text", Some(base)) => (base, payloads),
            ("text", None) if !is_resent => {
                let words = "for a text, baseRevision or If-Match must say which revision the operations were made against";
                return Err(Problem::of_http(428, "Precondition Required", words));
            }
            _other => (0, payloads),
        };
        let first_clock = self.submission.first_clock.map(|clock| clock.0);
        let first_clock = first_clock.unwrap_or(opened.next_clock);
        call.send(Body::Operations(wire::Operations {
            document: opened.document,
            client_seq: 1,
            first_clock,
            base_revision,
            operations,
            expected_revision: self.expected_revision.or(matched),
            ..wire::Operations::default()
        }))
        .await;
        loop {
            match call.next().await? {
                event::Body::Ack(ack) => {
                    return Ok(Accepted::new(position.epoch, first_clock, &ack));
                }
                event::Body::Nack(nack) => {
                    let problem = Problem::from(nack);
                    let is_condition = matched.is_some() && problem.is(ErrorCode::SyncConflict);
                    return Err(match is_condition {
                        true => problem.as_precondition_failed(),
                        false => problem,
                    });
                }
                // What others do meanwhile.
                event::Body::RemoteOps(_)
                | event::Body::SyncResponse(_)
                | event::Body::Resync(_) => {}
                other => return Err(unexpected(&other)),
            }
        }
    }
}

/// Brings operations of a text up to date with what was written since they were made. The relay would do that too, but not
/// past operations of the same client, and here one client is several callers who do not know of each other.
async fn rebase(
    web: &Web,
    call: &mut Call,
    id: &str,
    base_revision: u64,
    payloads: Vec<Bytes>,
) -> Result<(u64, Vec<Bytes>), Problem> {
    let open = wire::Open {
        document: id.to_owned(),
        ..wire::Open::default()
    };
    let opened = call.open_after(web, open, base_revision).await?;
    if opened.sync() == wire::SyncMode::UpToDate {
        return Ok((base_revision, payloads));
    }
    let sent = call.take_pages(web, Limit::NONE).await?;
    let revision = sent.revision(&opened);
    let client_id = call.client_id;
    let payload_bytes: usize = payloads.iter().map(Bytes::len).sum();
    let work_bytes = payload_bytes.saturating_mul(sent.operations.len());
    let rebased = move || -> Result<Vec<Bytes>, TextError> {
        let decode = |bytes: &Bytes| Operation::decode(bytes);
        let mut batch = payloads.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
        for placed in &sent.operations {
            let since = Operation::decode(&placed.operation)?;
            transform_batch(&mut batch, client_id, [(placed.origin, &since)]);
        }
        Ok(batch
            .iter()
            .map(|operation| operation.encode().into())
            .collect())
    };
    let rebased = beside(work_bytes, rebased).await;
    let rebased = rebased.map_err(|error| invalid(error.to_string()))?;
    Ok((revision, rebased))
}

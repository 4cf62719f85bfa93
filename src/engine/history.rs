//! What has happened in a document: who changed what, and when.
//!
//! The store has it, and is asked for a page at a time, like for those of clients that catch up. Nothing of the document
//! need be in memory; if it is, only what is durable is told of it.

use std::sync::Arc;

use crate::auth::split_global_id;
use crate::codec::record::{self, OperationsRecord, RecordError};
use crate::codec::wire::{self, event};
use crate::store::{History, HistoryError, HistoryRange, HistoryStart, StoreRequest};

use super::document::Open;
use super::key::SessionKey;
use super::refusal::Refusal;
use super::request::Asked;
use super::shard::Shard;

/// Entries in one page.
const ENTRIES_MAX: u32 = 1000;
/// Questions that one connection may wait for on each shard.
const QUESTIONS_MAX: u32 = 4;

/// A client's question about a document's past that the store has not answered.
#[derive(Debug)]
pub struct Question {
    session: SessionKey,
    asked: Asked,
    /// The document's global id.
    name: Arc<str>,
    request: wire::History,
}

impl Shard {
    /// A client asks what has happened in a document of this shard.
    pub(super) fn tell_history(&mut self, key: SessionKey, request: wire::History) {
        let name = match self.may_ask(key, &request.document_id) {
            Ok(name) => name,
            Err(refusal) => return self.reply(key, refusal.error(request.request_id, 0)),
        };
        let session = &mut self.sessions[key];
        session.questions += 1;
        let question = Question {
            session: key,
            asked: session.asked.clone(),
            name,
            request,
        };
        self.ask_for_history(question);
    }

    fn may_ask(&self, key: SessionKey, document_id: &str) -> Result<Arc<str>, Refusal> {
        let name = self.document_name(key, document_id)?;
        if self.is_stopping || self.is_failed {
            return Err(Refusal::Unavailable("the relay is stopping".to_owned()));
        }
        let identity = self.sessions[key].identity();
        let identity = identity.ok_or(Refusal::HelloRequired)?;
        if !identity.permissions_for(&name).read {
            return Err(Refusal::Forbidden("reading the document"));
        }
        if self.sessions[key].questions >= QUESTIONS_MAX {
            let reason = format!("{QUESTIONS_MAX} questions of this connection are not answered");
            return Err(Refusal::Unavailable(reason));
        }
        Ok(name)
    }

    /// Asks the store; if too many read, it waits for its turn.
    fn ask_for_history(&mut self, question: Question) {
        if self.is_reading_full() {
            return self.queued_questions.push_back(question);
        }
        self.tickets += 1;
        let request = &question.request;
        let range = HistoryRange {
            start: match request.from_time_ms {
                0 => HistoryStart::Revision(request.from_revision),
                time_ms => HistoryStart::TimeMs(time_ms),
            },
            newest_first: request.newest_first,
            until_revision: self.durable_revision(&question.name).unwrap_or(u64::MAX),
            records_max: match request.limit {
                0 => ENTRIES_MAX as usize,
                limit => limit.min(ENTRIES_MAX) as usize,
            },
            bytes_max: self.settings.memory.catch_up_page_bytes,
        };
        self.store.push_back(StoreRequest::History {
            document: Arc::clone(&question.name),
            ticket: self.tickets,
            range,
        });
        self.questions.insert(self.tickets, question);
    }

    /// The newest revision of a document that anybody may be told of. `None`: the document is not in memory, so that
    /// whatever the store has of it is durable.
    fn durable_revision(&self, name: &str) -> Option<u64> {
        Some(self.open_by_name(name)?.durable_revision)
    }

    fn open_by_name(&self, name: &str) -> Option<&Open> {
        self.documents[*self.names.get(name)?].open()
    }

    pub(super) fn receive_history(&mut self, ticket: u64, result: Result<History, HistoryError>) {
        if let Some(question) = self.questions.remove(&ticket) {
            self.answer_question(question, result);
        }
        self.admit_readers();
        self.admit_questions();
    }

    /// Lets those ask that wait for their turn, as many as there is room for.
    pub(super) fn admit_questions(&mut self) {
        while !self.is_reading_full()
            && let Some(question) = self.queued_questions.pop_front()
        {
            if self.sessions.contains_key(question.session) {
                self.ask_for_history(question);
            }
        }
    }

    fn answer_question(&mut self, question: Question, result: Result<History, HistoryError>) {
        let key = question.session;
        // Who has no right to it any more is about to be told so.
        let now = self.now;
        let session = self.sessions.get(key);
        let session = session.filter(|it| !it.is_closing() && !it.has_expired(now));
        let Some(identity) = session.and_then(|session| session.identity()) else {
            return;
        };
        // A fresh token may have taken away what the one granted with which it asked.
        let may_read = identity.permissions_for(&question.name).read;
        let durable_revision = self.durable_revision(&question.name).unwrap_or(u64::MAX);
        let told = match result {
            _ if !may_read => Err(Refusal::Forbidden("reading the document")),
            // It has come into memory since the store was asked, and been written to.
            Ok(history) if history.newest_revision > durable_revision => {
                return self.ask_for_history(question);
            }
            Ok(history) if history.newest_revision < history.first_revision => {
                Err(Refusal::DocumentNotFound)
            }
            Ok(history) => page(&question, &history, self.settings.epoch)
                .map_err(|error| Refusal::Unavailable(error.to_string())),
            Err(HistoryError::Unknown) => Err(Refusal::DocumentNotFound),
            Err(HistoryError::Deleted) => Err(Refusal::DocumentDeleted),
            Err(HistoryError::Failed(error)) => Err(Refusal::Unavailable(error.to_string())),
        };
        let request_id = question.request.request_id;
        let body = match told {
            Ok(page) => event::Body::HistoryPage(page),
            Err(refusal) => refusal.error(request_id, 0),
        };
        self.sessions[key].questions -= 1;
        self.answer(key, &question.asked, body);
    }
}

/// What the store has found, as the client asked for it.
fn page(
    question: &Question,
    history: &History,
    epoch: u64,
) -> Result<wire::HistoryPage, RecordError> {
    let request = &question.request;
    let records: Result<Vec<_>, _> = history
        .records
        .iter()
        .map(record::decode_operations)
        .collect();
    let records = records?;
    let next_revision = records.last().map_or(0, |last| match request.newest_first {
        true => Some(last.revision - 1)
            .filter(|next| *next >= history.history_from_revision)
            .unwrap_or(0),
        false => Some(last.revision + last.operations.len() as u64)
            .filter(|next| *next <= history.newest_revision)
            .unwrap_or(0),
    });
    let with_operations = request.with_operations;
    let entries = records
        .into_iter()
        .map(|record| entry(record, with_operations));
    Ok(wire::HistoryPage {
        request_id: request.request_id,
        document_id: split_global_id(&question.name).1.to_owned(),
        kind: history.kind.as_ref().to_owned(),
        entries: entries.collect(),
        next_revision,
        position: Some(wire::Position {
            epoch,
            revision: history.newest_revision,
        }),
        first_revision: history.first_revision,
        oldest_revision: history.history_from_revision,
    })
}

fn entry(record: OperationsRecord, with_operations: bool) -> wire::HistoryEntry {
    let bytes: usize = record.operations.iter().map(|it| it.len()).sum();
    wire::HistoryEntry {
        revision: record.revision,
        count: u32::try_from(record.operations.len()).expect("a message has fewer bytes than that"),
        origin: record.origin,
        author: record.author.as_ref().to_owned(),
        time_ms: record.time_ms,
        bytes: bytes as u64,
        operations: match with_operations {
            true => record.operations,
            false => Vec::new(),
        },
    }
}

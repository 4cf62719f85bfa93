//! What has happened in a document: who changed what, and when.
//!
//! The store has it, and is asked for a page at a time, like for those of clients that catch up. Nothing of the document
//! need be in memory; if it is, only what is durable is told of it.

use std::sync::Arc;

use crate::auth::split_global_id;
use crate::codec::record::{self, OperationsRecord, RecordError};
use crate::codec::wire::{self, event};
use crate::store::{
    History, HistoryError, HistoryRange, HistoryStart, StoreRequest, StoredVersion,
};

use super::document::Open;
use super::identity::Identity;
use super::key::SessionKey;
use super::refusal::Refusal;
use super::request::Asked;
use super::shard::Shard;

/// Entries in one page.
const ENTRIES_MAX: u32 = 4000;
/// Questions that one connection may wait for on each shard.
const QUESTIONS_MAX: u32 = 4;

/// A client's question about a document's past that the store has not answered.
#[derive(Debug)]
pub struct Question {
    session: SessionKey,
    asked: Asked,
    pub request_id: u64,
    /// The document's global id.
    pub name: Arc<str>,
    pub topic: Topic,
}

/// What it is about.
#[derive(Debug)]
pub enum Topic {
    History(wire::History),
    Versions,
    Save(StoredVersion),
    /// The version of that name.
    Delete(Arc<str>),
}

/// What a question asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    Read,
    Write,
}

impl Shard {
    /// A client asks what has happened in a document of this shard.
    pub(super) fn tell_history(&mut self, key: SessionKey, request: wire::History) {
        let request_id = request.request_id;
        let document_id = request.document_id.clone();
        let topic = Topic::History(request);
        if let Some(question) =
            self.begin_question(key, request_id, &document_id, Right::Read, topic)
        {
            self.ask(question);
        }
    }

    /// Takes a question, or refuses it.
    pub(super) fn begin_question(
        &mut self,
        key: SessionKey,
        request_id: u64,
        document_id: &str,
        right: Right,
        topic: Topic,
    ) -> Option<Question> {
        let name = match self.may_ask(key, document_id, right) {
            Ok(name) => name,
            Err(refusal) => {
                self.reply(key, refusal.error(request_id, 0));
                return None;
            }
        };
        let session = &mut self.sessions[key];
        session.questions += 1;
        Some(Question {
            session: key,
            asked: session.asked.clone(),
            request_id,
            name,
            topic,
        })
    }

    /// What can be known without the store.
    fn may_ask(
        &self,
        key: SessionKey,
        document_id: &str,
        right: Right,
    ) -> Result<Arc<str>, Refusal> {
        let name = self.document_name(key, document_id)?;
        if self.is_stopping || self.is_failed {
            return Err(Refusal::Unavailable("the relay is stopping".to_owned()));
        }
        let identity = self.sessions[key].identity();
        let identity = identity.ok_or(Refusal::HelloRequired)?;
        right.check(identity, &name)?;
        if self.sessions[key].questions >= QUESTIONS_MAX {
            let reason = format!("{QUESTIONS_MAX} questions of this connection are not answered");
            return Err(Refusal::Unavailable(reason));
        }
        Ok(name)
    }

    /// A fresh token may have taken away what the one granted with which it asked.
    pub(super) fn recheck(&self, question: &Question) -> Result<(), Refusal> {
        let session = self.sessions.get(question.session);
        match session.and_then(|session| session.identity()) {
            Some(identity) => Right::Read.check(identity, &question.name),
            // Nobody is told.
            None => Ok(()),
        }
    }

    /// Answers it, unless who has asked is gone, or about to be.
    pub(super) fn end_question(&mut self, question: &Question, told: Result<event::Body, Refusal>) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(question.session) else {
            return;
        };
        session.questions -= 1;
        if session.is_closing() || session.has_expired(now) {
            return;
        }
        let body = told.unwrap_or_else(|refusal| {
            self.metrics.load_failures += u64::from(refusal.is_unreadable());
            self.note_unreadable(&question.name, &refusal);
            refusal.error(question.request_id, 0)
        });
        self.answer(question.session, &question.asked, body);
    }

    /// Asks the store; if too many read, it waits for its turn.
    pub(super) fn ask(&mut self, question: Question) {
        if self.is_reading_full() {
            return self.queued_questions.push_back(question);
        }
        self.tickets += 1;
        let ticket = self.tickets;
        let document = Arc::clone(&question.name);
        self.store.push_back(match &question.topic {
            Topic::History(request) => StoreRequest::History {
                document,
                ticket,
                range: HistoryRange {
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
                },
            },
            Topic::Versions => StoreRequest::ListVersions { document, ticket },
            Topic::Save(_) | Topic::Delete(_) => unreachable!("these do not wait to be read"),
        });
        self.questions.insert(ticket, question);
    }

    /// The newest revision of a document that anybody may be told of. `None`: the document is not in memory, so that
    /// whatever the store has of it is durable.
    pub(super) fn durable_revision(&self, name: &str) -> Option<u64> {
        Some(self.open_by_name(name)?.durable_revision)
    }

    fn open_by_name(&self, name: &str) -> Option<&Open> {
        self.documents[*self.names.get(name)?].open()
    }

    pub(super) fn receive_history(&mut self, ticket: u64, result: Result<History, HistoryError>) {
        if let Some(question) = self.questions.remove(&ticket) {
            self.answer_history(question, result);
        }
        self.end_read();
    }

    /// The store has answered one of the questions: others have their turn.
    pub(super) fn end_read(&mut self) {
        self.admit_readers();
        self.admit_questions();
    }

    /// Lets those ask that wait for their turn, as many as there is room for.
    pub(super) fn admit_questions(&mut self) {
        while !self.is_reading_full()
            && let Some(question) = self.queued_questions.pop_front()
        {
            if self.sessions.contains_key(question.session) {
                self.ask(question);
            }
        }
    }

    fn answer_history(&mut self, question: Question, result: Result<History, HistoryError>) {
        let durable_revision = self.durable_revision(&question.name).unwrap_or(u64::MAX);
        let told = match (self.recheck(&question), result) {
            (Err(refusal), _) => Err(refusal),
            // It has come into memory since the store was asked, and been written to.
            (_, Ok(history)) if history.newest_revision > durable_revision => {
                return self.ask(question);
            }
            (_, Ok(history)) if history.newest_revision < history.first_revision => {
                Err(Refusal::DocumentNotFound)
            }
            (_, Ok(history)) => page(&question, &history, self.settings.epoch)
                .map(event::Body::HistoryPage)
                .map_err(|error| Refusal::DocumentBroken(error.to_string())),
            (_, Err(error)) => Err(error.into()),
        };
        self.end_question(&question, told);
    }
}

impl Right {
    fn check(self, identity: &Identity, name: &str) -> Result<(), Refusal> {
        let permissions = identity.permissions_for(name);
        match self {
            Self::Read if !permissions.read => Err(Refusal::Forbidden("reading the document")),
            Self::Write if !permissions.write => Err(Refusal::Forbidden("writing to the document")),
            Self::Read | Self::Write => Ok(()),
        }
    }
}

/// What the store has found, as the client asked for it.
fn page(
    question: &Question,
    history: &History,
    epoch: u64,
) -> Result<wire::HistoryPage, RecordError> {
    let Topic::History(request) = &question.topic else {
        unreachable!("it is what was asked for");
    };
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
        request_id: question.request_id,
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

fn entry(record: OperationsRecord<'_>, with_operations: bool) -> wire::HistoryEntry {
    let bytes: usize = record.operations.iter().map(|it| it.len()).sum();
    wire::HistoryEntry {
        revision: record.revision,
        count: u32::try_from(record.operations.len()).expect("a message has fewer bytes than that"),
        origin: record.origin,
        author: record.author.into_owned(),
        time_ms: record.time_ms,
        bytes: bytes as u64,
        operations: match with_operations {
            true => record.operations,
            false => Vec::new(),
        },
    }
}

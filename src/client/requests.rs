//! Questions about documents by their names: lists, deletions, and taking those back; what has
//! happened in them, and their versions.
//!
//! One is on its way at a time, so that they take effect in their order; it is sent again on the next connection
//! if its answer did not come.

use std::collections::VecDeque;

use crate::codec::wire::{self, request::Body};
use crate::engine::Instant;

use super::event::Refusal;

/// A question of one session. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestKey(pub u64);

/// Which documents to list: of those that the client may read, in the order of their ids' bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Only ids that start with it.
    pub prefix: String,
    /// Only ids after it: the last one of the page before.
    pub after: String,
    /// At most so many. 0: as many as the relay likes to send at once.
    pub limit: u32,
    /// Be told of documents that come and go, until the next list. The list is asked for again on every later
    /// connection, since what happened in between is not told.
    pub watch: bool,
}

/// Which part of a document's history to tell, as in the protocol's `History`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryOptions {
    /// It need not be open on this connection.
    pub document_id: String,
    /// False: from the oldest to the newest.
    pub newest_first: bool,
    /// Begin with the entry that has this revision. 0: where the direction begins.
    pub from_revision: u64,
    /// If it is not 0, begin with the oldest entry that is not earlier; newest first, with the newest that is not later.
    pub from_time_ms: u64,
    /// At most so many entries. 0: as many as the relay likes to send at once.
    pub limit: u32,
    /// Whether entries come with what they have changed.
    pub with_operations: bool,
}

impl From<HistoryOptions> for wire::History {
    fn from(options: HistoryOptions) -> Self {
        Self {
            request_id: 0,
            document_id: options.document_id,
            newest_first: options.newest_first,
            from_revision: options.from_revision,
            from_time_ms: options.from_time_ms,
            limit: options.limit,
            with_operations: options.with_operations,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Question {
    List(ListOptions),
    History(HistoryOptions),
    SaveVersion {
        document_id: String,
        name: String,
        revision: u64,
    },
    ListVersions {
        document_id: String,
    },
    DeleteVersion {
        document_id: String,
        name: String,
    },
    Delete {
        document_id: String,
        undo: bool,
    },
}

#[derive(Debug, Default)]
pub(super) struct Requests {
    /// The first may be on its way.
    waiting: VecDeque<(RequestKey, Question)>,
    is_sent: bool,
    not_before: Instant,
    count: u64,
    watch: Option<(RequestKey, ListOptions)>,
}

/// On the wire they are numbered from here: below are documents that are opened.
const REQUEST_ID_MIN: u64 = 1 << 32;

impl Requests {
    /// `None`: as many wait as may.
    pub fn push(&mut self, question: Question, waiting_max: usize) -> Option<RequestKey> {
        if self.waiting.len() >= waiting_max {
            return None;
        }
        let key = RequestKey(self.count);
        self.count += 1;
        self.waiting.push_back((key, question));
        Some(key)
    }

    /// The connection is gone, and with it the relay's knowledge of who watches.
    pub fn disconnect(&mut self) {
        self.is_sent = false;
        let lists = |(_, question): &(_, Question)| matches!(question, Question::List(_));
        if let Some((key, options)) = self.watch.take()
            && !self.waiting.iter().any(lists)
        {
            self.waiting.push_front((key, Question::List(options)));
        }
    }

    /// When there is something to send.
    pub fn due(&self) -> Option<Instant> {
        (!self.is_sent && !self.waiting.is_empty()).then_some(self.not_before)
    }

    /// What is to be sent now.
    pub fn next(&mut self, now: Instant) -> Option<Body> {
        self.due().filter(|due| *due <= now)?;
        let (key, question) = self.waiting.front()?;
        self.is_sent = true;
        let request_id = REQUEST_ID_MIN + key.0;
        Some(match question.clone() {
            Question::List(options) => {
                self.watch = options.watch.then(|| (*key, options.clone()));
                Body::List(wire::List {
                    request_id,
                    prefix: options.prefix,
                    after: options.after,
                    limit: options.limit,
                    watch: options.watch,
                })
            }
            Question::History(options) => Body::History(wire::History {
                request_id,
                ..options.into()
            }),
            Question::SaveVersion {
                document_id,
                name,
                revision,
            } => Body::SaveVersion(wire::SaveVersion {
                request_id,
                document_id,
                name,
                revision,
            }),
            Question::ListVersions { document_id } => Body::ListVersions(wire::ListVersions {
                request_id,
                document_id,
            }),
            Question::DeleteVersion { document_id, name } => {
                Body::DeleteVersion(wire::DeleteVersion {
                    request_id,
                    document_id,
                    name,
                })
            }
            Question::Delete { document_id, undo } => Body::Delete(wire::Delete {
                request_id,
                document_id,
                undo,
                expected_revision: None,
            }),
        })
    }

    /// The relay has answered. `None`: this was not asked.
    pub fn answered(&mut self, request_id: u64) -> Option<RequestKey> {
        let key = self.sent(request_id)?;
        self.waiting.pop_front();
        self.is_sent = false;
        Some(key)
    }

    /// The relay has refused. `None`: this was not asked, or will be asked again when the relay allows.
    pub fn refused(
        &mut self,
        request_id: u64,
        refusal: &Refusal,
        now: Instant,
    ) -> Option<RequestKey> {
        let key = self.sent(request_id)?;
        if refusal.retryable {
            self.is_sent = false;
            self.not_before = refusal.retry_at(now);
            return None;
        }
        self.watch = self.watch.take().filter(|(watched, _)| *watched != key);
        self.answered(request_id)
    }

    fn sent(&self, request_id: u64) -> Option<RequestKey> {
        let (key, _) = self.waiting.front().filter(|_| self.is_sent)?;
        (request_id.checked_sub(REQUEST_ID_MIN) == Some(key.0)).then_some(*key)
    }

    /// The list whose documents are watched on this connection.
    pub fn watched(&self) -> Option<RequestKey> {
        self.watch.as_ref().map(|(key, _)| *key)
    }
}

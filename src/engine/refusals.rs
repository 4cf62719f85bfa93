//! What was refused: counted by its code, and noted for whoever runs the relay.
//!
//! An answer is looked at here when it goes out, whatever it was that led to it. What is not refused costs a comparison.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::codec::wire::{ErrorCode, event};

use super::identity::Identity;
use super::key::{ConnectionId, SessionKey};
use super::session::Carrier;
use super::shard::Shard;

/// Every code that a refusal can have, in the order of their numbers.
pub const REFUSAL_CODES: [ErrorCode; 42] = [
    ErrorCode::MalformedFrame,
    ErrorCode::Unauthorized,
    ErrorCode::HelloRequired,
    ErrorCode::Forbidden,
    ErrorCode::DocumentNotFound,
    ErrorCode::KindUnknown,
    ErrorCode::KindMismatch,
    ErrorCode::DocumentIdInvalid,
    ErrorCode::DocumentNotOpen,
    ErrorCode::VersionMismatch,
    ErrorCode::HelloInvalid,
    ErrorCode::MessageTooLarge,
    ErrorCode::HandshakeTimeout,
    ErrorCode::PongTimeout,
    ErrorCode::TooManyDocuments,
    ErrorCode::Replaced,
    ErrorCode::DialectMixed,
    ErrorCode::DocumentDeleted,
    ErrorCode::BatchInvalid,
    ErrorCode::OperationInvalid,
    ErrorCode::OperationOutOfBounds,
    ErrorCode::SurrogateSplit,
    ErrorCode::ClockGap,
    ErrorCode::DocumentTooLarge,
    ErrorCode::TooManyClients,
    ErrorCode::TooManyConnections,
    ErrorCode::TenantQuotaExceeded,
    ErrorCode::RateLimited,
    ErrorCode::Backpressure,
    ErrorCode::PresenceTooLarge,
    ErrorCode::SnapshotInvalid,
    ErrorCode::VersionNameInvalid,
    ErrorCode::VersionExists,
    ErrorCode::VersionNotFound,
    ErrorCode::TooManyVersions,
    ErrorCode::RevisionUnknown,
    ErrorCode::ClosedByOperator,
    ErrorCode::SyncConflict,
    ErrorCode::SnapshotRequired,
    ErrorCode::ResumeTokenInvalid,
    ErrorCode::InternalError,
    ErrorCode::ServiceUnavailable,
];

/// So many notes of one code wait to be taken; what comes beside them is only counted.
const NOTES_MAX: usize = 4;
/// So much of a reason is noted: peers may have written a part of it.
const REASON_CHARS_MAX: usize = 200;

/// How many were refused with each code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusalCounts([u64; REFUSAL_CODES.len()]);

/// Somebody who was refused, as far as it is known who it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalNote {
    pub code: ErrorCode,
    pub reason: String,
    /// If its socket is on this shard.
    pub connection: Option<ConnectionId>,
    pub connection_name: String,
    /// Empty before Hello, as is the tenant.
    pub user: String,
    pub tenant: String,
    /// So many more were refused with this code and not noted.
    pub others: u64,
    /// Whoever runs the relay has had it closed, or its token taken back: each of them is noted.
    pub is_by_operator: bool,
}

#[derive(Debug, Default)]
pub(super) struct Refusals {
    notes: VecDeque<RefusalNote>,
    /// Who is about to be refused, where its session does not know.
    pub identity: Option<Arc<Identity>>,
    /// Who is refused now is so by whoever runs the relay.
    pub is_by_operator: bool,
}

impl Default for RefusalCounts {
    fn default() -> Self {
        Self([0; REFUSAL_CODES.len()])
    }
}

impl RefusalCounts {
    pub fn count(&mut self, code: ErrorCode) {
        // OK refuses nothing.
        if let Ok(index) = REFUSAL_CODES.binary_search(&code) {
            self.0[index] += 1;
        }
    }

    pub fn add(&mut self, others: &Self) {
        for (count, other) in self.0.iter_mut().zip(others.0) {
            *count += other;
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (ErrorCode, u64)> {
        REFUSAL_CODES.into_iter().zip(self.0)
    }
}

impl Shard {
    /// Takes note of an answer that refuses something. A Close of the whole connection comes after the Error that says why.
    pub(super) fn note_refusal(&mut self, key: SessionKey, body: &event::Body) {
        let (code, reason) = match body {
            event::Body::Error(error) => (error.code(), &error.message),
            event::Body::Nack(nack) => (nack.code(), &nack.message),
            event::Body::Close(close) if close.document != 0 => (close.code(), &close.message),
            _other => return,
        };
        let identity = self.refusals.identity.take();
        if code == ErrorCode::Ok {
            return;
        }
        self.metrics.refusals.count(code);
        let mut of_code = self.refusals.notes.iter_mut().rev();
        let mut of_code = of_code.by_ref().filter(|note| note.code == code);
        if let Some(newest) = of_code.next()
            && !self.refusals.is_by_operator
            && of_code.count() + 1 >= NOTES_MAX
        {
            newest.others += 1;
            return;
        }
        let session = &self.sessions[key];
        let identity = identity.as_ref().or(session.identity());
        let (connection, connection_name) = match &session.carrier {
            Carrier::Socket(_) => (
                Some(key.into()),
                ConnectionId::from(key).name(self.settings.index),
            ),
            Carrier::Link(link) => (None, link.connection.name(link.shard)),
        };
        self.refusals.notes.push_back(RefusalNote {
            code,
            reason: reason.chars().take(REASON_CHARS_MAX).collect(),
            connection,
            connection_name,
            user: identity.map_or_else(String::new, |it| it.user_id.clone()),
            tenant: identity.map_or_else(String::new, |it| it.tenant().to_owned()),
            others: 0,
            is_by_operator: self.refusals.is_by_operator,
        });
    }

    pub(super) fn next_refusal(&mut self) -> Option<RefusalNote> {
        self.refusals.notes.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_but_ok_is_counted() {
        let named: Vec<_> = (0..10_000)
            .filter_map(|number| ErrorCode::try_from(number).ok())
            .collect();
        assert_eq!(named[0], ErrorCode::Ok);
        assert_eq!(named[1..], REFUSAL_CODES);
        let mut counts = RefusalCounts::default();
        for code in named {
            counts.count(code);
        }
        let mut twice = counts;
        twice.add(&counts);
        assert!(counts.iter().all(|(_, count)| count == 1));
        assert!(twice.iter().all(|(_, count)| count == 2));
    }
}

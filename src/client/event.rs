//! What a session tells its application.

use std::time::Duration;

use bytes::Bytes;

use crate::codec::frame::FrameError;
use crate::codec::wire::{
    self, DocumentEntry, Durability, ErrorCode, HistoryPage, Permissions, Position, ResyncReason,
    SyncMode, UserPresence, Version,
};
use crate::engine::Instant;

use super::requests::RequestKey;

/// The pause before something is asked again, where the relay does not say.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_millis(100);

/// A document of one session, whatever connection it is on. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentKey(pub usize);

/// What has happened.
#[allow(missing_docs, reason = "fields that their names and types say")]
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The relay has answered Hello.
    Connected {
        client_id: u64,
        server_time_ms: u64,
        /// The connection is the one that there was: the relay has taken a fresh token.
        is_renewal: bool,
    },
    /// The connection is lost, or could not be made. `retry_at`: when the next attempt comes; `None`: never.
    Disconnected { retry_at: Option<Instant> },
    /// The relay has refused this client for ever: there is no further attempt.
    Stopped { refusal: Refusal },
    /// The relay will stop soon; the session comes back by itself.
    Goaway {
        reason: String,
        reconnect_after: Duration,
        jitter: Duration,
    },
    /// The relay broke the protocol. The session reconnects.
    Violation(Violation),
    /// Something was refused that no other event names. What is retryable the session asks again by itself.
    Error {
        document: Option<DocumentKey>,
        refusal: Refusal,
    },

    /// The document is open on this connection; what was missed follows.
    Opened {
        document: DocumentKey,
        kind: String,
        position: Position,
        sync: SyncMode,
        permissions: Permissions,
        color: String,
    },
    /// The document will not be opened again on this session: it was deleted (DOCUMENT_DELETED), say.
    Closed {
        document: DocumentKey,
        refusal: Refusal,
    },
    /// Forget the document's content: its whole history follows, from revision 1.
    Reset {
        document: DocumentKey,
        /// The clock that the relay expects of this client next.
        next_clock: u64,
    },
    /// The document's whole state at `revision`, in place of everything before: what was given of it is void. kind
    /// `log`: what a client has offered, or nothing where the document was deleted and begins a new life.
    Snapshot {
        document: DocumentKey,
        revision: u64,
        /// kind `text`: UTF-8.
        data: Bytes,
        /// The client's own operations below this clock are part of it, those from it on are not.
        next_clock: u64,
    },
    /// Operations in the document's history: other clients', or this client's own that no Ack could name in their
    /// place. Where the session still has own operations of kind `log`, they are Acknowledged instead.
    Remote {
        document: DocumentKey,
        /// The revision of the first; the others follow by one.
        revision: u64,
        origin: u64,
        first_clock: u64,
        operations: Vec<Bytes>,
    },
    /// Own operations in the document's history, in the place where they stand in it.
    Acknowledged {
        document: DocumentKey,
        /// The revision of the first; 0 where the relay no longer knows it, or it is part of a snapshot.
        first_revision: u64,
        first_clock: u64,
        count: u64,
        /// As they were submitted. Empty where the relay repeats an answer.
        operations: Vec<Bytes>,
        /// `None`: seen while catching up, not in an Ack.
        durability: Option<Durability>,
    },
    /// A batch was refused for ever; the operations are not in the document.
    Refused {
        document: DocumentKey,
        operations: Vec<Bytes>,
        refusal: Refusal,
    },
    /// kind `text`: the batch on its way was not applied, and everything that it has to be rebased on has been
    /// given. Submit it again.
    Rebase { document: DocumentKey },
    /// Caught up: what follows happens as it is told.
    Synced {
        document: DocumentKey,
        revision: u64,
        /// The clock that the relay expected of this client when it began.
        next_clock: u64,
    },
    /// Who is present, and how. `full`: whoever is not listed is gone.
    Presence {
        document: DocumentKey,
        presences: Vec<UserPresence>,
        full: bool,
    },
    /// The relay is about to stop keeping this slow client's place.
    Warning {
        document: DocumentKey,
        pending_operations: u64,
        pending_bytes: u64,
    },
    /// The relay has put the subscription somewhere else; pages follow.
    Resync {
        document: DocumentKey,
        reason: ResyncReason,
        sync: SyncMode,
        from: Position,
    },
    /// The offered snapshot is stored, and others are sent it in place of the operations up to `revision`.
    SnapshotAccepted {
        document: DocumentKey,
        revision: u64,
    },
    /// The offered snapshot is not taken. SNAPSHOT_INVALID with one that was offered before a reconnect may mean that it
    /// had been accepted already.
    SnapshotRefused {
        document: DocumentKey,
        revision: u64,
        refusal: Refusal,
    },

    /// A page of the documents that were asked for. With `watch` it comes again after a reconnect, in place of the
    /// earlier one.
    Directory {
        request: RequestKey,
        documents: Vec<DocumentEntry>,
        /// List again, with `after` set to the last id.
        has_more: bool,
    },
    /// Documents have come or gone since the Directory of the list that watches. One can be told of twice.
    DirectoryUpdate {
        request: RequestKey,
        created: Vec<DocumentEntry>,
        deleted: Vec<String>,
        /// There were more: list again.
        is_incomplete: bool,
    },
    /// The document is deleted, or with `undone`, it is back.
    Deleted {
        request: RequestKey,
        document_id: String,
        undone: bool,
    },
    /// A page of a document's history.
    History {
        request: RequestKey,
        page: HistoryPage,
    },
    /// The version is saved.
    VersionSaved {
        request: RequestKey,
        version: Version,
    },
    /// All versions of a document, in the order of their revisions.
    Versions {
        request: RequestKey,
        versions: Vec<Version>,
    },
    /// The version of that name is deleted.
    VersionDeleted { request: RequestKey, name: String },
    /// One of these requests was refused for ever. DOCUMENT_DELETED, VERSION_EXISTS and VERSION_NOT_FOUND may mean that it
    /// had been carried out before a reconnect.
    RequestRefused {
        request: RequestKey,
        refusal: Refusal,
    },
}

impl Event {
    /// The document that it is about.
    pub fn document(&self) -> Option<DocumentKey> {
        match self {
            Self::Connected { .. }
            | Self::Disconnected { .. }
            | Self::Stopped { .. }
            | Self::Goaway { .. }
            | Self::Violation(_)
            | Self::Directory { .. }
            | Self::DirectoryUpdate { .. }
            | Self::Deleted { .. }
            | Self::History { .. }
            | Self::VersionSaved { .. }
            | Self::Versions { .. }
            | Self::VersionDeleted { .. }
            | Self::RequestRefused { .. } => None,
            Self::Error { document, .. } => *document,
            Self::Opened { document, .. }
            | Self::Closed { document, .. }
            | Self::Reset { document, .. }
            | Self::Snapshot { document, .. }
            | Self::Remote { document, .. }
            | Self::Acknowledged { document, .. }
            | Self::Refused { document, .. }
            | Self::Rebase { document }
            | Self::Synced { document, .. }
            | Self::Presence { document, .. }
            | Self::Warning { document, .. }
            | Self::Resync { document, .. }
            | Self::SnapshotAccepted { document, .. }
            | Self::SnapshotRefused { document, .. } => Some(*document),
        }
    }
}

/// The relay's no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({})", self.code_name())]
pub struct Refusal {
    /// An [`ErrorCode`], or a number of a later version.
    pub code: i32,
    /// For people.
    pub message: String,
    /// The same may be taken later. Else never.
    pub retryable: bool,
    /// How long to wait before that; zero where the relay does not say.
    pub retry_after: Duration,
}

impl Refusal {
    pub(super) fn new(code: i32, message: String, retryable: bool, retry_after_ms: u32) -> Self {
        Self {
            code,
            message,
            retryable,
            retry_after: Duration::from_millis(retry_after_ms.into()),
        }
    }

    /// When the relay will take the same, if it is retryable.
    pub(super) fn retry_at(&self, now: Instant) -> Instant {
        match self.retry_after {
            Duration::ZERO => now + RETRY_AFTER_DEFAULT,
            said => now + said,
        }
    }

    /// Whether this is its code.
    pub fn is(&self, code: ErrorCode) -> bool {
        self.code == code as i32
    }

    /// The code's name in the protocol, or its number.
    pub fn code_name(&self) -> String {
        ErrorCode::try_from(self.code).map_or_else(
            |_| self.code.to_string(),
            |code| code.as_str_name().to_owned(),
        )
    }
}

/// The relay did what the protocol forbids.
#[allow(missing_docs, reason = "what they display says it")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("a frame is no Event: {0}")]
    Message(String),
    #[error("document {document}: revision {found} came where {expected} was due")]
    Revision {
        document: String,
        expected: u64,
        found: u64,
    },
    #[error("document {document}: acknowledged up to clock {found}, but only {sent} are known")]
    Acknowledgement {
        document: String,
        sent: u64,
        found: u64,
    },
    #[error("document {document}: a piece of a snapshot at {offset} came where {expected} was due")]
    Snapshot {
        document: String,
        expected: u64,
        offset: u64,
    },
    #[error("document {document}: {number} is no clock or revision that a document can reach")]
    Number { document: String, number: u64 },
    #[error("{0} came when nothing asked for it")]
    Unexpected(&'static str),
    #[error("the relay did not answer a ping")]
    PongMissing,
}

/// The values of a field that this version does not know read as its default.
pub(super) fn sync_mode(value: i32) -> SyncMode {
    SyncMode::try_from(value).unwrap_or_default()
}

pub(super) fn resync_reason(value: i32) -> ResyncReason {
    ResyncReason::try_from(value).unwrap_or_default()
}

pub(super) fn durability(value: i32) -> Durability {
    Durability::try_from(value).unwrap_or_default()
}

impl From<wire::Error> for Refusal {
    fn from(error: wire::Error) -> Self {
        Self::new(
            error.code,
            error.message,
            error.retryable,
            error.retry_after_ms,
        )
    }
}

impl From<wire::Close> for Refusal {
    fn from(close: wire::Close) -> Self {
        Self::new(
            close.code,
            close.message,
            close.retryable,
            close.retry_after_ms,
        )
    }
}

impl From<&wire::Nack> for Refusal {
    fn from(nack: &wire::Nack) -> Self {
        Self::new(
            nack.code,
            nack.message.clone(),
            nack.retryable,
            nack.retry_after_ms,
        )
    }
}

//! Why the relay refuses: one variant per reason that a client can tell from another.

use std::fmt;

use crate::auth::TokenError;
use crate::codec::frame::{self, FrameError};
use crate::codec::websocket::WebSocketError;
use crate::codec::wire::{self, ErrorCode};
use crate::store::{HistoryError, ReadError, VersionError};

use super::kind::StateError;

/// The protocol versions that this relay speaks.
pub const PROTOCOL_VERSIONS: [u32; 3] = [1, 2, 3];

/// How long a client should wait before it tries again what is refused for want of a resource.
pub const RETRY_AFTER_MS: u32 = 1000;
/// The same where somebody else has to leave first.
const CROWD_RETRY_AFTER_MS: u32 = 5000;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    // The client is at fault, and the connection cannot go on.
    #[error("not a frame of this protocol: {0}")]
    MalformedFrame(String),
    #[error("the token is not accepted: {0}")]
    Unauthorized(TokenError),
    #[error("Hello must be the first request")]
    HelloRequired,
    #[error("Hello did not come within {seconds} s")]
    HandshakeTimeout { seconds: u64 },
    #[error("nothing was heard for {seconds} s")]
    PongTimeout { seconds: u64 },
    #[error("Hello is not acceptable: {0}")]
    HelloInvalid(&'static str),
    #[error("protocol version {offered} is not spoken here; the versions are {spoken:?}")]
    VersionMismatch {
        offered: u32,
        spoken: &'static [u32],
    },
    #[error("the message has {length} bytes, more than the limit of {length_max}")]
    MessageTooLarge { length: u64, length_max: usize },
    #[error("a connection speaks JSON in text messages or protobuf in binary ones, not both")]
    DialectMixed,
    #[error("the client took nothing of what the relay had for it for {seconds} s")]
    Backpressure { seconds: u64 },
    #[error("closed by whoever runs the relay: {reason}")]
    ClosedByOperator { reason: String, may_return: bool },

    // The client is at fault with one request.
    #[error("{0} is not granted")]
    Forbidden(&'static str),
    #[error("a document id has 1 to 256 bytes and no control characters")]
    DocumentIdInvalid,
    #[error("the document does not exist")]
    DocumentNotFound,
    #[error("the document has been deleted")]
    DocumentDeleted,
    #[error("there is no kind of document {kind:?}")]
    KindUnknown { kind: String },
    #[error("the document is of the kind {is:?}, not {asked:?}")]
    KindMismatch { is: &'static str, asked: String },
    #[error("the connection does not have the document open")]
    DocumentNotOpen,
    #[error("the connection has {documents_max} documents open, the most that it may")]
    TooManyDocuments { documents_max: usize },
    #[error("another connection with the same identity has opened the document")]
    Replaced,
    #[error("the {whose} has {connections_max} connections, the most that it may")]
    TooManyConnections {
        whose: &'static str,
        connections_max: usize,
    },
    #[error("the tenant has as many {quota} as it may: {max}")]
    QuotaExceeded { quota: Quota, max: u64 },
    #[error("the batch is not acceptable: {0}")]
    BatchInvalid(String),
    #[error("the operation is not acceptable: {0}")]
    OperationInvalid(String),
    #[error("the operation reaches past the end of the document")]
    OutOfBounds,
    #[error("the operation cuts a character in two: {0}")]
    SurrogateSplit(String),
    #[error("the next clock of this client is {next_clock}")]
    ClockGap { next_clock: u64 },
    #[error("the document would have more than {bytes_max} bytes")]
    DocumentTooLarge { bytes_max: usize },
    #[error("the document has had {clients_max} different writers, the most that it may")]
    TooManyClients { clients_max: usize },
    #[error("this is more than {key} allows; the next in {retry_after_ms} ms")]
    RateLimited {
        key: &'static str,
        retry_after_ms: u32,
    },
    #[error("the presence has {bytes} bytes, more than the limit of {bytes_max}")]
    PresenceTooLarge { bytes: usize, bytes_max: usize },
    #[error("the base revision {base} does not do: {reason}")]
    SyncConflict { base: u64, reason: &'static str },

    #[error("other clients have been faster: the document has operations that were not expected")]
    VectorConflict,
    #[error("the document is at revision {is}, not at {expected} as expected")]
    RevisionConflict { expected: u64, is: u64 },
    #[error(
        "the history that was asked for is gone, or too large for one message: start from a snapshot"
    )]
    SnapshotRequired,
    #[error("the resume token is not one of this document and epoch")]
    ResumeTokenInvalid,

    #[error("the snapshot is not acceptable: {0}")]
    SnapshotInvalid(String),

    #[error("a version's name has 1 to 128 bytes and no control characters")]
    VersionNameInvalid,
    #[error("the document has a version of that name")]
    VersionExists,
    #[error("the document has no version of that name")]
    VersionNotFound,
    #[error("the document has as many versions as it may")]
    TooManyVersions,
    #[error("the document has never had that revision")]
    RevisionUnknown,

    // Nobody is at fault, or the relay.
    /// Why is for whoever runs the relay.
    #[error(
        "what is stored of the document cannot be read: whoever runs the relay is told so, and has to repair it"
    )]
    DocumentBroken(String),
    #[error("not now: the document could not be read; whoever runs the relay is told why")]
    DocumentNotRead(String),
    #[error("not now: {0}")]
    TokenUndecided(TokenError),
    #[error("not now: {0}")]
    Unavailable(String),
}

/// What a tenant can have too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    Connections,
    Documents,
    StoredBytes,
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connections => "connections",
            Self::Documents => "documents",
            Self::StoredBytes => "stored bytes",
        })
    }
}

impl Refusal {
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::MalformedFrame(_) => ErrorCode::MalformedFrame,
            Self::Unauthorized(_) => ErrorCode::Unauthorized,
            Self::Forbidden(_) => ErrorCode::Forbidden,
            Self::HelloRequired => ErrorCode::HelloRequired,
            Self::HandshakeTimeout { .. } => ErrorCode::HandshakeTimeout,
            Self::PongTimeout { .. } => ErrorCode::PongTimeout,
            Self::HelloInvalid(_) => ErrorCode::HelloInvalid,
            Self::VersionMismatch { .. } => ErrorCode::VersionMismatch,
            Self::MessageTooLarge { .. } => ErrorCode::MessageTooLarge,
            Self::DialectMixed => ErrorCode::DialectMixed,
            Self::Backpressure { .. } => ErrorCode::Backpressure,
            Self::ClosedByOperator { .. } => ErrorCode::ClosedByOperator,
            Self::DocumentIdInvalid => ErrorCode::DocumentIdInvalid,
            Self::DocumentNotFound => ErrorCode::DocumentNotFound,
            Self::DocumentDeleted => ErrorCode::DocumentDeleted,
            Self::KindUnknown { .. } => ErrorCode::KindUnknown,
            Self::KindMismatch { .. } => ErrorCode::KindMismatch,
            Self::DocumentNotOpen => ErrorCode::DocumentNotOpen,
            Self::TooManyDocuments { .. } => ErrorCode::TooManyDocuments,
            Self::Replaced => ErrorCode::Replaced,
            Self::TooManyConnections { .. } => ErrorCode::TooManyConnections,
            Self::QuotaExceeded { .. } => ErrorCode::TenantQuotaExceeded,
            Self::BatchInvalid(_) => ErrorCode::BatchInvalid,
            Self::OperationInvalid(_) => ErrorCode::OperationInvalid,
            Self::OutOfBounds => ErrorCode::OperationOutOfBounds,
            Self::SurrogateSplit(_) => ErrorCode::SurrogateSplit,
            Self::ClockGap { .. } => ErrorCode::ClockGap,
            Self::DocumentTooLarge { .. } => ErrorCode::DocumentTooLarge,
            Self::TooManyClients { .. } => ErrorCode::TooManyClients,
            Self::RateLimited { .. } => ErrorCode::RateLimited,
            Self::PresenceTooLarge { .. } => ErrorCode::PresenceTooLarge,
            Self::SyncConflict { .. } | Self::VectorConflict | Self::RevisionConflict { .. } => {
                ErrorCode::SyncConflict
            }
            Self::SnapshotRequired => ErrorCode::SnapshotRequired,
            Self::SnapshotInvalid(_) => ErrorCode::SnapshotInvalid,
            Self::VersionNameInvalid => ErrorCode::VersionNameInvalid,
            Self::VersionExists => ErrorCode::VersionExists,
            Self::VersionNotFound => ErrorCode::VersionNotFound,
            Self::TooManyVersions => ErrorCode::TooManyVersions,
            Self::RevisionUnknown => ErrorCode::RevisionUnknown,
            Self::ResumeTokenInvalid => ErrorCode::ResumeTokenInvalid,
            Self::DocumentBroken(_) => ErrorCode::InternalError,
            Self::DocumentNotRead(_) | Self::TokenUndecided(_) | Self::Unavailable(_) => {
                ErrorCode::ServiceUnavailable
            }
        }
    }

    /// Whether the same client may succeed with the same intent later, or after catching up.
    pub fn is_retryable(&self) -> bool {
        match self {
            // The others take somebody who deletes.
            Self::QuotaExceeded { quota, .. } => *quota == Quota::Connections,
            Self::HandshakeTimeout { .. }
            | Self::PongTimeout { .. }
            | Self::Backpressure { .. }
            | Self::TooManyConnections { .. }
            | Self::ClockGap { .. }
            | Self::RateLimited { .. }
            | Self::SyncConflict { .. }
            | Self::VectorConflict
            | Self::RevisionConflict { .. }
            | Self::DocumentNotRead(_)
            | Self::TokenUndecided(_)
            | Self::Unavailable(_) => true,
            Self::ClosedByOperator { may_return, .. } => *may_return,
            Self::MalformedFrame(_)
            | Self::Unauthorized(_)
            | Self::Forbidden(_)
            | Self::HelloRequired
            | Self::HelloInvalid(_)
            | Self::VersionMismatch { .. }
            | Self::MessageTooLarge { .. }
            | Self::DialectMixed
            | Self::DocumentIdInvalid
            | Self::DocumentNotFound
            | Self::DocumentDeleted
            | Self::DocumentBroken(_)
            | Self::KindUnknown { .. }
            | Self::KindMismatch { .. }
            | Self::DocumentNotOpen
            | Self::TooManyDocuments { .. }
            | Self::Replaced
            | Self::BatchInvalid(_)
            | Self::OperationInvalid(_)
            | Self::OutOfBounds
            | Self::SurrogateSplit(_)
            | Self::DocumentTooLarge { .. }
            | Self::TooManyClients { .. }
            | Self::SnapshotRequired
            | Self::SnapshotInvalid(_)
            | Self::VersionNameInvalid
            | Self::VersionExists
            | Self::VersionNotFound
            | Self::TooManyVersions
            | Self::RevisionUnknown
            | Self::ResumeTokenInvalid
            | Self::PresenceTooLarge { .. } => false,
        }
    }

    /// Whether it is what is stored that cannot be read.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::DocumentBroken(_) | Self::DocumentNotRead(_))
    }

    pub fn retry_after_ms(&self) -> u32 {
        match self {
            Self::DocumentNotRead(_)
            | Self::TokenUndecided(_)
            | Self::Unavailable(_)
            | Self::ClosedByOperator {
                may_return: true, ..
            } => RETRY_AFTER_MS,
            Self::TooManyConnections { .. }
            | Self::QuotaExceeded {
                quota: Quota::Connections,
                ..
            } => CROWD_RETRY_AFTER_MS,
            Self::RateLimited { retry_after_ms, .. } => *retry_after_ms,
            _at_once_or_never => 0,
        }
    }

    /// The code that a WebSocket is closed with. Codes of the relay's own faults are outside the range that the
    /// WebSocket leaves to applications.
    pub fn close_code(&self) -> u16 {
        match self.code() {
            ErrorCode::InternalError => 1011,
            ErrorCode::ServiceUnavailable => 1013,
            code => u16::try_from(code as i32).expect("codes are below 5004"),
        }
    }

    pub fn error(&self, request_id: u64, document: u64) -> wire::event::Body {
        let supported_versions = match self {
            Self::VersionMismatch { spoken, .. } => spoken.to_vec(),
            _other => Vec::new(),
        };
        wire::event::Body::Error(wire::Error {
            code: self.code().into(),
            message: self.to_string(),
            retryable: self.is_retryable(),
            retry_after_ms: self.retry_after_ms(),
            request_id,
            document,
            supported_versions,
        })
    }

    /// The last frames of a connection that is refused before anybody has its bytes: Error and Close.
    pub fn last_frames(&self) -> Vec<u8> {
        let mut frames = Vec::new();
        for body in [self.error(0, 0), self.close(0)] {
            let event = wire::Event {
                body: Some(body),
                ..wire::Event::default()
            };
            frame::append(&event, &mut frames);
        }
        frames
    }

    pub fn close(&self, document: u64) -> wire::event::Body {
        wire::event::Body::Close(wire::Close {
            document,
            code: self.code().into(),
            message: self.to_string(),
            retryable: self.is_retryable(),
            retry_after_ms: self.retry_after_ms(),
        })
    }
}

/// The status of an HTTP answer that says it.
pub fn http_status(code: ErrorCode) -> u16 {
    match code {
        ErrorCode::Ok => 200,
        ErrorCode::MalformedFrame
        | ErrorCode::HelloInvalid
        | ErrorCode::DocumentIdInvalid
        | ErrorCode::KindUnknown
        | ErrorCode::VersionNameInvalid
        | ErrorCode::BatchInvalid
        | ErrorCode::ResumeTokenInvalid => 400,
        ErrorCode::Unauthorized => 401,
        ErrorCode::Forbidden | ErrorCode::TooManyClients => 403,
        ErrorCode::DocumentNotFound | ErrorCode::VersionNotFound | ErrorCode::RevisionUnknown => {
            404
        }
        ErrorCode::KindMismatch
        | ErrorCode::VersionExists
        | ErrorCode::TooManyVersions
        | ErrorCode::Replaced
        | ErrorCode::ClockGap
        | ErrorCode::SyncConflict => 409,
        ErrorCode::DocumentDeleted | ErrorCode::SnapshotRequired => 410,
        ErrorCode::MessageTooLarge | ErrorCode::DocumentTooLarge | ErrorCode::PresenceTooLarge => {
            413
        }
        ErrorCode::OperationInvalid
        | ErrorCode::OperationOutOfBounds
        | ErrorCode::SurrogateSplit
        | ErrorCode::SnapshotInvalid => 422,
        ErrorCode::TooManyConnections | ErrorCode::RateLimited => 429,
        ErrorCode::TenantQuotaExceeded => 507,
        ErrorCode::HandshakeTimeout
        | ErrorCode::PongTimeout
        | ErrorCode::TooManyDocuments
        | ErrorCode::Backpressure
        | ErrorCode::ClosedByOperator
        | ErrorCode::ServiceUnavailable => 503,
        // The relay itself speaks the protocol for who asks over HTTP: these would be its own faults.
        ErrorCode::HelloRequired
        | ErrorCode::DocumentNotOpen
        | ErrorCode::VersionMismatch
        | ErrorCode::DialectMixed
        | ErrorCode::InternalError => 500,
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        match error.is_retryable() {
            true => Self::TokenUndecided(error),
            false => Self::Unauthorized(error),
        }
    }
}

impl From<StateError> for Refusal {
    fn from(error: StateError) -> Self {
        Self::DocumentBroken(error.to_string())
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        match error.is_damage {
            true => Self::DocumentBroken(error.reason),
            false => Self::DocumentNotRead(error.reason),
        }
    }
}

impl From<HistoryError> for Refusal {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::Unknown => Self::DocumentNotFound,
            HistoryError::Deleted => Self::DocumentDeleted,
            HistoryError::Failed(error) => error.into(),
        }
    }
}

impl From<VersionError> for Refusal {
    fn from(error: VersionError) -> Self {
        match error {
            VersionError::Unknown => Self::DocumentNotFound,
            VersionError::Deleted => Self::DocumentDeleted,
            VersionError::RevisionUnknown => Self::RevisionUnknown,
            VersionError::Exists => Self::VersionExists,
            VersionError::TooMany => Self::TooManyVersions,
            VersionError::NotFound => Self::VersionNotFound,
        }
    }
}

impl From<FrameError> for Refusal {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::TooLarge { length, length_max } => Self::MessageTooLarge {
                length: length as u64,
                length_max,
            },
            FrameError::Truncated => Self::MalformedFrame(error.to_string()),
        }
    }
}

impl From<WebSocketError> for Refusal {
    fn from(error: WebSocketError) -> Self {
        match error {
            WebSocketError::TooLarge { length, length_max } => {
                Self::MessageTooLarge { length, length_max }
            }
            WebSocketError::HeaderInvalid
            | WebSocketError::Unmasked
            | WebSocketError::ReservedBits
            | WebSocketError::ControlInvalid
            | WebSocketError::FragmentUnexpected => Self::MalformedFrame(error.to_string()),
        }
    }
}

//! The small synchronous face that every store has, under the committer and in tests.
//!
//! A commit is atomic and takes its place after the one before it. It is written when `commit` returns, and
//! durable after the next `sync`; a crash keeps all durable commits and some first part of the others.

use std::sync::Arc;

use bytes::Bytes;

use super::notices::{NoticeChange, NoticeWrite};
use super::{
    DocumentList, History, HistoryError, HistoryRange, Loaded, Page, ReadError, StoreError,
    StoredVersion, VersionError,
};

/// The most documents that one sweep lets go.
pub const SWEEP_DOCUMENTS_MAX: usize = 64;

/// A change, to one document but for the last two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// As `StoreRequest::Append`.
    Append {
        document: Arc<str>,
        kind: Arc<str>,
        first_revision: u64,
        count: u32,
        record: Bytes,
    },
    /// As `StoreRequest::PutSnapshot`.
    Snapshot {
        document: Arc<str>,
        revision: u64,
        snapshot: Bytes,
        compact_to_revision: Option<u64>,
    },
    /// As `StoreRequest::SaveVersion`.
    SaveVersion {
        document: Arc<str>,
        version: StoredVersion,
        versions_max: usize,
    },
    /// As `StoreRequest::DeleteVersion`.
    DeleteVersion { document: Arc<str>, name: Arc<str> },
    /// As `StoreRequest::Delete`.
    Delete { document: Arc<str>, at_ms: u64 },
    /// As `StoreRequest::Restore`.
    Restore { document: Arc<str>, at_ms: u64 },
    /// As `StoreRequest::Sweep`.
    Sweep { deleted_before_ms: u64 },
    /// Of whoever sends notices, in a store that keeps them.
    Notice(NoticeWrite),
}

/// What a commit did beyond its appends, each in the order in which it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Committed {
    /// For each deletion and restoration, the document's stored bytes if it changed anything.
    pub changed: Vec<Option<u64>>,
    /// For each snapshot that this commit has put in place, its document's stored bytes. A large snapshot takes several
    /// commits.
    pub snapshots: Vec<u64>,
    pub sweeps: Vec<Swept>,
    /// For each version that was to be saved or deleted, the revision that it names.
    pub versions: Vec<Result<u64, VersionError>>,
    /// What there is for whoever sends notices, if the store keeps any.
    pub notices: Vec<NoticeChange>,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// How many documents it let go.
    pub documents: usize,
    /// There are others, for another sweep.
    pub has_more: bool,
}

/// Reads what is written.
pub trait Reader: Send {
    /// What is known under a name: of a live document the newest snapshot and all records after it.
    fn load(&self, document: &str) -> Result<Loaded, ReadError>;

    /// As `StoreRequest::Read`.
    fn read(
        &self,
        document: &str,
        from_revision: u64,
        to_revision: u64,
        bytes_max: usize,
    ) -> Result<Page, ReadError>;

    /// As `StoreRequest::History`.
    fn history(&self, document: &str, range: &HistoryRange) -> Result<History, HistoryError>;

    /// As `StoreRequest::ListVersions`.
    fn versions(&self, document: &str) -> Result<Vec<StoredVersion>, HistoryError>;

    /// As `StoreRequest::List`.
    fn list(
        &self,
        tenant: &str,
        prefix: &str,
        after: Option<&str>,
        documents_max: usize,
        bytes_max: usize,
    ) -> Result<DocumentList, ReadError>;
}

/// Writes. After an error of any of its functions nothing may be written or acknowledged any more.
pub trait Backend: Reader {
    /// Writes all or nothing of `writes`, and goes on with what is unfinished.
    ///
    /// # Errors
    ///
    /// The disk failed, or a write does not continue its document: an append to a deleted document, or one that does
    /// not start at the document's next revision; a snapshot of a document that is not live, past its newest revision,
    /// before what is kept of it, or before what it lets go.
    fn commit(&mut self, writes: &[Write]) -> Result<Committed, StoreError>;

    /// Parts of snapshots, or rows that nobody needs any more, wait for a next commit, even one without writes.
    fn is_unfinished(&self) -> bool;

    /// Makes all commits so far durable.
    fn sync(&mut self) -> Result<(), StoreError>;

    /// A clean end: finishes snapshots, makes everything durable, and remembers that it did. What is to be removed is
    /// removed in the next run.
    fn close(self) -> Result<(), StoreError>
    where
        Self: Sized;
}

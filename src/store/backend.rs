//! The small synchronous face that every store has, under the committer and in tests.
//!
//! A commit is atomic and takes its place after the one before it. It is written when `commit` returns, and
//! durable after the next `sync`; a crash keeps all durable commits and some first part of the others.

use std::sync::Arc;

use bytes::Bytes;

use super::{LoadedDocument, ReadError, StoreError};

/// A change to one document.
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
    },
}

/// What a commit did beyond its appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Committed {
    /// How many snapshots this commit has put in place, counted in the order in which they were given. A large
    /// snapshot takes several commits.
    pub snapshots: usize,
    /// Parts of snapshots wait for a next commit, even one without writes.
    pub unfinished: bool,
}

/// Reads what is written.
pub trait Reader: Send {
    /// The newest snapshot and all records after it. `None`: there is no such document.
    fn load(&self, document: &str) -> Result<Option<LoadedDocument>, ReadError>;

    /// Records in order, from the one that contains `from_revision` to the one that contains `to_revision`, until
    /// they have `bytes_max` bytes or a little more (never less than one record).
    fn read(
        &self,
        document: &str,
        from_revision: u64,
        to_revision: u64,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, ReadError>;
}

/// Writes. After an error of any of its functions nothing may be written or acknowledged any more.
pub trait Backend: Reader {
    /// Writes all or nothing of `writes`.
    ///
    /// # Errors
    ///
    /// The disk failed, or a write does not continue its document: an append that does not start at the
    /// document's next revision, or a snapshot of a document that has no operations.
    fn commit(&mut self, writes: &[Write]) -> Result<Committed, StoreError>;

    /// Makes all commits so far durable.
    fn sync(&mut self) -> Result<(), StoreError>;

    /// A clean end: finishes snapshots, makes everything durable, and remembers that it did.
    fn close(self) -> Result<(), StoreError>;
}

//! Durable storage behind two value types: a [`StoreRequest`] goes in, a [`StoreReply`] comes out.
//!
//! The engine writes requests and reads replies; it never waits. The shell carries them to the committer's
//! thread, the simulator to a store that it can delay, fail and crash.
//!
//! A store keeps, per document, its kind, the records of its operations in the order of their revisions, and the
//! newest snapshot. Requests about one document are served in the order in which they were made, so that a read
//! sees every append before it.

mod backend;
pub mod committer;
mod counters;
mod directory;
mod error;
mod fjall;
mod journal;
mod layout;
mod mark;
mod memory;
mod reader;
mod snapshots;

use std::sync::Arc;

use bytes::Bytes;

pub use backend::{Backend, Committed, Reader, Write};
pub use committer::{CommitterHandle, ReplySink, StoreQueue};
pub use counters::{Counters, CountersSnapshot};
pub use directory::open;
pub use error::StoreError;
pub use fjall::FjallStore;
pub use memory::MemoryStore;
pub use reader::FjallReader;

/// A store that is ready, and what it knows about itself.
pub struct OpenStore {
    /// From 1; rises when the newest revisions may have been lost.
    pub epoch: u64,
    /// Made once with the directory, and secret.
    pub identity_key: [u8; 32],
    pub store: FjallStore,
}

/// Names a document towards the store, and the asker's entry for it towards the asker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentRef {
    /// The document's global id.
    pub name: Arc<str>,
    /// Chosen by the asker, given back in the reply.
    pub token: u64,
}

/// What an engine asks of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreRequest {
    /// Add one record (`codec::record::encode_operations`) to a document, and create the document with its first.
    /// Answered by [`StoreReply::Appended`] when it is as safe as the durability mode says.
    Append {
        document: DocumentRef,
        kind: Arc<str>,
        /// The revision of the record's first operation.
        first_revision: u64,
        /// How many operations the record has, at least 1.
        count: u32,
        record: Bytes,
    },
    /// The newest snapshot and all records after it. Answered by [`StoreReply::Loaded`].
    Load { document: DocumentRef },
    /// Records in order, from the one that contains `from_revision` to the one that contains `to_revision`, until
    /// they have `bytes_max` bytes or a little more (never less than one record). Answered by
    /// [`StoreReply::Page`].
    Read {
        document: DocumentRef,
        /// Chosen by the asker, given back in the reply.
        ticket: u64,
        from_revision: u64,
        to_revision: u64,
        bytes_max: usize,
    },
    /// Replace the document's snapshot. Answered by [`StoreReply::SnapshotStored`].
    PutSnapshot {
        document: DocumentRef,
        revision: u64,
        /// `codec::record::encode_snapshot`.
        snapshot: Bytes,
    },
}

/// What the store answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreReply {
    /// Every append of the document up to `revision` is as safe as the durability mode says.
    Appended {
        token: u64,
        revision: u64,
        /// Unix time in milliseconds.
        persisted_at_ms: u64,
    },
    /// `Ok(None)`: there is no such document.
    Loaded {
        token: u64,
        result: Result<Option<LoadedDocument>, ReadError>,
    },
    Page {
        token: u64,
        ticket: u64,
        /// Records in the order of their revisions; empty if there are none in the range.
        result: Result<Vec<Bytes>, ReadError>,
    },
    SnapshotStored {
        token: u64,
        revision: u64,
    },
    /// A write or a sync failed. Nothing is acknowledged from here on, and the process must end.
    Failed {
        reason: String,
    },
}

/// What a cold document is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedDocument {
    pub kind: Arc<str>,
    /// The newest snapshot and its revision.
    pub snapshot: Option<(u64, Bytes)>,
    /// The records after the snapshot's revision (after revision 0 if there is none), in order and without a gap.
    pub records: Vec<Bytes>,
}

/// A read failed. It says nothing about what is stored, and may be tried again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store could not read: {reason}")]
pub struct ReadError {
    pub reason: String,
}

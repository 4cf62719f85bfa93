//! Durable storage behind two value types: a [`StoreRequest`] goes in, a [`StoreReply`] comes out.
//!
//! The engine writes requests and reads replies; it never waits. The shell carries them to the committer's
//! thread, the simulator to a store that it can delay, fail and crash.
//!
//! A store keeps, per document, its kind, the records of its operations in the order of their revisions, and the
//! newest snapshot. Requests about one document are served in the order in which they were made, so that a read
//! sees every append before it.
//!
//! A document that is deleted keeps everything until a sweep; until then it can be restored. What is left of it
//! then is its name with its newest revision: a document that is made under that name again begins a new life one
//! revision later, maybe of another kind, so that a revision never names two things.

mod arrival;
mod backend;
mod backup;
mod check;
pub mod committer;
mod counters;
mod directory;
mod disk;
mod documents;
mod error;
mod fjall;
mod history;
mod journal;
mod layout;
mod looking;
mod mark;
mod memory;
mod notices;
mod operations;
mod reader;
mod removals;
mod serve;
mod shadow;
mod snapshots;
mod versions;
mod walk;

use std::sync::Arc;

use bytes::Bytes;

pub use arrival::{Arrival, Arriving};
pub use backend::{Backend, Committed, Reader, SWEEP_DOCUMENTS_MAX, Swept, Write};
pub use backup::{Backup, BackupError, BackupPlan};
pub use check::{Counts, Finding, Inspector, check};
pub use committer::{CommitterHandle, NoticeQueue, NoticeSink, ReplySink, StoreQueue};
pub use counters::{Counters, CountersSnapshot};
pub use directory::{TABLE_FILES_MAX, is_in_use, open};
pub use disk::{Disk, Room};
pub use error::StoreError;
pub use fjall::FjallStore;
pub use history::{History, HistoryError, HistoryRange, HistoryStart};
pub use layout::{CommitRow, DocumentRow, InstanceRow, LastRun, Life, SnapshotPlace};
pub use looking::{Condition, Description, ReadStore, open_to_read};
pub use memory::MemoryStore;
pub use notices::{News, Notice, NoticeChange, NoticeWrite, Standing, Unsent};
pub use reader::FjallReader;
pub use serve::serve;
pub use versions::{StoredVersion, VersionError};
pub use walk::Visitor;

/// A store that is ready, and what it knows about itself.
pub struct OpenStore {
    /// From 1; rises when the newest revisions may have been lost.
    pub epoch: u64,
    /// Made once with the directory, and secret.
    pub identity_key: [u8; 32],
    /// What every tenant that has live documents has stored, in the order of their names.
    pub usage: Vec<TenantUsage>,
    /// `None`: the last run stopped as planned, or there was none.
    pub recovery: Option<Recovery>,
    pub store: FjallStore,
}

/// What was found after a run that ended without a planned stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// The newest commit that is there.
    pub commit: u64,
    /// The newest that the last run knew to be on disk.
    pub synced_commit: u64,
    /// A write that was not finished was cut off.
    pub is_cut: bool,
    /// Newest revisions may have been lost: a new epoch begins.
    pub is_new_epoch: bool,
}

/// What a tenant's live documents are together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantUsage {
    pub tenant: Arc<str>,
    pub documents: u64,
    /// As [`LoadedDocument::stored_bytes`], but of each document as it was at its last snapshot (or its first commit,
    /// its deletion, its restoration).
    pub bytes: u64,
}

/// Names a document towards the store, and the asker's entry for it towards the asker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentRef {
    /// The document's global id, as `auth::tenant::global_id` makes it.
    pub name: Arc<str>,
    /// Chosen by the asker, given back in the reply.
    pub token: u64,
}

/// What an engine asks of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreRequest {
    /// Add one record (`codec::record::encode_operations`) to a live document, or create the document with its first:
    /// at revision 1, or one after the revision of [`Loaded::Gone`]. Answered by [`StoreReply::Appended`] when it is
    /// as safe as the durability mode says.
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
    /// they have `bytes_max` bytes or a little more (never less than one record). A document that is not live has
    /// none. Answered by [`StoreReply::Page`].
    Read {
        document: DocumentRef,
        /// Chosen by the asker, given back in the reply.
        ticket: u64,
        /// At least 1.
        from_revision: u64,
        to_revision: u64,
        bytes_max: usize,
    },
    /// A part of a live document's history, in either direction. It may see appends that are not confirmed yet. Answered
    /// by [`StoreReply::History`].
    History {
        /// The document's global id.
        document: Arc<str>,
        /// Chosen by the asker, given back in the reply.
        ticket: u64,
        range: HistoryRange,
    },
    /// Save a version of a live document. Answered by [`StoreReply::VersionChanged`] when it is as safe as the durability
    /// mode says.
    SaveVersion {
        /// The document's global id.
        document: Arc<str>,
        /// Chosen by the asker, given back in the reply.
        ticket: u64,
        /// Revision 0: the newest that is written when it is saved.
        version: StoredVersion,
        /// How many the document may have with it.
        versions_max: usize,
    },
    /// Delete a version of a live document. Answered by [`StoreReply::VersionChanged`] when it is as safe as the
    /// durability mode says.
    DeleteVersion {
        /// The document's global id.
        document: Arc<str>,
        /// Chosen by the asker, given back in the reply.
        ticket: u64,
        name: Arc<str>,
    },
    /// All versions of a live document, in the order of their names. It sees every write that the same asker made before
    /// it, and maybe others' that are not confirmed yet. Answered by [`StoreReply::Versions`].
    ListVersions {
        /// The document's global id.
        document: Arc<str>,
        /// Chosen by the asker, given back in the reply.
        ticket: u64,
    },
    /// Replace a live document's snapshot, and then remove what it makes unneeded. Answered by
    /// [`StoreReply::SnapshotStored`].
    PutSnapshot {
        document: DocumentRef,
        revision: u64,
        /// `codec::record::encode_snapshot`.
        snapshot: Bytes,
        /// Records whose operations all have this revision or an older one need not be kept; of those, a few may be
        /// that were stored together with later ones. Not newer than `revision`.
        compact_to_revision: Option<u64>,
    },
    /// Delete a live document until it is restored or swept. Answered by [`StoreReply::Deleted`] when it is as safe as
    /// the durability mode says. Whoever deletes it does not append to it any more.
    Delete {
        document: DocumentRef,
        /// Unix time in milliseconds.
        at_ms: u64,
    },
    /// Undo a deletion. Answered by [`StoreReply::Restored`] when it is as safe as the durability mode says.
    Restore {
        document: DocumentRef,
        /// Unix time in milliseconds.
        at_ms: u64,
    },
    /// Let documents go for good that were deleted before a time: up to [`SWEEP_DOCUMENTS_MAX`] of those whose deletion
    /// was confirmed. Answered by [`StoreReply::Swept`] when it is as safe as the durability mode says.
    Sweep {
        /// Chosen by the asker, given back in the reply.
        ticket: u64,
        /// Unix time in milliseconds.
        deleted_before_ms: u64,
    },
    /// The live documents of a tenant whose names (within the tenant) begin with `prefix`, in the order of their names.
    /// It sees every write that the same asker made before it, and maybe others' that are not confirmed yet. Answered by
    /// [`StoreReply::Listed`].
    List {
        /// Chosen by the asker, given back in the reply.
        ticket: u64,
        tenant: Arc<str>,
        prefix: Arc<str>,
        /// Begin behind this one, a global id.
        after: Option<Arc<str>>,
        /// The most documents; at least 1.
        documents_max: usize,
        /// The most bytes of names and kinds, or a little more.
        bytes_max: usize,
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
    Loaded {
        token: u64,
        result: Result<Loaded, ReadError>,
    },
    Page {
        token: u64,
        ticket: u64,
        result: Result<Page, ReadError>,
    },
    History {
        ticket: u64,
        result: Result<History, HistoryError>,
    },
    /// A version is saved or deleted: the revision that it names.
    VersionChanged {
        ticket: u64,
        result: Result<u64, VersionError>,
    },
    Versions {
        ticket: u64,
        result: Result<Vec<StoredVersion>, HistoryError>,
    },
    /// The snapshot is in place, and what it makes unneeded counts no more.
    SnapshotStored {
        token: u64,
        revision: u64,
        /// As [`LoadedDocument::stored_bytes`].
        stored_bytes: u64,
    },
    Deleted {
        token: u64,
        /// As [`LoadedDocument::stored_bytes`]; `None` if there was no live document, and nothing has changed.
        stored_bytes: Option<u64>,
    },
    Restored {
        token: u64,
        /// As [`LoadedDocument::stored_bytes`]; `None` if there was no deleted document, and nothing has changed.
        stored_bytes: Option<u64>,
    },
    Swept {
        ticket: u64,
        swept: Swept,
    },
    Listed {
        ticket: u64,
        result: Result<DocumentList, ReadError>,
    },
    /// A write or a sync failed. Nothing is acknowledged from here on, and the process must end.
    Failed {
        reason: String,
    },
}

/// What is known under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// Nothing, and nothing ever was.
    Unknown,
    Live(LoadedDocument),
    /// It can be restored.
    Deleted {
        /// Unix time in milliseconds.
        at_ms: u64,
    },
    /// It was swept. A new life begins at the revision after this one.
    Gone {
        revision: u64,
    },
}

/// What a cold document is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedDocument {
    pub kind: Arc<str>,
    /// The first revision of this life of the document. Before it the document is empty, and 1 less is its revision
    /// then. A revision before it that a client has is one of an earlier life: also the newest of them is no start
    /// for operations of this one.
    pub first_revision: u64,
    /// The oldest revision that is still kept; one more than the newest if none is.
    pub history_from_revision: u64,
    /// The newest snapshot and its revision; there is one if `history_from_revision` is past `first_revision`.
    pub snapshot: Option<(u64, Bytes)>,
    /// The records after the snapshot's revision (from `first_revision` on if there is none), in order and without a
    /// gap.
    pub records: Vec<Bytes>,
    /// The bytes of the snapshot and of all records that are kept.
    pub stored_bytes: u64,
}

/// A part of a document's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// In the order of their revisions; empty if there are none in the range.
    Records(Vec<Bytes>),
    /// The range begins before what is kept.
    Compacted { history_from_revision: u64 },
}

/// A part of the list of a tenant's live documents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DocumentList {
    pub documents: Vec<ListedDocument>,
    /// Where the rest begins, as `after`. There may be a rest even where this part is empty.
    pub more_after: Option<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedDocument {
    /// The document's global id.
    pub name: Arc<str>,
    pub kind: Arc<str>,
}

/// A read failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store could not read: {reason}")]
pub struct ReadError {
    pub reason: String,
    /// What is stored is not what was written. Otherwise it may be tried again.
    pub is_damage: bool,
}

impl ReadError {
    /// What is stored is not what was written.
    pub fn damaged(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            is_damage: true,
        }
    }

    /// It may be tried again.
    pub fn passing(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            is_damage: false,
        }
    }
}

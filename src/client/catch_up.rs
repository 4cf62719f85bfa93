//! Catching up: from where the application is to where the document was when that began.

use bytes::Bytes;

use crate::codec::wire::{SnapshotChunk, SyncMode};

/// The pages that are on their way, and what is to come after them.
#[derive(Debug)]
pub(super) struct CatchUp {
    /// The clock that the relay expected of this client when it began.
    pub next_clock: u64,
    /// Where the document was then. The pages may end before it.
    revision: u64,
    has_pages: bool,
    wants_snapshot: bool,
    snapshot: Option<Snapshot>,
    /// Of the newest page: with it, another connection goes on after that.
    resume_token: Bytes,
}

/// A snapshot that was cut off, and how to go on with it.
#[derive(Debug)]
pub(super) struct Interrupted {
    snapshot: Snapshot,
    pub resume_token: Bytes,
}

/// A snapshot, or the beginning of one.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub revision: u64,
    pub next_clock: u64,
    bytes_total: u64,
    data: Vec<u8>,
}

impl CatchUp {
    pub fn new(sync: SyncMode, revision: u64, next_clock: u64) -> Self {
        Self {
            next_clock,
            revision,
            has_pages: sync != SyncMode::UpToDate,
            wants_snapshot: sync == SyncMode::Snapshot,
            snapshot: None,
            resume_token: Bytes::new(),
        }
    }

    /// Goes on with what an earlier connection has brought, if that is the beginning of the snapshot of `revision`.
    pub fn resume(&mut self, interrupted: Interrupted, revision: u64) {
        if self.wants_snapshot && interrupted.snapshot.revision == revision {
            self.snapshot = Some(interrupted.snapshot);
            self.resume_token = interrupted.resume_token;
        }
    }

    /// What the next connection can go on with.
    pub fn interrupt(self) -> Option<Interrupted> {
        let resume_token = self.resume_token;
        let snapshot = self.snapshot.filter(|_| !resume_token.is_empty())?;
        Some(Interrupted {
            snapshot,
            resume_token,
        })
    }

    /// How to go on after the page that has just come.
    pub fn keep_token(&mut self, resume_token: Bytes) {
        self.resume_token = resume_token;
    }

    /// Pages follow.
    pub fn has_pages(&self) -> bool {
        self.has_pages
    }

    /// Operations make no sense before the snapshot is whole.
    pub fn wants_snapshot(&self) -> bool {
        self.wants_snapshot
    }

    pub fn last_page(&mut self) {
        self.has_pages = false;
    }

    /// Nothing is missing for an application that is at `revision`.
    pub fn is_done(&self, revision: u64) -> bool {
        !self.has_pages && revision >= self.revision
    }

    /// Adds the next piece. Returns the snapshot when it is whole; an error is the offset that was due.
    pub fn add(&mut self, chunk: &SnapshotChunk) -> Result<Option<Snapshot>, u64> {
        let snapshot = self.snapshot.get_or_insert_with(|| Snapshot {
            revision: chunk.revision,
            next_clock: chunk.next_clock,
            bytes_total: chunk.bytes_total,
            data: Vec::new(),
        });
        let due = snapshot.data.len() as u64;
        let end = due + chunk.data.len() as u64;
        let is_next = chunk.offset == due && end <= snapshot.bytes_total;
        if !self.wants_snapshot || !is_next || chunk.revision != snapshot.revision {
            return Err(due);
        }
        snapshot.data.extend_from_slice(&chunk.data);
        if end < snapshot.bytes_total {
            return Ok(None);
        }
        self.wants_snapshot = false;
        Ok(self.snapshot.take())
    }
}

impl Snapshot {
    pub fn into_data(self) -> Bytes {
        self.data.into()
    }
}

//! Snapshots on their way into the embedded store, a slice with each commit.
//!
//! A snapshot can have tens of megabytes, and no operation should wait for all of them. Its pieces are written
//! under a generation that nobody looks at; when the last one is, the same batch lets the document's row point
//! there. A crash in between leaves the older snapshot, and pieces that go when the next one is in place.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use fjall::{Keyspace, OwnedWriteBatch};

use super::layout::{PIECE_BYTES_MAX, SnapshotPlace, snapshot_key};

/// The most bytes of snapshots in one commit.
const SLICE_BYTES_MAX: usize = 1024 * 1024;

/// In the order in which they were given.
#[derive(Debug, Default)]
pub struct Snapshots {
    waiting: VecDeque<Incoming>,
}

/// A snapshot, and what of it is not written yet.
#[derive(Debug)]
pub struct Incoming {
    pub document: Arc<str>,
    pub number: u64,
    pub place: SnapshotPlace,
    pub compact_to_revision: Option<u64>,
    next_piece: u32,
    rest: Bytes,
}

impl Incoming {
    /// `generation` must be higher than any that the document had.
    pub fn new(
        document: Arc<str>,
        number: u64,
        revision: u64,
        generation: u64,
        snapshot: Bytes,
        compact_to_revision: Option<u64>,
    ) -> Self {
        Self {
            document,
            number,
            place: SnapshotPlace {
                revision,
                generation,
                bytes: snapshot.len() as u64,
            },
            compact_to_revision,
            next_piece: 0,
            rest: snapshot,
        }
    }
}

impl Snapshots {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether one of this document waits.
    pub fn has(&self, number: u64) -> bool {
        self.waiting.iter().any(|waiting| waiting.number == number)
    }

    pub fn push(&mut self, snapshot: Incoming) {
        self.waiting.push_back(snapshot);
    }

    /// Adds the next slice to `batch`. Returns the snapshots that are whole with it.
    pub fn advance(&mut self, rows: &Keyspace, batch: &mut OwnedWriteBatch) -> Vec<Incoming> {
        let mut budget = SLICE_BYTES_MAX;
        let mut finished = Vec::new();
        while budget > 0
            && let Some(mut snapshot) = self.waiting.pop_front()
        {
            while budget > 0 && snapshot.rest.has_remaining() {
                let piece_bytes = snapshot.rest.len().min(PIECE_BYTES_MAX);
                let piece = snapshot.rest.split_to(piece_bytes);
                let generation = snapshot.place.generation;
                let key = snapshot_key(snapshot.number, generation, snapshot.next_piece);
                batch.insert(rows, key, &piece[..]);
                snapshot.next_piece += 1;
                budget = budget.saturating_sub(piece_bytes);
            }
            if snapshot.rest.has_remaining() {
                self.waiting.push_front(snapshot);
            } else {
                finished.push(snapshot);
            }
        }
        finished
    }
}

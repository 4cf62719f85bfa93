//! Snapshots on their way into the embedded store, a slice with each commit.
//!
//! A snapshot can have tens of megabytes, and no operation should wait for all of them. Its pieces are written
//! under a generation that nobody looks at; when the last one is, the same batch lets the document's snapshot
//! row point there; after that the pieces of older generations are removed, also a slice at a time. A crash in
//! between leaves the older snapshot, and pieces that the next replacement removes.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use fjall::{Keyspace, OwnedWriteBatch};

use super::layout::{PIECE_BYTES_MAX, SnapshotRow, snapshot_key, snapshot_piece_key};

/// The most bytes of snapshots in one commit.
pub const SLICE_BYTES_MAX: usize = 1024 * 1024;

#[derive(Debug, Default)]
pub struct Backlog {
    tasks: VecDeque<Task>,
}

#[derive(Debug)]
enum Task {
    Write {
        document: u64,
        row: SnapshotRow,
        next_piece: u32,
        rest: Bytes,
    },
    /// Removes the pieces with keys from `from` up to generation `below`.
    Remove {
        document: u64,
        from: [u8; 21],
        below: u64,
    },
}

impl Backlog {
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// `generation` must be higher than any that the document had.
    pub fn push(&mut self, document: u64, revision: u64, generation: u64, snapshot: Bytes) {
        self.tasks.push_back(Task::Write {
            document,
            row: SnapshotRow {
                revision,
                generation,
                bytes: snapshot.len() as u64,
            },
            next_piece: 0,
            rest: snapshot,
        });
    }

    /// Adds the next slice to `batch`. Returns how many snapshots are in place with it.
    pub fn advance(
        &mut self,
        rows: &Keyspace,
        batch: &mut OwnedWriteBatch,
    ) -> Result<usize, fjall::Error> {
        let mut budget = SLICE_BYTES_MAX;
        let mut finished = 0;
        while budget > 0
            && let Some(task) = self.tasks.front_mut()
        {
            match task {
                Task::Write {
                    document,
                    row,
                    next_piece,
                    rest,
                } => {
                    while budget > 0 && rest.has_remaining() {
                        let piece = rest.split_to(rest.len().min(PIECE_BYTES_MAX));
                        let key = snapshot_piece_key(*document, row.generation, *next_piece);
                        batch.insert(rows, key, &piece[..]);
                        *next_piece += 1;
                        budget = budget.saturating_sub(piece.len());
                    }
                    if !rest.is_empty() {
                        break;
                    }
                    batch.insert(rows, snapshot_key(*document), row.encode());
                    finished += 1;
                    let remove = Task::Remove {
                        document: *document,
                        from: snapshot_piece_key(*document, 0, 0),
                        below: row.generation,
                    };
                    // Before the next snapshot, which may be the same document's.
                    *task = remove;
                }
                Task::Remove {
                    document,
                    from,
                    below,
                } => {
                    let end = snapshot_piece_key(*document, *below, 0);
                    let mut pieces = rows.range(*from..end);
                    loop {
                        let Some(piece) = pieces.next() else {
                            self.tasks.pop_front();
                            break;
                        };
                        let key = piece.key()?;
                        from.copy_from_slice(&key);
                        batch.remove(rows, key);
                        budget = budget.saturating_sub(PIECE_BYTES_MAX);
                        if budget == 0 {
                            break;
                        }
                    }
                }
            }
        }
        Ok(finished)
    }
}

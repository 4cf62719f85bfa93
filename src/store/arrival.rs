//! Documents that come into the embedded store whole: from another store, or from a file.
//!
//! What comes is written under a number that no name leads to, as something that is to be removed. The last commit lets
//! the name lead there and takes the removal back. So a document is there as a whole or not at all, however large it is,
//! and what an end in between leaves is removed by the next run.

use std::sync::Arc;

use bytes::Bytes;
use fjall::OwnedWriteBatch;

use super::StoreError;
use super::fjall::FjallStore;
use super::layout::{self, DocumentRow, Life, PIECE_BYTES_MAX, RemovalRow, SnapshotPlace};
use super::operations::OpenRows;
use super::versions::StoredVersion;

/// A commit is written when it has so many bytes.
const COMMIT_BYTES: usize = 1024 * 1024;

/// A document on its way into a store, always the same. Dropped before it is finished, it is none.
pub struct Arrival {
    name: Arc<str>,
    row: DocumentRow,
    next_revision: u64,
    snapshot_pieces: u32,
    /// What the next commit carries.
    batch: OwnedWriteBatch,
    open_rows: OpenRows,
    open_bytes: usize,
    /// Whether something is written already, and its removal.
    has_begun: bool,
}

/// What a document is before anything of it has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arriving {
    pub name: Arc<str>,
    pub kind: Arc<str>,
    /// As in `LoadedDocument`.
    pub first_revision: u64,
    /// Of the first record that comes.
    pub history_from_revision: u64,
    /// The revision of the snapshot, if there is to be one.
    pub snapshot_revision: Option<u64>,
}

impl FjallStore {
    /// Lets a document come in. There is none of that name, and never was one.
    pub fn receive(&mut self, document: Arriving) -> Arrival {
        let number = self.commit.document_next;
        self.commit.document_next += 1;
        let snapshot = document.snapshot_revision.map(|revision| {
            let generation = self.commit.generation_next;
            self.commit.generation_next += 1;
            SnapshotPlace {
                revision,
                generation,
                bytes: 0,
            }
        });
        Arrival {
            name: document.name,
            row: DocumentRow {
                history_from_revision: document.history_from_revision,
                snapshot,
                ..DocumentRow::begin(number, &document.kind, document.first_revision)
            },
            next_revision: document.history_from_revision,
            snapshot_pieces: 0,
            batch: self.reader.database.batch(),
            open_rows: OpenRows::default(),
            open_bytes: 0,
            has_begun: false,
        }
    }

    /// Lets in what is left of a document that is gone: that its next life begins at `next_revision`. There is none of
    /// that name, and never was one.
    pub fn receive_gone(&mut self, name: &str, next_revision: u64) -> Result<(), StoreError> {
        let row = DocumentRow::gone(self.commit.document_next, next_revision);
        self.commit.document_next += 1;
        let mut batch = self.reader.database.batch();
        let rows = &self.reader.rows;
        batch.insert(rows, layout::document_key(name), row.encode());
        self.write(batch)
    }
}

impl Arrival {
    /// A part of the snapshot, of any length, in order.
    ///
    /// # Panics
    ///
    /// If there was to be none.
    pub fn snapshot(&mut self, store: &mut FjallStore, part: &[u8]) -> Result<(), StoreError> {
        let place = self.row.snapshot.as_mut();
        let place = place.expect("a snapshot comes where one was announced");
        for piece in part.chunks(PIECE_BYTES_MAX) {
            let number = self.row.number;
            let key = layout::snapshot_key(number, place.generation, self.snapshot_pieces);
            self.batch.insert(&store.reader.rows, key, piece);
            self.snapshot_pieces += 1;
            place.bytes += piece.len() as u64;
        }
        self.count(store, part.len())
    }

    /// The next record.
    pub fn record(
        &mut self,
        store: &mut FjallStore,
        first_revision: u64,
        count: u32,
        record: &Bytes,
    ) -> Result<(), StoreError> {
        if first_revision != self.next_revision || count == 0 {
            return Err(StoreError::out_of_place(
                &self.name,
                "a record",
                first_revision,
            ));
        }
        let operation_bytes = &mut self.row.operation_bytes;
        let rows = &mut self.open_rows;
        rows.push(
            self.row.number,
            first_revision,
            count,
            record,
            *operation_bytes,
        );
        *operation_bytes += record.len() as u64;
        self.next_revision += u64::from(count);
        self.count(store, record.len())
    }

    /// A version, each with another name.
    pub fn version(
        &mut self,
        store: &mut FjallStore,
        version: &StoredVersion,
    ) -> Result<(), StoreError> {
        let key = layout::version_key(self.row.number, &version.name);
        let rows = &store.reader.rows;
        self.batch.insert(rows, key, version.encode());
        self.count(store, version.name.len() + version.author.len())
    }

    /// It is all there, and written as a whole.
    pub fn finish(mut self, store: &mut FjallStore, life: Life) -> Result<(), StoreError> {
        let newest = self.next_revision - 1;
        let history_from = self.row.history_from_revision;
        let is_sound = match self.row.snapshot {
            Some(place) => {
                place.bytes > 0 && place.revision <= newest && place.revision + 1 >= history_from
            }
            None => history_from == self.row.first_revision,
        };
        if !is_sound {
            return Err(StoreError::out_of_place(&self.name, "an end", newest));
        }
        self.row.life = life;
        let rows = store.reader.rows.clone();
        if self.has_begun {
            let removal = layout::removal_key(self.row.number);
            self.batch.remove(&rows, removal);
        }
        if let Life::Deleted { at_ms } = life {
            let key = layout::deleted_key(at_ms, self.row.number);
            self.batch.insert(&rows, key, self.name.as_bytes());
        }
        let key = layout::document_key(&self.name);
        self.batch.insert(&rows, key, self.row.encode());
        self.write(store)
    }

    /// So many bytes more are to be written.
    fn count(&mut self, store: &mut FjallStore, bytes: usize) -> Result<(), StoreError> {
        self.open_bytes += bytes;
        if self.open_bytes < COMMIT_BYTES {
            return Ok(());
        }
        if !self.has_begun {
            self.has_begun = true;
            let key = layout::removal_key(self.row.number);
            let value = RemovalRow::EVERYTHING.encode();
            self.batch.insert(&store.reader.rows, key, value);
        }
        self.write(store)
    }

    fn write(&mut self, store: &mut FjallStore) -> Result<(), StoreError> {
        let next = store.reader.database.batch();
        let mut batch = std::mem::replace(&mut self.batch, next);
        let open_rows = std::mem::take(&mut self.open_rows);
        open_rows.write(&store.reader.rows, &mut batch);
        self.open_bytes = 0;
        store.write(batch)
    }
}

//! The documents of the embedded store, as the one who writes them knows them: which writes continue them, and what
//! is stored of them.
//!
//! A document's row is written with the commit that creates, deletes, restores or sweeps the document, and with each of
//! its snapshots; never for an append alone. What appends have added since is known from the newest row of operations.

use std::collections::BTreeSet;
use std::sync::Arc;

use fjall::{Keyspace, OwnedWriteBatch};
use rustc_hash::FxHashMap;

use super::layout::{self, DocumentRow, Life, SnapshotPlace};
use super::reader::FjallReader;
use super::{ReadError, StoreError};

/// Documents that are kept at hand; when there are more, the table starts anew.
const DOCUMENTS_KEPT_MAX: usize = 65_536;

#[derive(Default)]
pub struct Documents {
    entries: FxHashMap<Arc<str>, Entry>,
    /// Whose rows are to be written with this commit.
    touched: BTreeSet<Arc<str>>,
}

/// A document that exists, or did.
pub struct Entry {
    /// As it would be written now.
    pub row: DocumentRow,
    pub next_revision: u64,
    /// Its key in the list of deleted documents, as it is stored.
    deleted_key: Option<[u8; 17]>,
}

impl Documents {
    /// To be called between two commits.
    pub fn keep_bounded(&mut self) {
        if self.entries.len() > DOCUMENTS_KEPT_MAX {
            self.entries.clear();
        }
    }

    pub fn get(
        &mut self,
        name: &Arc<str>,
        reader: &FjallReader,
    ) -> Result<Option<&mut Entry>, StoreError> {
        if !self.entries.contains_key(name)
            && let Some(entry) = Entry::read(name, reader).map_err(StoreError::failed)?
        {
            self.entries.insert(Arc::clone(name), entry);
        }
        Ok(self.entries.get_mut(name))
    }

    /// The document of an append, which begins a life if there is none. `number_next` is the number of the next one.
    pub fn get_or_create(
        &mut self,
        name: &Arc<str>,
        kind: &Arc<str>,
        reader: &FjallReader,
        number_next: &mut u64,
    ) -> Result<&mut Entry, StoreError> {
        let next_revision = match self.get(name, reader)? {
            None => Some(1),
            Some(entry) => (entry.row.life == Life::Gone).then_some(entry.next_revision),
        };
        if let Some(next_revision) = next_revision {
            let entry = Entry::begin(*number_next, kind, next_revision);
            *number_next += 1;
            let before = self.entries.insert(Arc::clone(name), entry);
            let entry = self.touch(name);
            entry.deleted_key = before.and_then(|before| before.deleted_key);
        }
        Ok(self.entries.get_mut(name).expect("it was there, or is now"))
    }

    /// The document's row is written with this commit.
    pub fn touch(&mut self, name: &Arc<str>) -> &mut Entry {
        self.touched.insert(Arc::clone(name));
        let entry = self.entries.get_mut(name);
        entry.expect("the caller has just looked at it")
    }

    /// Ends a commit: writes the rows of the documents that it has touched.
    pub fn write(&mut self, rows: &Keyspace, batch: &mut OwnedWriteBatch) {
        for name in std::mem::take(&mut self.touched) {
            let entry = self.entries.get_mut(&name);
            let entry = entry.expect("nobody is forgotten within a commit");
            let deleted_key = deleted_key(&entry.row);
            let stored_key = std::mem::replace(&mut entry.deleted_key, deleted_key);
            if stored_key != deleted_key {
                if let Some(key) = stored_key {
                    batch.remove(rows, key);
                }
                if let Some(key) = deleted_key {
                    batch.insert(rows, key, name.as_bytes());
                }
            }
            batch.insert(rows, layout::document_key(&name), entry.row.encode());
        }
    }
}

impl Entry {
    fn begin(number: u64, kind: &Arc<str>, first_revision: u64) -> Self {
        Self {
            row: DocumentRow::begin(number, kind, first_revision),
            next_revision: first_revision,
            deleted_key: None,
        }
    }

    fn read(name: &str, reader: &FjallReader) -> Result<Option<Self>, ReadError> {
        let view = reader.database.snapshot();
        let Some(mut row) = reader.document(&view, name)? else {
            return Ok(None);
        };
        let next_revision = reader.bring_up_to_date(&view, &mut row)?;
        Ok(Some(Self {
            deleted_key: deleted_key(&row),
            row,
            next_revision,
        }))
    }

    /// Whether `first_revision` to `count` further is what comes next.
    pub fn takes(&self, kind: &str, first_revision: u64, count: u32) -> bool {
        self.row.life == Life::Live
            && self.next_revision == first_revision
            && *self.row.kind == *kind
            && count > 0
    }

    /// Whether a snapshot can be put in place that lets go what is not newer than `compact_to_revision`.
    pub fn takes_snapshot(&self, revision: u64, compact_to_revision: Option<u64>) -> bool {
        self.row.life == Life::Live
            && revision < self.next_revision
            && revision + 1 >= self.row.history_from_revision
            && compact_to_revision.is_none_or(|compact_to| compact_to <= revision)
    }

    /// Puts a snapshot in place. `compacted_bytes` are those of all records that are not kept with it.
    pub fn put_snapshot(
        &mut self,
        place: SnapshotPlace,
        history_from_revision: u64,
        compacted_bytes: u64,
    ) {
        self.row.snapshot = Some(place);
        self.row.history_from_revision = history_from_revision;
        self.row.compacted_bytes = compacted_bytes;
    }

    /// Nothing of it is left but its newest revision.
    pub fn let_go(&mut self) {
        self.row = DocumentRow::gone(self.row.number, self.next_revision);
    }
}

/// The document's key in the list of deleted documents, if it is to stand there.
fn deleted_key(row: &DocumentRow) -> Option<[u8; 17]> {
    match row.life {
        Life::Deleted { at_ms } => Some(layout::deleted_key(at_ms, row.number)),
        Life::Live | Life::Gone => None,
    }
}

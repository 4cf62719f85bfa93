//! The embedded store: documents in fjall, an LSM tree with a journal.
//!
//! The committer's thread owns it. What `layout` describes lies in ONE keyspace: then a flush covers everything
//! that the journals hold, and they are removed after it; with several keyspaces the quiet ones would keep
//! old journals alive, and a fault in those would hurt.
//!
//! # Invariants
//!
//! - Every batch ends with a commit row, and commit numbers rise by one through all journals.
//! - The high-water mark never names a commit that is not synced.
//! - A document's operations have revisions from 1 without a gap, and are never rewritten.

use std::sync::Arc;

use bytes::Bytes;
use fjall::{OwnedWriteBatch, PersistMode};
use rustc_hash::FxHashMap;

use super::backend::{Backend, Committed, Reader, Write};
use super::directory::Lock;
use super::layout::{self, CommitRow, DocumentRow, InstanceRow, OperationsRow, PIECE_BYTES_MAX};
use super::mark::MarkWriter;
use super::reader::FjallReader;
use super::snapshots::Backlog;
use super::{LoadedDocument, ReadError, StoreError};

/// Documents whose number and revision are kept at hand; when there are more, the table starts anew.
const DOCUMENTS_KEPT_MAX: usize = 65_536;

pub struct FjallStore {
    reader: FjallReader,
    documents: FxHashMap<Arc<str>, DocumentEntry>,
    backlog: Backlog,
    /// The newest commit that is written.
    commit: CommitRow,
    /// The newest commit that stands in a journal, for the chain.
    journal_commit: u64,
    synced_commit: u64,
    instance: InstanceRow,
    mark: MarkWriter,
    /// Released last.
    _lock: Lock,
}

#[derive(Debug, Clone)]
struct DocumentEntry {
    number: u64,
    kind: Arc<str>,
    next_revision: u64,
}

/// What `directory::open` has found and made ready.
pub(super) struct Parts {
    pub reader: FjallReader,
    pub commit: CommitRow,
    pub journal_commit: u64,
    pub instance: InstanceRow,
    pub mark: MarkWriter,
    pub lock: Lock,
}

impl FjallStore {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            reader: parts.reader,
            documents: FxHashMap::default(),
            backlog: Backlog::default(),
            synced_commit: parts.commit.number,
            commit: parts.commit,
            journal_commit: parts.journal_commit,
            instance: parts.instance,
            mark: parts.mark,
            _lock: parts.lock,
        }
    }

    /// A reader for another thread.
    pub fn reader(&self) -> FjallReader {
        self.reader.clone()
    }

    /// The number of the newest commit.
    pub fn commit_number(&self) -> u64 {
        self.commit.number
    }

    /// Remembers, durably, how this run is doing.
    pub(super) fn put_instance(&mut self, instance: InstanceRow) -> Result<(), StoreError> {
        self.instance = instance;
        let mut batch = self.reader.database.batch();
        batch.insert(&self.reader.rows, layout::INSTANCE_KEY, instance.encode());
        self.write(batch)?;
        self.sync()
    }

    /// Writes `batch` as the next commit.
    fn write(&mut self, mut batch: OwnedWriteBatch) -> Result<(), StoreError> {
        self.commit.number += 1;
        self.commit.previous = self.journal_commit;
        self.commit.synced = self.synced_commit;
        self.commit.sequence_min = self.reader.database.seqno();
        batch.insert(&self.reader.rows, layout::COMMIT_KEY, self.commit.encode());
        batch.commit().map_err(StoreError::failed)?;
        self.journal_commit = self.commit.number;
        Ok(())
    }

    /// The document of an append; made if it is the first.
    fn entry(
        &mut self,
        document: &Arc<str>,
        kind: &Arc<str>,
        batch: &mut OwnedWriteBatch,
    ) -> Result<&mut DocumentEntry, StoreError> {
        if !self.know(document)? {
            let row = DocumentRow {
                number: self.commit.document_next,
                kind: Arc::clone(kind),
            };
            self.commit.document_next += 1;
            let key = layout::document_key(document);
            batch.insert(&self.reader.rows, key, row.encode());
            self.documents.insert(
                Arc::clone(document),
                DocumentEntry {
                    number: row.number,
                    kind: row.kind,
                    next_revision: 1,
                },
            );
        }
        let entry = self.documents.get_mut(document);
        Ok(entry.expect("it was there, or has just been made"))
    }

    /// Whether the document exists; then it is in the table.
    fn know(&mut self, document: &Arc<str>) -> Result<bool, StoreError> {
        if self.documents.contains_key(document) {
            return Ok(true);
        }
        let Some(row) = self.reader.document(document).map_err(StoreError::failed)? else {
            return Ok(false);
        };
        let next_revision = self
            .reader
            .next_revision(row.number)
            .map_err(StoreError::failed)?;
        let entry = DocumentEntry {
            number: row.number,
            kind: row.kind,
            next_revision,
        };
        self.documents.insert(Arc::clone(document), entry);
        Ok(true)
    }

    fn put_snapshot(
        &mut self,
        document: &Arc<str>,
        revision: u64,
        snapshot: &Bytes,
    ) -> Result<(), StoreError> {
        let known = self.know(document)?;
        match self.documents.get(document) {
            Some(entry) if known && revision < entry.next_revision => {
                let generation = self.commit.generation_next;
                self.commit.generation_next += 1;
                self.backlog
                    .push(entry.number, revision, generation, snapshot.clone());
                Ok(())
            }
            Some(_) | None => Err(StoreError::out_of_place(document, "a snapshot", revision)),
        }
    }
}

impl Backend for FjallStore {
    fn commit(&mut self, writes: &[Write]) -> Result<Committed, StoreError> {
        if writes.is_empty() && self.backlog.is_empty() {
            return Ok(Committed::default());
        }
        if self.documents.len() > DOCUMENTS_KEPT_MAX {
            self.documents.clear();
        }
        let mut batch = self.reader.database.batch();
        let mut open_rows = OpenRows::default();
        for write in writes {
            match write {
                Write::Append {
                    document,
                    kind,
                    first_revision,
                    count,
                    record,
                } => {
                    let entry = self.entry(document, kind, &mut batch)?;
                    if entry.next_revision != *first_revision || entry.kind != *kind || *count == 0
                    {
                        return Err(StoreError::out_of_place(
                            document,
                            "an append",
                            *first_revision,
                        ));
                    }
                    entry.next_revision += u64::from(*count);
                    let row = open_rows.row(entry.number, *first_revision, record);
                    row.push(*count, record);
                }
                Write::Snapshot {
                    document,
                    revision,
                    snapshot,
                } => self.put_snapshot(document, *revision, snapshot)?,
            }
        }
        for (document, row) in open_rows.rows {
            let first_revision = row.first_revision;
            for (piece, value) in (0..).zip(row.finish().chunks(PIECE_BYTES_MAX)) {
                let key = layout::operations_key(document, first_revision, piece);
                batch.insert(&self.reader.rows, key, value);
            }
        }
        let snapshots = self
            .backlog
            .advance(&self.reader.rows, &mut batch)
            .map_err(StoreError::failed)?;
        self.write(batch)?;
        Ok(Committed {
            snapshots,
            unfinished: !self.backlog.is_empty(),
        })
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.reader
            .database
            .persist(PersistMode::SyncData)
            .map_err(StoreError::failed)?;
        self.synced_commit = self.commit.number;
        self.mark
            .advance(self.commit.number)
            .map_err(StoreError::failed)
    }

    fn close(mut self) -> Result<(), StoreError> {
        while self.commit(&[])?.unfinished {}
        self.put_instance(InstanceRow {
            stopped_cleanly: true,
            ..self.instance
        })?;
        self.mark.finish().map_err(StoreError::failed)
    }
}

impl Reader for FjallStore {
    fn load(&self, document: &str) -> Result<Option<LoadedDocument>, ReadError> {
        self.reader.load(document)
    }

    fn read(
        &self,
        document: &str,
        from_revision: u64,
        to_revision: u64,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, ReadError> {
        self.reader
            .read(document, from_revision, to_revision, bytes_max)
    }
}

/// The rows of one commit.
#[derive(Default)]
struct OpenRows {
    rows: Vec<(u64, OperationsRow)>,
    /// Document number to the row that its next record goes into.
    newest: FxHashMap<u64, usize>,
}

impl OpenRows {
    fn row(&mut self, document: u64, first_revision: u64, record: &[u8]) -> &mut OperationsRow {
        let index = match self.newest.get(&document) {
            Some(&index) if !self.rows[index].1.is_full_for(record) => index,
            Some(_) | None => {
                self.rows
                    .push((document, OperationsRow::new(first_revision)));
                self.newest.insert(document, self.rows.len() - 1);
                self.rows.len() - 1
            }
        };
        &mut self.rows[index].1
    }
}

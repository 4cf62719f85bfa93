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
//! - A document's operations have revisions without a gap, through all its lives, and are never rewritten.
//! - A row is removed only by a commit after the one since which nobody reads it, and no key is twice in one batch.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fjall::{AbstractTree, OwnedWriteBatch, PersistMode};

use super::backend::{Backend, Committed, Reader, SWEEP_DOCUMENTS_MAX, Swept, Write};
use super::directory::Lock;
use super::documents::{Documents, Entry};
use super::layout::{self, CommitRow, DocumentRow, InstanceRow, LastRun, Life, RemovalRow};
use super::mark::MarkWriter;
use super::notices::{News, NoticeWrite, Notices, Unsent};
use super::operations::OpenRows;
use super::reader::FjallReader;
use super::removals::Removals;
use super::snapshots::{Incoming, Snapshots};
use super::versions::Versions;
use super::{
    DocumentList, History, HistoryError, HistoryRange, Loaded, Page, ReadError, StoreError,
    StoredVersion, VersionError,
};

/// While more full buffers wait for their flush, and one can become full, nothing is written; at four fjall stands still.
const BUFFERS_WAITING_MAX: usize = 2;
/// While more tables wait to be merged, nothing is written; at thirty fjall stands still.
const RUNS_WAITING_MAX: usize = 28;
/// How often it is looked whether there is a buffer again.
const BUFFER_PERIOD: Duration = Duration::from_millis(1);

/// While so many documents are being removed, a sweep finds no others.
const REMOVALS_MAX: usize = 1024;

pub struct FjallStore {
    pub(super) reader: FjallReader,
    documents: Documents,
    snapshots: Snapshots,
    removals: Removals,
    versions: Versions,
    /// `None`: nobody is to be told.
    notices: Option<Notices>,
    /// The newest commit that is written.
    pub(super) commit: CommitRow,
    /// The newest commit that stands in a journal, for the chain.
    journal_commit: u64,
    synced_commit: u64,
    instance: InstanceRow,
    mark: MarkWriter,
    /// Released last.
    _lock: Lock,
}

/// What `directory::open` has found and made ready.
pub(super) struct Parts {
    pub reader: FjallReader,
    pub removals: Removals,
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
            documents: Documents::default(),
            snapshots: Snapshots::default(),
            removals: parts.removals,
            versions: Versions::default(),
            notices: None,
            synced_commit: parts.commit.number,
            commit: parts.commit,
            journal_commit: parts.journal_commit,
            instance: parts.instance,
            mark: parts.mark,
            _lock: parts.lock,
        }
    }

    /// From here on somebody is to be told of documents. `queue_max`: how many notices and changed documents may wait.
    /// Returns what an earlier run has left.
    ///
    /// # Errors
    ///
    /// What is stored of it cannot be read.
    pub fn keep_notices(&mut self, queue_max: usize) -> Result<Unsent, StoreError> {
        let notices = Notices::read(&self.reader.rows, queue_max).map_err(StoreError::failed)?;
        let unsent = notices.unsent();
        self.notices = Some(notices);
        Ok(unsent)
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

    /// Becomes what another store is to clients.
    pub(super) fn take_identity(&mut self, of: InstanceRow) {
        self.instance = InstanceRow {
            last_run: LastRun::Unfinished,
            ..of
        };
    }

    /// Ends as a store to which documents were copied. The next run is in an epoch of its own.
    pub fn close_as_copy(self) -> Result<(), StoreError> {
        self.end(LastRun::Copied)
    }

    fn end(mut self, last_run: LastRun) -> Result<(), StoreError> {
        while !self.snapshots.is_empty() {
            self.commit(&[])?;
        }
        self.put_instance(InstanceRow {
            last_run,
            ..self.instance
        })?;
        self.mark.finish().map_err(StoreError::of_io)
    }

    /// Waits until fjall has a buffer for what comes. It would wait itself, but for ever if its thread has failed that
    /// empties them.
    fn await_buffer(&self) -> Result<(), StoreError> {
        let tree = &self.reader.rows.tree;
        while tree.sealed_memtable_count() > BUFFERS_WAITING_MAX
            || tree.l0_run_count() > RUNS_WAITING_MAX
        {
            // An error if the database has failed.
            let persisted = self.reader.database.persist(PersistMode::Buffer);
            persisted.map_err(StoreError::of_fjall)?;
            std::thread::sleep(BUFFER_PERIOD);
        }
        Ok(())
    }

    /// Writes `batch` as the next commit.
    pub(super) fn write(&mut self, mut batch: OwnedWriteBatch) -> Result<(), StoreError> {
        self.await_buffer()?;
        self.commit.number += 1;
        self.commit.previous = self.journal_commit;
        self.commit.synced = self.synced_commit;
        self.commit.sequence_min = self.reader.database.seqno();
        batch.insert(&self.reader.rows, layout::COMMIT_KEY, self.commit.encode());
        batch.commit().map_err(StoreError::of_fjall)?;
        self.journal_commit = self.commit.number;
        Ok(())
    }

    fn append(
        &mut self,
        document: &Arc<str>,
        kind: &Arc<str>,
        first_revision: u64,
        count: u32,
        record: &Bytes,
        open_rows: &mut OpenRows,
    ) -> Result<(), StoreError> {
        let number_next = &mut self.commit.document_next;
        let entry = self
            .documents
            .get_or_create(document, kind, &self.reader, number_next)?;
        if !entry.takes(kind, first_revision, count) {
            return Err(StoreError::out_of_place(
                document,
                "an append",
                first_revision,
            ));
        }
        let operation_bytes = &mut entry.row.operation_bytes;
        open_rows.push(
            entry.row.number,
            first_revision,
            count,
            record,
            *operation_bytes,
        );
        *operation_bytes += record.len() as u64;
        entry.next_revision += u64::from(count);
        if let Some(notices) = &mut self.notices {
            let revisions = (first_revision, entry.next_revision - 1);
            let is_created = first_revision == entry.row.first_revision;
            notices.appended(document, kind, revisions, is_created, record);
        }
        Ok(())
    }

    fn take_snapshot(
        &mut self,
        document: &Arc<str>,
        revision: u64,
        snapshot: &Bytes,
        compact_to_revision: Option<u64>,
    ) -> Result<(), StoreError> {
        match self.documents.get(document, &self.reader)? {
            Some(entry) if entry.takes_snapshot(revision, compact_to_revision) => {
                let generation = self.commit.generation_next;
                self.commit.generation_next += 1;
                self.snapshots.push(Incoming::new(
                    Arc::clone(document),
                    entry.row.number,
                    revision,
                    generation,
                    snapshot.clone(),
                    compact_to_revision,
                ));
                Ok(())
            }
            Some(_) | None => Err(StoreError::out_of_place(document, "a snapshot", revision)),
        }
    }

    /// A snapshot is whole: its document's row will point to it, and what it makes unneeded is to be removed. Returns
    /// the document's stored bytes.
    fn put_snapshot(
        &mut self,
        snapshot: &Incoming,
        open_rows: &OpenRows,
    ) -> Result<u64, StoreError> {
        let name = &snapshot.document;
        let entry = self.documents.get(name, &self.reader)?;
        let entry = entry.expect("a document that has snapshots to come is not swept");
        let row = &entry.row;
        let asked = snapshot.compact_to_revision.map_or(0, |to| to + 1);
        let (history_from, compacted_bytes) =
            compaction(&self.reader, row, asked, open_rows).map_err(StoreError::failed)?;
        if row.snapshot.is_some() || history_from > row.history_from_revision {
            let below = RemovalRow {
                operations_below: history_from,
                generations_below: snapshot.place.generation,
            };
            let operations_from = row.history_from_revision;
            self.removals.push(row.number, operations_from, below);
        }
        let entry = self.documents.touch(name);
        entry.put_snapshot(snapshot.place, history_from, compacted_bytes);
        Ok(entry.row.stored_bytes())
    }

    /// Changes a document from one life to another, if it is in that one. Returns its stored bytes.
    fn change_life(
        &mut self,
        document: &Arc<str>,
        is_expected: impl FnOnce(Life) -> bool,
        life: Life,
    ) -> Result<Option<u64>, StoreError> {
        match self.documents.get(document, &self.reader)? {
            Some(entry) if is_expected(entry.row.life) => {
                entry.row.life = life;
                Ok(Some(self.documents.touch(document).row.stored_bytes()))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// A document's life has changed: somebody may have to be told.
    fn tell_of_life(
        &mut self,
        news: News,
        document: &Arc<str>,
        at_ms: u64,
    ) -> Result<(), StoreError> {
        if let Some(notices) = &mut self.notices
            && let Some(entry) = self.documents.get(document, &self.reader)?
        {
            let (kind, revision) = (&entry.row.kind, entry.next_revision - 1);
            notices.changed_life(news, document, kind, revision, at_ms);
        }
        Ok(())
    }

    fn write_notice(&mut self, write: &NoticeWrite) -> Result<(), StoreError> {
        let notices = self.notices.as_mut();
        let notices = notices.expect("notices are asked for where they are kept");
        let entry = match Notices::asks_about(write) {
            Some(document) => self.documents.get(document, &self.reader)?,
            None => None,
        };
        let live = entry.filter(|entry| entry.row.life == Life::Live);
        let live = live.map(|entry| (Arc::clone(&entry.row.kind), entry.next_revision - 1));
        notices.apply(write, live);
        Ok(())
    }

    fn save_version(
        &mut self,
        document: &Arc<str>,
        mut version: StoredVersion,
        versions_max: usize,
    ) -> Result<Result<u64, VersionError>, StoreError> {
        let entry = match live(self.documents.get(document, &self.reader)?) {
            Ok(entry) => entry,
            Err(error) => return Ok(Err(error)),
        };
        let newest = entry.next_revision - 1;
        if version.revision == 0 {
            version.revision = newest;
        }
        let revision = version.revision;
        if !(entry.row.first_revision..=newest).contains(&revision) {
            return Ok(Err(VersionError::RevisionUnknown));
        }
        let number = entry.row.number;
        let saved = (self.versions).save(number, version, versions_max, &self.reader.rows);
        Ok(saved.map_err(StoreError::failed)?.map(|()| revision))
    }

    fn delete_version(
        &mut self,
        document: &Arc<str>,
        name: &Arc<str>,
    ) -> Result<Result<u64, VersionError>, StoreError> {
        match live(self.documents.get(document, &self.reader)?) {
            Ok(entry) => {
                let deleted = (self.versions).delete(entry.row.number, name, &self.reader.rows);
                deleted.map_err(StoreError::failed)
            }
            Err(error) => Ok(Err(error)),
        }
    }

    /// Lets documents go whose deletion is written and not undone by this commit.
    fn sweep(&mut self, deleted_before_ms: u64) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        let range = (
            Bound::Included(layout::deleted_key(0, 0)),
            Bound::Excluded(layout::deleted_key(deleted_before_ms, 0)),
        );
        for row in self.reader.rows.range(range) {
            let (key, name) = row.into_inner().map_err(StoreError::of_fjall)?;
            let (at_ms, number) = layout::split_deleted_key(&key).map_err(StoreError::failed)?;
            let name: Arc<str> = str::from_utf8(&name).map_err(StoreError::failed)?.into();
            let entry = self.documents.get(&name, &self.reader)?;
            let is_deleted = entry.is_some_and(|entry| {
                entry.row.number == number && entry.row.life == Life::Deleted { at_ms }
            });
            if !is_deleted {
                continue;
            }
            if swept.documents == SWEEP_DOCUMENTS_MAX
                || self.removals.len() >= REMOVALS_MAX
                || self.snapshots.has(number)
            {
                swept.has_more = true;
                break;
            }
            let entry = self.documents.touch(&name);
            let operations_from = entry.row.history_from_revision;
            entry.let_go();
            self.removals
                .push(number, operations_from, RemovalRow::EVERYTHING);
            swept.documents += 1;
        }
        Ok(swept)
    }
}

impl Backend for FjallStore {
    fn commit(&mut self, writes: &[Write]) -> Result<Committed, StoreError> {
        let mut committed = Committed::default();
        if writes.is_empty() && !self.is_unfinished() {
            return Ok(committed);
        }
        self.documents.keep_bounded();
        let mut batch = self.reader.database.batch();
        self.removals
            .advance(&self.reader.rows, &mut batch)
            .map_err(StoreError::failed)?;
        let mut open_rows = OpenRows::default();
        for write in writes {
            match write {
                Write::Append {
                    document,
                    kind,
                    first_revision,
                    count,
                    record,
                } => self.append(
                    document,
                    kind,
                    *first_revision,
                    *count,
                    record,
                    &mut open_rows,
                )?,
                Write::Snapshot {
                    document,
                    revision,
                    snapshot,
                    compact_to_revision,
                } => self.take_snapshot(document, *revision, snapshot, *compact_to_revision)?,
                Write::SaveVersion {
                    document,
                    version,
                    versions_max,
                } => {
                    let saved = self.save_version(document, version.clone(), *versions_max)?;
                    committed.versions.push(saved);
                }
                Write::DeleteVersion { document, name } => {
                    let deleted = self.delete_version(document, name)?;
                    committed.versions.push(deleted);
                }
                Write::Delete { document, at_ms } => {
                    let deleted = Life::Deleted { at_ms: *at_ms };
                    let is_live = |life| life == Life::Live;
                    let changed = self.change_life(document, is_live, deleted)?;
                    if changed.is_some() {
                        self.tell_of_life(News::Deleted, document, *at_ms)?;
                    }
                    committed.changed.push(changed);
                }
                Write::Restore { document, at_ms } => {
                    let is_deleted = |life| matches!(life, Life::Deleted { .. });
                    let changed = self.change_life(document, is_deleted, Life::Live)?;
                    if changed.is_some() {
                        self.tell_of_life(News::Restored, document, *at_ms)?;
                    }
                    committed.changed.push(changed);
                }
                Write::Sweep { deleted_before_ms } => {
                    committed.sweeps.push(self.sweep(*deleted_before_ms)?);
                }
                Write::Notice(write) => self.write_notice(write)?,
            }
        }
        for snapshot in self.snapshots.advance(&self.reader.rows, &mut batch) {
            let stored_bytes = self.put_snapshot(&snapshot, &open_rows)?;
            committed.snapshots.push(stored_bytes);
        }
        open_rows.write(&self.reader.rows, &mut batch);
        self.documents.write(&self.reader.rows, &mut batch);
        self.removals.write(&self.reader.rows, &mut batch);
        self.versions.write(&self.reader.rows, &mut batch);
        if let Some(notices) = &mut self.notices {
            notices.write(&self.reader.rows, &mut batch);
            committed.notices = notices.finish();
        }
        self.write(batch)?;
        Ok(committed)
    }

    fn is_unfinished(&self) -> bool {
        !self.snapshots.is_empty() || !self.removals.is_empty()
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.reader
            .database
            .persist(PersistMode::SyncData)
            .map_err(StoreError::of_fjall)?;
        self.synced_commit = self.commit.number;
        self.mark
            .advance(self.commit.number)
            .map_err(StoreError::failed)
    }

    fn close(self) -> Result<(), StoreError> {
        self.end(LastRun::Stopped)
    }
}

impl Reader for FjallStore {
    fn load(&self, document: &str) -> Result<Loaded, ReadError> {
        self.reader.load(document)
    }

    fn read(
        &self,
        document: &str,
        from_revision: u64,
        to_revision: u64,
        bytes_max: usize,
    ) -> Result<Page, ReadError> {
        self.reader
            .read(document, from_revision, to_revision, bytes_max)
    }

    fn history(&self, document: &str, range: &HistoryRange) -> Result<History, HistoryError> {
        self.reader.history(document, range)
    }

    fn versions(&self, document: &str) -> Result<Vec<StoredVersion>, HistoryError> {
        self.reader.versions(document)
    }

    fn list(
        &self,
        tenant: &str,
        prefix: &str,
        after: Option<&str>,
        documents_max: usize,
        bytes_max: usize,
    ) -> Result<DocumentList, ReadError> {
        self.reader
            .list(tenant, prefix, after, documents_max, bytes_max)
    }
}

/// A document that can have versions.
fn live(entry: Option<&mut Entry>) -> Result<&mut Entry, VersionError> {
    let entry = entry.ok_or(VersionError::Unknown)?;
    match entry.row.life {
        Life::Live => Ok(entry),
        Life::Deleted { .. } => Err(VersionError::Deleted),
        Life::Gone => Err(VersionError::Unknown),
    }
}

/// What is kept of a document that needs nothing before `revision`: the first revision of the row that has this one, and
/// the bytes of all records before that row.
fn compaction(
    reader: &FjallReader,
    document: &DocumentRow,
    revision: u64,
    open_rows: &OpenRows,
) -> Result<(u64, u64), ReadError> {
    let view = reader.database.snapshot();
    let mut from = revision;
    while from > document.history_from_revision {
        let row = match open_rows.row_before(document.number, from) {
            Some(row) => Some(row),
            None => reader.row_before(&view, document, from)?,
        };
        match row {
            Some(row) if row.next_revision <= from => return Ok((from, row.operation_bytes)),
            Some(row) => from = row.first_revision,
            None => break,
        }
    }
    Ok((document.history_from_revision, document.compacted_bytes))
}

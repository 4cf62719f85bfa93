//! A store in memory that behaves like the embedded one, for tests and for the simulator.
//!
//! It is a plain value: no thread, no clock, no file. It tells what is written from what is durable, and a crash
//! is a function call.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::backend::{Backend, Committed, Reader, SWEEP_DOCUMENTS_MAX, Swept, Write};
use super::layout::{self, Life};
use super::notices::{News, NoticeWrite, Notices, Unsent};
use super::serve::serve;
use super::{
    DocumentList, History, HistoryError, HistoryRange, ListedDocument, Loaded, LoadedDocument,
    Page, ReadError, StoreError, StoreReply, StoreRequest, StoredVersion, VersionError,
};
use crate::codec::record;
use crate::config::Durability;

/// What is written, what of it is durable, and the commits in between.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    written: Documents,
    durable: Documents,
    unsynced: Vec<Vec<Write>>,
    durability: Durability,
    epoch: u64,
}

impl MemoryStore {
    pub fn new(durability: Durability) -> Self {
        Self {
            written: Documents::default(),
            durable: Documents::default(),
            unsynced: Vec::new(),
            durability,
            epoch: 1,
        }
    }

    /// As the embedded store's: rises with a crash unless the durability is `Always`.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// As `FjallStore::keep_notices`. To be called before anything is written.
    pub fn keep_notices(&mut self, queue_max: usize) {
        self.written.notices = Some(Notices::new(queue_max));
        self.durable.notices = self.written.notices.clone();
    }

    /// What is to be told, of all that is written.
    ///
    /// # Panics
    ///
    /// If it keeps no notices.
    pub fn unsent(&self) -> Unsent {
        let notices = self.written.notices.as_ref();
        notices.expect("it keeps notices").unsent()
    }

    /// As [`serve`]; what goes wrong is the reply.
    pub fn handle(&mut self, request: StoreRequest, now_ms: u64) -> StoreReply {
        match serve(self, request, now_ms) {
            Ok(reply) => reply,
            Err(error) => StoreReply::Failed {
                reason: error.reason(),
            },
        }
    }

    /// How many commits a crash could lose.
    pub fn unsynced_commits(&self) -> usize {
        self.unsynced.len()
    }

    /// The process or the machine ends, and the store is opened again: of the commits that were not synced, the
    /// first `kept` survive.
    pub fn crash(&mut self, kept: usize) {
        self.unsynced.truncate(kept);
        self.make_durable();
        self.written = self.durable.clone();
        match self.durability {
            Durability::Always => {}
            Durability::Interval | Durability::Never => self.epoch += 1,
        }
    }

    fn live(&self, name: &str) -> Result<&Document, HistoryError> {
        let document = self.written.get(name).ok_or(HistoryError::Unknown)?;
        match document.life {
            Life::Live => Ok(document),
            Life::Deleted { .. } => Err(HistoryError::Deleted),
            Life::Gone => Err(HistoryError::Unknown),
        }
    }

    fn make_durable(&mut self) {
        for commit in self.unsynced.drain(..) {
            for write in &commit {
                self.durable
                    .apply(write, &mut Committed::default())
                    .expect("it was applied to the same documents when it was written");
            }
            if let Some(notices) = &mut self.durable.notices {
                notices.finish();
            }
        }
    }
}

impl Backend for MemoryStore {
    fn commit(&mut self, writes: &[Write]) -> Result<Committed, StoreError> {
        let mut committed = Committed::default();
        for write in writes {
            self.written.apply(write, &mut committed)?;
        }
        if let Some(notices) = &mut self.written.notices {
            committed.notices = notices.finish();
        }
        if !writes.is_empty() {
            self.unsynced.push(writes.to_vec());
        }
        Ok(committed)
    }

    fn is_unfinished(&self) -> bool {
        false
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.make_durable();
        Ok(())
    }

    fn close(mut self) -> Result<(), StoreError> {
        self.sync()
    }
}

impl Reader for MemoryStore {
    fn load(&self, name: &str) -> Result<Loaded, ReadError> {
        let Some(document) = self.written.get(name) else {
            return Ok(Loaded::Unknown);
        };
        Ok(match document.life {
            Life::Deleted { at_ms } => Loaded::Deleted { at_ms },
            Life::Gone => Loaded::Gone {
                revision: document.next_revision - 1,
            },
            Life::Live => {
                let snapshot = document.snapshot.as_ref();
                let from = snapshot.map_or(document.first_revision, |(at, _)| at + 1);
                Loaded::Live(LoadedDocument {
                    kind: Arc::clone(&document.kind),
                    first_revision: document.first_revision,
                    history_from_revision: document.history_from_revision,
                    snapshot: document.snapshot.clone(),
                    records: document.records_from(from).map(|(_, r)| r).collect(),
                    stored_bytes: document.stored_bytes(),
                })
            }
        })
    }

    fn read(
        &self,
        name: &str,
        from_revision: u64,
        to_revision: u64,
        bytes_max: usize,
    ) -> Result<Page, ReadError> {
        let mut records = Vec::new();
        let document = self.written.get(name);
        let document = document.filter(|document| document.life == Life::Live);
        let Some(document) = document.filter(|_| from_revision <= to_revision) else {
            return Ok(Page::Records(records));
        };
        if from_revision < document.history_from_revision {
            return Ok(Page::Compacted {
                history_from_revision: document.history_from_revision,
            });
        }
        let mut bytes = 0;
        for (first_revision, record) in document.records_from(from_revision) {
            if first_revision > to_revision {
                break;
            }
            bytes += record.len();
            records.push(record);
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(Page::Records(records))
    }

    fn history(&self, name: &str, range: &HistoryRange) -> Result<History, HistoryError> {
        let document = self.live(name)?;
        let newest = (document.next_revision - 1).min(range.until_revision);
        let oldest = document.history_from_revision;
        let time_ms_at = |revision| {
            let (_, record) = document
                .records
                .range(..=revision)
                .next_back()
                .expect("kept");
            record::operations_time_ms(record)
                .map_err(|error| ReadError::damaged(error.to_string()))
        };
        let mut records = Vec::new();
        if let Some(begin) = range.begin(oldest, newest, time_ms_at)? {
            let mut in_order: Vec<Bytes> = match range.newest_first {
                true => {
                    let records = document.records.range(..=begin).rev();
                    records.map(|(_, record)| record.clone()).collect()
                }
                false => {
                    let records = document.records_from(begin);
                    let records = records.take_while(|(first, _)| *first <= newest);
                    records.map(|(_, record)| record).collect()
                }
            };
            let mut bytes = 0;
            in_order.truncate(range.records_max);
            let kept = in_order.iter().take_while(|record| {
                let has_room = bytes < range.bytes_max;
                bytes += record.len();
                has_room
            });
            let kept = kept.count();
            in_order.truncate(kept);
            records = in_order;
        }
        Ok(History {
            kind: Arc::clone(&document.kind),
            first_revision: document.first_revision,
            history_from_revision: oldest,
            newest_revision: newest,
            records,
        })
    }

    fn versions(&self, name: &str) -> Result<Vec<StoredVersion>, HistoryError> {
        Ok(self.live(name)?.versions.values().cloned().collect())
    }

    fn list(
        &self,
        tenant: &str,
        prefix: &str,
        after: Option<&str>,
        documents_max: usize,
        bytes_max: usize,
    ) -> Result<DocumentList, ReadError> {
        let mut list = DocumentList::default();
        let mut bytes = 0;
        let range = layout::document_range(tenant, prefix, after);
        let in_range = self.written.documents.range(range);
        for (_, document) in in_range.filter(|(_, document)| document.life == Life::Live) {
            let is_full = list.documents.len() >= documents_max || bytes >= bytes_max;
            if let Some(last) = list.documents.last()
                && is_full
            {
                list.more_after = Some(Arc::clone(&last.name));
                break;
            }
            bytes += document.name.len() + document.kind.len();
            list.documents.push(ListedDocument {
                name: Arc::clone(&document.name),
                kind: Arc::clone(&document.kind),
            });
        }
        Ok(list)
    }
}

#[derive(Debug, Clone, Default)]
struct Documents {
    /// By [`layout::document_key`], which is the order of lists.
    documents: BTreeMap<Vec<u8>, Document>,
    notices: Option<Notices>,
}

#[derive(Debug, Clone)]
struct Document {
    name: Arc<str>,
    life: Life,
    kind: Arc<str>,
    first_revision: u64,
    history_from_revision: u64,
    next_revision: u64,
    snapshot: Option<(u64, Bytes)>,
    /// By first revision.
    records: BTreeMap<u64, Bytes>,
    /// By name.
    versions: BTreeMap<Arc<str>, StoredVersion>,
}

impl Document {
    fn begin(name: &Arc<str>, kind: &Arc<str>, first_revision: u64) -> Self {
        Self {
            name: Arc::clone(name),
            life: Life::Live,
            kind: Arc::clone(kind),
            first_revision,
            history_from_revision: first_revision,
            next_revision: first_revision,
            snapshot: None,
            records: BTreeMap::new(),
            versions: BTreeMap::new(),
        }
    }

    /// From the record that contains `revision`, with their first revisions.
    fn records_from(&self, revision: u64) -> impl Iterator<Item = (u64, Bytes)> {
        let start = if revision < self.next_revision {
            let containing = self.records.range(..=revision).next_back();
            containing.map_or(revision, |(first, _)| *first)
        } else {
            revision
        };
        let records = self.records.range(start..);
        records.map(|(first, record)| (*first, record.clone()))
    }

    fn stored_bytes(&self) -> u64 {
        let snapshot_bytes = self.snapshot.as_ref().map_or(0, |(_, bytes)| bytes.len());
        let record_bytes: usize = self.records.values().map(Bytes::len).sum();
        (record_bytes + snapshot_bytes) as u64
    }

    fn save_version(
        &mut self,
        mut version: StoredVersion,
        versions_max: usize,
    ) -> Result<u64, VersionError> {
        let newest = self.next_revision - 1;
        if version.revision == 0 {
            version.revision = newest;
        }
        let revision = version.revision;
        if !(self.first_revision..=newest).contains(&revision) {
            return Err(VersionError::RevisionUnknown);
        }
        if self.versions.contains_key(&version.name) {
            return Err(VersionError::Exists);
        }
        if self.versions.len() >= versions_max {
            return Err(VersionError::TooMany);
        }
        self.versions.insert(Arc::clone(&version.name), version);
        Ok(revision)
    }

    /// Removes the records that end before `revision`.
    fn compact(&mut self, revision: u64) {
        let kept = if revision < self.next_revision {
            let containing = self.records.range(..=revision).next_back();
            containing.map_or(revision, |(first, _)| *first)
        } else {
            self.next_revision
        };
        self.records = self.records.split_off(&kept);
        self.history_from_revision = self.history_from_revision.max(kept);
    }
}

impl Documents {
    fn get(&self, name: &str) -> Option<&Document> {
        self.documents.get(&layout::document_key(name))
    }

    fn get_mut(&mut self, name: &str) -> Option<&mut Document> {
        self.documents.get_mut(&layout::document_key(name))
    }

    fn live_mut(&mut self, name: &str) -> Result<&mut Document, VersionError> {
        let document = self.get_mut(name).ok_or(VersionError::Unknown)?;
        match document.life {
            Life::Live => Ok(document),
            Life::Deleted { .. } => Err(VersionError::Deleted),
            Life::Gone => Err(VersionError::Unknown),
        }
    }

    fn apply(&mut self, write: &Write, committed: &mut Committed) -> Result<(), StoreError> {
        match write {
            Write::Append {
                document: name,
                kind,
                first_revision,
                count,
                record,
            } => {
                let begin = |next_revision| Document::begin(name, kind, next_revision);
                let key = layout::document_key(name);
                let document = self.documents.entry(key).or_insert_with(|| begin(1));
                if document.life == Life::Gone {
                    *document = begin(document.next_revision);
                }
                if document.life != Life::Live
                    || document.next_revision != *first_revision
                    || document.kind != *kind
                    || *count == 0
                {
                    return Err(StoreError::out_of_place(name, "an append", *first_revision));
                }
                document.next_revision += u64::from(*count);
                document.records.insert(*first_revision, record.clone());
                if let Some(notices) = &mut self.notices {
                    let revisions = (*first_revision, document.next_revision - 1);
                    let is_created = *first_revision == document.first_revision;
                    notices.appended(name, kind, revisions, is_created, record);
                }
            }
            Write::Snapshot {
                document: name,
                revision,
                snapshot,
                compact_to_revision,
            } => {
                let in_place = self.get_mut(name).filter(|document| {
                    document.life == Life::Live
                        && *revision < document.next_revision
                        && *revision + 1 >= document.history_from_revision
                        && compact_to_revision.is_none_or(|compact_to| compact_to <= *revision)
                });
                let Some(document) = in_place else {
                    return Err(StoreError::out_of_place(name, "a snapshot", *revision));
                };
                document.snapshot = Some((*revision, snapshot.clone()));
                if let Some(compact_to) = compact_to_revision {
                    document.compact(*compact_to + 1);
                }
                committed.snapshots.push(document.stored_bytes());
            }
            Write::SaveVersion {
                document: name,
                version,
                versions_max,
            } => {
                let saved = (self.live_mut(name))
                    .and_then(|document| document.save_version(version.clone(), *versions_max));
                committed.versions.push(saved);
            }
            Write::DeleteVersion {
                document: name,
                name: version,
            } => {
                let deleted = self.live_mut(name).and_then(|document| {
                    let deleted = document.versions.remove(version);
                    Ok(deleted.ok_or(VersionError::NotFound)?.revision)
                });
                committed.versions.push(deleted);
            }
            Write::Delete {
                document: name,
                at_ms,
            } => {
                let live = self.get_mut(name).filter(|found| found.life == Life::Live);
                committed.changed.push(live.map(|document| {
                    document.life = Life::Deleted { at_ms: *at_ms };
                    document.stored_bytes()
                }));
                self.tell_of_life(News::Deleted, name, *at_ms, committed);
            }
            Write::Restore {
                document: name,
                at_ms,
            } => {
                let is_deleted = |found: &&mut Document| matches!(found.life, Life::Deleted { .. });
                let deleted = self.get_mut(name).filter(is_deleted);
                committed.changed.push(deleted.map(|document| {
                    document.life = Life::Live;
                    document.stored_bytes()
                }));
                self.tell_of_life(News::Restored, name, *at_ms, committed);
            }
            Write::Sweep { deleted_before_ms } => {
                committed.sweeps.push(self.sweep(*deleted_before_ms));
            }
            Write::Notice(write) => self.write_notice(write),
        }
        Ok(())
    }

    /// If the last change to a document's life has changed anything.
    fn tell_of_life(&mut self, news: News, name: &Arc<str>, at_ms: u64, committed: &Committed) {
        let document = self.documents.get(&layout::document_key(name));
        if let Some(notices) = &mut self.notices
            && let (Some(document), Some(Some(_))) = (document, committed.changed.last())
        {
            let (kind, revision) = (&document.kind, document.next_revision - 1);
            notices.changed_life(news, name, kind, revision, at_ms);
        }
    }

    fn write_notice(&mut self, write: &NoticeWrite) {
        let found = Notices::asks_about(write).and_then(|document| self.get(document));
        let live = found.filter(|document| document.life == Life::Live);
        let live = live.map(|document| (Arc::clone(&document.kind), document.next_revision - 1));
        let notices = self.notices.as_mut();
        let notices = notices.expect("notices are asked for where they are kept");
        notices.apply(write, live);
    }

    fn sweep(&mut self, deleted_before_ms: u64) -> Swept {
        let is_due = |document: &&mut Document| matches!(document.life, Life::Deleted { at_ms } if at_ms < deleted_before_ms);
        let mut swept = Swept::default();
        for document in self.documents.values_mut().filter(is_due) {
            if swept.documents == SWEEP_DOCUMENTS_MAX {
                swept.has_more = true;
                break;
            }
            *document = Document {
                life: Life::Gone,
                ..Document::begin(&document.name, &"".into(), document.next_revision)
            };
            swept.documents += 1;
        }
        swept
    }
}

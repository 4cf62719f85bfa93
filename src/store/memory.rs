//! A store in memory that behaves like the embedded one, for tests and for the simulator.
//!
//! It is a plain value: no thread, no clock, no file. It tells what is written from what is durable, and a crash
//! is a function call.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::backend::{Backend, Committed, Reader, Write};
use super::{LoadedDocument, ReadError, StoreError, StoreReply, StoreRequest};
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

    /// Serves one request; a write is a commit of its own. The reply to a write may go out when the durability
    /// mode allows it: with `Always` after the next [`Backend::sync`].
    pub fn handle(&mut self, request: StoreRequest, now_ms: u64) -> StoreReply {
        let (write, reply) = match request {
            StoreRequest::Load { document } => {
                return StoreReply::Loaded {
                    token: document.token,
                    result: self.load(&document.name),
                };
            }
            StoreRequest::Read {
                document,
                ticket,
                from_revision,
                to_revision,
                bytes_max,
            } => {
                return StoreReply::Page {
                    token: document.token,
                    ticket,
                    result: self.read(&document.name, from_revision, to_revision, bytes_max),
                };
            }
            StoreRequest::Append {
                document,
                kind,
                first_revision,
                count,
                record,
            } => (
                Write::Append {
                    document: document.name,
                    kind,
                    first_revision,
                    count,
                    record,
                },
                StoreReply::Appended {
                    token: document.token,
                    revision: (first_revision + u64::from(count)).saturating_sub(1),
                    persisted_at_ms: now_ms,
                },
            ),
            StoreRequest::PutSnapshot {
                document,
                revision,
                snapshot,
            } => (
                Write::Snapshot {
                    document: document.name,
                    revision,
                    snapshot,
                },
                StoreReply::SnapshotStored {
                    token: document.token,
                    revision,
                },
            ),
        };
        match self.commit(&[write]) {
            Ok(_) => reply,
            Err(error) => StoreReply::Failed {
                reason: error.to_string(),
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

    fn make_durable(&mut self) {
        for commit in self.unsynced.drain(..) {
            for write in &commit {
                self.durable
                    .apply(write)
                    .expect("it was applied to the same documents when it was written");
            }
        }
    }
}

impl Backend for MemoryStore {
    fn commit(&mut self, writes: &[Write]) -> Result<Committed, StoreError> {
        let mut snapshots = 0;
        for write in writes {
            self.written.apply(write)?;
            snapshots += usize::from(matches!(write, Write::Snapshot { .. }));
        }
        if !writes.is_empty() {
            self.unsynced.push(writes.to_vec());
        }
        Ok(Committed {
            snapshots,
            unfinished: false,
        })
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
    fn load(&self, document: &str) -> Result<Option<LoadedDocument>, ReadError> {
        Ok(self.written.0.get(document).map(|document| {
            let from = document.snapshot.as_ref().map_or(1, |(at, _)| at + 1);
            LoadedDocument {
                kind: Arc::clone(&document.kind),
                snapshot: document.snapshot.clone(),
                records: document.records_from(from).map(|(_, r)| r).collect(),
            }
        }))
    }

    fn read(
        &self,
        document: &str,
        from_revision: u64,
        to_revision: u64,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, ReadError> {
        let mut records = Vec::new();
        let mut bytes = 0;
        if let Some(document) = self.written.0.get(document) {
            for (first_revision, record) in document.records_from(from_revision) {
                if first_revision > to_revision || from_revision > to_revision {
                    break;
                }
                bytes += record.len();
                records.push(record);
                if bytes >= bytes_max {
                    break;
                }
            }
        }
        Ok(records)
    }
}

#[derive(Debug, Clone, Default)]
struct Documents(BTreeMap<Arc<str>, Document>);

#[derive(Debug, Clone)]
struct Document {
    kind: Arc<str>,
    snapshot: Option<(u64, Bytes)>,
    next_revision: u64,
    /// By first revision.
    records: BTreeMap<u64, Bytes>,
}

impl Document {
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
}

impl Documents {
    fn apply(&mut self, write: &Write) -> Result<(), StoreError> {
        match write {
            Write::Append {
                document: name,
                kind,
                first_revision,
                count,
                record,
            } => {
                let document = self.0.entry(Arc::clone(name)).or_insert_with(|| Document {
                    kind: Arc::clone(kind),
                    snapshot: None,
                    next_revision: 1,
                    records: BTreeMap::new(),
                });
                if document.next_revision != *first_revision
                    || document.kind != *kind
                    || *count == 0
                {
                    return Err(StoreError::out_of_place(name, "an append", *first_revision));
                }
                document.next_revision += u64::from(*count);
                document.records.insert(*first_revision, record.clone());
                Ok(())
            }
            Write::Snapshot {
                document: name,
                revision,
                snapshot,
            } => match self.0.get_mut(name) {
                Some(document) if *revision < document.next_revision => {
                    document.snapshot = Some((*revision, snapshot.clone()));
                    Ok(())
                }
                Some(_) | None => Err(StoreError::out_of_place(name, "a snapshot", *revision)),
            },
        }
    }
}

//! The disk and its committer: a store in memory that takes its time, answers in groups, fails and crashes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use corelay::config::Durability;
use corelay::store::{
    Backend, Committed, Loaded, LoadedDocument, MemoryStore, NoticeChange, NoticeWrite, ReadError,
    Reader, StoreReply, StoreRequest, StoredVersion, TenantUsage, Write,
};

use super::judge::{Fate, Judge};
use super::notices::Correspondent;
use super::random::Random;
use super::scenario::{Flaw, Tenant};

/// How likely things are in one step, in ten thousand.
#[derive(Debug, Clone, Copy)]
pub struct StorageRates {
    pub commit: u64,
    pub sync: u64,
    pub read_failure: u64,
    pub write_failure: u64,
}

pub struct Storage {
    store: MemoryStore,
    correspondent: Correspondent,
    durability: Durability,
    requests: VecDeque<(usize, StoreRequest)>,
    /// They go out when the commits behind them are synced.
    unsynced: Vec<(usize, StoreReply)>,
    replies: BTreeMap<usize, VecDeque<StoreReply>>,
    has_unsynced_commits: bool,
    has_failed: bool,
    flaw: Option<Flaw>,
}

impl Storage {
    pub fn new(durability: Durability, flaw: Option<Flaw>) -> Self {
        let mut store = MemoryStore::new(durability);
        store.keep_notices(usize::MAX);
        Self {
            store,
            correspondent: Correspondent::new(flaw),
            durability,
            requests: VecDeque::new(),
            unsynced: Vec::new(),
            replies: BTreeMap::new(),
            has_unsynced_commits: false,
            has_failed: false,
            flaw,
        }
    }

    pub fn epoch(&self) -> u64 {
        self.store.epoch()
    }

    pub fn ask(&mut self, shard: usize, request: StoreRequest) {
        self.requests.push_back((shard, request));
    }

    pub fn waiting_requests(&self) -> usize {
        self.requests.len()
    }

    pub fn has_failed(&self) -> bool {
        self.has_failed
    }

    pub fn next_reply(&mut self, shard: usize) -> Option<StoreReply> {
        self.replies.get_mut(&shard)?.pop_front()
    }

    /// One turn of the committer. What is written is shown to the judge.
    pub fn step(
        &mut self,
        rates: &StorageRates,
        now_ms: u64,
        shards: usize,
        random: &mut Random,
        judge: &mut Judge,
    ) {
        if self.has_failed {
            return;
        }
        if self.has_unsynced_commits && random.happens(rates.sync) {
            self.sync();
            judge.synced();
        }
        // Otherwise it may be told what a crash takes back.
        let is_settled = !self.has_unsynced_commits || self.correspondent.is_hasty();
        if self.durability == Durability::Always && is_settled {
            self.correspondent.step(&mut self.store);
        }
        let waits_for_sync =
            self.durability == Durability::Always && self.has_unsynced_commits && !self.is_hasty();
        if waits_for_sync || self.requests.is_empty() || !random.happens(rates.commit) {
            return;
        }
        let count = 1 + random.below(self.requests.len());
        let gathered: Vec<_> = self.requests.drain(..count).collect();
        if random.happens(rates.write_failure) {
            self.fail(shards);
        }
        self.serve(gathered, rates, now_ms, random, judge);
        if self.has_failed {
            self.unsynced.clear();
        } else if self.durability != Durability::Always || self.is_hasty() {
            self.answer();
        }
    }

    /// The process ends, and the store is opened again by the next one. Without a `machine` crash everything that
    /// was written is there.
    pub fn crash(&mut self, is_machine: bool, random: &mut Random) {
        let commits = self.store.unsynced_commits();
        let kept = if is_machine {
            random.up_to(commits)
        } else {
            commits
        };
        self.store.crash(kept);
        self.forget();
        self.check_notices();
    }

    /// A planned end.
    pub fn close(&mut self) {
        self.store.sync().expect("a store in memory does not fail");
        self.forget();
        self.check_notices();
    }

    fn check_notices(&self) {
        self.correspondent
            .check(&self.store, |document| self.fate(document));
    }

    /// What the store has of a document.
    pub fn fate(&self, document: &str) -> Fate {
        let loaded = match self.store.load(document).expect("memory can be read") {
            Loaded::Live(loaded) => loaded,
            Loaded::Unknown => return Fate::Live { revision: 0 },
            Loaded::Deleted { .. } => return Fate::Deleted,
            Loaded::Gone { revision } => return Fate::Gone { revision },
        };
        let snapshot = loaded.snapshot.map_or(0, |(revision, _)| revision);
        let revision = loaded.records.last().map_or(snapshot, |record| {
            let (first, count) =
                corelay::codec::record::operations_range(record).expect("it was written whole");
            first + u64::from(count) - 1
        });
        Fate::Live { revision }
    }

    /// The versions of a document, if it is live.
    pub fn versions(&self, document: &str) -> Option<Vec<StoredVersion>> {
        self.store.versions(document).ok()
    }

    /// What each tenant has.
    pub fn usage(&self, tenants: &[Tenant]) -> Vec<TenantUsage> {
        let usage = tenants.iter().map(|tenant| {
            let documents = tenant.documents.iter();
            let live = documents.filter_map(|document| self.loaded(&document.name));
            let bytes: Vec<u64> = live.map(|loaded| loaded.stored_bytes).collect();
            TenantUsage {
                tenant: tenant.name.into(),
                documents: bytes.len() as u64,
                bytes: bytes.iter().sum(),
            }
        });
        usage.collect()
    }

    /// What the operations of a document take.
    fn record_bytes(&self, document: &str) -> u64 {
        let loaded = self.loaded(document);
        loaded.map_or(0, |loaded| {
            let snapshot_bytes = loaded.snapshot.map_or(0, |(_, bytes)| bytes.len());
            loaded.stored_bytes - snapshot_bytes as u64
        })
    }

    fn loaded(&self, document: &str) -> Option<LoadedDocument> {
        match self.store.load(document).expect("memory can be read") {
            Loaded::Live(loaded) => Some(loaded),
            Loaded::Unknown | Loaded::Deleted { .. } | Loaded::Gone { .. } => None,
        }
    }

    fn serve(
        &mut self,
        gathered: Vec<(usize, StoreRequest)>,
        rates: &StorageRates,
        now_ms: u64,
        random: &mut Random,
        judge: &mut Judge,
    ) {
        let mut appended: BTreeMap<(usize, u64), u64> = BTreeMap::new();
        let mut snapshots = Vec::new();
        for (shard, request) in gathered {
            match request {
                StoreRequest::Load { document } => {
                    let result = self.read(rates, random, |store| store.load(&document.name));
                    let token = document.token;
                    self.reply(shard, StoreReply::Loaded { token, result });
                }
                StoreRequest::Read {
                    document,
                    ticket,
                    from_revision,
                    to_revision,
                    bytes_max,
                } => {
                    let result = self.read(rates, random, |store| {
                        store.read(&document.name, from_revision, to_revision, bytes_max)
                    });
                    let token = document.token;
                    self.reply(
                        shard,
                        StoreReply::Page {
                            token,
                            ticket,
                            result,
                        },
                    );
                }
                StoreRequest::Append {
                    document,
                    kind,
                    first_revision,
                    count,
                    record,
                } => {
                    judge.may_grow(&document.name, record.len(), |name| self.record_bytes(name));
                    judge.appended(&document.name, &kind, &record);
                    let documents = &mut self.correspondent.documents;
                    documents.insert(Arc::clone(&document.name));
                    self.write(Write::Append {
                        document: document.name,
                        kind,
                        first_revision,
                        count,
                        record,
                    });
                    let last_revision = first_revision + u64::from(count) - 1;
                    appended.insert((shard, document.token), last_revision);
                }
                StoreRequest::PutSnapshot {
                    document,
                    revision,
                    snapshot,
                    compact_to_revision,
                } => {
                    let token = document.token;
                    let name = document.name.clone();
                    self.write(Write::Snapshot {
                        document: document.name,
                        revision,
                        snapshot,
                        compact_to_revision,
                    });
                    snapshots.push((shard, token, name, revision));
                }
                StoreRequest::Delete { document, at_ms } => {
                    judge.deleted(&document.name);
                    let committed = self.write(Write::Delete {
                        document: document.name,
                        at_ms,
                    });
                    let reply = StoreReply::Deleted {
                        token: document.token,
                        stored_bytes: committed.changed[0],
                    };
                    self.unsynced.push((shard, reply));
                }
                StoreRequest::Restore { document, at_ms } => {
                    let name = document.name.clone();
                    let committed = self.write(Write::Restore {
                        document: document.name,
                        at_ms,
                    });
                    judge.changed(&name, self.fate(&name));
                    let reply = StoreReply::Restored {
                        token: document.token,
                        stored_bytes: committed.changed[0],
                    };
                    self.unsynced.push((shard, reply));
                }
                StoreRequest::Sweep {
                    ticket,
                    deleted_before_ms,
                } => {
                    let committed = self.write(Write::Sweep { deleted_before_ms });
                    let swept = committed.sweeps[0];
                    for document in judge.current().cloned().collect::<Vec<_>>() {
                        judge.changed(&document, self.fate(&document));
                    }
                    self.unsynced
                        .push((shard, StoreReply::Swept { ticket, swept }));
                }
                StoreRequest::History {
                    document,
                    ticket,
                    range,
                } => {
                    let result = self.read(rates, random, |store| store.history(&document, &range));
                    self.reply(shard, StoreReply::History { ticket, result });
                }
                StoreRequest::ListVersions { document, ticket } => {
                    let result = self.read(rates, random, |store| store.versions(&document));
                    self.reply(shard, StoreReply::Versions { ticket, result });
                }
                StoreRequest::SaveVersion {
                    document,
                    ticket,
                    version,
                    versions_max,
                } => {
                    let committed = self.write(Write::SaveVersion {
                        document: document.clone(),
                        version: version.clone(),
                        versions_max,
                    });
                    let result = committed.versions[0];
                    if let Ok(revision) = result {
                        judge.version_saved(
                            &document,
                            &StoredVersion {
                                revision,
                                ..version
                            },
                        );
                    }
                    (self.unsynced).push((shard, StoreReply::VersionChanged { ticket, result }));
                }
                StoreRequest::DeleteVersion {
                    document,
                    ticket,
                    name,
                } => {
                    let committed = self.write(Write::DeleteVersion {
                        document: document.clone(),
                        name: name.clone(),
                    });
                    let result = committed.versions[0];
                    if result.is_ok() {
                        judge.version_deleted(&document, &name);
                    }
                    (self.unsynced).push((shard, StoreReply::VersionChanged { ticket, result }));
                }
                StoreRequest::List {
                    ticket,
                    tenant,
                    prefix,
                    after,
                    documents_max,
                    bytes_max,
                } => {
                    let result = self.read(rates, random, |store| {
                        store.list(&tenant, &prefix, after.as_deref(), documents_max, bytes_max)
                    });
                    self.reply(shard, StoreReply::Listed { ticket, result });
                }
            }
        }
        for ((shard, token), revision) in appended {
            let reply = StoreReply::Appended {
                token,
                revision,
                persisted_at_ms: now_ms,
            };
            self.unsynced.push((shard, reply));
        }
        // They count what the whole commit has written.
        for (shard, token, name, revision) in snapshots {
            let stored_bytes = self.loaded(&name).map_or(0, |loaded| loaded.stored_bytes);
            let reply = StoreReply::SnapshotStored {
                token,
                revision,
                stored_bytes,
            };
            self.unsynced.push((shard, reply));
        }
    }

    fn write(&mut self, write: Write) -> Committed {
        self.has_unsynced_commits = true;
        let committed = self.store.commit(&[write]);
        let committed = committed.expect("the engine writes in order");
        if self.flaw == Some(Flaw::LostNotice)
            && let Some(NoticeChange::Added(notice)) = committed.notices.first()
        {
            self.flaw = None;
            let sequence = notice.sequence;
            let lost = Write::Notice(NoticeWrite::Remove { sequence });
            self.store.commit(&[lost]).expect("there is such a notice");
        }
        committed
    }

    fn read<T, E: From<ReadError>>(
        &self,
        rates: &StorageRates,
        random: &mut Random,
        read: impl FnOnce(&MemoryStore) -> Result<T, E>,
    ) -> Result<T, E> {
        if random.happens(rates.read_failure) {
            return Err(ReadError::passing("a simulated fault").into());
        }
        read(&self.store)
    }

    fn sync(&mut self) {
        self.store.sync().expect("a store in memory does not fail");
        self.has_unsynced_commits = false;
        self.answer();
    }

    fn answer(&mut self) {
        for (shard, reply) in std::mem::take(&mut self.unsynced) {
            self.reply(shard, reply);
        }
    }

    fn reply(&mut self, shard: usize, reply: StoreReply) {
        self.replies.entry(shard).or_default().push_back(reply);
    }

    fn fail(&mut self, shards: usize) {
        self.has_failed = true;
        for shard in 0..shards {
            let reason = "a simulated fault".to_owned();
            self.reply(shard, StoreReply::Failed { reason });
        }
    }

    fn forget(&mut self) {
        self.requests.clear();
        self.unsynced.clear();
        self.replies.clear();
        self.has_unsynced_commits = false;
        self.has_failed = false;
    }

    fn is_hasty(&self) -> bool {
        self.flaw == Some(Flaw::EarlyConfirmation)
    }
}

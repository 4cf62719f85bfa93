//! What one commit carries, and who gets which reply for it.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustc_hash::{FxHashMap, FxHashSet};

use super::read::Sinks;
use crate::store::backend::{Committed, Write};
use crate::store::counters::Counters;
use crate::store::{DocumentRef, NoticeWrite, StoreReply, StoreRequest};

/// For so many writes a batch keeps its memory from one commit to the next.
const WRITES_KEPT_MAX: usize = 8192;

/// What is asked for of a notice counts so much among the bytes of a batch, about as much as its row takes.
const NOTICE_BYTES: usize = 256;

#[derive(Default)]
pub struct Batch {
    writes: Vec<Write>,
    /// Of operations and notices.
    bytes: usize,
    /// How many appends have been taken, and when: those of one shard's message together.
    arrivals: Vec<(Instant, u64)>,
    /// Appends that are in no arrival yet.
    arriving: u64,
    operations: u64,
    operation_bytes: u64,
    snapshot_bytes: u64,
    /// Whose appends these are, in the order in which they came first.
    appends: Vec<AppendTicket>,
    /// (shard, token) to its place in `appends`.
    append_places: FxHashMap<(usize, u64), usize>,
    documents: FxHashSet<Arc<str>>,
    changes: Vec<ChangeTicket>,
    pub snapshots: Vec<SnapshotTicket>,
    sweeps: Vec<Ticket>,
    /// Versions that are saved or deleted.
    versions: Vec<Ticket>,
    /// Reads of what this batch writes.
    reads: Vec<(usize, StoreRequest)>,
}

struct AppendTicket {
    shard: usize,
    token: u64,
    revision: u64,
}

/// A deletion or a restoration.
struct ChangeTicket {
    shard: usize,
    token: u64,
    is_deletion: bool,
}

/// What the asker has chosen.
struct Ticket {
    shard: usize,
    ticket: u64,
}

/// A snapshot whose reply is owed.
pub struct SnapshotTicket {
    shard: usize,
    token: u64,
    revision: u64,
}

impl Batch {
    /// Adds a request. Gives a read back that need not wait for this batch.
    pub fn push(&mut self, shard: usize, request: StoreRequest) -> Option<StoreRequest> {
        match request {
            StoreRequest::Append {
                document,
                kind,
                first_revision,
                count,
                record,
            } => {
                let revision = first_revision + u64::from(count) - 1;
                let (appends, documents) = (&mut self.appends, &mut self.documents);
                let place = *self
                    .append_places
                    .entry((shard, document.token))
                    .or_insert_with(|| {
                        documents.insert(Arc::clone(&document.name));
                        appends.push(AppendTicket {
                            shard,
                            token: document.token,
                            revision,
                        });
                        appends.len() - 1
                    });
                appends[place].revision = revision;
                self.bytes += record.len();
                self.arriving += 1;
                self.operations += u64::from(count);
                self.operation_bytes += record.len() as u64;
                self.writes.push(Write::Append {
                    document: document.name,
                    kind,
                    first_revision,
                    count,
                    record,
                });
                None
            }
            StoreRequest::PutSnapshot {
                document,
                revision,
                snapshot,
                compact_to_revision,
            } => {
                self.snapshots.push(SnapshotTicket {
                    shard,
                    token: document.token,
                    revision,
                });
                self.snapshot_bytes += snapshot.len() as u64;
                self.writes.push(Write::Snapshot {
                    document: document.name,
                    revision,
                    snapshot,
                    compact_to_revision,
                });
                None
            }
            StoreRequest::Delete { document, at_ms } => {
                self.change(shard, &document, true);
                self.writes.push(Write::Delete {
                    document: document.name,
                    at_ms,
                });
                None
            }
            StoreRequest::Restore { document, at_ms } => {
                self.change(shard, &document, false);
                self.writes.push(Write::Restore {
                    document: document.name,
                    at_ms,
                });
                None
            }
            StoreRequest::Sweep {
                ticket,
                deleted_before_ms,
            } => {
                self.sweeps.push(Ticket { shard, ticket });
                self.writes.push(Write::Sweep { deleted_before_ms });
                None
            }
            StoreRequest::Load { ref document } | StoreRequest::Read { ref document, .. } => {
                let waits = self.documents.contains(&document.name);
                self.read(shard, request, waits)
            }
            StoreRequest::History { ref document, .. }
            | StoreRequest::ListVersions { ref document, .. } => {
                let waits = self.documents.contains(document);
                self.read(shard, request, waits)
            }
            StoreRequest::SaveVersion {
                document,
                ticket,
                version,
                versions_max,
            } => {
                self.documents.insert(Arc::clone(&document));
                self.versions.push(Ticket { shard, ticket });
                self.writes.push(Write::SaveVersion {
                    document,
                    version,
                    versions_max,
                });
                None
            }
            StoreRequest::DeleteVersion {
                document,
                ticket,
                name,
            } => {
                self.documents.insert(Arc::clone(&document));
                self.versions.push(Ticket { shard, ticket });
                self.writes.push(Write::DeleteVersion { document, name });
                None
            }
            StoreRequest::List { .. } => {
                let waits = self.has_writes();
                self.read(shard, request, waits)
            }
        }
    }

    /// Adds what is asked for by whoever sends notices.
    pub fn push_notices(&mut self, writes: Vec<NoticeWrite>) {
        self.bytes += writes.len() * NOTICE_BYTES;
        self.writes.extend(writes.into_iter().map(Write::Notice));
    }

    /// The appends since the last call have been taken from a shard, where they had arrived at `since`.
    pub fn appends_taken(&mut self, since: Instant, counters: &Counters) {
        let appends = std::mem::take(&mut self.arriving);
        if appends > 0 {
            let now = Instant::now();
            counters.count_taken(appends, now - since);
            self.arrivals.push((now, appends));
        }
    }

    /// Its commit begins.
    pub fn begin(&self, now: Instant, counters: &Counters) {
        for (taken_at, appends) in &self.arrivals {
            counters.count_begun(*appends, now - *taken_at);
        }
    }

    fn change(&mut self, shard: usize, document: &DocumentRef, is_deletion: bool) {
        self.documents.insert(Arc::clone(&document.name));
        self.changes.push(ChangeTicket {
            shard,
            token: document.token,
            is_deletion,
        });
    }

    fn read(&mut self, shard: usize, read: StoreRequest, waits: bool) -> Option<StoreRequest> {
        if waits {
            self.reads.push((shard, read));
            None
        } else {
            Some(read)
        }
    }

    /// The bytes of operations and notices.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn operations(&self) -> u64 {
        self.operations
    }

    pub fn has_writes(&self) -> bool {
        !self.writes.is_empty()
    }

    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    pub fn take_reads(&mut self) -> Vec<(usize, StoreRequest)> {
        std::mem::take(&mut self.reads)
    }

    /// Empties it for the next commit. What it has grown to it keeps: to grow anew with every commit is expensive.
    pub fn clear(&mut self) {
        let Self {
            writes,
            bytes,
            arrivals,
            arriving,
            operations,
            operation_bytes,
            snapshot_bytes,
            appends,
            append_places,
            documents,
            changes,
            snapshots,
            sweeps,
            versions,
            reads,
        } = self;
        (*bytes, *arriving) = (0, 0);
        (*operations, *operation_bytes, *snapshot_bytes) = (0, 0, 0);
        arrivals.clear();
        writes.clear();
        writes.shrink_to(WRITES_KEPT_MAX);
        appends.clear();
        appends.shrink_to(WRITES_KEPT_MAX);
        append_places.clear();
        append_places.shrink_to(WRITES_KEPT_MAX);
        documents.clear();
        documents.shrink_to(WRITES_KEPT_MAX);
        changes.clear();
        snapshots.clear();
        sweeps.clear();
        versions.clear();
        reads.clear();
    }

    pub fn count(&self, counters: &Counters) {
        counters.count_operations(self.operations, self.operation_bytes);
        counters.count_snapshot_bytes(self.snapshot_bytes);
    }

    /// Answers every shard once: its appends and what else is its own of what was `committed`. `snapshots` are those
    /// that are in place.
    pub fn reply(
        &mut self,
        committed: &Committed,
        snapshots: impl Iterator<Item = SnapshotTicket>,
        sinks: &Sinks,
    ) {
        let mut replies: Vec<Vec<StoreReply>> = Vec::new();
        replies.resize_with(sinks.len(), Vec::new);
        let persisted_at_ms = unix_time_ms();
        let appends = self.appends.len();
        for append in self.appends.drain(..) {
            let replies = &mut replies[append.shard];
            if replies.capacity() == 0 {
                replies.reserve(appends);
            }
            replies.push(StoreReply::Appended {
                token: append.token,
                revision: append.revision,
                persisted_at_ms,
            });
        }
        for (change, &stored_bytes) in self.changes.drain(..).zip(&committed.changed) {
            let token = change.token;
            replies[change.shard].push(if change.is_deletion {
                StoreReply::Deleted {
                    token,
                    stored_bytes,
                }
            } else {
                StoreReply::Restored {
                    token,
                    stored_bytes,
                }
            });
        }
        for (snapshot, &stored_bytes) in snapshots.zip(&committed.snapshots) {
            replies[snapshot.shard].push(StoreReply::SnapshotStored {
                token: snapshot.token,
                revision: snapshot.revision,
                stored_bytes,
            });
        }
        for (sweep, &swept) in self.sweeps.drain(..).zip(&committed.sweeps) {
            let ticket = sweep.ticket;
            replies[sweep.shard].push(StoreReply::Swept { ticket, swept });
        }
        for (version, &result) in self.versions.drain(..).zip(&committed.versions) {
            let ticket = version.ticket;
            replies[version.shard].push(StoreReply::VersionChanged { ticket, result });
        }
        for (shard, replies) in replies.into_iter().enumerate() {
            if !replies.is_empty() {
                sinks.send(shard, replies);
            }
        }
    }
}

fn unix_time_ms() -> u64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

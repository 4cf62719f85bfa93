//! What one commit carries, and who gets which reply for it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustc_hash::{FxHashMap, FxHashSet};

use super::read::{ReadRequest, Sinks};
use crate::store::backend::Write;
use crate::store::counters::Counters;
use crate::store::{StoreReply, StoreRequest};

#[derive(Default)]
pub struct Batch {
    writes: Vec<Write>,
    bytes: usize,
    operations: u64,
    operation_bytes: u64,
    snapshot_bytes: u64,
    /// Whose appends these are, in the order in which they came first.
    appends: Vec<AppendTicket>,
    /// (shard, token) to its place in `appends`.
    append_places: FxHashMap<(usize, u64), usize>,
    documents: FxHashSet<Arc<str>>,
    pub snapshots: Vec<SnapshotTicket>,
    /// Reads of documents that this batch writes.
    reads: Vec<(usize, ReadRequest)>,
}

struct AppendTicket {
    shard: usize,
    token: u64,
    revision: u64,
}

/// A snapshot whose reply is owed.
pub struct SnapshotTicket {
    shard: usize,
    token: u64,
    revision: u64,
}

impl Batch {
    /// Adds a request. Gives a read back that need not wait for this batch.
    pub fn push(&mut self, shard: usize, request: StoreRequest) -> Option<ReadRequest> {
        match request {
            StoreRequest::Append {
                document,
                kind,
                first_revision,
                count,
                record,
            } => {
                let revision = first_revision + u64::from(count) - 1;
                let appends = &mut self.appends;
                let place = *self
                    .append_places
                    .entry((shard, document.token))
                    .or_insert_with(|| {
                        appends.push(AppendTicket {
                            shard,
                            token: document.token,
                            revision,
                        });
                        appends.len() - 1
                    });
                appends[place].revision = revision;
                self.bytes += record.len();
                self.operations += u64::from(count);
                self.operation_bytes += record.len() as u64;
                self.documents.insert(Arc::clone(&document.name));
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
                });
                None
            }
            StoreRequest::Load { document } => self.read(shard, ReadRequest::Load { document }),
            StoreRequest::Read {
                document,
                ticket,
                from_revision,
                to_revision,
                bytes_max,
            } => self.read(
                shard,
                ReadRequest::Read {
                    document,
                    ticket,
                    from_revision,
                    to_revision,
                    bytes_max,
                },
            ),
        }
    }

    fn read(&mut self, shard: usize, read: ReadRequest) -> Option<ReadRequest> {
        if self.documents.contains(&read.document().name) {
            self.reads.push((shard, read));
            None
        } else {
            Some(read)
        }
    }

    /// The bytes of operations.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn has_writes(&self) -> bool {
        !self.writes.is_empty()
    }

    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    pub fn take_reads(&mut self) -> Vec<(usize, ReadRequest)> {
        std::mem::take(&mut self.reads)
    }

    pub fn count(&self, counters: &Counters) {
        counters.count_operations(self.operations, self.operation_bytes);
        counters.count_snapshot_bytes(self.snapshot_bytes);
    }

    /// Answers every shard once: its appends, and those of `snapshots` that are its own.
    pub fn reply(&mut self, snapshots: Vec<SnapshotTicket>, sinks: &Sinks) {
        let mut replies: Vec<Vec<StoreReply>> = Vec::new();
        replies.resize_with(sinks.len(), Vec::new);
        let persisted_at_ms = unix_time_ms();
        for append in self.appends.drain(..) {
            replies[append.shard].push(StoreReply::Appended {
                token: append.token,
                revision: append.revision,
                persisted_at_ms,
            });
        }
        for snapshot in snapshots {
            replies[snapshot.shard].push(StoreReply::SnapshotStored {
                token: snapshot.token,
                revision: snapshot.revision,
            });
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

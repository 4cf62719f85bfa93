//! What the tests of the store share.

pub mod gated;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use corelay::config;
use corelay::config::Durability;
use corelay::store::{
    Backend, Committed, CommitterHandle, FjallStore, Loaded, LoadedDocument, MemoryStore,
    OpenStore, Page, Reader, ReplySink, StoreReply, Write, committer,
};
use crossbeam_channel::{Receiver, unbounded};

/// A small generator (splitmix64), so that every test is the same each time.
pub struct Seed(pub u64);

impl Seed {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// How many rounds a test goes: `usual`, or what CORELAY_TEST_ROUNDS says.
pub fn rounds(usual: u64) -> u64 {
    match std::env::var("CORELAY_TEST_ROUNDS") {
        Ok(text) => text.parse().expect("CORELAY_TEST_ROUNDS is a number"),
        Err(_) => usual,
    }
}

/// Bytes that do not compress and that nobody else has.
pub fn record(document: u64, revision: u64, length: usize) -> Bytes {
    let mut seed = Seed(document.wrapping_mul(0x1_0000_0001) ^ revision.rotate_left(32));
    let words = (0..length.div_ceil(8)).flat_map(|_| seed.next().to_le_bytes());
    words.take(length).collect()
}

pub fn append(document: &str, first_revision: u64, count: u32, record: impl Into<Bytes>) -> Write {
    Write::Append {
        document: document.into(),
        kind: "log".into(),
        first_revision,
        count,
        record: record.into(),
    }
}

pub fn snapshot(document: &str, revision: u64, snapshot: impl Into<Bytes>) -> Write {
    Write::Snapshot {
        document: document.into(),
        revision,
        snapshot: snapshot.into(),
        compact_to_revision: None,
    }
}

/// A snapshot that takes the place of everything up to `compact_to_revision`.
pub fn compacting_snapshot(
    document: &str,
    revision: u64,
    snapshot: impl Into<Bytes>,
    compact_to_revision: u64,
) -> Write {
    Write::Snapshot {
        document: document.into(),
        revision,
        snapshot: snapshot.into(),
        compact_to_revision: Some(compact_to_revision),
    }
}

pub fn delete(document: &str, at_ms: u64) -> Write {
    Write::Delete {
        document: document.into(),
        at_ms,
    }
}

pub fn restore(document: &str) -> Write {
    Write::Restore {
        document: document.into(),
        at_ms: 0,
    }
}

pub fn sweep(deleted_before_ms: u64) -> Write {
    Write::Sweep { deleted_before_ms }
}

pub fn config(path: &Path, durability: Durability) -> config::Store {
    config::Store {
        path: path.to_owned(),
        durability,
        cache_bytes: 1 << 20,
        ..config::Store::default()
    }
}

pub fn open(path: &Path) -> FjallStore {
    open_as(path, Durability::Always).store
}

pub fn open_as(path: &Path, durability: Durability) -> OpenStore {
    match corelay::store::open(&config(path, durability)) {
        Ok(open) => open,
        Err(error) => panic!("{error}"),
    }
}

/// Runs a test against every store.
pub fn on_each(test: impl Fn(&mut dyn Backend)) {
    let directory = tempfile::tempdir().unwrap();
    test(&mut open(directory.path()));
    test(&mut MemoryStore::new(Durability::Always));
}

/// Commits until nothing is unfinished. Returns what all of it together did.
pub fn commit_all(store: &mut (impl Backend + ?Sized), writes: &[Write]) -> Committed {
    let mut all = store.commit(writes).unwrap();
    while store.is_unfinished() {
        let further = store.commit(&[]).unwrap();
        all.snapshots.extend(further.snapshots);
    }
    all
}

pub fn load(store: &(impl Reader + ?Sized), document: &str) -> LoadedDocument {
    match store.load(document).unwrap() {
        Loaded::Live(loaded) => loaded,
        other => panic!("{document:?} is {other:?}"),
    }
}

/// The records in a range that is wholly kept.
pub fn read(store: &(impl Reader + ?Sized), document: &str, from: u64, to: u64) -> Vec<Bytes> {
    match store.read(document, from, to, usize::MAX).unwrap() {
        Page::Records(records) => records,
        Page::Compacted { .. } => panic!("{document:?} is not kept from {from}"),
    }
}

/// Sinks for so many shards, and where their replies come out.
pub fn sinks(shards: usize) -> (Vec<ReplySink>, Vec<Receiver<Vec<StoreReply>>>) {
    let channel = |_| {
        let (sender, receiver) = unbounded();
        let sink: ReplySink = Box::new(move |replies| {
            let _ = sender.send(replies);
        });
        (sink, receiver)
    };
    (0..shards).map(channel).unzip()
}

pub fn start(
    store: FjallStore,
    config: &config::Store,
    shards: usize,
) -> (CommitterHandle, Vec<Receiver<Vec<StoreReply>>>) {
    let (sinks, replies) = sinks(shards);
    let readers = vec![Box::new(store.reader()) as Box<dyn Reader>];
    let handle = committer::start(store, readers, config, sinks).expect("threads can be started");
    (handle, replies)
}

pub fn name(document: u64) -> Arc<str> {
    format!("document-{document}").into()
}

/// A whole copy of a directory.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

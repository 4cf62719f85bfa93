//! A committer whose store waits for a word before it writes and before it syncs, and fails when told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use corelay::store::{
    Backend, Committed, CommitterHandle, DocumentList, FjallStore, History, HistoryError,
    HistoryRange, Loaded, Page, ReadError, Reader, StoreError, StoreReply, StoredVersion, Write,
    committer,
};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::sinks;

/// A store whose commits wait for a word, and fail when told to.
struct Gated {
    inner: FjallStore,
    /// Before a commit is written, and before it is synced.
    gate: Receiver<Result<(), String>>,
    at_gate: Sender<&'static str>,
    largest_commit: Arc<AtomicUsize>,
}

impl Gated {
    fn pass(&self, at: &'static str) -> Result<(), StoreError> {
        self.at_gate.send(at).unwrap();
        let word = self.gate.recv().unwrap();
        word.map_err(|reason| StoreError::Failed { reason })
    }
}

impl Reader for Gated {
    fn load(&self, document: &str) -> Result<Loaded, ReadError> {
        self.inner.load(document)
    }

    fn read(&self, d: &str, from: u64, to: u64, bytes: usize) -> Result<Page, ReadError> {
        self.inner.read(d, from, to, bytes)
    }

    fn history(&self, document: &str, range: &HistoryRange) -> Result<History, HistoryError> {
        self.inner.history(document, range)
    }

    fn versions(&self, document: &str) -> Result<Vec<StoredVersion>, HistoryError> {
        self.inner.versions(document)
    }

    fn list(
        &self,
        tenant: &str,
        prefix: &str,
        after: Option<&str>,
        documents: usize,
        bytes: usize,
    ) -> Result<DocumentList, ReadError> {
        self.inner.list(tenant, prefix, after, documents, bytes)
    }
}

impl Backend for Gated {
    fn commit(&mut self, writes: &[Write]) -> Result<Committed, StoreError> {
        self.largest_commit
            .fetch_max(writes.len(), Ordering::Relaxed);
        self.pass("write")?;
        self.inner.commit(writes)
    }

    fn is_unfinished(&self) -> bool {
        self.inner.is_unfinished()
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.pass("sync")?;
        self.inner.sync()
    }

    fn close(self) -> Result<(), StoreError> {
        self.inner.close()
    }
}

pub struct GatedCommitter {
    pub handle: CommitterHandle,
    pub replies: Vec<Receiver<Vec<StoreReply>>>,
    pub word: Sender<Result<(), String>>,
    pub at_gate: Receiver<&'static str>,
    pub largest_commit: Arc<AtomicUsize>,
}

impl GatedCommitter {
    pub fn start(store: FjallStore, config: &corelay::config::Store) -> Self {
        let (word, gate) = bounded(0);
        let (gate_sender, at_gate) = unbounded();
        let largest_commit = Arc::new(AtomicUsize::new(0));
        let readers = vec![Box::new(store.reader()) as Box<dyn Reader>];
        let backend = Gated {
            inner: store,
            gate,
            at_gate: gate_sender,
            largest_commit: Arc::clone(&largest_commit),
        };
        let (sinks, replies) = sinks(2);
        Self {
            handle: committer::start(backend, readers, config, sinks).unwrap(),
            replies,
            word,
            at_gate,
            largest_commit,
        }
    }

    pub fn pass(&self, at: &str) {
        assert_eq!(self.at_gate.recv(), Ok(at));
        self.word.send(Ok(())).unwrap();
    }

    pub fn fail(&self, at: &str) {
        assert_eq!(self.at_gate.recv(), Ok(at));
        self.word.send(Err("the disk is gone".to_owned())).unwrap();
    }
}

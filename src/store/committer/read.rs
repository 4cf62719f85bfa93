//! Threads that read, and the way back to the shards.
//!
//! A document's reads always go to the same thread, so that they are answered in the order in which they were
//! made.

use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, unbounded};
use rustc_hash::FxBuildHasher;

use super::ReplySink;
use crate::store::backend::Reader;
use crate::store::counters::Counters;
use crate::store::serve::serve_read;
use crate::store::{StoreError, StoreReply, StoreRequest};

pub struct ReaderThreads {
    threads: Vec<ReaderThread>,
}

struct ReaderThread {
    sender: Sender<(usize, StoreRequest)>,
    handle: JoinHandle<()>,
}

impl ReaderThreads {
    /// # Panics
    ///
    /// If there is no reader.
    pub fn start(
        readers: Vec<Box<dyn Reader>>,
        sinks: &Sinks,
        counters: &Arc<Counters>,
    ) -> Result<Self, StoreError> {
        assert!(!readers.is_empty(), "somebody must read");
        let start = |(index, reader): (usize, Box<dyn Reader>)| {
            let (sender, receiver) = unbounded();
            let (sinks, counters) = (sinks.clone(), Arc::clone(counters));
            let handle = std::thread::Builder::new()
                .name(format!("corelay-read-{index}"))
                .spawn(move || run(&receiver, &*reader, &sinks, &counters))
                .map_err(StoreError::failed)?;
            Ok(ReaderThread { sender, handle })
        };
        let threads: Result<_, StoreError> = readers.into_iter().enumerate().map(start).collect();
        Ok(Self { threads: threads? })
    }

    /// # Panics
    ///
    /// If the request is one that changes something.
    pub fn send(&self, shard: usize, read: StoreRequest) {
        let hash = FxBuildHasher.hash_one(about(&read));
        let thread = &self.threads[(hash >> 32) as usize % self.threads.len()];
        thread
            .sender
            .send((shard, read))
            .expect("a reader ends after its sender does");
    }

    /// Serves what is waiting, and joins the threads.
    pub fn stop(self) {
        for thread in self.threads {
            drop(thread.sender);
            if let Err(panic) = thread.handle.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// What goes to the same thread: a document's reads, a tenant's lists.
fn about(read: &StoreRequest) -> &str {
    match read {
        StoreRequest::Load { document } | StoreRequest::Read { document, .. } => &document.name,
        StoreRequest::History { document, .. } | StoreRequest::ListVersions { document, .. } => {
            document
        }
        StoreRequest::List { tenant, .. } => tenant,
        StoreRequest::Append { .. }
        | StoreRequest::PutSnapshot { .. }
        | StoreRequest::Delete { .. }
        | StoreRequest::Restore { .. }
        | StoreRequest::Sweep { .. }
        | StoreRequest::SaveVersion { .. }
        | StoreRequest::DeleteVersion { .. } => unreachable!("a write is no read"),
    }
}

fn run(
    receiver: &Receiver<(usize, StoreRequest)>,
    reader: &dyn Reader,
    sinks: &Sinks,
    counters: &Counters,
) {
    while let Ok((shard, read)) = receiver.recv() {
        let reply = serve_read(reader, read);
        counters.count_read();
        sinks.send(shard, vec![reply]);
    }
}

/// Every shard's sink.
#[derive(Clone)]
pub struct Sinks(Arc<[Mutex<ReplySink>]>);

impl Sinks {
    pub fn new(sinks: Vec<ReplySink>) -> Self {
        Self(sinks.into_iter().map(Mutex::new).collect())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn send(&self, shard: usize, replies: Vec<StoreReply>) {
        self.sink(shard)(replies);
    }

    pub fn fail(&self, reason: &str) {
        for shard in 0..self.len() {
            self.send(
                shard,
                vec![StoreReply::Failed {
                    reason: reason.to_owned(),
                }],
            );
        }
    }

    fn sink(&self, shard: usize) -> MutexGuard<'_, ReplySink> {
        // If a sink panicked, the process is ending; the others may still hear why.
        self.0[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

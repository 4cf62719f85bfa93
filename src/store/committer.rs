//! The committer: the one thread that writes.
//!
//! Shards put requests into its queue, all of a turn at once, so that what came together is committed together. It
//! takes all that waits, up to `commit_bytes_max`, makes ONE commit of it, syncs it once if the durability mode says
//! so, and then gives every shard its replies in one go. Reads are passed on to reader threads, so that they never
//! wait for the disk on behalf of others.
//!
//! # Invariants
//!
//! - Nothing is acknowledged before it is as safe as the mode says, and nothing after the first failure: then
//!   every shard gets one `Failed`, and no other reply of the committer.
//! - A read of a document sees every append, deletion and restoration that the same shard asked for before it; with
//!   `always`, it sees none of an earlier batch, or of its own, before that is durable. A list sees those of all
//!   documents before it, and maybe some that are not durable yet.
//! - Every request that was taken from the queue is answered, unless the store has failed. So a shard whose queue
//!   is full has a wake-up coming.
//!
//! While the backend has something unfinished (a large snapshot, rows to be removed), commit follows commit, each with
//! what waits by then. A stop finishes snapshots only.
//!
//! What waits for the readers is bounded by the shards, which limit how many reads they have in flight.

mod batch;
mod inbox;
mod pace;
mod read;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};

use crate::config;
use crate::config::Durability;

use super::backend::{Backend, Committed, Reader};
use super::counters::Counters;
use super::{NoticeChange, NoticeWrite, StoreError, StoreReply, StoreRequest};
use batch::{Batch, SnapshotTicket};
use inbox::{Inbox, InboxSender};
use pace::Pace;
use read::{ReaderThreads, Sinks};

/// Takes the replies of one shard. Called from several threads, one at a time; must not wait.
pub type ReplySink = Box<dyn FnMut(Vec<StoreReply>) + Send>;

/// Takes what whoever sends notices is to know, after it is as safe as the durability mode says; must not wait.
pub type NoticeSink = Box<dyn FnMut(Vec<NoticeChange>) + Send>;

enum Message {
    Requests(Requests),
    Notices(Vec<NoticeWrite>),
    Tell(NoticeSink),
    Stop,
}

/// What a shard has asked for at once.
struct Requests {
    shard: usize,
    requests: VecDeque<StoreRequest>,
    /// When the first of them arrived at the shard.
    since: Instant,
}

/// One shard's way to the committer.
pub struct StoreQueue {
    shard: usize,
    sender: InboxSender<Message>,
    waiting: Arc<AtomicUsize>,
    requests_max: usize,
    spares: Receiver<VecDeque<StoreRequest>>,
}

/// So many emptied queues go back to each shard, which fills them again: to grow a new one every time is expensive.
const SPARES_MAX: usize = 2;

impl StoreQueue {
    /// Sends what `next` gives until it gives no more, or `queue_requests_max` of this shard wait: then some reply of
    /// theirs is still to come. `since`: when the first of them arrived at the shard. Returns how many were sent: none
    /// after the committer's end, whatever was given.
    pub fn send(&self, since: Instant, next: impl FnMut() -> Option<StoreRequest>) -> usize {
        let waiting = self.waiting.load(Ordering::Relaxed);
        let room = self.requests_max.saturating_sub(waiting);
        let mut next = std::iter::from_fn(next).take(room);
        let Some(first) = next.next() else {
            return 0;
        };
        let mut requests = self.spares.try_recv().unwrap_or_default();
        requests.push_back(first);
        requests.extend(next);
        let count = requests.len();
        self.waiting.fetch_add(count, Ordering::Relaxed);
        let sent = self.sender.send(Message::Requests(Requests {
            shard: self.shard,
            requests,
            since,
        }));
        sent.map_or(0, |()| count)
    }
}

/// The way to the committer of whoever sends notices.
pub struct NoticeQueue {
    sender: InboxSender<Message>,
}

impl NoticeQueue {
    /// The answers are among what the sink is told. Nobody answers after the committer's end.
    pub fn send(&self, writes: Vec<NoticeWrite>) {
        let _ = self.sender.send(Message::Notices(writes));
    }
}

/// The running committer.
pub struct CommitterHandle {
    sender: InboxSender<Message>,
    waiting: Vec<Arc<AtomicUsize>>,
    requests_max: usize,
    spares: Vec<Receiver<VecDeque<StoreRequest>>>,
    counters: Arc<Counters>,
    thread: JoinHandle<Result<(), StoreError>>,
}

/// Starts the committer of `backend`, with a thread for each of `readers`, and a sink for each shard.
pub fn start<B: Backend + 'static>(
    backend: B,
    readers: Vec<Box<dyn Reader>>,
    config: &config::Store,
    sinks: Vec<ReplySink>,
) -> Result<CommitterHandle, StoreError> {
    let (sender, inbox) = inbox::inbox();
    let waiting: Vec<Arc<AtomicUsize>> = sinks.iter().map(|_| Arc::default()).collect();
    let (spares_out, spares) = sinks.iter().map(|_| bounded(SPARES_MAX)).unzip();
    let counters = Arc::new(Counters::default());
    let sinks = Sinks::new(sinks);
    let committer = Committer {
        backend,
        readers: ReaderThreads::start(readers, &sinks, &counters)?,
        sinks,
        counters: Arc::clone(&counters),
        inbox,
        waiting: waiting.clone(),
        spares: spares_out,
        taken: None,
        batch: Batch::default(),
        pace: Pace::new(config.gather_us),
        durability: config.durability,
        sync_interval: config.sync_interval,
        commit_bytes_max: config.commit_bytes_max,
        sync_due: None,
        snapshots: Vec::new(),
        notices: None,
    };
    let thread = std::thread::Builder::new()
        .name("corelay-committer".to_owned())
        .spawn(|| committer.run())
        .map_err(StoreError::failed)?;
    Ok(CommitterHandle {
        sender,
        waiting,
        requests_max: config.queue_requests_max,
        spares,
        counters,
        thread,
    })
}

impl CommitterHandle {
    /// The queue of a shard.
    ///
    /// # Panics
    ///
    /// If there is no sink for that shard.
    pub fn queue(&self, shard: usize) -> StoreQueue {
        StoreQueue {
            shard,
            sender: self.sender.clone(),
            waiting: Arc::clone(&self.waiting[shard]),
            requests_max: self.requests_max,
            spares: self.spares[shard].clone(),
        }
    }

    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Of a store that keeps notices: tells `sink` of what is written from here on, before any request of a queue that
    /// is used later.
    pub fn notices(&self, sink: NoticeSink) -> NoticeQueue {
        // It is gone already only if it panicked, which `stop` says.
        let _ = self.sender.send(Message::Tell(sink));
        NoticeQueue {
            sender: self.sender.clone(),
        }
    }

    /// Serves everything that was sent before, syncs it, remembers the clean end, and joins all threads.
    ///
    /// # Errors
    ///
    /// The failure that ended acknowledgements, if there was one.
    pub fn stop(self) -> Result<(), StoreError> {
        // It is gone already only if it panicked, which `join` says.
        let _ = self.sender.send(Message::Stop);
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

struct Committer<B> {
    backend: B,
    readers: ReaderThreads,
    sinks: Sinks,
    counters: Arc<Counters>,
    inbox: Inbox<Message>,
    waiting: Vec<Arc<AtomicUsize>>,
    spares: Vec<Sender<VecDeque<StoreRequest>>>,
    /// What has been received and is not in a batch yet.
    taken: Option<Requests>,
    /// What the next commit carries.
    batch: Batch,
    pace: Pace,
    durability: Durability,
    sync_interval: Duration,
    commit_bytes_max: usize,
    /// With `interval`: when what has been written must be synced.
    sync_due: Option<Instant>,
    /// Snapshots that are not in place yet, in the order in which the backend has them.
    snapshots: Vec<SnapshotTicket>,
    notices: Option<NoticeSink>,
}

impl<B: Backend> Committer<B> {
    fn run(mut self) -> Result<(), StoreError> {
        match self.serve() {
            Ok(()) => {
                self.readers.stop();
                self.backend.close()
            }
            Err(error) => {
                let reason = error.reason();
                self.sinks.fail(&reason);
                // Shards may still ask, and are not to find the queue full.
                if let Some(rest) = self.taken.take() {
                    self.count_taken(rest.shard, rest.requests.len());
                }
                loop {
                    match self.inbox.recv(None, false) {
                        Ok(Message::Requests(requests)) => {
                            self.count_taken(requests.shard, requests.requests.len());
                        }
                        Ok(Message::Notices(_) | Message::Tell(_)) => {}
                        Ok(Message::Stop) | Err(_) => break,
                    }
                }
                self.readers.stop();
                Err(error)
            }
        }
    }

    fn serve(&mut self) -> Result<(), StoreError> {
        let mut is_stopping = false;
        while !is_stopping {
            is_stopping = self.gather();
            self.commit()?;
        }
        while !self.snapshots.is_empty() {
            self.commit()?;
        }
        Ok(())
    }

    /// Puts what waits into the batch, and under load what comes within a moment. Returns whether nothing will come any more.
    fn gather(&mut self) -> bool {
        let mut message = match self.taken.take() {
            Some(rest) => Some(Message::Requests(rest)),
            None => self.wait(),
        };
        let mut until = None;
        while let Some(received) = message {
            match received {
                Message::Requests(requests) => self.take(requests),
                Message::Notices(writes) => self.batch.push_notices(writes),
                Message::Tell(sink) => self.notices = Some(sink),
                Message::Stop => return true,
            }
            if self.batch.bytes() >= self.commit_bytes_max {
                break;
            }
            message = match self.inbox.try_recv() {
                Ok(message) => Some(message),
                Err(TryRecvError::Disconnected) => Some(Message::Stop),
                Err(TryRecvError::Empty) => self.await_more(&mut until),
            };
        }
        false
    }

    /// What comes before the batch has waited long enough for more.
    fn await_more(&self, until: &mut Option<Instant>) -> Option<Message> {
        if self.pace.wait.is_zero() || self.batch.operations() == 0 {
            return None;
        }
        let until = *until.get_or_insert_with(|| Instant::now() + self.pace.wait);
        self.recv(Some(until), true)
    }

    /// The next message, unless there is something else to do first.
    fn wait(&self) -> Option<Message> {
        if self.backend.is_unfinished() {
            return self.inbox.try_recv().ok();
        }
        self.recv(self.sync_due, self.pace.is_busy())
    }

    /// What comes until then; [`Inbox::recv`] has more.
    fn recv(&self, deadline: Option<Instant>, is_expected: bool) -> Option<Message> {
        match self.inbox.recv(deadline, is_expected) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Message::Stop),
        }
    }

    /// Puts requests into the batch until it is full.
    fn take(&mut self, mut requests: Requests) {
        let (shard, before) = (requests.shard, requests.requests.len());
        while self.batch.bytes() < self.commit_bytes_max
            && let Some(request) = requests.requests.pop_front()
        {
            if let Some(read) = self.batch.push(shard, request) {
                self.readers.send(shard, read);
            }
        }
        self.count_taken(shard, before - requests.requests.len());
        self.batch.appends_taken(requests.since, &self.counters);
        if requests.requests.is_empty() {
            // It is spare where there are enough.
            let _ = self.spares[shard].try_send(requests.requests);
        } else {
            self.taken = Some(requests);
        }
    }

    fn count_taken(&self, shard: usize, count: usize) {
        self.waiting[shard].fetch_sub(count, Ordering::Relaxed);
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        let started = Instant::now();
        self.counters.begin_commit(started);
        let has_written = self.batch.has_writes() || self.backend.is_unfinished();
        let mut committed = Committed::default();
        if has_written {
            self.batch.begin(started, &self.counters);
            self.snapshots.append(&mut self.batch.snapshots);
            committed = self.backend.commit(self.batch.writes())?;
        }
        self.sync(has_written)?;
        self.counters.end_commit();
        let snapshots = committed.snapshots.len();
        if has_written {
            self.batch.count(&self.counters);
            self.counters.count_snapshots(snapshots as u64);
            let took = started.elapsed();
            self.counters.count_commit(took);
            self.pace.count(self.batch.operations(), took);
        }
        let snapshots = self.snapshots.drain(..snapshots);
        self.batch.reply(&committed, snapshots, &self.sinks);
        if let Some(tell) = &mut self.notices
            && !committed.notices.is_empty()
        {
            tell(committed.notices);
        }
        for (shard, read) in self.batch.take_reads() {
            self.readers.send(shard, read);
        }
        self.batch.clear();
        Ok(())
    }

    /// Makes durable what the mode wants durable by this moment.
    fn sync(&mut self, has_written: bool) -> Result<(), StoreError> {
        let is_due = match self.durability {
            Durability::Always => has_written,
            Durability::Interval => {
                let now = Instant::now();
                if has_written && self.sync_due.is_none() {
                    self.sync_due = Some(now + self.sync_interval);
                }
                self.sync_due.is_some_and(|due| due <= now)
            }
            Durability::Never => false,
        };
        if is_due {
            let started = Instant::now();
            self.backend.sync()?;
            self.counters.count_sync(started.elapsed());
            self.sync_due = None;
        }
        Ok(())
    }
}

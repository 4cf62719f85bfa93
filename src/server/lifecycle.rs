//! How far the process is on its way from serving to its end; the one thing that all its threads look at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use super::ServerError;
use super::doorbell::Doorbell;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Serving,
    /// Nothing new is taken, what was taken is finished.
    Stopping,
    /// Everything is finished: the shards close their sockets and return.
    Leaving,
}

/// What a shard or the signals tell the main thread.
#[derive(Debug)]
pub enum Report {
    /// A shard's executor runs.
    Started,
    NotStarted(ServerError),
    /// Somebody wants the process to stop.
    Signal,
    /// This shard has finished everything, for now. See [`Lifecycle::all_finished`].
    Finished,
    /// The store cannot write any more.
    StoreFailed {
        reason: String,
    },
}

pub struct Lifecycle {
    phase: AtomicU8,
    /// Which shards have finished what they had. A shard can get more to finish from one that has not.
    finished: Vec<AtomicBool>,
    doorbells: Vec<Arc<Doorbell>>,
}

impl Lifecycle {
    pub fn new(doorbells: Vec<Arc<Doorbell>>) -> Self {
        Self {
            phase: AtomicU8::new(Phase::Serving as u8),
            finished: doorbells.iter().map(|_| AtomicBool::new(false)).collect(),
            doorbells,
        }
    }

    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Serving,
            1 => Phase::Stopping,
            _ => Phase::Leaving,
        }
    }

    /// Goes on to a phase and wakes every shard.
    pub fn advance(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
        for doorbell in &self.doorbells {
            doorbell.ring();
        }
    }

    /// Returns whether this is news.
    pub fn set_finished(&self, shard: usize, finished: bool) -> bool {
        self.finished[shard].swap(finished, Ordering::AcqRel) != finished
    }

    pub fn all_finished(&self) -> bool {
        self.finished
            .iter()
            .all(|shard| shard.load(Ordering::Acquire))
    }
}

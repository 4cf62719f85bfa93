//! How far the process is on its way from serving to its end; the one thing that all its threads look at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use super::ServerError;
use super::doorbell::Doorbell;
use crate::config::Shutdown;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Serving,
    /// It will stop soon, and says so to whoever asks whether it is ready. Clients are served as before.
    Announced,
    /// Nothing new is taken, what was taken is finished.
    Draining,
    /// Nothing is on its way any more: everybody is told goodbye.
    Closing,
    /// The shards close what sockets are left, and return.
    Leaving,
}

/// No phase that a shard reports about.
const UNFINISHED: u8 = Phase::Serving as u8;

/// What a shard or the signals tell the main thread.
#[derive(Debug)]
pub enum Report {
    /// A shard's executor runs.
    Started,
    NotStarted(ServerError),
    /// Somebody wants the process to stop.
    Signal,
    /// From now on a stop goes so.
    Shutdown(Shutdown),
    /// This shard has finished everything, for now. See [`Lifecycle::all_finished`].
    Finished,
    /// The store cannot write any more.
    StoreFailed {
        reason: String,
    },
}

pub struct Lifecycle {
    phase: AtomicU8,
    /// The store cannot write any more, and the process is about to end.
    has_store_failed: AtomicBool,
    /// The phase whose work each shard has finished. A shard can get more to do from one that has not.
    finished: Vec<AtomicU8>,
    doorbells: Vec<Arc<Doorbell>>,
}

impl Lifecycle {
    pub fn new(doorbells: Vec<Arc<Doorbell>>) -> Self {
        Self {
            phase: AtomicU8::new(Phase::Serving as u8),
            has_store_failed: AtomicBool::new(false),
            finished: doorbells
                .iter()
                .map(|_| AtomicU8::new(UNFINISHED))
                .collect(),
            doorbells,
        }
    }

    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Serving,
            1 => Phase::Announced,
            2 => Phase::Draining,
            3 => Phase::Closing,
            _ => Phase::Leaving,
        }
    }

    pub fn note_store_failure(&self) {
        self.has_store_failed.store(true, Ordering::Release);
    }

    pub fn has_store_failed(&self) -> bool {
        self.has_store_failed.load(Ordering::Acquire)
    }

    /// Goes on to a phase and wakes every shard.
    pub fn advance(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
        for doorbell in &self.doorbells {
            doorbell.ring();
        }
    }

    /// A shard has found that nothing is left to do in this phase. Returns whether that is news.
    pub fn finish(&self, shard: usize, phase: Phase) -> bool {
        self.finished[shard].swap(phase as u8, Ordering::AcqRel) != phase as u8
    }

    /// A shard has more to do. It says so before it takes anything from another one.
    pub fn resume(&self, shard: usize) {
        self.finished[shard].store(UNFINISHED, Ordering::Release);
    }

    /// Whether all shards have finished this phase at one moment. What one look saw first can have changed before
    /// it saw the last; the second look would see that.
    pub fn all_finished(&self) -> bool {
        let phase = self.phase() as u8;
        let look = || {
            let mut shards = self.finished.iter();
            shards.all(|shard| shard.load(Ordering::Acquire) == phase)
        };
        look() && look()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_over_when_every_shard_has_finished_that_phase() {
        let doorbell = || Arc::new(Doorbell::new().unwrap());
        let lifecycle = Lifecycle::new(vec![doorbell(), doorbell()]);
        lifecycle.advance(Phase::Draining);
        assert!(lifecycle.finish(0, Phase::Draining));
        assert!(!lifecycle.finish(0, Phase::Draining), "no news");
        assert!(!lifecycle.all_finished());
        assert!(lifecycle.finish(1, Phase::Draining));
        assert!(lifecycle.all_finished());
        lifecycle.resume(0);
        assert!(!lifecycle.all_finished());
        lifecycle.advance(Phase::Closing);
        lifecycle.finish(0, Phase::Draining);
        assert!(
            !lifecycle.all_finished(),
            "a shard that is late says nothing about the next phase"
        );
        lifecycle.finish(0, Phase::Closing);
        lifecycle.finish(1, Phase::Closing);
        assert!(lifecycle.all_finished());
    }
}

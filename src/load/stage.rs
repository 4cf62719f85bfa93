//! What the threads of a run have in common: the clock, the phase, how far each is, and what they end with.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::Instant;

use super::tally::{Progress, Tally};

/// What a run goes through, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Until every client has opened its document.
    Opening,
    /// Operations are written.
    Running,
    /// Everybody reads; until every writer's operations are in the history …
    Settling,
    /// … and every client has seen all of it.
    Converging,
    Done,
}

impl Phase {
    const ALL: [Self; 5] = [
        Self::Opening,
        Self::Running,
        Self::Settling,
        Self::Converging,
        Self::Done,
    ];
}

/// What the threads of a run share.
#[derive(Debug)]
pub(super) struct Stage {
    pub clock: std::time::Instant,
    phase: AtomicU64,
    /// When the first operation is due, on the run's clock.
    start_us: AtomicU64,
    pub progress: Vec<Progress>,
}

impl Stage {
    pub fn new(threads: usize) -> Self {
        Self {
            clock: std::time::Instant::now(),
            phase: AtomicU64::new(Phase::Opening as u64),
            start_us: AtomicU64::new(u64::MAX),
            progress: (0..threads).map(|_| Progress::new()).collect(),
        }
    }

    pub fn now(&self) -> Instant {
        Instant::default() + self.clock.elapsed()
    }

    pub fn phase(&self) -> Phase {
        Phase::ALL[self.phase.load(Ordering::Acquire) as usize]
    }

    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u64, Ordering::Release);
    }

    pub fn start_at(&self, at: Instant) {
        self.start_us.store(at.as_micros(), Ordering::Release);
    }

    pub fn start(&self) -> Instant {
        Instant::from_micros(self.start_us.load(Ordering::Acquire))
    }

    /// How many clients are not done with the phase; `None` while a thread has not said.
    pub fn remaining(&self, phase: Phase) -> Option<u64> {
        let remaining = self.progress.iter().map(|progress| {
            let is_current = progress.phase.load(Ordering::Acquire) == phase as u64;
            is_current.then(|| progress.remaining.load(Ordering::Relaxed))
        });
        remaining.sum()
    }
}

/// What a thread ends with.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub tally: Tally,
    /// By writer: how many operations it wrote.
    pub written: BTreeMap<usize, u64>,
    /// Clients that are not where the others are, and the phase that they did not get through.
    pub unfinished: Vec<(usize, &'static str)>,
    /// What clients of kind `text` ended with: document, client, text.
    pub texts: Vec<(usize, usize, String)>,
}

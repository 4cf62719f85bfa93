//! How many requests are being answered at one time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Any thread may enter; whoever stops the process waits until nobody is inside.
#[derive(Debug)]
pub struct Gate {
    passes_max: AtomicUsize,
    inside: Mutex<Inside>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct Inside {
    /// Those for whom something is being done, and those who take their answer.
    count: usize,
    /// Those for whom something is being done.
    passes: usize,
}

/// Why nobody may enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// As much is being done as may be.
    Work,
    /// As many answers are on their way as may be.
    Answers,
}

/// Answers that are on their way at one time.
const ANSWERS_MAX: usize = 4096;

/// A place among those that are inside, until it is dropped.
#[derive(Debug)]
pub struct Pass {
    gate: Arc<Gate>,
    makes_way: bool,
}

impl Gate {
    pub fn new(passes_max: usize) -> Self {
        Self {
            passes_max: passes_max.into(),
            inside: Mutex::default(),
            left: Condvar::new(),
        }
    }

    /// From here on there may be so many. Who is inside stays.
    pub fn set_max(&self, passes_max: usize) {
        self.passes_max.store(passes_max, Ordering::Relaxed);
    }

    /// For how many something is being done, and for how many it may be.
    pub fn level(&self) -> (u64, u64) {
        let passes_max = self.passes_max.load(Ordering::Relaxed);
        (self.inside().passes as u64, passes_max as u64)
    }

    /// # Errors
    ///
    /// There are as many as there may be.
    pub fn enter(self: &Arc<Self>) -> Result<Pass, Full> {
        let mut inside = self.inside();
        if inside.passes >= self.passes_max.load(Ordering::Relaxed) {
            return Err(Full::Work);
        }
        if inside.count - inside.passes >= ANSWERS_MAX {
            return Err(Full::Answers);
        }
        inside.passes += 1;
        inside.count += 1;
        Ok(Pass {
            gate: Arc::clone(self),
            makes_way: false,
        })
    }

    /// Returns when nobody is inside, or the time is over.
    pub fn wait_until_empty(&self, timeout: Duration) {
        // Either way it is time to go.
        let _ = self
            .left
            .wait_timeout_while(self.inside(), timeout, |inside| inside.count > 0);
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// What was asked for is done, and only its answer has to be taken: another may enter.
    pub fn make_way(&mut self) {
        if !self.makes_way {
            self.makes_way = true;
            self.gate.inside().passes -= 1;
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.make_way();
        self.gate.inside().count -= 1;
        self.gate.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_inside_and_the_last_that_leaves_is_waited_for() {
        let gate = Arc::new(Gate::new(2));
        let passes = [gate.enter(), gate.enter()].map(|pass| pass.expect("there is room"));
        assert_eq!(gate.enter().err(), Some(Full::Work));
        assert_eq!(gate.level(), (2, 2));
        gate.set_max(3);
        drop(gate.enter().expect("there is room for one more"));
        gate.set_max(2);
        assert_eq!(gate.enter().err(), Some(Full::Work));
        let waiting = std::thread::spawn({
            let gate = Arc::clone(&gate);
            move || gate.wait_until_empty(Duration::from_secs(60))
        });
        let [mut first, second] = passes;
        first.make_way();
        drop(gate.enter().expect("there is room again"));
        assert_eq!(gate.inside().count, 2);
        drop((first, second));
        waiting.join().expect("it returns");
        assert!(gate.enter().is_ok());
        assert_eq!(gate.inside().count, 0);
        assert_eq!(gate.inside().passes, 0);
        let mut leaving = Vec::new();
        for _ in 0..ANSWERS_MAX {
            let mut pass = gate.enter().expect("there is room");
            pass.make_way();
            leaving.push(pass);
        }
        assert_eq!(gate.enter().err(), Some(Full::Answers));
    }
}

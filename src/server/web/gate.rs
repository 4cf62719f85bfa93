//! How many requests are being answered at one time.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Any thread may enter; whoever stops the process waits until nobody is inside.
#[derive(Debug)]
pub struct Gate {
    passes_max: usize,
    inside: Mutex<usize>,
    left: Condvar,
}

/// A place among those that are inside, until it is dropped.
#[derive(Debug)]
pub struct Pass(Arc<Gate>);

impl Gate {
    pub fn new(passes_max: usize) -> Self {
        Self {
            passes_max,
            inside: Mutex::new(0),
            left: Condvar::new(),
        }
    }

    /// `None`: there are as many as there may be.
    pub fn enter(self: &Arc<Self>) -> Option<Pass> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if *inside >= self.passes_max {
            return None;
        }
        *inside += 1;
        Some(Pass(Arc::clone(self)))
    }

    /// Returns when nobody is inside, or the time is over.
    pub fn wait_until_empty(&self, timeout: Duration) {
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        // Either way it is time to go.
        let _ = self
            .left
            .wait_timeout_while(inside, timeout, |inside| *inside > 0);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let inside = self.0.inside.lock();
        *inside.unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_inside_and_the_last_that_leaves_is_waited_for() {
        let gate = Arc::new(Gate::new(2));
        let passes = [gate.enter(), gate.enter()].map(|pass| pass.expect("there is room"));
        assert!(gate.enter().is_none());
        let waiting = std::thread::spawn({
            let gate = Arc::clone(&gate);
            move || gate.wait_until_empty(Duration::from_secs(60))
        });
        drop(passes);
        waiting.join().expect("it returns");
        assert!(gate.enter().is_some());
    }
}

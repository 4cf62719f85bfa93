//! When each client's session wants to be called.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::engine::Instant;

#[derive(Debug)]
pub(super) struct Timers {
    /// Entries that are not a client's newest are passed over.
    entries: BinaryHeap<Reverse<(Instant, usize)>>,
    next: Vec<Option<Instant>>,
}

impl Timers {
    /// Nobody is due.
    pub fn new(clients: usize) -> Self {
        Self {
            entries: BinaryHeap::new(),
            next: vec![None; clients],
        }
    }

    /// The client wants to be called at `at`, or earlier if it was to be earlier already.
    pub fn set(&mut self, client: usize, at: Instant) {
        if self.next[client].is_none_or(|next| at < next) {
            self.next[client] = Some(at);
            self.entries.push(Reverse((at, client)));
        }
    }

    /// When the first of them is to be called.
    pub fn first(&self) -> Option<Instant> {
        self.entries.peek().map(|Reverse((at, _))| *at)
    }

    /// The next client that is due; it has no time any more.
    pub fn poll(&mut self, now: Instant) -> Option<usize> {
        while let Some(Reverse((at, client))) = self.entries.peek().copied()
            && at <= now
        {
            self.entries.pop();
            if self.next[client] == Some(at) {
                self.next[client] = None;
                return Some(client);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_called_once_at_its_earliest_time() {
        let at = Instant::from_micros;
        let mut timers = Timers::new(2);
        assert_eq!(timers.first(), None);
        timers.set(0, at(20));
        timers.set(0, at(10));
        timers.set(0, at(30));
        timers.set(1, at(15));
        assert_eq!(timers.first(), Some(at(10)));
        assert_eq!(timers.poll(at(9)), None);
        assert_eq!(timers.poll(at(100)), Some(0));
        assert_eq!(timers.poll(at(100)), Some(1));
        assert_eq!(timers.poll(at(100)), None);
    }
}

//! When what there is to send is sent: at once, or, with `fanout.coalesce_us`, what a moment brings together.
//!
//! The sessions that have something to send wait in one queue. The first of them starts the moment; when it is over,
//! the queue is given out until it is empty. Without a moment there is no timer, and nobody waits.

use std::collections::VecDeque;
use std::time::Duration;

use super::key::SessionKey;
use super::time::Instant;

#[derive(Debug)]
pub(super) struct Flush {
    queue: VecDeque<SessionKey>,
    moment: Option<Duration>,
    /// When the moment is over that the first in the queue has started.
    due_at: Option<Instant>,
}

impl Flush {
    pub fn new(coalesce_us: Option<u64>) -> Self {
        Self {
            queue: VecDeque::new(),
            moment: coalesce_us.map(Duration::from_micros),
            due_at: None,
        }
    }

    /// From the next moment on they last so long.
    pub fn set_moment(&mut self, coalesce_us: Option<u64>) {
        self.moment = coalesce_us.map(Duration::from_micros);
    }

    pub fn push(&mut self, key: SessionKey, now: Instant) {
        if self.queue.is_empty() {
            self.due_at = self.moment.map(|moment| now + moment);
        }
        self.queue.push_back(key);
    }

    /// `None`: there is nobody, or the moment is not over.
    pub fn pop(&mut self) -> Option<SessionKey> {
        match self.due_at {
            Some(_) => None,
            None => self.queue.pop_front(),
        }
    }

    pub fn timeout(&self) -> Option<Instant> {
        self.due_at
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        self.due_at = self.due_at.filter(|due_at| now < *due_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_moment_brings_goes_out_together() {
        let at = Instant::from_micros;
        let key = SessionKey::default();
        let mut flush = Flush::new(Some(300));
        assert_eq!(flush.timeout(), None, "an idle shard sleeps");
        flush.push(key, at(1000));
        flush.push(key, at(1200));
        assert_eq!(flush.timeout(), Some(at(1300)));
        flush.handle_timeout(at(1299));
        assert_eq!(flush.pop(), None);
        flush.handle_timeout(at(1300));
        assert_eq!(flush.timeout(), None);
        assert_eq!(flush.pop(), Some(key));
        // What comes before the queue is empty goes along.
        flush.push(key, at(1310));
        assert_eq!((flush.pop(), flush.pop()), (Some(key), Some(key)));
        assert_eq!(flush.pop(), None);
        flush.push(key, at(1400));
        assert_eq!((flush.pop(), flush.timeout()), (None, Some(at(1700))));
    }

    #[test]
    fn without_a_moment_nobody_waits() {
        let mut flush = Flush::new(None);
        flush.push(SessionKey::default(), Instant::from_micros(1000));
        assert_eq!(flush.timeout(), None);
        assert_eq!(flush.pop(), Some(SessionKey::default()));
    }
}

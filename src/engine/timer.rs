//! When something of the shard wants to be looked at again.
//!
//! Every owner (a session, a document) has at most one alarm that counts, its [`Alarm`]; one that rings is looked
//! at as a whole and sets the next. An alarm that moves to a later time is left to ring early and be set again,
//! so that traffic, which moves deadlines all the time, costs nothing here.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::key::DocumentKey;
use super::key::SessionKey;
use super::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    Session(SessionKey),
    Document(DocumentKey),
    /// What the store has deleted for long enough.
    Sweep,
}

/// The time for which an owner's alarm is set.
#[derive(Debug, Default, Clone, Copy)]
pub struct Alarm(Option<Instant>);

#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(Instant, Owner)>>,
}

impl Timers {
    /// Rings for `owner` at `at`, or earlier.
    pub fn set(&mut self, owner: Owner, alarm: &mut Alarm, at: Instant) {
        if alarm.0.is_none_or(|set| at < set) {
            alarm.0 = Some(at);
            self.heap.push(Reverse((at, owner)));
        }
    }

    /// When the next one rings.
    pub fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// One that is due. Whether it still counts, [`Alarm::rings`] tells.
    pub fn pop(&mut self, now: Instant) -> Option<(Instant, Owner)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}

impl Alarm {
    /// Whether the alarm that was set for `at` is the one that counts; then it is no longer set.
    pub fn rings(&mut self, at: Instant) -> bool {
        let rings = self.0 == Some(at);
        if rings {
            self.0 = None;
        }
        rings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_rings_once_and_at_its_earliest_time() {
        let mut timers = Timers::default();
        let mut alarm = Alarm::default();
        let owner = Owner::Session(SessionKey::default());
        let [early, middle, late] = [1, 2, 3].map(Instant::from_micros);
        timers.set(owner, &mut alarm, middle);
        timers.set(owner, &mut alarm, late);
        timers.set(owner, &mut alarm, early);
        assert_eq!(timers.next(), Some(early));
        assert_eq!(timers.pop(Instant::from_micros(0)), None);
        assert_eq!(timers.pop(late), Some((early, owner)));
        assert!(alarm.rings(early));
        assert_eq!(timers.pop(late), Some((middle, owner)));
        assert!(!alarm.rings(middle), "it moved");
        assert_eq!(timers.pop(late), None);
    }
}

//! One document's own operations that the relay has not acknowledged, oldest first.
//!
//! Operations are a queue with a boundary that batches move through: what is in `batches` has been put on the
//! wire at least once and keeps its batch for ever, because the relay applies a batch as a whole; what is in
//! `waiting` has not. Clocks are not stored: they follow from the front's clock, so that when the relay expects
//! another one, everything is renumbered by changing a single number.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::engine::Instant;

use super::settings::Batching;
use super::text::TextBatch;

#[derive(Debug)]
pub(super) struct Pending {
    /// The clock of the oldest operation here; until the relay has said it, `None`.
    clock: Option<u64>,
    batches: VecDeque<Batch>,
    /// How many of `batches`, from the front, are on their way on this connection.
    in_flight: usize,
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    pace: Pace,
    client_seq: u64,
    /// The relay asked for patience.
    not_before: Option<Instant>,
}

/// A batch as it goes on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    pub client_seq: u64,
    pub base_revision: u64,
    pub operations: Vec<Bytes>,
}

/// What left the queue because it is in the document's history.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settled {
    pub first_clock: u64,
    pub operations: Vec<Bytes>,
}

impl Pending {
    pub fn new() -> Self {
        Self {
            clock: None,
            batches: VecDeque::new(),
            in_flight: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            pace: Pace::default(),
            client_seq: 0,
            not_before: None,
        }
    }

    /// Adds an operation at the end. False: as many wait as may.
    pub fn push(&mut self, operation: Bytes, batching: &Batching, now: Instant) -> bool {
        if self.waiting.len() >= batching.waiting_operations_max
            || self.waiting_bytes + operation.len() > batching.waiting_bytes_max
        {
            return false;
        }
        self.waiting_bytes += operation.len();
        self.waiting.push_back(operation);
        self.pace.touch(now);
        true
    }

    /// Adds a whole batch, which knows its clocks. Nothing else may be pending.
    pub fn push_batch(&mut self, batch: TextBatch) {
        assert!(self.is_empty(), "one batch at a time");
        self.clock = Some(batch.first_clock);
        self.batches.push_back(Batch {
            client_seq: 0,
            base_revision: batch.base_revision,
            operations: batch.operations,
        });
    }

    pub fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.waiting.is_empty()
    }

    /// A batch that was on its way is not any more.
    pub fn is_stranded(&self) -> bool {
        self.in_flight < self.batches.len()
    }

    /// Operations that are not acknowledged.
    pub fn count(&self) -> usize {
        let sent: usize = self
            .batches
            .iter()
            .map(|batch| batch.operations.len())
            .sum();
        sent + self.waiting.len()
    }

    /// Sends what waits without waiting for its age.
    pub fn flush(&mut self) {
        self.pace.due_at_once();
    }

    /// The next batch to put on the wire, and the clock of its first operation.
    pub fn next_batch(&mut self, batching: &Batching, now: Instant) -> Option<(u64, &Batch)> {
        let clock = self.clock?;
        if self.in_flight >= batching.in_flight_max || self.not_before.is_some_and(|at| now < at) {
            return None;
        }
        self.not_before = None;
        if self.in_flight == self.batches.len() {
            self.fill_batch(batching, now)?;
        }
        self.client_seq += 1;
        self.batches[self.in_flight].client_seq = self.client_seq;
        let earlier: usize = (0..self.in_flight)
            .map(|index| self.batches[index].operations.len())
            .sum();
        self.in_flight += 1;
        Some((clock + earlier as u64, &self.batches[self.in_flight - 1]))
    }

    fn fill_batch(&mut self, batching: &Batching, now: Instant) -> Option<()> {
        let full = self.waiting.len() >= batching.operations_max
            || self.waiting_bytes >= batching.bytes_max;
        if self.waiting.is_empty() || !(full || self.pace.is_due(batching, now)) {
            return None;
        }
        let mut operations = Vec::new();
        let mut bytes = 0;
        while let Some(operation) = self.waiting.front() {
            let fits = bytes + operation.len() <= batching.bytes_max;
            if operations.len() == batching.operations_max || !(fits || operations.is_empty()) {
                break;
            }
            bytes += operation.len();
            operations.extend(self.waiting.pop_front());
        }
        self.waiting_bytes -= bytes;
        if self.waiting.is_empty() {
            self.pace = Pace::default();
        }
        self.batches.push_back(Batch {
            client_seq: 0,
            base_revision: 0,
            operations,
        });
        Some(())
    }

    /// When `next_batch` may have something that it does not have at `now`.
    pub fn timeout(&self, batching: &Batching) -> Option<Instant> {
        if self.clock.is_none() || self.in_flight >= batching.in_flight_max {
            return None;
        }
        let due = if self.in_flight < self.batches.len() {
            Instant::default()
        } else if self.waiting.is_empty() {
            return None;
        } else if self.waiting.len() >= batching.operations_max {
            Instant::default()
        } else {
            self.pace.due(batching)?
        };
        Some(self.not_before.map_or(due, |at| due.max(at)))
    }

    /// What was on its way is on its way no longer: it will be sent again.
    pub fn rewind(&mut self) {
        self.in_flight = 0;
    }

    /// The clock that the relay expects next. Lower than what it acknowledged before: it has lost operations, and
    /// ours are numbered anew. Higher than anything sent from here: the identity was used elsewhere.
    pub fn expect(&mut self, next_clock: u64) {
        let sent: usize = self
            .batches
            .iter()
            .map(|batch| batch.operations.len())
            .sum();
        match self.clock {
            Some(clock) if (clock..=clock + sent as u64).contains(&next_clock) => {}
            Some(_) | None => self.clock = Some(next_clock),
        }
    }

    /// The relay has applied everything below `clock`.
    pub fn settle_below(&mut self, clock: u64) -> Option<Settled> {
        let first_clock = self.clock?;
        let mut next = first_clock;
        let mut operations = Vec::new();
        while next < clock
            && let Some(batch) = self.batches.front_mut()
        {
            let applied = batch.operations.len().min((clock - next) as usize);
            operations.extend(batch.operations.drain(..applied));
            next += applied as u64;
            if batch.operations.is_empty() {
                self.batches.pop_front();
                self.in_flight = self.in_flight.saturating_sub(1);
            }
        }
        self.clock = Some(next);
        (!operations.is_empty()).then_some(Settled {
            first_clock,
            operations,
        })
    }

    /// The clock of the oldest operation that is not settled.
    pub fn clock(&self) -> Option<u64> {
        self.clock
    }

    /// The batch with this `client_seq` has been acknowledged. `None`: it is not on its way.
    pub fn acknowledge(&mut self, client_seq: u64) -> Option<Settled> {
        let front = self.batches.front().filter(|_| self.in_flight > 0)?;
        if front.client_seq != client_seq {
            return None;
        }
        let end = self.clock? + front.operations.len() as u64;
        self.settle_below(end)
    }

    fn position(&self, client_seq: u64) -> Option<usize> {
        (0..self.in_flight).find(|&index| self.batches[index].client_seq == client_seq)
    }

    /// The batch was refused, but not for ever: it and what followed it are sent again after `retry_at`. False: it
    /// is not on its way, so this is the answer to something that will be sent again anyhow.
    pub fn retry(&mut self, client_seq: u64, retry_at: Option<Instant>) -> bool {
        let Some(index) = self.position(client_seq) else {
            return false;
        };
        self.in_flight = index;
        self.not_before = retry_at.or(self.not_before);
        true
    }

    /// The batch was refused for ever: its operations are the application's again. What followed it takes its
    /// clocks, and is sent again, since the relay cannot have taken it.
    pub fn refuse(&mut self, client_seq: u64) -> Option<Vec<Bytes>> {
        let index = self.position(client_seq)?;
        self.in_flight = index;
        Some(self.batches.remove(index)?.operations)
    }

    /// Takes everything out.
    pub fn take_all(&mut self) -> Vec<Bytes> {
        self.in_flight = 0;
        self.waiting_bytes = 0;
        self.pace = Pace::default();
        self.batches
            .drain(..)
            .flat_map(|batch| batch.operations)
            .chain(self.waiting.drain(..))
            .collect()
    }
}

/// When a batch that is being filled is due.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    added: Option<(Instant, Instant)>,
    at_once: bool,
}

impl Pace {
    /// Something was added.
    pub fn touch(&mut self, now: Instant) {
        let first = self.added.map_or(now, |(first, _)| first);
        self.added = Some((first, now));
    }

    pub fn due_at_once(&mut self) {
        self.at_once = self.added.is_some();
    }

    pub fn due(&self, batching: &Batching) -> Option<Instant> {
        let (first, last) = self.added?;
        if self.at_once || batching.pause == Duration::ZERO {
            return Some(first);
        }
        Some((first + batching.age_max).min(last + batching.pause))
    }

    pub fn is_due(&self, batching: &Batching, now: Instant) -> bool {
        self.due(batching).is_some_and(|due| due <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    fn operation(number: usize) -> Bytes {
        Bytes::from(number.to_string())
    }

    fn filled(count: usize, at: Instant) -> (Pending, Batching) {
        let batching = Batching::default();
        let mut pending = Pending::new();
        for number in 0..count {
            assert!(pending.push(operation(number), &batching, at));
        }
        (pending, batching)
    }

    fn sent(pending: &mut Pending, batching: &Batching, at: Instant) -> Vec<(u64, u64, usize)> {
        let mut sent = Vec::new();
        while let Some((clock, batch)) = pending.next_batch(batching, at) {
            sent.push((batch.client_seq, clock, batch.operations.len()));
        }
        sent
    }

    #[test]
    fn a_batch_waits_for_its_age_or_a_pause_or_to_be_full() {
        let (mut pending, batching) = filled(1, ms(0));
        pending.expect(0);
        assert_eq!(pending.timeout(&batching), Some(ms(50)));
        assert_eq!(sent(&mut pending, &batching, ms(49)), []);
        for at in [40, 80] {
            pending.push(operation(1), &batching, ms(at));
        }
        assert_eq!(
            pending.timeout(&batching),
            Some(ms(100)),
            "the oldest's age"
        );
        assert_eq!(sent(&mut pending, &batching, ms(99)), []);
        assert_eq!(sent(&mut pending, &batching, ms(100)), [(1, 0, 3)]);

        let (mut pending, batching) = filled(120, ms(0));
        assert_eq!(
            sent(&mut pending, &batching, ms(0)),
            [],
            "no clock is known"
        );
        pending.expect(7);
        assert_eq!(
            sent(&mut pending, &batching, ms(0)),
            [(1, 7, 50), (2, 57, 50)]
        );
        pending.flush();
        assert_eq!(sent(&mut pending, &batching, ms(0)), [(3, 107, 20)]);
    }

    #[test]
    fn three_batches_are_on_their_way_and_no_more() {
        let (mut pending, batching) = filled(250, ms(0));
        pending.expect(0);
        assert_eq!(sent(&mut pending, &batching, ms(0)).len(), 3);
        assert_eq!(pending.timeout(&batching), None);
        let settled = pending.acknowledge(1).expect("on its way");
        assert_eq!((settled.first_clock, settled.operations.len()), (0, 50));
        assert_eq!(pending.acknowledge(1), None);
        assert_eq!(sent(&mut pending, &batching, ms(0)), [(4, 150, 50)]);
        assert_eq!(pending.count(), 200);
    }

    #[test]
    fn what_was_on_its_way_is_sent_again_in_the_same_batches() {
        let (mut pending, batching) = filled(100, ms(0));
        pending.expect(0);
        sent(&mut pending, &batching, ms(0));
        pending.push(operation(100), &batching, ms(1));
        pending.flush();
        pending.rewind();
        pending.expect(50);
        assert_eq!(
            pending
                .settle_below(50)
                .map(|settled| settled.operations.len()),
            Some(50)
        );
        assert_eq!(
            sent(&mut pending, &batching, ms(2)),
            [(3, 50, 50), (4, 100, 1)]
        );
    }

    #[test]
    fn a_relay_that_lost_operations_gets_the_rest_under_the_clocks_it_expects() {
        let (mut pending, batching) = filled(100, ms(0));
        pending.expect(10);
        sent(&mut pending, &batching, ms(0));
        pending.acknowledge(1);
        pending.rewind();
        pending.expect(4);
        assert_eq!(sent(&mut pending, &batching, ms(0)), [(3, 4, 50)]);
    }

    #[test]
    fn a_refused_batch_gives_its_clocks_to_those_behind_it() {
        let (mut pending, batching) = filled(150, ms(0));
        pending.expect(0);
        sent(&mut pending, &batching, ms(0));
        let refused = pending.refuse(2).expect("on its way");
        assert_eq!(refused[0], operation(50));
        assert!(!pending.retry(3, None), "its gap is already dealt with");
        assert_eq!(sent(&mut pending, &batching, ms(0)), [(4, 50, 50)]);
        assert_eq!(pending.batches[1].operations[0], operation(100));
    }

    #[test]
    fn a_retry_waits_as_long_as_the_relay_asked() {
        let (mut pending, batching) = filled(100, ms(0));
        pending.expect(0);
        sent(&mut pending, &batching, ms(0));
        assert!(pending.retry(1, Some(ms(500))));
        assert_eq!(pending.timeout(&batching), Some(ms(500)));
        assert_eq!(sent(&mut pending, &batching, ms(499)), []);
        assert_eq!(
            sent(&mut pending, &batching, ms(500)),
            [(3, 0, 50), (4, 50, 50)]
        );
    }

    #[test]
    fn what_waits_is_limited() {
        let batching = Batching {
            waiting_operations_max: 2,
            waiting_bytes_max: 10,
            ..Batching::default()
        };
        let mut pending = Pending::new();
        assert!(!pending.push(Bytes::from_static(&[0; 11]), &batching, ms(0)));
        assert!(pending.push(operation(1), &batching, ms(0)));
        assert!(pending.push(operation(2), &batching, ms(0)));
        assert!(!pending.push(operation(3), &batching, ms(0)));
    }
}

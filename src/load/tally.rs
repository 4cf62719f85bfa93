//! What one thread of the run has counted and timed.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use hdrhistogram::Histogram;

use crate::codec::wire::Durability;

use super::plan::Pace;
use super::timeline::Timeline;

/// Microseconds, from 1 to an hour, three significant digits.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("the bounds are in order")
}

/// Counted over the measured window, unless said otherwise.
#[derive(Debug)]
pub(super) struct Tally {
    pub sent: u64,
    pub acknowledged: u64,
    /// Operations that receivers were given, by pace.
    pub delivered: [u64; 3],
    pub presence_sent: u64,
    pub presence_received: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    /// From when an operation was due until its writer was told that it is durable.
    pub ack: Histogram<u64>,
    /// From when an operation was due until a receiver had it, by the receiver's pace.
    pub delivery: [Histogram<u64>; 3],
    /// From when a presence update was due until a healthy receiver had it.
    pub presence: Histogram<u64>,
    /// From the beginning of the window until a client that joined then had caught up.
    pub join: Histogram<u64>,
    pub timeline: Timeline,
    /// What the last acknowledgement promised.
    pub durability: Option<Durability>,
    /// Over the whole run, like all that follows.
    pub errors: BTreeMap<String, u64>,
    pub connections_lost: u64,
    pub reconnects: u64,
    pub warnings: u64,
    pub resyncs: u64,
    pub goaways: u64,
    /// Operations that were never taken into a session: too many waited.
    pub overflowed: u64,
    /// Operations whose acknowledgement promised less than `always`.
    pub weaker_acknowledgements: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            sent: 0,
            acknowledged: 0,
            delivered: [0; 3],
            presence_sent: 0,
            presence_received: 0,
            bytes_sent: 0,
            bytes_received: 0,
            ack: histogram(),
            delivery: Pace::ALL.map(|_| histogram()),
            presence: histogram(),
            join: histogram(),
            timeline: Timeline::default(),
            durability: None,
            errors: BTreeMap::new(),
            connections_lost: 0,
            reconnects: 0,
            warnings: 0,
            resyncs: 0,
            goaways: 0,
            overflowed: 0,
            weaker_acknowledgements: 0,
        }
    }
}

impl Tally {
    pub fn error(&mut self, what: impl Into<String>) {
        *self.errors.entry(what.into()).or_default() += 1;
    }

    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.presence_sent += other.presence_sent;
        self.presence_received += other.presence_received;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.ack.add(&other.ack).expect("the same bounds");
        self.presence.add(&other.presence).expect("the same bounds");
        self.join.add(&other.join).expect("the same bounds");
        self.timeline.add(&other.timeline);
        self.durability = self.durability.or(other.durability);
        for pace in Pace::ALL.map(|pace| pace as usize) {
            self.delivered[pace] += other.delivered[pace];
            self.delivery[pace]
                .add(&other.delivery[pace])
                .expect("the same bounds");
        }
        for (what, count) in &other.errors {
            *self.errors.entry(what.clone()).or_default() += count;
        }
        self.connections_lost += other.connections_lost;
        self.reconnects += other.reconnects;
        self.warnings += other.warnings;
        self.resyncs += other.resyncs;
        self.goaways += other.goaways;
        self.overflowed += other.overflowed;
        self.weaker_acknowledgements += other.weaker_acknowledgements;
    }
}

/// One thread's totals while it runs, for the line that is printed every second. Written by that thread alone.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The number of the phase that the other figures belong to.
    pub phase: AtomicU64,
    /// What keeps this thread from being done with the phase.
    pub remaining: AtomicU64,
    pub sent: AtomicU64,
    pub acknowledged: AtomicU64,
    pub delivered: AtomicU64,
    pub connected: AtomicU64,
    /// Clients that have had their document open.
    pub opened: AtomicU64,
    pub errors: AtomicU64,
    /// One of them: the first that this thread has met.
    pub trouble: OnceLock<String>,
}

impl Progress {
    /// In no phase yet.
    pub fn new() -> Self {
        Self {
            phase: AtomicU64::new(u64::MAX),
            ..Self::default()
        }
    }
}

/// [`Progress`] of all threads, at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    pub sent: u64,
    pub acknowledged: u64,
    pub delivered: u64,
    pub connected: u64,
    pub opened: u64,
    pub errors: u64,
}

impl Totals {
    pub fn of(progress: &[Progress]) -> Self {
        let sum = |field: fn(&Progress) -> &AtomicU64| {
            let figures = progress
                .iter()
                .map(|one| field(one).load(Ordering::Relaxed));
            figures.sum()
        };
        Self {
            sent: sum(|one| &one.sent),
            acknowledged: sum(|one| &one.acknowledged),
            delivered: sum(|one| &one.delivered),
            connected: sum(|one| &one.connected),
            opened: sum(|one| &one.opened),
            errors: sum(|one| &one.errors),
        }
    }
}

//! What the drivers count, and how the control thread gets to see it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::engine::shard::Metrics;

/// What a shard's driver has counted since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted, on any listener.
    pub accepted: u64,
    /// Handshakes answered with anything but a WebSocket, and connections closed because there are too many.
    pub refused: u64,
    /// WebSockets opened.
    pub upgraded: u64,
    /// Event streams opened.
    pub streams: u64,
    /// What was posted to them and handled.
    pub posts: u64,
    /// Requests given to the control thread.
    pub requests: u64,
    /// Connections given to the shard of their document.
    pub handed_off: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub sends: u64,
    pub turns: u64,
    /// Those that took longer than `shards.stall_after`.
    pub stalls: u64,
    pub longest_turn_micros: u64,
    /// What all turns took. The rest of the time the core had nothing to do for the relay.
    pub busy_micros: u64,
    pub parks: u64,
}

impl Counters {
    pub fn count_turn(&mut self, took: Duration, stall_after: Duration) {
        self.turns += 1;
        self.stalls += u64::from(took > stall_after);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.longest_turn_micros = self.longest_turn_micros.max(micros);
        self.busy_micros += micros;
    }
}

/// What one shard has published last. Its driver writes it about once a second, and the lock is held for no longer
/// than a copy takes.
#[derive(Debug, Default)]
pub struct Gauge {
    reading: Mutex<Reading>,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    pub engine: Metrics,
    pub counters: Counters,
    /// What posts to event streams hold, and may hold.
    pub posted_bytes: u64,
    pub posted_bytes_max: u64,
    /// Sockets with a request that is going on, or kept for the next one.
    pub requests_held: u64,
}

impl Gauge {
    pub fn publish(&self, reading: Reading) {
        *self.reading.lock().unwrap_or_else(PoisonError::into_inner) = reading;
    }

    pub fn read(&self) -> Reading {
        *self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many there are of something, and how many there may be.
#[derive(Debug, Default)]
pub struct Level {
    count: AtomicU64,
    count_max: AtomicU64,
}

impl Level {
    pub fn publish(&self, count: usize, count_max: usize) {
        self.count.store(count as u64, Ordering::Relaxed);
        self.count_max.store(count_max as u64, Ordering::Relaxed);
    }

    pub fn read(&self) -> (u64, u64) {
        let level = [&self.count, &self.count_max].map(|it| it.load(Ordering::Relaxed));
        level.into()
    }
}

/// A part of the memory budget: its name, what it holds, and what it may hold, in bytes.
pub type Pool = (&'static str, u64, u64);

impl Reading {
    /// The parts of the memory budget that a shard has of its own.
    pub fn pools(&self) -> [Pool; 5] {
        let (engine, limits) = (&self.engine, &self.engine.limits);
        [
            ("input", engine.input_bytes, limits.input_bytes),
            ("output", engine.output_bytes, limits.output_bytes),
            ("documents", engine.document_bytes, limits.document_bytes),
            ("pending", engine.pending_bytes, limits.pending_bytes),
            ("posts", self.posted_bytes, self.posted_bytes_max),
        ]
    }
}

//! The shell's clock: the one place where the engine's time comes from.

use std::time::SystemTime;

use crate::engine::Instant;

/// Every shard of a process has a copy of the same clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: std::time::Instant,
    origin_unix_ms: u64,
}

impl Clock {
    pub fn start() -> Self {
        let unix = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            origin: std::time::Instant::now(),
            origin_unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
        }
    }

    pub fn now(&self) -> Instant {
        let micros = self.origin.elapsed().as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// The same moment as other threads know it.
    pub fn system(&self, at: Instant) -> std::time::Instant {
        self.origin + std::time::Duration::from_micros(at.as_micros())
    }

    /// Unix time in milliseconds.
    pub fn unix_ms(&self) -> u64 {
        self.origin_unix_ms + self.now().as_millis()
    }

    /// Unix time in milliseconds at `Instant::from_micros(0)`.
    pub fn origin_unix_ms(&self) -> u64 {
        self.origin_unix_ms
    }
}

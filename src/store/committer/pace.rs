//! Whether a commit waits a moment for more, and the committer for the next one awake.
//!
//! While one commit is written, the next one gathers. Under load that parts the clients into two groups that take turns,
//! each in every other commit, and every subscriber is sent to twice as often as need be. A wait that is short beside
//! a commit brings them together. Where commits carry little nobody waits: then latency counts.

use std::time::Duration;

/// Commits with so many operations are those of many busy writers.
const OPERATIONS_MIN: u64 = 64;
/// The wait is this part of what the last commit took.
const PART: u32 = 8;

pub struct Pace {
    wait_max: Duration,
    /// The operations of the newest commits; half of it is forgotten with each, so that one small commit among large
    /// ones changes nothing.
    operations: u64,
    /// How long the next commit waits for more.
    pub wait: Duration,
}

impl Pace {
    pub fn new(gather_us: Option<u64>) -> Self {
        Self {
            wait_max: Duration::from_micros(gather_us.unwrap_or(0)),
            operations: 0,
            wait: Duration::ZERO,
        }
    }

    /// What the last commit carried, and how long it took.
    pub fn count(&mut self, operations: u64, took: Duration) {
        self.operations = operations.max(self.operations / 2);
        self.wait = match self.is_busy() {
            true => (took / PART).min(self.wait_max),
            false => Duration::ZERO,
        };
    }

    /// Whether many write, so that there is more to commit at once after each commit.
    pub fn is_busy(&self) -> bool {
        self.operations >= OPERATIONS_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_large_commits_make_the_next_ones_wait() {
        let micros = Duration::from_micros;
        let mut pace = Pace::new(Some(500));
        assert_eq!(pace.wait, Duration::ZERO);
        let table = [
            (63, 800, 0),
            (64, 800, 100),
            (1, 800, 0),
            (9000, 40_000, 500),
            (1, 80, 10),
        ];
        for (operations, took, expected) in table {
            pace.count(operations, micros(took));
            assert_eq!(pace.wait, micros(expected), "{operations} in {took} µs");
            assert_eq!(pace.is_busy(), expected > 0, "{operations} operations");
        }
        let mut impatient = Pace::new(None);
        impatient.count(9000, micros(40_000));
        assert_eq!(impatient.wait, Duration::ZERO);
    }
}

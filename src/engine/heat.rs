//! How many operations a document has had of late: counted in two windows of fixed length.

use super::time::Instant;

const WINDOW_SECONDS: u64 = 5;
const WINDOW_MICROS: u64 = WINDOW_SECONDS * 1_000_000;

#[derive(Debug, Clone, Copy, Default)]
pub struct Heat {
    window: u64,
    /// In that window, and in the one before it.
    operations: u32,
    before: u32,
}

impl Heat {
    pub fn add(&mut self, operations: u64, now: Instant) {
        let window = now.as_micros() / WINDOW_MICROS;
        if window != self.window {
            let is_next = window == self.window + 1;
            self.before = if is_next { self.operations } else { 0 };
            self.operations = 0;
            self.window = window;
        }
        let operations = u32::try_from(operations).unwrap_or(u32::MAX);
        self.operations = self.operations.saturating_add(operations);
    }

    /// On average over the last window, about: what came in the one before counts as if it had come evenly.
    pub fn per_second(mut self, now: Instant) -> f64 {
        self.add(0, now);
        let elapsed = (now.as_micros() % WINDOW_MICROS) as f64 / WINDOW_MICROS as f64;
        let operations = f64::from(self.operations) + f64::from(self.before) * (1.0 - elapsed);
        operations / WINDOW_SECONDS as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_evenly_is_its_rate_and_what_has_ended_cools() {
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        let mut heat = Heat::default();
        for second in 0..20 {
            heat.add(10, at(second));
        }
        assert_eq!(heat.per_second(at(20)), 10.0);
        assert_eq!(heat.per_second(Instant::from_micros(22_500_000)), 5.0);
        assert_eq!(heat.per_second(at(25)), 0.0);
        heat.add(5, at(100));
        assert_eq!(heat.per_second(at(100)), 1.0);
    }
}

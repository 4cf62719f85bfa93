//! Lines that others can cause, and cause again: so many in a period, and how many were left out.

use std::time::{Duration, Instant};

#[derive(Debug)]
pub struct Throttle {
    lines_max: u64,
    period: Duration,
    /// When the period began in which the last line was wanted.
    began: Option<Instant>,
    /// Lines that were wanted in it.
    wanted: u64,
    /// Those that nobody has been told of.
    left_out: u64,
}

impl Throttle {
    /// At most so many lines in each period.
    pub const fn new(lines_max: u64, period: Duration) -> Self {
        Self {
            lines_max,
            period,
            began: None,
            wanted: 0,
            left_out: 0,
        }
    }

    /// Whether a line may be written now. `Some`: so many before it were left out.
    pub fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.is_over(now) {
            self.began = Some(now);
            self.wanted = 0;
        }
        self.wanted += 1;
        if self.wanted > self.lines_max {
            self.left_out += 1;
            return None;
        }
        Some(std::mem::take(&mut self.left_out))
    }

    /// So many lines more would have been wanted, by somebody who had left them out already.
    pub fn leave_out(&mut self, lines: u64) {
        self.left_out += lines;
    }

    /// How many were left out in a period that is over, of which the log does not tell yet.
    pub fn take_left_out(&mut self, now: Instant) -> u64 {
        match self.is_over(now) {
            true => std::mem::take(&mut self.left_out),
            false => 0,
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.began.is_none_or(|began| now >= began + self.period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_lines_are_written_in_a_period_and_the_others_are_counted() {
        let second = Duration::from_secs(1);
        let mut throttle = Throttle::new(2, second);
        let begun = Instant::now();
        let admitted = [(); 5].map(|()| throttle.admit(begun));
        assert_eq!(admitted, [Some(0), Some(0), None, None, None]);
        throttle.leave_out(10);
        let nearly = begun + second - Duration::from_nanos(1);
        assert_eq!(throttle.take_left_out(nearly), 0);
        assert_eq!(throttle.admit(begun + second), Some(13));
        assert_eq!(throttle.admit(begun + second), Some(0));
        assert_eq!(throttle.admit(begun + second), None);
        assert_eq!(throttle.take_left_out(begun + 2 * second), 1);
        assert_eq!(throttle.take_left_out(begun + 2 * second), 0);
    }
}

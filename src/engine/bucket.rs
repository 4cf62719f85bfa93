//! A token bucket: how much may come at once, and how fast more may follow.

use std::time::Duration;

use super::time::Instant;

/// Buckets count in millionths of a token, so that each microsecond adds a whole number of them.
const TOKEN: u64 = 1_000_000;

/// How fast a bucket fills, and how much fits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Tokens per second; millionths of a token per microsecond.
    per_second: u64,
    /// In millionths of a token.
    capacity: u64,
}

impl Rate {
    /// `burst` is the time in which an empty bucket fills. At least one token fits in.
    ///
    /// # Panics
    ///
    /// If there are no tokens per second.
    pub fn new(per_second: u64, burst: Duration) -> Self {
        assert!(per_second > 0, "a bucket that never fills is no rate");
        let micros = u64::try_from(burst.as_micros()).unwrap_or(u64::MAX);
        Self {
            per_second,
            capacity: per_second.saturating_mul(micros).max(TOKEN),
        }
    }

    /// The time in which so many millionths of a token come.
    fn time_for(&self, amount: u64) -> Duration {
        Duration::from_micros(amount.div_ceil(self.per_second))
    }
}

/// What one party has used of a rate. A new one is full.
///
/// Whoever finds a whole token in it may take as many as it needs; what is not there is a debt, which fills up first.
/// So a batch of any size is taken some time, and over time no more than the rate is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bucket {
    /// How far it was from full at that time, in millionths of a token. More than fits in: a debt.
    missing: u64,
    at: Instant,
}

impl Bucket {
    fn missing(&self, rate: &Rate, now: Instant) -> u64 {
        let elapsed = now.as_micros().saturating_sub(self.at.as_micros());
        self.missing
            .saturating_sub(rate.per_second.saturating_mul(elapsed))
    }

    /// How long until there is a whole token. Zero: there is one.
    pub fn wait(&self, rate: &Rate, now: Instant) -> Duration {
        let missing_max = rate.capacity - TOKEN;
        rate.time_for(self.missing(rate, now).saturating_sub(missing_max))
    }

    /// Takes tokens, whether they are there or not.
    pub fn take(&mut self, rate: &Rate, tokens: u64, now: Instant) {
        let taken = tokens.saturating_mul(TOKEN);
        self.missing = self.missing(rate, now).saturating_add(taken);
        self.at = self.at.max(now);
    }

    /// Puts tokens back that were taken a moment ago.
    pub fn put_back(&mut self, tokens: u64) {
        self.missing = self.missing.saturating_sub(tokens.saturating_mul(TOKEN));
    }

    /// When it is full, if nothing more is taken.
    pub fn full_at(&self, rate: &Rate) -> Instant {
        self.at + rate.time_for(self.missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn micros(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    fn rate(per_second: u64, burst_s: u64) -> Rate {
        Rate::new(per_second, Duration::from_secs(burst_s))
    }

    #[test]
    fn as_many_as_fit_in_come_at_once_and_more_at_the_rate() {
        let rate = rate(3, 2);
        let mut bucket = Bucket::default();
        for _ in 0..6 {
            assert_eq!(bucket.wait(&rate, micros(5)), Duration::ZERO);
            bucket.take(&rate, 1, micros(5));
        }
        // A third of a second is no whole number of microseconds; the third token makes up for it.
        for (at, next) in [(5, 333_339), (333_339, 666_672), (666_672, 1_000_005)] {
            let wait = bucket.wait(&rate, micros(at));
            assert_eq!(micros(at) + wait, micros(next));
            assert_ne!(bucket.wait(&rate, micros(next - 1)), Duration::ZERO);
            assert_eq!(bucket.wait(&rate, micros(next)), Duration::ZERO);
            bucket.take(&rate, 1, micros(next));
        }
        assert_eq!(bucket.full_at(&rate), micros(3_000_005));
    }

    #[test]
    fn what_is_larger_than_the_bucket_is_taken_and_paid_for_afterwards() {
        let rate = rate(10, 1);
        let mut bucket = Bucket::default();
        bucket.take(&rate, 9, micros(0));
        assert_eq!(bucket.wait(&rate, micros(0)), Duration::ZERO);
        bucket.take(&rate, 100, micros(0));
        assert_eq!(
            bucket.wait(&rate, micros(0)),
            Duration::from_secs(10),
            "99 of debt, and one token"
        );
        assert_eq!(bucket.full_at(&rate), micros(10_900_000));
        bucket.put_back(100);
        assert_eq!(bucket.wait(&rate, micros(0)), Duration::ZERO);
    }

    #[test]
    fn no_more_comes_over_time_than_the_rate_and_the_burst() {
        for (per_second, burst_s, batch) in [(1, 1, 1), (7, 3, 2), (333, 1, 50), (999_983, 2, 7)] {
            let rate = rate(per_second, burst_s);
            let mut bucket = Bucket::default();
            let (mut now, mut taken) = (micros(0), 0);
            while taken < 10 * per_second {
                now = now + bucket.wait(&rate, now);
                bucket.take(&rate, batch, now);
                taken += batch;
                let allowed = per_second * now.as_micros() / TOKEN + per_second * burst_s;
                assert!(taken < allowed + batch, "{taken} at {now:?}");
                assert!(taken + per_second >= per_second * now.as_micros() / TOKEN);
            }
        }
    }

    #[test]
    fn numbers_without_end_are_the_most_that_there_is() {
        let rate = Rate::new(u64::MAX, Duration::MAX);
        let mut bucket = Bucket::default();
        bucket.take(&rate, u64::MAX, micros(u64::MAX));
        bucket.take(&rate, u64::MAX, micros(0));
        assert_eq!(
            bucket.wait(&rate, micros(u64::MAX)),
            Duration::from_micros(1)
        );
        let slow = Rate::new(1, Duration::ZERO);
        assert_eq!(
            bucket.wait(&slow, micros(0)),
            Duration::from_micros(u64::MAX)
        );
        assert_eq!(bucket.full_at(&slow), micros(u64::MAX));
    }
}

//! When to come back: a delay that grows from failure to failure, spread so that clients do not come together.

use std::time::Duration;

/// The delay before the first attempt is `delay`; each failure multiplies it by `factor`, up to `delay_max`. Every
/// delay is then moved by up to `jitter` of itself in either direction. There is no last attempt.
#[derive(Debug, Clone)]
pub struct Reconnect {
    /// Before the first attempt after a loss.
    pub delay: Duration,
    /// The longest, before its jitter.
    pub delay_max: Duration,
    /// At least 1.
    pub factor: f64,
    /// 0 to 1.
    pub jitter: f64,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(1),
            delay_max: Duration::from_secs(30),
            factor: 1.5,
            jitter: 0.3,
        }
    }
}

/// One connection's delays, in order.
#[derive(Debug)]
pub(super) struct Backoff {
    settings: Reconnect,
    next: Duration,
    random: Random,
}

impl Backoff {
    pub fn new(settings: Reconnect, seed: u64) -> Self {
        Self {
            next: settings.delay,
            settings,
            random: Random(seed),
        }
    }

    /// The delay before the next attempt.
    pub fn delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = delay
            .mul_f64(self.settings.factor)
            .min(self.settings.delay_max);
        let jitter = self.settings.jitter * (2.0 * self.random.unit() - 1.0);
        delay.mul_f64(1.0 + jitter)
    }

    /// The delay before the next attempt where the relay has asked for at least so long. Whom it asks for more than
    /// their own delays comes back behind it, and not all at once.
    pub fn delay_after(&mut self, asked: Duration) -> Duration {
        let delay = self.delay();
        match delay < asked {
            true => self.between(asked, asked.mul_f64(self.settings.jitter)),
            false => delay,
        }
    }

    /// An attempt has succeeded: the next delay is the first one again.
    pub fn reset(&mut self) {
        self.next = self.settings.delay;
    }

    /// Somewhere between `after` and `after + jitter`.
    pub fn between(&mut self, after: Duration, jitter: Duration) -> Duration {
        after + jitter.mul_f64(self.random.unit())
    }
}

/// SplitMix64: enough to spread clients in time.
#[derive(Debug)]
struct Random(u64);

impl Random {
    /// From 0 up to, and without, 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_longest_and_stay_within_their_jitter() {
        let mut backoff = Backoff::new(Reconnect::default(), 7);
        let mut nominal = 1.0_f64;
        for _ in 0..20 {
            let delay = backoff.delay().as_secs_f64();
            assert!(
                (nominal * 0.7..=nominal * 1.3).contains(&delay),
                "{delay} for {nominal}"
            );
            nominal = (nominal * 1.5).min(30.0);
        }
        assert_eq!(nominal, 30.0);
        backoff.reset();
        assert!(backoff.delay() <= Duration::from_millis(1300));
    }

    #[test]
    fn whoever_is_asked_to_wait_comes_later_and_not_with_the_others() {
        let asked = Duration::from_secs(5);
        let delay = |seed| Backoff::new(Reconnect::default(), seed).delay_after(asked);
        let mut delays: Vec<Duration> = (0..100).map(delay).collect();
        delays.sort();
        delays.dedup();
        assert!(delays.len() > 95);
        assert!(delays[0] >= asked && delays[delays.len() - 1] <= asked.mul_f64(1.3));
        let mut backoff = Backoff::new(Reconnect::default(), 7);
        let delay = backoff.delay_after(Duration::from_millis(100));
        assert!(
            delay >= Duration::from_millis(700),
            "its own delay is longer"
        );
    }

    #[test]
    fn clients_with_different_seeds_come_back_at_different_times() {
        let mut delays: Vec<Duration> = (0..100)
            .map(|seed| Backoff::new(Reconnect::default(), seed).delay())
            .collect();
        delays.sort();
        delays.dedup();
        assert!(delays.len() > 95);
        let spread = delays[delays.len() - 1] - delays[0];
        assert!(spread > Duration::from_millis(500), "{spread:?}");
    }
}

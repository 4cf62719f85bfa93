//! How often something was how large, and what lies between two such counts.

use serde::{Deserialize, Serialize};

/// A histogram. Counter: `counts[i]` are the values of at most `bounds[i]` that are in no bucket before; the last of
/// `counts`, which has no bound, are the rest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    pub bounds: Vec<u64>,
    pub counts: Vec<u64>,
    pub sum: u64,
}

/// Milliseconds that so large a part took at most. `null`: there was nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Quantiles {
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub p999_ms: Option<f64>,
}

impl Distribution {
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What was counted since an older reading of the same.
    pub fn since(&self, older: &Self) -> Self {
        let before = older.counts.iter().copied().chain(std::iter::repeat(0));
        let counts = self.counts.iter().zip(before);
        Self {
            bounds: self.bounds.clone(),
            counts: counts
                .map(|(count, before)| count.saturating_sub(before))
                .collect(),
            sum: self.sum.saturating_sub(older.sum),
        }
    }

    /// Adds what was counted elsewhere, with the same bounds.
    pub fn add(&mut self, other: &Self) {
        if self.counts.is_empty() {
            *self = other.clone();
            return;
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.sum += other.sum;
    }

    /// What so large a part (0 to 1) of the values was at most: somewhere in its bucket, as if the values in there lay
    /// evenly, or the last bound where they are above it. `None`: there are no values.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let wanted = part * self.count() as f64;
        let (mut below, mut lower) = (0.0, 0.0);
        for (index, count) in self.counts.iter().enumerate() {
            let Some(upper) = self.bounds.get(index).map(|bound| *bound as f64) else {
                break;
            };
            let upto = below + *count as f64;
            if *count > 0 && upto >= wanted {
                return Some(lower + (upper - lower) * (wanted - below) / *count as f64);
            }
            (below, lower) = (upto, upper);
        }
        (self.count() > 0).then_some(lower)
    }

    /// Of a distribution of microseconds.
    pub fn quantiles(&self) -> Quantiles {
        let ms = |part| self.quantile(part).map(|micros| micros / 1000.0);
        Quantiles {
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
            p999_ms: ms(0.999),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(counts: [u64; 4]) -> Distribution {
        Distribution {
            bounds: vec![1000, 2000, 4000],
            counts: counts.to_vec(),
            sum: counts.iter().sum::<u64>() * 1000,
        }
    }

    #[test]
    fn what_lies_between_two_readings() {
        let (older, newer) = (counted([5, 0, 1, 0]), counted([5, 8, 3, 1]));
        assert_eq!(newer.since(&older), counted([0, 8, 2, 1]));
        assert_eq!(newer.since(&Distribution::default()), newer);
        let mut both = Distribution::default();
        both.add(&older);
        both.add(&newer);
        assert_eq!(both, counted([10, 8, 4, 1]));
    }

    #[test]
    fn a_quantile_lies_in_its_bucket() {
        let even = counted([4, 4, 2, 0]);
        assert_eq!(even.quantile(0.2), Some(500.0));
        assert_eq!(even.quantile(0.4), Some(1000.0));
        assert_eq!(even.quantile(0.6), Some(1500.0));
        assert_eq!(even.quantile(1.0), Some(4000.0));
        let Quantiles {
            p50_ms: Some(p50_ms),
            p99_ms: Some(p99_ms),
            p999_ms: Some(p999_ms),
        } = even.quantiles()
        else {
            panic!("there are values");
        };
        let off = [p50_ms - 1.25, p99_ms - 3.9, p999_ms - 3.99];
        assert!(off.iter().all(|off| off.abs() < 1e-9), "{off:?}");
        assert_eq!(counted([0, 0, 4, 0]).quantile(0.0), Some(2000.0));
    }

    #[test]
    fn above_the_last_bound_nothing_is_known_but_that() {
        assert_eq!(counted([1, 0, 0, 1]).quantile(0.99), Some(4000.0));
        assert_eq!(counted([0, 0, 0, 0]).quantile(0.5), None);
        assert_eq!(Distribution::default().quantiles(), Quantiles::default());
    }
}

//! How often a number was how large, in buckets whose bounds are powers of two: plain numbers, for one thread.

/// Bucket `index` has the values of at most [`Histogram::bound`] that are in none before it; the last one has the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Histogram<const BUCKETS: usize> {
    counts: [u64; BUCKETS],
    sum: u64,
}

impl<const BUCKETS: usize> Default for Histogram<BUCKETS> {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
            sum: 0,
        }
    }
}

impl<const BUCKETS: usize> Histogram<BUCKETS> {
    pub fn add(&mut self, value: u64) {
        let bits = u64::BITS - value.saturating_sub(1).leading_zeros();
        self.counts[(bits as usize).min(BUCKETS - 1)] += 1;
        self.sum = self.sum.wrapping_add(value);
    }

    /// Up to which value a bucket goes. `None`: it is the last.
    pub fn bound(index: usize) -> Option<u64> {
        (index < BUCKETS - 1).then(|| 1 << index)
    }

    pub fn counts(&self) -> &[u64; BUCKETS] {
        &self.counts
    }

    pub fn sum(&self) -> u64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_its_bound_and_none_above() {
        let mut histogram = Histogram::<5>::default();
        for value in [0, 1, 2, 3, 4, 5, 8, 9, 1 << 40] {
            histogram.add(value);
        }
        let bounds = [0, 1, 2, 3, 4].map(Histogram::<5>::bound);
        assert_eq!(bounds, [Some(1), Some(2), Some(4), Some(8), None]);
        assert_eq!(histogram.counts(), &[2, 1, 2, 2, 2]);
        assert_eq!(histogram.sum(), 32 + (1 << 40));
    }
}

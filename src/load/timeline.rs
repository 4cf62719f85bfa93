//! What came in each part of the measured window, for the plots over time.

use hdrhistogram::Histogram;

/// A part of the measured window.
#[derive(Debug)]
pub(super) struct Slice {
    /// Operations that came in it.
    pub delivered: u64,
    /// Of the operations that were due in it: until healthy receivers had them, in microseconds.
    pub delivery: Histogram<u64>,
}

impl Default for Slice {
    fn default() -> Self {
        let delivery = Histogram::new_with_bounds(1, 3_600_000_000, 2);
        Self {
            delivered: 0,
            delivery: delivery.expect("the bounds are in order"),
        }
    }
}

/// The slices so far, in order.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    pub slices: Vec<Slice>,
}

impl Timeline {
    pub fn at(&mut self, slice: usize) -> &mut Slice {
        if slice >= self.slices.len() {
            self.slices.resize_with(slice + 1, Slice::default);
        }
        &mut self.slices[slice]
    }

    pub fn add(&mut self, other: &Self) {
        for (index, theirs) in other.slices.iter().enumerate() {
            let slice = self.at(index);
            slice.delivered += theirs.delivered;
            slice
                .delivery
                .add(&theirs.delivery)
                .expect("the same bounds");
        }
    }
}

//! Random numbers that are the same in every run.

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// A number that is often near an edge of something.
    pub fn number(&mut self) -> u64 {
        let edges = [
            0,
            1,
            2,
            3,
            7,
            50,
            125,
            126,
            127,
            128,
            255,
            256,
            1000,
            4096,
            65_535,
            65_536,
            1 << 20,
            1 << 31,
            (1 << 32) - 1,
            1 << 32,
            1 << 53,
            1 << 63,
            u64::MAX - 1,
            u64::MAX,
        ];
        match self.below(3) {
            0 => self.below(12) as u64,
            1 => *self.pick(&edges),
            _any => self.next() >> self.below(64),
        }
    }
}

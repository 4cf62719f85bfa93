//! What happened in a run: a digest of everything that went into and came out of the relay, and lines to read.

use std::fmt;

use xxhash_rust::xxh3::Xxh3;

pub struct Trace {
    digest: Xxh3,
    is_printed: bool,
    now_us: u64,
}

impl Trace {
    pub fn new(is_printed: bool) -> Self {
        Self {
            digest: Xxh3::new(),
            is_printed,
            now_us: 0,
        }
    }

    pub fn set_time(&mut self, now_us: u64) {
        self.now_us = now_us;
    }

    /// Something crossed the relay's border.
    pub fn absorb(&mut self, what: &str, number: u64, bytes: &[u8]) {
        self.digest.update(what.as_bytes());
        for number in [self.now_us, number, bytes.len() as u64] {
            self.digest.update(&number.to_le_bytes());
        }
        self.digest.update(bytes);
    }

    /// A line for whoever reads the trace of one seed.
    pub fn note(&self, line: fmt::Arguments<'_>) {
        if self.is_printed {
            let (seconds, micros) = (self.now_us / 1_000_000, self.now_us % 1_000_000);
            println!("{seconds:>6}.{micros:06} {line}");
        }
    }

    pub fn digest(&self) -> u64 {
        self.digest.digest()
    }
}

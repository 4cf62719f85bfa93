//! What requests and their answers hold in memory, all together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::server::http::problem::Problem;

#[derive(Debug)]
pub struct Memory {
    bytes_max: AtomicUsize,
    bytes: AtomicUsize,
    /// How often there was none for somebody.
    refusals: AtomicU64,
}

/// So many bytes are counted until this is dropped.
#[derive(Debug)]
pub struct Held {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Memory {
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max: bytes_max.into(),
            bytes: AtomicUsize::new(0),
            refusals: AtomicU64::new(0),
        }
    }

    /// What is held, and may be held.
    pub fn level(&self) -> (u64, u64) {
        let level = [&self.bytes, &self.bytes_max].map(|it| it.load(Ordering::Relaxed) as u64);
        level.into()
    }

    /// How often there was none for somebody: whoever sees it rise knows that others need what it holds.
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// Somebody was refused for something else that whoever holds memory holds, too.
    pub fn refuse(&self) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
    }

    /// From here on more is held within this. What is held stays.
    pub fn set_max(&self, bytes_max: usize) {
        self.bytes_max.store(bytes_max, Ordering::Relaxed);
    }

    /// # Errors
    ///
    /// SERVICE_UNAVAILABLE: others hold too much, or nobody may hold so much.
    pub fn hold(self: &Arc<Self>, bytes: usize) -> Result<Held, Problem> {
        let mut held = Held {
            memory: Arc::clone(self),
            bytes: 0,
        };
        held.grow(bytes)?;
        Ok(held)
    }
}

impl Held {
    /// # Errors
    ///
    /// As [`Memory::hold`].
    pub fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let bytes_max = self.memory.bytes_max.load(Ordering::Relaxed);
        let add = |held: usize| held.checked_add(bytes).filter(|held| *held <= bytes_max);
        let added = self
            .memory
            .bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        if added.is_err() {
            self.memory.refuse();
            return Err(Problem::unavailable(format!(
                "the answers that are being made take all the memory that there is for them ({bytes_max} bytes)"
            )));
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Holds no more than this from here on.
    pub fn shrink_to(&mut self, bytes: usize) {
        let rest = self.bytes.saturating_sub(bytes);
        self.bytes -= rest;
        self.memory.bytes.fetch_sub(rest, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_and_given_back() {
        let memory = Arc::new(Memory::new(100));
        let mut held = memory.hold(60).expect("there is room");
        held.grow(40).expect("there is room");
        assert!(held.grow(1).is_err());
        assert_eq!(memory.hold(1).expect_err("it is full").status, 503);
        assert_eq!((memory.refusals(), memory.level()), (2, (100, 100)));
        held.shrink_to(200);
        assert!(held.grow(1).is_err());
        held.shrink_to(30);
        drop(memory.hold(70).expect("there is room"));
        memory.set_max(101);
        drop(memory.hold(71).expect("there is room for one more"));
        memory.set_max(100);
        drop(held);
        assert!(memory.hold(100).is_ok());
        assert!(memory.hold(usize::MAX).is_err());
    }
}

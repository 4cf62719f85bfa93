//! What requests and their answers hold in memory, all together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::server::http::problem::Problem;

#[derive(Debug)]
pub struct Memory {
    bytes_max: usize,
    bytes: AtomicUsize,
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
            bytes_max,
            bytes: AtomicUsize::new(0),
        }
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
        let bytes_max = self.memory.bytes_max;
        let add = |held: usize| held.checked_add(bytes).filter(|held| *held <= bytes_max);
        let added = self
            .memory
            .bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        if added.is_err() {
            return Err(Problem::unavailable(format!(
                "the answers that are being made take all the memory that there is for them ({bytes_max} bytes)"
            )));
        }
        self.bytes += bytes;
        Ok(())
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
        drop(held);
        assert!(memory.hold(100).is_ok());
        assert!(memory.hold(usize::MAX).is_err());
    }
}

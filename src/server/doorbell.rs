//! How one thread wakes a shard that sleeps.
//!
//! Every shard has one doorbell, which is in the shard's own set of descriptors. Whoever has put something where
//! the shard looks rings it. Waking a parked core costs many microseconds on both sides, so the bell is only
//! really rung while it is armed, which is from the shard's last look at its inboxes until it is awake again.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, write};

#[derive(Debug)]
pub struct Doorbell {
    event: OwnedFd,
    armed: AtomicBool,
}

impl Doorbell {
    pub fn new() -> Result<Self, Errno> {
        Ok(Self {
            event: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            armed: AtomicBool::new(false),
        })
    }

    /// Call it after the thing is where the shard will find it.
    pub fn ring(&self) {
        // With the fence in `arm`: either the shard sees the thing on its last look, or this sees the bell armed.
        fence(Ordering::SeqCst);
        if self.armed.load(Ordering::Relaxed) && self.armed.swap(false, Ordering::AcqRel) {
            // The counter is never read, only its edges count. It cannot fail before 2^64 rings.
            let _ = write(&self.event, &1_u64.to_ne_bytes());
        }
    }

    /// Call it before the last look at the inboxes.
    pub fn arm(&self) {
        self.armed.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    pub fn disarm(&self) {
        self.armed.store(false, Ordering::Relaxed);
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

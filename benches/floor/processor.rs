//! Where this thread runs, and for how long it has.

use std::time::Duration;

use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// Keeps this thread on one of the cores, if there are so many.
pub fn pin(cores: &[usize], place: usize) {
    if let Some(core) = cores.get(place) {
        let mut set = CpuSet::new();
        set.set(*core);
        sched_setaffinity(None, &set).expect("the machine has the core");
    }
}

/// What this thread has used, which is charged for the kernel's way to the receiver's socket, too.
pub fn used() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("time is positive")
}

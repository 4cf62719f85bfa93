//! What the system says of the process. What it does not say is 0.

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::overview::Process;

pub fn of_self() -> Process {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    Process {
        cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
        resident_bytes: resident_bytes(),
        open_descriptors: open_descriptors(),
        open_descriptors_max: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
    }
}

fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages
        .as_deref()
        .and_then(|text| text.split(' ').nth(1)?.parse().ok());
    pages.unwrap_or(0_u64) * rustix::param::page_size() as u64
}

fn open_descriptors() -> u64 {
    const FOLDER: &str = "/proc/self/fd";
    // Since Linux 6.2 the folder's length is their number; before, they have to be counted, one by one.
    let length = std::fs::metadata(FOLDER).map_or(0, |folder| folder.len());
    match length {
        0 => std::fs::read_dir(FOLDER).map_or(0, |entries| entries.count() as u64),
        length => length,
    }
}

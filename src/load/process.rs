//! What processes have used, and what this one may.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// User and system time of all threads of this process.
pub(super) fn own_cpu() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(spent).unwrap_or_default()
}

/// Raises the limit of open files as far as it goes: every client is one.
pub(super) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // If that is refused, connecting says what is missing.
    let _ = setrlimit(Resource::Nofile, raised);
}

/// A process at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    /// User and system time of all its threads.
    pub cpu: Duration,
    /// Resident memory.
    pub rss_bytes: u64,
}

impl Usage {
    pub fn of(pid: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let ticks_per_second = rustix::param::clock_ticks_per_second();
        let page_bytes = rustix::param::page_size() as u64;
        parse(&stat, ticks_per_second, page_bytes)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc has another format"))
    }
}

fn parse(stat: &str, ticks_per_second: u64, page_bytes: u64) -> Option<Usage> {
    // The second field is the name, in parentheses, and may contain anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    // Fields are numbered from 1 in proc(5); these begin with the third.
    let number = |field: usize| fields.get(field - 3)?.trim().parse::<u64>().ok();
    let ticks = number(14)? + number(15)?;
    Some(Usage {
        cpu: Duration::from_secs_f64(ticks as f64 / ticks_per_second as f64),
        rss_bytes: number(24)? * page_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_behind_any_name() {
        let stat = "12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 13 14 15 16 17 18 19 20 7 22";
        let usage = parse(stat, 100, 4096).expect("as in proc(5)");
        assert_eq!(usage.cpu, Duration::from_secs(3));
        assert_eq!(usage.rss_bytes, 7 * 4096);
        assert!(parse("nonsense", 100, 4096).is_none());
    }

    #[test]
    fn this_process_uses_memory() {
        let usage = Usage::of(std::process::id()).expect("it runs");
        assert!(usage.rss_bytes > 100_000);
    }
}

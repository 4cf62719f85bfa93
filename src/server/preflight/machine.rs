//! The kernel, its io_uring, the cores and the memory.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::{Check, Finding};
use crate::config::{Cores, CoresError, mebibytes_text};

/// The oldest kernel whose io_uring has what the executors use.
const KERNEL_MIN: (u32, u32) = (5, 8);

const KERNEL: &str = "kernel";
const IO_URING: &str = "io_uring";
const CORES: &str = "shards.cores";
const MEMORY: &str = "memory";

pub fn kernel() -> Check {
    judge_kernel(&read_trimmed("/proc/sys/kernel/osrelease").unwrap_or_default())
}

fn judge_kernel(release: &str) -> Check {
    let mut numbers = release
        .split(|character: char| !character.is_ascii_digit())
        .map_while(|number| number.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) >= KERNEL_MIN => {
            Check::good(KERNEL, format!("Linux {release}"))
        }
        (Some(_), Some(_)) => Check::wrong(
            KERNEL,
            Finding {
                what: format!("Linux {release} is too old"),
                why: format!(
                    "the relay needs the io_uring of Linux {}.{} or newer",
                    KERNEL_MIN.0, KERNEL_MIN.1
                ),
                remedy: "Run it on a newer kernel.".to_owned(),
            },
        ),
        (_, _) => Check::advice(
            KERNEL,
            Finding {
                what: format!("the version {release:?} is not understood"),
                why: "/proc/sys/kernel/osrelease should start with two numbers".to_owned(),
                remedy: "Go on if the io_uring check is ok.".to_owned(),
            },
        ),
    }
}

pub fn io_uring() -> Check {
    let disabled = read_trimmed("/proc/sys/kernel/io_uring_disabled");
    judge_io_uring(probe_io_uring(), disabled.as_deref())
}

/// Makes the smallest io_uring there is, and drops it.
fn probe_io_uring() -> io::Result<()> {
    const ENTRIES: libc::c_uint = 1;
    // struct io_uring_params: 120 bytes, all of them zero for a plain ring.
    let mut params = [0_u64; 15];
    // SAFETY: the kernel reads and writes 120 bytes at `params`, which lives until the call is over.
    let result = unsafe { libc::syscall(libc::SYS_io_uring_setup, ENTRIES, params.as_mut_ptr()) };
    let fd = RawFd::try_from(result).expect("a file descriptor fits its type");
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    Ok(())
}

/// `disabled` is what `kernel.io_uring_disabled` says, where there is such a key.
fn judge_io_uring(probe: io::Result<()>, disabled: Option<&str>) -> Check {
    let Err(error) = probe else {
        return Check::good(IO_URING, "usable");
    };
    let (why, remedy) = match (error.raw_os_error(), disabled) {
        (Some(libc::EPERM), Some("2")) => (
            "the sysctl kernel.io_uring_disabled is 2, which forbids it to every process".to_owned(),
            "sysctl -w kernel.io_uring_disabled=0, and the same in /etc/sysctl.d to keep it."
                .to_owned(),
        ),
        (Some(libc::EPERM), Some("1")) => (
            "the sysctl kernel.io_uring_disabled is 1, which forbids it to processes without privilege"
                .to_owned(),
            "sysctl -w kernel.io_uring_disabled=0; or put the relay's user into the group whose number \
             kernel.io_uring_group holds."
                .to_owned(),
        ),
        (Some(libc::EPERM | libc::EACCES), _) => (
            "a security policy forbids the system call io_uring_setup; in containers that is \
             usually the default seccomp profile"
                .to_owned(),
            "Allow io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp profile \
             (docker run --security-opt seccomp=PROFILE.json), or in the unit's SystemCallFilter."
                .to_owned(),
        ),
        (Some(libc::ENOSYS), _) => (
            "the kernel does not have the system call io_uring_setup, or a seccomp profile hides it".to_owned(),
            "Use a kernel that was built with CONFIG_IO_URING; in a container, allow io_uring_setup, \
             io_uring_enter and io_uring_register in its seccomp profile."
                .to_owned(),
        ),
        (Some(libc::ENOMEM), _) => (
            "there is not enough memory that may be locked for its rings".to_owned(),
            "Raise the limit: ulimit -l unlimited, or LimitMEMLOCK=infinity in the systemd unit.".to_owned(),
        ),
        (Some(_) | None, _) => (
            format!("io_uring_setup answers: {error}"),
            "Try the same command as root and outside of containers; if it works there, a limit or a policy \
             is in the way."
                .to_owned(),
        ),
    };
    Check::wrong(
        IO_URING,
        Finding {
            what: "it cannot be used".to_owned(),
            why,
            remedy,
        },
    )
}

/// The cores that this process may run on, in rising order.
pub fn allowed_cores() -> Vec<usize> {
    let set = rustix::thread::sched_getaffinity(None)
        .expect("a process may always ask for its own affinity");
    (0..rustix::thread::CpuSet::MAX_CPU)
        .filter(|core| set.is_set(*core))
        .collect()
}

pub fn cores(cores: &Cores) -> Check {
    judge_cores(cores, &allowed_cores())
}

fn judge_cores(cores: &Cores, allowed: &[usize]) -> Check {
    let finding = |what: String| Finding {
        what,
        why: "each shard is pinned to a core of its own".to_owned(),
        remedy: format!(
            "Choose from {allowed:?}, or widen what the process may use (taskset, the container's cpuset, \
             CPUAffinity in the systemd unit)."
        ),
    };
    match cores.choose(allowed) {
        Ok(chosen) => Check::good(CORES, format!("a shard on each of {chosen:?}")),
        Err(error @ (CoresError::TooFew { .. } | CoresError::NotAllowed { .. })) => {
            Check::wrong(CORES, finding(error.to_string()))
        }
    }
}

pub fn memory(budget_bytes: u64) -> Check {
    let machine = read_trimmed("/proc/meminfo").and_then(|text| memory_total(&text));
    let group = read_trimmed("/proc/self/cgroup").and_then(|text| group_limit(&text));
    judge_memory(budget_bytes, machine.into_iter().chain(group).min())
}

/// The machine's memory, in bytes, from `/proc/meminfo`.
pub(super) fn memory_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// What the control group (version 2) of the process allows, in bytes. `None`: as much as there is.
fn group_limit(cgroup: &str) -> Option<u64> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    read_trimmed(&format!("/sys/fs/cgroup{path}/memory.max"))?
        .parse()
        .ok()
}

fn judge_memory(budget_bytes: u64, available_bytes: Option<u64>) -> Check {
    let budget = mebibytes_text(budget_bytes);
    match available_bytes {
        Some(available) if available < budget_bytes => Check::advice(
            MEMORY,
            Finding {
                what: format!(
                    "the memory budget is {budget}, and the relay may use {}",
                    mebibytes_text(available)
                ),
                why: "with clients at every limit the system would end the relay".to_owned(),
                remedy: "Lower the keys of [memory] (memory.document_bytes_max first), or run fewer shards; \
                         corelay serve --check prints the budget."
                    .to_owned(),
            },
        ),
        Some(available) => Check::good(MEMORY, format!("a budget of {budget} in {}", mebibytes_text(available))),
        None => Check::good(MEMORY, format!("a budget of {budget}")),
    }
}

fn read_trimmed(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    fn wrong(check: Check) -> Finding {
        match check.outcome {
            Outcome::Wrong(finding) => finding,
            other => panic!("it should be wrong, and is {other:?}"),
        }
    }

    fn is_good(check: &Check) -> bool {
        matches!(check.outcome, Outcome::Good { .. })
    }

    #[test]
    fn kernels_from_5_8_on_are_good() {
        for release in ["5.8.0", "5.8.0-rc1", "5.10.0-28-amd64", "6.18.44", "10.0"] {
            assert!(is_good(&judge_kernel(release)), "{release}");
        }
        for release in ["5.7.19-generic", "4.19.0", "3.10.0-1160.el7.x86_64"] {
            assert!(wrong(judge_kernel(release)).what.contains(release));
        }
        let unknown = judge_kernel("mystery");
        assert!(matches!(unknown.outcome, Outcome::Advice(_)));
    }

    #[test]
    fn each_way_of_forbidding_io_uring_has_its_remedy() {
        let table = [
            (
                libc::EPERM,
                Some("2"),
                "kernel.io_uring_disabled is 2",
                "sysctl -w",
            ),
            (
                libc::EPERM,
                Some("1"),
                "kernel.io_uring_disabled is 1",
                "io_uring_group",
            ),
            (libc::EPERM, Some("0"), "seccomp", "seccomp=PROFILE.json"),
            (libc::EPERM, None, "seccomp", "SystemCallFilter"),
            (libc::ENOSYS, None, "does not have", "CONFIG_IO_URING"),
            (
                libc::ENOMEM,
                Some("0"),
                "memory that may be locked",
                "LimitMEMLOCK",
            ),
            (libc::EMFILE, None, "Too many open files", "policy"),
        ];
        for (errno, disabled, why, remedy) in table {
            let error = io::Error::from_raw_os_error(errno);
            let finding = wrong(judge_io_uring(Err(error), disabled));
            assert!(finding.why.contains(why), "{finding:?}");
            assert!(finding.remedy.contains(remedy), "{finding:?}");
        }
        assert!(is_good(&judge_io_uring(Ok(()), Some("0"))));
    }

    #[test]
    fn cores_that_are_not_there_are_wrong() {
        assert!(is_good(&judge_cores(&Cores::List(vec![2]), &[0, 2])));
        let finding = wrong(judge_cores(&Cores::List(vec![1, 2, 7]), &[0, 2]));
        assert_eq!(finding.what, "the process may not run on core 1,7");
        assert!(finding.remedy.contains("[0, 2]"), "{finding:?}");
        let finding = wrong(judge_cores(&Cores::Count(3), &[0, 2]));
        assert_eq!(
            finding.what,
            "3 cores are asked for, and the process may run on 2"
        );
    }

    #[test]
    fn a_budget_beyond_the_memory_is_advice() {
        assert!(is_good(&judge_memory(1 << 30, Some(1 << 30))));
        assert!(is_good(&judge_memory(1 << 30, None)));
        let check = judge_memory((1 << 30) + 1, Some(1 << 30));
        assert!(matches!(check.outcome, Outcome::Advice(_)), "{check:?}");
    }

    #[test]
    fn the_memory_is_read_from_the_kernels_own_words() {
        let text = "MemTotal:       24570000 kB\nMemFree:        22000000 kB\n";
        assert_eq!(memory_total(text), Some(24_570_000 * 1024));
        assert_eq!(memory_total("MemFree: 1 kB\n"), None);
        assert_eq!(group_limit("12:memory:/user.slice\n"), None);
    }
}

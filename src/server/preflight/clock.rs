//! The host's clock: what it is read from, and whether somebody keeps it right.

use super::host::Host;
use super::{Check, Finding};

const SOURCE: &str = "clock source";
const TIME: &str = "time";

/// Clocks that are read without a system call.
const FAST_SOURCES: [&str; 4] = [
    "tsc",
    "kvm-clock",
    "hyperv_clocksource_tsc_page",
    "arch_sys_counter",
];

pub fn all(host: &Host) -> [Check; 2] {
    [source(host), judge_time(is_synchronized())]
}

fn source(host: &Host) -> Check {
    let folder = "sys/devices/system/clocksource/clocksource0";
    let Some(source) = host.read(&format!("{folder}/current_clocksource")) else {
        return Check::not_visible(SOURCE, format!("there is no /{folder}"));
    };
    if FAST_SOURCES.contains(&source.as_str()) {
        return Check::good(SOURCE, source);
    }
    let available = host.read(&format!("{folder}/available_clocksource"));
    Check::advice(
        SOURCE,
        Finding {
            what: format!("it is {source}"),
            why: "each reading is a system call or goes out to a slow device, and a shard reads the time in every turn"
                .to_owned(),
            remedy: format!(
                "Boot with tsc=reliable clocksource=tsc if the processors' counters run alike; available are: {}.",
                available.unwrap_or_default()
            ),
        },
    )
}

/// What the kernel has been told by whoever keeps the time. `None`: it does not say.
fn is_synchronized() -> Option<bool> {
    // SAFETY: a timex of zeros is valid, and asks without changing anything.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes into `timex`, which lives until the call is over.
    match unsafe { libc::adjtimex(&raw mut timex) } {
        -1 => None,
        libc::TIME_ERROR => Some(false),
        _ => Some(timex.status & libc::STA_UNSYNC == 0),
    }
}

fn judge_time(is_synchronized: Option<bool>) -> Check {
    match is_synchronized {
        Some(true) => Check::good(TIME, "synchronized"),
        None => Check::not_visible(TIME, "the kernel does not say whether it is synchronized"),
        Some(false) => Check::advice(
            TIME,
            Finding {
                what: "nobody keeps the clock right".to_owned(),
                why: "tokens expire by it, and operations are dated by it".to_owned(),
                remedy: "Run chrony or systemd-timesyncd (timedatectl set-ntp true). Where the hypervisor keeps the \
                         time the kernel may not know, and nothing is to be done."
                    .to_owned(),
            },
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::super::host::tests::host;
    use super::*;

    #[test]
    fn a_clock_that_is_slow_to_read_is_advice() {
        let path = "sys/devices/system/clocksource/clocksource0/current_clocksource";
        let (good, _directory) = host(&[(path, "tsc\n")]);
        assert!(matches!(source(&good).outcome, Outcome::Good { .. }));
        let (slow, _directory) = host(&[(path, "hpet\n")]);
        assert!(matches!(source(&slow).outcome, Outcome::Advice(_)));
        let (unknown, _directory) = host(&[]);
        let outcome = source(&unknown).outcome;
        assert!(matches!(outcome, Outcome::NotVisible { .. }));
    }

    #[test]
    fn a_clock_that_nobody_keeps_is_advice() {
        let outcome = |known| judge_time(known).outcome;
        assert!(matches!(outcome(Some(true)), Outcome::Good { .. }));
        assert!(matches!(outcome(Some(false)), Outcome::Advice(_)));
        assert!(matches!(outcome(None), Outcome::NotVisible { .. }));
    }
}

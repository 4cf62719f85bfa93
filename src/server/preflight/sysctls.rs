//! Kernel settings, each with what it buys. `tuning/sysctl.conf` has the same with the same values.

use super::host::Host;
use super::{Check, Finding, cores};
use crate::config::bytes_text;

/// One kernel setting.
struct Sysctl {
    name: &'static str,
    wanted: Wanted,
    /// What is so as long as it is not as wanted.
    why: &'static str,
}

/// The last number of a setting is what is looked at: the largest of the three of `tcp_rmem`.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    AtLeast(u64),
    AtMost(u64),
    Not(u64),
}

impl Wanted {
    fn is_met(self, value: u64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
            Self::Not(wrong) => value != wrong,
        }
    }

    /// What to set.
    fn value(self) -> u64 {
        match self {
            Self::AtLeast(value) | Self::AtMost(value) => value,
            // Of the kernel's choices the default.
            Self::Not(_) => 0,
        }
    }
}

const SYSCTLS: [Sysctl; 7] = [
    Sysctl {
        name: "net.core.somaxconn",
        wanted: Wanted::AtLeast(4096),
        why: "when more clients than that come at once, as after a restart, the kernel lets some wait a second or more",
    },
    Sysctl {
        name: "net.ipv4.tcp_max_syn_backlog",
        wanted: Wanted::AtLeast(4096),
        why: "when many distant clients come at once, as after a restart, the kernel lets some wait a second or more",
    },
    Sysctl {
        name: "net.ipv4.tcp_slow_start_after_idle",
        wanted: Wanted::AtMost(0),
        why: "after each pause a connection begins slowly again, and people edit in bursts, with pauses between them",
    },
    Sysctl {
        name: "net.ipv4.tcp_notsent_lowat",
        wanted: Wanted::AtMost(131_072),
        why: "the kernel takes megabytes for a slow client that it cannot send yet: memory outside of the relay's budget, \
              and by the time it is sent it is old",
    },
    Sysctl {
        name: "net.ipv4.tcp_rmem",
        wanted: Wanted::AtLeast(6_291_456),
        why: "a distant client sends at most so many bytes in each round trip",
    },
    Sysctl {
        name: "net.ipv4.tcp_wmem",
        wanted: Wanted::AtLeast(4_194_304),
        why: "a distant client gets at most so many bytes in each round trip, as when it loads a large document",
    },
    Sysctl {
        name: "vm.overcommit_memory",
        wanted: Wanted::Not(2),
        why: "the allocator reserves addresses that it does not use, and here they count as used",
    },
];

/// Asked for where there is swap.
const SWAPPINESS: Sysctl = Sysctl {
    name: "vm.swappiness",
    wanted: Wanted::AtMost(10),
    why: "memory of quiet documents goes to the swap, and all clients of a shard wait while it comes back",
};

/// Asked for where there are several nodes.
const NODES: [Sysctl; 2] = [
    Sysctl {
        name: "kernel.numa_balancing",
        wanted: Wanted::AtMost(0),
        why: "the kernel stops shards, which never change their core, to see which memory they use",
    },
    Sysctl {
        name: "vm.zone_reclaim_mode",
        wanted: Wanted::AtMost(0),
        why: "a node that is full stops shards to make room, though another node has some",
    },
];

const DIRTY: &str = "vm.dirty_background_bytes";
const DIRTY_BYTES: u64 = 64 << 20;
/// What a disk of these days writes in a fraction of a second.
const DIRTY_BYTES_MAX: u64 = 256 << 20;

/// `files`: how many descriptors the relay wants.
pub fn all(host: &Host, files: u64) -> Vec<Check> {
    let number_of_files = |name| Sysctl {
        name,
        wanted: Wanted::AtLeast(files),
        why: "every connection needs a descriptor, and this is the most that there can be",
    };
    let mut checks: Vec<_> = SYSCTLS.iter().map(|sysctl| judge(host, sysctl)).collect();
    checks.extend(["fs.nr_open", "fs.file-max"].map(|name| judge(host, &number_of_files(name))));
    if has_swap(host) {
        checks.push(judge(host, &SWAPPINESS));
    }
    if cores::has_nodes(host) {
        checks.extend(NODES.iter().map(|sysctl| judge(host, sysctl)));
    }
    checks.push(dirty(host));
    checks
}

fn path(name: &str) -> String {
    format!("proc/sys/{}", name.replace('.', "/"))
}

fn judge(host: &Host, sysctl: &Sysctl) -> Check {
    let Sysctl { name, wanted, why } = *sysctl;
    let text = host.read(&path(name));
    let last = |text: &String| text.split_whitespace().next_back()?.parse().ok();
    let Some(value) = text.as_ref().and_then(last) else {
        return Check::not_visible(name, format!("there is no /{}", path(name)));
    };
    if wanted.is_met(value) {
        return Check::good(name, value.to_string());
    }
    let set = match text
        .unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()[..]
    {
        [least, default, _] => format!("{name}='{least} {default} {}'", wanted.value()),
        _ => format!("{name}={}", wanted.value()),
    };
    Check::advice(
        name,
        Finding {
            what: format!("it is {value}"),
            why: why.to_owned(),
            remedy: format!(
                "sysctl -w {set}; tuning/sysctl.conf keeps it, put into /etc/sysctl.d."
            ),
        },
    )
}

fn has_swap(host: &Host) -> bool {
    let swaps = host.read("proc/swaps");
    swaps.is_some_and(|text| text.lines().count() > 1)
}

/// What has been written to files and not to the disk, before the kernel begins to write it: bytes, or a percentage of
/// the memory.
fn dirty(host: &Host) -> Check {
    let bytes = host.number(&path(DIRTY));
    let percent = host.number(&path("vm.dirty_background_ratio"));
    let memory = host
        .read("proc/meminfo")
        .as_deref()
        .and_then(super::machine::memory_total);
    let limit = match (bytes, percent, memory) {
        (Some(bytes), _, _) if bytes > 0 => bytes,
        (_, Some(percent), Some(memory)) => memory / 100 * percent,
        (_, _, _) => return Check::not_visible(DIRTY, format!("there is no /{}", path(DIRTY))),
    };
    // Whole mebibytes: nobody wants to read the rest.
    let limit_text = bytes_text(limit.next_multiple_of(1 << 20));
    if limit <= DIRTY_BYTES_MAX {
        return Check::good(DIRTY, limit_text);
    }
    Check::advice(
        DIRTY,
        Finding {
            what: format!("the kernel gathers {limit_text} before it writes them"),
            why: "then the disk is busy with all of it at once, a backup or a log, and the relay's syncs wait behind it"
                .to_owned(),
            remedy: format!("sysctl -w {DIRTY}={DIRTY_BYTES}; tuning/sysctl.conf keeps it, put into /etc/sysctl.d."),
        },
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Outcome;
    use super::super::host::tests::host;
    use super::*;

    /// The settings of the file that operators get.
    fn file() -> BTreeMap<&'static str, &'static str> {
        let text = include_str!("../../../tuning/sysctl.conf");
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with("#"));
        lines
            .map(|line| line.split_once('=').expect("each line sets something"))
            .map(|(name, value)| (name.trim().trim_start_matches('-'), value.trim()))
            .collect()
    }

    /// A host that has all of it.
    fn tuned() -> Vec<(String, String)> {
        let mut files: Vec<_> = file()
            .into_iter()
            .map(|(name, value)| (path(name), value.to_owned()))
            .collect();
        let more = [
            ("proc/sys/fs/file-max", "9223372036854775807"),
            ("proc/sys/vm/overcommit_memory", "0"),
            ("proc/swaps", "Filename Type\n/swap file"),
            ("sys/devices/system/node/node0/cpulist", "0"),
            ("sys/devices/system/node/node1/cpulist", "1"),
        ];
        files.extend(more.map(|(path, text)| (path.to_owned(), text.to_owned())));
        files
    }

    fn examined(files: &[(String, String)]) -> Vec<Check> {
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| (&**path, &**text))
            .collect();
        let (host, _directory) = host(&files);
        all(&host, 1_000_000)
    }

    #[test]
    fn a_host_with_our_file_has_nothing_to_be_said_about() {
        for check in examined(&tuned()) {
            assert!(matches!(check.outcome, Outcome::Good { .. }), "{check:?}");
        }
    }

    #[test]
    fn our_file_sets_what_is_advised_and_nothing_that_is_not_looked_at() {
        let file = file();
        let checks = examined(&tuned());
        for name in file.keys() {
            let others = ["kernel.io_uring_disabled", "vm.dirty_bytes"];
            let is_looked_at = checks.iter().any(|check| check.name == **name);
            assert!(is_looked_at || others.contains(name), "{name}");
        }
        for sysctl in SYSCTLS.iter().chain(&NODES).chain([&SWAPPINESS]) {
            let set = file
                .get(sysctl.name)
                .and_then(|value| value.split(' ').next_back());
            let set = set.map(|value| value.parse::<u64>().expect("a number"));
            match sysctl.wanted {
                Wanted::AtLeast(value) | Wanted::AtMost(value) => {
                    assert_eq!(set, Some(value), "{}", sysctl.name)
                }
                Wanted::Not(_) => assert_eq!(set, None, "{}", sysctl.name),
            }
        }
        assert_eq!(file.get(DIRTY), Some(&DIRTY_BYTES.to_string().as_str()));
    }

    #[test]
    fn each_setting_that_is_not_as_wanted_has_its_remedy() {
        let table = [
            (
                "net.core.somaxconn",
                "128",
                "sysctl -w net.core.somaxconn=4096;",
            ),
            (
                "net.ipv4.tcp_notsent_lowat",
                "4294967295",
                "tcp_notsent_lowat=131072;",
            ),
            (
                "net.ipv4.tcp_wmem",
                "4096\t16384\t65536",
                "net.ipv4.tcp_wmem='4096 16384 4194304';",
            ),
            (
                "net.ipv4.tcp_slow_start_after_idle",
                "1",
                "tcp_slow_start_after_idle=0;",
            ),
            ("vm.overcommit_memory", "2", "vm.overcommit_memory=0;"),
            ("vm.swappiness", "60", "vm.swappiness=10;"),
            ("kernel.numa_balancing", "1", "kernel.numa_balancing=0;"),
            ("fs.nr_open", "65536", "fs.nr_open=1000000;"),
            (
                "vm.dirty_background_bytes",
                "4294967296",
                "vm.dirty_background_bytes=67108864;",
            ),
        ];
        for (name, value, remedy) in table {
            let mut files = tuned();
            let file = files.iter_mut().find(|(at, _)| *at == path(name));
            value.clone_into(&mut file.expect("it is tuned").1);
            let checks = examined(&files);
            let bad: Vec<_> = checks
                .into_iter()
                .filter(|check| !matches!(check.outcome, Outcome::Good { .. }))
                .collect();
            let [
                Check {
                    name: named,
                    outcome: Outcome::Advice(finding),
                },
            ] = bad.as_slice()
            else {
                panic!("{name}: {bad:?}");
            };
            assert_eq!(named, name);
            assert!(finding.remedy.contains(remedy), "{finding:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_visible() {
        for check in examined(&[]) {
            assert!(
                matches!(check.outcome, Outcome::NotVisible { .. }),
                "{check:?}"
            );
        }
    }

    #[test]
    fn a_tenth_of_a_large_memory_is_too_much_at_once() {
        let table = [
            ("2000000 kB", "10", false),
            ("64000000 kB", "10", true),
            ("64000000 kB", "0", false),
        ];
        for (memory, percent, is_bad) in table {
            let memory = format!("MemTotal: {memory}\n");
            let (host, _directory) = host(&[
                ("proc/meminfo", &memory),
                ("proc/sys/vm/dirty_background_bytes", "0"),
                ("proc/sys/vm/dirty_background_ratio", percent),
            ]);
            let outcome = dirty(&host).outcome;
            assert_eq!(
                matches!(outcome, Outcome::Advice(_)),
                is_bad,
                "{memory} {outcome:?}"
            );
        }
    }
}

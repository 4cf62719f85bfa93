//! The cores that have shards: how fast they are clocked, whether they may be used all the time, which memory is near
//! them, and in which pages it comes.

use super::host::Host;
use super::{Check, Finding};
use crate::config::cores_text;

const GOVERNOR: &str = "CPU governor";
const QUOTA: &str = "CPU quota";
const NODES: &str = "NUMA nodes";
const PAGES: &str = "huge pages";

pub fn all(host: &Host, shards: &[usize], huge_pages: bool) -> [Check; 4] {
    [
        governor(host, shards),
        quota(host),
        nodes(host, shards),
        pages(host, huge_pages),
    ]
}

fn governor(host: &Host, shards: &[usize]) -> Check {
    let read = |core: usize, file: &str| {
        host.read(&format!("sys/devices/system/cpu/cpu{core}/cpufreq/{file}"))
    };
    let known: Vec<_> = shards
        .iter()
        .filter_map(|&core| Some((core, read(core, "scaling_governor")?)))
        .collect();
    if known.is_empty() {
        return Check::not_visible(
            GOVERNOR,
            "nobody says how the cores are clocked, as in most virtual machines",
        );
    }
    let is_slow = |(core, governor): &&(usize, String)| {
        // The drivers of newer processors choose by themselves, and are told what to prefer.
        let preference = read(*core, "energy_performance_preference");
        governor != "performance" && preference.as_deref() != Some("performance")
    };
    let Some((_, governor)) = known.iter().find(is_slow) else {
        return Check::good(GOVERNOR, "performance");
    };
    let slow: Vec<_> = known
        .iter()
        .filter(is_slow)
        .map(|(core, _)| *core)
        .collect();
    Check::advice(
        GOVERNOR,
        Finding {
            what: format!("it is {governor} on core {}", cores_text(&slow)),
            why: "after a pause a core works slowly until the governor notices: the first operations of each burst take \
                  longer"
                .to_owned(),
            remedy: "tuning/tune apply (/usr/share/corelay/tune in the package), or cpupower frequency-set --governor performance.".to_owned(),
        },
    )
}

/// Processor time that the control group may have; version 2, and version 1 where it is mounted.
fn quota(host: &Host) -> Check {
    let group = host.read("proc/self/cgroup").unwrap_or_default();
    let path = group.lines().find_map(|line| line.strip_prefix("0::"));
    let ours = path.and_then(|path| host.read(&format!("sys/fs/cgroup{path}/cpu.max")));
    let first = "sys/fs/cgroup/cpu/cpu.cfs_quota_us";
    let cores = match ours.or_else(|| host.read("sys/fs/cgroup/cpu.max")) {
        Some(text) => two_numbers(&text),
        None => host
            .number(first)
            .zip(host.number("sys/fs/cgroup/cpu/cpu.cfs_period_us")),
    };
    let Some((quota_us, period_us)) = cores.filter(|(_, period_us)| *period_us > 0) else {
        return Check::good(QUOTA, "none");
    };
    Check::advice(
        QUOTA,
        Finding {
            what: format!("the control group may use {quota_us} µs in every {period_us} µs"),
            why: "when that is used up all shards stand still until the next period".to_owned(),
            remedy: "Give it whole cores instead: docker run --cpuset-cpus in place of --cpus, AllowedCPUs= in place of \
                     CPUQuota= in the systemd unit."
                .to_owned(),
        },
    )
}

/// `None` for `max 100000`.
fn two_numbers(text: &str) -> Option<(u64, u64)> {
    let (first, second) = text.split_once(' ')?;
    Some((first.parse().ok()?, second.parse().ok()?))
}

/// The nodes and the cores of each; none if the kernel does not say.
fn node_cores(host: &Host) -> Vec<(String, Vec<usize>)> {
    let folder = "sys/devices/system/node";
    let nodes = host.names(folder).into_iter().filter(|name| {
        let number = name.strip_prefix("node");
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    });
    nodes
        .filter_map(|node| {
            let cores = host.cores(&format!("{folder}/{node}/cpulist"))?;
            Some((node, cores))
        })
        .collect()
}

/// Whether memory is nearer to some cores than to others.
pub fn has_nodes(host: &Host) -> bool {
    node_cores(host).len() > 1
}

fn nodes(host: &Host, shards: &[usize]) -> Check {
    let all = node_cores(host);
    let used: Vec<_> = all
        .iter()
        .filter(|(_, cores)| cores.iter().any(|core| shards.contains(core)))
        .collect();
    match used.as_slice() {
        [] => Check::not_visible(NODES, "the kernel does not say which cores are on which node"),
        [(node, _)] => Check::good(NODES, format!("all shards are on {node}, of {}", all.len())),
        [(node, cores), ..] => Check::advice(
            NODES,
            Finding {
                what: format!("the shards are on {} nodes", used.len()),
                why: "shards hand each other sockets and broadcasts, and the memory of another node is slower".to_owned(),
                remedy: format!(
                    "Where one node is enough, run on one: --set shards.cores={} with CPUAffinity={0} NUMAPolicy=bind \
                     NUMAMask={} in the systemd unit.",
                    cores_text(cores),
                    node.trim_start_matches("node")
                ),
            },
        ),
    }
}

/// `are_wanted`: what memory.huge_pages says.
fn pages(host: &Host, are_wanted: bool) -> Check {
    if !are_wanted {
        return Check::good(PAGES, "refused (memory.huge_pages)");
    }
    let folder = "sys/kernel/mm/transparent_hugepage";
    let Some(choices) = host.read(&format!("{folder}/enabled")) else {
        return Check::not_visible(PAGES, format!("there is no /{folder}"));
    };
    let chosen = choices.split(['[', ']']).nth(1).unwrap_or(&choices);
    if chosen != "never" {
        return Check::good(PAGES, chosen);
    }
    Check::advice(
        PAGES,
        Finding {
            what: "the kernel gives none (never)".to_owned(),
            why: "memory.huge_pages is on, and has no effect".to_owned(),
            remedy: format!("echo madvise > /{folder}/enabled, or memory.huge_pages = \"off\"."),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::super::host::tests::host;
    use super::*;

    fn words(check: Check) -> String {
        match check.outcome {
            Outcome::Good { seen } => format!("ok {seen}"),
            Outcome::NotVisible { .. } => "-".to_owned(),
            Outcome::Advice(finding) => format!("advice {finding}"),
            Outcome::Wrong(finding) => panic!("a slow core is no reason to refuse: {finding}"),
        }
    }

    #[test]
    fn cores_that_are_clocked_down_are_named() {
        let file = |core, file: &str| format!("sys/devices/system/cpu/cpu{core}/cpufreq/{file}");
        let (zero, one) = (file(0, "scaling_governor"), file(1, "scaling_governor"));
        let preference = file(1, "energy_performance_preference");
        let (host, _directory) = host(&[(&zero, "performance\n"), (&one, "powersave\n")]);
        assert_eq!(words(governor(&host, &[0])), "ok performance");
        let said = words(governor(&host, &[0, 1]));
        assert!(
            said.starts_with("advice it is powersave on core 1 ("),
            "{said}"
        );
        assert_eq!(words(governor(&host, &[2])), "-");
        let (told, _directory) = super::super::host::tests::host(&[
            (&one, "powersave\n"),
            (&preference, "performance\n"),
        ]);
        assert_eq!(words(governor(&told, &[1])), "ok performance");
    }

    #[test]
    fn a_quota_is_found_in_both_versions_of_control_groups() {
        let group = ("proc/self/cgroup", "0::/user.slice\n");
        let table = [
            (vec![], "ok none"),
            (
                vec![group, ("sys/fs/cgroup/user.slice/cpu.max", "max 100000")],
                "ok none",
            ),
            (
                vec![group, ("sys/fs/cgroup/user.slice/cpu.max", "150000 100000")],
                "advice",
            ),
            (vec![("sys/fs/cgroup/cpu.max", "150000 100000")], "advice"),
            (
                vec![
                    ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1"),
                    ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000"),
                ],
                "ok none",
            ),
            (
                vec![
                    ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000"),
                    ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000"),
                ],
                "advice",
            ),
        ];
        for (files, expected) in table {
            let (host, _directory) = host(&files);
            let said = words(quota(&host));
            assert!(said.starts_with(expected), "{files:?}: {said}");
        }
    }

    #[test]
    fn shards_on_two_nodes_are_advised_to_be_on_one() {
        let (host, _directory) = host(&[
            ("sys/devices/system/node/node0/cpulist", "0-3"),
            ("sys/devices/system/node/node1/cpulist", "4-7"),
            ("sys/devices/system/node/online", "0-1"),
        ]);
        assert!(has_nodes(&host));
        assert_eq!(
            words(nodes(&host, &[4, 5])),
            "ok all shards are on node1, of 2"
        );
        let said = words(nodes(&host, &[3, 4]));
        assert!(
            said.contains("--set shards.cores=0-3 with CPUAffinity=0-3"),
            "{said}"
        );
        assert!(said.contains("NUMAMask=0 "), "{said}");
        assert_eq!(words(nodes(&host, &[9])), "-");
    }

    #[test]
    fn huge_pages_that_are_wanted_have_to_be_given() {
        let path = "sys/kernel/mm/transparent_hugepage/enabled";
        for (text, expected) in [
            ("always [madvise] never", "ok madvise"),
            ("[always] madvise never", "ok always"),
            ("always madvise [never]", "advice the kernel gives none"),
        ] {
            let (host, _directory) = host(&[(path, text)]);
            let said = words(pages(&host, true));
            assert!(said.starts_with(expected), "{said}");
            assert_eq!(words(pages(&host, false)), "ok refused (memory.huge_pages)");
        }
        let (host, _directory) = host(&[]);
        assert_eq!(words(pages(&host, true)), "-");
    }
}

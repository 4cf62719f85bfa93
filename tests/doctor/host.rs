//! What `doctor` says of the host's settings.

use crate::fixture::Machine;

/// Puts the settings of `tuning/sysctl.conf`, and all else that is advised, over those of the host, for one process.
fn tuned_host() -> String {
    let mut script = "put() { test -e \"$2\" || return 0; printf '%s\\n' \"$1\" >file.$3; mount --bind file.$3 \"$2\"; }\n".to_owned();
    let settings = include_str!("../../tuning/sysctl.conf")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once('=').expect("each line sets something"));
    let settings = settings.map(|(name, value)| {
        let path = name.trim().trim_start_matches('-').replace('.', "/");
        (format!("/proc/sys/{path}"), value.trim())
    });
    let others = [
        ("/proc/sys/fs/file-max".to_owned(), "9223372036854775807"),
        ("/proc/sys/vm/overcommit_memory".to_owned(), "0"),
    ];
    for (number, (path, value)) in settings.chain(others).enumerate() {
        script += &format!("put '{value}' {path} {number}\n");
    }
    script
        + "for f in /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor; do put performance \"$f\" governor; done\n"
}

/// What depends on the machine that the tests run on, and cannot be covered by a file.
const OF_THE_MACHINE: [&str; 6] = [
    "disk sync",
    "disk space",
    "time",
    "interrupts",
    "irqbalance",
    "CPU quota",
];

#[test]
fn a_good_host_is_green() {
    let machine = Machine::new().mounting(&tuned_host());
    let (text, status) = machine.doctor();
    assert_eq!(status, Some(0), "{text}");
    let checks = machine.checks();
    assert!(checks.len() > 25, "{text}");
    for check in checks {
        let name = check["name"].as_str().expect("a name");
        let is_green = ["ok", "not_visible"].contains(&check["outcome"].as_str().expect("a word"));
        assert!(is_green || OF_THE_MACHINE.contains(&name), "{check:#}");
    }
}

#[test]
fn a_host_as_it_comes_gets_advice_and_is_not_refused() {
    let machine = Machine::new().with("memory.huge_pages=on");
    let machine = machine.mounting(&tuned_host()).mounting(
        "put 128 /proc/sys/net/core/somaxconn a
         put 4294967295 /proc/sys/net/ipv4/tcp_notsent_lowat b
         put '4096 16384 65536' /proc/sys/net/ipv4/tcp_wmem c
         put 'always madvise [never]' /sys/kernel/mm/transparent_hugepage/enabled d
        ",
    );
    let (text, status) = machine.doctor();
    assert_eq!(status, Some(0), "{text}");
    for expected in [
        "advice   net.core.somaxconn: it is 128\n         why: when more clients",
        "do:  sysctl -w net.core.somaxconn=4096; tuning/sysctl.conf keeps it",
        "advice   net.ipv4.tcp_notsent_lowat: it is 4294967295\n",
        "do:  sysctl -w net.ipv4.tcp_wmem='4096 16384 4194304'",
        "advice   huge pages: the kernel gives none (never)\n",
        "pieces of advice.\n",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

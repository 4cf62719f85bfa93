//! Which cores the network cards interrupt.

use super::host::Host;
use super::{Check, Finding};
use crate::config::cores_text;

const INTERRUPTS: &str = "interrupts";
const BALANCER: &str = "irqbalance";

/// One interrupt of a network card, and the cores where it arrives.
#[derive(Debug)]
struct Interrupt {
    card: String,
    cores: Vec<usize>,
}

pub fn all(host: &Host, shards: &[usize]) -> Vec<Check> {
    let interrupts = cards(host);
    if interrupts.is_empty() {
        let reason = "no network card here has interrupts of its own";
        return vec![Check::not_visible(INTERRUPTS, reason)];
    }
    let online = host
        .cores("sys/devices/system/cpu/online")
        .unwrap_or_default();
    vec![judge(&interrupts, shards, &online), balancer(host)]
}

fn cards(host: &Host) -> Vec<Interrupt> {
    let mut found = Vec::new();
    for card in host.names("sys/class/net") {
        // A virtio card's interrupts are those of the device that it is on.
        let device = format!("sys/class/net/{card}/device");
        let [mut numbers, above] =
            ["msi_irqs", "../msi_irqs"].map(|folder| host.names(&format!("{device}/{folder}")));
        if numbers.is_empty() {
            numbers = above;
        }
        for number in numbers {
            let list = |file: &str| host.cores(&format!("proc/irq/{number}/{file}"));
            // Empty while nobody uses the interrupt.
            let effective = list("effective_affinity_list").filter(|cores| !cores.is_empty());
            if let Some(cores) = effective.or_else(|| list("smp_affinity_list")) {
                let card = card.clone();
                found.push(Interrupt { card, cores });
            }
        }
    }
    found
}

fn judge(interrupts: &[Interrupt], shards: &[usize], online: &[usize]) -> Check {
    let spare: Vec<_> = online
        .iter()
        .copied()
        .filter(|core| !shards.contains(core))
        .collect();
    let count = interrupts.len();
    let advice = |what: String, why: &str| {
        Check::advice(
            INTERRUPTS,
            Finding {
                what,
                why: why.to_owned(),
                remedy: "tuning/tune (/usr/share/corelay/tune in the package) shows what it would change, and does it when told apply.".to_owned(),
            },
        )
    };
    if spare.is_empty() {
        let mut used: Vec<_> = interrupts.iter().flat_map(|it| it.cores.clone()).collect();
        used.sort_unstable();
        used.dedup();
        return match used.as_slice() {
            [core] if count > 1 && online.len() > 1 => advice(
                format!("all {count} of the network cards arrive on core {core}"),
                "the shard of that core has the network work of all others to do",
            ),
            _ => Check::good(
                INTERRUPTS,
                format!("{count} of the network cards on core {}", cores_text(&used)),
            ),
        };
    }
    let meets_shard =
        |interrupt: &&Interrupt| interrupt.cores.iter().any(|core| shards.contains(core));
    let met = interrupts.iter().filter(meets_shard).count();
    match interrupts.iter().find(meets_shard) {
        Some(Interrupt { card, .. }) => advice(
            format!(
                "{met} of the network cards' {count} arrive on cores with shards, as of {card}"
            ),
            "each takes time from a shard in the middle of its turn, though there are cores without one",
        ),
        None => Check::good(
            INTERRUPTS,
            format!("{count} of the network cards on cores without shards"),
        ),
    }
}

fn balancer(host: &Host) -> Check {
    let runs = host.names("proc").into_iter().any(|process| {
        process.bytes().all(|byte| byte.is_ascii_digit())
            && host.read(&format!("proc/{process}/comm")).as_deref() == Some(BALANCER)
    });
    if !runs {
        return Check::good(BALANCER, "does not run");
    }
    Check::advice(
        BALANCER,
        Finding {
            what: "it runs".to_owned(),
            why: "it moves interrupts to cores with shards again".to_owned(),
            remedy: "systemctl disable --now irqbalance and place them with tuning/tune (/usr/share/corelay/tune), or name the shards' cores in \
                     IRQBALANCE_BANNED_CPULIST in /etc/default/irqbalance and leave this as it is."
                .to_owned(),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::super::host::tests::host;
    use super::*;

    fn words(checks: Vec<Check>) -> String {
        let words = checks.into_iter().map(|check| match check.outcome {
            Outcome::Good { seen } => format!("ok {seen}"),
            Outcome::NotVisible { .. } => "-".to_owned(),
            Outcome::Advice(finding) => format!("advice {}", finding.what),
            Outcome::Wrong(finding) => panic!("no interrupt is a reason to refuse: {finding}"),
        });
        words.collect::<Vec<_>>().join("; ")
    }

    const CARD: [(&str, &str); 5] = [
        ("sys/devices/system/cpu/online", "0-3"),
        ("sys/class/net/eth0/device/msi_irqs/40", ""),
        ("sys/class/net/eth0/device/msi_irqs/41", ""),
        ("proc/irq/40/smp_affinity_list", "0-3"),
        ("proc/irq/41/effective_affinity_list", "1"),
    ];

    fn said(more: &[(&str, &str)], shards: &[usize]) -> String {
        let (host, _directory) = host(&[&CARD[..], more].concat());
        words(all(&host, shards))
    }

    #[test]
    fn interrupts_belong_where_no_shard_is() {
        let zero = ("proc/irq/40/effective_affinity_list", "0");
        assert_eq!(
            said(&[zero], &[2, 3]),
            "ok 2 of the network cards on cores without shards; ok does not run"
        );
        assert_eq!(
            said(&[zero], &[1, 2, 3]),
            "advice 1 of the network cards' 2 arrive on cores with shards, as of eth0; ok does not run"
        );
        // Before it is used, an interrupt may arrive wherever it is allowed to.
        assert!(said(&[], &[2, 3]).starts_with("advice 1 of"));
    }

    #[test]
    fn where_every_core_has_a_shard_they_are_to_be_spread() {
        let zero = ("proc/irq/40/effective_affinity_list", "0");
        assert!(said(&[zero], &[0, 1, 2, 3]).starts_with("ok 2 of the network cards on core 0-1"));
        let one = ("proc/irq/40/effective_affinity_list", "1");
        assert!(said(&[one], &[0, 1, 2, 3]).starts_with("advice all 2 of"));
    }

    #[test]
    fn somebody_who_moves_them_is_named() {
        let balancer = [("proc/77/comm", "irqbalance\n"), ("proc/irqs/comm", "x")];
        assert!(said(&balancer, &[2, 3]).ends_with("; advice it runs"));
    }

    #[test]
    fn without_a_card_there_is_nothing_to_say() {
        let (host, _directory) = host(&[("sys/class/net/lo/mtu", "65536")]);
        assert_eq!(words(all(&host, &[0])), "-");
    }
}

//! What the process may use of locked memory and of file descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Check, Finding};
use crate::config::bytes_text;

/// Below this much locked memory an executor does not start.
const LOCKED_BYTES_MIN: u64 = 512 * 1024;

/// Locked memory for each shard's rings, which kernels from 5.12 on do not count. What else its executor would lock, and does
/// without, is no reason to want more (`server::log`).
const LOCKED_BYTES_PER_SHARD: u64 = 512 * 1024;

/// Descriptors that are no connections: the store's files, rings, listeners, the log.
const FILES_RESERVED: u64 = 256;

const LOCKED_MEMORY: &str = "locked memory";
const OPEN_FILES: &str = "open files";

pub fn locked_memory(shards: usize) -> Check {
    let wanted = LOCKED_BYTES_PER_SHARD * (shards as u64 + 1);
    judge_locked_memory(raise(Resource::Memlock, wanted), wanted)
}

pub fn open_files(shards: usize, connections_per_shard: usize) -> Check {
    let wanted = files_wanted(shards, connections_per_shard);
    judge_open_files(raise(Resource::Nofile, wanted), wanted)
}

/// The descriptors that this many connections on each shard need, with all else.
pub fn files_wanted(shards: usize, connections_per_shard: usize) -> u64 {
    let connections = (shards as u64).saturating_mul(connections_per_shard as u64);
    connections.saturating_add(FILES_RESERVED)
}

/// Raises the soft limit towards what is wanted, at most to the hard limit. What it is then; `None`: unlimited.
fn raise(resource: Resource, wanted: u64) -> Option<u64> {
    let limit = getrlimit(resource);
    let target = raised(limit, wanted);
    // A refusal leaves the limit as it was, and that is what is judged.
    if target != limit.current
        && setrlimit(
            resource,
            Rlimit {
                current: target,
                ..limit
            },
        )
        .is_ok()
    {
        return target;
    }
    limit.current
}

/// The soft limit that covers what is wanted, as far as the hard limit goes.
fn raised(limit: Rlimit, wanted: u64) -> Option<u64> {
    match (limit.current, limit.maximum) {
        (Some(current), _) if current >= wanted => Some(current),
        (Some(_), Some(maximum)) => Some(maximum.min(wanted)),
        (Some(_), None) => Some(wanted),
        (None, _) => None,
    }
}

fn judge_locked_memory(limit: Option<u64>, wanted: u64) -> Check {
    let Some(limit) = limit.filter(|limit| *limit < wanted) else {
        let seen = limit.map_or_else(|| "unlimited".to_owned(), bytes_text);
        return Check::good(LOCKED_MEMORY, seen);
    };
    let finding = Finding {
        what: format!(
            "the limit is {}, and {} are wanted",
            bytes_text(limit),
            bytes_text(wanted)
        ),
        why: format!(
            "an executor does not start below {}, and every shard locks memory for its rings",
            bytes_text(LOCKED_BYTES_MIN)
        ),
        remedy: "Raise the hard limit: ulimit -l unlimited as root, LimitMEMLOCK=infinity in the systemd unit, \
                 docker run --ulimit memlock=-1, or a line in /etc/security/limits.conf."
            .to_owned(),
    };
    if limit < LOCKED_BYTES_MIN {
        Check::wrong(LOCKED_MEMORY, finding)
    } else {
        Check::advice(LOCKED_MEMORY, finding)
    }
}

fn judge_open_files(limit: Option<u64>, wanted: u64) -> Check {
    let Some(limit) = limit.filter(|limit| *limit < wanted) else {
        let seen = limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
        return Check::good(OPEN_FILES, seen);
    };
    let finding = Finding {
        what: format!("{limit} may be open, and {wanted} are wanted"),
        why: format!(
            "connection.count_max on every shard and {FILES_RESERVED} for all else; here there is room for \
             {} connections",
            limit.saturating_sub(FILES_RESERVED)
        ),
        remedy: format!(
            "Raise the hard limit: ulimit -n {wanted} as root, LimitNOFILE={wanted} in the systemd unit, \
             docker run --ulimit nofile={wanted}; or lower connection.count_max."
        ),
    };
    if limit <= FILES_RESERVED {
        Check::wrong(OPEN_FILES, finding)
    } else {
        Check::advice(OPEN_FILES, finding)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    #[test]
    fn a_soft_limit_is_raised_as_far_as_it_must_and_may() {
        let table = [
            ((Some(1024), Some(4096)), 2000, Some(2000)),
            ((Some(1024), Some(4096)), 9000, Some(4096)),
            ((Some(1024), Some(4096)), 500, Some(1024)),
            ((Some(1024), None), 9000, Some(9000)),
            ((None, None), 9000, None),
        ];
        for ((current, maximum), wanted, expected) in table {
            let limit = Rlimit { current, maximum };
            assert_eq!(raised(limit, wanted), expected, "{limit:?} for {wanted}");
        }
    }

    #[test]
    fn too_little_locked_memory_is_advice_and_then_wrong() {
        let wanted = 5 * LOCKED_BYTES_PER_SHARD;
        for limit in [None, Some(wanted), Some(wanted + 1)] {
            let check = judge_locked_memory(limit, wanted);
            assert!(matches!(check.outcome, Outcome::Good { .. }), "{check:?}");
        }
        for limit in [LOCKED_BYTES_MIN, wanted - 1] {
            let check = judge_locked_memory(Some(limit), wanted);
            assert!(matches!(check.outcome, Outcome::Advice(_)), "{check:?}");
        }
        let check = judge_locked_memory(Some(LOCKED_BYTES_MIN - 1), wanted);
        let Outcome::Wrong(finding) = check.outcome else {
            panic!("{check:?}");
        };
        assert!(finding.remedy.contains("LimitMEMLOCK"), "{finding:?}");
    }

    #[test]
    fn too_few_files_say_how_many_connections_there_is_room_for() {
        let wanted = 20_000 + FILES_RESERVED;
        for limit in [None, Some(wanted)] {
            let check = judge_open_files(limit, wanted);
            assert!(matches!(check.outcome, Outcome::Good { .. }), "{check:?}");
        }
        let check = judge_open_files(Some(1024), wanted);
        let Outcome::Advice(finding) = check.outcome else {
            panic!("{check:?}");
        };
        assert!(
            finding.why.contains("room for 768 connections"),
            "{finding:?}"
        );
        assert!(finding.remedy.contains("LimitNOFILE=20256"), "{finding:?}");
        let check = judge_open_files(Some(FILES_RESERVED), wanted);
        assert!(matches!(check.outcome, Outcome::Wrong(_)), "{check:?}");
    }
}

//! What the process may use of locked memory and of file descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Check, Finding};
use crate::config::{AuthMode, Config, REQUESTS_MAX, bytes_text};
use crate::server::admin;
use crate::store::TABLE_FILES_MAX;

/// Below this much locked memory an executor does not start.
const LOCKED_BYTES_MIN: u64 = 512 * 1024;

/// Locked memory for each shard's rings, which kernels from 5.12 on do not count. What else its executor would lock, and does
/// without, is no reason to want more (`server::log`).
const LOCKED_BYTES_PER_SHARD: u64 = 512 * 1024;

/// A shard's rings, its set of descriptors, its doorbell and its listeners.
const FILES_PER_SHARD: usize = 16;

/// The store's journals and what it writes, the log, the threads' own.
const FILES_FIXED: usize = 64;

const LOCKED_MEMORY: &str = "locked memory";
const OPEN_FILES: &str = "open files";

pub fn locked_memory(shards: usize) -> Check {
    let wanted = LOCKED_BYTES_PER_SHARD * (shards as u64 + 1);
    judge_locked_memory(raise(Resource::Memlock, wanted), wanted)
}

pub fn open_files(config: &Config, shards: usize) -> Check {
    let wanted = files_wanted(config, shards);
    let limit = raise(Resource::Nofile, wanted);
    judge_open_files(limit, wanted, files_reserved(config, shards))
}

/// The descriptors that as many connections need as each shard may have, with all else.
pub fn files_wanted(config: &Config, shards: usize) -> u64 {
    let per_shard = config.connection.count_max.saturating_add(REQUESTS_MAX);
    let sockets = (shards as u64).saturating_mul(per_shard as u64);
    sockets.saturating_add(files_reserved(config, shards))
}

/// How many sockets clients may have, so that everybody else finds the descriptors that they need.
pub fn client_sockets_max(config: &Config, shards: usize) -> usize {
    let room = |limit: u64| limit.saturating_sub(files_reserved(config, shards));
    let limit = getrlimit(Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| {
        usize::try_from(room(limit)).unwrap_or(usize::MAX)
    })
}

/// Descriptors that are no client's sockets.
fn files_reserved(config: &Config, shards: usize) -> u64 {
    let mut files = FILES_FIXED + shards * FILES_PER_SHARD;
    // The store, and the backup that is made of it.
    files += 2 * TABLE_FILES_MAX;
    files += admin::CONNECTIONS_MAX;
    // The other ends are among the sockets of clients.
    files += config.http.requests_max;
    if config.auth.mode == AuthMode::Webhook {
        files += shards.saturating_mul(config.auth.webhook_inquiries_max);
    }
    if config.notify.url.is_some() {
        files += config.notify.requests_max;
    }
    files as u64
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

fn judge_open_files(limit: Option<u64>, wanted: u64, reserved: u64) -> Check {
    let Some(limit) = limit.filter(|limit| *limit < wanted) else {
        let seen = limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
        return Check::good(OPEN_FILES, seen);
    };
    let finding = Finding {
        what: format!("{limit} may be open, and {wanted} are wanted"),
        why: format!(
            "connection.count_max and {REQUESTS_MAX} requests on every shard, and {reserved} for all else; here there \
             is room for {} connections",
            limit.saturating_sub(reserved)
        ),
        remedy: format!(
            "Raise the hard limit: ulimit -n {wanted} as root, LimitNOFILE={wanted} in the systemd unit, \
             docker run --ulimit nofile={wanted}; or lower connection.count_max."
        ),
    };
    if limit <= reserved {
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
        let (wanted, reserved) = (20_000, 256);
        for limit in [None, Some(wanted)] {
            let check = judge_open_files(limit, wanted, reserved);
            assert!(matches!(check.outcome, Outcome::Good { .. }), "{check:?}");
        }
        let check = judge_open_files(Some(1024), wanted, reserved);
        let Outcome::Advice(finding) = check.outcome else {
            panic!("{check:?}");
        };
        assert!(
            finding.why.contains("room for 768 connections"),
            "{finding:?}"
        );
        assert!(finding.remedy.contains("LimitNOFILE=20000"), "{finding:?}");
        let check = judge_open_files(Some(reserved), wanted, reserved);
        assert!(matches!(check.outcome, Outcome::Wrong(_)), "{check:?}");
    }
}

//! What must be true of the machine before the relay starts, and what would make it faster, in plain words.
//!
//! `serve` runs [`requirements`] first, and `doctor` prints them with all that there is to say about the host
//! ([`examine`]). Each check looks at one thing and answers with one [`Check`]; what it saw and what that means are
//! kept apart, so that the meaning can be tested with any machine. Limits that the process may raise for itself are
//! raised. Nothing is left behind: no socket, no file, no directory.
//!
//! A port that is free here can be taken before the listeners are made, and a store can be open elsewhere: the
//! listeners and the store say so themselves.

mod clock;
mod cores;
mod disk;
mod exposure;
mod host;
mod interrupts;
mod limits;
mod machine;
mod places;
mod report;
mod service;
mod sysctls;
mod tokens;

use crate::config::{Budget, Config, Cores};
use crate::store;

pub use report::{Check, Finding, Outcome, Report};

pub(super) use disk::{ROOM_MIN_BYTES, ROOM_WANTED_BYTES};
pub(super) use limits::{client_sockets_max, open_files};
pub(super) use tokens::source as token_source;

/// The cores that this process may run on, in rising order.
pub use machine::allowed_cores;

/// Looks at everything without which this configuration cannot run, and raises the process's limits as far as it may.
pub fn requirements(config: &Config) -> Report {
    required(config, places::Holder::Unknown)
}

/// `holder`: who may listen where this configuration does.
fn required(config: &Config, holder: places::Holder) -> Report {
    let shards = shard_count(&config.shards.cores);
    let budget = Budget::new(config, shards);
    let mut checks = vec![
        machine::kernel(),
        machine::io_uring(),
        machine::cores(&config.shards.cores),
        machine::memory(budget.bytes()),
        limits::locked_memory(shards),
        limits::open_files(config, shards),
        places::directory(&config.store.path),
        disk::room(&config.store.path),
    ];
    checks.extend(tokens::keys(&config.auth));
    checks.extend(tokens::revocations(&config.auth, &config.store.path));
    let listeners = [
        ("listen.websocket", config.listen.websocket),
        ("listen.tcp", config.listen.tcp),
        ("listen.admin", config.listen.admin),
    ];
    for (key, address) in listeners {
        checks.extend(address.map(|address| places::address(key, address, holder)));
    }
    checks.extend(exposure::all(config));
    Report { checks }
}

/// Everything: what is required, what others have to be there for, and what the host could do better. Takes some
/// seconds at most, when somebody else does not answer.
pub fn examine(config: &Config) -> Report {
    let holder = match store::is_in_use(&config.store.path) {
        true => places::Holder::ThisRelay,
        false => places::Holder::Unknown,
    };
    let Report { mut checks } = required(config, holder);
    checks.extend(tokens::key_set(&config.auth));
    checks.extend(tokens::webhook(&config.auth));
    checks.push(disk::sync(&config.store));

    let host = host::Host::here();
    let allowed = allowed_cores();
    let shards = config.shards.cores.choose(&allowed).unwrap_or(allowed);
    let files = limits::files_wanted(config, shards.len());
    checks.extend(sysctls::all(&host, files));
    checks.extend(cores::all(&host, &shards, config.memory.huge_pages));
    checks.extend(interrupts::all(&host, &shards));
    checks.extend(clock::all(&host));
    checks.push(service::stop(&config.shutdown));
    Report { checks }
}

/// How many shards there will be; one where the configured cores are not there, which `requirements` reports.
pub fn shard_count(cores: &Cores) -> usize {
    cores
        .choose(&machine::allowed_cores())
        .map_or(1, |chosen| chosen.len())
}

//! The shell around the engine: threads, sockets, clocks and signals of `corelay serve`.
//!
//! [`run`] builds everything (`boot`) and then waits for the end. Each configured core gets one executor with one
//! task, the `driver` of that core's [`Shard`](crate::engine::Shard), which takes turns over its `poller`,
//! `listener`s and `connections` (`input`, `output`), and over the `streams` and who `posts` to them. Between the drivers are the `mesh` and each one's `mailbox`,
//! and a `doorbell` that wakes one that sleeps. The committer's thread owns the store, the control thread speaks
//! HTTP (`control`, `admin`, `web`) and keeps what tokens are checked with (`authority`, `key_set`, `webhook`), reads the configuration again when it is told to (`reload`), tells others what happens (`notify`), and the main thread (`supervisor`) waits for signals and failures and leads the `lifecycle` to
//! its end.
//!
//! Invariants: a driver awaits nothing but its park. A shard's state is touched by its own thread only. What
//! crosses threads is in a bounded queue, or is an answer to something bounded.

mod admin;
mod assets;
mod authority;
mod bodies;
mod boot;
mod clock;
mod connections;
mod control;
mod crowd;
mod doorbell;
mod doors;
mod driver;
mod health;
pub mod http;
mod input;
mod key_set;
mod keys;
mod lifecycle;
mod listener;
pub mod log;
mod mailbox;
mod mesh;
mod metrics;
mod notify;
mod outbound;
mod output;
mod poller;
mod posts;
pub mod preflight;
mod refusals;
mod reload;
mod revocation_file;
mod service_manager;
mod signal;
mod streams;
mod supervisor;
mod unconfirmed;
mod unreadable;
mod verdict_cache;
mod watch;
mod web;
mod webhook;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::{Auth, Config};
use crate::store::Room;
use preflight::ROOM_MIN_BYTES;

pub use boot::run;
pub use health::ask as ask_health;
pub use reload::Source;

/// Why a relay did not start, or ended other than by a planned stop.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("shards.cores does not fit this machine: {0}")]
    Cores(#[from] crate::config::CoresError),
    #[error(
        "cannot listen on {address} (key listen.{name}): {source}{}",
        listen_advice(source)
    )]
    Listen {
        name: &'static str,
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("the system refuses {what}: {source}")]
    System {
        what: &'static str,
        source: std::io::Error,
    },
    #[error("shard {shard} cannot run on core {core}: {reason}")]
    Shard {
        shard: usize,
        core: usize,
        reason: String,
    },
    #[error("tokens cannot be checked with {source_name}: {reason}")]
    Keys { source_name: String, reason: String },
    #[error("tokens cannot be checked with {source_name}, whose keys cannot be had: {reason}")]
    KeySet { source_name: String, reason: String },
    #[error(
        "what was revoked cannot be read from {}: {reason}. Tokens in it must not be let in: put the file back, or remove \
         it when they have expired", path.display()
    )]
    Revocations { path: PathBuf, reason: String },
    #[error("{url} (key auth.webhook_url) cannot be asked: {reason}")]
    Webhook { url: String, reason: String },
    #[error("nobody can be told what happens to documents (key notify.url): {reason}")]
    Notify { reason: String },
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    #[error(
        "the store failed: {reason}. Nothing was acknowledged after that, and everything acknowledged is kept: mend the \
         disk and start again"
    )]
    StoreFailed { reason: String },
    #[error(
        "the store has not finished within {seconds} s of the stop, so the disk does not answer. What was acknowledged is \
         kept"
    )]
    StoreStuck { seconds: u64 },
    #[error(
        "no space left on {}: the store could not write. Nothing was acknowledged after that, and everything acknowledged \
         is kept: make room (df -h) and start again", path.display()
    )]
    NoSpace { path: PathBuf },
}

impl ServerError {
    /// The store in this directory has failed, when there was so much room.
    fn of_store(path: &Path, reason: String, room: Option<Room>) -> Self {
        // What could not be written whole may be gone again.
        match room.is_some_and(|room| room.free_bytes < ROOM_MIN_BYTES) {
            true => Self::NoSpace {
                path: path.to_owned(),
            },
            false => Self::StoreFailed { reason },
        }
    }
}

/// What is wrong with a configuration on this machine, though its values are in their ranges and fit each other: cores
/// and keys that are not there. Trying again does not make it better.
///
/// # Errors
///
/// [`ServerError::Cores`], [`ServerError::Keys`], [`ServerError::Webhook`], [`ServerError::Notify`].
pub fn check(config: &Config) -> Result<(), ServerError> {
    config.shards.cores.choose(&preflight::allowed_cores())?;
    check_auth(&config.auth)?;
    notify::check(&config.notify)
}

/// What tokens are checked with can be read, as far as it is on this machine.
fn check_auth(config: &Auth) -> Result<(), ServerError> {
    keys::check(config)?;
    webhook::authorization(config).map(drop)
}

fn listen_advice(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            ". Another process has the port: end it, or configure another port"
        }
        std::io::ErrorKind::PermissionDenied => {
            ". Ports below 1024 need a privilege: configure a higher one"
        }
        std::io::ErrorKind::AddrNotAvailable => ". This machine does not have the address",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_called_so_and_another_failure_has_its_reason() {
        let word = |free_bytes| {
            let room = Room {
                free_bytes,
                total_bytes: 1 << 40,
                free_inodes: None,
            };
            let path = Path::new("/var/lib/corelay");
            let reason = "Input/output error (os error 5)".to_owned();
            ServerError::of_store(path, reason, Some(room)).to_string()
        };
        let full = word(ROOM_MIN_BYTES - 1);
        assert!(
            full.starts_with("no space left on /var/lib/corelay: "),
            "{full}"
        );
        let failed = word(ROOM_MIN_BYTES);
        assert!(
            failed.starts_with("the store failed: Input/output error"),
            "{failed}"
        );
    }
}

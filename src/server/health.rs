//! Asks a relay on this machine how it is, as whoever watches a container does.

use std::net::SocketAddr;
use std::time::Duration;

use super::admin::READY;
use crate::overview::{self, Patience, shown};

const TIMEOUT: Duration = Duration::from_secs(2);
const PATIENCE: Patience = Patience {
    connect_timeout: TIMEOUT,
    answer_timeout: Some(TIMEOUT),
    answer_bytes_max: 4096,
};

/// Whether the relay takes clients, by `/readyz` of its admin address: `ready`, or why it is taken as not ready.
///
/// # Errors
///
/// In words: nobody listens, or does not answer in two seconds, or says that it is not ready.
pub fn ask(address: SocketAddr) -> Result<String, String> {
    let answer = overview::ask(reachable(address), "/readyz", None, &PATIENCE);
    let answer = answer.map_err(|error| error.to_string())?;
    let (status, word) = (shown(&answer.status), shown(&answer.body));
    match (&*status, &*word) {
        ("200", READY) => Ok(word),
        _other => Err(format!("it answers {status} {word}")),
    }
}

/// An address for all is not one to connect to.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

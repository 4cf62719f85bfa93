//! What whoever watches a relay fetches from it.

use std::io;
use std::net::ToSocketAddrs;
use std::time::Duration;

use super::Overview;
use super::ask::{Patience, ask, shown};

const TIMEOUT: Duration = Duration::from_secs(5);
const PATIENCE: Patience = Patience {
    connect_timeout: TIMEOUT,
    answer_timeout: Some(TIMEOUT),
    answer_bytes_max: 64 * 1024 * 1024,
};

/// Asks the relay whose admin address (`listen.admin`) this is, for what is there at `path`.
///
/// # Errors
///
/// It cannot be reached, or does not answer with 200; then the message is its own.
pub fn fetch(address: &str, path: &str) -> io::Result<String> {
    let mut addresses = address.to_socket_addrs()?;
    let resolved = addresses.next();
    let resolved = resolved.ok_or_else(|| io::Error::other("it has no address"))?;
    let answer = ask(resolved, path, None, &PATIENCE)?;
    match &*answer.status {
        "200" => Ok(answer.body),
        "503" => Err(io::Error::other(shown(&answer.body))),
        _other => Err(io::Error::other(format!("it does not know {path}"))),
    }
}

/// An [`Overview`] with at most so many of the slowest and hottest.
///
/// # Errors
///
/// See [`fetch`]; or what is there is no overview.
pub fn overview(address: &str, top: usize) -> io::Result<Overview> {
    let text = fetch(address, &format!("/overview?top={top}"))?;
    serde_json::from_str(&text).map_err(|_| io::Error::other("it does not tell an overview"))
}

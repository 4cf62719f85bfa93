//! How the admin address is asked.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::Overview;

const TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Asks the relay whose admin address (`listen.admin`) this is, for what is there at `path`.
///
/// # Errors
///
/// It cannot be reached, or does not answer with 200; then the message is its own.
pub fn fetch(address: &str, path: &str) -> io::Result<String> {
    let mut addresses = address.to_socket_addrs()?;
    let resolved = addresses.next();
    let resolved = resolved.ok_or_else(|| io::Error::other("it has no address"))?;
    let mut stream = TcpStream::connect_timeout(&resolved, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        Some((head, body)) if head.starts_with("HTTP/1.1 503") => {
            Err(io::Error::other(body.trim().to_owned()))
        }
        Some(_) | None => Err(io::Error::other(format!("it does not know {path}"))),
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

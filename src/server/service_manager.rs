//! Tells systemd how far the process is (`Type=notify`), where it was started by it: sd_notify(3).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Sends one assignment, as in `READY=1`. Without a service manager it does nothing.
pub fn tell(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = send(&socket, state) {
        tracing::warn!(%error, "the service manager cannot be told {state}");
    }
}

/// Says that the stop takes no longer than this from now on, so that it is not ended before.
pub fn tell_of_stop(within: Duration) {
    tell(&format!("EXTEND_TIMEOUT_USEC={}", within.as_micros()));
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    // A name without a place in the file system begins with a zero byte, and is written with an @.
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

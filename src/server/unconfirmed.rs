//! What a socket was given and its client's system has not confirmed.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

/// It gets less whenever the client takes something, also where the socket is not writable for long: the system says that
/// it is when a good part of what it has is gone.
///
/// # Errors
///
/// Whatever the system says to the question.
pub fn unconfirmed_bytes(socket: impl AsFd) -> io::Result<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is that of a socket that is open, and TIOCOUTQ writes an int.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    match result {
        0 => Ok(u64::try_from(bytes).unwrap_or(0)),
        _error => Err(io::Error::last_os_error()),
    }
}

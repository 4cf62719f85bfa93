//! Listening sockets: one of each kind per shard, all on the same port, so that the kernel spreads the clients.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{Domain, Protocol, Socket, Type};

use super::ServerError;
use super::poller::LISTENER;
use crate::engine::Instant;
use crate::engine::shard::Transport;

const BACKLOG: i32 = 4096;
/// Connections that one turn accepts from one listener.
const ACCEPTS_PER_TURN_MAX: usize = 64;
/// How long to leave the waiting clients alone when the system has no descriptor or memory for them.
const PAUSE: Duration = Duration::from_millis(100);

/// Opens `count` sockets that listen on one address. Port 0 is any free port, the same for all of them.
pub fn listen(
    name: &'static str,
    address: SocketAddr,
    count: usize,
) -> Result<(SocketAddr, Vec<OwnedFd>), ServerError> {
    let error = |source| ServerError::Listen {
        name,
        address,
        source,
    };
    let mut address = address;
    if address.port() != 0 {
        // Sockets that share their port would quietly share it with another relay of the same user, too. One that
        // does not share finds out.
        bind(address, false).map_err(error)?;
    }
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = bind(address, true).map_err(error)?;
        socket.listen(BACKLOG).map_err(error)?;
        let bound = socket.local_addr().map_err(error)?;
        address = bound.as_socket().unwrap_or(address);
        sockets.push(socket.into());
    }
    Ok((address, sockets))
}

fn bind(address: SocketAddr, shared: bool) -> std::io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    // Without it, connections that have just ended would keep the port for a minute.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// The listening sockets of one shard.
pub struct Listeners {
    entries: Vec<Entry>,
    paused_until: Option<Instant>,
}

struct Entry {
    socket: OwnedFd,
    transport: Transport,
    ready: bool,
}

impl Listeners {
    pub fn new(sockets: Vec<(Transport, OwnedFd)>) -> Self {
        let entry = |(transport, socket)| Entry {
            socket,
            transport,
            ready: false,
        };
        Self {
            entries: sockets.into_iter().map(entry).collect(),
            paused_until: None,
        }
    }

    /// The sockets and what they are called in the shard's set.
    pub fn sockets(&self) -> impl Iterator<Item = (u64, &OwnedFd)> {
        (LISTENER..).zip(self.entries.iter().map(|entry| &entry.socket))
    }

    /// Somebody waits at a listener. Returns whether the token was a listener's.
    pub fn note(&mut self, token: u64) -> bool {
        let Some(index) = token.checked_sub(LISTENER) else {
            return false;
        };
        match usize::try_from(index)
            .ok()
            .and_then(|index| self.entries.get_mut(index))
        {
            Some(entry) => entry.ready = true,
            None => return false,
        }
        true
    }

    /// Accepts those who wait, as many as one turn may, and says where they come from. Returns how many.
    pub fn accept(
        &mut self,
        now: Instant,
        mut take: impl FnMut(Transport, OwnedFd, Option<IpAddr>),
    ) -> usize {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        if self.paused_until.is_some_and(|until| now < until) {
            return 0;
        }
        let mut count = 0;
        for entry in self.entries.iter_mut().filter(|entry| entry.ready) {
            for _ in 0..ACCEPTS_PER_TURN_MAX {
                match acceptfrom_with(&entry.socket, flags) {
                    Ok((socket, address)) => {
                        count += 1;
                        let address =
                            address.and_then(|address| SocketAddr::try_from(address).ok());
                        take(entry.transport, socket, address.map(|address| address.ip()));
                    }
                    Err(Errno::AGAIN) => {
                        entry.ready = false;
                        break;
                    }
                    Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
                        if self
                            .paused_until
                            .take()
                            .is_none_or(|until| until + PAUSE * 10 < now)
                        {
                            tracing::warn!(%error, "cannot accept connections for the moment");
                        }
                        self.paused_until = Some(now + PAUSE);
                        break;
                    }
                    // The client is gone already, or the network has something to say about it alone.
                    Err(_) => count += 1,
                }
            }
        }
        count
    }

    /// When to call `accept` though nothing happens.
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let waiting = self.entries.iter().any(|entry| entry.ready);
        waiting.then(|| self.paused_until.unwrap_or(now).max(now))
    }

    /// Stop listening.
    pub fn close(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    const ANY_PORT: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

    #[test]
    fn all_shards_get_the_same_free_port_and_every_client_is_accepted_by_one() {
        let (address, sockets) = listen("tcp", ANY_PORT.into(), 3).unwrap();
        assert_ne!(address.port(), 0);
        let mut shards: Vec<_> = sockets
            .into_iter()
            .map(|socket| Listeners::new(vec![(Transport::Tcp, socket)]))
            .collect();
        let clients: Vec<_> = (0..50)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        let now = Instant::default();
        let mut accepted = 0;
        for listeners in &mut shards {
            assert_eq!(listeners.next_deadline(now), None);
            assert!(listeners.note(LISTENER));
            assert_eq!(listeners.next_deadline(now), Some(now));
            let count = listeners.accept(now, |_, _, address| {
                assert_eq!(address, Some(ANY_PORT.0.into()));
                accepted += 1;
            });
            assert!(count < ACCEPTS_PER_TURN_MAX);
            assert_eq!(listeners.next_deadline(now), None);
        }
        assert_eq!(accepted, clients.len());
    }

    #[test]
    fn a_port_that_another_relay_has_is_an_error_in_words() {
        let (address, _sockets) = listen("websocket", ANY_PORT.into(), 2).unwrap();
        let error = listen("websocket", address, 2).unwrap_err().to_string();
        assert!(error.contains(&address.to_string()), "{error}");
        assert!(
            error.contains("listen.websocket") && error.contains("Another process"),
            "{error}"
        );
    }

    #[test]
    fn tokens_of_sockets_are_no_listeners() {
        let (_, sockets) = listen("tcp", ANY_PORT.into(), 1).unwrap();
        let mut listeners = Listeners::new(
            sockets
                .into_iter()
                .map(|socket| (Transport::Tcp, socket))
                .collect(),
        );
        for token in [0, 1, LISTENER + 1, 1 << 32, u64::MAX] {
            assert!(!listeners.note(token));
        }
    }
}

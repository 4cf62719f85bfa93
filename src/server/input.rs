//! The driver's input: sockets are accepted, their handshakes read, their bytes given to the engine.

use std::net::IpAddr;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::connections::{Key, Stage};
use super::crowd::{ClientSocket, Place};
use super::driver::Driver;
use super::handshake::{Answer, Upgrade, read_head};
use super::lifecycle::Phase;
use super::mailbox::Handoff;
use crate::config::HANDSHAKES_MAX;
use crate::engine::shard::{Arrival, Transport};
use crate::engine::{Instant, Refusal};

/// After so many bytes a turn sees to the others; what was not read comes first in the next.
const READ_BYTES_PER_TURN_MAX: u64 = 1024 * 1024;

impl Driver {
    /// Takes note of what has happened to the sockets.
    pub(super) fn look(&mut self, now: Instant) -> usize {
        let mut count = 0;
        for index in 0..self.poller.look() {
            let Some(readiness) = self.poller.event(index) else {
                continue;
            };
            count += 1;
            if self.listeners.note(readiness.token) {
                continue;
            }
            let Some(key) = self.connections.note(readiness) else {
                continue;
            };
            let Some(connection) = self.connections.get_mut(key) else {
                continue;
            };
            let Stage::Open(id) = connection.stage else {
                continue;
            };
            if readiness.broken && !self.engine.wants_bytes(id) {
                // Otherwise reading comes to the break, after what arrived before it.
                self.lose(key, now);
            } else if readiness.writable && connection.full {
                connection.full = false;
                self.engine.handle_writable(id);
            }
        }
        while let Some(id) = self.engine.poll_wants_bytes() {
            if let Some((key, _)) = self.connections.find(id) {
                self.connections.queue(key);
            }
        }
        count
    }

    pub(super) fn accept(&mut self, now: Instant) -> usize {
        let mut accepted = Vec::new();
        let count = self.listeners.accept(now, |transport, socket, address| {
            accepted.push((transport, socket, address));
        });
        for (transport, socket, address) in accepted {
            self.counters.accepted += 1;
            let place = match self.place_for(address) {
                Ok(place) => place,
                Err(refusal) => {
                    let socket = ClientSocket::new(socket, None);
                    self.refuse_socket(transport, socket, &refusal, now);
                    continue;
                }
            };
            // Frames are gathered here; waiting for more in the kernel would only make them late.
            let _ = rustix::net::sockopt::set_tcp_nodelay(&socket, true);
            let socket = ClientSocket::new(socket, place);
            match transport {
                Transport::WebSocket => self.begin_handshake(socket, now),
                Transport::Tcp => self.open_tcp(socket, now),
                Transport::EventStream => unreachable!("nobody listens for them"),
            }
        }
        count
    }

    fn place_for(&self, address: Option<IpAddr>) -> Result<Option<Place>, Refusal> {
        let limited = self.crowd.as_ref().zip(address);
        limited
            .map(|(crowd, address)| crowd.enter(address))
            .transpose()
    }

    /// Says why a socket is refused of which nothing has been read.
    fn refuse_socket(
        &mut self,
        transport: Transport,
        socket: ClientSocket,
        refusal: &Refusal,
        now: Instant,
    ) {
        if self.connections.lingering_count() >= HANDSHAKES_MAX {
            // So many have been told of late that the rest is only closed.
            self.counters.refused += 1;
            return;
        }
        let key = self.connections.insert_handshake(socket, now);
        self.watch(key, now);
        match transport {
            Transport::WebSocket | Transport::EventStream => {
                self.answer(key, &Answer::too_many(refusal), now);
            }
            Transport::Tcp => self.say_last(key, &refusal.last_frames(), now),
        }
    }

    fn open_tcp(&mut self, socket: ClientSocket, now: Instant) {
        match self.engine.connect(Arrival::new(Transport::Tcp), now) {
            Some(id) => {
                let key = self.connections.insert_open(socket, id);
                self.watch(key, now);
            }
            // There is no word for it before Hello: the connection is closed.
            None => self.counters.refused += 1,
        }
    }

    fn begin_handshake(&mut self, socket: ClientSocket, now: Instant) {
        if self.connections.handshakes_count() >= HANDSHAKES_MAX
            && let Some(oldest) = self.connections.oldest_handshake()
        {
            self.counters.refused += 1;
            self.connections.remove(oldest);
        }
        let deadline = now + self.limits.handshake_timeout;
        let key = self.connections.insert_handshake(socket, deadline);
        self.watch(key, now);
    }

    fn watch(&mut self, key: Key, now: Instant) {
        let Some(connection) = self.connections.get(key) else {
            return;
        };
        if let Err(error) = self.poller.add(&connection.socket, key.token()) {
            tracing::warn!(%error, "cannot watch a socket");
            self.lose(key, now);
        }
    }

    /// Reads every connection that is in the queue once, or as many as a turn may take.
    pub(super) fn read(&mut self, now: Instant) -> usize {
        let mut scratch = std::mem::take(&mut self.scratch);
        let count = self.connections.queued_count();
        let end = self.counters.bytes_in + READ_BYTES_PER_TURN_MAX;
        for _ in 0..count {
            if self.counters.bytes_in >= end {
                break;
            }
            let Some(key) = self.connections.next_queued() else {
                break;
            };
            self.read_one(key, &mut scratch, now);
            self.connections.queue_again(key, &mut self.engine);
        }
        self.scratch = scratch;
        count
    }

    fn read_one(&mut self, key: Key, scratch: &mut [u8], now: Instant) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        if let Stage::Open(id) = connection.stage
            && !self.engine.wants_bytes(id)
        {
            return;
        }
        let length = match recv(&connection.socket, &mut *scratch, RecvFlags::DONTWAIT) {
            Ok((_, length)) => length,
            Err(Errno::AGAIN) => {
                connection.readable = false;
                return;
            }
            Err(Errno::INTR) => return,
            Err(_) => return self.lose(key, now),
        };
        if length == 0 {
            return self.lose(key, now);
        }
        // A read that did not fill the buffer has emptied the socket: what comes later is another event, but for
        // the end, if it was already announced.
        if length < scratch.len() && !connection.hung_up {
            connection.readable = false;
        }
        self.counters.bytes_in += length as u64;
        let bytes = &mut scratch[..length];
        match &mut connection.stage {
            Stage::Open(id) => self.engine.handle_bytes(*id, bytes, now),
            Stage::Lingering => {}
            Stage::Handshake { head } => {
                let mut head = std::mem::take(head);
                if head.is_empty() {
                    self.handshake(key, bytes, now);
                } else {
                    head.extend_from_slice(bytes);
                    self.handshake(key, &mut head, now);
                }
            }
        }
    }

    /// Goes on with a handshake of which these bytes have arrived.
    fn handshake(&mut self, key: Key, bytes: &mut [u8], now: Instant) {
        match read_head(bytes, self.limits.handshake_bytes_max, &self.origins) {
            Ok(Some((mut upgrade, length))) => {
                let unread = &mut bytes[length..];
                if let Some(token) = upgrade.token.take_if(|_| !self.engine.asks_backend()) {
                    match self.engine.authenticate(&token, now) {
                        Ok(grant) => upgrade.grant = grant,
                        Err(error) => return self.answer(key, &Answer::unauthorized(error), now),
                    }
                }
                let document = upgrade.document.as_deref();
                let home = document.map_or(self.index, |document| {
                    self.engine.home_of(document, upgrade.grant.as_deref())
                });
                if home == self.index {
                    self.open_websocket(key, &upgrade, unread, now);
                } else {
                    self.hand_off(key, home, upgrade, unread, now);
                }
            }
            Ok(None) => {
                if let Some(connection) = self.connections.get_mut(key)
                    && let Stage::Handshake { head } = &mut connection.stage
                {
                    *head = bytes.to_vec();
                }
            }
            Err(answer) => self.answer(key, &answer, now),
        }
    }

    fn hand_off(&mut self, key: Key, home: usize, upgrade: Upgrade, unread: &[u8], now: Instant) {
        let Some(connection) = self.connections.get(key) else {
            return;
        };
        self.poller.remove(&connection.socket);
        let Some(socket) = self.connections.remove(key) else {
            return;
        };
        let handoff = Handoff {
            socket,
            upgrade: Box::new(upgrade),
            unread: unread.to_vec(),
        };
        match self.mailboxes[home].hand_off(handoff) {
            Ok(()) => self.counters.handed_off += 1,
            Err(handoff) => {
                let key = self.connections.insert_handshake(handoff.socket, now);
                self.answer(key, &Answer::too_many_connections(), now);
                self.watch(key, now);
            }
        }
    }

    /// A connection comes from another shard, after its head.
    pub(super) fn take_over(&mut self, mut handoff: Handoff, now: Instant) {
        let key = self.connections.insert_handshake(handoff.socket, now);
        self.watch(key, now);
        self.open_websocket(key, &handoff.upgrade, &mut handoff.unread, now);
    }

    fn open_websocket(&mut self, key: Key, upgrade: &Upgrade, unread: &mut [u8], now: Instant) {
        if self.connections.get(key).is_none() {
            return;
        }
        if self.phase != Phase::Serving {
            return self.answer(key, &Answer::stopping(), now);
        }
        let arrival = Arrival {
            transport: Transport::WebSocket,
            document: upgrade.document.clone(),
            grant: upgrade.grant.clone(),
            token: upgrade.token.clone(),
            dialect: upgrade.introduction.dialect,
            hello: upgrade.introduction.hello.clone(),
        };
        let Some(id) = self.engine.connect(arrival, now) else {
            return self.answer(key, &Answer::too_many_connections(), now);
        };
        self.connections.open(key, id);
        if !self.send_all(key, upgrade.response().as_bytes()) {
            return self.lose(key, now);
        }
        self.counters.upgraded += 1;
        if !unread.is_empty() {
            self.engine.handle_bytes(id, unread, now);
        }
    }
}

//! The driver's output: what the engine has for each connection, answers in plain HTTP, and the end of sockets.

use std::net::IpAddr;

use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown, send, shutdown};

use super::connections::{Key, Stage};
use super::driver::Driver;
use super::http::{self, Answer};
use super::lifecycle::Phase;
use super::refusals::Refused;
use super::unconfirmed::unconfirmed_bytes;
use crate::engine::shard::ConnectionId;
use crate::engine::{Instant, Refusal};

/// After so many sends a turn looks at its input again.
const SENDS_PER_TURN_MAX: usize = 4096;
/// A flush looks at the clock once for so many sends.
const SENDS_PER_LOOK: usize = 8;
/// What the buffer may keep from one turn to the next; one flush can be a little more than `flush_bytes_max`.
const OUT_BYTES_KEPT_MAX: usize = 1024 * 1024;

impl Driver {
    /// Gives every connection that has something to send as much as one send takes.
    pub(super) fn flush(&mut self, turn_at: Instant) -> usize {
        let mut out = std::mem::take(&mut self.out);
        let (mut count, mut now) = (0, turn_at);
        while count < SENDS_PER_TURN_MAX
            && let Some(id) = self.engine.poll_writable()
        {
            out.clear();
            self.engine.poll_transmit(id, &mut out);
            if count % SENDS_PER_LOOK == 0 {
                now = self.clock.now();
            }
            count += 1;
            self.send(id, &out, now);
        }
        if out.capacity() > OUT_BYTES_KEPT_MAX {
            out = Vec::new();
        }
        self.out = out;
        count
    }

    fn send(&mut self, id: ConnectionId, out: &[u8], now: Instant) {
        let Some((key, connection)) = self.connections.find(id) else {
            return;
        };
        let taken = match out {
            [] => Ok(0),
            bytes => send(
                &connection.socket,
                bytes,
                SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
            ),
        };
        let is_lost = !matches!(taken, Ok(_) | Err(Errno::AGAIN | Errno::INTR));
        let taken = taken.unwrap_or(0);
        connection.full = taken < out.len();
        self.counters.sends += 1;
        self.counters.bytes_out += taken as u64;
        self.engine.handle_sent(id, out, taken, now);
        if is_lost {
            self.lose(key, now);
        }
    }

    /// Says what has arrived of what those connections were sent of which the engine wants to know.
    pub(super) fn look_at_doubted(&mut self, now: Instant) {
        while let Some(id) = self.engine.poll_doubted() {
            let Some((key, connection)) = self.connections.find(id) else {
                continue;
            };
            match unconfirmed_bytes(&connection.socket) {
                Ok(bytes) => self.engine.handle_unconfirmed(id, bytes, now),
                Err(_) => self.lose(key, now),
            }
        }
    }

    /// Sends a few bytes on a socket that has sent nothing yet. Returns whether it took them.
    pub(super) fn send_all(&mut self, key: Key, bytes: &[u8]) -> bool {
        self.connections.get(key).is_some_and(|connection| {
            send(
                &connection.socket,
                bytes,
                SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
            ) == Ok(bytes.len())
        })
    }

    /// Lets those connections go that the engine is through with.
    pub(super) fn close(&mut self, now: Instant) -> usize {
        let mut count = 0;
        while let Some(id) = self.engine.poll_closed() {
            count += 1;
            if let Some((key, _)) = self.connections.find(id) {
                self.end_sending(key, now);
            }
        }
        count
    }

    /// Sends nothing more, and gives the client a moment to read all and close.
    fn end_sending(&mut self, key: Key, now: Instant) {
        let Some(connection) = self.connections.get(key) else {
            return;
        };
        let opened = connection.opened();
        match shutdown(&connection.socket, Shutdown::Write) {
            Ok(()) => self.connections.linger(key, now),
            Err(_) => drop(self.connections.remove(key)),
        }
        if let Some(id) = opened {
            self.forget(id, now);
        }
    }

    /// The socket is at its end or broken.
    pub(super) fn lose(&mut self, key: Key, now: Instant) {
        let Some(connection) = self.connections.get(key) else {
            return;
        };
        let opened = connection.opened();
        self.connections.remove(key);
        if let Some(id) = opened {
            self.engine.handle_eof(id, now);
            self.forget(id, now);
        }
    }

    /// A connection that the engine had is gone. If it was a stream, nobody takes what is posted to it any more.
    fn forget(&mut self, id: ConnectionId, now: Instant) {
        self.askers.remove(&id);
        for key in self.streams.remove(id) {
            self.refuse_request(key, http::no_session(), now);
        }
    }

    /// Answers a handshake in plain HTTP, and ends the connection.
    pub(super) fn answer(&mut self, key: Key, answer: &Answer, now: Instant) {
        self.note(key, answer);
        self.say_last(key, answer.response(true).as_bytes(), now);
    }

    /// Counts an answer that refuses somebody.
    fn note(&self, key: Key, answer: &Answer) {
        let connection = self.connections.get(key);
        let Some((code, connection)) = answer.refusal().zip(connection) else {
            return;
        };
        self.refusals.count(Refused {
            code,
            reason: answer.words(),
            address: connection.socket.client(),
            origin: answer.origin(),
        });
    }

    /// Refuses a connection in frames, before it is anybody's. `address`: who is refused, if not who is on the other end.
    pub(super) fn refuse(
        &mut self,
        key: Key,
        refusal: &Refusal,
        address: Option<IpAddr>,
        now: Instant,
    ) {
        let Some(connection) = self.connections.get(key) else {
            return;
        };
        self.refusals.count(Refused {
            code: refusal.code(),
            reason: &refusal.to_string(),
            address: address.or_else(|| connection.socket.client()),
            origin: None,
        });
        self.say_last(key, &refusal.last_frames(), now);
    }

    /// Sends the first and last bytes of a connection that is refused.
    fn say_last(&mut self, key: Key, bytes: &[u8], now: Instant) {
        self.counters.refused += 1;
        if self.send_all(key, bytes) {
            self.end_sending(key, now);
        } else {
            self.connections.remove(key);
        }
    }

    /// Answers a request, after which another may come if the client `keeps` the connection.
    pub(super) fn conclude(&mut self, key: Key, answer: &Answer, keeps: bool, now: Instant) {
        self.note(key, answer);
        if self.send_all(key, answer.response(!keeps).as_bytes()) {
            self.await_next(key, keeps, now);
        } else {
            self.lose(key, now);
        }
    }

    /// A request is answered: another may come if the client `keeps` the connection.
    pub(super) fn await_next(&mut self, key: Key, keeps: bool, now: Instant) {
        if keeps && self.phase == Phase::Serving {
            if let Some(connection) = self.connections.get_mut(key) {
                connection.socket.end_request();
            }
            let deadline = now + self.limits.keep_alive_timeout;
            self.connections.wait(key, Stage::Kept, deadline);
            self.connections.queue(key);
        } else {
            self.end_sending(key, now);
        }
    }

    /// Gives a request up that has not been answered.
    pub(super) fn refuse_request(&mut self, key: Key, answer: Answer, now: Instant) {
        match self
            .connections
            .get(key)
            .map(|connection| &connection.stage)
        {
            Some(Stage::Kept) => self.end_sending(key, now),
            Some(Stage::Arriving(arriving)) => {
                let answer = arriving.head.refused(answer);
                self.answer(key, &answer, now);
            }
            Some(Stage::Posting(posting)) => {
                let answer = posting.post.cors.on(answer);
                self.streams.remove_post(posting.stream, key);
                self.answer(key, &answer, now);
            }
            Some(Stage::Handshake { .. }) => self.answer(key, &answer, now),
            Some(Stage::Open(_) | Stage::Lingering) | None => {}
        }
    }

    pub(super) fn refuse_late(&mut self, key: Key, now: Instant) {
        let stage = self
            .connections
            .get(key)
            .map(|connection| &connection.stage);
        let answer = match stage {
            Some(Stage::Posting(_)) => Answer::busy(),
            _arriving => Answer::too_late(self.limits.handshake_timeout),
        };
        self.refuse_request(key, answer, now);
    }

    /// The process is stopping, and nobody new is taken.
    pub(super) fn refuse_requests(&mut self, now: Instant) {
        while let Some(key) = self.connections.next_request() {
            self.refuse_request(key, Answer::stopping(), now);
        }
    }

    /// The process leaves: what is still open is closed.
    pub(super) fn leave(&mut self, now: Instant) {
        for key in self.connections.keys() {
            match self
                .connections
                .get(key)
                .map(|connection| &connection.stage)
            {
                Some(Stage::Lingering) | None => {}
                Some(_request_or_open) => self.end_sending(key, now),
            }
        }
    }
}

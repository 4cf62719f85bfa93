//! Whether a client is still there: it answers pings, and takes what it is sent, however slowly.
//!
//! A socket that takes no more tells nothing of its client, who may have megabytes on its way and be reading all the
//! time. What of that has arrived only the system knows, and it is asked when a connection has been silent or full for a
//! while, and at no other time.

use std::time::Duration;

use crate::codec::wire::{self, event};
use crate::codec::{dialect, websocket};
use crate::config::Connection;

use super::key::SessionKey;
use super::refusal::Refusal;
use super::session::{Carrier, Phase, Socket, Transport};
use super::shard::Shard;
use super::time::Instant;

/// How often a full socket is looked at before its client is given up.
const LOOKS: u32 = 4;

/// A ping that has not been answered.
#[derive(Debug, Clone, Copy)]
pub struct Ping {
    /// So much of what the connection is sent goes out before it.
    position: u64,
    /// It was still on its way when its answer was due.
    is_late: bool,
}

/// What is done about a client.
enum Verdict {
    Fine,
    Ask,
    Stuck,
    Silent,
}

impl Shard {
    /// Of what the socket was given, so much has not been confirmed by the client's system.
    pub(super) fn judge_liveness(&mut self, key: SessionKey, unconfirmed_bytes: u64, now: Instant) {
        let connection = &self.settings.connection;
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let (Phase::Ready(_), Carrier::Socket(socket)) = (&session.phase, &mut session.carrier)
        else {
            return;
        };
        socket.note_progress(unconfirmed_bytes, now);
        match socket.judge(connection, now) {
            Verdict::Fine => {}
            Verdict::Ask => self.ping(key, now),
            Verdict::Stuck => {
                let seconds = connection.write_timeout.as_secs();
                self.metrics.backpressure_closes += 1;
                self.refuse_connection(key, &Refusal::Backpressure { seconds }, now);
            }
            Verdict::Silent => {
                let seconds = connection.pong_timeout.as_secs();
                self.refuse_connection(key, &Refusal::PongTimeout { seconds }, now);
            }
        }
        self.set_session_alarm(key);
    }

    fn ping(&mut self, key: SessionKey, now: Instant) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let replies_bytes = session.replies.len();
        let Some(socket) = session.socket_mut() else {
            return;
        };
        if !socket.is_full {
            socket.moved_at = now;
        }
        let mut position = socket.sent_bytes + (socket.unsent.len() + socket.control.len()) as u64;
        match socket.transport {
            Transport::WebSocket => websocket::append_ping(&mut socket.control),
            Transport::EventStream => {
                // Nothing can come back: that it arrives is the answer.
                let heartbeat = dialect::EVENT_STREAM_HEARTBEAT;
                socket.control.extend_from_slice(heartbeat);
                position += heartbeat.len() as u64;
            }
            Transport::Tcp => position += replies_bytes as u64,
        }
        let transport = socket.transport;
        socket.pinged = Some(Ping {
            position,
            is_late: false,
        });
        match transport {
            Transport::WebSocket | Transport::EventStream => self.mark_writable(key),
            Transport::Tcp => {
                let nonce = now.as_micros();
                self.reply(key, event::Body::Ping(wire::Ping { nonce }));
            }
        }
    }
}

impl Socket {
    /// How long it is left alone after `heard_at`.
    pub fn silence(&self, connection: &Connection) -> Duration {
        match (self.transport, self.pinged) {
            (Transport::EventStream, _) | (_, None) => connection.ping_period,
            (Transport::WebSocket | Transport::Tcp, Some(_)) => connection.pong_timeout,
        }
    }

    fn note_progress(&mut self, unconfirmed_bytes: u64, now: Instant) {
        let confirmed_bytes = self.sent_bytes.saturating_sub(unconfirmed_bytes);
        if confirmed_bytes > self.confirmed_bytes {
            self.confirmed_bytes = confirmed_bytes;
            self.moved_at = now;
        }
    }

    fn judge(&mut self, connection: &Connection, now: Instant) -> Verdict {
        let is_stuck = now >= self.moved_at + connection.write_timeout;
        let is_quiet = now >= self.heard_at + self.silence(connection);
        match (is_quiet, self.transport) {
            _ if is_stuck && self.is_full => Verdict::Stuck,
            (false, _) => Verdict::Fine,
            (true, Transport::EventStream) => self.judge_stream(is_stuck, now),
            (true, Transport::WebSocket | Transport::Tcp) => {
                self.judge_silence(connection, is_stuck, now)
            }
        }
    }

    fn judge_stream(&mut self, is_stuck: bool, now: Instant) -> Verdict {
        self.heard_at = now;
        let mut pinged = self.pinged.iter();
        let is_on_its_way = pinged.any(|ping| self.confirmed_bytes < ping.position);
        match (is_on_its_way, is_stuck) {
            (false, _) => Verdict::Ask,
            (true, false) => Verdict::Fine,
            (true, true) => Verdict::Stuck,
        }
    }

    fn judge_silence(&mut self, connection: &Connection, is_stuck: bool, now: Instant) -> Verdict {
        let asked_at = now.before(connection.ping_period);
        let Some(ping) = &mut self.pinged else {
            // Whoever was not looked at for long is asked before it is given up.
            self.heard_at = self.heard_at.max(asked_at);
            return Verdict::Ask;
        };
        let is_on_its_way = self.is_full || self.confirmed_bytes < ping.position;
        let was_late = std::mem::replace(&mut ping.is_late, is_on_its_way);
        // When a ping that was late has arrived, its answer has as much time as any other.
        let may_answer = match is_on_its_way {
            true => !is_stuck,
            false => was_late,
        };
        match may_answer {
            true => {
                self.heard_at = asked_at;
                Verdict::Fine
            }
            false => Verdict::Silent,
        }
    }
}

/// When a full socket is looked at next.
pub fn next_look(connection: &Connection, now: Instant) -> Instant {
    now + connection.write_timeout / LOOKS
}

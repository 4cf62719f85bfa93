//! How sessions and documents end, what is looked at when time passes, and the planned stop.

use crate::auth::TokenError;
use crate::codec::wire::{self, event};

use super::document::Open;
use super::identity::{EXPIRED, REVOKED};
use super::key::DocumentKey;
use super::key::SessionKey;
use super::liveness::next_look;
use super::refusal::{RETRY_AFTER_MS, Refusal};
use super::session::{Carrier, Phase, Socket};
use super::shard::Shard;
use super::time::Instant;
use super::timer::Owner;

/// Goaway says the same as the Close that follows: who has drawn a time by the one need not wait for the other.
const RECONNECT_AFTER_MS: u32 = RETRY_AFTER_MS;
const RECONNECT_JITTER_MS: u32 = 4000;
/// The WebSocket close code for an endpoint that goes away.
const GOING_AWAY: u16 = 1001;

/// Sessions.
impl Shard {
    pub(super) fn socket_of(&mut self, key: SessionKey) -> Option<&mut Socket> {
        self.sessions.get_mut(key)?.socket_mut()
    }

    /// Says why, and ends the connection when that is sent.
    pub(super) fn refuse_connection(&mut self, key: SessionKey, refusal: &Refusal, now: Instant) {
        self.reply(key, refusal.error(0, 0));
        self.reply(key, refusal.close(0));
        self.farewell(key, refusal.close_code(), &refusal.to_string(), now);
    }

    /// What a client was granted is over: it is told nothing more, whatever it was to be answered.
    pub(super) fn end_grant(&mut self, key: SessionKey, refusal: &Refusal, now: Instant) {
        self.sessions[key].replies = Vec::new();
        self.refuse_connection(key, refusal, now);
    }

    /// Ends the connection when what it was answered is sent; `code` and `reason` are for a WebSocket.
    pub(super) fn farewell(&mut self, key: SessionKey, code: u16, reason: &str, now: Instant) {
        self.release(key, now);
        let until = now + self.settings.connection.write_timeout;
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        session.phase = Phase::Closing { until };
        if let Carrier::Socket(socket) = &mut session.carrier {
            socket.close = Some(Box::new((code, reason.to_owned())));
        }
        self.mark_writable(key);
        self.set_session_alarm(key);
    }

    /// The connection ends with whatever it has not been sent; the driver is told.
    pub(super) fn drop_connection(&mut self, key: SessionKey, now: Instant) {
        self.disconnect(key, now);
        self.closed.push_back(key.into());
    }

    /// The session is gone.
    pub(super) fn disconnect(&mut self, key: SessionKey, now: Instant) {
        self.release(key, now);
        self.blocked.remove(&key);
        if let Some(session) = self.sessions.remove(key) {
            self.ledger.output_bytes -= session.counted_output_bytes;
            if let Carrier::Link(link) = session.carrier {
                self.links.remove(&(link.shard, link.connection));
            }
        }
    }

    /// Gives back what a session has beside what it is to be sent.
    fn release(&mut self, key: SessionKey, now: Instant) {
        self.forget_watcher(key);
        while let Some(subscription) = self
            .sessions
            .get(key)
            .and_then(|session| session.subscriptions.last())
        {
            self.unsubscribe(key, subscription.document, now);
        }
        self.detach(key);
        self.leave_user(key, now);
        if let Some(socket) = self.socket_of(key) {
            socket.attendance = None;
            let token = socket.token.take().map_or(0, |token| token.capacity());
            socket.unjudged = None;
            let input = std::mem::take(&mut socket.input);
            let deferred = std::mem::take(&mut socket.deferred);
            let reader = std::mem::take(&mut socket.reader);
            self.ledger.input_bytes -=
                token + input.capacity() + deferred.capacity() + reader.held_bytes();
        }
        self.count_output(key);
    }

    /// Ends the connections whose grant was taken back. Returns how many.
    pub(super) fn close_revoked(&mut self, now: Instant) -> usize {
        let mut revoked = self.socket_keys();
        revoked.retain(|key| {
            let session = &self.sessions[*key];
            let known = session.identity().map(|identity| &identity.grant);
            let arrived_with = session.socket().map(|socket| &socket.grant);
            let mut grants = [known, arrived_with].into_iter().flatten().flatten();
            grants.any(|grant| self.settings.authority.revokes(grant))
        });
        self.refusals.is_by_operator = true;
        for key in &revoked {
            self.end_grant(*key, &REVOKED, now);
        }
        self.refusals.is_by_operator = false;
        revoked.len()
    }

    /// Sees to it that the session is looked at when its next deadline comes.
    pub(super) fn set_session_alarm(&mut self, key: SessionKey) {
        let connection = &self.settings.connection;
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let Carrier::Socket(socket) = &session.carrier else {
            return;
        };
        let at = match &session.phase {
            Phase::Greeting => session.connected_at + connection.handshake_timeout,
            Phase::Closing { until } => *until,
            Phase::Ready(identity) => {
                let silent_at = socket.heard_at + socket.silence(connection);
                let look_at = socket.is_full.then(|| next_look(connection, self.now));
                let deadlines = [look_at, identity.expires_at].into_iter().flatten();
                deadlines.fold(silent_at, Instant::min)
            }
        };
        self.timers.set(Owner::Session(key), &mut session.alarm, at);
    }

    pub(super) fn ring_session(&mut self, key: SessionKey, at: Instant, now: Instant) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        if !session.alarm.rings(at) {
            return;
        }
        let Carrier::Socket(socket) = &mut session.carrier else {
            return;
        };
        if session.is_paused {
            // It is not read, so its silence means nothing.
            socket.heard_at = now;
        }
        let connection = &self.settings.connection;
        match &session.phase {
            Phase::Greeting => {
                let timeout = connection.handshake_timeout;
                if now >= session.connected_at + timeout {
                    let refusal = match socket.unjudged {
                        Some(_) => TokenError::Unjudged.into(),
                        None => Refusal::HandshakeTimeout {
                            seconds: timeout.as_secs(),
                        },
                    };
                    self.refuse_connection(key, &refusal, now);
                }
            }
            Phase::Closing { until } => {
                if now >= *until {
                    self.drop_connection(key, now);
                }
            }
            Phase::Ready(identity) => {
                if identity.has_expired(now) {
                    self.end_grant(key, &EXPIRED, now);
                } else if socket.is_full || now >= socket.heard_at + socket.silence(connection) {
                    // What has arrived of what it was sent decides, and then its alarm is set.
                    return self.doubted.push_back(key);
                }
            }
        }
        self.set_session_alarm(key);
    }
}

/// Documents.
impl Shard {
    /// Sees to a document that has no subscribers: it is stored once more, if that is worth it, kept for a while, and
    /// dropped.
    pub(super) fn check_idle(&mut self, document_key: DocumentKey, now: Instant) {
        let idle_timeout = self.settings.document.idle_timeout;
        let Some(open) = self.open_of(document_key) else {
            return;
        };
        if open.subscribers_count() > 0 {
            return;
        }
        let idle_since = *open.idle_since.get_or_insert(now);
        let is_time = now >= idle_since + idle_timeout;
        self.take_last_snapshot(document_key, is_time || self.is_stopping, now);
        let Some(open) = self.open_of(document_key) else {
            return;
        };
        let is_over = open.is_deleted || open.is_unwritten() || is_time;
        if open.is_at_rest() && is_over {
            self.forget_document(document_key);
        } else {
            self.set_document_alarm(document_key);
        }
    }

    pub(super) fn forget_document(&mut self, document_key: DocumentKey) {
        if let Some(document) = self.documents.remove(document_key) {
            self.names.remove(&document.name);
            self.handles.remove(&document.handle);
            self.ledger.document_bytes -= document.counted_bytes;
        }
    }

    /// Drops idle documents until there is room for so many bytes more. False: there is none.
    pub(super) fn make_room(&mut self, bytes: usize) -> bool {
        let bytes_max = self.settings.memory.document_bytes_max;
        let bytes_max = bytes_max.saturating_sub(bytes);
        if self.ledger.document_bytes < bytes_max {
            return true;
        }
        let mut idle: Vec<(Instant, DocumentKey)> = self
            .documents
            .iter()
            .filter_map(|(key, document)| {
                let open = document.open().filter(|open| open.is_at_rest())?;
                Some((open.idle_since?, key))
            })
            .collect();
        idle.sort_unstable();
        for (_, key) in idle {
            if self.ledger.document_bytes < bytes_max {
                break;
            }
            self.forget_document(key);
        }
        self.ledger.document_bytes < bytes_max
    }

    /// Sees to it that the document is looked at when its next deadline comes.
    pub(super) fn set_document_alarm(&mut self, document_key: DocumentKey) {
        let limits = &self.settings.document;
        let Some(document) = self.documents.get_mut(document_key) else {
            return;
        };
        let Some(open) = document.open() else {
            return;
        };
        // Until it is at rest it cannot be dropped; when the store has answered it is looked at.
        let idle_since = open.idle_since.filter(|_| open.is_at_rest());
        let idle = idle_since.map(|since| since + limits.idle_timeout);
        let has_unstored = open.head_revision > open.snapshot.revision;
        let snapshot = has_unstored.then(|| open.snapshot.considered_at + limits.snapshot_period);
        let quiet = open.awake_since.map(|since| since + limits.idle_timeout);
        let presence = open.presence.next_timeout();
        if let Some(at) = [idle, snapshot, quiet, presence]
            .into_iter()
            .flatten()
            .min()
        {
            let owner = Owner::Document(document_key);
            self.timers.set(owner, &mut document.alarm, at);
        }
    }

    pub(super) fn ring_document(&mut self, document_key: DocumentKey, at: Instant, now: Instant) {
        let rings = self
            .documents
            .get_mut(document_key)
            .is_some_and(|document| document.alarm.rings(at));
        let Some(open) = self.open_of(document_key).filter(|_| rings) else {
            return;
        };
        if open.presence.handle_timeout(now) {
            self.metrics.presence_updates += 1;
            self.mark_subscribers(document_key);
        }
        self.consider_snapshot(document_key, now);
        self.check_quiet(document_key, now);
        self.check_idle(document_key, now);
        self.set_document_alarm(document_key);
        self.count_document(document_key);
    }

    /// Brings the budget up to date with what the document holds.
    pub(super) fn count_document(&mut self, document_key: DocumentKey) {
        if let Some(document) = self.documents.get_mut(document_key) {
            let held = document.footprint_bytes();
            self.ledger.document_bytes += held;
            self.ledger.document_bytes -= document.counted_bytes;
            document.counted_bytes = held;
        }
    }

    pub(super) fn open_of(&mut self, document_key: DocumentKey) -> Option<&mut Open> {
        self.documents.get_mut(document_key)?.open_mut()
    }
}

/// The planned stop.
impl Shard {
    pub(super) fn begin_stop(&mut self) {
        self.is_stopping = true;
        for key in self.socket_keys() {
            // Who has said nothing yet may speak any dialect.
            if self.sessions[key].manner.dialect.is_none() {
                continue;
            }
            let goaway = wire::Goaway {
                reason: "the relay is stopping".to_owned(),
                reconnect_after_ms: RECONNECT_AFTER_MS,
                jitter_ms: RECONNECT_JITTER_MS,
            };
            self.reply(key, event::Body::Goaway(goaway));
        }
    }

    pub(super) fn say_farewell(&mut self, now: Instant) {
        let refusal = Refusal::Unavailable("the relay is stopping".to_owned());
        for key in self.socket_keys() {
            self.reply(key, refusal.close(0));
            self.farewell(key, GOING_AWAY, &refusal.to_string(), now);
        }
    }

    fn socket_keys(&self) -> Vec<SessionKey> {
        let sockets = self.sessions.iter().filter(|(_, session)| {
            matches!(session.carrier, Carrier::Socket(_)) && !session.is_closing()
        });
        sockets.map(|(key, _)| key).collect()
    }
}

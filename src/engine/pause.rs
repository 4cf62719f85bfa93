//! Who is read, and who has to wait: a client whose demands are as much as the shard may have in hand for it.

use super::key::SessionKey;
use super::session::Carrier;
use super::shard::Shard;

/// Requests that the store has not taken, past which no connection is read.
const STORE_REQUESTS_MAX: usize = 4096;

impl Shard {
    /// Stops or goes on reading the session, as its demands on the shard say.
    pub(super) fn check_pause(&mut self, key: SessionKey) {
        let must_wait = self.must_wait(key);
        if let Some(session) = self.sessions.get_mut(key)
            && !session.is_paused
            && must_wait
        {
            session.is_paused = true;
            self.paused.push(key);
        }
    }

    /// Goes on reading whoever need no longer wait.
    pub(super) fn resume_paused(&mut self) {
        if self.paused.is_empty() {
            return;
        }
        let paused = std::mem::take(&mut self.paused);
        for key in paused {
            if !self.sessions.contains_key(key) {
                continue;
            }
            if self.must_wait(key) {
                self.paused.push(key);
                continue;
            }
            let session = &mut self.sessions[key];
            session.is_paused = false;
            match &session.carrier {
                Carrier::Socket(_) => {
                    self.receive(key, &mut [], self.now);
                    if self.is_open(key) && !self.sessions[key].is_paused {
                        self.resumed.push_back(key);
                    }
                }
                Carrier::Link(_) => self.handle_deferred(key),
            }
        }
    }

    /// Whether what the client has asked for is as much as the shard may have in hand for it.
    pub(super) fn must_wait(&self, key: SessionKey) -> bool {
        let memory = &self.settings.memory;
        let Some(session) = self.sessions.get(key) else {
            return false;
        };
        let is_forwarding_too_much = session.socket().is_some_and(|socket| {
            socket
                .forwards
                .iter()
                .any(|forward| forward.unprocessed_bytes > memory.lane_window_bytes)
        });
        let is_unjudged = session
            .socket()
            .is_some_and(|socket| socket.unjudged.is_some());
        let unread =
            session.replies.len() + session.socket().map_or(0, |socket| socket.control.len());
        let is_document_full = session.subscriptions.iter().any(|subscription| {
            self.documents[subscription.document]
                .open()
                .is_some_and(|open| open.is_pending_full(&self.settings.fanout))
        });
        self.ledger.pending_bytes > memory.pending_bytes_max
            || self.store.len() > STORE_REQUESTS_MAX
            || session.inflight_bytes > self.settings.connection.inflight_bytes_max
            || unread > memory.catch_up_page_bytes
            || is_forwarding_too_much
            || is_document_full
            || is_unjudged
    }
}

//! New limits for a shard that runs, as if it had begun with them.
//!
//! Nobody is disconnected: who has more than is allowed now keeps it, and gets no more. What a client was told in
//! Connected stays as it was told until it comes back.

use crate::config::Config;

use super::key::{DocumentKey, SessionKey};
use super::rate::Rates;
use super::shard::Shard;
use super::time::Instant;
use super::users::Users;

impl Shard {
    pub(super) fn take_limits(&mut self, config: &Config, now: Instant) {
        self.settings.set_limits(config);
        self.flush.set_moment(config.fanout.coalesce_us);
        self.rates = Rates::new(&config.rate);
        match self.rates.user.is_limited() {
            true => self.users.set_pace(&self.rates.user),
            false => self.users = Users::default(),
        }
        let sessions: Vec<SessionKey> = self.sessions.keys().collect();
        for key in sessions {
            self.limit_session(key, now);
        }
        let documents: Vec<DocumentKey> = self.documents.keys().collect();
        for key in documents {
            self.limit_document(key);
        }
        for edge in self.edges.values_mut() {
            edge.set_limits(&self.settings.fanout);
        }
        self.admit_loads();
        self.admit_listings();
        self.admit_readers();
        self.admit_questions();
    }

    fn limit_session(&mut self, key: SessionKey, now: Instant) {
        match self.rates.user.is_limited() {
            true => self.enter_user(key, now),
            false => self.sessions[key].user = None,
        }
        let counts_users = self.settings.census.per_user_max().is_some();
        let session = &mut self.sessions[key];
        let user = session.identity().and_then(|identity| identity.user);
        if let Some(user) = user.filter(|_| counts_users)
            && let Some(socket) = session.socket_mut()
            && let Some(attendance) = &mut socket.attendance
        {
            attendance.count_user(user);
        }
        // Whoever has been silent for longer than that is asked before it is given up.
        let ping_period = self.settings.connection.ping_period;
        if let Some(socket) = session.socket_mut()
            && now.since(socket.heard_at) > ping_period
        {
            socket.heard_at = now.before(ping_period);
        }
        self.set_session_alarm(key);
    }

    fn limit_document(&mut self, key: DocumentKey) {
        let Some(open) = self.documents[key].open_mut() else {
            return;
        };
        let fanout = &self.settings.fanout;
        open.kind.set_limits(&self.settings.document);
        open.ring
            .set_limits(fanout.ring_slots, fanout.ring_bytes_max);
        let slots_max = fanout.presence_ring_slots;
        open.presence.set_limits(&self.settings.presence, slots_max);
        self.check_busy(key);
        self.set_document_alarm(key);
    }
}

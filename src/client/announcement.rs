//! The client's own presence on a document: sent when it changes, thinned out, and kept alive.

use crate::codec::wire::{self, request::Body};
use crate::engine::Instant;

use super::settings::Settings;

#[derive(Debug)]
pub(super) struct Announcement {
    presence: wire::Presence,
    is_sent: bool,
    sent_at: Option<Instant>,
}

impl Announcement {
    /// In place of `before`.
    pub fn new(presence: wire::Presence, before: Option<Self>) -> Self {
        Self {
            presence,
            is_sent: false,
            sent_at: before.and_then(|before| before.sent_at),
        }
    }

    /// The relay has forgotten it.
    pub fn forget(&mut self) {
        self.is_sent = false;
    }

    /// The presence said that the client leaves, and that has been said.
    pub fn is_over(&self) -> bool {
        self.is_sent && self.presence.leave
    }

    /// When there is something to send.
    pub fn due(&self, settings: &Settings) -> Instant {
        let period = if self.is_sent {
            settings.heartbeat_period
        } else {
            settings.presence_period_min
        };
        self.sent_at.map_or_else(Instant::default, |at| at + period)
    }

    /// What is to be sent now.
    pub fn take(&mut self, settings: &Settings, handle: u64, now: Instant) -> Option<Body> {
        if self.due(settings) > now {
            return None;
        }
        self.sent_at = Some(now);
        if self.is_sent {
            return Some(Body::Heartbeat(wire::Heartbeat { document: handle }));
        }
        self.is_sent = true;
        Some(Body::Presence(wire::Presence {
            document: handle,
            ..self.presence.clone()
        }))
    }
}

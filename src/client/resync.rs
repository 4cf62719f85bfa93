//! The application's wish to be brought to the newest revision again.

use crate::codec::wire::Position;
use crate::engine::Instant;

use super::event::Refusal;

/// What the application has, and is to be told what follows. `None`: nothing.
type Have = Option<Position>;

/// At most one request is on its way, and at most one waits: the newest.
#[derive(Debug, Default)]
pub(super) struct Resyncs {
    /// Not before the time given.
    wanted: Option<(Have, Instant)>,
    asked: Option<Have>,
}

impl Resyncs {
    pub fn want(&mut self, have: Have, not_before: Instant) {
        self.wanted = Some((have, not_before));
    }

    /// When there is something to ask.
    pub fn due(&self) -> Option<Instant> {
        let wanted = self.wanted.filter(|_| self.asked.is_none())?;
        Some(wanted.1)
    }

    /// What is to be asked now.
    pub fn next(&mut self, now: Instant) -> Option<Have> {
        self.due().filter(|due| *due <= now)?;
        self.asked = self.wanted.take().map(|(have, _)| have);
        self.asked
    }

    /// Whether a Resync answers a request.
    pub fn answered(&mut self) -> bool {
        self.asked.take().is_some()
    }

    /// The request is made again when the relay allows, unless there is a newer one by now. False: there was none.
    pub fn refused(&mut self, refusal: &Refusal, now: Instant) -> bool {
        let Some(have) = self.asked.take() else {
            return false;
        };
        let newest = self.wanted.map_or(have, |(newest, _)| newest);
        self.wanted = Some((newest, refusal.retry_at(now)));
        true
    }
}

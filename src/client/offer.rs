//! A snapshot of a log that this client offers: sent in pieces, and from the start on every connection, until it is
//! answered.

use std::time::Duration;

use bytes::Bytes;

use crate::codec::wire::{self, request::Body};
use crate::engine::Instant;

use super::event::Refusal;

/// What a frame with a piece is longer than the piece.
const OVERHEAD_BYTES: usize = 256;

/// One document's offer, at most one at a time.
#[derive(Debug, Default)]
pub(super) struct Offers {
    offer: Option<Offer>,
    /// Attempts so far. Answers to earlier ones are passed over.
    attempt: u64,
}

#[derive(Debug)]
struct Offer {
    revision: u64,
    data: Bytes,
    progress: Progress,
    not_before: Instant,
    /// Between two pieces: longer each time that they were too fast.
    pause: Duration,
}

#[derive(Debug)]
enum Progress {
    /// Nothing of it is on its way on this connection.
    Waiting,
    Sending {
        id: String,
        sent: usize,
    },
}

/// What a refusal did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It was about something else.
    Other,
    /// It was about this offer, which is sent again, or about an attempt that has been given up.
    ForNow,
    /// The offer of this revision is over.
    ForEver { revision: u64 },
}

impl Offers {
    /// False: another one is not answered.
    pub fn begin(&mut self, revision: u64, data: Bytes) -> bool {
        if self.offer.is_some() {
            return false;
        }
        self.offer = Some(Offer {
            revision,
            data,
            progress: Progress::Waiting,
            not_before: Instant::default(),
            pause: Duration::ZERO,
        });
        true
    }

    /// The connection is gone, and with it what the relay had of the offer.
    pub fn rewind(&mut self) {
        if let Some(offer) = &mut self.offer {
            offer.progress = Progress::Waiting;
        }
    }

    /// When there is a piece to send.
    pub fn due(&self) -> Option<Instant> {
        let offer = self.offer.as_ref()?;
        (!offer.is_sent()).then_some(offer.not_before)
    }

    /// The next piece, in a frame of no more than `frame_bytes_max` bytes.
    pub fn next_piece(
        &mut self,
        handle: u64,
        request_id: u64,
        frame_bytes_max: usize,
        now: Instant,
    ) -> Option<wire::Request> {
        self.due().filter(|due| *due <= now)?;
        let offer = self.offer.as_mut()?;
        if let Progress::Waiting = offer.progress {
            self.attempt += 1;
            let id = format!("offer {request_id} {}", self.attempt);
            offer.progress = Progress::Sending { id, sent: 0 };
        }
        let Progress::Sending { id, sent } = &mut offer.progress else {
            unreachable!("it has just begun")
        };
        let piece_bytes_max = frame_bytes_max.saturating_sub(OVERHEAD_BYTES).max(1);
        let end = offer.data.len().min(*sent + piece_bytes_max);
        let piece = wire::SnapshotOffer {
            document: handle,
            revision: offer.revision,
            bytes_total: offer.data.len() as u64,
            offset: *sent as u64,
            data: offer.data.slice(*sent..end),
        };
        // An empty snapshot is one empty piece.
        *sent = end.max(1);
        offer.not_before = now + offer.pause;
        Some(wire::Request {
            id: id.clone(),
            ..wire::Request::from(Body::SnapshotOffer(piece))
        })
    }

    /// The relay has stored the snapshot of this revision. False: it was not asked to.
    pub fn accepted(&mut self, revision: u64) -> bool {
        let is_accepted = |offer: &mut Offer| offer.is_sent() && offer.revision == revision;
        self.offer.take_if(is_accepted).is_some()
    }

    /// The relay has refused the request `id`.
    pub fn refused(&mut self, id: &str, refusal: &Refusal, now: Instant) -> Refused {
        if !id.starts_with("offer ") {
            return Refused::Other;
        }
        let Some(offer) = &mut self.offer else {
            return Refused::ForNow;
        };
        if !matches!(&offer.progress, Progress::Sending { id: sent, .. } if sent == id) {
            return Refused::ForNow;
        }
        if !refusal.retryable {
            let revision = offer.revision;
            self.offer = None;
            return Refused::ForEver { revision };
        }
        offer.progress = Progress::Waiting;
        offer.not_before = refusal.retry_at(now);
        offer.pause = (offer.not_before.since(now)).max(offer.pause * 2);
        Refused::ForNow
    }

    /// Gives the offer up. Returns its revision.
    pub fn take(&mut self) -> Option<u64> {
        self.offer.take().map(|offer| offer.revision)
    }
}

impl Offer {
    fn is_sent(&self) -> bool {
        match &self.progress {
            Progress::Waiting => false,
            Progress::Sending { sent, .. } => *sent >= self.data.len().max(1),
        }
    }
}

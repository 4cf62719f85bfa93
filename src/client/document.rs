//! One document of a session: where the application stands in its history, and what it still has to send.
//!
//! Driven by the session alone. Invariant: the events of a document, read in order, are its history without a gap
//! or a repeat from the position that the application was given, or an explicit Reset or Snapshot.

mod told;

use std::collections::VecDeque;

use bytes::Bytes;

use crate::codec::wire::{self, Position, request::Body};
use crate::engine::Instant;

use super::announcement::Announcement;
use super::catch_up::{CatchUp, Interrupted};
use super::event::{DocumentKey, Event};
use super::offer::Offers;
use super::pending::Pending;
use super::resync::Resyncs;
use super::settings::Settings;

/// How a document is opened.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// 1 to 256 bytes.
    pub document: String,
    /// "log" or "text".
    pub kind: String,
    /// Create it if it does not exist.
    pub create: bool,
    /// What the application has of it from an earlier session.
    pub have: Option<Position>,
}

#[derive(Debug)]
pub(super) struct Document {
    key: DocumentKey,
    name: String,
    kind: String,
    create: bool,
    stage: Stage,
    /// What the application has been given.
    have: Option<Position>,
    catch_up: Option<CatchUp>,
    /// The beginning of a snapshot, from an earlier connection.
    interrupted: Option<Interrupted>,
    pending: Pending,
    /// kind `text`: the batch on its way was refused, to be rebased once `have` has this revision and the time
    /// has come.
    rebase: Option<(u64, Option<Instant>)>,
    announcement: Option<Announcement>,
    resyncs: Resyncs,
    offers: Offers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not open on this connection; to be opened, not before the time given.
    Unopened(Option<Instant>),
    Opening,
    Open {
        handle: u64,
    },
    Closed,
}

type Events = VecDeque<Event>;

impl Document {
    pub fn new(key: DocumentKey, options: OpenOptions) -> Self {
        Self {
            key,
            name: options.document,
            kind: options.kind,
            create: options.create,
            stage: Stage::Unopened(None),
            have: options.have,
            catch_up: None,
            interrupted: None,
            pending: Pending::new(),
            rebase: None,
            announcement: None,
            resyncs: Resyncs::default(),
            offers: Offers::default(),
        }
    }

    pub fn is_text(&self) -> bool {
        self.kind == "text"
    }

    pub fn is_closed(&self) -> bool {
        self.stage == Stage::Closed
    }

    pub fn is_opening(&self) -> bool {
        self.stage == Stage::Opening
    }

    pub fn handle(&self) -> Option<u64> {
        match self.stage {
            Stage::Open { handle } => Some(handle),
            Stage::Unopened(_) | Stage::Opening | Stage::Closed => None,
        }
    }

    pub fn have(&self) -> Option<Position> {
        self.have
    }

    /// Open, caught up, nothing pending: a text batch may be submitted.
    pub fn is_ready(&self) -> bool {
        self.handle().is_some()
            && self.catch_up.is_none()
            && self.rebase.is_none()
            && self.pending.is_empty()
    }

    pub fn pending(&self) -> &Pending {
        &self.pending
    }

    pub fn pending_mut(&mut self) -> &mut Pending {
        &mut self.pending
    }

    pub fn announce(&mut self, presence: wire::Presence) {
        self.announcement = Some(Announcement::new(presence, self.announcement.take()));
    }

    /// The connection is gone.
    pub fn disconnect(&mut self) {
        match self.stage {
            Stage::Opening | Stage::Open { .. } => self.stage = Stage::Unopened(None),
            Stage::Unopened(_) | Stage::Closed => {}
        }
        if let Some(catch_up) = self.catch_up.take() {
            self.interrupted = catch_up.interrupt();
        }
        self.rebase = None;
        self.resyncs = Resyncs::default();
        self.pending.rewind();
        self.offers.rewind();
        if let Some(announcement) = &mut self.announcement {
            announcement.forget();
        }
    }

    /// The document is not to be opened again.
    pub fn close(&mut self) -> Vec<Bytes> {
        self.disconnect();
        self.stage = Stage::Closed;
        self.announcement = None;
        self.interrupted = None;
        self.offers.take();
        self.pending.take_all()
    }

    /// The relay has closed the document, or refused to open it, but not for ever.
    pub fn reopen(&mut self, at: Option<Instant>) {
        self.disconnect();
        self.stage = Stage::Unopened(at);
    }

    /// Asks for what follows `have`, or for the whole document. One that is not open is brought there by opening it.
    pub fn request_sync(&mut self, have: Option<Position>, not_before: Instant) {
        if self.handle().is_some() {
            self.resyncs.want(have, not_before);
        }
    }

    pub fn resyncs_mut(&mut self) -> &mut Resyncs {
        &mut self.resyncs
    }

    pub fn offers_mut(&mut self) -> &mut Offers {
        &mut self.offers
    }

    /// What an earlier connection has brought is of no use. False: there was nothing.
    pub fn forget_interrupted(&mut self) -> bool {
        self.interrupted.take().is_some()
    }

    // ---- time and sending

    pub fn handle_timeout(&mut self, now: Instant, events: &mut Events) {
        if self.rebase_at().is_some_and(|at| at <= now) {
            self.rebase = None;
            self.pending.take_all();
            events.push_back(Event::Rebase { document: self.key });
        }
    }

    fn rebase_at(&self) -> Option<Instant> {
        let (revision, at) = self.rebase?;
        let is_there =
            self.catch_up.is_none() && self.have.unwrap_or_default().revision >= revision;
        is_there.then_some(at.unwrap_or_default())
    }

    /// What the document has to send on a connection that is live.
    pub fn transmit(
        &mut self,
        settings: &Settings,
        message_bytes_max: usize,
        request_id: u64,
        now: Instant,
        mut send: impl FnMut(wire::Request),
    ) {
        if let Stage::Unopened(at) = self.stage
            && at.is_none_or(|at| at <= now)
        {
            self.stage = Stage::Opening;
            let interrupted = self.interrupted.as_ref();
            let resume_token = interrupted.map(|it| it.resume_token.clone());
            let open = Body::Open(wire::Open {
                request_id,
                document: self.name.clone(),
                kind: self.kind.clone(),
                have: self.have,
                create: self.create,
                resume_token: resume_token.unwrap_or_default(),
                ..Default::default()
            });
            send(open.into());
        }
        let Stage::Open { handle } = self.stage else {
            return;
        };
        if let Some(announcement) = &mut self.announcement {
            announcement
                .take(settings, handle, now)
                .into_iter()
                .for_each(|body| send(body.into()));
        }
        self.announcement = self.announcement.take().filter(|it| !it.is_over());
        if let Some(have) = self.resyncs.next(now) {
            let request = Body::SyncRequest(wire::SyncRequest {
                document: handle,
                have,
                ..Default::default()
            });
            send(request.into());
        }
        if self.catch_up.is_some() || self.rebase.is_some() {
            return;
        }
        while let Some((first_clock, batch)) = self.pending.next_batch(&settings.batching, now) {
            let operations = Body::Operations(wire::Operations {
                document: handle,
                client_seq: batch.client_seq,
                first_clock,
                base_revision: batch.base_revision,
                operations: batch.operations.clone(),
                ..Default::default()
            });
            send(operations.into());
        }
        // One piece at a time, so that operations do not wait for a whole snapshot.
        let offers = &mut self.offers;
        if let Some(piece) = offers.next_piece(handle, request_id, message_bytes_max, now) {
            send(piece);
        }
    }

    /// When `handle_timeout` or `transmit` has something to do.
    pub fn timeout(&self, settings: &Settings) -> Option<Instant> {
        match self.stage {
            Stage::Unopened(at) => Some(at.unwrap_or_default()),
            Stage::Opening | Stage::Closed => None,
            Stage::Open { .. } => {
                let (send, offer) = if self.catch_up.is_some() || self.rebase.is_some() {
                    (None, None)
                } else {
                    let send = self.pending.timeout(&settings.batching);
                    (send, self.offers.due())
                };
                let presence = self.announcement.as_ref().map(|it| it.due(settings));
                [send, offer, presence, self.resyncs.due(), self.rebase_at()]
                    .into_iter()
                    .flatten()
                    .min()
            }
        }
    }
}

//! One client's side of the protocol: a connection at a time, any number of documents, no IO.
//!
//! # Driving a session
//!
//! `poll_connection` says when to connect or to drop the connection. While connected: bytes from the relay go into
//! `handle_bytes`, what `poll_transmit` gives goes to the relay, and `handle_timeout` is called at `poll_timeout`
//! at the latest. Whatever happens, `poll_event` tells the application. Bytes are frames: over TCP as they are,
//! over WebSocket as the payload of binary messages, one message per call of `poll_transmit`, which is called until
//! it gives nothing.
//!
//! The session reads no clock and no random source. It holds no more than what the application submits and the
//! relay has not acknowledged, and the beginning of a snapshot, all of which [`Settings`] bounds.
//!
//! # Snapshots of logs
//!
//! The relay cannot read a log. A client that can gives it a summary from time to time, and whoever joins later is sent
//! that instead of what it sums up:
//!
//! ```
//! use bytes::Bytes;
//! use corelay::client::{Event, OpenOptions, Session, Settings};
//! use corelay::engine::Instant;
//!
//! let mut session = Session::new(Settings::default(), Instant::default());
//! let board = session.open(OpenOptions {
//!     document: "board".to_owned(),
//!     kind: "log".to_owned(),
//!     ..OpenOptions::default()
//! });
//! let mut shapes: Vec<Bytes> = Vec::new();
//! while let Some(event) = session.poll_event() {
//!     match event {
//!         Event::Snapshot { data, .. } => shapes = vec![data],
//!         Event::Remote { operations, .. } => shapes.extend(operations),
//!         Event::Synced { revision, .. } if shapes.len() > 1000 => {
//!             let summary = shapes.concat();
//!             session.offer_snapshot(board, revision, summary.into()).expect("no other is on its way");
//!         }
//!         _ => {}
//!     }
//! }
//! ```
//!
//! # Documents by name
//!
//! ```
//! # use corelay::client::{HistoryOptions, ListOptions, Session, Settings};
//! # use corelay::engine::Instant;
//! # let mut session = Session::new(Settings::default(), Instant::default());
//! // Answered by Event::Directory, and Event::DirectoryUpdate from then on.
//! session.list(ListOptions {
//!     prefix: "invoices/".to_owned(),
//!     watch: true,
//!     ..ListOptions::default()
//! })?;
//! // Answered by Event::Deleted.
//! session.delete("invoices/2019")?;
//! session.restore("invoices/2019")?;
//! // Answered by Event::History: who has changed it, when, and how much, the newest change first.
//! session.history(HistoryOptions {
//!     document_id: "invoices/2019".to_owned(),
//!     newest_first: true,
//!     ..HistoryOptions::default()
//! })?;
//! # Ok::<(), corelay::client::RequestError>(())
//! ```

mod link;
mod named;
mod told;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::codec::frame;
use crate::codec::wire::{self, Position, request::Body};
use crate::engine::Instant;

use super::document::{Document, OpenOptions};
use super::event::{DocumentKey, Event};
use super::reconnect::Backoff;
use super::requests::Requests;
use super::settings::{Batching, Settings};
use super::text::TextBatch;
use link::Link;

pub use link::{ConnectionRequest, PROTOCOL_VERSION};
pub use named::RequestError;

/// Why an operation was not taken.
#[allow(missing_docs, reason = "what they display says it")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    #[error("the document is closed")]
    Closed,
    #[error("too much waits for the relay")]
    Full,
    #[error("a batch is on its way, or the document is not caught up")]
    NotReady,
    #[error("the operation is larger than a message may be")]
    TooLarge,
}

/// Why a snapshot was not taken.
#[allow(missing_docs, reason = "what they display says it")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    #[error("the document is closed")]
    Closed,
    #[error("the snapshot that was offered before is not answered")]
    Busy,
    #[error("the snapshot is longer than `snapshot_bytes_max`")]
    TooLarge,
}

/// One client and its documents, whatever connection it is on.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    backoff: Backoff,
    link: Link,
    /// The driver has to drop the connection that it has.
    drop_connection: bool,
    /// Unless it comes back later than that, it comes back too early.
    not_before: Option<Instant>,
    client_id: u64,
    /// Fresh tokens that are shown, and of which the relay has said nothing.
    renewals: u32,
    message_bytes_max: usize,
    ping_period: Duration,
    heard_at: Instant,
    pinged: bool,
    /// The beginning of a frame.
    input: Vec<u8>,
    /// Frames that are to be sent.
    output: Vec<u8>,
    requests: Requests,
    documents: Vec<Document>,
    /// Documents that are open, by handle.
    handles: Vec<(u64, usize)>,
    events: VecDeque<Event>,
}

impl Session {
    /// A session that wants to connect at once.
    pub fn new(settings: Settings, now: Instant) -> Self {
        Self {
            backoff: Backoff::new(settings.reconnect.clone(), settings.seed),
            settings,
            link: Link::Waiting { until: now },
            drop_connection: false,
            not_before: None,
            client_id: 0,
            renewals: 0,
            message_bytes_max: 1024 * 1024,
            ping_period: Duration::from_secs(54),
            heard_at: now,
            pinged: false,
            input: Vec::new(),
            output: Vec::new(),
            requests: Requests::default(),
            documents: Vec::new(),
            handles: Vec::new(),
            events: VecDeque::new(),
        }
    }

    /// Opens a document as soon as there is a connection, and again on every later one.
    pub fn open(&mut self, options: OpenOptions) -> DocumentKey {
        let key = DocumentKey(self.documents.len());
        self.documents.push(Document::new(key, options));
        key
    }

    /// Leaves the document. What was not acknowledged is given back; some of it may be applied all the same. A snapshot
    /// that was offered is no longer answered.
    pub fn close(&mut self, document: DocumentKey) -> Vec<Bytes> {
        if let Some(handle) = self.documents[document.0].handle() {
            self.forget_handle(handle);
            self.send(Body::Close(wire::Close {
                document: handle,
                ..wire::Close::default()
            }));
        }
        self.documents[document.0].close()
    }

    /// Ends the connection, and makes no further one.
    pub fn stop(&mut self) {
        if self.link == Link::Live {
            self.send(Body::Close(wire::Close::default()));
        }
        self.drop_connection = matches!(self.link, Link::Greeting | Link::Live);
        self.link = Link::Stopped;
    }

    /// Shows the relay a fresh token: now if there is a connection, and on every later one. It is to be of the same user.
    /// Answered by [`Event::Connected`] with `is_renewal`; documents that it no longer grants are [`Event::Closed`]. A token
    /// that is wrong ends the session ([`Event::Stopped`]). Of one that cannot be judged now [`Event::Error`] tells, and
    /// the relay goes by the one before: show it again. The relay closes the connection when the token that it goes by
    /// expires: be earlier.
    pub fn renew_token(&mut self, token: &str) {
        token.clone_into(&mut self.settings.token);
        if self.link == Link::Live {
            self.renewals += 1;
            self.hello();
        }
    }

    /// kind `log`: adds an operation, which is sent with others when a batch is due.
    pub fn submit(
        &mut self,
        document: DocumentKey,
        operation: Bytes,
        now: Instant,
    ) -> Result<(), SubmitError> {
        self.check_size(operation.len())?;
        let entry = &mut self.documents[document.0];
        if entry.is_closed() {
            return Err(SubmitError::Closed);
        }
        if !entry
            .pending_mut()
            .push(operation, &self.settings.batching, now)
        {
            return Err(SubmitError::Full);
        }
        Ok(())
    }

    /// kind `text`: sends a batch. One at a time; see `is_ready`.
    pub fn submit_batch(
        &mut self,
        document: DocumentKey,
        batch: TextBatch,
    ) -> Result<(), SubmitError> {
        self.check_size(batch.operations.iter().map(Bytes::len).sum())?;
        let entry = &mut self.documents[document.0];
        if entry.is_closed() {
            return Err(SubmitError::Closed);
        }
        if !entry.is_ready() || batch.operations.is_empty() {
            return Err(SubmitError::NotReady);
        }
        entry.pending_mut().push_batch(batch);
        Ok(())
    }

    fn check_size(&self, bytes: usize) -> Result<(), SubmitError> {
        if bytes + OPERATIONS_OVERHEAD_BYTES > self.message_bytes_max {
            return Err(SubmitError::TooLarge);
        }
        Ok(())
    }

    /// Whether `submit_batch` takes a batch: open, caught up, and nothing on its way.
    pub fn is_ready(&self, document: DocumentKey) -> bool {
        self.link == Link::Live && self.documents[document.0].is_ready()
    }

    /// Sends what waits without waiting for its age.
    pub fn flush(&mut self, document: DocumentKey) {
        self.documents[document.0].pending_mut().flush();
    }

    /// Own operations on the document that are not acknowledged.
    pub fn pending_operations(&self, document: DocumentKey) -> usize {
        self.documents[document.0].pending().count()
    }

    /// What the application has been given of the document.
    pub fn position(&self, document: DocumentKey) -> Option<Position> {
        self.documents[document.0].have()
    }

    /// Sets the presence (its `document` is filled in), and keeps it alive until it is one with `leave`.
    pub fn announce(&mut self, document: DocumentKey, presence: wire::Presence) {
        self.documents[document.0].announce(presence);
    }

    /// Asks for the document again from `have`, or from its beginning. Answered by `Event::Resync`; where it is refused
    /// for now (RATE_LIMITED), `Event::Error` tells so, and it is asked again when the relay allows. Of several
    /// that wait the newest is asked.
    pub fn request_sync(&mut self, document: DocumentKey, have: Option<Position>) {
        self.documents[document.0].request_sync(have, Instant::default());
    }

    /// kind `log`: offers a summary of everything up to `revision`, which the application has been given. Sent in pieces
    /// once the document is caught up, and from the start after a reconnect. Answered by `Event::SnapshotAccepted` or
    /// `Event::SnapshotRefused`; until then no other is taken.
    pub fn offer_snapshot(
        &mut self,
        document: DocumentKey,
        revision: u64,
        data: Bytes,
    ) -> Result<(), OfferError> {
        let entry = &mut self.documents[document.0];
        if entry.is_closed() {
            return Err(OfferError::Closed);
        }
        if data.len() > self.settings.snapshot_bytes_max {
            return Err(OfferError::TooLarge);
        }
        if !entry.offers_mut().begin(revision, data) {
            return Err(OfferError::Busy);
        }
        Ok(())
    }

    /// What the relay calls this client; 0 before the first answer.
    pub fn client_id(&self) -> u64 {
        self.client_id
    }

    /// As the relay allows it.
    pub fn batching(&self) -> &Batching {
        &self.settings.batching
    }

    /// Whether the relay has answered Hello on the connection that there is.
    pub fn is_live(&self) -> bool {
        self.link == Link::Live
    }

    /// Whether no connection will be made any more.
    pub fn is_stopped(&self) -> bool {
        self.link == Link::Stopped
    }

    /// What has happened next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn index(&self, handle: u64) -> Option<usize> {
        let mut handles = self.handles.iter();
        handles
            .find(|(open, _)| *open == handle)
            .map(|(_, index)| *index)
    }

    fn forget_handle(&mut self, handle: u64) {
        self.handles.retain(|(open, _)| *open != handle);
    }

    fn send(&mut self, body: Body) {
        append(&mut self.output, &body.into());
    }
}

/// What an Operations request is longer than its payloads, for a batch of any size that is allowed.
const OPERATIONS_OVERHEAD_BYTES: usize = 16 * 1024;

fn append(out: &mut Vec<u8>, request: &wire::Request) {
    frame::append(request, out);
}

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

mod told;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use crate::codec::frame;
use crate::codec::wire::{self, Position, request::Body};
use crate::engine::{DOCUMENT_ID_BYTES_MAX, Instant, is_document_id};

use super::document::{Document, OpenOptions};
use super::event::{DocumentKey, Event, Refusal, Violation};
use super::reconnect::Backoff;
use super::requests::{HistoryOptions, ListOptions, Question, RequestKey, Requests};
use super::settings::{Batching, Settings};
use super::text::TextBatch;

/// The version of `proto/corelay.proto` that the session speaks.
pub const PROTOCOL_VERSION: u32 = 3;

/// What the session wants of its driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionRequest {
    /// Connect, then call `handle_connected` or `handle_disconnected`.
    Connect,
    /// Send what `poll_transmit` still has, then drop the connection. The session counts it as gone already.
    Disconnect,
}

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

/// Why a list or a deletion was not taken.
#[allow(missing_docs, reason = "what they display says it")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("`requests_max` of them wait for the relay")]
    Full,
    #[error("a document id has 1 to 256 bytes and no control characters, a prefix no more bytes")]
    IdInvalid,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Waiting {
        until: Instant,
    },
    Connecting,
    /// Hello is sent.
    Greeting,
    Live,
    Stopped,
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

    // ---- the application

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

    /// Lists documents. Answered by `Event::Directory`, and with `watch` by `Event::DirectoryUpdate` from then on, or by
    /// `Event::RequestRefused`. A list ends the watch of the one before.
    pub fn list(&mut self, options: ListOptions) -> Result<RequestKey, RequestError> {
        if options.prefix.len().max(options.after.len()) > DOCUMENT_ID_BYTES_MAX {
            return Err(RequestError::IdInvalid);
        }
        self.request(Question::List(options))
    }

    /// Deletes a document, for everybody. Answered by `Event::Deleted` or `Event::RequestRefused`.
    pub fn delete(&mut self, document_id: &str) -> Result<RequestKey, RequestError> {
        self.request_deletion(document_id, false)
    }

    /// Takes the deletion of a document back, within the time that the relay grants. Answered by `Event::Deleted` with
    /// `undone`, or `Event::RequestRefused`. A document that was closed by the deletion is to be opened again.
    pub fn restore(&mut self, document_id: &str) -> Result<RequestKey, RequestError> {
        self.request_deletion(document_id, true)
    }

    /// A page of what has happened in a document, whether it is open or not. Answered by `Event::History` or
    /// `Event::RequestRefused`.
    pub fn history(&mut self, options: HistoryOptions) -> Result<RequestKey, RequestError> {
        if !is_document_id(&options.document_id) {
            return Err(RequestError::IdInvalid);
        }
        self.request(Question::History(options))
    }

    /// Gives a revision a name, 0 the newest. Answered by `Event::VersionSaved` or `Event::RequestRefused`.
    pub fn save_version(
        &mut self,
        document_id: &str,
        name: &str,
        revision: u64,
    ) -> Result<RequestKey, RequestError> {
        self.request_about(document_id, |document_id| Question::SaveVersion {
            document_id,
            name: name.to_owned(),
            revision,
        })
    }

    /// Lists a document's versions. Answered by `Event::Versions` or `Event::RequestRefused`.
    pub fn list_versions(&mut self, document_id: &str) -> Result<RequestKey, RequestError> {
        self.request_about(document_id, |document_id| Question::ListVersions {
            document_id,
        })
    }

    /// Takes a name from its revision. Answered by `Event::VersionDeleted` or `Event::RequestRefused`.
    pub fn delete_version(
        &mut self,
        document_id: &str,
        name: &str,
    ) -> Result<RequestKey, RequestError> {
        self.request_about(document_id, |document_id| Question::DeleteVersion {
            document_id,
            name: name.to_owned(),
        })
    }

    fn request_about(
        &mut self,
        document_id: &str,
        question: impl FnOnce(String) -> Question,
    ) -> Result<RequestKey, RequestError> {
        if !is_document_id(document_id) {
            return Err(RequestError::IdInvalid);
        }
        self.request(question(document_id.to_owned()))
    }

    fn request_deletion(
        &mut self,
        document_id: &str,
        undo: bool,
    ) -> Result<RequestKey, RequestError> {
        self.request_about(document_id, |document_id| Question::Delete {
            document_id,
            undo,
        })
    }

    fn request(&mut self, question: Question) -> Result<RequestKey, RequestError> {
        let key = self.requests.push(question, self.settings.requests_max);
        key.ok_or(RequestError::Full)
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

    // ---- the connection

    /// What the driver has to do about the connection.
    pub fn poll_connection(&mut self, now: Instant) -> Option<ConnectionRequest> {
        if self.drop_connection {
            self.drop_connection = false;
            return Some(ConnectionRequest::Disconnect);
        }
        match self.link {
            Link::Waiting { until } if until <= now => {
                self.link = Link::Connecting;
                Some(ConnectionRequest::Connect)
            }
            Link::Waiting { .. }
            | Link::Connecting
            | Link::Greeting
            | Link::Live
            | Link::Stopped => None,
        }
    }

    /// There is a connection, as it was asked for.
    pub fn handle_connected(&mut self, now: Instant) {
        if self.link != Link::Connecting {
            return;
        }
        self.link = Link::Greeting;
        self.heard_at = now;
        self.pinged = false;
        self.input.clear();
        self.output.clear();
        self.renewals = 0;
        self.hello();
    }

    fn hello(&mut self) {
        self.send(Body::Hello(wire::Hello {
            protocol_version: PROTOCOL_VERSION,
            client_uuid: Bytes::copy_from_slice(&self.settings.client_uuid),
            token: self.settings.token.clone(),
            user_id: self.settings.user_id.clone(),
            user_name: self.settings.user_name.clone(),
            debug: false,
        }));
    }

    /// The connection is gone, or could not be made.
    pub fn handle_disconnected(&mut self, now: Instant) {
        match self.link {
            Link::Connecting | Link::Greeting | Link::Live => self.lose_connection(now),
            Link::Waiting { .. } | Link::Stopped => {}
        }
    }

    fn lose_connection(&mut self, now: Instant) {
        let until = match self.not_before.take() {
            Some(at) => at.max(now),
            None => now + self.backoff.delay(),
        };
        self.link = Link::Waiting { until };
        self.handles.clear();
        self.output.clear();
        self.requests.disconnect();
        for document in &mut self.documents {
            document.disconnect();
        }
        self.events.push_back(Event::Disconnected {
            retry_at: Some(until),
        });
    }

    fn fail(&mut self, violation: Violation, now: Instant) {
        self.events.push_back(Event::Violation(violation));
        self.drop_connection = true;
        self.lose_connection(now);
    }

    fn refuse_for_ever(&mut self, refusal: Refusal) {
        self.stop();
        self.events.push_back(Event::Stopped { refusal });
    }

    /// Bytes from the relay, in any pieces.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        self.heard_at = now;
        self.pinged = false;
        let mut kept = std::mem::take(&mut self.input);
        let mut rest = bytes;
        if !kept.is_empty() {
            kept.extend_from_slice(bytes);
            rest = &kept;
        }
        while matches!(self.link, Link::Greeting | Link::Live) {
            let told = match frame::split(&mut rest, self.settings.frame_bytes_max) {
                Ok(None) => {
                    if rest.len() == kept.len() {
                        self.input = if kept.is_empty() { Vec::new() } else { kept };
                    } else {
                        self.input.extend_from_slice(rest);
                    }
                    return;
                }
                Ok(Some(message)) => match wire::Event::decode(Bytes::copy_from_slice(message)) {
                    Ok(wire::Event { reply_to, body, .. }) => {
                        body.map_or(Ok(()), |told| self.handle_event(told, &reply_to, now))
                    }
                    Err(error) => Err(Violation::Message(error.to_string())),
                },
                Err(error) => Err(error.into()),
            };
            if let Err(violation) = told {
                self.fail(violation, now);
            }
        }
    }

    // ---- time and sending

    /// Call it at `poll_timeout`, or whenever convenient.
    pub fn handle_timeout(&mut self, now: Instant) {
        if !matches!(self.link, Link::Greeting | Link::Live) {
            return;
        }
        if self.ping_at() <= now {
            if self.pinged {
                self.fail(Violation::PongMissing, now);
                return;
            }
            self.pinged = true;
            self.send(Body::Ping(wire::Ping { nonce: 1 }));
        }
        for document in &mut self.documents {
            document.handle_timeout(now, &mut self.events);
        }
    }

    /// When the next Ping of ours is due, or its answer.
    fn ping_at(&self) -> Instant {
        let wait = if self.pinged {
            self.settings.pong_timeout
        } else {
            Duration::ZERO
        };
        self.heard_at + self.ping_period + wait
    }

    /// Appends what is to be sent now: whole frames, as many as one message may have. Call it until it gives nothing.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>, now: Instant) {
        let bytes_max = self.message_bytes_max + frame::PREFIX_BYTES;
        if self.link == Link::Live && self.output.len() < bytes_max {
            self.gather(now);
        }
        let mut end = 0;
        for message in frame::messages(&self.output) {
            let next = end + frame::PREFIX_BYTES + message.len();
            if end > 0 && next > bytes_max {
                break;
            }
            end = next;
        }
        out.extend_from_slice(&self.output[..end]);
        self.output.drain(..end);
    }

    /// What requests and documents have to send.
    fn gather(&mut self, now: Instant) {
        let output = &mut self.output;
        if let Some(body) = self.requests.next(now) {
            append(output, &body.into());
        }
        for (index, document) in self.documents.iter_mut().enumerate() {
            let request_id = request_of_index(index);
            let bytes_max = self.message_bytes_max;
            document.transmit(&self.settings, bytes_max, request_id, now, |request| {
                append(output, &request);
            });
        }
    }

    /// When to call `poll_connection`, `handle_timeout` and `poll_transmit` at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.link {
            _ if self.drop_connection => Some(Instant::default()),
            Link::Waiting { until } => Some(until),
            Link::Connecting | Link::Stopped => None,
            Link::Greeting | Link::Live if !self.output.is_empty() => Some(Instant::default()),
            Link::Greeting => Some(self.ping_at()),
            Link::Live => self
                .documents
                .iter()
                .filter_map(|document| document.timeout(&self.settings))
                .chain([self.ping_at()])
                .chain(self.requests.due())
                .min(),
        }
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

/// Requests to open are numbered from 1: in an Error, 0 means that it answers none.
fn request_of_index(index: usize) -> u64 {
    index as u64 + 1
}

fn index_of_request(request_id: u64) -> usize {
    usize::try_from(request_id.wrapping_sub(1)).unwrap_or(usize::MAX)
}

fn append(out: &mut Vec<u8>, request: &wire::Request) {
    frame::append(request, out);
}

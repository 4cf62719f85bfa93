//! A text on a session: the application edits it and is told what others did to it.
//!
//! Every event of the session goes through [`TextDocument::handle_event`], and [`TextDocument::poll`] is called
//! after events and edits and at [`TextDocument::poll_timeout`], to send what is due. The state machine underneath
//! is [`TextClient`]; what is here is its place on the session.

use crate::codec::wire::Position;
use crate::engine::Instant;
use crate::text::{Operation, Text, TextError};

use super::document::OpenOptions;
use super::event::{DocumentKey, Event};
use super::pending::Pace;
use super::session::Session;
use super::text::{TextClient, TextClientError};

/// A document of kind `text`, as its user sees and edits it.
#[derive(Debug)]
pub struct TextDocument {
    key: DocumentKey,
    epoch: u64,
    /// `None` before the document was opened for the first time.
    client: Option<TextClient>,
    pace: Pace,
    /// A batch that was refused or lost is to be sent again at once.
    resend: bool,
    /// What arrives does not continue the text, until the pages that were asked for come.
    out_of_step: bool,
}

/// Why an edit, or what the relay sent, was not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextDocumentError {
    /// There is no text to be edited yet.
    #[error("the document has not been opened yet")]
    NotOpen,
    /// The edit does not fit the text.
    #[error(transparent)]
    Edit(#[from] TextError),
    /// The relay sent what does not fit the text.
    #[error(transparent)]
    Relay(#[from] TextClientError),
}

impl TextDocument {
    /// Opens the document on the session, and creates it where `create` says so.
    pub fn open(session: &mut Session, document: &str, create: bool) -> Self {
        let key = session.open(OpenOptions {
            document: document.to_owned(),
            kind: "text".to_owned(),
            create,
            have: None,
        });
        Self {
            key,
            epoch: 0,
            client: None,
            pace: Pace::default(),
            resend: false,
            out_of_step: false,
        }
    }

    /// The session's key of the document.
    pub fn key(&self) -> DocumentKey {
        self.key
    }

    /// The text as the user sees it. `None` before the document was opened for the first time.
    pub fn text(&self) -> Option<&Text> {
        self.client.as_ref().map(TextClient::text)
    }

    /// How far the history has been seen.
    pub fn revision(&self) -> u64 {
        self.client.as_ref().map_or(0, TextClient::revision)
    }

    /// Own edits that have not been seen in the history.
    pub fn pending_operations(&self) -> usize {
        self.client
            .as_ref()
            .map_or(0, TextClient::pending_operations)
    }

    /// The user's edit of `text`.
    pub fn edit(&mut self, operation: Operation, now: Instant) -> Result<(), TextDocumentError> {
        let client = self.client.as_mut().ok_or(TextDocumentError::NotOpen)?;
        client.edit(operation)?;
        self.pace.touch(now);
        Ok(())
    }

    /// Takes in what the session told. Returns what it does to the view, in order.
    pub fn handle_event(
        &mut self,
        event: &Event,
        session: &mut Session,
    ) -> Result<Vec<Operation>, TextDocumentError> {
        if event
            .document()
            .is_some_and(|document| document != self.key)
        {
            return Ok(Vec::new());
        }
        if let Event::Opened { .. } = event {
            let waiting_max = session.batching().waiting_operations_max;
            self.client
                .get_or_insert_with(|| TextClient::new(session.client_id(), waiting_max));
        }
        let Some(client) = &mut self.client else {
            return Ok(Vec::new());
        };
        let mut told = Ok(Vec::new());
        match event {
            Event::Opened { position, .. } => {
                if self.epoch != position.epoch {
                    client.epoch_changed();
                }
                self.epoch = position.epoch;
                self.out_of_step = false;
            }
            Event::Disconnected { .. } => client.disconnected(),
            Event::Resync { from, .. } => {
                if self.epoch != from.epoch {
                    client.epoch_changed();
                }
                self.epoch = from.epoch;
                self.out_of_step = false;
                client.resyncing();
            }
            Event::Reset { next_clock, .. } => {
                client.epoch_changed();
                told = Ok(vec![client.snapshot(0, *next_clock, Text::default())]);
            }
            Event::Snapshot {
                revision,
                data,
                next_clock,
                ..
            } => {
                let text = Text::from_utf8(data)?;
                told = Ok(vec![client.snapshot(*revision, *next_clock, text)]);
            }
            Event::Synced { next_clock, .. } => {
                client.caught_up(*next_clock);
                self.resend = true;
            }
            Event::Rebase { .. } => {
                client.nacked();
                self.resend = true;
            }
            Event::Refused { .. } => told = Ok(vec![client.abandon()]),
            Event::Remote { .. } | Event::Acknowledged { .. } if self.out_of_step => {}
            Event::Remote {
                revision,
                origin,
                first_clock,
                operations,
                ..
            } => told = client.remote(*revision, *origin, *first_clock, operations),
            Event::Acknowledged {
                first_revision,
                count,
                ..
            } => {
                told = client
                    .acknowledged(*first_revision, *count)
                    .map(|()| Vec::new());
            }
            Event::Connected { .. }
            | Event::Stopped { .. }
            | Event::Goaway { .. }
            | Event::Violation(_)
            | Event::Error { .. }
            | Event::Closed { .. }
            | Event::Presence { .. }
            | Event::Warning { .. }
            | Event::SnapshotAccepted { .. }
            | Event::SnapshotRefused { .. }
            | Event::Directory { .. }
            | Event::DirectoryUpdate { .. }
            | Event::Deleted { .. }
            | Event::History { .. }
            | Event::VersionSaved { .. }
            | Event::Versions { .. }
            | Event::VersionDeleted { .. }
            | Event::RequestRefused { .. } => {}
        }
        match told {
            Err(TextClientError::OutOfStep { revision, .. }) => {
                self.out_of_step = true;
                let epoch = self.epoch;
                session.request_sync(self.key, Some(Position { epoch, revision }));
                Ok(Vec::new())
            }
            told => Ok(told?),
        }
    }

    /// Submits a batch if one is due and the session takes it. Returns what that does to the view: something only
    /// where an edit is larger than the relay takes, and all that wait are given up.
    pub fn poll(&mut self, session: &mut Session, now: Instant) -> Option<Operation> {
        let client = self.client.as_mut()?;
        let is_due = self.resend || self.pace.is_due(session.batching(), now);
        if !is_due || self.out_of_step || !session.is_ready(self.key) {
            return None;
        }
        self.resend = false;
        let batching = session.batching();
        let batch = client.take_batch(batching.operations_max, batching.bytes_max);
        let taken = batch.as_ref().map_or(0, |batch| batch.operations.len());
        if client.pending_operations() == taken {
            self.pace = Pace::default();
        }
        let batch = batch?;
        let submitted = session.submit_batch(self.key, batch);
        submitted.err().map(|_| client.abandon())
    }

    /// When `poll` has something to do that it does not have yet. While a batch is on its way, an event comes first.
    pub fn poll_timeout(&self, session: &Session) -> Option<Instant> {
        if !session.is_ready(self.key) {
            return None;
        }
        self.pace.due(session.batching())
    }
}

//! A document of kind `text` as a client has it: what the user sees, while the relay's order of things arrives.
//!
//! The state machine is the classic one with three states: *synchronised*; *one batch on its way*; and *one batch on
//! its way and edits behind it*. The client's own edits that are not in the history that it has seen are rebased over
//! everything that arrives, and what arrives is transformed over them for the view. The session above it owns
//! connections, timers and frames; it calls this with what the frames say.
//!
//! Invariants: `text` is `synced` with all pending operations applied; the pending operations are in sequence, the
//! first one made against `synced`; their clocks follow from `clock`; at most one batch is on its way.
//!
//! # Snapshots
//!
//! A snapshot says what the document is, but not how it came to be. Pending edits are rebased over the difference of
//! the texts, which is not what the relay rebases them over. That matters only to a batch that an earlier connection
//! may have delivered: its place in the history must then be read with its content, so an acknowledgement alone is
//! answered with [`TextClientError::OutOfStep`].

use std::collections::VecDeque;

use bytes::Bytes;

use crate::text::{Operation, Side, Text, TextError, cross};

/// One document and its unacknowledged edits.
#[derive(Debug)]
pub struct TextClient {
    client_id: u64,
    revision: u64,
    /// The document at `revision`.
    synced: Text,
    /// The document as the user sees it.
    text: Text,
    /// The clock of the first pending operation.
    clock: u64,
    pending: VecDeque<Operation>,
    /// How many of `pending`, from the front, make up the batch that has been sent.
    batch: usize,
    /// Whether that batch is on its way on this connection.
    in_flight: bool,
    /// A copy of the batch from before a snapshot may be in the history, as the relay transformed it.
    uncertain: bool,
    /// Whether the relay's order has been followed to its end since the last connect or Resync.
    caught_up: bool,
    waiting_operations_max: usize,
}

/// What `Operations` says about a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextBatch {
    /// What the first was made against.
    pub base_revision: u64,
    /// The clock of the first; the others' follow by one.
    pub first_clock: u64,
    /// Encoded `TextOperation`s.
    pub operations: Vec<Bytes>,
}

/// Why what the relay sent was not taken in.
#[allow(missing_docs, reason = "fields that their names and types say")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextClientError {
    /// What arrived does not continue what was there. Nothing was changed: ask for a sync from `revision`.
    #[error("revision {found} does not follow {revision}")]
    OutOfStep { revision: u64, found: u64 },
    /// The relay sent an operation that does not fit the document.
    #[error("revision {revision}: {source}")]
    Operation { revision: u64, source: TextError },
}

impl TextClient {
    /// An empty document at revision 0 that is to be caught up. Where more than `waiting_operations_max` edits wait
    /// behind a batch, further ones are composed into the last of them.
    pub fn new(client_id: u64, waiting_operations_max: usize) -> Self {
        Self {
            client_id,
            revision: 0,
            synced: Text::default(),
            text: Text::default(),
            clock: 0,
            pending: VecDeque::new(),
            batch: 0,
            in_flight: false,
            uncertain: false,
            caught_up: false,
            waiting_operations_max,
        }
    }

    /// The document with all of the client's edits.
    pub fn text(&self) -> &Text {
        &self.text
    }

    /// Up to where the history has been seen: what to open and to sync from.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The clock that the client's next edit gets if nothing is composed.
    pub fn next_clock(&self) -> u64 {
        self.clock + self.pending.len() as u64
    }

    /// Edits that have not been seen in the history.
    pub fn pending_operations(&self) -> usize {
        self.pending.len()
    }

    /// The user's edit of `text`.
    pub fn edit(&mut self, operation: Operation) -> Result<(), TextError> {
        self.text.apply(&operation)?;
        let waiting = self.pending.len() - self.batch;
        if waiting > 0
            && waiting >= self.waiting_operations_max
            && let Some(last) = self.pending.back_mut()
        {
            *last = last
                .compose(&operation)
                .expect("both fit the document one after the other");
        } else {
            self.pending.push_back(operation);
        }
        Ok(())
    }

    /// The batch to send: one that has to be sent again, or up to `operations_max` edits of together up to
    /// `bytes_max` bytes (one at least). `None`: nothing is to be sent, or not before something arrives.
    pub fn take_batch(&mut self, operations_max: usize, bytes_max: usize) -> Option<TextBatch> {
        if !self.caught_up || self.in_flight || self.pending.is_empty() {
            return None;
        }
        let operations: Vec<Bytes> = if self.batch > 0 {
            let again = self.pending.iter().take(self.batch);
            again.map(|operation| operation.encode().into()).collect()
        } else {
            let mut bytes = 0;
            let fitting = self.pending.iter().take(operations_max);
            let fitting = fitting.map(|operation| Bytes::from(operation.encode()));
            fitting
                .enumerate()
                .take_while(|(index, operation)| {
                    bytes += operation.len();
                    bytes <= bytes_max || *index == 0
                })
                .map(|(_, operation)| operation)
                .collect()
        };
        self.batch = operations.len();
        self.in_flight = true;
        Some(TextBatch {
            base_revision: self.revision,
            first_clock: self.clock,
            operations,
        })
    }

    /// The batch on its way was refused, but not for ever: `take_batch` offers it again.
    pub fn nacked(&mut self) {
        self.in_flight = false;
    }

    /// The client's edits were refused for ever: gives them up. Returns what that does to the view.
    pub fn abandon(&mut self) -> Operation {
        let undone = self.text.difference(&self.synced);
        self.text = self.synced.clone();
        self.pending.clear();
        self.batch_done();
        undone
    }

    /// `Ack`: the next `count` revisions, from `first_revision`, are the batch on its way.
    pub fn acknowledged(&mut self, first_revision: u64, count: u64) -> Result<(), TextClientError> {
        let last = first_revision.saturating_add(count).saturating_sub(1);
        if self.batch == 0 || (first_revision > 0 && last <= self.revision) {
            // A repeated answer about what was seen in the history.
            return Ok(());
        }
        if self.uncertain || first_revision != self.revision + 1 || count != self.batch as u64 {
            return Err(self.out_of_step(first_revision));
        }
        for _ in 0..count {
            let own = self.pending.pop_front().expect("the batch is pending");
            self.synced
                .apply(&own)
                .expect("pending operations fit the document before them");
            self.advance();
        }
        self.batch_done();
        Ok(())
    }

    /// `RemoteOps`: operations of the history, the first at `first_revision`, by anybody; those that were seen before
    /// are passed over. Returns what they do to the view, in order. After an error, what came before it has been
    /// taken.
    pub fn remote(
        &mut self,
        first_revision: u64,
        origin: u64,
        first_clock: u64,
        operations: &[Bytes],
    ) -> Result<Vec<Operation>, TextClientError> {
        let mut view = Vec::with_capacity(operations.len());
        for (offset, bytes) in (0..).zip(operations) {
            let revision = first_revision.saturating_add(offset);
            if revision <= self.revision {
                continue;
            }
            if revision != self.revision + 1 {
                return Err(self.out_of_step(revision));
            }
            let clock = first_clock.saturating_add(offset);
            view.push(
                Operation::decode(bytes)
                    .and_then(|operation| self.step(origin, clock, operation))
                    .map_err(|source| TextClientError::Operation { revision, source })?,
            );
        }
        Ok(view)
    }

    /// The connection is gone. What was on its way may or may not have arrived.
    pub fn disconnected(&mut self) {
        self.in_flight = false;
        self.caught_up = false;
    }

    /// `Resync`: pages follow. What is on its way stays so.
    pub fn resyncing(&mut self) {
        self.caught_up = false;
    }

    /// The document has another epoch, or another history: what was seen of it counts for nothing. A snapshot follows, or
    /// all of the history after an empty one.
    pub fn epoch_changed(&mut self) {
        self.revision = 0;
    }

    /// A whole snapshot: the document is `document` at `revision`, with all of the client's operations below the clock
    /// `next_clock` in it. One from before what was seen, the answer to a question that another answer overtook, is
    /// passed over. Returns what that does to the view.
    pub fn snapshot(&mut self, revision: u64, next_clock: u64, document: Text) -> Operation {
        if revision < self.revision {
            return Operation::default();
        }
        while self.clock < next_clock
            && let Some(own) = self.pending.pop_front()
        {
            self.synced
                .apply(&own)
                .expect("pending operations fit the document before them");
            self.clock += 1;
            self.shrink_batch();
        }
        let view = self.rebase_over(self.synced.difference(&document));
        self.synced = document;
        self.revision = revision;
        self.clock = next_clock;
        self.uncertain = self.batch > 0;
        view
    }

    /// The last page of `Opened` or `Resync` has been taken; `next_clock` is what that said.
    pub fn caught_up(&mut self, next_clock: u64) {
        self.caught_up = true;
        if self.batch == 0 {
            // A batch that was taken since may have been acknowledged before the pages came to their end.
            self.clock = self.clock.max(next_clock);
        }
    }

    /// One operation of the history, the next. Returns what it does to the view.
    fn step(
        &mut self,
        origin: u64,
        clock: u64,
        operation: Operation,
    ) -> Result<Operation, TextError> {
        if origin == self.client_id && clock == self.clock && self.batch > 0 {
            return self.own_step(operation);
        }
        self.synced.apply(&operation)?;
        self.revision += 1;
        if origin == self.client_id && self.pending.is_empty() {
            self.clock = clock.saturating_add(1);
        }
        let mut view = operation;
        cross(
            &mut self.pending,
            &mut view,
            Side::of(self.client_id, origin),
        );
        self.text
            .apply(&view)
            .expect("it fits the document before the pending operations");
        Ok(view)
    }

    /// The first pending operation, as the relay has it.
    fn own_step(&mut self, operation: Operation) -> Result<Operation, TextError> {
        let mut synced = self.synced.clone();
        synced.apply(&operation)?;
        let own = self.pending.pop_front().expect("the batch is pending");
        let view = if own == operation {
            Operation::default()
        } else {
            // Sent before a snapshot: the relay knew better what it had to be transformed over.
            self.synced
                .apply(&own)
                .expect("pending operations fit the document before them");
            self.rebase_over(self.synced.difference(&synced))
        };
        self.synced = synced;
        self.advance();
        self.shrink_batch();
        Ok(view)
    }

    /// Brings the pending operations over a change of `synced`, and the change to the view.
    fn rebase_over(&mut self, change: Operation) -> Operation {
        let mut view = change;
        cross(&mut self.pending, &mut view, Side::Left);
        self.text
            .apply(&view)
            .expect("it fits the document before the pending operations");
        view
    }

    fn advance(&mut self) {
        self.revision += 1;
        self.clock += 1;
    }

    fn shrink_batch(&mut self) {
        self.batch = self.batch.saturating_sub(1);
        if self.batch == 0 {
            self.batch_done();
        }
    }

    fn batch_done(&mut self) {
        self.batch = 0;
        self.in_flight = false;
        self.uncertain = false;
    }

    fn out_of_step(&self, found: u64) -> TextClientError {
        TextClientError::OutOfStep {
            revision: self.revision,
            found,
        }
    }
}

#[cfg(test)]
pub(crate) mod relay;
#[cfg(test)]
mod tests;

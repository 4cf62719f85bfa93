//! `text`: plain text with operational transformation.
//!
//! A late operation is brought to the newest revision over what came since its base. That history is kept in
//! memory, as far as its limits reach; a client whose base is older must catch up first.

use std::collections::VecDeque;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::codec::record::{OfferRecord, OperationsRecord};
use crate::config;
use crate::text::{Operation, Text, TextError, transform_batch};

use super::{Batch, Kind, Refusal, Snapshot, StateError};

pub const NAME: &str = "text";

/// How much work one batch may make. Every operation of the batch meets every one that came since its base, which
/// takes as many steps as the two have components. About 20 ms of the shard's time.
const TRANSFORM_STEPS_MAX: usize = 1_000_000;

#[derive(Debug)]
pub struct TextKind {
    text: Text,
    /// The newest operations, the last of which made the document what it is.
    history: VecDeque<Past>,
    history_bytes: usize,
    limits: Limits,
}

/// Those of documents that matter to a text.
#[derive(Debug)]
struct Limits {
    bytes_max: usize,
    history_operations_max: usize,
    history_bytes_max: usize,
}

impl From<&config::Document> for Limits {
    fn from(limits: &config::Document) -> Self {
        Self {
            bytes_max: limits.bytes_max,
            history_operations_max: limits.history_operations_max,
            history_bytes_max: limits.history_bytes_max,
        }
    }
}

#[derive(Debug)]
struct Past {
    origin: u64,
    operation: Operation,
    /// The length of the document that it was applied to, in UTF-16 code units.
    length_before: usize,
}

impl Past {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.operation.memory_bytes()
    }
}

impl TextKind {
    pub fn new(text: Text, limits: &config::Document) -> Self {
        Self {
            text,
            history: VecDeque::new(),
            history_bytes: 0,
            limits: limits.into(),
        }
    }

    /// Where in the history the first operation is that a client at `batch.base_revision` has not seen.
    fn unseen_from(&self, batch: &Batch<'_>) -> Result<usize, Refusal> {
        let conflict = |reason| Refusal::SyncConflict {
            base: batch.base_revision,
            reason,
        };
        let unseen = batch
            .head_revision
            .checked_sub(batch.base_revision)
            .ok_or_else(|| conflict("it is in the future"))?;
        let from = usize::try_from(unseen)
            .ok()
            .and_then(|unseen| self.history.len().checked_sub(unseen))
            .ok_or_else(|| conflict("it is too old to transform from"))?;
        if self
            .history
            .range(from..)
            .any(|past| past.origin == batch.origin)
        {
            return Err(conflict("it is older than the client's own last operation"));
        }
        Ok(from)
    }

    /// The batch as operations, each of which fits the document that it was made against.
    fn decode(&self, batch: &Batch<'_>, from: usize) -> Result<Vec<Operation>, Refusal> {
        let mut length = self
            .history
            .get(from)
            .map_or(self.text.len_utf16(), |past| past.length_before);
        let mut operations = Vec::with_capacity(batch.operations.len());
        for bytes in batch.operations {
            let operation = Operation::decode(bytes).map_err(refusal)?;
            if operation.reach() > length {
                return Err(refusal(TextError::OutOfBounds));
            }
            length = length
                .checked_add_signed(operation.growth())
                .expect("it deletes no more than it reaches");
            operations.push(operation);
        }
        Ok(operations)
    }

    fn remember(&mut self, past: Past) {
        self.history_bytes += past.bytes();
        self.history.push_back(past);
        while self.history.len() > self.limits.history_operations_max
            || self.history_bytes > self.limits.history_bytes_max
        {
            let oldest = self.history.pop_front().expect("it is over its limits");
            self.history_bytes -= oldest.bytes();
        }
    }

    /// Applies all of them or none, if the document does not get longer than `bytes_max`.
    fn apply(
        &mut self,
        origin: u64,
        operations: Vec<Operation>,
        bytes_max: usize,
    ) -> Result<(), TextError> {
        let before = (operations.len() > 1).then(|| self.text.clone());
        let mut lengths = SmallVec::<[usize; 1]>::with_capacity(operations.len());
        for operation in &operations {
            lengths.push(self.text.len_utf16());
            if let Err(error) = self.text.apply_within(operation, bytes_max) {
                if let Some(before) = before {
                    self.text = before;
                }
                return Err(error);
            }
        }
        for (operation, length_before) in operations.into_iter().zip(lengths) {
            self.remember(Past {
                origin,
                operation,
                length_before,
            });
        }
        Ok(())
    }
}

impl Kind for TextKind {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check(&self, operations: &[Bytes]) -> Result<(), Refusal> {
        operations
            .iter()
            .try_for_each(|bytes| Operation::decode(bytes).map(drop))
            .map_err(refusal)
    }

    fn admit(&mut self, batch: Batch<'_>) -> Result<Vec<Bytes>, Refusal> {
        let from = self.unseen_from(&batch)?;
        let mut operations = self.decode(&batch, from)?;
        let unseen = self.history.range(from..);
        if transform_steps(&operations, unseen.clone()) > TRANSFORM_STEPS_MAX {
            return Err(Refusal::SyncConflict {
                base: batch.base_revision,
                reason: "too much has come since to transform a batch of this size",
            });
        }
        transform_batch(
            &mut operations,
            batch.origin,
            unseen.map(|past| (past.origin, &past.operation)),
        );
        let encoded = operations.iter().map(|operation| operation.encode().into());
        let encoded = encoded.collect();
        self.apply(batch.origin, operations, self.limits.bytes_max)
            .map_err(refusal)?;
        Ok(encoded)
    }

    fn replay(&mut self, record: &OperationsRecord<'_>) -> Result<(), StateError> {
        let operations = record
            .operations
            .iter()
            .map(|bytes| Operation::decode(bytes));
        // What was within the limit once is kept, whatever the limit is.
        operations
            .collect::<Result<_, _>>()
            .and_then(|operations| self.apply(record.origin, operations, usize::MAX))
            .map_err(|error| StateError(format!("revision {}: {error}", record.revision)))
    }

    fn set_limits(&mut self, limits: &config::Document) {
        self.limits = limits.into();
    }

    fn rest(&mut self) {
        self.history = VecDeque::new();
        self.history_bytes = 0;
    }

    fn operations_stand_alone(&self) -> bool {
        false
    }

    fn state(&self) -> Bytes {
        self.text.to_string().into()
    }

    fn state_bytes(&self) -> usize {
        self.text.len_bytes()
    }

    fn content_bytes(&self) -> usize {
        self.text.len_bytes()
    }

    fn snapshot(&self) -> Option<Snapshot> {
        Some(Snapshot::Text(self.text.clone()))
    }

    fn offer(&self) -> Option<&OfferRecord> {
        None
    }

    fn take_offer(&mut self, _offer: OfferRecord) -> Result<(), Refusal> {
        let reason = "the relay keeps the state of a text itself";
        Err(Refusal::SnapshotInvalid(reason.to_owned()))
    }

    fn footprint_bytes(&self) -> usize {
        self.text.len_bytes() + self.history_bytes
    }
}

fn transform_steps<'a>(
    batch: &[Operation],
    unseen: impl ExactSizeIterator<Item = &'a Past>,
) -> usize {
    let unseen_count = unseen.len();
    let in_unseen: usize = unseen.map(|past| past.operation.components_count()).sum();
    let in_batch: usize = batch.iter().map(Operation::components_count).sum();
    let of_unseen = in_unseen.saturating_mul(batch.len());
    of_unseen.saturating_add(in_batch.saturating_mul(unseen_count))
}

fn refusal(error: TextError) -> Refusal {
    match error {
        TextError::OutOfBounds => Refusal::OutOfBounds,
        TextError::SurrogateSplit { .. } => Refusal::SurrogateSplit(error.to_string()),
        TextError::TooLarge { length_max, .. } => Refusal::DocumentTooLarge {
            bytes_max: length_max,
        },
        TextError::Malformed(_) | TextError::EmptyComponent | TextError::NotUtf8(_) => {
            Refusal::OperationInvalid(error.to_string())
        }
    }
}

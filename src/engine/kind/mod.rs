//! What the operations of a document mean: one file per kind, each an implementation of [`Kind`].

mod log;
mod text;

use std::fmt::Debug;

use bytes::Bytes;

use crate::codec::record::{OfferRecord, OperationsRecord};
use crate::config;
use crate::text::Text;

use super::refusal::Refusal;

/// A document's state, as far as the relay must know it to order operations.
pub trait Kind: Debug {
    /// As clients name it in Open.
    fn name(&self) -> &'static str;

    /// Checks what can be seen of a client's operations without the document's state.
    ///
    /// # Errors
    ///
    /// Why they are refused, whatever the document is.
    fn check(&self, operations: &[Bytes]) -> Result<(), Refusal>;

    /// Takes a client's batch that was checked: brings it to the newest revision, and applies it. The operations
    /// that come back are the ones that everybody gets.
    ///
    /// # Errors
    ///
    /// Why the batch is refused; then nothing has changed.
    fn admit(&mut self, batch: Batch<'_>) -> Result<Vec<Bytes>, Refusal>;

    /// Applies a batch that was admitted in an earlier life of the document.
    ///
    /// # Errors
    ///
    /// If it does not fit the state, which means that the store is not what was written.
    fn replay(&mut self, record: &OperationsRecord<'_>) -> Result<(), StateError>;

    /// What is done from now on is done within these limits.
    fn set_limits(&mut self, limits: &config::Document);

    /// Lets go of what is needed for late operations only: none has come for a while.
    fn rest(&mut self);

    /// Whether a client can use an operation without having all before it.
    fn operations_stand_alone(&self) -> bool;

    /// The state, for the store.
    fn state(&self) -> Bytes;

    /// The size of `state`.
    fn state_bytes(&self) -> usize;

    /// What a client that has nothing is given of it as a snapshot, in bytes.
    fn content_bytes(&self) -> usize;

    /// The newest state, for a client that joins. `None`: the relay knows of none.
    fn snapshot(&self) -> Option<Snapshot>;

    /// What a client has offered in place of the operations up to a revision.
    fn offer(&self) -> Option<&OfferRecord>;

    /// Keeps what a client offers.
    ///
    /// # Errors
    ///
    /// [`Refusal::SnapshotInvalid`] if the relay knows the state itself.
    fn take_offer(&mut self, offer: OfferRecord) -> Result<(), Refusal>;

    /// What it takes in memory, about.
    fn footprint_bytes(&self) -> usize;
}

/// What the store gave back does not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stored document does not fit together: {0}")]
pub struct StateError(pub String);

/// What a client sends at once.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    pub origin: u64,
    pub base_revision: u64,
    /// The newest revision of the document.
    pub head_revision: u64,
    pub operations: &'a [Bytes],
}

/// A document's state at one moment, held while it is sent. It shares memory with the document.
#[derive(Debug, Clone)]
pub enum Snapshot {
    Text(Text),
    Opaque(Bytes),
}

impl Snapshot {
    pub fn bytes_total(&self) -> usize {
        match self {
            Self::Text(text) => text.len_bytes(),
            Self::Opaque(data) => data.len(),
        }
    }

    /// The piece that starts at `offset`, at most `bytes_max` (and at least 4) long, never cut inside a character.
    pub fn chunk(&self, offset: usize, bytes_max: usize) -> Bytes {
        match self {
            Self::Text(text) => text
                .page(offset, bytes_max)
                .expect("pages follow each other, so that each starts between characters")
                .into(),
            Self::Opaque(data) => data.slice(offset..data.len().min(offset + bytes_max)),
        }
    }
}

/// Whether there is such a kind.
pub fn exists(name: &str) -> bool {
    matches!(name, log::NAME | text::NAME)
}

/// A document at revision 0. `None`: there is no such kind.
pub fn empty(name: &str, limits: &config::Document) -> Option<Box<dyn Kind>> {
    match name {
        log::NAME => Some(Box::new(log::Log::default())),
        text::NAME => Some(Box::new(text::TextKind::new(Text::default(), limits))),
        _unknown => None,
    }
}

/// A document from what [`Kind::state`] gave.
///
/// # Errors
///
/// If the state is not one of the kind's. `Ok(None)`: there is no such kind.
pub fn restore(
    name: &str,
    state: &Bytes,
    limits: &config::Document,
) -> Result<Option<Box<dyn Kind>>, StateError> {
    match name {
        log::NAME => Ok(Some(Box::new(log::Log::restore(state)?))),
        text::NAME => {
            let text = Text::from_utf8(state).map_err(|error| StateError(error.to_string()))?;
            Ok(Some(Box::new(text::TextKind::new(text, limits))))
        }
        _unknown => Ok(None),
    }
}

//! Plain text that several people edit at once: operations, and operational transformation between them.
//!
//! An [`Operation`] edits a whole document from its start; a [`Text`] is a document. [`transform`] lets two
//! operations that were made against the same document be applied one after the other, and is what the relay does
//! to an operation that comes late ([`transform_batch`]) and a client to what it has not yet seen acknowledged.
//!
//! Positions and lengths are UTF-16 code units, as editors on the web count; sizes in bytes are UTF-8. Everything
//! here is a value: no history, no revisions, no clients. Those are the engine's and `client::text`'s.

mod compose;
mod document;
mod encoding;
mod operation;
#[cfg(test)]
mod properties;
mod transform;

pub use document::Text;
pub use operation::{Builder, Component, Operation};
pub use transform::{Side, cross, transform, transform_batch};

/// What is wrong with an operation, or with the bytes of one. Whoever made it is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    #[error("the bytes are no text operation: {0}")]
    Malformed(#[from] prost::DecodeError),
    #[error("a component of the operation is empty")]
    EmptyComponent,
    #[error("the operation reaches past the end of the document")]
    OutOfBounds,
    #[error("position {position} is inside a surrogate pair")]
    SurrogateSplit { position: usize },
    #[error("the document would grow to {length} bytes, past its limit of {length_max} bytes")]
    TooLarge { length: usize, length_max: usize },
    #[error("the bytes of the document are not UTF-8")]
    NotUtf8(#[from] std::str::Utf8Error),
}

//! The JSON dialect: its text to the messages of [`wire`] and back.
//!
//! What operations are depends on their document's kind, which only the engine knows: [`decode()`] leaves them as they
//! came, and [`Payload`] reads them.

mod decode;
mod encode;
mod object;
mod payload;
mod posted;
#[cfg(test)]
mod tests;
mod value;
mod write;

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::wire;

pub use decode::{client_uuid, decode};
pub use encode::encode;
pub use payload::Payload;
pub use posted::frames;
pub use value::{read_base64, write_base64};

/// What a client asks.
#[derive(Debug, Clone)]
pub struct Message {
    /// Empty: none.
    pub id: String,
    /// `None`: none is named, so it is the one that the connection's URL names, or the request is about none.
    pub document_id: Option<String>,
    pub body: Body,
}

#[derive(Debug, Clone)]
pub enum Body {
    /// Everything but operations, with `document` 0: the document is the one that [`Message::document_id`] names. In
    /// Open, SyncRequest, Delete, History and what is about versions the id stands also in the message. Close without an id ends the connection.
    Request(wire::request::Body),
    Operations(Operations),
}

/// A batch whose operations are still JSON.
#[derive(Debug, Clone)]
pub struct Operations {
    pub client_seq: u64,
    /// `None`: the operations are new, whatever their clocks.
    pub first_clock: Option<u64>,
    pub base_revision: u64,
    pub operations: Vec<Box<RawValue>>,
    pub expected_server_vector: BTreeMap<u64, u64>,
    pub expected_revision: Option<u64>,
}

/// What one message may have.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub operations_max: usize,
    /// Entries of one state vector.
    pub vector_entries_max: usize,
}

/// What an event does not say itself.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The document that it is about, if it is about one.
    pub document_id: Option<&'a str>,
    /// How the document's operations are written.
    pub payload: Payload,
    /// Unix time.
    pub timestamp_ms: u64,
    /// Whom it is for: state vectors name it. 0: nobody yet, or many.
    pub client_id: u64,
}

/// The text is no message of the dialect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("{0}")]
    Malformed(String),
    #[error("there is no request of the type {name:?}; the types are {}", decode::TYPES.join(", "))]
    TypeUnknown { name: String },
    #[error("it has more than {operations_max} operations")]
    TooManyOperations { operations_max: usize },
    #[error("a state vector has more than {entries_max} entries")]
    TooManyEntries { entries_max: usize },
    #[error("a presence has more than {fields_max} fields")]
    TooManyFields { fields_max: usize },
}

/// The most bytes of what an error repeats of the input.
const QUOTED_BYTES_MAX: usize = 200;

fn shortened(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(QUOTED_BYTES_MAX));
    text
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed(shortened(error.to_string()))
    }
}

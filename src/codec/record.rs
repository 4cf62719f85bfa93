//! What the store keeps, as bytes: a format version, then an rkyv archive.

use bytes::Bytes;

/// One batch of operations as it stands in a document's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationsRecord {
    /// The revision of the first operation; the others follow by one.
    pub revision: u64,
    /// The client id of who made them.
    pub origin: u64,
    /// The clock of the first operation; the others follow by one.
    pub first_clock: u64,
    pub operations: Vec<Bytes>,
}

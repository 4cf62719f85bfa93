//! What clients offer in place of a log's operations: a digest of all of them, and how many there are of each client.

use bytes::{Buf, BufMut};
use xxhash_rust::xxh3::xxh3_64;

use super::wants::Vector;

/// Everything from a document's beginning up to a revision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    pub revision: u64,
    pub vector: Vector,
    digest: u64,
}

impl Summary {
    /// Of a document that begins after `revision`.
    pub fn empty(revision: u64) -> Self {
        Self {
            revision,
            ..Self::default()
        }
    }

    /// The next operation.
    pub fn add(&mut self, origin: u64, clock: u64, operation: &[u8]) {
        let mut bytes = self.digest.to_le_bytes().to_vec();
        bytes.put_u64(origin);
        bytes.put_u64(clock);
        bytes.put_slice(operation);
        self.digest = xxh3_64(&bytes);
        self.vector.insert(origin, clock);
        self.revision += 1;
    }

    pub fn encode(&self, padding_bytes: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.put_u64(self.digest);
        bytes.put_u64(self.vector.len() as u64);
        for (origin, clock) in &self.vector {
            bytes.put_u64(*origin);
            bytes.put_u64(*clock);
        }
        bytes.put_bytes(b'.', padding_bytes);
        bytes
    }

    /// Nothing at all stands for a document's beginning.
    pub fn decode(revision: u64, mut bytes: &[u8]) -> Option<Self> {
        let mut summary = Self::empty(revision);
        if bytes.is_empty() {
            return Some(summary);
        }
        summary.digest = bytes.try_get_u64().ok()?;
        for _ in 0..bytes.try_get_u64().ok()? {
            let origin = bytes.try_get_u64().ok()?;
            summary.vector.insert(origin, bytes.try_get_u64().ok()?);
        }
        bytes.iter().all(|byte| *byte == b'.').then_some(summary)
    }
}

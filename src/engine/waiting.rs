//! Who waits for a document to come into memory.

use super::deletion::Deletion;
use super::document::Joiner;

#[derive(Debug, Default)]
pub struct Waiting {
    pub joiners: Vec<Joiner>,
    pub deletions: Vec<Deletion>,
    /// What the joiners say to have.
    said_bytes: usize,
}

impl Waiting {
    pub fn join(&mut self, joiner: Joiner) {
        self.said_bytes += joiner.wants.said_bytes();
        self.joiners.push(joiner);
    }

    /// What it takes in memory, about.
    pub fn footprint_bytes(&self) -> usize {
        self.joiners.capacity() * size_of::<Joiner>()
            + self.deletions.capacity() * size_of::<Deletion>()
            + self.said_bytes
    }
}

//! Documents' states while they are sent: one version for as many clients as can use it.
//!
//! A version shares memory with the document until the document changes. So that slow clients cannot make the
//! relay hold one version each, a client that joins is given the newest one that is still held, as long as the
//! ring leads on from there; and versions that the document has left behind count as large as they are.

use std::sync::{Arc, Weak};

use super::kind::Snapshot;

/// A document's state at a revision.
#[derive(Debug)]
pub struct Version {
    pub snapshot: Snapshot,
    pub revision: u64,
}

/// The versions of a document that are being sent, oldest first.
#[derive(Debug, Default)]
pub struct Versions(Vec<Weak<Version>>);

impl Versions {
    pub fn newest(&self) -> Option<Arc<Version>> {
        self.0.last()?.upgrade()
    }

    pub fn add(&mut self, snapshot: Snapshot, revision: u64) -> Arc<Version> {
        let version = Arc::new(Version { snapshot, revision });
        self.0.retain(|held| held.strong_count() > 0);
        self.0.push(Arc::downgrade(&version));
        version
    }

    /// What is held of states before `head_revision`, at the most.
    pub fn held_bytes(&self, head_revision: u64) -> usize {
        let held = self.0.iter().filter_map(Weak::upgrade);
        let past = held.filter(|version| version.revision < head_revision);
        past.map(|version| version.snapshot.bytes_total()).sum()
    }
}

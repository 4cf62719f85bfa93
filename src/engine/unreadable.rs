//! Documents that the store has and that cannot be read: who wants them is told so in plain words, and whoever runs the
//! relay is told which they are, and why.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::refusal::Refusal;
use super::shard::Shard;

/// So many documents it is remembered of that they were told of.
const TOLD_MAX: usize = 1024;

/// A document that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its global id. Without a document's name: it is the tenant's list of documents.
    pub document: Arc<str>,
    pub reason: String,
    /// Reading it again does not help.
    pub is_damaged: bool,
}

#[derive(Debug, Default)]
pub(super) struct Unreadables {
    /// Why, as it was told last.
    told: BTreeMap<Arc<str>, String>,
    waiting: VecDeque<Unreadable>,
}

impl Shard {
    /// If that is why somebody is refused, it is told of: once for each document, as long as the reason is the same.
    pub(super) fn note_unreadable(&mut self, document: &Arc<str>, refusal: &Refusal) {
        let (reason, is_damaged) = match refusal {
            Refusal::DocumentBroken(reason) => (reason, true),
            Refusal::DocumentNotRead(reason) => (reason, false),
            _other => return,
        };
        let Unreadables { told, waiting } = &mut self.unreadables;
        if told.get(document) == Some(reason) {
            return;
        }
        if told.len() >= TOLD_MAX {
            told.clear();
        }
        told.insert(Arc::clone(document), reason.clone());
        waiting.push_back(Unreadable {
            document: Arc::clone(document),
            reason: reason.clone(),
            is_damaged,
        });
    }

    pub(super) fn next_unreadable(&mut self) -> Option<Unreadable> {
        self.unreadables.waiting.pop_front()
    }
}

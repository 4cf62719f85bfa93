//! What has been written to one document, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use corelay::text::{Component, Operation, Text};

use super::past::Stamp;
use super::{Fate, Position, broken};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) origin: u64,
    pub(super) clock: u64,
    pub(super) operation: Bytes,
    pub(super) stamp: Stamp,
    pub(super) written_at_us: u64,
}

/// One document's operations in one epoch.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    pub(super) kind: String,
    pub(super) placed: Vec<Placed>,
    /// Of a text: the document after each of them.
    pub(super) texts: Vec<Text>,
    /// The newest revision that anybody was told of.
    pub(super) told_revision: u64,
    /// The revisions after which its later lives began.
    pub(super) origins: Vec<u64>,
    pub(super) fate: Option<Fate>,
    /// Its newest deletion was taken back.
    pub(super) is_restored: bool,
    /// Deletions that were written, that are durable, and that somebody was told of.
    pub(super) deletions: u64,
    pub(super) durable_deletions: u64,
    pub(super) told_deletions: u64,
}

/// What clients have sent to one document.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Payloads of a log, each sent by one client and unlike any other.
    pub(super) payloads: BTreeMap<Bytes, u64>,
    /// What a text operation inserts, in order, by client id and clock.
    pub(super) inserts: BTreeSet<(u64, u64, String)>,
    /// The same of what their tokens did not permit.
    pub(super) trespasses: BTreeSet<String>,
}

impl History {
    pub(super) fn place(&mut self, document: &Arc<str>, placed: Placed, sent: &Sent) {
        let Placed { origin, clock, .. } = placed;
        let expected = self.next_clock(origin);
        if clock < expected {
            broken!("S5", "{document}: clock {clock} of {origin} twice");
        }
        if clock > expected {
            broken!(
                "S6",
                "{document}: clock {clock} of {origin} before {expected}"
            );
        }
        if self.kind == "text" {
            let edit = Operation::decode(&placed.operation).expect("the engine encodes them");
            let text = inserted(&edit);
            if sent.trespasses.contains(&text) {
                broken!("S8", "{document}: {origin} may not write {text:?}");
            }
            if !sent.inserts.contains(&(origin, clock, text)) {
                broken!(
                    "S4",
                    "{document}: {origin} did not send {edit:?} at {clock}"
                );
            }
            let mut text = self.newest_text();
            text.apply(&edit).expect("the engine applies it first");
            self.texts.push(text);
        } else {
            let text = String::from_utf8_lossy(&placed.operation);
            if sent.trespasses.contains(&*text) {
                broken!("S8", "{document}: {origin} may not write {text:?}");
            }
            if sent.payloads.get(&placed.operation) != Some(&origin) {
                broken!("S4", "{document}: {origin} did not send {placed:?}");
            }
            let origin = self.origins.last().copied().unwrap_or_default();
            if self.placed[origin as usize..]
                .iter()
                .any(|other| other.operation == placed.operation)
            {
                broken!("S5", "{document}: {placed:?} twice");
            }
        }
        self.placed.push(placed);
    }

    pub(super) fn next_clock(&self, origin: u64) -> u64 {
        let life = self.origins.last().copied().unwrap_or_default();
        let mut newest = self.placed[life as usize..].iter().rev();
        newest
            .find(|placed| placed.origin == origin)
            .map_or(0, |placed| placed.clock + 1)
    }

    pub(super) fn at(&self, document: &Arc<str>, at: Position) -> &Placed {
        match self.placed.get(at.revision.wrapping_sub(1) as usize) {
            Some(placed) => placed,
            None => broken!(
                "S4",
                "{document} has nothing at {at:?}, and a client was told of it"
            ),
        }
    }

    /// What a life of the document has up to a revision.
    pub(super) fn until(&self, revision: u64) -> impl Iterator<Item = &Placed> {
        let origin = self.origin_of(revision) as usize;
        self.placed.iter().take(revision as usize).skip(origin)
    }

    /// After which revision the life begins that a revision is of.
    pub(super) fn origin_of(&self, revision: u64) -> u64 {
        let origins = self.origins.iter().rev();
        let mut before = origins.filter(|origin| **origin < revision);
        before.next().copied().unwrap_or_default()
    }

    pub(super) fn begins_after(&self, revision: u64) -> bool {
        let is_gone = matches!(self.fate, Some(Fate::Gone { revision: end }) if end == revision);
        is_gone || self.origins.contains(&revision)
    }

    pub(super) fn newest_text(&self) -> Text {
        let revision = self.placed.len() as u64;
        match self.texts.last() {
            Some(text) if !self.begins_after(revision) => text.clone(),
            _ => Text::default(),
        }
    }

    pub(super) fn find(&self, origin: u64, clock: u64) -> Option<u64> {
        let index = self
            .placed
            .iter()
            .rposition(|placed| (placed.origin, placed.clock) == (origin, clock))?;
        Some(index as u64 + 1)
    }

    pub(super) fn text_at(&self, revision: u64) -> Text {
        match revision.checked_sub(1) {
            Some(index) => match self.texts.get(index as usize) {
                Some(text) => text.clone(),
                None => broken!(
                    "S4",
                    "a snapshot at revision {revision}, which is not written"
                ),
            },
            None => Text::default(),
        }
    }

    pub(super) fn truncate(&mut self, revision: u64) {
        let length = revision as usize;
        assert!(length <= self.placed.len(), "a store invents nothing");
        self.placed.truncate(length);
        self.texts.truncate(length);
        self.origins.retain(|origin| *origin < revision);
        self.told_revision = self.told_revision.min(revision);
    }
}

/// All that an edit inserts, in order: what transforming it never changes.
pub(super) fn inserted(edit: &Operation) -> String {
    let inserts = edit.components().filter_map(|component| match component {
        Component::Insert(text) => Some(text),
        Component::Retain(_) | Component::Delete(_) => None,
    });
    inserts.collect()
}

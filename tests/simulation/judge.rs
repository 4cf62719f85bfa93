//! What must be true, whatever happens: the promises as checks over everything that was stored and delivered.
//!
//! The judge sees each record when the store writes it, and each thing that a client is told when the client reads
//! it. A broken promise ends the run with a panic that begins with the promise's name.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use corelay::codec::record;
use corelay::text::{Component, Operation, Text};

use super::summary::Summary;
use super::wants::{Vector, Wants};

/// Ends the run: a promise is broken.
macro_rules! broken {
    ($promise:literal, $($why:tt)*) => {
        panic!("{}: {}", $promise, format_args!($($why)*))
    };
}
pub(crate) use broken;

/// A point in a document's history, as the protocol names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    pub epoch: u64,
    pub revision: u64,
}

/// One operation as a client was told of it.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    pub at: Position,
    pub origin: u64,
    pub clock: u64,
    pub operation: &'a Bytes,
}

/// What a store has of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Live { revision: u64 },
    Deleted,
    Gone { revision: u64 },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Placed {
    origin: u64,
    clock: u64,
    operation: Bytes,
}

/// One document's operations in one epoch.
#[derive(Debug, Clone, Default)]
struct History {
    kind: String,
    placed: Vec<Placed>,
    /// Of a text: the document after each of them.
    texts: Vec<Text>,
    /// The newest revision that anybody was told of.
    told_revision: u64,
    /// The revisions after which its later lives began.
    origins: Vec<u64>,
    fate: Option<Fate>,
    /// Deletions that were written, that are durable, and that somebody was told of.
    deletions: u64,
    durable_deletions: u64,
    told_deletions: u64,
}

/// What clients have sent to one document.
#[derive(Debug, Default)]
struct Sent {
    /// Payloads of a log, each sent by one client and unlike any other.
    payloads: BTreeMap<Bytes, u64>,
    /// What a text operation inserts, in order, by client id and clock.
    inserts: BTreeSet<(u64, u64, String)>,
}

#[derive(Debug)]
pub struct Judge {
    epoch: u64,
    histories: BTreeMap<(Arc<str>, u64), History>,
    sent: BTreeMap<Arc<str>, Sent>,
    pub deliveries: u64,
    pub acknowledgements: u64,
}

impl Judge {
    pub fn new(epoch: u64) -> Self {
        Self {
            epoch,
            histories: BTreeMap::new(),
            sent: BTreeMap::new(),
            deliveries: 0,
            acknowledgements: 0,
        }
    }

    /// A client sends an operation to a log.
    pub fn sent_payload(&mut self, document: &Arc<str>, client_id: u64, payload: &Bytes) {
        let sent = self.sent.entry(document.clone()).or_default();
        sent.payloads.insert(payload.clone(), client_id);
    }

    /// A client sends an operation to a text.
    pub fn sent_edit(&mut self, document: &Arc<str>, client_id: u64, clock: u64, edit: &[u8]) {
        let edit = Operation::decode(edit).expect("clients encode what they send");
        let sent = self.sent.entry(document.clone()).or_default();
        sent.inserts.insert((client_id, clock, inserted(&edit)));
    }

    /// The store writes a record.
    pub fn appended(&mut self, document: &Arc<str>, kind: &str, record: &Bytes) {
        let record = record::decode_operations(record).expect("the engine encodes records");
        let key = (document.clone(), self.epoch);
        let history = self.histories.entry(key).or_default();
        if history.kind.is_empty() {
            history.kind = kind.to_owned();
        }
        assert_eq!(history.kind, kind, "a document's kind is fixed");
        let head = history.placed.len() as u64;
        match history.fate {
            Some(Fate::Deleted) => broken!("S3", "{document}: an operation after its deletion"),
            Some(Fate::Gone { .. }) => history.origins.push(head),
            Some(Fate::Live { .. }) | None => (),
        }
        history.fate = None;
        if record.revision != head + 1 {
            broken!(
                "S1",
                "{document}: revision {} is written after {head}",
                record.revision
            );
        }
        for (clock, operation) in (record.first_clock..).zip(record.operations) {
            let placed = Placed {
                origin: record.origin,
                clock,
                operation,
            };
            let sent = self.sent.entry(document.clone()).or_default();
            history.place(document, placed, sent);
        }
    }

    /// A client is told of an operation.
    pub fn delivered(&mut self, document: &Arc<str>, delivery: &Delivery<'_>) {
        self.deliveries += 1;
        let history = self.history(document, delivery.at);
        let placed = history.at(document, delivery.at);
        let same = placed.origin == delivery.origin
            && placed.clock == delivery.clock
            && placed.operation == *delivery.operation;
        if !same {
            broken!(
                "S2",
                "{document} at {:?} is {placed:?}, and {delivery:?} was delivered",
                delivery.at
            );
        }
        history.told_revision = history.told_revision.max(delivery.at.revision);
    }

    /// A client is told that its operation is kept. `payload`: what it was, if the client knows its final form.
    pub fn acknowledged(
        &mut self,
        document: &Arc<str>,
        at: Position,
        origin: u64,
        clock: u64,
        payload: Option<&Bytes>,
    ) {
        self.acknowledgements += 1;
        let history = self.history(document, at);
        let placed = history.at(document, at);
        if (placed.origin, placed.clock) != (origin, clock)
            || payload.is_some_and(|payload| *payload != placed.operation)
        {
            broken!(
                "S2",
                "{document} at {at:?} is {placed:?}, and clock {clock} of {origin} was acknowledged there"
            );
        }
        history.told_revision = history.told_revision.max(at.revision);
    }

    /// A client is acknowledged a batch without its place.
    pub fn acknowledged_somewhere(
        &mut self,
        document: &Arc<str>,
        epoch: u64,
        origin: u64,
        clock: u64,
    ) {
        let at = Position { epoch, revision: 0 };
        let found = self.history(document, at).find(origin, clock);
        match found {
            Some(revision) => {
                self.acknowledged(document, Position { epoch, revision }, origin, clock, None)
            }
            None => broken!(
                "S3",
                "{document}: clock {clock} of {origin} was acknowledged and is nowhere"
            ),
        }
    }

    /// A client is given a snapshot, with the clock that the relay expects of it at that revision.
    pub fn snapshot(&mut self, document: &Arc<str>, at: Position, client_id: u64, next_clock: u64) {
        let history = self.history(document, at);
        let before = history.until(at.revision);
        let clock = before.filter(|placed| placed.origin == client_id).count() as u64;
        let is_empty = history.begins_after(at.revision) && next_clock == 0;
        if clock != next_clock && !is_empty {
            broken!(
                "S5",
                "{document}: the snapshot at {at:?} has {clock} operations of {client_id}, not {next_clock}"
            );
        }
        history.told_revision = history.told_revision.max(at.revision);
    }

    /// What a text is said to be.
    pub fn state(&mut self, document: &Arc<str>, at: Position, text: &Text) {
        let history = self.history(document, at);
        if text.len_bytes() == 0 && history.begins_after(at.revision) {
            return;
        }
        if *text != history.text_at(at.revision) {
            broken!("S2", "{document}: the snapshot at {at:?} is not its text");
        }
    }

    /// What a log's snapshot holds.
    pub fn summary(&mut self, document: &Arc<str>, at: Position, data: &[u8]) -> Summary {
        let history = self.history(document, at);
        if data.is_empty() && history.begins_after(at.revision) {
            return Summary::empty(at.revision);
        }
        let mut expected = Summary::empty(history.origin_of(at.revision));
        for placed in history.until(at.revision) {
            expected.add(placed.origin, placed.clock, &placed.operation);
        }
        match Summary::decode(at.revision, data) {
            Some(summary) if summary == expected => summary,
            other => broken!(
                "S2",
                "{document}: the snapshot at {at:?} is {other:?}, and not {expected:?}"
            ),
        }
    }

    /// The store has deleted it.
    pub fn deleted(&mut self, document: &Arc<str>) {
        let key = (document.clone(), self.epoch);
        let history = self.histories.entry(key).or_default();
        history.fate = Some(Fate::Deleted);
        history.deletions += 1;
    }

    /// The store may have let a deletion go, or the document.
    pub fn changed(&mut self, document: &Arc<str>, fate: Fate) {
        let key = (document.clone(), self.epoch);
        self.histories.entry(key).or_default().fate = Some(fate);
    }

    /// What is written is durable.
    pub fn synced(&mut self) {
        for history in self.histories.values_mut() {
            history.durable_deletions = history.deletions;
        }
    }

    /// A client is told that a document is deleted.
    pub fn told_deletion(&mut self, document: &Arc<str>) {
        let key = (document.clone(), self.epoch);
        let history = self.histories.entry(key).or_default();
        history.told_deletions += 1;
        if history.told_deletions > history.durable_deletions {
            broken!("S3", "{document}: a deletion was told that is not durable");
        }
    }

    /// Everything up to here is of an earlier life of the document, and nobody is told of it any more.
    pub fn floor(&self, document: &Arc<str>) -> u64 {
        let history = self.histories.get(&(document.clone(), self.epoch));
        history.map_or(0, |history| match history.fate {
            Some(Fate::Gone { revision }) => revision,
            _ => history.origins.last().copied().unwrap_or_default(),
        })
    }

    /// After which revision the newest life began, if that is not before `revision`.
    pub fn begun_since(&self, document: &Arc<str>, revision: u64) -> Option<u64> {
        let floor = self.floor(document);
        (floor > 0 && floor >= revision).then_some(floor)
    }

    /// Documents that are to be listed, with their kinds.
    pub fn live(&self) -> BTreeMap<String, String> {
        let current = self.histories.iter();
        let current = current.filter(|((_, epoch), history)| {
            let is_live = matches!(history.fate, None | Some(Fate::Live { .. }));
            *epoch == self.epoch && is_live && !history.placed.is_empty()
        });
        let entries =
            current.map(|((document, _), history)| (document.to_string(), history.kind.clone()));
        entries.collect()
    }

    /// Whether a life of the document may begin here: then nothing is there yet.
    pub fn begins_after(&self, document: &Arc<str>, at: Position) -> bool {
        let history = self.histories.get(&(document.clone(), at.epoch));
        history.is_some_and(|history| history.begins_after(at.revision))
    }

    /// The highest clock of each client.
    pub fn vector_at(&self, document: &Arc<str>, at: Position) -> Vector {
        let history = self.histories.get(&(document.clone(), at.epoch));
        let placed = history.into_iter().flat_map(|it| it.until(at.revision));
        placed.map(|placed| (placed.origin, placed.clock)).collect()
    }

    /// A client is not sent these, because it has them.
    pub fn skipped(&self, document: &Arc<str>, epoch: u64, skipped: Range<u64>, wants: &Wants) {
        let history = self.histories.get(&(document.clone(), epoch));
        for revision in skipped {
            let placed = history.map(|it| it.at(document, Position { epoch, revision }));
            if let Some(placed) = placed
                && !wants.claims(placed.origin, placed.clock)
            {
                broken!(
                    "S1",
                    "{document}: revision {revision}, {placed:?}, was left out for {wants:?}"
                );
            }
        }
    }

    /// A batch was taken on the condition that nobody else has done more than that.
    pub fn expected(&mut self, document: &Arc<str>, at: Position, origin: u64, vector: &Vector) {
        let beyond = self
            .vector_at(document, at)
            .into_iter()
            .find(|(client, clock)| {
                *client != origin && vector.get(client).is_none_or(|expected| expected < clock)
            });
        if let Some((client, clock)) = beyond {
            broken!(
                "S2",
                "{document}: a batch after {at:?} was taken, and {client} had come to {clock}"
            );
        }
    }

    /// The relay starts again on what the disk has: each document up to `revision_of` it. `is_lossless`: the end
    /// before was one that the durability mode promises to survive.
    pub fn restarted(&mut self, epoch: u64, is_lossless: bool, fate_of: impl Fn(&str) -> Fate) {
        let current: Vec<_> = self.current().cloned().collect();
        for document in current {
            let history = &self.histories[&(document.clone(), self.epoch)];
            let fate = fate_of(&document);
            let revision = match fate {
                Fate::Live { revision } | Fate::Gone { revision } => revision,
                // Nothing is written after a deletion.
                Fate::Deleted => history.placed.len() as u64,
            };
            if is_lossless && history.told_revision > revision {
                broken!(
                    "S3",
                    "{document}: revision {} was told, and {revision} is what the restart found",
                    history.told_revision
                );
            }
            let mut history = history.clone();
            history.truncate(revision);
            let is_lost = history.fate == Some(Fate::Deleted) && matches!(fate, Fate::Live { .. });
            history.deletions -= u64::from(is_lost);
            history.durable_deletions = history.deletions;
            if is_lossless && history.told_deletions > history.deletions {
                broken!("S3", "{document}: a deletion was told, and is lost");
            }
            history.fate = Some(fate);
            self.histories.insert((document, epoch), history);
        }
        self.epoch = epoch;
    }

    /// The newest revision of a document.
    pub fn revision(&self, document: &Arc<str>) -> u64 {
        let history = self.histories.get(&(document.clone(), self.epoch));
        history.map_or(0, |history| history.placed.len() as u64)
    }

    /// The newest text of a document.
    pub fn text(&self, document: &Arc<str>) -> Text {
        let history = self.histories.get(&(document.clone(), self.epoch));
        history
            .map(|history| history.newest_text())
            .unwrap_or_default()
    }

    /// Every document that has operations.
    pub fn current(&self) -> impl Iterator<Item = &Arc<str>> {
        self.histories
            .keys()
            .filter(|(_, epoch)| *epoch == self.epoch)
            .map(|(document, _)| document)
    }

    fn history(&mut self, document: &Arc<str>, at: Position) -> &mut History {
        self.histories
            .entry((document.clone(), at.epoch))
            .or_default()
    }
}

impl History {
    fn place(&mut self, document: &Arc<str>, placed: Placed, sent: &Sent) {
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

    fn next_clock(&self, origin: u64) -> u64 {
        let life = self.origins.last().copied().unwrap_or_default();
        let mut newest = self.placed[life as usize..].iter().rev();
        newest
            .find(|placed| placed.origin == origin)
            .map_or(0, |placed| placed.clock + 1)
    }

    fn at(&self, document: &Arc<str>, at: Position) -> &Placed {
        match self.placed.get(at.revision.wrapping_sub(1) as usize) {
            Some(placed) => placed,
            None => broken!(
                "S4",
                "{document} has nothing at {at:?}, and a client was told of it"
            ),
        }
    }

    /// What a life of the document has up to a revision.
    fn until(&self, revision: u64) -> impl Iterator<Item = &Placed> {
        let origin = self.origin_of(revision) as usize;
        self.placed.iter().take(revision as usize).skip(origin)
    }

    /// After which revision the life begins that a revision is of.
    fn origin_of(&self, revision: u64) -> u64 {
        let origins = self.origins.iter().rev();
        let mut before = origins.filter(|origin| **origin < revision);
        before.next().copied().unwrap_or_default()
    }

    fn begins_after(&self, revision: u64) -> bool {
        let is_gone = matches!(self.fate, Some(Fate::Gone { revision: end }) if end == revision);
        is_gone || self.origins.contains(&revision)
    }

    fn newest_text(&self) -> Text {
        let revision = self.placed.len() as u64;
        match self.texts.last() {
            Some(text) if !self.begins_after(revision) => text.clone(),
            _ => Text::default(),
        }
    }

    fn find(&self, origin: u64, clock: u64) -> Option<u64> {
        let index = self
            .placed
            .iter()
            .rposition(|placed| (placed.origin, placed.clock) == (origin, clock))?;
        Some(index as u64 + 1)
    }

    fn text_at(&self, revision: u64) -> Text {
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

    fn truncate(&mut self, revision: u64) {
        let length = revision as usize;
        assert!(length <= self.placed.len(), "a store invents nothing");
        self.placed.truncate(length);
        self.texts.truncate(length);
        self.origins.retain(|origin| *origin < revision);
        self.told_revision = self.told_revision.min(revision);
    }
}

/// All that an edit inserts, in order: what transforming it never changes.
fn inserted(edit: &Operation) -> String {
    let inserts = edit.components().filter_map(|component| match component {
        Component::Insert(text) => Some(text),
        Component::Retain(_) | Component::Delete(_) => None,
    });
    inserts.collect()
}

//! What must be true, whatever happens: the promises as checks over everything that was stored and delivered.
//!
//! The judge sees each record when the store writes it, and each thing that a client is told when the client reads
//! it. A broken promise ends the run with a panic that begins with the promise's name.

mod history;
mod isolation;
mod life;
mod past;
mod quota;
mod versions;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use corelay::codec::record;
use corelay::config::Quota;
use corelay::text::{Operation, Text};

use history::{History, Placed, Sent, inserted};
use isolation::Isolation;
pub use isolation::Reader;
use versions::Named;

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

#[derive(Debug)]
pub struct Judge {
    epoch: u64,
    histories: BTreeMap<(Arc<str>, u64), History>,
    sent: BTreeMap<Arc<str>, Sent>,
    isolation: Isolation,
    versions: BTreeMap<Arc<str>, Named>,
    asks_for_tokens: bool,
    now_us: u64,
    pub quota: Quota,
    /// The longest batch that was written while there was a quota.
    batch_bytes_max: u64,
    pub deliveries: u64,
    pub acknowledgements: u64,
}

impl Judge {
    pub fn new(epoch: u64, asks_for_tokens: bool) -> Self {
        Self {
            epoch,
            histories: BTreeMap::new(),
            sent: BTreeMap::new(),
            isolation: Isolation::default(),
            versions: BTreeMap::new(),
            asks_for_tokens,
            now_us: 0,
            quota: Quota::default(),
            batch_bytes_max: 0,
            deliveries: 0,
            acknowledgements: 0,
        }
    }

    /// Of the relay's process.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub fn set_time(&mut self, now_us: u64) {
        self.now_us = now_us;
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

    /// A client sends what its token does not permit.
    pub fn trespassed(&mut self, document: &Arc<str>, what: &str) {
        let sent = self.sent.entry(document.clone()).or_default();
        sent.trespasses.insert(what.to_owned());
    }

    /// The store writes a record.
    pub fn appended(&mut self, document: &Arc<str>, kind: &str, record: &Bytes) {
        let record = record::decode_operations(record).expect("the engine encodes records");
        self.may_be_placed(document, record.origin);
        let key = (document.clone(), self.epoch);
        let history = self.histories.entry(key.clone()).or_default();
        if history.kind.is_empty() {
            history.kind = kind.to_owned();
        }
        assert_eq!(history.kind, kind, "a document's kind is fixed");
        let head = history.placed.len() as u64;
        let is_born = head == 0 || matches!(history.fate, Some(Fate::Gone { .. }));
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
        if is_born {
            self.may_be_born(document);
        }
        let stamp = self.stamp(document, &record);
        let history = self.histories.entry(key).or_default();
        for (clock, operation) in (record.first_clock..).zip(record.operations) {
            let placed = Placed {
                origin: record.origin,
                clock,
                operation,
                stamp,
                written_at_us: self.now_us,
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
        self.tell(document, delivery.at);
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
        self.tell(document, at);
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
        self.tell(document, at);
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
                && !wants.claims(
                    self.life_of(document, epoch, revision),
                    placed.origin,
                    placed.clock,
                )
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

    /// A client is told of everything up to here.
    fn tell(&mut self, document: &Arc<str>, at: Position) {
        let history = self.history(document, at);
        history.told_revision = history.told_revision.max(at.revision);
        let placed = at.revision.checked_sub(1);
        let placed = placed.and_then(|index| {
            self.histories[&(document.clone(), at.epoch)]
                .placed
                .get(index as usize)
        });
        if let Some(placed) = placed {
            self.may_be_told(document, placed);
        }
    }

    fn history(&mut self, document: &Arc<str>, at: Position) -> &mut History {
        self.histories
            .entry((document.clone(), at.epoch))
            .or_default()
    }
}

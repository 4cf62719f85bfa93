//! Whether the relay kept its promises, judged from what the clients saw and nothing else.
//!
//! Every client checks the order of what it is given by itself (S1, in [`Witness`]), and all of them share one
//! [`Ledger`] per document, into which each revision is written by the first client that sees it and compared by
//! the others (S2). What needs the whole history, or needs to know what was sent, is judged at the end, against the
//! history as a client reads it that was not there before (S3 to S6).

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rustc_hash::{FxHashMap, FxHasher};

use crate::client::{DocumentKey, Event};
use crate::codec::wire::{Durability, ResyncReason};

use super::Kind;
use super::payload::Stamp;

/// Violations are counted, and the first of them described.
const DESCRIBED_MAX: usize = 20;

/// A promise that was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation {
    pub promise: &'static str,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.promise, self.what)
    }
}

/// One revision, as somebody saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    origin: u64,
    clock: u64,
    /// `None`: only its writer has seen it, which is not told how its operation of kind `text` was transformed.
    content: Option<Content>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Content {
    hash: u64,
    /// `None`: nobody here wrote it.
    stamp: Option<Stamp>,
}

/// What all clients together know about the documents.
#[derive(Debug)]
pub(super) struct Ledgers {
    kind: Kind,
    documents: Vec<Mutex<Ledger>>,
    violations: Mutex<(usize, Vec<Violation>)>,
}

#[derive(Debug, Default)]
struct Ledger {
    name: String,
    /// Histories by epoch: revisions of different epochs have nothing to do with each other.
    epochs: BTreeMap<u64, Vec<Option<Entry>>>,
    /// By writer: its operations that were acknowledged, and how safe they were said to be.
    acknowledged: FxHashMap<u32, Vec<(u64, Option<Durability>)>>,
    last: (u64, u64),
}

impl Ledgers {
    pub fn new(kind: Kind, documents: &[String]) -> Self {
        let ledger = |name: &String| {
            Mutex::new(Ledger {
                name: name.clone(),
                ..Ledger::default()
            })
        };
        Self {
            kind,
            documents: documents.iter().map(ledger).collect(),
            violations: Mutex::default(),
        }
    }

    pub fn report(&self, promise: &'static str, what: String) {
        let mut violations = locked(&self.violations);
        violations.0 += 1;
        if violations.1.len() < DESCRIBED_MAX {
            violations.1.push(Violation { promise, what });
        }
    }

    /// How many violations there were, and the first of them.
    pub fn violations(&self) -> (usize, Vec<Violation>) {
        locked(&self.violations).clone()
    }

    /// The newest epoch and revision that anybody has seen of a document.
    pub fn last(&self, document: usize) -> (u64, u64) {
        locked(&self.documents[document]).last
    }

    fn see(&self, document: usize, epoch: u64, revision: u64, entry: Entry) {
        let mut ledger = locked(&self.documents[document]);
        ledger.last = ledger.last.max((epoch, revision));
        let history = ledger.epochs.entry(epoch).or_default();
        let index = revision as usize;
        if history.len() <= index {
            history.resize(index + 1, None);
        }
        let known = &mut history[index];
        let agrees = known.is_none_or(|known| {
            let contents = known.content.zip(entry.content);
            (known.origin, known.clock) == (entry.origin, entry.clock)
                && contents.is_none_or(|(known, seen)| known == seen)
        });
        if agrees {
            let content = known.and_then(|known| known.content);
            *known = Some(Entry {
                content: content.or(entry.content),
                ..entry
            });
            return;
        }
        let known = *known;
        let name = ledger.name.clone();
        drop(ledger);
        self.report(
            "S2 agreement",
            format!("{name} revision {revision}: one client has {known:?}, another {entry:?}"),
        );
    }

    /// The document's history as somebody reads it who was not there: all of it, from revision 1.
    pub fn judge_history(&self, document: usize, epoch: u64, read: &History, submitted: &[u64]) {
        for (revision, entry) in (1..).zip(&read.entries) {
            self.see(document, epoch, revision, *entry);
        }
        let ledger = locked(&self.documents[document]);
        let name = &ledger.name;
        let mut clocks: FxHashMap<u64, u64> = FxHashMap::default();
        let mut sequences: FxHashMap<u32, Vec<u64>> = FxHashMap::default();
        for (revision, entry) in (1..).zip(&read.entries) {
            self.judge_clock(name, revision, entry, &mut clocks);
            let stamp = entry.content.and_then(|content| content.stamp);
            let Some(stamp) = stamp.filter(|stamp| {
                let submitted = submitted.get(stamp.writer as usize);
                submitted.is_some_and(|submitted| stamp.sequence < *submitted)
            }) else {
                self.report(
                    "S4 no phantom",
                    format!("{name} revision {revision}: nobody sent this operation"),
                );
                continue;
            };
            let of_writer = sequences.entry(stamp.writer).or_default();
            match of_writer.last() {
                Some(last) if *last == stamp.sequence => self.report(
                    "S5 once",
                    format!("{name} revision {revision}: {stamp:?} is there twice"),
                ),
                Some(last) if *last > stamp.sequence => self.report(
                    "S6 FIFO",
                    format!("{name} revision {revision}: {stamp:?} comes after {last}"),
                ),
                Some(_) | None => {}
            }
            of_writer.push(stamp.sequence);
        }
        for (writer, acknowledged) in &ledger.acknowledged {
            let mut there = sequences.remove(writer).unwrap_or_default();
            there.sort_unstable();
            for (sequence, durability) in acknowledged {
                // With the weaker modes, a new epoch says that the newest operations may be lost.
                let is_promised =
                    *durability == Some(Durability::Always) || ledger.epochs.len() == 1;
                if is_promised && there.binary_search(sequence).is_err() {
                    self.report(
                        "S3 durability",
                        format!("{name}: operation {sequence} of writer {writer} was acknowledged and is not there"),
                    );
                }
            }
        }
        let (last_epoch, last_revision) = ledger.last;
        if (epoch, read.entries.len() as u64) < (last_epoch, last_revision) {
            self.report(
                "S4 no phantom",
                format!(
                    "{name}: revision {last_revision} was delivered, but a new reader gets {}",
                    read.entries.len()
                ),
            );
        }
    }

    /// kind `text`: a new reader gets no history, so what the clients saw together is judged, and how far the reader
    /// came.
    pub fn judge_text(&self, document: usize, epoch: u64, revision: u64) {
        let ledger = locked(&self.documents[document]);
        if (epoch, revision) < ledger.last {
            self.report(
                "S3 durability",
                format!(
                    "{}: revision {} was delivered, a new reader gets {revision}",
                    ledger.name, ledger.last.1
                ),
            );
        }
        let seen = ledger.epochs.get(&epoch).map_or(&[][..], Vec::as_slice);
        let mut clocks: FxHashMap<u64, u64> = FxHashMap::default();
        for (revision, entry) in (0..).zip(seen) {
            if let Some(entry) = entry {
                self.judge_clock(&ledger.name, revision, entry, &mut clocks);
            }
        }
    }

    fn judge_clock(
        &self,
        name: &str,
        revision: u64,
        entry: &Entry,
        clocks: &mut FxHashMap<u64, u64>,
    ) {
        let due = clocks.entry(entry.origin).or_default();
        let (clock, origin) = (entry.clock, entry.origin);
        if clock < *due {
            let what =
                format!("{name} revision {revision}: clock {clock} of client {origin} again");
            self.report("S5 once", what);
        } else if clock > *due {
            let what = format!(
                "{name} revision {revision}: clock {clock} of client {origin} before {due}"
            );
            self.report("S6 FIFO", what);
        }
        *due = clock + 1;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn content(kind: Kind, operation: &Bytes) -> Content {
    let mut hasher = FxHasher::default();
    hasher.write(operation);
    Content {
        hash: hasher.finish(),
        stamp: Stamp::read(kind, operation),
    }
}

/// A document's whole history, as one client read it.
#[derive(Debug, Default)]
pub(super) struct History {
    entries: Vec<Entry>,
}

impl History {
    pub fn read(&mut self, kind: Kind, origin: u64, first_clock: u64, operations: &[Bytes]) {
        for (clock, operation) in (first_clock..).zip(operations) {
            self.entries.push(Entry {
                origin,
                clock,
                content: Some(content(kind, operation)),
            });
        }
    }
}

/// One client's own check of one document, and its way into the ledger.
#[derive(Debug)]
pub(super) struct Witness {
    document: usize,
    client: usize,
    epoch: u64,
    /// The revision that it was given last.
    revision: u64,
}

impl Witness {
    pub fn new(document: usize, client: usize) -> Self {
        Self {
            document,
            client,
            epoch: 0,
            revision: 0,
        }
    }

    pub fn see(&mut self, ledgers: &Ledgers, client_id: u64, event: &Event) {
        match event {
            Event::Opened { position, .. } => self.epoch = position.epoch,
            Event::Resync { from, reason, .. } => {
                self.epoch = from.epoch;
                if *reason == ResyncReason::Requested {
                    self.revision = self.revision.min(from.revision);
                }
            }
            Event::Reset { .. } => self.revision = 0,
            Event::Snapshot { revision, .. } => self.revision = *revision,
            Event::Remote {
                revision,
                origin,
                first_clock,
                operations,
                ..
            } => {
                self.advance(ledgers, *revision, operations.len() as u64);
                for ((revision, clock), operation) in
                    (*revision..).zip(*first_clock..).zip(operations)
                {
                    let entry = Entry {
                        origin: *origin,
                        clock,
                        content: Some(content(ledgers.kind, operation)),
                    };
                    if entry.content.is_some_and(|content| content.stamp.is_none()) {
                        let name = &locked(&ledgers.documents[self.document]).name.clone();
                        ledgers.report(
                            "S4 no phantom",
                            format!("{name} revision {revision}: nobody here wrote what came"),
                        );
                    }
                    ledgers.see(self.document, self.epoch, revision, entry);
                }
            }
            Event::Acknowledged {
                first_revision,
                first_clock,
                count,
                operations,
                durability,
                ..
            } => {
                let is_new = *first_revision > self.revision;
                if is_new {
                    self.advance(ledgers, *first_revision, *count);
                    for (offset, clock) in (0..*count).zip(*first_clock..) {
                        let own = operations.get(offset as usize);
                        let entry = Entry {
                            origin: client_id,
                            clock,
                            content: own
                                .filter(|_| ledgers.kind == Kind::Log)
                                .map(|operation| content(ledgers.kind, operation)),
                        };
                        ledgers.see(self.document, self.epoch, first_revision + offset, entry);
                    }
                }
                let mut ledger = locked(&ledgers.documents[self.document]);
                for stamp in operations
                    .iter()
                    .filter_map(|operation| Stamp::read(ledgers.kind, operation))
                {
                    let acknowledged = ledger.acknowledged.entry(stamp.writer).or_default();
                    acknowledged.push((stamp.sequence, *durability));
                }
            }
            Event::Violation(violation) => {
                ledgers.report("S1 order", format!("client {}: {violation}", self.client));
            }
            Event::Connected { .. }
            | Event::Disconnected { .. }
            | Event::Stopped { .. }
            | Event::Goaway { .. }
            | Event::Error { .. }
            | Event::Closed { .. }
            | Event::Refused { .. }
            | Event::Rebase { .. }
            | Event::Synced { .. }
            | Event::Presence { .. }
            | Event::Warning { .. } => {}
        }
    }

    fn advance(&mut self, ledgers: &Ledgers, first_revision: u64, count: u64) {
        if first_revision != self.revision + 1 {
            let name = locked(&ledgers.documents[self.document]).name.clone();
            ledgers.report(
                "S1 order",
                format!(
                    "{name}: client {} was given revision {first_revision} after {}",
                    self.client, self.revision
                ),
            );
        }
        self.revision = first_revision + count - 1;
    }
}

/// The document that a load client has open is its only one.
pub(super) const DOCUMENT: DocumentKey = DocumentKey(0);

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: u64 = 9;

    fn stamp(sequence: u64) -> Stamp {
        Stamp {
            writer: 0,
            sequence,
            due_us: 1,
        }
    }

    fn remote(revision: u64, sequences: &[u64]) -> Event {
        Event::Remote {
            document: DOCUMENT,
            revision,
            origin: ORIGIN,
            first_clock: revision - 1,
            operations: sequences
                .iter()
                .map(|sequence| stamp(*sequence).log_payload(30))
                .collect(),
        }
    }

    fn acknowledged(first_revision: u64, sequence: u64) -> Event {
        Event::Acknowledged {
            document: DOCUMENT,
            first_revision,
            first_clock: first_revision - 1,
            count: 1,
            operations: vec![stamp(sequence).log_payload(30)],
            durability: Some(Durability::Always),
        }
    }

    fn ledgers() -> Ledgers {
        Ledgers::new(Kind::Log, &["paper".to_owned()])
    }

    fn promises(ledgers: &Ledgers) -> Vec<&'static str> {
        let (_, violations) = ledgers.violations();
        violations
            .iter()
            .map(|violation| violation.promise)
            .collect()
    }

    fn history(entries: &[(u64, u64)]) -> History {
        let mut history = History::default();
        for (clock, sequence) in entries {
            history.read(
                Kind::Log,
                ORIGIN,
                *clock,
                &[stamp(*sequence).log_payload(30)],
            );
        }
        history
    }

    #[test]
    fn a_run_in_which_every_promise_was_kept() {
        let ledgers = ledgers();
        let (mut writer, mut reader) = (Witness::new(0, 0), Witness::new(0, 1));
        writer.see(&ledgers, ORIGIN, &acknowledged(1, 0));
        reader.see(&ledgers, 10, &remote(1, &[0, 1]));
        writer.see(&ledgers, ORIGIN, &acknowledged(2, 1));
        // A repeated answer.
        writer.see(&ledgers, ORIGIN, &acknowledged(2, 1));
        ledgers.judge_history(0, 0, &history(&[(0, 0), (1, 1)]), &[2]);
        assert_eq!(ledgers.violations(), (0, Vec::new()));
        assert_eq!(ledgers.last(0), (0, 2));
    }

    #[test]
    fn every_broken_promise_is_named() {
        let ledgers_with = |events: &[Event]| {
            let ledgers = ledgers();
            for event in events {
                Witness::new(0, 0).see(&ledgers, ORIGIN, event);
            }
            ledgers
        };
        assert_eq!(promises(&ledgers_with(&[remote(2, &[0])])), ["S1 order"]);
        assert_eq!(
            promises(&ledgers_with(&[remote(1, &[0]), remote(1, &[1])])),
            ["S2 agreement"]
        );
        let phantom = Event::Remote {
            document: DOCUMENT,
            revision: 1,
            origin: ORIGIN,
            first_clock: 0,
            operations: vec![Bytes::from_static(b"who wrote this, and what for")],
        };
        assert_eq!(promises(&ledgers_with(&[phantom])), ["S4 no phantom"]);

        let table: [(&[Event], &[(u64, u64)], &str); 6] = [
            (&[acknowledged(1, 0)], &[(0, 1)], "S3 durability"),
            (&[remote(1, &[0, 1])], &[(0, 0)], "S4 no phantom"),
            (&[], &[(0, 7)], "S4 no phantom"),
            (&[], &[(0, 0), (0, 1)], "S5 once"),
            (&[], &[(0, 0), (1, 0)], "S5 once"),
            (&[], &[(0, 1), (1, 0)], "S6 FIFO"),
        ];
        for (events, entries, promise) in table {
            let ledgers = ledgers_with(events);
            ledgers.judge_history(0, 0, &history(entries), &[2]);
            assert!(
                promises(&ledgers).contains(&promise),
                "{promise}: {entries:?}"
            );
        }
    }

    #[test]
    fn an_epoch_excuses_the_weaker_modes_only() {
        for (durability, expected) in [(Durability::Interval, 0), (Durability::Always, 1)] {
            let ledgers = ledgers();
            let mut writer = Witness::new(0, 0);
            let mut event = acknowledged(1, 0);
            if let Event::Acknowledged {
                durability: said, ..
            } = &mut event
            {
                *said = Some(durability);
            }
            writer.see(&ledgers, ORIGIN, &event);
            ledgers.judge_history(0, 5, &history(&[(0, 1)]), &[2]);
            assert_eq!(ledgers.violations().0, expected, "{durability:?}");
        }
    }
}

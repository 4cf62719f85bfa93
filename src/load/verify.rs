//! Whether the relay kept its promises, judged from what the clients saw and nothing else.
//!
//! Every client checks the order of what it is given by itself (S1, in [`Witness`]), and all of them share one
//! [`Ledger`] per document, into which each revision is written by the first client that sees it and compared by
//! the others (S2). What needs the whole history, or needs to know what was sent, is judged at the end, against the
//! history as a client reads it that was not there before (S3 to S6).

mod witness;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rustc_hash::{FxHashMap, FxHasher};

use crate::client::DocumentKey;
use crate::codec::wire::Durability;

use super::Kind;
use super::payload::Stamp;

pub(super) use witness::Witness;

/// Violations are counted, and the first of each promise described.
const DESCRIBED_MAX: usize = 5;

/// What was broken, by promise.
pub(super) type Verdict = BTreeMap<&'static str, Broken>;

/// How often a promise was broken, and how the first times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Broken {
    pub count: usize,
    pub first: Vec<String>,
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

impl fmt::Display for Entry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "clock {} of client {}", self.clock, self.origin)?;
        match self.content {
            Some(Content {
                stamp: Some(stamp), ..
            }) => write!(
                out,
                " (operation {} of writer {})",
                stamp.sequence, stamp.writer
            ),
            Some(Content { stamp: None, hash }) => write!(out, " (unknown content {hash:x})"),
            None => Ok(()),
        }
    }
}

/// What all clients together know about the documents.
#[derive(Debug)]
pub(super) struct Ledgers {
    kind: Kind,
    documents: Vec<Mutex<Ledger>>,
    verdict: Mutex<Verdict>,
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
            verdict: Mutex::default(),
        }
    }

    pub fn report(&self, promise: &'static str, what: String) {
        let mut verdict = locked(&self.verdict);
        let broken = verdict.entry(promise).or_default();
        broken.count += 1;
        if broken.first.len() < DESCRIBED_MAX {
            broken.first.push(what);
        }
    }

    pub fn verdict(&self) -> Verdict {
        locked(&self.verdict).clone()
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
            match known {
                Some(known) => {
                    format!("{name} revision {revision}: one has {known}, another {entry}")
                }
                None => format!("{name} revision {revision}: {entry}"),
            },
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
                    format!(
                        "{name} revision {revision}: operation {} of writer {} is there twice",
                        stamp.sequence, stamp.writer
                    ),
                ),
                Some(last) if *last > stamp.sequence => self.report(
                    "S6 FIFO",
                    format!(
                        "{name} revision {revision}: operation {} of writer {} comes after {last}",
                        stamp.sequence, stamp.writer
                    ),
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
        let mut is_whole = true;
        for (revision, entry) in (1..).zip(seen.iter().skip(1)) {
            match entry {
                Some(entry) => {
                    if !is_whole {
                        clocks.entry(entry.origin).or_insert(entry.clock);
                    }
                    self.judge_clock(&ledger.name, revision, entry, &mut clocks);
                }
                // Everybody was given a snapshot instead.
                None => {
                    is_whole = false;
                    clocks.clear();
                }
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

impl Content {
    fn of(kind: Kind, operation: &Bytes) -> Self {
        let mut hasher = FxHasher::default();
        hasher.write(operation);
        Self {
            hash: hasher.finish(),
            stamp: Stamp::read(kind, operation),
        }
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
                content: Some(Content::of(kind, operation)),
            });
        }
    }
}

/// The document that a load client has open is its only one.
pub(super) const DOCUMENT: DocumentKey = DocumentKey(0);

#[cfg(test)]
mod tests;

//! Whether all that a store holds fits together, row by row: what the store promises of its own rows. What is in
//! records and snapshots is for an [`Inspector`] to judge.
//!
//! One document is looked at at a time. Of all others only their numbers are remembered, a bit each.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use fjall::{AbstractTree, Readable, Snapshot};
use xxhash_rust::xxh3::Xxh3Default;

use crate::auth;

use super::ReadError;
use super::layout::{
    self, CommitRow, DocumentRow, LayoutError, Life, RemovalRow, RowKind, operations_key,
    snapshot_key,
};
use super::notices::Notices;
use super::operations::{RowHead, frames};
use super::reader::{FjallReader, Rows};
use super::walk::Visitor;

/// Judges the content of documents.
pub trait Inspector: Visitor<Error = ReadError> {
    /// What was wrong with the document that was told last.
    fn complaints(&mut self) -> Vec<String>;
}

/// Something is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The document's global id. `None`: it is nobody's.
    pub document: Option<Arc<str>>,
    pub what: String,
}

/// What there is in a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub live: u64,
    pub deleted: u64,
    pub gone: u64,
    pub operations: u64,
    pub snapshots: u64,
    pub versions: u64,
    /// Of records and snapshots.
    pub bytes: u64,
    /// Rows that nobody needs any more, on their way out: what the next run of a relay removes, and pieces of snapshots
    /// that were being written at a crash.
    pub rows_unneeded: u64,
}

/// Looks at everything, and reports what is wrong in the order of documents.
pub fn check(
    reader: &FjallReader,
    inspector: &mut impl Inspector,
    report: &mut impl FnMut(Finding),
) -> Counts {
    let mut check = Check {
        reader,
        view: reader.database.snapshot(),
        numbers: Numbers::default(),
        counts: Counts::default(),
        findings: Vec::new(),
    };
    check.tables();
    let commit = check.commit().unwrap_or_else(|error| {
        check.find(error);
        // Then everything is within its bounds.
        CommitRow {
            document_next: u64::MAX,
            generation_next: u64::MAX,
            ..CommitRow::default()
        }
    });
    check.report(None, report);
    let mut is_complete = true;
    for row in check.view.range(&reader.rows, layout::all_documents()) {
        let Ok((key, value)) = row.into_inner().map_err(|error| check.find(error)) else {
            is_complete = false;
            break;
        };
        let Some(name) = name_of(&key) else {
            check.find(format!("the key of a document is none: {key:?}"));
            check.report(None, report);
            continue;
        };
        match DocumentRow::decode(&value) {
            Ok(row) => {
                if let Err(error) = check.document(&name, &row, commit, inspector) {
                    check.find(error);
                }
                check.findings.extend(inspector.complaints());
            }
            Err(error) => check.find(error),
        }
        check.report(Some(&name), report);
    }
    let rest = check.rest(commit, is_complete);
    if let Err(error) = rest {
        check.find(error);
    }
    check.report(None, report);
    check.counts
}

/// The global id that a document's key was made of.
fn name_of(key: &[u8]) -> Option<Arc<str>> {
    let (tenant, document) = layout::split_document_key(key).ok()?;
    let name: Arc<str> = match auth::is_tenant(tenant) {
        true => auth::global_id(tenant, document).into(),
        false => return None,
    };
    (layout::document_key(&name) == key).then_some(name)
}

struct Check<'a> {
    reader: &'a FjallReader,
    view: Snapshot,
    /// Of all documents so far.
    numbers: Numbers,
    counts: Counts,
    /// Of one document.
    findings: Vec<String>,
}

impl Check<'_> {
    fn find(&mut self, what: impl ToString) {
        self.findings.push(what.to_string());
    }

    fn report(&mut self, document: Option<&Arc<str>>, report: &mut impl FnMut(Finding)) {
        for what in self.findings.drain(..) {
            report(Finding {
                document: document.cloned(),
                what,
            });
        }
    }

    /// Whether every byte in tables is what was written: also where no row is.
    fn tables(&mut self) {
        for table in self.reader.rows.tree.current_version().iter_tables() {
            match checksum(&table.path) {
                Ok(checksum) if checksum == table.checksum().into_u128() => {}
                Ok(_) => self.find(format!("table {} is not what was written", table.id())),
                Err(error) => self.find(format!("table {} cannot be read: {error}", table.id())),
            }
        }
    }

    fn commit(&self) -> Result<CommitRow, ReadError> {
        let row = self.view.get(&self.reader.rows, layout::COMMIT_KEY)?;
        let row = row.ok_or(LayoutError { row: "commit row" })?;
        Ok(CommitRow::decode(&row)?)
    }

    fn removal(&self, number: u64) -> Result<Option<RemovalRow>, ReadError> {
        let row = self
            .view
            .get(&self.reader.rows, layout::removal_key(number))?;
        Ok(row.map(|row| RemovalRow::decode(&row)).transpose()?)
    }

    fn document(
        &mut self,
        name: &Arc<str>,
        row: &DocumentRow,
        commit: CommitRow,
        inspector: &mut impl Inspector,
    ) -> Result<(), ReadError> {
        let number = row.number;
        if number >= commit.document_next {
            self.find(format!("its number {number} was not given away yet"));
        }
        if !self.numbers.insert(number) {
            self.find(format!("its number {number} is another document's, too"));
        }
        let removal = self.removal(number)?;
        match row.life {
            Life::Live => self.counts.live += 1,
            Life::Deleted { at_ms } => {
                self.counts.deleted += 1;
                let key = layout::deleted_key(at_ms, number);
                if !self.view.contains_key(&self.reader.rows, key)? {
                    self.find("it is deleted, and not in the list of deleted documents");
                }
            }
            Life::Gone => {
                self.counts.gone += 1;
                return self.gone(row, removal);
            }
        }
        if row.snapshot.is_none() && row.history_from_revision != row.first_revision {
            self.find(format!(
                "it has no snapshot, and no operations before revision {}",
                row.history_from_revision
            ));
        }
        inspector.begin(name, row)?;
        let is_whole = self.snapshots(row, commit, removal, inspector)?;
        let next_revision = self.operations(row, removal, inspector, is_whole)?;
        if let Some(removal) = removal
            && (removal.operations_below > row.history_from_revision
                || removal.generations_below > row.snapshot.map_or(0, |place| place.generation))
        {
            self.find("what it needs is to be removed");
        }
        let newest = next_revision.unwrap_or(u64::MAX) - 1;
        for version in self.reader.versions_in(&self.view, number)? {
            self.counts.versions += 1;
            if !(row.first_revision..=newest).contains(&version.revision) {
                self.find(format!(
                    "its version {:?} is of revision {}, and it has {} to {newest}",
                    version.name, version.revision, row.first_revision
                ));
            }
            inspector.version(version)?;
        }
        if let Some(place) = row.snapshot
            && (place.revision > newest
                || place.revision.saturating_add(1) < row.history_from_revision)
        {
            self.find(format!(
                "its snapshot is of revision {}, and it has operations from {} to {newest}",
                place.revision, row.history_from_revision
            ));
        }
        match next_revision {
            Some(next_revision) if is_whole => inspector.end(row.life, next_revision),
            Some(_) | None => Ok(()),
        }
    }

    /// A document of which nothing is left.
    fn gone(&mut self, row: &DocumentRow, removal: Option<RemovalRow>) -> Result<(), ReadError> {
        if *row != DocumentRow::gone(row.number, row.history_from_revision) {
            self.find("it is gone, and has something");
        }
        let rows = self.count_rows(row.number)?;
        self.counts.rows_unneeded += rows;
        if rows > 0 && removal != Some(RemovalRow::EVERYTHING) {
            self.find("it is gone, and not all of what it had is to be removed");
        }
        Ok(())
    }

    /// Shows the pieces of the snapshot. Returns whether all of them are there.
    fn snapshots(
        &mut self,
        row: &DocumentRow,
        commit: CommitRow,
        removal: Option<RemovalRow>,
        inspector: &mut impl Inspector,
    ) -> Result<bool, ReadError> {
        let current = row.snapshot.map(|place| place.generation);
        let keys = snapshot_key(row.number, 0, 0)..=snapshot_key(row.number, u64::MAX, u32::MAX);
        let (mut pieces, mut bytes, mut is_whole) = (0, 0, true);
        for piece in self.view.range(&self.reader.rows, keys) {
            let (key, value) = piece.into_inner()?;
            let (generation, piece) = layout::split_piece_key(&key)?;
            if Some(generation) == current {
                is_whole &= piece == pieces;
                pieces += 1;
                bytes += value.len() as u64;
                inspector.snapshot_piece(&value)?;
                continue;
            }
            self.counts.rows_unneeded += 1;
            let is_older = current.is_some_and(|current| generation < current);
            let is_removed = removal.is_some_and(|removal| generation < removal.generations_below);
            if is_older && !is_removed || generation >= commit.generation_next {
                self.find(format!("a piece of snapshot {generation} is nobody's"));
            }
        }
        let Some(place) = row.snapshot else {
            return Ok(true);
        };
        self.counts.snapshots += 1;
        self.counts.bytes += bytes;
        if place.generation >= commit.generation_next {
            self.find("its snapshot has a number that was not given away yet");
        }
        is_whole &= bytes == place.bytes;
        if !is_whole {
            let found = format!("{pieces} pieces with {bytes} bytes");
            self.find(format!(
                "its snapshot of {} bytes is not whole: there are {found}",
                place.bytes
            ));
        }
        Ok(is_whole)
    }

    /// Shows the records, if `is_shown`. Returns the revision after the last; `None` if they do not follow each other.
    fn operations(
        &mut self,
        document: &DocumentRow,
        removal: Option<RemovalRow>,
        inspector: &mut impl Inspector,
        is_shown: bool,
    ) -> Result<Option<u64>, ReadError> {
        let number = document.number;
        let keys = operations_key(number, 0, 0)..=operations_key(number, u64::MAX, u32::MAX);
        let history_from = document.history_from_revision;
        let mut next = history_from;
        let mut operation_bytes = document.compacted_bytes;
        let mut row_is_reached = document.operation_bytes == operation_bytes;
        for row in Rows::new(self.view.range(&self.reader.rows, keys)) {
            let (first_revision, row) = row?;
            let head = RowHead::decode(&row)?;
            let frames = frames(first_revision, row)?;
            let end = first_revision.saturating_add(head.count.into());
            if first_revision < history_from {
                self.counts.rows_unneeded += 1;
                let is_removed = removal.is_some_and(|removal| end <= removal.operations_below);
                if !is_removed || end > history_from {
                    self.find(format!(
                        "revisions {first_revision} to {} are nobody's: it begins at {history_from}",
                        end.saturating_sub(1)
                    ));
                }
                continue;
            }
            if first_revision != next {
                self.find(format!(
                    "revision {first_revision} stands where revision {next} should"
                ));
                return Ok(None);
            }
            let bytes: usize = frames.iter().map(|frame| frame.record.len()).sum();
            operation_bytes = operation_bytes.saturating_add(bytes as u64);
            let counted = frames
                .last()
                .map_or(first_revision, |last| last.last_revision + 1);
            if counted != end || head.operation_bytes != operation_bytes {
                self.find(format!(
                    "the row of revision {first_revision} does not count what is in it, or before it"
                ));
                return Ok(None);
            }
            row_is_reached |= document.operation_bytes == operation_bytes;
            self.counts.operations += u64::from(head.count);
            self.counts.bytes += bytes as u64;
            for frame in frames {
                let count = frame.last_revision - frame.first_revision + 1;
                let count = u32::try_from(count).expect("a frame counts them so");
                if is_shown {
                    inspector.record(frame.first_revision, count, frame.record)?;
                }
            }
            next = end;
        }
        if !row_is_reached {
            self.find("its row counts other bytes than its operations have");
        }
        Ok(Some(next))
    }

    /// How many rows belong to a number. Reads all of them.
    fn count_rows(&self, number: u64) -> Result<u64, ReadError> {
        let mut count = 0;
        for kind in RowKind::NUMBERED {
            for row in self.view.range(&self.reader.rows, kind.keys_of(number)) {
                row.into_inner()?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// What is not reached through a document. `is_complete`: all documents are known.
    fn rest(&mut self, commit: CommitRow, is_complete: bool) -> Result<(), ReadError> {
        for row in self.view.range(&self.reader.rows, RowKind::Deleted.keys()) {
            let (key, name) = row.into_inner()?;
            let (at_ms, number) = layout::split_deleted_key(&key)?;
            let Ok(name) = str::from_utf8(&name) else {
                self.find("the list of deleted documents has a name that is none");
                continue;
            };
            let document = self.reader.document(&self.view, name);
            let is_right = document.is_ok_and(|document| {
                let expected =
                    |row: DocumentRow| row.number == number && row.life == Life::Deleted { at_ms };
                document.is_some_and(expected)
            });
            if !is_right {
                self.find(format!("the list of deleted documents has {name:?}"));
            }
        }
        for row in self.view.range(&self.reader.rows, layout::all_removals()) {
            let (key, value) = row.into_inner()?;
            RemovalRow::decode(&value)?;
            let number = layout::split_removal_key(&key)?;
            if number >= commit.document_next {
                self.find(format!("what is to be removed has number {number}"));
            }
        }
        for kind in RowKind::NUMBERED {
            self.orphans(kind, is_complete)?;
        }
        // What is still to be told belongs to no document, and may stay when it has gone.
        if let Err(error) = Notices::read(&self.reader.rows, usize::MAX) {
            self.find(error);
        }
        for keys in layout::no_keys() {
            for row in self.view.range(&self.reader.rows, keys) {
                let key = row.key()?;
                let known = [
                    layout::COMMIT_KEY,
                    layout::INSTANCE_KEY,
                    layout::NOTICE_NEXT_KEY,
                ];
                if !known.contains(&&*key) {
                    self.find(format!("nobody knows what the row {key:?} is"));
                }
            }
        }
        Ok(())
    }

    /// What belongs to numbers that no document has.
    fn orphans(&mut self, kind: RowKind, is_complete: bool) -> Result<(), ReadError> {
        let mut from = Bound::Included(kind.keys().start.to_vec());
        loop {
            let end = Bound::Excluded(kind.keys().end.to_vec());
            let Some(row) = self.view.range(&self.reader.rows, (from, end)).next() else {
                return Ok(());
            };
            let number = layout::number_of_key(&row.key()?)?;
            if is_complete && !self.numbers.has(number) {
                let mut rows = 0;
                for row in self.view.range(&self.reader.rows, kind.keys_of(number)) {
                    row.into_inner()?;
                    rows += 1;
                }
                self.counts.rows_unneeded += rows;
                if self.removal(number)? != Some(RemovalRow::EVERYTHING) {
                    let what = kind.name();
                    self.find(format!(
                        "{rows} {what} of number {number} are no document's"
                    ));
                }
            }
            from = match kind.keys_of(number).1 {
                Bound::Excluded(next) => Bound::Included(next),
                end => end,
            };
        }
    }
}

/// As fjall computes it.
fn checksum(table: &Path) -> io::Result<u128> {
    let mut file = File::open(table)?;
    let mut buffer = vec![0; 256 * 1024];
    let mut hasher = Xxh3Default::new();
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.digest128()),
            length => hasher.update(&buffer[..length]),
        }
    }
}

/// A set of numbers, most of which lie close together.
#[derive(Default)]
struct Numbers {
    words: BTreeMap<u64, [u64; Self::WORDS]>,
}

impl Numbers {
    const WORDS: usize = 64;

    fn place(number: u64) -> (u64, usize, u64) {
        let word = number / 64;
        let index = (word % Self::WORDS as u64) as usize;
        (word / Self::WORDS as u64, index, 1 << (number % 64))
    }

    /// Returns whether it was not there.
    fn insert(&mut self, number: u64) -> bool {
        let (key, index, bit) = Self::place(number);
        let word = &mut self.words.entry(key).or_insert([0; Self::WORDS])[index];
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    fn has(&self, number: u64) -> bool {
        let (key, index, bit) = Self::place(number);
        self.words
            .get(&key)
            .is_some_and(|words| words[index] & bit != 0)
    }
}

//! Rows of the embedded store that nobody needs any more, on their way out, some with each commit.
//!
//! Nobody reads them: a commit before has changed the document's row, so that they are behind its history, or belong
//! to a number that no name leads to. That commit has also written what is to be removed, which stays until it has
//! been; so it goes on after a crash.

use std::collections::{BTreeMap, BTreeSet};

use fjall::{Keyspace, OwnedWriteBatch};
use rustc_hash::FxHashMap;

use super::ReadError;
use super::layout::{self, RemovalRow, RowKind, operations_key, removal_key, snapshot_key};
use super::operations::RowHead;

/// Of so many numbers it is known where to look; when there are more, the table starts anew.
const NUMBERS_KNOWN_MAX: usize = 65_536;

/// The most rows that one commit removes, or as many as a row of operations has pieces more.
const ROWS_MAX: usize = 512;

#[derive(Debug, Default)]
pub struct Removals {
    waiting: BTreeMap<u64, Removal>,
    /// By number, below which generation this run has removed all: to look there again would be to pass by everything
    /// that was removed.
    removed_below: FxHashMap<u64, u64>,
    /// Of which numbers something has changed with this commit.
    touched: BTreeSet<u64>,
}

#[derive(Debug)]
struct Removal {
    row: RemovalRow,
    /// Everything before this key has been looked at.
    from: [u8; 21],
}

impl Removal {
    fn new(number: u64, operations_from: u64, row: RemovalRow) -> Self {
        let from = operations_key(number, operations_from, 0);
        Self { row, from }
    }
}

impl Removals {
    /// What an earlier run has left.
    pub fn read(rows: &Keyspace) -> Result<Self, ReadError> {
        let mut removals = Self::default();
        for row in rows.range(layout::all_removals()) {
            let (key, value) = row.into_inner()?;
            let number = layout::split_removal_key(&key)?;
            let removal = Removal::new(number, 0, RemovalRow::decode(&value)?);
            removals.waiting.insert(number, removal);
        }
        Ok(removals)
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// More is to be removed, operations from a row that begins at `operations_from`. It begins with the next commit,
    /// which sees what this one has written.
    pub fn push(&mut self, number: u64, operations_from: u64, row: RemovalRow) {
        let mut removal = Removal::new(number, operations_from, row);
        if let Some(waiting) = self.waiting.get(&number) {
            let below = &mut removal.row;
            below.operations_below = below.operations_below.max(waiting.row.operations_below);
            below.generations_below = below.generations_below.max(waiting.row.generations_below);
            removal.from = removal.from.min(waiting.from);
        }
        self.waiting.insert(number, removal);
        self.touched.insert(number);
    }

    /// Begins a commit: removes what there is room for.
    pub fn advance(
        &mut self,
        rows: &Keyspace,
        batch: &mut OwnedWriteBatch,
    ) -> Result<(), ReadError> {
        let mut budget = ROWS_MAX;
        while budget > 0
            && let Some(mut first) = self.waiting.first_entry()
        {
            let number = *first.key();
            let removal = first.get_mut();
            let removed_below = self.removed_below.get(&number).copied().unwrap_or(0);
            if removal.remove_operations(number, rows, batch, &mut budget)?
                && removal.remove_snapshots(number, removed_below, rows, batch, &mut budget)?
                && removal.remove_versions(number, rows, batch, &mut budget)?
            {
                let removed = first.remove();
                self.touched.insert(number);
                if self.removed_below.len() >= NUMBERS_KNOWN_MAX {
                    self.removed_below.clear();
                }
                self.removed_below
                    .insert(number, removed.row.generations_below);
            }
        }
        Ok(())
    }

    /// Ends a commit: writes what is still to be removed.
    pub fn write(&mut self, rows: &Keyspace, batch: &mut OwnedWriteBatch) {
        for number in std::mem::take(&mut self.touched) {
            match self.waiting.get(&number) {
                Some(removal) => batch.insert(rows, removal_key(number), removal.row.encode()),
                None => batch.remove(rows, removal_key(number)),
            }
        }
    }
}

impl Removal {
    /// Removes whole rows of operations. Returns whether that was all.
    fn remove_operations(
        &mut self,
        number: u64,
        rows: &Keyspace,
        batch: &mut OwnedWriteBatch,
        budget: &mut usize,
    ) -> Result<bool, ReadError> {
        let end = operations_key(number, self.row.operations_below, 0);
        if self.from >= end {
            return Ok(true);
        }
        let mut is_wanted = false;
        for piece in rows.range(self.from..end) {
            let (key, value) = piece.into_inner()?;
            let (first_revision, piece) = layout::split_piece_key(&key)?;
            if piece == 0 {
                self.from.copy_from_slice(&key);
                if *budget == 0 {
                    return Ok(false);
                }
                let count = u64::from(RowHead::decode(&value)?.count);
                is_wanted = first_revision + count > self.row.operations_below;
            }
            if is_wanted {
                break;
            }
            batch.remove(rows, key);
            *budget = budget.saturating_sub(1);
        }
        Ok(true)
    }

    fn remove_snapshots(
        &mut self,
        number: u64,
        removed_below: u64,
        rows: &Keyspace,
        batch: &mut OwnedWriteBatch,
        budget: &mut usize,
    ) -> Result<bool, ReadError> {
        let end = snapshot_key(number, self.row.generations_below, 0);
        // Never a row of operations, which all stand before.
        self.from = self.from.max(snapshot_key(number, removed_below, 0));
        if self.from >= end {
            return Ok(true);
        }
        for piece in rows.range(self.from..end) {
            let key = piece.key()?;
            if *budget == 0 {
                self.from.copy_from_slice(&key);
                return Ok(false);
            }
            batch.remove(rows, key);
            *budget -= 1;
        }
        Ok(true)
    }

    /// Versions go with their document.
    fn remove_versions(
        &self,
        number: u64,
        rows: &Keyspace,
        batch: &mut OwnedWriteBatch,
        budget: &mut usize,
    ) -> Result<bool, ReadError> {
        if self.row != RemovalRow::EVERYTHING {
            return Ok(true);
        }
        for row in rows.range(RowKind::Version.keys_of(number)) {
            if *budget == 0 {
                return Ok(false);
            }
            batch.remove(rows, row.key()?);
            *budget -= 1;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::backend::{Backend, Reader, Write};
    use super::super::{FjallStore, Loaded, directory};
    use super::*;
    use crate::config;

    fn open(path: &Path) -> FjallStore {
        let config = config::Store {
            path: path.to_owned(),
            ..config::Store::default()
        };
        match directory::open(&config) {
            Ok(open) => open.store,
            Err(error) => panic!("{error}"),
        }
    }

    fn append(document: &str, revision: u64, bytes: usize) -> Write {
        Write::Append {
            document: document.into(),
            kind: "log".into(),
            first_revision: revision,
            count: 1,
            record: vec![revision as u8; bytes].into(),
        }
    }

    fn snapshot(document: &str, revision: u64, compact_to_revision: Option<u64>) -> Write {
        Write::Snapshot {
            document: document.into(),
            revision,
            snapshot: vec![7; 1_500_000].into(),
            compact_to_revision,
        }
    }

    /// How many rows belong to a number: (of operations, of snapshots).
    fn count(store: &FjallStore, number: u64) -> (usize, usize) {
        let rows = store.reader().rows;
        let count = |first: [u8; 21], last: [u8; 21]| rows.range(first..=last).count();
        (
            count(
                operations_key(number, 0, 0),
                operations_key(number, u64::MAX, u32::MAX),
            ),
            count(
                snapshot_key(number, 0, 0),
                snapshot_key(number, u64::MAX, u32::MAX),
            ),
        )
    }

    /// Documents "a" and "b" with the numbers 0 and 1, with ten large records and a snapshot each.
    fn store(path: &Path) -> FjallStore {
        let mut store = open(path);
        for revision in 1..=10 {
            let writes = ["a", "b"].map(|document| append(document, revision, 300_000));
            store.commit(&writes).unwrap();
        }
        store
            .commit(&[snapshot("a", 10, None), snapshot("b", 10, None)])
            .unwrap();
        while store.is_unfinished() {
            store.commit(&[]).unwrap();
        }
        store
    }

    /// Commits what is unfinished, with the end of the process after each commit. Returns how many that were.
    fn finish(
        mut store: FjallStore,
        path: &Path,
        check: impl Fn(&FjallStore),
    ) -> (FjallStore, u32) {
        let mut commits = 0;
        while store.is_unfinished() {
            store.commit(&[]).unwrap();
            commits += 1;
            drop(store);
            store = open(path);
            check(&store);
        }
        (store, commits)
    }

    #[test]
    fn a_swept_document_goes_row_by_row_across_crashes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let mut store = store(path);
        let before = (store.load("b"), count(&store, 1));
        let delete = Write::Delete {
            document: "a".into(),
            at_ms: 5,
        };
        store.commit(&[delete]).unwrap();
        let sweep = Write::Sweep {
            deleted_before_ms: 6,
        };
        store.commit(&[sweep]).unwrap();
        assert_eq!(store.load("a"), Ok(Loaded::Gone { revision: 10 }));
        assert_eq!(count(&store, 0), before.1);
        // Its name is in use again long before all is gone.
        store.commit(&[append("a", 11, 10)]).unwrap();
        let second = store.load("a");
        let (store, commits) = finish(store, path, |store| assert_eq!(store.load("a"), second));
        assert!(commits > 3, "{commits}");
        assert_eq!(count(&store, 0), (0, 0));
        assert_eq!(count(&store, 2), (1, 0));
        assert_eq!((store.load("b"), count(&store, 1)), before);
    }

    #[test]
    fn compacted_history_goes_row_by_row_across_crashes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let mut store = store(path);
        let (operation_rows, snapshot_rows) = count(&store, 0);
        let compacting = snapshot("a", 10, Some(8));
        let mut committed = store.commit(&[compacting]).unwrap();
        while committed.snapshots.is_empty() {
            // Nothing goes before the snapshot that replaces it is whole.
            assert_eq!(count(&store, 0).0, operation_rows);
            committed = store.commit(&[]).unwrap();
        }
        let loaded = store.load("a");
        let page = store.read("a", 9, 10, usize::MAX);
        let (store, commits) = finish(store, path, |store| {
            assert_eq!(store.load("a"), loaded);
            assert_eq!(store.read("a", 9, 10, usize::MAX), page);
        });
        assert!(commits > 1, "{commits}");
        assert_eq!(count(&store, 0), (operation_rows / 5, snapshot_rows));
        assert_eq!(count(&store, 1), (operation_rows, snapshot_rows));
    }

    #[test]
    fn a_snapshot_on_its_way_is_waited_for_by_the_sweep() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = store(directory.path());
        let delete = Write::Delete {
            document: "a".into(),
            at_ms: 5,
        };
        let sweep = Write::Sweep {
            deleted_before_ms: 6,
        };
        store.commit(&[snapshot("a", 10, None), delete]).unwrap();
        // The larger part of the snapshot is written, not all.
        let swept = store.commit(std::slice::from_ref(&sweep)).unwrap().sweeps[0];
        assert_eq!((swept.documents, swept.has_more), (0, true));
        while store.is_unfinished() {
            store.commit(&[]).unwrap();
        }
        let swept = store.commit(&[sweep]).unwrap().sweeps[0];
        assert_eq!((swept.documents, swept.has_more), (1, false));
        while store.is_unfinished() {
            store.commit(&[]).unwrap();
        }
        assert_eq!(count(&store, 0), (0, 0));
    }
}

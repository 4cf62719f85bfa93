//! Rows of the embedded store that nobody needs any more, on their way out, some with each commit.
//!
//! Nobody reads them: a commit before has changed the document's row, so that they are behind its history, or belong
//! to a number that no name leads to. That commit has also written what is to be removed, which stays until it has
//! been; so it goes on after a crash.

use std::collections::{BTreeMap, BTreeSet};

use fjall::{Keyspace, OwnedWriteBatch};

use super::ReadError;
use super::layout::{self, RemovalRow, RowHead, operations_key, removal_key, snapshot_key};

/// The most rows that one commit removes, or as many as a row of operations has pieces more.
const ROWS_MAX: usize = 512;

#[derive(Debug, Default)]
pub struct Removals {
    waiting: BTreeMap<u64, Removal>,
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
    fn new(number: u64, row: RemovalRow) -> Self {
        let from = operations_key(number, 0, 0);
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
            let removal = Removal::new(number, RemovalRow::decode(&value)?);
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

    /// More is to be removed. It begins with the next commit, which sees what this one has written.
    pub fn push(&mut self, number: u64, row: RemovalRow) {
        let below = match self.waiting.get(&number) {
            None => row,
            Some(waiting) => RemovalRow {
                operations_below: waiting.row.operations_below.max(row.operations_below),
                generations_below: waiting.row.generations_below.max(row.generations_below),
            },
        };
        self.waiting.insert(number, Removal::new(number, below));
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
            if removal.remove_operations(number, rows, batch, &mut budget)?
                && removal.remove_snapshots(number, rows, batch, &mut budget)?
            {
                first.remove();
                self.touched.insert(number);
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
        self.from = snapshot_key(number, 0, 0);
        Ok(true)
    }

    fn remove_snapshots(
        &mut self,
        number: u64,
        rows: &Keyspace,
        batch: &mut OwnedWriteBatch,
        budget: &mut usize,
    ) -> Result<bool, ReadError> {
        let end = snapshot_key(number, self.row.generations_below, 0);
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
}

//! Looks over the embedded store's journals before it opens them.
//!
//! fjall ends its recovery of a journal at the first thing in it that it cannot read, and cuts the rest off. That
//! is right for what was being written at a crash, and wrong for a synced part that went bad. So the journals
//! are read here first, without changing them: batch by batch with their checksums, and with the chain of commit
//! numbers that runs through all of them. Every commit says which one was the newest that was synced before it,
//! so a whole commit behind a broken place tells whether that place had been durable. Whoever opens the store
//! compares what is needed with what is there, and only then lets [`Tail::cut`] remove what was never durable.
//!
//! This file knows fjall's on-disk format 3 (its `version` file is checked), and nothing else of it.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::layout::{COMMIT_KEY, CommitRow};

/// The content of fjall's `version` file, and the end of each of its batches.
pub const MAGIC: [u8; 4] = *b"FJL\x03";

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;

const START_BYTES: usize = 13;
const ITEM_HEAD_BYTES: usize = 21;
const CLEAR_BYTES: usize = 9;

/// How far fjall's sequence number may be ahead of what it was just before the batch. Its flushes and compactions
/// take some too; what is further away than they could ever bring it is a flipped bit.
const SEQUENCE_SLACK: u64 = 1 << 32;

/// What the journals of a database hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Journals {
    /// The newest commit up to which everything is whole; `None` if the journals hold none.
    pub last_commit: Option<u64>,
    /// The newest commit that a whole one, anywhere, knows to have been synced.
    pub synced_commit: u64,
    /// The journal that is written to.
    pub tail: Option<Tail>,
}

/// The newest journal, of which `whole_bytes` are whole batches.
#[derive(Debug, PartialEq, Eq)]
pub struct Tail {
    pub path: PathBuf,
    pub whole_bytes: u64,
    /// Whether something other than the zeros of its preallocation follows.
    pub is_torn: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Damaged(String),
}

/// Whether the file of this name is one.
pub fn is_journal(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jnl")
}

/// Reads all journals in `database`, one at a time, each as a whole into memory.
pub fn inspect(database: &Path) -> Result<Journals, JournalError> {
    let mut journals = Journals::default();
    let paths = paths(database)?;
    let mut sequence = None;
    for (index, path) in paths.iter().enumerate() {
        let bytes = fs::read(path)?;
        let mut rest = &bytes[..];
        while let Some(batch) = split_batch(&mut rest) {
            let commit = batch.commit;
            let follows = journals
                .last_commit
                .is_none_or(|last| last == commit.previous);
            if !follows || sequence.is_some_and(|last| last >= batch.sequence) {
                return Err(JournalError::Damaged(format!(
                    "in its journals, commit {} does not follow the one before it",
                    commit.number
                )));
            }
            sequence = Some(batch.sequence);
            journals.last_commit = Some(commit.number);
            journals.synced_commit = journals.synced_commit.max(commit.synced);
        }
        let whole_bytes = bytes.len() - rest.len();
        let is_torn = rest.iter().any(|byte| *byte != 0);
        // A journal is synced as a whole before the next one is begun.
        if is_torn && index + 1 < paths.len() {
            return Err(JournalError::Damaged(format!(
                "the journal {} cannot be read past byte {whole_bytes}",
                path.display(),
            )));
        }
        journals.synced_commit = journals.synced_commit.max(newest_synced(rest));
        journals.tail = Some(Tail {
            path: path.clone(),
            whole_bytes: whole_bytes as u64,
            is_torn,
        });
    }
    Ok(journals)
}

impl Tail {
    /// Removes what follows the last whole batch, durably.
    pub fn cut(&self) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(&self.path)?;
        file.set_len(self.whole_bytes)?;
        file.sync_all()
    }
}

/// Oldest first.
fn paths(database: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(database)? {
        let path = entry?.path();
        if is_journal(&path) {
            let number: Option<u64> = path
                .file_stem()
                .and_then(|stem| stem.to_str()?.parse().ok());
            let Some(number) = number else {
                return Err(JournalError::Damaged(format!(
                    "{} is no name of a journal",
                    path.display()
                )));
            };
            journals.push((number, path));
        }
    }
    journals.sort();
    Ok(journals.into_iter().map(|(_, path)| path).collect())
}

/// What the whole batches behind a broken place know to have been synced.
fn newest_synced(rest: &[u8]) -> u64 {
    let mut newest = 0;
    let mut at = 0;
    while at < rest.len() {
        let mut from_here = &rest[at..];
        match split_batch(&mut from_here) {
            Some(batch) => {
                newest = newest.max(batch.commit.synced);
                at = rest.len() - from_here.len();
            }
            None => at += 1,
        }
    }
    newest
}

#[derive(Debug, PartialEq, Eq)]
struct Batch {
    /// fjall's number of it.
    sequence: u64,
    commit: CommitRow,
}

/// Splits one whole batch of ours off the front.
fn split_batch(bytes: &mut &[u8]) -> Option<Batch> {
    let mut rest = *bytes;
    let start = split(&mut rest, START_BYTES)?;
    if start[0] != START {
        return None;
    }
    let items = u32::from_le_bytes(*start[1..].first_chunk()?);
    let sequence = u64::from_le_bytes(*start[5..].first_chunk()?);
    let entries = rest;
    let mut last = (&[][..], &[][..]);
    for _ in 0..items {
        last = split_item(&mut rest)?;
    }
    let entries = &entries[..entries.len() - rest.len()];
    let end = split(&mut rest, 13)?;
    let checksum = u64::from_le_bytes(*end[1..].first_chunk()?);
    if end[0] != END || end[9..] != MAGIC || last.0 != COMMIT_KEY || checksum != xxh3_64(entries) {
        return None;
    }
    let commit = CommitRow::decode(last.1).ok()?;
    let sequences = commit.sequence_min..commit.sequence_min.saturating_add(SEQUENCE_SLACK);
    if !sequences.contains(&sequence) {
        return None;
    }
    *bytes = rest;
    Some(Batch { sequence, commit })
}

/// The key and the value of the next item.
fn split_item<'a>(bytes: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    match *bytes.first()? {
        CLEAR => {
            split(bytes, CLEAR_BYTES)?;
            Some((&[], &[]))
        }
        ITEM => {
            let head = split(bytes, ITEM_HEAD_BYTES)?;
            let key_bytes = u16::from_le_bytes(*head[11..].first_chunk()?);
            let value_bytes = u32::from_le_bytes(*head[17..].first_chunk()?);
            let key = split(bytes, key_bytes.into())?;
            let value = split(bytes, value_bytes as usize)?;
            Some((key, value))
        }
        _ => None,
    }
}

fn split<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (front, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(front)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A batch as fjall writes it, with one entry before the commit row.
    fn batch(commit: CommitRow, value: &[u8]) -> Vec<u8> {
        let item = |key: &[u8], value: &[u8]| {
            let mut item = vec![ITEM, 0, 0];
            item.extend_from_slice(&1u64.to_le_bytes());
            item.extend_from_slice(&(key.len() as u16).to_le_bytes());
            item.extend_from_slice(&(value.len() as u32).to_le_bytes());
            item.extend_from_slice(&(value.len() as u32).to_le_bytes());
            item.extend_from_slice(key);
            item.extend_from_slice(value);
            item
        };
        let entries = [item(b"key", value), item(COMMIT_KEY, &commit.encode())].concat();
        let mut bytes = vec![START, 2, 0, 0, 0];
        bytes.extend_from_slice(&commit.sequence_min.to_le_bytes());
        bytes.extend_from_slice(&entries);
        bytes.push(END);
        bytes.extend_from_slice(&xxh3_64(&entries).to_le_bytes());
        bytes.extend_from_slice(&MAGIC);
        bytes
    }

    fn commit(number: u64) -> CommitRow {
        CommitRow {
            number,
            previous: number - 1,
            synced: number - 1,
            sequence_min: 10 * number,
            ..CommitRow::default()
        }
    }

    proptest! {
        #[test]
        fn a_batch_is_whole_or_it_is_none(
            value in vec(any::<u8>(), 0..3000),
            position in any::<prop::sample::Index>(),
            flip in 1u8..,
        ) {
            let whole = batch(commit(7), &value);
            let mut rest = &whole[..];
            prop_assert_eq!(split_batch(&mut rest).map(|batch| batch.commit), Some(commit(7)));
            prop_assert_eq!(rest.len(), 0);
            let position = position.index(whole.len());
            prop_assert_eq!(split_batch(&mut &whole[..position]), None);
            let mut flipped = whole.clone();
            flipped[position] ^= flip;
            // fjall's own number is not in its checksum; a little more than it was does no harm.
            if let Some(batch) = split_batch(&mut &flipped[..]) {
                prop_assert!((5..13).contains(&position) && batch.sequence > 70);
            }
        }

        #[test]
        fn a_whole_batch_is_found_behind_a_broken_one(
            value in vec(any::<u8>(), 0..3000),
            garbage in vec(any::<u8>(), 0..3000),
        ) {
            let bytes = [garbage, batch(commit(9), &value)].concat();
            prop_assert_eq!(newest_synced(&bytes), 8);
        }

        #[test]
        fn random_bytes_never_panic(mut bytes in vec(0u8..6, 0..500)) {
            prop_assert_eq!(newest_synced(&bytes), 0);
            bytes.insert(0, START);
            prop_assert_eq!(split_batch(&mut &bytes[..]), None);
        }
    }
}

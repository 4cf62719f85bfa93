//! Looks over the embedded store's journals before it opens them.
//!
//! fjall ends its recovery of a journal at the first thing in it that it cannot read, and cuts the rest off. That
//! is right for what was being written at a crash, and wrong for a synced part that went bad. So the journals
//! are read here first, without changing them: batch by batch with their checksums, and with the chain of commit
//! numbers that runs through all of them. Whoever opens the store compares the end of the chain with the
//! high-water mark, and only then lets [`Tail::cut`] remove what was never durable.
//!
//! This file knows fjall's on-disk format 3 (its `version` file is checked), and nothing else of it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::layout::{COMMIT_KEY, CommitRow};

/// The content of fjall's `version` file, and the end of each of its batches.
pub const MAGIC: [u8; 4] = *b"FJL\x03";

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;

/// What the journals of a database hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Journals {
    /// The newest whole commit; `None` if the journals hold none.
    pub last_commit: Option<u64>,
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

/// Reads all journals in `database`.
pub fn inspect(database: &Path) -> Result<Journals, JournalError> {
    let mut journals = Journals {
        last_commit: None,
        tail: None,
    };
    let paths = paths(database)?;
    for (index, path) in paths.iter().enumerate() {
        let mut walk = Walk::open(path)?;
        walk.last_commit = journals.last_commit;
        while walk.next_batch()? {}
        journals.last_commit = walk.last_commit;
        let is_torn = walk.has_rest()?;
        if index + 1 < paths.len() {
            // A journal is synced as a whole before the next one is begun.
            if is_torn {
                return Err(JournalError::Damaged(format!(
                    "the journal {} cannot be read past byte {}",
                    path.display(),
                    walk.whole_bytes
                )));
            }
        } else {
            journals.tail = Some(Tail {
                path: path.clone(),
                whole_bytes: walk.whole_bytes,
                is_torn,
            });
        }
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
    for entry in std::fs::read_dir(database)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
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

/// One journal, read batch by batch.
struct Walk {
    reader: BufReader<File>,
    file_bytes: u64,
    position: u64,
    whole_bytes: u64,
    last_commit: Option<u64>,
    buffer: Vec<u8>,
}

/// What stands where a batch, or a part of one, should be.
enum Stop {
    /// Not that: the journal ends here.
    NotABatch,
    Io(io::Error),
}

impl Walk {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self {
            file_bytes: file.metadata()?.len(),
            reader: BufReader::with_capacity(256 * 1024, file),
            position: 0,
            whole_bytes: 0,
            last_commit: None,
            buffer: Vec::new(),
        })
    }

    /// False at the end of what can be read.
    fn next_batch(&mut self) -> Result<bool, JournalError> {
        let commit = match self.batch() {
            Ok(commit) => commit,
            Err(Stop::NotABatch) => return Ok(false),
            Err(Stop::Io(error)) => return Err(error.into()),
        };
        if let Some(last) = self.last_commit
            && last != commit.previous
        {
            return Err(JournalError::Damaged(format!(
                "in its journals, commit {} follows commit {last} instead of {}",
                commit.number, commit.previous
            )));
        }
        self.last_commit = Some(commit.number);
        self.whole_bytes = self.position;
        Ok(true)
    }

    fn batch(&mut self) -> Result<CommitRow, Stop> {
        let start = self.take(13)?;
        if start[0] != START {
            return Err(Stop::NotABatch);
        }
        let items = u32::from_le_bytes(start[1..5].try_into().expect("4 bytes"));
        let mut hasher = Xxh3::new();
        let mut commit = None;
        for _ in 0..items {
            commit = self.item(&mut hasher)?;
        }
        let end = self.take(13)?;
        let checksum = u64::from_le_bytes(end[1..9].try_into().expect("8 bytes"));
        if end[0] != END || end[9..] != MAGIC || checksum != hasher.digest() {
            return Err(Stop::NotABatch);
        }
        commit.ok_or(Stop::NotABatch)
    }

    /// Gives the commit row, if the item is that.
    fn item(&mut self, hasher: &mut Xxh3) -> Result<Option<CommitRow>, Stop> {
        let tag = self.take(1)?[0];
        hasher.update(&[tag]);
        if tag == CLEAR {
            let keyspace = self.take(8)?;
            hasher.update(keyspace);
            return Ok(None);
        }
        if tag != ITEM {
            return Err(Stop::NotABatch);
        }
        let head = self.take(20)?;
        hasher.update(head);
        let key_bytes = u16::from_le_bytes(head[10..12].try_into().expect("2 bytes")) as usize;
        let value_bytes = u32::from_le_bytes(head[16..20].try_into().expect("4 bytes")) as usize;
        let entry = self.take(key_bytes + value_bytes)?;
        hasher.update(entry);
        let (key, value) = entry.split_at(key_bytes);
        if key != COMMIT_KEY {
            return Ok(None);
        }
        CommitRow::decode(value)
            .map(Some)
            .map_err(|_| Stop::NotABatch)
    }

    /// The next bytes. A length that goes past the end of the file allocates nothing.
    fn take(&mut self, bytes: usize) -> Result<&[u8], Stop> {
        if self.file_bytes - self.position < bytes as u64 {
            return Err(Stop::NotABatch);
        }
        self.buffer.resize(bytes, 0);
        self.reader.read_exact(&mut self.buffer).map_err(Stop::Io)?;
        self.position += bytes as u64;
        Ok(&self.buffer)
    }

    /// Whether anything but zeros follows the last whole batch.
    fn has_rest(&mut self) -> io::Result<bool> {
        self.reader.seek(SeekFrom::Start(self.whole_bytes))?;
        self.buffer.resize(64 * 1024, 0);
        loop {
            let bytes = self.reader.read(&mut self.buffer)?;
            if bytes == 0 {
                return Ok(false);
            }
            if self.buffer[..bytes].iter().any(|byte| *byte != 0) {
                return Ok(true);
            }
        }
    }
}

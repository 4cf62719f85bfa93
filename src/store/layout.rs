//! Keys and values of the embedded store, as bytes.
//!
//! | key | value |
//! |---|---|
//! | `0 "commit"` | [`CommitRow`], the last entry of every batch |
//! | `0 "instance"` | [`InstanceRow`] |
//! | `1` tenant, 0, name in the tenant | [`DocumentRow`] |
//! | `2` number, first revision, piece | a row of operations: see `operations` |
//! | `3` number, generation, piece | a snapshot |
//! | `4` time of deletion, number | the name of a deleted document |
//! | `5` number | [`RemovalRow`]: what is to be removed of what belongs to that number |
//! | `6` number, name | a version: see `versions` |
//! | `0 "notices"` | the number of the next notice |
//! | `7` number of a notice | see `notices` |
//! | `8` name | what is known of a document beside its notices |
//!
//! A document has a number, and each of its lives another one: what is left of an earlier life is never in the way.
//!
//! The last three are an outbox: they belong to no document, may stay when it has gone, and are there only if somebody was
//! to be told. A relay that does not know them leaves them as they are, so they have not changed the format. A copy of the
//! directory has them, and what is told once more after it was put back is known by its id.
//!
//! Numbers are big-endian, so that keys stand in the order of revisions and pieces. A value that can be long is
//! split into pieces of [`PIECE_BYTES_MAX`], so that every 4 KiB page of the journal holds the head of an entry
//! and a page that was never written is seen for what it is.

use std::ops::{Bound, Range};
use std::sync::Arc;

use bytes::{Buf, BufMut};

use crate::auth;
use crate::config::Durability;

/// The format of all that is described here. A directory with a later one is not opened.
pub const FORMAT: u64 = 3;
/// The one before: it had no versions, and records without times. What it has written is read as it is.
pub const FORMAT_BEFORE: u64 = 2;

pub const PIECE_BYTES_MAX: usize = 2048;

pub const COMMIT_KEY: &[u8] = b"\0commit";
pub const INSTANCE_KEY: &[u8] = b"\0instance";
pub const NOTICE_NEXT_KEY: &[u8] = b"\0notices";

const DOCUMENT: u8 = 1;
const OPERATIONS: u8 = 2;
const SNAPSHOT: u8 = 3;
const DELETED: u8 = 4;
const REMOVAL: u8 = 5;
const VERSION: u8 = 6;
const NOTICE: u8 = 7;
const STANDING: u8 = 8;

/// A stored value is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stored {row} is damaged")]
pub struct LayoutError {
    pub row: &'static str,
}

/// One commit among all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CommitRow {
    /// Rises by one; the first is 1.
    pub number: u64,
    /// The number of the commit before it in the journal, 0 for the first of all. Its absence there is a loss.
    pub previous: u64,
    /// The newest commit that was synced when this one was written.
    pub synced: u64,
    /// fjall's own number of the batch is not lower.
    pub sequence_min: u64,
    /// The number of the next document to be made.
    pub document_next: u64,
    /// The generation of the next snapshot to be written.
    pub generation_next: u64,
}

impl CommitRow {
    pub fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(48);
        out.put_u64(self.number);
        out.put_u64(self.previous);
        out.put_u64(self.synced);
        out.put_u64(self.sequence_min);
        out.put_u64(self.document_next);
        out.put_u64(self.generation_next);
        out
    }

    pub fn decode(mut bytes: &[u8]) -> Result<Self, LayoutError> {
        expect_length("commit row", bytes, 48)?;
        Ok(Self {
            number: bytes.get_u64(),
            previous: bytes.get_u64(),
            synced: bytes.get_u64(),
            sequence_min: bytes.get_u64(),
            document_next: bytes.get_u64(),
            generation_next: bytes.get_u64(),
        })
    }
}

/// What this directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceRow {
    pub epoch: u64,
    pub identity_key: [u8; 32],
    pub durability: Durability,
    pub last_run: LastRun,
}

/// How the last run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastRun {
    /// It goes on, or there was a crash.
    Unfinished,
    Stopped,
    /// There was none: what is here was copied from another store, where clients may know newer revisions.
    Copied,
}

impl InstanceRow {
    pub fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(42);
        out.put_u64(self.epoch);
        out.put_slice(&self.identity_key);
        out.put_u8(match self.durability {
            Durability::Always => 0,
            Durability::Interval => 1,
            Durability::Never => 2,
        });
        out.put_u8(match self.last_run {
            LastRun::Unfinished => 0,
            LastRun::Stopped => 1,
            LastRun::Copied => 2,
        });
        out
    }

    pub fn decode(mut bytes: &[u8]) -> Result<Self, LayoutError> {
        const ROW: &str = "instance row";
        expect_length(ROW, bytes, 42)?;
        let epoch = bytes.get_u64();
        let mut identity_key = [0; 32];
        bytes.copy_to_slice(&mut identity_key);
        let durability = match bytes.get_u8() {
            0 => Durability::Always,
            1 => Durability::Interval,
            2 => Durability::Never,
            _ => return Err(LayoutError { row: ROW }),
        };
        let last_run = match bytes.get_u8() {
            0 => LastRun::Unfinished,
            1 => LastRun::Stopped,
            2 => LastRun::Copied,
            _ => return Err(LayoutError { row: ROW }),
        };
        Ok(Self {
            epoch,
            identity_key,
            durability,
            last_run,
        })
    }
}

/// A document by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentRow {
    /// Stands for the name in all other keys.
    pub number: u64,
    pub life: Life,
    pub kind: Arc<str>,
    /// Where this life of the document began.
    pub first_revision: u64,
    /// The oldest revision that is kept; one more than the newest if none is.
    pub history_from_revision: u64,
    /// The bytes of all records of this life when this row was written.
    pub operation_bytes: u64,
    /// How many of them are not kept.
    pub compacted_bytes: u64,
    /// The newest whole one.
    pub snapshot: Option<SnapshotPlace>,
}

/// Whether a document is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Live,
    Deleted {
        at_ms: u64,
    },
    /// Nothing belongs to its number any more, and its history begins with the next life.
    Gone,
}

/// A snapshot, and where its pieces are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotPlace {
    pub revision: u64,
    /// A later snapshot has a higher one.
    pub generation: u64,
    pub bytes: u64,
}

impl DocumentRow {
    /// A life of a document in which nothing has happened.
    pub fn begin(number: u64, kind: &Arc<str>, first_revision: u64) -> Self {
        Self {
            number,
            life: Life::Live,
            kind: Arc::clone(kind),
            first_revision,
            history_from_revision: first_revision,
            operation_bytes: 0,
            compacted_bytes: 0,
            snapshot: None,
        }
    }

    /// What is left of a document.
    pub fn gone(number: u64, next_revision: u64) -> Self {
        Self {
            life: Life::Gone,
            ..Self::begin(number, &"".into(), next_revision)
        }
    }

    /// The bytes of the snapshot and of all records that are kept, when this row was written.
    pub fn stored_bytes(&self) -> u64 {
        let snapshot_bytes = self.snapshot.map_or(0, |snapshot| snapshot.bytes);
        (self.operation_bytes - self.compacted_bytes).saturating_add(snapshot_bytes)
    }

    pub fn encode(&self) -> Vec<u8> {
        let (life, deleted_at_ms) = match self.life {
            Life::Live => (0, 0),
            Life::Deleted { at_ms } => (1, at_ms),
            Life::Gone => (2, 0),
        };
        let snapshot = self.snapshot.unwrap_or(SnapshotPlace {
            revision: 0,
            generation: 0,
            bytes: 0,
        });
        let mut out = Vec::with_capacity(DOCUMENT_HEAD_BYTES + self.kind.len());
        out.put_u8(life);
        out.put_u8(u8::from(self.snapshot.is_some()));
        for number in [
            deleted_at_ms,
            self.number,
            self.first_revision,
            self.history_from_revision,
            self.operation_bytes,
            self.compacted_bytes,
            snapshot.revision,
            snapshot.generation,
            snapshot.bytes,
        ] {
            out.put_u64(number);
        }
        out.put_slice(self.kind.as_bytes());
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, LayoutError> {
        let error = LayoutError {
            row: "document row",
        };
        let (mut head, kind) = bytes.split_at_checked(DOCUMENT_HEAD_BYTES).ok_or(error)?;
        let (life, has_snapshot) = (head.get_u8(), head.get_u8() != 0);
        let deleted_at_ms = head.get_u64();
        let life = match life {
            0 => Life::Live,
            1 => Life::Deleted {
                at_ms: deleted_at_ms,
            },
            2 => Life::Gone,
            _ => return Err(error),
        };
        let row = Self {
            life,
            number: head.get_u64(),
            first_revision: head.get_u64(),
            history_from_revision: head.get_u64(),
            operation_bytes: head.get_u64(),
            compacted_bytes: head.get_u64(),
            snapshot: Some(SnapshotPlace {
                revision: head.get_u64(),
                generation: head.get_u64(),
                bytes: head.get_u64(),
            })
            .filter(|_| has_snapshot),
            kind: std::str::from_utf8(kind).map_err(|_| error)?.into(),
        };
        let is_sound = 1 <= row.first_revision
            && row.first_revision <= row.history_from_revision
            && row.compacted_bytes <= row.operation_bytes;
        if is_sound { Ok(row) } else { Err(error) }
    }
}

const DOCUMENT_HEAD_BYTES: usize = 2 + 9 * 8;

/// What is to be removed of what belongs to one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemovalRow {
    /// Rows of operations that end before this revision.
    pub operations_below: u64,
    /// Snapshots of generations before this one.
    pub generations_below: u64,
}

impl RemovalRow {
    pub const EVERYTHING: Self = Self {
        operations_below: u64::MAX,
        generations_below: u64::MAX,
    };

    pub fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16);
        out.put_u64(self.operations_below);
        out.put_u64(self.generations_below);
        out
    }

    pub fn decode(mut bytes: &[u8]) -> Result<Self, LayoutError> {
        expect_length("removal row", bytes, 16)?;
        Ok(Self {
            operations_below: bytes.get_u64(),
            generations_below: bytes.get_u64(),
        })
    }
}

/// `name` is a global id.
pub fn document_key(name: &str) -> Vec<u8> {
    let (tenant, document) = auth::split_global_id(name);
    document_prefix(tenant, document)
}

/// What the keys of all of a tenant's documents begin with whose names begin with `prefix`.
fn document_prefix(tenant: &str, prefix: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(2 + tenant.len() + prefix.len());
    key.push(DOCUMENT);
    key.extend_from_slice(tenant.as_bytes());
    // In no name: so one tenant's documents stand together.
    key.push(0);
    key.extend_from_slice(prefix.as_bytes());
    key
}

/// The keys of a tenant's documents whose names begin with `prefix`, behind that of `after`.
pub fn document_range(
    tenant: &str,
    prefix: &str,
    after: Option<&str>,
) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let start = document_prefix(tenant, prefix);
    let mut end = start.clone();
    // The last byte is 0 or one of UTF-8's, which 255 is not.
    *end.last_mut().expect("it has two bytes at least") += 1;
    let after = after.map(document_key).filter(|after| *after >= start);
    // Never past the end, or it would be no range.
    let start = match after {
        Some(after) if after < end => Bound::Excluded(after),
        Some(_) => Bound::Included(end.clone()),
        None => Bound::Included(start),
    };
    (start, Bound::Excluded(end))
}

/// The tenant and the name in the tenant of a document, from its key.
pub fn split_document_key(key: &[u8]) -> Result<(&str, &str), LayoutError> {
    let error = LayoutError {
        row: "document key",
    };
    let text = std::str::from_utf8(key).map_err(|_| error)?;
    let names = text.strip_prefix(char::from(DOCUMENT)).ok_or(error)?;
    names.split_once('\0').ok_or(error)
}

/// The keys of all documents.
pub fn all_documents() -> Range<[u8; 1]> {
    [DOCUMENT]..[DOCUMENT + 1]
}

/// The keys of all documents behind that of `after`.
pub fn all_documents_after(after: Option<&str>) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let start = match after {
        Some(after) => Bound::Excluded(document_key(after)),
        None => Bound::Included(vec![DOCUMENT]),
    };
    (start, Bound::Excluded(vec![DOCUMENT + 1]))
}

pub fn operations_key(document: u64, first_revision: u64, piece: u32) -> [u8; 21] {
    piece_key(OPERATIONS, document, first_revision, piece)
}

pub fn snapshot_key(document: u64, generation: u64, piece: u32) -> [u8; 21] {
    piece_key(SNAPSHOT, document, generation, piece)
}

pub fn deleted_key(at_ms: u64, document: u64) -> [u8; 17] {
    let mut key = [DELETED; 17];
    key[1..9].copy_from_slice(&at_ms.to_be_bytes());
    key[9..].copy_from_slice(&document.to_be_bytes());
    key
}

/// (time of deletion, number) of a key that [`deleted_key`] made.
pub fn split_deleted_key(key: &[u8]) -> Result<(u64, u64), LayoutError> {
    expect_length("key", key, 17)?;
    let mut rest = &key[1..];
    Ok((rest.get_u64(), rest.get_u64()))
}

pub fn removal_key(document: u64) -> [u8; 9] {
    let mut key = [REMOVAL; 9];
    key[1..].copy_from_slice(&document.to_be_bytes());
    key
}

/// The number in a key that [`removal_key`] made.
pub fn split_removal_key(key: &[u8]) -> Result<u64, LayoutError> {
    expect_length("key", key, 9)?;
    Ok((&key[1..]).get_u64())
}

/// The keys of all that is to be removed.
pub fn all_removals() -> Range<[u8; 1]> {
    [REMOVAL]..[REMOVAL + 1]
}

pub fn version_key(document: u64, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(9 + name.len());
    key.push(VERSION);
    key.extend_from_slice(&document.to_be_bytes());
    key.extend_from_slice(name.as_bytes());
    key
}

/// (document, name) of a key that [`version_key`] made.
pub fn split_version_key(key: &[u8]) -> Result<(u64, Arc<str>), LayoutError> {
    let error = LayoutError { row: "version key" };
    let (mut head, name) = key.split_at_checked(9).ok_or(error)?;
    head.advance(1);
    let name = std::str::from_utf8(name).map_err(|_| error)?;
    Ok((head.get_u64(), name.into()))
}

pub fn notice_key(sequence: u64) -> [u8; 9] {
    let mut key = [NOTICE; 9];
    key[1..].copy_from_slice(&sequence.to_be_bytes());
    key
}

/// The number in a key that [`notice_key`] made.
pub fn split_notice_key(key: &[u8]) -> Result<u64, LayoutError> {
    expect_length("key", key, 9)?;
    Ok((&key[1..]).get_u64())
}

/// The keys of all notices.
pub fn all_notices() -> Range<[u8; 1]> {
    [NOTICE]..[NOTICE + 1]
}

/// `name` is a global id.
pub fn standing_key(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + name.len());
    key.push(STANDING);
    key.extend_from_slice(name.as_bytes());
    key
}

/// The name in a key that [`standing_key`] made.
pub fn split_standing_key(key: &[u8]) -> Result<&str, LayoutError> {
    let error = LayoutError { row: "key" };
    let (_, name) = key.split_first().ok_or(error)?;
    std::str::from_utf8(name).map_err(|_| error)
}

/// The keys of what is known of documents beside their notices.
pub fn all_standings() -> Range<[u8; 1]> {
    [STANDING]..[STANDING + 1]
}

fn piece_key(kind: u8, document: u64, position: u64, piece: u32) -> [u8; 21] {
    let mut key = [kind; 21];
    key[1..9].copy_from_slice(&document.to_be_bytes());
    key[9..17].copy_from_slice(&position.to_be_bytes());
    key[17..].copy_from_slice(&piece.to_be_bytes());
    key
}

/// Rows that stand under a first byte of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    Operations,
    Snapshot,
    Deleted,
    Version,
}

impl RowKind {
    /// Those whose keys begin with the number of a document.
    pub const NUMBERED: [Self; 3] = [Self::Operations, Self::Snapshot, Self::Version];

    fn byte(self) -> u8 {
        match self {
            Self::Operations => OPERATIONS,
            Self::Snapshot => SNAPSHOT,
            Self::Deleted => DELETED,
            Self::Version => VERSION,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Operations => "pieces of operations",
            Self::Snapshot => "pieces of snapshots",
            Self::Deleted => "deletions",
            Self::Version => "versions",
        }
    }

    pub fn keys(self) -> Range<[u8; 1]> {
        [self.byte()]..[self.byte() + 1]
    }

    /// All keys that begin with a number.
    pub fn keys_of(self, number: u64) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        let start = |number: u64| [&[self.byte()][..], &number.to_be_bytes()].concat();
        let end = match number.checked_add(1) {
            Some(next) => start(next),
            None => vec![self.byte() + 1],
        };
        (Bound::Included(start(number)), Bound::Excluded(end))
    }
}

/// The number in a key of [`RowKind::NUMBERED`].
pub fn number_of_key(key: &[u8]) -> Result<u64, LayoutError> {
    let number = key.get(1..9).and_then(|number| number.first_chunk());
    let number = number.ok_or(LayoutError { row: "key" })?;
    Ok(u64::from_be_bytes(*number))
}

/// From one key to another.
pub type KeyRange = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// Where there are no keys but those of the whole store's rows.
pub fn no_keys() -> [KeyRange; 2] {
    [
        (Bound::Unbounded, Bound::Excluded(vec![DOCUMENT])),
        (Bound::Included(vec![STANDING + 1]), Bound::Unbounded),
    ]
}

/// (first revision or generation, piece) of a key that [`operations_key`] or [`snapshot_key`] made.
pub fn split_piece_key(key: &[u8]) -> Result<(u64, u32), LayoutError> {
    expect_length("key", key, 21)?;
    let mut rest = &key[9..];
    Ok((rest.get_u64(), rest.get_u32()))
}

pub fn expect_length(row: &'static str, bytes: &[u8], length: usize) -> Result<(), LayoutError> {
    if bytes.len() == length {
        Ok(())
    } else {
        Err(LayoutError { row })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stand_in_the_order_of_their_numbers() {
        let keys = [
            operations_key(1, 255, 7),
            operations_key(1, 256, 0),
            operations_key(1, 256, 1),
            operations_key(2, 0, 0),
            snapshot_key(1, 0, 0),
        ];
        assert!(keys.is_sorted());
        assert_eq!(split_piece_key(&keys[2]), Ok((256, 1)));
    }
}

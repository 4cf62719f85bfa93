//! Keys and values of the embedded store, as bytes.
//!
//! | key | value |
//! |---|---|
//! | `0 "commit"` | [`CommitRow`], the last entry of every batch |
//! | `0 "instance"` | [`InstanceRow`] |
//! | `1` name | [`DocumentRow`] |
//! | `2` number, first revision, piece | a row of operations: length, count, then frames of (count, length, record) |
//! | `3` number | [`SnapshotRow`] |
//! | `4` number, generation, piece | a snapshot |
//!
//! Numbers are big-endian, so that keys stand in the order of revisions and pieces. A value that can be long is
//! split into pieces of [`PIECE_BYTES_MAX`], so that every 4 KiB page of the journal holds the head of an entry
//! and a page that was never written is seen for what it is.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};

use crate::config::Durability;

/// The format of all that is described here. A directory with another one is not opened.
pub const FORMAT: u64 = 1;

pub const PIECE_BYTES_MAX: usize = 2048;

/// Where a document's operations in one commit go on in a second row, so that a page of history can be read
/// without most of a huge row.
pub const ROW_BYTES_MAX: usize = 256 * 1024;

pub const COMMIT_KEY: &[u8] = b"\0commit";
pub const INSTANCE_KEY: &[u8] = b"\0instance";

const DOCUMENT: u8 = 1;
const OPERATIONS: u8 = 2;
const SNAPSHOT: u8 = 3;
const SNAPSHOT_PIECE: u8 = 4;

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

/// What this directory is, and how its last run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceRow {
    pub epoch: u64,
    pub identity_key: [u8; 32],
    pub durability: Durability,
    /// False from start to stop.
    pub stopped_cleanly: bool,
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
        out.put_u8(u8::from(self.stopped_cleanly));
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
        Ok(Self {
            epoch,
            identity_key,
            durability,
            stopped_cleanly: bytes.get_u8() != 0,
        })
    }
}

/// A document by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentRow {
    /// Stands for the name in all other keys.
    pub number: u64,
    pub kind: Arc<str>,
}

impl DocumentRow {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.number.to_be_bytes().to_vec();
        out.put_slice(self.kind.as_bytes());
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, LayoutError> {
        let error = LayoutError {
            row: "document row",
        };
        let (number, kind) = bytes.split_first_chunk().ok_or(error)?;
        Ok(Self {
            number: u64::from_be_bytes(*number),
            kind: std::str::from_utf8(kind).map_err(|_| error)?.into(),
        })
    }
}

/// Which snapshot of a document is the newest whole one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotRow {
    pub revision: u64,
    /// Where its pieces are. A later snapshot has a higher one.
    pub generation: u64,
    pub bytes: u64,
}

impl SnapshotRow {
    pub fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24);
        out.put_u64(self.revision);
        out.put_u64(self.generation);
        out.put_u64(self.bytes);
        out
    }

    pub fn decode(mut bytes: &[u8]) -> Result<Self, LayoutError> {
        expect_length("snapshot row", bytes, 24)?;
        Ok(Self {
            revision: bytes.get_u64(),
            generation: bytes.get_u64(),
            bytes: bytes.get_u64(),
        })
    }
}

pub fn document_key(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + name.len());
    key.push(DOCUMENT);
    key.extend_from_slice(name.as_bytes());
    key
}

pub fn operations_key(document: u64, first_revision: u64, piece: u32) -> [u8; 21] {
    piece_key(OPERATIONS, document, first_revision, piece)
}

pub fn snapshot_key(document: u64) -> [u8; 9] {
    let mut key = [SNAPSHOT; 9];
    key[1..].copy_from_slice(&document.to_be_bytes());
    key
}

pub fn snapshot_piece_key(document: u64, generation: u64, piece: u32) -> [u8; 21] {
    piece_key(SNAPSHOT_PIECE, document, generation, piece)
}

fn piece_key(kind: u8, document: u64, position: u64, piece: u32) -> [u8; 21] {
    let mut key = [kind; 21];
    key[1..9].copy_from_slice(&document.to_be_bytes());
    key[9..17].copy_from_slice(&position.to_be_bytes());
    key[17..].copy_from_slice(&piece.to_be_bytes());
    key
}

/// (first revision or generation, piece) of a key that [`operations_key`] or [`snapshot_piece_key`] made.
pub fn split_piece_key(key: &[u8]) -> Result<(u64, u32), LayoutError> {
    expect_length("key", key, 21)?;
    let mut rest = &key[9..];
    Ok((rest.get_u64(), rest.get_u32()))
}

/// One row of operations while it is put together.
#[derive(Debug)]
pub struct OperationsRow {
    pub first_revision: u64,
    count: u32,
    bytes: Vec<u8>,
}

const ROW_HEAD_BYTES: usize = 8;
const FRAME_HEAD_BYTES: usize = 8;

impl OperationsRow {
    pub fn new(first_revision: u64) -> Self {
        Self {
            first_revision,
            count: 0,
            bytes: vec![0; ROW_HEAD_BYTES],
        }
    }

    /// Whether a record should go into a next row.
    pub fn is_full_for(&self, record: &[u8]) -> bool {
        self.count > 0 && self.bytes.len() + FRAME_HEAD_BYTES + record.len() > ROW_BYTES_MAX
    }

    pub fn push(&mut self, count: u32, record: &[u8]) {
        self.count += count;
        self.bytes.put_u32(count);
        self.bytes.put_u32(length_u32(record.len()));
        self.bytes.put_slice(record);
    }

    /// The whole value, to be split into pieces.
    pub fn finish(mut self) -> Vec<u8> {
        let length = length_u32(self.bytes.len());
        self.bytes[..4].copy_from_slice(&length.to_be_bytes());
        self.bytes[4..8].copy_from_slice(&self.count.to_be_bytes());
        self.bytes
    }
}

fn length_u32(length: usize) -> u32 {
    u32::try_from(length).expect("what one commit carries is far below 4 GiB")
}

/// (bytes, operations) of a whole row, from its first piece.
pub fn row_head(first_piece: &[u8]) -> Result<(usize, u32), LayoutError> {
    let mut head = first_piece
        .get(..ROW_HEAD_BYTES)
        .ok_or(LayoutError { row: "row" })?;
    Ok((head.get_u32() as usize, head.get_u32()))
}

/// A record in its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub first_revision: u64,
    pub last_revision: u64,
    pub record: Bytes,
}

/// The records of a whole row, which are slices of it.
pub fn frames(first_revision: u64, mut row: Bytes) -> Result<Vec<Frame>, LayoutError> {
    let error = LayoutError {
        row: "row of operations",
    };
    let mut frames = Vec::new();
    let mut next_revision = first_revision;
    if row.len() < ROW_HEAD_BYTES {
        return Err(error);
    }
    row.advance(ROW_HEAD_BYTES);
    while !row.is_empty() {
        if row.len() < FRAME_HEAD_BYTES {
            return Err(error);
        }
        let (count, length) = (row.get_u32(), row.get_u32() as usize);
        if count == 0 || row.len() < length {
            return Err(error);
        }
        let end = next_revision.checked_add(count.into()).ok_or(error)?;
        frames.push(Frame {
            first_revision: next_revision,
            last_revision: end - 1,
            record: row.split_to(length),
        });
        next_revision = end;
    }
    Ok(frames)
}

fn expect_length(row: &'static str, bytes: &[u8], length: usize) -> Result<(), LayoutError> {
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
    fn rows_come_back_frame_by_frame() {
        let mut row = OperationsRow::new(5);
        row.push(2, b"two");
        row.push(1, b"");
        row.push(3, b"three");
        let bytes = Bytes::from(row.finish());
        assert_eq!(row_head(&bytes), Ok((bytes.len(), 6)));
        let found: Vec<_> = frames(5, bytes.clone())
            .unwrap()
            .into_iter()
            .map(|frame| (frame.first_revision, frame.last_revision, frame.record))
            .collect();
        let expected = [(5, 6, "two"), (7, 7, ""), (8, 10, "three")];
        assert_eq!(found, expected.map(|(a, b, r)| (a, b, Bytes::from(r))));
        for end in 0..bytes.len() {
            // A row that was cut short is damaged, or whole frames of it are left.
            if let Ok(left) = frames(5, bytes.slice(..end)) {
                assert!(left.len() < 3);
            }
        }
    }

    #[test]
    fn keys_stand_in_the_order_of_their_numbers() {
        let keys = [
            operations_key(1, 255, 7),
            operations_key(1, 256, 0),
            operations_key(1, 256, 1),
            operations_key(2, 0, 0),
            snapshot_piece_key(1, 0, 0),
        ];
        assert!(keys.is_sorted());
        assert_eq!(split_piece_key(&keys[2]), Ok((256, 1)));
    }
}

//! Rows of operations: all of a document's records in one commit, or as many of them as go into one row.
//!
//! A row is a [`RowHead`], then frames of (count, length, record), and stands in the store in pieces.

use bytes::{Buf, BufMut, Bytes};
use fjall::{Keyspace, OwnedWriteBatch};
use rustc_hash::FxHashMap;

use super::layout::{LayoutError, PIECE_BYTES_MAX, operations_key};

/// Where a document's operations in one commit go on in a second row, so that a page of history can be read
/// without most of a huge row.
pub const ROW_BYTES_MAX: usize = 256 * 1024;

const ROW_HEAD_BYTES: usize = 16;
const FRAME_HEAD_BYTES: usize = 8;

/// What a row of operations begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowHead {
    /// The bytes of the whole row, in all its pieces.
    pub bytes: usize,
    /// How many operations it has.
    pub count: u32,
    /// The bytes of all records of the document up to the last in this row.
    pub operation_bytes: u64,
}

impl RowHead {
    /// From the first piece of a row.
    pub fn decode(mut piece: &[u8]) -> Result<Self, LayoutError> {
        if piece.len() < ROW_HEAD_BYTES {
            return Err(LayoutError { row: "row" });
        }
        Ok(Self {
            bytes: piece.get_u32() as usize,
            count: piece.get_u32(),
            operation_bytes: piece.get_u64(),
        })
    }
}

/// Which revisions a row has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowPlace {
    pub first_revision: u64,
    /// One more than its last.
    pub next_revision: u64,
    /// As [`RowHead::operation_bytes`].
    pub operation_bytes: u64,
}

/// The rows of one commit, while they are put together.
#[derive(Default)]
pub struct OpenRows {
    rows: Vec<(u64, OperationsRow)>,
    /// Document number to the row that its next record goes into.
    newest: FxHashMap<u64, usize>,
}

impl OpenRows {
    /// Adds a record of a document. `operation_bytes` are those of the records before it.
    pub fn push(
        &mut self,
        document: u64,
        first_revision: u64,
        count: u32,
        record: &[u8],
        operation_bytes: u64,
    ) {
        let index = match self.newest.get(&document) {
            Some(&index) if !self.rows[index].1.is_full_for(record) => index,
            Some(_) | None => {
                let row = OperationsRow::new(first_revision, operation_bytes);
                self.rows.push((document, row));
                self.newest.insert(document, self.rows.len() - 1);
                self.rows.len() - 1
            }
        };
        self.rows[index].1.push(count, record);
    }

    /// The newest row of a document that begins before `revision`.
    pub fn row_before(&self, document: u64, revision: u64) -> Option<RowPlace> {
        self.newest.get(&document)?;
        let mut rows = self.rows.iter().rev();
        let (_, row) =
            rows.find(|(number, row)| *number == document && row.first_revision < revision)?;
        Some(RowPlace {
            first_revision: row.first_revision,
            next_revision: row.first_revision + u64::from(row.count),
            operation_bytes: row.operation_bytes,
        })
    }

    pub fn write(self, rows: &Keyspace, batch: &mut OwnedWriteBatch) {
        for (document, row) in self.rows {
            let first_revision = row.first_revision;
            for (piece, value) in (0..).zip(row.finish().chunks(PIECE_BYTES_MAX)) {
                batch.insert(rows, operations_key(document, first_revision, piece), value);
            }
        }
    }
}

/// One of them.
#[derive(Debug)]
struct OperationsRow {
    first_revision: u64,
    count: u32,
    operation_bytes: u64,
    bytes: Vec<u8>,
}

impl OperationsRow {
    /// `operation_bytes` are those of the records before it.
    fn new(first_revision: u64, operation_bytes: u64) -> Self {
        Self {
            first_revision,
            count: 0,
            operation_bytes,
            bytes: vec![0; ROW_HEAD_BYTES],
        }
    }

    /// Whether a record should go into a next row.
    fn is_full_for(&self, record: &[u8]) -> bool {
        self.count > 0 && self.bytes.len() + FRAME_HEAD_BYTES + record.len() > ROW_BYTES_MAX
    }

    fn push(&mut self, count: u32, record: &[u8]) {
        self.count += count;
        self.operation_bytes += record.len() as u64;
        self.bytes.put_u32(count);
        self.bytes.put_u32(length_u32(record.len()));
        self.bytes.put_slice(record);
    }

    /// The whole value, to be split into pieces.
    fn finish(mut self) -> Vec<u8> {
        let mut head = [0; ROW_HEAD_BYTES];
        let mut rest = &mut head[..];
        rest.put_u32(length_u32(self.bytes.len()));
        rest.put_u32(self.count);
        rest.put_u64(self.operation_bytes);
        self.bytes[..ROW_HEAD_BYTES].copy_from_slice(&head);
        self.bytes
    }
}

fn length_u32(length: usize) -> u32 {
    u32::try_from(length).expect("what one commit carries is far below 4 GiB")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_frame_by_frame() {
        let mut row = OperationsRow::new(5, 100);
        row.push(2, b"two");
        row.push(1, b"");
        row.push(3, b"three");
        let bytes = Bytes::from(row.finish());
        let head = RowHead {
            bytes: bytes.len(),
            count: 6,
            operation_bytes: 108,
        };
        assert_eq!(RowHead::decode(&bytes), Ok(head));
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
}

//! Reads documents from the embedded store, on any thread, beside the one that writes.

use std::ops::RangeInclusive;

use bytes::Bytes;
use fjall::{Guard, Iter, Keyspace, Readable, Snapshot};

use super::backend::Reader;
use super::layout::{
    self, DocumentRow, Frame, LayoutError, SnapshotRow, frames, operations_key, snapshot_key,
    snapshot_piece_key,
};
use super::{LoadedDocument, ReadError};

/// Reads what has been written, synced or not.
#[derive(Clone)]
pub struct FjallReader {
    pub(super) database: fjall::Database,
    pub(super) rows: Keyspace,
}

impl FjallReader {
    pub(super) fn document(&self, name: &str) -> Result<Option<DocumentRow>, ReadError> {
        let row = self.rows.get(layout::document_key(name))?;
        Ok(row.map(|row| DocumentRow::decode(&row)).transpose()?)
    }

    /// The revision that the document's next operation gets.
    pub(super) fn next_revision(&self, document: u64) -> Result<u64, ReadError> {
        let all = operations_key(document, 0, 0)..=operations_key(document, u64::MAX, u32::MAX);
        let Some(last) = self.rows.range(all).next_back() else {
            return Ok(1);
        };
        let (first_revision, _) = layout::split_piece_key(&last.key()?)?;
        let head = self.rows.get(operations_key(document, first_revision, 0))?;
        let (_, count) = layout::row_head(&head.unwrap_or_else(|| [].into()))?;
        Ok(first_revision + u64::from(count))
    }
}

impl Reader for FjallReader {
    fn load(&self, name: &str) -> Result<Option<LoadedDocument>, ReadError> {
        // One view for everything, or a snapshot could be replaced between its row and its pieces.
        let view = self.database.snapshot();
        let Some(row) = view.get(&self.rows, layout::document_key(name))? else {
            return Ok(None);
        };
        let document = DocumentRow::decode(&row)?;
        let snapshot = self.snapshot(&view, document.number)?;
        let from = snapshot.as_ref().map_or(0, |(revision, _)| *revision) + 1;
        let mut records = Vec::new();
        let mut expected = from;
        self.visit(&view, document.number, from..=u64::MAX, |frame| {
            if frame.first_revision > expected {
                return Err(ReadError {
                    reason: format!(
                        "{name:?} has revision {} where revision {expected} should be",
                        frame.first_revision
                    ),
                });
            }
            expected = frame.last_revision + 1;
            records.push(frame.record);
            Ok(true)
        })?;
        Ok(Some(LoadedDocument {
            kind: document.kind,
            snapshot,
            records,
        }))
    }

    fn read(
        &self,
        name: &str,
        from_revision: u64,
        to_revision: u64,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, ReadError> {
        let Some(document) = self.document(name)? else {
            return Ok(Vec::new());
        };
        let mut records = Vec::new();
        if from_revision > to_revision {
            return Ok(records);
        }
        let mut bytes = 0;
        let range = from_revision..=to_revision;
        self.visit(&self.database.snapshot(), document.number, range, |frame| {
            bytes += frame.record.len();
            records.push(frame.record);
            Ok(bytes < bytes_max)
        })?;
        Ok(records)
    }
}

impl FjallReader {
    fn snapshot(&self, view: &Snapshot, document: u64) -> Result<Option<(u64, Bytes)>, ReadError> {
        let Some(row) = view.get(&self.rows, snapshot_key(document))? else {
            return Ok(None);
        };
        let row = SnapshotRow::decode(&row)?;
        let pieces = snapshot_piece_key(document, row.generation, 0)
            ..=snapshot_piece_key(document, row.generation, u32::MAX);
        let mut bytes = Vec::new();
        for piece in view.range(&self.rows, pieces) {
            bytes.extend_from_slice(&piece.value()?);
        }
        if bytes.len() as u64 != row.bytes {
            return Err(LayoutError { row: "snapshot" }.into());
        }
        Ok(Some((row.revision, bytes.into())))
    }

    /// Shows the records that have revisions in `revisions`, in order, as long as `show` says to go on.
    fn visit(
        &self,
        view: &Snapshot,
        document: u64,
        revisions: RangeInclusive<u64>,
        mut show: impl FnMut(Frame) -> Result<bool, ReadError>,
    ) -> Result<(), ReadError> {
        // The first of them may stand in the middle of a row.
        let before =
            operations_key(document, 0, 0)..=operations_key(document, *revisions.start(), u32::MAX);
        let start = match view.range(&self.rows, before).next_back() {
            Some(guard) => layout::split_piece_key(&guard.key()?)?.0,
            None => 0,
        };
        let keys = operations_key(document, start, 0)
            ..=operations_key(document, *revisions.end(), u32::MAX);
        let rows = Rows {
            pieces: view.range(&self.rows, keys),
        };
        for row in rows {
            let (first_revision, row) = row?;
            for frame in frames(first_revision, row)? {
                if frame.first_revision > *revisions.end() {
                    return Ok(());
                }
                if frame.last_revision >= *revisions.start() && !show(frame)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Puts rows of operations together from their pieces.
struct Rows {
    pieces: Iter,
}

impl Iterator for Rows {
    type Item = Result<(u64, Bytes), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.pieces.next()?;
        Some(self.row(first))
    }
}

impl Rows {
    fn row(&mut self, first: Guard) -> Result<(u64, Bytes), ReadError> {
        let error = LayoutError {
            row: "row of operations",
        };
        let (key, value) = first.into_inner()?;
        let (first_revision, piece) = layout::split_piece_key(&key)?;
        if piece != 0 {
            return Err(error.into());
        }
        let (length, _) = layout::row_head(&value)?;
        let mut row = Vec::with_capacity(length.min(layout::ROW_BYTES_MAX));
        row.extend_from_slice(&value);
        for expected in 1.. {
            if row.len() >= length {
                break;
            }
            let (key, value) = self.pieces.next().ok_or(error)?.into_inner()?;
            if layout::split_piece_key(&key)? != (first_revision, expected) {
                return Err(error.into());
            }
            row.extend_from_slice(&value);
        }
        if row.len() == length {
            Ok((first_revision, row.into()))
        } else {
            Err(error.into())
        }
    }
}

impl From<fjall::Error> for ReadError {
    fn from(error: fjall::Error) -> Self {
        Self {
            reason: error.to_string(),
        }
    }
}

impl From<LayoutError> for ReadError {
    fn from(error: LayoutError) -> Self {
        Self {
            reason: error.to_string(),
        }
    }
}

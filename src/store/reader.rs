//! Reads documents from the embedded store, on any thread, beside the one that writes.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use fjall::{Guard, Iter, Keyspace, Readable, Snapshot};

use crate::auth;

use super::backend::Reader;
use super::error::{is_damage, words};
use super::layout::{
    self, DocumentRow, InstanceRow, LayoutError, Life, SnapshotPlace, operations_key, snapshot_key,
};
use super::operations::{Frame, ROW_BYTES_MAX, RowHead, RowPlace, frames};
use super::{
    DocumentList, History, HistoryError, HistoryRange, ListedDocument, Loaded, LoadedDocument,
    Page, ReadError, StoredVersion, TenantUsage,
};

/// The most rows that one part of a list looks at, with those of documents that are not live.
const LISTED_ROWS_MAX: usize = 10_000;

/// Reads what has been written, synced or not.
#[derive(Clone)]
pub struct FjallReader {
    pub(super) database: fjall::Database,
    pub(super) rows: Keyspace,
}

impl FjallReader {
    pub(super) fn document(
        &self,
        view: &Snapshot,
        name: &str,
    ) -> Result<Option<DocumentRow>, ReadError> {
        let row = view.get(&self.rows, layout::document_key(name))?;
        Ok(row.map(|row| DocumentRow::decode(&row)).transpose()?)
    }

    /// Adds to the document's bytes what was appended after its row was written. Returns the revision that its next
    /// operation gets.
    pub(super) fn bring_up_to_date(
        &self,
        view: &Snapshot,
        row: &mut DocumentRow,
    ) -> Result<u64, ReadError> {
        let newest = match row.life {
            Life::Live | Life::Deleted { .. } => self.row_before(view, row, u64::MAX)?,
            // What is left of it is not removed yet.
            Life::Gone => None,
        };
        Ok(match newest {
            Some(newest) => {
                row.operation_bytes = newest.operation_bytes;
                newest.next_revision
            }
            None => row.history_from_revision,
        })
    }

    /// The newest row of operations that is kept and begins before `revision`.
    pub(super) fn row_before(
        &self,
        view: &Snapshot,
        row: &DocumentRow,
        revision: u64,
    ) -> Result<Option<RowPlace>, ReadError> {
        // Never from the start: what has been removed there would be looked at one by one.
        let from = operations_key(row.number, row.history_from_revision, 0);
        let keys = from..operations_key(row.number, revision, 0).max(from);
        let Some(last) = view.range(&self.rows, keys).next_back() else {
            return Ok(None);
        };
        let (first_revision, _) = layout::split_piece_key(&last.key()?)?;
        let piece = view.get(&self.rows, operations_key(row.number, first_revision, 0))?;
        let head = RowHead::decode(&piece.unwrap_or_else(|| [].into()))?;
        Ok(Some(RowPlace {
            first_revision,
            next_revision: first_revision.saturating_add(head.count.into()),
            operation_bytes: head.operation_bytes,
        }))
    }

    /// What the store is.
    pub(super) fn instance(&self) -> Result<InstanceRow, ReadError> {
        let row = self.rows.get(layout::INSTANCE_KEY)?;
        let error = LayoutError {
            row: "instance row",
        };
        Ok(InstanceRow::decode(&row.ok_or(error)?)?)
    }

    /// What every tenant's live documents are together.
    pub(super) fn usage(&self) -> Result<Vec<TenantUsage>, ReadError> {
        let mut usage: Vec<TenantUsage> = Vec::new();
        for row in self.rows.range(layout::all_documents()) {
            let (key, value) = row.into_inner()?;
            let (tenant, _) = layout::split_document_key(&key)?;
            let row = DocumentRow::decode(&value)?;
            if row.life != Life::Live {
                continue;
            }
            if usage.last().is_none_or(|last| *last.tenant != *tenant) {
                usage.push(TenantUsage {
                    tenant: tenant.into(),
                    documents: 0,
                    bytes: 0,
                });
            }
            let of_tenant = usage.last_mut().expect("it has just been seen to");
            of_tenant.documents += 1;
            of_tenant.bytes += row.stored_bytes();
        }
        Ok(usage)
    }
}

impl Reader for FjallReader {
    fn load(&self, name: &str) -> Result<Loaded, ReadError> {
        // One view for everything, or a snapshot could be replaced between its row and its pieces.
        let view = self.database.snapshot();
        let Some(mut document) = self.document(&view, name)? else {
            return Ok(Loaded::Unknown);
        };
        match document.life {
            Life::Live => {}
            Life::Deleted { at_ms } => return Ok(Loaded::Deleted { at_ms }),
            Life::Gone => {
                return Ok(Loaded::Gone {
                    revision: document.history_from_revision - 1,
                });
            }
        }
        self.bring_up_to_date(&view, &mut document)?;
        let snapshot = match document.snapshot {
            Some(place) => Some((
                place.revision,
                self.snapshot(&view, document.number, place)?,
            )),
            None => None,
        };
        let from = match &snapshot {
            Some((revision, _)) => *revision + 1,
            None => document.first_revision,
        };
        let mut records = Vec::new();
        let mut expected = from;
        self.visit(&view, &document, from..=u64::MAX, |frame| {
            if frame.first_revision > expected {
                return Err(ReadError::damaged(format!(
                    "{name:?} has revision {} where revision {expected} should be",
                    frame.first_revision
                )));
            }
            expected = frame.last_revision + 1;
            records.push(frame.record);
            Ok(true)
        })?;
        Ok(Loaded::Live(LoadedDocument {
            stored_bytes: document.stored_bytes(),
            kind: document.kind,
            first_revision: document.first_revision,
            history_from_revision: document.history_from_revision,
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
    ) -> Result<Page, ReadError> {
        // One view, or the rows could be removed that the document's row speaks of.
        let view = self.database.snapshot();
        let mut records = Vec::new();
        let document = self.document(&view, name)?;
        let document = document.filter(|document| document.life == Life::Live);
        let Some(document) = document.filter(|_| from_revision <= to_revision) else {
            return Ok(Page::Records(records));
        };
        if from_revision < document.history_from_revision {
            return Ok(Page::Compacted {
                history_from_revision: document.history_from_revision,
            });
        }
        let mut bytes = 0;
        let range = from_revision..=to_revision;
        self.visit(&view, &document, range, |frame| {
            bytes += frame.record.len();
            records.push(frame.record);
            Ok::<_, ReadError>(bytes < bytes_max)
        })?;
        Ok(Page::Records(records))
    }

    fn history(&self, name: &str, range: &HistoryRange) -> Result<History, HistoryError> {
        self.read_history(name, range)
    }

    fn versions(&self, name: &str) -> Result<Vec<StoredVersion>, HistoryError> {
        self.read_versions(name)
    }

    fn list(
        &self,
        tenant: &str,
        prefix: &str,
        after: Option<&str>,
        documents_max: usize,
        bytes_max: usize,
    ) -> Result<DocumentList, ReadError> {
        let mut list = DocumentList::default();
        let mut bytes = 0;
        let mut last = None;
        let range = layout::document_range(tenant, prefix, after);
        for (rows, row) in self.rows.range(range).enumerate() {
            let (key, value) = row.into_inner()?;
            let is_full = list.documents.len() >= documents_max || bytes >= bytes_max;
            if rows > 0 && (is_full || rows >= LISTED_ROWS_MAX) {
                list.more_after = last;
                break;
            }
            let (tenant, document) = layout::split_document_key(&key)?;
            let name: Arc<str> = auth::global_id(tenant, document).into();
            let row = DocumentRow::decode(&value)?;
            if row.life == Life::Live {
                bytes += name.len() + row.kind.len();
                list.documents.push(ListedDocument {
                    name: Arc::clone(&name),
                    kind: row.kind,
                });
            }
            last = Some(name);
        }
        Ok(list)
    }
}

impl FjallReader {
    fn snapshot(
        &self,
        view: &Snapshot,
        document: u64,
        place: SnapshotPlace,
    ) -> Result<Bytes, ReadError> {
        let pieces = snapshot_key(document, place.generation, 0)
            ..=snapshot_key(document, place.generation, u32::MAX);
        let mut bytes = Vec::new();
        for piece in view.range(&self.rows, pieces) {
            bytes.extend_from_slice(&piece.value()?);
        }
        if bytes.len() as u64 != place.bytes {
            return Err(LayoutError { row: "snapshot" }.into());
        }
        Ok(bytes.into())
    }

    /// Shows the records that have revisions in `revisions`, in order, as long as `show` says to go on.
    pub(super) fn visit<E: From<ReadError>>(
        &self,
        view: &Snapshot,
        document: &DocumentRow,
        revisions: RangeInclusive<u64>,
        mut show: impl FnMut(Frame) -> Result<bool, E>,
    ) -> Result<(), E> {
        // The first of them may stand in the middle of a row.
        let first = *revisions.start();
        let start = match self.row_before(view, document, first.saturating_add(1))? {
            Some(row) => row.first_revision,
            None => first,
        };
        let number = document.number;
        let keys =
            operations_key(number, start, 0)..=operations_key(number, *revisions.end(), u32::MAX);
        for row in Rows::new(view.range(&self.rows, keys)) {
            let (first_revision, row) = row?;
            for frame in frames(first_revision, row).map_err(ReadError::from)? {
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
pub(super) struct Rows {
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
    /// `pieces` are those of rows in order, of one document.
    pub fn new(pieces: Iter) -> Self {
        Self { pieces }
    }

    fn row(&mut self, first: Guard) -> Result<(u64, Bytes), ReadError> {
        let error = LayoutError {
            row: "row of operations",
        };
        let (key, value) = first.into_inner()?;
        let (first_revision, piece) = layout::split_piece_key(&key)?;
        if piece != 0 {
            return Err(error.into());
        }
        let length = RowHead::decode(&value)?.bytes;
        let mut row = Vec::with_capacity(length.min(ROW_BYTES_MAX));
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
            reason: words(&error),
            is_damage: is_damage(&error),
        }
    }
}

impl From<LayoutError> for ReadError {
    fn from(error: LayoutError) -> Self {
        Self::damaged(error.to_string())
    }
}

//! All that is stored of documents, one after the other, for whoever copies or checks it: also while the store is in
//! use, and in bounded memory.
//!
//! Each document is told as it stands at one moment, documents at different ones; nothing in the store holds documents
//! together. One view of everything would be simpler, but as long as a view is open fjall keeps every buffer of writes
//! that was begun since, in memory. So none is open for longer than a page takes, or a snapshot. What stands between two pages stays:
//! records are never rewritten. Only where a document was let go meanwhile, or its history, it is told again.

use std::sync::Arc;

use bytes::Bytes;
use fjall::{Readable, Snapshot};

use crate::auth;

use super::ReadError;
use super::layout::{self, DocumentRow, LayoutError, Life, SnapshotPlace, snapshot_key};
use super::reader::FjallReader;
use super::versions::StoredVersion;

/// What is read under one view, in bytes of records, or a little more.
const PAGE_BYTES: usize = 1024 * 1024;
/// How many names are read at once.
const NAMES_MAX: usize = 1000;

/// Is told of one document: its beginning, the pieces of its snapshot, its records, its versions, its end.
pub trait Visitor {
    type Error: From<ReadError>;

    /// `document` as its row says, maybe from before its newest operations. What was told since the last end was of a
    /// document that has changed meanwhile, and does not count.
    fn begin(&mut self, name: &Arc<str>, document: &DocumentRow) -> Result<(), Self::Error>;

    /// The next piece of what `codec::record::encode_snapshot` gave.
    fn snapshot_piece(&mut self, piece: &[u8]) -> Result<(), Self::Error>;

    /// The next record, in order and without a gap, and how many operations it has.
    fn record(&mut self, first_revision: u64, count: u32, record: Bytes)
    -> Result<(), Self::Error>;

    fn version(&mut self, version: StoredVersion) -> Result<(), Self::Error>;

    /// There is no more of it. Its operations end before `next_revision`.
    fn end(&mut self, life: Life, next_revision: u64) -> Result<(), Self::Error>;
}

/// Whether a document was told to its end.
#[derive(PartialEq, Eq)]
enum Told {
    All,
    /// It is not what it was at the beginning.
    HasChanged,
}

impl FjallReader {
    /// Names of documents in the order of lists, deleted ones and those that are gone, too, behind `after`: of a tenant,
    /// or of all. Some of them; none if there are no more.
    pub fn names(
        &self,
        tenant: Option<&str>,
        after: Option<&str>,
    ) -> Result<Vec<Arc<str>>, ReadError> {
        let rows = match tenant {
            Some(tenant) => self.rows.range(layout::document_range(tenant, "", after)),
            None => self.rows.range(layout::all_documents_after(after)),
        };
        let mut names = Vec::new();
        for row in rows.take(NAMES_MAX) {
            let key = row.key()?;
            let (tenant, document) = layout::split_document_key(&key)?;
            names.push(auth::global_id(tenant, document).into());
        }
        Ok(names)
    }

    /// Whether there is a document of that name, or was.
    pub fn knows(&self, name: &str) -> Result<bool, ReadError> {
        Ok(self.rows.contains_key(layout::document_key(name))?)
    }

    /// Tells all of a document. Of one that never was, nothing.
    pub fn walk<V: Visitor>(&self, name: &Arc<str>, visitor: &mut V) -> Result<(), V::Error> {
        while self.walk_once(name, visitor)? == Told::HasChanged {}
        Ok(())
    }

    fn walk_once<V: Visitor>(&self, name: &Arc<str>, visitor: &mut V) -> Result<Told, V::Error> {
        let view = self.database.snapshot();
        let Some(document) = self.document(&view, name)? else {
            return Ok(Told::All);
        };
        visitor.begin(name, &document)?;
        if document.life == Life::Gone {
            visitor.end(Life::Gone, document.history_from_revision)?;
            return Ok(Told::All);
        }
        let newest = self.bring_up_to_date(&view, &mut document.clone())? - 1;
        if let Some(place) = document.snapshot {
            self.walk_snapshot(&view, document.number, place, visitor)?;
        }
        drop(view);

        let mut next = document.history_from_revision;
        loop {
            let view = self.database.snapshot();
            let now = self.document(&view, name)?;
            let is_same = |now: &DocumentRow| {
                now.number == document.number
                    && now.life != Life::Gone
                    && now.history_from_revision <= next
            };
            let Some(now) = now.filter(is_same) else {
                return Ok(Told::HasChanged);
            };
            // What has come since the beginning is the last page, so that there is one.
            let is_last = next > newest;
            let (mut bytes, before) = (0, next);
            self.visit::<V::Error>(&view, &now, next..=u64::MAX, |frame| {
                if frame.first_revision != next {
                    return Err(out_of_order(name, next, frame.first_revision).into());
                }
                next = frame.last_revision + 1;
                bytes += frame.record.len();
                let count = frame.last_revision - frame.first_revision + 1;
                let count = u32::try_from(count).expect("a row counts them so");
                visitor.record(frame.first_revision, count, frame.record)?;
                Ok(is_last || bytes < PAGE_BYTES)
            })?;
            if is_last {
                for version in self.versions_in(&view, document.number)? {
                    visitor.version(version)?;
                }
                visitor.end(now.life, next)?;
                return Ok(Told::All);
            }
            if next == before {
                return Err(out_of_order(name, newest, next).into());
            }
        }
    }

    fn walk_snapshot<V: Visitor>(
        &self,
        view: &Snapshot,
        number: u64,
        place: SnapshotPlace,
        visitor: &mut V,
    ) -> Result<(), V::Error> {
        let pieces = snapshot_key(number, place.generation, 0)
            ..=snapshot_key(number, place.generation, u32::MAX);
        let mut bytes = 0;
        for piece in view.range(&self.rows, pieces) {
            let piece = piece.value().map_err(ReadError::from)?;
            bytes += piece.len() as u64;
            visitor.snapshot_piece(&piece)?;
        }
        match bytes == place.bytes {
            true => Ok(()),
            false => Err(ReadError::from(LayoutError { row: "snapshot" }).into()),
        }
    }
}

fn out_of_order(name: &str, expected: u64, found: u64) -> ReadError {
    ReadError::damaged(format!(
        "{name:?} has revision {found} where revision {expected} should be"
    ))
}

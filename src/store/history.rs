//! What of a document's history is asked for, what there is of it, and how the embedded store reads it.

use std::sync::Arc;

use bytes::Bytes;
use fjall::{Readable, Snapshot};

use crate::codec::record;

use super::ReadError;
use super::layout::{self, DocumentRow, LayoutError, Life, operations_key};
use super::operations::{Frame, RowHead, frames};
use super::reader::FjallReader;

/// Which records of a live document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRange {
    pub start: HistoryStart,
    /// The direction.
    pub newest_first: bool,
    /// No record that begins after this revision.
    pub until_revision: u64,
    /// At least 1.
    pub records_max: usize,
    /// The most bytes, or a little more; never less than one record.
    pub bytes_max: usize,
}

/// With which record to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryStart {
    /// The one that has this revision, or the first that is kept in that direction. 0: where the direction begins.
    Revision(u64),
    /// The oldest that is not earlier; newest first, the newest that is not later.
    TimeMs(u64),
}

/// What was asked for of a live document, and what is known of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    pub kind: Arc<str>,
    /// As in `LoadedDocument`.
    pub first_revision: u64,
    /// As in `LoadedDocument`.
    pub history_from_revision: u64,
    /// The newest that is written, or where the range ends.
    pub newest_revision: u64,
    /// In the order that was asked for.
    pub records: Vec<Bytes>,
}

/// Why nothing is told of a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    #[error("there is no such document")]
    Unknown,
    #[error("the document is deleted")]
    Deleted,
    #[error(transparent)]
    Failed(#[from] ReadError),
}

impl HistoryRange {
    /// The revision with which to begin where `oldest` to `newest` are kept. `None`: there is nothing in the range.
    /// `time_ms_at` says when a revision's record took its place.
    pub fn begin<E>(
        &self,
        oldest: u64,
        newest: u64,
        mut time_ms_at: impl FnMut(u64) -> Result<u64, E>,
    ) -> Result<Option<u64>, E> {
        let begin = match (self.start, self.newest_first) {
            (HistoryStart::Revision(0), true) => newest,
            (HistoryStart::Revision(revision), true) => revision.min(newest),
            (HistoryStart::Revision(revision), false) => revision.max(oldest),
            (HistoryStart::TimeMs(time_ms), true) => {
                let later = first_where(oldest, newest, |revision| {
                    Ok(time_ms_at(revision)? > time_ms)
                })?;
                later - 1
            }
            (HistoryStart::TimeMs(time_ms), false) => first_where(oldest, newest, |revision| {
                Ok(time_ms_at(revision)? >= time_ms)
            })?,
        };
        Ok((oldest..=newest).contains(&begin).then_some(begin))
    }
}

/// The first revision of which something is true that is true of all after it; `newest + 1` if there is none.
fn first_where<E>(
    oldest: u64,
    newest: u64,
    mut is_true: impl FnMut(u64) -> Result<bool, E>,
) -> Result<u64, E> {
    let (mut from, mut to) = (oldest, newest.saturating_add(1).max(oldest));
    while from < to {
        let middle = from + (to - from) / 2;
        match is_true(middle)? {
            true => to = middle,
            false => from = middle + 1,
        }
    }
    Ok(from)
}

impl FjallReader {
    pub(super) fn read_history(
        &self,
        name: &str,
        range: &HistoryRange,
    ) -> Result<History, HistoryError> {
        let view = self.database.snapshot();
        let (mut document, next_revision) = self.live_document(&view, name)?;
        let newest = (next_revision - 1).min(range.until_revision);
        let oldest = document.history_from_revision;
        let mut history = History {
            kind: std::mem::take(&mut document.kind),
            first_revision: document.first_revision,
            history_from_revision: oldest,
            newest_revision: newest,
            records: Vec::new(),
        };
        let time_ms_at = |revision| self.time_ms_at(&view, &document, revision);
        let Some(begin) = range.begin(oldest, newest, time_ms_at)? else {
            return Ok(history);
        };
        let mut bytes = 0;
        let take = |frame: Frame| {
            bytes += frame.record.len();
            history.records.push(frame.record);
            Ok(history.records.len() < range.records_max && bytes < range.bytes_max)
        };
        match range.newest_first {
            true => self.visit_back(&view, &document, begin, take)?,
            false => self.visit(&view, &document, begin..=newest, take)?,
        }
        Ok(history)
    }

    /// A document that is live, and the revision that its next operation gets.
    pub(super) fn live_document(
        &self,
        view: &Snapshot,
        name: &str,
    ) -> Result<(DocumentRow, u64), HistoryError> {
        let mut document = self.document(view, name)?.ok_or(HistoryError::Unknown)?;
        match document.life {
            Life::Live => {}
            Life::Deleted { .. } => return Err(HistoryError::Deleted),
            Life::Gone => return Err(HistoryError::Unknown),
        }
        let next_revision = self.bring_up_to_date(view, &mut document)?;
        Ok((document, next_revision))
    }

    /// When the record took its place that has this revision.
    fn time_ms_at(
        &self,
        view: &Snapshot,
        document: &DocumentRow,
        revision: u64,
    ) -> Result<u64, ReadError> {
        let mut time_ms = None;
        self.visit(view, document, revision..=revision, |frame| {
            let time = record::operations_time_ms(&frame.record);
            time_ms = Some(time.map_err(|error| ReadError::damaged(error.to_string()))?);
            Ok::<_, ReadError>(false)
        })?;
        time_ms.ok_or_else(|| ReadError::damaged(format!("there is no revision {revision}")))
    }

    /// Shows records in the opposite order, from the one that has `revision` on, as long as `show` says to go on.
    pub(super) fn visit_back(
        &self,
        view: &Snapshot,
        document: &DocumentRow,
        revision: u64,
        mut show: impl FnMut(Frame) -> Result<bool, ReadError>,
    ) -> Result<(), ReadError> {
        let keys = operations_key(document.number, document.history_from_revision, 0)
            ..=operations_key(document.number, revision, u32::MAX);
        // Of the row that is being read, the last piece first.
        let mut pieces = Vec::new();
        for piece in view.range(&self.rows, keys).rev() {
            let (key, value) = piece.into_inner()?;
            let (first_revision, piece) = layout::split_piece_key(&key)?;
            pieces.push(value);
            if piece > 0 {
                continue;
            }
            let mut row = Vec::new();
            pieces
                .drain(..)
                .rev()
                .for_each(|piece| row.extend_from_slice(&piece));
            if RowHead::decode(&row)?.bytes != row.len() {
                let error = LayoutError {
                    row: "row of operations",
                };
                return Err(error.into());
            }
            for frame in frames(first_revision, row.into())?.into_iter().rev() {
                if frame.first_revision <= revision && !show(frame)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

impl From<fjall::Error> for HistoryError {
    fn from(error: fjall::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<LayoutError> for HistoryError {
    fn from(error: LayoutError) -> Self {
        Self::Failed(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_begins_with_a_revision_or_at_a_time() {
        use HistoryStart::{Revision, TimeMs};
        // Revisions 3 to 7 took their places at these times.
        let times = [10, 10, 20, 30, 30];
        let cases = [
            (Revision(0), false, Some(3)),
            (Revision(0), true, Some(7)),
            (Revision(5), false, Some(5)),
            (Revision(5), true, Some(5)),
            (Revision(2), false, Some(3)),
            (Revision(2), true, None),
            (Revision(8), false, None),
            (Revision(8), true, Some(7)),
            (TimeMs(0), false, Some(3)),
            (TimeMs(0), true, None),
            (TimeMs(10), false, Some(3)),
            (TimeMs(10), true, Some(4)),
            (TimeMs(25), false, Some(6)),
            (TimeMs(25), true, Some(5)),
            (TimeMs(30), false, Some(6)),
            (TimeMs(31), false, None),
            (TimeMs(31), true, Some(7)),
        ];
        for (start, newest_first, expected) in cases {
            let range = HistoryRange {
                start,
                newest_first,
                until_revision: u64::MAX,
                records_max: 1,
                bytes_max: 1,
            };
            let time_ms_at = |revision| Ok::<_, ()>(times[revision as usize - 3]);
            let what = format!("{start:?}, newest first: {newest_first}");
            assert_eq!(range.begin(3, 7, time_ms_at), Ok(expected), "{what}");
            assert_eq!(range.begin(8, 7, time_ms_at), Ok(None), "{what}");
        }
    }
}

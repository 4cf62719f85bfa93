//! What clients are told of the past: the same bytes, authors, times and order as were written.

use std::sync::Arc;

use corelay::codec::record::OperationsRecord;
use corelay::codec::wire;

use super::{Judge, Position, broken};

/// A record, as the store wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// The record's first revision.
    pub(super) first_revision: u64,
    pub(super) count: u32,
    pub(super) time_ms: u64,
}

impl Judge {
    /// When a revision was placed; 0 if it was not.
    pub fn time_ms_at(&self, document: &Arc<str>, revision: u64) -> u64 {
        let history = self.histories.get(&(document.clone(), self.epoch));
        let index = revision.saturating_sub(1) as usize;
        let placed = history.and_then(|history| history.placed.get(index));
        placed.map_or(0, |placed| placed.stamp.time_ms)
    }

    /// A record is written: whose it is, and when.
    pub(super) fn stamp(&self, document: &Arc<str>, record: &OperationsRecord<'_>) -> Stamp {
        let author = self.user_of(record.origin);
        if author != Some(&*record.author) {
            broken!("S4", "{document}: {record:?} is of {author:?}");
        }
        let before = self.time_ms_at(document, record.revision - 1);
        if record.time_ms < before || record.time_ms == 0 {
            broken!("S2", "{document}: {record:?} follows what was at {before}");
        }
        Stamp {
            first_revision: record.revision,
            count: record.operations.len() as u32,
            time_ms: record.time_ms,
        }
    }

    /// A client is told what has happened in a document.
    pub fn told_past(
        &mut self,
        document: &Arc<str>,
        request: &wire::History,
        page: &wire::HistoryPage,
    ) {
        let Some(wire::Position { epoch, revision }) = page.position else {
            broken!("S4", "{document}: {page:?} is nowhere");
        };
        let newest = Position { epoch, revision };
        self.tell(document, newest);
        let history = self.history(document, newest);
        if history.kind != page.kind || history.origin_of(revision) + 1 != page.first_revision {
            broken!("S4", "{document}: {page:?} of a {}", history.kind);
        }
        let stamp_at = |revision| history.at(document, Position { epoch, revision }).stamp;
        let kept = page.oldest_revision..=revision;
        // Where each entry has to begin.
        let mut due = match (request.from_time_ms, request.newest_first) {
            (0, true) if request.from_revision == 0 => revision,
            (0, true) => request.from_revision.min(revision),
            (0, false) => request.from_revision.max(page.oldest_revision),
            (time_ms, true) => {
                let mut earlier = kept.clone().rev();
                let found = earlier.find(|revision| stamp_at(*revision).time_ms <= time_ms);
                found.unwrap_or(page.oldest_revision - 1)
            }
            (time_ms, false) => {
                let mut later = kept.clone();
                let found = later.find(|revision| stamp_at(*revision).time_ms >= time_ms);
                found.unwrap_or(revision + 1)
            }
        };
        for entry in &page.entries {
            if !kept.contains(&due) {
                broken!("S1", "{document}: {entry:?} for {request:?}");
            }
            let stamp = stamp_at(due);
            let placed =
                &history.placed[stamp.first_revision as usize - 1..][..stamp.count as usize];
            let bytes: usize = placed.iter().map(|placed| placed.operation.len()).sum();
            let mut operations = entry.operations.iter();
            let are_same = match request.with_operations {
                true => operations.eq(placed.iter().map(|placed| &placed.operation)),
                false => operations.next().is_none(),
            };
            let is_same = (entry.revision, entry.count, entry.time_ms)
                == (stamp.first_revision, stamp.count, stamp.time_ms)
                && placed.iter().all(|placed| placed.origin == entry.origin)
                && entry.bytes == bytes as u64
                && are_same;
            if !is_same {
                broken!(
                    "S2",
                    "{document}: {entry:?} was told of {placed:?}, {stamp:?}"
                );
            }
            due = match request.newest_first {
                true => stamp.first_revision - 1,
                false => stamp.first_revision + u64::from(stamp.count),
            };
        }
        let next = if kept.contains(&due) { due } else { 0 };
        if page.next_revision != next || (page.entries.is_empty() && next > 0) {
            broken!(
                "S1",
                "{document}: {page:?} for {request:?}, and {next} is next"
            );
        }
        if request.limit > 0 && page.entries.len() > request.limit as usize {
            broken!("S7", "{document}: {page:?} for {request:?}");
        }
        for entry in &page.entries {
            if self.user_of(entry.origin) != Some(&*entry.author) {
                broken!("S2", "{document}: {entry:?} has another author");
            }
            for revision in (entry.revision..).take(entry.count as usize) {
                self.tell(document, Position { epoch, revision });
            }
        }
    }
}

//! What somebody outside is still to be told of documents: an outbox that is part of every commit.
//!
//! A notice is written with the commit that creates, deletes or restores its document, so that no crash comes between what
//! was acknowledged and its notice. Of changes there is only a mark at first, written once: the document has changed after
//! a revision. Whoever sends notices asks for a notice of it when the document is quiet, and for those of peers. A notice
//! never changes, and is removed when it was taken or given up.
//!
//! Notices and marks of changes are bounded together. What finds no room is lost, and said to be; a mark that becomes a
//! notice needs none. Where nobody is to be told nothing is written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::{Buf, BufMut};
use fjall::{Keyspace, OwnedWriteBatch};
use rustc_hash::FxHashMap;

use crate::codec::record;

use super::ReadError;
use super::layout::{self, LayoutError};

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum News {
    Created,
    Changed,
    Deleted,
    Restored,
    PeersJoined,
    PeersLeft,
}

/// Something that has happened to a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Rises with every notice of a store.
    pub sequence: u64,
    pub news: News,
    /// The document's global id.
    pub document: Arc<str>,
    pub kind: Arc<str>,
    /// Unix time in milliseconds. 0: not known.
    pub time_ms: u64,
    /// The revision before what has happened, and the one after it. Those of peers have none: 0.
    pub from_revision: u64,
    pub revision: u64,
}

/// What is known of a document beside its notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// It has changed after this revision, of which there is no notice yet.
    pub changed_after: Option<u64>,
    /// The last notice of its peers said that there are some.
    pub has_peers: bool,
}

/// What is asked for by whoever sends notices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticeWrite {
    /// Make a notice of a document's changes, unless its newest revision is another one than `if_revision`.
    Changed {
        document: Arc<str>,
        if_revision: Option<u64>,
        /// Unix time in milliseconds.
        at_ms: u64,
    },
    /// Make a notice that a document has its first peer, or none any more.
    Peers {
        document: Arc<str>,
        /// Empty: not known, but maybe to the store.
        kind: Arc<str>,
        are_there: bool,
        /// Unix time in milliseconds.
        at_ms: u64,
    },
    /// A notice was taken, or is given up.
    Remove { sequence: u64 },
}

/// What a commit has changed, for whoever sends notices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticeChange {
    /// There is a notice. One of changes, or that the document is deleted, stands for all of them up to there.
    Added(Arc<Notice>),
    /// The document has changed, up to this revision at least, and there is no notice of that.
    Changed {
        document: Arc<str>,
        revision: u64,
    },
    /// There are no changes to make a notice of.
    Unchanged {
        document: Arc<str>,
    },
    /// There is no room for a notice of peers.
    Full {
        document: Arc<str>,
    },
    Removed {
        sequence: u64,
        document: Arc<str>,
    },
    /// There was no room for a notice, or for the mark of a change.
    Lost {
        document: Arc<str>,
    },
}

/// What an earlier run has left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unsent {
    /// In order.
    pub notices: Vec<Arc<Notice>>,
    /// In the order of their names.
    pub standings: Vec<(Arc<str>, Standing)>,
}

/// All that is still to be told.
#[derive(Debug, Clone)]
pub struct Notices {
    queue_max: usize,
    next_sequence: u64,
    /// As it is written.
    written_sequence: u64,
    queue: BTreeMap<u64, Arc<Notice>>,
    standings: FxHashMap<Arc<str>, Standing>,
    /// How many documents have changes of which there is no notice.
    changed: usize,
    /// What this commit does.
    changes: Vec<NoticeChange>,
    added: BTreeSet<u64>,
    removed: BTreeSet<u64>,
    touched: BTreeSet<Arc<str>>,
}

impl Notices {
    /// `queue_max`: how many notices and changed documents there may be together.
    pub fn new(queue_max: usize) -> Self {
        Self {
            queue_max,
            next_sequence: 1,
            written_sequence: 1,
            queue: BTreeMap::new(),
            standings: FxHashMap::default(),
            changed: 0,
            changes: Vec::new(),
            added: BTreeSet::new(),
            removed: BTreeSet::new(),
            touched: BTreeSet::new(),
        }
    }

    /// What an earlier run has left in the embedded store.
    pub fn read(rows: &Keyspace, queue_max: usize) -> Result<Self, ReadError> {
        let mut notices = Self::new(queue_max);
        if let Some(mut next) = rows.get(layout::NOTICE_NEXT_KEY)?.as_deref() {
            layout::expect_length("number of notices", next, 8)?;
            notices.next_sequence = next.get_u64();
            notices.written_sequence = notices.next_sequence;
        }
        for row in rows.range(layout::all_notices()) {
            let (key, value) = row.into_inner()?;
            let sequence = layout::split_notice_key(&key)?;
            let notice = Notice::decode(sequence, &value)?;
            notices.queue.insert(sequence, Arc::new(notice));
        }
        for row in rows.range(layout::all_standings()) {
            let (key, value) = row.into_inner()?;
            let name = layout::split_standing_key(&key)?;
            let standing = Standing::decode(&value)?;
            notices.changed += usize::from(standing.changed_after.is_some());
            notices.standings.insert(name.into(), standing);
        }
        Ok(notices)
    }

    pub fn unsent(&self) -> Unsent {
        let standings = self.standings.iter();
        let mut standings: Vec<_> = standings
            .map(|(name, it)| (Arc::clone(name), *it))
            .collect();
        standings.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        Unsent {
            notices: self.queue.values().cloned().collect(),
            standings,
        }
    }

    /// A record was appended to a document, with the revisions from `first_revision` to `revision`.
    pub fn appended(
        &mut self,
        document: &Arc<str>,
        kind: &Arc<str>,
        (first_revision, revision): (u64, u64),
        is_created: bool,
        record: &[u8],
    ) {
        let before = first_revision - 1;
        if is_created {
            let time_ms = record::operations_time_ms(record).unwrap_or(0);
            self.tell(News::Created, document, kind, (before, revision), time_ms);
            return;
        }
        let standing = self.standings.get(document);
        if standing.is_some_and(|standing| standing.changed_after.is_some()) {
            return;
        }
        if !self.has_room() {
            return self.lose(document);
        }
        self.stand(document).changed_after = Some(before);
        self.changed += 1;
        self.changes.push(NoticeChange::Changed {
            document: Arc::clone(document),
            revision,
        });
    }

    /// A document of that revision was deleted or restored.
    pub fn changed_life(
        &mut self,
        news: News,
        document: &Arc<str>,
        kind: &Arc<str>,
        revision: u64,
        at_ms: u64,
    ) {
        self.settle_changes(document, kind, revision, at_ms);
        self.tell(news, document, kind, (revision, revision), at_ms);
    }

    /// About which document there is something to know first: its kind and newest revision, if it is live.
    pub fn asks_about(write: &NoticeWrite) -> Option<&Arc<str>> {
        match write {
            NoticeWrite::Changed { document, .. } => Some(document),
            NoticeWrite::Peers { document, kind, .. } => kind.is_empty().then_some(document),
            NoticeWrite::Remove { .. } => None,
        }
    }

    /// Does what was asked for. `live`: what [`asks_about`](Self::asks_about) asks for.
    pub fn apply(&mut self, write: &NoticeWrite, live: Option<(Arc<str>, u64)>) {
        match write {
            NoticeWrite::Changed {
                document,
                if_revision,
                at_ms,
            } => {
                let standing = self.standings.get(document);
                let is_marked = standing.is_some_and(|it| it.changed_after.is_some());
                match live {
                    Some((_, revision))
                        if is_marked && if_revision.is_some_and(|quiet| quiet != revision) =>
                    {
                        self.changes.push(NoticeChange::Changed {
                            document: Arc::clone(document),
                            revision,
                        });
                    }
                    Some((kind, revision)) if is_marked => {
                        self.settle_changes(document, &kind, revision, *at_ms);
                    }
                    Some(_) | None => {
                        self.clear_mark(document);
                        self.changes.push(NoticeChange::Unchanged {
                            document: Arc::clone(document),
                        });
                    }
                }
            }
            NoticeWrite::Peers {
                document,
                kind,
                are_there,
                at_ms,
            } => {
                if !self.has_room() {
                    let document = Arc::clone(document);
                    return self.changes.push(NoticeChange::Full { document });
                }
                self.stand(document).has_peers = *are_there;
                self.tidy(document);
                let news = match are_there {
                    true => News::PeersJoined,
                    false => News::PeersLeft,
                };
                let known = live.as_ref().map_or(kind, |(kind, _)| kind);
                self.tell(news, document, known, (0, 0), *at_ms);
            }
            NoticeWrite::Remove { sequence } => {
                if let Some(notice) = self.queue.remove(sequence) {
                    if !self.added.remove(sequence) {
                        self.removed.insert(*sequence);
                    }
                    self.changes.push(NoticeChange::Removed {
                        sequence: *sequence,
                        document: Arc::clone(&notice.document),
                    });
                }
            }
        }
    }

    /// Ends a commit, after [`write`](Self::write) where it is written to disk. Returns what it has changed.
    pub fn finish(&mut self) -> Vec<NoticeChange> {
        self.written_sequence = self.next_sequence;
        self.added.clear();
        self.removed.clear();
        self.touched.clear();
        std::mem::take(&mut self.changes)
    }

    /// Writes what a commit has changed.
    pub fn write(&self, rows: &Keyspace, batch: &mut OwnedWriteBatch) {
        if self.next_sequence != self.written_sequence {
            batch.insert(
                rows,
                layout::NOTICE_NEXT_KEY,
                self.next_sequence.to_be_bytes(),
            );
        }
        for sequence in &self.added {
            let notice = &self.queue[sequence];
            batch.insert(rows, layout::notice_key(*sequence), notice.encode());
        }
        for sequence in &self.removed {
            batch.remove(rows, layout::notice_key(*sequence));
        }
        for name in &self.touched {
            let key = layout::standing_key(name);
            match self.standings.get(name) {
                Some(standing) => batch.insert(rows, key, standing.encode()),
                None => batch.remove(rows, key),
            }
        }
    }

    /// Makes a notice of the document's changes, if there are any, in the place of their mark.
    fn settle_changes(&mut self, document: &Arc<str>, kind: &Arc<str>, revision: u64, at_ms: u64) {
        if let Some(before) = self.clear_mark(document) {
            self.push(News::Changed, document, kind, (before, revision), at_ms);
        }
    }

    /// Returns after which revision the document had changed.
    fn clear_mark(&mut self, document: &Arc<str>) -> Option<u64> {
        let before = self.standings.get_mut(document)?.changed_after.take()?;
        self.changed -= 1;
        self.tidy(document);
        Some(before)
    }

    /// Makes a notice, if there is room.
    fn tell(
        &mut self,
        news: News,
        document: &Arc<str>,
        kind: &Arc<str>,
        revisions: (u64, u64),
        time_ms: u64,
    ) {
        match self.has_room() {
            true => self.push(news, document, kind, revisions, time_ms),
            false => self.lose(document),
        }
    }

    fn push(
        &mut self,
        news: News,
        document: &Arc<str>,
        kind: &Arc<str>,
        (from_revision, revision): (u64, u64),
        time_ms: u64,
    ) {
        let notice = Arc::new(Notice {
            sequence: self.next_sequence,
            news,
            document: Arc::clone(document),
            kind: Arc::clone(kind),
            time_ms,
            from_revision,
            revision,
        });
        self.next_sequence += 1;
        self.added.insert(notice.sequence);
        self.queue.insert(notice.sequence, Arc::clone(&notice));
        self.changes.push(NoticeChange::Added(notice));
    }

    fn lose(&mut self, document: &Arc<str>) {
        let document = Arc::clone(document);
        self.changes.push(NoticeChange::Lost { document });
    }

    fn has_room(&self) -> bool {
        self.queue.len() + self.changed < self.queue_max
    }

    /// The document's standing, which is written with this commit.
    fn stand(&mut self, document: &Arc<str>) -> &mut Standing {
        self.touched.insert(Arc::clone(document));
        self.standings.entry(Arc::clone(document)).or_default()
    }

    /// Forgets a standing that says nothing.
    fn tidy(&mut self, document: &Arc<str>) {
        if self.standings.get(document) == Some(&Standing::default()) {
            self.standings.remove(document);
        }
        self.touched.insert(Arc::clone(document));
    }
}

impl News {
    fn code(self) -> u8 {
        match self {
            Self::Created => 0,
            Self::Changed => 1,
            Self::Deleted => 2,
            Self::Restored => 3,
            Self::PeersJoined => 4,
            Self::PeersLeft => 5,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        let all = [
            Self::Created,
            Self::Changed,
            Self::Deleted,
            Self::Restored,
            Self::PeersJoined,
            Self::PeersLeft,
        ];
        all.into_iter().find(|news| news.code() == code)
    }
}

const NOTICE_HEAD_BYTES: usize = 1 + 3 * 8 + 1;

impl Notice {
    pub fn encode(&self) -> Vec<u8> {
        let kind_bytes = u8::try_from(self.kind.len()).expect("kinds have short names");
        let mut out = Vec::with_capacity(NOTICE_HEAD_BYTES + self.kind.len() + self.document.len());
        out.put_u8(self.news.code());
        out.put_u64(self.time_ms);
        out.put_u64(self.from_revision);
        out.put_u64(self.revision);
        out.put_u8(kind_bytes);
        out.put_slice(self.kind.as_bytes());
        out.put_slice(self.document.as_bytes());
        out
    }

    fn decode(sequence: u64, bytes: &[u8]) -> Result<Self, LayoutError> {
        let error = LayoutError { row: "notice" };
        let (mut head, names) = bytes.split_at_checked(NOTICE_HEAD_BYTES).ok_or(error)?;
        let news = News::from_code(head.get_u8()).ok_or(error)?;
        let (time_ms, from_revision, revision) = (head.get_u64(), head.get_u64(), head.get_u64());
        let names = names.split_at_checked(head.get_u8().into()).ok_or(error)?;
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| error);
        Ok(Self {
            sequence,
            news,
            document: text(names.1)?.into(),
            kind: text(names.0)?.into(),
            time_ms,
            from_revision,
            revision,
        })
    }
}

impl Standing {
    fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(10);
        out.put_u8(self.has_peers.into());
        out.put_u8(self.changed_after.is_some().into());
        out.put_u64(self.changed_after.unwrap_or(0));
        out
    }

    fn decode(mut bytes: &[u8]) -> Result<Self, LayoutError> {
        layout::expect_length("standing", bytes, 10)?;
        let (has_peers, is_changed) = (bytes.get_u8() != 0, bytes.get_u8() != 0);
        let before = bytes.get_u64();
        Ok(Self {
            changed_after: is_changed.then_some(before),
            has_peers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_were() {
        for code in 0..6 {
            let notice = Notice {
                sequence: 7,
                news: News::from_code(code).unwrap(),
                document: "acme::ö".into(),
                kind: "text".into(),
                time_ms: 8,
                from_revision: 9,
                revision: 10,
            };
            assert_eq!(Notice::decode(7, &notice.encode()), Ok(notice));
        }
        for standing in [
            Standing::default(),
            Standing {
                changed_after: Some(0),
                has_peers: true,
            },
        ] {
            assert_eq!(Standing::decode(&standing.encode()), Ok(standing));
        }
        assert!(Notice::decode(1, &[6; 40]).is_err());
        assert!(Notice::decode(1, &[]).is_err());
    }
}

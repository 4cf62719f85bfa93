//! Somebody who is told what happens to documents, and ends up knowing what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use corelay::store::{Backend, MemoryStore, News, Notice, NoticeWrite, Write};

use super::judge::{Fate, broken};
use super::scenario::Flaw;

/// Takes one or asks for one in so many steps of a store where nothing waits to be synced.
const PERIOD: u64 = 5;

#[derive(Debug)]
pub struct Correspondent {
    taken: Taken,
    /// Documents that something was written to.
    pub documents: BTreeSet<Arc<str>>,
    steps: u64,
    /// The flaw of the rig, if it has not shown itself.
    flaw: Option<Flaw>,
}

/// What it was told.
#[derive(Debug, Clone, Default)]
struct Taken {
    /// The newest notice's.
    sequence: u64,
    /// What they come to.
    known: BTreeMap<Arc<str>, Known>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Live { revision: u64 },
    Deleted,
}

impl Correspondent {
    pub fn new(flaw: Option<Flaw>) -> Self {
        Self {
            taken: Taken::default(),
            documents: BTreeSet::new(),
            steps: 0,
            flaw,
        }
    }

    /// It may be told of what waits to be synced.
    pub fn is_hasty(&self) -> bool {
        self.flaw == Some(Flaw::EarlyNotice)
    }

    /// Nothing of the store waits to be synced, unless it is hasty.
    pub fn step(&mut self, store: &mut MemoryStore) {
        self.steps += 1;
        if !self.steps.is_multiple_of(PERIOD) {
            return;
        }
        let unsent = store.unsent();
        let write = match (unsent.notices.first(), unsent.standings.first()) {
            (Some(notice), _) => {
                if let Some(notice) = self.arriving(notice) {
                    self.taken.take(&notice);
                }
                let sequence = notice.sequence;
                NoticeWrite::Remove { sequence }
            }
            (None, Some((document, _))) => NoticeWrite::Changed {
                document: Arc::clone(document),
                if_revision: None,
                at_ms: 0,
            },
            (None, None) => return,
        };
        let committed = store.commit(&[Write::Notice(write)]);
        committed.expect("a store in memory does not fail");
        if !self.is_hasty() {
            store.sync().expect("a store in memory does not fail");
        }
    }

    /// What arrives in place of a notice, where the rig has a flaw.
    fn arriving(&mut self, notice: &Notice) -> Option<Notice> {
        match self.flaw {
            Some(Flaw::LostChange) if notice.news == News::Changed => {
                self.flaw = None;
                None
            }
            Some(Flaw::RepeatedSequence) if self.taken.sequence > 0 => Some(Notice {
                sequence: self.taken.sequence,
                ..notice.clone()
            }),
            _sound => Some(notice.clone()),
        }
    }

    /// Whoever takes all that is left knows what there is.
    pub fn check(&self, store: &MemoryStore, fate: impl Fn(&str) -> Fate) {
        let unsent = store.unsent();
        let mut taken = self.taken.clone();
        for notice in &unsent.notices {
            taken.take(notice);
        }
        for document in &self.documents {
            let mut standings = unsent.standings.iter();
            let mark = standings.find(|(name, _)| name == document);
            let mark = mark.and_then(|(_, standing)| standing.changed_after);
            match (taken.known.get(document).copied(), fate(document)) {
                (Some(Known::Live { revision: told }), Fate::Live { revision })
                    if mark.map_or(told == revision, |mark| told == mark && mark < revision) => {}
                (Some(Known::Deleted), Fate::Deleted | Fate::Gone { .. }) if mark.is_none() => {}
                (None, Fate::Live { revision: 0 }) if mark.is_none() => {}
                (known, fate) => broken!(
                    "notices",
                    "of {document} it is told {known:?} and a change after {mark:?}, and it is {fate:?}"
                ),
            }
        }
    }
}

impl Taken {
    fn take(&mut self, notice: &Notice) {
        if notice.sequence <= self.sequence {
            broken!("notices", "{notice:?} after number {}", self.sequence);
        }
        self.sequence = notice.sequence;
        let document = Arc::clone(&notice.document);
        let before = self.known.get(&document).copied();
        let revision = notice.revision;
        let after = match (notice.news, before) {
            (News::Created, None | Some(Known::Deleted)) => Known::Live { revision },
            (News::Changed, Some(Known::Live { revision: before }))
                if before == notice.from_revision =>
            {
                Known::Live { revision }
            }
            (News::Deleted, Some(Known::Live { revision: before })) if before == revision => {
                Known::Deleted
            }
            (News::Restored, Some(Known::Deleted)) => Known::Live { revision },
            (_, before) => broken!("notices", "{notice:?} of what is {before:?}"),
        };
        self.known.insert(document, after);
    }
}

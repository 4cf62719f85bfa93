//! Somebody who is told what happens to documents, and ends up knowing what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use corelay::store::{Backend, MemoryStore, News, Notice, NoticeWrite, Write};

use super::judge::{Fate, broken};

/// Takes one or asks for one in so many steps of a store where nothing waits to be synced.
const PERIOD: u64 = 5;

#[derive(Debug, Default)]
pub struct Correspondent {
    /// What it has taken comes to.
    known: BTreeMap<Arc<str>, Known>,
    /// Documents that something was written to.
    pub documents: BTreeSet<Arc<str>>,
    steps: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Live { revision: u64 },
    Deleted,
}

impl Correspondent {
    /// Nothing of the store waits to be synced.
    pub fn step(&mut self, store: &mut MemoryStore) {
        self.steps += 1;
        if !self.steps.is_multiple_of(PERIOD) {
            return;
        }
        let unsent = store.unsent();
        let write = match (unsent.notices.first(), unsent.standings.first()) {
            (Some(notice), _) => {
                take(&mut self.known, notice);
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
        store
            .commit(&[Write::Notice(write)])
            .and_then(|_| store.sync())
            .expect("a store in memory does not fail");
    }

    /// Whoever takes all that is left knows what there is.
    pub fn check(&self, store: &MemoryStore, fate: impl Fn(&str) -> Fate) {
        let unsent = store.unsent();
        let mut known = self.known.clone();
        for notice in &unsent.notices {
            take(&mut known, notice);
        }
        for document in &self.documents {
            let mut standings = unsent.standings.iter();
            let mark = standings.find(|(name, _)| name == document);
            let mark = mark.and_then(|(_, standing)| standing.changed_after);
            match (known.get(document).copied(), fate(document)) {
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

fn take(known: &mut BTreeMap<Arc<str>, Known>, notice: &Notice) {
    let document = Arc::clone(&notice.document);
    let before = known.get(&document).copied();
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
    known.insert(document, after);
}

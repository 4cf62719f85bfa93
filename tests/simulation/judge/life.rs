//! How documents live and end, as the judge sees it: deletions, later lives, and restarts of the relay.

use std::sync::Arc;

use super::super::rights::Right;
use super::{Fate, Judge, Position, broken};

impl Judge {
    /// The store has deleted it.
    pub fn deleted(&mut self, document: &Arc<str>) {
        if !self.is_wanted(document, Right::Delete) {
            broken!("S8", "{document} is deleted, and nobody may");
        }
        let key = (document.clone(), self.epoch);
        let history = self.histories.entry(key).or_default();
        history.fate = Some(Fate::Deleted);
        history.deletions += 1;
    }

    /// The store may have let a deletion go, or the document.
    pub fn changed(&mut self, document: &Arc<str>, fate: Fate) {
        let key = (document.clone(), self.epoch);
        let history = self.histories.entry(key).or_default();
        let was_deleted = history.fate == Some(Fate::Deleted);
        match fate {
            Fate::Live { .. } => history.is_restored |= was_deleted,
            Fate::Deleted => (),
            Fate::Gone { .. } => history.is_restored = false,
        }
        history.fate = Some(fate);
        if let Fate::Gone { .. } = fate {
            self.forget_versions(document);
        }
    }

    /// What is written is durable.
    pub fn synced(&mut self) {
        for history in self.histories.values_mut() {
            history.durable_deletions = history.deletions;
        }
    }

    /// A client is told that a document is deleted.
    pub fn told_deletion(&mut self, document: &Arc<str>) {
        let key = (document.clone(), self.epoch);
        let history = self.histories.entry(key).or_default();
        history.told_deletions += 1;
        if history.told_deletions > history.durable_deletions {
            broken!("S3", "{document}: a deletion was told that is not durable");
        }
    }

    /// Everything up to here is of an earlier life of the document, and nobody is told of it any more.
    pub fn floor(&self, document: &Arc<str>) -> u64 {
        let history = self.histories.get(&(document.clone(), self.epoch));
        history.map_or(0, |history| match history.fate {
            Some(Fate::Gone { revision }) => revision,
            _ => history.origins.last().copied().unwrap_or_default(),
        })
    }

    /// After which revision the newest life began, if that is not before `revision`.
    pub fn begun_since(&self, document: &Arc<str>, revision: u64) -> Option<u64> {
        let floor = self.floor(document);
        (floor > 0 && floor >= revision).then_some(floor)
    }

    /// Whether there is something of the document.
    pub fn is_live(&self, document: &Arc<str>) -> bool {
        let history = self.histories.get(&(document.clone(), self.epoch));
        history.is_some_and(|history| {
            let is_live = matches!(history.fate, None | Some(Fate::Live { .. }));
            is_live && !history.placed.is_empty()
        })
    }

    /// After which revision the life began that a revision is of.
    pub fn life_of(&self, document: &Arc<str>, epoch: u64, revision: u64) -> u64 {
        let history = self.histories.get(&(document.clone(), epoch));
        history.map_or(0, |history| history.origin_of(revision))
    }

    /// Whether a life of the document may begin here: then nothing is there yet.
    pub fn begins_after(&self, document: &Arc<str>, at: Position) -> bool {
        let history = self.histories.get(&(document.clone(), at.epoch));
        history.is_some_and(|history| history.begins_after(at.revision))
    }

    /// The relay starts again on what the disk has: each document up to `revision_of` it. `is_lossless`: the end
    /// before was one that the durability mode promises to survive.
    pub fn restarted(&mut self, epoch: u64, is_lossless: bool, fate_of: impl Fn(&str) -> Fate) {
        let current: Vec<_> = self.current().cloned().collect();
        for document in current {
            let history = &self.histories[&(document.clone(), self.epoch)];
            let fate = fate_of(&document);
            let revision = match fate {
                Fate::Live { revision } | Fate::Gone { revision } => revision,
                // Nothing is written after a deletion.
                Fate::Deleted => history.placed.len() as u64,
            };
            if is_lossless && history.told_revision > revision {
                broken!(
                    "S3",
                    "{document}: revision {} was told, and {revision} is what the restart found",
                    history.told_revision
                );
            }
            let mut history = history.clone();
            history.truncate(revision);
            let is_lost = history.fate == Some(Fate::Deleted) && matches!(fate, Fate::Live { .. });
            history.deletions -= u64::from(is_lost);
            history.durable_deletions = history.deletions;
            if is_lossless && history.told_deletions > history.deletions {
                broken!("S3", "{document}: a deletion was told, and is lost");
            }
            history.fate = Some(fate);
            self.histories.insert((document, epoch), history);
        }
        self.epoch = epoch;
    }
}

//! Versions: what was said to be saved is there, what was said to be deleted is not, and nobody invents any.

use std::collections::BTreeMap;
use std::sync::Arc;

use corelay::codec::wire;
use corelay::store::StoredVersion;

use super::{Judge, broken};

/// A document's versions.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// As they are written, by name, in the newest life.
    written: BTreeMap<Arc<str>, StoredVersion>,
    /// All that were ever written.
    ever: Vec<StoredVersion>,
    /// Those that somebody was told are saved, and those that somebody was told are deleted.
    told: Vec<StoredVersion>,
    told_deleted: Vec<StoredVersion>,
    /// Those whose deletion was written.
    deleted: Vec<StoredVersion>,
}

impl Judge {
    /// The store has saved a version.
    pub fn version_saved(&mut self, document: &Arc<str>, version: &StoredVersion) {
        let sent = self.sent.entry(document.clone()).or_default();
        if sent.trespasses.contains(&*version.name) {
            broken!("S8", "{document}: nobody may save {version:?}");
        }
        if version.revision <= self.floor(document) || version.revision > self.revision(document) {
            broken!("S4", "{document}: {version:?} names nothing");
        }
        let named = self.versions.entry(document.clone()).or_default();
        named.ever.push(version.clone());
        let name = Arc::clone(&version.name);
        if let Some(other) = named.written.insert(name, version.clone()) {
            broken!("S5", "{document}: {version:?} beside {other:?}");
        }
    }

    /// The store has deleted a version.
    pub fn version_deleted(&mut self, document: &Arc<str>, name: &Arc<str>) {
        let named = self.versions.entry(document.clone()).or_default();
        let Some(version) = named.written.remove(name) else {
            broken!("S4", "{document}: {name:?} is deleted and was not there");
        };
        named.deleted.push(version);
    }

    /// A client is told that its version is saved.
    pub fn told_version(&mut self, document: &Arc<str>, version: &wire::Version) {
        let stored = self.is_version(document, version);
        let named = self.versions.entry(document.clone()).or_default();
        named.told.push(stored);
    }

    /// A client is told of a version, which may be gone since.
    pub fn is_version(&self, document: &Arc<str>, version: &wire::Version) -> StoredVersion {
        let named = self.versions.get(document).into_iter();
        let mut ever = named.flat_map(|named| &named.ever);
        let is_same = |stored: &&StoredVersion| {
            (&*stored.name, stored.revision) == (&*version.name, version.revision)
                && (&*stored.author, stored.time_ms) == (&*version.author, version.time_ms)
        };
        match ever.find(is_same) {
            Some(stored) => stored.clone(),
            None => broken!("S4", "{document}: nobody has saved {version:?}"),
        }
    }

    /// A client is told that a version of that name, which was there, is deleted.
    pub fn told_version_deleted(&mut self, document: &Arc<str>, name: &str) {
        let named = self.versions.entry(document.clone()).or_default();
        let mut deleted = named.deleted.iter().rev();
        let Some(version) = deleted.find(|version| &*version.name == name) else {
            broken!("S4", "{document}: nobody has deleted {name:?}");
        };
        named.told_deleted.push(version.clone());
    }

    /// The document of that name has no versions any more.
    pub(super) fn forget_versions(&mut self, document: &Arc<str>) {
        self.versions.remove(document);
    }

    /// The relay starts again, and the disk has these versions.
    pub fn found_versions(
        &mut self,
        is_lossless: bool,
        versions_of: impl Fn(&str) -> Option<Vec<StoredVersion>>,
    ) {
        for (document, named) in &mut self.versions {
            // It is deleted, and its versions with it.
            let Some(found) = versions_of(document) else {
                continue;
            };
            let mut told = named.told.iter();
            let lost = told.find(|told| !named.deleted.contains(told) && !found.contains(told));
            if let Some(lost) = lost.filter(|_| is_lossless) {
                broken!(
                    "S3",
                    "{document}: {lost:?} was saved, and there is {found:?}"
                );
            }
            let mut told_deleted = named.told_deleted.iter();
            let kept = told_deleted.find(|told| found.contains(told));
            if let Some(kept) = kept.filter(|_| is_lossless) {
                broken!(
                    "S3",
                    "{document}: {kept:?} was deleted, and there is {found:?}"
                );
            }
            named.told.retain(|told| found.contains(told));
            named.deleted.retain(|deleted| !found.contains(deleted));
            let found = found.into_iter();
            named.written = found
                .map(|version| (Arc::clone(&version.name), version))
                .collect();
        }
    }
}

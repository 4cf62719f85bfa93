//! Versions: revisions of documents that have names, each a row of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::{Buf, BufMut};
use fjall::{Keyspace, OwnedWriteBatch, Readable, Snapshot};

use super::ReadError;
use super::history::HistoryError;
use super::layout::{self, LayoutError, RowKind};
use super::reader::FjallReader;

/// A revision of a document with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredVersion {
    /// At most 128 bytes.
    pub name: Arc<str>,
    pub revision: u64,
    /// Unix time in milliseconds.
    pub time_ms: u64,
    /// The user id of who saved it, at most 128 bytes.
    pub author: Arc<str>,
}

/// Why a version is not saved, or not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    #[error("there is no such document")]
    Unknown,
    #[error("the document is deleted")]
    Deleted,
    #[error("the document has never had that revision")]
    RevisionUnknown,
    #[error("the document has a version of that name")]
    Exists,
    #[error("the document has as many versions as it may")]
    TooMany,
    #[error("the document has no version of that name")]
    NotFound,
}

impl StoredVersion {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.author.len());
        out.put_u64(self.revision);
        out.put_u64(self.time_ms);
        out.put_slice(self.author.as_bytes());
        out
    }

    pub(super) fn decode(name: &str, bytes: &[u8]) -> Result<Self, LayoutError> {
        let error = LayoutError { row: "version" };
        let (mut head, author) = bytes.split_at_checked(16).ok_or(error)?;
        Ok(Self {
            name: name.into(),
            revision: head.get_u64(),
            time_ms: head.get_u64(),
            author: std::str::from_utf8(author).map_err(|_| error)?.into(),
        })
    }
}

/// What a commit does to versions, of documents by their numbers.
#[derive(Debug, Default)]
pub struct Versions {
    /// `None`: it is deleted.
    changed: BTreeMap<(u64, Arc<str>), Option<StoredVersion>>,
}

impl Versions {
    /// Saves a version of the document `number`, as long as it has fewer than `versions_max`.
    pub fn save(
        &mut self,
        number: u64,
        version: StoredVersion,
        versions_max: usize,
        rows: &Keyspace,
    ) -> Result<Result<(), VersionError>, ReadError> {
        let key = (number, Arc::clone(&version.name));
        let mut names = BTreeSet::new();
        for row in rows.range(RowKind::Version.keys_of(number)) {
            let (_, name) = layout::split_version_key(&row.key()?)?;
            names.insert(name);
        }
        let first = (number, Arc::from(""));
        for ((_, name), version) in self.changed.range(first..(number + 1, Arc::from(""))) {
            match version {
                Some(_) => names.insert(name.clone()),
                None => names.remove(name),
            };
        }
        if names.contains(&version.name) {
            return Ok(Err(VersionError::Exists));
        }
        if names.len() >= versions_max {
            return Ok(Err(VersionError::TooMany));
        }
        self.changed.insert(key, Some(version));
        Ok(Ok(()))
    }

    /// Deletes a version of the document `number`. Returns the revision that it named.
    pub fn delete(
        &mut self,
        number: u64,
        name: &Arc<str>,
        rows: &Keyspace,
    ) -> Result<Result<u64, VersionError>, ReadError> {
        let key = (number, Arc::clone(name));
        let version = match self.changed.get(&key) {
            Some(version) => version.clone(),
            None => {
                let row = rows.get(layout::version_key(number, name))?;
                let version = row.map(|row| StoredVersion::decode(name, &row));
                version.transpose()?
            }
        };
        let Some(version) = version else {
            return Ok(Err(VersionError::NotFound));
        };
        self.changed.insert(key, None);
        Ok(Ok(version.revision))
    }

    /// Ends a commit.
    pub fn write(&mut self, rows: &Keyspace, batch: &mut OwnedWriteBatch) {
        for ((number, name), version) in std::mem::take(&mut self.changed) {
            let key = layout::version_key(number, &name);
            match version {
                Some(version) => batch.insert(rows, key, version.encode()),
                None => batch.remove(rows, key),
            }
        }
    }
}

impl FjallReader {
    /// In the order of their names.
    pub(super) fn read_versions(&self, name: &str) -> Result<Vec<StoredVersion>, HistoryError> {
        let view = self.database.snapshot();
        let (document, _) = self.live_document(&view, name)?;
        Ok(self.versions_in(&view, document.number)?)
    }

    /// Those of the document `number`, in the order of their names.
    pub(super) fn versions_in(
        &self,
        view: &Snapshot,
        number: u64,
    ) -> Result<Vec<StoredVersion>, ReadError> {
        let mut versions = Vec::new();
        for row in view.range(&self.rows, RowKind::Version.keys_of(number)) {
            let (key, value) = row.into_inner()?;
            let (_, name) = layout::split_version_key(&key)?;
            versions.push(StoredVersion::decode(&name, &value)?);
        }
        Ok(versions)
    }
}

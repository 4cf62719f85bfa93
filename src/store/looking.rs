//! A store that is only looked at: nothing in its directory changes, and no relay opens it meanwhile.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use bytes::Bytes;

use super::directory::{Directory, FORMAT, LOCK, Resources};
use super::layout::{self, CommitRow, DocumentRow, InstanceRow, Life};
use super::mark::{self, Mark};
use super::reader::FjallReader;
use super::shadow::Shadow;
use super::versions::StoredVersion;
use super::{ReadError, StoreError};

/// For whoever reads all of it once.
const CACHE_BYTES: usize = 16 * 1024 * 1024;
/// Nothing is written.
const WRITE_BUFFER_BYTES: usize = 20 * 1024 * 1024;

/// Held open to be read.
pub struct ReadStore {
    /// Gone before what it reads.
    pub reader: FjallReader,
    pub condition: Condition,
    _shadow: Shadow,
    _lock: File,
}

/// What a store says of itself as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    pub format: u64,
    pub instance: InstanceRow,
    /// The newest.
    pub commit: CommitRow,
    /// A commit that was durable. `None`: somebody has taken the mark away.
    pub high_water_mark: Option<u64>,
}

/// Opens a store to read it, if it has all that was ever durable.
///
/// # Errors
///
/// Also [`StoreError::InUse`] while a relay has it open.
pub fn open_to_read(path: &Path) -> Result<ReadStore, StoreError> {
    let unusable = |error: io::Error| StoreError::directory(path, error);
    let missing = || StoreError::NoStore {
        path: path.to_owned(),
    };
    let lock = match File::open(path.join(LOCK)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
        Err(error) => return Err(unusable(error)),
    };
    // Others may look at the same time.
    match lock.try_lock_shared() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(StoreError::InUse {
                path: path.to_owned(),
            });
        }
        Err(TryLockError::Error(error)) => return Err(unusable(error)),
    }
    let shadow = Shadow::new(path).map_err(|error| StoreError::NoShadow {
        path: path.to_owned(),
        temporary: std::env::temp_dir(),
        reason: error.to_string(),
    })?;
    let format = fs::read_to_string(path.join(FORMAT)).unwrap_or_default();
    let directory = Directory::for_another(shadow.path(), path)?;
    let mark = mark::read(shadow.path()).map_err(unusable)?;
    let found = directory.recover(
        mark,
        &Resources {
            cache_bytes: CACHE_BYTES,
            write_buffer_bytes: WRITE_BUFFER_BYTES,
            worker_threads: 0,
        },
    )?;
    let instance = found.instance.ok_or_else(missing)?;
    let format = format.trim().parse();
    Ok(ReadStore {
        condition: Condition {
            format: format.map_err(|_| StoreError::damaged(path, "its format is no number"))?,
            instance,
            commit: found.commit,
            high_water_mark: match mark {
                Mark::Commit(commit) => Some(commit),
                Mark::Missing | Mark::Damaged => None,
            },
        },
        reader: FjallReader {
            database: found.database,
            rows: found.rows,
        },
        _shadow: shadow,
        _lock: lock,
    })
}

/// What is known of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Of its newest operation.
    pub document: DocumentRow,
    pub next_revision: u64,
    /// In the order of their names.
    pub versions: Vec<StoredVersion>,
    /// The newest records, the newest first.
    pub records: Vec<Bytes>,
}

impl FjallReader {
    /// What is known of a document, with up to `records_max` of its newest records.
    pub fn describe(
        &self,
        name: &str,
        records_max: usize,
    ) -> Result<Option<Description>, ReadError> {
        let view = self.database.snapshot();
        let Some(mut document) = self.document(&view, name)? else {
            return Ok(None);
        };
        let next_revision = self.bring_up_to_date(&view, &mut document)?;
        let mut description = Description {
            document,
            next_revision,
            versions: Vec::new(),
            records: Vec::new(),
        };
        if description.document.life == Life::Gone {
            return Ok(Some(description));
        }
        let document = &description.document;
        description.versions = self.versions_in(&view, document.number)?;
        let records = &mut description.records;
        self.visit_back(&view, document, next_revision - 1, |frame| {
            records.push(frame.record);
            Ok(records.len() < records_max)
        })?;
        Ok(Some(description))
    }

    /// Shows what is known of every document: its tenant, its row as of its newest operation.
    pub fn each_document<E: From<ReadError>>(
        &self,
        mut show: impl FnMut(&str, &DocumentRow) -> Result<(), E>,
    ) -> Result<(), E> {
        let view = self.database.snapshot();
        for row in self.rows.range(layout::all_documents()) {
            let (key, value) = row.into_inner().map_err(ReadError::from)?;
            let (tenant, _) = layout::split_document_key(&key).map_err(ReadError::from)?;
            let mut document = DocumentRow::decode(&value).map_err(ReadError::from)?;
            self.bring_up_to_date(&view, &mut document)?;
            show(tenant, &document)?;
        }
        Ok(())
    }
}

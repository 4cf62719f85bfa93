//! A copy of a store, made while it is in use or not: a directory that a relay can be started on.
//!
//! It is written as any store is, document by document (see `walk`, `arrival`), under a name that says that it is
//! unfinished, and gets its own name when all of it is on disk. The other ways are not open: fjall makes no checkpoints,
//! and a copy of its files would need them to stand still.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::config;

use super::arrival::{Arrival, Arriving};
use super::backend::Backend;
use super::directory::{self, DATABASE, FORMAT, LOCK};
use super::fjall::FjallStore;
use super::layout::{DocumentRow, Life};
use super::reader::FjallReader;
use super::versions::StoredVersion;
use super::walk::Visitor;
use super::{ReadError, StoreError};

/// Behind the name of a backup that is not finished.
const UNFINISHED: &str = ".unfinished";
const CACHE_BYTES: usize = 1024 * 1024;
/// The rest of what a backup may hold is for what it is reading and writing.
const WRITE_BUFFER_BYTES: usize = config::BACKUP_BYTES - 8 * 1024 * 1024;
/// After so many bytes the copy is synced, so that what the disk owes never holds up a commit of the relay's for long.
const SYNC_BYTES: u64 = 4 * 1024 * 1024;
/// It is not held back for less than this, and looks about at least so often.
const SLEEP_MIN: Duration = Duration::from_millis(5);
const SLEEP_MAX: Duration = Duration::from_millis(100);

/// How a backup is made.
#[derive(Debug, Clone)]
pub struct BackupPlan {
    /// Where it is to be. Nothing is there yet, or an empty directory.
    pub to: PathBuf,
    /// How fast it copies. `None`: as fast as it can.
    pub bytes_per_second: Option<u64>,
    /// It gives up when the file system has no more than this left.
    pub free_bytes_min: u64,
}

/// What is in a backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Deleted ones, too, and those that are gone.
    pub documents: u64,
    pub operations: u64,
    /// Of records and snapshots.
    pub bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{path} is there already, and a backup does not write over anything")]
    Exists { path: PathBuf },
    #[error(
        "{path} is there, and looks like no backup that was interrupted: move it out of the way"
    )]
    NotOurs { path: PathBuf },
    #[error(
        "the file system of {path} has {free_mebibytes} MiB left, and a backup leaves {mebibytes_min} MiB at least \
         (store.backup_free_bytes_min)"
    )]
    Full {
        path: PathBuf,
        free_mebibytes: u64,
        mebibytes_min: u64,
    },
    #[error("{path} would be inside the store in {store}: name a directory elsewhere")]
    Inside { path: PathBuf, store: PathBuf },
    #[error("the backup cannot be written to {path}: {reason}")]
    NotWritten { path: PathBuf, reason: String },
    #[error(transparent)]
    NotRead(#[from] ReadError),
    #[error("the backup was given up: nobody waits for it any more")]
    GivenUp,
}

impl BackupPlan {
    fn not_written(&self, reason: impl ToString) -> BackupError {
        BackupError::NotWritten {
            path: self.to.clone(),
            reason: reason.to_string(),
        }
    }

    fn unfinished(&self) -> PathBuf {
        // A slash at the end is no part of the name.
        let path: PathBuf = self.to.components().collect();
        let mut path = path.into_os_string();
        path.push(UNFINISHED);
        path.into()
    }

    fn check_room(&self) -> Result<(), BackupError> {
        let room = rustix::fs::statvfs(self.unfinished());
        let room = room.map_err(|error| self.not_written(error))?;
        let free_bytes = room.f_bavail.saturating_mul(room.f_frsize);
        if free_bytes > self.free_bytes_min {
            return Ok(());
        }
        Err(BackupError::Full {
            path: self.to.clone(),
            free_mebibytes: free_bytes >> 20,
            mebibytes_min: self.free_bytes_min >> 20,
        })
    }
}

impl FjallReader {
    /// Makes a backup. What was written before it began is in it; of what is written meanwhile, some. Ends early
    /// when `is_given_up`. Whatever ends it, only a finished backup has its name.
    pub fn back_up(
        &self,
        plan: &BackupPlan,
        is_given_up: &AtomicBool,
    ) -> Result<Backup, BackupError> {
        let unfinished = plan.unfinished();
        make_room(&plan.to, &unfinished).map_err(|error| plan.not_written(error))??;
        let backup = self.copy(plan, &unfinished, is_given_up);
        if backup.is_err() {
            // What is left says by its name what it is, and goes with the next try.
            let _ = fs::remove_dir_all(&unfinished);
        }
        backup
    }

    fn copy(
        &self,
        plan: &BackupPlan,
        unfinished: &Path,
        is_given_up: &AtomicBool,
    ) -> Result<Backup, BackupError> {
        plan.check_room()?;
        let instance = self.instance()?;
        let opened = directory::open(&config::Store {
            path: unfinished.to_owned(),
            durability: instance.durability,
            cache_bytes: CACHE_BYTES,
            write_buffer_bytes: WRITE_BUFFER_BYTES,
            ..config::Store::default()
        });
        let mut store = opened.map_err(|error| plan.not_written(error))?.store;
        store.take_identity(instance);
        let mut pace = Pace::new(plan.bytes_per_second);
        let mut backup = Backup::default();
        let mut after: Option<Arc<str>> = None;
        loop {
            let names = self.names(None, after.as_deref())?;
            for name in &names {
                let mut copier = Copier {
                    store: &mut store,
                    pace: &mut pace,
                    plan,
                    is_given_up,
                    name: Arc::clone(name),
                    arrival: None,
                    document: Backup::default(),
                };
                self.walk(name, &mut copier)?;
                backup.add(copier.document);
            }
            match names.into_iter().next_back() {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        let closed = store.close_as_copy();
        closed.map_err(|error| plan.not_written(error))?;
        give_name(unfinished, &plan.to).map_err(|error| plan.not_written(error))?;
        Ok(backup)
    }
}

impl Backup {
    fn add(&mut self, document: Self) {
        self.documents += document.documents;
        self.operations += document.operations;
        self.bytes += document.bytes;
    }
}

/// Makes the directory in which the backup is written.
fn make_room(to: &Path, unfinished: &Path) -> io::Result<Result<(), BackupError>> {
    if !is_free(to)? {
        let path = to.to_owned();
        return Ok(Err(BackupError::Exists { path }));
    }
    if let Some(store) = store_around(unfinished)? {
        let path = to.to_owned();
        return Ok(Err(BackupError::Inside { path, store }));
    }
    if unfinished.try_exists()? {
        if !is_interrupted(unfinished)? {
            let path = unfinished.to_owned();
            return Ok(Err(BackupError::NotOurs { path }));
        }
        fs::remove_dir_all(unfinished)?;
    }
    // Documents are in it: nobody else may read it.
    DirBuilder::new().mode(0o700).create(unfinished)?;
    Ok(Ok(()))
}

/// Whether nothing is there but an empty directory at most.
fn is_free(path: &Path) -> io::Result<bool> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
        Err(error) => Err(error),
    }
}

/// The store that a directory is in, if it is in one.
fn store_around(path: &Path) -> io::Result<Option<PathBuf>> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let parent = parent.unwrap_or(Path::new(".")).canonicalize()?;
    let is_store = |folder: &&Path| folder.join(FORMAT).is_file() && folder.join(DATABASE).is_dir();
    Ok(parent.ancestors().find(is_store).map(Path::to_owned))
}

/// Whether a backup was begun here that nobody works at any more.
fn is_interrupted(unfinished: &Path) -> io::Result<bool> {
    match File::open(unfinished.join(LOCK)) {
        Ok(lock) => Ok(lock.try_lock().is_ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => is_free(unfinished),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives a backup its name, durably.
fn give_name(unfinished: &Path, to: &Path) -> io::Result<()> {
    File::open(unfinished)?.sync_all()?;
    fs::rename(unfinished, to)?;
    let parent = to.parent().filter(|parent| *parent != Path::new(""));
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Writes what it is told of a document into the backup.
struct Copier<'a> {
    store: &'a mut FjallStore,
    pace: &'a mut Pace,
    plan: &'a BackupPlan,
    is_given_up: &'a AtomicBool,
    name: Arc<str>,
    arrival: Option<Arrival>,
    document: Backup,
}

impl Copier<'_> {
    fn written<T>(&self, result: Result<T, StoreError>) -> Result<T, BackupError> {
        result.map_err(|error| self.plan.not_written(error))
    }

    fn arrival(arrival: &mut Option<Arrival>) -> &mut Arrival {
        arrival
            .as_mut()
            .expect("a document that has anything has begun")
    }

    /// So many bytes have been copied.
    fn count(&mut self, bytes: usize) -> Result<(), BackupError> {
        self.document.bytes += bytes as u64;
        let is_sync_due = self.pace.count(bytes as u64);
        loop {
            if self.is_given_up.load(Ordering::Relaxed) {
                return Err(BackupError::GivenUp);
            }
            match self.pace.early() {
                Some(early) => thread::sleep(early.min(SLEEP_MAX)),
                None => break,
            }
        }
        if is_sync_due {
            self.plan.check_room()?;
            let synced = self.store.sync();
            self.written(synced)?;
        }
        Ok(())
    }
}

impl Visitor for Copier<'_> {
    type Error = BackupError;

    fn begin(&mut self, name: &Arc<str>, document: &DocumentRow) -> Result<(), BackupError> {
        self.document = Backup {
            documents: 1,
            ..Backup::default()
        };
        self.name = Arc::clone(name);
        self.arrival = match document.life {
            Life::Gone => None,
            Life::Live | Life::Deleted { .. } => Some(self.store.receive(Arriving {
                name: Arc::clone(name),
                kind: Arc::clone(&document.kind),
                first_revision: document.first_revision,
                history_from_revision: document.history_from_revision,
                snapshot_revision: document.snapshot.map(|place| place.revision),
            })),
        };
        self.count(name.len())
    }

    fn snapshot_piece(&mut self, piece: &[u8]) -> Result<(), BackupError> {
        let arrival = Self::arrival(&mut self.arrival);
        let written = arrival.snapshot(self.store, piece);
        self.written(written)?;
        self.count(piece.len())
    }

    fn record(
        &mut self,
        first_revision: u64,
        count: u32,
        record: Bytes,
    ) -> Result<(), BackupError> {
        let arrival = Self::arrival(&mut self.arrival);
        let written = arrival.record(self.store, first_revision, count, &record);
        self.written(written)?;
        self.document.operations += u64::from(count);
        self.count(record.len())
    }

    fn version(&mut self, version: StoredVersion) -> Result<(), BackupError> {
        let arrival = Self::arrival(&mut self.arrival);
        let written = arrival.version(self.store, &version);
        self.written(written)
    }

    fn end(&mut self, life: Life, next_revision: u64) -> Result<(), BackupError> {
        let written = match self.arrival.take() {
            Some(arrival) => arrival.finish(self.store, life),
            None => self.store.receive_gone(&self.name, next_revision),
        };
        self.written(written)
    }
}

/// Holds the copying back, so that a relay that works beside it is not slowed.
struct Pace {
    bytes_per_second: Option<u64>,
    begun: Instant,
    bytes: u64,
    bytes_unsynced: u64,
}

impl Pace {
    fn new(bytes_per_second: Option<u64>) -> Self {
        Self {
            bytes_per_second,
            begun: Instant::now(),
            bytes: 0,
            bytes_unsynced: 0,
        }
    }

    /// So many bytes more were copied. Returns whether it is time for a sync.
    fn count(&mut self, bytes: u64) -> bool {
        self.bytes += bytes;
        self.bytes_unsynced += bytes;
        let is_due = self.bytes_unsynced >= SYNC_BYTES;
        if is_due {
            self.bytes_unsynced = 0;
        }
        is_due
    }

    /// How long to wait before more is copied.
    fn early(&self) -> Option<Duration> {
        let due_s = self.bytes as f64 / self.bytes_per_second? as f64;
        let early = Duration::from_secs_f64(due_s).checked_sub(self.begun.elapsed());
        // A moment's sleep takes longer than a moment.
        early.filter(|early| *early > SLEEP_MIN)
    }
}

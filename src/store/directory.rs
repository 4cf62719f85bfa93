//! The data directory: opening it, and judging whether what is in it is what was left there.
//!
//! | name | |
//! |---|---|
//! | `lock` | held while a process has the directory open |
//! | `format` | the number of the format, in digits |
//! | `high-water-mark` | see `mark` |
//! | `database` | fjall's |
//!
//! Everything that can speak against opening is looked at before anything is changed: the format, the journals
//! (see `journal`), the high-water mark. Only what cannot be known before, the newest commit in fjall's tables, is
//! looked at after, and the journal is then put back as it was, from `journal-before-recovery`.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fjall::config::CompressionPolicy;
use fjall::{CompressionType, Keyspace, KeyspaceCreateOptions};

use crate::config;
use crate::config::Durability;

use super::fjall::{FjallStore, Parts};
use super::journal::{self, JournalError, Tail};
use super::layout::{self, CommitRow, InstanceRow, LastRun};
use super::mark::{self, Mark, MarkWriter};
use super::reader::FjallReader;
use super::removals::Removals;
use super::{OpenStore, Recovery, StoreError};

pub(super) const LOCK: &str = "lock";
pub(super) const FORMAT: &str = "format";
pub(super) const DATABASE: &str = "database";
/// Where a journal is kept that may turn out to be needed.
pub(super) const KEPT_JOURNAL: &str = "journal-before-recovery";

/// How many buffers of writes there can be: one that is being filled, and three that wait for their flush behind a
/// compaction, when writes stop.
const MEMTABLES: usize = 4;

/// One thread flushes and compacts: a second one would spin while the first is busy (fjall's first worker hands
/// every compaction back to the queue), on a machine whose cores belong to shards.
const WORKER_THREADS: usize = 1;

/// Opens the store in `config.path`, and makes it if there is none.
pub fn open(config: &config::Store) -> Result<OpenStore, StoreError> {
    let directory = Directory::new(&config.path)?;
    let mark = mark::read(&directory.path).map_err(|error| directory.unusable(error))?;
    let resources = Resources {
        cache_bytes: config.cache_bytes,
        write_buffer_bytes: config.write_buffer_bytes,
        worker_threads: WORKER_THREADS,
    };
    let found = directory.recover(mark, &resources)?;
    let instance = next_run(found.instance, mark, config.durability)
        .map_err(|error| directory.unusable(error))?;
    let recovery = recovery(&found, instance);
    let mark = MarkWriter::start(&directory.path, found.commit.number)
        .map_err(|error| directory.unusable(error))?;
    let removals = Removals::read(&found.rows).map_err(|error| directory.damaged(error))?;
    let reader = FjallReader {
        database: found.database,
        rows: found.rows,
    };
    let usage = reader.usage().map_err(|error| directory.damaged(error))?;
    let mut store = FjallStore::new(Parts {
        reader,
        removals,
        commit: found.commit,
        journal_commit: found.journal_commit.unwrap_or(found.commit.number),
        instance,
        mark,
        lock: directory.lock,
    });
    store.put_instance(instance)?;
    Ok(OpenStore {
        epoch: instance.epoch,
        identity_key: instance.identity_key,
        usage,
        recovery,
        store,
    })
}

/// What there is to say if the last run did not stop as planned.
fn recovery(found: &Recovered, now: InstanceRow) -> Option<Recovery> {
    let last = found.instance?;
    (last.last_run == LastRun::Unfinished).then_some(Recovery {
        commit: found.commit.number,
        synced_commit: found.needed_commit,
        is_cut: found.is_cut,
        is_new_epoch: now.epoch != last.epoch,
    })
}

/// The instance row of the run that begins. The epoch rises when the newest revisions may have been lost: the last
/// run did not sync what it acknowledged and did not stop cleanly, or somebody took the mark away.
fn next_run(
    last: Option<InstanceRow>,
    mark: Mark,
    durability: Durability,
) -> io::Result<InstanceRow> {
    let Some(last) = last else {
        let mut identity_key = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut identity_key)?;
        return Ok(InstanceRow {
            epoch: 1,
            identity_key,
            durability,
            last_run: LastRun::Unfinished,
        });
    };
    let is_synced = match last.durability {
        Durability::Always => true,
        Durability::Interval | Durability::Never => false,
    };
    let epoch = match last.last_run {
        // The other store has gone on, and so may have its epochs, or those of another copy: none was as late as this.
        LastRun::Copied => unix_time_s().max(last.epoch + 1),
        LastRun::Unfinished if !is_synced => last.epoch + 1,
        LastRun::Unfinished | LastRun::Stopped => last.epoch + u64::from(mark == Mark::Missing),
    };
    Ok(InstanceRow {
        epoch,
        durability,
        last_run: LastRun::Unfinished,
        ..last
    })
}

fn unix_time_s() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.unwrap_or_default().as_secs()
}

fn row<T>(
    rows: &Keyspace,
    key: &[u8],
    decode: impl FnOnce(&[u8]) -> Result<T, layout::LayoutError>,
) -> Result<Option<T>, String> {
    match rows.get(key) {
        Ok(None) => Ok(None),
        Ok(Some(bytes)) => decode(&bytes).map(Some).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Held as long as the directory is open.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// So long a directory may still be in use by somebody on the way out: a process that was killed, or that has just been
/// split off from one that had it and is to become another program.
const LOCK_WAIT: Duration = Duration::from_secs(1);
const LOCK_PERIOD: Duration = Duration::from_millis(10);

impl Lock {
    fn take(file: File, named: &Path) -> Result<Self, StoreError> {
        let until = Instant::now() + LOCK_WAIT;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(LOCK_PERIOD);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(StoreError::InUse {
                        path: named.to_owned(),
                    });
                }
                Err(TryLockError::Error(error)) => {
                    return Err(StoreError::directory(named, error));
                }
            }
        }
    }
}

/// Whether a relay, or somebody who writes to it as one does, has the store at `path` open.
pub fn is_in_use(path: &Path) -> bool {
    let lock = File::open(path.join(LOCK));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// How many tables are kept open. One more is opened again when it is read.
pub const TABLE_FILES_MAX: usize = 128;

/// What the database may take.
pub(super) struct Resources {
    pub cache_bytes: usize,
    pub write_buffer_bytes: usize,
    /// That flush and compact. Without any, nothing is written that was not before.
    pub worker_threads: usize,
}

/// A database that has all that was ever durable.
pub(super) struct Recovered {
    pub database: fjall::Database,
    pub rows: Keyspace,
    pub commit: CommitRow,
    /// The newest commit in the journals.
    pub journal_commit: Option<u64>,
    /// The newest commit that is known to have been durable.
    pub needed_commit: u64,
    /// The end of a journal was not whole.
    pub is_cut: bool,
    pub instance: Option<InstanceRow>,
}

/// What could be learned before the database was opened.
#[derive(Debug, Default)]
struct Found {
    /// The newest commit in the journals.
    journal_commit: Option<u64>,
    /// The newest commit that is known to have been durable.
    needed_commit: u64,
    /// The end of a journal was not whole.
    is_cut: bool,
}

pub(super) struct Directory {
    path: PathBuf,
    /// What it is called to people.
    named: PathBuf,
    lock: Lock,
}

impl Directory {
    pub fn new(path: &Path) -> Result<Self, StoreError> {
        Self::for_another(path, path)
    }

    /// Stands for another one, which is named wherever there is something to say.
    pub fn for_another(path: &Path, named: &Path) -> Result<Self, StoreError> {
        let unusable = |error: io::Error| StoreError::directory(named, error);
        fs::create_dir_all(path).map_err(unusable)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK))
            .map_err(unusable)?;
        let directory = Self {
            path: path.to_owned(),
            named: named.to_owned(),
            lock: Lock::take(lock, named)?,
        };
        directory.check_format()?;
        Ok(directory)
    }

    fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// Opens the database, if it has all that was ever durable.
    pub fn recover(&self, mark: Mark, resources: &Resources) -> Result<Recovered, StoreError> {
        let found = self.prepare(mark)?;
        let (database, rows) = self
            .open_database(resources)
            .map_err(|error| self.not_opened(error))?;
        let commit = row(&rows, layout::COMMIT_KEY, CommitRow::decode)
            .map_err(|reason| self.damaged(reason))?;
        let instance = row(&rows, layout::INSTANCE_KEY, InstanceRow::decode)
            .map_err(|reason| self.damaged(reason))?;
        let commit = commit.unwrap_or_default();
        if commit.number < found.needed_commit {
            drop((database, rows));
            self.put_journal_back()?;
            return Err(self.behind(found.needed_commit, commit.number));
        }
        self.forget_journal()?;
        Ok(Recovered {
            database,
            rows,
            commit,
            journal_commit: found.journal_commit,
            needed_commit: found.needed_commit,
            is_cut: found.is_cut,
            instance,
        })
    }

    /// Reads the format, or writes it into a directory that has no database or that of the format before.
    fn check_format(&self) -> Result<(), StoreError> {
        let path = self.path.join(FORMAT);
        match fs::read_to_string(&path) {
            Ok(text) if text.trim() == layout::FORMAT.to_string() => Ok(()),
            Ok(text) if text.trim() == layout::FORMAT_BEFORE.to_string() => self.put_format(),
            Ok(text) => Err(self.unknown_format(text.trim())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.database().exists() {
                    return Err(self.unknown_format("unknown"));
                }
                self.put_format()
            }
            Err(error) => Err(self.unusable(error)),
        }
    }

    /// From here on an older relay does not open the directory.
    fn put_format(&self) -> Result<(), StoreError> {
        let write = || {
            let fresh = self.path.join("format.new");
            fs::write(&fresh, format!("{}\n", layout::FORMAT))?;
            File::open(&fresh)?.sync_all()?;
            fs::rename(&fresh, self.path.join(FORMAT))?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|error| self.unusable(error))
    }

    /// Looks the journals over and cuts off what was never durable.
    fn prepare(&self, mark: Mark) -> Result<Found, StoreError> {
        self.put_journal_back()?;
        match fs::read(self.database().join("version")) {
            Ok(version) if version == journal::MAGIC => {}
            Ok(_) => return Err(self.unknown_format("of another version of fjall")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.clear(mark).map(|()| Found::default());
            }
            Err(error) => return Err(self.unusable(error)),
        }
        if mark == Mark::Damaged {
            return Err(self.damaged("no slot of its high-water mark is whole"));
        }
        let journals = journal::inspect(&self.database()).map_err(|error| match error {
            JournalError::Io(error) => self.unusable(error),
            JournalError::Damaged(reason) => self.damaged(reason),
        })?;
        let needed_commit = match mark {
            Mark::Commit(mark) => mark.max(journals.synced_commit),
            Mark::Missing | Mark::Damaged => 0,
        };
        if let Some(recovered) = journals.last_commit
            && recovered < needed_commit
        {
            return Err(self.behind(needed_commit, recovered));
        }
        if let Some(tail) = &journals.tail {
            if tail.is_torn && journals.last_commit.is_none() {
                self.keep_journal(tail)?;
            }
            tail.cut().map_err(|error| self.unusable(error))?;
        }
        Ok(Found {
            journal_commit: journals.last_commit,
            needed_commit,
            is_cut: journals.tail.is_some_and(|tail| tail.is_torn),
        })
    }

    /// There is no database, or a crash has left the beginnings of one.
    fn clear(&self, mark: Mark) -> Result<(), StoreError> {
        if let Mark::Commit(commit @ 1..) = mark {
            return Err(self.behind(commit, 0));
        }
        match fs::remove_dir_all(self.database()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.unusable(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn open_database(
        &self,
        resources: &Resources,
    ) -> Result<(fjall::Database, Keyspace), fjall::Error> {
        let database = fjall::Database::builder(self.database())
            .cache_size(resources.cache_bytes as u64)
            .worker_threads_unchecked(resources.worker_threads)
            .max_cached_files(Some(TABLE_FILES_MAX))
            // No value is long enough to be compressed, and `journal` checks what is written as it stands.
            .journal_compression(CompressionType::None)
            .open()?;
        let rows = database.keyspace("rows", || {
            KeyspaceCreateOptions::default()
                .max_memtable_size((resources.write_buffer_bytes / MEMTABLES) as u64)
                // Names and numbers are nearly always there: filters of the last level would only cost memory.
                .expect_point_read_hits(true)
                // Keys and heads of rows are much alike, and what is written stays in the upper levels for long.
                .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
        })?;
        Ok((database, rows))
    }

    fn kept_journal(&self) -> PathBuf {
        self.path.join(KEPT_JOURNAL)
    }

    fn keep_journal(&self, tail: &Tail) -> Result<(), StoreError> {
        let name = tail
            .path
            .file_name()
            .expect("a journal's path ends in its name");
        let keep = || {
            let folder = self.kept_journal();
            let fresh = self.path.join("journal-before-recovery.new");
            fs::remove_dir_all(&fresh).or_else(ignore_missing)?;
            fs::create_dir(&fresh)?;
            fs::copy(&tail.path, fresh.join(name))?;
            File::open(fresh.join(name))?.sync_all()?;
            fs::rename(fresh, folder)?;
            File::open(&self.path)?.sync_all()
        };
        keep().map_err(|error| self.unusable(error))
    }

    fn put_journal_back(&self) -> Result<(), StoreError> {
        let put_back = || {
            let entries = match fs::read_dir(self.kept_journal()) {
                Err(error) => return ignore_missing(error),
                Ok(entries) => entries,
            };
            for entry in entries {
                let entry = entry?;
                fs::rename(entry.path(), self.database().join(entry.file_name()))?;
            }
            File::open(self.database())?.sync_all()?;
            fs::remove_dir(self.kept_journal())
        };
        put_back().map_err(|error| self.unusable(error))
    }

    fn forget_journal(&self) -> Result<(), StoreError> {
        fs::remove_dir_all(self.kept_journal())
            .or_else(ignore_missing)
            .map_err(|error| self.unusable(error))
    }

    fn not_opened(&self, error: fjall::Error) -> StoreError {
        match error {
            fjall::Error::Locked => StoreError::InUse {
                path: self.named.clone(),
            },
            fjall::Error::Io(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::StorageFull
                ) =>
            {
                self.unusable(error)
            }
            error => self.damaged(error),
        }
    }

    fn unusable(&self, error: io::Error) -> StoreError {
        StoreError::directory(&self.named, error)
    }

    fn damaged(&self, reason: impl ToString) -> StoreError {
        StoreError::damaged(&self.named, reason)
    }

    fn behind(&self, mark: u64, recovered: u64) -> StoreError {
        StoreError::Behind {
            path: self.named.clone(),
            mark_path: self.named.join(mark::FILE_NAME),
            mark,
            recovered,
        }
    }

    fn unknown_format(&self, found: &str) -> StoreError {
        StoreError::UnknownFormat {
            path: self.named.clone(),
            found: found.to_owned(),
            known: layout::FORMAT,
        }
    }
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    }
}

//! The high-water mark: the last commit that is known to be on disk, in a small file of its own.
//!
//! A store that recovers less than its mark has silently lost something, and must not start. The file has two
//! slots in pages of their own, written in turns, so that a torn write leaves the other one. It may lag behind
//! the store by a fraction of a second, and never runs ahead of it.
//!
//! A thread of its own writes it, so that its sync never delays a commit's.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

pub const FILE_NAME: &str = "high-water-mark";

const MAGIC: [u8; 8] = *b"corelayM";
const SLOT_BYTES: usize = 32;
const SLOT_DISTANCE: u64 = 4096;
/// At most so often is the file written while commits go on.
const REFRESH_PERIOD: Duration = Duration::from_millis(250);

/// What the file of a data directory says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// There is no file: a directory that was just made, or somebody took it away to go on with what is left.
    Missing,
    /// No slot is whole.
    Damaged,
    Commit(u64),
}

/// Reads the mark of a data directory.
pub fn read(directory: &Path) -> io::Result<Mark> {
    let file = match File::open(directory.join(FILE_NAME)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Mark::Missing),
        Err(error) => return Err(error),
    };
    Ok(match newest_slot(&file)? {
        Some((_, commit)) => Mark::Commit(commit),
        None => Mark::Damaged,
    })
}

/// The mark of an open store. Dropping it writes nothing more.
#[derive(Debug)]
pub struct MarkWriter {
    shared: Arc<Shared>,
    thread: Option<Thread>,
    slots: Slots,
}

#[derive(Debug)]
struct Thread {
    wake: Sender<()>,
    /// Nothing is ever sent: the thread sees it go.
    end: Sender<()>,
    handle: JoinHandle<()>,
}

impl Thread {
    fn join(self) {
        drop((self.wake, self.end));
        if let Err(panic) = self.handle.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    durable: AtomicU64,
    failure: OnceLock<String>,
}

impl MarkWriter {
    /// Writes `commit`, makes the file and its name durable, and starts the thread.
    pub fn start(directory: &Path, commit: u64) -> io::Result<Self> {
        let slots = Slots::open(directory)?;
        slots.write(commit)?;
        File::open(directory)?.sync_all()?;
        let shared = Arc::new(Shared::default());
        shared.durable.store(commit, Ordering::Relaxed);
        let (wake, wakes) = bounded(1);
        let (end, ended) = bounded(0);
        let handle = std::thread::Builder::new()
            .name("corelay-mark".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                let slots = slots.clone();
                move || refresh(&shared, &slots, commit, &wakes, &ended)
            })?;
        Ok(Self {
            shared,
            thread: Some(Thread { wake, end, handle }),
            slots,
        })
    }

    /// Everything up to `commit` is durable. Fails if the file could not be written since the last call.
    pub fn advance(&self, commit: u64) -> Result<(), String> {
        self.shared.durable.store(commit, Ordering::Relaxed);
        if let Some(thread) = &self.thread {
            // A full channel means that the thread has yet to look.
            let _ = thread.wake.try_send(());
        }
        match self.shared.failure.get() {
            Some(reason) => Err(reason.clone()),
            None => Ok(()),
        }
    }

    /// Ends the thread and writes the newest commit.
    pub fn finish(mut self) -> io::Result<()> {
        self.end_thread();
        self.slots
            .write(self.shared.durable.load(Ordering::Relaxed))
    }

    fn end_thread(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join();
        }
    }
}

impl Drop for MarkWriter {
    fn drop(&mut self) {
        self.end_thread();
    }
}

fn refresh(
    shared: &Shared,
    slots: &Slots,
    mut written: u64,
    wakes: &Receiver<()>,
    end: &Receiver<()>,
) {
    while wakes.recv().is_ok() {
        let commit = shared.durable.load(Ordering::Relaxed);
        if commit != written {
            if let Err(error) = slots.write(commit) {
                let reason = format!("the high-water mark could not be written: {error}");
                shared.failure.get_or_init(|| reason);
                return;
            }
            written = commit;
        }
        if end.recv_timeout(REFRESH_PERIOD) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

/// The file, written in turns.
#[derive(Debug, Clone)]
struct Slots {
    file: Arc<File>,
    turn: Arc<AtomicU64>,
}

impl Slots {
    fn open(directory: &Path) -> io::Result<Self> {
        let path = directory.join(FILE_NAME);
        if !path.try_exists()? {
            // Under its name the file is never without a whole slot.
            let fresh = directory.join(format!("{FILE_NAME}.new"));
            std::fs::write(&fresh, encode_slot(0, 0))?;
            File::open(&fresh)?.sync_all()?;
            std::fs::rename(&fresh, &path)?;
        }
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let turn = newest_slot(&file)?.map_or(0, |(turn, _)| turn);
        Ok(Self {
            file: Arc::new(file),
            turn: Arc::new(AtomicU64::new(turn)),
        })
    }

    fn write(&self, commit: u64) -> io::Result<()> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) + 1;
        let slot = encode_slot(turn, commit);
        self.file.write_all_at(&slot, turn % 2 * SLOT_DISTANCE)?;
        self.file.sync_all()
    }
}

fn encode_slot(turn: u64, commit: u64) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..8].copy_from_slice(&MAGIC);
    slot[8..16].copy_from_slice(&turn.to_be_bytes());
    slot[16..24].copy_from_slice(&commit.to_be_bytes());
    let checksum = xxhash_rust::xxh3::xxh3_64(&slot[..24]);
    slot[24..].copy_from_slice(&checksum.to_be_bytes());
    slot
}

/// (turn, commit) of the newest slot that is whole.
fn newest_slot(file: &File) -> io::Result<Option<(u64, u64)>> {
    let mut newest = None;
    for index in 0..2 {
        let mut slot = [0; SLOT_BYTES];
        match file.read_exact_at(&mut slot, index * SLOT_DISTANCE) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
            Err(error) => return Err(error),
        }
        let number = |at: usize| {
            u64::from_be_bytes(slot[at..at + 8].try_into().expect("the range has 8 bytes"))
        };
        let (turn, commit) = (number(8), number(16));
        if slot == encode_slot(turn, commit) {
            newest = newest.max(Some((turn, commit)));
        }
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_slot_leaves_the_one_before_it() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(directory.path()).unwrap(), Mark::Missing);
        let slots = Slots::open(directory.path()).unwrap();
        for commit in [5, 6, 9] {
            slots.write(commit).unwrap();
        }
        assert_eq!(read(directory.path()).unwrap(), Mark::Commit(9));
        // The third write went to the second slot.
        for byte in 0..SLOT_BYTES as u64 {
            let at = SLOT_DISTANCE + byte;
            let mut old = [0];
            slots.file.read_exact_at(&mut old, at).unwrap();
            slots.file.write_all_at(&[old[0] ^ 0x40], at).unwrap();
            assert_eq!(read(directory.path()).unwrap(), Mark::Commit(6));
            slots.file.write_all_at(&old, at).unwrap();
        }
        slots.file.write_all_at(&[1], 0).unwrap();
        slots.file.write_all_at(&[1], SLOT_DISTANCE).unwrap();
        assert_eq!(read(directory.path()).unwrap(), Mark::Damaged);
    }

    #[test]
    fn the_mark_follows_and_ends_at_the_newest_commit() {
        let directory = tempfile::tempdir().unwrap();
        let mark = MarkWriter::start(directory.path(), 3).unwrap();
        assert_eq!(read(directory.path()).unwrap(), Mark::Commit(3));
        for commit in 4..100 {
            mark.advance(commit).unwrap();
        }
        mark.finish().unwrap();
        assert_eq!(read(directory.path()).unwrap(), Mark::Commit(99));
    }
}

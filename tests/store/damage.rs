//! Torn and flipped bytes in a real store's files: what was never synced may go, what was synced is there or the
//! store refuses to open, in words.
//!
//! CORELAY_TEST_ROUNDS makes the campaigns longer.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use corelay::config::Durability;
use corelay::store::{
    Backend, FjallStore, Loaded, LoadedDocument, MemoryStore, OpenStore, Reader, StoreError, Write,
};
use tempfile::TempDir;

use crate::support::{
    Seed, append, commit_all, compacting_snapshot, config, copy, delete, name, open, read, record,
    restore, rounds, sweep,
};

const PAGE_BYTES: u64 = 4096;
const DOCUMENTS: u64 = 5;
const MARK: &str = "high-water-mark";

type State = Vec<Loaded>;

fn state(store: &impl Reader) -> State {
    (0..DOCUMENTS)
        .map(|document| comparable(store.load(&name(document)).unwrap()))
        .collect()
}

/// Without what depends on which records share a row.
fn comparable(loaded: Loaded) -> Loaded {
    match loaded {
        Loaded::Live(loaded) => Loaded::Live(LoadedDocument {
            stored_bytes: 0,
            history_from_revision: 0,
            ..loaded
        }),
        other => other,
    }
}

/// A store with a known history, and a model of it.
struct History {
    directory: TempDir,
    store: FjallStore,
    model: MemoryStore,
    next_revisions: [u64; DOCUMENTS as usize],
    seed: Seed,
}

impl History {
    fn new(seed: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            store: open(directory.path()),
            directory,
            model: MemoryStore::new(Durability::Always),
            next_revisions: [1; DOCUMENTS as usize],
            seed: Seed(seed),
        }
    }

    /// One commit: a few appends of very different sizes, and now and then a snapshot or a deletion; or a sweep.
    fn commit(&mut self) {
        let mut writes = Vec::new();
        if self.seed.below(10) == 0 {
            return self.write(&[sweep(u64::MAX)]);
        }
        for _ in 0..1 + self.seed.below(4) {
            let document = self.seed.below(DOCUMENTS);
            // Of what is not deleted it changes nothing.
            writes.push(restore(&name(document)));
            let next_revision = &mut self.next_revisions[document as usize];
            let count = 1 + self.seed.below(3) as u32;
            let size = match self.seed.below(8) {
                0 => self.seed.below(60_000),
                1 => self.seed.below(6_000),
                _ => self.seed.below(200),
            };
            let bytes = record(document, *next_revision, size as usize);
            writes.push(append(&name(document), *next_revision, count, bytes));
            *next_revision += u64::from(count);
            if self.seed.below(12) == 0 {
                let revision = *next_revision - 1 - self.seed.below(u64::from(count));
                let size = self.seed.below(30_000) as usize;
                let bytes = record(99, revision, size);
                writes.push(compacting_snapshot(
                    &name(document),
                    revision,
                    bytes,
                    revision / 2,
                ));
            }
            if self.seed.below(10) == 0 {
                writes.push(delete(&name(document), 1));
            }
        }
        self.write(&writes);
    }

    fn write(&mut self, writes: &[Write]) {
        self.model.commit(writes).unwrap();
        commit_all(&mut self.store, writes);
    }

    fn commits(&mut self, count: u64) {
        for _ in 0..count {
            self.commit();
            self.store.sync().unwrap();
        }
    }

    fn close(self) -> (TempDir, State) {
        let state = state(&self.model);
        self.store.close().unwrap();
        (self.directory, state)
    }

    /// Closed and opened: the journal's preallocation is gone, so that its length is where it ends.
    fn reopen(mut self) -> Self {
        self.store.close().unwrap();
        self.store = open(self.directory.path());
        self
    }
}

/// The journals, oldest first.
fn journals(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory.join("database")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut journals: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|e| e == "jnl"))
        .collect();
    journals.sort_by_key(|path| {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        stem.parse::<u64>().unwrap()
    });
    journals
}

fn journal(directory: &Path) -> PathBuf {
    journals(directory).pop().unwrap()
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

fn try_open(directory: &Path) -> Result<OpenStore, StoreError> {
    corelay::store::open(&config(directory, Durability::Always))
}

/// The store goes on where it is.
fn check_goes_on(open: OpenStore, directory: &Path) {
    let mut store = open.store;
    let restores: Vec<_> = (0..DOCUMENTS).map(|d| restore(&name(d))).collect();
    commit_all(&mut store, &restores);
    let before = state(&store);
    let writes: Vec<_> = (0..DOCUMENTS)
        .map(|document| {
            let next = next_revision(&store, &name(document));
            append(&name(document), next, 1, "one more")
        })
        .collect();
    commit_all(&mut store, &writes);
    store.close().unwrap();
    let store = crate::support::open(directory);
    for (before, after) in before.into_iter().zip(state(&store)) {
        let mut records = match before {
            Loaded::Live(before) => before.records,
            Loaded::Unknown | Loaded::Gone { .. } => Vec::new(),
            Loaded::Deleted { .. } => panic!("it was restored"),
        };
        records.push(Bytes::from("one more"));
        assert!(matches!(after, Loaded::Live(after) if after.records == records));
    }
}

/// By trying: the store refuses what does not continue a document, and a reader cannot see counts.
fn next_revision(store: &FjallStore, document: &str) -> u64 {
    let from = match store.load(document).unwrap() {
        Loaded::Live(loaded) => loaded.history_from_revision,
        Loaded::Gone { revision } => return revision + 1,
        Loaded::Unknown => 1,
        Loaded::Deleted { .. } => panic!("it was restored"),
    };
    let is_there = |at| !read(store, document, at, at).is_empty();
    (from..).find(|revision| !is_there(*revision)).unwrap()
}

/// Zeroes some of the pages that `range` touches, inside it.
fn zero_pages(file: &File, range: std::ops::Range<u64>, seed: &mut Seed) {
    let first = range.start / PAGE_BYTES + seed.below((range.end - range.start) / PAGE_BYTES + 1);
    let pages = 1 + seed.below(4);
    for page in first..first + pages {
        let start = (page * PAGE_BYTES).max(range.start);
        let end = ((page + 1) * PAGE_BYTES).min(range.end);
        if start < end {
            let zeros = vec![0; (end - start) as usize];
            file.write_all_at(&zeros, start).unwrap();
        }
    }
}

fn tear_the_unsynced_tail(unsynced: u64, seed: u64) {
    let mut history = History::new(seed);
    history.commits(20);
    let mut history = history.reopen();
    history.commits(5);
    let path = journal(history.directory.path());
    let synced_bytes = length(&path);
    let mut states = vec![state(&history.model)];
    for _ in 0..unsynced {
        history.commit();
        states.push(state(&history.model));
    }
    // A large value at the very end, with whole pages inside it.
    let document = 0;
    let next = history.next_revisions[0];
    let bytes = record(document, next, 50_000);
    let writes = [
        restore(&name(document)),
        append(&name(document), next, 1, bytes),
    ];
    history.write(&writes);
    states.push(state(&history.model));
    let written_bytes = length(&path);
    assert!(written_bytes > synced_bytes + 50_000);
    let image = tempfile::tempdir().unwrap();
    copy(history.directory.path(), image.path());
    drop(history.store);

    let mut seed = Seed(seed);
    let mut survivors = vec![0; states.len()];
    for round in 0..rounds(40) {
        let torn = tempfile::tempdir().unwrap();
        copy(image.path(), torn.path());
        let path = journal(torn.path());
        let file = File::options().write(true).open(&path).unwrap();
        let cut = synced_bytes + seed.below(written_bytes - synced_bytes + 1);
        match seed.below(4) {
            0 => file.set_len(cut).unwrap(),
            1 => {
                // The length had grown, the content never came.
                file.set_len(cut).unwrap();
                file.set_len(written_bytes).unwrap();
            }
            2 => zero_pages(&file, synced_bytes..written_bytes, &mut seed),
            _ => {
                zero_pages(&file, synced_bytes..written_bytes, &mut seed);
                zero_pages(&file, synced_bytes..written_bytes, &mut seed);
            }
        }
        drop(file);
        let open = match try_open(torn.path()) {
            Ok(open) => open,
            Err(error) => panic!("round {round}: only what was never synced was torn, but {error}"),
        };
        let found = state(&open.store);
        let whole = states.iter().position(|state| *state == found);
        let whole = whole.expect("the synced commits and a first part of the others are there");
        survivors[whole] += 1;
        check_goes_on(open, torn.path());
    }
    assert!(survivors[0] > 0, "no round has torn the first commit");
    let open = try_open(image.path()).unwrap_or_else(|error| panic!("{error}"));
    assert!(state(&open.store) == states[states.len() - 1]);
}

#[test]
fn a_torn_batch_is_gone_and_nothing_else() {
    tear_the_unsynced_tail(0, 1);
}

#[test]
fn of_several_torn_batches_a_first_part_is_left() {
    tear_the_unsynced_tail(6, 12);
}

/// Flips some bits between the start and `bytes` of a file.
fn flip(path: &Path, bytes: u64, seed: &mut Seed) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    for _ in 0..1 + seed.below(2) {
        let at = seed.below(bytes);
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        let flipped = byte[0] ^ (1 + seed.below(255)) as u8;
        file.write_all_at(&[flipped], at).unwrap();
    }
}

fn check_refused(error: &StoreError) {
    match error {
        StoreError::Damaged { .. } | StoreError::Behind { .. } => {
            assert!(error.to_string().contains("estore"), "{error}");
        }
        StoreError::Directory { .. }
        | StoreError::InUse { .. }
        | StoreError::NoStore { .. }
        | StoreError::NoShadow { .. }
        | StoreError::UnknownFormat { .. }
        | StoreError::Failed { .. } => panic!("not said as what it is: {error}"),
    }
}

/// Opens a damaged image: everything is there, or it is refused and unchanged. Returns whether it was refused.
fn check_damaged(directory: &Path, expected: &State) -> bool {
    let read = || {
        let paths = journals(directory).into_iter();
        paths
            .map(|path| fs::read(path).unwrap())
            .collect::<Vec<_>>()
    };
    let before = read();
    match try_open(directory) {
        Ok(open) => {
            assert!(
                state(&open.store) == *expected,
                "acknowledged operations are gone"
            );
            check_goes_on(open, directory);
            false
        }
        Err(error) => {
            check_refused(&error);
            assert!(
                read() == before,
                "a refusal leaves the journals as they were"
            );
            true
        }
    }
}

#[test]
fn a_flipped_bit_in_the_synced_part_is_refused() {
    let mut history = History::new(3);
    history.commits(40);
    let (image, expected) = history.reopen().close();
    let bytes = length(&journal(image.path()));
    let mut seed = Seed(3);
    let mut refused = 0;
    let rounds = rounds(120);
    for _ in 0..rounds {
        let damaged = tempfile::tempdir().unwrap();
        copy(image.path(), damaged.path());
        flip(&journal(damaged.path()), bytes, &mut seed);
        refused += u64::from(check_damaged(damaged.path(), &expected));
    }
    assert!(refused > rounds / 2, "{refused} of {rounds}");
}

#[test]
fn a_flipped_bit_is_refused_even_when_the_mark_lags() {
    let mut history = History::new(4);
    history.commits(10);
    let mut history = history.reopen();
    let old_mark = fs::read(history.directory.path().join(MARK)).unwrap();
    history.commits(30);
    // The last commits may be what was being written when it crashed.
    let path = journal(history.directory.path());
    let bytes = length(&path);
    history.commits(2);
    let expected = state(&history.model);
    let image = tempfile::tempdir().unwrap();
    copy(history.directory.path(), image.path());
    fs::write(image.path().join(MARK), old_mark).unwrap();

    let mut seed = Seed(4);
    let mut refused = 0;
    for _ in 0..rounds(60) {
        let damaged = tempfile::tempdir().unwrap();
        copy(image.path(), damaged.path());
        flip(&journal(damaged.path()), bytes, &mut seed);
        refused += u64::from(check_damaged(damaged.path(), &expected));
    }
    assert!(refused > 0);
}

/// Makes a second journal of what follows byte `at` of the only one.
fn split_journal(directory: &Path, at: u64) {
    let path = journal(directory);
    let bytes = fs::read(&path).unwrap();
    let (sealed, active) = bytes.split_at(at as usize);
    let number: u64 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    fs::write(path.with_file_name(format!("{}.jnl", number + 1)), active).unwrap();
    fs::write(&path, sealed).unwrap();
}

#[test]
fn a_flipped_bit_in_a_sealed_journal_is_refused() {
    let mut history = History::new(5);
    history.commits(10);
    let mut history = history.reopen();
    history.commits(20);
    let at = length(&journal(history.directory.path()));
    history.commits(20);
    let (image, expected) = history.close();
    split_journal(image.path(), at);

    let mut seed = Seed(5);
    let mut refused = 0;
    for round in 0..rounds(60) {
        let damaged = tempfile::tempdir().unwrap();
        copy(image.path(), damaged.path());
        let sealed = &journals(damaged.path())[0];
        match round % 6 {
            // The image as it is must open, or the rig shows nothing.
            0 => assert!(!check_damaged(damaged.path(), &expected)),
            1 => {
                let file = File::options().write(true).open(sealed).unwrap();
                file.set_len(seed.below(at)).unwrap();
                assert!(check_damaged(damaged.path(), &expected));
            }
            _ => {
                flip(sealed, at, &mut seed);
                refused += u64::from(check_damaged(damaged.path(), &expected));
            }
        }
    }
    assert!(refused > 0);
}

/// A closed store with its history in tables, and nothing but the last run's start and end in its journal. Gives
/// the mark from before that run, too.
fn history_in_tables(seed: u64) -> (TempDir, State, Vec<u8>) {
    let mut history = History::new(seed);
    history.commits(30);
    let (image, expected) = history.close();
    let old_mark = fs::read(image.path().join(MARK)).unwrap();
    // With an empty journal behind it, the full one counts as sealed, and goes to tables.
    let sealed = journal(image.path());
    split_journal(image.path(), length(&sealed));
    let store = open(image.path());
    while journals(image.path()).len() > 1 {
        std::thread::yield_now();
    }
    store.close().unwrap();
    assert_ne!(journal(image.path()), sealed);
    (image, expected, old_mark)
}

#[test]
fn a_journal_without_a_whole_batch_is_judged_by_the_tables() {
    let (image, expected, old_mark) = history_in_tables(6);
    let path = journal(image.path());
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(20).unwrap();
    let torn = fs::read(&path).unwrap();
    // The start and the clean end of the last run were synced, and are gone.
    for _ in 0..2 {
        let error = try_open(image.path()).err().expect("commits are gone");
        assert!(matches!(error, StoreError::Behind { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), torn);
    }
    // With the mark from before that run, the torn batch is what was being written at a crash.
    fs::write(image.path().join(MARK), old_mark).unwrap();
    let open = try_open(image.path()).unwrap_or_else(|error| panic!("{error}"));
    assert!(state(&open.store) == expected);
    check_goes_on(open, image.path());
}

#[test]
fn a_batch_that_would_count_as_flushed_before_is_refused() {
    let (image, ..) = history_in_tables(9);
    // fjall's own number of the first batch, which its checksum leaves out.
    let file = File::options().write(true).open(journal(image.path()));
    file.unwrap().write_all_at(&[0; 8], 5).unwrap();
    check_refused(&try_open(image.path()).err().expect("it would be skipped"));
}

#[test]
fn a_flipped_bit_in_a_table_never_shows_anything_else() {
    let (image, expected, _) = history_in_tables(10);
    let mut seed = Seed(10);
    let mut noticed = 0;
    for _ in 0..rounds(60) {
        let damaged = tempfile::tempdir().unwrap();
        copy(image.path(), damaged.path());
        let tables = fs::read_dir(damaged.path().join("database/keyspaces/1/tables")).unwrap();
        let mut tables: Vec<_> = tables.map(|table| table.unwrap().path()).collect();
        tables.sort();
        let table = &tables[seed.below(tables.len() as u64) as usize];
        flip(table, length(table), &mut seed);
        let store = match try_open(damaged.path()) {
            Ok(open) => open.store,
            Err(error) => {
                check_refused(&error);
                noticed += 1;
                continue;
            }
        };
        for document in 0..DOCUMENTS {
            match store.load(&name(document)) {
                Ok(found) => assert!(comparable(found) == expected[document as usize]),
                Err(_) => noticed += 1,
            }
        }
    }
    assert!(noticed > 0);
}

#[test]
fn who_deletes_the_mark_goes_on_with_what_is_left_in_a_new_epoch() {
    let mut history = History::new(7);
    history.commits(10);
    let mut history = history.reopen();
    history.commits(10);
    let expected = state(&history.model);
    let at = length(&journal(history.directory.path()));
    history.commits(10);
    let (image, _) = history.close();
    let file = File::options()
        .write(true)
        .open(journal(image.path()))
        .unwrap();
    file.write_all_at(&[0xff], at).unwrap();
    let error = try_open(image.path()).err().expect("commits are gone");
    assert!(error.to_string().contains("delete the file"), "{error}");
    fs::remove_file(image.path().join(MARK)).unwrap();
    let open = try_open(image.path()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(open.epoch, 2);
    assert!(state(&open.store) == expected);
    check_goes_on(open, image.path());
}

#[test]
fn a_mark_without_a_whole_slot_is_refused() {
    let mut history = History::new(8);
    history.commits(3);
    let (image, _) = history.close();
    fs::write(image.path().join(MARK), [0; 8192]).unwrap();
    let error = try_open(image.path()).err().expect("the mark is gone");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

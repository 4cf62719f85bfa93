//! A store that cannot write its tables any more: the journals take what comes for a while, and then nothing does.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use corelay::config::{self, Durability};
use corelay::store::Backend;

use crate::support::{append, config, load, record};

const BUFFER_BYTES: usize = 5 * 1024 * 1024;
const RECORD_BYTES: usize = 500_000;

/// The folders of tables, and where they are while they are gone.
fn tables(directory: &Path) -> Vec<(PathBuf, PathBuf)> {
    let keyspaces = directory.join("database/keyspaces");
    let keyspaces = fs::read_dir(keyspaces).expect("there are some");
    let moves = keyspaces.map(|keyspace| {
        let path = keyspace.expect("it can be read").path();
        (path.join("tables"), path.join("tables-away"))
    });
    moves.filter(|(tables, _)| tables.exists()).collect()
}

#[test]
fn when_nothing_can_be_flushed_a_commit_fails_and_does_not_wait_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    // Four buffers share it.
    let config = config::Store {
        write_buffer_bytes: 4 * BUFFER_BYTES,
        ..config(directory.path(), Durability::Always)
    };
    let mut store = corelay::store::open(&config).unwrap().store;
    let tables = tables(directory.path());
    assert!(!tables.is_empty());
    for (here, away) in &tables {
        fs::rename(here, away).unwrap();
    }
    let (sender, failure) = mpsc::channel();
    let writer = std::thread::spawn(move || {
        let mut revision = 0;
        loop {
            let bytes = record(1, revision + 1, RECORD_BYTES);
            let written = store.commit(&[append("a", revision + 1, 1, bytes)]);
            match written.and_then(|_| store.sync()) {
                Ok(()) => revision += 1,
                Err(error) => {
                    let _ = sender.send(error);
                    return revision;
                }
            }
        }
    });
    let error = failure.recv_timeout(Duration::from_secs(60));
    let error = error.expect("it neither waits for ever nor takes everything");
    let error = error.to_string();
    assert!(
        error.contains("could not be brought to its tables"),
        "{error}"
    );
    let revision = writer.join().expect("it has ended");

    // What it took until then is in the journals.
    for (here, away) in &tables {
        fs::rename(away, here).unwrap();
    }
    let store = corelay::store::open(&config).unwrap().store;
    let records = load(&store, "a").records;
    assert!(records.len() as u64 >= revision && revision > 0);
    for (revision, found) in (1..).zip(records) {
        assert!(found == record(1, revision, RECORD_BYTES), "{revision}");
    }
}

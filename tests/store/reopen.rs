//! What outlives a process: documents, the identity of the store, and the memory of how its last run ended.

use std::path::Path;
use std::process::Command;

use corelay::config::Durability;
use corelay::store::{Backend, Loaded, MemoryStore, Reader, StoreError, StoreReply, StoreRequest};

use crate::support::{
    append, commit_all, compacting_snapshot, config, delete, load, open, open_as, record, restore,
    snapshot, sweep,
};

/// Set for the child process that tries to open a directory that is in use.
const CHILD_DIRECTORY: &str = "CORELAY_TEST_OPENS";

#[test]
fn documents_and_snapshots_are_there_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut before = Vec::new();
    for round in 0..4u64 {
        let mut store = open(directory.path());
        for (document, found) in ["a", "b", "c"].iter().zip(&before) {
            assert_eq!(&load(&store, document), found);
        }
        for document in ["a", "b", "c"] {
            let first = 1 + round * 6;
            let writes = [
                append(document, first, 2, record(round, first, 100)),
                append(document, first + 2, 4, record(round, first, 400_000)),
            ];
            commit_all(&mut store, &writes);
        }
        let state = record(round, 99, 1_500_000);
        commit_all(&mut store, &[snapshot("b", round * 6 + 1, state)]);
        before = ["a", "b", "c"]
            .map(|document| load(&store, document))
            .into();
        assert_eq!(before[0].records.len() as u64, 2 * (round + 1));
        assert_eq!(before[1].records.len(), 2);
        // Every other time it goes without a word, as after a kill.
        if round % 2 == 0 {
            store.close().unwrap();
        }
    }
}

#[test]
fn what_tenants_have_stored_is_known_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let usage = || -> Vec<_> {
        let open = open_as(directory.path(), Durability::Always);
        let usage = open.usage.iter();
        usage
            .map(|of| (of.tenant.to_string(), of.documents, of.bytes))
            .collect()
    };
    assert_eq!(usage(), []);
    let mut store = open(directory.path());
    for document in ["acme::a", "acme::b", "acme::c", "beta::a", "x", "::x::y"] {
        commit_all(&mut store, &[append(document, 1, 4, record(1, 1, 5000))]);
    }
    let of = |tenant: &str, documents, bytes| (tenant.to_owned(), documents, bytes);
    // An append says nothing about the sum until the next snapshot does.
    commit_all(&mut store, &[append("acme::a", 5, 1, record(1, 2, 100))]);
    commit_all(&mut store, &[append("acme::b", 5, 1, record(1, 2, 100))]);
    commit_all(&mut store, &[snapshot("acme::b", 5, record(1, 3, 3000))]);
    drop(store);
    let expected = [
        of("", 2, 10_000),
        of("acme", 3, 18_100),
        of("beta", 1, 5000),
    ];
    assert_eq!(usage(), expected);

    let mut store = open(directory.path());
    // What was appended in the run before is not forgotten, and what is compacted is.
    let writes = [
        compacting_snapshot("acme::a", 5, record(1, 3, 3000), 4),
        delete("beta::a", 50),
        delete("acme::b", 50),
        delete("acme::c", 50),
        restore("acme::b"),
    ];
    commit_all(&mut store, &writes);
    assert_eq!(load(&store, "acme::a").stored_bytes, 3100);
    drop(store);
    assert_eq!(usage(), [of("", 2, 10_000), of("acme", 2, 3100 + 8100)]);
}

#[test]
fn what_is_deleted_swept_or_compacted_goes_on_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    for document in ["a", "b", "c"] {
        commit_all(&mut store, &[append(document, 1, 3, "one to three")]);
    }
    commit_all(&mut store, &[delete("a", 50), delete("b", 60)]);
    commit_all(&mut store, &[sweep(51)]);
    commit_all(&mut store, &[compacting_snapshot("c", 3, "state", 3)]);
    drop(store);

    let mut store = open(directory.path());
    assert_eq!(store.load("a"), Ok(Loaded::Gone { revision: 3 }));
    assert_eq!(store.load("b"), Ok(Loaded::Deleted { at_ms: 60 }));
    commit_all(&mut store, &[append("a", 4, 1, "four")]);
    commit_all(&mut store, &[append("c", 4, 1, "four")]);
    commit_all(&mut store, &[sweep(61)]);
    drop(store);

    let mut store = open(directory.path());
    for document in ["a", "c"] {
        assert_eq!(load(&store, document).records, ["four"]);
        assert_eq!(load(&store, document).history_from_revision, 4);
    }
    commit_all(&mut store, &[append("b", 4, 1, "four")]);
    assert_eq!(load(&store, "b").first_revision, 4);
}

#[test]
fn the_identity_is_made_once() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = open_as(one.path(), Durability::Always);
    let key = first.identity_key;
    drop(first);
    assert_eq!(open_as(one.path(), Durability::Never).identity_key, key);
    assert_ne!(open_as(two.path(), Durability::Always).identity_key, key);
}

#[test]
fn the_epoch_rises_only_when_revisions_may_be_lost() {
    use Durability::{Always, Interval, Never};
    let directory = tempfile::tempdir().unwrap();
    // (mode, ends cleanly, epoch at its start)
    let runs = [
        (Always, false, 1),
        (Always, true, 1),
        (Interval, true, 1),
        (Never, true, 1),
        (Interval, false, 1),
        (Always, false, 2),
        (Never, false, 2),
        (Never, false, 3),
        (Always, true, 4),
        (Always, true, 4),
    ];
    for (run, (durability, ends_cleanly, epoch)) in runs.into_iter().enumerate() {
        let open = open_as(directory.path(), durability);
        assert_eq!(open.epoch, epoch, "run {run}");
        if ends_cleanly {
            open.store.close().unwrap();
        }
    }
}

#[test]
fn a_directory_is_opened_by_one_process_only() {
    if let Ok(path) = std::env::var(CHILD_DIRECTORY) {
        let result = corelay::store::open(&config(Path::new(&path), Durability::Always));
        let error = result.err().expect("the parent has it open");
        assert!(matches!(error, StoreError::InUse { .. }));
        println!("{error}");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "reopen::a_directory_is_opened_by_one_process_only",
        ])
        .arg("--nocapture")
        .env(CHILD_DIRECTORY, directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}");
    assert!(said.contains("is in use by another process"), "{said}");
    drop(store);
    open(directory.path());
}

#[test]
fn an_unknown_format_is_refused_in_words() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).close().unwrap();
    std::fs::write(directory.path().join("format"), "1\n").unwrap();
    let error = refusal(directory.path());
    assert!(matches!(error, StoreError::UnknownFormat { .. }));
    assert!(error.to_string().contains("has format 1"), "{error}");

    std::fs::remove_file(directory.path().join("format")).unwrap();
    assert!(matches!(
        refusal(directory.path()),
        StoreError::UnknownFormat { .. }
    ));
}

#[test]
fn a_path_that_is_no_directory_is_refused_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, "x").unwrap();
    let error = refusal(&path);
    assert!(matches!(error, StoreError::Directory { .. }));
    assert!(error.to_string().contains("store.path"), "{error}");
}

#[test]
fn a_lost_database_is_behind_its_mark() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    store.commit(&[append("a", 1, 1, "x")]).unwrap();
    store.close().unwrap();
    std::fs::remove_dir_all(directory.path().join("database")).unwrap();
    assert!(matches!(
        refusal(directory.path()),
        StoreError::Behind { recovered: 0, .. }
    ));

    // Who wants to go on with what is left can, in a new epoch if there is anything to continue.
    std::fs::remove_file(directory.path().join("high-water-mark")).unwrap();
    let open = open_as(directory.path(), Durability::Always);
    assert_eq!(open.store.load("a"), Ok(Loaded::Unknown));
}

#[test]
fn the_beginnings_of_a_database_are_begun_again() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).close().unwrap();
    // What a crash leaves before the first commit: no mark, and a database without its version.
    std::fs::remove_file(directory.path().join("high-water-mark")).unwrap();
    std::fs::remove_file(directory.path().join("database/version")).unwrap();
    let mut store = open(directory.path());
    commit_all(&mut store, &[append("a", 1, 1, "x")]);
    store.close().unwrap();
    assert_eq!(load(&open(directory.path()), "a").records, ["x"]);
}

#[test]
fn a_crash_of_the_store_in_memory_keeps_what_was_synced() {
    let mut store = MemoryStore::new(Durability::Interval);
    let commit = |store: &mut MemoryStore, revision| {
        let write = append("a", revision, 1, revision.to_string());
        store.commit(&[write]).unwrap();
    };
    commit(&mut store, 1);
    store.sync().unwrap();
    for revision in 2..=5 {
        commit(&mut store, revision);
    }
    assert_eq!(store.unsynced_commits(), 4);
    store.crash(2);
    assert_eq!(load(&store, "a").records, ["1", "2", "3"]);
    assert_eq!(store.epoch(), 2);
    store.crash(0);
    assert_eq!(load(&store, "a").records, ["1", "2", "3"]);
    commit(&mut store, 4);
    store.crash(0);
    assert_eq!(load(&store, "a").records, ["1", "2", "3"]);
}

#[test]
fn the_store_in_memory_serves_requests() {
    let document = || corelay::store::DocumentRef {
        name: "a".into(),
        token: 7,
    };
    let mut store = MemoryStore::new(Durability::Always);
    let appended = store.handle(
        StoreRequest::Append {
            document: document(),
            kind: "log".into(),
            first_revision: 1,
            count: 3,
            record: "x".into(),
        },
        1234,
    );
    let expected = StoreReply::Appended {
        token: 7,
        revision: 3,
        persisted_at_ms: 1234,
    };
    assert_eq!(appended, expected);
    let loaded = store.handle(
        StoreRequest::Load {
            document: document(),
        },
        1235,
    );
    let StoreReply::Loaded { token: 7, result } = loaded else {
        panic!("{loaded:?}");
    };
    let Ok(Loaded::Live(loaded)) = result else {
        panic!("{result:?}");
    };
    assert_eq!(loaded.records, ["x"]);
    store.crash(0);
    let loaded = store.handle(
        StoreRequest::Load {
            document: document(),
        },
        1236,
    );
    let result = Ok(Loaded::Unknown);
    assert_eq!(loaded, StoreReply::Loaded { token: 7, result });
}

fn refusal(path: &Path) -> StoreError {
    match corelay::store::open(&config(path, Durability::Always)) {
        Ok(_) => panic!("it opens"),
        Err(error) => error,
    }
}

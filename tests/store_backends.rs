//! Every store behaves the same: one set of tests, run against the embedded store and the one in memory.

mod store_support;

use corelay::config::Durability;
use corelay::store::{Backend, Loaded, MemoryStore, Page, Reader, StoreError, Write};
use proptest::collection::vec;
use proptest::prelude::*;

use store_support::{append, commit_all, load, on_each, open, read, record, snapshot};

#[test]
fn a_document_begins_with_its_first_append() {
    on_each(|store| {
        assert_eq!(store.load("a"), Ok(Loaded::Unknown));
        assert_eq!(read(store, "a", 1, 10), [""; 0]);
        commit_all(store, &[append("a", 1, 2, "one, two")]);
        commit_all(
            store,
            &[
                append("a", 3, 1, "three"),
                append("b", 1, 1, "another"),
                append("a", 4, 3, ""),
            ],
        );
        let found = load(store, "a");
        assert_eq!(&*found.kind, "log");
        assert_eq!(found.snapshot, None);
        assert_eq!(found.records, ["one, two", "three", ""]);
        assert_eq!(load(store, "b").records, ["another"]);
        assert_eq!(store.load(""), Ok(Loaded::Unknown));
    });
}

#[test]
fn a_snapshot_takes_the_place_of_what_it_covers() {
    on_each(|store| {
        let records = [record(1, 1, 10), record(1, 3, 10), record(1, 6, 10)];
        let [one, two, three] = records.clone();
        commit_all(
            store,
            &[
                append("a", 1, 2, one),
                append("a", 3, 3, two),
                append("a", 6, 1, three),
            ],
        );
        for (revision, left) in [(0, 0), (2, 1), (3, 1), (5, 2), (6, 3)] {
            for size in [0, 1, 2048, 2049, 3_000_000] {
                let state = record(2, revision, size);
                commit_all(store, &[snapshot("a", revision, state.clone())]);
                let found = load(store, "a");
                assert_eq!(found.snapshot, Some((revision, state)));
                assert_eq!(found.records, records[left..]);
            }
        }
        // What it covers can still be read.
        assert_eq!(read(store, "a", 1, 6), records);
    });
}

#[test]
fn several_snapshots_of_one_document_in_one_commit_leave_the_last() {
    on_each(|store| {
        commit_all(store, &[append("a", 1, 5, "x")]);
        for round in 0..4u64 {
            let writes = (1..=5).map(|revision| {
                let size = 700_000 * ((revision + round) % 3) as usize;
                snapshot("a", revision, record(round, revision, size))
            });
            let last = record(round, 5, 700_000 * ((5 + round) % 3) as usize);
            commit_all(store, &writes.collect::<Vec<_>>());
            assert_eq!(load(store, "a").snapshot, Some((5, last)));
        }
    });
}

#[test]
fn large_records_come_back_whole() {
    on_each(|store| {
        let sizes = [0, 2031, 2032, 2033, 4079, 4080, 4081, 300_000, 9_000_000];
        let records: Vec<_> = (1..)
            .zip(sizes)
            .map(|(revision, size)| record(7, revision, size))
            .collect();
        let appends = |document| -> Vec<_> {
            let records = (1..).zip(records.clone());
            records
                .map(|(revision, record)| append(document, revision, 1, record))
                .collect()
        };
        commit_all(store, &appends("together"));
        for write in appends("alone") {
            commit_all(store, &[write]);
        }
        for document in ["together", "alone"] {
            assert!(load(store, document).records == records);
            for (revision, record) in (1..).zip(&records) {
                assert!(read(store, document, revision, revision) == [record]);
            }
        }
    });
}

#[test]
fn an_empty_or_reversed_range_has_nothing() {
    on_each(|store| {
        commit_all(store, &[append("a", 1, 5, "x")]);
        assert_eq!(read(store, "a", 6, 9), [""; 0]);
        assert_eq!(read(store, "a", 4, 2), [""; 0]);
        let page = Page::Records(vec!["x".into()]);
        assert_eq!(store.read("a", 5, u64::MAX, 0), Ok(page));
    });
}

#[test]
fn what_does_not_continue_a_document_is_refused() {
    let wrong = [
        append("a", 2, 1, "again"),
        append("a", 4, 1, "past a gap"),
        append("a", 3, 0, "nothing"),
        append("b", 2, 1, "not from the start"),
        Write::Append {
            document: "a".into(),
            kind: "text".into(),
            first_revision: 3,
            count: 1,
            record: "another kind".into(),
        },
        snapshot("b", 0, "of nothing"),
        snapshot("a", 3, "of the future"),
    ];
    for write in wrong {
        on_each(|store| {
            commit_all(store, &[append("a", 1, 2, "one, two")]);
            let result = store.commit(std::slice::from_ref(&write));
            assert!(
                matches!(result, Err(StoreError::Failed { .. })),
                "{result:?}"
            );
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_range_of_any_history_reads_the_same(
        commits in vec(vec((1u32..4, 0usize..5000), 1..5), 1..8),
        ranges in vec((1u64..80, 1u64..80, 0usize..20_000), 20),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut embedded = open(directory.path());
        let mut memory = MemoryStore::new(Durability::Always);
        let mut next_revision = 1;
        for commit in commits {
            let mut writes = Vec::new();
            for (count, size) in commit {
                writes.push(append("a", next_revision, count, record(1, next_revision, size)));
                next_revision += u64::from(count);
            }
            embedded.commit(&writes).unwrap();
            memory.commit(&writes).unwrap();
        }
        prop_assert_eq!(load(&embedded, "a"), load(&memory, "a"));
        for (from, to, bytes_max) in ranges {
            prop_assert_eq!(
                embedded.read("a", from, to, bytes_max).unwrap(),
                memory.read("a", from, to, bytes_max).unwrap()
            );
        }
    }
}

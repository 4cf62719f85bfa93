//! Every store behaves the same: one set of tests, run against the embedded store and the one in memory.

use bytes::Bytes;
use corelay::codec::record::{OperationsRecord, encode_operations, operations_range};
use corelay::config::Durability;
use corelay::store::{
    Backend, HistoryError, HistoryRange, HistoryStart, Loaded, MemoryStore, Page, Reader,
    StoreError, StoredVersion, VersionError, Write,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{
    append, commit_all, compacting_snapshot, delete, load, on_each, open, read, record, restore,
    snapshot, sweep,
};

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

/// A record of so many operations that took its place at `time_ms`.
fn record_at(revision: u64, count: usize, bytes: usize, time_ms: u64) -> Bytes {
    encode_operations(&OperationsRecord {
        revision,
        origin: 7,
        first_clock: revision - 1,
        operations: vec![vec![b'x'; bytes].into(); count],
        time_ms,
        author: "ada".into(),
    })
}

fn range(start: HistoryStart, newest_first: bool) -> HistoryRange {
    HistoryRange {
        start,
        newest_first,
        until_revision: u64::MAX,
        records_max: usize::MAX,
        bytes_max: usize::MAX,
    }
}

#[test]
fn a_history_is_read_in_both_directions() {
    on_each(|store| {
        // Rows of one piece and of many, of one record and of many, and a commit that takes two rows.
        let mut records = Vec::new();
        let mut revision = 1;
        for (commit, sizes) in [
            &[10, 20][..],
            &[3000],
            &[5],
            &[200_000, 100, 200_000],
            &[1, 2],
        ]
        .iter()
        .enumerate()
        {
            let mut writes = vec![append("other", 1 + commit as u64, 1, "")];
            for (number, bytes) in sizes.iter().enumerate() {
                let count = 1 + number;
                let record = record_at(revision, count, *bytes, 10 * (1 + commit as u64));
                writes.push(append("a", revision, count as u32, record.clone()));
                records.push((revision, record));
                revision += count as u64;
            }
            commit_all(store, &writes);
        }
        let newest = revision - 1;
        for newest_first in [false, true] {
            for from in 0..=newest + 1 {
                for until in [newest, newest - 2, u64::MAX] {
                    for (records_max, bytes_max) in
                        [(99, usize::MAX), (2, usize::MAX), (99, 1), (99, 3100)]
                    {
                        let range = HistoryRange {
                            until_revision: until,
                            records_max,
                            bytes_max,
                            ..range(HistoryStart::Revision(from), newest_first)
                        };
                        let found = store.history("a", &range).unwrap();
                        let newest = newest.min(until);
                        assert_eq!((found.first_revision, found.newest_revision), (1, newest));
                        let has = |(first, record): &&(u64, Bytes)| {
                            let (_, count) = operations_range(record).unwrap();
                            match newest_first {
                                true => *first <= if from == 0 { newest } else { from.min(newest) },
                                false => *first + u64::from(count) > from && *first <= newest,
                            }
                        };
                        let mut expected: Vec<_> =
                            records.iter().filter(has).map(|it| it.1.clone()).collect();
                        if newest_first {
                            expected.reverse();
                        }
                        let mut bytes = 0;
                        let room = expected.iter().take(records_max).take_while(|record| {
                            let has_room = bytes < bytes_max;
                            bytes += record.len();
                            has_room
                        });
                        expected.truncate(room.count());
                        assert_eq!(found.records, expected, "{range:?}");
                    }
                }
            }
        }
        for (time_ms, newest_first, revision) in [
            (0, false, 1),
            (20, false, 4),
            (21, false, 5),
            (29, true, 4),
            (9, true, 0),
            (51, false, 0),
        ] {
            let found = store
                .history("a", &range(HistoryStart::TimeMs(time_ms), newest_first))
                .unwrap();
            let first = found
                .records
                .first()
                .map_or(0, |record| operations_range(record).unwrap().0);
            assert_eq!(first, revision, "{time_ms} {newest_first}");
        }
        let everything = range(HistoryStart::Revision(0), false);
        assert_eq!(
            store.history("nobody's", &everything),
            Err(HistoryError::Unknown)
        );
        commit_all(store, &[compacting_snapshot("a", newest, "", 3)]);
        let found = store.history("a", &everything).unwrap();
        assert_eq!((found.first_revision, found.history_from_revision), (1, 4));
        assert_eq!(
            found.records,
            records[2..]
                .iter()
                .map(|it| it.1.clone())
                .collect::<Vec<_>>()
        );
        let back = range(HistoryStart::Revision(3), true);
        assert_eq!(store.history("a", &back).unwrap().records, [""; 0]);
        commit_all(store, &[delete("a", 1)]);
        assert_eq!(store.history("a", &everything), Err(HistoryError::Deleted));
        commit_all(store, &[sweep(2)]);
        assert_eq!(store.history("a", &everything), Err(HistoryError::Unknown));
    });
}

fn version(name: &str, revision: u64) -> StoredVersion {
    StoredVersion {
        name: name.into(),
        revision,
        time_ms: 5,
        author: "ada".into(),
    }
}

fn save(document: &str, name: &str, revision: u64) -> Write {
    Write::SaveVersion {
        document: document.into(),
        version: version(name, revision),
        versions_max: 3,
    }
}

fn unsave(document: &str, name: &str) -> Write {
    Write::DeleteVersion {
        document: document.into(),
        name: name.into(),
    }
}

#[test]
fn versions_are_kept_with_their_document() {
    on_each(|store| {
        commit_all(store, &[append("a", 1, 4, "x"), append("b", 1, 1, "y")]);
        // The whole of it in one commit, and one by one, and what one commit has of another.
        let committed = commit_all(
            store,
            &[
                save("a", "one", 1),
                append("a", 5, 1, "z"),
                save("a", "newest", 0),
                save("a", "one", 2),
                save("a", "tomorrow", 6),
                save("a", "three", 3),
                save("a", "four", 4),
                unsave("a", "three"),
                save("a", "four", 4),
                unsave("a", "three"),
                save("b", "one", 1),
                save("c", "one", 1),
            ],
        );
        let expected = [
            Ok(1),
            Ok(5),
            Err(VersionError::Exists),
            Err(VersionError::RevisionUnknown),
            Ok(3),
            Err(VersionError::TooMany),
            Ok(3),
            Ok(4),
            Err(VersionError::NotFound),
            Ok(1),
            Err(VersionError::Unknown),
        ];
        assert_eq!(committed.versions, expected);
        let left = vec![version("four", 4), version("newest", 5), version("one", 1)];
        assert_eq!(store.versions("a"), Ok(left.clone()));
        assert_eq!(store.versions("b"), Ok(vec![version("one", 1)]));
        let committed = commit_all(
            store,
            &[
                save("a", "two", 2),
                unsave("a", "one"),
                save("a", "two", 2),
                save("a", "one", 3),
                save("a", "six", 1),
            ],
        );
        let expected = [
            Err(VersionError::TooMany),
            Ok(1),
            Ok(2),
            Err(VersionError::TooMany),
            Err(VersionError::TooMany),
        ];
        assert_eq!(committed.versions, expected);
        commit_all(store, &[delete("a", 1)]);
        assert_eq!(store.versions("a"), Err(HistoryError::Deleted));
        let committed = commit_all(store, &[save("a", "x", 1), unsave("a", "two")]);
        assert_eq!(committed.versions, [Err(VersionError::Deleted); 2]);
        commit_all(store, &[restore("a")]);
        assert_eq!(store.versions("a").unwrap().len(), 3);
        commit_all(store, &[delete("a", 1)]);
        commit_all(store, &[sweep(2)]);
        assert_eq!(store.versions("a"), Err(HistoryError::Unknown));
        commit_all(store, &[append("a", 6, 1, "again")]);
        assert_eq!(store.versions("a"), Ok(vec![]));
        let committed = commit_all(store, &[save("a", "one", 5), save("a", "one", 6)]);
        assert_eq!(
            committed.versions,
            [Err(VersionError::RevisionUnknown), Ok(6)]
        );
        assert_eq!(store.versions("b"), Ok(vec![version("one", 1)]));
    });
}

#[test]
fn versions_are_there_after_a_restart_and_the_format_before_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let format = directory.path().join("format");
    let mut store = open(directory.path());
    commit_all(&mut store, &[append("a", 1, 1, "x"), save("a", "one", 1)]);
    store.close().unwrap();
    std::fs::write(&format, "2\n").unwrap();
    let store = open(directory.path());
    assert_eq!(store.versions("a"), Ok(vec![version("one", 1)]));
    assert_eq!(std::fs::read_to_string(&format).unwrap().trim(), "3");
}

//! Every store behaves the same: one set of tests, run against the embedded store and the one in memory.

mod store_support;

use bytes::Bytes;
use corelay::config::Durability;
use corelay::store::{Backend, Loaded, LoadedDocument, MemoryStore, Page, Reader, StoreError};
use proptest::collection::vec;
use proptest::prelude::*;

use store_support::{append, commit_all, load, open, record, snapshot};

fn on_each(test: impl Fn(&mut dyn FnMut(Step<'_>))) {
    let directory = tempfile::tempdir().unwrap();
    let mut embedded = open(directory.path());
    let mut memory = MemoryStore::new(Durability::Always);
    test(&mut |step| step.run(&mut embedded));
    test(&mut |step| step.run(&mut memory));
}

/// What a test does to a store whose type it does not know.
enum Step<'a> {
    Commit(Vec<corelay::store::Write>),
    Refuses(Vec<corelay::store::Write>),
    Load(&'a str, &'a dyn Fn(Loaded)),
    Read(&'a str, std::ops::RangeInclusive<u64>, usize, &'a [Bytes]),
}

impl Step<'_> {
    fn run(self, store: &mut impl Backend) {
        match self {
            Self::Commit(writes) => {
                commit_all(store, &writes);
                store.sync().unwrap();
            }
            Self::Refuses(writes) => {
                let result = store.commit(&writes);
                assert!(
                    matches!(result, Err(StoreError::Failed { .. })),
                    "{result:?}"
                );
            }
            Self::Load(document, check) => check(store.load(document).unwrap()),
            Self::Read(document, range, bytes_max, expected) => {
                let found = store.read(document, *range.start(), *range.end(), bytes_max);
                assert_eq!(found.unwrap(), Page::Records(expected.to_vec()));
            }
        }
    }
}

fn live(found: Loaded) -> LoadedDocument {
    match found {
        Loaded::Live(found) => found,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_document_begins_with_its_first_append() {
    on_each(|store| {
        store(Step::Load("a", &|found| assert_eq!(found, Loaded::Unknown)));
        store(Step::Read("a", 1..=10, 100, &[]));
        store(Step::Commit(vec![append("a", 1, 2, "one, two")]));
        store(Step::Commit(vec![
            append("a", 3, 1, "three"),
            append("b", 1, 1, "another"),
            append("a", 4, 3, ""),
        ]));
        store(Step::Load("a", &|found| {
            let found = live(found);
            assert_eq!(&*found.kind, "log");
            assert_eq!(found.snapshot, None);
            assert_eq!(found.records, ["one, two", "three", ""]);
        }));
        store(Step::Load("b", &|found| {
            assert_eq!(live(found).records, ["another"]);
        }));
        store(Step::Load("", &|found| assert_eq!(found, Loaded::Unknown)));
    });
}

#[test]
fn a_snapshot_takes_the_place_of_what_it_covers() {
    on_each(|store| {
        let records = [record(1, 1, 10), record(1, 3, 10), record(1, 6, 10)];
        let [one, two, three] = records.clone();
        store(Step::Commit(vec![
            append("a", 1, 2, one),
            append("a", 3, 3, two),
            append("a", 6, 1, three),
        ]));
        for (revision, left) in [(0, 0), (2, 1), (3, 1), (5, 2), (6, 3)] {
            for size in [0, 1, 2048, 2049, 3_000_000] {
                let state = record(2, revision, size);
                store(Step::Commit(vec![snapshot("a", revision, state.clone())]));
                store(Step::Load("a", &|found| {
                    let found = live(found);
                    assert_eq!(found.snapshot, Some((revision, state.clone())));
                    assert_eq!(found.records, records[left..]);
                }));
            }
        }
        // What it covers can still be read.
        store(Step::Read("a", 1..=6, 100, &records));
    });
}

#[test]
fn several_snapshots_of_one_document_in_one_commit_leave_the_last() {
    on_each(|store| {
        store(Step::Commit(vec![append("a", 1, 5, "x")]));
        for round in 0..4u64 {
            let writes = (1..=5).map(|revision| {
                let size = 700_000 * ((revision + round) % 3) as usize;
                snapshot("a", revision, record(round, revision, size))
            });
            let last = record(round, 5, 700_000 * ((5 + round) % 3) as usize);
            store(Step::Commit(writes.collect()));
            store(Step::Load("a", &|found| {
                assert_eq!(live(found).snapshot, Some((5, last.clone())));
            }));
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
        store(Step::Commit(appends("together")));
        for write in appends("alone") {
            store(Step::Commit(vec![write]));
        }
        for document in ["together", "alone"] {
            store(Step::Load(document, &|found| {
                assert!(live(found).records == records);
            }));
            for (revision, record) in (1..).zip(&records) {
                let expected = std::slice::from_ref(record);
                store(Step::Read(document, revision..=revision, 1 << 30, expected));
            }
        }
    });
}

#[test]
fn an_empty_or_reversed_range_has_nothing() {
    on_each(|store| {
        store(Step::Commit(vec![append("a", 1, 5, "x")]));
        store(Step::Read("a", 6..=9, 100, &[]));
        #[allow(clippy::reversed_empty_ranges, reason = "that is what is tested")]
        store(Step::Read("a", 4..=2, 100, &[]));
        store(Step::Read("a", 5..=u64::MAX, 0, &["x".into()]));
    });
}

#[test]
fn what_does_not_continue_a_document_is_refused() {
    let wrong = [
        append("a", 2, 1, "again"),
        append("a", 4, 1, "past a gap"),
        append("a", 3, 0, "nothing"),
        append("b", 2, 1, "not from the start"),
        corelay::store::Write::Append {
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
            store(Step::Commit(vec![append("a", 1, 2, "one, two")]));
            store(Step::Refuses(vec![write.clone()]));
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

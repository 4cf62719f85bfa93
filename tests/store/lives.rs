//! Deleting, restoring, sweeping, compacting and listing, the same in every store.

use bytes::Bytes;
use corelay::config::Durability;
use corelay::store::{
    Backend, DocumentList, Loaded, MemoryStore, Page, Reader, SWEEP_DOCUMENTS_MAX, StoreError,
    Swept, Write,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{
    append, commit_all, compacting_snapshot, delete, load, on_each, open, read, record, restore,
    snapshot, sweep,
};

fn refuses(store: &mut dyn Backend, write: Write) {
    let result = store.commit(&[write]);
    assert!(
        matches!(result, Err(StoreError::Failed { .. })),
        "{result:?}"
    );
}

fn swept(documents: usize, has_more: bool) -> Vec<Swept> {
    vec![Swept {
        documents,
        has_more,
    }]
}

fn append_text(document: &str, first_revision: u64, record: &'static str) -> Write {
    Write::Append {
        document: document.into(),
        kind: "text".into(),
        first_revision,
        count: 1,
        record: record.into(),
    }
}

#[test]
fn what_is_deleted_is_not_there_until_it_is_restored() {
    on_each(|store| {
        commit_all(store, &[append("a", 1, 2, "one, two")]);
        commit_all(store, &[snapshot("a", 1, "state")]);
        let before = load(store, "a");
        let deleted = commit_all(store, &[delete("a", 50), delete("a", 60), delete("b", 60)]);
        assert_eq!(deleted.changed, [Some(13), None, None]);
        assert_eq!(store.load("a"), Ok(Loaded::Deleted { at_ms: 50 }));
        assert_eq!(store.load("b"), Ok(Loaded::Unknown));
        assert_eq!(read(store, "a", 1, 9), [""; 0]);
        let restored = commit_all(store, &[restore("a"), restore("a"), restore("b")]);
        assert_eq!(restored.changed, [Some(13), None, None]);
        assert_eq!(load(store, "a"), before);
        // It goes on where it was, and nothing of the deletion is left for a sweep.
        commit_all(store, &[append("a", 3, 1, "three")]);
        assert_eq!(commit_all(store, &[sweep(1000)]).sweeps, swept(0, false));
        assert_eq!(read(store, "a", 1, 9), ["one, two", "three"]);
    });
}

#[test]
fn a_document_can_come_and_go_in_one_commit() {
    on_each(|store| {
        let writes = [
            append("a", 1, 1, "one"),
            delete("a", 50),
            restore("a"),
            append("a", 2, 1, "two"),
            delete("a", 60),
            restore("a"),
            delete("a", 50),
        ];
        let changed = [Some(3), Some(3), Some(6), Some(6), Some(6)];
        assert_eq!(commit_all(store, &writes).changed, changed);
        assert_eq!(store.load("a"), Ok(Loaded::Deleted { at_ms: 50 }));
        let writes = [restore("a"), delete("a", 70)];
        commit_all(store, &writes);
        assert_eq!(commit_all(store, &[sweep(70)]).sweeps, swept(0, false));
        let writes = [sweep(71), restore("a"), append("a", 3, 1, "three")];
        let committed = commit_all(store, &writes);
        assert_eq!(committed.sweeps, swept(1, false));
        assert_eq!(committed.changed, [None]);
        assert_eq!(load(store, "a").first_revision, 3);
        commit_all(store, &[sweep(u64::MAX)]);
        assert_eq!(load(store, "a").records, ["three"]);
    });
}

#[test]
fn nothing_is_written_to_what_is_deleted_or_gone() {
    type Case = (fn() -> Vec<Write>, fn() -> Write);
    let deleted = || vec![append("a", 1, 2, "one, two"), delete("a", 50)];
    let gone = || vec![sweep(51)];
    let cases: [Case; 7] = [
        (Vec::new, || append("a", 3, 1, "three")),
        (Vec::new, || append("a", 1, 1, "one")),
        (Vec::new, || snapshot("a", 2, "state")),
        (gone, || append("a", 1, 1, "one")),
        (gone, || append("a", 2, 1, "two")),
        (gone, || append("a", 4, 1, "past a gap")),
        (gone, || snapshot("a", 2, "state")),
    ];
    for (further, write) in cases {
        on_each(|store| {
            commit_all(store, &deleted());
            commit_all(store, &further());
            refuses(store, write());
        });
    }
}

#[test]
fn what_is_swept_leaves_its_newest_revision_to_the_next_life() {
    on_each(|store| {
        let large = record(1, 1, 1_200_000);
        commit_all(
            store,
            &[append("a", 1, 4, large.clone()), append("b", 1, 1, "b")],
        );
        commit_all(store, &[snapshot("a", 4, large.clone())]);
        commit_all(store, &[append("a", 5, 1, "five")]);
        commit_all(store, &[delete("a", 50), delete("b", 51)]);
        assert_eq!(commit_all(store, &[sweep(50)]).sweeps, swept(0, false));
        assert_eq!(store.load("a"), Ok(Loaded::Deleted { at_ms: 50 }));
        assert_eq!(commit_all(store, &[sweep(51)]).sweeps, swept(1, false));
        assert_eq!(store.load("a"), Ok(Loaded::Gone { revision: 5 }));
        assert_eq!(store.load("b"), Ok(Loaded::Deleted { at_ms: 51 }));
        assert_eq!(read(store, "a", 1, 9), [""; 0]);
        assert_eq!(
            commit_all(store, &[restore("a"), delete("a", 60)]).changed,
            [None, None]
        );

        commit_all(store, &[append_text("a", 6, "six")]);
        let second = load(store, "a");
        assert_eq!(&*second.kind, "text");
        assert_eq!(second.snapshot, None);
        assert_eq!((second.first_revision, second.stored_bytes), (6, 3));
        assert_eq!(second.history_from_revision, 6);
        assert_eq!(second.records, ["six"]);
        let compacted = Page::Compacted {
            history_from_revision: 6,
        };
        assert_eq!(store.read("a", 5, 9, 100), Ok(compacted));
        assert_eq!(read(store, "a", 6, 9), ["six"]);

        commit_all(store, &[append_text("a", 7, "seven"), delete("a", 70)]);
        commit_all(store, &[sweep(100)]);
        assert_eq!(store.load("a"), Ok(Loaded::Gone { revision: 7 }));
        assert_eq!(store.load("b"), Ok(Loaded::Gone { revision: 1 }));
        commit_all(store, &[append("a", 8, 1, "eight")]);
        assert_eq!(&*load(store, "a").kind, "log");
    });
}

#[test]
fn a_sweep_lets_so_many_go_and_says_that_there_are_more() {
    on_each(|store| {
        let documents = 2 * SWEEP_DOCUMENTS_MAX + 5;
        let names: Vec<_> = (0..documents).map(|number| number.to_string()).collect();
        for name in &names {
            commit_all(store, &[append(name, 1, 1, "x"), delete(name, 50)]);
        }
        let mut sweeps = Vec::new();
        while sweeps.last().is_none_or(|last: &Swept| last.has_more) {
            sweeps.extend(commit_all(store, &[sweep(51)]).sweeps);
        }
        assert_eq!(sweeps.len(), 3);
        assert!(
            sweeps
                .iter()
                .all(|swept| swept.documents <= SWEEP_DOCUMENTS_MAX)
        );
        for name in &names {
            assert_eq!(store.load(name), Ok(Loaded::Gone { revision: 1 }));
        }
    });
}

#[test]
fn what_is_compacted_is_said_to_be_gone_and_the_rest_is_there() {
    on_each(|store| {
        let records: Vec<_> = (0..5).map(|n| record(1, n, 3000)).collect();
        for (record, first) in records.iter().zip([1, 3, 5, 7, 9]) {
            commit_all(store, &[append("a", first, 2, record.clone())]);
        }
        assert_eq!(load(store, "a").stored_bytes, 15_000);
        // (the newest revision that is not wanted, how many records stay from the end, the first revision kept)
        let cases = [
            (0, 5, 1),
            (1, 5, 1),
            (2, 4, 3),
            (5, 3, 5),
            (3, 3, 5),
            (8, 1, 9),
        ];
        for (compact_to, kept, history_from) in cases {
            let state = record(2, compact_to, 5000);
            let write = compacting_snapshot("a", 8, state.clone(), compact_to);
            let stored_bytes = 3000 * kept as u64 + 5000;
            assert_eq!(commit_all(store, &[write]).snapshots, [stored_bytes]);
            let found = load(store, "a");
            assert_eq!(found.first_revision, 1);
            assert_eq!(found.history_from_revision, history_from);
            assert_eq!(found.stored_bytes, stored_bytes);
            assert_eq!(found.snapshot, Some((8, state)));
            assert_eq!(found.records, records[4..]);
            assert_eq!(read(store, "a", history_from, 99), records[5 - kept..]);
            let before = store.read("a", history_from - 1, 99, 100);
            let history_from_revision = history_from;
            let compacted = Page::Compacted {
                history_from_revision,
            };
            assert_eq!(before, Ok(compacted));
        }
        // Everything goes, and the document goes on.
        commit_all(store, &[compacting_snapshot("a", 10, "all", 10)]);
        let found = load(store, "a");
        assert_eq!((found.history_from_revision, found.stored_bytes), (11, 3));
        assert_eq!(read(store, "a", 11, 99), [""; 0]);
        commit_all(store, &[append("a", 11, 1, "on")]);
        assert_eq!(load(store, "a").records, ["on"]);
        assert_eq!(load(store, "a").stored_bytes, 5);
    });
}

#[test]
fn a_snapshot_that_leaves_a_gap_is_refused() {
    let wrong = [
        compacting_snapshot("a", 3, "lets go what it does not have", 4),
        snapshot("a", 1, "from before what is kept"),
    ];
    for write in wrong {
        on_each(|store| {
            commit_all(store, &[append("a", 1, 2, "one, two")]);
            commit_all(store, &[append("a", 3, 3, "three to five")]);
            commit_all(store, &[compacting_snapshot("a", 3, "state", 2)]);
            refuses(store, write.clone());
        });
    }
}

#[test]
fn what_is_appended_and_compacted_in_one_commit_is_gone() {
    on_each(|store| {
        let writes = [
            append("a", 1, 1, "one"),
            append("b", 1, 3, "one, two, three"),
            append("a", 2, 1, "two"),
            compacting_snapshot("a", 2, "state", 2),
        ];
        assert_eq!(commit_all(store, &writes).snapshots, [5]);
        let found = load(store, "a");
        assert_eq!((found.history_from_revision, found.stored_bytes), (3, 5));
        commit_all(store, &[append("a", 3, 1, "three")]);
        assert_eq!(load(store, "a").records, ["three"]);
        assert_eq!(load(store, "a").stored_bytes, 10);
        assert_eq!(read(store, "b", 1, 9), ["one, two, three"]);
    });
}

fn names(list: &DocumentList) -> Vec<&str> {
    list.documents.iter().map(|listed| &*listed.name).collect()
}

/// All parts of a list.
fn list_all(store: &dyn Backend, tenant: &str, prefix: &str, documents_max: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let part = store.list(tenant, prefix, after.as_deref(), documents_max, 1 << 20);
        let part = part.unwrap();
        assert!(part.documents.len() <= documents_max);
        all.extend(names(&part).into_iter().map(str::to_owned));
        match part.more_after {
            Some(more_after) => after = Some(more_after),
            None => return all,
        }
    }
}

#[test]
fn a_tenant_s_documents_are_listed_in_order_and_in_parts() {
    on_each(|store| {
        let documents = [
            "acme::b",
            "::x::y",
            "c",
            "acme::b2",
            "beta::a",
            "acme::a",
            "a",
            "ac",
            "acme::::c",
            "b",
            "acme::Ünde",
        ];
        for document in documents {
            commit_all(store, &[append(document, 1, 1, "x")]);
        }
        commit_all(store, &[append_text("acme::b1", 1, "x")]);
        commit_all(
            store,
            &[append("acme::b3", 1, 1, "x"), delete("acme::b3", 50)],
        );
        commit_all(store, &[append("d", 1, 1, "x"), delete("d", 40)]);
        commit_all(store, &[sweep(50)]);
        let acme = [
            "acme::::c",
            "acme::a",
            "acme::b",
            "acme::b1",
            "acme::b2",
            "acme::Ünde",
        ];
        let cases = [
            ("acme", "", &acme[..]),
            ("acme", "b", &acme[2..5]),
            ("acme", "b2", &acme[4..5]),
            ("acme", "Ü", &acme[5..]),
            ("acme", "z", &[]),
            ("beta", "", &["beta::a"]),
            ("gamma", "", &[]),
            ("", "", &["a", "ac", "b", "c", "::x::y"]),
            ("", "a", &["a", "ac"]),
            ("", "acme", &[]),
            ("", "x::", &["::x::y"]),
        ];
        for (tenant, prefix, expected) in cases {
            for documents_max in [1, 2, 3, 100] {
                let found = list_all(store, tenant, prefix, documents_max);
                assert_eq!(found, expected, "{tenant} {prefix} {documents_max}");
            }
        }
        let part = store.list("acme", "b", None, 2, 1000).unwrap();
        let kinds: Vec<_> = part.documents.iter().map(|listed| &*listed.kind).collect();
        assert_eq!(kinds, ["log", "text"]);
        assert_eq!(part.more_after.as_deref(), Some("acme::b1"));
        // Until the first name that makes it enough.
        let part = store.list("acme", "", None, 100, 13).unwrap();
        assert_eq!(names(&part), acme[..2]);
        let behind = |after| store.list("acme", "b", Some(after), 100, 1000).unwrap();
        assert_eq!(names(&behind("acme::b11")), ["acme::b2"]);
        assert_eq!(names(&behind("acme::b3")), [""; 0]);
        assert_eq!(names(&behind("acme::c")), [""; 0]);
        assert_eq!(names(&behind("acme::a")), acme[2..5]);
    });
}

/// One step in the life of a document.
#[derive(Debug, Clone)]
enum Act {
    Append(usize),
    Snapshot { back: u64, compacts: Option<u64> },
    Delete,
    Restore,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0usize..6000).prop_map(Act::Append),
        2 => (0..3u64, proptest::option::of(0..6u64))
            .prop_map(|(back, compacts)| Act::Snapshot { back, compacts }),
        1 => Just(Act::Delete),
        1 => Just(Act::Restore),
    ]
}

/// What the next write of a document is, as it stands.
fn write(store: &MemoryStore, name: &str, act: &Act) -> Option<Write> {
    let (next_revision, first) = match store.load(name).unwrap() {
        Loaded::Unknown => (1, None),
        Loaded::Gone { revision } => (revision + 1, None),
        Loaded::Deleted { .. } => (0, None),
        Loaded::Live(found) => {
            let from = found.history_from_revision;
            let records = read(store, name, from, u64::MAX).len() as u64;
            (from + records, Some(from))
        }
    };
    match act {
        Act::Append(_) if next_revision == 0 => None,
        Act::Append(size) => {
            let bytes = record(name.len() as u64, next_revision, *size);
            Some(append(name, next_revision, 1, bytes))
        }
        Act::Snapshot { back, compacts } => {
            let from = first?;
            let revision = (next_revision - 1).saturating_sub(*back).max(from - 1);
            let state = record(7, revision, 2500);
            Some(match compacts {
                None => snapshot(name, revision, state),
                Some(keep) => {
                    compacting_snapshot(name, revision, state, revision.saturating_sub(*keep))
                }
            })
        }
        Act::Delete => Some(delete(name, next_revision)),
        Act::Restore => Some(restore(name)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(15))]

    /// Commits of any kind, with crashes in between that leave what is being removed half done.
    #[test]
    fn any_lives_are_the_same(
        commits in vec((vec(act(), 3), 0u8..8, 0usize..3), 1..40),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut embedded = Some(open(directory.path()));
        let mut memory = MemoryStore::new(Durability::Always);
        let documents = ["a", "bb", "t::ccc"];
        for (acts, chance, goes_on) in commits {
            let mut writes: Vec<_> = documents.iter().zip(&acts)
                .filter_map(|(name, act)| write(&memory, name, act))
                .collect();
            if chance < 2 {
                writes = vec![sweep(u64::MAX)];
            }
            let store = embedded.as_mut().expect("it is open");
            let mut found = store.commit(&writes).unwrap();
            for _ in 0..goes_on {
                found.snapshots.extend(store.commit(&[]).unwrap().snapshots);
            }
            prop_assert_eq!(found, memory.commit(&writes).unwrap());
            if chance == 7 {
                drop(embedded.take());
                embedded = Some(open(directory.path()));
            }
            let store = embedded.as_ref().expect("it is open");
            for name in documents {
                prop_assert_eq!(store.load(name), memory.load(name));
                for from in [1, 3, 10] {
                    prop_assert_eq!(store.read(name, from, 20, 9000), memory.read(name, from, 20, 9000));
                }
            }
            for tenant in ["", "t"] {
                prop_assert_eq!(store.list(tenant, "", None, 9, 999), memory.list(tenant, "", None, 9, 999));
            }
        }
    }
}

#[test]
fn a_crash_of_the_store_in_memory_keeps_the_deletions_that_were_synced() {
    let mut store = MemoryStore::new(Durability::Always);
    commit_all(
        &mut store,
        &[append("a", 1, 1, "x"), append("b", 1, 1, "y")],
    );
    commit_all(&mut store, &[delete("a", 50)]);
    store.sync().unwrap();
    commit_all(&mut store, &[delete("b", 50)]);
    commit_all(&mut store, &[sweep(51)]);
    store.crash(1);
    assert_eq!(store.load("a"), Ok(Loaded::Deleted { at_ms: 50 }));
    assert_eq!(store.load("b"), Ok(Loaded::Deleted { at_ms: 50 }));
    commit_all(&mut store, &[restore("b"), sweep(51)]);
    store.crash(0);
    assert_eq!(store.load("b"), Ok(Loaded::Deleted { at_ms: 50 }));
    let state: Bytes = record(1, 1, 10);
    commit_all(&mut store, &[restore("b"), snapshot("b", 1, state.clone())]);
    store.sync().unwrap();
    store.crash(0);
    assert_eq!(load(&store, "b").snapshot, Some((1, state)));
}

//! What somebody outside is still to be told is written with what it is about, by every store in the same way: whatever
//! happens in whatever order, through reopenings, who takes all notices ends up knowing what there is.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use corelay::codec::record::{OperationsRecord, encode_operations};
use corelay::config::Durability;
use corelay::store::{
    Backend, FjallStore, Loaded, MemoryStore, News, Notice, NoticeChange, NoticeWrite, Reader,
    Standing, Unsent, Write,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{append, delete, open, restore, sweep};

const QUEUE_MAX: usize = 10_000;

fn open_telling(path: &Path, queue_max: usize) -> (FjallStore, Unsent) {
    let mut store = open(path);
    let unsent = store.keep_notices(queue_max).expect("it can be read");
    (store, unsent)
}

fn changed(document: &str, if_revision: Option<u64>) -> Write {
    Write::Notice(NoticeWrite::Changed {
        document: document.into(),
        if_revision,
        at_ms: 7,
    })
}

fn peers(document: &str, are_there: bool) -> Write {
    Write::Notice(NoticeWrite::Peers {
        document: document.into(),
        kind: "log".into(),
        are_there,
        at_ms: 8,
    })
}

fn remove(sequence: u64) -> Write {
    Write::Notice(NoticeWrite::Remove { sequence })
}

/// What a receiver knows of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Live { revision: u64 },
    Deleted,
}

#[derive(Debug, Default)]
struct Receiver {
    documents: BTreeMap<Arc<str>, Known>,
    peers: BTreeMap<Arc<str>, bool>,
    last_sequence: u64,
}

impl Receiver {
    fn take(&mut self, notice: &Notice) {
        assert!(notice.sequence > self.last_sequence, "in order");
        self.last_sequence = notice.sequence;
        let document = Arc::clone(&notice.document);
        let known = self.documents.get(&document).copied();
        let (from, revision) = (notice.from_revision, notice.revision);
        let now_known = match (notice.news, known) {
            (News::Created, None | Some(Known::Deleted)) => Known::Live { revision },
            (News::Changed, Some(Known::Live { revision: before })) => {
                assert_eq!(from, before, "nothing is left out: {notice:?}");
                Known::Live { revision }
            }
            (News::Deleted, Some(Known::Live { revision: before })) => {
                assert_eq!(revision, before, "{notice:?}");
                Known::Deleted
            }
            (News::Restored, Some(Known::Deleted)) => Known::Live { revision },
            (News::PeersJoined | News::PeersLeft, _) => {
                let are_there = notice.news == News::PeersJoined;
                let before = self.peers.insert(document, are_there);
                assert_ne!(before.unwrap_or(false), are_there, "{notice:?}");
                return;
            }
            (news, known) => panic!("{news:?} of what is {known:?}"),
        };
        self.documents.insert(document, now_known);
    }
}

#[test]
fn a_document_s_life_is_told_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, unsent) = open_telling(directory.path(), QUEUE_MAX);
    assert_eq!(unsent, Unsent::default());
    let record = encode_operations(&OperationsRecord {
        revision: 1,
        origin: 7,
        first_clock: 0,
        operations: vec!["x".into(); 2],
        time_ms: 5,
        author: "ada".into(),
    });
    let writes = [
        append("a", 1, 2, record),
        append("a", 3, 1, "three"),
        append("a", 4, 1, "four"),
    ];
    let found = store.commit(&writes).unwrap().notices;
    let notice = |sequence, news, time_ms, from_revision, revision| {
        Arc::new(Notice {
            sequence,
            news,
            document: "a".into(),
            kind: "log".into(),
            time_ms,
            from_revision,
            revision,
        })
    };
    let created = notice(1, News::Created, 5, 0, 2);
    let document: Arc<str> = "a".into();
    let mark = |revision| NoticeChange::Changed {
        document: Arc::clone(&document),
        revision,
    };
    // The mark is written once.
    assert_eq!(found, [NoticeChange::Added(created.clone()), mark(3)]);
    let found = store.commit(&[changed("a", Some(3))]).unwrap().notices;
    assert_eq!(found, [mark(4)], "it is not quiet");
    let found = store.commit(&[changed("a", Some(4)), append("a", 5, 1, "five")]);
    let told = notice(2, News::Changed, 7, 2, 4);
    let found = found.unwrap().notices;
    assert_eq!(found, [NoticeChange::Added(told.clone()), mark(5)]);
    let writes = [delete("a", 9), restore("a"), remove(1)];
    let found = store.commit(&writes).unwrap().notices;
    let rest = [
        notice(3, News::Changed, 9, 4, 5),
        notice(4, News::Deleted, 9, 5, 5),
        notice(5, News::Restored, 0, 5, 5),
    ];
    let removed = NoticeChange::Removed {
        sequence: 1,
        document: Arc::clone(&document),
    };
    let expected: Vec<_> = rest
        .clone()
        .map(NoticeChange::Added)
        .into_iter()
        .chain([removed])
        .collect();
    assert_eq!(found, expected);
    store.commit(&[peers("a", true)]).unwrap();
    drop(store);

    let (mut store, unsent) = open_telling(directory.path(), QUEUE_MAX);
    let joined = notice(6, News::PeersJoined, 8, 0, 0);
    let left = [told].into_iter().chain(rest).chain([joined]);
    assert_eq!(unsent.notices, left.collect::<Vec<_>>());
    let standing = Standing {
        changed_after: None,
        has_peers: true,
    };
    assert_eq!(unsent.standings, [(document, standing)]);
    // A removed one's number is not used again.
    let writes: Vec<_> = (2..=6).map(remove).collect();
    store.commit(&writes).unwrap();
    drop(store);
    let (mut store, unsent) = open_telling(directory.path(), QUEUE_MAX);
    assert_eq!(unsent.notices, []);
    let found = store.commit(&[peers("a", false)]).unwrap().notices;
    let [NoticeChange::Added(notice)] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!((notice.sequence, notice.news), (7, News::PeersLeft));
}

#[test]
fn where_nobody_is_to_be_told_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let found = store.commit(&[append("a", 1, 1, "x"), delete("a", 1)]);
    assert_eq!(found.unwrap().notices, []);
    drop(store);
    let (mut store, unsent) = open_telling(directory.path(), QUEUE_MAX);
    assert_eq!(unsent, Unsent::default());
    // What happened before is not told, and what happens now is.
    let found = store.commit(&[restore("a"), append("a", 2, 1, "y")]);
    assert_eq!(found.unwrap().notices.len(), 2);
}

#[test]
fn notices_and_marks_are_bounded_together_and_what_is_lost_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = open_telling(directory.path(), 3);
    let lost = |document: &str| NoticeChange::Lost {
        document: document.into(),
    };
    let writes = [
        append("a", 1, 1, "x"),
        append("a", 2, 1, "x"),
        append("b", 1, 1, "x"),
        append("c", 1, 1, "x"),
        append("b", 2, 1, "x"),
    ];
    let found = store.commit(&writes).unwrap().notices;
    assert_eq!(found[3..], [lost("c"), lost("b")]);
    let found = store.commit(&[peers("a", true)]).unwrap().notices;
    let document: Arc<str> = "a".into();
    assert_eq!(
        found,
        [NoticeChange::Full {
            document: document.clone()
        }]
    );
    // What was marked finds room always; a deletion takes more.
    let found = store.commit(&[delete("a", 1)]).unwrap().notices;
    assert!(matches!(&found[0], NoticeChange::Added(notice) if notice.news == News::Changed));
    assert_eq!(found[1..], [lost("a")]);
    let found = store
        .commit(&[remove(1), peers("a", true)])
        .unwrap()
        .notices;
    assert!(matches!(&found[1], NoticeChange::Added(notice) if notice.news == News::PeersJoined));
    drop(store);
    let (_, unsent) = open_telling(directory.path(), 3);
    assert_eq!(unsent.notices.len(), 3);
}

#[test]
fn a_crash_leaves_the_notices_of_what_it_leaves() {
    for kept in 0..=3 {
        let mut store = MemoryStore::new(Durability::Always);
        store.keep_notices(QUEUE_MAX);
        for write in [
            append("a", 1, 1, "x"),
            append("a", 2, 1, "y"),
            delete("a", 3),
        ] {
            store.commit(&[write]).unwrap();
        }
        store.crash(kept);
        let unsent = store.unsent();
        let news: Vec<_> = unsent.notices.iter().map(|notice| notice.news).collect();
        let all = [News::Created, News::Changed, News::Deleted];
        let (told, marked) = [(0, false), (1, false), (1, true), (3, false)][kept];
        assert_eq!(news, all[..told]);
        assert_eq!(!unsent.standings.is_empty(), marked);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn who_takes_all_notices_knows_what_there_is(
        commits in vec(vec((0u8..10, 0u8..3, 1u32..3), 1..5), 1..60),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let (mut embedded, _) = open_telling(directory.path(), QUEUE_MAX);
        let mut memory = MemoryStore::new(Durability::Always);
        memory.keep_notices(QUEUE_MAX);
        let mut receiver = Receiver::default();
        for commit in commits {
            let mut planned = memory.clone();
            let mut writes = Vec::new();
            for (what, document, count) in commit {
                let document = ["a", "b", "acme::a"][usize::from(document)];
                let write = match what {
                    0..4 => match planned.load(document).unwrap() {
                        Loaded::Unknown => append(document, 1, count, "x"),
                        Loaded::Gone { revision } => append(document, revision + 1, count, "x"),
                        Loaded::Live(_) => append(document, newest(&planned, document) + 1, count, "x"),
                        Loaded::Deleted { .. } => restore(document),
                    },
                    4 => delete(document, 3),
                    // It sees what was deleted by commits before.
                    5 if !writes.is_empty() => continue,
                    5 => sweep(4),
                    6 => changed(document, None),
                    7 => changed(document, Some(newest(&planned, document))),
                    8 => {
                        let unsent = planned.unsent();
                        let standing = unsent.standings.iter().find(|(name, _)| **name == *document);
                        peers(document, !standing.is_some_and(|(_, it)| it.has_peers))
                    }
                    _ => match planned.unsent().notices.first() {
                        Some(notice) if notice.sequence > receiver.last_sequence => {
                            receiver.take(notice);
                            remove(notice.sequence)
                        }
                        Some(_) | None => continue,
                    },
                };
                planned.commit(std::slice::from_ref(&write)).unwrap();
                writes.push(write);
            }
            let told = memory.commit(&writes).unwrap().notices;
            prop_assert_eq!(&told, &embedded.commit(&writes).unwrap().notices);
            memory.sync().unwrap();
            if told.len() == 2 {
                drop(embedded);
                let (opened, unsent) = open_telling(directory.path(), QUEUE_MAX);
                embedded = opened;
                prop_assert_eq!(unsent, memory.unsent());
            }
        }
        for (document, standing) in memory.unsent().standings {
            if standing.changed_after.is_some() {
                memory.commit(&[changed(&document, None)]).unwrap();
            }
        }
        let unsent = memory.unsent();
        unsent.notices.iter().for_each(|notice| receiver.take(notice));
        for document in ["a", "b", "acme::a"] {
            let known = receiver.documents.get(document).copied();
            let expected = match memory.load(document).unwrap() {
                Loaded::Unknown => None,
                Loaded::Live(_) => Some(Known::Live { revision: newest(&memory, document) }),
                Loaded::Deleted { .. } | Loaded::Gone { .. } => Some(Known::Deleted),
            };
            prop_assert_eq!(known, expected, "{}", document);
            let standing = unsent.standings.iter().find(|(name, _)| **name == *document);
            let has_peers = standing.is_some_and(|(_, it)| it.has_peers);
            prop_assert_eq!(receiver.peers.get(document).copied().unwrap_or(false), has_peers);
        }
    }
}

/// The newest revision of a live document; 0 of any other.
fn newest(store: &MemoryStore, document: &str) -> u64 {
    let range = corelay::store::HistoryRange {
        start: corelay::store::HistoryStart::Revision(0),
        newest_first: true,
        until_revision: u64::MAX,
        records_max: 1,
        bytes_max: 1,
    };
    store
        .history(document, &range)
        .map_or(0, |history| history.newest_revision)
}

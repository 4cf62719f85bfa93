//! The committer: what it promises to shards, whatever the order in which threads run.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use corelay::config::Durability;
use corelay::store::{
    Backend, DocumentRef, Loaded, Page, Reader, StoreQueue, StoreReply, StoreRequest, Swept,
};
use crossbeam_channel::Receiver;

use crate::support::gated::GatedCommitter;
use crate::support::{Seed, config, load, name, open, open_as, record, start};

fn document(document: u64) -> DocumentRef {
    DocumentRef {
        name: name(document),
        token: document,
    }
}

fn append(number: u64, first_revision: u64, count: u32, record: impl Into<Bytes>) -> StoreRequest {
    StoreRequest::Append {
        document: document(number),
        kind: "log".into(),
        first_revision,
        count,
        record: record.into(),
    }
}

fn send(queue: &StoreQueue, request: StoreRequest) {
    assert!(is_sent(queue, request), "the queue has room");
}

fn is_sent(queue: &StoreQueue, request: StoreRequest) -> bool {
    let mut request = Some(request);
    queue.send(Instant::now(), || request.take()) == 1
}

/// The next reply of a shard.
struct Replies {
    receiver: Receiver<Vec<StoreReply>>,
    waiting: VecDeque<StoreReply>,
}

impl Replies {
    fn new(receiver: Receiver<Vec<StoreReply>>) -> Self {
        Self {
            receiver,
            waiting: Default::default(),
        }
    }

    fn next(&mut self) -> StoreReply {
        while self.waiting.is_empty() {
            let timeout = Duration::from_secs(60);
            let replies = self.receiver.recv_timeout(timeout).expect("a reply comes");
            assert!(!replies.is_empty(), "a shard is not woken for nothing");
            self.waiting.extend(replies);
        }
        self.waiting.pop_front().expect("it is not empty")
    }
}

#[test]
fn every_shard_gets_its_own_answers_and_reads_see_appends_before_them() {
    for durability in [Durability::Always, Durability::Interval, Durability::Never] {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path(), durability);
        let (handle, replies) = start(open_as(directory.path(), durability).store, &config, 3);
        let threads: Vec<_> = (0..)
            .zip(replies)
            .map(|(shard, receiver)| {
                let queue = handle.queue(shard as usize);
                std::thread::spawn(move || drive_shard(shard, &queue, Replies::new(receiver)))
            })
            .collect();
        let histories: Vec<_> = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect();
        let counters = handle.counters().snapshot();
        handle.stop().unwrap();
        assert!(counters.commits >= 1 && counters.commits <= counters.operations);
        assert_eq!(counters.commit_micros.len(), counters.commits);
        let syncs = match durability {
            Durability::Always => counters.commits..=counters.commits,
            Durability::Interval => 0..=counters.commits,
            Durability::Never => 0..=0,
        };
        assert!(syncs.contains(&counters.sync_micros.len()));

        let open = open_as(directory.path(), durability);
        assert_eq!(open.epoch, 1, "the stop was clean");
        let mut operations = 0;
        for (document, records) in histories {
            operations += records.len() as u64;
            assert_eq!(load(&open.store, &name(document)).records, records);
        }
        assert_eq!(counters.operations, operations);
    }
}

/// Appends to some documents, with reads in between, and checks every answer. Returns what it appended.
fn drive_shard(shard: u64, queue: &StoreQueue, mut replies: Replies) -> BTreeMap<u64, Vec<Bytes>> {
    let mut seed = Seed(shard);
    let mut records: BTreeMap<u64, Vec<Bytes>> = BTreeMap::new();
    let mut acknowledged: BTreeMap<u64, u64> = BTreeMap::new();
    // What a read must show, by ticket or document, in the order in which they were asked.
    let mut expected_pages = BTreeMap::new();
    let mut expected_loads: BTreeMap<u64, VecDeque<Vec<Bytes>>> = BTreeMap::new();
    let mut reads = 0;
    for ticket in 0..300 {
        let number = shard * 100 + seed.below(4);
        let known = records.entry(number).or_default();
        match seed.below(4) {
            0 => {
                expected_pages.insert(ticket, known.clone());
                send(
                    queue,
                    StoreRequest::Read {
                        document: document(number),
                        ticket,
                        from_revision: 1,
                        to_revision: known.len() as u64,
                        bytes_max: usize::MAX,
                    },
                );
                reads += 1;
            }
            1 => {
                expected_loads
                    .entry(number)
                    .or_default()
                    .push_back(known.clone());
                let document = document(number);
                send(queue, StoreRequest::Load { document });
                reads += 1;
            }
            _ => {
                let revision = known.len() as u64 + 1;
                let bytes = record(number, revision, seed.below(300) as usize);
                known.push(bytes.clone());
                send(queue, append(number, revision, 1, bytes));
            }
        }
    }
    records.retain(|_, records| !records.is_empty());
    let all: BTreeMap<u64, u64> = records
        .iter()
        .map(|(document, records)| (*document, records.len() as u64))
        .collect();
    while reads > 0 || acknowledged != all {
        match replies.next() {
            StoreReply::Appended {
                token, revision, ..
            } => {
                let before = acknowledged.insert(token, revision).unwrap_or(0);
                assert!(before < revision && revision <= all[&token]);
            }
            StoreReply::Page { ticket, result, .. } => {
                let expected: Vec<Bytes> = expected_pages.remove(&ticket).expect("asked once");
                assert_eq!(result.unwrap(), Page::Records(expected));
                reads -= 1;
            }
            StoreReply::Loaded { token, result } => {
                let waiting = expected_loads.get_mut(&token).expect("it was asked");
                let expected = waiting.pop_front().expect("it was asked as often");
                let found = match result.unwrap() {
                    Loaded::Live(found) => found.records,
                    Loaded::Unknown => Vec::new(),
                    other => panic!("{other:?}"),
                };
                // An append that came later may be in it too, never less.
                assert_eq!(found[..expected.len()], expected);
                reads -= 1;
            }
            other => panic!("{other:?}"),
        }
    }
    records
}

#[test]
fn a_large_snapshot_does_not_hold_up_appends() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), Durability::Always);
    let (handle, mut replies) = start(open(directory.path()), &config, 1);
    let queue = handle.queue(0);
    let mut replies = Replies::new(replies.remove(0));
    send(&queue, append(1, 1, 1, "first"));
    assert!(matches!(replies.next(), StoreReply::Appended { .. }));
    let snapshot = record(1, 1, 20_000_000);
    send(
        &queue,
        StoreRequest::PutSnapshot {
            document: document(1),
            revision: 1,
            snapshot: snapshot.clone(),
            compact_to_revision: None,
        },
    );
    let mut overtaken = 0;
    let mut revision = 1;
    let mut is_stored = false;
    while !is_stored {
        revision += 1;
        send(&queue, append(1, revision, 1, "more"));
        loop {
            match replies.next() {
                StoreReply::Appended { revision: at, .. } => {
                    assert_eq!(at, revision);
                    overtaken += u64::from(!is_stored);
                    break;
                }
                StoreReply::SnapshotStored { revision: 1, .. } => is_stored = true,
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(overtaken > 3, "only {overtaken} appends came by");
    handle.stop().unwrap();
    let found = load(&open(directory.path()), &name(1));
    assert!(found.snapshot == Some((1, snapshot)));
    assert_eq!(found.records.len() as u64, revision - 1);
}

#[test]
fn what_waits_becomes_one_commit_and_nothing_is_answered_before_its_sync() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), Durability::Always);
    let gated = GatedCommitter::start(open(directory.path()), &config);
    let queues = [gated.handle.queue(0), gated.handle.queue(1)];
    let counters = gated.handle.counters();
    assert_eq!(counters.commit_age(), None);
    send(&queues[0], append(1, 1, 1, "x"));
    assert_eq!(gated.at_gate.recv(), Ok("write"));
    let age = counters.commit_age().expect("a commit is under way");
    assert!(counters.commit_age() > Some(age));
    // The committer is in its first commit: these wait, and go together.
    for revision in 2..=50 {
        send(&queues[0], append(1, revision, 1, "x"));
        send(&queues[1], append(2, revision - 1, 1, "x"));
    }
    // These do not wait for the disk, as nothing before them writes their document.
    let document = document(3);
    send(&queues[1], StoreRequest::Load { document });
    gated.word.send(Ok(())).unwrap();
    assert_eq!(gated.at_gate.recv(), Ok("sync"));
    assert!(gated.replies[0].is_empty(), "it is not synced");
    gated.word.send(Ok(())).unwrap();
    assert_eq!(gated.at_gate.recv(), Ok("write"));
    let loaded = gated.replies[1].recv().unwrap();
    assert!(matches!(loaded[..], [StoreReply::Loaded { token: 3, .. }]));
    gated.word.send(Ok(())).unwrap();
    assert_eq!(gated.at_gate.recv(), Ok("sync"));
    assert!(gated.replies[1].is_empty());
    assert_eq!(gated.replies[0].recv().unwrap().len(), 1);
    assert!(gated.replies[0].is_empty());
    gated.word.send(Ok(())).unwrap();
    let answers = [&gated.replies[0], &gated.replies[1]].map(|replies| replies.recv().unwrap());
    assert!(matches!(
        answers[0][..],
        [StoreReply::Appended {
            token: 1,
            revision: 50,
            ..
        }]
    ));
    assert!(matches!(
        answers[1][..],
        [StoreReply::Appended {
            token: 2,
            revision: 49,
            ..
        }]
    ));
    assert_eq!(gated.largest_commit.load(Ordering::Relaxed), 98);
    assert_eq!(counters.commit_age(), None);
    gated.handle.stop().unwrap();
}

#[test]
fn a_full_queue_gives_the_request_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), Durability::Always);
    config.queue_requests_max = 10;
    let gated = GatedCommitter::start(open(directory.path()), &config);
    let queues = [gated.handle.queue(0), gated.handle.queue(1)];
    send(&queues[0], append(1, 1, 1, "x"));
    assert_eq!(gated.at_gate.recv(), Ok("write"));
    for revision in 2..=11 {
        send(&queues[0], append(1, revision, 1, "x"));
    }
    let refused = append(1, 12, 1, "x");
    let untouched = queues[0].send(Instant::now(), || unreachable!("there is no room"));
    assert_eq!(untouched, 0);
    // Another shard's queue is its own.
    send(&queues[1], append(2, 1, 1, "x"));
    gated.word.send(Ok(())).unwrap();
    gated.pass("sync");
    assert_eq!(gated.at_gate.recv(), Ok("write"));
    send(&queues[0], refused);
    gated.word.send(Ok(())).unwrap();
    gated.pass("sync");
    gated.pass("write");
    gated.pass("sync");
    gated.handle.stop().unwrap();
    assert_eq!(load(&open(directory.path()), &name(1)).records.len(), 12);
}

#[test]
fn a_commit_takes_no_more_bytes_than_it_may() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), Durability::Always);
    config.commit_bytes_max = 1000;
    let gated = GatedCommitter::start(open(directory.path()), &config);
    let queue = gated.handle.queue(0);
    send(&queue, append(1, 1, 1, "x"));
    assert_eq!(gated.at_gate.recv(), Ok("write"));
    for revision in 2..=41 {
        send(&queue, append(1, revision, 1, record(1, revision, 100)));
    }
    gated.word.send(Ok(())).unwrap();
    gated.pass("sync");
    for _ in 0..4 {
        gated.pass("write");
        gated.pass("sync");
    }
    gated.handle.stop().unwrap();
    assert_eq!(gated.largest_commit.load(Ordering::Relaxed), 10);
}

#[test]
fn after_the_first_failure_nothing_is_acknowledged() {
    for fails_at in ["write", "sync"] {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path(), Durability::Always);
        let gated = GatedCommitter::start(open(directory.path()), &config);
        let queues = [gated.handle.queue(0), gated.handle.queue(1)];
        send(&queues[0], append(1, 1, 1, "kept"));
        gated.pass("write");
        gated.pass("sync");
        let kept = gated.replies[0].recv().unwrap();
        assert!(matches!(kept[..], [StoreReply::Appended { .. }]));
        send(&queues[0], append(1, 2, 1, "failed"));
        if fails_at == "sync" {
            gated.pass("write");
        }
        gated.fail(fails_at);
        for replies in &gated.replies {
            let failed = replies.recv().unwrap();
            let [StoreReply::Failed { reason }] = &failed[..] else {
                panic!("{failed:?}");
            };
            assert!(reason.contains("the disk is gone"), "{reason}");
        }
        for revision in 3..=20_000 {
            // More than the queue holds: requests are still taken, and never answered.
            while !is_sent(&queues[0], append(1, revision, 1, "late")) {
                std::thread::yield_now();
            }
        }
        let error = gated.handle.stop().unwrap_err();
        assert!(error.to_string().contains("the disk is gone"), "{error}");
        assert!(gated.replies.iter().all(Receiver::is_empty));
        let found = load(&open(directory.path()), &name(1)).records;
        assert_eq!(found[0], "kept");
        assert!(found.len() <= 2);
    }
}

#[test]
fn interval_answers_before_it_syncs_and_syncs_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path(), Durability::Interval);
    config.sync_interval = Duration::from_millis(20);
    let store = open_as(directory.path(), Durability::Interval).store;
    let gated = GatedCommitter::start(store, &config);
    let queue = gated.handle.queue(0);
    send(&queue, append(1, 1, 1, "x"));
    gated.pass("write");
    let answer = gated.replies[0].recv().unwrap();
    assert!(matches!(answer[..], [StoreReply::Appended { .. }]));
    // Nobody asks for anything any more.
    gated.pass("sync");
    gated.handle.stop().unwrap();
}

#[test]
fn what_was_sent_before_the_stop_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), Durability::Never);
    let store = open_as(directory.path(), Durability::Never).store;
    let (handle, replies) = start(store, &config, 1);
    let queue = handle.queue(0);
    for revision in 1..=1000 {
        send(&queue, append(1, revision, 1, "x"));
    }
    let snapshot = record(1, 1, 5_000_000);
    send(
        &queue,
        StoreRequest::PutSnapshot {
            document: document(1),
            revision: 1000,
            snapshot: snapshot.clone(),
            compact_to_revision: None,
        },
    );
    let document = document(1);
    send(&queue, StoreRequest::Load { document });
    handle.stop().unwrap();
    assert!(!is_sent(&queue, append(1, 1001, 1, "late")));
    let answers: Vec<_> = replies[0].try_iter().flatten().collect();
    let has = |wanted: fn(&StoreReply) -> bool| answers.iter().any(wanted);
    assert!(has(|reply| matches!(
        reply,
        StoreReply::Appended { revision: 1000, .. }
    )));
    assert!(has(|reply| matches!(
        reply,
        StoreReply::SnapshotStored { .. }
    )));
    assert!(has(|reply| matches!(reply, StoreReply::Loaded { .. })));
    let open = open_as(directory.path(), Durability::Never);
    assert_eq!(open.epoch, 1);
    assert!(load(&open.store, &name(1)).snapshot == Some((1000, snapshot)));
}

fn list(ticket: u64) -> StoreRequest {
    StoreRequest::List {
        ticket,
        tenant: "".into(),
        prefix: "document-".into(),
        after: None,
        documents_max: 10,
        bytes_max: 1000,
    }
}

#[test]
fn deleting_and_listing_are_answered_in_order() {
    for durability in [Durability::Always, Durability::Interval, Durability::Never] {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path(), durability);
        let store = open_as(directory.path(), durability).store;
        let (handle, mut replies) = start(store, &config, 1);
        let queue = handle.queue(0);
        let mut replies = Replies::new(replies.remove(0));
        let mut ask = |requests: Vec<StoreRequest>| -> Vec<StoreReply> {
            let count = requests.len();
            for request in requests {
                send(&queue, request);
            }
            let mut answers: Vec<_> = (0..count).map(|_| replies.next()).collect();
            // Several threads answer; what each of them says has its place by what it is.
            answers.sort_by_key(|reply| format!("{reply:?}"));
            answers
        };
        ask(vec![append(1, 1, 1, "one"), append(2, 1, 1, "two")]);
        let delete = |number, at_ms| StoreRequest::Delete {
            document: document(number),
            at_ms,
        };
        let load = |number| StoreRequest::Load {
            document: document(number),
        };
        let found = ask(vec![delete(1, 50), load(1), list(7), delete(3, 50)]);
        let deleted = |token, stored_bytes| StoreReply::Deleted {
            token,
            stored_bytes,
        };
        assert_eq!(found[..2], [deleted(1, Some(3)), deleted(3, None)]);
        let [StoreReply::Listed { ticket: 7, result }, loaded] = &found[2..] else {
            panic!("{found:?}");
        };
        let listed = &result.as_ref().unwrap().documents;
        assert_eq!(listed.len(), 1);
        assert_eq!((&*listed[0].name, &*listed[0].kind), ("document-2", "log"));
        let result = Ok(Loaded::Deleted { at_ms: 50 });
        assert_eq!(*loaded, StoreReply::Loaded { token: 1, result });

        let restore = StoreRequest::Restore {
            document: document(1),
            at_ms: 55,
        };
        let found = ask(vec![restore, delete(2, 60)]);
        let restored = StoreReply::Restored {
            token: 1,
            stored_bytes: Some(3),
        };
        assert_eq!(found, [deleted(2, Some(3)), restored]);
        let sweep = StoreRequest::Sweep {
            ticket: 8,
            deleted_before_ms: 61,
        };
        let swept = Swept {
            documents: 1,
            has_more: false,
        };
        assert_eq!(ask(vec![sweep]), [StoreReply::Swept { ticket: 8, swept }]);
        let found = ask(vec![append(2, 2, 1, "second life"), load(2), load(1)]);
        let result = |token| {
            let loaded = found.iter().find_map(|reply| match reply {
                StoreReply::Loaded { token: of, result } if *of == token => Some(result),
                _ => None,
            });
            match loaded {
                Some(Ok(Loaded::Live(loaded))) => loaded,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((result(2).first_revision, result(1).first_revision), (2, 1));
        handle.stop().unwrap();
    }
}

#[test]
fn a_deletion_is_answered_when_it_is_synced() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), Durability::Always);
    let gated = GatedCommitter::start(open(directory.path()), &config);
    let queue = gated.handle.queue(0);
    send(&queue, append(1, 1, 1, "x"));
    gated.pass("write");
    gated.pass("sync");
    assert_eq!(gated.replies[0].recv().unwrap().len(), 1);
    let document = document(1);
    send(&queue, StoreRequest::Delete { document, at_ms: 5 });
    gated.pass("write");
    assert_eq!(gated.at_gate.recv(), Ok("sync"));
    // It sees the deletion, so it waits for it too.
    send(&queue, list(1));
    assert!(gated.replies[0].is_empty(), "it is not synced");
    gated.word.send(Ok(())).unwrap();
    let mut replies = Replies::new(gated.replies[0].clone());
    assert!(matches!(replies.next(), StoreReply::Deleted { .. }));
    let StoreReply::Listed { result, .. } = replies.next() else {
        panic!("the list is asked for");
    };
    assert_eq!(result.unwrap().documents, []);
    gated.handle.stop().unwrap();
}

#[test]
fn a_stop_does_not_wait_for_what_is_to_be_removed_and_the_next_run_goes_on_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), Durability::Always);
    let mut store = open(directory.path());
    for revision in 1..=40 {
        let write = crate::support::append("a", revision, 1, record(1, revision, 300_000));
        store.commit(&[write]).unwrap();
    }
    store.commit(&[crate::support::delete("a", 5)]).unwrap();
    store.commit(&[crate::support::sweep(6)]).unwrap();
    store.close().unwrap();

    let store = open(directory.path());
    assert!(store.is_unfinished());
    let (handle, _replies) = start(store, &config, 1);
    // Nobody asks for anything.
    while handle.counters().snapshot().commits < 10 {
        std::thread::yield_now();
    }
    handle.stop().unwrap();
    let mut store = open(directory.path());
    let mut commits = 0;
    while store.is_unfinished() {
        store.commit(&[]).unwrap();
        commits += 1;
    }
    assert!(commits <= 5, "{commits}");
    assert_eq!(store.load("a"), Ok(Loaded::Gone { revision: 40 }));
}

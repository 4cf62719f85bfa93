//! Appends through the committer with group commit, beside the floor: one file, one write and one fdatasync for
//! as many operations as are in flight. And the load of a document.
//!
//! TMPDIR says which disk is measured. After each group of appends a line tells how long commits took.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use corelay::config::{self, Durability};
use corelay::store::{
    Backend, CommitterHandle, DocumentRef, FjallStore, Reader, ReplySink, StoreQueue, StoreReply,
    StoreRequest, Write, committer,
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crossbeam_channel::{Receiver, unbounded};

const OPERATION_BYTES: usize = 100;
const DOCUMENTS: u64 = 100;
const IN_FLIGHT: [u64; 3] = [1, 64, 1000];

fn open(path: &Path, durability: Durability) -> (FjallStore, config::Store) {
    let config = config::Store {
        path: path.to_owned(),
        durability,
        ..config::Store::default()
    };
    let open = corelay::store::open(&config).unwrap_or_else(|error| panic!("{error}"));
    (open.store, config)
}

/// One shard that keeps so many appends in flight, over many documents.
struct Driver {
    handle: CommitterHandle,
    queue: StoreQueue,
    replies: Receiver<Vec<StoreReply>>,
    names: Vec<Arc<str>>,
    kind: Arc<str>,
    sent: Vec<u64>,
    answered: Vec<u64>,
    record: Bytes,
}

impl Driver {
    fn start(path: &Path, durability: Durability) -> Self {
        let (store, config) = open(path, durability);
        let (sender, replies) = unbounded();
        let sink: ReplySink = Box::new(move |replies| {
            let _ = sender.send(replies);
        });
        let readers = vec![Box::new(store.reader()) as Box<dyn Reader>];
        let handle = committer::start(store, readers, &config, vec![sink]).expect("it starts");
        Self {
            queue: handle.queue(0),
            handle,
            replies,
            names: (0..DOCUMENTS)
                .map(|number| format!("document-{number}").into())
                .collect(),
            kind: "log".into(),
            sent: vec![0; DOCUMENTS as usize],
            answered: vec![0; DOCUMENTS as usize],
            record: Bytes::from(vec![7; OPERATION_BYTES]),
        }
    }

    fn append(&mut self, operations: u64, in_flight_max: u64) -> Duration {
        let started = Instant::now();
        let (mut left, mut in_flight) = (operations, 0);
        while left > 0 || in_flight > 0 {
            self.queue.send(Instant::now(), || {
                if left == 0 || in_flight == in_flight_max {
                    return None;
                }
                let number = left % DOCUMENTS;
                let revision = &mut self.sent[number as usize];
                *revision += 1;
                left -= 1;
                in_flight += 1;
                Some(StoreRequest::Append {
                    document: DocumentRef {
                        name: Arc::clone(&self.names[number as usize]),
                        token: number,
                    },
                    kind: Arc::clone(&self.kind),
                    first_revision: *revision,
                    count: 1,
                    record: self.record.clone(),
                })
            });
            for reply in self.replies.recv().expect("the committer runs") {
                match reply {
                    StoreReply::Appended {
                        token, revision, ..
                    } => {
                        let answered = &mut self.answered[token as usize];
                        in_flight -= revision - *answered;
                        *answered = revision;
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        started.elapsed()
    }
}

/// One write and one fdatasync for each group of operations, in a file whose blocks are there already.
struct Floor {
    file: File,
    position: u64,
    bytes: u64,
}

impl Floor {
    fn new(path: &Path) -> Self {
        let file = File::create(path.join("floor")).expect("the disk takes a file");
        let bytes = 64 << 20;
        file.write_all_at(&vec![1; bytes as usize], 0)
            .expect("the disk has room");
        file.sync_all().expect("the disk syncs");
        Self {
            file,
            position: 0,
            bytes,
        }
    }

    fn append(&mut self, operations: u64, group: u64) -> Duration {
        let buffer = vec![7; OPERATION_BYTES * group as usize];
        let started = Instant::now();
        let mut left = operations;
        while left > 0 {
            let operations = left.min(group);
            let bytes = &buffer[..OPERATION_BYTES * operations as usize];
            if self.position + bytes.len() as u64 > self.bytes {
                self.position = 0;
            }
            self.file
                .write_all_at(bytes, self.position)
                .expect("the disk writes");
            self.file.sync_data().expect("the disk syncs");
            self.position += bytes.len() as u64;
            left -= operations;
        }
        started.elapsed()
    }
}

fn appends(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    for in_flight in IN_FLIGHT {
        let directory = tempfile::tempdir().expect("the disk has room");
        let mut floor = Floor::new(directory.path());
        let id = BenchmarkId::new("floor", in_flight);
        group.bench_function(id, |bencher| {
            bencher.iter_custom(|operations| floor.append(operations, in_flight));
        });
        for (durability, name) in [
            (Durability::Always, "always"),
            (Durability::Interval, "interval"),
        ] {
            let path = directory.path().join(name);
            let mut driver = Driver::start(&path, durability);
            let id = BenchmarkId::new(name, in_flight);
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|operations| driver.append(operations, in_flight));
            });
            let counters = driver.handle.counters().snapshot();
            let micros = &counters.commit_micros;
            println!(
                "{} commits, µs: p50 {}, p99 {}, p99.9 {}, max {}; {} operations per commit\n",
                counters.commits,
                micros.value_at_quantile(0.5),
                micros.value_at_quantile(0.99),
                micros.value_at_quantile(0.999),
                micros.max(),
                counters.operations / counters.commits.max(1),
            );
            driver.handle.stop().expect("the disk is well");
        }
    }
    group.finish();
}

fn loads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("load");
    let directory = tempfile::tempdir().expect("the disk has room");
    let (mut store, _) = open(directory.path(), Durability::Never);
    let record = Bytes::from(vec![7; OPERATION_BYTES]);
    for (document, operations, snapshot_bytes) in [
        ("100 operations", 100, 0),
        ("5000 operations", 5000, 0),
        ("1 MiB snapshot, 100 operations", 200, 1 << 20),
    ] {
        for first_revision in 1..=operations {
            let append = Write::Append {
                document: document.into(),
                kind: "log".into(),
                first_revision,
                count: 1,
                record: record.clone(),
            };
            store.commit(&[append]).expect("the disk is well");
        }
        if snapshot_bytes > 0 {
            let snapshot = Write::Snapshot {
                document: document.into(),
                revision: 100,
                snapshot: Bytes::from(vec![7; snapshot_bytes]),
                compact_to_revision: None,
            };
            store.commit(&[snapshot]).expect("the disk is well");
            while store.is_unfinished() {
                store.commit(&[]).expect("the disk is well");
            }
        }
        group.bench_function(document, |bencher| {
            bencher.iter(|| black_box(store.load(black_box(document))));
        });
    }
    group.finish();
    store.close().expect("the disk is well");
}

criterion_group!(benches, appends, loads);
criterion_main!(benches);

//! Appends through the committer with group commit, beside the floor: one file, one write and one fdatasync for
//! as many operations as are in flight. Then how documents open that are not in memory, and what is on disk.
//!
//! TMPDIR says which disk is measured. After each group of appends a line tells how long commits took.

#[path = "support/stored.rs"]
mod stored;

use std::cell::Cell;
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use corelay::codec::record::{self, OperationsRecord};
use corelay::config::{self, Durability};
use corelay::load::trace::History;
use corelay::store::{
    CommitterHandle, Disk, DocumentRef, FjallStore, Reader, ReplySink, StoreQueue, StoreReply,
    StoreRequest, committer,
};
use corelay::text::Operation;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crossbeam_channel::{Receiver, unbounded};

use stored::Stored;

const OPERATION_BYTES: usize = 100;
const DOCUMENTS: u64 = 100;
const IN_FLIGHT: [u64; 3] = [1, 64, 1000];

fn open(path: &Path, durability: Durability) -> (FjallStore, config::Store) {
    let config = config::Store {
        path: path.to_owned(),
        durability,
        // Small, so that tables are written.
        write_buffer_bytes: 20 << 20,
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
    /// What the operation of this number is.
    payload: fn(u64) -> Bytes,
}

impl Driver {
    fn start(path: &Path, durability: Durability, payload: fn(u64) -> Bytes) -> Self {
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
            payload,
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
                let record = record::encode_operations(&OperationsRecord {
                    revision: *revision,
                    origin: number << 40,
                    first_clock: *revision - 1,
                    operations: vec![(self.payload)(left)],
                    time_ms: 1_700_000_000_000,
                    author: "ada".into(),
                });
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
                    record,
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
            let mut driver = Driver::start(&path, durability, same);
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

/// A document that is not in memory, from the store's rows to what a client that joins is sent: a log is sent its last
/// operations only, as to a client that was away.
fn cold_opens(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cold open");
    let counts: &[u64] = match is_measured() {
        true => &[100, 10_000, 100_000],
        false => &[100],
    };
    for kind in ["log", "text"] {
        for &operations in counts {
            let directory = tempfile::tempdir().expect("the disk has room");
            let (store, _) = open(directory.path(), Durability::Never);
            let mut stored = Stored::new(store);
            stored.open("document", kind);
            for clock in 0..operations {
                stored.write(clock, operation(kind, clock));
            }
            let stored = Cell::new(Some(stored));
            group.bench_function(format!("{kind} of {operations} operations"), |bencher| {
                bencher.iter_batched(
                    || stored.take().expect("it was put back").restarted(),
                    |mut restarted| {
                        black_box(restarted.open_from("document", operations));
                        stored.set(Some(restarted));
                    },
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

/// Typing and deleting in a text that comes to 50 kB, or a hundred bytes.
fn operation(kind: &str, clock: u64) -> Bytes {
    if kind == "log" {
        return Bytes::from_static(&[7; OPERATION_BYTES]);
    }
    let position = (clock as usize * 7919) % (5 * (clock as usize).clamp(1, 9000));
    let operation = match clock {
        ..10_000 => Operation::splice(position, 0, "words"),
        _ if clock.is_multiple_of(2) => Operation::splice(position, 5, ""),
        _ => Operation::splice(position, 0, "words"),
    };
    operation.encode().into()
}

/// Whether it is to be measured, or only tried.
fn is_measured() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// What an operation of 100 bytes comes to on disk, when it is in a table. No times: they are not the point.
fn stored_bytes(_: &mut Criterion) {
    let operations = if is_measured() { 400_000 } else { 1000 };
    println!("stored bytes for each operation of {OPERATION_BYTES} bytes");
    for (content, payload) in [
        ("readable", readable as fn(u64) -> Bytes),
        ("encrypted", encrypted),
    ] {
        for (pace, in_flight) in [("one at a time", 1), ("a thousand at a time", 1000)] {
            let directory = tempfile::tempdir().expect("the disk has room");
            let mut driver = Driver::start(directory.path(), Durability::Never, payload);
            driver.append(operations, in_flight);
            let written = Disk::of(directory.path());
            driver.handle.stop().expect("the disk is well");
            let settled = settled(directory.path());
            let each = |disk: Disk| disk.tables_bytes as f64 / operations as f64;
            println!(
                "{content}, {pace}: {:.0} in tables, {:.0} when they have settled",
                each(written),
                each(settled),
            );
        }
    }
}

/// What recorded typing comes to on disk. CORELAY_TRACES is a folder of histories as `corelay load --trace` takes them;
/// those of several authors are left out here.
fn stored_histories(_: &mut Criterion) {
    let Some(folder) = std::env::var_os("CORELAY_TRACES").filter(|_| is_measured()) else {
        return println!("SKIPPED: no CORELAY_TRACES");
    };
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("readable").path();
        let bytes = std::fs::read(&path).expect("readable");
        let history = History::read(&bytes).unwrap_or_else(|error| panic!("{error}"));
        let [transactions] = &history.agents[..] else {
            continue;
        };
        let directory = tempfile::tempdir().expect("the disk has room");
        let (store, _) = open(directory.path(), Durability::Never);
        let mut stored = Stored::new(store);
        stored.open("document", "text");
        let mut payload_bytes = 0;
        for (clock, transaction) in (0..).zip(transactions) {
            let operation = transaction.operation.encode();
            payload_bytes += operation.len();
            stored.write(clock, operation.into());
        }
        drop(stored);
        let tables_bytes = settled(directory.path()).tables_bytes;
        let each = |bytes: f64| bytes / transactions.len() as f64;
        println!(
            "{}: {} operations of {:.0} bytes, {:.0} each on disk, with the snapshot of {} bytes",
            path.display(),
            transactions.len(),
            each(payload_bytes as f64),
            each(tables_bytes as f64),
            history.end.len(),
        );
    }
}

/// What a store is that nobody has open, when everything is in tables and these are where they stay.
fn settled(path: &Path) -> Disk {
    let database = fjall::Database::builder(path.join("database")).open();
    let database = database.expect("a whole store");
    let rows = database.keyspace("rows", fjall::KeyspaceCreateOptions::default);
    let rows = rows.expect("a whole store");
    rows.rotate_memtable_and_wait().expect("the disk is well");
    rows.major_compact().expect("the disk is well");
    drop((rows, database));
    Disk::of(path)
}

/// All alike, and already there.
fn same(_: u64) -> Bytes {
    Bytes::from_static(&[7; OPERATION_BYTES])
}

/// Numbers and names, as a drawing tool would send them.
fn readable(number: u64) -> Bytes {
    let random = scrambled(number);
    let (x, y) = (random % 10_000, random / 10_000 % 10_000);
    let text = format!(
        r##"{{"shape":"{random:016x}","set":{{"x":{x},"y":{y},"color":"#{:06x}","layer":{}}}}}"##,
        random >> 40,
        number % 8
    );
    format!("{text:OPERATION_BYTES$}").into()
}

fn encrypted(number: u64) -> Bytes {
    let words = (0..OPERATION_BYTES as u64 / 8 + 1).map(|index| scrambled(number << 8 | index));
    let bytes = words.flat_map(u64::to_le_bytes).take(OPERATION_BYTES);
    bytes.collect()
}

/// The finish of splitmix64.
fn scrambled(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

criterion_group!(benches, appends, cold_opens, stored_bytes, stored_histories);
criterion_main!(benches);

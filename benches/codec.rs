//! Bytes to values and back, each step of an operation's way.

use std::hint::black_box;

use bytes::Bytes;
use corelay::codec::json::{self, Context, Limits, Payload};
use corelay::codec::record::{self, OperationsRecord};
use corelay::codec::wire::{self, Event, Request, event, request::Body};
use corelay::codec::{frame, request, websocket};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message;

const OPERATIONS_MAX: usize = 1000;
const LENGTH_MAX: usize = 1024 * 1024;

/// How many operations of how many bytes: a keystroke, a batch of typing, a large paste.
const BATCHES: [(&str, usize, usize); 3] = [
    ("1 of 32 bytes", 1, 32),
    ("50 of 32 bytes", 50, 32),
    ("1 of 64 KiB", 1, 64 * 1024),
];

fn payloads(count: usize, bytes: usize) -> Vec<Bytes> {
    vec![Bytes::from(vec![7; bytes]); count]
}

fn batch(count: usize, bytes: usize) -> Request {
    Request::from(Body::Operations(wire::Operations {
        document: 12,
        client_seq: 345,
        first_clock: 678,
        base_revision: 9012,
        operations: payloads(count, bytes),
        ..Default::default()
    }))
}

fn broadcast(count: usize, bytes: usize) -> Event {
    Event::from(event::Body::RemoteOps(wire::RemoteOps {
        document: 12,
        revision: 9013,
        origin: 1 << 52,
        first_clock: 678,
        operations: payloads(count, bytes),
    }))
}

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec/frame");
    for (name, count, bytes) in BATCHES {
        let event = broadcast(count, bytes);
        let encoded = frame::encode(&event);
        group.throughput(Throughput::Bytes(encoded.len() as u64));
        group.bench_function(BenchmarkId::new("encode", name), |bencher| {
            bencher.iter(|| frame::encode(black_box(&event)));
        });
        let mut out = Vec::with_capacity(2 * encoded.len());
        group.bench_function(BenchmarkId::new("append", name), |bencher| {
            bencher.iter(|| {
                out.clear();
                frame::append(black_box(&event), &mut out);
            });
        });
    }
    let many = frame::encode(&broadcast(1, 32)).repeat(100);
    group.throughput(Throughput::Elements(100));
    group.bench_function("split 100", |bencher| {
        bencher.iter(|| {
            let mut rest = black_box(&many[..]);
            while let Some(message) = frame::split(&mut rest, LENGTH_MAX).expect("frames") {
                black_box(message);
            }
        });
    });
    group.finish();
}

/// A client's binary message, masked.
fn masked(payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut message = vec![0x82, 0xff];
    message.extend_from_slice(&(payload.len() as u64).to_be_bytes());
    message.extend_from_slice(&mask);
    let start = message.len();
    message.extend_from_slice(payload);
    websocket::unmask(&mut message[start..], mask);
    message
}

fn websockets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec/websocket");
    for bytes in [64, 1024, 64 * 1024] {
        group.throughput(Throughput::Bytes(bytes as u64));
        let message = masked(&vec![7; bytes]);
        let mut reader = websocket::Reader::default();
        group.bench_function(BenchmarkId::new("read", bytes), |bencher| {
            bencher.iter_batched_ref(
                || message.clone(),
                |message| {
                    let mut input = &mut message[..];
                    let read = reader.next(&mut input, LENGTH_MAX);
                    assert!(matches!(read, Ok(Some(websocket::Incoming::Binary(_)))));
                },
                BatchSize::SmallInput,
            );
        });
        let payload = vec![7; bytes];
        let mut out = Vec::with_capacity(bytes + 16);
        group.bench_function(BenchmarkId::new("write", bytes), |bencher| {
            bencher.iter(|| {
                out.clear();
                websocket::append_binary(&mut out, |out| out.extend_from_slice(&payload));
            });
        });
    }
    group.finish();
}

fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec/request");
    for (name, count, bytes) in BATCHES {
        let message = Bytes::from(batch(count, bytes).encode_to_vec());
        group.throughput(Throughput::Bytes(message.len() as u64));
        group.bench_function(BenchmarkId::new("decode", name), |bencher| {
            bencher.iter(|| request::decode(black_box(message.clone()), OPERATIONS_MAX));
        });
    }
    group.finish();
}

fn records(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec/record");
    for (name, count, bytes) in BATCHES {
        let record = OperationsRecord {
            revision: 9013,
            origin: 1 << 52,
            first_clock: 678,
            operations: payloads(count, bytes),
            time_ms: 1_700_000_000_000,
            author: "ada".into(),
        };
        let encoded = record::encode_operations(&record);
        group.throughput(Throughput::Bytes(encoded.len() as u64));
        group.bench_function(BenchmarkId::new("encode", name), |bencher| {
            bencher.iter(|| record::encode_operations(black_box(&record)));
        });
        group.bench_function(BenchmarkId::new("decode", name), |bencher| {
            bencher.iter(|| record::decode_operations(black_box(&encoded)).expect("valid"));
        });
        group.bench_function(BenchmarkId::new("range", name), |bencher| {
            bencher.iter(|| record::operations_range(black_box(&encoded)).expect("valid"));
        });
    }
    group.finish();
}

/// An operation of about `bytes` bytes.
fn json_operation(bytes: usize) -> String {
    let text = "x".repeat(bytes.saturating_sub(21));
    format!(r#"{{"at":5,"insert":"{text}"}}"#)
}

fn json_messages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec/json");
    let limits = Limits {
        operations_max: OPERATIONS_MAX,
        vector_entries_max: 1000,
    };
    let context = Context {
        document_id: Some("benchmark"),
        payload: Payload::Json,
        timestamp_ms: 1_699_900_000_000,
        client_id: 42,
    };
    for (name, count, bytes) in BATCHES {
        let operation = json_operation(bytes);
        let operations = vec![operation.as_str(); count].join(",");
        let text = format!(
            r#"{{"type":"operations","timestamp":1699900000000,"payload":{{"documentId":"benchmark","operations":[{operations}],"clientSeq":345}}}}"#
        );
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(BenchmarkId::new("decode", name), |bencher| {
            bencher.iter(|| {
                let message = json::decode(black_box(text.as_bytes()), &limits).expect("valid");
                let json::Body::Operations(batch) = message.body else {
                    unreachable!("it is a batch");
                };
                let read = |operation: &Box<_>| Payload::Json.read(operation).expect("valid");
                batch.operations.iter().map(read).collect::<Vec<_>>()
            });
        });
        let event = Event::from(event::Body::RemoteOps(wire::RemoteOps {
            document: 12,
            revision: 9013,
            origin: 1 << 52,
            first_clock: 678,
            operations: vec![Bytes::from(operation); count],
        }));
        let mut out = Vec::new();
        group.bench_function(BenchmarkId::new("encode", name), |bencher| {
            bencher.iter(|| {
                out.clear();
                json::encode(black_box(&event), &context, &mut out);
            });
        });
    }
    group.finish();
}

criterion_group!(
    benches,
    frames,
    websockets,
    requests,
    json_messages,
    records
);
criterion_main!(benches);

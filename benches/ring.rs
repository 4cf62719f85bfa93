//! Fan-out: an operation's way through a shard to its subscribers, without sockets and disk.

#[path = "support/room.rs"]
mod room;

use std::hint::black_box;

use bytes::Bytes;
use corelay::engine::shard::Transport;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use room::Room;

fn publishing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring/publish");
    group.throughput(Throughput::Elements(1));
    for bytes in [32, 4096] {
        let payload = Bytes::from(vec![7; bytes]);
        let mut room = Room::new(0, Transport::Tcp);
        group.bench_function(BenchmarkId::new("from bytes to ack", bytes), |bencher| {
            bencher.iter(|| {
                room.publish(&payload);
                black_box(room.flush())
            });
        });
    }
    group.finish();
}

fn fanning_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring/flush");
    let payload = Bytes::from_static(&[7; 32]);
    for transport in [Transport::Tcp, Transport::WebSocket] {
        for readers in [1, 100, 1000] {
            // One operation for each, and many operations in one send.
            for operations in [1, 50] {
                let mut room = Room::new(readers, transport);
                room.publish(&payload);
                assert!(room.flush() > readers * payload.len(), "everybody gets it");
                group.throughput(Throughput::Elements((readers * operations) as u64));
                let name = format!("{transport:?}, {readers} readers, {operations} operations");
                group.bench_function(name, |bencher| {
                    bencher.iter(|| {
                        for _ in 0..operations {
                            room.publish(&payload);
                        }
                        black_box(room.flush())
                    });
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, publishing, fanning_out);
criterion_main!(benches);

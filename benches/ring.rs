//! Fan-out: an operation's way through a shard to its subscribers, without sockets and disk.

use std::hint::black_box;

use bytes::Bytes;
use corelay::codec::frame;
use corelay::codec::wire::{self, Request, request::Body};
use corelay::config::{Config, Durability};
use corelay::engine::shard::{Arrival, Authority, ConnectionId, Settings, Transport};
use corelay::engine::{Instant, Shard};
use corelay::store::{Loaded, StoreReply, StoreRequest};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const NOW: Instant = Instant::from_micros(0);

/// A shard with one log that a writer and some readers have open.
struct Room {
    shard: Shard,
    writer: ConnectionId,
    document: u64,
    clock: u64,
    out: Vec<u8>,
}

impl Room {
    fn new(readers: usize, transport: Transport) -> Self {
        let config = Config::default();
        let mut shard = Shard::new(Settings {
            index: 0,
            shards: 1,
            connection: config.connection,
            document: config.document,
            fanout: config.fanout,
            presence: config.presence,
            memory: config.memory,
            durability: Durability::Always,
            epoch: 1,
            identity_key: [0; 32],
            authority: Authority::Anybody,
            started_at_ms: 0,
        });
        let writer = joined(&mut shard, 0, Transport::Tcp);
        let mut room = Self {
            shard,
            writer,
            document: 1,
            clock: 0,
            out: Vec::new(),
        };
        room.store();
        for reader in 1..=readers {
            joined(&mut room.shard, reader, transport);
        }
        room.flush();
        room
    }

    /// The writer's next operation, up to where it is durable and in the ring.
    fn publish(&mut self, payload: &Bytes) {
        let operations = Body::Operations(wire::Operations {
            document: self.document,
            client_seq: self.clock,
            first_clock: self.clock,
            base_revision: 0,
            operations: vec![payload.clone()],
            ..Default::default()
        });
        self.clock += 1;
        say(&mut self.shard, self.writer, operations);
        self.store();
    }

    fn store(&mut self) {
        while let Some(request) = self.shard.poll_store() {
            let reply = match request {
                StoreRequest::Append {
                    document,
                    first_revision,
                    count,
                    ..
                } => StoreReply::Appended {
                    token: document.token,
                    revision: first_revision + u64::from(count) - 1,
                    persisted_at_ms: 0,
                },
                StoreRequest::Load { document } => StoreReply::Loaded {
                    token: document.token,
                    result: Ok(Loaded::Unknown),
                },
                StoreRequest::PutSnapshot {
                    document, revision, ..
                } => StoreReply::SnapshotStored {
                    token: document.token,
                    revision,
                    stored_bytes: 0,
                },
                StoreRequest::Read { .. } => unreachable!("nobody is behind the ring"),
                StoreRequest::Delete { .. }
                | StoreRequest::Restore { .. }
                | StoreRequest::Sweep { .. }
                | StoreRequest::List { .. } => unreachable!("nobody asks for it"),
            };
            self.shard.handle_store(reply, NOW);
        }
    }

    /// One send for everybody who has something to be sent. Returns how many bytes that were.
    fn flush(&mut self) -> usize {
        let mut bytes = 0;
        while let Some(connection) = self.shard.poll_writable() {
            self.out.clear();
            self.shard.poll_transmit(connection, &mut self.out);
            bytes += self.out.len();
            let taken = self.out.len();
            self.shard.handle_sent(connection, &self.out, taken, NOW);
        }
        bytes
    }
}

fn joined(shard: &mut Shard, number: usize, transport: Transport) -> ConnectionId {
    let connection = shard.connect(Arrival::new(transport), NOW);
    let connection = connection.expect("there is room");
    let mut uuid = [0; 16];
    uuid[..8].copy_from_slice(&number.to_le_bytes());
    let hello = Body::Hello(wire::Hello {
        protocol_version: 3,
        client_uuid: Bytes::copy_from_slice(&uuid),
        ..Default::default()
    });
    let open = Body::Open(wire::Open {
        document: "room".to_owned(),
        kind: "log".to_owned(),
        create: true,
        ..Default::default()
    });
    for body in [hello, open] {
        match transport {
            Transport::Tcp | Transport::EventStream => say(shard, connection, body),
            Transport::WebSocket => {
                let payload = frame::encode(&Request::from(body));
                // A mask of zeros leaves the payload as it is.
                let mut message = vec![0x82, 0x80 | payload.len() as u8, 0, 0, 0, 0];
                message.extend_from_slice(&payload);
                shard.handle_bytes(connection, &mut message, NOW);
            }
        }
    }
    connection
}

fn say(shard: &mut Shard, connection: ConnectionId, body: Body) {
    let mut bytes = frame::encode(&Request::from(body)).to_vec();
    shard.handle_bytes(connection, &mut bytes, NOW);
}

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

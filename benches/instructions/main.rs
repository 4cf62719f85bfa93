//! The hot paths, one at a time and so often: for a tool that counts instructions. `benches/instructions/count` does.

#[path = "../support/room.rs"]
mod room;

use std::hint::black_box;

use bytes::Bytes;
use clap::{Parser, ValueEnum};
use corelay::codec::wire::{self, Event, Request, event, request::Body};
use corelay::codec::{frame, request, websocket};
use corelay::engine::shard::Transport;
use corelay::text::{Operation, Side, Text, transform};
use prost::Message;

use room::Room;

#[derive(Debug, Parser)]
struct Arguments {
    /// Without it every path is tried once.
    #[arg(long, value_enum)]
    path: Option<Path>,
    #[arg(long, default_value_t = 1)]
    times: u32,
    /// What cargo says when it is to be measured.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Path {
    /// An operation as a frame for its receivers.
    Encode,
    /// A client's frame as an operation.
    Decode,
    /// A client's WebSocket message.
    WebsocketRead,
    /// From bytes to the Ack, with nobody else there.
    Publish,
    /// The same, and 100 others get it, each with one send.
    FanOut,
    /// Fifty operations, and 100 others get them, each with one send.
    FanOutBatched,
    /// An operation that comes again.
    Dedupe,
    /// A state vector of one client, where 2,500 have written.
    StateVector,
    /// A keystroke past another one.
    Transform,
    /// A keystroke into a text of 100 kB.
    Apply,
}

fn main() {
    let arguments = Arguments::parse();
    match arguments.path {
        Some(path) => path.run(arguments.times),
        None => Path::value_variants().iter().for_each(|path| path.run(1)),
    }
}

impl Path {
    fn run(self, times: u32) {
        let payload = Bytes::from_static(&[7; 64]);
        match self {
            Self::Encode => {
                let event = Event::from(event::Body::RemoteOps(wire::RemoteOps {
                    document: 12,
                    revision: 9013,
                    origin: 1 << 52,
                    first_clock: 678,
                    operations: vec![payload],
                }));
                let mut out = Vec::with_capacity(1024);
                repeat(times, || {
                    out.clear();
                    frame::append(black_box(&event), &mut out);
                });
            }
            Self::Decode => {
                let message = Bytes::from(operations(payload).encode_to_vec());
                repeat(times, || {
                    request::decode(black_box(message.clone()), 1000).expect("it was encoded");
                });
            }
            Self::WebsocketRead => {
                let message = masked(&frame::encode(&operations(payload)));
                let mut copy = message.clone();
                let mut reader = websocket::Reader::default();
                repeat(times, || {
                    copy.copy_from_slice(&message);
                    let read = reader.next(&mut &mut copy[..], 1 << 20);
                    assert!(matches!(read, Ok(Some(websocket::Incoming::Binary(_)))));
                });
            }
            Self::Publish => publish(0, 1, &payload, times),
            Self::FanOut => publish(100, 1, &payload, times),
            Self::FanOutBatched => publish(100, 50, &payload, times),
            Self::Dedupe => {
                let mut room = Room::new(0, Transport::Tcp);
                room.publish(&payload);
                room.flush();
                repeat(times, || {
                    room.resend(&payload);
                    assert!(room.flush() > 0, "the Ack comes again");
                });
            }
            Self::StateVector => {
                let mut room = Room::new(0, Transport::Tcp);
                let client_id = room.visit(1..2501);
                repeat(times, || room.sync(client_id));
            }
            Self::Transform => {
                let (one, other) = (
                    Operation::splice(7919, 0, "x"),
                    Operation::splice(15_838, 0, "y"),
                );
                repeat(times, || {
                    black_box(transform(black_box(&one), black_box(&other), Side::Left));
                });
            }
            Self::Apply => {
                let mut text = Text::from(
                    "The quick brown fox jumps over the lazy dog — twice. "
                        .repeat(2000)
                        .as_str(),
                );
                let mut position = 0;
                repeat(times, || {
                    position = (position + 7919) % 90_000;
                    text.apply(&Operation::splice(position, 0, "x"))
                        .expect("it fits");
                });
            }
        }
    }
}

fn repeat(times: u32, mut work: impl FnMut()) {
    (0..times).for_each(|_| work());
}

fn publish(readers: usize, operations: usize, payload: &Bytes, times: u32) {
    let mut room = Room::new(readers, Transport::Tcp);
    repeat(times, || {
        (0..operations).for_each(|_| room.publish(payload));
        assert!(
            room.flush() > readers * operations * payload.len(),
            "everybody gets it"
        );
    });
}

fn operations(payload: Bytes) -> Request {
    Request::from(Body::Operations(wire::Operations {
        document: 12,
        client_seq: 345,
        first_clock: 678,
        base_revision: 9012,
        operations: vec![payload],
        ..Default::default()
    }))
}

/// A client's short binary message.
fn masked(payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut message = vec![
        0x82,
        0x80 | u8::try_from(payload.len()).expect("it is short"),
    ];
    message.extend_from_slice(&mask);
    let start = message.len();
    message.extend_from_slice(payload);
    websocket::unmask(&mut message[start..], mask);
    message
}

//! A whole shard among hostile connections: they greet and then send mutated requests, in any pieces, read or do not,
//! and come back when they are closed. A healthy client beside them is served all the time, and when they are gone
//! nothing of them is left.

use std::time::Duration;

use bytes::Bytes;
use corelay::codec::wire::{self, Event, Request, event, request::Body};
use corelay::codec::{frame, websocket};
use corelay::config::{Config, Durability};
use corelay::engine::shard::{Arrival, Authority, ConnectionId, Settings, Transport};
use corelay::engine::{Instant, Shard};
use corelay::store::{Backend, MemoryStore, StoreRequest};
use prost::Message;
use serde_json::json;

use crate::allocation::measured;
use crate::corpus::{self, Shown};
use crate::random::Random;
use crate::{inputs, json as json_mutation, mutation, protobuf};

const HOSTILE: usize = 4;
const INPUTS_PER_SHARD: u64 = 2000;
/// What handling one piece of input may hold beside a multiple of the piece: answers until the client must wait, and
/// what fields and operations are decoded to.
const FREE_BYTES: usize = 2 * 1024 * 1024;
const MULTIPLE: usize = 64;

struct Scene {
    shard: Shard,
    store: MemoryStore,
    asked: Vec<StoreRequest>,
    now: Instant,
    hostile: [Option<Hostile>; HOSTILE],
    healthy: ConnectionId,
    /// What the healthy client was sent.
    received: Vec<u8>,
    clock: u64,
}

#[derive(Clone, Copy)]
struct Hostile {
    connection: ConnectionId,
    transport: Transport,
    reads: bool,
}

#[test]
fn a_shard_among_hostile_connections() {
    let corpus = corpus::read("request");
    let json = corpus::read("json");
    let websocket = corpus::read("websocket");
    let rounds = inputs(2).div_ceil(INPUTS_PER_SHARD);
    for round in 0..rounds {
        let mut random = Random::new(round + 1);
        let mut scene = Scene::new();
        for number in 0..INPUTS_PER_SHARD {
            let index = random.below(HOSTILE);
            let hostile = scene.hostile(&mut random, index);
            let bytes = match random.below(20) {
                0 => mutation::mutated(&mut random, &websocket),
                1 => mutation::mutated(&mut random, &corpus),
                _frame if hostile.transport == Transport::EventStream => posted(&mut random, &json),
                _frame => framed(&mut random, hostile.transport, &corpus),
            };
            let _shown = Shown("request", &bytes);
            for piece in mutation::pieces(&mut random, &bytes) {
                scene.feed(hostile, piece);
            }
            scene.turn(&mut random);
            if number % 64 == 0 {
                scene.check_healthy();
            }
        }
        scene.end();
    }
}

/// One or a few requests as frames, as the transport carries them.
fn framed(random: &mut Random, transport: Transport, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut frames = Vec::new();
    for _ in 0..=random.below(3) {
        let message = match random.below(4) {
            0 => random.pick(corpus).clone(),
            1 => mutation::mutated(random, corpus),
            _fields => protobuf::mutated(random, corpus),
        };
        frames.extend_from_slice(&(message.len() as u32).to_be_bytes());
        frames.extend_from_slice(&message);
    }
    match transport {
        Transport::WebSocket => masked(&frames),
        Transport::Tcp | Transport::EventStream => frames,
    }
}

/// One or a few messages in JSON as frames.
fn posted(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut frames = Vec::new();
    for _ in 0..=random.below(3) {
        let message = json_mutation::mutated(random, corpus);
        frame::append_with(&mut frames, |frame| frame.extend_from_slice(&message));
    }
    frames
}

fn masked(payload: &[u8]) -> Vec<u8> {
    let mask = [9, 8, 7, 6];
    let mut bytes = vec![0x82, 0xff];
    bytes.extend_from_slice(&(payload.len() as u64).to_be_bytes());
    bytes.extend_from_slice(&mask);
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    websocket::unmask(&mut bytes[start..], mask);
    bytes
}

fn encoded(body: Body) -> Vec<u8> {
    frame::encode(&Request::from(body)).to_vec()
}

fn hello(uuid: u8) -> Vec<u8> {
    encoded(Body::Hello(wire::Hello {
        protocol_version: 3,
        client_uuid: vec![uuid; 16].into(),
        ..Default::default()
    }))
}

/// Hello and Open in JSON.
fn posted_start(uuid: u8, document: &str, kind: &str) -> Vec<u8> {
    let uuid = format!("{uuid:032x}");
    let mut frames = Vec::new();
    for message in [
        json!({"type": "connect", "payload": {"clientId": uuid}}),
        json!({"type": "sync_request", "payload": {"documentId": document, "kind": kind}}),
    ] {
        let text = message.to_string();
        frame::append_with(&mut frames, |frame| {
            frame.extend_from_slice(text.as_bytes())
        });
    }
    frames
}

fn open(document: &str, kind: &str) -> Vec<u8> {
    encoded(Body::Open(wire::Open {
        request_id: 1,
        document: document.to_owned(),
        kind: kind.to_owned(),
        have: None,
        create: true,
        ..Default::default()
    }))
}

impl Scene {
    fn new() -> Self {
        let mut config = Config::default();
        config.connection.message_bytes_max = 100_000;
        config.connection.documents_max = 8;
        config.connection.handshake_timeout = Duration::from_secs(2);
        config.document.bytes_max = 20_000;
        config.document.history_operations_max = 64;
        config.document.idle_timeout = Duration::from_millis(500);
        config.document.snapshot_operations = 10;
        config.fanout.ring_slots = 64;
        config.fanout.presence_ring_slots = 16;
        config.fanout.lag_operations_max = 60;
        config.memory.catch_up_page_bytes = 8192;
        config.memory.catch_up_reads_max = 2;
        let mut shard = Shard::new(Settings::new(&config, Authority::Anybody));
        let now = Instant::default();
        let healthy = shard
            .connect(Arrival::new(Transport::Tcp), now)
            .expect("there is room");
        let mut scene = Self {
            shard,
            store: MemoryStore::new(Durability::Always),
            asked: Vec::new(),
            now,
            hostile: [None; HOSTILE],
            healthy,
            received: Vec::new(),
            clock: 0,
        };
        scene.say(healthy, hello(255));
        scene.say(healthy, open("healthy", "log"));
        scene.rest();
        assert_eq!(scene.events().len(), 2, "Connected and Opened");
        scene
    }

    fn say(&mut self, connection: ConnectionId, mut bytes: Vec<u8>) {
        self.shard.handle_bytes(connection, &mut bytes, self.now);
    }

    /// The connection in that place, a fresh one if the last is closed. Most begin as they should.
    fn hostile(&mut self, random: &mut Random, index: usize) -> Hostile {
        if let Some(hostile) = self.hostile[index] {
            return hostile;
        }
        let transport =
            *random.pick(&[Transport::Tcp, Transport::WebSocket, Transport::EventStream]);
        let url = random.one_in(2).then(|| "notes".into());
        let arrival = Arrival {
            document: url,
            ..Arrival::new(transport)
        };
        let connection = self.shard.connect(arrival, self.now);
        let hostile = Hostile {
            connection: connection.expect("there is room"),
            transport,
            reads: !random.one_in(3),
        };
        self.hostile[index] = Some(hostile);
        if !random.one_in(5) {
            let kind = *random.pick(&["log", "text"]);
            let name = *random.pick(&["notes", "text", "healthy"]);
            let uuid = 1 + random.below(3) as u8;
            let start = [hello(uuid), open(name, kind)].concat();
            let start = match transport {
                Transport::Tcp => start,
                Transport::WebSocket => masked(&start),
                Transport::EventStream => posted_start(uuid, name, kind),
            };
            self.say(hostile.connection, start);
        }
        hostile
    }

    fn feed(&mut self, hostile: Hostile, piece: &[u8]) {
        if !self.shard.wants_bytes(hostile.connection) {
            return;
        }
        let mut bytes = piece.to_vec();
        let (shard, now) = (&mut self.shard, self.now);
        let ((), most, _) = measured(|| shard.handle_bytes(hostile.connection, &mut bytes, now));
        let limit = MULTIPLE * piece.len() + FREE_BYTES;
        assert!(most <= limit, "{most} bytes for a piece of {}", piece.len());
    }

    fn pass(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.shard.handle_timeout(self.now);
        while let Some(connection) = self.shard.poll_doubted() {
            let mut hostile = self.hostile.iter().flatten();
            let is_deaf = hostile.any(|it| it.connection == connection && !it.reads);
            let bytes = if is_deaf { u64::MAX } else { 0 };
            self.shard.handle_unconfirmed(connection, bytes, self.now);
        }
    }

    /// A little of everything, or nothing.
    fn turn(&mut self, random: &mut Random) {
        if random.one_in(4) {
            self.pass(Duration::from_millis(random.below(200) as u64));
        }
        if random.one_in(3) {
            self.store(random.below(4));
        }
        for index in 0..HOSTILE {
            let Some(hostile) = &mut self.hostile[index] else {
                continue;
            };
            if random.one_in(50) {
                hostile.reads = !hostile.reads;
            }
            if random.one_in(40) {
                self.shard.handle_eof(hostile.connection, self.now);
                self.hostile[index] = None;
            } else if hostile.reads {
                self.shard.handle_writable(hostile.connection);
            }
        }
        self.send();
    }

    fn store(&mut self, count: usize) {
        while let Some(request) = self.shard.poll_store() {
            self.asked.push(request);
        }
        for request in self.asked.drain(..count.min(self.asked.len())) {
            let reply = self.store.handle(request, 1);
            self.store.sync().expect("memory does not fail");
            self.shard.handle_store(reply, self.now);
        }
    }

    fn send(&mut self) {
        let mut out = Vec::new();
        while self.shard.poll_wants_bytes().is_some() {}
        while let Some(connection) = self.shard.poll_writable() {
            out.clear();
            self.shard.poll_transmit(connection, &mut out);
            let reads = |hostile: &Hostile| hostile.connection != connection || hostile.reads;
            let taken = if self.hostile.iter().flatten().all(reads) {
                out.len()
            } else {
                out.len() / 2
            };
            if connection == self.healthy {
                self.received.extend_from_slice(&out);
            }
            self.shard.handle_sent(connection, &out, taken, self.now);
        }
        while let Some(connection) = self.shard.poll_closed() {
            assert_ne!(connection, self.healthy);
            for hostile in &mut self.hostile {
                hostile.take_if(|hostile| hostile.connection == connection);
            }
        }
    }

    /// Everything that is under way is finished.
    fn rest(&mut self) {
        for _ in 0..100 {
            self.store(usize::MAX);
            self.send();
        }
        assert!(self.asked.is_empty() && self.shard.poll_store().is_none());
    }

    fn events(&mut self) -> Vec<event::Body> {
        let received = std::mem::take(&mut self.received);
        let mut rest = &received[..];
        let mut events = Vec::new();
        while let Some(message) = frame::split(&mut rest, usize::MAX).expect("frames") {
            let event = Event::decode(message).expect("an event");
            events.push(event.body.expect("a known one"));
        }
        assert!(rest.is_empty(), "only whole frames are sent");
        events
    }

    /// The healthy client's next operation has the next revision as far as it can see.
    fn check_healthy(&mut self) {
        self.store(usize::MAX);
        self.send();
        self.events();
        assert!(self.shard.wants_bytes(self.healthy));
        let batch = Body::Operations(wire::Operations {
            document: 1,
            client_seq: self.clock,
            first_clock: self.clock,
            base_revision: 0,
            operations: vec![Bytes::from_static(b"still here")],
            ..Default::default()
        });
        self.say(self.healthy, encoded(batch));
        self.store(usize::MAX);
        self.send();
        let events = self.events();
        let is_ack = |event: &&event::Body| matches!(event, event::Body::Ack(_));
        let Some(event::Body::Ack(ack)) = events.iter().find(is_ack) else {
            panic!("no acknowledgement: {events:?}");
        };
        assert_eq!((ack.client_seq, ack.clock), (self.clock, self.clock));
        assert!(!ack.duplicate);
        self.clock += 1;
    }

    /// The hostile ones go, and nothing of theirs stays.
    fn end(mut self) {
        for hostile in std::mem::take(&mut self.hostile).into_iter().flatten() {
            self.shard.handle_eof(hostile.connection, self.now);
        }
        self.rest();
        self.check_healthy();
        self.pass(Duration::from_secs(1));
        self.rest();
        self.shard.handle_eof(self.healthy, self.now);
        self.rest();
        self.pass(Duration::from_secs(1));
        // What leaves memory may be stored once more before.
        self.rest();
        let metrics = self.shard.metrics();
        assert_eq!((metrics.connections, metrics.documents), (0, 0));
        assert_eq!((metrics.input_bytes, metrics.output_bytes), (0, 0));
        assert_eq!((metrics.document_bytes, metrics.pending_bytes), (0, 0));
    }
}

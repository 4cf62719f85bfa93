//! A shard with one document, without sockets and disk: what is asked of the store is answered at once.

mod forgetful;

use bytes::Bytes;
use corelay::codec::frame;
use corelay::codec::wire::{self, Event, Request, event, request::Body};
use corelay::config::Config;
use corelay::engine::shard::{Arrival, Authority, ConnectionId, Settings, Transport};
use corelay::engine::{Instant, Shard};
use forgetful::store;
use prost::Message;

const NOW: Instant = Instant::from_micros(0);

/// A shard with one log that a writer and some readers have open.
pub struct Room {
    shard: Shard,
    writer: ConnectionId,
    document: u64,
    clock: u64,
    out: Vec<u8>,
}

impl Room {
    pub fn new(readers: usize, transport: Transport) -> Self {
        let mut shard = Shard::new(Settings::new(&Config::default(), Authority::Anybody));
        let writer = joined(&mut shard, 0, 0, Transport::Tcp);
        let mut room = Self {
            shard,
            writer,
            document: 1,
            clock: 0,
            out: Vec::new(),
        };
        store(&mut room.shard, NOW);
        for reader in 1..=readers {
            joined(&mut room.shard, reader, 0, transport);
        }
        room.flush();
        room
    }

    /// The writer's next operation, up to where it is durable and in the ring.
    pub fn publish(&mut self, payload: &Bytes) {
        self.submit(self.clock, payload);
        self.clock += 1;
        store(&mut self.shard, NOW);
    }

    /// The newest operation again, as after a lost Ack.
    #[allow(dead_code, reason = "not every benchmark repeats itself")]
    pub fn resend(&mut self, payload: &Bytes) {
        self.submit(self.clock - 1, payload);
    }

    /// Others come, write one operation each, and go. Returns the client id of the last one.
    #[allow(dead_code, reason = "not every benchmark has other writers")]
    pub fn visit(&mut self, visitors: std::ops::Range<usize>) -> u64 {
        let mut client_id = 0;
        for (revision, number) in (self.clock..).zip(visitors) {
            let visitor = joined(&mut self.shard, number, revision, Transport::Tcp);
            self.out.clear();
            self.shard.poll_transmit(visitor, &mut self.out);
            client_id = connected(&self.out);
            let operations = Body::Operations(wire::Operations {
                document: self.document,
                operations: vec![Bytes::from_static(b"I was here")],
                ..Default::default()
            });
            say(&mut self.shard, visitor, operations);
            store(&mut self.shard, NOW);
            self.shard.handle_eof(visitor, NOW);
        }
        self.flush();
        client_id
    }

    /// The writer says that it has one operation of this client and nothing else.
    #[allow(dead_code, reason = "not every benchmark catches up")]
    pub fn sync(&mut self, client_id: u64) {
        let request = Body::SyncRequest(wire::SyncRequest {
            document: self.document,
            state_vector: [(client_id, 0)].into(),
            snapshots: Some(false),
            ..Default::default()
        });
        say(&mut self.shard, self.writer, request);
    }

    fn submit(&mut self, clock: u64, payload: &Bytes) {
        let operations = Body::Operations(wire::Operations {
            document: self.document,
            client_seq: clock,
            first_clock: clock,
            base_revision: 0,
            operations: vec![payload.clone()],
            ..Default::default()
        });
        say(&mut self.shard, self.writer, operations);
    }

    /// One send for everybody who has something to be sent. Returns how many bytes that were.
    pub fn flush(&mut self) -> usize {
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

/// A client that has everything up to `revision`.
fn joined(shard: &mut Shard, number: usize, revision: u64, transport: Transport) -> ConnectionId {
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
        have: Some(wire::Position { epoch: 1, revision }),
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

/// The client id that the first of these frames tells.
fn connected(frames: &[u8]) -> u64 {
    let (length, rest) = frames.split_first_chunk().expect("there is a frame");
    let length = u32::from_be_bytes(*length) as usize;
    match Event::decode(&rest[..length]).map(|event| event.body) {
        Ok(Some(event::Body::Connected(connected))) => connected.client_id,
        other => unreachable!("Hello is answered first, and with Connected: {other:?}"),
    }
}

fn say(shard: &mut Shard, connection: ConnectionId, body: Body) {
    let mut bytes = frame::encode(&Request::from(body)).to_vec();
    shard.handle_bytes(connection, &mut bytes, NOW);
}

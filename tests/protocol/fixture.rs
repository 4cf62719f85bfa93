//! A relay without sockets, threads or clocks: shards, a store in memory, and clients that speak over bytes.
//!
//! [`Relay::settle`] plays the driver until nothing moves any more. A test can hold the store, stall a client's
//! socket and let time pass; everything else happens at once.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use corelay::codec::wire::{self, Event, Request, event, request};
use corelay::codec::{frame, websocket};
use corelay::config::{Config, Durability};
use corelay::engine::shard::{ConnectionId, Lane, Settings, Transport};
use corelay::engine::{Instant, Shard};
use corelay::store::{Backend, MemoryStore, StoreReply, StoreRequest};
use corelay::text::Operation;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

pub const TRANSPORTS: [Transport; 2] = [Transport::Tcp, Transport::WebSocket];
pub const STARTED_AT_MS: u64 = 1_000_000_000;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client, by the order in which they connected.
pub type Client = usize;

pub struct Relay {
    pub shards: Vec<Shard>,
    pub store: MemoryStore,
    /// Requests that the store was given and has not served, with the shard that asks.
    pub held: VecDeque<(usize, StoreRequest)>,
    /// Requests that the store has served.
    pub served: Vec<StoreRequest>,
    pub is_store_held: bool,
    pub is_mesh_held: bool,
    now: Instant,
    ends: Vec<End>,
    template: Settings,
}

/// The client's end of a connection.
struct End {
    shard: usize,
    connection: ConnectionId,
    transport: Transport,
    /// The socket takes so much more.
    room: usize,
    received: Vec<u8>,
    events: VecDeque<event::Body>,
    controls: Vec<OpCode>,
    close_code: Option<u16>,
    is_closed: bool,
    /// It does not answer pings.
    is_mute: bool,
    /// Pings to answer.
    owed: Vec<wire::Ping>,
    /// What the relay has not read.
    unread: Vec<u8>,
}

/// Takes the next event of a client, which must be of that kind.
#[macro_export]
macro_rules! expect {
    ($relay:expr, $client:expr, $kind:ident) => {
        match $relay.next($client) {
            Some(corelay::codec::wire::event::Body::$kind(body)) => body,
            other => panic!("expected {}, got {other:#?}", stringify!($kind)),
        }
    };
}

impl Relay {
    pub fn new() -> Self {
        Self::with(1, |_| ())
    }

    pub fn with(shards: usize, change: impl FnOnce(&mut Settings)) -> Self {
        let config = Config::default();
        let mut template = Settings {
            index: 0,
            shards,
            connection: config.connection,
            document: config.document,
            fanout: config.fanout,
            presence: config.presence,
            memory: config.memory,
            durability: Durability::Always,
            epoch: 1,
            identity_key: [7; 32],
            started_at_ms: STARTED_AT_MS,
        };
        change(&mut template);
        let mut relay = Self {
            shards: Vec::new(),
            store: MemoryStore::new(template.durability),
            held: VecDeque::new(),
            served: Vec::new(),
            is_store_held: false,
            is_mesh_held: false,
            now: Instant::from_micros(0),
            ends: Vec::new(),
            template,
        };
        relay.restart(|_| ());
        relay
    }

    /// The process ends and begins again; what the store has stays, connections do not.
    pub fn restart(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.template);
        self.ends.clear();
        self.held.clear();
        self.shards = (0..self.template.shards)
            .map(|index| {
                Shard::new(Settings {
                    index,
                    ..self.template.clone()
                })
            })
            .collect();
    }

    // ---- clients

    pub fn connect(&mut self, transport: Transport) -> Client {
        self.connect_to(0, transport, None)
    }

    pub fn connect_to(
        &mut self,
        shard: usize,
        transport: Transport,
        document: Option<&str>,
    ) -> Client {
        self.try_connect(shard, transport, document)
            .expect("the relay takes connections")
    }

    pub fn try_connect(
        &mut self,
        shard: usize,
        transport: Transport,
        document: Option<&str>,
    ) -> Option<Client> {
        let document = document.map(Into::into);
        let connection = self.shards[shard].connect(transport, document, self.now)?;
        self.ends.push(End {
            shard,
            connection,
            transport,
            room: usize::MAX,
            received: Vec::new(),
            events: VecDeque::new(),
            controls: Vec::new(),
            close_code: None,
            is_closed: false,
            is_mute: false,
            owed: Vec::new(),
            unread: Vec::new(),
        });
        Some(self.ends.len() - 1)
    }

    /// Connects and says Hello.
    pub fn greeted(&mut self, name: &str) -> Client {
        self.greeted_over(name, Transport::Tcp)
    }

    pub fn greeted_over(&mut self, name: &str, transport: Transport) -> Client {
        let client = self.connect(transport);
        self.send(client, hello(name));
        expect!(self, client, Connected);
        client
    }

    /// Connects, says Hello, and opens (or creates) the document. Returns its handle.
    pub fn joined(&mut self, name: &str, document: &str, kind: &str) -> (Client, u64) {
        let client = self.greeted(name);
        let opened = self.open(client, document, kind);
        (client, opened.document)
    }

    /// Opens (or creates) a document as one who has nothing of it.
    pub fn open(&mut self, client: Client, document: &str, kind: &str) -> wire::Opened {
        self.send(client, open(document, kind, true));
        expect!(self, client, Opened)
    }

    pub fn send(&mut self, client: Client, body: request::Body) {
        self.push(client, body);
        self.settle();
    }

    /// Hands the request over, and lets nothing else happen.
    pub fn push(&mut self, client: Client, body: request::Body) {
        let frame = frame::encode(&Request { body: Some(body) });
        let mut bytes = self.wrap(client, &frame);
        self.push_bytes(client, &mut bytes);
    }

    /// Frames as the client's transport carries them.
    pub fn wrap(&self, client: Client, frames: &[u8]) -> Vec<u8> {
        match self.ends[client].transport {
            Transport::Tcp => frames.to_vec(),
            Transport::WebSocket => masked(OpCode::Data(Data::Binary), true, frames),
        }
    }

    pub fn send_bytes(&mut self, client: Client, bytes: &[u8]) {
        self.push_bytes(client, &mut bytes.to_vec());
        self.settle();
    }

    /// What the relay does not want yet stays in the client's socket.
    fn push_bytes(&mut self, client: Client, bytes: &mut [u8]) {
        let end = &mut self.ends[client];
        let shard = &mut self.shards[end.shard];
        if shard.wants_bytes(end.connection) && end.unread.is_empty() {
            shard.handle_bytes(end.connection, bytes, self.now);
        } else {
            end.unread.extend_from_slice(bytes);
        }
    }

    fn read_again(&mut self, client: Client) -> bool {
        let end = &mut self.ends[client];
        let shard = &mut self.shards[end.shard];
        let is_wanted = !end.unread.is_empty() && shard.wants_bytes(end.connection);
        if is_wanted {
            let mut bytes = std::mem::take(&mut end.unread);
            shard.handle_bytes(end.connection, &mut bytes, self.now);
        }
        is_wanted
    }

    /// The client's socket breaks.
    pub fn vanish(&mut self, client: Client) {
        let end = &mut self.ends[client];
        end.is_closed = true;
        self.shards[end.shard].handle_eof(end.connection, self.now);
        self.settle();
    }

    /// The client's socket takes only so many more bytes.
    pub fn limit(&mut self, client: Client, room: usize) {
        let end = &mut self.ends[client];
        let was_full = end.room == 0;
        end.room = room;
        if was_full && room > 0 {
            self.shards[end.shard].handle_writable(end.connection);
            self.settle();
        }
    }

    /// The client answers no pings from here on.
    pub fn mute(&mut self, client: Client) {
        self.ends[client].is_mute = true;
    }

    pub fn wants_bytes(&mut self, client: Client) -> bool {
        let end = &self.ends[client];
        self.shards[end.shard].wants_bytes(end.connection)
    }

    // ---- what clients see

    pub fn next(&mut self, client: Client) -> Option<event::Body> {
        self.ends[client].events.pop_front()
    }

    pub fn drain(&mut self, client: Client) -> Vec<event::Body> {
        self.ends[client].events.drain(..).collect()
    }

    #[track_caller]
    pub fn assert_quiet(&self, client: Client) {
        let events = &self.ends[client].events;
        assert!(events.is_empty(), "{events:#?}");
    }

    /// WebSocket pings and pongs that came since the last call.
    pub fn controls(&mut self, client: Client) -> Vec<OpCode> {
        std::mem::take(&mut self.ends[client].controls)
    }

    pub fn is_closed(&self, client: Client) -> bool {
        self.ends[client].is_closed
    }

    /// The code of the WebSocket's close frame.
    pub fn close_code(&self, client: Client) -> Option<u16> {
        self.ends[client].close_code
    }

    // ---- the world

    pub fn now(&self) -> Instant {
        self.now
    }

    /// Time passes; every deadline in it is kept.
    pub fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        let due = |relay: &Self| {
            let timeouts = relay.shards.iter().filter_map(Shard::poll_timeout);
            timeouts.min().filter(|at| *at <= end)
        };
        let mut rounds = 0;
        while let Some(at) = due(self) {
            rounds += 1;
            assert!(rounds < 1_000_000, "timers ring without end");
            self.now = self.now.max(at);
            self.ring();
        }
        self.now = end;
        self.ring();
    }

    fn ring(&mut self) {
        for shard in &mut self.shards {
            shard.handle_timeout(self.now);
        }
        self.settle();
    }

    pub fn hold_store(&mut self) {
        self.is_store_held = true;
    }

    pub fn release_store(&mut self) {
        self.is_store_held = false;
        self.settle();
    }

    /// Answers in place of the store.
    pub fn reply(&mut self, shard: usize, reply: StoreReply) {
        self.shards[shard].handle_store(reply, self.now);
        self.settle();
    }

    pub fn release_mesh(&mut self) {
        self.is_mesh_held = false;
        self.settle();
    }

    /// Plays the driver until nothing moves.
    pub fn settle(&mut self) {
        let mut rounds = 0;
        while self.turn() {
            rounds += 1;
            assert!(rounds < 100_000, "the shards never come to rest");
        }
    }

    fn turn(&mut self) -> bool {
        let mut moved = self.turn_store();
        moved |= self.turn_mesh();
        for client in 0..self.ends.len() {
            moved |= self.read_again(client);
            for ping in std::mem::take(&mut self.ends[client].owed) {
                let pong = wire::Pong {
                    nonce: ping.nonce,
                    ..Default::default()
                };
                self.push(client, request::Body::Pong(pong));
            }
        }
        for index in 0..self.shards.len() {
            moved |= self.turn_sockets(index);
        }
        moved
    }

    fn turn_store(&mut self) -> bool {
        let mut moved = false;
        for (index, shard) in self.shards.iter_mut().enumerate() {
            while let Some(request) = shard.poll_store() {
                self.held.push_back((index, request));
                moved = true;
            }
        }
        while !self.is_store_held
            && let Some((index, request)) = self.held.pop_front()
        {
            self.served.push(request.clone());
            let now_ms = STARTED_AT_MS + self.now.as_millis();
            let reply = self.store.handle(request, now_ms);
            self.store.sync().expect("memory does not fail");
            self.shards[index].handle_store(reply, self.now);
            moved = true;
        }
        moved
    }

    fn turn_mesh(&mut self) -> bool {
        let mut moved = false;
        let shards = self.shards.len();
        for (from, to) in (0..shards).flat_map(|from| (0..shards).map(move |to| (from, to))) {
            for lane in [Lane::Request, Lane::Reply] {
                while !self.is_mesh_held
                    && from != to
                    && let Some(message) = self.shards[from].poll_mesh(to, lane)
                {
                    self.shards[to].handle_mesh(from, message, self.now);
                    moved = true;
                }
            }
        }
        moved
    }

    fn turn_sockets(&mut self, index: usize) -> bool {
        let mut moved = false;
        let mut out = Vec::new();
        let shard = &mut self.shards[index];
        while shard.poll_wants_bytes().is_some() {}
        while let Some(connection) = shard.poll_writable() {
            moved = true;
            out.clear();
            shard.poll_transmit(connection, &mut out);
            let end = find(&mut self.ends, index, connection);
            let taken = end.room.min(out.len());
            end.room -= taken;
            end.receive(&out[..taken]);
            shard.handle_sent(connection, &out, taken, self.now);
        }
        while let Some(connection) = shard.poll_closed() {
            find(&mut self.ends, index, connection).is_closed = true;
        }
        moved
    }
}

fn find(ends: &mut [End], shard: usize, connection: ConnectionId) -> &mut End {
    ends.iter_mut()
        .find(|end| end.shard == shard && end.connection == connection)
        .expect("the relay speaks of connections that it was given")
}

impl End {
    fn receive(&mut self, bytes: &[u8]) {
        assert!(!self.is_closed || bytes.is_empty());
        self.received.extend_from_slice(bytes);
        match self.transport {
            Transport::Tcp => {
                let received = std::mem::take(&mut self.received);
                let mut rest = &received[..];
                self.read_frames(&mut rest);
                self.received = rest.to_vec();
            }
            Transport::WebSocket => while self.read_websocket() {},
        }
    }

    fn read_frames(&mut self, rest: &mut &[u8]) {
        while let Some(message) = frame::split(rest, usize::MAX).expect("frames") {
            let event = Event::decode(message).expect("the relay sends events");
            match event.body.expect("the relay sends events that it knows") {
                event::Body::Ping(ping) if !self.is_mute => self.owed.push(ping),
                body => self.events.push_back(body),
            }
        }
    }

    fn read_websocket(&mut self) -> bool {
        let mut cursor = std::io::Cursor::new(&self.received[..]);
        let Some((header, length)) = FrameHeader::parse(&mut cursor).expect("a header") else {
            return false;
        };
        let start = cursor.position() as usize;
        let end = start + length as usize;
        if self.received.len() < end {
            return false;
        }
        assert!(header.is_final && header.mask.is_none());
        let payload = self.received[start..end].to_vec();
        self.received.drain(..end);
        match header.opcode {
            OpCode::Data(Data::Binary) => {
                let mut rest = &payload[..];
                self.read_frames(&mut rest);
                assert!(rest.is_empty(), "a message has whole frames");
            }
            OpCode::Control(Control::Close) => {
                self.close_code = Some(u16::from_be_bytes([payload[0], payload[1]]));
            }
            OpCode::Control(Control::Ping) if !self.is_mute => {
                self.owed.push(wire::Ping::default());
            }
            control => self.controls.push(control),
        }
        true
    }
}

/// One WebSocket frame as a client sends it.
pub fn masked(opcode: OpCode, is_final: bool, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        is_final,
        opcode,
        mask: Some(MASK),
        ..FrameHeader::default()
    };
    let mut bytes = Vec::new();
    header
        .format(payload.len() as u64, &mut bytes)
        .expect("a Vec takes it");
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    websocket::unmask(&mut bytes[start..], MASK);
    bytes
}

// ---- requests

pub fn hello(name: &str) -> request::Body {
    let mut uuid = [0; 16];
    uuid[..name.len()].copy_from_slice(name.as_bytes());
    request::Body::Hello(wire::Hello {
        protocol_version: 3,
        client_uuid: Bytes::copy_from_slice(&uuid),
        user_id: name.to_owned(),
        user_name: name.to_uppercase(),
        ..Default::default()
    })
}

pub fn open(document: &str, kind: &str, create: bool) -> request::Body {
    request::Body::Open(wire::Open {
        request_id: 1,
        document: document.to_owned(),
        kind: kind.to_owned(),
        have: None,
        create,
    })
}

pub fn open_from(document: &str, epoch: u64, revision: u64) -> request::Body {
    request::Body::Open(wire::Open {
        request_id: 1,
        document: document.to_owned(),
        have: Some(wire::Position { epoch, revision }),
        ..Default::default()
    })
}

/// A batch for a log, its `client_seq` its first clock.
pub fn log_batch<T: Into<Bytes>>(
    document: u64,
    first_clock: u64,
    operations: impl IntoIterator<Item = T>,
) -> request::Body {
    request::Body::Operations(wire::Operations {
        document,
        client_seq: first_clock,
        first_clock,
        base_revision: 0,
        operations: operations.into_iter().map(Into::into).collect(),
    })
}

/// A batch for a text, its `client_seq` its first clock.
pub fn text_batch(
    document: u64,
    first_clock: u64,
    base_revision: u64,
    operations: &[Operation],
) -> request::Body {
    request::Body::Operations(wire::Operations {
        document,
        client_seq: first_clock,
        first_clock,
        base_revision,
        operations: operations.iter().map(|o| o.encode().into()).collect(),
    })
}

pub fn close(document: u64) -> request::Body {
    request::Body::Close(wire::Close {
        document,
        ..Default::default()
    })
}

//! A relay without sockets, threads or clocks: shards, a store in memory, and clients that speak over bytes.
//!
//! [`Relay::settle`] plays the driver until nothing moves any more. A test can hold the store, stall a client's
//! socket and let time pass; everything else happens at once.

use std::collections::VecDeque;
use std::time::Duration;

use corelay::codec::dialect::Dialect;
use corelay::codec::frame;
use corelay::codec::wire::{self, Event, Request, event, request};
use corelay::config::Config;
use corelay::engine::shard::{Arrival, Authority, ConnectionId, Lane, Settings, Transport};
use corelay::engine::{Instant, Shard};
use corelay::store::{Backend, MemoryStore, StoreReply, StoreRequest};
use serde_json::Value;
use tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::end::{End, masked};
use crate::requests::{hello, open};

pub const TRANSPORTS: [Transport; 2] = [Transport::Tcp, Transport::WebSocket];
pub const STARTED_AT_MS: u64 = 1_000_000_000;

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
        let mut template = Settings {
            shards,
            identity_key: [7; 32],
            started_at_ms: STARTED_AT_MS,
            ..Settings::new(&Config::default(), Authority::Anybody)
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

    /// The limits of this configuration hold from here on.
    pub fn set_limits(&mut self, config: &Config) {
        let census = &self.template.census;
        census.set_limits(&config.connection, &config.quota);
        for shard in &mut self.shards {
            shard.set_limits(config, self.now);
        }
        self.settle();
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
        let arrival = Arrival {
            document,
            ..Arrival::new(transport)
        };
        self.arrive(shard, arrival)
    }

    pub fn arrive(&mut self, shard: usize, arrival: Arrival) -> Option<Client> {
        let transport = arrival.transport;
        let connection = self.shards[shard].connect(arrival, self.now)?;
        self.ends.push(End::new(shard, connection, transport));
        Some(self.ends.len() - 1)
    }

    /// Connects and says Hello.
    pub fn greeted(&mut self, name: &str) -> Client {
        self.greeted_over(name, Transport::Tcp)
    }

    /// Connects a WebSocket with the client's Hello in its headers. What it is told comes in JSON.
    pub fn greeted_in_json(&mut self, name: &str, shard: usize, document: Option<&str>) -> Client {
        let request::Body::Hello(hello) = hello(name) else {
            unreachable!("that is what it makes")
        };
        let arrival = Arrival {
            document: document.map(Into::into),
            dialect: Some(Dialect::Json),
            hello: Some(wire::Hello {
                protocol_version: 1,
                ..hello
            }),
            ..Arrival::new(Transport::WebSocket)
        };
        let client = self.arrive(shard, arrival).expect("it takes connections");
        self.settle();
        client
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

    /// Sends a request that has an id.
    pub fn ask(&mut self, client: Client, id: &str, body: request::Body) {
        let request = Request {
            id: id.to_owned(),
            body: Some(body),
        };
        let bytes = self.wrap(client, &frame::encode(&request));
        self.send_bytes(client, &bytes);
    }

    /// Hands the request over, and lets nothing else happen.
    pub fn push(&mut self, client: Client, body: request::Body) {
        let frame = frame::encode(&Request::from(body));
        let mut bytes = self.wrap(client, &frame);
        self.push_bytes(client, &mut bytes);
    }

    /// Frames as the client's transport carries them.
    pub fn wrap(&self, client: Client, frames: &[u8]) -> Vec<u8> {
        match self.ends[client].transport {
            Transport::Tcp | Transport::EventStream => frames.to_vec(),
            Transport::WebSocket => masked(OpCode::Data(Data::Binary), true, frames),
        }
    }

    /// Sends a message of the JSON dialect.
    pub fn say(&mut self, client: Client, message: &Value) {
        let text = message.to_string();
        let mut frame = Vec::new();
        let bytes = match self.ends[client].transport {
            Transport::EventStream => {
                frame::append_with(&mut frame, |frame| frame.extend_from_slice(text.as_bytes()));
                frame
            }
            Transport::WebSocket => masked(OpCode::Data(Data::Text), true, text.as_bytes()),
            Transport::Tcp => panic!("JSON is not spoken there"),
        };
        self.send_bytes(client, &bytes);
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

    /// Of what the client's socket has taken, so much is on its way.
    pub fn hold_up(&mut self, client: Client, unconfirmed_bytes: u64) {
        self.ends[client].unconfirmed_bytes = unconfirmed_bytes;
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
        self.next_event(client)?.body
    }

    /// The next event with all that stands beside it.
    pub fn next_event(&mut self, client: Client) -> Option<Event> {
        self.ends[client].events.pop_front()
    }

    pub fn drain(&mut self, client: Client) -> Vec<event::Body> {
        let events = self.ends[client].events.drain(..);
        events.filter_map(|event| event.body).collect()
    }

    /// The next message in JSON.
    pub fn next_text(&mut self, client: Client) -> Option<Value> {
        Some(self.ends[client].texts.pop_front()?.1)
    }

    /// The payload of the next message in JSON, which must be of that type and answer the request with that id ("":
    /// none).
    #[track_caller]
    pub fn text(&mut self, client: Client, kind: &str, id: &str) -> Value {
        let mut message = self.next_text(client).unwrap_or_default();
        let found = (message["type"].as_str(), message["id"].as_str());
        let id = (!id.is_empty()).then_some(id);
        assert_eq!(found, (Some(kind), id), "{message:#}");
        assert!(message["timestamp"].is_u64(), "{message:#}");
        message["payload"].take()
    }

    pub fn drain_texts(&mut self, client: Client) -> Vec<Value> {
        let texts = self.ends[client].texts.drain(..);
        texts.map(|(_, message)| message).collect()
    }

    /// The next message in JSON, with the id of its server-sent event or "".
    pub fn next_message(&mut self, client: Client) -> Option<(String, Value)> {
        self.ends[client].texts.pop_front()
    }

    #[track_caller]
    pub fn assert_quiet(&self, client: Client) {
        let End { events, texts, .. } = &self.ends[client];
        assert!(events.is_empty(), "{events:#?}");
        assert!(texts.is_empty(), "{texts:#?}");
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

    /// Time passes, and no alarm has rung yet.
    pub fn oversleep(&mut self, duration: Duration) {
        self.now = self.now + duration;
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
        for (index, shard) in self.shards.iter_mut().enumerate() {
            shard.handle_timeout(self.now);
            while let Some(connection) = shard.poll_doubted() {
                let bytes = find(&mut self.ends, index, connection).unconfirmed_bytes;
                shard.handle_unconfirmed(connection, bytes, self.now);
            }
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

    /// The store, which is held, serves one request. False: there is none.
    pub fn serve_one(&mut self) -> bool {
        let is_served = self.serve_next();
        self.settle();
        is_served
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
        while !self.is_store_held && self.serve_next() {
            moved = true;
        }
        moved
    }

    fn serve_next(&mut self) -> bool {
        let Some((index, request)) = self.held.pop_front() else {
            return false;
        };
        self.served.push(request.clone());
        let now_ms = STARTED_AT_MS + self.now.as_millis();
        let reply = self.store.handle(request, now_ms);
        self.store.sync().expect("memory does not fail");
        self.shards[index].handle_store(reply, self.now);
        true
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

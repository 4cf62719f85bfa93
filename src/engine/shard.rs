//! One core's share of the relay.
//!
//! # Driving a shard
//!
//! One turn is: everything that came in through `handle_*`; then `poll_store`, `poll_mesh` and `poll_transmit`
//! until they have nothing more; then `poll_closed`; then wait, at the longest until `poll_timeout`. The driver
//! may stop pulling any of them at any time (a full queue, a full socket): what is not pulled stays where it is,
//! within the memory budget, and the shard stops asking for more input through `wants_bytes`.

use std::sync::Arc;

use crate::config::{Connection, Document, Durability, Fanout, Memory, Presence};
use crate::store::{StoreReply, StoreRequest};

use super::time::Instant;

/// A connection of this shard. Never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// What the bytes of a connection are wrapped in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A WebSocket, after its handshake, as seen from the server.
    WebSocket,
    /// Frames and nothing else.
    Tcp,
}

/// What a shard is made from.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This shard's number, below `shards`.
    pub index: usize,
    pub shards: usize,
    pub connection: Connection,
    pub document: Document,
    pub fanout: Fanout,
    pub presence: Presence,
    pub memory: Memory,
    pub durability: Durability,
    /// The store's epoch: it rises when a stop may have lost the newest revisions.
    pub epoch: u64,
    /// What client ids are derived with.
    pub identity_key: [u8; 32],
    /// Unix time in milliseconds at `Instant::from_micros(0)`.
    pub started_at_ms: u64,
}

/// A message from one shard to another. What it says is between the engines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeshMessage {}

/// The two lanes from each shard to each other, so that bulk in one direction never waits for bulk in the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// What clients of the sending shard ask of documents on the receiving one.
    Request,
    /// What documents on the sending shard answer.
    Reply,
}

/// What a shard has counted since its start, and what it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Metrics {
    pub connections: u64,
}

pub struct Shard {}

impl Shard {
    pub fn new(settings: Settings) -> Self {
        todo!()
    }

    // ---- in

    /// A client has connected; for a WebSocket, the handshake is behind it. `document` is the one that its URL
    /// names. `None`: the shard has as many connections as it may; say so and close.
    pub fn connect(
        &mut self,
        transport: Transport,
        document: Option<Arc<str>>,
        now: Instant,
    ) -> Option<ConnectionId> {
        todo!()
    }

    /// Bytes came from the socket, in any pieces. They are unmasked in place. A connection that the shard has
    /// closed is ignored, here and everywhere.
    pub fn handle_bytes(&mut self, connection: ConnectionId, bytes: &mut [u8], now: Instant) {
        todo!()
    }

    /// The socket is at its end or broken. Nothing more is sent, and `poll_closed` does not name it.
    pub fn handle_eof(&mut self, connection: ConnectionId, now: Instant) {
        todo!()
    }

    /// The socket, which had taken less than it was given, can take more.
    pub fn handle_writable(&mut self, connection: ConnectionId, now: Instant) {
        todo!()
    }

    pub fn handle_store(&mut self, reply: StoreReply, now: Instant) {
        todo!()
    }

    pub fn handle_mesh(&mut self, from: usize, message: MeshMessage, now: Instant) {
        todo!()
    }

    /// Call it at `poll_timeout`, or whenever convenient.
    pub fn handle_timeout(&mut self, now: Instant) {
        todo!()
    }

    /// Begin a planned stop: every client is told, nothing new is taken, what was taken is finished.
    pub fn stop(&mut self, now: Instant) {
        todo!()
    }

    // ---- out

    /// Whether the connection's socket should be read. False while its requests wait for something: the driver
    /// leaves its bytes in the socket, so that TCP slows down this client alone.
    pub fn wants_bytes(&self, connection: ConnectionId) -> bool {
        todo!()
    }

    /// A connection for which `wants_bytes` has become true again.
    pub fn poll_wants_bytes(&mut self) -> Option<ConnectionId> {
        todo!()
    }

    /// A connection that has something to send and whose socket is not known to be full.
    pub fn poll_writable(&mut self) -> Option<ConnectionId> {
        todo!()
    }

    /// Appends what the connection has to send now to `out`, up to about `flush_bytes_max`. Give it all to the
    /// socket in one send, and say with `handle_sent` how much of it the socket took, before anything else.
    pub fn poll_transmit(&mut self, connection: ConnectionId, out: &mut Vec<u8>, now: Instant) {
        todo!()
    }

    /// The socket took the first `taken` bytes of `out`; the shard keeps the rest and calls the socket full.
    /// If the socket took all and there is more, `poll_writable` names the connection again.
    pub fn handle_sent(
        &mut self,
        connection: ConnectionId,
        out: &[u8],
        taken: usize,
        now: Instant,
    ) {
        todo!()
    }

    pub fn poll_store(&mut self) -> Option<StoreRequest> {
        todo!()
    }

    /// The next message for that shard in that lane.
    pub fn poll_mesh(&mut self, to: usize, lane: Lane) -> Option<MeshMessage> {
        todo!()
    }

    /// When `handle_timeout` wants to be called at the latest. `None`: not before something else happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }

    /// A connection whose socket is to be closed: all that could be sent has been.
    pub fn poll_closed(&mut self) -> Option<ConnectionId> {
        todo!()
    }

    /// After `stop`: everything that was taken has been answered and sent.
    pub fn is_stopped(&self) -> bool {
        todo!()
    }

    pub fn metrics(&self) -> Metrics {
        todo!()
    }
}

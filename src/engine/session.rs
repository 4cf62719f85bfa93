//! One client's protocol state: on a socket of this shard, or on a lane from the shard that has its socket.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::auth::Grant;
use crate::codec::dialect::Dialect;
use crate::codec::{websocket, wire};

use super::bucket::Bucket;
use super::census::Attendance;
use super::directory::Watch;
use super::edge::EdgeSubscription;
use super::identity::{Identity, UserId};
use super::inquiry::Unjudged;
use super::key::{ConnectionId, DocumentKey};
use super::liveness::Ping;
use super::metrics::Held;
use super::offer::Upload;
use super::rate::Meter;
use super::request::Asked;
use super::ring::Cursor;
use super::time::Instant;
use super::timer::Alarm;
use super::version::Version;
use super::wants::{Have, Vector, Wants};

#[derive(Debug)]
pub struct Session {
    pub carrier: Carrier,
    pub phase: Phase,
    pub manner: Manner,
    /// The document that the connection's URL names.
    pub document: Option<Arc<str>>,
    pub connected_at: Instant,
    /// What is being handled of it.
    pub asked: Asked,
    /// It wants to be told of documents that come and go.
    pub watch: Option<Box<Watch>>,
    /// The user that it is counted for, where users have a rate.
    pub user: Option<Box<UserId>>,
    /// What has come of late, where connections have a rate.
    pub meter: Option<Box<Meter>>,
    pub subscriptions: Vec<Subscription>,
    /// Open requests that wait for their document to be loaded.
    pub joining: usize,
    /// List requests that are not answered.
    pub lists: u32,
    /// Questions about the past of documents that are not answered.
    pub questions: u32,
    /// Which subscription is served first at the next flush, so that a busy one starves no other.
    pub served_first: usize,
    /// Whole frames that answer this client alone.
    pub replies: Vec<u8>,
    /// Its operations that are on their way to the disk.
    pub inflight_bytes: usize,
    /// It was told to wait: `wants_bytes` is false.
    pub is_paused: bool,
    /// It is in the queue of those that have something to send.
    pub is_queued: bool,
    /// Since the last flush, it had been unable to take what there was for it.
    pub was_blocked: bool,
    /// What it holds of the budget for output, as last counted.
    pub counted_output_bytes: usize,
    pub alarm: Alarm,
}

/// What the bytes of a connection are wrapped in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A WebSocket, after its handshake, as seen from the server.
    WebSocket,
    /// Frames and nothing else.
    Tcp,
    /// Server-sent events as they stand in the body of a response; in the other direction, frames that hold JSON.
    EventStream,
}

/// How the relay and a client talk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Manner {
    /// `None`: the client's first message will show it.
    pub dialect: Option<Dialect>,
    /// The version of the protocol, once agreed.
    pub version: u32,
    /// The client wants to know how answers came about.
    pub is_debug: bool,
}

impl Manner {
    pub fn dialect(&self) -> Dialect {
        self.dialect.unwrap_or_default()
    }

    /// Whether the client takes a snapshot in pieces: since version 3.
    pub fn takes_snapshot_pages(&self) -> bool {
        self.version >= 3
    }
}

/// A client that connects; for a WebSocket, after its handshake.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub transport: Transport,
    /// The document that the URL names, as the client calls it.
    pub document: Option<Arc<str>>,
    /// What the token granted that came with the handshake ([`super::settings::Authority::authenticate`]).
    pub grant: Option<Arc<Grant>>,
    /// A token that came with the handshake and that only the backend can judge: Hello's, unless that has its own.
    pub token: Option<String>,
    /// `None`: the client's first message will show it. An event stream needs none.
    pub dialect: Option<Dialect>,
    /// What came with the handshake in place of a Hello.
    pub hello: Option<wire::Hello>,
}

impl Arrival {
    /// One with nothing but its transport.
    pub fn new(transport: Transport) -> Self {
        Self {
            transport,
            document: None,
            grant: None,
            token: None,
            dialect: None,
            hello: None,
        }
    }
}

#[derive(Debug)]
pub enum Phase {
    /// Hello has not come.
    Greeting,
    Ready(Arc<Identity>),
    /// What is left to send is sent, then the connection is closed.
    Closing {
        until: Instant,
    },
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "most sessions have a socket, and each is in a box already"
)]
pub enum Carrier {
    Socket(Socket),
    Link(Link),
}

/// A connection of this shard.
#[derive(Debug)]
pub struct Socket {
    pub transport: Transport,
    /// What the token grants with which the connection was made; Hello takes it.
    pub grant: Option<Arc<Grant>>,
    /// The token with which it was made, if only the backend can judge it; Hello takes it.
    pub token: Option<String>,
    /// The Hello that the backend is asked about. Nothing is read meanwhile.
    pub unjudged: Option<Box<Unjudged>>,
    /// A piece of a frame whose rest has not arrived.
    pub input: Vec<u8>,
    /// The frames of a WebSocket message that are handled when the client need no longer wait.
    pub deferred: Vec<u8>,
    pub reader: websocket::Reader,
    /// WebSocket control frames that go out before anything else.
    pub control: Vec<u8>,
    /// The WebSocket close frame that goes out last.
    pub close: Option<Box<(u16, String)>>,
    /// What the socket did not take of the last send.
    pub unsent: Vec<u8>,
    /// It took less than it was given, and has not been writable since.
    pub is_full: bool,
    /// What it has taken since it was opened.
    pub sent_bytes: u64,
    /// Of that, what the client's system had confirmed when that was last asked for.
    pub confirmed_bytes: u64,
    /// When that was seen to be more than before, or the socket took something while it was full.
    pub moved_at: Instant,
    pub heard_at: Instant,
    pub pinged: Option<Ping>,
    /// Requests that count.
    pub requests: Bucket,
    /// It is counted in the census from Hello on.
    pub attendance: Option<Box<Attendance>>,
    /// The other shards that have documents of this connection.
    pub forwards: Vec<Forward>,
}

/// A connection's tie to another shard.
#[derive(Debug)]
pub struct Forward {
    pub shard: usize,
    /// What that shard has not said to be done with.
    pub unprocessed_bytes: usize,
    /// Frames that came from there.
    pub frames: VecDeque<Bytes>,
    /// Of those, what has gone out and that shard has not been told.
    pub delivered_bytes: usize,
    /// The documents of that shard whose edges here serve it.
    pub edges: Vec<EdgeSubscription>,
}

/// The tie as seen from the other shard: a session whose socket is elsewhere.
#[derive(Debug)]
pub struct Link {
    pub shard: usize,
    /// The connection there.
    pub connection: ConnectionId,
    /// How many more bytes that shard can take; a frame may overdraw it.
    pub credit_bytes: i64,
    /// What has been processed and not yet said.
    pub processed_bytes: usize,
    /// Requests that are handled when the client need no longer wait.
    pub deferred: VecDeque<Bytes>,
}

/// A session's place in one document.
#[derive(Debug)]
pub struct Subscription {
    pub document: DocumentKey,
    /// Where the document's list of subscribers has it.
    pub index: usize,
    pub stage: Stage,
    pub progress: Progress,
    /// Its client waits for the page that says that it has caught up.
    pub pages: Option<Box<Pages>>,
    /// It ends with that page.
    pub is_once: bool,
    /// What has come of a snapshot that its client offers.
    pub upload: Option<Box<Upload>>,
    pub takes_snapshots: bool,
    pub can_write: bool,
    /// Its client's shard has no room for an edge.
    pub stays: bool,
}

/// What is known of a subscriber beside its place in the ring.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// The durable revision when its place was last set. The client's own batches up to there are sent to it like
    /// anybody's: it asked for them, or their acknowledgement has been passed over.
    pub placed_revision: u64,
    /// Up to where it has seen who is present. `None`: nobody yet.
    pub presence_cursor: Option<u64>,
    /// It has been warned, and gets no presence until it has caught up.
    pub is_warned: bool,
}

/// What is known of a request to catch up until its last page is sent.
#[derive(Debug)]
pub struct Pages {
    pub asked: Asked,
    pub sync: wire::SyncMode,
    /// The client reckons in state vectors.
    pub has_vector: bool,
    pub is_bidirectional: bool,
    /// What it has been sent of them.
    pub bytes: u64,
}

impl Pages {
    pub fn new(asked: Asked, wants: &Wants, sync: wire::SyncMode) -> Self {
        Self {
            asked,
            sync,
            has_vector: matches!(wants.have, Have::Vector { .. }),
            is_bidirectional: wants.is_bidirectional,
            bytes: 0,
        }
    }
}

/// What a client has of what it is about to read.
#[derive(Debug)]
pub struct Filter {
    pub vector: Vector,
    /// After this revision it has nothing.
    pub until_revision: u64,
    /// It is counted.
    pub _held: Held,
}

impl Filter {
    /// What of a batch the client lacks: nothing, all, or its end.
    pub fn lacking(&self, mut batch: wire::RemoteOps) -> Option<wire::RemoteOps> {
        let next_clock = self.vector.get(&batch.origin).map_or(0, |clock| clock + 1);
        let had = next_clock.saturating_sub(batch.first_clock);
        if had >= batch.operations.len() as u64 {
            return None;
        }
        batch.operations.drain(..had as usize);
        batch.first_clock += had;
        batch.revision += had;
        Some(batch)
    }
}

#[derive(Debug)]
pub enum Stage {
    /// It reads the ring.
    Live(Cursor),
    /// It reads that of the document's edge on its client's shard. The number is that of its stay there.
    Edge(u64),
    /// It gets operations from the store, until it reaches the ring.
    CatchUp {
        next_revision: u64,
        /// The read that it waits for.
        ticket: Option<Ticket>,
        /// It has some of what follows.
        filter: Option<Box<Filter>>,
    },
    /// It gets a snapshot, as soon as all of it is durable; then it catches up.
    Snapshot {
        version: Arc<Version>,
        /// The client's next clock at its revision.
        next_clock: u64,
        offset: usize,
    },
}

/// A read from the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ticket {
    /// Too many are under way; its turn will come.
    Queued,
    Asked(u64),
}

impl Session {
    pub fn new(
        carrier: Carrier,
        phase: Phase,
        manner: Manner,
        document: Option<Arc<str>>,
        connected_at: Instant,
    ) -> Self {
        Self {
            connected_at,
            carrier,
            phase,
            manner,
            document,
            asked: Asked::default(),
            watch: None,
            user: None,
            meter: None,
            subscriptions: Vec::new(),
            joining: 0,
            lists: 0,
            questions: 0,
            served_first: 0,
            replies: Vec::new(),
            inflight_bytes: 0,
            is_paused: false,
            is_queued: false,
            was_blocked: false,
            counted_output_bytes: 0,
            alarm: Alarm::default(),
        }
    }

    pub fn socket(&self) -> Option<&Socket> {
        match &self.carrier {
            Carrier::Socket(socket) => Some(socket),
            Carrier::Link(_) => None,
        }
    }

    pub fn socket_mut(&mut self) -> Option<&mut Socket> {
        match &mut self.carrier {
            Carrier::Socket(socket) => Some(socket),
            Carrier::Link(_) => None,
        }
    }

    pub fn identity(&self) -> Option<&Arc<Identity>> {
        match &self.phase {
            Phase::Ready(identity) => Some(identity),
            Phase::Greeting | Phase::Closing { .. } => None,
        }
    }

    /// 0 before Hello.
    pub fn client_id(&self) -> u64 {
        self.identity().map_or(0, |identity| identity.client_id)
    }

    /// Whether what its client was granted has ended.
    pub fn has_expired(&self, now: Instant) -> bool {
        let identity = self.identity();
        identity.is_some_and(|identity| identity.has_expired(now))
    }

    pub fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing { .. })
    }

    /// Whether there is no room for more towards the client.
    pub fn is_blocked(&self) -> bool {
        match &self.carrier {
            Carrier::Socket(socket) => socket.is_full,
            Carrier::Link(link) => link.credit_bytes <= 0,
        }
    }

    pub fn has_open(&self, document: DocumentKey) -> bool {
        let mut subscriptions = self.subscriptions.iter();
        subscriptions.any(|subscription| subscription.document == document)
    }

    pub fn subscription(&mut self, document: DocumentKey) -> Option<&mut Subscription> {
        self.subscriptions
            .iter_mut()
            .find(|subscription| subscription.document == document)
    }

    /// What it holds of the budget for output.
    pub fn output_bytes(&self) -> usize {
        let carried = match &self.carrier {
            Carrier::Socket(socket) => {
                let forwarded = socket.forwards.iter().flat_map(|forward| &forward.frames);
                socket.control.len()
                    + socket.unsent.capacity()
                    + forwarded.map(Bytes::len).sum::<usize>()
            }
            Carrier::Link(_) => 0,
        };
        self.replies.capacity() + carried
    }
}

impl Socket {
    pub fn new(transport: Transport, grant: Option<Arc<Grant>>, now: Instant) -> Self {
        Self {
            transport,
            grant,
            token: None,
            unjudged: None,
            input: Vec::new(),
            deferred: Vec::new(),
            reader: websocket::Reader::default(),
            control: Vec::new(),
            close: None,
            unsent: Vec::new(),
            is_full: false,
            sent_bytes: 0,
            confirmed_bytes: 0,
            moved_at: now,
            heard_at: now,
            pinged: None,
            requests: Bucket::default(),
            attendance: None,
            forwards: Vec::new(),
        }
    }

    pub fn forward(&mut self, shard: usize) -> Option<&mut Forward> {
        self.forwards
            .iter_mut()
            .find(|forward| forward.shard == shard)
    }
}

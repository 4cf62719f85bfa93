//! One core's share of the relay: its face towards whoever drives it.
//!
//! # Driving a shard
//!
//! One turn is: everything that came in through `handle_*`; then `poll_store`, `poll_mesh` and `poll_transmit`
//! until they have nothing more; then `poll_closed`; then wait, at the longest until `poll_timeout`. The driver
//! may stop pulling any of them at any time (a full queue, a full socket): what is not pulled stays where it is,
//! within the memory budget, and the shard stops asking for more input through `wants_bytes`.
//!
//! What a shard does with what it is given is in the modules beside this one, each a part of `impl Shard`:
//! `input` (bytes to requests), `open` (documents come and clients join), `operations` (the way of an edit),
//! `sync` (catching up), `transmit` (what goes out), `mesh` (documents on other shards), `branch` and `edge` (busy documents), `lifecycle` (sessions
//! and documents end).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use slotmap::SlotMap;

use crate::auth::{Grant, TokenError, global_id};
use crate::codec::dialect::Dialect;
use crate::config::Config;
use crate::store::{StoreReply, StoreRequest};

use super::route;

use super::directory::{Announcements, Listing};
use super::document::Document;
use super::edge::Edge;
use super::flush::Flush;
use super::history::Question;
use super::key::{DocumentKey, SessionKey};
use super::lane::Outbox;
use super::metrics::Ledger;
use super::rate::Rates;
use super::refusals::{RefusalNote, Refusals};
use super::session::{Carrier, Manner, Phase, Session, Socket};
use super::time::Instant;
use super::timer::{Alarm, Owner, Timers};
use super::unreadable::Unreadables;
use super::users::Users;

pub use super::inquiry::{Backend, Inquiry};
pub use super::inspection::{ConnectionReport, DocumentDetail, DocumentReport, Sought};
pub use super::key::ConnectionId;
pub use super::lane::{Lane, MeshMessage};
pub use super::metrics::{Limits, Metrics};
pub use super::peers::Occupancy;
pub use super::session::{Arrival, Transport};
pub use super::settings::{Authority, Settings};
pub use super::unreadable::Unreadable;

#[derive(Debug)]
pub struct Shard {
    pub(super) settings: Settings,
    /// Each in a box of its own: a table that has grown has room for many more.
    pub(super) sessions: SlotMap<SessionKey, Box<Session>>,
    pub(super) documents: SlotMap<DocumentKey, Document>,
    pub(super) names: BTreeMap<Arc<str>, DocumentKey>,
    pub(super) handles: FxHashMap<u64, DocumentKey>,
    /// How many documents have been opened; handles are made of it.
    pub(super) opened: u64,
    /// Sessions whose connections are on other shards.
    pub(super) links: BTreeMap<(usize, ConnectionId), SessionKey>,
    pub(super) outboxes: Vec<Outbox>,
    pub(super) flush: Flush,
    /// Messages that are put into another form are written here first.
    pub(super) scratch: Vec<u8>,
    /// By handle, the documents of other shards whose subscribers here are served here.
    pub(super) edges: FxHashMap<u64, Edge>,
    /// How often clients have been handed to edges elsewhere.
    pub(super) stays: u64,
    /// The documents of other shards, by their global ids, whose new clients stay here.
    pub(super) busy: BTreeSet<Arc<str>>,
    pub(super) paused: Vec<SessionKey>,
    pub(super) resumed: VecDeque<SessionKey>,
    pub(super) closed: VecDeque<ConnectionId>,
    pub(super) store: VecDeque<StoreRequest>,
    /// Documents that the store has been asked for.
    pub(super) loads: usize,
    /// Documents that are asked for when one of those has come.
    pub(super) queued_loads: VecDeque<DocumentKey>,
    /// Reads that the store has not answered, by ticket.
    pub(super) reads: BTreeMap<u64, SessionKey>,
    pub(super) tickets: u64,
    /// Sessions that want to read when one of the reads is answered.
    pub(super) readers: VecDeque<(SessionKey, DocumentKey)>,
    /// Lists that the store has not answered, by ticket.
    pub(super) listings: BTreeMap<u64, Listing>,
    /// Lists that are asked for when one of those is answered, each with the document after which it goes on.
    pub(super) queued_listings: VecDeque<(Listing, Option<Arc<str>>)>,
    /// Questions about the past of documents that the store has not answered, by ticket.
    pub(super) questions: BTreeMap<u64, Question>,
    /// Those that are asked when a read is answered.
    pub(super) queued_questions: VecDeque<Question>,
    /// Versions to be saved or deleted that the store has not answered, by ticket.
    pub(super) changes: BTreeMap<u64, Question>,
    pub(super) announcements: Announcements,
    pub(super) sweep_alarm: Alarm,
    pub(super) rates: Rates,
    pub(super) users: Users,
    pub(super) timers: Timers,
    pub(super) ledger: Ledger,
    pub(super) metrics: Metrics,
    /// Those of the sessions here whose sockets took less than they were given.
    pub(super) blocked: BTreeSet<SessionKey>,
    /// Those of which it is to be said what has arrived of what they were sent.
    pub(super) doubted: VecDeque<SessionKey>,
    /// Of what is being sent, when the oldest batch was confirmed.
    pub(super) sending_since: Option<Instant>,
    /// Questions that nobody has taken yet.
    pub(super) inquiries: VecDeque<Inquiry>,
    /// Questions without a verdict, those included.
    pub(super) inquiries_asked: usize,
    /// A token named a key that may have come since the keys were read.
    pub(super) are_keys_wanted: bool,
    /// Documents that got their first peer or lost their last, and nobody has taken note of yet.
    pub(super) occupancies: VecDeque<Occupancy>,
    pub(super) refusals: Refusals,
    pub(super) unreadables: Unreadables,
    pub(super) is_stopping: bool,
    pub(super) is_failed: bool,
    /// The time, as the driver last said it.
    pub(super) now: Instant,
}

impl Shard {
    pub fn new(settings: Settings) -> Self {
        let mut shard = Self {
            outboxes: (0..settings.shards).map(|_| Outbox::default()).collect(),
            rates: Rates::new(&settings.rate),
            flush: Flush::new(settings.fanout.coalesce_us),
            settings,
            scratch: Vec::new(),
            sessions: SlotMap::with_key(),
            documents: SlotMap::with_key(),
            names: BTreeMap::new(),
            handles: FxHashMap::default(),
            opened: 0,
            links: BTreeMap::new(),
            edges: FxHashMap::default(),
            stays: 0,
            busy: BTreeSet::new(),
            paused: Vec::new(),
            resumed: VecDeque::new(),
            closed: VecDeque::new(),
            store: VecDeque::new(),
            loads: 0,
            queued_loads: VecDeque::new(),
            reads: BTreeMap::new(),
            tickets: 0,
            readers: VecDeque::new(),
            listings: BTreeMap::new(),
            queued_listings: VecDeque::new(),
            questions: BTreeMap::new(),
            queued_questions: VecDeque::new(),
            changes: BTreeMap::new(),
            announcements: Announcements::default(),
            sweep_alarm: Alarm::default(),
            users: Users::default(),
            timers: Timers::default(),
            ledger: Ledger::default(),
            metrics: Metrics::default(),
            blocked: BTreeSet::new(),
            doubted: VecDeque::new(),
            sending_since: None,
            inquiries: VecDeque::new(),
            inquiries_asked: 0,
            are_keys_wanted: false,
            occupancies: VecDeque::new(),
            refusals: Refusals::default(),
            unreadables: Unreadables::default(),
            is_stopping: false,
            is_failed: false,
            now: Instant::default(),
        };
        shard.set_sweep_alarm(Instant::default());
        shard
    }

    // ---- in

    /// What a token grants that came with a handshake. `Ok(None)`: nobody asks for tokens.
    ///
    /// # Errors
    ///
    /// Why the token is not accepted.
    pub fn authenticate(
        &mut self,
        token: &str,
        now: Instant,
    ) -> Result<Option<Arc<Grant>>, TokenError> {
        let unix_ms = self.unix_ms(now);
        let granted = self.settings.authority.authenticate(token, unix_ms);
        self.are_keys_wanted |= matches!(granted, Err(TokenError::KeysStale));
        granted
    }

    /// From here on tokens are checked so. What they granted before stays granted, unless it is revoked: those
    /// connections are closed. Returns how many.
    pub fn set_authority(&mut self, authority: Authority, now: Instant) -> usize {
        self.now = now;
        self.settings.authority = authority;
        self.close_revoked(now)
    }

    /// From here on these limits hold, as if the shard had begun with them; what it was made from beside them stays.
    /// The census is told by whoever has it, before.
    pub fn set_limits(&mut self, config: &Config, now: Instant) {
        self.now = now;
        self.take_limits(config, now);
        self.resume_paused();
    }

    /// Whether a token means nothing before the backend has been asked. One that came with a handshake goes with the
    /// [`Arrival`].
    pub fn asks_backend(&self) -> bool {
        match self.settings.authority {
            Authority::Anybody | Authority::Tokens(_) => false,
            Authority::Backend(_) => true,
        }
    }

    /// What the backend says to an [`Inquiry`] of this connection.
    pub fn handle_verdict(
        &mut self,
        connection: ConnectionId,
        verdict: Result<Arc<Grant>, TokenError>,
        now: Instant,
    ) {
        self.now = now;
        self.judge(connection.into(), verdict, now);
        self.resume_paused();
    }

    /// Where a client with this grant is best connected that wants this document: on the document's shard, or, where
    /// that has many, on this one.
    pub fn home_of(&self, document: &str, grant: Option<&Grant>) -> usize {
        let tenant = grant.map_or("", |grant| &grant.tenant);
        let name = global_id(tenant, document);
        match self.busy.contains(&*name) {
            true => self.settings.index,
            false => route::shard_of(&name, self.settings.shards),
        }
    }

    /// A client has connected. `None`: the shard has as many connections as it may, or is stopping.
    pub fn connect(&mut self, arrival: Arrival, now: Instant) -> Option<ConnectionId> {
        self.now = now;
        if self.is_stopping || self.connections() >= self.settings.connection.count_max {
            self.metrics.refused_connections += 1;
            return None;
        }
        let manner = Manner {
            dialect: match arrival.transport {
                Transport::WebSocket => arrival.dialect,
                Transport::Tcp => Some(Dialect::Protobuf),
                Transport::EventStream => Some(Dialect::EventStream),
            },
            ..Manner::default()
        };
        let mut socket = Socket::new(arrival.transport, arrival.grant, now);
        self.ledger.input_bytes += arrival.token.as_ref().map_or(0, String::capacity);
        socket.token = arrival.token;
        let carrier = Carrier::Socket(socket);
        let session = Session::new(carrier, Phase::Greeting, manner, arrival.document, now);
        let key = self.sessions.insert(Box::new(session));
        self.set_session_alarm(key);
        if let Some(hello) = arrival.hello
            && let Err(refusal) = self.greet(key, hello, now)
        {
            self.refuse_connection(key, &refusal, now);
        }
        Some(key.into())
    }

    /// Bytes came from the socket, in any pieces. They are unmasked in place. A connection that the shard has
    /// closed is ignored, here and everywhere.
    pub fn handle_bytes(&mut self, connection: ConnectionId, bytes: &mut [u8], now: Instant) {
        self.now = now;
        self.receive(connection.into(), bytes, now);
    }

    /// The socket is at its end or broken. Nothing more is sent, and `poll_closed` does not name it.
    pub fn handle_eof(&mut self, connection: ConnectionId, now: Instant) {
        self.now = now;
        self.disconnect(connection.into(), now);
    }

    /// The socket, which had taken less than it was given, can take more.
    pub fn handle_writable(&mut self, connection: ConnectionId) {
        let key = connection.into();
        if let Some(socket) = self.socket_of(key) {
            socket.is_full = false;
            self.blocked.remove(&key);
            self.mark_writable(key);
        }
    }

    /// What [`poll_doubted`](Self::poll_doubted) asks: of all that the socket has taken, so much is not confirmed by the
    /// client's system.
    pub fn handle_unconfirmed(
        &mut self,
        connection: ConnectionId,
        unconfirmed_bytes: u64,
        now: Instant,
    ) {
        self.now = now;
        self.judge_liveness(connection.into(), unconfirmed_bytes, now);
    }

    pub fn handle_store(&mut self, reply: StoreReply, now: Instant) {
        self.now = now;
        match reply {
            StoreReply::Appended {
                token,
                revision,
                persisted_at_ms,
            } => self.confirm(
                DocumentKey::from_token(token),
                revision,
                persisted_at_ms,
                now,
            ),
            StoreReply::Loaded { token, result } => {
                self.finish_load(DocumentKey::from_token(token), result, now);
                self.end_load();
            }
            StoreReply::Page {
                token,
                ticket,
                result,
            } => self.receive_page(DocumentKey::from_token(token), ticket, result, now),
            StoreReply::SnapshotStored {
                token,
                stored_bytes,
                ..
            } => self.finish_snapshot(DocumentKey::from_token(token), stored_bytes, now),
            StoreReply::Deleted { token, .. } => {
                self.finish_deletion(DocumentKey::from_token(token), now);
            }
            StoreReply::Restored {
                token,
                stored_bytes,
            } => self.finish_restoring(DocumentKey::from_token(token), stored_bytes),
            StoreReply::Swept { swept, .. } => self.continue_sweep(swept, now),
            StoreReply::Listed { ticket, result } => self.receive_list(ticket, result),
            StoreReply::History { ticket, result } => self.receive_history(ticket, result),
            StoreReply::Versions { ticket, result } => self.receive_versions(ticket, result),
            StoreReply::VersionChanged { ticket, result } => {
                self.receive_version_change(ticket, result);
            }
            StoreReply::Failed { .. } => self.is_failed = true,
        }
        self.resume_paused();
    }

    /// A message came from the shard `from`.
    pub fn handle_mesh(&mut self, from: usize, message: MeshMessage, now: Instant) {
        self.now = now;
        self.receive_mesh(from, message, now);
        self.resume_paused();
    }

    /// Call it at `poll_timeout`, or whenever convenient, and then `poll_doubted`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.flush.handle_timeout(now);
        while let Some((at, owner)) = self.timers.pop(now) {
            match owner {
                Owner::Session(key) => self.ring_session(key, at, now),
                Owner::Document(key) => self.ring_document(key, at, now),
                Owner::Sweep => self.ring_sweep(at, now),
            }
        }
    }

    /// Begin a planned stop: every client is told, nothing new is taken, what was taken is finished.
    ///
    /// When all shards are drained, `close` each; when all are stopped, it is over.
    pub fn stop(&mut self) {
        self.begin_stop();
    }

    /// The second half of a planned stop: every connection is closed, after what it was answered is sent.
    pub fn close(&mut self, now: Instant) {
        self.say_farewell(now);
    }

    // ---- out

    /// Whether the connection's socket should be read: ask before every read. False while its requests wait for
    /// something: the driver leaves its bytes in the socket, so that TCP slows down this client alone, until
    /// `poll_wants_bytes` names it.
    pub fn wants_bytes(&mut self, connection: ConnectionId) -> bool {
        let key = connection.into();
        self.check_pause(key);
        self.sessions
            .get(key)
            .is_some_and(|session| !session.is_paused && !session.is_closing())
    }

    /// A connection for which `wants_bytes` has become true again.
    pub fn poll_wants_bytes(&mut self) -> Option<ConnectionId> {
        while let Some(key) = self.resumed.pop_front() {
            if self.sessions.contains_key(key) {
                return Some(key.into());
            }
        }
        None
    }

    /// A connection that has something to send and whose socket is not known to be full. With `fanout.coalesce_us`,
    /// none before `poll_timeout` has come.
    pub fn poll_writable(&mut self) -> Option<ConnectionId> {
        while let Some(key) = self.flush.pop() {
            if let Some(session) = self.sessions.get_mut(key) {
                session.is_queued = false;
                if !session.is_blocked() {
                    return Some(key.into());
                }
            }
        }
        None
    }

    /// Puts what the connection has to send into `out`, which is empty, up to about `flush_bytes_max`. Give it all to the
    /// socket in one send, and say with `handle_sent` how much of it the socket took, before anything else.
    /// Where there is more, `poll_writable` names the connection again.
    pub fn poll_transmit(&mut self, connection: ConnectionId, out: &mut Vec<u8>) {
        self.transmit(connection.into(), out);
    }

    /// The socket took the first `taken` bytes of what `poll_transmit` put there; the shard keeps the rest
    /// and calls the socket full until `handle_writable`.
    pub fn handle_sent(
        &mut self,
        connection: ConnectionId,
        out: &[u8],
        taken: usize,
        now: Instant,
    ) {
        self.now = now;
        self.sent(connection.into(), out, taken, now);
    }

    /// A connection that has been silent, or whose socket has been full, for a while:
    /// [`handle_unconfirmed`](Self::handle_unconfirmed) is to be told of each, at once. Only `handle_timeout` brings some.
    pub fn poll_doubted(&mut self) -> Option<ConnectionId> {
        self.doubted.pop_front().map(ConnectionId::from)
    }

    pub fn poll_store(&mut self) -> Option<StoreRequest> {
        self.store.pop_front()
    }

    /// The next message for the shard `to` in that lane.
    pub fn poll_mesh(&mut self, to: usize, lane: Lane) -> Option<MeshMessage> {
        match lane {
            Lane::Request => self.outboxes[to].requests.pop_front(),
            Lane::Reply => self.next_mesh_reply(to),
        }
    }

    /// A question for the backend. [`handle_verdict`](Self::handle_verdict) answers each of them.
    pub fn poll_inquiry(&mut self) -> Option<Inquiry> {
        self.inquiries.pop_front()
    }

    /// Whether a token has named a key that may have come since the keys were read, since the last call: the driver sees
    /// to it that they are read again, and calls `set_authority`.
    pub fn poll_keys_wanted(&mut self) -> bool {
        std::mem::take(&mut self.are_keys_wanted)
    }

    /// Somebody who was refused: whoever runs the relay may want to know.
    pub fn poll_refusal(&mut self) -> Option<RefusalNote> {
        self.next_refusal()
    }

    /// A document that the store has and that cannot be read: whoever runs the relay is to know.
    pub fn poll_unreadable(&mut self) -> Option<Unreadable> {
        self.next_unreadable()
    }

    /// A document that got its first peer or lost its last, in order, if the settings ask for it. Who only reads once is
    /// no peer.
    pub fn poll_occupancy(&mut self) -> Option<Occupancy> {
        self.occupancies.pop_front()
    }

    /// When `handle_timeout` wants to be called at the latest. `None`: not before something else happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timeouts = [self.timers.next(), self.flush.timeout()];
        timeouts.into_iter().flatten().min()
    }

    /// A connection whose socket is to be closed: all that could be sent has been. A driver shuts down its
    /// sending side and reads until the client closes too, for a little while: closing a socket with unread bytes
    /// in it would take the last frames away from the client.
    pub fn poll_closed(&mut self) -> Option<ConnectionId> {
        self.closed.pop_front()
    }

    /// After `stop`: the store has confirmed everything that was taken, and nothing waits for other shards.
    pub fn is_drained(&self) -> bool {
        let is_mesh_empty = self.outboxes.iter().all(Outbox::is_empty);
        self.is_stopping && self.ledger.pending_bytes == 0 && self.store.is_empty() && is_mesh_empty
    }

    /// After `close`: nobody is connected, and the last snapshots are with the store.
    pub fn is_stopped(&self) -> bool {
        self.is_stopping && self.sessions.is_empty() && self.store.is_empty()
    }

    pub fn metrics(&self) -> Metrics {
        let memory = &self.settings.memory;
        Metrics {
            connections: self.connections() as u64,
            documents: self.documents.len() as u64,
            input_bytes: self.ledger.input_bytes as u64,
            output_bytes: self.ledger.output_total_bytes() as u64,
            document_bytes: self.ledger.document_bytes as u64,
            pending_bytes: self.ledger.pending_bytes as u64,
            edge_subscribers: self.edges.values().map(Edge::subscribers_count).sum(),
            blocked_connections: self.blocked.len() as u64,
            document_loads: self.loads as u64,
            catch_up_reads: self.reading_count() as u64,
            inquiries: self.inquiries_asked as u64,
            limits: Limits {
                connections: self.settings.connection.count_max as u64,
                input_bytes: memory.input_bytes_max as u64,
                output_bytes: memory.output_bytes_max as u64,
                document_bytes: memory.document_bytes_max as u64,
                pending_bytes: memory.pending_bytes_max as u64,
                document_loads: memory.document_loads_max as u64,
                catch_up_reads: memory.catch_up_reads_max as u64,
                inquiries: self.settings.authority.inquiries_max() as u64,
            },
            ..self.metrics
        }
    }

    /// Sessions whose sockets are here.
    fn connections(&self) -> usize {
        self.sessions.len() - self.links.len()
    }

    /// The Unix time in milliseconds.
    pub(super) fn unix_ms(&self, now: Instant) -> u64 {
        self.settings.started_at_ms + now.as_millis()
    }
}

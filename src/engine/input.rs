//! From a connection's bytes to its requests: frames, Hello, and who handles what.

use bytes::Bytes;

use std::sync::Arc;

use crate::auth::Grant;
use crate::codec::dialect::Dialect;
use crate::codec::frame;
use crate::codec::json;
use crate::codec::websocket::{self, Incoming};
use crate::codec::wire::{self, event, request::Body};

use super::identity::{self, Identity, REVOKED};
use super::key::SessionKey;
use super::refusal::{PROTOCOL_VERSIONS, Refusal};
use super::request::{Asked, Request};
use super::session::Transport;
use super::session::{Carrier, Phase};
use super::settings::Authority;
use super::shard::Shard;
use super::time::Instant;

/// What there is, and since which version of the protocol.
const FEATURES: [(u32, &str); 6] = [
    (1, "log"),
    (1, "text"),
    (1, "presence"),
    (1, "resume"),
    (2, "protobuf"),
    (3, "paging"),
];
/// Requests that the store has not taken, past which no connection is read.
const STORE_REQUESTS_MAX: usize = 4096;
/// A partial frame of this size is never the reason that its connection is closed.
const INPUT_BYTES_FREE: usize = 4096;

impl Shard {
    pub(super) fn receive(&mut self, key: SessionKey, bytes: &mut [u8], now: Instant) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        if session.is_closing() {
            return;
        }
        let Some(socket) = session.socket_mut() else {
            return;
        };
        if !bytes.is_empty() {
            socket.heard_at = now;
            socket.pinged_at = None;
        }
        let transport = socket.transport;
        let mut joined = std::mem::take(&mut socket.input);
        self.ledger.input_bytes -= joined.capacity();
        let rest = if joined.is_empty() {
            self.split(key, transport, bytes, now).map(<[u8]>::to_vec)
        } else {
            joined.extend_from_slice(bytes);
            let kept = self.split(key, transport, &mut joined, now);
            kept.map(<[u8]>::len).map(|kept| last_bytes(joined, kept))
        };
        match rest {
            Ok(rest) => self.keep_input(key, rest, now),
            Err(refusal) => self.refuse_connection(key, &refusal, now),
        }
        self.check_pause(key);
    }

    /// Handles the whole frames in `bytes`, as long as the client need not wait, and gives back what is left.
    fn split<'a>(
        &mut self,
        key: SessionKey,
        transport: Transport,
        bytes: &'a mut [u8],
        now: Instant,
    ) -> Result<&'a [u8], Refusal> {
        match transport {
            Transport::Tcp | Transport::EventStream => {
                let mut rest = &*bytes;
                self.split_frames(key, &mut rest, now)?;
                Ok(rest)
            }
            Transport::WebSocket => self.split_messages(key, bytes, now),
        }
    }

    fn split_frames(
        &mut self,
        key: SessionKey,
        bytes: &mut &[u8],
        now: Instant,
    ) -> Result<(), Refusal> {
        let length_max = self.settings.connection.message_bytes_max;
        while self.is_open(key) && !self.must_wait(key) {
            let Some(message) = frame::split(bytes, length_max)? else {
                break;
            };
            self.handle_message(key, message, now)?;
        }
        Ok(())
    }

    fn split_messages<'a>(
        &mut self,
        key: SessionKey,
        bytes: &'a mut [u8],
        now: Instant,
    ) -> Result<&'a [u8], Refusal> {
        let length_max = self.settings.connection.message_bytes_max + frame::PREFIX_BYTES;
        let (mut reader, deferred) = self
            .socket_of(key)
            .map(|socket| {
                let deferred = std::mem::take(&mut socket.deferred);
                (std::mem::take(&mut socket.reader), deferred)
            })
            .unwrap_or_default();
        self.ledger.input_bytes -= reader.held_bytes() + deferred.capacity();
        self.split_message(key, &deferred, now)?;
        let mut rest = bytes;
        while self.is_open(key) && !self.must_wait(key) {
            match reader.next(&mut rest, length_max)? {
                None => break,
                Some(Incoming::Binary(frames)) => {
                    self.speak(key, Dialect::Protobuf)?;
                    self.split_message(key, frames, now)?;
                }
                Some(Incoming::Text(text)) => {
                    self.speak(key, Dialect::Json)?;
                    self.handle_message(key, text, now)?;
                }
                Some(Incoming::Ping(payload)) => {
                    if let Some(socket) = self.socket_of(key) {
                        websocket::append_pong(&mut socket.control, payload);
                    }
                    self.mark_writable(key);
                }
                Some(Incoming::Pong) => (),
                Some(Incoming::Close(_)) => self.farewell(key, 1000, "", now),
            }
        }
        self.ledger.input_bytes += reader.held_bytes();
        if let Some(socket) = self.socket_of(key) {
            socket.reader = reader;
        }
        Ok(rest)
    }

    /// A connection keeps to the dialect of its first message.
    fn speak(&mut self, key: SessionKey, dialect: Dialect) -> Result<(), Refusal> {
        let spoken = &mut self.sessions[key].manner.dialect;
        if *spoken.get_or_insert(dialect) == dialect {
            Ok(())
        } else {
            Err(Refusal::DialectMixed)
        }
    }

    /// Handles the frames of one message, and keeps those for which the client has to wait.
    fn split_message(
        &mut self,
        key: SessionKey,
        mut frames: &[u8],
        now: Instant,
    ) -> Result<(), Refusal> {
        self.split_frames(key, &mut frames, now)?;
        if frames.is_empty() || !self.is_open(key) {
            return Ok(());
        }
        if !self.must_wait(key) {
            return Err(frame::FrameError::Truncated.into());
        }
        if let Some(socket) = self.socket_of(key) {
            socket.deferred = frames.to_vec();
            self.ledger.input_bytes += frames.len();
        }
        Ok(())
    }

    /// Keeps the beginning of a frame whose rest has not arrived, and what is not handled yet.
    fn keep_input(&mut self, key: SessionKey, rest: Vec<u8>, now: Instant) {
        if !self.is_open(key) {
            return;
        }
        let Some(socket) = self.socket_of(key) else {
            return;
        };
        let rest_bytes = rest.capacity();
        socket.input = rest;
        let held = rest_bytes + socket.reader.held_bytes() + socket.deferred.capacity();
        self.ledger.input_bytes += rest_bytes;
        if self.ledger.input_bytes > self.settings.memory.input_bytes_max && held > INPUT_BYTES_FREE
        {
            let refusal = Refusal::Unavailable("no memory for a frame of this size".to_owned());
            self.refuse_connection(key, &refusal, now);
        }
    }

    /// One message of a client whose socket is here. An error ends the connection.
    fn handle_message(
        &mut self,
        key: SessionKey,
        message: &[u8],
        now: Instant,
    ) -> Result<(), Refusal> {
        let message = Bytes::copy_from_slice(message);
        let dialect = self.sessions[key].manner.dialect();
        let request = Request::decode(dialect, message.clone(), &self.settings)?;
        self.sessions[key].asked = Asked::new(&request.id, now);
        // A refusal that ends the connection is an answer, too.
        self.handle_decoded(key, request, message, now)?;
        self.forget_asked(key);
        Ok(())
    }

    fn handle_decoded(
        &mut self,
        key: SessionKey,
        request: Request,
        message: Bytes,
        now: Instant,
    ) -> Result<(), Refusal> {
        if counts(&request.body)
            && let Err(refusal) = self.pay_request(key, now)
        {
            self.reply(key, refusal.error(request.request_id(), request.handle()));
            return Ok(());
        }
        let is_greeting = matches!(self.sessions[key].phase, Phase::Greeting);
        match request.body {
            json::Body::Request(Body::Ping(ping)) => {
                let pong = wire::Pong {
                    nonce: ping.nonce,
                    server_time_ms: self.unix_ms(now),
                };
                self.reply(key, event::Body::Pong(pong));
            }
            json::Body::Request(Body::Hello(hello)) if self.may_greet(key) => {
                self.greet(key, hello, now)?;
            }
            json::Body::Request(Body::Hello(_)) => {
                let refusal = Refusal::HelloInvalid("it came twice");
                self.reply(key, refusal.error(0, 0));
            }
            _before_hello if is_greeting => return Err(Refusal::HelloRequired),
            json::Body::Request(Body::Pong(_)) => (),
            json::Body::Request(Body::Close(ref close))
                if close.document == 0 && request.document_id.is_none() =>
            {
                self.farewell(key, 1000, "", now);
            }
            json::Body::Request(_) | json::Body::Operations(_) => {
                match self.shard_of(key, &request) {
                    Ok(shard) if shard == self.settings.index => {
                        self.handle_request(key, request, now);
                    }
                    Ok(shard) => self.forward(key, shard, message),
                    Err(refusal) => {
                        self.reply(key, refusal.error(request.request_id(), 0));
                    }
                }
            }
        }
        Ok(())
    }

    /// What is said from here on answers nothing.
    pub(super) fn forget_asked(&mut self, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.asked = Asked::default();
        }
    }

    /// A request about a document that is, or would be, on this shard.
    pub(super) fn handle_request(&mut self, key: SessionKey, request: Request, now: Instant) {
        let document_id = request.document_id.as_deref();
        let mut body = match request.body {
            json::Body::Request(body) => body,
            json::Body::Operations(batch) => {
                return match self.read_batch(key, document_id, &batch) {
                    Ok((batch, readable)) => self.submit(key, batch, readable, now),
                    Err(refusal) => self.refuse_batch(key, 0, batch.client_seq, &refusal),
                };
            }
        };
        if let Err(refusal) = self.address(key, document_id, &mut body) {
            return self.reply(key, refusal.error(0, 0));
        }
        match body {
            Body::Open(open) => self.join(key, open, now),
            Body::Operations(operations) => self.submit(key, operations, Ok(()), now),
            Body::SyncRequest(request) => self.sync_again(key, request, now),
            Body::Presence(presence) => self.update_presence(key, presence, now),
            Body::Heartbeat(heartbeat) => self.heartbeat(key, heartbeat.document, now),
            Body::Close(close) => self.leave(key, close.document, now),
            Body::SnapshotOffer(offer) => self.take_piece(key, offer, now),
            Body::Delete(deletion) => self.delete(key, &deletion, now),
            Body::List(list) => self.list(key, list),
            Body::Hello(_) | Body::Ping(_) | Body::Pong(_) => {
                unreachable!("these are about the connection, not a document")
            }
        }
    }

    /// The first Hello says who a client is. Where tokens are asked for, a later one brings a fresh token.
    fn may_greet(&self, key: SessionKey) -> bool {
        let is_known = !matches!(self.sessions[key].phase, Phase::Greeting);
        match self.settings.authority {
            Authority::Anybody => !is_known,
            Authority::Tokens(_) | Authority::Backend(_) => true,
        }
    }

    /// Version, then fields, then the token; a client for whom all are good is welcome. An error ends the connection.
    pub(super) fn greet(
        &mut self,
        key: SessionKey,
        hello: wire::Hello,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.version_for(key, &hello)?;
        if let Err(refusal) = identity::check(&hello) {
            self.reply(key, refusal.error(0, 0));
            return Ok(());
        }
        let asked = match &self.settings.authority {
            Authority::Anybody | Authority::Tokens(_) => self
                .grant_of(key, &hello.token, now)
                .and_then(|grant| self.welcome(key, hello, grant, now)),
            Authority::Backend(backend) => {
                let backend = backend.clone();
                self.inquire(key, hello, &backend)
            }
        };
        if let Err(refusal) = asked {
            self.refuse_hello(key, refusal, now);
        }
        Ok(())
    }

    /// The highest version of the protocol that both speak.
    fn version_for(&self, key: SessionKey, hello: &wire::Hello) -> Result<u32, Refusal> {
        let offered = hello.protocol_version;
        let spoken = versions_of(self.sessions[key].manner.dialect());
        let version = spoken.iter().filter(|version| **version <= offered).max();
        version
            .copied()
            .ok_or(Refusal::VersionMismatch { offered, spoken })
    }

    /// What the client's token grants: the one in Hello, or else the one with which the connection was made.
    fn grant_of(
        &mut self,
        key: SessionKey,
        token: &str,
        now: Instant,
    ) -> Result<Option<Arc<Grant>>, Refusal> {
        let unix_ms = self.unix_ms(now);
        let arrived_with = self
            .socket_of(key)
            .and_then(|socket| socket.grant.take())
            .filter(|grant| token.is_empty() && unix_ms < grant.expires_at_ms);
        match arrived_with {
            Some(grant) if self.settings.authority.revokes(&grant) => Err(REVOKED),
            Some(grant) => Ok(Some(grant)),
            None => Ok(self.authenticate(token, now)?),
        }
    }

    /// A Hello is not accepted: the connection ends, unless it has said one before and this one may still be good.
    pub(super) fn refuse_hello(&mut self, key: SessionKey, refusal: Refusal, now: Instant) {
        let is_ready = matches!(self.sessions[key].phase, Phase::Ready(_));
        if is_ready && refusal.is_retryable() {
            self.reply(key, refusal.error(0, 0));
        } else {
            self.refuse_connection(key, &refusal, now);
        }
    }

    /// The client is who it says, and is told so, unless there are too many of its kind.
    pub(super) fn welcome(
        &mut self,
        key: SessionKey,
        hello: wire::Hello,
        grant: Option<Arc<Grant>>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let protocol_version = self.version_for(key, &hello)?;
        let is_debug = hello.debug;
        let identity = Identity::new(&self.settings, hello, grant);
        let known = self.sessions[key].identity();
        if known.is_some_and(|known| known.client_id != identity.client_id) {
            let refusal = Refusal::HelloInvalid("it is somebody else's");
            self.reply(key, refusal.error(0, 0));
            return Ok(());
        }
        if let Some(socket) = self.sessions[key].socket_mut()
            && socket.attendance.is_none()
        {
            socket.attendance = Some(self.settings.census.enter(&identity)?);
        }
        let connection = &self.settings.connection;
        let connected = wire::Connected {
            client_id: identity.client_id,
            server_time_ms: self.unix_ms(now),
            protocol_version,
            features: features_of(protocol_version),
            message_bytes_max: limit_on_wire(connection.message_bytes_max),
            batch_operations_max: limit_on_wire(connection.batch_operations_max),
            ping_period_ms: limit_on_wire(connection.ping_period.as_millis()),
            presence_ttl_ms: limit_on_wire(self.settings.presence.ttl.as_millis()),
        };
        let manner = &mut self.sessions[key].manner;
        manner.version = protocol_version;
        manner.is_debug = is_debug;
        self.reply(key, event::Body::Connected(connected));
        self.identify(key, Arc::new(identity), now);
        self.set_session_alarm(key);
        Ok(())
    }

    /// Whether requests of the session are still handled.
    fn is_open(&self, key: SessionKey) -> bool {
        self.sessions
            .get(key)
            .is_some_and(|session| !session.is_closing())
    }

    /// Stops or goes on reading the session, as its demands on the shard say.
    pub(super) fn check_pause(&mut self, key: SessionKey) {
        let must_wait = self.must_wait(key);
        if let Some(session) = self.sessions.get_mut(key)
            && !session.is_paused
            && must_wait
        {
            session.is_paused = true;
            self.paused.push(key);
        }
    }

    /// Goes on reading whoever need no longer wait.
    pub(super) fn resume_paused(&mut self) {
        if self.paused.is_empty() {
            return;
        }
        let paused = std::mem::take(&mut self.paused);
        for key in paused {
            if !self.sessions.contains_key(key) {
                continue;
            }
            if self.must_wait(key) {
                self.paused.push(key);
                continue;
            }
            let session = &mut self.sessions[key];
            session.is_paused = false;
            match &session.carrier {
                Carrier::Socket(_) => {
                    self.receive(key, &mut [], self.now);
                    if self.is_open(key) && !self.sessions[key].is_paused {
                        self.resumed.push_back(key);
                    }
                }
                Carrier::Link(_) => self.handle_deferred(key),
            }
        }
    }

    /// Whether what the client has asked for is as much as the shard may have in hand for it.
    pub(super) fn must_wait(&self, key: SessionKey) -> bool {
        let memory = &self.settings.memory;
        let Some(session) = self.sessions.get(key) else {
            return false;
        };
        let is_forwarding_too_much = session.socket().is_some_and(|socket| {
            socket
                .forwards
                .iter()
                .any(|forward| forward.unprocessed_bytes > memory.lane_window_bytes)
        });
        let is_unjudged = session
            .socket()
            .is_some_and(|socket| socket.unjudged.is_some());
        let unread =
            session.replies.len() + session.socket().map_or(0, |socket| socket.control.len());
        let is_document_full = session.subscriptions.iter().any(|subscription| {
            self.documents[subscription.document]
                .open()
                .is_some_and(|open| open.is_pending_full(&self.settings.fanout))
        });
        self.ledger.pending_bytes > memory.pending_bytes_max
            || self.store.len() > STORE_REQUESTS_MAX
            || session.inflight_bytes > self.settings.connection.inflight_bytes_max
            || unread > memory.catch_up_page_bytes
            || is_forwarding_too_much
            || is_document_full
            || is_unjudged
    }
}

/// The last `count` bytes, in the same memory as long as they are a good part of it: what arrives in many small
/// pieces is not copied for each.
fn last_bytes(mut bytes: Vec<u8>, count: usize) -> Vec<u8> {
    bytes.drain(..bytes.len() - count);
    if bytes.capacity() / 4 > count {
        bytes.shrink_to_fit();
    }
    bytes
}

fn features_of(version: u32) -> Vec<String> {
    let there = FEATURES.iter().filter(|(since, _)| *since <= version);
    there.map(|(_, name)| (*name).to_owned()).collect()
}

/// The versions of the protocol that there are in a dialect.
fn versions_of(dialect: Dialect) -> &'static [u32] {
    match dialect {
        Dialect::Protobuf => &PROTOCOL_VERSIONS[1..],
        Dialect::Json | Dialect::EventStream => &PROTOCOL_VERSIONS,
    }
}

/// Whether the connection's rate of requests is for it. Operations have rates of their own, and presence is coalesced;
/// leaving is never refused.
fn counts(body: &json::Body) -> bool {
    match body {
        json::Body::Operations(_) => false,
        json::Body::Request(body) => match body {
            Body::Hello(_)
            | Body::Open(_)
            | Body::SyncRequest(_)
            | Body::SnapshotOffer(_)
            | Body::Delete(_)
            | Body::List(_)
            | Body::Ping(_) => true,
            Body::Operations(_)
            | Body::Presence(_)
            | Body::Heartbeat(_)
            | Body::Pong(_)
            | Body::Close(_) => false,
        },
    }
}

fn limit_on_wire(limit: impl TryInto<u32>) -> u32 {
    limit.try_into().unwrap_or(u32::MAX)
}

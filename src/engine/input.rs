//! From a connection's bytes to its requests, and who handles them.

use bytes::Bytes;

use crate::codec::dialect::Dialect;
use crate::codec::frame;
use crate::codec::json;
use crate::codec::websocket::{self, Incoming};
use crate::codec::wire::{self, event, request::Body};

use super::identity::EXPIRED;
use super::key::SessionKey;
use super::refusal::Refusal;
use super::request::{Asked, Request};
use super::session::Phase;
use super::session::Transport;
use super::shard::Shard;
use super::time::Instant;

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
        if session.has_expired(now) {
            // Its alarm may not have rung.
            return self.end_grant(key, &EXPIRED, now);
        }
        let Some(socket) = session.socket_mut() else {
            return;
        };
        if !bytes.is_empty() {
            socket.heard_at = now;
            socket.pinged = None;
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
            Body::History(history) => self.tell_history(key, history),
            Body::SaveVersion(save) => self.save_version(key, save, now),
            Body::ListVersions(list) => self.list_versions(key, &list),
            Body::DeleteVersion(delete) => self.delete_version(key, &delete),
            Body::Hello(_) | Body::Ping(_) | Body::Pong(_) => {
                unreachable!("these are about the connection, not a document")
            }
        }
    }

    /// Whether requests of the session are still handled.
    pub(super) fn is_open(&self, key: SessionKey) -> bool {
        self.sessions
            .get(key)
            .is_some_and(|session| !session.is_closing())
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
            | Body::History(_)
            | Body::SaveVersion(_)
            | Body::ListVersions(_)
            | Body::DeleteVersion(_)
            | Body::Ping(_) => true,
            Body::Operations(_)
            | Body::Presence(_)
            | Body::Heartbeat(_)
            | Body::Pong(_)
            | Body::Close(_) => false,
        },
    }
}

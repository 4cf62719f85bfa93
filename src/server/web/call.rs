//! A connection of the control thread to a shard, as which somebody who asks over HTTP is a client like any other.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use prost::Message as _;
use rustix::rand::{GetRandomFlags, getrandom};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::Web;
use super::memory::Held;
use super::visitor::Visitor;
use crate::codec::frame;
use crate::codec::wire::{self, Event, Request, event, request::Body};
use crate::engine::route;
use crate::server::crowd::ClientSocket;
use crate::server::http::problem::Problem;
use crate::server::http::{Caller, Introduction};
use crate::server::mailbox::{Errand, Handoff};

const PROTOCOL_VERSION: u32 = 3;
/// The relay's own frames are as long as it likes.
const FRAME_BYTES_MAX: usize = u32::MAX as usize;
/// What is made room for before a read.
const READ_BYTES: usize = 64 * 1024;
/// One call asks one thing at a time, so that its answers need no names.
const REQUEST_ID: u64 = 1;

pub struct Call {
    stream: UnixStream,
    input: BytesMut,
    /// What `input` takes.
    held: Held,
    held_bytes: usize,
    /// What the relay calls this client.
    pub client_id: u64,
}

impl Call {
    /// Connects for a client, to the shard of the document if it is for one, and says Hello.
    ///
    /// # Errors
    ///
    /// Why the relay does not let the client in.
    pub async fn connect(
        web: &Web,
        visitor: &Visitor,
        client_uuid: [u8; 16],
        document: Option<&str>,
    ) -> Result<Self, Problem> {
        let caller = Caller {
            document: document.map(Arc::from),
            // No other token can come before it is needed.
            token: Some(visitor.token.clone()),
            grant: None,
            introduction: Introduction::default(),
            address: visitor.address,
        };
        let shards = web.mailboxes.len();
        // Where a tenant's document is only its shard can say: it passes the connection on.
        let shard = document.map_or(0, |document| route::shard_of(document, shards));
        let mut call = Self {
            stream: web.pair(caller, shard)?,
            input: BytesMut::new(),
            held: web.memory.hold(0)?,
            held_bytes: 0,
            client_id: 0,
        };
        call.send(Body::Hello(wire::Hello {
            protocol_version: PROTOCOL_VERSION,
            client_uuid: Bytes::copy_from_slice(&client_uuid),
            user_id: visitor.user_id.clone(),
            user_name: visitor.user_name.clone(),
            ..wire::Hello::default()
        }))
        .await;
        match call.next().await? {
            event::Body::Connected(connected) => call.client_id = connected.client_id,
            other => return Err(unexpected(&other)),
        }
        Ok(call)
    }

    /// Opens a document. The answer to a call's every Open is its next event.
    pub async fn open(&mut self, open: wire::Open) -> Result<wire::Opened, Problem> {
        self.send(Body::Open(wire::Open {
            request_id: REQUEST_ID,
            ..open
        }))
        .await;
        match self.next_but_pages().await? {
            event::Body::Opened(opened) => Ok(opened),
            other => Err(unexpected(&other)),
        }
    }

    /// What the relay says next, but for what is still to come of a document that was opened before.
    async fn next_but_pages(&mut self) -> Result<event::Body, Problem> {
        loop {
            match self.next().await? {
                event::Body::RemoteOps(_) | event::Body::SyncResponse(_) => {}
                other => return Ok(other),
            }
        }
    }

    /// Sends a request that has one answer.
    pub async fn ask(&mut self, body: Body) -> Result<event::Body, Problem> {
        self.send(body).await;
        self.next_but_pages().await
    }

    /// Sends a request. If the connection is at its end, what the relay had to say is still to be read.
    pub async fn send(&mut self, body: Body) {
        let mut bytes = Vec::new();
        frame::append(&Request::from(body), &mut bytes);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            // The relay does not read who does not read the relay.
            let either = Interest::READABLE | Interest::WRITABLE;
            let Ok(ready) = self.stream.ready(either).await else {
                return;
            };
            if ready.is_writable() {
                match self.stream.try_write(rest) {
                    Ok(length) => rest = &rest[length..],
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
            if ready.is_readable() && !matches!(self.try_read(), Ok(true)) {
                return;
            }
        }
    }

    /// What the relay says next of what was asked for.
    ///
    /// # Errors
    ///
    /// The relay refuses, or the connection is at its end.
    pub async fn next(&mut self) -> Result<event::Body, Problem> {
        loop {
            match self.next_event().await? {
                event::Body::Error(error) => return Err(error.into()),
                event::Body::Close(close) => return Err(close.into()),
                event::Body::Ping(ping) => {
                    self.send(Body::Pong(wire::Pong {
                        nonce: ping.nonce,
                        ..wire::Pong::default()
                    }))
                    .await;
                }
                event::Body::Goaway(_)
                | event::Body::Warning(_)
                | event::Body::Pong(_)
                | event::Body::PresenceUpdate(_)
                | event::Body::DirectoryUpdate(_)
                | event::Body::SyncRequest(_) => {}
                other => return Ok(other),
            }
        }
    }

    async fn next_event(&mut self) -> Result<event::Body, Problem> {
        loop {
            let mut rest = &self.input[..];
            let split = frame::split(&mut rest, FRAME_BYTES_MAX);
            if let Some(message) = split.expect("a frame is never longer than its length says") {
                let length = message.len();
                let _prefix = self.input.split_to(frame::PREFIX_BYTES);
                let message = self.input.split_to(length).freeze();
                let event = Event::decode(message).expect("the relay understands itself");
                // An event that another version of the relay has is none of this one.
                return Ok(event.body.expect("the relay understands itself"));
            }
            let is_open = self.stream.readable().await.is_ok() && self.try_read()?;
            if !is_open {
                return Err(broken());
            }
        }
    }

    /// Takes what has arrived. False: the connection is at its end.
    fn try_read(&mut self) -> Result<bool, Problem> {
        self.input.reserve(READ_BYTES);
        let bytes = self.input.capacity();
        if bytes > self.held_bytes {
            self.held.grow(bytes - self.held_bytes)?;
            self.held_bytes = bytes;
        }
        match self.stream.try_read_buf(&mut self.input) {
            Ok(0) => Ok(false),
            Ok(_) => Ok(true),
            Err(error) => Ok(error.kind() == ErrorKind::WouldBlock),
        }
    }

    /// Ends the connection, and returns when the relay has forgotten it.
    pub async fn end(mut self) {
        self.send(Body::Close(wire::Close::default())).await;
        while self.next_event().await.is_ok() {}
    }
}

/// The connection broke before the answer came.
fn broken() -> Problem {
    Problem::unavailable(
        "the relay is stopping, and gave no answer; what was asked for may have been done all the same",
    )
}

pub fn unexpected(event: &event::Body) -> Problem {
    tracing::error!(?event, "nothing asked for this");
    Problem::of_code(
        wire::ErrorCode::InternalError,
        "the relay did not understand itself",
    )
}

impl Web {
    /// A connection to a shard: the other end of ours.
    fn pair(&self, caller: Caller, shard: usize) -> Result<UnixStream, Problem> {
        let system =
            |error: std::io::Error| Problem::unavailable(format!("no connection: {error}"));
        let seat = self.crowd.enter();
        let seat = seat
            .ok_or_else(|| Problem::unavailable("there are as many connections as there may be"))?;
        let (ours, theirs) = StdStream::pair().map_err(system)?;
        ours.set_nonblocking(true).map_err(system)?;
        theirs.set_nonblocking(true).map_err(system)?;
        let handoff = Handoff {
            socket: ClientSocket::new(theirs.into(), seat),
            errand: Errand::Call(Box::new(caller)),
            unread: Vec::new(),
        };
        let handed = self.mailboxes[shard].hand_off(handoff);
        handed.map_err(|_| Problem::unavailable("the document's shard is busy or stopping"))?;
        UnixStream::from_std(ours).map_err(system)
    }
}

/// An identity that nobody has.
pub fn random_uuid() -> [u8; 16] {
    let mut bytes = [0; 16];
    let length = getrandom(&mut bytes, GetRandomFlags::empty());
    // So few bytes come whole and without waiting once the system has started.
    assert_eq!(length, Ok(bytes.len()), "the system has random numbers");
    bytes
}

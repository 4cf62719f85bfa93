//! A client: a user with an identity, some documents, and one connection after the other.
//!
//! It does what a real one does, at random, and judges what it gets; a document's part of that is in its
//! [`Replica`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use corelay::codec::wire::{self, ErrorCode, event, request::Body};
use corelay::config::Durability;
use corelay::engine::shard::Transport;

use super::connection::{Connection, Incoming};
use super::content::Content;
use super::judge::{Judge, Position, broken};
use super::network::Link;
use super::random::Random;
use super::replica::{PRESENCE_FIELD, Replica, SentBatch};
use super::scenario::{Flaw, Rates, Scenario};
use super::trace::Trace;

/// A client asks for nothing more while so much of what it sent is not on the network.
const UNSENT_BYTES_MAX: usize = 8 * 1024;
/// Edits between two batches: composed, they are to fit into one message.
const EDITS_MAX: usize = 30;
/// A text with so much room is never full.
const TEXT_BYTES_FREE: usize = 64 * 1024;
/// Edits that wait behind what is on its way.
const PENDING_OPERATIONS_MAX: usize = 20;

pub struct Client {
    pub name: String,
    pub uuid: Vec<u8>,
    client_id: Option<u64>,
    documents: Vec<(Arc<str>, &'static str)>,
    pub session: Option<Session>,
    pub replicas: Vec<Replica>,
    /// Counts everything that must be unlike anything before.
    number: u64,
}

/// One connection.
pub struct Session {
    pub link: u64,
    connection: Connection,
    /// The document of the URL.
    document: Option<Arc<str>>,
    has_said_hello: bool,
    is_connected: bool,
    is_closing: bool,
    /// Which replica a handle names.
    handles: BTreeMap<u64, usize>,
    /// Handles that were left; what was on its way for them may still come.
    left: BTreeSet<u64>,
    /// Open requests that were not answered: of which replica, with which position.
    opening: BTreeMap<u64, (usize, Option<Position>)>,
    sent: BTreeMap<u64, (usize, SentBatch)>,
    last_operations: Option<wire::Operations>,
    asked_to_sync: BTreeSet<usize>,
    stalled_until_us: u64,
}

/// What a client's step may use.
pub struct Surroundings<'a> {
    pub now_us: u64,
    pub random: &'a mut Random,
    pub judge: &'a mut Judge,
    pub trace: &'a mut Trace,
    pub scenario: &'a Scenario,
    pub rates: &'a Rates,
    /// Whether nothing goes wrong any more, and everybody is to get everything.
    pub is_calm: bool,
    /// The flaw of the rig, if it has not shown itself.
    pub flaw: &'a mut Option<Flaw>,
}

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Stays,
    /// The client closes it, or has seen its end.
    Closed,
    /// It breaks.
    Reset,
    /// The client forgets it, and the relay does not know.
    Abandoned,
}

impl Client {
    pub fn new(name: String, uuid: Vec<u8>, documents: Vec<(Arc<str>, &'static str)>) -> Self {
        Self {
            name,
            uuid,
            client_id: None,
            documents,
            session: None,
            replicas: Vec::new(),
            number: 0,
        }
    }

    pub fn client_id(&self) -> Option<u64> {
        self.client_id
    }

    pub fn document(&self, index: usize) -> &Arc<str> {
        &self.documents[index % self.documents.len()].0
    }

    pub fn connected(&mut self, link: u64, transport: Transport, document: Option<Arc<str>>) {
        self.session = Some(Session {
            link,
            connection: Connection::new(transport),
            document,
            has_said_hello: false,
            is_connected: false,
            is_closing: false,
            handles: BTreeMap::new(),
            left: BTreeSet::new(),
            opening: BTreeMap::new(),
            sent: BTreeMap::new(),
            last_operations: None,
            asked_to_sync: BTreeSet::new(),
            stalled_until_us: 0,
        });
    }

    pub fn disconnected(&mut self) {
        self.session = None;
        for replica in &mut self.replicas {
            replica.closed();
        }
    }

    pub fn is_settled(&self) -> bool {
        let is_quiet = self
            .session
            .as_ref()
            .is_some_and(|session| session.opening.is_empty() && session.sent_all());
        is_quiet && self.client_id.is_some() && self.replicas.iter().all(Replica::is_settled)
    }

    /// One step on the connection. `None` of it may be left afterwards.
    pub fn step(&mut self, link: &mut Link, around: &mut Surroundings<'_>) -> Outcome {
        let (rates, random) = (around.rates, &mut *around.random);
        let session = self.session.as_mut().expect("the caller has its link");
        if around.is_calm {
            session.stalled_until_us = 0;
        }
        if around.now_us < session.stalled_until_us {
            return Outcome::Stays;
        }
        for (rate, outcome) in [
            (rates.reset, Outcome::Reset),
            (rates.abandon, Outcome::Abandoned),
            (rates.close, Outcome::Closed),
        ] {
            if random.happens(rate) {
                return outcome;
            }
        }
        if random.happens(rates.stall) {
            let stall_us = random.pick(&[50_000, 1_000_000, 20_000_000]);
            session.stalled_until_us = around.now_us + stall_us;
        }
        let bytes_max = if around.is_calm {
            usize::MAX
        } else {
            random.up_to(around.scenario.read_bytes_max)
        };
        let bytes = link.down.read(bytes_max);
        let incoming = session.connection.receive(&bytes);
        for incoming in incoming.unwrap_or_else(|error| broken!("S8", "{}: {error}", self.name)) {
            self.receive(incoming, around);
        }
        let session = self.session.as_mut().expect("as before");
        if link.down.is_at_end() {
            return Outcome::Closed;
        }
        if !session.is_closing && session.connection.unsent_bytes() < UNSENT_BYTES_MAX {
            self.act(around);
        }
        let session = self.session.as_mut().expect("as before");
        session.connection.flush(
            around.scenario.limits().connection.message_bytes_max,
            around.random,
        );
        let taken = link.up.write(&session.connection.output);
        session.connection.output.drain(..taken);
        Outcome::Stays
    }

    /// Asks for something, or not.
    fn act(&mut self, around: &mut Surroundings<'_>) {
        let session = self.session.as_mut().expect("the caller has it");
        if !session.has_said_hello {
            if around.random.happens(500) {
                session.connection.send(Body::Ping(wire::Ping { nonce: 5 }));
            }
            if around.is_calm || around.random.happens(3000) {
                session.has_said_hello = true;
                session.connection.send(Body::Hello(wire::Hello {
                    protocol_version: around.random.pick(&[3, 3, 4]),
                    client_uuid: self.uuid.clone().into(),
                    user_id: "somebody".to_owned(),
                    user_name: self.name.clone(),
                    ..Default::default()
                }));
            }
            return;
        }
        if !session.is_connected {
            return;
        }
        for index in 0..self.replicas.len() {
            self.act_on(index, around);
        }
    }

    fn act_on(&mut self, index: usize, around: &mut Surroundings<'_>) {
        let replica = &mut self.replicas[index];
        let session = self.session.as_mut().expect("the caller has it");
        let (rates, random) = (around.rates, &mut *around.random);
        if random.happens(rates.edit)
            && replica.edits < EDITS_MAX
            && replica.content.pending_operations() < PENDING_OPERATIONS_MAX
        {
            replica.edits += 1;
            self.number += 1;
            let mut payload = self.uuid.clone();
            payload.extend(self.number.to_be_bytes());
            let length = random.up_to(around.scenario.payload_bytes_max);
            payload.extend(std::iter::repeat_n(b'.', length));
            let text_bytes = around.scenario.text_bytes;
            replica.content.edit(payload.into(), text_bytes, random);
        }
        let is_opening = session.opening.values().any(|(open, _)| *open == index);
        if around.now_us < replica.retry_at_us {
            return;
        }
        let Some(subscription) = &replica.subscription else {
            if !is_opening && (around.is_calm || random.happens(3000)) {
                session.open(index, replica, random);
            }
            return;
        };
        let handle = subscription.handle;
        let opens_again = !is_opening && random.happens(rates.open_again);
        if opens_again {
            session.open(index, replica, random);
        }
        let must_sync = subscription.is_lost && !session.asked_to_sync.contains(&index);
        if must_sync || random.happens(rates.sync_request) {
            session.asked_to_sync.insert(index);
            let have = replica.seen.map(|seen| wire::Position {
                epoch: seen.epoch,
                revision: seen.revision,
            });
            let request = wire::SyncRequest {
                document: handle,
                have,
            };
            session.connection.send(Body::SyncRequest(request));
        }
        let is_heartbeat_due = around.is_calm && around.now_us >= replica.heartbeat_at_us;
        if random.happens(rates.heartbeat) || is_heartbeat_due {
            let ttl = around.scenario.limits().presence.ttl;
            replica.heartbeat_at_us = around.now_us + ttl.as_micros() as u64 / 4;
            let heartbeat = wire::Heartbeat { document: handle };
            session.connection.send(Body::Heartbeat(heartbeat));
        }
        let is_presence_due = around.is_calm && replica.presence.is_none();
        if random.happens(rates.presence) || is_presence_due {
            self.number += 1;
            let is_leave = !around.is_calm && random.happens(1500);
            let number = self.number.to_be_bytes().to_vec();
            let presence = wire::Presence {
                document: handle,
                is_typing: random.happens(5000),
                fields: [(PRESENCE_FIELD.to_owned(), number.clone().into())].into(),
                leave: is_leave,
                ..Default::default()
            };
            around
                .trace
                .note(format_args!("{} > {presence:?}", self.name));
            replica.presence = (!is_leave).then_some(number);
            session.connection.send(Body::Presence(presence));
        }
        session.send_operations(index, replica, around);
        if !is_opening && !opens_again && around.random.happens(rates.leave) {
            around
                .trace
                .note(format_args!("{} leaves {}", self.name, replica.document));
            session.handles.remove(&handle);
            session.left.insert(handle);
            session.connection.send(Body::Close(wire::Close {
                document: handle,
                ..Default::default()
            }));
            replica.closed();
        }
    }

    fn receive(&mut self, incoming: Incoming, around: &mut Surroundings<'_>) {
        around
            .trace
            .note(format_args!("{} < {incoming:?}", self.name));
        let session = self.session.as_mut().expect("the caller has it");
        let body = match incoming {
            Incoming::Event(body) => body,
            Incoming::Ping(payload) => {
                return session.connection.pong(&payload, around.random);
            }
            Incoming::Pong | Incoming::Close(_) => return,
        };
        if session.is_closing {
            broken!("S8", "{}: {body:?} after Close", self.name);
        }
        for body in spoiled(body, around.flaw) {
            self.handle(body, around);
        }
    }

    fn handle(&mut self, body: event::Body, around: &mut Surroundings<'_>) {
        let session = self.session.as_mut().expect("the caller has it");
        match body {
            event::Body::Connected(connected) => self.greeted(&connected, around),
            event::Body::Opened(opened) => {
                let Some((index, have)) = session.opening.remove(&opened.request_id) else {
                    broken!("S8", "{}: {opened:?} was not asked for", self.name);
                };
                let replica = &mut self.replicas[index];
                session.handles.retain(|_, of| *of != index);
                session.handles.insert(opened.document, index);
                session.left.remove(&opened.document);
                session.asked_to_sync.remove(&index);
                let is_always = around.scenario.durability == Durability::Always;
                replica.opened(&opened, have, is_always);
            }
            event::Body::RemoteOps(remote) => {
                if let Some(replica) = self.replica(remote.document) {
                    replica.remote(&remote, around.judge);
                }
            }
            event::Body::SyncResponse(page) => {
                if let Some(replica) = self.replica(page.document) {
                    replica.page(&page, around.judge);
                }
            }
            event::Body::Resync(resync) => {
                if let Some(replica) = self.replica(resync.document) {
                    replica.resync(&resync);
                    let index = self.index(resync.document);
                    let session = self.session.as_mut().expect("as before");
                    session.asked_to_sync.remove(&index);
                }
            }
            event::Body::PresenceUpdate(update) => {
                if let Some(replica) = self.replica(update.document) {
                    replica.presence_update(&update);
                }
            }
            event::Body::Warning(warning) => {
                self.replica(warning.document);
            }
            event::Body::Ack(ack) => {
                let Some((index, batch)) = session.sent.get(&ack.client_seq).cloned() else {
                    broken!("S4", "{}: {ack:?} for nothing", self.name);
                };
                if self.replica(ack.document).is_some() {
                    assert_eq!(
                        index,
                        self.index(ack.document),
                        "a batch is of one document"
                    );
                    self.replicas[index].acknowledged(&ack, &batch, around.judge);
                }
            }
            event::Body::Nack(nack) => self.refused(&nack, around),
            event::Body::Error(error) => self.failed(&error, around),
            event::Body::Close(close) if close.document == 0 => session.is_closing = true,
            event::Body::Close(close) => {
                if self.replica(close.document).is_some() {
                    let index = self.index(close.document);
                    let session = self.session.as_mut().expect("as before");
                    session.handles.remove(&close.document);
                    self.replicas[index].closed();
                    self.replicas[index].retry_at_us = around.retry_at_us();
                }
            }
            event::Body::Ping(ping) => session.connection.send(Body::Pong(wire::Pong {
                nonce: ping.nonce,
                server_time_ms: 0,
            })),
            event::Body::Pong(pong) => assert_eq!(pong.nonce, 5, "the nonce is repeated"),
            event::Body::Goaway(_) => (),
        }
    }

    fn greeted(&mut self, connected: &wire::Connected, around: &mut Surroundings<'_>) {
        let session = self.session.as_mut().expect("the caller has it");
        if !session.has_said_hello || session.is_connected {
            broken!("S8", "{}: {connected:?} was not asked for", self.name);
        }
        session.is_connected = true;
        let client_id = connected.client_id;
        match self.client_id {
            Some(before) if before != client_id => {
                broken!("S5", "{} was {before} and is {client_id}", self.name);
            }
            Some(_) => (),
            None => {
                self.client_id = Some(client_id);
                let replicas = self.documents.iter().map(|(document, kind)| {
                    let content = Content::new(kind, client_id, around.random);
                    Replica::new(document.clone(), kind, client_id, content)
                });
                self.replicas = replicas.collect();
            }
        }
    }

    /// The replica that a handle names. `None`: the client has left it.
    fn replica(&mut self, handle: u64) -> Option<&mut Replica> {
        let session = self.session.as_ref().expect("the caller has it");
        if session.left.contains(&handle) {
            return None;
        }
        match session.handles.get(&handle) {
            Some(index) => Some(&mut self.replicas[*index]),
            None => broken!("S8", "{} has no document {handle} open", self.name),
        }
    }

    fn index(&self, handle: u64) -> usize {
        let session = self.session.as_ref().expect("the caller has it");
        session.handles[&handle]
    }

    fn refused(&mut self, nack: &wire::Nack, around: &mut Surroundings<'_>) {
        let session = self.session.as_mut().expect("the caller has it");
        let Some((index, batch)) = session.sent.get_mut(&nack.client_seq) else {
            broken!("S4", "{}: {nack:?} for nothing", self.name);
        };
        if std::mem::replace(&mut batch.is_refused, true) {
            return;
        }
        let replica = &mut self.replicas[*index];
        replica.retry_at_us = around.retry_at_us();
        match nack.code() {
            // A Close is on its way, or the client has left.
            ErrorCode::DocumentNotOpen => replica.content.refused(batch.first_clock),
            ErrorCode::ServiceUnavailable => replica.content.refused(batch.first_clock),
            ErrorCode::ClockGap | ErrorCode::SyncConflict => {
                replica.content.refused(batch.first_clock);
                if let Some(subscription) = &mut replica.subscription
                    && matches!(replica.content, Content::Text(_))
                {
                    subscription.is_lost = true;
                }
            }
            ErrorCode::DocumentTooLarge => replica.content.abandon(),
            _wrong => broken!("L1", "{}: {nack:?} for {batch:?}", self.name),
        }
    }

    fn failed(&mut self, error: &wire::Error, around: &mut Surroundings<'_>) {
        let session = self.session.as_mut().expect("the caller has it");
        if let Some((index, _)) = session.opening.remove(&error.request_id) {
            self.replicas[index].retry_at_us = around.retry_at_us();
        }
        match error.code() {
            ErrorCode::ServiceUnavailable
            | ErrorCode::DocumentNotOpen
            | ErrorCode::DocumentNotFound
            | ErrorCode::HandshakeTimeout
            | ErrorCode::PongTimeout
            | ErrorCode::Backpressure => (),
            _wrong => broken!("L1", "{}: {error:?}", self.name),
        }
    }
}

impl Session {
    /// Nothing that was asked waits on this side.
    fn sent_all(&self) -> bool {
        self.asked_to_sync.is_empty() && self.is_connected && !self.is_closing
    }

    fn open(&mut self, index: usize, replica: &Replica, random: &mut Random) {
        let have = replica.seen.filter(|_| !random.happens(500));
        let request_id = 1 + random.number() / 2;
        self.opening.insert(request_id, (index, have));
        let is_of_url = self.document.as_ref() == Some(&replica.document);
        let document = if is_of_url && random.happens(5000) {
            String::new()
        } else {
            replica.document.as_ref().to_owned()
        };
        self.connection.send(Body::Open(wire::Open {
            request_id,
            document,
            kind: replica.kind.to_owned(),
            have: have.map(|have| wire::Position {
                epoch: have.epoch,
                revision: have.revision,
            }),
            create: !random.happens(1000),
        }));
    }

    fn send_operations(
        &mut self,
        index: usize,
        replica: &mut Replica,
        around: &mut Surroundings<'_>,
    ) {
        let Some(subscription) = &replica.subscription else {
            return;
        };
        let handle = subscription.handle;
        let random = &mut *around.random;
        // A text may have room for the second copy of what it refused, when the client has given it up.
        let may_be_refused = matches!(replica.content, Content::Text(_))
            && around.scenario.limits().document.bytes_max < TEXT_BYTES_FREE;
        if !may_be_refused
            && random.happens(around.rates.resend)
            && let Some(last) = self.last_operations.clone()
            && last.document == handle
        {
            self.connection.send(Body::Operations(last));
        }
        let operations_max = around.scenario.limits().connection.batch_operations_max;
        let count_max = 1 + random.below(operations_max.min(6));
        if !around.is_calm && random.happens(5000) {
            return;
        }
        let Some(batch) = replica.content.take_batch(count_max) else {
            return;
        };
        replica.edits = 0;
        for (clock, operation) in (batch.first_clock..).zip(&batch.operations) {
            let (document, client_id) = (&replica.document, replica.client_id);
            match replica.content {
                Content::Log(_) => around.judge.sent_payload(document, client_id, operation),
                Content::Text(_) => around
                    .judge
                    .sent_edit(document, client_id, clock, operation),
            }
        }
        let client_seq = random.number();
        let request = wire::Operations {
            document: handle,
            client_seq,
            first_clock: batch.first_clock,
            base_revision: batch.base_revision,
            operations: batch.operations.clone(),
        };
        let sent = SentBatch {
            first_clock: batch.first_clock,
            operations: batch.operations,
            is_refused: false,
        };
        around
            .trace
            .note(format_args!("client {} > {request:?}", replica.client_id));
        self.sent.insert(client_seq, (index, sent));
        self.last_operations = Some(request.clone());
        self.connection.send(Body::Operations(request));
    }
}

impl Surroundings<'_> {
    fn retry_at_us(&mut self) -> u64 {
        self.now_us + self.random.within(1_000..=300_000)
    }
}

/// What arrives in place of an event, where the rig has a flaw.
fn spoiled(mut body: event::Body, flaw: &mut Option<Flaw>) -> Vec<event::Body> {
    match (*flaw, &mut body) {
        (Some(Flaw::LostDelivery), event::Body::RemoteOps(_)) => {
            *flaw = None;
            vec![]
        }
        (Some(Flaw::ChangedOperation), event::Body::RemoteOps(remote)) => {
            *flaw = None;
            let mut changed = remote.operations[0].to_vec();
            changed.push(0);
            remote.operations[0] = changed.into();
            vec![body]
        }
        (Some(Flaw::RepeatedAcknowledgement), event::Body::Ack(ack)) if !ack.duplicate => {
            *flaw = None;
            vec![body.clone(), body]
        }
        (Some(Flaw::LostLeave), event::Body::PresenceUpdate(update)) => {
            update.presences.retain(|presence| !presence.left);
            vec![body]
        }
        _sound => vec![body],
    }
}

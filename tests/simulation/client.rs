//! A client: a user with an identity, some documents, and one connection after the other.
//!
//! What it asks for, at random and like a real one, is here; what it makes of the answers is in `events`, and a
//! document's part of that in its [`Replica`].

use std::rc::Rc;

use corelay::codec::dialect::Dialect;
use corelay::codec::wire::{self, request::Body};
use corelay::engine::shard::Arrival;

use super::bearer::Bearer;
use super::document::Document;
use super::issuer::{Issuer, Token};
use super::judge::{Judge, broken};
use super::network::Link;
use super::random::Random;
use super::replica::{PRESENCE_FIELD, Replica};
use super::rights::Right;
use super::scenario::{Flaw, Rates, Scenario};
use super::session::{Manner, Session};
use super::trace::Trace;
use super::wants::Wants;

/// A client asks for nothing more while so much of what it sent is not on the network.
const UNSENT_BYTES_MAX: usize = 8 * 1024;
/// Edits between two batches: composed, they are to fit into one message.
const EDITS_MAX: usize = 8;
/// Edits that wait behind what is on its way.
const PENDING_OPERATIONS_MAX: usize = 20;

#[derive(Debug)]
pub struct Client {
    pub name: String,
    pub uuid: Vec<u8>,
    pub bearer: Bearer,
    pub(super) client_id: Option<u64>,
    pub(super) documents: Vec<Document>,
    pub session: Option<Session>,
    pub replicas: Vec<Replica>,
    /// A document has a snapshot that only the newest version of the protocol can carry.
    pub(super) must_be_new: bool,
    /// Counts everything that must be unlike anything before.
    number: u64,
}

/// What a client's step may use.
pub struct Surroundings<'a> {
    pub now_us: u64,
    pub random: &'a mut Random,
    pub judge: &'a mut Judge,
    pub trace: &'a mut Trace,
    pub issuer: &'a mut Issuer,
    /// Of the relay, if it is there.
    pub shards: usize,
    /// Whether tenants may have only so much.
    pub has_quota: bool,
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
    pub fn new(name: String, uuid: Vec<u8>, bearer: Bearer, documents: Vec<Document>) -> Self {
        Self {
            name,
            uuid,
            bearer,
            client_id: None,
            documents,
            session: None,
            replicas: Vec::new(),
            must_be_new: false,
            number: 0,
        }
    }

    pub fn client_id(&self) -> Option<u64> {
        self.client_id
    }

    /// How it connects next.
    pub fn any_manner(&self, has_token: bool, random: &mut Random) -> Manner {
        Manner::any(&self.documents, self.must_be_new, has_token, random)
    }

    /// What the relay is told with the handshake, beside the token.
    pub fn arrival(&self, manner: &Manner, token: &Token) -> Arrival {
        let dialect = match manner.is_json {
            true => Dialect::Json,
            false => Dialect::Protobuf,
        };
        Arrival {
            document: manner.document.clone(),
            dialect: manner.is_introduced.then_some(dialect),
            hello: manner.is_introduced.then(|| self.hello(manner, token)),
            ..Arrival::new(manner.transport)
        }
    }

    fn hello(&self, manner: &Manner, token: &Token) -> wire::Hello {
        wire::Hello {
            protocol_version: manner.version,
            client_uuid: self.uuid.clone().into(),
            user_id: self.bearer.user.clone(),
            user_name: self.name.clone(),
            token: match manner.shows_token_early {
                true => String::new(),
                false => token.text.clone(),
            },
            ..Default::default()
        }
    }

    pub fn connected(
        &mut self,
        link: u64,
        manner: Manner,
        token: Rc<Token>,
        now_us: u64,
        is_of_calm: bool,
    ) {
        let mut session = Session::new(link, manner, &self.documents, is_of_calm);
        if session.has_said_hello {
            session.grants.ask(String::new(), token, now_us);
        } else if session.manner.shows_token_early {
            session.grants.held.push(token);
        }
        self.session = Some(session);
    }

    /// Says Hello, or with a session that has said it, shows another token.
    fn say_hello(&mut self, around: &mut Surroundings<'_>) {
        let session = self.session.as_mut().expect("the caller has it");
        let is_first = !session.has_said_hello;
        let mut manner = session.manner.clone();
        manner.shows_token_early &= is_first && !session.grants.held.is_empty();
        let token = match session.grants.held.first() {
            Some(token) if manner.shows_token_early => Rc::clone(token),
            _ => self
                .bearer
                .token(around.issuer, around.now_us, around.is_calm, around.random),
        };
        let hello = self.hello(&manner, &token);
        self.number += 1;
        let id = format!("hello-{}", self.number);
        let session = self.session.as_mut().expect("as before");
        // What is still being loaded may be made with this token.
        for (index, _) in session.opening.values() {
            let document = &self.documents[*index];
            if token.rights.allow(Right::Create, document) {
                around.judge.wanted(&document.name, Right::Create);
            }
        }
        session.has_said_hello = true;
        session.connection.ask(id.clone(), Body::Hello(hello));
        session.grants.ask(id, token, around.now_us);
    }

    /// Whether it is time for another token.
    fn is_token_due(&self, around: &mut Surroundings<'_>) -> bool {
        let Some(tokens) = &around.scenario.tokens else {
            return false;
        };
        let session = self.session.as_ref().expect("the caller has it");
        if session.grants.is_asking() || around.now_us < session.hello_again_at_us {
            return false;
        }
        match around.is_calm {
            true => !self.is_at_home(),
            false => around.random.happens(tokens.refresh),
        }
    }

    /// Its connection has the rights that it is to end with.
    pub fn is_at_home(&self) -> bool {
        let session = self.session.as_ref();
        let token = session.and_then(|session| session.grants.newest());
        token.is_some_and(|token| self.bearer.has_at_home(token))
    }

    pub fn disconnected(&mut self) {
        self.session = None;
        for replica in &mut self.replicas {
            replica.closed();
        }
    }

    pub fn is_settled(&self, judge: &Judge) -> bool {
        let is_quiet = self.session.as_ref().is_some_and(|session| {
            session.opening.is_empty() && session.sent_all() && session.directory.is_complete
        });
        let mut replicas = self.documents.iter().zip(&self.replicas);
        let are_settled = replicas.all(|(document, replica)| {
            let home = &self.bearer.home;
            let is_there = judge.is_live(&document.name) || home.allow(Right::Create, document);
            match home.allow(Right::Read, document) {
                true if is_there || replica.is_open() => replica.is_settled(),
                // Nobody has made it, and the client may not.
                true => true,
                false => replica.subscription.is_none(),
            }
        });
        is_quiet && self.is_at_home() && self.client_id.is_some() && are_settled
    }

    /// At home, the relay has closed what the token there does not name.
    pub fn check_open(&self) {
        for (document, replica) in self.documents.iter().zip(&self.replicas) {
            let is_granted = self.bearer.home.allow(Right::Read, document);
            if self.is_at_home() && !is_granted && replica.subscription.is_some() {
                broken!("S8", "{} keeps {} open", self.name, document.name);
            }
        }
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
        self.note_event_id();
        let session = self.session.as_mut().expect("as before");
        if link.down.is_at_end() || session.is_outdated {
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

    /// A browser keeps the newest id of its stream.
    fn note_event_id(&mut self) {
        let session = self.session.as_ref().expect("the caller has it");
        let Some(id) = session.connection.last_event_id else {
            return;
        };
        let of_url = self
            .documents
            .iter()
            .position(|document| session.manner.document.as_ref() == Some(&document.id));
        let Some(replica) = of_url.and_then(|index| self.replicas.get_mut(index)) else {
            broken!("S8", "{}: {id:?}, and no document is named", self.name);
        };
        // With a state vector, it has what it did not get there.
        let subscription = replica.subscription.as_ref();
        if subscription.is_none_or(|subscription| subscription.wants.vector.is_some())
            || !session.left.is_empty()
            || !(replica.is_caught_up() || replica.is_asked_by_name())
        {
            return;
        }
        if replica.kind == "log" && replica.seen < Some(id) {
            broken!(
                "S1",
                "{} has {:?}, and the id says {id:?}",
                self.name,
                replica.seen
            );
        }
        replica.last_event_id = Some(id);
    }

    /// Asks for something, or not.
    fn act(&mut self, around: &mut Surroundings<'_>) {
        let session = self.session.as_mut().expect("the caller has it");
        if !session.has_said_hello {
            if around.random.happens(500) {
                session.connection.send(Body::Ping(wire::Ping { nonce: 5 }));
            }
            if around.is_calm || around.random.happens(3000) {
                self.say_hello(around);
            }
            return;
        }
        if !session.is_connected {
            return;
        }
        if self.is_token_due(around) {
            self.say_hello(around);
        }
        let session = self.session.as_mut().expect("as before");
        let directory = &mut session.directory;
        let is_due = around.is_calm && !directory.is_complete;
        if !directory.is_asking()
            && around.now_us >= directory.retry_at_us
            && (is_due || around.random.happens(around.rates.list))
        {
            directory.ask(&mut session.connection, around.random);
        }
        if session.past.may_ask(around.now_us) && around.random.happens(around.rates.past) {
            let index = around.random.below(self.documents.len());
            let document = &self.documents[index];
            let (past, connection) = (&mut session.past, &mut session.connection);
            let (judge, random) = (&mut *around.judge, &mut *around.random);
            if random.happens(5000) {
                past.ask(index, document, connection, judge, random);
            } else {
                let may_write = session.grants.allow(Right::Write, document);
                past.name(index, document, may_write, connection, judge, random);
            }
        }
        for index in 0..self.replicas.len() {
            self.act_on(index, around);
            self.trespass(index, around);
        }
    }

    fn act_on(&mut self, index: usize, around: &mut Surroundings<'_>) {
        let replica = &mut self.replicas[index];
        let session = self.session.as_mut().expect("the caller has it");
        let (rates, random) = (around.rates, &mut *around.random);
        let document = &self.documents[index];
        if random.happens(rates.edit)
            && self.bearer.home.allow(Right::Write, document)
            && self.bearer.home.allow(Right::Read, document)
            && replica.edits < EDITS_MAX
            && replica.content.pending_operations() < PENDING_OPERATIONS_MAX
        {
            replica.edits += 1;
            self.number += 1;
            let mut payload = self.name.clone().into_bytes();
            payload.extend(&self.uuid);
            payload.extend(self.number.to_be_bytes());
            let length = random.up_to(around.scenario.payload_bytes_max);
            payload.extend(std::iter::repeat_n(b'.', length));
            if random.happens(5000) {
                payload = format!("{:?}", payload.escape_ascii().to_string()).into_bytes();
            }
            let text_bytes = around.scenario.text_bytes;
            replica.content.edit(payload.into(), text_bytes, random);
        }
        let is_opening = session.opening.values().any(|(open, _)| *open == index);
        if around.now_us < replica.retry_at_us {
            return;
        }
        let may_delete = session.grants.allow(Right::Delete, document);
        if around.scenario.is_deleting && may_delete && random.happens(rates.delete) {
            around.judge.wanted(&document.name, Right::Delete);
            session.delete(index, document, random);
        }
        if !session.grants.allow(Right::Read, document) {
            return;
        }
        let floor = around.judge.floor(&replica.document);
        let Some(subscription) = &replica.subscription else {
            if !is_opening && (around.is_calm || random.happens(3000)) {
                let is_plain = !around.scenario.is_lossless();
                let mut wants = Wants::any(replica, is_plain, random);
                wants.floor = floor;
                wants.is_once = !around.is_calm && random.happens(1000);
                // A client of which the relay has an id goes on from there, and else from what it has.
                let have = match replica.kind {
                    "log" => replica.last_event_id.or(replica.seen),
                    _text => replica.seen,
                };
                if around.scenario.is_everlasting()
                    && session.may_ask_by_name(index)
                    && (have.is_some() || replica.is_untouched())
                    && random.happens(5000)
                {
                    let wants = Wants {
                        have,
                        is_once: wants.is_once,
                        ..Wants::default()
                    };
                    if session.grants.allow(Right::Create, document) {
                        around.judge.wanted(&document.name, Right::Create);
                    }
                    session.ask_by_name(index, document, replica, wants, around);
                    return;
                }
                let is_revived = *around.flaw == Some(Flaw::RevivedVector);
                if session.open(index, document, wants, is_revived, random)
                    && session.grants.allow(Right::Create, document)
                {
                    around.judge.wanted(&document.name, Right::Create);
                }
            }
            return;
        };
        if subscription.is_awaited {
            return;
        }
        let handle = subscription.handle;
        let opens_again = !is_opening && random.happens(rates.open_again);
        if opens_again {
            let mut wants = Wants::any(replica, true, random);
            wants.floor = floor;
            session.open(index, document, wants, false, random);
        }
        let must_sync = subscription.is_lost && !session.asked_to_sync.contains(&index);
        if must_sync || random.happens(rates.sync_request) {
            let mut wants = Wants::after(replica.seen);
            if around.scenario.is_lossless() && !must_sync {
                wants = Wants::any(replica, false, random);
                wants.resume = None;
                wants.refuses_snapshots = false;
            }
            session.sync(index, replica, wants, random);
        }
        let is_member = replica.is_member();
        let may_write = session.grants.allow(Right::Write, document);
        if is_member && may_write && replica.is_caught_up() && random.happens(rates.offer) {
            session.offer(index, replica, random);
        }
        let is_heartbeat_due = around.is_calm && around.now_us >= replica.heartbeat_at_us;
        if random.happens(rates.heartbeat) || is_heartbeat_due {
            let ttl = around.scenario.limits().presence.ttl;
            replica.heartbeat_at_us = around.now_us + ttl.as_micros() as u64 / 4;
            let heartbeat = wire::Heartbeat { document: handle };
            session.connection.send(Body::Heartbeat(heartbeat));
        }
        let is_presence_due = around.is_calm && replica.presence.is_none();
        if is_member && (random.happens(rates.presence) || is_presence_due) {
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
            around
                .judge
                .presence_sent(&document.name, replica.client_id, &number);
            replica.presence = (!is_leave).then_some(number);
            session.connection.send(Body::Presence(presence));
        }
        if is_member && session.grants.allow(Right::Write, document) {
            session.send_operations(index, replica, around);
        }
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
}

/// What its token does not permit.
impl Client {
    fn trespass(&mut self, index: usize, around: &mut Surroundings<'_>) {
        let tokens = around.scenario.tokens.as_ref().filter(|_| !around.is_calm);
        let random = &mut *around.random;
        if !tokens.is_some_and(|tokens| random.happens(tokens.trespass)) {
            return;
        }
        let document = &self.documents[index];
        let replica = &self.replicas[index];
        let session = self.session.as_mut().expect("the caller has it");
        let lacks = |right| !session.grants.allow(right, document);
        match random.below(4) {
            0 if lacks(Right::Read) && replica.subscription.is_none() => {
                session.open(index, document, Wants::default(), false, random);
            }
            1 if lacks(Right::Delete) => session.delete(index, document, random),
            2 if lacks(Right::Write) && replica.is_caught_up() => {
                session.offer(index, replica, random);
            }
            3 if lacks(Right::Write) => {
                self.number += 1;
                let what = format!("{} trespasses {}", self.name, self.number);
                around.judge.trespassed(&document.name, &what);
                session.forge(replica, &what, random);
            }
            _permitted => (),
        }
    }
}

impl Surroundings<'_> {
    pub fn retry_at_us(&mut self) -> u64 {
        self.now_us + self.random.within(1_000..=300_000)
    }
}

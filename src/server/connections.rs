//! A shard's sockets: what each one is at, and which of them are to be read.
//!
//! The readiness of a socket is remembered here until a read finds it empty, because the set of descriptors
//! reports it once. A connection is in the queue of those to be read at most once, and is read at most once per
//! turn, so that none starves the others. Deadlines of the engine's connections are the engine's.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use rustc_hash::FxHashMap;
use slotmap::{Key as _, KeyData, SlotMap, new_key_type};

use super::crowd::ClientSocket;
use super::http::{Head, Post};
use super::poller::{Readiness, Token};
use crate::engine::shard::ConnectionId;
use crate::engine::{Instant, Shard};

new_key_type! {
    /// A socket of this shard. Never given twice.
    pub struct Key;
}

/// How long a client may take to read the last that it gets, and to close.
const LINGER: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Connection {
    pub socket: ClientSocket,
    pub stage: Stage,
    /// There may be something to read.
    pub readable: bool,
    /// The end can be read without waiting for another event.
    pub hung_up: bool,
    /// It took less than it was given.
    pub full: bool,
    queued: bool,
    /// When its request is given up.
    deadline: Option<Instant>,
}

#[derive(Debug)]
pub enum Stage {
    /// The head of its HTTP request has not arrived whole; this is what has.
    Handshake { head: Vec<u8> },
    /// Its request has been answered, and another may follow.
    Kept,
    /// The head of its request is in order, and the body arrives.
    Arriving(Box<Arriving>),
    /// What it posts to an event stream waits until the engine takes it.
    Posting(Box<Posting>),
    /// The engine has it.
    Open(ConnectionId),
    /// Everything is sent, and what still comes is thrown away: a socket that is closed with unread bytes in it
    /// resets the connection, and the client might never see the last that was sent.
    Lingering,
}

/// A request whose body arrives.
#[derive(Debug)]
pub struct Arriving {
    pub head: Head,
    pub body: Vec<u8>,
}

/// What a client posts to an event stream.
#[derive(Debug)]
pub struct Posting {
    pub post: Post,
    pub stream: ConnectionId,
    /// What was in the body.
    pub frames: Vec<u8>,
}

impl Stage {
    /// What is held of a body. It can have twice the room that it needs, and frames are up to twice as long as the body that
    /// they were in.
    fn body_bytes(&self) -> usize {
        match self {
            Self::Arriving(arriving) => 2 * arriving.body.len(),
            Self::Posting(posting) => 2 * posting.post.body_bytes,
            Self::Handshake { .. } | Self::Kept | Self::Open(_) | Self::Lingering => 0,
        }
    }
}

#[derive(Default)]
pub struct Connections {
    slots: SlotMap<Key, Connection>,
    by_id: FxHashMap<ConnectionId, Key>,
    to_read: VecDeque<Key>,
    /// Requests that are going on, by when they are given up.
    requests: BTreeSet<(Instant, Key)>,
    /// Those that are kept for another request, likewise.
    kept: BTreeSet<(Instant, Key)>,
    /// What all bodies together hold.
    body_bytes: usize,
    lingering: VecDeque<(Instant, Key)>,
}

impl Key {
    pub fn token(self) -> Token {
        self.data().as_ffi()
    }

    fn from_token(token: Token) -> Self {
        KeyData::from_ffi(token).into()
    }
}

impl Connection {
    /// What the engine calls it, if the engine has it.
    pub fn opened(&self) -> Option<ConnectionId> {
        match self.stage {
            Stage::Open(id) => Some(id),
            Stage::Handshake { .. }
            | Stage::Kept
            | Stage::Arriving(_)
            | Stage::Posting(_)
            | Stage::Lingering => None,
        }
    }
}

impl Connections {
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Requests that are going on, and connections that are kept for one.
    pub fn requests_count(&self) -> usize {
        self.requests.len() + self.kept.len()
    }

    /// What bodies hold.
    pub fn body_bytes(&self) -> usize {
        self.body_bytes
    }

    /// Whether bodies may hold so much more.
    pub fn has_room_for(&self, body_bytes: usize, bytes_max: usize) -> bool {
        self.body_bytes + 2 * body_bytes <= bytes_max
    }

    /// Those that linger, about.
    pub fn lingering_count(&self) -> usize {
        self.lingering.len()
    }

    pub fn keys(&self) -> Vec<Key> {
        self.slots.keys().collect()
    }

    pub fn insert_handshake(&mut self, socket: ClientSocket, deadline: Instant) -> Key {
        let stage = Stage::Handshake { head: Vec::new() };
        let key = self.insert(socket, Stage::Lingering);
        self.wait(key, stage, deadline);
        key
    }

    pub fn insert_open(&mut self, socket: ClientSocket, id: ConnectionId) -> Key {
        let key = self.insert(socket, Stage::Open(id));
        self.by_id.insert(id, key);
        key
    }

    fn insert(&mut self, socket: ClientSocket, stage: Stage) -> Key {
        self.slots.insert(Connection {
            socket,
            stage,
            readable: false,
            hung_up: false,
            full: false,
            queued: false,
            deadline: None,
        })
    }

    pub fn get(&self, key: Key) -> Option<&Connection> {
        self.slots.get(key)
    }

    pub fn get_mut(&mut self, key: Key) -> Option<&mut Connection> {
        self.slots.get_mut(key)
    }

    pub fn find(&mut self, id: ConnectionId) -> Option<(Key, &mut Connection)> {
        let key = *self.by_id.get(&id)?;
        Some((key, &mut self.slots[key]))
    }

    /// The socket of one that the engine has.
    pub fn socket(&self, id: ConnectionId) -> Option<&ClientSocket> {
        let key = self.by_id.get(&id)?;
        Some(&self.slots[*key].socket)
    }

    /// The connection is at a stage of its request that ends at the deadline.
    pub fn wait(&mut self, key: Key, stage: Stage, deadline: Instant) {
        self.body_bytes += stage.body_bytes();
        self.set_stage(key, stage);
        let connection = &mut self.slots[key];
        connection.deadline = Some(deadline);
        let waiting = match &connection.stage {
            Stage::Kept => &mut self.kept,
            _request => &mut self.requests,
        };
        waiting.insert((deadline, key));
    }

    /// More of a body has arrived.
    pub fn add_to_body(&mut self, key: Key, bytes: &[u8]) {
        if let Some(connection) = self.slots.get_mut(key)
            && let Stage::Arriving(arriving) = &mut connection.stage
        {
            arriving.body.extend_from_slice(bytes);
            self.body_bytes += 2 * bytes.len();
        }
    }

    /// The request, if its body is there as a whole. The connection is at no stage then, and is to be given one.
    pub fn take_arrived(&mut self, key: Key) -> Option<Box<Arriving>> {
        match &self.slots.get(key)?.stage {
            Stage::Arriving(arriving) if arriving.body.len() == arriving.head.body_bytes() => {}
            _other => return None,
        }
        match self.set_stage(key, Stage::Lingering) {
            Stage::Arriving(arriving) => Some(arriving),
            other => unreachable!("it was looked at: {other:?}"),
        }
    }

    /// Of the requests whose body arrives, but for one, that which has the least time left.
    pub fn next_arriving(&self, other_than: Key) -> Option<Key> {
        let mut requests = self.requests.iter().map(|(_, key)| *key);
        requests.find(|key| {
            let is_arriving = matches!(self.slots[*key].stage, Stage::Arriving(_));
            is_arriving && *key != other_than
        })
    }

    /// The handshake is done and the engine has taken the connection.
    pub fn open(&mut self, key: Key, id: ConnectionId) {
        self.set_stage(key, Stage::Open(id));
        self.by_id.insert(id, key);
    }

    /// From here on the connection only waits for its client to close.
    pub fn linger(&mut self, key: Key, now: Instant) {
        self.set_stage(key, Stage::Lingering);
        self.lingering.push_back((now + LINGER, key));
        self.queue(key);
    }

    /// Returns the stage before.
    fn set_stage(&mut self, key: Key, stage: Stage) -> Stage {
        let connection = &mut self.slots[key];
        let before = std::mem::replace(&mut connection.stage, stage);
        let deadline = connection.deadline.take();
        self.forget(key, &before, deadline);
        before
    }

    /// The connection is gone; its socket is the caller's.
    pub fn remove(&mut self, key: Key) -> Option<ClientSocket> {
        let connection = self.slots.remove(key)?;
        self.forget(key, &connection.stage, connection.deadline);
        Some(connection.socket)
    }

    fn forget(&mut self, key: Key, stage: &Stage, deadline: Option<Instant>) {
        if let Some(deadline) = deadline {
            self.requests.remove(&(deadline, key));
            self.kept.remove(&(deadline, key));
        }
        self.body_bytes -= stage.body_bytes();
        if let Stage::Open(id) = stage {
            self.by_id.remove(id);
        }
    }

    /// Remembers what has happened to a socket. Returns its key if it is still there.
    pub fn note(&mut self, readiness: Readiness) -> Option<Key> {
        let key = Key::from_token(readiness.token);
        let connection = self.slots.get_mut(key)?;
        connection.hung_up |= readiness.hung_up;
        if readiness.readable {
            connection.readable = true;
            self.queue(key);
        }
        Some(key)
    }

    /// Puts a connection that may have something to read in the queue.
    pub fn queue(&mut self, key: Key) {
        if let Some(connection) = self.slots.get_mut(key)
            && connection.readable
            && !connection.queued
        {
            connection.queued = true;
            self.to_read.push_back(key);
        }
    }

    /// After a read: there may be more. A connection that is not to be read is left out until it is again.
    pub fn queue_again(&mut self, key: Key, engine: &mut Shard) {
        if let Some(connection) = self.slots.get(key)
            && match &connection.stage {
                Stage::Open(id) => engine.wants_bytes(*id),
                Stage::Posting(_) => false,
                Stage::Handshake { .. } | Stage::Kept | Stage::Arriving(_) | Stage::Lingering => {
                    true
                }
            }
        {
            self.queue(key);
        }
    }

    pub fn queued_count(&self) -> usize {
        self.to_read.len()
    }

    pub fn next_queued(&mut self) -> Option<Key> {
        let key = self.to_read.pop_front()?;
        if let Some(connection) = self.slots.get_mut(key) {
            connection.queued = false;
        }
        Some(key)
    }

    /// A request that is over its time, or a connection that has waited for one long enough.
    pub fn next_late_request(&mut self, now: Instant) -> Option<Key> {
        let waiting = [&mut self.requests, &mut self.kept];
        let late = waiting.into_iter().find_map(|waiting| {
            let (deadline, key) = *waiting.first()?;
            let is_late = deadline <= now;
            is_late.then(|| waiting.pop_first()).map(|_| key)
        });
        late.inspect(|key| self.slots[*key].deadline = None)
    }

    /// The connection that is given up where there are too many: one that waits for a request if there is any, and of
    /// those the one that has the least time left. It has none from here on.
    pub fn next_request(&mut self) -> Option<Key> {
        let first = self.kept.pop_first();
        let (_, key) = first.or_else(|| self.requests.pop_first())?;
        self.slots[key].deadline = None;
        Some(key)
    }

    /// A connection that has lingered long enough.
    pub fn next_lingered(&mut self, now: Instant) -> Option<Key> {
        let (_, key) = self
            .lingering
            .pop_front_if(|(deadline, _)| *deadline <= now)?;
        Some(key)
    }

    pub fn next_deadline(&mut self) -> Option<Instant> {
        let slots = &self.slots;
        while self
            .lingering
            .pop_front_if(|(_, key)| !slots.contains_key(*key))
            .is_some()
        {}
        let deadlines = [
            self.requests.first(),
            self.kept.first(),
            self.lingering.front(),
        ];
        deadlines.into_iter().flatten().map(|(at, _)| *at).min()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;

    use super::super::crowd::Crowd;
    use super::super::http::{Rules, read_head};
    use super::*;
    use crate::config::Origins;

    fn socket() -> ClientSocket {
        let seat = Arc::new(Crowd::new(1, None)).enter().expect("it is empty");
        ClientSocket::new(UnixStream::pair().unwrap().0.into(), seat)
    }

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    fn readable(token: Token) -> Readiness {
        Readiness {
            token,
            readable: true,
            writable: false,
            hung_up: false,
            broken: false,
        }
    }

    #[test]
    fn a_socket_that_is_ready_twice_is_read_once() {
        let mut connections = Connections::default();
        let keys = [1, 2].map(|id| connections.insert_open(socket(), ConnectionId(id)));
        for key in [keys[0], keys[1], keys[0]] {
            assert!(
                key.token() >= 1 << 32,
                "smaller numbers are the poller's own"
            );
            assert_eq!(connections.note(readable(key.token())), Some(key));
        }
        assert_eq!(connections.next_queued(), Some(keys[0]));
        connections.queue(keys[0]);
        assert_eq!(connections.next_queued(), Some(keys[1]));
        assert_eq!(connections.next_queued(), Some(keys[0]));
        assert_eq!(connections.next_queued(), None);
        connections.remove(keys[0]);
        assert_eq!(connections.note(readable(keys[0].token())), None);
        assert!(connections.find(ConnectionId(1)).is_none());
        assert_eq!(
            connections.find(ConnectionId(2)).map(|(key, _)| key),
            Some(keys[1])
        );
    }

    #[test]
    fn a_connection_takes_little_here() {
        // `tests/idle.rs` counts the engine's share, and has this much left for ours: a slot, of which a table that has
        // grown has up to twice as many, and an entry of the map.
        let entry_bytes = size_of::<(ConnectionId, Key)>() + 1;
        let bytes = 2 * (size_of::<Connection>() + size_of::<u32>()) + 2 * entry_bytes;
        assert!(bytes <= 224, "{bytes}");
    }

    #[test]
    fn only_requests_that_are_still_going_on_run_late() {
        let mut connections = Connections::default();
        let keys = [10, 20, 30].map(|ms| connections.insert_handshake(socket(), at(ms)));
        assert_eq!(connections.requests_count(), 3);
        connections.open(keys[0], ConnectionId(1));
        assert_eq!(connections.next_deadline(), Some(at(20)));
        assert_eq!(connections.next_late_request(at(19)), None);
        assert_eq!(connections.next_late_request(at(20)), Some(keys[1]));
        connections.linger(keys[1], at(20));
        assert_eq!(connections.next_deadline(), Some(at(30)));
        connections.wait(keys[2], Stage::Kept, at(50));
        assert_eq!(connections.next_late_request(at(40)), None);
        connections.remove(keys[2]);
        assert_eq!(connections.requests_count(), 0);
        assert_eq!(connections.next_deadline(), Some(at(20) + LINGER));
        assert_eq!(connections.next_lingered(at(20) + LINGER), Some(keys[1]));
        connections.remove(keys[1]);
        assert_eq!(connections.next_deadline(), None);
        assert_eq!(connections.keys(), [keys[0]]);
    }

    fn arriving(body_bytes: usize) -> Stage {
        let head = format!("POST /v1 HTTP/1.1\r\nHost: a\r\nContent-Length: {body_bytes}\r\n\r\n");
        let rules = Rules {
            head_bytes_max: 1024,
            body_bytes_max: 1024,
            origins: &Origins::Any,
        };
        let read = read_head(head.as_bytes(), &rules);
        let (head, _) = read.expect("it is in order").expect("it is whole");
        let body = Vec::new();
        Stage::Arriving(Box::new(Arriving { head, body }))
    }

    #[test]
    fn a_body_is_counted_as_it_arrives_and_until_it_is_taken() {
        let mut connections = Connections::default();
        let keys = [10, 20].map(|ms| connections.insert_handshake(socket(), at(ms)));
        for key in keys {
            connections.wait(key, arriving(100), at(30));
        }
        assert!(connections.has_room_for(100, 200), "nothing has arrived");
        connections.add_to_body(keys[0], &[1; 60]);
        assert!(connections.take_arrived(keys[0]).is_none());
        assert!(connections.has_room_for(40, 200) && !connections.has_room_for(41, 200));
        connections.add_to_body(keys[1], &[2; 20]);
        connections.add_to_body(keys[0], &[3; 40]);
        assert_eq!(connections.body_bytes, 240);
        let arrived = connections.take_arrived(keys[0]).expect("it is whole");
        assert_eq!((arrived.body[59], arrived.body[60]), (1, 3));
        assert_eq!(connections.body_bytes, 40);
        assert_eq!(connections.next_arriving(keys[0]), Some(keys[1]));
        assert_eq!(connections.next_arriving(keys[1]), None);
        connections.remove(keys[1]);
        assert_eq!(
            (connections.body_bytes, connections.requests_count()),
            (0, 0)
        );
    }

    #[test]
    fn who_waits_for_a_request_makes_way_before_a_request_does() {
        let mut connections = Connections::default();
        let keys = [10, 20, 30, 40].map(|ms| connections.insert_handshake(socket(), at(ms)));
        connections.wait(keys[2], Stage::Kept, at(60));
        connections.wait(keys[3], Stage::Kept, at(50));
        assert_eq!(connections.requests_count(), 4);
        assert_eq!(connections.next_deadline(), Some(at(10)));
        let order = std::iter::from_fn(|| connections.next_request());
        let order: Vec<_> = order.collect();
        assert_eq!(order, [keys[3], keys[2], keys[0], keys[1]]);
        assert_eq!(connections.next_deadline(), None);
    }
}

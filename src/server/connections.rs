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
use super::http::Post;
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
    /// It posts to an event stream.
    Posting(Box<Posting>),
    /// The engine has it.
    Open(ConnectionId),
    /// Everything is sent, and what still comes is thrown away: a socket that is closed with unread bytes in it
    /// resets the connection, and the client might never see the last that was sent.
    Lingering,
}

/// What a client posts: it arrives, and then it waits until the engine takes it.
#[derive(Debug)]
pub struct Posting {
    pub post: Post,
    pub stream: ConnectionId,
    pub body: Vec<u8>,
    /// What was in the body, once it has come whole.
    pub frames: Option<Vec<u8>>,
}

impl Posting {
    pub fn new(post: Post, stream: ConnectionId) -> Self {
        Self {
            post,
            stream,
            body: Vec::new(),
            frames: None,
        }
    }

    /// What it may hold: frames are up to twice as long as the body that they were in.
    fn bytes_max(&self) -> usize {
        2 * self.post.body_bytes
    }
}

#[derive(Default)]
pub struct Connections {
    slots: SlotMap<Key, Connection>,
    by_id: FxHashMap<ConnectionId, Key>,
    to_read: VecDeque<Key>,
    /// Those that have a deadline: requests, and what waits for one.
    requests: BTreeSet<(Instant, Key)>,
    /// What all posts together may hold.
    posted_bytes: usize,
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
            Stage::Handshake { .. } | Stage::Kept | Stage::Posting(_) | Stage::Lingering => None,
        }
    }
}

impl Connections {
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub fn requests_count(&self) -> usize {
        self.requests.len()
    }

    pub fn posted_bytes(&self) -> usize {
        self.posted_bytes
    }

    /// Whether so much more can be posted.
    pub fn has_room_for(&self, post: &Post, posted_bytes_max: usize) -> bool {
        self.posted_bytes + 2 * post.body_bytes <= posted_bytes_max
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
        if let Stage::Posting(posting) = &stage {
            self.posted_bytes += posting.bytes_max();
        }
        self.set_stage(key, stage);
        self.set_deadline(key, deadline);
    }

    pub fn set_deadline(&mut self, key: Key, deadline: Instant) {
        if let Some(before) = self.slots[key].deadline.replace(deadline) {
            self.requests.remove(&(before, key));
        }
        self.requests.insert((deadline, key));
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

    fn set_stage(&mut self, key: Key, stage: Stage) {
        let connection = &mut self.slots[key];
        let before = std::mem::replace(&mut connection.stage, stage);
        let deadline = connection.deadline.take();
        self.forget(key, &before, deadline);
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
        }
        match stage {
            Stage::Open(id) => {
                self.by_id.remove(id);
            }
            Stage::Posting(posting) => self.posted_bytes -= posting.bytes_max(),
            Stage::Handshake { .. } | Stage::Kept | Stage::Lingering => {}
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
                Stage::Posting(posting) => posting.frames.is_none(),
                Stage::Handshake { .. } | Stage::Kept | Stage::Lingering => true,
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

    /// A request that is over its time.
    pub fn next_late_request(&mut self, now: Instant) -> Option<Key> {
        let (deadline, _) = *self.requests.first()?;
        if deadline > now {
            return None;
        }
        self.next_request()
    }

    /// The request that has the least time left. It has none from here on.
    pub fn next_request(&mut self) -> Option<Key> {
        let (_, key) = self.requests.pop_first()?;
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
        let deadlines = [self.requests.first(), self.lingering.front()];
        deadlines.into_iter().flatten().map(|(at, _)| *at).min()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn socket() -> ClientSocket {
        ClientSocket::new(UnixStream::pair().unwrap().0.into(), None)
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
}

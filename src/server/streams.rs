//! The event streams of a shard: their secret names, and what waits to be taken from those who post to them.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use rustix::rand::{GetRandomFlags, getrandom};

use super::connections::Key;
use crate::engine::shard::ConnectionId;

#[derive(Default)]
pub struct Streams {
    by_secret: FxHashMap<u128, ConnectionId>,
    open: FxHashMap<ConnectionId, Stream>,
}

struct Stream {
    secret: u128,
    /// In the order in which they arrived.
    posts: VecDeque<Key>,
}

impl Streams {
    /// The engine's connection is a stream from here on. Returns its secret.
    pub fn insert(&mut self, id: ConnectionId) -> u128 {
        let mut bytes = [0; 16];
        let length = getrandom(&mut bytes, GetRandomFlags::empty());
        // So few bytes come whole and without waiting once the system has started.
        assert_eq!(length, Ok(bytes.len()), "the system has random numbers");
        let secret = u128::from_ne_bytes(bytes);
        let posts = VecDeque::new();
        self.by_secret.insert(secret, id);
        self.open.insert(id, Stream { secret, posts });
        secret
    }

    pub fn contains(&self, id: ConnectionId) -> bool {
        self.open.contains_key(&id)
    }

    pub fn find(&self, secret: u128) -> Option<ConnectionId> {
        self.by_secret.get(&secret).copied()
    }

    /// A connection has something for the stream.
    pub fn push_post(&mut self, id: ConnectionId, key: Key) {
        if let Some(stream) = self.open.get_mut(&id) {
            stream.posts.push_back(key);
        }
    }

    /// Whose post is to be taken first.
    pub fn first_post(&self, id: ConnectionId) -> Option<Key> {
        self.open.get(&id)?.posts.front().copied()
    }

    /// The first post is dealt with.
    pub fn pop_post(&mut self, id: ConnectionId) {
        if let Some(stream) = self.open.get_mut(&id) {
            stream.posts.pop_front();
        }
    }

    /// A connection waits no longer.
    pub fn remove_post(&mut self, id: ConnectionId, key: Key) {
        if let Some(stream) = self.open.get_mut(&id) {
            stream.posts.retain(|post| *post != key);
        }
    }

    /// The stream is at its end. Returns whose posts nobody takes any more.
    pub fn remove(&mut self, id: ConnectionId) -> VecDeque<Key> {
        let Some(stream) = self.open.remove(&id) else {
            return VecDeque::new();
        };
        self.by_secret.remove(&stream.secret);
        stream.posts
    }
}

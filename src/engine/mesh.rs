//! Documents of one connection that live on different shards.
//!
//! The shard that has a connection's socket is its home. A request for a document elsewhere goes to that shard as
//! it came, after an Attach that says who the client is; there, a session without a socket handles it like any
//! other. What it has to send comes back as frames, which the home passes on. Neither direction can fill a shard:
//! requests count as unprocessed until the other shard is done with them, and the home stops reading the
//! connection when they are too many; frames are only made as far as the home has given credit.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::identity::Identity;
use super::key::SessionKey;
use super::lane::MeshMessage;
use super::request::{Asked, Request};
use super::session::{Carrier, Forward, Link, Phase, Session};
use super::shard::Shard;
use super::time::Instant;

/// What a forwarded request counts beside its bytes.
const REQUEST_OVERHEAD_BYTES: usize = 64;

impl Shard {
    /// Passes a request of a connection of this shard to another.
    pub(super) fn forward(&mut self, key: SessionKey, shard: usize, message: Bytes) {
        let session = &mut self.sessions[key];
        let identity = session.identity().cloned();
        let (manner, document) = (session.manner, session.document.clone());
        let connected_at = session.connected_at;
        let Some((identity, socket)) = identity.zip(session.socket_mut()) else {
            return;
        };
        let connection = key.into();
        let requests = &mut self.outboxes[shard].requests;
        if socket.forward(shard).is_none() {
            requests.push_back(MeshMessage::Attach {
                connection,
                identity,
                manner,
                document,
                connected_at,
            });
            socket.forwards.push(Forward::new(shard));
        }
        let forward = socket.forward(shard).expect("just made");
        forward.unprocessed_bytes += message.len() + REQUEST_OVERHEAD_BYTES;
        requests.push_back(MeshMessage::Request {
            connection,
            message,
        });
    }

    /// The client is known anew: the shards that have documents of it are told.
    pub(super) fn attach_again(&mut self, key: SessionKey, identity: &Arc<Identity>) {
        let Some(session) = self.sessions.get(key) else {
            return;
        };
        let Carrier::Socket(socket) = &session.carrier else {
            return;
        };
        for forward in &socket.forwards {
            let requests = &mut self.outboxes[forward.shard].requests;
            requests.push_back(MeshMessage::Attach {
                connection: key.into(),
                identity: Arc::clone(identity),
                manner: session.manner,
                document: session.document.clone(),
                connected_at: session.connected_at,
            });
        }
    }

    /// The connection is going: the shards that have documents of it are told.
    pub(super) fn detach(&mut self, key: SessionKey) {
        self.leave_edges(key);
        let Some(socket) = self.socket_of(key) else {
            return;
        };
        for forward in std::mem::take(&mut socket.forwards) {
            let connection = key.into();
            let requests = &mut self.outboxes[forward.shard].requests;
            requests.push_back(MeshMessage::Detach { connection });
        }
    }

    pub(super) fn receive_mesh(&mut self, from: usize, message: MeshMessage, now: Instant) {
        match message {
            MeshMessage::Attach {
                connection,
                identity,
                manner,
                document,
                connected_at,
            } => {
                if let Some(key) = self.links.get(&(from, connection)).copied() {
                    self.sessions[key].manner = manner;
                    return self.identify(key, identity, now);
                }
                let window = self.settings.memory.lane_window_bytes;
                let link = Link {
                    shard: from,
                    connection,
                    credit_bytes: window as i64,
                    processed_bytes: 0,
                    deferred: VecDeque::new(),
                };
                let session = Session::new(
                    Carrier::Link(link),
                    Phase::Ready(identity),
                    manner,
                    document,
                    connected_at,
                );
                let key = self.sessions.insert(Box::new(session));
                self.links.insert((from, connection), key);
                self.enter_user(key, now);
            }
            MeshMessage::Request {
                connection,
                message,
            } => {
                if let Some(key) = self.links.get(&(from, connection)).copied() {
                    self.handle_forwarded(key, message, now);
                }
            }
            MeshMessage::Credit { connection, bytes } => {
                if let Some(key) = self.links.get(&(from, connection)).copied() {
                    if let Carrier::Link(link) = &mut self.sessions[key].carrier {
                        link.credit_bytes += bytes as i64;
                    }
                    self.mark_writable(key);
                }
            }
            MeshMessage::Announce(announcement) => self.hear(announcement),
            MeshMessage::Busy { name, is_busy } => self.hear_busy(name, is_busy),
            MeshMessage::EdgeCredit { document, bytes } => {
                self.credit_branch(document, from, bytes);
            }
            MeshMessage::Return {
                connection,
                returned,
            } => {
                if let Some(key) = self.links.get(&(from, connection)).copied() {
                    self.take_back(key, &returned, now);
                }
            }
            MeshMessage::Edge(message) => self.receive_edge(message),
            MeshMessage::Detach { connection } => {
                if let Some(key) = self.links.get(&(from, connection)).copied() {
                    self.disconnect(key, now);
                }
            }
            MeshMessage::Processed { connection, bytes } => {
                let forward = self
                    .socket_of(connection.into())
                    .and_then(|socket| socket.forward(from));
                if let Some(forward) = forward {
                    forward.unprocessed_bytes -= bytes;
                }
            }
            MeshMessage::Frames { connection, frames } => {
                let key = connection.into();
                let forward = self.socket_of(key).and_then(|socket| socket.forward(from));
                if let Some(forward) = forward {
                    forward.frames.push_back(frames);
                    self.mark_writable(key);
                    self.count_output(key);
                    self.check_output(key, now);
                }
            }
        }
    }

    /// Handles a request of a connection elsewhere, or keeps it while that client has to wait.
    fn handle_forwarded(&mut self, key: SessionKey, message: Bytes, now: Instant) {
        let session = &mut self.sessions[key];
        if let Carrier::Link(link) = &mut session.carrier
            && session.is_paused
        {
            return link.deferred.push_back(message);
        }
        self.process(key, message, now);
        self.finish_processing(key);
    }

    /// Goes on with the requests that were kept.
    pub(super) fn handle_deferred(&mut self, key: SessionKey) {
        while let Some(session) = self.sessions.get_mut(key)
            && !session.is_paused
            && let Carrier::Link(link) = &mut session.carrier
            && let Some(message) = link.deferred.pop_front()
        {
            self.process(key, message, self.now);
        }
        self.finish_processing(key);
    }

    fn process(&mut self, key: SessionKey, message: Bytes, now: Instant) {
        let bytes = message.len() + REQUEST_OVERHEAD_BYTES;
        let dialect = self.sessions[key].manner.dialect();
        let request =
            Request::decode(dialect, message, &self.settings).expect("its home has decoded it");
        self.sessions[key].asked = Asked::new(&request.id, now);
        self.handle_request(key, request, now);
        self.forget_asked(key);
        if let Some(Carrier::Link(link)) = self
            .sessions
            .get_mut(key)
            .map(|session| &mut session.carrier)
        {
            link.processed_bytes += bytes;
        }
        self.check_pause(key);
    }

    fn finish_processing(&mut self, key: SessionKey) {
        if self
            .sessions
            .get(key)
            .is_some_and(|session| !session.is_paused)
        {
            self.confirm_processed(key);
        }
    }

    /// Tells the home of a session which of its requests are done with, a few at a time.
    pub(super) fn confirm_processed(&mut self, key: SessionKey) {
        let batch_bytes = self.settings.memory.lane_window_bytes / 4;
        if let Carrier::Link(link) = &mut self.sessions[key].carrier
            && link.processed_bytes >= batch_bytes
        {
            let bytes = std::mem::take(&mut link.processed_bytes);
            let connection = link.connection;
            let replies = &mut self.outboxes[link.shard].replies;
            replies.push_back(MeshMessage::Processed { connection, bytes });
        }
    }

    /// What this shard's documents have for connections of the shard `to`.
    pub(super) fn next_mesh_reply(&mut self, to: usize) -> Option<MeshMessage> {
        loop {
            // What the edges there get comes first: who is handed over to one finds in it what it has been sent.
            let outbox = &mut self.outboxes[to];
            if let Some(message) = outbox.replies.pop_front() {
                return Some(message);
            }
            if let Some(document) = outbox.branches.pop_front() {
                let window = self.settings.memory.lane_window_bytes;
                match self.branch_update(document, to, window) {
                    Some(message) => return Some(message),
                    None => continue,
                }
            }
            let key = outbox.writable.pop_front()?;
            let Some(session) = self.sessions.get_mut(key) else {
                continue;
            };
            session.is_queued = false;
            if session.is_blocked() {
                continue;
            }
            let mut frames = Vec::new();
            self.sending_since = None;
            let has_more = self.gather(key, &mut frames);
            self.count_fanout(self.now);
            let session = &mut self.sessions[key];
            let Carrier::Link(link) = &mut session.carrier else {
                continue;
            };
            link.credit_bytes -= frames.len() as i64;
            session.was_blocked = link.credit_bytes <= 0;
            let connection = link.connection;
            if has_more {
                self.mark_writable(key);
            }
            self.hand_over(key);
            self.count_output(key);
            self.resume_paused();
            if !frames.is_empty() {
                let frames = frames.into();
                return Some(MeshMessage::Frames { connection, frames });
            }
        }
    }

    /// Appends frames that came from other shards, up to `end`, and lets more come. True: there are more.
    pub(super) fn gather_forwarded(
        &mut self,
        key: SessionKey,
        out: &mut Vec<u8>,
        end: usize,
    ) -> bool {
        let batch_bytes = self.settings.memory.lane_window_bytes / 4;
        let Some(Carrier::Socket(socket)) = self
            .sessions
            .get_mut(key)
            .map(|session| &mut session.carrier)
        else {
            return false;
        };
        for forward in &mut socket.forwards {
            while out.len() < end
                && let Some(frames) = forward.frames.pop_front()
            {
                out.extend_from_slice(&frames);
                forward.delivered_bytes += frames.len();
            }
            if forward.delivered_bytes >= batch_bytes {
                let bytes = std::mem::take(&mut forward.delivered_bytes);
                let connection = key.into();
                let requests = &mut self.outboxes[forward.shard].requests;
                requests.push_back(MeshMessage::Credit { connection, bytes });
            }
        }
        socket
            .forwards
            .iter()
            .any(|forward| !forward.frames.is_empty())
    }
}

impl Forward {
    fn new(shard: usize) -> Self {
        Self {
            shard,
            unprocessed_bytes: 0,
            frames: VecDeque::new(),
            delivered_bytes: 0,
            edges: Vec::new(),
        }
    }
}

//! What shards say to each other, and what waits to be said.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::directory::Announcement;
use super::edge::{EdgeMessage, Returned};
use super::identity::Identity;
use super::key::{ConnectionId, DocumentKey, SessionKey};
use super::session::Manner;
use super::time::Instant;

/// The two lanes from each shard to each other, so that bulk in one direction never waits for bulk in the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// What clients of the sending shard ask of documents on the receiving one.
    Request,
    /// What documents on the sending shard answer.
    Reply,
}

/// A message from one shard to another. What it says is between the engines.
#[derive(Debug)]
pub enum MeshMessage {
    /// Home to other: this client is here.
    Attach {
        connection: ConnectionId,
        identity: Arc<Identity>,
        manner: Manner,
        /// The document that its URL names.
        document: Option<Arc<str>>,
        connected_at: Instant,
    },
    /// Home to other: a request of it.
    Request {
        connection: ConnectionId,
        message: Bytes,
    },
    /// Home to other: so many more bytes of frames may come.
    Credit {
        connection: ConnectionId,
        bytes: usize,
    },
    /// A document has come or gone.
    Announce(Announcement),
    /// A document of the sending shard has many subscribers, or no longer.
    Busy { name: Arc<str>, is_busy: bool },
    /// Home to other: so many more bytes may come to the edge of this document.
    EdgeCredit { document: u64, bytes: usize },
    /// Home to other: an edge no longer serves this client.
    Return {
        connection: ConnectionId,
        returned: Returned,
    },
    /// Home to other: the connection is gone.
    Detach { connection: ConnectionId },
    /// Other to home: so many bytes of requests are done with.
    Processed {
        connection: ConnectionId,
        bytes: usize,
    },
    /// Other to home: whole frames for the client.
    Frames {
        connection: ConnectionId,
        frames: Bytes,
    },
    /// Other to home: about an edge there of a document here.
    Edge(EdgeMessage),
}

/// What waits for another shard to take it.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub requests: VecDeque<MeshMessage>,
    pub replies: VecDeque<MeshMessage>,
    /// Documents whose edges there have not been told everything.
    pub branches: VecDeque<DocumentKey>,
    /// Sessions with their home there that have something to send.
    pub writable: VecDeque<SessionKey>,
}

impl Outbox {
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
            && self.replies.is_empty()
            && self.branches.is_empty()
            && self.writable.is_empty()
    }
}

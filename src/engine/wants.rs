//! What a client has of a document, and how it wants the rest.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::codec::wire;

/// From Open and from SyncRequest.
#[derive(Debug, Clone)]
pub struct Wants {
    pub have: Have,
    /// Empty: none.
    pub resume_token: Bytes,
    /// False: it only reads, once.
    pub is_subscribing: bool,
    /// False: it wants operations only.
    pub takes_snapshots: bool,
    /// It wants to be asked in return for what it alone has.
    pub is_bidirectional: bool,
    /// It wants nothing of what was before.
    pub is_from_newest: bool,
}

#[derive(Debug, Clone, Default)]
pub enum Have {
    #[default]
    Nothing,
    /// Everything up to a revision of an epoch.
    Position { epoch: u64, revision: u64 },
    /// Of each client, everything up to a clock; seen at that epoch and revision, if the client says so.
    Vector {
        vector: Arc<Vector>,
        seen_at: Option<(u64, u64)>,
    },
}

/// The highest clock seen of each client.
pub type Vector = BTreeMap<u64, u64>;

/// What a vector takes in memory, about: the nodes of the tree are at least half full.
pub fn vector_bytes(vector: &Vector) -> usize {
    vector.len() * 2 * size_of::<(u64, u64)>()
}

impl Have {
    fn new(position: Option<wire::Position>, vector: Vector) -> Self {
        match position {
            Some(position) if vector.is_empty() => Self::Position {
                epoch: position.epoch,
                revision: position.revision,
            },
            None if vector.is_empty() => Self::Nothing,
            position => Self::Vector {
                vector: Arc::new(vector),
                seen_at: position.map(|position| (position.epoch, position.revision)),
            },
        }
    }
}

impl Wants {
    pub fn of_open(open: &mut wire::Open) -> Self {
        Self {
            have: Have::new(open.have.take(), std::mem::take(&mut open.state_vector)),
            resume_token: std::mem::take(&mut open.resume_token),
            is_subscribing: open.subscribe.unwrap_or(true),
            takes_snapshots: open.snapshots.unwrap_or(true),
            is_bidirectional: open.bidirectional,
            is_from_newest: open.from_newest,
        }
    }

    pub fn of_sync_request(request: &mut wire::SyncRequest) -> Self {
        let vector = std::mem::take(&mut request.state_vector);
        Self {
            have: Have::new(request.have.take(), vector),
            resume_token: std::mem::take(&mut request.resume_token),
            is_subscribing: request.subscribe.unwrap_or(true),
            takes_snapshots: request.snapshots.unwrap_or(true),
            is_bidirectional: request.bidirectional,
            is_from_newest: false,
        }
    }

    /// What it takes in memory beside itself, about.
    pub fn said_bytes(&self) -> usize {
        let vector = match &self.have {
            Have::Nothing | Have::Position { .. } => 0,
            Have::Vector { vector, .. } => vector_bytes(vector),
        };
        self.resume_token.len() + vector
    }

    /// Of one that was overtaken.
    pub fn after(epoch: u64, revision: u64) -> Self {
        Self {
            have: Have::Position { epoch, revision },
            resume_token: Bytes::new(),
            is_subscribing: true,
            takes_snapshots: true,
            is_bidirectional: false,
            is_from_newest: false,
        }
    }
}

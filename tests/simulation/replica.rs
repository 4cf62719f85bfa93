//! One client's subscription to one document: a judge of what the relay sends there.
//!
//! It keeps the revision that must come next, and follows Opened, Resync and their pages as the protocol says.
//! Everything that it is told it shows to the [`Judge`].

mod join;
mod pages;
mod told;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::content::Content;
use super::judge::Position;
use super::summary::Summary;
use super::wants::{Resume, Vector, Wants};

/// The field of a presence that says which of its client's it is.
pub const PRESENCE_FIELD: &str = "n";

#[derive(Debug)]
pub struct Replica {
    pub document: Arc<str>,
    pub kind: &'static str,
    pub client_id: u64,
    pub content: Content,
    /// Up to where the history has been seen, over all connections.
    pub seen: Option<Position>,
    pub subscription: Option<Subscription>,
    /// The highest clock that has been seen of each client.
    pub known: Vector,
    /// Of a log: all of it, where nothing is missing.
    pub summary: Option<Summary>,
    /// Where catching up broke off.
    pub resume: Option<Resume>,
    /// The newest id of an event stream that named the document.
    pub last_event_id: Option<Position>,
    /// Operations alone would not do.
    pub needs_snapshot: bool,
    /// The last batch met with what the client had not seen.
    pub is_conflicted: bool,
    /// Edits since the last batch was made.
    pub edits: usize,
    /// The presences of others, as far as told.
    pub peers: BTreeMap<u64, Vec<u8>>,
    /// The client's own on this subscription.
    pub presence: Option<Vec<u8>>,
    pub heartbeat_at_us: u64,
    /// Not to be opened or written before.
    pub retry_at_us: u64,
}

#[derive(Debug)]
pub struct Subscription {
    pub handle: u64,
    pub epoch: u64,
    stage: Stage,
    next_revision: u64,
    /// What Opened or Resync said. `None`: the last page will.
    next_clock: Option<u64>,
    /// It was asked for by its document's name, and nothing of it has come.
    pub is_awaited: bool,
    /// The content cannot follow before a Resync.
    pub is_lost: bool,
    pub wants: Wants,
    /// The relay is to ask for what the client alone has.
    is_to_be_asked: bool,
}

#[derive(Debug)]
enum Stage {
    Live,
    Pages,
    Snapshot(Vec<u8>),
}

/// A batch as it was sent.
#[derive(Debug, Clone)]
pub struct SentBatch {
    pub first_clock: u64,
    pub operations: Vec<Bytes>,
    pub is_refused: bool,
    /// It was to be taken only if nobody had done more.
    pub expected: Option<Vector>,
}

impl Replica {
    pub fn new(document: Arc<str>, kind: &'static str, client_id: u64, content: Content) -> Self {
        Self {
            document,
            kind,
            client_id,
            content,
            seen: None,
            subscription: None,
            known: Vector::new(),
            summary: None,
            resume: None,
            last_event_id: None,
            needs_snapshot: false,
            is_conflicted: false,
            edits: 0,
            peers: BTreeMap::new(),
            presence: None,
            heartbeat_at_us: 0,
            retry_at_us: 0,
        }
    }

    /// Everything of the client is acknowledged, and it has everything that the relay has told it of.
    pub fn is_settled(&self) -> bool {
        self.content.pending_operations() == 0
            && self.subscription.as_ref().is_some_and(|subscription| {
                !subscription.is_lost
                    && !subscription.is_awaited
                    && !subscription.is_to_be_asked
                    && matches!(subscription.stage, Stage::Live)
            })
    }

    /// The client knows nothing of the document.
    pub fn is_untouched(&self) -> bool {
        self.seen.is_none() && self.content.pending_operations() == 0
    }

    /// The relay has the client in the document.
    pub fn is_open(&self) -> bool {
        let subscription = self.subscription.as_ref();
        subscription.is_some_and(|subscription| !subscription.is_awaited)
    }

    /// It has been told nothing but what follows from what it has.
    pub fn is_asked_by_name(&self) -> bool {
        let subscription = self.subscription.as_ref();
        subscription.is_some_and(|subscription| subscription.next_clock.is_none())
    }

    /// The client may write, and says who it is.
    pub fn is_member(&self) -> bool {
        let subscription = self.subscription.as_ref();
        subscription.is_some_and(|subscription| !subscription.wants.is_once)
    }

    /// Nothing of what came before is missing.
    pub fn is_caught_up(&self) -> bool {
        let subscription = self.subscription.as_ref();
        subscription.is_some_and(|subscription| matches!(subscription.stage, Stage::Live))
    }

    /// The subscription is no more.
    pub fn closed(&mut self) {
        self.subscription = None;
        self.presence = None;
        self.peers.clear();
        self.content.disconnected();
    }

    fn enter(&mut self, stage: Stage) {
        if let Some(subscription) = &mut self.subscription {
            subscription.stage = stage;
        }
    }
}

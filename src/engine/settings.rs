//! What a shard is made from.

use std::sync::Arc;

use crate::auth::Verifier;
use crate::config::{Config, Connection, Document, Durability, Fanout, Memory, Presence, Rate};

use super::census::Census;
use super::inquiry::Backend;
use super::resume::Sealer;

/// One shard's limits and place, and what the store says of itself.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This shard's number, below `shards`.
    pub index: usize,
    pub shards: usize,
    pub connection: Connection,
    pub rate: Rate,
    pub document: Document,
    pub fanout: Fanout,
    pub presence: Presence,
    pub memory: Memory,
    pub durability: Durability,
    /// The store's epoch: it rises when a stop may have lost the newest revisions.
    pub epoch: u64,
    pub authority: Authority,
    /// Whether `poll_occupancy` is called.
    pub notes_occupancy: bool,
    /// Who is connected; all shards of a relay share it.
    pub census: Arc<Census>,
    /// What client ids are derived with.
    pub identity_key: [u8; 32],
    /// Unix time in milliseconds at `Instant::from_micros(0)`.
    pub started_at_ms: u64,
}

impl Settings {
    /// The limits of `config`, for the only shard of a relay whose store is new. It is in nobody's census, and its
    /// clock begins with Unix time.
    pub fn new(config: &Config, authority: Authority) -> Self {
        Self {
            index: 0,
            shards: 1,
            connection: config.connection.clone(),
            rate: config.rate.clone(),
            document: config.document.clone(),
            fanout: config.fanout.clone(),
            presence: config.presence.clone(),
            memory: config.memory.clone(),
            durability: config.store.durability,
            epoch: 1,
            authority,
            notes_occupancy: config.notify.url.is_some() && config.notify.peers,
            census: Arc::default(),
            identity_key: [0; 32],
            started_at_ms: 0,
        }
    }

    /// The limits of another configuration, in place of these.
    pub(super) fn set_limits(&mut self, config: &Config) {
        self.connection = config.connection.clone();
        self.rate = config.rate.clone();
        self.document = config.document.clone();
        self.fanout = config.fanout.clone();
        self.presence = config.presence.clone();
        self.memory = config.memory.clone();
    }

    /// What makes the resume tokens of a document whose life began after `origin_revision`.
    pub(super) fn sealer<'a>(&'a self, document: &'a str, origin_revision: u64) -> Sealer<'a> {
        Sealer {
            key: &self.identity_key,
            document,
            origin_revision,
            epoch: self.epoch,
        }
    }
}

/// Who says who a client is.
#[derive(Debug, Clone)]
pub enum Authority {
    /// The client itself; it may do everything.
    Anybody,
    /// Its token.
    Tokens(Arc<Verifier>),
    /// The operator's backend, which is asked about each token.
    Backend(Backend),
}

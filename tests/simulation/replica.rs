//! One client's subscription to one document: a judge of what the relay sends there.
//!
//! It keeps the revision that must come next, and follows Opened, Resync and their pages as the protocol says.
//! Everything that it is told it shows to the [`Judge`].

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use corelay::codec::wire::{
    Ack, Opened, PresenceUpdate, RemoteOps, Resync, ResyncReason, SnapshotChunk, SyncMode,
    SyncResponse, UserPresence,
};
use corelay::text::Text;

use super::content::Content;
use super::judge::{Delivery, Judge, Position, broken};

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
    /// What Opened or Resync said.
    next_clock: u64,
    /// The content cannot follow before a Resync.
    pub is_lost: bool,
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
                !subscription.is_lost && matches!(subscription.stage, Stage::Live)
            })
    }

    pub fn opened(&mut self, opened: &Opened, have: Option<Position>, is_always: bool) {
        let document = &self.document;
        let position = opened.position.expect("Opened has a position");
        let epoch = position.epoch;
        let sync = opened.sync();
        let have = have.filter(|have| have.epoch == epoch);
        let has = have.map_or(0, |have| have.revision);
        if opened.kind != self.kind {
            broken!(
                "S8",
                "{document} is a {}, and was opened as a {}",
                self.kind,
                opened.kind
            );
        }
        let follows = match sync {
            SyncMode::UpToDate => opened.from_revision == has && position.revision == has,
            SyncMode::Delta => opened.from_revision == has,
            SyncMode::Snapshot => opened.from_revision >= has,
        };
        if !follows {
            broken!(
                "S1",
                "{document}: opened at {has} of {epoch} with {opened:?}"
            );
        }
        if have.is_none() {
            let is_empty = opened.from_revision == 0 && sync == SyncMode::UpToDate;
            if self.seen.is_some() || is_empty {
                self.content.epoch_changed(opened.next_clock, is_empty);
            }
            self.seen = (sync != SyncMode::Snapshot).then_some(Position { epoch, revision: 0 });
        }
        if let Some(clocks) = self.content.clocks()
            && !clocks.contains(&opened.next_clock)
            && (have.is_some() || is_always)
        {
            broken!(
                "S3",
                "{document}: clock {} is expected, and {clocks:?} could be",
                opened.next_clock
            );
        }
        self.subscription = Some(Subscription {
            handle: opened.document,
            epoch,
            stage: Stage::Live,
            next_revision: opened.from_revision + 1,
            next_clock: opened.next_clock,
            is_lost: false,
        });
        self.peers.clear();
        self.presence = None;
        self.see_presences(&opened.presences, true);
        self.content.resyncing();
        match sync {
            SyncMode::UpToDate => self.content.caught_up(opened.next_clock),
            SyncMode::Delta => self.enter(Stage::Pages),
            SyncMode::Snapshot => self.enter(Stage::Snapshot(Vec::new())),
        }
    }

    pub fn resync(&mut self, resync: &Resync) {
        let document = &self.document;
        let subscription = self.subscription.as_mut().expect("the caller knows");
        let from = resync.from.expect("Resync has a position");
        if from.epoch != subscription.epoch {
            broken!(
                "S1",
                "{document}: an epoch changes within a connection: {resync:?}"
            );
        }
        let is_snapshot = match resync.sync() {
            SyncMode::UpToDate => broken!("S1", "{document}: a Resync without pages: {resync:?}"),
            SyncMode::Delta => false,
            SyncMode::Snapshot => true,
        };
        let is_gap = match resync.reason() {
            ResyncReason::Lapped if is_snapshot => from.revision + 1 < subscription.next_revision,
            ResyncReason::Lapped => from.revision + 1 != subscription.next_revision,
            ResyncReason::Requested => false,
        };
        if is_gap {
            broken!(
                "S1",
                "{document}: {resync:?} where {} is next",
                subscription.next_revision
            );
        }
        subscription.next_revision = from.revision + 1;
        subscription.next_clock = resync.next_clock;
        subscription.is_lost = false;
        self.content.resyncing();
        self.enter(if is_snapshot {
            Stage::Snapshot(Vec::new())
        } else {
            Stage::Pages
        });
    }

    pub fn page(&mut self, page: &SyncResponse, judge: &mut Judge) {
        let document = self.document.clone();
        let subscription = self.subscription.as_mut().expect("the caller knows");
        match (&mut subscription.stage, &page.snapshot) {
            (Stage::Snapshot(data), Some(chunk)) => {
                if chunk.offset != data.len() as u64
                    || chunk.revision + 1 != subscription.next_revision
                    || !page.has_more
                {
                    broken!("S1", "{document}: {chunk:?} after {} bytes", data.len());
                }
                data.extend_from_slice(&chunk.data);
                if data.len() as u64 == chunk.bytes_total {
                    let data = std::mem::take(data);
                    self.take_snapshot(&data, chunk, judge);
                }
            }
            (Stage::Pages, None) => {
                for remote in &page.operations {
                    self.take_remote(remote, judge);
                }
                if !page.has_more {
                    let subscription = self.subscription.as_mut().expect("as before");
                    subscription.stage = Stage::Live;
                    if !subscription.is_lost {
                        self.content.caught_up(subscription.next_clock);
                    }
                }
            }
            (stage, _) => broken!("S1", "{document}: {page:?} in {stage:?}"),
        }
    }

    pub fn remote(&mut self, remote: &RemoteOps, judge: &mut Judge) {
        self.expect_whole(remote);
        self.take_remote(remote, judge);
    }

    pub fn acknowledged(&mut self, ack: &Ack, batch: &SentBatch, judge: &mut Judge) {
        let document = self.document.clone();
        let count = batch.operations.len() as u64;
        let end_clock = batch.first_clock + count;
        if u64::from(ack.count) != count || ack.clock + 1 < end_clock {
            broken!("S5", "{document}: {ack:?} for {batch:?}");
        }
        if !ack.duplicate {
            self.expect_whole(ack);
            self.expect_next(ack.first_revision, count);
        }
        let subscription = self.subscription.as_mut().expect("the caller knows");
        let epoch = subscription.epoch;
        for (offset, operation) in (0..).zip(&batch.operations) {
            let clock = batch.first_clock + offset;
            if ack.first_revision == 0 {
                judge.acknowledged_somewhere(&document, epoch, self.client_id, clock);
                continue;
            }
            let revision = ack.first_revision + offset;
            let payload = matches!(self.content, Content::Log(_)).then_some(operation);
            let at = Position { epoch, revision };
            judge.acknowledged(&document, at, self.client_id, clock, payload);
        }
        if !subscription.is_lost {
            let taken = self
                .content
                .acknowledged(ack.first_revision, batch.first_clock, count);
            subscription.is_lost = taken.is_err();
        }
        if !ack.duplicate {
            self.see(ack.first_revision + count - 1);
        }
    }

    pub fn presence_update(&mut self, update: &PresenceUpdate) {
        self.see_presences(&update.presences, update.full);
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

    fn see_presences(&mut self, presences: &[UserPresence], is_full: bool) {
        if is_full {
            self.peers.clear();
        }
        for presence in presences {
            if presence.client_id == self.client_id {
                broken!(
                    "S9",
                    "{}: a client is told of itself: {presence:?}",
                    self.document
                );
            }
            if presence.left {
                self.peers.remove(&presence.client_id);
            } else {
                let number = presence.fields.get(PRESENCE_FIELD).cloned();
                let number = number.unwrap_or_default().to_vec();
                self.peers.insert(presence.client_id, number);
            }
        }
    }

    fn take_snapshot(&mut self, data: &[u8], chunk: &SnapshotChunk, judge: &mut Judge) {
        let text = Text::from_utf8(data).expect("a snapshot of a text is UTF-8");
        let subscription = self.subscription.as_mut().expect("the caller knows");
        let at = Position {
            epoch: subscription.epoch,
            revision: chunk.revision,
        };
        subscription.stage = Stage::Pages;
        judge.snapshot(&self.document, at, &text, self.client_id, chunk.next_clock);
        self.content.snapshot(at.revision, chunk.next_clock, text);
        self.see(at.revision);
    }

    fn take_remote(&mut self, remote: &RemoteOps, judge: &mut Judge) {
        self.expect_next(remote.revision, remote.operations.len() as u64);
        let subscription = self.subscription.as_mut().expect("the caller knows");
        for (offset, operation) in (0..).zip(&remote.operations) {
            let delivery = Delivery {
                at: Position {
                    epoch: subscription.epoch,
                    revision: remote.revision + offset,
                },
                origin: remote.origin,
                clock: remote.first_clock + offset,
                operation,
            };
            judge.delivered(&self.document, &delivery);
        }
        if !subscription.is_lost {
            let taken = self.content.remote(remote, self.client_id);
            subscription.is_lost = taken.is_err();
        }
        self.see(remote.revision + remote.operations.len() as u64 - 1);
    }

    /// What the relay has at hand may come before the last page, but not before the snapshot that it follows.
    fn expect_whole(&self, what: &dyn std::fmt::Debug) {
        let subscription = self.subscription.as_ref().expect("the caller knows");
        if matches!(subscription.stage, Stage::Snapshot(_)) {
            broken!("S1", "{}: {what:?} inside the snapshot", self.document);
        }
    }

    fn expect_next(&mut self, revision: u64, count: u64) {
        let subscription = self.subscription.as_mut().expect("the caller knows");
        if revision != subscription.next_revision || count == 0 {
            broken!(
                "S1",
                "{}: {count} operations at {revision}, and {} is next",
                self.document,
                subscription.next_revision
            );
        }
        subscription.next_revision += count;
    }

    /// A text that is out of step has seen no more than what it took.
    fn see(&mut self, revision: u64) {
        let subscription = self.subscription.as_ref().expect("the caller knows");
        let epoch = subscription.epoch;
        let revision = match &self.content {
            Content::Log(_) => revision,
            Content::Text(text) => text.revision(),
        };
        let newest = self.seen.filter(|seen| seen.epoch == epoch);
        let revision = newest.map_or(revision, |seen| seen.revision.max(revision));
        self.seen = Some(Position { epoch, revision });
    }
}

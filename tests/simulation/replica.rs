//! One client's subscription to one document: a judge of what the relay sends there.
//!
//! It keeps the revision that must come next, and follows Opened, Resync and their pages as the protocol says.
//! Everything that it is told it shows to the [`Judge`].

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use corelay::codec::wire::{
    Ack, Opened, PresenceUpdate, RemoteOps, Resync, ResyncReason, SnapshotChunk, SyncMode,
    SyncRequest, SyncResponse, UserPresence,
};
use corelay::text::Text;

use super::content::Content;
use super::judge::{Delivery, Judge, Position, broken};
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
    /// What Opened or Resync said.
    next_clock: u64,
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
                    && !subscription.is_to_be_asked
                    && matches!(subscription.stage, Stage::Live)
            })
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

    pub fn opened(&mut self, opened: &Opened, mut wants: Wants, is_always: bool, judge: &Judge) {
        let document = &self.document;
        let position = opened.position.expect("Opened has a position");
        let epoch = position.epoch;
        let sync = opened.sync();
        // Whatever the client has is of an earlier life.
        let is_new_life = judge
            .begun_since(document, self.seen.unwrap_or_default().revision)
            .is_some_and(|origin| opened.from_revision >= origin);
        if is_new_life && matches!(self.content, Content::Log(_)) {
            self.content.epoch_changed(opened.next_clock, false);
            self.known.clear();
        }
        let is_plain = wants.vector.is_none() && wants.resume.is_none();
        let have = wants.have.filter(|have| have.epoch == epoch);
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
            SyncMode::UpToDate if wants.vector.is_some() && wants.resume.is_none() => {
                opened.from_revision == position.revision
            }
            SyncMode::Delta | SyncMode::Snapshot if let Some(resume) = &wants.resume => {
                let next_revision = opened.from_revision + 1;
                (sync == SyncMode::Snapshot) == resume.snapshot.is_some()
                    && match wants.vector {
                        None => next_revision == resume.next_revision,
                        Some(_) => next_revision >= resume.next_revision,
                    }
            }
            SyncMode::Delta | SyncMode::Snapshot if wants.vector.is_some() => true,
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
        if have.is_none() && is_plain {
            let is_empty = opened.from_revision == 0 && sync == SyncMode::UpToDate;
            if self.seen.is_some() || is_empty {
                self.content.epoch_changed(opened.next_clock, is_empty);
            }
            self.seen = (sync != SyncMode::Snapshot).then_some(Position { epoch, revision: 0 });
        }
        if let Some(clocks) = self.content.clocks()
            && !is_new_life
            && !clocks.contains(&opened.next_clock)
            && (have.is_some() || !is_plain || is_always)
        {
            broken!(
                "S3",
                "{document}: clock {} is expected, and {clocks:?} could be",
                opened.next_clock
            );
        }
        let wants_page = wants.is_once || wants.is_bidirectional;
        if sync == SyncMode::UpToDate && wants.vector.is_some() {
            let end = position.revision + 1;
            judge.skipped(document, epoch, 1..end, &wants);
            self.seen = Some(Position {
                epoch,
                revision: position.revision,
            });
            wants.vector = None;
        }
        let resume = wants.resume.take();
        let next_revision = resume.as_ref().map_or_else(
            || match wants.vector {
                Some(_) if sync != SyncMode::Snapshot => 1,
                _ => opened.from_revision + 1,
            },
            |resume| resume.next_revision,
        );
        let data = resume.and_then(|resume| resume.snapshot);
        self.begin_summary(opened.from_revision);
        self.subscription = Some(Subscription {
            handle: opened.document,
            epoch,
            stage: Stage::Live,
            next_revision,
            next_clock: opened.next_clock,
            is_lost: false,
            is_to_be_asked: false,
            wants,
        });
        self.peers.clear();
        self.presence = None;
        self.see_presences(&opened.presences, true);
        self.content.resyncing();
        match sync {
            SyncMode::UpToDate if wants_page => self.enter(Stage::Pages),
            SyncMode::UpToDate => self.content.caught_up(opened.next_clock),
            SyncMode::Delta => self.enter(Stage::Pages),
            SyncMode::Snapshot => self.enter(Stage::Snapshot(data.unwrap_or_default())),
        }
    }

    /// `wants`: what the client had asked for, if it was that.
    pub fn resync(&mut self, resync: &Resync, wants: Option<Wants>, judge: &Judge) {
        let document = self.document.clone();
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
        if resync.reason() == ResyncReason::Lapped
            && resync.sync() == SyncMode::Delta
            && subscription.wants.vector.is_some()
        {
            let next_revision = from.revision + 1;
            let skipped = subscription.next_revision..next_revision;
            judge.skipped(&document, from.epoch, skipped, &subscription.wants);
            subscription.next_revision = subscription.next_revision.max(next_revision);
        }
        let is_gap = match resync.reason() {
            ResyncReason::Lapped if is_snapshot => from.revision + 1 < subscription.next_revision,
            ResyncReason::Lapped => from.revision + 1 != subscription.next_revision,
            ResyncReason::Requested | ResyncReason::Void => false,
        };
        if is_gap {
            broken!(
                "S1",
                "{document}: {resync:?} where {} is next",
                subscription.next_revision
            );
        }
        let (is_once, floor) = (subscription.wants.is_once, subscription.wants.floor);
        let kept = Wants {
            floor,
            is_once: subscription.wants.is_once,
            refuses_snapshots: subscription.wants.refuses_snapshots,
            is_bidirectional: subscription.wants.is_bidirectional,
            ..Wants::default()
        };
        subscription.wants = wants.map_or(kept, |wants| Wants {
            is_once,
            floor,
            ..wants
        });
        subscription.next_revision = match subscription.wants.vector {
            Some(_) if !is_snapshot => 1,
            _ => from.revision + 1,
        };
        subscription.next_clock = resync.next_clock;
        subscription.is_lost = false;
        self.begin_summary(from.revision);
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
                let wants = &mut subscription.wants;
                // It stands for everything.
                wants.vector = None;
                if data.len() as u64 == chunk.bytes_total {
                    self.resume = Some(wants.resume_after(page, chunk.revision + 1, None));
                    let data = std::mem::take(data);
                    self.take_snapshot(&data, chunk, judge);
                } else {
                    let resume = wants.resume_after(page, chunk.revision + 1, Some(data));
                    self.resume = Some(resume);
                }
            }
            (Stage::Pages, None) => {
                for remote in &page.operations {
                    self.take_remote(remote, judge);
                }
                let subscription = self.subscription.as_mut().expect("as before");
                let next_revision = subscription.next_revision;
                if page.has_more {
                    let resume = subscription.wants.resume_after(page, next_revision, None);
                    self.resume = Some(resume);
                } else {
                    self.last_page(page, judge);
                }
            }
            (stage, _) => broken!("S1", "{document}: {page:?} in {stage:?}"),
        }
    }

    fn last_page(&mut self, page: &SyncResponse, judge: &Judge) {
        let document = &self.document;
        let subscription = self.subscription.as_mut().expect("the caller knows");
        let position = page.position.expect("the last page has a position");
        let at = Position {
            epoch: position.epoch,
            revision: position.revision,
        };
        let next_revision = at.revision + 1;
        let wants = &mut subscription.wants;
        let has_vector = wants.vector.is_some() || wants.is_bidirectional;
        if wants.vector.is_some() {
            let skipped = subscription.next_revision..next_revision;
            judge.skipped(document, at.epoch, skipped, wants);
            subscription.next_revision = subscription.next_revision.max(next_revision);
        }
        if next_revision != subscription.next_revision || at.epoch != subscription.epoch {
            broken!(
                "S1",
                "{document}: at {at:?}, and {} is next",
                subscription.next_revision
            );
        }
        if has_vector || !page.server_vector.is_empty() {
            let vector = judge.vector_at(document, at);
            let is_fresh = page.server_vector.is_empty() && judge.begins_after(document, at);
            if page.server_vector != vector && !is_fresh {
                broken!("S2", "{document}: {page:?}, and {vector:?} is the vector");
            }
            self.known = page.server_vector.clone();
        }
        subscription.is_to_be_asked = std::mem::take(&mut wants.is_bidirectional);
        wants.vector = None;
        subscription.stage = Stage::Live;
        self.resume = None;
        if !subscription.is_lost {
            self.content.caught_up(subscription.next_clock);
        }
        if let Some(clock) = self.known.get(&self.client_id).filter(|_| has_vector) {
            self.content.is_kept(clock + 1);
        }
        if matches!(self.content, Content::Log(_)) {
            self.see(at.revision);
        }
    }

    /// The relay asks for what the client alone has.
    pub fn asked_in_return(&mut self, request: &SyncRequest) {
        let document = &self.document;
        let subscription = self.subscription.as_mut().expect("the caller knows");
        if !std::mem::take(&mut subscription.is_to_be_asked) {
            broken!("S8", "{document}: {request:?} was not asked for");
        }
        let clocks = self.content.clocks();
        if clocks.is_some_and(|clocks| !clocks.contains(&request.next_clock)) {
            broken!("S3", "{document}: {request:?}");
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
            self.expect_next(ack.first_revision, count, judge);
            self.is_conflicted = false;
            if let Some(expected) = &batch.expected {
                let epoch = self.subscription.as_ref().expect("the caller knows").epoch;
                let before = Position {
                    epoch,
                    revision: ack.first_revision - 1,
                };
                judge.expected(&document, before, self.client_id, expected);
            }
            for (clock, operation) in (batch.first_clock..).zip(&batch.operations) {
                self.learn(
                    ack.first_revision + clock - batch.first_clock,
                    clock,
                    self.client_id,
                    operation,
                );
            }
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

    fn begin_summary(&mut self, revision: u64) {
        let summary = self.summary.take();
        self.summary = match summary.filter(|summary| summary.revision == revision) {
            Some(summary) => Some(summary),
            None => (revision == 0).then(Summary::default),
        };
    }

    /// An operation has its place.
    fn learn(&mut self, revision: u64, clock: u64, origin: u64, operation: &[u8]) {
        let newest = self.known.entry(origin).or_insert(clock);
        *newest = clock.max(*newest);
        if let Some(summary) = &mut self.summary {
            if summary.revision + 1 == revision {
                summary.add(origin, clock, operation);
            } else {
                self.summary = None;
            }
        }
    }

    fn take_snapshot(&mut self, data: &[u8], chunk: &SnapshotChunk, judge: &mut Judge) {
        let subscription = self.subscription.as_mut().expect("the caller knows");
        let at = Position {
            epoch: subscription.epoch,
            revision: chunk.revision,
        };
        subscription.stage = Stage::Pages;
        judge.snapshot(&self.document, at, self.client_id, chunk.next_clock);
        match &self.content {
            Content::Log(_) => {
                let summary = judge.summary(&self.document, at, data);
                self.known = summary.vector.clone();
                self.summary = Some(summary);
                self.content.is_kept(chunk.next_clock);
            }
            Content::Text(_) => {
                let text = Text::from_utf8(data).expect("a snapshot of a text is UTF-8");
                judge.state(&self.document, at, &text);
                self.content.snapshot(at.revision, chunk.next_clock, text);
            }
        }
        self.see(at.revision);
    }

    fn take_remote(&mut self, remote: &RemoteOps, judge: &mut Judge) {
        self.expect_next(remote.revision, remote.operations.len() as u64, judge);
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
            if delivery.at.revision <= subscription.wants.floor {
                broken!("S2", "{}: {delivery:?} of a deleted life", self.document);
            }
            if subscription.wants.claims(delivery.origin, delivery.clock) {
                broken!("S1", "{}: {delivery:?} was there", self.document);
            }
        }
        for (clock, operation) in (remote.first_clock..).zip(&remote.operations) {
            let revision = remote.revision + clock - remote.first_clock;
            self.learn(revision, clock, remote.origin, operation);
        }
        let subscription = self.subscription.as_mut().expect("the caller knows");
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

    fn expect_next(&mut self, revision: u64, count: u64, judge: &Judge) {
        let subscription = self.subscription.as_mut().expect("the caller knows");
        if subscription.wants.vector.is_some() && revision > subscription.next_revision {
            let skipped = subscription.next_revision..revision;
            judge.skipped(
                &self.document,
                subscription.epoch,
                skipped,
                &subscription.wants,
            );
            subscription.next_revision = revision;
        }
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
        if subscription.wants.vector.is_some() {
            // There may be gaps.
            return;
        }
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

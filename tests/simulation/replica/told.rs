//! What a subscriber is told one after the other: operations, acknowledgements, who is there.

use corelay::codec::wire::{Ack, PresenceUpdate, RemoteOps, UserPresence};

use super::super::content::Content;
use super::super::judge::{Delivery, Judge, Position, broken};
use super::{PRESENCE_FIELD, Replica, SentBatch, Stage};

impl Replica {
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

    pub fn presence_update(&mut self, update: &PresenceUpdate, judge: &Judge) {
        self.see_presences(&update.presences, update.full, judge);
    }

    pub(super) fn see_presences(
        &mut self,
        presences: &[UserPresence],
        is_full: bool,
        judge: &Judge,
    ) {
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
                judge.presence_seen(&self.document, presence, &number);
                self.peers.insert(presence.client_id, number);
            }
        }
    }

    /// An operation has its place.
    pub(super) fn learn(&mut self, revision: u64, clock: u64, origin: u64, operation: &[u8]) {
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

    pub(super) fn take_remote(&mut self, remote: &RemoteOps, judge: &mut Judge) {
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
            let Position { epoch, revision } = delivery.at;
            let life = judge.life_of(&self.document, epoch, revision);
            if subscription
                .wants
                .claims(life, delivery.origin, delivery.clock)
            {
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
    pub(super) fn expect_whole(&self, what: &dyn std::fmt::Debug) {
        let subscription = self.subscription.as_ref().expect("the caller knows");
        if matches!(subscription.stage, Stage::Snapshot(_)) {
            broken!("S1", "{}: {what:?} inside the snapshot", self.document);
        }
    }

    pub(super) fn expect_next(&mut self, revision: u64, count: u64, judge: &Judge) {
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
    pub(super) fn see(&mut self, revision: u64) {
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

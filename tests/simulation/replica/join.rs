//! Where the relay says that a subscription starts, or starts again.

use corelay::codec::wire::{Opened, Resync, ResyncReason, SyncMode, SyncRequest};

use super::super::content::Content;
use super::super::judge::{Judge, Position, broken};
use super::super::wants::Wants;
use super::{Replica, Stage, Subscription};

impl Replica {
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
        let is_told = sync == SyncMode::Snapshot && wants.resume.is_none();
        if wants.is_void() && !is_told {
            broken!(
                "S2",
                "{document}: {opened:?} does not say that {wants:?} is void"
            );
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
            let life = judge.life_of(document, epoch, position.revision);
            judge.skipped(document, epoch, life + 1..end, &wants);
            self.seen = Some(Position {
                epoch,
                revision: position.revision,
            });
            wants.vector = None;
        }
        let resume = wants.resume.take();
        let next_revision = resume.as_ref().map_or_else(
            || match wants.vector {
                Some(_) if sync != SyncMode::Snapshot => {
                    judge.life_of(document, epoch, position.revision) + 1
                }
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
            next_clock: Some(opened.next_clock),
            is_awaited: false,
            is_lost: false,
            is_to_be_asked: false,
            wants,
        });
        self.peers.clear();
        self.presence = None;
        self.see_presences(&opened.presences, true, judge);
        self.content.resyncing();
        match sync {
            SyncMode::UpToDate if wants_page => self.enter(Stage::Pages),
            SyncMode::UpToDate => self.content.caught_up(opened.next_clock),
            SyncMode::Delta => self.enter(Stage::Pages),
            SyncMode::Snapshot => self.enter(Stage::Snapshot(data.unwrap_or_default())),
        }
    }

    /// The document is asked for by its name: what follows has no Opened in front.
    pub fn asked_by_name(&mut self, handle: u64, epoch: u64, wants: Wants) {
        let has = wants.have.map_or(0, |have| have.revision);
        self.begin_summary(has);
        self.subscription = Some(Subscription {
            handle,
            epoch,
            stage: Stage::Pages,
            next_revision: has + 1,
            next_clock: None,
            is_awaited: true,
            is_lost: false,
            is_to_be_asked: false,
            wants,
        });
        self.peers.clear();
        self.presence = None;
        self.content.resyncing();
    }

    /// Something of it has come. `snapshot`: that begins there.
    pub fn arrived(&mut self, snapshot: Option<u64>) {
        let document = &self.document;
        let subscription = self.subscription.as_mut().expect("the caller knows");
        if !std::mem::take(&mut subscription.is_awaited) {
            return;
        }
        if let Some(revision) = snapshot {
            if revision + 1 < subscription.next_revision {
                broken!("S1", "{document}: a snapshot at {revision} is behind");
            }
            subscription.next_revision = revision + 1;
            subscription.stage = Stage::Snapshot(Vec::new());
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
            Some(_) if !is_snapshot => judge.life_of(&document, from.epoch, from.revision + 1) + 1,
            _ => from.revision + 1,
        };
        let was_awaited = std::mem::take(&mut subscription.is_awaited);
        if was_awaited && resync.reason() == ResyncReason::Void {
            broken!("S1", "{document}: {resync:?}, and nothing is void");
        }
        subscription.next_clock = Some(resync.next_clock);
        subscription.is_lost = false;
        self.begin_summary(from.revision);
        self.content.resyncing();
        self.enter(if is_snapshot {
            Stage::Snapshot(Vec::new())
        } else {
            Stage::Pages
        });
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
}

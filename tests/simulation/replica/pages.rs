//! Pages of catching up, and the snapshots in them.

use corelay::codec::wire::{SnapshotChunk, SyncResponse};
use corelay::text::Text;

use super::super::content::Content;
use super::super::judge::{Judge, Position, broken};
use super::super::summary::Summary;
use super::{Replica, Stage};

impl Replica {
    /// Whether it has everything, and the page says just that.
    pub fn is_up_to_date(&self, page: &SyncResponse) -> bool {
        let is_empty = page.snapshot.is_none() && page.operations.is_empty() && !page.has_more;
        let revision = page.position.map_or(0, |position| position.revision);
        let subscription = self.subscription.as_ref();
        is_empty
            && subscription.is_some_and(|it| {
                matches!(it.stage, Stage::Live) && it.next_revision == revision + 1
            })
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
                let at = Position {
                    epoch: subscription.epoch,
                    revision: chunk.revision,
                };
                let life = match data.is_empty() && judge.begins_after(&document, at) {
                    true => at.revision,
                    false => judge.life_of(&document, at.epoch, at.revision),
                };
                if data.len() as u64 == chunk.bytes_total {
                    self.resume = Some(wants.resume_after(page, chunk.revision + 1, None, life));
                    let data = std::mem::take(data);
                    self.take_snapshot(&data, chunk, judge);
                } else {
                    let resume = wants.resume_after(page, chunk.revision + 1, Some(data), life);
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
                    let epoch = subscription.epoch;
                    let life = judge.life_of(&document, epoch, next_revision - 1);
                    let resume = subscription
                        .wants
                        .resume_after(page, next_revision, None, life);
                    self.resume = Some(resume);
                } else {
                    self.last_page(page, judge);
                }
            }
            (stage, _) => broken!("S1", "{document}: {page:?} in {stage:?}"),
        }
    }

    pub(super) fn last_page(&mut self, page: &SyncResponse, judge: &Judge) {
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
        let own_clock = page.server_vector.get(&self.client_id);
        let next_clock = own_clock.map_or(0, |clock| clock + 1);
        if let Some(clocks) = self
            .content
            .clocks()
            .filter(|_| subscription.next_clock.is_none())
            && !clocks.contains(&next_clock)
        {
            broken!(
                "S3",
                "{document}: clock {next_clock} is expected, and {clocks:?} could be"
            );
        }
        if !subscription.is_lost {
            self.content
                .caught_up(subscription.next_clock.unwrap_or(next_clock));
        }
        if let Some(clock) = self.known.get(&self.client_id).filter(|_| has_vector) {
            self.content.is_kept(clock + 1);
        }
        if matches!(self.content, Content::Log(_)) {
            self.see(at.revision);
        }
    }

    pub(super) fn take_snapshot(&mut self, data: &[u8], chunk: &SnapshotChunk, judge: &mut Judge) {
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

    pub(super) fn begin_summary(&mut self, revision: u64) {
        let summary = self.summary.take();
        self.summary = match summary.filter(|summary| summary.revision == revision) {
            Some(summary) => Some(summary),
            None => (revision == 0).then(Summary::default),
        };
    }
}

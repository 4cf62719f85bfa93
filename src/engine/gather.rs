//! One subscription's part of a send: what its client has not seen, as far as there is room.

use crate::codec::wire::{self, event};

use super::document::{Document, Open};
use super::key::SessionKey;
use super::metrics::Metrics;
use super::operations::durability_on_wire;
use super::request::Asked;
use super::resume::Place;
use super::ring::{Cursor, Lapped, Ring, Slot};
use super::roster::Roster;
use super::session::{Pages, Progress, Stage, Subscription};
use super::settings::Settings;
use super::time::Instant;
use super::voice::Voice;
use super::wants::Vector;

/// What a snapshot chunk takes beside its data.
const CHUNK_OVERHEAD_BYTES: usize = 64;
/// The least data that a chunk carries: room for any one character.
const CHUNK_BYTES_MIN: usize = 4;

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Gathered {
    /// It has all that there is.
    All,
    /// There is more than there was room for.
    More,
    /// It has fallen too far behind, and has everything up to `revision`.
    Lapped { revision: u64 },
    /// It needs a page from the store.
    NeedsPage,
    /// It has all that it wanted, and ends.
    Done,
}

pub struct Gather<'a> {
    /// The session's key on the shard of the document.
    pub session: SessionKey,
    pub voice: Voice<'a>,
    /// What frames call the document.
    pub handle: u64,
    pub settings: &'a Settings,
    pub metrics: &'a mut Metrics,
    /// When the oldest batch of what is being sent was confirmed.
    pub sending_since: &'a mut Option<Instant>,
    pub out: &'a mut Vec<u8>,
    /// Where `out` is full.
    pub end: usize,
}

impl Gather<'_> {
    /// `was_blocked`: its client could not take anything for a while.
    pub fn subscription(
        &mut self,
        document: &Document,
        subscription: &mut Subscription,
        takes_snapshot_pages: bool,
        was_blocked: bool,
    ) -> Gathered {
        let open = document.open().expect("it has subscribers");
        if was_blocked
            && let Stage::Live(cursor) = subscription.stage
            && let Some(lapped) = self.judge(&open.ring, cursor, &mut subscription.progress)
        {
            return lapped;
        }
        let gathered = self.operations(document, open, subscription, takes_snapshot_pages);
        if gathered == Gathered::All && matches!(subscription.stage, Stage::Live(_)) {
            if subscription.is_once && subscription.pages.is_none() {
                return Gathered::Done;
            }
            self.presence(&open.presence.roster, &mut subscription.progress);
        }
        if matches!(gathered, Gathered::More | Gathered::Lapped { .. }) {
            self.shed(&open.presence.roster, &subscription.progress);
        }
        gathered
    }

    /// The same for a subscriber who is live, whoever has the ring and the roster.
    pub fn live(
        &mut self,
        ring: &Ring,
        roster: &Roster,
        cursor: &mut Cursor,
        progress: &mut Progress,
        was_blocked: bool,
    ) -> Gathered {
        if was_blocked && let Some(lapped) = self.judge(ring, *cursor, progress) {
            return lapped;
        }
        let gathered = self.slots(ring, cursor, progress);
        match gathered == Gathered::All {
            true => self.presence(roster, progress),
            false => self.shed(roster, progress),
        }
        gathered
    }

    /// Whether a subscriber that could not take anything has fallen too far behind, or nearly.
    fn judge(&mut self, ring: &Ring, cursor: Cursor, progress: &mut Progress) -> Option<Gathered> {
        let fanout = &self.settings.fanout;
        let lag = ring.lag(cursor);
        let bytes_max = fanout.lag_bytes_max as u64;
        if lag.operations > fanout.lag_operations_max || lag.bytes > bytes_max {
            return Some(Gathered::Lapped {
                revision: cursor.revision - 1,
            });
        }
        let is_near = |held: u64, max: u64| held * 100 >= max * fanout.warning_percent;
        let is_near_lapped =
            is_near(lag.operations, fanout.lag_operations_max) || is_near(lag.bytes, bytes_max);
        if is_near_lapped && !progress.is_warned {
            progress.is_warned = true;
            self.metrics.warnings += 1;
            self.append(
                &Asked::default(),
                event::Body::Warning(wire::Warning {
                    document: self.handle,
                    pending_operations: lag.operations,
                    pending_bytes: lag.bytes,
                }),
            );
        }
        None
    }

    /// What a live subscriber has not been sent of the ring.
    fn slots(&mut self, ring: &Ring, cursor: &mut Cursor, progress: &Progress) -> Gathered {
        let mut is_oldest = true;
        while self.out.len() < self.end {
            match ring.read(*cursor) {
                Ok(None) => return Gathered::All,
                Ok(Some((slot, next))) => {
                    // What was there when it got its place is its past, and not late.
                    if is_oldest && slot.first_revision > progress.placed_revision {
                        let lag = ring.lag(*cursor);
                        self.metrics.lag_operations.add(lag.operations);
                        let since = self.sending_since.unwrap_or(slot.confirmed_at);
                        *self.sending_since = Some(slot.confirmed_at.min(since));
                    }
                    is_oldest = false;
                    self.slot(slot, progress.placed_revision);
                    *cursor = next;
                }
                Err(Lapped) => {
                    return Gathered::Lapped {
                        revision: cursor.revision - 1,
                    };
                }
            }
        }
        Gathered::More
    }

    /// What a live subscriber that has all of the ring has not been told of who is there.
    fn presence(&mut self, roster: &Roster, progress: &mut Progress) {
        progress.is_warned = false;
        if progress.presence_cursor != Some(roster.head()) {
            roster.gather(&mut progress.presence_cursor, &self.voice, self.out);
        }
    }

    /// A subscriber that has not had all operations is told nothing of who is there.
    fn shed(&mut self, roster: &Roster, progress: &Progress) {
        let is_news = progress
            .presence_cursor
            .is_some_and(|seen| seen != roster.head());
        self.metrics.presence_shed += u64::from(is_news);
    }

    fn operations(
        &mut self,
        document: &Document,
        open: &Open,
        subscription: &mut Subscription,
        takes_snapshot_pages: bool,
    ) -> Gathered {
        loop {
            if self.out.len() >= self.end {
                return Gathered::More;
            }
            match &mut subscription.stage {
                Stage::Live(cursor) => {
                    let before = self.out.len();
                    let gathered = self.slots(&open.ring, cursor, &subscription.progress);
                    if let Some(pages) = &mut subscription.pages {
                        pages.bytes += (self.out.len() - before) as u64;
                    }
                    if gathered == Gathered::All
                        && let Some(pages) = subscription.pages.take()
                    {
                        self.last_page(open, &pages, cursor.revision - 1);
                    }
                    return gathered;
                }
                Stage::Edge(_) => return Gathered::All,
                Stage::CatchUp {
                    next_revision,
                    ticket,
                    filter,
                } => {
                    if ticket.is_some() {
                        return Gathered::All;
                    }
                    if let Some(filtered) = filter {
                        if *next_revision <= filtered.until_revision {
                            return Gathered::NeedsPage;
                        }
                        *filter = None;
                    }
                    let Some(cursor) = open.ring.cursor(*next_revision) else {
                        return Gathered::NeedsPage;
                    };
                    subscription.stage = Stage::Live(cursor);
                }
                Stage::Snapshot {
                    version,
                    next_clock,
                    offset,
                } => {
                    if open.durable_revision < version.revision {
                        return Gathered::All;
                    }
                    let room = match takes_snapshot_pages {
                        true => (self.end - self.out.len()).saturating_sub(CHUNK_OVERHEAD_BYTES),
                        false => version.snapshot.bytes_total(),
                    };
                    let data = version.snapshot.chunk(*offset, room.max(CHUNK_BYTES_MIN));
                    let chunk = wire::SnapshotChunk {
                        revision: version.revision,
                        bytes_total: version.snapshot.bytes_total() as u64,
                        offset: *offset as u64,
                        data,
                        next_clock: *next_clock,
                    };
                    *offset += chunk.data.len();
                    let mut place = Place::Snapshot {
                        revision: version.revision,
                        offset: *offset as u64,
                    };
                    if *offset == version.snapshot.bytes_total() {
                        let next_revision = version.revision + 1;
                        place = Place::Operations { next_revision };
                        subscription.stage = Stage::CatchUp {
                            next_revision,
                            ticket: None,
                            filter: None,
                        };
                    }
                    self.metrics.pages += 1;
                    let life = open.origin_revision;
                    let sealer = self.settings.sealer(&document.name, life);
                    let page = event::Body::SyncResponse(wire::SyncResponse {
                        document: self.handle,
                        snapshot: Some(chunk),
                        has_more: true,
                        resume_token: sealer.seal(place),
                        sync: wire::SyncMode::Snapshot.into(),
                        ..Default::default()
                    });
                    let pages = subscription.pages.as_ref();
                    let asked = pages.map(|pages| pages.asked.clone());
                    let before = self.out.len();
                    self.append(&asked.unwrap_or_default(), page);
                    if let Some(pages) = &mut subscription.pages {
                        pages.bytes += (self.out.len() - before) as u64;
                    }
                }
            }
        }
    }

    /// What says that a client has caught up, and asks in return.
    fn last_page(&mut self, open: &Open, pages: &Pages, revision: u64) {
        self.metrics.sync_bytes.add(pages.bytes);
        let vector = match pages.has_vector || pages.is_bidirectional || self.voice.is_json() {
            true => open.durable_vector(),
            false => Vector::new(),
        };
        let in_return = pages.is_bidirectional.then(|| {
            event::Body::SyncRequest(wire::SyncRequest {
                document: self.handle,
                state_vector: vector.clone(),
                next_clock: open.dedupe.next_clock(self.voice.client_id()),
                ..Default::default()
            })
        });
        let last = event::Body::SyncResponse(wire::SyncResponse {
            document: self.handle,
            server_vector: vector,
            position: Some(wire::Position {
                epoch: self.settings.epoch,
                revision,
            }),
            sync: pages.sync.into(),
            ..Default::default()
        });
        self.append(&pages.asked, last);
        if let Some(in_return) = in_return {
            self.append(&Asked::default(), in_return);
        }
    }

    /// A batch: to who sent it and waits for that, that it is durable; to everybody else, the batch.
    fn slot(&mut self, slot: &Slot, placed_revision: u64) {
        self.metrics.deliveries += 1;
        if slot.session != self.session || slot.first_revision <= placed_revision {
            let revision = Some(slot.end_revision() - 1);
            self.voice
                .append_broadcast(&slot.broadcast, revision, self.out);
            return;
        }
        self.metrics.acks += 1;
        let took = self.voice.now().micros_since(slot.asked.at);
        self.metrics.ack_micros.add(took);
        let ack = event::Body::Ack(wire::Ack {
            document: self.handle,
            client_seq: slot.client_seq,
            first_revision: slot.first_revision,
            count: slot.count,
            clock: slot.clock,
            persisted_at_ms: slot.persisted_at_ms,
            durability: durability_on_wire(self.settings.durability).into(),
            duplicate: false,
        });
        self.append(&slot.asked, ack);
    }

    fn append(&mut self, asked: &Asked, body: event::Body) {
        self.voice.append(asked, body, self.out);
    }
}

//! One document of a session: where the application stands in its history, and what it still has to send.
//!
//! Driven by the session alone. Invariant: the events of a document, read in order, are its history without a gap
//! or a repeat from the position that the application was given, or an explicit Reset or Snapshot.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::codec::wire::{self, ErrorCode, Position, ResyncReason, SyncMode, request::Body};
use crate::engine::Instant;

use super::event::{self, DocumentKey, Event, Refusal, Violation};
use super::pending::Pending;
use super::settings::Settings;

/// How a document is opened.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// 1 to 256 bytes.
    pub document: String,
    /// "log" or "text".
    pub kind: String,
    /// Create it if it does not exist.
    pub create: bool,
    /// What the application has of it from an earlier session.
    pub have: Option<Position>,
}

#[derive(Debug)]
pub(super) struct Document {
    key: DocumentKey,
    name: String,
    kind: String,
    create: bool,
    stage: Stage,
    /// What the application has been given.
    have: Option<Position>,
    catch_up: Option<CatchUp>,
    pending: Pending,
    /// kind `text`: the batch on its way was refused, to be rebased once `have` has this revision and the time
    /// has come.
    rebase: Option<(u64, Option<Instant>)>,
    presence: Option<OwnPresence>,
    /// Requests of the application to begin somewhere else that are not answered.
    sync_requests: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not open on this connection; to be opened, not before the time given.
    Unopened(Option<Instant>),
    Opening,
    Open {
        handle: u64,
    },
    Closed,
}

/// Pages are on their way.
#[derive(Debug, Default)]
struct CatchUp {
    next_clock: u64,
    snapshot: Option<Snapshot>,
    /// No operations before the snapshot is whole.
    wants_snapshot: bool,
}

#[derive(Debug)]
struct Snapshot {
    revision: u64,
    next_clock: u64,
    bytes_total: u64,
    data: Vec<u8>,
}

#[derive(Debug)]
struct OwnPresence {
    presence: wire::Presence,
    is_sent: bool,
    sent_at: Option<Instant>,
}

type Events = VecDeque<Event>;

impl Document {
    pub fn new(key: DocumentKey, options: OpenOptions) -> Self {
        Self {
            key,
            name: options.document,
            kind: options.kind,
            create: options.create,
            stage: Stage::Unopened(None),
            have: options.have,
            catch_up: None,
            pending: Pending::new(),
            rebase: None,
            presence: None,
            sync_requests: 0,
        }
    }

    pub fn is_text(&self) -> bool {
        self.kind == "text"
    }

    pub fn is_closed(&self) -> bool {
        self.stage == Stage::Closed
    }

    pub fn is_opening(&self) -> bool {
        self.stage == Stage::Opening
    }

    pub fn handle(&self) -> Option<u64> {
        match self.stage {
            Stage::Open { handle } => Some(handle),
            Stage::Unopened(_) | Stage::Opening | Stage::Closed => None,
        }
    }

    pub fn have(&self) -> Option<Position> {
        self.have
    }

    /// Open, caught up, nothing pending: a text batch may be submitted.
    pub fn is_ready(&self) -> bool {
        self.handle().is_some()
            && self.catch_up.is_none()
            && self.rebase.is_none()
            && self.pending.is_empty()
    }

    pub fn pending(&self) -> &Pending {
        &self.pending
    }

    pub fn pending_mut(&mut self) -> &mut Pending {
        &mut self.pending
    }

    pub fn announce(&mut self, presence: wire::Presence) {
        let sent_at = self.presence.take().and_then(|own| own.sent_at);
        self.presence = Some(OwnPresence {
            presence,
            is_sent: false,
            sent_at,
        });
    }

    /// The connection is gone.
    pub fn disconnect(&mut self) {
        match self.stage {
            Stage::Opening | Stage::Open { .. } => self.stage = Stage::Unopened(None),
            Stage::Unopened(_) | Stage::Closed => {}
        }
        self.catch_up = None;
        self.rebase = None;
        self.sync_requests = 0;
        self.pending.rewind();
        if let Some(own) = &mut self.presence {
            own.is_sent = false;
        }
    }

    /// The document is not to be opened again.
    pub fn close(&mut self) -> Vec<Bytes> {
        self.disconnect();
        self.stage = Stage::Closed;
        self.presence = None;
        self.pending.take_all()
    }

    /// The relay has closed the document, or refused to open it, but not for ever.
    pub fn reopen(&mut self, at: Option<Instant>) {
        self.disconnect();
        self.stage = Stage::Unopened(at);
    }

    /// Asks for what follows `have`, or for the whole document.
    pub fn request_sync(&mut self, have: Option<Position>, mut send: impl FnMut(Body)) {
        if let Stage::Open { handle } = self.stage {
            self.sync_requests += 1;
            send(Body::SyncRequest(wire::SyncRequest {
                document: handle,
                have,
            }));
        }
    }

    // ---- what the relay says

    pub fn opened(&mut self, opened: wire::Opened, events: &mut Events) -> Result<(), Violation> {
        self.stage = Stage::Open {
            handle: opened.document,
        };
        self.kind.clone_from(&opened.kind);
        let position = opened.position.unwrap_or_default();
        self.check_numbers(&[opened.from_revision, opened.next_clock])?;
        let sync = event::sync_mode(opened.sync);
        events.push_back(Event::Opened {
            document: self.key,
            kind: opened.kind,
            position,
            sync,
            permissions: opened.permissions.unwrap_or_default(),
            color: opened.color,
        });
        events.push_back(Event::Presence {
            document: self.key,
            presences: opened.presences,
            full: true,
        });
        let from = Position {
            epoch: position.epoch,
            revision: opened.from_revision,
        };
        if sync != SyncMode::Snapshot && self.have.is_some_and(|have| have != from) {
            // What the application has is void.
            self.have = None;
            events.push_back(Event::Reset {
                document: self.key,
                next_clock: opened.next_clock,
            });
        }
        self.move_to(from, sync, opened.next_clock, events)
    }

    pub fn resync(&mut self, resync: wire::Resync, events: &mut Events) -> Result<(), Violation> {
        let from = resync.from.unwrap_or_default();
        self.check_numbers(&[from.revision, resync.next_clock])?;
        let sync = event::sync_mode(resync.sync);
        let reason = event::resync_reason(resync.reason);
        events.push_back(Event::Resync {
            document: self.key,
            reason,
            sync,
            from,
        });
        if reason == ResyncReason::Requested && self.sync_requests > 0 {
            // The application asked for these again.
            self.sync_requests -= 1;
            self.have = self.have.map(|have| Position {
                revision: have.revision.min(from.revision),
                ..have
            });
        }
        self.move_to(from, sync, resync.next_clock, events)
    }

    /// The relay continues from `from`. Nothing may be lost by that: either it is where the application is or
    /// before it, or the application is told to start again.
    fn move_to(
        &mut self,
        from: Position,
        sync: SyncMode,
        next_clock: u64,
        events: &mut Events,
    ) -> Result<(), Violation> {
        let same = self.have.filter(|have| have.epoch == from.epoch);
        self.pending.expect(next_clock);
        match sync {
            SyncMode::Snapshot => {
                self.have = Some(same.unwrap_or(Position {
                    epoch: from.epoch,
                    revision: 0,
                }));
                self.catch_up = Some(CatchUp {
                    next_clock,
                    snapshot: None,
                    wants_snapshot: true,
                });
            }
            SyncMode::Delta | SyncMode::UpToDate => {
                match (self.have, same) {
                    (_, Some(have))
                        if sync == SyncMode::Delta && from.revision <= have.revision => {}
                    (_, Some(have)) if from.revision == have.revision => {}
                    (Some(_), None) if from.revision == 0 => {
                        events.push_back(Event::Reset {
                            document: self.key,
                            next_clock,
                        });
                        self.have = Some(from);
                    }
                    (None, _) if from.revision == 0 => self.have = Some(from),
                    (have, _) => {
                        return Err(Violation::Revision {
                            document: self.name.clone(),
                            expected: have.map_or(0, |have| have.revision) + 1,
                            found: from.revision + 1,
                        });
                    }
                }
                if sync == SyncMode::UpToDate {
                    self.synced(next_clock, events);
                    return Ok(());
                }
                self.catch_up = Some(CatchUp {
                    next_clock,
                    snapshot: None,
                    wants_snapshot: false,
                });
            }
        }
        Ok(())
    }

    pub fn page(
        &mut self,
        page: wire::SyncResponse,
        client_id: u64,
        events: &mut Events,
    ) -> Result<(), Violation> {
        if let Some(chunk) = &page.snapshot {
            self.check_numbers(&[chunk.revision, chunk.next_clock])?;
        }
        let Some(catch_up) = &mut self.catch_up else {
            return Err(Violation::Unexpected("SyncResponse"));
        };
        if let Some(chunk) = page.snapshot {
            if !catch_up.wants_snapshot {
                return Err(Violation::Unexpected("a snapshot"));
            }
            let snapshot = catch_up.snapshot.get_or_insert_with(|| Snapshot {
                revision: chunk.revision,
                next_clock: chunk.next_clock,
                bytes_total: chunk.bytes_total,
                data: Vec::new(),
            });
            let expected = snapshot.data.len() as u64;
            let end = expected + chunk.data.len() as u64;
            if chunk.offset != expected
                || chunk.revision != snapshot.revision
                || end > snapshot.bytes_total
            {
                return Err(Violation::Snapshot {
                    document: self.name.clone(),
                    expected,
                    offset: chunk.offset,
                });
            }
            snapshot.data.extend_from_slice(&chunk.data);
            if end == snapshot.bytes_total
                && let Some(snapshot) = catch_up.snapshot.take()
            {
                catch_up.wants_snapshot = false;
                self.have = self.have.map(|have| Position {
                    revision: snapshot.revision,
                    ..have
                });
                let settled = self.pending.settle_below(snapshot.next_clock);
                if let Some(settled) = settled.filter(|_| !self.is_text()) {
                    events.push_back(Event::Acknowledged {
                        document: self.key,
                        first_revision: 0,
                        first_clock: settled.first_clock,
                        count: settled.operations.len() as u64,
                        operations: settled.operations,
                        durability: None,
                    });
                }
                events.push_back(Event::Snapshot {
                    document: self.key,
                    revision: snapshot.revision,
                    data: snapshot.data.into(),
                    next_clock: snapshot.next_clock,
                });
            }
        }
        let lacks_snapshot = self
            .catch_up
            .as_ref()
            .is_some_and(|catch_up| catch_up.wants_snapshot);
        if lacks_snapshot && !(page.operations.is_empty() && page.has_more) {
            return Err(Violation::Unexpected("a page without the snapshot"));
        }
        for operations in page.operations {
            self.operations(operations, client_id, events)?;
        }
        if !page.has_more
            && let Some(catch_up) = self.catch_up.take()
        {
            self.synced(catch_up.next_clock, events);
        }
        Ok(())
    }

    fn synced(&mut self, next_clock: u64, events: &mut Events) {
        self.catch_up = None;
        events.push_back(Event::Synced {
            document: self.key,
            revision: self.have.map_or(0, |have| have.revision),
            next_clock,
        });
        // A text batch of the last connection was made against what the application had then.
        if self.is_text() && self.pending.is_stranded() && self.rebase.is_none() {
            self.rebase = Some((0, None));
        }
    }

    pub fn operations(
        &mut self,
        mut operations: wire::RemoteOps,
        client_id: u64,
        events: &mut Events,
    ) -> Result<(), Violation> {
        self.check_numbers(&[operations.revision, operations.first_clock])?;
        let count = operations.operations.len() as u64;
        let have = self.have.get_or_insert_default();
        let expected = have.revision + 1;
        let seen = expected.saturating_sub(operations.revision);
        if operations.revision > expected || (seen > 0 && self.catch_up.is_none()) {
            return Err(Violation::Revision {
                document: self.name.clone(),
                expected,
                found: operations.revision,
            });
        }
        if seen >= count {
            return Ok(());
        }
        operations.operations.drain(..seen as usize);
        let (revision, first_clock) = (operations.revision + seen, operations.first_clock + seen);
        let count = count - seen;
        have.revision += count;

        let is_pending =
            operations.origin == client_id && self.pending.clock() == Some(first_clock);
        let settled = is_pending
            .then(|| self.pending.settle_below(first_clock + count))
            .flatten();
        // In a text they stand as the relay transformed them, not as they were submitted.
        events.push_back(match settled.filter(|_| !self.is_text()) {
            Some(settled) => Event::Acknowledged {
                document: self.key,
                first_revision: revision,
                first_clock,
                count,
                operations: settled.operations,
                durability: None,
            },
            None => Event::Remote {
                document: self.key,
                revision,
                origin: operations.origin,
                first_clock,
                operations: operations.operations,
            },
        });
        Ok(())
    }

    pub fn acknowledged(&mut self, ack: &wire::Ack, events: &mut Events) -> Result<(), Violation> {
        self.check_numbers(&[ack.first_revision, ack.clock])?;
        let have = self.have.get_or_insert_default();
        let count = u64::from(ack.count);
        let expected = have.revision + 1;
        if ack.duplicate {
            if ack.first_revision >= expected {
                // Its operations are still to come, as those of another connection.
                return Ok(());
            }
        } else if ack.first_revision == expected {
            have.revision += count;
        } else {
            return Err(Violation::Revision {
                document: self.name.clone(),
                expected,
                found: ack.first_revision,
            });
        }
        let settled = self.pending.acknowledge(ack.client_seq);
        if let Some(settled) = &settled {
            let sent = settled.first_clock + settled.operations.len() as u64 - 1;
            if settled.operations.len() as u64 != count || ack.clock < sent {
                return Err(Violation::Acknowledgement {
                    document: self.name.clone(),
                    sent,
                    found: ack.clock,
                });
            }
        }
        events.push_back(Event::Acknowledged {
            document: self.key,
            first_revision: ack.first_revision,
            first_clock: (ack.clock + 1).saturating_sub(count),
            count,
            operations: settled.map_or_else(Vec::new, |settled| settled.operations),
            durability: Some(event::durability(ack.durability)),
        });
        Ok(())
    }

    pub fn refused(
        &mut self,
        nack: &wire::Nack,
        now: Instant,
        events: &mut Events,
        send: impl FnMut(Body),
    ) -> Result<(), Violation> {
        let refusal = Refusal::from(nack);
        self.check_numbers(&[nack.next_clock])?;
        if refusal.is(ErrorCode::SyncConflict) && self.is_text() {
            if self.pending.retry(nack.client_seq, None) {
                self.rebase = Some((nack.revision, None));
            }
        } else if refusal.is(ErrorCode::SnapshotRequired) {
            if self.pending.retry(nack.client_seq, None) {
                self.request_sync(None, send);
            }
        } else if refusal.is(ErrorCode::DocumentNotOpen) {
            self.reopen(None);
        } else if refusal.is(ErrorCode::ClockGap) {
            if self.pending.retry(nack.client_seq, None) {
                self.pending.rewind();
                self.pending.expect(nack.next_clock);
                self.rebase = self.is_text().then_some((0, None));
            }
        } else if refusal.retryable {
            let retry_at = now + refusal.retry_after.max(RETRY_AFTER_MIN);
            if self.pending.retry(nack.client_seq, Some(retry_at)) && self.is_text() {
                self.rebase = Some((0, Some(retry_at)));
            }
        } else if let Some(operations) = self.pending.refuse(nack.client_seq) {
            events.push_back(Event::Refused {
                document: self.key,
                operations,
                refusal,
            });
        }
        Ok(())
    }

    /// After this, sums of numbers from the relay and counts of ours do not overflow.
    fn check_numbers(&self, numbers: &[u64]) -> Result<(), Violation> {
        match numbers.iter().find(|&&number| number > NUMBER_MAX) {
            Some(&number) => Err(Violation::Number {
                document: self.name.clone(),
                number,
            }),
            None => Ok(()),
        }
    }

    // ---- time and sending

    pub fn handle_timeout(&mut self, now: Instant, events: &mut Events) {
        if self.rebase_at().is_some_and(|at| at <= now) {
            self.rebase = None;
            self.pending.take_all();
            events.push_back(Event::Rebase { document: self.key });
        }
    }

    fn rebase_at(&self) -> Option<Instant> {
        let (revision, at) = self.rebase?;
        let is_there =
            self.catch_up.is_none() && self.have.unwrap_or_default().revision >= revision;
        is_there.then_some(at.unwrap_or_default())
    }

    /// What the document has to send on a connection that is live.
    pub fn transmit(
        &mut self,
        settings: &Settings,
        request_id: u64,
        now: Instant,
        mut send: impl FnMut(Body),
    ) {
        if let Stage::Unopened(at) = self.stage
            && at.is_none_or(|at| at <= now)
        {
            self.stage = Stage::Opening;
            send(Body::Open(wire::Open {
                request_id,
                document: self.name.clone(),
                kind: self.kind.clone(),
                have: self.have,
                create: self.create,
            }));
        }
        let Stage::Open { handle } = self.stage else {
            return;
        };
        self.transmit_presence(settings, handle, now, &mut send);
        if self.catch_up.is_some() || self.rebase.is_some() {
            return;
        }
        while let Some((first_clock, batch)) = self.pending.next_batch(&settings.batching, now) {
            send(Body::Operations(wire::Operations {
                document: handle,
                client_seq: batch.client_seq,
                first_clock,
                base_revision: batch.base_revision,
                operations: batch.operations.clone(),
            }));
        }
    }

    fn transmit_presence(
        &mut self,
        settings: &Settings,
        handle: u64,
        now: Instant,
        send: &mut impl FnMut(Body),
    ) {
        let due = self.presence_at(settings);
        let Some(own) = &mut self.presence else {
            return;
        };
        if due.is_none_or(|due| due > now) {
            return;
        }
        own.sent_at = Some(now);
        if own.is_sent {
            send(Body::Heartbeat(wire::Heartbeat { document: handle }));
            return;
        }
        own.is_sent = true;
        let presence = wire::Presence {
            document: handle,
            ..own.presence.clone()
        };
        if presence.leave {
            self.presence = None;
        }
        send(Body::Presence(presence));
    }

    fn presence_at(&self, settings: &Settings) -> Option<Instant> {
        let own = self.presence.as_ref()?;
        let period = if own.is_sent {
            settings.heartbeat_period
        } else {
            settings.presence_period_min
        };
        Some(own.sent_at.map_or_else(Instant::default, |at| at + period))
    }

    /// When `handle_timeout` or `transmit` has something to do.
    pub fn timeout(&self, settings: &Settings) -> Option<Instant> {
        match self.stage {
            Stage::Unopened(at) => Some(at.unwrap_or_default()),
            Stage::Opening | Stage::Closed => None,
            Stage::Open { .. } => {
                let send = if self.catch_up.is_some() || self.rebase.is_some() {
                    None
                } else {
                    self.pending.timeout(&settings.batching)
                };
                let presence = self.presence_at(settings);
                [send, presence, self.rebase_at()]
                    .into_iter()
                    .flatten()
                    .min()
            }
        }
    }
}

/// The pause before a batch is sent again, where the relay does not say.
const RETRY_AFTER_MIN: std::time::Duration = std::time::Duration::from_millis(100);

/// Far beyond any document's history.
const NUMBER_MAX: u64 = 1 << 53;

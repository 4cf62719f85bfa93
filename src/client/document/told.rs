//! What a document makes of each thing that the relay says about it.

use crate::codec::wire::{self, ErrorCode, Position, ResyncReason, SyncMode};
use crate::engine::Instant;

use super::super::catch_up::{CatchUp, Snapshot};
use super::super::event::{self, Event, Refusal, Violation};
use super::{Document, Events, Stage};

/// Far beyond any document's history.
const NUMBER_MAX: u64 = 1 << 53;

impl Document {
    pub fn opened(&mut self, opened: wire::Opened, events: &mut Events) -> Result<(), Violation> {
        self.stage = Stage::Open {
            handle: opened.document,
        };
        self.kind.clone_from(&opened.kind);
        let position = opened.position.unwrap_or_default();
        self.check_numbers(&[opened.from_revision, position.revision, opened.next_clock])?;
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
        let mut catch_up = CatchUp::new(sync, position.revision, opened.next_clock);
        if let Some(interrupted) = self.interrupted.take() {
            catch_up.resume(interrupted, from.revision);
        }
        self.move_to(from, sync, catch_up, events)
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
        if reason == ResyncReason::Requested && self.resyncs.answered() {
            // The application asked for these again.
            self.have = self.have.map(|have| Position {
                revision: have.revision.min(from.revision),
                ..have
            });
        }
        let catch_up = CatchUp::new(sync.max(SyncMode::Delta), from.revision, resync.next_clock);
        self.move_to(from, sync, catch_up, events)
    }

    /// The relay continues from `from`. Nothing may be lost by that: either it is where the application is or
    /// before it, or the application is told to start again.
    fn move_to(
        &mut self,
        from: Position,
        sync: SyncMode,
        catch_up: CatchUp,
        events: &mut Events,
    ) -> Result<(), Violation> {
        let same = self.have.filter(|have| have.epoch == from.epoch);
        self.pending.expect(catch_up.next_clock);
        match sync {
            SyncMode::Snapshot => {
                self.have = Some(same.unwrap_or(Position {
                    epoch: from.epoch,
                    revision: 0,
                }));
            }
            SyncMode::Delta | SyncMode::UpToDate => match (self.have, same) {
                (_, Some(have)) if sync == SyncMode::Delta && from.revision <= have.revision => {}
                (_, Some(have)) if from.revision == have.revision => {}
                (Some(_), None) if from.revision == 0 => {
                    events.push_back(Event::Reset {
                        document: self.key,
                        next_clock: catch_up.next_clock,
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
            },
        }
        self.catch_up = Some(catch_up);
        self.check_synced(events);
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
        let Some(catch_up) = self.catch_up.as_mut().filter(|it| it.has_pages()) else {
            return Err(Violation::Unexpected("SyncResponse"));
        };
        catch_up.keep_token(page.resume_token);
        if let Some(chunk) = page.snapshot {
            let whole = catch_up
                .add(&chunk)
                .map_err(|expected| Violation::Snapshot {
                    document: self.name.clone(),
                    expected,
                    offset: chunk.offset,
                })?;
            if let Some(snapshot) = whole {
                self.replace(snapshot, events);
            }
        } else if catch_up.wants_snapshot() {
            return Err(Violation::Unexpected("a page without the snapshot"));
        }
        for operations in page.operations {
            self.operations(operations, client_id, events)?;
        }
        if !page.has_more
            && let Some(catch_up) = &mut self.catch_up
        {
            catch_up.last_page();
            self.check_synced(events);
        }
        Ok(())
    }

    /// The snapshot takes the place of everything before it, own operations that are part of it included.
    fn replace(&mut self, snapshot: Snapshot, events: &mut Events) {
        let (revision, next_clock) = (snapshot.revision, snapshot.next_clock);
        self.have = self.have.map(|have| Position { revision, ..have });
        let settled = self.pending.settle_below(next_clock);
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
            revision,
            data: snapshot.into_data(),
            next_clock,
        });
    }

    fn check_synced(&mut self, events: &mut Events) {
        let revision = self.have.map_or(0, |have| have.revision);
        let is_done = |catch_up: &mut CatchUp| catch_up.is_done(revision);
        let Some(catch_up) = self.catch_up.take_if(is_done) else {
            return;
        };
        events.push_back(Event::Synced {
            document: self.key,
            revision,
            next_clock: catch_up.next_clock,
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
        let may_repeat = self.catch_up.as_ref().is_some_and(CatchUp::has_pages);
        let have = self.have.get_or_insert_default();
        let expected = have.revision + 1;
        let seen = expected.saturating_sub(operations.revision);
        if operations.revision > expected || (seen > 0 && !may_repeat) {
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
        self.check_synced(events);
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
        self.check_synced(events);
        Ok(())
    }

    pub fn refused(
        &mut self,
        nack: &wire::Nack,
        now: Instant,
        events: &mut Events,
    ) -> Result<(), Violation> {
        let refusal = Refusal::from(nack);
        self.check_numbers(&[nack.next_clock])?;
        if refusal.is(ErrorCode::SyncConflict) && self.is_text() {
            if self.pending.retry(nack.client_seq, None) {
                self.rebase = Some((nack.revision, None));
            }
        } else if refusal.is(ErrorCode::SnapshotRequired) {
            if self.pending.retry(nack.client_seq, None) {
                self.request_sync(None, now);
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
            let retry_at = refusal.retry_at(now);
            if self.pending.retry(nack.client_seq, Some(retry_at)) {
                if self.is_text() {
                    self.rebase = Some((0, Some(retry_at)));
                }
                events.push_back(Event::Error {
                    document: Some(self.key),
                    refusal,
                });
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
}

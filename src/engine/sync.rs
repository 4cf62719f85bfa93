//! Catching up: a subscriber that is behind the ring reads from the store until it is not.

use std::sync::Arc;

use crate::codec::record::{self, OperationsRecord};
use crate::codec::wire::{self, ResyncReason, SyncMode, event};
use crate::store::{Page, ReadError, StoreRequest};

use super::key::DocumentKey;
use super::key::SessionKey;
use super::refusal::Refusal;
use super::resume::Place;
use super::session::{Pages, Stage, Subscription, Ticket};
use super::shard::Shard;
use super::start::{Start, Terms};
use super::time::Instant;
use super::wants::Wants;

impl Shard {
    /// A client asks to be brought up to date.
    pub(super) fn sync_again(
        &mut self,
        key: SessionKey,
        mut request: wire::SyncRequest,
        now: Instant,
    ) {
        if request.document == 0 {
            return self.join_by_sync(key, request, now);
        }
        let handle = request.document;
        let wants = Wants::of_sync_request(&mut request);
        let restarted = self
            .subscribed(key, handle)
            .and_then(|document| self.restart(key, document, &wants, ResyncReason::Requested));
        if let Err(refusal) = restarted {
            self.reply(key, refusal.error(0, handle));
        }
    }

    /// A subscriber was overtaken, and has everything up to `revision`.
    pub(super) fn catch_up_again(
        &mut self,
        key: SessionKey,
        document_key: DocumentKey,
        revision: u64,
        now: Instant,
    ) {
        let subscription = self.sessions[key].subscription(document_key);
        let takes_snapshots = subscription.is_some_and(|subscription| subscription.takes_snapshots);
        let wants = Wants {
            takes_snapshots,
            ..Wants::after(self.settings.epoch, revision)
        };
        self.metrics.gaps += 1;
        if let Err(refusal) = self.restart(key, document_key, &wants, ResyncReason::Lapped) {
            let handle = self.documents[document_key].handle;
            self.reply(key, refusal.close(handle));
            self.unsubscribe(key, document_key, now);
        }
    }

    /// Puts a subscription to where a client starts that wants this, and says so.
    fn restart(
        &mut self,
        key: SessionKey,
        document_key: DocumentKey,
        wants: &Wants,
        reason: ResyncReason,
    ) -> Result<(), Refusal> {
        let start = self.start(key, document_key, wants)?;
        self.recall(key, document_key, false);
        let document = &mut self.documents[document_key];
        let handle = document.handle;
        let open = document.open_mut().expect("subscribed to");
        let session = &mut self.sessions[key];
        let client_id = session.client_id();
        let mut pages = Pages::new(session.asked.clone(), wants, start.sync);
        let subscription = session
            .subscription(document_key)
            .expect("the caller has seen it");
        // Who was overtaken on the way still waits for what it asked for.
        if reason == ResyncReason::Lapped
            && let Some(interrupted) = subscription.pages.take()
        {
            pages = Pages {
                sync: start.sync,
                ..*interrupted
            };
        }
        subscription.stage = start.stage;
        // The last page is the answer even where there is nothing to send.
        subscription.pages = Some(Box::new(pages));
        subscription.is_once |= !wants.is_subscribing;
        subscription.can_write &= wants.is_subscribing;
        subscription.takes_snapshots = wants.takes_snapshots;
        subscription.progress.placed_revision = open.durable_revision;
        subscription.progress.is_warned = false;
        let next_clock = open.dedupe.next_clock(client_id);
        let from = wire::Position {
            epoch: self.settings.epoch,
            revision: start.from_revision,
        };
        let resync = resync(handle, reason, from, start.sync, next_clock);
        self.metrics.resyncs += 1;
        self.reply(key, event::Body::Resync(resync));
        Ok(())
    }

    /// Where a client of this session starts in an open document.
    pub(super) fn start(
        &mut self,
        key: SessionKey,
        document_key: DocumentKey,
        wants: &Wants,
    ) -> Result<Start, Refusal> {
        let has_room = self.has_room_for_version(document_key);
        let session = &self.sessions[key];
        let takes_pages = session.manner.takes_snapshot_pages();
        let document = &mut self.documents[document_key];
        let name = Arc::clone(&document.name);
        let open = document
            .open_mut()
            .expect("the caller knows that it is open");
        let terms = Terms {
            client_id: session.client_id(),
            sealer: self.settings.sealer(&name, open.origin_revision),
            has_room,
            filters: &self.ledger.filters,
            filter_bytes_max: (self.settings.memory.output_bytes_max)
                .saturating_sub(self.ledger.output_total_bytes()),
            snapshot_bytes_max: match takes_pages {
                true => usize::MAX,
                false => self.settings.connection.message_bytes_max,
            },
        };
        open.start(wants, &terms)
    }

    /// Asks the store for the subscription's next page; if too many ask, it waits for its turn.
    pub(super) fn request_page(&mut self, key: SessionKey, document_key: DocumentKey) {
        let is_full = self.is_reading_full();
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let Some(Subscription {
            stage:
                Stage::CatchUp {
                    next_revision,
                    ticket: ticket @ None,
                    filter,
                },
            ..
        }) = session.subscription(document_key)
        else {
            return;
        };
        let until_revision = filter.as_ref().map(|filter| filter.until_revision);
        if is_full {
            *ticket = Some(Ticket::Queued);
            self.readers.push_back((key, document_key));
            return;
        }
        self.tickets += 1;
        *ticket = Some(Ticket::Asked(self.tickets));
        self.reads.insert(self.tickets, key);
        let document = &self.documents[document_key];
        self.store.push_back(StoreRequest::Read {
            document: document.reference(document_key),
            ticket: self.tickets,
            from_revision: *next_revision,
            to_revision: until_revision
                .unwrap_or(document.open().expect("subscribed to").durable_revision),
            bytes_max: self.settings.memory.catch_up_page_bytes,
        });
    }

    pub(super) fn receive_page(
        &mut self,
        document_key: DocumentKey,
        ticket: u64,
        result: Result<Page, ReadError>,
        now: Instant,
    ) {
        let key = self.reads.remove(&ticket);
        if let Some(key) = key
            && let Err(refusal) = self.deliver_page(key, document_key, ticket, result, now)
            && let Some(document) = self.documents.get(document_key)
            // As soon as the store has deleted it, its readers are told so.
            && document.open().is_none_or(|open| !open.is_deleting)
        {
            let name = Arc::clone(&document.name);
            let handle = document.handle;
            self.metrics.load_failures += 1;
            self.note_unreadable(&name, &refusal);
            self.reply(key, refusal.close(handle));
            self.unsubscribe(key, document_key, now);
        }
        // In turns: what one has read makes room for the other.
        self.admit_questions();
        self.admit_readers();
    }

    /// Whether as many pages are being read as may be, for whoever catches up and whoever asks about the past.
    pub(super) fn is_reading_full(&self) -> bool {
        self.reading_count() >= self.settings.memory.catch_up_reads_max
    }

    pub(super) fn reading_count(&self) -> usize {
        self.reads.len() + self.questions.len()
    }

    /// Lets queued readers ask, as many as there is room for. One that cannot take a page at this moment asks again
    /// when it can.
    pub(super) fn admit_readers(&mut self) {
        while !self.is_reading_full()
            && let Some((key, document)) = self.readers.pop_front()
        {
            let Some(session) = self.sessions.get_mut(key) else {
                continue;
            };
            let is_blocked = session.is_blocked();
            if let Some(subscription) = session.subscription(document)
                && let Stage::CatchUp { ticket, .. } = &mut subscription.stage
                && *ticket == Some(Ticket::Queued)
            {
                *ticket = None;
                if !is_blocked {
                    self.request_page(key, document);
                }
            }
        }
    }

    /// Turns what the store has read into a page. A page that nobody waits for any more is dropped.
    fn deliver_page(
        &mut self,
        key: SessionKey,
        document_key: DocumentKey,
        ticket: u64,
        result: Result<Page, ReadError>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let Some(Subscription {
            stage:
                Stage::CatchUp {
                    next_revision,
                    ticket: expected,
                    filter,
                },
            pages,
            ..
        }) = self
            .sessions
            .get_mut(key)
            .and_then(|session| session.subscription(document_key))
        else {
            return Ok(());
        };
        if *expected != Some(Ticket::Asked(ticket)) {
            return Ok(());
        }
        *expected = None;
        let records = match result? {
            Page::Records(records) => records,
            Page::Compacted {
                history_from_revision,
            } => {
                let revision = *next_revision - 1;
                let open = self.documents[document_key].open_mut();
                let open = open.expect("subscribed to");
                open.horizon_revision = open.horizon_revision.max(history_from_revision - 1);
                self.catch_up_again(key, document_key, revision, now);
                return Ok(());
            }
        };
        let document = &self.documents[document_key];
        let first_revision = *next_revision;
        let mut operations = Vec::with_capacity(records.len());
        for bytes in &records {
            let record = record::decode_operations(bytes);
            let record = record.map_err(|error| Refusal::DocumentBroken(error.to_string()))?;
            let missed = missed(record, document.handle, next_revision);
            operations.extend(match filter {
                Some(filter) => missed.and_then(|batch| filter.lacking(batch)),
                None => missed,
            });
        }
        if *next_revision == first_revision {
            return Err(Refusal::DocumentNotRead(format!(
                "the store has nothing at revision {next_revision}"
            )));
        }
        if operations.is_empty() {
            self.mark_writable(key);
            return Ok(());
        }
        let place = Place::Operations {
            next_revision: *next_revision,
        };
        let life = document.open().expect("subscribed to").origin_revision;
        let sealer = self.settings.sealer(&document.name, life);
        let page = wire::SyncResponse {
            document: document.handle,
            operations,
            has_more: true,
            resume_token: sealer.seal(place),
            sync: SyncMode::Delta.into(),
            ..Default::default()
        };
        let asked = pages.as_ref().map(|pages| pages.asked.clone());
        self.metrics.pages += 1;
        let before = self.sessions[key].replies.len();
        self.answer(
            key,
            &asked.unwrap_or_default(),
            event::Body::SyncResponse(page),
        );
        let session = &mut self.sessions[key];
        let bytes = session.replies.len() - before;
        let pages = session
            .subscription(document_key)
            .and_then(|subscription| subscription.pages.as_mut());
        if let Some(pages) = pages {
            pages.bytes += bytes as u64;
        }
        Ok(())
    }
}

/// The part of a record that a subscriber wants which has everything before `next_revision`, and its next
/// revision after that.
fn missed(
    record: OperationsRecord<'_>,
    handle: u64,
    next_revision: &mut u64,
) -> Option<wire::RemoteOps> {
    let known = next_revision.checked_sub(record.revision)?;
    let known = usize::try_from(known).ok()?;
    if known >= record.operations.len() {
        return None;
    }
    let remote = wire::RemoteOps {
        document: handle,
        revision: *next_revision,
        origin: record.origin,
        first_clock: record.first_clock + known as u64,
        operations: record.operations[known..].to_vec(),
    };
    *next_revision = record.revision + record.operations.len() as u64;
    Some(remote)
}

/// What tells a client to go on from another place.
pub(super) fn resync(
    document: u64,
    reason: ResyncReason,
    from: wire::Position,
    sync: SyncMode,
    next_clock: u64,
) -> wire::Resync {
    wire::Resync {
        document,
        reason: reason.into(),
        from: Some(from),
        sync: sync.max(SyncMode::Delta).into(),
        next_clock,
    }
}

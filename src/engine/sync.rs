//! Catching up: a subscriber that is behind the ring reads from the store until it is not.

use crate::codec::record::{self, OperationsRecord};
use crate::codec::wire::{self, ResyncReason, SyncMode, event};
use crate::store::{Page, ReadError, StoreRequest};

use super::document::Have;
use super::key::DocumentKey;
use super::key::SessionKey;
use super::refusal::Refusal;
use super::session::{Stage, Subscription, Ticket};
use super::shard::Shard;
use super::time::Instant;

impl Shard {
    /// A client asks to be brought up to date again.
    pub(super) fn sync_again(&mut self, key: SessionKey, request: &wire::SyncRequest) {
        let document_key = match self.subscribed(key, request.document) {
            Ok(document) => document,
            Err(refusal) => return self.reply(key, refusal.error(0, request.document)),
        };
        let have = request.have.map(|have| Have {
            epoch: have.epoch,
            revision: have.revision,
        });
        self.restart(key, document_key, have, ResyncReason::Requested);
    }

    /// Puts a subscription to where a client that has `have` starts, and says so.
    pub(super) fn restart(
        &mut self,
        key: SessionKey,
        document_key: DocumentKey,
        have: Option<Have>,
        reason: ResyncReason,
    ) {
        let epoch = self.settings.epoch;
        let has_room = self.has_room_for_version(document_key);
        let document = &mut self.documents[document_key];
        let handle = document.handle;
        let open = document.open_mut().expect("subscribed to");
        let session = &mut self.sessions[key];
        let client_id = session.identity().map_or(0, |identity| identity.client_id);
        let subscription = session
            .subscription(document_key)
            .expect("the caller has seen it");
        let (stage, sync, from) = open.place(client_id, have, epoch, has_room);
        subscription.stage = stage;
        // The last page is the answer even where there is nothing to send.
        subscription.is_catching_up = true;
        subscription.placed_revision = open.durable_revision;
        subscription.is_warned = false;
        let resync = wire::Resync {
            document: handle,
            reason: reason.into(),
            from: Some(wire::Position {
                epoch,
                revision: from,
            }),
            sync: sync.max(SyncMode::Delta).into(),
            next_clock: open.dedupe.next_clock(client_id),
        };
        self.metrics.resyncs += 1;
        self.reply(key, event::Body::Resync(resync));
    }

    /// Asks the store for the subscription's next page; if too many ask, it waits for its turn.
    pub(super) fn request_page(&mut self, key: SessionKey, document_key: DocumentKey) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let Some(Subscription {
            stage:
                Stage::CatchUp {
                    next_revision,
                    ticket: ticket @ None,
                },
            ..
        }) = session.subscription(document_key)
        else {
            return;
        };
        if self.reads.len() >= self.settings.memory.catch_up_reads_max {
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
            to_revision: document.open().expect("subscribed to").durable_revision,
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
            && let Err(refusal) = self.deliver_page(key, document_key, ticket, result)
            && let Some(document) = self.documents.get(document_key)
        {
            self.metrics.load_failures += 1;
            self.reply(key, refusal.close(document.handle));
            self.unsubscribe(key, document_key, now);
        }
        self.admit_readers();
    }

    /// Lets queued readers ask, as many as there is room for. One that cannot take a page at this moment asks again
    /// when it can.
    fn admit_readers(&mut self) {
        while self.reads.len() < self.settings.memory.catch_up_reads_max
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
    ) -> Result<(), Refusal> {
        let Some(Subscription {
            stage:
                Stage::CatchUp {
                    next_revision,
                    ticket: expected,
                },
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
        let unavailable = |reason: String| Refusal::Unavailable(reason);
        let records = match result.map_err(|error| unavailable(error.to_string()))? {
            Page::Records(records) => records,
            Page::Compacted { .. } => unreachable!("nothing compacts documents yet"),
        };
        let handle = self.documents[document_key].handle;
        let mut operations = Vec::with_capacity(records.len());
        for bytes in &records {
            let record =
                record::decode_operations(bytes).map_err(|error| unavailable(error.to_string()))?;
            if let Some(missed) = missed(record, handle, next_revision) {
                operations.push(missed);
            }
        }
        if operations.is_empty() {
            return Err(unavailable(format!(
                "the store has nothing at revision {next_revision}"
            )));
        }
        let page = wire::SyncResponse {
            document: handle,
            snapshot: None,
            operations,
            has_more: true,
        };
        self.metrics.pages += 1;
        self.reply(key, event::Body::SyncResponse(page));
        Ok(())
    }
}

/// The part of a record that a subscriber wants which has everything before `next_revision`, and its next
/// revision after that.
fn missed(
    record: OperationsRecord,
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

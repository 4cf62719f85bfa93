//! The way of an edit: checked, given its place, sent to the store, and, when it is durable, told to everybody.

use std::sync::Arc;

use crate::auth::split_global_id;
use crate::codec::dialect::Broadcast;
use crate::codec::json;
use crate::codec::record::{self, OperationsRecord};
use crate::codec::wire::{self, Event, event};
use crate::config;
use crate::config::Durability;
use crate::store::StoreRequest;

use super::dedupe::Novelty;
use super::document::{Open, PendingBatch, RepeatedBatch};
use super::identity::Identity;
use super::key::DocumentKey;
use super::key::SessionKey;
use super::kind::{Batch, StateError};
use super::rate::Cost;
use super::refusal::Refusal;
use super::ring::Slot;
use super::shard::Shard;
use super::time::Instant;
use super::voice::broadcast_context;

/// What a batch costs beside its payload while it is on its way.
pub(super) const PENDING_OVERHEAD_BYTES: usize = size_of::<PendingBatch>() + 256;

/// Repeated batches of one document that wait for their first copy to be durable.
const REPEATED_BATCHES_MAX: usize = 1024;

impl Shard {
    /// A client's batch for a document of this shard. `readable`: whether its dialect could be understood in all of its
    /// operations.
    pub(super) fn submit(
        &mut self,
        key: SessionKey,
        batch: wire::Operations,
        readable: Result<(), Refusal>,
        now: Instant,
    ) {
        let refusal = match self.subscribed(key, batch.document) {
            Ok(document) => match self.take_batch(key, document, &batch, readable, now) {
                Ok(()) => return,
                Err(refusal) => refusal,
            },
            Err(refusal) => refusal,
        };
        self.refuse_batch(key, batch.document, batch.client_seq, &refusal);
    }

    /// The batch is not applied. `handle` is 0 where the client has no such document open.
    pub(super) fn refuse_batch(
        &mut self,
        key: SessionKey,
        handle: u64,
        client_seq: u64,
        refusal: &Refusal,
    ) {
        self.metrics.nacks += 1;
        let client_id = self.sessions[key].client_id();
        let open = self
            .handles
            .get(&handle)
            .and_then(|document| self.documents[*document].open());
        let nack = wire::Nack {
            document: handle,
            client_seq,
            code: refusal.code().into(),
            message: refusal.to_string(),
            retryable: refusal.is_retryable(),
            retry_after_ms: refusal.retry_after_ms(),
            next_clock: open.map_or(0, |open| open.dedupe.next_clock(client_id)),
            revision: open.map_or(0, |open| open.durable_revision),
        };
        self.reply(key, event::Body::Nack(nack));
    }

    /// The order of the checks: its form, the permission to write, the rate, what is in its operations, and last
    /// whether it comes in turn and fits the document.
    fn take_batch(
        &mut self,
        key: SessionKey,
        document_key: DocumentKey,
        batch: &wire::Operations,
        readable: Result<(), Refusal>,
        now: Instant,
    ) -> Result<(), Refusal> {
        if self.is_stopping || self.is_failed {
            return Err(Refusal::Unavailable("the relay is stopping".to_owned()));
        }
        let count = check_batch(batch, self.settings.connection.batch_operations_max)?;
        let subscription = self.sessions[key].subscription(document_key);
        if !subscription.is_some_and(|subscription| subscription.can_write) {
            return Err(Refusal::Forbidden("writing to the document"));
        }
        let origin = self.identity_of(key).client_id;
        let clients_max = self.settings.document.clients_max;
        let open = self.documents[document_key].open();
        let novelty = open.expect("subscribed to").dedupe.check(
            origin,
            batch.first_clock,
            u64::from(count),
            clients_max,
        );
        let is_repeated = matches!(novelty, Ok(Novelty::Duplicate { .. }));
        let cost = Cost {
            operations: if is_repeated { 0 } else { u64::from(count) },
            bytes: batch.operations.iter().map(|it| it.len() as u64).sum(),
        };
        self.pay(key, document_key, cost, now)?;
        let open = self.documents[document_key].open();
        if !is_repeated {
            readable?;
            open.expect("as before").kind.check(&batch.operations)?;
        }
        let placed = match novelty {
            Ok(Novelty::Duplicate { first_revision }) => {
                self.metrics.duplicates += 1;
                self.repeat_ack(key, document_key, batch, count, first_revision, now)
            }
            Ok(Novelty::Fresh) => self.place_batch(key, document_key, batch, now),
            Err(refusal) => Err(refusal),
        };
        // It may come again as it is, and is not to pay twice.
        placed.inspect_err(|refusal| {
            if refusal.is_retryable() {
                self.repay(key, document_key, cost);
            }
        })
    }

    fn identity_of(&self, key: SessionKey) -> &Arc<Identity> {
        let identity = self.sessions[key].identity();
        identity.expect("only a session that said Hello has subscriptions")
    }

    /// A batch that is new, and whose turn it is, gets its place, and goes to the store.
    fn place_batch(
        &mut self,
        key: SessionKey,
        document_key: DocumentKey,
        batch: &wire::Operations,
        now: Instant,
    ) -> Result<(), Refusal> {
        let identity = Arc::clone(self.identity_of(key));
        let origin = identity.client_id;
        let now_ms = self.unix_ms(now);
        let is_room = self.ledger.document_bytes < self.settings.memory.document_bytes_max;
        let document = &mut self.documents[document_key];
        let reference = document.reference(document_key);
        let open = document.open_mut().expect("subscribed to");
        if !is_room {
            return Err(Refusal::Unavailable(
                "no memory for more operations".to_owned(),
            ));
        }
        if !batch.expected_server_vector.is_empty()
            && open
                .dedupe
                .goes_beyond(&batch.expected_server_vector, origin)
        {
            return Err(Refusal::VectorConflict);
        }
        if let Some(expected) = batch.expected_revision
            && expected != open.head_revision
        {
            return Err(Refusal::RevisionConflict {
                expected,
                is: open.head_revision,
            });
        }
        if open.tenant.is_none() {
            let (tenant, _) = split_global_id(&reference.name);
            open.tenant = self.settings.census.tenant(tenant);
        }
        if open.is_deleting {
            return Err(Refusal::DocumentDeleted);
        }
        let is_created = open.is_unwritten();
        // Before all is known: no two shards may find the same room.
        let taken_bytes = batch.operations.iter().map(|it| it.len() as u64).sum();
        if let Some(tenant) = &open.tenant {
            tenant.take_bytes(taken_bytes)?;
            if is_created {
                let added = tenant.add_document();
                added.inspect_err(|_| tenant.remove_bytes(taken_bytes))?;
            }
        }
        let admitted = open.kind.admit(Batch {
            origin,
            base_revision: batch.base_revision,
            head_revision: open.head_revision,
            operations: &batch.operations,
        });
        let operations = admitted.inspect_err(|_| {
            if let Some(tenant) = &open.tenant {
                tenant.remove_bytes(taken_bytes);
                if is_created {
                    tenant.remove_document();
                }
            }
        })?;

        let record = OperationsRecord {
            revision: open.head_revision + 1,
            origin,
            first_clock: batch.first_clock,
            operations,
            // A clock may be set back, and a restart find it earlier.
            time_ms: open.head_time_ms.max(now_ms),
            author: identity.user_id.as_str().into(),
        };
        let count = u32::try_from(record.operations.len()).expect("checked when it came");
        open.place_record(&record);
        open.heat.add(record.operations.len() as u64, now);
        let encoded = record::encode_operations(&record);
        open.stored_bytes += encoded.len() as u64;
        if let Some(tenant) = &open.tenant {
            tenant.add_bytes(encoded.len() as u64);
            tenant.remove_bytes(taken_bytes);
        }
        let bytes = encoded.len() + PENDING_OVERHEAD_BYTES;
        open.pending_bytes += bytes;
        open.pending.push_back(PendingBatch {
            session: key,
            asked: self.sessions[key].asked.clone(),
            origin,
            client_seq: batch.client_seq,
            first_clock: record.first_clock,
            first_revision: record.revision,
            operations: record.operations,
            bytes,
        });
        let kind = open.kind_name.clone();
        self.store.push_back(StoreRequest::Append {
            document: reference,
            kind,
            first_revision: record.revision,
            count,
            record: encoded,
        });
        self.metrics.operations += u64::from(count);
        self.metrics.batch_operations.add(count.into());
        self.ledger.pending_bytes += bytes;
        self.sessions[key].inflight_bytes += bytes;
        self.count_document(document_key);
        Ok(())
    }

    /// A batch that was applied before is acknowledged again, as soon as it is durable.
    fn repeat_ack(
        &mut self,
        key: SessionKey,
        document_key: DocumentKey,
        batch: &wire::Operations,
        count: u32,
        first_revision: Option<u64>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let open = self.documents[document_key]
            .open_mut()
            .expect("subscribed to");
        let repeated = RepeatedBatch {
            session: key,
            asked: self.sessions[key].asked.clone(),
            client_seq: batch.client_seq,
            first_revision: first_revision.unwrap_or(0),
            count,
            durable_at_revision: first_revision
                .map_or(open.head_revision, |first| first + u64::from(count) - 1),
        };
        if repeated.durable_at_revision <= open.durable_revision {
            let persisted_at_ms = self.unix_ms(now);
            self.acknowledge_repeated(document_key, &repeated, persisted_at_ms);
        } else if open.repeated.len() < REPEATED_BATCHES_MAX {
            open.repeated.push(repeated);
        } else {
            return Err(Refusal::Unavailable(
                "too many batches are repeated".to_owned(),
            ));
        }
        Ok(())
    }

    fn acknowledge_repeated(
        &mut self,
        document_key: DocumentKey,
        repeated: &RepeatedBatch,
        persisted_at_ms: u64,
    ) {
        let document = &self.documents[document_key];
        let Some(identity) = self
            .sessions
            .get(repeated.session)
            .filter(|session| session.has_open(document_key))
            .and_then(|session| session.identity())
        else {
            return;
        };
        let open = document.open().expect("subscribed to");
        let ack = wire::Ack {
            document: document.handle,
            client_seq: repeated.client_seq,
            first_revision: repeated.first_revision,
            count: repeated.count,
            clock: open
                .durable_next_clock(identity.client_id)
                .saturating_sub(1),
            persisted_at_ms,
            durability: durability_on_wire(self.settings.durability).into(),
            duplicate: true,
        };
        self.metrics.acks += 1;
        self.answer(repeated.session, &repeated.asked, event::Body::Ack(ack));
    }

    /// The store has confirmed a document's operations up to `revision`: everybody may know of them.
    pub(super) fn confirm(
        &mut self,
        document_key: DocumentKey,
        revision: u64,
        persisted_at_ms: u64,
        now: Instant,
    ) {
        if self.is_failed {
            return;
        }
        let Some(document) = self.documents.get_mut(document_key) else {
            return;
        };
        let handle = document.handle;
        let name = Arc::clone(&document.name);
        let open = document.open_mut().expect("it has had operations");
        let was_unwritten = open.durable_revision == open.origin_revision;
        while let Some(batch) = open.pending.front()
            && batch.last_revision() <= revision
        {
            let batch = open.pending.pop_front().expect("just seen");
            open.pending_bytes -= batch.bytes;
            self.ledger.pending_bytes -= batch.bytes;
            if let Some(session) = self.sessions.get_mut(batch.session) {
                session.inflight_bytes -= batch.bytes;
            }
            open.durable_revision = batch.last_revision();
            let context = (open.json_subscribers > 0).then(|| {
                let (_, document_id) = split_global_id(&name);
                broadcast_context(document_id, &open.kind_name, persisted_at_ms)
            });
            open.ring
                .push(slot(handle, batch, persisted_at_ms, now, context.as_ref()));
        }
        let durable_revision = open.durable_revision;
        let is_born = was_unwritten && durable_revision > open.origin_revision && !open.is_deleting;
        let kind = open.kind_name.clone();
        let confirmed = open.repeated.extract_if(.., |repeated| {
            repeated.durable_at_revision <= durable_revision
        });
        for repeated in confirmed.collect::<Vec<_>>() {
            self.acknowledge_repeated(document_key, &repeated, persisted_at_ms);
        }
        if is_born {
            self.announce(Arc::clone(&name), kind, false);
        }
        self.mark_subscribers(document_key);
        self.keep_awake(document_key, now);
        self.consider_snapshot(document_key, now);
        self.check_idle(document_key, now);
        self.count_document(document_key);
    }

    /// The document behind a handle, if the session has it open.
    pub(super) fn subscribed(
        &mut self,
        key: SessionKey,
        handle: u64,
    ) -> Result<DocumentKey, Refusal> {
        self.handles
            .get(&handle)
            .copied()
            .filter(|document| self.sessions[key].subscription(*document).is_some())
            .ok_or(Refusal::DocumentNotOpen)
    }
}

impl Open {
    /// The record takes the next place in history.
    fn place_record(&mut self, record: &OperationsRecord<'_>) {
        let count = record.operations.len() as u64;
        let bytes: usize = record
            .operations
            .iter()
            .map(|operation| operation.len())
            .sum();
        self.dedupe
            .record(record.origin, record.first_clock, record.revision, count);
        self.head_revision += count;
        self.head_time_ms = record.time_ms;
        self.operation_bytes_total += bytes as u64;
        self.snapshot.operation_bytes_since += bytes;
    }

    /// The record has its place already: it comes from the store.
    pub(super) fn replay(&mut self, record: &OperationsRecord<'_>) -> Result<(), StateError> {
        if record.revision != self.head_revision + 1 {
            return Err(StateError(format!(
                "revision {} follows {}",
                record.revision, self.head_revision
            )));
        }
        if self.dedupe.next_clock(record.origin) != record.first_clock {
            return Err(StateError(format!(
                "client {} has clock {} at revision {}",
                record.origin, record.first_clock, record.revision
            )));
        }
        self.kind.replay(record)?;
        self.place_record(record);
        Ok(())
    }

    /// The clock after the highest durable one of a client.
    pub(super) fn durable_next_clock(&self, client_id: u64) -> u64 {
        let then = self.dedupe.next_clock_at(client_id, self.durable_revision);
        then.unwrap_or_else(|| {
            // Since then it has had more batches than places are known of.
            let mut pending = self.pending.iter();
            let first = pending.find(|batch| batch.origin == client_id);
            first.map_or(0, |batch| batch.first_clock)
        })
    }

    /// Whether as much is on its way to the disk as the ring can take at once: more would lap subscribers that
    /// are not slow.
    pub(super) fn is_pending_full(&self, fanout: &config::Fanout) -> bool {
        self.pending.len() >= fanout.ring_slots || self.pending_bytes >= fanout.ring_bytes_max
    }
}

fn check_batch(batch: &wire::Operations, operations_max: usize) -> Result<u32, Refusal> {
    let count = batch.operations.len();
    if count == 0 || count > operations_max {
        let reason = format!("it has {count} operations, the limits are 1 and {operations_max}");
        return Err(Refusal::BatchInvalid(reason));
    }
    if batch.first_clock.checked_add(count as u64).is_none() {
        return Err(Refusal::BatchInvalid("its clocks overflow".to_owned()));
    }
    Ok(u32::try_from(count).expect("a message has fewer bytes than that"))
}

/// The batch as everybody gets it; `json` is there if somebody speaks it.
fn slot(
    handle: u64,
    batch: PendingBatch,
    persisted_at_ms: u64,
    confirmed_at: Instant,
    json: Option<&json::Context<'_>>,
) -> Slot {
    let count = u32::try_from(batch.operations.len()).expect("checked when it came");
    let remote = wire::RemoteOps {
        document: handle,
        revision: batch.first_revision,
        origin: batch.origin,
        first_clock: batch.first_clock,
        operations: batch.operations,
    };
    Slot {
        first_revision: batch.first_revision,
        count,
        session: batch.session,
        asked: batch.asked,
        client_seq: batch.client_seq,
        clock: batch.first_clock + u64::from(count) - 1,
        persisted_at_ms,
        confirmed_at,
        origin: batch.origin,
        broadcast: Broadcast::new(&Event::from(event::Body::RemoteOps(remote)), json),
    }
}

pub(super) fn durability_on_wire(durability: Durability) -> wire::Durability {
    match durability {
        Durability::Always => wire::Durability::Always,
        Durability::Interval => wire::Durability::Interval,
        Durability::Never => wire::Durability::Never,
    }
}

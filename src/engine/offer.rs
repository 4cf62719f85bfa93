//! Snapshots that clients offer: a log's summary, made by those who can read it, in place of its older operations.

use bytes::Bytes;

use crate::codec::record::OfferRecord;
use crate::codec::wire::{self, event};

use super::key::{DocumentKey, SessionKey};
use super::refusal::Refusal;
use super::request::Asked;
use super::shard::Shard;
use super::time::Instant;

/// An offer of which not all has come.
#[derive(Debug)]
pub struct Upload {
    revision: u64,
    bytes_total: usize,
    data: Vec<u8>,
}

impl Upload {
    /// What it holds of the budget for input.
    pub fn held_bytes(&self) -> usize {
        self.data.capacity()
    }
}

/// An offer that is stored with the document's next snapshot.
#[derive(Debug)]
pub struct Promise {
    session: SessionKey,
    asked: Asked,
    pub revision: u64,
}

impl Shard {
    /// A piece of what a client offers.
    pub(super) fn take_piece(&mut self, key: SessionKey, offer: wire::SnapshotOffer, now: Instant) {
        let handle = offer.document;
        let taken = self
            .subscribed(key, handle)
            .and_then(|document| self.upload(key, document, offer, now));
        if let Err(refusal) = taken {
            if let Ok(document) = self.subscribed(key, handle) {
                self.drop_upload(key, document);
            }
            self.reply(key, refusal.error(0, handle));
        }
    }

    fn upload(
        &mut self,
        key: SessionKey,
        document_key: DocumentKey,
        offer: wire::SnapshotOffer,
        now: Instant,
    ) -> Result<(), Refusal> {
        let invalid = |reason: String| Refusal::SnapshotInvalid(reason);
        let bytes_max = self.settings.document.bytes_max;
        let subscription = self.sessions[key].subscription(document_key);
        let subscription = subscription.expect("its caller has seen it");
        if !subscription.can_write {
            return Err(Refusal::Forbidden("writing to the document"));
        }
        let upload = match &mut subscription.upload {
            Some(upload) if offer.offset > 0 => upload,
            _begins => {
                let bytes_total = usize::try_from(offer.bytes_total)
                    .ok()
                    .filter(|bytes| *bytes <= bytes_max)
                    .ok_or_else(|| invalid(format!("it has more than {bytes_max} bytes")))?;
                let upload = Upload {
                    revision: offer.revision,
                    bytes_total,
                    data: Vec::new(),
                };
                let before = subscription.upload.replace(Box::new(upload));
                self.ledger.input_bytes -= before.map_or(0, |before| before.held_bytes());
                subscription.upload.as_mut().expect("just put there")
            }
        };
        if offer.revision != upload.revision
            || offer.bytes_total != upload.bytes_total as u64
            || offer.offset != upload.data.len() as u64
            || upload.data.len() + offer.data.len() > upload.bytes_total
        {
            let reason = "its pieces do not come one after the other";
            return Err(invalid(reason.to_owned()));
        }
        let held_before = upload.held_bytes();
        upload.data.extend_from_slice(&offer.data);
        self.ledger.input_bytes += upload.held_bytes() - held_before;
        let is_whole = upload.data.len() == upload.bytes_total;
        if self.ledger.input_bytes > self.settings.memory.input_bytes_max {
            return Err(Refusal::Unavailable(
                "no memory for a snapshot of this size".to_owned(),
            ));
        }
        if !is_whole {
            return Ok(());
        }
        let upload = self.drop_upload(key, document_key).expect("it is whole");
        self.accept(key, document_key, upload, now)
    }

    fn accept(
        &mut self,
        key: SessionKey,
        document_key: DocumentKey,
        upload: Upload,
        now: Instant,
    ) -> Result<(), Refusal> {
        let invalid = |reason: &str| Refusal::SnapshotInvalid(reason.to_owned());
        let asked = self.sessions[key].asked.clone();
        let open = self.documents[document_key].open_mut();
        let open = open.expect("subscribed to");
        let revision = upload.revision;
        if open.is_deleting {
            return Err(Refusal::DocumentDeleted);
        }
        if revision > open.durable_revision {
            return Err(invalid("its revision is not durable"));
        }
        let newest = open.kind.offer().map(|offer| offer.revision);
        if revision <= newest.unwrap_or(open.origin_revision) {
            return Err(invalid("there is a newer one"));
        }
        let next_clocks = open.dedupe.next_clocks_at(revision);
        let offer = OfferRecord {
            revision,
            data: Bytes::from(upload.data),
            next_clocks: next_clocks.ok_or_else(|| invalid("its revision is too old"))?,
        };
        if !self.make_room(offer.data.len()) {
            return Err(Refusal::Unavailable(
                "no memory for a snapshot of this size".to_owned(),
            ));
        }
        let open = self.documents[document_key].open_mut();
        let open = open.expect("subscribed to");
        open.kind.take_offer(offer)?;
        let promise = Promise {
            session: key,
            asked,
            revision,
        };
        let before = open.snapshot.promise.replace(promise);
        if let Some(before) = before {
            let refusal = invalid("another client has offered a newer one");
            self.break_promise(document_key, &before, &refusal);
        }
        self.count_document(document_key);
        self.consider_snapshot(document_key, now);
        Ok(())
    }

    /// Gives back what has come of an offer.
    pub(super) fn drop_upload(
        &mut self,
        key: SessionKey,
        document_key: DocumentKey,
    ) -> Option<Upload> {
        let upload = self.sessions[key]
            .subscription(document_key)?
            .upload
            .take()?;
        self.ledger.input_bytes -= upload.held_bytes();
        Some(*upload)
    }

    /// The snapshot with the offer in it is stored.
    pub(super) fn keep_promise(&mut self, document_key: DocumentKey, promise: &Promise) {
        let accepted = wire::SnapshotAccepted {
            document: self.documents[document_key].handle,
            revision: promise.revision,
        };
        let body = event::Body::SnapshotAccepted(accepted);
        self.answer_subscriber(document_key, promise, body);
    }

    fn break_promise(&mut self, document_key: DocumentKey, promise: &Promise, refusal: &Refusal) {
        let handle = self.documents[document_key].handle;
        self.answer_subscriber(document_key, promise, refusal.error(0, handle));
    }

    fn answer_subscriber(
        &mut self,
        document_key: DocumentKey,
        promise: &Promise,
        body: event::Body,
    ) {
        let session = self.sessions.get(promise.session);
        if session.is_some_and(|session| session.has_open(document_key)) {
            self.answer(promise.session, &promise.asked, body);
        }
    }
}

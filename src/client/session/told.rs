//! What a session makes of each thing that the relay says.

use std::time::Duration;

use crate::codec::wire::{self, ErrorCode, event::Body as Told, request::Body};
use crate::engine::Instant;

use super::super::document::Document;
use super::super::event::{DocumentKey, Event, Refusal, Violation};
use super::super::offer::Refused;
use super::link::{Link, index_of_request};
use super::{OPERATIONS_OVERHEAD_BYTES, Session};

impl Session {
    /// `reply_to`: the id of the request that this answers; only pieces of snapshots have one.
    pub(super) fn handle_event(
        &mut self,
        told: Told,
        reply_to: &str,
        now: Instant,
    ) -> Result<(), Violation> {
        match told {
            Told::Connected(connected) => return self.handle_hello_answer(connected),
            Told::Opened(opened) => return self.handle_opened(opened),
            Told::RemoteOps(operations) => {
                if let Some(index) = self.index(operations.document) {
                    let (document, events) = (&mut self.documents[index], &mut self.events);
                    return document.operations(operations, self.client_id, events);
                }
            }
            Told::Ack(ack) => {
                if let Some(index) = self.index(ack.document) {
                    return self.documents[index].acknowledged(&ack, &mut self.events);
                }
            }
            Told::Nack(nack) => return self.handle_nack(&nack, now),
            Told::SyncResponse(page) => return self.handle_page(page, now),
            Told::Resync(resync) => {
                if let Some(index) = self.index(resync.document) {
                    return self.documents[index].resync(resync, &mut self.events);
                }
            }
            Told::PresenceUpdate(update) => {
                if let Some(index) = self.index(update.document) {
                    self.events.push_back(Event::Presence {
                        document: DocumentKey(index),
                        presences: update.presences,
                        full: update.full,
                    });
                }
            }
            Told::Warning(warning) => {
                if let Some(index) = self.index(warning.document) {
                    self.events.push_back(Event::Warning {
                        document: DocumentKey(index),
                        pending_operations: warning.pending_operations,
                        pending_bytes: warning.pending_bytes,
                    });
                }
            }
            Told::Error(error) => self.handle_error(error, reply_to, now),
            Told::Ping(ping) => self.send(Body::Pong(wire::Pong {
                nonce: ping.nonce,
                server_time_ms: 0,
            })),
            Told::Pong(_) => {}
            Told::Goaway(goaway) => {
                let reconnect_after = Duration::from_millis(goaway.reconnect_after_ms.into());
                let jitter = Duration::from_millis(goaway.jitter_ms.into());
                self.not_before = Some(now + self.backoff.between(reconnect_after, jitter));
                self.events.push_back(Event::Goaway {
                    reason: goaway.reason,
                    reconnect_after,
                    jitter,
                });
            }
            Told::Close(close) => self.handle_close(close, now),
            Told::SnapshotAccepted(accepted) => {
                if let Some(index) = self.index(accepted.document)
                    && (self.documents[index].offers_mut()).accepted(accepted.revision)
                {
                    self.events.push_back(Event::SnapshotAccepted {
                        document: DocumentKey(index),
                        revision: accepted.revision,
                    });
                }
            }
            Told::Deleted(deleted) => {
                if let Some(request) = self.requests.answered(deleted.request_id) {
                    self.events.push_back(Event::Deleted {
                        request,
                        document_id: deleted.document_id,
                        undone: deleted.undone,
                    });
                }
            }
            Told::Directory(directory) => {
                if let Some(request) = self.requests.answered(directory.request_id) {
                    self.events.push_back(Event::Directory {
                        request,
                        documents: directory.documents,
                        has_more: directory.has_more,
                    });
                }
            }
            Told::HistoryPage(page) => {
                if let Some(request) = self.requests.answered(page.request_id) {
                    self.events.push_back(Event::History { request, page });
                }
            }
            Told::VersionSaved(saved) => {
                if let Some(request) = self.requests.answered(saved.request_id) {
                    let version = saved.version.unwrap_or_default();
                    self.events
                        .push_back(Event::VersionSaved { request, version });
                }
            }
            Told::Versions(list) => {
                if let Some(request) = self.requests.answered(list.request_id) {
                    let versions = list.versions;
                    self.events.push_back(Event::Versions { request, versions });
                }
            }
            Told::VersionDeleted(deleted) => {
                if let Some(request) = self.requests.answered(deleted.request_id) {
                    let name = deleted.name;
                    self.events
                        .push_back(Event::VersionDeleted { request, name });
                }
            }
            Told::DirectoryUpdate(update) => {
                if let Some(request) = self.requests.watched() {
                    self.events.push_back(Event::DirectoryUpdate {
                        request,
                        created: update.created,
                        deleted: update.deleted,
                        is_incomplete: update.is_incomplete,
                    });
                }
            }
            // This client does not ask to be asked.
            Told::SyncRequest(_) => {}
        }
        Ok(())
    }

    fn handle_hello_answer(&mut self, connected: wire::Connected) -> Result<(), Violation> {
        let is_renewal = self.link == Link::Live && self.renewals > 0;
        if self.link != Link::Greeting && !is_renewal {
            return Err(Violation::Unexpected("Connected"));
        }
        self.renewals = self.renewals.saturating_sub(1);
        self.link = Link::Live;
        self.backoff.reset();
        self.client_id = connected.client_id;
        if connected.message_bytes_max > 0 {
            self.message_bytes_max = connected.message_bytes_max as usize;
            let batching = &mut self.settings.batching;
            let payload_max = self
                .message_bytes_max
                .saturating_sub(OPERATIONS_OVERHEAD_BYTES);
            batching.bytes_max = batching.bytes_max.min(payload_max);
        }
        if connected.batch_operations_max > 0 {
            let batching = &mut self.settings.batching;
            batching.operations_max = batching
                .operations_max
                .min(connected.batch_operations_max as usize);
        }
        if connected.ping_period_ms > 0 {
            self.ping_period = Duration::from_millis(connected.ping_period_ms.into());
        }
        self.events.push_back(Event::Connected {
            client_id: connected.client_id,
            server_time_ms: connected.server_time_ms,
            is_renewal,
        });
        Ok(())
    }

    fn handle_opened(&mut self, opened: wire::Opened) -> Result<(), Violation> {
        let index = index_of_request(opened.request_id);
        let Some(document) = self.documents.get_mut(index) else {
            return Err(Violation::Unexpected("Opened"));
        };
        if document.is_closed() {
            // It was closed while it was being opened.
            self.send(Body::Close(wire::Close {
                document: opened.document,
                ..wire::Close::default()
            }));
            return Ok(());
        }
        if !document.is_opening() {
            return Err(Violation::Unexpected("Opened"));
        }
        self.handles.push((opened.document, index));
        document.opened(opened, &mut self.events)
    }

    fn handle_nack(&mut self, nack: &wire::Nack, now: Instant) -> Result<(), Violation> {
        let Some(index) = self.index(nack.document) else {
            return Ok(());
        };
        let document = &mut self.documents[index];
        document.refused(nack, now, &mut self.events)?;
        if document.handle().is_none() {
            self.forget_handle(nack.document);
        }
        Ok(())
    }

    fn handle_page(&mut self, page: wire::SyncResponse, now: Instant) -> Result<(), Violation> {
        let Some(index) = self.index(page.document) else {
            return Ok(());
        };
        let bytes_max = self.settings.snapshot_bytes_max;
        let chunk = page.snapshot.as_ref();
        if let Some(chunk) = chunk.filter(|chunk| chunk.bytes_total > bytes_max as u64) {
            let bytes = chunk.bytes_total;
            let message = format!("a snapshot of {bytes} bytes, more than {bytes_max}");
            let code = ErrorCode::MessageTooLarge.into();
            self.forget_handle(page.document);
            self.send(Body::Close(wire::Close {
                document: page.document,
                ..wire::Close::default()
            }));
            self.refuse_document(index, Refusal::new(code, message, false, 0), now);
            return Ok(());
        }
        let (document, events) = (&mut self.documents[index], &mut self.events);
        document.page(page, self.client_id, events)
    }

    fn handle_error(&mut self, error: wire::Error, reply_to: &str, now: Instant) {
        let (request_id, handle) = (error.request_id, error.document);
        let index = if handle == 0 {
            let index = index_of_request(request_id);
            let document = self.documents.get(index);
            document.is_some_and(Document::is_opening).then_some(index)
        } else {
            self.index(handle)
        };
        let refusal = Refusal::from(error);
        match index {
            _ if self.link == Link::Greeting && refusal.retryable => {
                self.come_back_later(refusal, now);
            }
            _ if self.link == Link::Greeting => self.refuse_for_ever(refusal),
            Some(index) if self.documents[index].is_opening() => {
                self.refuse_document(index, refusal, now);
            }
            Some(index) if refusal.is(ErrorCode::DocumentNotOpen) => {
                self.forget_handle(handle);
                self.documents[index].reopen(None);
            }
            Some(index) if refusal.is(ErrorCode::DocumentDeleted) => {
                self.forget_handle(handle);
                self.refuse_document(index, refusal, now);
            }
            Some(index) => self.handle_document_error(index, refusal, reply_to, now),
            None => {
                let event = match self.requests.refused(request_id, &refusal, now) {
                    Some(request) => Event::RequestRefused { request, refusal },
                    None => Event::Error {
                        document: None,
                        refusal,
                    },
                };
                self.events.push_back(event);
            }
        }
    }

    /// Something that was asked about a document that is open: to take a snapshot, or for a sync.
    fn handle_document_error(
        &mut self,
        index: usize,
        refusal: Refusal,
        reply_to: &str,
        now: Instant,
    ) {
        let document = &mut self.documents[index];
        let key = DocumentKey(index);
        match document.offers_mut().refused(reply_to, &refusal, now) {
            Refused::ForNow => return,
            Refused::ForEver { revision } => {
                self.events.push_back(Event::SnapshotRefused {
                    document: key,
                    revision,
                    refusal,
                });
                return;
            }
            Refused::Other => {}
        }
        if refusal.is(ErrorCode::SnapshotRequired) {
            document.resyncs_mut().answered();
            document.request_sync(None, refusal.retry_at(now));
            return;
        }
        if refusal.retryable {
            document.resyncs_mut().refused(&refusal, now);
        }
        self.events.push_back(Event::Error {
            document: Some(key),
            refusal,
        });
    }

    /// The document is not open, now or for ever.
    fn refuse_document(&mut self, index: usize, refusal: Refusal, now: Instant) {
        let document = DocumentKey(index);
        let is_unresumable =
            refusal.is(ErrorCode::ResumeTokenInvalid) || refusal.is(ErrorCode::SnapshotRequired);
        if is_unresumable && self.documents[index].forget_interrupted() {
            self.documents[index].reopen(None);
            return;
        }
        if refusal.retryable {
            let delay = refusal.retry_after.max(self.settings.reconnect.delay);
            self.documents[index].reopen(Some(now + delay));
            self.events.push_back(Event::Error {
                document: Some(document),
                refusal,
            });
            return;
        }
        if let Some(revision) = self.documents[index].offers_mut().take() {
            self.events.push_back(Event::SnapshotRefused {
                document,
                revision,
                refusal: refusal.clone(),
            });
        }
        let operations = self.documents[index].close();
        if !operations.is_empty() {
            self.events.push_back(Event::Refused {
                document,
                operations,
                refusal: refusal.clone(),
            });
        }
        self.events.push_back(Event::Closed { document, refusal });
    }

    fn handle_close(&mut self, close: wire::Close, now: Instant) {
        let handle = close.document;
        let refusal = Refusal::from(close);
        if handle != 0 {
            if let Some(index) = self.index(handle) {
                self.forget_handle(handle);
                self.refuse_document(index, refusal, now);
            }
        } else if refusal.retryable {
            self.come_back_later(refusal, now);
        } else {
            self.refuse_for_ever(refusal);
        }
    }

    /// The relay does not want this connection now. Those that it tells so at once do not come back at once.
    fn come_back_later(&mut self, refusal: Refusal, now: Instant) {
        if refusal.retry_after > Duration::ZERO {
            // By Goaway it may have a time of its own, which holds unless it is too early.
            let earliest = now + refusal.retry_after;
            let by_goaway = self.not_before.filter(|at| *at >= earliest);
            let own = || now + self.backoff.delay_after(refusal.retry_after);
            self.not_before = Some(by_goaway.unwrap_or_else(own));
        }
        self.events.push_back(Event::Error {
            document: None,
            refusal,
        });
        self.drop_connection = true;
        self.lose_connection(now);
    }
}

//! What a session makes of each thing that the relay says.

use std::time::Duration;

use crate::codec::wire::{self, ErrorCode, event::Body as Told, request::Body};
use crate::engine::Instant;

use super::super::document::Document;
use super::super::event::{DocumentKey, Event, Refusal, Violation};
use super::{Link, OPERATIONS_OVERHEAD_BYTES, Session, append, index_of_request};

impl Session {
    pub(super) fn handle_event(&mut self, told: Told, now: Instant) -> Result<(), Violation> {
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
            Told::SyncResponse(page) => {
                if let Some(index) = self.index(page.document) {
                    let (document, events) = (&mut self.documents[index], &mut self.events);
                    return document.page(page, self.client_id, events);
                }
            }
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
            Told::Error(error) => self.handle_error(error, now),
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
            // Answers to what this client does not ask.
            Told::SyncRequest(_)
            | Told::SnapshotAccepted(_)
            | Told::Deleted(_)
            | Told::Directory(_)
            | Told::DirectoryUpdate(_) => {}
        }
        Ok(())
    }

    fn handle_hello_answer(&mut self, connected: wire::Connected) -> Result<(), Violation> {
        if self.link != Link::Greeting {
            return Err(Violation::Unexpected("Connected"));
        }
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
        let control = &mut self.control;
        let document = &mut self.documents[index];
        document.refused(nack, now, &mut self.events, |body| {
            append(control, body);
        })?;
        if document.handle().is_none() {
            self.forget_handle(nack.document);
        }
        Ok(())
    }

    fn handle_error(&mut self, error: wire::Error, now: Instant) {
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
            _ if self.link == Link::Greeting && !refusal.retryable => self.refuse_for_ever(refusal),
            Some(index) if self.documents[index].is_opening() => {
                self.refuse_document(index, refusal, now);
            }
            Some(index) if refusal.is(ErrorCode::DocumentNotOpen) => {
                self.forget_handle(handle);
                self.documents[index].reopen(None);
            }
            Some(index) if refusal.is(ErrorCode::SnapshotRequired) => {
                self.request_sync(DocumentKey(index), None);
            }
            index => {
                if let Some(index) = index.filter(|_| refusal.is(ErrorCode::RateLimited)) {
                    self.documents[index].sync_refused();
                }
                self.events.push_back(Event::Error {
                    document: index.map(DocumentKey),
                    refusal,
                });
            }
        }
    }

    /// The document is not open, now or for ever.
    fn refuse_document(&mut self, index: usize, refusal: Refusal, now: Instant) {
        let document = DocumentKey(index);
        if refusal.retryable {
            let delay = refusal.retry_after.max(self.settings.reconnect.delay);
            self.documents[index].reopen(Some(now + delay));
            self.events.push_back(Event::Error {
                document: Some(document),
                refusal,
            });
            return;
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
            let at = now + refusal.retry_after;
            if refusal.retry_after > Duration::ZERO {
                self.not_before = Some(self.not_before.map_or(at, |earlier| earlier.max(at)));
            }
            self.events.push_back(Event::Error {
                document: None,
                refusal,
            });
            self.drop_connection = true;
            self.lose_connection(now);
        } else {
            self.refuse_for_ever(refusal);
        }
    }
}

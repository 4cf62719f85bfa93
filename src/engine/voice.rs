//! How the relay speaks to one client: in its dialect, of a document by the name that the client has for it, and, if
//! it wants to know, with how an answer came about.

use std::collections::BTreeMap;

use crate::auth::split_global_id;
use crate::codec::dialect::{About, Broadcast, Dialect};
use crate::codec::json::{self, Payload};
use crate::codec::wire::{self, Event, event};

use super::request::Asked;
use super::session::{Manner, Session};
use super::settings::Settings;
use super::time::Instant;

#[derive(Clone, Copy)]
pub struct Voice<'a> {
    manner: Manner,
    client_id: u64,
    topic: Option<Topic<'a>>,
    /// The epoch, where the document is the one that an event stream's URL names.
    epoch: Option<u64>,
    now: Instant,
    now_ms: u64,
}

/// A document that is spoken of.
#[derive(Debug, Clone, Copy)]
pub struct Topic<'a> {
    /// Its global id.
    pub name: &'a str,
    /// Empty: it is not known yet.
    pub kind_name: &'a str,
    /// Batches that wait for the store.
    pub queue_depth: usize,
}

impl<'a> Voice<'a> {
    pub fn new(
        session: &Session,
        topic: Option<Topic<'a>>,
        settings: &Settings,
        now: Instant,
    ) -> Self {
        let named = session.document.as_deref();
        let is_of_url = session.manner.dialect() == Dialect::EventStream
            && topic.is_some_and(|topic| {
                named.is_some_and(|named| split_global_id(topic.name).1 == named)
            });
        Self {
            manner: session.manner,
            client_id: session.client_id(),
            topic,
            epoch: is_of_url.then_some(settings.epoch),
            now,
            now_ms: settings.started_at_ms + now.as_millis(),
        }
    }

    /// One that speaks protobuf of no document.
    #[cfg(test)]
    pub fn of_client(client_id: u64) -> Self {
        Self {
            manner: Manner::default(),
            client_id,
            topic: None,
            epoch: None,
            now: Instant::default(),
            now_ms: 0,
        }
    }

    pub fn is_json(&self) -> bool {
        is_json(self.manner)
    }

    pub fn client_id(&self) -> u64 {
        self.client_id
    }

    pub fn now(&self) -> Instant {
        self.now
    }

    /// Appends an answer as one message with its length in front.
    pub fn append(&self, asked: &Asked, body: event::Body, out: &mut Vec<u8>) {
        let debug = asked
            .id
            .as_deref()
            .filter(|_| self.manner.is_debug)
            .map(|id| self.debug(id, asked, &body));
        let event = Event {
            reply_to: asked.id.as_deref().unwrap_or_default().to_owned(),
            debug,
            body: Some(body),
        };
        self.manner.dialect().append(&event, &self.about(), out);
    }

    /// Appends what many get. `revision`: the newest that the client has with it.
    pub fn append_broadcast(
        &self,
        broadcast: &Broadcast,
        revision: Option<u64>,
        out: &mut Vec<u8>,
    ) {
        broadcast.append(self.manner.dialect(), || self.about(), revision, out);
    }

    fn about(&self) -> About<'a> {
        About {
            context: json::Context {
                document_id: self.topic.map(|topic| split_global_id(topic.name).1),
                payload: Payload::of_kind(self.topic.map_or("", |topic| topic.kind_name)),
                timestamp_ms: self.now_ms,
                client_id: self.client_id,
            },
            epoch: self.epoch,
        }
    }

    fn debug(&self, id: &str, asked: &Asked, body: &event::Body) -> wire::Debug {
        let queue_depth = self.topic.map_or(0, |topic| topic.queue_depth);
        let mut vector_delta = BTreeMap::new();
        if let event::Body::Ack(ack) = body
            && !ack.duplicate
        {
            vector_delta.insert(self.client_id, ack.clock);
        }
        wire::Debug {
            message_id: id.to_owned(),
            // It may have come to another shard, whose clock had gone on.
            processing_us: self.now.as_micros().saturating_sub(asked.at.as_micros()),
            queue_depth: u32::try_from(queue_depth).unwrap_or(u32::MAX),
            vector_delta,
        }
    }
}

/// What JSON says of a broadcast about the document beside its event.
pub fn broadcast_context<'a>(
    document_id: &'a str,
    kind: &str,
    timestamp_ms: u64,
) -> json::Context<'a> {
    json::Context {
        document_id: Some(document_id),
        payload: Payload::of_kind(kind),
        timestamp_ms,
        client_id: 0,
    }
}

/// Whether broadcasts are wanted in JSON, too.
pub fn is_json(manner: Manner) -> bool {
    manner.dialect() != Dialect::Protobuf
}

//! What a client asks, whatever it speaks: from the bytes of one message to a request about a document of this
//! shard.

use std::sync::Arc;

use bytes::Bytes;

use crate::codec::dialect::Dialect;
use crate::codec::json::{self, Payload};
use crate::codec::request;
use crate::codec::wire::{self, request::Body};

use super::document::Document;
use super::key::SessionKey;
use super::refusal::Refusal;
use super::route;
use super::settings::Settings;
use super::shard::Shard;
use super::time::Instant;

/// The most bytes of a request's id.
const ID_BYTES_MAX: usize = 64;

/// A request to which an answer is due: what the client calls it, and when it came.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// `None`: the client does not call it anything.
    pub id: Option<Arc<str>>,
    pub at: Instant,
}

impl Asked {
    pub fn new(id: &str, at: Instant) -> Self {
        let id = (!id.is_empty()).then(|| id.into());
        Self { id, at }
    }
}

/// A message in the form that all dialects share.
pub(super) struct Request {
    pub id: String,
    /// Where the dialect names documents by their ids: the one that it is about.
    pub document_id: Option<String>,
    pub body: json::Body,
}

impl Request {
    /// # Errors
    ///
    /// [`Refusal::MalformedFrame`].
    pub fn decode(dialect: Dialect, message: Bytes, settings: &Settings) -> Result<Self, Refusal> {
        let malformed = |reason: String| Refusal::MalformedFrame(reason);
        let operations_max = settings.connection.batch_operations_max;
        let vector_entries_max = settings.document.clients_max;
        // A batch that is only a little too large is refused by itself.
        let elements_max = operations_max.max(vector_entries_max);
        let request = match dialect {
            Dialect::Protobuf => {
                let request = request::decode(message, elements_max)
                    .map_err(|error| malformed(error.to_string()))?;
                let body = request.body.expect("a request without one is not decoded");
                Self {
                    id: request.id,
                    document_id: None,
                    body: json::Body::Request(body),
                }
            }
            Dialect::Json | Dialect::EventStream => {
                let limits = json::Limits {
                    operations_max: elements_max,
                    vector_entries_max,
                };
                let message = json::decode(&message, &limits)
                    .map_err(|error| malformed(error.to_string()))?;
                Self {
                    id: message.id,
                    document_id: message.document_id,
                    body: message.body,
                }
            }
        };
        if request.id.len() > ID_BYTES_MAX {
            return Err(malformed(format!(
                "a request's id has at most {ID_BYTES_MAX} bytes"
            )));
        }
        Ok(request)
    }

    /// What the client itself calls the request in its fields.
    pub fn request_id(&self) -> u64 {
        match &self.body {
            json::Body::Request(Body::Open(open)) => open.request_id,
            json::Body::Request(Body::Delete(delete)) => delete.request_id,
            json::Body::Request(Body::List(list)) => list.request_id,
            json::Body::Request(Body::History(history)) => history.request_id,
            json::Body::Request(Body::SaveVersion(save)) => save.request_id,
            json::Body::Request(Body::ListVersions(list)) => list.request_id,
            json::Body::Request(Body::DeleteVersion(delete)) => delete.request_id,
            json::Body::Request(_) | json::Body::Operations(_) => 0,
        }
    }

    /// The handle of the document that it is about, or 0.
    pub fn handle(&self) -> u64 {
        match &self.body {
            json::Body::Request(body) => document_of(body),
            json::Body::Operations(_) => 0,
        }
    }
}

impl Shard {
    /// The shard that a request about a document is for.
    pub(super) fn shard_of(
        &mut self,
        key: SessionKey,
        request: &Request,
    ) -> Result<usize, Refusal> {
        let shards = self.settings.shards;
        let by_name = |name: &str| {
            let name = self.document_name(key, name)?;
            Ok(route::shard_of(&name, shards))
        };
        let body = match &request.body {
            json::Body::Request(Body::List(_)) => return Ok(self.settings.index),
            json::Body::Request(Body::Open(open)) => return by_name(&open.document),
            json::Body::Request(Body::Delete(delete)) => return by_name(&delete.document_id),
            json::Body::Request(Body::History(history)) => return by_name(&history.document_id),
            json::Body::Request(Body::SaveVersion(save)) => return by_name(&save.document_id),
            json::Body::Request(Body::ListVersions(list)) => return by_name(&list.document_id),
            json::Body::Request(Body::DeleteVersion(delete)) => {
                return by_name(&delete.document_id);
            }
            json::Body::Request(Body::SyncRequest(request)) if request.document == 0 => {
                return by_name(&request.document_id);
            }
            _other if self.sessions[key].manner.dialect() != Dialect::Protobuf => {
                return by_name(request.document_id.as_deref().unwrap_or_default());
            }
            json::Body::Request(body) => body,
            json::Body::Operations(_) => unreachable!("they come in JSON, which names documents"),
        };
        let shard = route::shard_of_handle(document_of(body), shards);
        let is_tied = self
            .socket_of(key)
            .is_some_and(|socket| socket.forward(shard).is_some());
        // A handle that the connection cannot have is answered here, like every handle that it does not have.
        Ok(if is_tied { shard } else { self.settings.index })
    }

    /// Puts the handle of the document that a request names by its id into the request.
    pub(super) fn address(
        &self,
        key: SessionKey,
        document_id: Option<&str>,
        body: &mut Body,
    ) -> Result<(), Refusal> {
        if self.sessions[key].manner.dialect() == Dialect::Protobuf {
            return Ok(());
        }
        let document = self.named(key, document_id);
        let handle = match body {
            Body::SyncRequest(request) => {
                request.document = document.map_or(0, |document| document.handle);
                return Ok(());
            }
            Body::Presence(presence) => &mut presence.document,
            Body::Heartbeat(heartbeat) => &mut heartbeat.document,
            Body::Close(close) => &mut close.document,
            Body::SnapshotOffer(offer) => &mut offer.document,
            Body::Open(_)
            | Body::Delete(_)
            | Body::List(_)
            | Body::History(_)
            | Body::SaveVersion(_)
            | Body::ListVersions(_)
            | Body::DeleteVersion(_)
            | Body::Hello(_)
            | Body::Operations(_)
            | Body::Ping(_)
            | Body::Pong(_) => return Ok(()),
        };
        let document = document.ok_or(Refusal::DocumentNotOpen)?;
        *handle = document.handle;
        Ok(())
    }

    /// A batch in JSON, in the form that its document's kind gives it, and what is wrong with its operations: that comes
    /// up when it is their turn.
    pub(super) fn read_batch(
        &self,
        key: SessionKey,
        document_id: Option<&str>,
        batch: &json::Operations,
    ) -> Result<(wire::Operations, Result<(), Refusal>), Refusal> {
        let document = self
            .named(key, document_id)
            .ok_or(Refusal::DocumentNotOpen)?;
        let open = document.open().ok_or(Refusal::DocumentNotOpen)?;
        let payload = Payload::of_kind(&open.kind_name);
        let mut readable = Ok(());
        let operations = batch.operations.iter().map(|operation| {
            payload.read(operation).unwrap_or_else(|error| {
                readable = Err(Refusal::OperationInvalid(error.to_string()));
                Bytes::new()
            })
        });
        let operations = operations.collect();
        let client_id = self.sessions[key].client_id();
        let batch = wire::Operations {
            document: document.handle,
            client_seq: batch.client_seq,
            first_clock: batch
                .first_clock
                .unwrap_or_else(|| open.dedupe.next_clock(client_id)),
            base_revision: batch.base_revision,
            operations,
            expected_server_vector: batch.expected_server_vector.clone(),
            expected_revision: batch.expected_revision,
        };
        Ok((batch, readable))
    }

    /// The document with that id, or that of the connection's URL, if the session has it open.
    fn named(&self, key: SessionKey, document_id: Option<&str>) -> Option<&Document> {
        let name = self.document_name(key, document_id.unwrap_or_default());
        let document = *self.names.get(&name.ok()?)?;
        let is_open = self.sessions[key].has_open(document);
        is_open.then(|| &self.documents[document])
    }
}

/// The handle of the document that a request is about, or 0.
fn document_of(body: &Body) -> u64 {
    match body {
        Body::Operations(operations) => operations.document,
        Body::SyncRequest(request) => request.document,
        Body::Presence(presence) => presence.document,
        Body::Heartbeat(heartbeat) => heartbeat.document,
        Body::Close(close) => close.document,
        Body::SnapshotOffer(offer) => offer.document,
        Body::Open(_)
        | Body::Delete(_)
        | Body::List(_)
        | Body::History(_)
        | Body::SaveVersion(_)
        | Body::ListVersions(_)
        | Body::DeleteVersion(_)
        | Body::Hello(_)
        | Body::Ping(_)
        | Body::Pong(_) => 0,
    }
}

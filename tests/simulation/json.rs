//! The JSON dialect, from the client's end: what a client asks in protobuf to JSON, and what the relay says in JSON to
//! protobuf, so that everything behind it judges both alike.
//!
//! Written from the protocol's specification, and not with the relay's codec.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use corelay::codec::wire::{self, Event, Request, event, request::Body, text_component::Edit};
use prost::Message;
use serde_json::{Map, Value, json};

/// What a client calls its documents. Its handles are their places here, from 1.
#[derive(Debug, Clone)]
pub struct Names {
    pub documents: Vec<(Arc<str>, &'static str)>,
    /// The document of the URL, which need not be named.
    pub of_url: Option<Arc<str>>,
}

impl Names {
    /// A request as the text of one message.
    pub fn request(&self, request: &Request) -> String {
        let body = request.body.as_ref().expect("every request asks something");
        let (kind, payload) = self.payload(body);
        let mut message = json!({"type": kind, "payload": payload});
        if !request.id.is_empty() {
            message["id"] = request.id.as_str().into();
        }
        message.to_string()
    }

    fn payload(&self, body: &Body) -> (&'static str, Value) {
        match body {
            Body::Hello(hello) => (
                "connect",
                json!({
                    "protocolVersion": hello.protocol_version,
                    "clientId": hex(&hello.client_uuid),
                    "token": hello.token,
                    "userId": hello.user_id,
                    "userName": hello.user_name,
                }),
            ),
            Body::Open(open) => {
                let mut payload = self.named_by(&open.document);
                payload.insert("requestId".to_owned(), open.request_id.into());
                payload.insert("kind".to_owned(), open.kind.as_str().into());
                payload.insert("create".to_owned(), open.create.into());
                add_wants(&mut payload, &Wants::of_open(open));
                ("open", payload.into())
            }
            Body::SyncRequest(sync) => {
                let mut payload = match sync.document {
                    0 => self.named_by(&sync.document_id),
                    handle => self.named(handle),
                };
                // If the document has been closed meanwhile, this opens it.
                let kind = match sync.document {
                    0 => sync.kind.as_str(),
                    handle => self.kind_of(handle),
                };
                payload.insert("kind".to_owned(), kind.into());
                payload.insert("create".to_owned(), sync.create.into());
                add_wants(&mut payload, &Wants::of_sync_request(sync));
                ("sync_request", payload.into())
            }
            Body::Operations(batch) => {
                let mut payload = self.named(batch.document);
                let is_text = self.kind_of(batch.document) == "text";
                let operations: Vec<Value> = batch
                    .operations
                    .iter()
                    .map(|operation| match is_text {
                        true => components(operation),
                        false => from_bytes(operation),
                    })
                    .collect();
                payload.insert("clientSeq".to_owned(), batch.client_seq.into());
                payload.insert("firstClock".to_owned(), batch.first_clock.into());
                payload.insert("baseRevision".to_owned(), batch.base_revision.into());
                payload.insert("operations".to_owned(), operations.into());
                if !batch.expected_server_vector.is_empty() {
                    let vector = from_vector(&batch.expected_server_vector);
                    payload.insert("expectedServerVector".to_owned(), vector);
                }
                ("operations", payload.into())
            }
            Body::Presence(presence) => {
                let mut payload = self.named(presence.document);
                let fields: Map<String, Value> = presence
                    .fields
                    .iter()
                    .map(|(name, value)| (name.clone(), from_bytes(value)))
                    .collect();
                payload.insert("isTyping".to_owned(), presence.is_typing.into());
                payload.insert("fields".to_owned(), fields.into());
                payload.insert("leave".to_owned(), presence.leave.into());
                ("presence", payload.into())
            }
            Body::Heartbeat(heartbeat) => ("heartbeat", self.named(heartbeat.document).into()),
            Body::Ping(ping) => ("ping", json!({"nonce": ping.nonce})),
            Body::Pong(pong) => ("pong", json!({"nonce": pong.nonce})),
            Body::Close(close) if close.document == 0 => ("disconnect", json!({})),
            Body::Close(close) => {
                let document = self.documents[close.document as usize - 1].0.as_ref();
                ("close", json!({"documentId": document}))
            }
            Body::SnapshotOffer(offer) => {
                let mut payload = self.named(offer.document);
                payload.insert("revision".to_owned(), offer.revision.into());
                payload.insert("bytesTotal".to_owned(), offer.bytes_total.into());
                payload.insert("offset".to_owned(), offer.offset.into());
                payload.insert("data".to_owned(), base64(&offer.data));
                ("snapshot_offer", payload.into())
            }
            Body::Delete(delete) => (
                "delete",
                json!({
                    "requestId": delete.request_id,
                    "documentId": delete.document_id,
                    "undo": delete.undo,
                }),
            ),
            Body::List(list) => (
                "list",
                json!({
                    "requestId": list.request_id,
                    "prefix": list.prefix,
                    "after": list.after,
                    "limit": list.limit,
                    "watch": list.watch,
                }),
            ),
        }
    }

    /// What the relay says in one message.
    ///
    /// # Errors
    ///
    /// What no message has.
    pub fn event(&self, text: &[u8]) -> Result<Event, String> {
        let message: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let kind = message["type"].as_str().ok_or("a message without a type")?;
        if !message["timestamp"].is_u64() {
            return Err(format!("a message without a time: {message}"));
        }
        let payload = &message["payload"];
        let body = self
            .body(kind, payload)
            .ok_or_else(|| format!("no {kind}: {message}"))?;
        Ok(Event {
            reply_to: message["id"].as_str().unwrap_or_default().to_owned(),
            body: Some(body),
            ..Event::default()
        })
    }

    fn body(&self, kind: &str, payload: &Value) -> Option<event::Body> {
        let number = |name: &str| payload[name].as_u64();
        let short = |name: &str| u32::try_from(payload[name].as_u64()?).ok();
        let is = |name: &str| payload[name].as_bool();
        let word = |name: &str| Some(payload[name].as_str()?.to_owned());
        let refusal = Refusal::read(payload);
        Some(match kind {
            "connected" => event::Body::Connected(wire::Connected {
                client_id: number("clientId")?,
                server_time_ms: number("serverTime")?,
                protocol_version: short("protocolVersion")?,
                features: Vec::new(),
                message_bytes_max: short("messageBytesMax")?,
                batch_operations_max: short("batchOperationsMax")?,
                ping_period_ms: short("pingPeriodMs")?,
                presence_ttl_ms: short("presenceTtlMs")?,
            }),
            "opened" => event::Body::Opened(wire::Opened {
                request_id: number("requestId")?,
                document: self.handle(payload)?,
                kind: word("kind")?,
                position: Some(position(&payload["position"])?),
                sync: sync(payload)?,
                from_revision: number("fromRevision")?,
                next_clock: number("nextClock")?,
                permissions: Some(wire::Permissions {
                    read: payload["permissions"]["read"].as_bool()?,
                    write: payload["permissions"]["write"].as_bool()?,
                }),
                presences: presences(payload)?,
                color: word("color")?,
            }),
            "remote_ops" => event::Body::RemoteOps(wire::RemoteOps {
                document: self.handle(payload)?,
                revision: number("revision")?,
                origin: number("origin")?,
                first_clock: number("firstClock")?,
                operations: self.operations(payload)?,
            }),
            "ack" => event::Body::Ack(wire::Ack {
                document: self.handle(payload)?,
                client_seq: number("clientSeq")?,
                first_revision: number("firstRevision")?,
                count: short("count")?,
                clock: number("clock")?,
                persisted_at_ms: number("persistedAt")?,
                durability: wire::Durability::from_str_name(&name_of(&payload["durability"])?)?
                    .into(),
                duplicate: is("duplicate")?,
            }),
            "nack" => {
                let refusal = refusal?;
                event::Body::Nack(wire::Nack {
                    // A batch for a document that is not open has no other name.
                    document: self.handle(payload).unwrap_or_default(),
                    client_seq: number("clientSeq")?,
                    code: refusal.code,
                    message: refusal.message,
                    retryable: refusal.retryable,
                    retry_after_ms: refusal.retry_after_ms,
                    next_clock: number("nextClock")?,
                    revision: number("revision")?,
                })
            }
            "sync_response" => event::Body::SyncResponse(self.page(payload)?),
            "presence_update" => event::Body::PresenceUpdate(wire::PresenceUpdate {
                document: self.handle(payload)?,
                presences: presences(payload)?,
                full: is("full")?,
            }),
            "warning" => event::Body::Warning(wire::Warning {
                document: self.handle(payload)?,
                pending_operations: number("pendingOperations")?,
                pending_bytes: number("pendingBytes")?,
            }),
            "resync" => event::Body::Resync(wire::Resync {
                document: self.handle(payload)?,
                reason: wire::ResyncReason::from_str_name(&name_of(&payload["reason"])?)?.into(),
                from: Some(position(&payload["from"])?),
                sync: sync(payload)?,
                next_clock: number("nextClock")?,
            }),
            "error" => {
                let (refusal, details) = (refusal?, &payload["details"]);
                let versions = details["supportedVersions"].as_array();
                event::Body::Error(wire::Error {
                    code: refusal.code,
                    message: refusal.message,
                    retryable: refusal.retryable,
                    retry_after_ms: refusal.retry_after_ms,
                    request_id: details["requestId"].as_u64().unwrap_or_default(),
                    document: self.handle(details).unwrap_or_default(),
                    supported_versions: versions
                        .into_iter()
                        .flatten()
                        .map(|version| u32::try_from(version.as_u64()?).ok())
                        .collect::<Option<_>>()?,
                })
            }
            "ping" => event::Body::Ping(wire::Ping {
                nonce: number("nonce")?,
            }),
            "pong" => event::Body::Pong(wire::Pong {
                nonce: number("nonce")?,
                server_time_ms: number("serverTime")?,
            }),
            "goaway" => event::Body::Goaway(wire::Goaway {
                reason: word("reason")?,
                reconnect_after_ms: short("reconnectAfterMs")?,
                jitter_ms: short("jitterMs")?,
            }),
            "close" | "disconnect" => {
                let refusal = refusal?;
                event::Body::Close(wire::Close {
                    document: match kind {
                        "close" => self.handle(payload)?,
                        _connection => 0,
                    },
                    code: refusal.code,
                    message: refusal.message,
                    retryable: refusal.retryable,
                    retry_after_ms: refusal.retry_after_ms,
                })
            }
            "sync_request" => event::Body::SyncRequest(wire::SyncRequest {
                document: self.handle(payload)?,
                state_vector: vector(&payload["stateVector"])?,
                next_clock: number("nextClock")?,
                ..Default::default()
            }),
            "snapshot_accepted" => event::Body::SnapshotAccepted(wire::SnapshotAccepted {
                document: self.handle(payload)?,
                revision: number("revision")?,
            }),
            "deleted" => event::Body::Deleted(wire::Deleted {
                request_id: number("requestId")?,
                document_id: word("documentId")?,
                undone: is("undone")?,
            }),
            "directory" => event::Body::Directory(wire::Directory {
                request_id: number("requestId")?,
                documents: entries(&payload["documents"])?,
                has_more: is("hasMore")?,
            }),
            "directory_update" => event::Body::DirectoryUpdate(wire::DirectoryUpdate {
                created: entries(&payload["created"])?,
                deleted: payload["deleted"]
                    .as_array()?
                    .iter()
                    .map(|id| Some(id.as_str()?.to_owned()))
                    .collect::<Option<_>>()?,
                is_incomplete: is("isIncomplete")?,
            }),
            _unknown => return None,
        })
    }

    fn page(&self, payload: &Value) -> Option<wire::SyncResponse> {
        let document = self.handle(payload)?;
        let snapshot = &payload["snapshot"];
        let chunk = || {
            let data = &snapshot["data"];
            Some(wire::SnapshotChunk {
                revision: snapshot["revision"].as_u64()?,
                bytes_total: snapshot["bytesTotal"].as_u64()?,
                offset: snapshot["offset"].as_u64()?,
                data: match self.kind_of(document) {
                    "text" => data.as_str()?.to_owned().into(),
                    _log => to_bytes(data)?,
                },
                next_clock: snapshot["nextClock"].as_u64()?,
            })
        };
        let mut operations = self.operations(payload)?.into_iter();
        let batches = payload["batches"].as_array()?.iter().map(|batch| {
            let count = batch["count"].as_u64()? as usize;
            let own: Vec<Bytes> = operations.by_ref().take(count).collect();
            (own.len() == count).then_some(())?;
            Some(wire::RemoteOps {
                document,
                revision: batch["revision"].as_u64()?,
                origin: batch["origin"].as_u64()?,
                first_clock: batch["firstClock"].as_u64()?,
                operations: own,
            })
        });
        let batches = batches.collect::<Option<Vec<_>>>()?;
        operations.next().is_none().then_some(())?;
        let token = payload["resumeToken"].as_str().unwrap_or_default();
        Some(wire::SyncResponse {
            document,
            snapshot: match snapshot.is_null() {
                true => None,
                false => Some(chunk()?),
            },
            operations: batches,
            has_more: payload["hasMore"].as_bool()?,
            resume_token: URL_SAFE_NO_PAD.decode(token).ok()?.into(),
            server_vector: vector(&payload["serverVector"])?,
            position: match payload["position"].is_null() {
                true => None,
                false => Some(position(&payload["position"])?),
            },
            sync: sync(payload)?,
        })
    }

    fn operations(&self, payload: &Value) -> Option<Vec<Bytes>> {
        let is_text = self.kind_of(self.handle(payload)?) == "text";
        let operations = payload["operations"].as_array()?.iter();
        let operations = operations.map(|operation| match is_text {
            true => to_components(operation),
            false => to_bytes(operation),
        });
        operations.collect()
    }

    fn handle(&self, payload: &Value) -> Option<u64> {
        let id = payload["documentId"].as_str()?;
        let place = self.documents.iter().position(|(name, _)| **name == *id)?;
        Some(place as u64 + 1)
    }

    fn kind_of(&self, handle: u64) -> &'static str {
        self.documents[handle as usize - 1].1
    }

    /// The document that a handle names, where it has to be said.
    fn named(&self, handle: u64) -> Map<String, Value> {
        let name = &self.documents[handle as usize - 1].0;
        match self.of_url.as_ref() == Some(name) {
            true => Map::new(),
            false => self.named_by(name),
        }
    }

    fn named_by(&self, name: &str) -> Map<String, Value> {
        let mut payload = Map::new();
        if !name.is_empty() {
            payload.insert("documentId".to_owned(), name.into());
        }
        payload
    }
}

/// What Open and SyncRequest have in common.
struct Wants<'a> {
    have: Option<&'a wire::Position>,
    vector: &'a BTreeMap<u64, u64>,
    resume_token: &'a [u8],
    subscribe: Option<bool>,
    snapshots: Option<bool>,
    bidirectional: bool,
}

impl<'a> Wants<'a> {
    fn of_open(open: &'a wire::Open) -> Self {
        Self {
            have: open.have.as_ref(),
            vector: &open.state_vector,
            resume_token: &open.resume_token,
            subscribe: open.subscribe,
            snapshots: open.snapshots,
            bidirectional: open.bidirectional,
        }
    }

    fn of_sync_request(sync: &'a wire::SyncRequest) -> Self {
        Self {
            have: sync.have.as_ref(),
            vector: &sync.state_vector,
            resume_token: &sync.resume_token,
            subscribe: sync.subscribe,
            snapshots: sync.snapshots,
            bidirectional: sync.bidirectional,
        }
    }
}

fn add_wants(payload: &mut Map<String, Value>, wants: &Wants<'_>) {
    let mut add = |name: &str, value: Value| payload.insert(name.to_owned(), value);
    if let Some(have) = wants.have {
        add(
            "have",
            json!({"epoch": have.epoch, "revision": have.revision}),
        );
    }
    if !wants.vector.is_empty() {
        add("stateVector", from_vector(wants.vector));
    }
    if !wants.resume_token.is_empty() {
        add(
            "resumeToken",
            URL_SAFE_NO_PAD.encode(wants.resume_token).into(),
        );
    }
    if let Some(subscribe) = wants.subscribe {
        add("subscribe", subscribe.into());
    }
    if let Some(snapshots) = wants.snapshots {
        add("snapshots", snapshots.into());
    }
    if wants.bidirectional {
        add("bidirectional", true.into());
    }
}

/// What every refusal says.
struct Refusal {
    code: i32,
    message: String,
    retryable: bool,
    retry_after_ms: u32,
}

impl Refusal {
    fn read(payload: &Value) -> Option<Self> {
        let after_s = payload["retryAfter"].as_f64().unwrap_or_default();
        Some(Self {
            code: i32::try_from(payload["code"].as_i64()?).ok()?,
            message: payload["message"].as_str()?.to_owned(),
            retryable: payload["retryable"].as_bool()?,
            retry_after_ms: (after_s * 1000.0).round() as u32,
        })
    }
}

fn sync(payload: &Value) -> Option<i32> {
    Some(wire::SyncMode::from_str_name(&name_of(&payload["sync"])?)?.into())
}

/// The name of an enum's value, which JSON has in small letters.
fn name_of(value: &Value) -> Option<String> {
    Some(value.as_str()?.to_ascii_uppercase())
}

fn position(value: &Value) -> Option<wire::Position> {
    Some(wire::Position {
        epoch: value["epoch"].as_u64()?,
        revision: value["revision"].as_u64()?,
    })
}

fn presences(payload: &Value) -> Option<Vec<wire::UserPresence>> {
    let presences = payload["presences"].as_array()?.iter().map(|presence| {
        let fields = presence["fields"].as_object();
        let fields = fields.into_iter().flatten();
        Some(wire::UserPresence {
            client_id: presence["clientId"].as_u64()?,
            user_id: presence["userId"].as_str()?.to_owned(),
            name: presence["name"].as_str()?.to_owned(),
            color: presence["color"].as_str()?.to_owned(),
            is_typing: presence["isTyping"].as_bool()?,
            fields: fields
                .map(|(name, value)| Some((name.clone(), to_bytes(value)?)))
                .collect::<Option<_>>()?,
            last_seen_ms: presence["lastSeen"].as_u64()?,
            left: presence["left"].as_bool()?,
            ..Default::default()
        })
    });
    presences.collect()
}

fn entries(value: &Value) -> Option<Vec<wire::DocumentEntry>> {
    let entries = value.as_array()?.iter().map(|entry| {
        Some(wire::DocumentEntry {
            document_id: entry["documentId"].as_str()?.to_owned(),
            kind: entry["kind"].as_str()?.to_owned(),
        })
    });
    entries.collect()
}

/// A state vector; -1 stands for nothing.
fn vector(value: &Value) -> Option<BTreeMap<u64, u64>> {
    let mut vector = BTreeMap::new();
    for (client, clock) in value.as_object()? {
        match clock.as_i64()? {
            -1 => (),
            clock => {
                vector.insert(client.parse().ok()?, u64::try_from(clock).ok()?);
            }
        }
    }
    Some(vector)
}

fn from_vector(vector: &BTreeMap<u64, u64>) -> Value {
    let entries = vector.iter();
    let entries = entries.map(|(client, clock)| (client.to_string(), Value::from(*clock)));
    Value::Object(entries.collect())
}

/// Bytes as the JSON value that they are the text of, or in base64. The rig's own values are written in one way only.
fn from_bytes(bytes: &[u8]) -> Value {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(value) if value.to_string().as_bytes() == bytes && value["base64"].is_null() => value,
        _no_value => base64(bytes),
    }
}

fn to_bytes(value: &Value) -> Option<Bytes> {
    match value.as_object().and_then(|object| object.get("base64")) {
        Some(data) => Some(STANDARD.decode(data.as_str()?).ok()?.into()),
        None => Some(value.to_string().into()),
    }
}

fn base64(bytes: &[u8]) -> Value {
    json!({"base64": STANDARD.encode(bytes)})
}

/// A text's operation as its components.
fn components(operation: &[u8]) -> Value {
    let operation = wire::TextOperation::decode(operation).expect("the client encodes it");
    let components = operation.components.into_iter();
    let components = components.map(|component| match component.edit {
        Some(Edit::Retain(length)) => json!({"retain": length}),
        Some(Edit::Insert(text)) => json!({"insert": text}),
        Some(Edit::Delete(length)) => json!({"delete": length}),
        None => json!({}),
    });
    Value::Array(components.collect())
}

fn to_components(value: &Value) -> Option<Bytes> {
    let components = value.as_array()?.iter().map(|component| {
        let (name, value) = component.as_object()?.iter().next()?;
        let edit = match name.as_str() {
            "retain" => Edit::Retain(value.as_u64()?),
            "insert" => Edit::Insert(value.as_str()?.to_owned()),
            "delete" => Edit::Delete(value.as_u64()?),
            _unknown => return None,
        };
        Some(wire::TextComponent { edit: Some(edit) })
    });
    let components = components.collect::<Option<_>>()?;
    Some(wire::TextOperation { components }.encode_to_vec().into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

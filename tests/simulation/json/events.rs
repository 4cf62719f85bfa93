//! What the relay says, out of JSON.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use corelay::codec::wire::{self, Event, event};
use serde_json::Value;

use super::Names;
use super::values::{entries, name_of, position, presences, sync, to_bytes, to_components, vector};

impl Names {
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
                shard: short("shard")?,
                content_bytes: number("contentBytes")?,
                unwritten: is("unwritten")?,
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
            "version_saved" => event::Body::VersionSaved(wire::VersionSaved {
                request_id: number("requestId")?,
                document_id: word("documentId")?,
                version: Some(version(&payload["version"])?),
            }),
            "versions" => event::Body::Versions(wire::Versions {
                request_id: number("requestId")?,
                document_id: word("documentId")?,
                versions: payload["versions"]
                    .as_array()?
                    .iter()
                    .map(version)
                    .collect::<Option<_>>()?,
            }),
            "version_deleted" => event::Body::VersionDeleted(wire::VersionDeleted {
                request_id: number("requestId")?,
                document_id: word("documentId")?,
                name: word("name")?,
            }),
            "history_page" => event::Body::HistoryPage(history(payload)?),
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
}

fn version(version: &Value) -> Option<wire::Version> {
    Some(wire::Version {
        name: version["name"].as_str()?.to_owned(),
        revision: version["revision"].as_u64()?,
        author: version["author"].as_str()?.to_owned(),
        time_ms: version["time"].as_u64()?,
    })
}

fn history(payload: &Value) -> Option<wire::HistoryPage> {
    let is_text = payload["kind"] == "text";
    let entries = payload["entries"].as_array()?.iter().map(|entry| {
        let operations = entry["operations"].as_array().into_iter().flatten();
        let operations = operations.map(|operation| match is_text {
            true => to_components(operation),
            false => to_bytes(operation),
        });
        Some(wire::HistoryEntry {
            revision: entry["revision"].as_u64()?,
            count: u32::try_from(entry["count"].as_u64()?).ok()?,
            origin: entry["origin"].as_u64()?,
            author: entry["author"].as_str()?.to_owned(),
            time_ms: entry["time"].as_u64()?,
            bytes: entry["bytes"].as_u64()?,
            operations: operations.collect::<Option<_>>()?,
        })
    });
    Some(wire::HistoryPage {
        request_id: payload["requestId"].as_u64()?,
        document_id: payload["documentId"].as_str()?.to_owned(),
        kind: payload["kind"].as_str()?.to_owned(),
        entries: entries.collect::<Option<_>>()?,
        next_revision: payload["nextRevision"].as_u64()?,
        position: Some(position(&payload["position"])?),
        first_revision: payload["firstRevision"].as_u64()?,
        oldest_revision: payload["oldestRevision"].as_u64()?,
    })
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

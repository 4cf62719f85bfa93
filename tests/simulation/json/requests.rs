//! What a client asks, in JSON.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use corelay::codec::wire::{self, Request, request::Body};
use serde_json::{Map, Value, json};

use super::Names;
use super::values::{base64, components, from_bytes, from_vector, hex};

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
                if let Some(expected) = batch.expected_revision {
                    payload.insert("expectedRevision".to_owned(), expected.into());
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
            Body::History(history) => (
                "history",
                json!({
                    "requestId": history.request_id,
                    "documentId": history.document_id,
                    "newestFirst": history.newest_first,
                    "fromRevision": history.from_revision,
                    "fromTime": history.from_time_ms,
                    "limit": history.limit,
                    "withOperations": history.with_operations,
                }),
            ),
            Body::SaveVersion(save) => (
                "save_version",
                json!({
                    "requestId": save.request_id,
                    "documentId": save.document_id,
                    "name": save.name,
                    "revision": save.revision,
                }),
            ),
            Body::ListVersions(list) => (
                "list_versions",
                json!({"requestId": list.request_id, "documentId": list.document_id}),
            ),
            Body::DeleteVersion(delete) => (
                "delete_version",
                json!({
                    "requestId": delete.request_id,
                    "documentId": delete.document_id,
                    "name": delete.name,
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

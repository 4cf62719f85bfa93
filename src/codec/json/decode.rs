//! A client's JSON text to a [`Message`], within bounds.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::codec::wire::{self, request};

use super::object::{self, Object, object};
use super::value::{self, BASE64_URL};
use super::{Body, JsonError, Limits, Message, Operations, shortened};

/// The version of a client that says none.
const PROTOCOL_VERSION_DEFAULT: u32 = 1;
/// The most fields that a presence may have.
const PRESENCE_FIELDS_MAX: usize = 1000;
/// What a state vector says of a client that it has no operations of.
const NO_CLOCK: i64 = -1;

/// A JSON text to what it asks for. It takes memory in proportion to the text's length.
///
/// # Errors
///
/// If the text is no message of the dialect, or has more than `limits`. Members that are not known are ignored.
pub fn decode(text: &[u8], limits: &Limits) -> Result<Message, JsonError> {
    let text = std::str::from_utf8(text)
        .map_err(|error| JsonError::Malformed(format!("no UTF-8: {error}")))?;
    let envelope: Envelope<'_> = object(text)?;
    let payload = envelope.payload.map_or("{}", RawValue::get);
    // `TYPES` lists these.
    let (document_id, body) = match &*envelope.kind {
        "connect" => hello(object(payload)?),
        "disconnect" => (None, request::Body::Close(wire::Close::default()).into()),
        "open" => open(object(payload)?, limits)?,
        "operations" => operations(object(payload)?, limits)?,
        "sync_request" => sync_request(object(payload)?, limits)?,
        "presence" => presence(object(payload)?)?,
        "heartbeat" => {
            let Named { document_id } = object(payload)?;
            let body = request::Body::Heartbeat(wire::Heartbeat::default());
            (document_id, body.into())
        }
        "ping" => {
            let Echo { nonce } = object(payload)?;
            let nonce = nonce.unwrap_or_default();
            (None, request::Body::Ping(wire::Ping { nonce }).into())
        }
        "pong" => {
            let Echo { nonce } = object(payload)?;
            let pong = wire::Pong {
                nonce: nonce.unwrap_or_default(),
                server_time_ms: 0,
            };
            (None, request::Body::Pong(pong).into())
        }
        "close" => {
            let Named { document_id } = object(payload)?;
            let body = request::Body::Close(wire::Close::default());
            (document_id, body.into())
        }
        "snapshot_offer" => snapshot_offer(object(payload)?)?,
        "delete" => delete(object(payload)?),
        "list" => list(object(payload)?),
        "history" => history(object(payload)?),
        "save_version" => save_version(object(payload)?),
        "list_versions" => list_versions(object(payload)?),
        "delete_version" => delete_version(object(payload)?),
        unknown => {
            return Err(JsonError::TypeUnknown {
                name: shortened(unknown.to_owned()),
            });
        }
    };
    Ok(Message {
        id: envelope.id.unwrap_or_default(),
        document_id: document_id.filter(|id| !id.is_empty()),
        body,
    })
}

impl From<request::Body> for Body {
    fn from(body: request::Body) -> Self {
        Self::Request(body)
    }
}

/// The 16 bytes of a UUID's text, with or without hyphens. `None`: it is none.
pub fn client_uuid(text: &str) -> Option<[u8; 16]> {
    let mut uuid = [0; 16];
    let mut digits = text.chars().filter(|character| *character != '-');
    for byte in &mut uuid {
        for _ in 0..2 {
            let digit = digits.next()?.to_digit(16)?;
            *byte = *byte << 4 | u8::try_from(digit).expect("below 16");
        }
    }
    digits.next().is_none().then_some(uuid)
}

/// The types of requests.
pub(super) const TYPES: [&str; 17] = [
    "connect",
    "disconnect",
    "open",
    "operations",
    "sync_request",
    "presence",
    "heartbeat",
    "ping",
    "pong",
    "close",
    "snapshot_offer",
    "delete",
    "list",
    "history",
    "save_version",
    "list_versions",
    "delete_version",
];

/// The document that a request is about, and the request.
type Decoded = (Option<String>, Body);

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    id: Option<String>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "documentId")]
    document_id: Option<String>,
}

#[derive(Deserialize)]
struct Echo {
    nonce: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hello {
    protocol_version: Option<u32>,
    #[serde(alias = "clientUuid")]
    client_id: Option<String>,
    token: Option<String>,
    user_id: Option<String>,
    user_name: Option<String>,
    debug: Option<bool>,
}

fn hello(hello: Hello) -> Decoded {
    // What is no UUID is as good as none, which Hello is refused for.
    let client_uuid = hello.client_id.as_deref().and_then(client_uuid);
    let client_uuid = client_uuid.map_or_else(Bytes::new, Bytes::from_owner);
    let hello = wire::Hello {
        protocol_version: hello.protocol_version.unwrap_or(PROTOCOL_VERSION_DEFAULT),
        client_uuid,
        token: hello.token.unwrap_or_default(),
        user_id: hello.user_id.unwrap_or_default(),
        user_name: hello.user_name.unwrap_or_default(),
        debug: hello.debug.unwrap_or_default(),
    };
    (None, request::Body::Hello(hello).into())
}

#[derive(Deserialize)]
struct Position {
    epoch: Option<u64>,
    revision: Option<u64>,
}

fn position(position: Option<Object<Position>>) -> Option<wire::Position> {
    position.map(|Object(position)| wire::Position {
        epoch: position.epoch.unwrap_or_default(),
        revision: position.revision.unwrap_or_default(),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Open<'a> {
    request_id: Option<u64>,
    document_id: Option<String>,
    kind: Option<String>,
    have: Option<Object<Position>>,
    create: Option<bool>,
    #[serde(borrow)]
    state_vector: Option<&'a RawValue>,
    resume_token: Option<String>,
    subscribe: Option<bool>,
    snapshots: Option<bool>,
    bidirectional: Option<bool>,
    from_newest: Option<bool>,
}

fn open(open: Open<'_>, limits: &Limits) -> Result<Decoded, JsonError> {
    let message = wire::Open {
        request_id: open.request_id.unwrap_or_default(),
        document: open.document_id.clone().unwrap_or_default(),
        kind: open.kind.unwrap_or_default(),
        have: position(open.have),
        create: open.create.unwrap_or_default(),
        state_vector: state_vector(open.state_vector, limits)?,
        resume_token: resume_token(open.resume_token)?,
        subscribe: open.subscribe,
        snapshots: open.snapshots,
        bidirectional: open.bidirectional.unwrap_or_default(),
        from_newest: open.from_newest.unwrap_or_default(),
    };
    Ok((open.document_id, request::Body::Open(message).into()))
}

fn sync_request(sync: Open<'_>, limits: &Limits) -> Result<Decoded, JsonError> {
    let message = wire::SyncRequest {
        document: 0,
        have: position(sync.have),
        state_vector: state_vector(sync.state_vector, limits)?,
        resume_token: resume_token(sync.resume_token)?,
        subscribe: sync.subscribe,
        snapshots: sync.snapshots,
        bidirectional: sync.bidirectional.unwrap_or_default(),
        document_id: sync.document_id.clone().unwrap_or_default(),
        kind: sync.kind.unwrap_or_default(),
        create: sync.create.unwrap_or(true),
        next_clock: 0,
    };
    let body = request::Body::SyncRequest(message);
    Ok((sync.document_id, body.into()))
}

fn resume_token(text: Option<String>) -> Result<Bytes, JsonError> {
    value::from_base64(&BASE64_URL, &text.unwrap_or_default())
}

/// The highest clock of each client, without those that have none.
fn state_vector(
    object: Option<&RawValue>,
    limits: &Limits,
) -> Result<BTreeMap<u64, u64>, JsonError> {
    let Some(object) = object else {
        return Ok(BTreeMap::new());
    };
    let entries_max = limits.vector_entries_max;
    let clocks: BTreeMap<u64, i64> =
        object::map(object, entries_max)?.ok_or(JsonError::TooManyEntries { entries_max })?;
    let mut vector = BTreeMap::new();
    for (client, clock) in clocks {
        if clock == NO_CLOCK {
            continue;
        }
        let clock = u64::try_from(clock).map_err(|_| {
            JsonError::Malformed(format!("a state vector's clock is {clock}, below -1"))
        })?;
        vector.insert(client, clock);
    }
    Ok(vector)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Batch<'a> {
    document_id: Option<String>,
    client_seq: Option<u64>,
    first_clock: Option<u64>,
    base_revision: Option<u64>,
    #[serde(borrow, alias = "ops")]
    operations: &'a RawValue,
    #[serde(borrow)]
    expected_server_vector: Option<&'a RawValue>,
    expected_revision: Option<u64>,
}

fn operations(batch: Batch<'_>, limits: &Limits) -> Result<Decoded, JsonError> {
    let operations_max = limits.operations_max;
    let operations = object::list(batch.operations, operations_max)?
        .ok_or(JsonError::TooManyOperations { operations_max })?;
    let operations = Operations {
        client_seq: batch.client_seq.unwrap_or_default(),
        first_clock: batch.first_clock,
        base_revision: batch.base_revision.unwrap_or_default(),
        operations,
        expected_server_vector: state_vector(batch.expected_server_vector, limits)?,
        expected_revision: batch.expected_revision,
    };
    Ok((batch.document_id, Body::Operations(operations)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Presence<'a> {
    document_id: Option<String>,
    cursor: Option<Object<Cursor>>,
    selection: Option<Object<Selection>>,
    is_typing: Option<bool>,
    #[serde(borrow)]
    fields: Option<&'a RawValue>,
    leave: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cursor {
    block_id: Option<String>,
    offset: Option<u64>,
}

#[derive(Deserialize)]
struct Selection {
    anchor: Option<Object<Cursor>>,
    focus: Option<Object<Cursor>>,
}

fn cursor(Object(cursor): Object<Cursor>) -> wire::Cursor {
    wire::Cursor {
        block_id: cursor.block_id.unwrap_or_default(),
        offset: cursor.offset.unwrap_or_default(),
    }
}

fn presence(presence: Presence<'_>) -> Result<Decoded, JsonError> {
    let fields_max = PRESENCE_FIELDS_MAX;
    let mut fields = BTreeMap::new();
    if let Some(object) = presence.fields {
        let values: BTreeMap<String, &RawValue> =
            object::map(object, fields_max)?.ok_or(JsonError::TooManyFields { fields_max })?;
        for (name, value) in values {
            fields.insert(name, value::read(value)?);
        }
    }
    let message = wire::Presence {
        document: 0,
        cursor: presence.cursor.map(cursor),
        selection: presence.selection.map(|Object(selection)| wire::Selection {
            anchor: selection.anchor.map(cursor),
            focus: selection.focus.map(cursor),
        }),
        is_typing: presence.is_typing.unwrap_or_default(),
        fields,
        leave: presence.leave.unwrap_or_default(),
    };
    let body = request::Body::Presence(message);
    Ok((presence.document_id, body.into()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SnapshotOffer<'a> {
    document_id: Option<String>,
    revision: u64,
    bytes_total: u64,
    offset: Option<u64>,
    #[serde(borrow)]
    data: &'a RawValue,
}

fn snapshot_offer(offer: SnapshotOffer<'_>) -> Result<Decoded, JsonError> {
    let message = wire::SnapshotOffer {
        document: 0,
        revision: offer.revision,
        bytes_total: offer.bytes_total,
        offset: offer.offset.unwrap_or_default(),
        data: value::read_base64(offer.data)?,
    };
    let body = request::Body::SnapshotOffer(message);
    Ok((offer.document_id, body.into()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delete {
    request_id: Option<u64>,
    document_id: Option<String>,
    undo: Option<bool>,
    expected_revision: Option<u64>,
}

fn delete(delete: Delete) -> Decoded {
    let message = wire::Delete {
        request_id: delete.request_id.unwrap_or_default(),
        document_id: delete.document_id.clone().unwrap_or_default(),
        undo: delete.undo.unwrap_or_default(),
        expected_revision: delete.expected_revision,
    };
    let body = request::Body::Delete(message);
    (delete.document_id, body.into())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    request_id: Option<u64>,
    prefix: Option<String>,
    after: Option<String>,
    limit: Option<u32>,
    watch: Option<bool>,
}

fn list(list: List) -> Decoded {
    let message = wire::List {
        request_id: list.request_id.unwrap_or_default(),
        prefix: list.prefix.unwrap_or_default(),
        after: list.after.unwrap_or_default(),
        limit: list.limit.unwrap_or_default(),
        watch: list.watch.unwrap_or_default(),
    };
    (None, request::Body::List(message).into())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct History {
    request_id: Option<u64>,
    document_id: Option<String>,
    newest_first: Option<bool>,
    from_revision: Option<u64>,
    from_time: Option<u64>,
    limit: Option<u32>,
    with_operations: Option<bool>,
}

fn history(history: History) -> Decoded {
    let message = wire::History {
        request_id: history.request_id.unwrap_or_default(),
        document_id: history.document_id.clone().unwrap_or_default(),
        newest_first: history.newest_first.unwrap_or_default(),
        from_revision: history.from_revision.unwrap_or_default(),
        from_time_ms: history.from_time.unwrap_or_default(),
        limit: history.limit.unwrap_or_default(),
        with_operations: history.with_operations.unwrap_or_default(),
    };
    let body = request::Body::History(message);
    (history.document_id, body.into())
}

/// What every request about versions may have.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    request_id: Option<u64>,
    document_id: Option<String>,
    name: Option<String>,
    revision: Option<u64>,
}

fn save_version(version: Version) -> Decoded {
    let message = wire::SaveVersion {
        request_id: version.request_id.unwrap_or_default(),
        document_id: version.document_id.clone().unwrap_or_default(),
        name: version.name.unwrap_or_default(),
        revision: version.revision.unwrap_or_default(),
    };
    let body = request::Body::SaveVersion(message);
    (version.document_id, body.into())
}

fn list_versions(version: Version) -> Decoded {
    let message = wire::ListVersions {
        request_id: version.request_id.unwrap_or_default(),
        document_id: version.document_id.clone().unwrap_or_default(),
    };
    let body = request::Body::ListVersions(message);
    (version.document_id, body.into())
}

fn delete_version(version: Version) -> Decoded {
    let message = wire::DeleteVersion {
        request_id: version.request_id.unwrap_or_default(),
        document_id: version.document_id.clone().unwrap_or_default(),
        name: version.name.unwrap_or_default(),
    };
    let body = request::Body::DeleteVersion(message);
    (version.document_id, body.into())
}

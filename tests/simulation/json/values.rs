//! Single values of the JSON dialect, in both directions.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use corelay::codec::wire::{self, text_component::Edit};
use prost::Message;
use serde_json::{Value, json};

pub(super) fn sync(payload: &Value) -> Option<i32> {
    Some(wire::SyncMode::from_str_name(&name_of(&payload["sync"])?)?.into())
}

/// The name of an enum's value, which JSON has in small letters.
pub(super) fn name_of(value: &Value) -> Option<String> {
    Some(value.as_str()?.to_ascii_uppercase())
}

pub(super) fn position(value: &Value) -> Option<wire::Position> {
    Some(wire::Position {
        epoch: value["epoch"].as_u64()?,
        revision: value["revision"].as_u64()?,
    })
}

pub(super) fn presences(payload: &Value) -> Option<Vec<wire::UserPresence>> {
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

pub(super) fn entries(value: &Value) -> Option<Vec<wire::DocumentEntry>> {
    let entries = value.as_array()?.iter().map(|entry| {
        Some(wire::DocumentEntry {
            document_id: entry["documentId"].as_str()?.to_owned(),
            kind: entry["kind"].as_str()?.to_owned(),
        })
    });
    entries.collect()
}

/// A state vector; -1 stands for nothing.
pub(super) fn vector(value: &Value) -> Option<BTreeMap<u64, u64>> {
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

pub(super) fn from_vector(vector: &BTreeMap<u64, u64>) -> Value {
    let entries = vector.iter();
    let entries = entries.map(|(client, clock)| (client.to_string(), Value::from(*clock)));
    Value::Object(entries.collect())
}

/// Bytes as the JSON value that they are the text of, or in base64. The rig's own values are written in one way only.
pub(super) fn from_bytes(bytes: &[u8]) -> Value {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(value) if value.to_string().as_bytes() == bytes && value["base64"].is_null() => value,
        _no_value => base64(bytes),
    }
}

pub(super) fn to_bytes(value: &Value) -> Option<Bytes> {
    match value.as_object().and_then(|object| object.get("base64")) {
        Some(data) => Some(STANDARD.decode(data.as_str()?).ok()?.into()),
        None => Some(value.to_string().into()),
    }
}

pub(super) fn base64(bytes: &[u8]) -> Value {
    json!({"base64": STANDARD.encode(bytes)})
}

/// A text's operation as its components.
pub(super) fn components(operation: &[u8]) -> Value {
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

pub(super) fn to_components(value: &Value) -> Option<Bytes> {
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

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

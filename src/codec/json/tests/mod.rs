//! What clients write, what they are told, and that what was written is what is read.

mod events;
mod payloads;
mod requests;

use bytes::Bytes;

use crate::codec::wire::{Event, Position};

use super::*;

const LIMITS: Limits = Limits {
    operations_max: 3,
    vector_entries_max: 3,
};

fn context(payload: Payload) -> Context<'static> {
    Context {
        document_id: Some("doc"),
        payload,
        timestamp_ms: 1_699_900_000_000,
        client_id: 42,
    }
}

fn encoded_with(event: &Event, context: &Context<'_>) -> String {
    let mut out = b"before".to_vec();
    encode(event, context, &mut out);
    assert!(out.starts_with(b"before"));
    String::from_utf8(out.split_off(6)).expect("JSON is UTF-8")
}

fn written(payload: Payload, bytes: &[u8]) -> String {
    let mut out = Vec::new();
    payload.write(bytes, &mut out);
    String::from_utf8(out).expect("JSON is UTF-8")
}

fn read(payload: Payload, text: &str) -> Result<Bytes, JsonError> {
    payload.read(serde_json::from_str(text).expect("JSON"))
}

fn position(epoch: u64, revision: u64) -> Option<Position> {
    Some(Position { epoch, revision })
}

//! The JSON dialect. Not spoken yet.
use super::wire::{self, request};
use bytes::Bytes;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
pub struct Message {
    pub id: String,
    pub document_id: Option<String>,
    pub body: Body,
}
pub enum Body {
    Request(request::Body),
    Operations(Operations),
}
pub struct Operations {
    pub client_seq: u64,
    pub first_clock: Option<u64>,
    pub base_revision: u64,
    pub operations: Vec<Box<RawValue>>,
    pub expected_server_vector: BTreeMap<u64, u64>,
}
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub operations_max: usize,
    pub vector_entries_max: usize,
}
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(pub String);
pub fn decode(_text: &[u8], _limits: &Limits) -> Result<Message, JsonError> {
    Err(JsonError("JSON is not spoken yet".to_owned()))
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    Json,
    TextComponents,
}
impl Payload {
    pub fn of_kind(kind: &str) -> Self {
        if kind == "text" {
            Self::TextComponents
        } else {
            Self::Json
        }
    }
    pub fn read(&self, _json: &RawValue) -> Result<Bytes, JsonError> {
        Err(JsonError("JSON is not spoken yet".to_owned()))
    }
}
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub document_id: Option<&'a str>,
    pub payload: Payload,
    pub timestamp_ms: u64,
    pub client_id: u64,
}
pub fn encode(_event: &wire::Event, _context: &Context<'_>, _out: &mut Vec<u8>) {}

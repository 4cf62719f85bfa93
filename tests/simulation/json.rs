//! The JSON dialect, from the client's end: what a client asks in protobuf to JSON, and what the relay says in JSON to
//! protobuf, so that everything behind it judges both alike.
//!
//! Written from the protocol's specification, and not with the relay's codec.

mod events;
mod requests;
mod values;

use std::sync::Arc;

use serde_json::{Map, Value};

/// What a client calls its documents. Its handles are their places here, from 1.
#[derive(Debug, Clone)]
pub struct Names {
    pub documents: Vec<(Arc<str>, &'static str)>,
    /// The document of the URL, which need not be named.
    pub of_url: Option<Arc<str>>,
}

impl Names {
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

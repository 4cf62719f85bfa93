//! A document: what its tenant's clients call it, and what it is called inside the relay.

use std::sync::Arc;

#[derive(Debug, Clone)]
pub struct Document {
    pub id: Arc<str>,
    /// Inside the relay: with its tenant in front.
    pub name: Arc<str>,
    pub kind: &'static str,
}

impl Document {
    pub fn new(tenant: &str, id: &str, kind: &'static str) -> Self {
        let name = match tenant {
            "" if !id.contains("::") => id.to_owned(),
            tenant => format!("{tenant}::{id}"),
        };
        Self {
            id: id.into(),
            name: name.into(),
            kind,
        }
    }
}

/// Whose it is.
pub fn tenant_of(name: &str) -> &str {
    name.split_once("::").map_or("", |(tenant, _)| tenant)
}

//! What a token grants, from the client's end. Written from the README, and not with the relay's patterns.

use serde_json::{Value, json};

use super::document::Document;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    Read,
    Write,
    Create,
    Delete,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// Ids, or with a `*` behind them the beginnings of ids.
    pub documents: Vec<String>,
    pub rights: Vec<Right>,
}

impl Rights {
    pub const ALL: [Right; 4] = [Right::Read, Right::Write, Right::Create, Right::Delete];

    pub fn all() -> Self {
        Self {
            documents: vec!["*".to_owned()],
            rights: Self::ALL.to_vec(),
        }
    }

    pub fn allow(&self, right: Right, document: &Document) -> bool {
        let names = |named: &String| match named.strip_suffix('*') {
            Some(beginning) => document.id.starts_with(beginning),
            None => **named == *document.id,
        };
        self.rights.contains(&right) && self.documents.iter().any(names)
    }

    /// The claim `permissions`.
    pub fn permissions(&self) -> Value {
        let words = self.rights.iter().map(|right| match right {
            Right::Read => "read",
            Right::Write => "write",
            Right::Create => "create",
            Right::Delete => "delete",
        });
        json!(words.collect::<Vec<_>>())
    }
}

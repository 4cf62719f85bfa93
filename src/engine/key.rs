//! What names a session, a document and a connection of one shard.

use slotmap::{Key, KeyData, new_key_type};

/// A connection of this shard. Never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

new_key_type! {
    /// A session of this shard. Never given twice.
    pub struct SessionKey;
}

impl From<SessionKey> for ConnectionId {
    fn from(key: SessionKey) -> Self {
        Self(key.data().as_ffi())
    }
}

impl From<ConnectionId> for SessionKey {
    fn from(connection: ConnectionId) -> Self {
        KeyData::from_ffi(connection.0).into()
    }
}

new_key_type! {
    /// An open document of this shard. Never given twice.
    pub struct DocumentKey;
}

impl DocumentKey {
    pub fn from_token(token: u64) -> Self {
        KeyData::from_ffi(token).into()
    }

    pub fn token(self) -> u64 {
        self.data().as_ffi()
    }
}

//! What names a session, a document and a connection of one shard.

use slotmap::{Key, KeyData, new_key_type};

/// A connection of this shard. Never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

new_key_type! {
    /// A session of this shard. Never given twice.
    pub struct SessionKey;
}

impl ConnectionId {
    /// What people call it, who may have to type it: its shard, its place in the shard's table, and how many have been
    /// there, itself included. "0-17.3" is the third in place 17 of shard 0.
    pub fn name(self, shard: usize) -> String {
        // A place's version is odd while somebody is there, and rises by two.
        let (place, version) = (self.0 & u64::from(u32::MAX), self.0 >> 32);
        format!("{shard}-{place}.{}", version.div_ceil(2))
    }

    /// The shard and the connection that this names. `None`: it is no name.
    pub fn from_name(name: &str) -> Option<(usize, Self)> {
        let (shard, rest) = name.split_once('-')?;
        let (place, turn) = rest.split_once('.')?;
        let (place, turn) = (place.parse::<u32>().ok()?, turn.parse::<u32>().ok()?);
        let version = turn.checked_mul(2)?.checked_sub(1)?;
        let connection = Self(u64::from(version) << 32 | u64::from(place));
        Some((shard.parse().ok()?, connection))
    }
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

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    #[test]
    fn a_connection_s_name_is_short_and_leads_back_to_it() {
        let mut sessions = SlotMap::<SessionKey, ()>::with_key();
        for expected in ["3-1.1", "3-1.2", "3-1.3"] {
            let key = sessions.insert(());
            let connection = ConnectionId::from(key);
            assert_eq!(connection.name(3), expected);
            assert_eq!(ConnectionId::from_name(expected), Some((3, connection)));
            sessions.remove(key);
        }
        for none in [
            "",
            "3",
            "3-1",
            "3-1.",
            "3-1.0",
            "3-.1",
            "-1.1",
            "a-1.1",
            "3-1.x",
            "3-1.1.1",
            "3-4294967297",
            "3-1.4294967295",
        ] {
            assert_eq!(ConnectionId::from_name(none), None, "{none}");
        }
    }
}

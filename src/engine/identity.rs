//! Who a client is.

use crate::codec::wire;

use super::refusal::Refusal;

/// The most bytes of a user id and of a user name.
const USER_BYTES_MAX: usize = 128;
const UUID_BYTES: usize = 16;
/// Client ids are exact as a JavaScript number.
const CLIENT_ID_MASK: u64 = (1 << 53) - 1;

/// What a connection has shown itself to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub client_id: u64,
    pub user_id: String,
    pub user_name: String,
}

impl Identity {
    /// Who says this Hello.
    ///
    /// # Errors
    ///
    /// [`Refusal::HelloInvalid`] if a field is out of range.
    pub fn new(key: &[u8; 32], hello: wire::Hello) -> Result<Self, Refusal> {
        check(&hello)?;
        Ok(Self {
            client_id: client_id(key, "", &hello.user_id, &hello.client_uuid),
            user_id: hello.user_id,
            user_name: hello.user_name,
        })
    }
}

fn check(hello: &wire::Hello) -> Result<(), Refusal> {
    if hello.client_uuid.len() != UUID_BYTES {
        return Err(Refusal::HelloInvalid("client_uuid must have 16 bytes"));
    }
    if hello.user_id.len() > USER_BYTES_MAX || hello.user_name.len() > USER_BYTES_MAX {
        return Err(Refusal::HelloInvalid(
            "user_id and user_name have at most 128 bytes",
        ));
    }
    Ok(())
}

/// The same for the same client for ever, and nobody can choose another's: a keyed hash.
fn client_id(key: &[u8; 32], tenant: &str, user_id: &str, client_uuid: &[u8]) -> u64 {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in [tenant.as_bytes(), user_id.as_bytes(), client_uuid] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let hash = hasher.finalize();
    let first = hash.as_bytes().first_chunk().expect("a hash has 32 bytes");
    (u64::from_le_bytes(*first) & CLIENT_ID_MASK).max(1)
}

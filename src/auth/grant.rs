//! What a token gives its bearer.

use super::pattern::Pattern;

/// What a genuine token says, checked: who its bearer is, and what they may do until when.
///
/// | claim | | |
/// |---|---|---|
/// | `sub` | required | the user: 1 to 128 bytes, no control characters |
/// | `exp` | required | seconds since 1970, when the token ends |
/// | `iat` | | seconds since 1970, when the token was issued: at most [`Rules::lifetime_max_ms`](super::Rules) before `exp` |
/// | `jti` | | the token's own id, by which it can be revoked: 1 to 256 bytes, no control characters |
/// | `nbf` | | seconds since 1970, before which it is not valid |
/// | `name` | "" | what others read: at most 128 bytes, no control characters |
/// | `tenant` | "" | see [`is_tenant`](super::is_tenant) |
/// | `documents` | `["*"]` | at most 1000 ids within the tenant, or [patterns](Pattern) of them |
/// | `permissions` | `["read", "write", "create"]` | some of these and `"delete"` |
/// | `iss`, `aud` | | see [`Rules`](super::Rules) |
///
/// A claim that is `null` is absent; other claims are ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Empty: the tenant without a name.
    pub tenant: String,
    pub user_id: String,
    /// Empty: the token does not say.
    pub user_name: String,
    /// Within the tenant; what none of them names is not granted.
    pub documents: Vec<Pattern>,
    /// For each of the documents.
    pub permissions: Permissions,
    /// What the token can be revoked by.
    pub token_id: Option<String>,
    /// In milliseconds since 1970.
    pub issued_at_ms: Option<u64>,
    /// The first millisecond since 1970 at which the token is no longer accepted, the leeway included.
    pub expires_at_ms: u64,
}

/// The most bytes of a user's id and name.
pub const USER_BYTES_MAX: usize = 128;
/// The most bytes of a token's id.
pub const TOKEN_ID_BYTES_MAX: usize = 256;

/// Whether this can be a user's name, and unless it is empty, a user's id: at most 128 bytes, no control characters.
pub fn is_user_text(text: &str) -> bool {
    text.len() <= USER_BYTES_MAX && !text.chars().any(char::is_control)
}

/// Whether this can be a token's id: 1 to 256 bytes, no control characters.
pub fn is_token_id(text: &str) -> bool {
    (1..=TOKEN_ID_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// What may be done with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions {
    pub read: bool,
    pub write: bool,
    /// Bringing a document into being that is not there.
    pub create: bool,
    pub delete: bool,
}

impl Grant {
    /// What may be done with a document, named within the tenant. `None`: it is not granted at all.
    pub fn permissions_for(&self, document: &str) -> Option<Permissions> {
        let is_granted = self.documents.iter().any(|named| named.matches(document));
        is_granted.then_some(self.permissions)
    }
}

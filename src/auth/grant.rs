//! What a token gives its bearer.

use super::pattern::Pattern;

/// What a genuine token says, checked: who its bearer is, and what they may do until when.
///
/// | claim | | |
/// |---|---|---|
/// | `sub` | required | the user: 1 to 128 bytes, no control characters |
/// | `exp` | required | seconds since 1970, when the token ends |
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
    /// The first millisecond since 1970 at which the token is no longer accepted, the leeway included.
    pub expires_at_ms: u64,
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

//! Who a client is, and what it may do.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::{Grant, Permissions, Revocations, TokenError, split_global_id};
use crate::codec::wire;

use super::inquiry::Backend;
use super::refusal::Refusal;
use super::settings::{Authority, Settings};
use super::time::Instant;

/// The most bytes of a user id and of a user name.
const USER_BYTES_MAX: usize = 128;
const UUID_BYTES: usize = 16;
/// Client ids are exact as a JavaScript number.
const CLIENT_ID_MASK: u64 = (1 << 53) - 1;

/// A tenant's user: a keyed hash of both names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub u128);

/// What a connection has shown itself to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub client_id: u64,
    /// Who is counted against the limits of a user. `None`: nobody is named.
    pub user: Option<UserId>,
    pub user_id: String,
    pub user_name: String,
    /// What its token grants. `None`: tokens are not asked for, and everything is granted.
    pub grant: Option<Arc<Grant>>,
    /// When the grant ends.
    pub expires_at: Option<Instant>,
}

impl Authority {
    /// What a token grants, as far as that is known here. `Ok(None)`: nobody asks for tokens.
    ///
    /// # Errors
    ///
    /// Why the token is not accepted; [`TokenError::Unjudged`] where the backend has to be asked.
    pub fn authenticate(
        &self,
        token: &str,
        unix_ms: u64,
    ) -> Result<Option<Arc<Grant>>, TokenError> {
        match self {
            Self::Anybody => Ok(None),
            Self::Tokens(verifier) => verifier
                .verify(token, unix_ms)
                .map(|grant| Some(Arc::new(grant))),
            Self::Backend(_) => Err(TokenError::Unjudged),
        }
    }

    /// Tokens that the backend may be asked about at one time; 0: there is none.
    pub fn inquiries_max(&self) -> usize {
        match self {
            Self::Anybody | Self::Tokens(_) => 0,
            Self::Backend(backend) => backend.inquiries_max,
        }
    }

    /// What was taken back, where there is something to take.
    pub fn revocations(&self) -> Option<&Arc<Revocations>> {
        match self {
            Self::Anybody => None,
            Self::Tokens(verifier) => Some(verifier.revocations()),
            Self::Backend(backend) => Some(&backend.revocations),
        }
    }

    /// The same with these revocations in place of its own.
    pub fn with_revocations(&self, revocations: Arc<Revocations>) -> Self {
        match self {
            Self::Anybody => Self::Anybody,
            Self::Tokens(verifier) => {
                let verifier = verifier.as_ref().clone().with_revocations(revocations);
                Self::Tokens(Arc::new(verifier))
            }
            Self::Backend(backend) => Self::Backend(Backend {
                revocations,
                ..backend.clone()
            }),
        }
    }

    /// Whether a grant of before was taken back.
    pub fn revokes(&self, grant: &Grant) -> bool {
        self.revocations()
            .is_some_and(|revocations| revocations.revokes(grant))
    }
}

impl Identity {
    /// Who says this Hello, whose fields are in order, and whose token grants this.
    pub fn new(settings: &Settings, hello: wire::Hello, grant: Option<Arc<Grant>>) -> Self {
        let (tenant, user_id, user_name) = match &grant {
            None => ("", hello.user_id, hello.user_name),
            Some(grant) if grant.user_name.is_empty() => {
                (&*grant.tenant, grant.user_id.clone(), hello.user_name)
            }
            Some(grant) => (
                &*grant.tenant,
                grant.user_id.clone(),
                grant.user_name.clone(),
            ),
        };
        let key = &settings.identity_key;
        let client_id = client_id(key, tenant, &user_id, &hello.client_uuid);
        let user = (!user_id.is_empty()).then(|| user(key, tenant, &user_id));
        let expires_at = grant.as_ref().map(|grant| {
            let after_ms = grant.expires_at_ms.saturating_sub(settings.started_at_ms);
            Instant::default() + Duration::from_millis(after_ms)
        });
        Self {
            client_id,
            user,
            user_id,
            user_name,
            grant,
            expires_at,
        }
    }

    /// Whether its grant has ended.
    pub fn has_expired(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|at| now >= at)
    }

    /// The tenant whose documents it sees.
    pub fn tenant(&self) -> &str {
        self.grant.as_ref().map_or("", |grant| &grant.tenant)
    }

    /// What it may do with a document of its tenant, by the document's global id.
    pub fn permissions_for(&self, document: &str) -> Permissions {
        let Some(grant) = &self.grant else {
            return Permissions {
                read: true,
                write: true,
                create: true,
                delete: true,
            };
        };
        let (_, name) = split_global_id(document);
        grant.permissions_for(name).unwrap_or_default()
    }
}

/// A grant was taken back.
pub const REVOKED: Refusal = Refusal::Unauthorized(TokenError::Revoked);
/// A grant has ended.
pub const EXPIRED: Refusal = Refusal::Unauthorized(TokenError::Expired);

/// Whether the fields of a Hello are in their ranges.
///
/// # Errors
///
/// [`Refusal::HelloInvalid`].
pub fn check(hello: &wire::Hello) -> Result<(), Refusal> {
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

/// What the client of a Hello whose fields are in order calls itself.
pub fn uuid(hello: &wire::Hello) -> [u8; UUID_BYTES] {
    let uuid = hello.client_uuid.first_chunk();
    *uuid.expect("its length was checked")
}

/// The same for the same client for ever, and nobody can choose another's: a keyed hash.
fn client_id(key: &[u8; 32], tenant: &str, user_id: &str, client_uuid: &[u8]) -> u64 {
    let hash = hash(key, &[tenant.as_bytes(), user_id.as_bytes(), client_uuid]);
    let first = hash.first_chunk().expect("a hash has 32 bytes");
    (u64::from_le_bytes(*first) & CLIENT_ID_MASK).max(1)
}

fn user(key: &[u8; 32], tenant: &str, user_id: &str) -> UserId {
    let hash = hash(key, &[tenant.as_bytes(), user_id.as_bytes()]);
    let first = hash.first_chunk().expect("a hash has 32 bytes");
    UserId(u128::from_le_bytes(*first))
}

fn hash(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

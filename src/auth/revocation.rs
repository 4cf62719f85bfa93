//! Tokens that were taken back before their time.
//!
//! A revocation names one token by its `jti`, or every token of a user that was issued (`iat`) until then; a token that
//! does not say when it was issued counts as issued before. An entry is forgotten when every token that was accepted
//! when it was made has expired: no token is accepted that lives longer than [`Rules::lifetime_max_ms`].
//!
//! [`Rules::lifetime_max_ms`]: super::Rules

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::grant::Grant;

/// What is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// The token with this `jti`, of whatever user.
    Token { token_id: String },
    /// Every token of this user that was issued until now.
    User { tenant: String, user_id: String },
}

/// For the operator's log and answers.
impl fmt::Display for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token { token_id } => write!(f, "the token {token_id:?}"),
            Self::User { tenant, user_id } if tenant.is_empty() => {
                write!(f, "the tokens of user {user_id:?} that have no tenant")
            }
            Self::User { tenant, user_id } => {
                write!(f, "the tokens of user {user_id:?} of tenant {tenant:?}")
            }
        }
    }
}

/// The revocations that still mean something. How many there are is bounded by whoever adds to them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revocations {
    /// By `jti`: when the entry is forgotten.
    tokens: BTreeMap<String, u64>,
    /// By tenant and user.
    users: BTreeMap<(String, String), UserEntry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct UserEntry {
    issued_until_ms: u64,
    forget_at_ms: u64,
}

/// The text of the revocations is no such text, or of a later format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is no list of revocations (line {line}, column {column})")]
pub struct TextInvalid {
    line: usize,
    column: usize,
}

impl Revocations {
    pub fn len(&self) -> usize {
        self.tokens.len() + self.users.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether what the token granted is taken back.
    pub fn revokes(&self, grant: &Grant) -> bool {
        let is_token_revoked = grant
            .token_id
            .as_ref()
            .is_some_and(|token_id| self.tokens.contains_key(token_id));
        let is_user_revoked = !self.users.is_empty() && {
            let user = (grant.tenant.clone(), grant.user_id.clone());
            self.users.get(&user).is_some_and(|entry| {
                grant
                    .issued_at_ms
                    .is_none_or(|issued_at_ms| issued_at_ms <= entry.issued_until_ms)
            })
        };
        is_token_revoked || is_user_revoked
    }

    /// Takes back at `now_ms`; the entry is kept until `forget_at_ms`. Milliseconds since 1970.
    pub fn add(&mut self, revocation: Revocation, now_ms: u64, forget_at_ms: u64) {
        match revocation {
            Revocation::Token { token_id } => {
                self.tokens.insert(token_id, forget_at_ms);
            }
            Revocation::User { tenant, user_id } => {
                let entry = UserEntry {
                    issued_until_ms: now_ms,
                    forget_at_ms,
                };
                self.users.insert((tenant, user_id), entry);
            }
        }
    }

    /// Lets go of the entries whose time is over.
    pub fn forget(&mut self, now_ms: u64) {
        self.tokens.retain(|_, forget_at_ms| now_ms < *forget_at_ms);
        self.users.retain(|_, entry| now_ms < entry.forget_at_ms);
    }

    /// As a text that [`from_text`](Self::from_text) reads.
    pub fn to_text(&self) -> String {
        let tokens = self.tokens.iter().map(|(token_id, forget_at_ms)| TokenRow {
            token_id: token_id.clone(),
            forget_at_ms: *forget_at_ms,
        });
        let users = self.users.iter().map(|((tenant, user), entry)| UserRow {
            tenant: tenant.clone(),
            user: user.clone(),
            issued_until_ms: entry.issued_until_ms,
            forget_at_ms: entry.forget_at_ms,
        });
        let text = Text {
            tokens: tokens.collect(),
            users: users.collect(),
        };
        serde_json::to_string_pretty(&text).expect("texts and numbers are JSON")
    }

    /// # Errors
    ///
    /// [`TextInvalid`] if it is no text of [`to_text`](Self::to_text).
    pub fn from_text(text: &str) -> Result<Self, TextInvalid> {
        let text: Text = serde_json::from_str(text).map_err(|error| TextInvalid {
            line: error.line(),
            column: error.column(),
        })?;
        let tokens = text.tokens.into_iter();
        let users = text.users.into_iter().map(|row| {
            let entry = UserEntry {
                issued_until_ms: row.issued_until_ms,
                forget_at_ms: row.forget_at_ms,
            };
            ((row.tenant, row.user), entry)
        });
        Ok(Self {
            tokens: tokens.map(|row| (row.token_id, row.forget_at_ms)).collect(),
            users: users.collect(),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    tokens: Vec<TokenRow>,
    users: Vec<UserRow>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenRow {
    token_id: String,
    forget_at_ms: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserRow {
    tenant: String,
    user: String,
    issued_until_ms: u64,
    forget_at_ms: u64,
}

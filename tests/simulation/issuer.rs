//! The operator's backend: it issues tokens and takes them back, and knows until when each of them can count.

use std::sync::Arc;

use corelay::auth::{KeyMaterial, Revocation, Revocations, Rules, Verifier};
use corelay::engine::shard::Authority;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

use super::bearer::Bearer;
use super::relay::UNIX_MS;
use super::rights::Rights;
use super::scenario::Flaw;

const SECRET: &[u8] = b"what only the operator and the relay know";
const OTHER_SECRET: &[u8] = b"what somebody else made up for themselves";
/// Times in tokens are multiples of this: exact as a fraction of a second.
const GRAIN_MS: u64 = 125;
/// The relay reckons its time from its start, and both in whole milliseconds.
const GRACE_US: u64 = 2000;
const FOREVER_MS: u64 = 1_000_000_000;

pub struct Issuer {
    /// `None`: nobody asks for tokens.
    verifier: Option<Verifier>,
    revocations: Revocations,
    taken_back: Vec<TakenBack>,
    issued: u64,
    flaw: Option<Flaw>,
}

/// A token as its bearer has it.
#[derive(Debug)]
pub struct Token {
    pub text: String,
    pub rights: Rights,
    id: String,
    tenant: &'static str,
    user: String,
    issued_at_ms: Option<u64>,
    expires_at_ms: u64,
    is_genuine: bool,
}

#[derive(Debug)]
struct TakenBack {
    what: Revocation,
    at_ms: u64,
    /// When every shard knew.
    in_force_at_us: Option<u64>,
}

/// What is wrong with a token, if anything is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    NoToken,
    Forged,
}

impl Issuer {
    pub fn new(asks_for_tokens: bool, flaw: Option<Flaw>) -> Self {
        let rules = Rules {
            issuer: None,
            audience: None,
            leeway_ms: 0,
            lifetime_max_ms: FOREVER_MS,
            token_bytes_max: 8192,
        };
        let material = KeyMaterial::Secret(SECRET.to_vec());
        let verifier = Verifier::new(&material, rules).expect("the secret is long enough");
        Self {
            verifier: asks_for_tokens.then_some(verifier),
            revocations: Revocations::default(),
            taken_back: Vec::new(),
            issued: 0,
            flaw,
        }
    }

    pub fn asks_for_tokens(&self) -> bool {
        self.verifier.is_some()
    }

    /// What the relay checks tokens with from now on.
    pub fn authority(&self) -> Authority {
        match &self.verifier {
            None => Authority::Anybody,
            Some(verifier) => {
                let revocations = Arc::new(self.revocations.clone());
                let verifier = verifier.clone().with_revocations(revocations);
                Authority::Tokens(Arc::new(verifier))
            }
        }
    }

    /// A token for a bearer who may do this. `has_time`: it says when it was issued.
    pub fn issue(
        &mut self,
        bearer: &Bearer,
        rights: &Rights,
        now_us: u64,
        lifetime_ms: u64,
        has_time: bool,
        fault: Fault,
    ) -> Token {
        self.issued += 1;
        let begin_ms = unix_ms(now_us) / GRAIN_MS * GRAIN_MS;
        let mut token = Token {
            text: String::new(),
            rights: rights.clone(),
            id: format!("token-{}", self.issued),
            tenant: bearer.tenant,
            user: bearer.user.clone(),
            issued_at_ms: has_time.then_some(begin_ms),
            expires_at_ms: begin_ms + lifetime_ms / GRAIN_MS * GRAIN_MS,
            is_genuine: fault == Fault::None,
        };
        let secret = match fault {
            Fault::None => SECRET,
            Fault::Forged => OTHER_SECRET,
            Fault::NoToken => return token,
        };
        if self.asks_for_tokens() {
            let key = EncodingKey::from_secret(secret);
            let claims = token.claims(self.flaw);
            token.text = encode(&Header::default(), &claims, &key).expect("the key signs");
        } else {
            token.expires_at_ms = u64::MAX;
        }
        token
    }

    /// Takes a token back, or all of its user. The relay is to be told the authority.
    pub fn take_back(&mut self, token: &Token, is_whole_user: bool, now_us: u64) {
        let what = match is_whole_user {
            true => Revocation::User {
                tenant: token.tenant.to_owned(),
                user_id: token.user.clone(),
            },
            false => Revocation::Token {
                token_id: token.id.clone(),
            },
        };
        let at_ms = unix_ms(now_us);
        if self.flaw != Some(Flaw::LostRevocation) {
            self.revocations
                .add(what.clone(), at_ms, at_ms + FOREVER_MS);
        }
        self.taken_back.push(TakenBack {
            what,
            at_ms,
            in_force_at_us: None,
        });
    }

    /// Every shard knows the newest authority.
    pub fn is_in_force(&mut self, now_us: u64) {
        for taken_back in &mut self.taken_back {
            taken_back.in_force_at_us.get_or_insert(now_us);
        }
    }

    /// Whether the relay may refuse the token.
    pub fn may_be_refused(&self, token: &Token, now_us: u64) -> bool {
        let has_expired = unix_ms(now_us) + 1 >= token.expires_at_ms;
        !token.is_genuine || has_expired || self.taken_back.iter().any(|it| it.takes(token))
    }

    /// Until when it can count at the longest, in microseconds.
    pub fn counts_until_us(&self, token: &Token) -> u64 {
        if !token.is_genuine {
            return 0;
        }
        let expires_at_us = (token.expires_at_ms.saturating_sub(UNIX_MS))
            .saturating_mul(1000)
            .saturating_add(GRACE_US);
        let taken_back = self.taken_back.iter().filter(|it| it.takes(token));
        let in_force = taken_back.filter_map(|it| it.in_force_at_us);
        in_force.fold(expires_at_us, u64::min)
    }
}

impl Token {
    pub fn is_genuine(&self) -> bool {
        self.is_genuine
    }

    fn claims(&self, flaw: Option<Flaw>) -> serde_json::Value {
        let seconds = |ms: u64| ms as f64 / 1000.0;
        let is_flawed = |of| flaw == Some(of);
        let mut claims = json!({
            "sub": self.user,
            "jti": self.id,
            "exp": seconds(self.expires_at_ms),
            "tenant": self.tenant,
            "documents": self.rights.documents,
            "permissions": self.rights.permissions(),
        });
        if let Some(issued_at_ms) = self.issued_at_ms {
            claims["iat"] = seconds(issued_at_ms).into();
        }
        if is_flawed(Flaw::OverlookedExpiry) {
            claims["exp"] = seconds(self.expires_at_ms + FOREVER_MS / 2).into();
        }
        if is_flawed(Flaw::OneTenant) {
            claims["tenant"] = "acme".into();
        }
        if is_flawed(Flaw::EveryDocument) {
            claims["documents"] = json!(["*"]);
        }
        if is_flawed(Flaw::EveryPermission) {
            claims["permissions"] = Rights::all().permissions();
        }
        claims
    }
}

impl TakenBack {
    fn takes(&self, token: &Token) -> bool {
        match &self.what {
            Revocation::Token { token_id } => *token_id == token.id,
            Revocation::User { tenant, user_id } => {
                let is_older = token.issued_at_ms.is_none_or(|at_ms| at_ms <= self.at_ms);
                *tenant == token.tenant && *user_id == token.user && is_older
            }
        }
    }
}

fn unix_ms(now_us: u64) -> u64 {
    UNIX_MS + now_us / 1000
}

//! Tokens that only the operator's backend can judge: the session waits, unread, while somebody asks it.

use std::sync::Arc;

use crate::auth::{Grant, Revocations, TokenError};
use crate::codec::wire;

use super::identity::{self, REVOKED};
use super::key::{ConnectionId, SessionKey};
use super::refusal::Refusal;
use super::request::Asked;
use super::shard::Shard;
use super::time::Instant;

/// What there is to know of tokens before the backend is asked.
#[derive(Debug, Clone)]
pub struct Backend {
    /// The longest token that it is asked about.
    pub token_bytes_max: usize,
    /// Inquiries of this shard that have no verdict, of sessions that are gone too.
    pub inquiries_max: usize,
    pub revocations: Arc<Revocations>,
}

/// A question to the backend. It is answered with [`Shard::handle_verdict`], once, whatever happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inquiry {
    pub connection: ConnectionId,
    pub token: String,
    /// What the client calls itself.
    pub client_uuid: [u8; 16],
}

/// A Hello that waits for its verdict. Its token is with the inquiry.
#[derive(Debug)]
pub struct Unjudged {
    hello: wire::Hello,
    /// What its answer answers.
    asked: Asked,
}

impl Shard {
    /// Has the backend asked about a Hello whose fields are in order.
    pub(super) fn inquire(
        &mut self,
        key: SessionKey,
        mut hello: wire::Hello,
        backend: &Backend,
    ) -> Result<(), Refusal> {
        let Some(socket) = self.sessions[key].socket_mut() else {
            unreachable!("Hello is handled where the socket is");
        };
        let arrived_with = socket.token.take().unwrap_or_default();
        self.ledger.input_bytes -= arrived_with.capacity();
        let token = match std::mem::take(&mut hello.token) {
            token if token.is_empty() => arrived_with,
            token => token,
        };
        let bytes_max = backend.token_bytes_max;
        if token.is_empty() {
            return Err(TokenError::Missing.into());
        }
        if token.len() > bytes_max {
            return Err(TokenError::TooLong { bytes_max }.into());
        }
        if self.inquiries_asked >= backend.inquiries_max {
            return Err(TokenError::Unjudged.into());
        }
        self.inquiries_asked += 1;
        self.inquiries.push_back(Inquiry {
            connection: key.into(),
            token,
            client_uuid: identity::uuid(&hello),
        });
        let asked = self.sessions[key].asked.clone();
        if let Some(socket) = self.socket_of(key) {
            socket.unjudged = Some(Box::new(Unjudged { hello, asked }));
        }
        Ok(())
    }

    /// Goes on with the Hello that the verdict is about, if its client is still there.
    pub(super) fn judge(
        &mut self,
        key: SessionKey,
        verdict: Result<Arc<Grant>, TokenError>,
        now: Instant,
    ) {
        self.inquiries_asked -= 1;
        let unjudged = self
            .socket_of(key)
            .and_then(|socket| socket.unjudged.take());
        let Some(unjudged) = unjudged else {
            return;
        };
        self.sessions[key].asked = unjudged.asked;
        let welcomed = match verdict {
            Ok(grant) if self.settings.authority.revokes(&grant) => Err(REVOKED),
            Ok(grant) => self.welcome(key, unjudged.hello, Some(grant), now),
            Err(error) => Err(error.into()),
        };
        if let Err(refusal) = welcomed {
            self.refuse_hello(key, refusal, now);
        }
        self.forget_asked(key);
    }
}

//! Hello: the version of the protocol, who the client is, and that it is welcome.

use std::sync::Arc;

use crate::auth::Grant;
use crate::codec::dialect::Dialect;
use crate::codec::wire::{self, event};

use super::identity::{self, Identity, REVOKED};
use super::key::SessionKey;
use super::refusal::{PROTOCOL_VERSIONS, Refusal};
use super::session::Phase;
use super::settings::Authority;
use super::shard::Shard;
use super::time::Instant;

/// What there is, and since which version of the protocol.
const FEATURES: [(u32, &str); 10] = [
    (1, "log"),
    (1, "text"),
    (1, "presence"),
    (1, "resume"),
    (1, "snapshot_offers"),
    (1, "deletion"),
    (1, "directory"),
    (1, "history"),
    (2, "protobuf"),
    (3, "paging"),
];

impl Shard {
    /// The first Hello says who a client is. Where tokens are asked for, a later one brings a fresh token.
    pub(super) fn may_greet(&self, key: SessionKey) -> bool {
        let is_known = !matches!(self.sessions[key].phase, Phase::Greeting);
        match self.settings.authority {
            Authority::Anybody => !is_known,
            Authority::Tokens(_) | Authority::Backend(_) => true,
        }
    }

    /// Version, then fields, then the token; a client for whom all are good is welcome. An error ends the connection.
    pub(super) fn greet(
        &mut self,
        key: SessionKey,
        hello: wire::Hello,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.version_for(key, &hello)?;
        if let Err(refusal) = identity::check(&hello) {
            self.reply(key, refusal.error(0, 0));
            return Ok(());
        }
        let asked = match &self.settings.authority {
            Authority::Anybody | Authority::Tokens(_) => self
                .grant_of(key, &hello.token, now)
                .and_then(|grant| self.welcome(key, hello, grant, now)),
            Authority::Backend(backend) => {
                let backend = backend.clone();
                self.inquire(key, hello, &backend)
            }
        };
        if let Err(refusal) = asked {
            self.refuse_hello(key, refusal, now);
        }
        Ok(())
    }

    /// The highest version of the protocol that both speak.
    fn version_for(&self, key: SessionKey, hello: &wire::Hello) -> Result<u32, Refusal> {
        let offered = hello.protocol_version;
        let spoken = versions_of(self.sessions[key].manner.dialect());
        let version = spoken.iter().filter(|version| **version <= offered).max();
        version
            .copied()
            .ok_or(Refusal::VersionMismatch { offered, spoken })
    }

    /// What the client's token grants: the one in Hello, or else the one with which the connection was made.
    fn grant_of(
        &mut self,
        key: SessionKey,
        token: &str,
        now: Instant,
    ) -> Result<Option<Arc<Grant>>, Refusal> {
        let unix_ms = self.unix_ms(now);
        let arrived_with = self
            .socket_of(key)
            .and_then(|socket| socket.grant.take())
            .filter(|grant| token.is_empty() && unix_ms < grant.expires_at_ms);
        match arrived_with {
            Some(grant) if self.settings.authority.revokes(&grant) => Err(REVOKED),
            Some(grant) => Ok(Some(grant)),
            None => Ok(self.authenticate(token, now)?),
        }
    }

    /// A Hello is not accepted: the connection ends, unless it has said one before and this one may still be good.
    pub(super) fn refuse_hello(&mut self, key: SessionKey, refusal: Refusal, now: Instant) {
        let is_ready = matches!(self.sessions[key].phase, Phase::Ready(_));
        if is_ready && refusal.is_retryable() {
            self.reply(key, refusal.error(0, 0));
        } else {
            self.refuse_connection(key, &refusal, now);
        }
    }

    /// The client is who it says, and is told so, unless there are too many of its kind.
    pub(super) fn welcome(
        &mut self,
        key: SessionKey,
        hello: wire::Hello,
        grant: Option<Arc<Grant>>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let protocol_version = self.version_for(key, &hello)?;
        let is_debug = hello.debug;
        let identity = Identity::new(&self.settings, hello, grant);
        let known = self.sessions[key].identity();
        if known.is_some_and(|known| known.client_id != identity.client_id) {
            let refusal = Refusal::HelloInvalid("it is somebody else's");
            self.reply(key, refusal.error(0, 0));
            return Ok(());
        }
        if let Some(socket) = self.sessions[key].socket_mut()
            && socket.attendance.is_none()
        {
            match self.settings.census.enter(&identity) {
                Ok(attendance) => socket.attendance = Some(Box::new(attendance)),
                Err(refusal) => {
                    self.refusals.identity = Some(Arc::new(identity));
                    return Err(refusal);
                }
            }
        }
        let connection = &self.settings.connection;
        let connected = wire::Connected {
            client_id: identity.client_id,
            server_time_ms: self.unix_ms(now),
            protocol_version,
            features: features_of(protocol_version),
            message_bytes_max: limit_on_wire(connection.message_bytes_max),
            batch_operations_max: limit_on_wire(connection.batch_operations_max),
            ping_period_ms: limit_on_wire(connection.ping_period.as_millis()),
            presence_ttl_ms: limit_on_wire(self.settings.presence.ttl.as_millis()),
        };
        let manner = &mut self.sessions[key].manner;
        manner.version = protocol_version;
        manner.is_debug = is_debug;
        self.reply(key, event::Body::Connected(connected));
        self.identify(key, Arc::new(identity), now);
        self.set_session_alarm(key);
        Ok(())
    }
}

/// The versions of the protocol that there are in a dialect.
fn versions_of(dialect: Dialect) -> &'static [u32] {
    match dialect {
        Dialect::Protobuf => &PROTOCOL_VERSIONS[1..],
        Dialect::Json | Dialect::EventStream => &PROTOCOL_VERSIONS,
    }
}

fn features_of(version: u32) -> Vec<String> {
    let there = FEATURES.iter().filter(|(since, _)| *since <= version);
    there.map(|(_, name)| (*name).to_owned()).collect()
}

fn limit_on_wire(limit: impl TryInto<u32>) -> u32 {
    limit.try_into().unwrap_or(u32::MAX)
}

//! How fast operations may come: from one connection, from one user, to one document.

use std::time::Duration;

use crate::config;

use super::bucket::{Bucket, Rate};
use super::key::{DocumentKey, SessionKey};
use super::refusal::Refusal;
use super::shard::Shard;
use super::time::Instant;

/// The rates of `[rate]`. `None`: as fast as it comes.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    pub connection: Pace,
    pub user: Pace,
    pub document: Pace,
    pub requests: Option<Rate>,
}

/// How fast one party's operations may come, with the names of the keys that say so.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    operations: Option<(Rate, &'static str)>,
    bytes: Option<(Rate, &'static str)>,
}

/// What one party has used of its pace.
#[derive(Debug, Clone, Copy, Default)]
pub struct Meter {
    operations: Bucket,
    bytes: Bucket,
}

/// What a batch takes of each pace that it is under.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    pub operations: u64,
    pub bytes: u64,
}

impl Rates {
    pub fn new(config: &config::Rate) -> Self {
        let rate = |per_second: Option<u64>| Some(Rate::new(per_second?, config.burst));
        let pace = |operations, operations_key, bytes, bytes_key| Pace {
            operations: rate(operations).map(|rate| (rate, operations_key)),
            bytes: rate(bytes).map(|rate| (rate, bytes_key)),
        };
        Self {
            connection: pace(
                config.connection_operations_per_second,
                "rate.connection_operations_per_second",
                config.connection_bytes_per_second,
                "rate.connection_bytes_per_second",
            ),
            user: pace(
                config.user_operations_per_second,
                "rate.user_operations_per_second",
                config.user_bytes_per_second,
                "rate.user_bytes_per_second",
            ),
            document: pace(
                config.document_operations_per_second,
                "rate.document_operations_per_second",
                config.document_bytes_per_second,
                "rate.document_bytes_per_second",
            ),
            requests: rate(config.connection_requests_per_second),
        }
    }
}

impl Pace {
    pub fn is_limited(&self) -> bool {
        self.operations.is_some() || self.bytes.is_some()
    }
}

impl Meter {
    /// The longest wait until this cost may be taken, if there is any, and the key that it is for.
    pub fn wait(&self, pace: &Pace, cost: Cost, now: Instant) -> Option<(Duration, &'static str)> {
        let each = [
            (self.operations, pace.operations, cost.operations),
            (self.bytes, pace.bytes, cost.bytes),
        ];
        let waits = each.into_iter().filter_map(|(bucket, rate, tokens)| {
            let (rate, key) = rate.filter(|_| tokens > 0)?;
            let wait = bucket.wait(&rate, now);
            (wait > Duration::ZERO).then_some((wait, key))
        });
        waits.max_by_key(|(wait, _)| *wait)
    }

    pub fn take(&mut self, pace: &Pace, cost: Cost, now: Instant) {
        if let Some((rate, _)) = &pace.operations {
            self.operations.take(rate, cost.operations, now);
        }
        if let Some((rate, _)) = &pace.bytes {
            self.bytes.take(rate, cost.bytes, now);
        }
    }

    pub fn put_back(&mut self, cost: Cost) {
        self.operations.put_back(cost.operations);
        self.bytes.put_back(cost.bytes);
    }

    /// When nothing of the pace is used, if nothing more comes.
    pub fn full_at(&self, pace: &Pace) -> Instant {
        let each = [(self.operations, pace.operations), (self.bytes, pace.bytes)];
        let full = each
            .into_iter()
            .filter_map(|(bucket, rate)| Some(bucket.full_at(&rate?.0)));
        full.max().unwrap_or_default()
    }
}

impl Shard {
    /// Takes what a batch costs of every pace that it is under, or of none.
    ///
    /// # Errors
    ///
    /// [`Refusal::RateLimited`] if one of them has nothing left.
    pub(super) fn pay(
        &mut self,
        key: SessionKey,
        document: DocumentKey,
        cost: Cost,
        now: Instant,
    ) -> Result<(), Refusal> {
        let meters = self.meters(key, document);
        let waits = meters.iter().flatten();
        let waits = waits.filter_map(|(meter, pace)| meter.wait(pace, cost, now));
        if let Some((wait, rate)) = waits.max_by_key(|(wait, _)| *wait) {
            return Err(too_fast(wait, rate));
        }
        for (meter, pace) in meters.into_iter().flatten() {
            meter.take(pace, cost, now);
        }
        Ok(())
    }

    /// Gives back what a batch has paid that was not taken.
    pub(super) fn repay(&mut self, key: SessionKey, document: DocumentKey, cost: Cost) {
        for (meter, _) in self.meters(key, document).into_iter().flatten() {
            meter.put_back(cost);
        }
    }

    /// The meters that a batch of the session for the document moves.
    fn meters(
        &mut self,
        key: SessionKey,
        document: DocumentKey,
    ) -> [Option<(&mut Meter, &Pace)>; 3] {
        let rates = &self.rates;
        let session = &mut self.sessions[key];
        let connection = rates.connection.is_limited();
        let connection = connection.then(|| &mut **session.meter.get_or_insert_default());
        let user = session.user.as_ref();
        let user = user.map(|user| self.users.meter(**user));
        let open = self.documents[document].open_mut().expect("subscribed to");
        let document = rates.document.is_limited();
        let document = document.then(|| &mut **open.meter.get_or_insert_default());
        [
            (connection, &rates.connection),
            (user, &rates.user),
            (document, &rates.document),
        ]
        .map(|(meter, pace)| meter.filter(|_| pace.is_limited()).zip(Some(pace)))
    }

    /// Takes one request from the connection's rate.
    ///
    /// # Errors
    ///
    /// [`Refusal::RateLimited`] if there is none left.
    pub(super) fn pay_request(&mut self, key: SessionKey, now: Instant) -> Result<(), Refusal> {
        let Some((rate, socket)) = self.rates.requests.zip(self.socket_of(key)) else {
            return Ok(());
        };
        let wait = socket.requests.wait(&rate, now);
        if wait > Duration::ZERO {
            return Err(too_fast(wait, "rate.connection_requests_per_second"));
        }
        socket.requests.take(&rate, 1, now);
        Ok(())
    }

    /// The session is counted for its user from now on.
    pub(super) fn enter_user(&mut self, key: SessionKey, now: Instant) {
        let session = &mut self.sessions[key];
        let user = session.identity().and_then(|identity| identity.user);
        let pace = &self.rates.user;
        if let Some(user) = user.filter(|_| pace.is_limited() && session.user.is_none()) {
            session.user = Some(Box::new(user));
            self.users.enter(user, pace, now);
        }
    }

    /// The session is counted no longer.
    pub(super) fn leave_user(&mut self, key: SessionKey, now: Instant) {
        let session = self.sessions.get_mut(key);
        if let Some(user) = session.and_then(|session| session.user.take()) {
            let away_max = self.settings.connection.count_max;
            self.users.leave(*user, &self.rates.user, away_max, now);
        }
    }
}

/// The refusal of what has to wait so long, to the millisecond.
fn too_fast(wait: Duration, key: &'static str) -> Refusal {
    let retry_after_ms = wait.as_micros().div_ceil(1000);
    Refusal::RateLimited {
        key,
        retry_after_ms: u32::try_from(retry_after_ms).unwrap_or(u32::MAX),
    }
}

//! The key set of `auth.jwks_url`: asked for before the relay serves, and kept fresh while it does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode, Uri, header};
use tokio::sync::Notify;

use super::ServerError;
use super::clock::Clock;
use super::keys;
use super::outbound::{Outbound, shown, warn_of_plain_http};
use crate::auth::{KeyMaterial, Rules, Verifier};
use crate::config::{Auth, KeySource};

const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Many times what a set of as many keys as are taken has.
const SET_BYTES_MAX: usize = 256 * 1024;
/// How often the set is asked for before the relay gives up starting.
const FIRST_TRIES: usize = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(1);

pub struct KeySet {
    outbound: Outbound,
    rules: Rules,
    clock: Clock,
    refresh: Duration,
    refetch_after: Duration,
    /// Somebody has met a token of a key that is not in the set.
    wanted: Arc<Notify>,
    last: LastSet,
}

/// An address's set as it was last; a copy follows it.
#[derive(Clone)]
pub struct LastSet {
    url: Uri,
    set: Arc<Mutex<Bytes>>,
}

impl LastSet {
    /// Empty: it was not had yet.
    fn get(&self) -> Bytes {
        let set = self.set.lock();
        set.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, set: Bytes) {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner) = set;
    }
}

impl KeySet {
    /// # Errors
    ///
    /// [`ServerError::KeySet`] if the system trusts no certificates.
    pub fn new(
        config: &Auth,
        url: &Uri,
        clock: Clock,
        wanted: Arc<Notify>,
    ) -> Result<Self, ServerError> {
        warn_of_plain_http("auth.jwks_url", url, "decides who is let in");
        let outbound = Outbound::new(url, FETCH_TIMEOUT, SET_BYTES_MAX)
            .map_err(|error| refusal(url, error.to_string()))?;
        Ok(Self {
            outbound,
            rules: keys::rules(config),
            clock,
            refresh: config.jwks_refresh,
            refetch_after: config.jwks_refetch_after,
            wanted,
            last: LastSet {
                url: url.clone(),
                set: Arc::default(),
            },
        })
    }

    /// Follows it from here on.
    pub fn last(&self) -> LastSet {
        self.last.clone()
    }

    /// The keys to begin with. If they cannot be had, those of `before` do, where they are from the same address.
    ///
    /// # Errors
    ///
    /// [`ServerError::KeySet`] if they cannot be had after a few tries.
    pub async fn begin(&mut self, before: Option<&LastSet>) -> Result<Verifier, ServerError> {
        let Some(before) = before.filter(|before| before.url == self.last.url) else {
            return self.first().await;
        };
        self.last.put(before.get());
        let reason = match self.fetch().await {
            Ok(verifier) => return Ok(verifier),
            Err(reason) => reason,
        };
        tracing::warn!(
            "the keys of tokens cannot be had from {}: {reason}. Those of before are used",
            self.last.url
        );
        let adopted = self.adopt(before.get());
        adopted.map_err(|reason| refusal(&self.last.url, reason))
    }

    /// # Errors
    ///
    /// [`ServerError::KeySet`] if they cannot be had after a few tries.
    async fn first(&mut self) -> Result<Verifier, ServerError> {
        let mut reason = match self.fetch().await {
            Ok(verifier) => return Ok(verifier),
            Err(reason) => reason,
        };
        for _ in 1..FIRST_TRIES {
            tracing::warn!(
                "the keys of tokens cannot be had from {}: {reason}",
                shown(&self.last.url)
            );
            tokio::time::sleep(FIRST_PAUSE).await;
            reason = match self.fetch().await {
                Ok(verifier) => return Ok(verifier),
                Err(reason) => reason,
            };
        }
        Err(refusal(&self.last.url, reason))
    }

    /// The keys, asked for once.
    ///
    /// # Errors
    ///
    /// [`ServerError::KeySet`] if they cannot be had now.
    pub async fn ask(&mut self) -> Result<Verifier, ServerError> {
        let asked = self.fetch().await;
        asked.map_err(|reason| refusal(&self.last.url, reason))
    }

    /// The keys when they are next due, or wanted. A time without an answer leaves out a turn.
    pub async fn next(&mut self) -> Verifier {
        loop {
            tokio::time::sleep(self.refetch_after).await;
            let quiet = self.refresh.saturating_sub(self.refetch_after);
            // Either way it is time.
            let _ = tokio::time::timeout(quiet, self.wanted.notified()).await;
            match self.fetch().await {
                Ok(verifier) => return verifier,
                Err(reason) => tracing::warn!(
                    "the keys of tokens cannot be had from {}: {reason}. Those of before are used",
                    shown(&self.last.url)
                ),
            }
        }
    }

    async fn fetch(&mut self) -> Result<Verifier, String> {
        let request = Request::get(&self.last.url)
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .body(Full::default())
            .expect("a URL and a constant make a request");
        let (status, set) = match self.outbound.ask(request).await {
            Ok(answer) => answer,
            Err(error) => return Err(error.to_string()),
        };
        if status != StatusCode::OK {
            return Err(format!("the answer is {status}"));
        }
        let before = self.last.get();
        let verifier = self.adopt(set.clone())?;
        if !before.is_empty() && before != set {
            let url = shown(&self.last.url);
            tracing::info!("the keys of tokens have changed at {url}");
        }
        Ok(verifier)
    }

    /// The keys of this set.
    fn adopt(&self, set: Bytes) -> Result<Verifier, String> {
        let material = KeyMaterial::Jwks(set.to_vec());
        let verifier =
            Verifier::new(&material, self.rules.clone()).map_err(|error| error.to_string())?;
        self.last.put(set);
        let refetch_after_ms =
            u64::try_from(self.refetch_after.as_millis()).expect("at most an hour");
        Ok(verifier.stale_at(self.clock.unix_ms() + refetch_after_ms))
    }
}

fn refusal(url: &Uri, reason: String) -> ServerError {
    ServerError::KeySet {
        source_name: keys::name(&KeySource::JwksUrl(url)),
        reason,
    }
}

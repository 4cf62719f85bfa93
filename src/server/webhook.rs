//! The operator's own backend, which says what a token grants: asks it over HTTP, and remembers a while what it said.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use serde_json::json;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

use super::ServerError;
use super::clock::Clock;
use super::keys::{self, Fingerprint};
use super::log::Throttle;
use super::mailbox::Mailbox;
use super::outbound::{Outbound, shown, warn_of_plain_http};
use super::verdict_cache::{CacheKey, VerdictCache};
use crate::auth::{Grant, TokenError};
use crate::config::Auth;
use crate::engine::shard::Inquiry;

/// Many times what a grant needs.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// So often the log says that it does not answer.
const SILENCES_MAX: u64 = 10;
const SILENCE_PERIOD: Duration = Duration::from_secs(10);

/// A question, and the number of the shard that has it. How many there are is bounded by the shards.
pub type Question = (usize, Inquiry);

pub struct Webhook {
    url: Uri,
    outbound: Outbound,
    authorization: Option<HeaderValue>,
    leeway_ms: u64,
    clock: Clock,
    cache: Mutex<VerdictCache>,
    silences: Mutex<Throttle>,
}

impl Webhook {
    /// # Errors
    ///
    /// [`ServerError::Webhook`] if the secret cannot be read or sent, or the system trusts no certificates.
    pub fn new(config: &Auth, url: &Uri, clock: Clock) -> Result<Self, ServerError> {
        warn_of_plain_http("auth.webhook_url", url, "decides who is let in");
        let refuse = |reason: String| ServerError::Webhook {
            url: shown(url),
            reason,
        };
        let outbound = Outbound::new(url, config.webhook_timeout, ANSWER_BYTES_MAX)
            .map_err(|error| refuse(error.to_string()))?;
        Ok(Self {
            url: url.clone(),
            outbound,
            authorization: authorization(config)?,
            leeway_ms: keys::rules(config).leeway_ms,
            clock,
            cache: Mutex::new(VerdictCache::new(config.webhook_cache)),
            silences: Mutex::new(Throttle::new(SILENCES_MAX, SILENCE_PERIOD)),
        })
    }

    /// Of the secret that it is shown, if it is.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        let authorization = self.authorization.as_ref()?;
        Some(blake3::hash(authorization.as_bytes()).into())
    }

    /// What it said of tokens before no longer counts.
    pub fn forget(&self) {
        self.lock().clear();
    }

    async fn verdict(&self, inquiry: &Inquiry) -> Result<Arc<Grant>, TokenError> {
        // A revocation that comes while it is asked means this grant too.
        let asked_at_ms = self.clock.unix_ms();
        let key = cache_key(inquiry);
        if let Some(grant) = self.lock().get(&key, asked_at_ms) {
            return Ok(grant);
        }
        let silent = |reason: &str| {
            self.tell_of_silence(reason);
            TokenError::Unjudged
        };
        let answer = self.outbound.ask(self.request(inquiry)).await;
        let (status, body) = answer.map_err(|error| silent(&error.to_string()))?;
        match status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(TokenError::Denied),
            status => return Err(silent(&format!("the answer is {status}"))),
        }
        let grant = Grant::from_answer(&body, self.leeway_ms, asked_at_ms);
        let grant = Arc::new(grant.map_err(|error| match error {
            TokenError::Expired => error,
            error => silent(&error.to_string()),
        })?);
        self.lock()
            .put(key, Arc::clone(&grant), body.len(), asked_at_ms);
        Ok(grant)
    }

    fn tell_of_silence(&self, reason: &str) {
        let silences = self.silences.lock();
        let mut silences = silences.unwrap_or_else(PoisonError::into_inner);
        if let Some(left_out) = silences.admit(Instant::now()) {
            let left_out = Some(left_out).filter(|lines| *lines > 0);
            tracing::warn!(
                left_out,
                "no word about a token from {}: {reason}. Its client is told to try again",
                shown(&self.url)
            );
        }
    }

    fn request(&self, inquiry: &Inquiry) -> Request<Full<Bytes>> {
        let body = json!({ "token": inquiry.token, "client": uuid_text(inquiry.client_uuid) });
        let mut request = Request::post(&self.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .body(Full::from(body.to_string()))
            .expect("a URL and constants make a request");
        if let Some(authorization) = &self.authorization {
            let headers = request.headers_mut();
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        request
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VerdictCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers every question, in whatever order the backend does, for as long as the process lives. The backend is the one
/// that is there when a question comes.
pub async fn answer(
    backend: watch::Receiver<Arc<Webhook>>,
    mut questions: UnboundedReceiver<Question>,
    mailboxes: Arc<[Mailbox]>,
) {
    while let Some((shard, inquiry)) = questions.recv().await {
        let (webhook, mailbox) = (Arc::clone(&backend.borrow()), mailboxes[shard].clone());
        tokio::spawn(async move {
            let verdict = webhook.verdict(&inquiry).await;
            mailbox.put_verdict(inquiry.connection, verdict);
        });
    }
}

/// What the backend is shown.
///
/// # Errors
///
/// [`ServerError::Webhook`] if the secret cannot be read or sent.
pub fn authorization(config: &Auth) -> Result<Option<HeaderValue>, ServerError> {
    let (Some(url), Some(path)) = (&config.webhook_url, &config.webhook_secret_file) else {
        return Ok(None);
    };
    let unusable = |reason: String| ServerError::Webhook {
        url: shown(url),
        reason: format!(
            "auth.webhook_secret_file = {:?}: {reason}",
            path.display().to_string()
        ),
    };
    let secret = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    let secret = secret.trim();
    if secret.is_empty() {
        return Err(unusable("it is empty".to_owned()));
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {secret}"))
        .map_err(|_| unusable("it has more than one line".to_owned()))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn cache_key(inquiry: &Inquiry) -> CacheKey {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&inquiry.client_uuid);
    hasher.update(inquiry.token.as_bytes());
    hasher.finalize().into()
}

/// With hyphens, as everybody writes it.
fn uuid_text(uuid: [u8; 16]) -> String {
    let digits = format!("{:032x}", u128::from_be_bytes(uuid));
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]);
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_as_text() {
        let uuid = std::array::from_fn(|index| u8::try_from(index * 16 + 1).unwrap());
        assert_eq!(uuid_text(uuid), "01112131-4151-6171-8191-a1b1c1d1e1f1");
    }
}

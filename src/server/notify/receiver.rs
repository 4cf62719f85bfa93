//! Whom notices are sent to, at the address of `notify.url`.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header;
use hyper::{Request, StatusCode, Uri};

use super::desk::Answer;
use super::secrets::Keys;
use crate::config::Notify;
use crate::server::ServerError;
use crate::server::outbound::{Outbound, warn_of_plain_http};

/// So much of an answer is read, so that its connection can be used again.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

pub struct Receiver {
    pub url: Uri,
    outbound: Outbound,
}

impl Receiver {
    /// # Errors
    ///
    /// [`ServerError::Notify`] if the system trusts no certificates.
    pub fn new(config: &Notify, url: &Uri) -> Result<Self, ServerError> {
        warn_of_plain_http("notify.url", url, "reads what happens to documents");
        let outbound = Outbound::new(url, config.timeout, ANSWER_BYTES_MAX);
        let outbound = outbound.map_err(|error| ServerError::Notify {
            reason: error.to_string(),
        })?;
        Ok(Self {
            url: url.clone(),
            outbound,
        })
    }

    /// Sends a message, signed. The status of the answer, or in words why there is none.
    pub async fn tell(
        &self,
        id: &str,
        timestamp_s: u64,
        keys: &Keys,
        body: Vec<u8>,
    ) -> Result<StatusCode, String> {
        let request = Request::post(&self.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(
                header::USER_AGENT,
                concat!("corelay/", env!("CARGO_PKG_VERSION")),
            )
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp_s)
            .header("webhook-signature", keys.sign(id, timestamp_s, &body))
            .body(Full::<Bytes>::from(body))
            .expect("a URL, base64 and constants make a request");
        let answer = self.outbound.tell(request).await;
        answer.map_err(|error| error.to_string())
    }
}

/// As the Standard Webhooks specification has it. A redirection is not followed.
pub fn answer_of(status: StatusCode) -> Answer {
    match status {
        _ if status.is_success() => Answer::Taken,
        StatusCode::GONE => Answer::Gone,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Answer::Away,
        _ => Answer::Refused,
    }
}

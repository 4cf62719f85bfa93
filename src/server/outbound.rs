//! HTTP that the relay asks of others: one request, one answer, with a limit for its time and its size.
//!
//! A redirection is an answer like any other: whoever configures an address means that one. Certificates are checked
//! with those that the system trusts.

use std::error::Error;
use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// A connection that was not used for this long is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Asks one address.
pub struct Outbound {
    client: Asker,
    timeout: Duration,
    answer_bytes_max: usize,
}

enum Asker {
    Http(Client<HttpConnector, Full<Bytes>>),
    Https(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    #[error("no answer within {} ms", timeout.as_millis())]
    TooSlow { timeout: Duration },
    #[error("the answer has more than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    /// With what led to it.
    #[error("{0}")]
    Failed(String),
}

impl Outbound {
    /// # Errors
    ///
    /// The system has no certificates that it trusts, and the URL needs them.
    pub fn new(url: &Uri, timeout: Duration, answer_bytes_max: usize) -> std::io::Result<Self> {
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new());
        let client = if is_encrypted(url) {
            let connector = HttpsConnectorBuilder::new()
                .with_native_roots()?
                .https_only()
                .enable_http1()
                .build();
            Asker::Https(builder.build(connector))
        } else {
            Asker::Http(builder.build(HttpConnector::new()))
        };
        Ok(Self {
            client,
            timeout,
            answer_bytes_max,
        })
    }

    /// The answer to a request, whatever its status.
    pub async fn ask(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), OutboundError> {
        let timeout = self.timeout;
        tokio::time::timeout(timeout, self.answer(request))
            .await
            .unwrap_or(Err(OutboundError::TooSlow { timeout }))
    }

    /// The status of the answer to a request. Its body is read as far as it is small, and means nothing.
    pub async fn tell(&self, request: Request<Full<Bytes>>) -> Result<StatusCode, OutboundError> {
        let timeout = self.timeout;
        let until = tokio::time::Instant::now() + timeout;
        let response = tokio::time::timeout_at(until, self.request(request)).await;
        let response = response.map_err(|_| OutboundError::TooSlow { timeout })??;
        let (head, body) = response.into_parts();
        let rest = Limited::new(body, self.answer_bytes_max).collect();
        // A connection with a rest in it is closed.
        let _ = tokio::time::timeout_at(until, rest).await;
        Ok(head.status)
    }

    async fn request(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, OutboundError> {
        let response = match &self.client {
            Asker::Http(client) => client.request(request).await,
            Asker::Https(client) => client.request(request).await,
        };
        response.map_err(|error| OutboundError::Failed(in_full(&error)))
    }

    async fn answer(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), OutboundError> {
        let (head, body) = self.request(request).await?.into_parts();
        let bytes_max = self.answer_bytes_max;
        let body = Limited::new(body, bytes_max).collect().await;
        match body {
            Ok(body) => Ok((head.status, body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => {
                Err(OutboundError::TooLarge { bytes_max })
            }
            Err(error) => Err(OutboundError::Failed(in_full(&*error))),
        }
    }
}

/// Says loudly what anybody on the way to this address can do.
pub fn warn_of_plain_http(key: &str, url: &Uri, what: &str) {
    if !is_encrypted(url) && !is_loopback(url) {
        tracing::warn!(
            "{key} = \"{}\" IS NOT ENCRYPTED: whoever is on the way there {what}. Use https://",
            shown(url)
        );
    }
}

/// A URL as the log shows it: others have their secrets in what comes after the path.
pub fn shown(url: &Uri) -> String {
    let scheme = url.scheme_str().unwrap_or_default();
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let rest = if url.query().is_some() { "?…" } else { "" };
    format!("{scheme}://{authority}{}{rest}", url.path())
}

fn is_encrypted(url: &Uri) -> bool {
    url.scheme_str() == Some("https")
}

fn is_loopback(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The error and everything that led to it.
fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_not_shown() {
        let table = [
            ("https://a.example/hook", "https://a.example/hook"),
            (
                "http://a.example:81/?token=secret",
                "http://a.example:81/?…",
            ),
        ];
        for (url, expected) in table {
            assert_eq!(shown(&url.parse().unwrap()), expected);
        }
    }

    #[test]
    fn what_stays_on_the_machine() {
        let table = [
            ("http://127.0.0.1:80/keys", true),
            ("http://[::1]/keys", true),
            ("http://localhost/keys", true),
            ("http://10.0.0.1/keys", false),
            ("http://localhost.example/keys", false),
            ("http://127.0.0.1.example/keys", false),
        ];
        for (url, expected) in table {
            assert_eq!(is_loopback(&url.parse().unwrap()), expected, "{url}");
        }
    }
}

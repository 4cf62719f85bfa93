//! What a client gets in plain HTTP.

use std::time::Duration;

use super::problem::{self, Problem};
use crate::auth::TokenError;
use crate::codec::wire::ErrorCode;
use crate::engine::Refusal;

/// A response, in words where something was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    status: &'static str,
    /// Whole lines.
    headers: String,
    body: String,
    /// The body is not sent: it was HEAD that asked.
    is_head: bool,
    /// The words are said as a problem in JSON.
    is_problem: bool,
    /// Of the page that asked, where that is why it is refused.
    origin: Option<String>,
}

/// So much of an origin is noted.
const ORIGIN_CHARS_MAX: usize = 200;

impl Answer {
    pub fn new(status: &'static str, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: String::new(),
            body: body.into(),
            is_head: false,
            is_problem: false,
            origin: None,
        }
    }

    pub fn refused(status: &'static str, words: impl Into<String>) -> Self {
        let mut body = words.into();
        body.push('\n');
        Self::new(status, body)
    }

    pub fn bad(words: impl Into<String>) -> Self {
        Self::refused("400 Bad Request", words)
    }

    pub fn not_found(words: impl Into<String>) -> Self {
        Self::refused("404 Not Found", words)
    }

    /// Done, and there is nothing to say.
    pub fn nothing() -> Self {
        Self::new("204 No Content", "")
    }

    /// Adds header lines, each with its end.
    pub fn with_headers(mut self, lines: &str) -> Self {
        self.headers += lines;
        self
    }

    /// What is said to this method.
    pub fn to(mut self, method: &str) -> Self {
        self.is_head = method == "HEAD";
        self
    }

    /// The same for a program: a [`Problem`].
    pub fn as_problem(mut self) -> Self {
        self.is_problem = true;
        self
    }

    /// It is its origin for which the page is refused.
    pub fn to_page_of(mut self, origin: &[u8]) -> Self {
        let origin = String::from_utf8_lossy(origin);
        self.origin = Some(origin.chars().take(ORIGIN_CHARS_MAX).collect());
        self
    }

    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    pub fn words(&self) -> &str {
        self.body.trim_end()
    }

    /// As what it counts among the refusals. `None`: it refuses nobody, or only says that something is in another place or
    /// is asked for in another way.
    pub fn refusal(&self) -> Option<ErrorCode> {
        let (status, _) = self.status.split_once(' ')?;
        Some(match status {
            "400" => ErrorCode::MalformedFrame,
            "401" => ErrorCode::Unauthorized,
            "403" => ErrorCode::Forbidden,
            "408" => ErrorCode::HandshakeTimeout,
            "413" | "431" => ErrorCode::MessageTooLarge,
            "429" => ErrorCode::TooManyConnections,
            "503" => ErrorCode::ServiceUnavailable,
            _other => return None,
        })
    }

    pub fn too_late(timeout: Duration) -> Self {
        Self::refused(
            "408 Request Timeout",
            format!("The request did not arrive within {timeout:?}."),
        )
    }

    pub fn too_many_connections() -> Self {
        Self::refused(
            "503 Service Unavailable",
            "The relay has as many connections as it may. Try again later.",
        )
        .with_headers("Retry-After: 5\r\n")
    }

    pub fn too_many(refusal: &Refusal) -> Self {
        Self::refused(
            "429 Too Many Requests",
            format!("Try again later: {refusal}."),
        )
        .with_headers("Retry-After: 5\r\n")
    }

    /// What was posted cannot be taken now.
    pub fn busy() -> Self {
        Self::refused(
            "503 Service Unavailable",
            "The relay has as much of this to do as it may. Nothing was taken. Try again soon.",
        )
        .with_headers("Retry-After: 1\r\n")
    }

    /// What a token that is not accepted is answered with.
    pub fn unauthorized(error: TokenError) -> Self {
        if error.is_retryable() {
            let words = format!("Not now: {error}.");
            return Self::refused("503 Service Unavailable", words)
                .with_headers("Retry-After: 1\r\n");
        }
        let words = format!("The token is not accepted: {error}.");
        Self::refused("401 Unauthorized", words).with_headers("WWW-Authenticate: Bearer\r\n")
    }

    pub fn stopping() -> Self {
        Self::refused(
            "503 Service Unavailable",
            "The relay is stopping. Try again soon.",
        )
        .with_headers("Retry-After: 1\r\n")
    }

    fn problem(&self) -> Problem {
        let (status, title) = self.status.split_once(' ').expect("a status line has both");
        let words = self.words();
        match status {
            "503" => Problem::of_code(ErrorCode::ServiceUnavailable, words),
            _other => {
                let status = status.parse().expect("a status is a number");
                Problem::of_http(status, title, words)
            }
        }
    }

    /// After the last response of a connection the relay closes it.
    pub fn response(&self, is_last: bool) -> String {
        let Self {
            status,
            headers,
            body,
            is_head,
            is_problem,
            origin: _,
        } = self;
        let (content_type, body) = match is_problem {
            true => (problem::CONTENT_TYPE, self.problem().to_json()),
            false => ("text/plain; charset=utf-8", body.clone()),
        };
        let about_body = if body.is_empty() {
            String::new()
        } else {
            let length = body.len();
            format!("Content-Type: {content_type}\r\nContent-Length: {length}\r\n")
        };
        let body = if *is_head { "" } else { &body };
        let close = if is_last { "Connection: close\r\n" } else { "" };
        format!("HTTP/1.1 {status}\r\n{about_body}{headers}{close}\r\n{body}")
    }
}

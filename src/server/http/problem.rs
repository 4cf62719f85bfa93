//! What went wrong, as JSON of the form of RFC 9457.

use serde::Serialize;
use utoipa::ToSchema;

use crate::codec::wire::ErrorCode;
use crate::engine::http_status;

pub const CONTENT_TYPE: &str = "application/problem+json";

/// Why a request was not fulfilled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    cause: Cause,
    pub status: u16,
    detail: String,
    is_retryable: bool,
    retry_after_ms: Option<u32>,
    next_clock: Option<u64>,
    revision: Option<u64>,
    /// A shard has said it, and counted it among its refusals.
    is_counted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The protocol has a code for it.
    Refusal(ErrorCode),
    /// HTTP has a status for it, which is called so.
    Http(&'static str),
}

/// Why a request was not fulfilled.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
pub struct ProblemBody<'a> {
    /// Nothing is to be found there: `name` says which problem it is.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The problem in general, in words.
    #[schema(example = "Document not found")]
    title: String,
    /// The status of the answer.
    #[schema(example = 404, minimum = 400, maximum = 599)]
    status: u16,
    /// What it is here, in words.
    #[schema(example = "the document does not exist")]
    detail: &'a str,
    /// The problem's name. Where there is a `code`, it is the one that the protocol has for it.
    #[schema(example = "DOCUMENT_NOT_FOUND")]
    name: String,
    /// The protocol's error code (`ErrorCode` in corelay.proto), where it is a refusal of the relay's and not of HTTP's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 4004)]
    code: Option<i32>,
    /// Whether the same request may succeed later, or after catching up.
    retryable: bool,
    /// In how many milliseconds; `Retry-After` says the same in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u32>,
    /// Where operations were refused: the clock that the relay expects of this client next.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_clock: Option<u64>,
    /// Where it is the reason: the document's newest revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
}

impl Problem {
    /// One that HTTP has a status for, which is called `title`, and the protocol no code.
    pub fn of_http(status: u16, title: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Cause::Http(title), status, detail.into())
    }

    pub fn of_code(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self::new(Cause::Refusal(code), http_status(code), detail.into())
    }

    fn new(cause: Cause, status: u16, detail: String) -> Self {
        Self {
            cause,
            status,
            detail,
            is_retryable: matches!(status, 408 | 429 | 503),
            retry_after_ms: None,
            next_clock: None,
            revision: None,
            is_counted: false,
        }
    }

    pub fn bad(detail: impl Into<String>) -> Self {
        Self::of_http(400, "Bad Request", detail)
    }

    /// The relay cannot do this now.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::of_code(ErrorCode::ServiceUnavailable, detail).retryable_after(1000)
    }

    /// The same, which a shard has counted among its refusals.
    pub fn as_counted(mut self) -> Self {
        self.is_counted = true;
        self
    }

    /// What is to be counted among the refusals: its code, and what it says.
    pub fn refusal(&self) -> Option<(ErrorCode, &str)> {
        match self.cause {
            Cause::Refusal(code) if !self.is_counted => Some((code, &self.detail)),
            Cause::Refusal(_) | Cause::Http(_) => None,
        }
    }

    pub fn is(&self, code: ErrorCode) -> bool {
        self.cause == Cause::Refusal(code)
    }

    /// The same under the status of a precondition that does not hold.
    pub fn as_precondition_failed(mut self) -> Self {
        self.status = 412;
        self
    }

    /// The relay expects this clock of the client next.
    pub fn at_clock(mut self, next_clock: u64) -> Self {
        self.next_clock = Some(next_clock);
        self
    }

    /// The document's newest revision is this.
    pub fn at_revision(mut self, revision: u64) -> Self {
        self.revision = Some(revision);
        self
    }

    pub fn revision(&self) -> Option<u64> {
        self.revision
    }

    pub fn retryable_after(mut self, retry_after_ms: u32) -> Self {
        self.is_retryable = true;
        self.retry_after_ms = (retry_after_ms > 0).then_some(retry_after_ms);
        self
    }

    /// Whole seconds for `Retry-After`.
    pub fn retry_after_s(&self) -> Option<u32> {
        self.retry_after_ms.map(|ms| ms.div_ceil(1000))
    }

    pub fn to_json(&self) -> String {
        let (title, name, code) = match self.cause {
            Cause::Refusal(code) => {
                let name = code.as_str_name();
                let mut title = name.to_lowercase().replace('_', " ");
                if let Some(first) = title.get_mut(..1) {
                    first.make_ascii_uppercase();
                }
                (title, name.to_owned(), Some(code as i32))
            }
            Cause::Http(title) => {
                let name = title.to_uppercase().replace(' ', "_");
                (title.to_owned(), name, None)
            }
        };
        let body = ProblemBody {
            kind: "about:blank",
            title,
            status: self.status,
            detail: &self.detail,
            name,
            code,
            retryable: self.is_retryable,
            retry_after_ms: self.retry_after_ms,
            next_clock: self.next_clock,
            revision: self.revision,
        };
        serde_json::to_string(&body).expect("it has a form in JSON")
    }
}

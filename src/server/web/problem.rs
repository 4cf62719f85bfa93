//! Problems as answers, and what the relay refuses as problems.

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::codec::wire::{self, ErrorCode};
use crate::server::http::problem::{CONTENT_TYPE, Problem};

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).expect("the statuses are ours");
        let content_type = [(header::CONTENT_TYPE, CONTENT_TYPE)];
        let mut response = (status, content_type, self.to_json()).into_response();
        response.extensions_mut().insert(Arc::new(self.clone()));
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s() {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

fn refused(code: ErrorCode, message: String, is_retryable: bool, after_ms: u32) -> Problem {
    let problem = Problem::of_code(code, message).as_counted();
    match is_retryable {
        true => problem.retryable_after(after_ms),
        false => problem,
    }
}

impl From<wire::Error> for Problem {
    fn from(error: wire::Error) -> Self {
        let code = error.code();
        refused(code, error.message, error.retryable, error.retry_after_ms)
    }
}

impl From<wire::Close> for Problem {
    fn from(close: wire::Close) -> Self {
        let code = close.code();
        refused(code, close.message, close.retryable, close.retry_after_ms)
    }
}

impl From<wire::Nack> for Problem {
    fn from(nack: wire::Nack) -> Self {
        let code = nack.code();
        refused(code, nack.message, nack.retryable, nack.retry_after_ms)
            .at_clock(nack.next_clock)
            .at_revision(nack.revision)
    }
}

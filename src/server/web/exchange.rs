//! One request and its answer, on a socket that a shard has lent.
//!
//! The shard has read the request. Here the routes make the answer, it is sent, and the socket goes back, so that whatever
//! comes next on the connection, a WebSocket, a post or another request, is read where and as strictly as the first.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::response::Parts;
use axum::http::{Method, Request, Response, StatusCode, Uri, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::net::TcpStream;
use tower_service::Service as _;

use super::Web;
use super::gate::Pass;
use super::leaving::Leaving;
use super::memory::Held;
use super::visitor::Address;
use crate::server::crowd::ClientSocket;
use crate::server::http::Exchange;
use crate::server::http::problem::Problem;
use crate::server::lifecycle::Phase;
use crate::server::mailbox::{Errand, Handoff};
use crate::server::refusals::Refused;

/// An answer that is no longer is sent at once with its head.
const AT_ONCE_BYTES_MAX: usize = 64 * 1024;
/// What an answer takes beside its body: its head, and the task that sends it.
const ANSWER_BYTES: usize = 4 * 1024;

/// What a value of a list takes while it is read, beside its text.
const VALUE_BYTES: usize = 64;

/// A request that a shard has read.
#[derive(Debug)]
pub struct Asked {
    pub socket: ClientSocket,
    pub exchange: Exchange,
    pub body: Vec<u8>,
    /// Whose connection it is.
    pub shard: usize,
    pub admission: Admission,
}

/// That a request may be answered.
#[derive(Debug)]
pub struct Admission {
    pub(super) pass: Pass,
    pub(super) held: Held,
}

/// An answer before it is sent.
struct Answer {
    head: Vec<u8>,
    /// Empty where there is none.
    body: Bytes,
    /// `None`: it is so small that it needs nothing.
    _held: Option<Held>,
}

/// Answers a request, and gives the connection back.
pub async fn answer(web: Arc<Web>, routes: Router, asked: Asked) {
    let Asked {
        socket,
        exchange,
        body,
        shard,
        admission: Admission { mut pass, mut held },
    } = asked;
    let address = socket.client();
    let (socket, places) = socket.into_parts();
    // Where the system cannot watch it there is nothing to be said.
    let Ok(stream) = TcpStream::from_std(socket.into()) else {
        return;
    };
    let response = match held.grow(list_bytes(&exchange, &body)) {
        Ok(()) => respond(&web, routes, &exchange, body.into(), Address(address)).await,
        Err(problem) => problem.into_response(),
    };
    let problem = response.extensions().get::<Arc<Problem>>();
    if let Some((code, reason)) = problem.and_then(|problem| problem.refusal()) {
        web.refusals.count(Refused {
            code,
            reason,
            address,
            origin: None,
        });
    }
    drop(held);
    let keeps = exchange.keeps_alive && web.lifecycle.phase() < Phase::Draining;
    let answer = Answer::new(&web, &exchange, response, keeps).await;
    pass.make_way();
    let memory = Arc::clone(&web.memory);
    let mut leaving = Leaving::new(stream, web.limits.write_timeout, memory);
    let is_sent = async {
        leaving.send(&answer.head).await?;
        leaving.send(&answer.body).await
    };
    if is_sent.await.is_err() {
        return;
    }
    drop(answer);
    let Ok(socket) = leaving.into_stream().into_std() else {
        return;
    };
    let handoff = Handoff {
        socket: ClientSocket::with_places(socket.into(), places),
        errand: Errand::Answered { keeps },
        unread: Vec::new(),
    };
    // A shard that has left, or has too much to do, does not keep it.
    let _ = web.mailboxes[shard].hand_off(handoff);
    drop(pass);
}

/// What the values of a body in JSON take while it is read, beside their text.
fn list_bytes(exchange: &Exchange, body: &[u8]) -> usize {
    let is_json = |(name, value): &(String, Vec<u8>)| {
        let value = value.to_ascii_lowercase();
        name.eq_ignore_ascii_case("Content-Type") && value.starts_with(b"application/json")
    };
    match exchange.headers.iter().any(is_json) {
        true => VALUE_BYTES * body.iter().filter(|byte| **byte == b',').count(),
        false => 0,
    }
}

async fn respond(
    web: &Web,
    mut routes: Router,
    exchange: &Exchange,
    body: Bytes,
    address: Address,
) -> Response<Body> {
    let request = match request(exchange, body, address) {
        Ok(request) => request,
        Err(problem) => return problem.into_response(),
    };
    match tokio::time::timeout(web.request_timeout, routes.call(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_elapsed) => {
            let words = "it took too long; what was asked for may have been done all the same";
            Problem::unavailable(words).into_response()
        }
    }
}

fn request(exchange: &Exchange, body: Bytes, address: Address) -> Result<Request<Body>, Problem> {
    let wrong = |what: &str| Problem::bad(format!("The request's {what} is not one of HTTP."));
    let method = Method::from_bytes(exchange.method.as_bytes()).map_err(|_| wrong("method"))?;
    let uri: Uri = exchange.target.parse().map_err(|_| wrong("target"))?;
    let mut request = Request::builder()
        .method(method)
        .uri(uri)
        .extension(address);
    for (name, value) in &exchange.headers {
        request = request.header(name, value.as_slice());
    }
    request
        .body(Body::from(body))
        .map_err(|_| wrong("list of headers"))
}

impl Answer {
    async fn new(web: &Web, exchange: &Exchange, response: Response<Body>, keeps: bool) -> Self {
        let (mut parts, body) = response.into_parts();
        let body = body.collect().await;
        let body = body.expect("a body that is there as a whole").to_bytes();
        let held = parts.extensions.remove::<Arc<Held>>();
        let held = match held.and_then(Arc::into_inner) {
            Some(mut held) => held.grow(ANSWER_BYTES).map(|()| held),
            None => web.memory.hold(body.len() + ANSWER_BYTES),
        };
        match held {
            Ok(held) => Self::of(exchange, &parts, body, keeps, Some(held)),
            Err(problem) => {
                let (parts, _) = problem.clone().into_response().into_parts();
                let body = problem.to_json().into();
                Self::of(exchange, &parts, body, keeps, None)
            }
        }
    }

    fn of(
        exchange: &Exchange,
        parts: &Parts,
        body: Bytes,
        keeps: bool,
        held: Option<Held>,
    ) -> Self {
        let status = parts.status;
        let mut head = format!(
            "HTTP/1.1 {} {}\r\n",
            status.as_u16(),
            status.canonical_reason().unwrap_or("Unknown")
        );
        let has_body = !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if has_body {
            // The answer to HEAD says how long the body would be.
            let said = parts.headers.get(header::CONTENT_LENGTH);
            let said = said.and_then(|length| length.to_str().ok()?.parse().ok());
            let length: usize = said.unwrap_or(body.len());
            write!(head, "Content-Length: {length}\r\n").expect("a String takes it");
        }
        let mut head = head.into_bytes();
        for (name, value) in &parts.headers {
            if name != header::CONTENT_LENGTH {
                head.extend_from_slice(name.as_str().as_bytes());
                head.extend_from_slice(b": ");
                head.extend_from_slice(value.as_bytes());
                head.extend_from_slice(b"\r\n");
            }
        }
        head.extend_from_slice(exchange.cors.lines().as_bytes());
        if !keeps {
            head.extend_from_slice(b"Connection: close\r\n");
        }
        head.extend_from_slice(b"\r\n");
        let mut body = match has_body && exchange.method != "HEAD" {
            true => body,
            false => Bytes::new(),
        };
        if body.len() <= AT_ONCE_BYTES_MAX {
            head.extend_from_slice(&body);
            body = Bytes::new();
        }
        Self {
            head,
            body,
            _held: held,
        }
    }
}

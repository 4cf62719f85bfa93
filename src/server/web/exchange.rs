//! One request and its answer, on a socket that a shard has lent.
//!
//! The shard has read the head. Here the body is read, the routes make the answer, it is written, and the socket goes
//! back, so that whatever comes next on the connection, a WebSocket, a post or another request, is read where and as
//! strictly as the first.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode, Uri, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower_service::Service as _;

use super::Web;
use super::gate::Pass;
use crate::server::crowd::ClientSocket;
use crate::server::http::Exchange;
use crate::server::http::problem::Problem;
use crate::server::lifecycle::Phase;
use crate::server::mailbox::{Errand, Handoff};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// An answer that is no longer is sent at once with its head.
const AT_ONCE_BYTES_MAX: usize = 64 * 1024;

/// A request that a shard has read the head of.
#[derive(Debug)]
pub struct Asked {
    pub socket: ClientSocket,
    pub exchange: Exchange,
    /// What came after the head.
    pub unread: Vec<u8>,
    /// Whose connection it is.
    pub shard: usize,
    pub pass: Pass,
}

/// The socket of a client, which may be slow.
struct Client {
    stream: TcpStream,
    write_timeout: Duration,
}

/// Answers a request, and gives the connection back.
pub async fn answer(web: Arc<Web>, routes: Router, asked: Asked) {
    let Asked {
        socket,
        exchange,
        mut unread,
        shard,
        pass,
    } = asked;
    let (socket, place) = socket.into_parts();
    // Where the system cannot watch it there is nothing to be said.
    let Ok(stream) = TcpStream::from_std(socket.into()) else {
        return;
    };
    let mut client = Client {
        stream,
        write_timeout: web.limits.write_timeout,
    };
    let read_timeout = web.limits.handshake_timeout;
    // It is there as it came, and as what is made of it.
    let (response, mut keeps) = match web.memory.hold(2 * exchange.body_bytes) {
        Err(problem) => (problem.into_response(), false),
        Ok(_held) => {
            match tokio::time::timeout(read_timeout, client.read_body(&exchange, &mut unread)).await
            {
                Err(_elapsed) => (too_late(read_timeout).into_response(), false),
                Ok(Err(_gone)) => return,
                Ok(Ok(())) => {
                    // Whoever does not wait for the answer is told with it to send the rest again.
                    let keeps = exchange.keeps_alive && unread.len() == exchange.body_bytes;
                    unread.truncate(exchange.body_bytes);
                    let response = respond(&web, routes, &exchange, unread.into()).await;
                    (response, keeps)
                }
            }
        }
    };
    keeps &= web.lifecycle.phase() == Phase::Serving;
    if client.write(&exchange, response, keeps).await.is_err() {
        return;
    }
    let Ok(socket) = client.stream.into_std() else {
        return;
    };
    let handoff = Handoff {
        socket: ClientSocket::new(socket.into(), place),
        errand: Errand::Answered { keeps },
        unread: Vec::new(),
    };
    // A shard that has left, or has too much to do, does not keep it.
    let _ = web.mailboxes[shard].hand_off(handoff);
    drop(pass);
}

fn too_late(timeout: Duration) -> Problem {
    let seconds = timeout.as_secs();
    let words = format!("The body did not arrive within {seconds} s.");
    Problem::of_http(408, "Request Timeout", words)
}

async fn respond(
    web: &Web,
    mut routes: Router,
    exchange: &Exchange,
    body: Bytes,
) -> Response<Body> {
    let request = match request(exchange, body) {
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

fn request(exchange: &Exchange, body: Bytes) -> Result<Request<Body>, Problem> {
    let wrong = |what: &str| Problem::bad(format!("The request's {what} is not one of HTTP."));
    let method = Method::from_bytes(exchange.method.as_bytes()).map_err(|_| wrong("method"))?;
    let uri: Uri = exchange.target.parse().map_err(|_| wrong("target"))?;
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in &exchange.headers {
        request = request.header(name, value.as_slice());
    }
    request
        .body(Body::from(body))
        .map_err(|_| wrong("list of headers"))
}

impl Client {
    /// Adds to what has arrived until it is the whole body, or more.
    async fn read_body(&mut self, exchange: &Exchange, unread: &mut Vec<u8>) -> io::Result<()> {
        let body_bytes = exchange.body_bytes;
        if unread.len() >= body_bytes {
            return Ok(());
        }
        if exchange.expects_continue {
            self.write_all(CONTINUE).await?;
        }
        unread.reserve_exact(body_bytes - unread.len());
        while unread.len() < body_bytes {
            if self.stream.read_buf(unread).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    async fn write(
        &mut self,
        exchange: &Exchange,
        response: Response<Body>,
        keeps: bool,
    ) -> io::Result<()> {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
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
        let mut bytes = head.into_bytes();
        for (name, value) in &parts.headers {
            if name != header::CONTENT_LENGTH {
                bytes.extend_from_slice(name.as_str().as_bytes());
                bytes.extend_from_slice(b": ");
                bytes.extend_from_slice(value.as_bytes());
                bytes.extend_from_slice(b"\r\n");
            }
        }
        bytes.extend_from_slice(exchange.cors.lines().as_bytes());
        if !keeps {
            bytes.extend_from_slice(b"Connection: close\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        if !has_body || exchange.method == "HEAD" {
            return self.write_all(&bytes).await;
        }
        if body.len() <= AT_ONCE_BYTES_MAX {
            bytes.extend_from_slice(&body);
            return self.write_all(&bytes).await;
        }
        self.write_all(&bytes).await?;
        self.write_all(&body).await
    }

    /// # Errors
    ///
    /// Also if the client takes nothing for too long.
    async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = tokio::time::timeout(self.write_timeout, self.stream.write(bytes));
            let length = written.await.map_err(|_| io::ErrorKind::TimedOut)??;
            bytes = &bytes[length..];
        }
        Ok(())
    }
}

//! The HTTP heads that the relay answers, as pure functions of their bytes.
//!
//! A head opens a WebSocket or an event stream, or posts to an event stream; or it is an [`Exchange`], which the control
//! thread sees to. One that is wrong leads to an [`Answer`], which says so in words.

mod answer;
mod events;
mod exchange;
mod forwarded;
mod headers;
mod introduction;
mod percent;
pub mod problem;
mod upgrade;

use std::net::IpAddr;
use std::sync::Arc;

pub use answer::Answer;
pub use events::{Cors, Opening, PREFLIGHT_SECONDS, Post, SessionName, no_session};
pub use exchange::{Exchange, is_interface};
pub use forwarded::forwarded_for;
pub use introduction::Introduction;
pub use upgrade::Upgrade;

use crate::auth::Grant;
use crate::config::Origins;
use crate::engine::{DOCUMENT_ID_BYTES_MAX, is_document_id};
use headers::Headers;

/// More headers than a browser behind several proxies sends.
const HEADERS_MAX: usize = 64;

/// What this is, for whoever looks.
pub const ABOUT: &str = "This is a corelay relay. Open a WebSocket at /ws or at /ws/documents/{id}, or where that is \
                     blocked an event stream at /events or at /events/documents/{id}. Everything else is under /v1/, \
                     and described in /v1/openapi.json.\n";

const LINES: &str =
    "This is no HTTP/1.1 request: its lines end with CR LF, and none begins with a space.";

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    Upgrade(Upgrade),
    Stream(Opening),
    Post(Post),
    /// The control thread answers it.
    Exchange(Box<Exchange>),
    /// Nothing is left to be done.
    Answered(Answer),
}

/// What is taken.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    pub head_bytes_max: usize,
    pub body_bytes_max: usize,
    pub origins: &'a Origins,
}

/// Who asks for a connection, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The document that the URL names.
    pub document: Option<Arc<str>>,
    /// From `Authorization: Bearer …`, from a subprotocol `bearer.…`, or from `?token=…`, in this order.
    pub token: Option<String>,
    /// What the token grants, once somebody has looked.
    pub grant: Option<Arc<Grant>>,
    pub introduction: Introduction,
    /// Who has asked, where that is not who is on the other end of the socket.
    pub address: Option<IpAddr>,
}

/// A request's head, in its parts.
#[derive(Clone, Copy)]
struct Request<'a> {
    method: &'a str,
    /// The path with the query.
    target: &'a str,
    path: &'a str,
    query: &'a str,
    is_http_1_1: bool,
    headers: Headers<'a>,
}

/// Reads a head from the start of `bytes`. `Ok(None)`: it has not arrived whole. Otherwise the second value is
/// how many bytes the head has.
///
/// # Errors
///
/// The answer after which the connection ends.
pub fn read_head(bytes: &[u8], rules: &Rules<'_>) -> Result<Option<(Head, usize)>, Answer> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let too_large =
        |words: String| Answer::refused("431 Request Header Fields Too Large", words + ".");
    let parsed = request.parse(bytes);
    let method = request.method.unwrap_or_default();
    let target = request.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let head = match parsed {
        Ok(httparse::Status::Complete(length)) if length <= rules.head_bytes_max => {
            let request = Request {
                method,
                target,
                path,
                query,
                is_http_1_1: request.version == Some(1),
                headers: Headers(request.headers),
            };
            match has_plain_lines(&bytes[..length]) {
                true => request.read(rules).map(|head| Some((head, length))),
                false => Err(Answer::bad(LINES)),
            }
        }
        Ok(httparse::Status::Partial) if bytes.len() < rules.head_bytes_max => Ok(None),
        Ok(_) => Err(too_large(format!(
            "The request's head is longer than {} bytes",
            rules.head_bytes_max
        ))),
        Err(httparse::Error::TooManyHeaders) => Err(too_large(format!(
            "The request has more than {HEADERS_MAX} headers"
        ))),
        Err(error) => Err(Answer::bad(format!(
            "This is no HTTP/1.1 request: {error}."
        ))),
    };
    head.map_err(|answer| match is_interface(path) {
        true => answer.to(method).as_problem(),
        false => answer.to(method),
    })
}

/// Whether every line ends with CR LF, neither of which is anywhere else, and none goes on with the one before it. What
/// stands in front of the relay may see other lines in others, and with them another request.
fn has_plain_lines(head: &[u8]) -> bool {
    let mut lines = head.split_inclusive(|byte| *byte == b'\n');
    lines.all(|line| match line.strip_suffix(b"\r\n") {
        Some(words) => {
            !words.contains(&b'\r') && !words.starts_with(b" ") && !words.starts_with(b"\t")
        }
        None => false,
    })
}

impl Head {
    /// How long the body is that follows.
    pub fn body_bytes(&self) -> usize {
        match self {
            Self::Post(post) => post.body_bytes,
            Self::Exchange(exchange) => exchange.body_bytes,
            Self::Upgrade(_) | Self::Stream(_) | Self::Answered(_) => 0,
        }
    }

    /// Whether the client waits to be told that it may send the body.
    pub fn expects_continue(&self) -> bool {
        match self {
            Self::Post(post) => post.expects_continue,
            Self::Exchange(exchange) => exchange.expects_continue,
            Self::Upgrade(_) | Self::Stream(_) | Self::Answered(_) => false,
        }
    }

    /// No other request may follow on the same connection.
    pub fn end_connection(&mut self) {
        match self {
            Self::Post(post) => post.keeps_alive = false,
            Self::Exchange(exchange) => exchange.keeps_alive = false,
            Self::Upgrade(_) | Self::Stream(_) | Self::Answered(_) => {}
        }
    }

    /// An answer to this request that its sender can read.
    pub fn refused(&self, answer: Answer) -> Answer {
        match self {
            Self::Stream(opening) => opening.cors.on(answer),
            Self::Post(post) => post.cors.on(answer),
            Self::Exchange(exchange) => exchange.refused(answer),
            Self::Upgrade(_) | Self::Answered(_) => answer,
        }
    }
}

impl Request<'_> {
    fn read(&self, rules: &Rules<'_>) -> Result<Head, Answer> {
        if let Some(place) = self.place("/ws") {
            return upgrade::read(self, place, rules).map(Head::Upgrade);
        }
        if let Some(place) = self.place("/events") {
            return events::read(self, place, rules);
        }
        let exchange = exchange::read(self, rules)?;
        Ok(Head::Exchange(Box::new(exchange)))
    }

    /// What follows `root` in the path, if that is where it leads.
    fn place(&self, root: &str) -> Option<&str> {
        let place = self.path.strip_prefix(root)?;
        (place.is_empty() || place.starts_with('/')).then_some(place)
    }

    /// Who wants a connection at this place, which names a document or none.
    fn caller(&self, place: &str) -> Result<Caller, Answer> {
        let introduction = Introduction::read(|name| self.headers.text(name), self.query);
        Ok(Caller {
            document: document_of(place)?,
            token: self.token(),
            grant: None,
            introduction: introduction.map_err(Answer::bad)?,
            address: None,
        })
    }

    /// The credential that came along.
    fn token(&self) -> Option<String> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        let mut authorization = self.headers.values("Authorization");
        let bearer = authorization.find_map(|value| {
            let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
            scheme
                .eq_ignore_ascii_case(b"Bearer ")
                .then(|| text(token.trim_ascii()))?
        });
        let mut protocols = self.headers.items("Sec-WebSocket-Protocol");
        bearer
            .or_else(|| protocols.find_map(|item| text(item.strip_prefix(b"bearer.")?)))
            .or_else(|| percent::parameter(self.query, "token"))
            .filter(|token| !token.is_empty())
    }

    /// Whether another request may follow on the same connection.
    fn keeps_alive(&self) -> bool {
        self.is_http_1_1 && !self.headers.lists("Connection", "close")
    }

    /// How long the body is. `None`: there is none.
    fn body_bytes(&self, bytes_max: usize) -> Result<Option<usize>, Answer> {
        let mut lengths = self.headers.values("Content-Length");
        let length = match (lengths.next(), lengths.next()) {
            (Some(length), None) if self.headers.count("Transfer-Encoding") == 0 => {
                std::str::from_utf8(length).unwrap_or_default()
            }
            (None, _) if self.headers.count("Transfer-Encoding") == 0 => return Ok(None),
            _other => return Err(length_required()),
        };
        if length.is_empty() || !length.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(Answer::bad("Content-Length must be a number."));
        }
        // What does not even fit into the number is too large as well.
        let length = length.parse().unwrap_or(usize::MAX);
        if length > bytes_max {
            return Err(Answer::refused(
                "413 Content Too Large",
                format!("The body may have {bytes_max} bytes."),
            ));
        }
        Ok(Some(length))
    }

    fn has_body(&self) -> bool {
        self.headers.count("Transfer-Encoding") > 0
            || self
                .headers
                .values("Content-Length")
                .any(|length| length != b"0")
    }

    /// Whether pages of the request's origin may connect.
    fn check_origin(&self, origins: &Origins) -> Result<(), Answer> {
        let mut named = self.headers.values("Origin");
        let Some(refused) = named.find(|origin| !origins.allow(origin)) else {
            return Ok(());
        };
        let words = "Pages of this origin may not connect (listen.origins).";
        Err(Answer::refused("403 Forbidden", words).to_page_of(refused))
    }
}

fn length_required() -> Answer {
    let words =
        "The request needs one Content-Length, and no other way to say where its body ends.";
    Answer::refused("411 Length Required", words)
}

/// To whoever is in the wrong place.
pub fn nothing_here() -> String {
    format!("There is nothing here. {}", ABOUT.trim_end())
}

fn only(methods: &str) -> Answer {
    let words = format!("Only {methods} is answered here.");
    Answer::refused("405 Method Not Allowed", words).with_headers(&format!("Allow: {methods}\r\n"))
}

/// The document that `/documents/{id}` names, or none.
fn document_of(place: &str) -> Result<Option<Arc<str>>, Answer> {
    if place.is_empty() {
        return Ok(None);
    }
    let Some(segment) = place.strip_prefix("/documents/") else {
        return Err(Answer::not_found(format!("There is nothing here. {ABOUT}")));
    };
    if segment.contains('/') {
        return Err(Answer::not_found(
            "There is nothing here. A slash in a document id is written as %2F.",
        ));
    }
    let bytes = percent::decode(segment).ok_or_else(|| {
        Answer::bad("The document id has a % that two hexadecimal digits do not follow.")
    })?;
    let id = String::from_utf8(bytes).map_err(|_| Answer::bad("The document id is not UTF-8."))?;
    if !is_document_id(&id) {
        return Err(Answer::bad(format!(
            "A document id has 1 to {DOCUMENT_ID_BYTES_MAX} bytes and no control characters; this one has {} bytes.",
            id.len()
        )));
    }
    Ok(Some(id.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &str) -> Result<Option<(Head, usize)>, Answer> {
        let origins = Origins::default();
        let rules = Rules {
            head_bytes_max: 1024,
            body_bytes_max: 1024,
            origins: &origins,
        };
        read_head(head.as_bytes(), &rules)
    }

    fn answer(head: &str) -> Answer {
        read(head).expect_err("it is answered at once")
    }

    #[test]
    fn a_head_has_plain_lines() {
        for head in [
            "GET / HTTP/1.1\r\nHost: relay\r\nA: b\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: relay\r\n\r\n",
        ] {
            let read = read(head);
            assert!(
                matches!(read, Ok(Some((Head::Exchange(_), length))) if length == head.len()),
                "{head:?}: {read:?}"
            );
        }
        for head in [
            "\nGET / HTTP/1.1\r\nHost: relay\r\n\r\n",
            "GET / HTTP/1.1\nHost: relay\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: relay\n\r\n",
            "GET / HTTP/1.1\r\nHost: relay\r\n\n",
            "GET / HTTP/1.1\r\nHost: relay\rA: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: relay\r\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: relay\r\nA: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: relay\r\nA:\r\n\tb\r\n\r\n",
        ] {
            let response = answer(head).response(true);
            assert!(
                response.starts_with("HTTP/1.1 400 "),
                "{head:?}: {response}"
            );
        }
    }

    #[test]
    fn who_asks_with_head_gets_the_length_of_a_body_and_none() {
        for (path, status) in [
            ("/ws", "405"),
            ("/events", "405"),
            ("/events/documents/a/b", "405"),
            ("/ws/elsewhere", "404"),
        ] {
            let of = |method| {
                let head = format!("{method} {path} HTTP/1.1\r\nHost: relay\r\n\r\n");
                answer(&head).response(true)
            };
            let response = of("HEAD");
            let (lines, body) = response.split_once("\r\n\r\n").expect("a head");
            assert!(lines.starts_with(&format!("HTTP/1.1 {status} ")), "{lines}");
            assert_eq!(body, "", "{path}");
            if status != "405" {
                assert!(of("GET").starts_with(&response), "{path}");
            }
            assert!(lines.contains("Content-Length: "), "{lines}");
        }
    }
}

//! The HTTP head that opens a WebSocket, as a pure function of its bytes.
//!
//! A head is either an [`Upgrade`], or leads to an [`Answer`] in plain HTTP after which the connection ends.
//! The listener speaks no other HTTP. Answers say in words what was wrong.

use std::sync::Arc;

use tungstenite::handshake::derive_accept_key;

use super::introduction::Introduction;
use super::percent;
use crate::auth::{Grant, TokenError};
use crate::codec::dialect::Dialect;
use crate::config::Origins;
use crate::engine::{DOCUMENT_ID_BYTES_MAX, Refusal};

/// More headers than a browser behind several proxies sends.
const HEADERS_MAX: usize = 64;
const SUBPROTOCOL: &str = "corelay.v1";
const JSON_SUBPROTOCOL: &str = "corelay.json";

const ABOUT: &str = "This is a corelay relay. Open a WebSocket at /ws or at /ws/documents/{id}.\n";

/// A client that may have its WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// The document that the URL names.
    pub document: Option<Arc<str>>,
    /// From `Authorization: Bearer …`, from a subprotocol `bearer.…`, or from `?token=…`, in this order.
    pub token: Option<String>,
    /// What the token grants, once somebody has looked.
    pub grant: Option<Arc<Grant>>,
    pub introduction: Introduction,
    accept_key: String,
    /// The subprotocol of ours that the client offered.
    subprotocol: Option<&'static str>,
}

/// What a client gets instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    status: &'static str,
    /// A header line, or nothing.
    header: &'static str,
    body: String,
}

/// Reads a head from the start of `bytes`. `Ok(None)`: it has not arrived whole. Otherwise the second value is
/// how many bytes the head has; what follows belongs to the WebSocket.
pub fn read_head(
    bytes: &[u8],
    bytes_max: usize,
    origins: &Origins,
) -> Result<Option<(Upgrade, usize)>, Answer> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= bytes_max => {
            upgrade(&request, origins).map(|upgrade| Some((upgrade, length)))
        }
        Ok(httparse::Status::Partial) if bytes.len() < bytes_max => Ok(None),
        Ok(_) => Err(Answer::refused(
            "431 Request Header Fields Too Large",
            format!("The request's head is longer than {bytes_max} bytes."),
        )),
        Err(httparse::Error::TooManyHeaders) => Err(Answer::refused(
            "431 Request Header Fields Too Large",
            format!("The request has more than {HEADERS_MAX} headers."),
        )),
        Err(error) => Err(Answer::refused(
            "400 Bad Request",
            format!("This is no HTTP/1.1 request: {error}."),
        )),
    }
}

impl Upgrade {
    /// The response that makes the connection a WebSocket.
    pub fn response(&self) -> String {
        let subprotocol = self
            .subprotocol
            .map(|subprotocol| format!("Sec-WebSocket-Protocol: {subprotocol}\r\n"))
            .unwrap_or_default();
        format!(
            "HTTP/1.1 101 Switching Protocols\r\n\
             Upgrade: websocket\r\n\
             Connection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\
             {subprotocol}\r\n",
            self.accept_key
        )
    }
}

impl Answer {
    fn refused(status: &'static str, words: impl Into<String>) -> Self {
        let mut body = words.into();
        body.push('\n');
        Self {
            status,
            header: "",
            body,
        }
    }

    fn with_header(mut self, header: &'static str) -> Self {
        self.header = header;
        self
    }

    pub fn too_late(seconds: u64) -> Self {
        Self::refused(
            "408 Request Timeout",
            format!("The request's head did not arrive within {seconds} s."),
        )
    }

    pub fn too_many_connections() -> Self {
        Self::refused(
            "503 Service Unavailable",
            "The relay has as many connections as it may. Try again later.",
        )
        .with_header("Retry-After: 5\r\n")
    }

    pub fn too_many(refusal: &Refusal) -> Self {
        Self::refused(
            "429 Too Many Requests",
            format!("Try again later: {refusal}."),
        )
        .with_header("Retry-After: 5\r\n")
    }

    /// What a token that is not accepted is answered with.
    pub fn unauthorized(error: TokenError) -> Self {
        if error.is_retryable() {
            let words = format!("Not now: {error}.");
            return Self::refused("503 Service Unavailable", words)
                .with_header("Retry-After: 1\r\n");
        }
        let words = format!("The token is not accepted: {error}.");
        Self::refused("401 Unauthorized", words).with_header("WWW-Authenticate: Bearer\r\n")
    }

    pub fn stopping() -> Self {
        Self::refused(
            "503 Service Unavailable",
            "The relay is stopping. Try again soon.",
        )
        .with_header("Retry-After: 1\r\n")
    }

    pub fn response(&self) -> String {
        let Self {
            status,
            header,
            body,
        } = self;
        format!(
            "HTTP/1.1 {status}\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\n\
             {header}Connection: close\r\n\
             \r\n\
             {body}",
            body.len()
        )
    }
}

/// Decides over a whole head.
fn upgrade(request: &httparse::Request<'_, '_>, origins: &Origins) -> Result<Upgrade, Answer> {
    let target = request.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let document = match path {
        "/" | "/ws" => None,
        _ => match path.strip_prefix("/ws/documents/") {
            Some(segment) => Some(document_id(segment)?),
            None => {
                return Err(Answer::refused(
                    "404 Not Found",
                    format!("There is nothing here. {ABOUT}"),
                ));
            }
        },
    };
    if request.method != Some("GET") {
        return Err(
            Answer::refused("405 Method Not Allowed", "Only GET is answered here.")
                .with_header("Allow: GET\r\n"),
        );
    }
    let headers = Headers(request.headers);
    if path == "/" {
        return Err(Answer {
            status: "200 OK",
            header: "",
            body: ABOUT.to_owned(),
        });
    }
    if request.version != Some(1) {
        return Err(bad("A WebSocket needs HTTP/1.1."));
    }
    if !headers.lists("Upgrade", "websocket") || !headers.lists("Connection", "upgrade") {
        return Err(Answer::refused(
            "426 Upgrade Required",
            "This is a WebSocket endpoint: the request needs \"Upgrade: websocket\" and \"Connection: Upgrade\".",
        )
        .with_header("Upgrade: websocket\r\n"));
    }
    if !headers.values("Origin").all(|origin| origins.allow(origin)) {
        return Err(Answer::refused(
            "403 Forbidden",
            "Pages of this origin may not connect (listen.origins).",
        ));
    }
    if headers.count("Host") != 1 {
        return Err(bad("The request needs one Host header."));
    }
    if headers.count("Transfer-Encoding") > 0
        || headers
            .values("Content-Length")
            .any(|length| length != b"0")
    {
        return Err(bad("A request that opens a WebSocket has no body."));
    }
    if !headers.values("Sec-WebSocket-Version").eq([b"13"]) {
        return Err(Answer::refused(
            "426 Upgrade Required",
            "Only version 13 of the WebSocket protocol is spoken here.",
        )
        .with_header("Sec-WebSocket-Version: 13\r\n"));
    }
    let mut keys = headers.values("Sec-WebSocket-Key");
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Err(bad("The request needs one Sec-WebSocket-Key header."));
    };
    if !is_nonce(key) {
        return Err(bad("Sec-WebSocket-Key must be 16 bytes in base64."));
    }
    let mut introduction = Introduction::read(|name| headers.text(name), query).map_err(bad)?;
    let subprotocol = [JSON_SUBPROTOCOL, SUBPROTOCOL]
        .into_iter()
        .find(|name| headers.lists("Sec-WebSocket-Protocol", name));
    if subprotocol == Some(JSON_SUBPROTOCOL) {
        introduction.dialect = Some(Dialect::Json);
    }
    Ok(Upgrade {
        document,
        token: token(&headers, query),
        grant: None,
        introduction,
        accept_key: derive_accept_key(key),
        subprotocol,
    })
}

fn bad(words: impl Into<String>) -> Answer {
    Answer::refused("400 Bad Request", words)
}

/// The credential that came along.
fn token(headers: &Headers<'_>, query: &str) -> Option<String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let mut authorization = headers.values("Authorization");
    let bearer = authorization.find_map(|value| {
        let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
        scheme
            .eq_ignore_ascii_case(b"Bearer ")
            .then(|| text(token.trim_ascii()))?
    });
    let mut protocols = headers.items("Sec-WebSocket-Protocol");
    bearer
        .or_else(|| protocols.find_map(|item| text(item.strip_prefix(b"bearer.")?)))
        .or_else(|| percent::parameter(query, "token"))
        .filter(|token| !token.is_empty())
}

/// The document that a path segment names.
fn document_id(segment: &str) -> Result<Arc<str>, Answer> {
    if segment.contains('/') {
        return Err(Answer::refused(
            "404 Not Found",
            "There is nothing here. A slash in a document id is written as %2F.",
        ));
    }
    let bytes = percent::decode(segment)
        .ok_or_else(|| bad("The document id has a % that two hexadecimal digits do not follow."))?;
    let id = String::from_utf8(bytes).map_err(|_| bad("The document id is not UTF-8."))?;
    if id.is_empty() || id.len() > DOCUMENT_ID_BYTES_MAX {
        return Err(bad(format!(
            "A document id has 1 to {DOCUMENT_ID_BYTES_MAX} bytes; this one has {}.",
            id.len()
        )));
    }
    if id.chars().any(char::is_control) {
        return Err(bad("A document id has no control characters."));
    }
    Ok(id.into())
}

/// Whether this is 16 bytes in base64: 22 digits and the padding.
fn is_nonce(key: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(digit)
}

struct Headers<'a>(&'a [httparse::Header<'a>]);

impl<'a> Headers<'a> {
    fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value.trim_ascii())
    }

    /// The header's first value, if it is text.
    fn text(&self, name: &str) -> Option<String> {
        String::from_utf8(self.values(name).next()?.to_vec()).ok()
    }

    fn count(&self, name: &str) -> usize {
        self.values(name).count()
    }

    /// What the header's comma-separated list has.
    fn items(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.values(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .map(<[u8]>::trim_ascii)
    }

    /// Whether the header's comma-separated list has the word, in any case.
    fn lists(&self, name: &str, word: &str) -> bool {
        self.items(name)
            .any(|item| item.eq_ignore_ascii_case(word.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "GET /ws/documents/a%2fb%20%C3%BC?token=x HTTP/1.1\r\n\
        Host: localhost:7400\r\n\
        upgrade: WebSocket\r\n\
        Connection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: other, corelay.v1\r\n\
        \r\n";

    fn read(head: &str) -> Result<Option<(Upgrade, usize)>, Answer> {
        read_head(head.as_bytes(), 16 * 1024, &Origins::Any)
    }

    fn refusal(head: &str) -> String {
        read(head).expect_err(head).response()
    }

    #[test]
    fn a_whole_head_is_an_upgrade() {
        let bytes = format!("{HEAD}\u{1}first frame");
        let (upgrade, length) = read(&bytes).unwrap().unwrap();
        assert_eq!(length, HEAD.len());
        assert_eq!(upgrade.document.as_deref(), Some("a/b ü"));
        assert_eq!(
            upgrade.response(),
            "HTTP/1.1 101 Switching Protocols\r\n\
             Upgrade: websocket\r\n\
             Connection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
             Sec-WebSocket-Protocol: corelay.v1\r\n\r\n"
        );
        let plain = HEAD
            .replace("other, corelay.v1", "other")
            .replace("/documents/a%2fb%20%C3%BC", "");
        let (upgrade, _) = read(&plain).unwrap().unwrap();
        assert_eq!(upgrade.document, None);
        assert!(!upgrade.response().contains("Sec-WebSocket-Protocol:"));
    }

    #[test]
    fn every_shorter_piece_asks_for_more() {
        for length in 0..HEAD.len() {
            assert_eq!(read(&HEAD[..length]), Ok(None), "{length}");
        }
    }

    #[test]
    fn a_wrong_head_is_answered_in_words() {
        let line = "GET /ws/documents/a%2fb%20%C3%BC?token=x HTTP/1.1";
        let long = "x".repeat(257);
        let table: &[(&str, &str, &str, &str)] = &[
            ("GET /", "POST /", "405 Method Not Allowed", "Allow: GET"),
            (line, "GET / HTTP/1.1", "200 OK", "corelay relay"),
            (
                line,
                "GET /other HTTP/1.1",
                "404 Not Found",
                "/ws/documents/{id}",
            ),
            (
                line,
                "GET /ws/documents/a/b HTTP/1.1",
                "404 Not Found",
                "%2F",
            ),
            (
                line,
                "GET /ws/documents/ HTTP/1.1",
                "400 Bad Request",
                "1 to 256 bytes",
            ),
            (
                line,
                &format!("GET /ws/documents/{long} HTTP/1.1"),
                "400 Bad Request",
                "this one has 257",
            ),
            ("%C3%BC", "%C3", "400 Bad Request", "not UTF-8"),
            ("%C3%BC", "%C", "400 Bad Request", "hexadecimal"),
            ("%C3%BC", "%+1", "400 Bad Request", "hexadecimal"),
            ("%C3%BC", "%0A", "400 Bad Request", "control characters"),
            ("HTTP/1.1", "HTTP/1.0", "400 Bad Request", "HTTP/1.1"),
            (
                "HTTP/1.1",
                "HTTP/9",
                "400 Bad Request",
                "no HTTP/1.1 request",
            ),
            (
                "upgrade: WebSocket",
                "upgrade: h2c",
                "426 Upgrade Required",
                "Upgrade: websocket\r\n",
            ),
            (
                "keep-alive, Upgrade",
                "keep-alive",
                "426 Upgrade Required",
                "WebSocket endpoint",
            ),
            ("Host: localhost:7400\r\n", "", "400 Bad Request", "Host"),
            (
                "Version: 13",
                "Version: 8",
                "426 Upgrade Required",
                "Sec-WebSocket-Version: 13\r\n",
            ),
            (
                "Sec-WebSocket-Version: 13\r\n",
                "",
                "426 Upgrade Required",
                "version 13",
            ),
            (
                "Sec-WebSocket-Key",
                "X-Key",
                "400 Bad Request",
                "Sec-WebSocket-Key",
            ),
            (
                "dGhlIHNhbXBsZSBub25jZQ==",
                "dGhlIHNhbXBsZQ==",
                "400 Bad Request",
                "16 bytes",
            ),
            (
                "dGhlIHNhbXBsZSBub25jZQ==",
                "dGhlIHNhbXBsZSBub25jZ!==",
                "400 Bad Request",
                "16 bytes",
            ),
            (
                "Host:",
                "Content-Length: 4\r\nHost:",
                "400 Bad Request",
                "no body",
            ),
        ];
        for (from, to, status, words) in table {
            let head = HEAD.replacen(from, to, 1);
            assert_ne!(head, HEAD, "{from}");
            let response = refusal(&head);
            assert!(
                response.starts_with(&format!("HTTP/1.1 {status}\r\n")),
                "{to}: {response}"
            );
            assert!(response.contains(words), "{to}: {response}");
            assert!(
                response.contains("Connection: close\r\n"),
                "{to}: {response}"
            );
            let (_, body) = response.split_once("\r\n\r\n").unwrap();
            assert!(response.contains(&format!("Content-Length: {}\r\n", body.len())));
        }
    }

    #[test]
    fn a_head_has_limits() {
        let many = HEAD.replacen(
            "Host:",
            &format!("{}Host:", "a: b\r\n".repeat(HEADERS_MAX)),
            1,
        );
        assert!(refusal(&many).contains("more than 64 headers"));
        let length = HEAD.len();
        let read_head = |bytes, bytes_max| read_head(bytes, bytes_max, &Origins::Any);
        assert!(read_head(HEAD.as_bytes(), length).unwrap().is_some());
        for bytes_max in [length - 1, length / 2] {
            let answer = read_head(HEAD.as_bytes(), bytes_max)
                .unwrap_err()
                .response();
            assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        }
        let partial = &HEAD.as_bytes()[..length / 2];
        assert!(
            read_head(partial, length / 2)
                .unwrap_err()
                .response()
                .contains(" 431 ")
        );
    }
}

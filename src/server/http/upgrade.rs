//! A request for a WebSocket.

use tungstenite::handshake::derive_accept_key;

use super::{Answer, Caller, Request, Rules, only};
use crate::codec::dialect::Dialect;

const SUBPROTOCOL: &str = "corelay.v1";
const JSON_SUBPROTOCOL: &str = "corelay.json";

/// A client that may have its WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    pub caller: Caller,
    accept_key: String,
    /// The subprotocol of ours that the client offered.
    subprotocol: Option<&'static str>,
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

pub(super) fn read(
    request: &Request<'_>,
    place: &str,
    rules: &Rules<'_>,
) -> Result<Upgrade, Answer> {
    let mut caller = request.caller(place)?;
    if request.method != "GET" {
        return Err(only("GET"));
    }
    let headers = request.headers;
    if !request.is_http_1_1 {
        return Err(Answer::bad("A WebSocket needs HTTP/1.1."));
    }
    if !headers.lists("Upgrade", "websocket") || !headers.lists("Connection", "upgrade") {
        return Err(Answer::refused(
            "426 Upgrade Required",
            "This is a WebSocket endpoint: the request needs \"Upgrade: websocket\" and \"Connection: Upgrade\".",
        )
        .with_headers("Upgrade: websocket\r\n"));
    }
    request.check_origin(rules.origins)?;
    if headers.count("Host") != 1 {
        return Err(Answer::bad("The request needs one Host header."));
    }
    if request.has_body() {
        return Err(Answer::bad("A request that opens a WebSocket has no body."));
    }
    if !headers.values("Sec-WebSocket-Version").eq([b"13"]) {
        return Err(Answer::refused(
            "426 Upgrade Required",
            "Only version 13 of the WebSocket protocol is spoken here.",
        )
        .with_headers("Sec-WebSocket-Version: 13\r\n"));
    }
    let mut keys = headers.values("Sec-WebSocket-Key");
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Err(Answer::bad(
            "The request needs one Sec-WebSocket-Key header.",
        ));
    };
    if !is_nonce(key) {
        return Err(Answer::bad("Sec-WebSocket-Key must be 16 bytes in base64."));
    }
    let subprotocol = [JSON_SUBPROTOCOL, SUBPROTOCOL]
        .into_iter()
        .find(|name| headers.lists("Sec-WebSocket-Protocol", name));
    if subprotocol == Some(JSON_SUBPROTOCOL) {
        caller.introduction.dialect = Some(Dialect::Json);
    }
    Ok(Upgrade {
        caller,
        accept_key: derive_accept_key(key),
        subprotocol,
    })
}

/// Whether this is 16 bytes in base64: 22 digits and the padding.
fn is_nonce(key: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(digit)
}

#[cfg(test)]
mod tests {
    use super::super::{HEADERS_MAX, Head, read_head};
    use super::*;
    use crate::config::Origins;

    const HEAD: &str = "GET /ws/documents/a%2fb%20%C3%BC?token=x HTTP/1.1\r\n\
        Host: localhost:7400\r\n\
        upgrade: WebSocket\r\n\
        Connection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: other, corelay.v1\r\n\
        \r\n";

    const RULES: Rules<'_> = Rules {
        head_bytes_max: 16 * 1024,
        body_bytes_max: 1024,
        origins: &Origins::Any,
    };

    fn read(head: &str) -> Result<Option<(Upgrade, usize)>, Answer> {
        let head = read_head(head.as_bytes(), &RULES)?;
        Ok(head.map(|(head, length)| match head {
            Head::Upgrade(upgrade) => (upgrade, length),
            other => panic!("no upgrade: {other:?}"),
        }))
    }

    fn refusal(head: &str) -> String {
        read(head).expect_err(head).response(true)
    }

    #[test]
    fn a_whole_head_is_an_upgrade() {
        let bytes = format!("{HEAD}\u{1}first frame");
        let (upgrade, length) = read(&bytes).unwrap().unwrap();
        assert_eq!(length, HEAD.len());
        assert_eq!(upgrade.caller.document.as_deref(), Some("a/b ü"));
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
        assert_eq!(upgrade.caller.document, None);
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
            (
                line,
                "GET /ws/other HTTP/1.1",
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
        let read_head = |bytes, head_bytes_max| {
            let rules = Rules {
                head_bytes_max,
                ..RULES
            };
            read_head(bytes, &rules)
        };
        assert!(read_head(HEAD.as_bytes(), length).unwrap().is_some());
        for bytes_max in [length - 1, length / 2] {
            let answer = read_head(HEAD.as_bytes(), bytes_max)
                .unwrap_err()
                .response(true);
            assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        }
        let partial = &HEAD.as_bytes()[..length / 2];
        assert!(
            read_head(partial, length / 2)
                .unwrap_err()
                .response(true)
                .contains(" 431 ")
        );
    }
}

//! Requests that the control thread answers: all that are for neither a WebSocket nor an event stream.

use super::events::Cors;
use super::{Answer, Request, Rules, percent};

/// What a header takes beside its text.
const HEADER_BYTES: usize = size_of::<(String, Vec<u8>)>();

/// A request whose head is in order, before its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    pub method: String,
    /// The path with the query.
    pub target: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body_bytes: usize,
    /// The client waits to be told that it may send the body.
    pub expects_continue: bool,
    /// Another request may follow.
    pub keeps_alive: bool,
    pub cors: Cors,
}

impl Exchange {
    /// What it takes without the body, about.
    pub fn head_bytes(&self) -> usize {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| name.len() + value.len() + HEADER_BYTES);
        self.target.len() + headers.sum::<usize>()
    }

    /// An answer that its sender can read.
    pub fn refused(&self, answer: Answer) -> Answer {
        let answer = self.cors.on(answer.to(&self.method));
        match is_interface(&self.target) {
            true => answer.as_problem(),
            false => answer,
        }
    }
}

/// Whether a path is one of the HTTP interface, whose errors are problems in JSON.
pub fn is_interface(path: &str) -> bool {
    path.strip_prefix("/v1")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
}

pub(super) fn read(request: &Request<'_>, rules: &Rules<'_>) -> Result<Exchange, Answer> {
    let mut cors = Cors::default();
    if is_interface(request.path) {
        request.check_origin(rules.origins)?;
        cors = Cors::of(request, rules.origins);
    }
    let exchange = read_parts(request, rules);
    match exchange {
        Ok(exchange) => Ok(Exchange { cors, ..exchange }),
        Err(answer) => Err(cors.on(answer)),
    }
}

fn read_parts(request: &Request<'_>, rules: &Rules<'_>) -> Result<Exchange, Answer> {
    if !request.path.starts_with('/') {
        return Err(Answer::bad("The request's target must be a path."));
    }
    if request.is_http_1_1 && request.headers.count("Host") != 1 {
        return Err(Answer::bad("The request needs one Host header."));
    }
    match percent::decode(request.target).map(String::from_utf8) {
        Some(Ok(_)) => {}
        Some(Err(_)) => return Err(Answer::bad("The URL is not UTF-8 where it is decoded.")),
        None => {
            let words = "The URL has a % that two hexadecimal digits do not follow.";
            return Err(Answer::bad(words));
        }
    }
    let body_bytes = request.body_bytes(rules.body_bytes_max)?;
    let header = |header: &httparse::Header<'_>| (header.name.to_owned(), header.value.to_vec());
    Ok(Exchange {
        method: request.method.to_owned(),
        target: request.target.to_owned(),
        headers: request.headers.0.iter().map(header).collect(),
        body_bytes: body_bytes.unwrap_or(0),
        expects_continue: request.headers.lists("Expect", "100-continue"),
        keeps_alive: request.keeps_alive(),
        cors: Cors::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Head, read_head};
    use super::*;
    use crate::config::Origins;

    fn read(head: &str, origins: &Origins) -> Result<Exchange, Answer> {
        let rules = Rules {
            head_bytes_max: 16 * 1024,
            body_bytes_max: 1000,
            origins,
        };
        let head = head.replace('\n', "\r\n") + "\r\n\r\n";
        match read_head(head.as_bytes(), &rules)? {
            Some((Head::Exchange(exchange), length)) if length == head.len() => Ok(*exchange),
            other => panic!("no exchange: {other:?}"),
        }
    }

    #[test]
    fn a_request_comes_through_as_it_is() {
        let head = "POST /v1/documents/a%2Fb/operations?x=1 HTTP/1.1\nHost: relay\nContent-Length: 7\nX-Client-ID: me\n\
                    Expect: 100-continue";
        let exchange = read(head, &Origins::Any).expect("it is in order");
        assert_eq!(exchange.method, "POST");
        assert_eq!(exchange.target, "/v1/documents/a%2Fb/operations?x=1");
        assert_eq!(exchange.body_bytes, 7);
        assert!(exchange.keeps_alive && exchange.expects_continue);
        let client = ("X-Client-ID".to_owned(), b"me".to_vec());
        assert!(exchange.headers.contains(&client));
        let last = "GET / HTTP/1.1\nHost: relay\nConnection: close";
        assert!(!read(last, &Origins::Any).expect("as above").keeps_alive);
        assert!(
            !read("GET / HTTP/1.0", &Origins::Any)
                .expect("as above")
                .keeps_alive
        );
    }

    #[test]
    fn what_is_wrong_with_a_head_is_a_problem_in_json_where_the_interface_is() {
        let listed = Origins::Listed(vec!["https://app.example".to_owned()]);
        let table = [
            ("GET /v1/documents HTTP/1.1", 400, "one Host"),
            ("GET /v1 HTTP/1.1\nHost: a\nHost: b", 400, "one Host"),
            (
                "GET /v1/documents/%zz HTTP/1.1\nHost: a",
                400,
                "hexadecimal",
            ),
            (
                "GET /v1/documents?prefix=50% HTTP/1.1\nHost: a",
                400,
                "hexadecimal",
            ),
            ("GET /v1/documents/%FF HTTP/1.1\nHost: a", 400, "UTF-8"),
            (
                "POST /v1/x HTTP/1.1\nHost: a\nTransfer-Encoding: chunked",
                411,
                "Content-Length",
            ),
            (
                "POST /v1/x HTTP/1.1\nHost: a\nContent-Length: 5\nContent-Length: 5",
                411,
                "one Content-Length",
            ),
            (
                "POST /v1/x HTTP/1.1\nHost: a\nContent-Length: +5",
                400,
                "a number",
            ),
            (
                "POST /v1/x HTTP/1.1\nHost: a\nContent-Length: 1001",
                413,
                "1000 bytes",
            ),
            (
                "GET /v1/x HTTP/1.1\nHost: a\nOrigin: https://evil.example",
                403,
                "listen.origins",
            ),
        ];
        for (head, status, words) in table {
            let response = read(head, &listed).expect_err(head).response(true);
            assert!(
                response.starts_with(&format!("HTTP/1.1 {status} ")),
                "{head}: {response}"
            );
            assert!(
                response.contains("Content-Type: application/problem+json\r\n"),
                "{response}"
            );
            let (_, body) = response.split_once("\r\n\r\n").expect("a head");
            let problem: serde_json::Value = serde_json::from_str(body).expect("JSON");
            assert_eq!(problem["status"], status);
            let detail = problem["detail"].as_str().expect("text");
            assert!(detail.contains(words), "{problem}");
        }
        // Elsewhere they are words, and pages of any origin may look.
        let plain = read("GET /v1x HTTP/1.1", &listed)
            .expect_err("it has no Host")
            .response(true);
        assert!(plain.contains("Content-Type: text/plain"), "{plain}");
        let page = "GET / HTTP/1.1\nHost: a\nOrigin: https://evil.example";
        assert!(read(page, &listed).is_ok());
    }
}

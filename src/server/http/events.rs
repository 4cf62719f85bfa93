//! Requests for an event stream, and what is posted to one.

use std::fmt;

use serde_json::{Map, Value, json};

use super::{Answer, Caller, Head, Request, Rules, length_required, only, percent};
use crate::codec::wire::Position;
use crate::config::Origins;

/// How long a browser may remember what it may send.
pub const PREFLIGHT_SECONDS: u32 = 3600;

/// A client that may have its event stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    pub caller: Caller,
    pub cors: Cors,
    /// What the client has of the document that the URL names.
    have: Option<Position>,
    /// What the document is created as.
    kind: Option<String>,
}

/// Messages for the relay, which follow the head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    pub session: SessionName,
    pub body_bytes: usize,
    /// The client waits to be told that it may send the body.
    pub expects_continue: bool,
    /// Another request may follow.
    pub keeps_alive: bool,
    pub cors: Cors,
}

/// The secret name of an event stream, and the shard that has it. Whoever knows it can post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionName {
    pub shard: u16,
    pub secret: u128,
}

/// Header lines that let a page of another origin read the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cors(String);

impl Opening {
    /// The response that begins the stream, and its first event.
    pub fn response(&self, session: SessionName) -> String {
        format!(
            "HTTP/1.1 200 OK\r\n\
             Content-Type: text/event-stream\r\n\
             Cache-Control: no-store\r\n\
             X-Accel-Buffering: no\r\n\
             {}Connection: close\r\n\
             \r\n\
             event: session\n\
             data: {{\"post\":\"/events/{session}\"}}\n\n",
            self.cors.0
        )
    }

    /// What the client asks for with its URL: a message of the JSON dialect. `None`: it names no document, or the client
    /// has not said who it is.
    pub fn sync_request(&self) -> Option<String> {
        self.caller.document.as_ref()?;
        self.caller.introduction.hello.as_ref()?;
        let mut payload = Map::new();
        if let Some(Position { epoch, revision }) = self.have {
            payload.insert(
                "have".to_owned(),
                json!({"epoch": epoch, "revision": revision}),
            );
        }
        if let Some(kind) = &self.kind {
            payload.insert("kind".to_owned(), Value::from(kind.as_str()));
        }
        Some(json!({"type": "sync_request", "payload": payload}).to_string())
    }
}

impl SessionName {
    fn parse(text: &str) -> Option<Self> {
        let is_plain = text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let (shard, secret) = text.split_at_checked(4).filter(|_| is_plain)?;
        Some(Self {
            shard: u16::from_str_radix(shard, 16).ok()?,
            secret: u128::from_str_radix(secret, 16).ok()?,
        })
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}{:032x}", self.shard, self.secret)
    }
}

impl Cors {
    pub(super) fn of(request: &Request<'_>, origins: &Origins) -> Self {
        let Some(origin) = request.headers.text("Origin") else {
            return Self::default();
        };
        let (allowed, vary) = match origins {
            Origins::Any => ("*", ""),
            Origins::Listed(_) => (origin.as_str(), "Vary: Origin\r\n"),
        };
        Self(format!(
            "Access-Control-Allow-Origin: {allowed}\r\n{vary}Access-Control-Expose-Headers: ETag, Location, Retry-After\r\n"
        ))
    }

    /// Whole lines.
    pub fn lines(&self) -> &str {
        &self.0
    }

    pub fn on(&self, answer: Answer) -> Answer {
        answer.with_headers(&self.0)
    }
}

/// `place` is what follows `/events` in the path.
pub(super) fn read(request: &Request<'_>, place: &str, rules: &Rules<'_>) -> Result<Head, Answer> {
    request.check_origin(rules.origins)?;
    let cors = Cors::of(request, rules.origins);
    let session = place.strip_prefix('/').and_then(SessionName::parse);
    let head = match (request.method, session) {
        ("OPTIONS", _) => preflight(request, session.is_some()),
        ("POST", Some(session)) => post(request, session, rules).map(|post| {
            Head::Post(Post {
                cors: cors.clone(),
                ..post
            })
        }),
        (_, Some(_)) => Err(only("POST")),
        ("GET", None) => open(request, place).map(|opening| {
            Head::Stream(Opening {
                cors: cors.clone(),
                ..opening
            })
        }),
        ("POST", None) if !place.is_empty() => Err(no_session()),
        (_, None) => Err(only("GET")),
    };
    match head {
        Ok(Head::Answered(answer)) => Ok(Head::Answered(cors.on(answer))),
        Ok(head) => Ok(head),
        Err(answer) => Err(cors.on(answer)),
    }
}

pub fn no_session() -> Answer {
    Answer::not_found("There is no such session: its event stream has ended.")
}

fn open(request: &Request<'_>, place: &str) -> Result<Opening, Answer> {
    if request.has_body() {
        return Err(Answer::bad(
            "A request that opens an event stream has no body.",
        ));
    }
    let last_id = request
        .headers
        .text("Last-Event-ID")
        .or_else(|| percent::parameter(request.query, "have"));
    Ok(Opening {
        caller: request.caller(place)?,
        cors: Cors::default(),
        have: last_id.as_deref().and_then(position),
        kind: percent::parameter(request.query, "kind"),
    })
}

/// What an event's id says. One that is not the relay's says nothing.
fn position(id: &str) -> Option<Position> {
    let (epoch, revision) = id.split_once('.')?;
    Some(Position {
        epoch: epoch.parse().ok()?,
        revision: revision.parse().ok()?,
    })
}

fn post(request: &Request<'_>, session: SessionName, rules: &Rules<'_>) -> Result<Post, Answer> {
    let headers = request.headers;
    let body_bytes = request
        .body_bytes(rules.body_bytes_max)?
        .ok_or_else(length_required)?;
    let content_type = headers.text("Content-Type").unwrap_or_default();
    let content_type = content_type.split(';').next().unwrap_or_default().trim();
    let is_taken = ["application/json", "text/plain"]
        .iter()
        .any(|taken| content_type.eq_ignore_ascii_case(taken));
    if !is_taken {
        return Err(Answer::refused(
            "415 Unsupported Media Type",
            "The body's Content-Type must be application/json or text/plain.",
        ));
    }
    Ok(Post {
        session,
        body_bytes,
        expects_continue: headers.lists("Expect", "100-continue"),
        keeps_alive: request.keeps_alive(),
        cors: Cors::default(),
    })
}

/// What a browser asks before it sends what a page of another origin cannot always send.
fn preflight(request: &Request<'_>, is_session: bool) -> Result<Head, Answer> {
    if request.has_body() {
        return Err(Answer::bad("A question for the options has no body."));
    }
    let method = if is_session { "POST" } else { "GET" };
    let answer = Answer::nothing().with_headers(&format!(
        "Allow: {method}, OPTIONS\r\n\
         Access-Control-Allow-Methods: {method}\r\n\
         Access-Control-Allow-Headers: Authorization, Content-Type, Last-Event-ID, X-Client-ID, X-Protocol-Version\r\n\
         Access-Control-Max-Age: {PREFLIGHT_SECONDS}\r\n"
    ));
    if request.keeps_alive() {
        Ok(Head::Answered(answer))
    } else {
        Err(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Head, read_head};
    use super::*;

    const UUID: &str = "00112233-4455-6677-8899-aabbccddeeff";
    const SESSION: &str = "000300000000000000000000000000000abc";

    fn read(head: &str, origins: &Origins) -> Result<Head, Answer> {
        let rules = Rules {
            head_bytes_max: 16 * 1024,
            body_bytes_max: 1000,
            origins,
        };
        let head = head.replace('\n', "\r\n") + "\r\n\r\n";
        let (read, length) = read_head(head.as_bytes(), &rules)?.expect("it is whole");
        assert_eq!(length, head.len());
        Ok(read)
    }

    fn opening(head: &str) -> Opening {
        match read(head, &Origins::Any) {
            Ok(Head::Stream(opening)) => opening,
            other => panic!("no stream: {other:?}"),
        }
    }

    fn post(headers: &str) -> Result<Post, Answer> {
        let head = format!("POST /events/{SESSION} HTTP/1.1\n{headers}");
        match read(&head, &Origins::Any)? {
            Head::Post(post) => Ok(post),
            other => panic!("no post: {other:?}"),
        }
    }

    #[test]
    fn a_stream_asks_for_the_document_of_its_url_from_where_the_client_is() {
        let sync = |head: String| opening(&head).sync_request();
        let message = |payload: &str| {
            Some(format!(
                "{{\"payload\":{payload},\"type\":\"sync_request\"}}"
            ))
        };
        let get = format!("GET /events/documents/a%2Fb?client={UUID}");
        assert_eq!(sync(format!("{get} HTTP/1.1")), message("{}"));
        let have = "{\"have\":{\"epoch\":2,\"revision\":17}}";
        assert_eq!(
            sync(format!("{get}&have=1.3 HTTP/1.1\nLast-Event-ID: 2.17")),
            message(have)
        );
        assert_eq!(sync(format!("{get}&have=2.17 HTTP/1.1")), message(have));
        for id in ["", "x", "1.", "1.2.3", "-1.2", "17"] {
            assert_eq!(
                sync(format!("{get} HTTP/1.1\nLast-Event-ID: {id}")),
                message("{}"),
                "{id}"
            );
        }
        assert_eq!(
            sync(format!("{get}&kind=t%22xt HTTP/1.1")),
            message("{\"kind\":\"t\\\"xt\"}")
        );
        assert_eq!(sync(format!("GET /events?client={UUID} HTTP/1.1")), None);
        assert_eq!(sync("GET /events/documents/a HTTP/1.1".to_owned()), None);
        let named = opening("GET /events/documents/a%2Fb HTTP/1.1");
        assert_eq!(named.caller.document.as_deref(), Some("a/b"));
    }

    #[test]
    fn a_stream_begins_with_where_to_post() {
        let session = SessionName {
            shard: 3,
            secret: 0xabc,
        };
        let response = opening("GET /events HTTP/1.1\nOrigin: https://a.example").response(session);
        let (head, body) = response.split_once("\r\n\r\n").expect("a head");
        for line in [
            "HTTP/1.1 200 OK",
            "Content-Type: text/event-stream",
            "Cache-Control: no-store",
            "X-Accel-Buffering: no",
            "Access-Control-Allow-Origin: *",
            "Connection: close",
        ] {
            assert!(head.lines().any(|found| found == line), "{line}: {head}");
        }
        let data = format!("event: session\ndata: {{\"post\":\"/events/{SESSION}\"}}\n\n");
        assert_eq!(body, data);
        assert_eq!(SessionName::parse(SESSION), Some(session));
    }

    #[test]
    fn a_post_says_how_long_and_what_it_is() {
        let json = "Content-Type: application/json";
        let taken = post(&format!("{json}; charset=utf-8\nContent-Length: 1000")).expect("a post");
        assert_eq!((taken.session.shard, taken.session.secret), (3, 0xabc));
        assert_eq!((taken.body_bytes, taken.keeps_alive), (1000, true));
        assert!(!taken.expects_continue);
        let last =
            "Content-Type: Text/Plain\nContent-Length: 0\nConnection: close\nExpect: 100-Continue";
        let last = post(last).expect("a post");
        assert_eq!((last.expects_continue, last.keeps_alive), (true, false));

        let refused = [
            (json.to_owned(), "411 "),
            (format!("{json}\nTransfer-Encoding: chunked"), "411 "),
            (
                format!("{json}\nTransfer-Encoding: chunked\nContent-Length: 5"),
                "411 ",
            ),
            (
                format!("{json}\nContent-Length: 5\nContent-Length: 5"),
                "411 ",
            ),
            (format!("{json}\nContent-Length: +5"), "400 "),
            (format!("{json}\nContent-Length:"), "400 "),
            (format!("{json}\nContent-Length: 1001"), "413 "),
            (
                format!("{json}\nContent-Length: 99999999999999999999999"),
                "413 ",
            ),
            ("Content-Length: 5".to_owned(), "415 "),
            (
                "Content-Length: 5\nContent-Type: application/x-www-form-urlencoded".to_owned(),
                "415 ",
            ),
        ];
        for (headers, status) in refused {
            let answer = post(&headers).expect_err(&headers).response(true);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{headers}: {answer}"
            );
        }
    }

    #[test]
    fn what_is_not_there_is_said() {
        let table = [
            ("GET /events/x HTTP/1.1", "404 "),
            ("GET /events/documents/a/b HTTP/1.1", "404 "),
            ("GET /events/documents/%00 HTTP/1.1", "400 "),
            ("GET /events HTTP/1.1\nX-Client-ID: me", "400 "),
            ("GET /events HTTP/1.1\nContent-Length: 1", "400 "),
            ("POST /events HTTP/1.1", "405 "),
            ("DELETE /events HTTP/1.1", "405 "),
            ("POST /events/documents HTTP/1.1", "404 "),
            ("POST /events/0003 HTTP/1.1", "404 "),
            (&format!("GET /events/{SESSION} HTTP/1.1"), "405 "),
            (&format!("POST /events/+{} HTTP/1.1", &SESSION[1..]), "404 "),
            ("OPTIONS /events HTTP/1.1\nContent-Length: 1", "400 "),
            ("OPTIONS /events HTTP/1.0", "204 "),
        ];
        for (head, status) in table {
            let answer = read(head, &Origins::Any).expect_err(head).response(true);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{head}: {answer}"
            );
        }
    }

    #[test]
    fn pages_of_listed_origins_may_read_every_answer() {
        let listed = Origins::Listed(vec!["https://a.example".to_owned()]);
        let allowed = "Access-Control-Allow-Origin: https://a.example\r\nVary: Origin\r\n";
        let ask = |method: &str, path: &str, origin: &str| {
            let head = format!("{method} {path} HTTP/1.1\nOrigin: {origin}");
            match read(&head, &listed) {
                Ok(Head::Answered(answer)) | Err(answer) => answer.response(true),
                Ok(Head::Stream(opening)) => opening.cors.on(Answer::nothing()).response(true),
                Ok(other) => panic!("{other:?}"),
            }
        };
        let session = format!("/events/{SESSION}");
        let preflight = ask("OPTIONS", &session, "https://a.example");
        assert!(preflight.starts_with("HTTP/1.1 204 "), "{preflight}");
        assert!(preflight.contains("Access-Control-Allow-Methods: POST\r\n"));
        for (method, path) in [
            ("OPTIONS", "/events"),
            ("GET", "/events"),
            ("GET", "/events/x"),
            ("POST", &session),
        ] {
            let answer = ask(method, path, "https://a.example");
            assert!(answer.contains(allowed), "{answer}");
            let answer = ask(method, path, "https://b.example");
            assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
            assert!(!answer.contains("Access-Control"), "{answer}");
        }
    }
}

//! A client of event streams, by hand: HTTP as text, and server-sent events as the HTML standard reads them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::Server;
use super::client::stream;

/// An open event stream.
pub struct Events {
    reader: BufReader<TcpStream>,
    address: SocketAddr,
    /// Where to post.
    pub path: String,
}

/// A server-sent event.
#[derive(Debug)]
pub struct Message {
    /// `epoch.revision`, or empty.
    pub id: String,
    pub json: Value,
}

/// A connection for one request after the other.
pub struct Http(BufReader<TcpStream>);

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// A client's UUID made of `number`.
pub fn uuid(number: u64) -> String {
    format!("00000000-0000-0000-0000-{number:012x}")
}

/// The head of a response, up to the empty line.
fn read_head(reader: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let length = reader.read_line(&mut head).expect("a head");
        assert!(length > 0, "the connection ends within a head: {head}");
    }
    head
}

fn status(head: &str) -> u16 {
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    status.expect("a status")
}

impl Events {
    /// `path` with its query; `headers` are whole lines.
    pub fn open(server: &Server, path: &str, headers: &str) -> Self {
        Self::open_over(stream(server.websocket), path, headers).expect("the relay streams")
    }

    /// A stream of the client with that number.
    pub fn of(server: &Server, number: u64, path: &str) -> Self {
        let separator = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{separator}version=3&client={}", uuid(number));
        Self::open(server, &path, "")
    }

    /// The status where there is no stream.
    pub fn open_over(mut socket: TcpStream, path: &str, headers: &str) -> Result<Self, u16> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: relay\r\n{headers}\r\n");
        socket
            .write_all(request.as_bytes())
            .expect("the request is taken");
        let address = socket.peer_addr().expect("it is connected");
        let mut reader = BufReader::new(socket);
        let head = read_head(&mut reader);
        if status(&head) != 200 {
            return Err(status(&head));
        }
        assert!(
            head.contains("Content-Type: text/event-stream\r\n"),
            "{head}"
        );
        let mut events = Self {
            reader,
            address,
            path: String::new(),
        };
        let (name, first) = events.next_event().expect("the first event");
        assert_eq!(name, "session");
        events.path = first.json["post"].as_str().expect("a path").to_owned();
        Ok(events)
    }

    fn next_event(&mut self) -> Option<(String, Message)> {
        let [mut name, mut id, mut data] = [const { String::new() }; 3];
        loop {
            let mut line = String::new();
            let length = self.reader.read_line(&mut line).expect("an event");
            if length == 0 {
                return None;
            }
            let line = line.trim_end_matches('\n');
            if let Some((field, value)) = line.split_once(": ") {
                match field {
                    "event" => name += value,
                    "id" => id += value,
                    "data" => data += value,
                    other => panic!("no such field: {other}"),
                }
            } else if line.is_empty() && !data.is_empty() {
                let json = serde_json::from_str(&data).expect("JSON");
                return Some((name, Message { id, json }));
            }
        }
    }

    /// The next message; `None` when the relay has ended the stream.
    pub fn next(&mut self) -> Option<Message> {
        let (name, message) = self.next_event()?;
        assert_eq!(name, "", "messages have no name");
        Some(message)
    }

    /// The next message of that type; others are passed over.
    pub fn expect(&mut self, kind: &str) -> Message {
        loop {
            let message = self
                .next()
                .unwrap_or_else(|| panic!("closed before {kind}"));
            if message.json["type"] == kind {
                return message;
            }
            assert_ne!(message.json["type"], "error", "{message:?}");
        }
    }

    /// The end of what a client that joins is sent.
    pub fn expect_caught_up(&mut self) -> Message {
        loop {
            let page = self.expect("sync_response");
            if page.json["payload"]["hasMore"] == false {
                return page;
            }
        }
    }

    pub fn post(&self, body: &str) -> Response {
        Http::connect(self.address).post(&self.path, body)
    }

    /// Posts, and the relay must take it.
    pub fn send(&self, body: &Value) {
        let response = self.post(&body.to_string());
        assert_eq!(response.status, 204, "{response:?}");
    }
}

impl Http {
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(stream(address))
    }

    pub fn over(socket: TcpStream) -> Self {
        Self(BufReader::new(socket))
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).expect("it is taken");
    }

    pub fn read(&mut self) -> Response {
        let head = read_head(&mut self.0);
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .map_or(0, |length| length.parse().expect("a number"));
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("the body");
        Response {
            status: status(&head),
            head,
            body: String::from_utf8(body).expect("text"),
        }
    }

    pub fn request(&mut self, head: &str, body: &str) -> Response {
        let head = head.replace('\n', "\r\n");
        self.write(format!("{head}\r\nHost: relay\r\n\r\n{body}").as_bytes());
        self.read()
    }

    pub fn post(&mut self, path: &str, body: &str) -> Response {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\nContent-Type: application/json\nContent-Length: {length}"
        );
        self.request(&head, body)
    }

    /// Whether the relay has closed the connection.
    pub fn is_closed(&mut self) -> bool {
        self.0.fill_buf().expect("the end, or more").is_empty()
    }

    /// The connection for something else.
    pub fn into_stream(self) -> TcpStream {
        assert!(self.0.buffer().is_empty(), "something is left to be read");
        self.0.into_inner()
    }
}

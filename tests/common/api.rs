//! A caller of the HTTP interface, by hand.

use serde_json::{Value, json};

use super::Server;
use super::events::{Http, Response};

/// One connection, over which requests come one after the other.
pub struct Api {
    http: Http,
    /// Whole lines, of every request.
    pub headers: String,
}

impl Api {
    pub fn of(server: &Server) -> Self {
        Self {
            http: Http::connect(server.websocket),
            headers: String::new(),
        }
    }

    pub fn with_token(server: &Server, token: &str) -> Self {
        Self {
            headers: format!("Authorization: Bearer {token}\n"),
            ..Self::of(server)
        }
    }

    /// `headers` are whole lines.
    pub fn request(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Response {
        let length = match (body.is_empty(), method) {
            (true, "GET" | "HEAD" | "DELETE" | "OPTIONS") => String::new(),
            _other => format!("Content-Length: {}\n", body.len()),
        };
        let head = format!(
            "{method} {path} HTTP/1.1\n{}{headers}{length}",
            self.headers
        );
        self.http.request(head.trim_end(), body)
    }

    pub fn get(&mut self, path: &str) -> Response {
        self.request("GET", path, "", "")
    }

    pub fn post(&mut self, path: &str, body: Value) -> Response {
        self.send("POST", path, "", &body)
    }

    pub fn put(&mut self, path: &str, body: Value) -> Response {
        self.send("PUT", path, "", &body)
    }

    /// Makes a text of so many bytes, and returns it.
    pub fn write_text(&mut self, path: &str, bytes: usize) -> String {
        let text: String = (0..)
            .map(|n| format!("{n} "))
            .scan(0, |sum, word| {
                *sum += word.len();
                (*sum <= bytes).then_some(word)
            })
            .collect();
        let mut at: usize = 0;
        for (revision, piece) in text.as_bytes().chunks(500_000).enumerate() {
            let piece = std::str::from_utf8(piece).expect("digits");
            let body = json!({"edits": [{"at": at, "insert": piece}], "baseRevision": revision, "create": "text"});
            self.post(&format!("{path}/operations"), body).ok();
            at += piece.len();
        }
        text
    }

    /// With a body in JSON.
    pub fn send(&mut self, method: &str, path: &str, headers: &str, body: &Value) -> Response {
        let headers = format!("Content-Type: application/json\n{headers}");
        self.request(method, path, &headers, &body.to_string())
    }

    /// Writes a text as a whole.
    pub fn write(&mut self, path: &str, headers: &str, text: &str) -> Response {
        let headers = format!("Content-Type: text/plain; charset=utf-8\n{headers}");
        self.request("PUT", path, &headers, text)
    }

    pub fn into_stream(self) -> std::net::TcpStream {
        self.http.into_stream()
    }

    pub fn http(&mut self) -> &mut Http {
        &mut self.http
    }
}

impl Response {
    /// The body, where the answer is that it is done.
    pub fn ok(&self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// The name of the problem, where it has this status.
    pub fn problem(&self, status: u16) -> String {
        let problem = self.whole_problem(status);
        problem["name"].as_str().expect("a name").to_owned()
    }

    pub fn whole_problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        let content_type = self.header("content-type");
        assert_eq!(content_type, Some("application/problem+json"), "{self:?}");
        let problem: Value = serde_json::from_str(&self.body).expect("JSON");
        assert_eq!(problem["status"], status);
        problem
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }
}

//! How the admin address (`listen.admin`) is asked.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long whoever asks waits, and what for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub connect_timeout: Duration,
    /// For each part of the answer. `None`: as long as it takes.
    pub read_timeout: Option<Duration>,
    /// More of the answer is not read.
    pub answer_bytes_max: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its three digits; empty if there was no whole answer.
    pub status: String,
    pub body: String,
}

/// Sends `GET path`, or `POST path` with a body in JSON.
///
/// # Errors
///
/// It cannot be reached, does not answer in time, or answers something that is no text.
pub fn ask(
    address: SocketAddr,
    path: &str,
    json: Option<&str>,
    patience: &Patience,
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, patience.connect_timeout)?;
    stream.set_read_timeout(patience.read_timeout)?;
    let method = if json.is_some() { "POST" } else { "GET" };
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    if let Some(json) = json {
        let length = json.len();
        request += &format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
    }
    request += "\r\n";
    request += json.unwrap_or_default();
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    let mut reader = stream.take(patience.answer_bytes_max);
    reader.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    Ok(Answer {
        status: head.split(' ').nth(1).unwrap_or_default().to_owned(),
        body: body.to_owned(),
    })
}

//! How the admin address (`listen.admin`) is asked.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long whoever asks waits, and what for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub connect_timeout: Duration,
    /// For the whole answer. `None`: as long as it takes.
    pub answer_timeout: Option<Duration>,
    /// More of the answer is not read.
    pub answer_bytes_max: usize,
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
/// It cannot be reached, has not answered in time, or answers something that is no text.
pub fn ask(
    address: SocketAddr,
    path: &str,
    json: Option<&str>,
    patience: &Patience,
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, patience.connect_timeout)?;
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
    let answer = String::from_utf8(read(&mut stream, patience)?);
    let answer = answer.map_err(|_| io::Error::other("the answer is no text"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    Ok(Answer {
        status: head.split(' ').nth(1).unwrap_or_default().to_owned(),
        body: body.to_owned(),
    })
}

fn read(stream: &mut TcpStream, patience: &Patience) -> io::Result<Vec<u8>> {
    let deadline = patience.answer_timeout.map(|most| Instant::now() + most);
    let mut answer = Vec::new();
    let mut part = [0; 16 * 1024];
    while answer.len() < patience.answer_bytes_max {
        if let Some(deadline) = deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            stream.set_read_timeout(Some(left))?;
        }
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(length) => answer.extend_from_slice(&part[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        }
    }
    answer.truncate(patience.answer_bytes_max);
    Ok(answer)
}

/// What somebody else says, without what a terminal obeys, cannot show, or would write from the right.
pub fn shown(text: &str) -> String {
    let is_invisible = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let letters = text.trim().chars();
    letters
        .map(|letter| match is_invisible(letter) {
            true => char::REPLACEMENT_CHARACTER,
            false => letter,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn answered_with(parts: Vec<&'static [u8]>, patience: &Patience) -> io::Result<Answer> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let serve = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody asks");
            let mut request = [0; 1024];
            let length = stream.read(&mut request).expect("they ask");
            assert!(length > 0, "they ask");
            for part in parts {
                if stream.write_all(part).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let answer = ask(address, "/readyz", None, patience);
        serve.join().expect("it does not panic");
        answer
    }

    const PATIENCE: Patience = Patience {
        connect_timeout: Duration::from_secs(60),
        answer_timeout: Some(Duration::from_secs(60)),
        answer_bytes_max: 40,
    };

    #[test]
    fn an_answer_comes_in_parts_and_ends_where_it_is_too_long() {
        let head: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
        let answer = answered_with(vec![head, b"rea", b"dy\n"], &PATIENCE);
        let answer = answer.expect("there is one");
        assert_eq!((&*answer.status, &*answer.body), ("200", "ready\n"));
        let answer = answered_with(vec![head, &[b'x'; 1000]], &PATIENCE);
        assert_eq!(answer.expect("it is cut").body, "x".repeat(40 - head.len()));
    }

    #[test]
    fn who_dribbles_is_not_waited_for_longer_than_who_says_nothing() {
        let patience = Patience {
            answer_timeout: Some(Duration::from_millis(100)),
            ..PATIENCE
        };
        let parts = vec![&b"x"[..]; 30];
        let error = answered_with(parts, &patience).expect_err("it is not over in time");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn what_others_say_is_shown_as_one_line_without_commands_to_the_terminal() {
        let shown = shown("\u{1b}[2Jready\nor \u{9b}31mnot\n");
        assert_eq!(shown, "\u{fffd}[2Jready\u{fffd}or \u{fffd}31mnot");
    }
}

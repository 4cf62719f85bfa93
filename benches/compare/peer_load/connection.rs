//! A socket out of which only stamps are read, whatever protocol they are wrapped in.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

const MAGIC: &[u8; 4] = b"@#@#";
/// The magic, the writer in 4 and the time in 12 hexadecimal digits.
pub const STAMP_BYTES: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub writer: u32,
    /// When the operation was due, in microseconds of the run.
    pub due_us: u64,
}

impl Stamp {
    /// Printable, and nothing that any protocol would have to escape.
    pub fn payload(self, bytes: usize) -> String {
        let Self { writer, due_us } = self;
        let mut payload = format!("@#@#{writer:04x}{due_us:012x}");
        payload.extend(std::iter::repeat_n('.', bytes - STAMP_BYTES));
        payload
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let digits = std::str::from_utf8(bytes.get(4..STAMP_BYTES)?).ok()?;
        Some(Self {
            writer: u32::from_str_radix(&digits[..4], 16).ok()?,
            due_us: u64::from_str_radix(&digits[4..], 16).ok()?,
        })
    }
}

pub struct Connection {
    pub stream: TcpStream,
    pub document: usize,
    pub unsent: Vec<u8>,
    /// The end of what was read, where a stamp may have begun.
    tail: Vec<u8>,
}

impl Connection {
    pub fn new(stream: TcpStream, document: usize) -> Self {
        stream.set_nonblocking(true).expect("it is a socket");
        Self {
            stream,
            document,
            unsent: Vec::new(),
            tail: Vec::new(),
        }
    }

    /// What the socket does not take stays.
    pub fn flush(&mut self) {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(bytes) => drop(self.unsent.drain(..bytes)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("the server has closed a connection: {error}"),
            }
        }
    }

    pub fn read(&mut self, scratch: &mut [u8], handle: impl FnMut(Stamp)) {
        let kept = self.tail.len();
        scratch[..kept].copy_from_slice(&self.tail);
        match self.stream.read(&mut scratch[kept..]) {
            Ok(0) => panic!("the server has closed a connection"),
            Ok(bytes) => {
                let rest = stamps(&scratch[..kept + bytes], handle);
                self.tail.clear();
                self.tail.extend_from_slice(rest);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("the server has closed a connection: {error}"),
        }
    }
}

/// Every stamp, and what is left that may be the beginning of one.
fn stamps(mut bytes: &[u8], mut handle: impl FnMut(Stamp)) -> &[u8] {
    while let Some(at) = bytes.iter().position(|byte| *byte == MAGIC[0]) {
        bytes = &bytes[at..];
        let known = bytes.len().min(MAGIC.len());
        if bytes[..known] != MAGIC[..known] {
            bytes = &bytes[1..];
        } else if bytes.len() < STAMP_BYTES {
            return bytes;
        } else {
            let stamp = Stamp::read(bytes);
            bytes = &bytes[stamp.map_or(1, |_| STAMP_BYTES)..];
            stamp.into_iter().for_each(&mut handle);
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_found_however_the_bytes_are_cut() {
        let stamp = |due_us| Stamp { writer: 7, due_us };
        let bytes = format!("@x{}@#{}", stamp(1).payload(64), stamp(2).payload(20));
        for cut in 0..bytes.len() {
            let (front, back) = bytes.as_bytes().split_at(cut);
            let mut found = Vec::new();
            let mut rest = stamps(front, |stamp| found.push(stamp)).to_vec();
            rest.extend_from_slice(back);
            assert_eq!(stamps(&rest, |stamp| found.push(stamp)), b"");
            assert_eq!(found, [stamp(1), stamp(2)], "cut at {cut}");
        }
    }
}

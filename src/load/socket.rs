//! One client's non-blocking socket: TCP, or WebSocket as a client speaks it.
//!
//! Payloads are handed on as they arrive, in any pieces, since the session puts frames together itself; so there is
//! no buffer for a message, however long. Masks come from a counter: they have to be there, but there is nobody here
//! to hide them from.

use std::io::{self, Cursor, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, Protocol, Type};
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::client::{Endpoint, Transport};
use crate::codec::websocket::unmask;

/// The answer to a WebSocket handshake is refused past this.
const RESPONSE_BYTES_MAX: usize = 16 * 1024;
const CONTROL_BYTES_MAX: u64 = 125;

#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    phase: Phase,
    /// What the socket has not taken, and how much of its front it has.
    unsent: Vec<u8>,
    sent: usize,
    mask: u32,
}

#[derive(Debug)]
enum Phase {
    Connecting { request: Vec<u8>, accept: String },
    Upgrading { response: Vec<u8>, accept: String },
    WebSocket(Incoming),
    Tcp,
}

/// The WebSocket frame that is being read.
#[derive(Debug, Default)]
struct Incoming {
    /// The beginning of a header, or of a control frame.
    kept: Vec<u8>,
    /// Bytes of a data frame's payload that are still to come.
    payload_bytes: u64,
}

impl Socket {
    /// Begins to connect. `receive_buffer_bytes`: the kernel's, where it is not to be its default.
    pub fn connect(
        endpoint: &Endpoint,
        address: SocketAddr,
        receive_buffer_bytes: Option<usize>,
        mask: u32,
    ) -> io::Result<Self> {
        let domain = Domain::for_address(address);
        let socket = socket2::Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(bytes) = receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        let (request, accept) = match &endpoint.transport {
            Transport::Tcp => (Vec::new(), String::new()),
            Transport::WebSocket { path } => upgrade(path, &endpoint.authority),
        };
        Ok(Self {
            stream: socket.into(),
            phase: Phase::Connecting { request, accept },
            unsent: Vec::new(),
            sent: 0,
            mask,
        })
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Frames can be sent.
    pub fn is_open(&self) -> bool {
        match self.phase {
            Phase::Connecting { .. } | Phase::Upgrading { .. } => false,
            Phase::WebSocket(_) | Phase::Tcp => true,
        }
    }

    /// The socket is to be watched for being writable.
    pub fn wants_writable(&self) -> bool {
        matches!(self.phase, Phase::Connecting { .. }) || !self.unsent.is_empty()
    }

    /// The socket can be written.
    pub fn handle_writable(&mut self) -> io::Result<()> {
        if let Phase::Connecting { request, accept } = &mut self.phase {
            if let Some(error) = self.stream.take_error()? {
                return Err(error);
            }
            self.unsent.append(request);
            let accept = std::mem::take(accept);
            self.phase = if accept.is_empty() {
                Phase::Tcp
            } else {
                Phase::Upgrading {
                    response: Vec::new(),
                    accept,
                }
            };
        }
        self.flush()
    }

    /// Sends `frames`, which are emptied; what the socket does not take is kept. Returns the bytes on the wire.
    pub fn send(&mut self, frames: &mut Vec<u8>) -> io::Result<usize> {
        if frames.is_empty() {
            return Ok(0);
        }
        let before = self.unsent.len();
        match self.phase {
            Phase::WebSocket(_) => {
                self.append_message(OpCode::Data(Data::Binary), frames);
                frames.clear();
            }
            Phase::Tcp => self.unsent.append(frames),
            Phase::Connecting { .. } | Phase::Upgrading { .. } => {
                return Err(ErrorKind::NotConnected.into());
            }
        }
        let bytes = self.unsent.len() - before;
        self.flush()?;
        Ok(bytes)
    }

    fn append_message(&mut self, opcode: OpCode, payload: &[u8]) {
        self.mask = self.mask.wrapping_mul(0x9e37_79b1).wrapping_add(1);
        let mask = self.mask.to_ne_bytes();
        let header = FrameHeader {
            opcode,
            mask: Some(mask),
            ..FrameHeader::default()
        };
        header
            .format(payload.len() as u64, &mut self.unsent)
            .expect("a Vec takes what is written");
        let start = self.unsent.len();
        self.unsent.extend_from_slice(payload);
        unmask(&mut self.unsent[start..], mask);
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.sent < self.unsent.len() {
            match self.stream.write(&self.unsent[self.sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(taken) => self.sent += taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.unsent.clear();
        self.sent = 0;
        Ok(())
    }

    /// Reads once and gives the payload to `handle`. Returns how many bytes came; 0: none for now.
    pub fn read(&mut self, scratch: &mut [u8], mut handle: impl FnMut(&[u8])) -> io::Result<usize> {
        let read = match self.stream.read(scratch) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(0),
            Err(error) => return Err(error),
        };
        let mut bytes = &scratch[..read];
        if let Phase::Upgrading { response, accept } = &mut self.phase {
            let Some(taken) = upgraded(response, accept, bytes)? else {
                return Ok(read);
            };
            bytes = &bytes[taken..];
            self.phase = Phase::WebSocket(Incoming::default());
        }
        match &mut self.phase {
            Phase::WebSocket(incoming) => {
                let mut pings = Vec::new();
                incoming.split(bytes, &mut handle, &mut pings)?;
                for ping in &pings {
                    self.append_message(OpCode::Control(Control::Pong), ping);
                }
                self.flush()?;
            }
            Phase::Tcp => handle(bytes),
            Phase::Connecting { .. } | Phase::Upgrading { .. } => {}
        }
        Ok(read)
    }
}

impl Incoming {
    fn split(
        &mut self,
        arrived: &[u8],
        handle: &mut impl FnMut(&[u8]),
        pings: &mut Vec<Vec<u8>>,
    ) -> io::Result<()> {
        let mut joined = std::mem::take(&mut self.kept);
        let mut bytes = arrived;
        if !joined.is_empty() {
            joined.extend_from_slice(arrived);
            bytes = &joined;
        }
        while !bytes.is_empty() {
            if self.payload_bytes > 0 {
                let length = bytes.len().min(self.payload_bytes as usize);
                let (payload, rest) = bytes.split_at(length);
                self.payload_bytes -= length as u64;
                bytes = rest;
                handle(payload);
                continue;
            }
            let mut cursor = Cursor::new(bytes);
            let header = FrameHeader::parse(&mut cursor).map_err(io::Error::other)?;
            let Some((header, length)) = header else {
                break;
            };
            let rest = &bytes[cursor.position() as usize..];
            if header.mask.is_some() {
                return Err(invalid("a server must not mask"));
            }
            match header.opcode {
                OpCode::Data(Data::Binary | Data::Continue) => {
                    self.payload_bytes = length;
                    bytes = rest;
                }
                OpCode::Data(Data::Text | Data::Reserved(_))
                | OpCode::Control(Control::Reserved(_)) => {
                    return Err(invalid("not a binary message"));
                }
                OpCode::Control(_) if length > CONTROL_BYTES_MAX => {
                    return Err(invalid("the control frame is too long"));
                }
                OpCode::Control(_) if (rest.len() as u64) < length => break,
                OpCode::Control(control) => {
                    let (payload, rest) = rest.split_at(length as usize);
                    bytes = rest;
                    match control {
                        Control::Close => return Err(ErrorKind::ConnectionReset.into()),
                        Control::Ping => pings.push(payload.to_vec()),
                        Control::Pong | Control::Reserved(_) => {}
                    }
                }
            }
        }
        self.kept.extend_from_slice(bytes);
        Ok(())
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// The handshake's request, and what the relay must answer to its key.
fn upgrade(path: &str, authority: &str) -> (Vec<u8>, String) {
    let key = generate_key();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    );
    (request.into_bytes(), derive_accept_key(key.as_bytes()))
}

/// Adds `bytes` to the handshake's answer. When it is whole: how many of `bytes` belong to it.
fn upgraded(response: &mut Vec<u8>, accept: &str, bytes: &[u8]) -> io::Result<Option<usize>> {
    let before = response.len();
    response.extend_from_slice(bytes);
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Response::new(&mut headers);
    match parsed.parse(response).map_err(io::Error::other)? {
        httparse::Status::Partial if response.len() > RESPONSE_BYTES_MAX => {
            Err(invalid("the handshake's answer is too long"))
        }
        httparse::Status::Partial => Ok(None),
        httparse::Status::Complete(length) => {
            let accepts = parsed.headers.iter().any(|header| {
                header.name.eq_ignore_ascii_case("sec-websocket-accept")
                    && header.value == accept.as_bytes()
            });
            if parsed.code != Some(101) || !accepts {
                return Err(invalid("the relay refused the WebSocket"));
            }
            Ok(Some(length - before))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use tungstenite::Message;

    #[test]
    fn an_independent_server_reads_what_is_sent_and_the_other_way_round() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a client");
            let mut socket = tungstenite::accept(stream).expect("a handshake");
            socket
                .send(Message::Ping("are you there".into()))
                .expect("open");
            let mut echoed = 0;
            let mut pongs = 0;
            while echoed < 3 || pongs == 0 {
                match socket.read().expect("open") {
                    Message::Binary(bytes) => {
                        echoed += 1;
                        socket.send(Message::Binary(bytes)).expect("open");
                    }
                    Message::Pong(payload) => {
                        assert_eq!(&payload[..], b"are you there");
                        pongs += 1;
                    }
                    other => panic!("{other:?}"),
                }
            }
        });
        let endpoint: Endpoint = format!("ws://{address}").parse().expect("valid");
        let mut socket = Socket::connect(&endpoint, address, None, 7).expect("it listens");
        let mut scratch = vec![0; 1000];
        let mut received = Vec::new();
        let messages: [Vec<u8>; 3] = [vec![1; 5], vec![2; 300], vec![3; 70_000]];
        let expected = messages.concat();
        let mut unsent = messages.into_iter();
        while received.len() < expected.len() {
            if socket.wants_writable() {
                socket.handle_writable().expect("connected");
            }
            if socket.is_open()
                && let Some(mut message) = unsent.next()
            {
                socket.send(&mut message).expect("open");
            }
            socket
                .read(&mut scratch, |bytes| received.extend_from_slice(bytes))
                .expect("open");
        }
        assert!(received == expected);
        server.join().expect("the server saw what it should");
    }
}

//! A session on a real socket, driven by whoever asks it for the next event.
//!
//! There is no thread and no lock: [`Client::next_event`] connects, reads, writes and waits, and between two calls
//! nothing happens. An application that edits while it waits gives the client a thread and a short timeout.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

use crate::engine::Instant;

use super::endpoint::{Endpoint, EndpointError, Transport};
use super::event::Event;
use super::session::{ConnectionRequest, Session};
use super::settings::Settings;

/// How long the WebSocket handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a full socket is waited for before timers are looked at again.
const BLOCKED_WAIT: Duration = Duration::from_millis(100);
const READ_BYTES: usize = 64 * 1024;

/// A session and its socket. It reconnects by itself, for as long as somebody asks it for the next event.
pub struct Client {
    endpoint: Endpoint,
    session: Session,
    socket: Option<Socket>,
    started: std::time::Instant,
    scratch: Vec<u8>,
}

impl Client {
    /// A client that connects with the first `next_event`.
    pub fn new(url: &str, settings: Settings) -> Result<Self, EndpointError> {
        Ok(Self {
            endpoint: url.parse()?,
            session: Session::new(settings, Instant::default()),
            socket: None,
            started: std::time::Instant::now(),
            scratch: Vec::new(),
        })
    }

    /// The session: open documents on it, submit operations. They go out with the next `next_event`.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// The session's time.
    pub fn now(&self) -> Instant {
        Instant::default() + self.started.elapsed()
    }

    /// Does what there is to do until something has happened or `timeout` has passed.
    pub fn next_event(&mut self, timeout: Duration) -> Option<Event> {
        let until = self.now() + timeout;
        loop {
            self.step();
            if let Some(event) = self.session.poll_event() {
                return Some(event);
            }
            let now = self.now();
            if now >= until {
                return None;
            }
            let wake = self
                .session
                .poll_timeout()
                .map_or(until, |at| at.min(until));
            // What a full socket does not take has no other time than when it takes more.
            let soonest = match self.is_blocked() {
                true => now + BLOCKED_WAIT,
                false => now,
            };
            self.wait(wake.max(soonest).min(until).since(now));
            self.read();
        }
    }

    /// Ends the session in order: what is to be sent is sent, then the connection is closed.
    pub fn stop(&mut self) {
        self.session.stop();
        self.step();
    }

    fn step(&mut self) {
        let now = self.now();
        self.session.handle_timeout(now);
        self.transmit();
        while let Some(request) = self.session.poll_connection(now) {
            match request {
                ConnectionRequest::Connect => match Socket::connect(&self.endpoint) {
                    Ok(socket) => {
                        self.socket = Some(socket);
                        self.session.handle_connected(self.now());
                    }
                    Err(_) => self.session.handle_disconnected(self.now()),
                },
                ConnectionRequest::Disconnect => self.socket = None,
            }
        }
        self.transmit();
    }

    fn transmit(&mut self) {
        let now = self.now();
        while let Some(socket) = &mut self.socket {
            self.scratch.clear();
            let mut written = socket.write(&[]);
            if written.is_ok() && !socket.has_unsent() {
                self.session.poll_transmit(&mut self.scratch, now);
                if self.scratch.is_empty() {
                    return;
                }
                written = socket.write(&self.scratch);
            }
            if written.is_err() {
                return self.disconnected();
            }
            if socket.has_unsent() {
                return;
            }
        }
    }

    fn is_blocked(&self) -> bool {
        self.socket.as_ref().is_some_and(Socket::has_unsent)
    }

    fn read(&mut self) {
        let now = self.now();
        if let Some(socket) = &mut self.socket {
            let session = &mut self.session;
            let read = socket.read(&mut self.scratch, |bytes| session.handle_bytes(bytes, now));
            if read.is_err() {
                self.disconnected();
            }
        }
    }

    fn disconnected(&mut self) {
        self.socket = None;
        self.session.handle_disconnected(self.now());
    }

    fn wait(&self, timeout: Duration) {
        let Some(socket) = &self.socket else {
            std::thread::sleep(timeout);
            return;
        };
        let timeout = Timespec::try_from(timeout).expect("the timeout of a wait is short");
        let interest = if socket.has_unsent() {
            PollFlags::IN | PollFlags::OUT
        } else {
            PollFlags::IN
        };
        // An interrupted wait is as good as one that ended: the caller looks at everything again.
        let _ = poll(
            &mut [PollFd::from_borrowed_fd(socket.fd(), interest)],
            Some(&timeout),
        );
    }
}

enum Socket {
    Tcp {
        stream: TcpStream,
        unsent: Vec<u8>,
    },
    WebSocket {
        socket: Box<WebSocket<TcpStream>>,
        has_unsent: bool,
    },
}

impl Socket {
    fn connect(endpoint: &Endpoint) -> io::Result<Self> {
        let stream = endpoint.connect()?;
        match &endpoint.transport {
            Transport::Tcp => {
                stream.set_nonblocking(true)?;
                Ok(Self::Tcp {
                    stream,
                    unsent: Vec::new(),
                })
            }
            Transport::WebSocket { .. } => {
                stream.set_read_timeout(Some(HANDSHAKE_TIMEOUT))?;
                let request = endpoint.to_string().into_client_request();
                let request = request.map_err(io::Error::other)?;
                let (socket, _) = tungstenite::client(request, stream)
                    .map_err(|error| io::Error::other(error.to_string()))?;
                socket.get_ref().set_nonblocking(true)?;
                Ok(Self::WebSocket {
                    socket: Box::new(socket),
                    has_unsent: false,
                })
            }
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp { stream, .. } => stream.as_fd(),
            Self::WebSocket { socket, .. } => socket.get_ref().as_fd(),
        }
    }

    fn has_unsent(&self) -> bool {
        match self {
            Self::Tcp { unsent, .. } => !unsent.is_empty(),
            Self::WebSocket { has_unsent, .. } => *has_unsent,
        }
    }

    /// Sends `bytes`, and what was left of earlier ones; what the socket does not take is kept.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp { stream, unsent } => {
                unsent.extend_from_slice(bytes);
                while !unsent.is_empty() {
                    match stream.write(unsent) {
                        Ok(0) => return Err(ErrorKind::WriteZero.into()),
                        Ok(taken) => {
                            unsent.drain(..taken);
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            }
            Self::WebSocket { socket, has_unsent } => {
                let mut written = Ok(());
                if !bytes.is_empty() {
                    written = socket.write(Message::binary(bytes.to_vec()));
                }
                *has_unsent = !taken(written.and_then(|()| socket.flush()))?;
                Ok(())
            }
        }
    }

    /// Gives everything that has arrived to `handle`.
    fn read(&mut self, scratch: &mut Vec<u8>, mut handle: impl FnMut(&[u8])) -> io::Result<()> {
        match self {
            Self::Tcp { stream, .. } => {
                scratch.resize(READ_BYTES, 0);
                loop {
                    match stream.read(scratch) {
                        Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                        Ok(read) => handle(&scratch[..read]),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                        Err(error) => return Err(error),
                    }
                }
            }
            Self::WebSocket { socket, has_unsent } => loop {
                match socket.read() {
                    Ok(Message::Binary(bytes)) => handle(&bytes),
                    // Reading a ping queues its pong.
                    Ok(_) => *has_unsent = true,
                    Err(error) => {
                        taken(Err(error))?;
                        return Ok(());
                    }
                }
            },
        }
    }
}

/// False where the socket is full or empty for the moment.
fn taken(result: tungstenite::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(tungstenite::Error::Io(error)) => Err(error),
        Err(error) => Err(io::Error::other(error)),
    }
}

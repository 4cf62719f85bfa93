//! Raw clients that speak the protocol and know nothing of the relay's own client: what is sent is what the test
//! says, what comes is what the relay said. `tungstenite` judges the WebSocket.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use bytes::Bytes;
use corelay::codec::wire::{
    Connected, Event, Hello, Open, Opened, Operations, Request, event, request,
};
use prost::Message as _;
use tungstenite::{HandshakeError, Message, WebSocket, client::IntoClientRequest};

use super::{PATIENCE, Server};

pub enum Socket {
    WebSocket(Box<WebSocket<TcpStream>>),
    Tcp(TcpStream),
}

pub struct Client {
    pub socket: Socket,
    /// What has come, over TCP with all that is around it.
    pub bytes_received: usize,
    received: Vec<u8>,
    events: VecDeque<Event>,
}

/// A stream whose reads fail a test instead of lasting for ever.
pub fn stream(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the relay listens");
    stream.set_nodelay(true).expect("an option of TCP");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time that is not zero");
    stream
}

/// The same from another address of this machine: all of 127.0.0.0/8 are.
pub fn stream_from(source: [u8; 4], address: SocketAddr) -> TcpStream {
    use socket2::{Domain, Type};
    let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let source = SocketAddr::from((source, 0));
    socket.bind(&source.into()).expect("it is the loopback's");
    socket.connect(&address.into()).expect("the relay listens");
    socket
        .set_read_timeout(Some(PATIENCE))
        .expect("a time that is not zero");
    socket.into()
}

/// A socket with a kernel that takes little at a time.
pub fn narrow(address: SocketAddr) -> TcpStream {
    use socket2::{Domain, Type};
    let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket
        .set_recv_buffer_size(4096)
        .expect("an option of sockets");
    socket.connect(&address.into()).expect("the relay listens");
    socket
        .set_read_timeout(Some(PATIENCE))
        .expect("a time that is not zero");
    socket.into()
}

impl Client {
    pub fn tcp(server: &Server) -> Self {
        Self::over(Socket::Tcp(stream(server.tcp)))
    }

    /// `path` as `/ws`.
    pub fn websocket(server: &Server, path: &str) -> Self {
        let stream = stream(server.websocket);
        Self::websocket_over(stream, path, "").expect("the relay opens the WebSocket")
    }

    /// As `forwarded_for` by a proxy, if it is not empty. The status if there is no WebSocket.
    pub fn websocket_over(stream: TcpStream, path: &str, forwarded_for: &str) -> Result<Self, u16> {
        let url = format!(
            "ws://{}{path}",
            stream.peer_addr().expect("it is connected")
        );
        let mut request = url.into_client_request().expect("a URL");
        if !forwarded_for.is_empty() {
            let value = forwarded_for.parse().expect("a header's value");
            request.headers_mut().insert("X-Forwarded-For", value);
        }
        match tungstenite::client(request, stream) {
            Ok((socket, _)) => Ok(Self::over(Socket::WebSocket(Box::new(socket)))),
            Err(HandshakeError::Failure(tungstenite::Error::Http(response))) => {
                Err(response.status().as_u16())
            }
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// Over TCP, with a kernel that takes little at a time.
    pub fn narrow(server: &Server) -> Self {
        Self::over(Socket::Tcp(narrow(server.tcp)))
    }

    pub fn over(socket: Socket) -> Self {
        Self {
            socket,
            bytes_received: 0,
            received: Vec::new(),
            events: VecDeque::new(),
        }
    }

    pub fn request(&mut self, body: request::Body) {
        self.requests([body]);
    }

    /// Several requests in one piece.
    pub fn requests(&mut self, bodies: impl IntoIterator<Item = request::Body>) {
        let mut bytes = Vec::new();
        for body in bodies {
            let message = Request::from(body).encode_to_vec();
            let length = u32::try_from(message.len()).expect("a frame is short");
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&message);
        }
        match &mut self.socket {
            Socket::WebSocket(socket) => socket.send(Message::binary(bytes)).expect("it is taken"),
            Socket::Tcp(socket) => socket.write_all(&bytes).expect("it is taken"),
        }
    }

    /// The next event; `None` when the relay has closed the connection.
    pub fn next_event(&mut self) -> Option<event::Body> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event.body.expect("an event that this version knows"));
            }
            if !self.receive() {
                return None;
            }
        }
    }

    fn receive(&mut self) -> bool {
        match &mut self.socket {
            Socket::WebSocket(socket) => match socket.read() {
                Ok(Message::Binary(bytes)) => {
                    self.bytes_received += bytes.len();
                    self.received.extend_from_slice(&bytes);
                }
                Ok(Message::Close(_)) => {}
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(other) => panic!("the relay does not send this: {other:?}"),
                Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed) => {
                    return false;
                }
                Err(error) => panic!("the WebSocket breaks: {error}"),
            },
            Socket::Tcp(socket) => {
                let mut buffer = [0; 64 * 1024];
                match socket.read(&mut buffer) {
                    Ok(0) => return false,
                    Ok(length) => {
                        self.bytes_received += length;
                        self.received.extend_from_slice(&buffer[..length]);
                    }
                    Err(error) if error.kind() == ErrorKind::ConnectionReset => return false,
                    Err(error) => panic!("the connection breaks: {error}"),
                }
            }
        }
        while let Some((length, rest)) = self.received.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            if rest.len() < length {
                break;
            }
            let event = Event::decode(&rest[..length]).expect("an event of the protocol");
            self.received.drain(..4 + length);
            self.events.push_back(event);
        }
        true
    }

    /// The answer that `pick` knows; events that it does not are passed over.
    pub fn expect<T>(&mut self, what: &str, mut pick: impl FnMut(event::Body) -> Option<T>) -> T {
        loop {
            let event = self
                .next_event()
                .unwrap_or_else(|| panic!("closed before {what}"));
            if let Some(value) = pick(event) {
                return value;
            }
        }
    }

    /// Hello with a client uuid made of `number`.
    pub fn hello(&mut self, number: u64) -> Connected {
        self.request(hello(number));
        self.expect("Connected", |event| match event {
            event::Body::Connected(connected) => Some(connected),
            _ => None,
        })
    }

    /// Opens a document of kind log, and creates it if need be. An empty id is the one of the URL.
    pub fn open(&mut self, document: &str) -> Opened {
        self.request(request::Body::Open(Open {
            request_id: 1,
            document: document.to_owned(),
            kind: "log".to_owned(),
            have: None,
            create: true,
            ..Default::default()
        }));
        self.expect("Opened", |event| match event {
            event::Body::Opened(opened) => Some(opened),
            event::Body::Error(error) => panic!("it is not opened: {error:?}"),
            _ => None,
        })
    }

    /// Sends operations to a document, whose handle `opened` has.
    pub fn send(&mut self, document: u64, client_seq: u64, first_clock: u64, operations: &[&str]) {
        self.request(request::Body::Operations(Operations {
            document,
            client_seq,
            first_clock,
            base_revision: 0,
            operations: operations
                .iter()
                .map(|operation| Bytes::copy_from_slice(operation.as_bytes()))
                .collect(),
            ..Default::default()
        }));
    }

    /// The first revision of the batch that is acknowledged next.
    pub fn ack(&mut self, client_seq: u64) -> u64 {
        self.expect("Ack", |event| match event {
            event::Body::Ack(ack) => {
                assert_eq!(ack.client_seq, client_seq);
                Some(ack.first_revision)
            }
            event::Body::Nack(nack) => panic!("it is not applied: {nack:?}"),
            _ => None,
        })
    }

    /// The next operations of others: first revision and payloads.
    pub fn remote(&mut self) -> (u64, Vec<Bytes>) {
        self.expect("RemoteOps", |event| match event {
            event::Body::RemoteOps(remote) => Some((remote.revision, remote.operations)),
            _ => None,
        })
    }
}

/// A WebSocket with a header in its request, or the status of the refusal.
pub fn connect(
    server: &Server,
    path: &str,
    header: Option<(&'static str, String)>,
) -> Result<Client, u16> {
    let url = format!("ws://{}{path}", server.websocket);
    let mut request = url.into_client_request().expect("a URL");
    if let Some((name, value)) = header {
        let value = value.parse().expect("a header's value");
        request.headers_mut().insert(name, value);
    }
    let socket: TcpStream = stream(server.websocket);
    match tungstenite::client(request, socket) {
        Ok((socket, _)) => Ok(Client::over(Socket::WebSocket(Box::new(socket)))),
        Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(answer))) => {
            Err(answer.status().as_u16())
        }
        Err(error) => panic!("{error}"),
    }
}

pub fn hello(number: u64) -> request::Body {
    request::Body::Hello(Hello {
        protocol_version: 3,
        client_uuid: Bytes::copy_from_slice(&u128::from(number).to_be_bytes()),
        token: String::new(),
        user_id: format!("user-{number}"),
        user_name: String::new(),
        ..Default::default()
    })
}

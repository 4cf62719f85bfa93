//! How each relay is joined and published to: no more than that.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use corelay::codec::frame;
use corelay::codec::wire::{self, Event, Request, event, request::Body};
use prost::Message;

const JOIN_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    Corelay,
    CorelayWebsocket,
    /// Bare WebSocket messages; the path is the document.
    Ws,
    SocketIo,
    YWebsocket,
    Hocuspocus,
    Nats,
    Redis,
}

impl Protocol {
    /// A socket that has said everything that is to be said before the document's operations come in, and corelay's
    /// number for the document.
    pub fn join(self, address: SocketAddr, client: usize, document: &str) -> (TcpStream, u64) {
        let mut handle = 0;
        let mut stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("it is TCP");
        let timeout = Some(JOIN_TIMEOUT);
        stream.set_read_timeout(timeout).expect("it is a socket");
        match self {
            Self::Corelay => {
                say(&mut stream, &corelay_join(client, document));
                handle = hear_opened(&mut stream, |stream| {
                    let length = u32::from_be_bytes(exactly(stream));
                    vec![exactly_bytes(stream, length as usize)]
                });
            }
            Self::CorelayWebsocket => {
                upgrade(&mut stream, &format!("/ws/documents/{document}"));
                say(&mut stream, &message(0x82, &corelay_join(client, document)));
                handle = hear_opened(&mut stream, |stream| {
                    let [_, length] = exactly(stream);
                    let length = match length {
                        126 => usize::from(u16::from_be_bytes(exactly(stream))),
                        short => usize::from(short),
                    };
                    let frames = exactly_bytes(stream, length);
                    frame::messages(&frames).map(<[u8]>::to_vec).collect()
                });
            }
            Self::Ws => upgrade(&mut stream, &format!("/{document}")),
            Self::SocketIo => {
                upgrade(&mut stream, "/socket.io/?EIO=4&transport=websocket");
                say(&mut stream, &message(0x81, b"40"));
                hear(&mut stream, b"40{");
                let join = format!("42[\"join\",\"{document}\"]");
                say(&mut stream, &message(0x81, join.as_bytes()));
            }
            Self::YWebsocket => {
                upgrade(&mut stream, &format!("/{document}"));
                // Sync, step 1, of an empty state vector.
                say(&mut stream, &message(0x82, &[0, 0, 1, 0]));
            }
            Self::Hocuspocus => {
                upgrade(&mut stream, "/");
                let mut authentication = Vec::new();
                string(&mut authentication, document);
                authentication.extend([2, 0]);
                string(&mut authentication, "anybody");
                let mut step = Vec::new();
                string(&mut step, document);
                step.extend([0, 0, 1, 0]);
                let both = [message(0x82, &authentication), message(0x82, &step)].concat();
                say(&mut stream, &both);
            }
            Self::Nats => {
                let connect = "CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":false}";
                say(
                    &mut stream,
                    format!("{connect}\r\nSUB {document} 1\r\nPING\r\n").as_bytes(),
                );
                hear(&mut stream, b"PONG");
            }
            Self::Redis => {
                say(
                    &mut stream,
                    format!("HELLO 3\r\nSUBSCRIBE {document}\r\n").as_bytes(),
                );
                hear(&mut stream, b"subscribe");
            }
        }
        (stream, handle)
    }
}

fn say(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).expect("the server reads");
}

/// Waits until the server has said it.
fn hear(stream: &mut TcpStream, wanted: &[u8]) {
    let mut heard = Vec::new();
    let mut scratch = [0; 4096];
    while !heard.windows(wanted.len()).any(|window| window == wanted) {
        let bytes = stream.read(&mut scratch).expect("the server answers");
        let said = String::from_utf8_lossy(&heard);
        assert!(
            bytes > 0,
            "the server has closed the connection after: {said}"
        );
        heard.extend_from_slice(&scratch[..bytes]);
    }
}

fn exactly<const BYTES: usize>(stream: &mut TcpStream) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    stream.read_exact(&mut bytes).expect("the server answers");
    bytes
}

fn exactly_bytes(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).expect("the server answers");
    bytes
}

/// What corelay calls the document that the client has opened. `read` gives the next messages.
fn hear_opened(
    stream: &mut TcpStream,
    mut read: impl FnMut(&mut TcpStream) -> Vec<Vec<u8>>,
) -> u64 {
    loop {
        for message in read(stream) {
            let event = Event::decode(&message[..]).expect("the relay speaks its protocol");
            match event.body {
                Some(event::Body::Opened(opened)) => return opened.document,
                Some(event::Body::Error(error)) => panic!("the relay refuses: {error:?}"),
                _ => {}
            }
        }
    }
}

fn upgrade(stream: &mut TcpStream, path: &str) {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    say(stream, request.as_bytes());
    hear(stream, b"\r\n\r\n");
}

/// A WebSocket message from a client, masked with zeros.
fn message(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut message = vec![opcode];
    match payload.len() {
        length @ 0..126 => message.push(0x80 | length as u8),
        length => {
            message.push(0x80 | 126);
            message.extend(
                u16::try_from(length)
                    .expect("payloads are short")
                    .to_be_bytes(),
            );
        }
    }
    message.extend([0; 4]);
    message.extend_from_slice(payload);
    message
}

fn corelay_join(client: usize, document: &str) -> Vec<u8> {
    let mut uuid = [0; 16];
    uuid[..8].copy_from_slice(&(client as u64 + 1).to_le_bytes());
    let hello = Body::Hello(wire::Hello {
        protocol_version: 3,
        client_uuid: Bytes::copy_from_slice(&uuid),
        ..Default::default()
    });
    let open = Body::Open(wire::Open {
        document: document.to_owned(),
        kind: "log".to_owned(),
        create: true,
        ..Default::default()
    });
    let frames = [hello, open].map(|body| frame::encode(&Request::from(body)));
    frames.concat()
}

/// A variable-length number, as Yjs writes it.
fn number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn string(out: &mut Vec<u8>, text: &str) {
    number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// One client's operations on its document.
pub struct Writer {
    protocol: Protocol,
    index: usize,
    document: String,
    /// What corelay calls it.
    handle: u64,
    /// Operations so far.
    sequence: u64,
    /// Characters so far, which is what Yjs counts.
    characters: u64,
}

impl Writer {
    pub fn new(protocol: Protocol, index: usize, document: String, handle: u64) -> Self {
        Self {
            protocol,
            index,
            document,
            handle,
            sequence: 0,
            characters: 0,
        }
    }

    pub fn publish(&mut self, payload: &str, out: &mut Vec<u8>) {
        let bytes = payload.as_bytes();
        let document = &self.document;
        match self.protocol {
            Protocol::Corelay => out.extend(self.operation(payload)),
            Protocol::CorelayWebsocket => out.extend(message(0x82, &self.operation(payload))),
            Protocol::Ws => out.extend(message(0x82, bytes)),
            Protocol::SocketIo => {
                let event = format!("42[\"operation\",\"{document}\",\"{payload}\"]");
                out.extend(message(0x81, event.as_bytes()));
            }
            Protocol::YWebsocket => out.extend(message(0x82, &self.update(payload, Vec::new()))),
            Protocol::Hocuspocus => {
                let mut name = Vec::new();
                string(&mut name, document);
                out.extend(message(0x82, &self.update(payload, name)));
            }
            Protocol::Nats => {
                out.extend(format!("PUB {document} {}\r\n{payload}\r\n", bytes.len()).into_bytes());
            }
            Protocol::Redis => {
                let (name, length) = (document.len(), bytes.len());
                let command = format!(
                    "*3\r\n$7\r\nPUBLISH\r\n${name}\r\n{document}\r\n${length}\r\n{payload}\r\n"
                );
                out.extend(command.into_bytes());
            }
        }
        self.sequence += 1;
        self.characters += bytes.len() as u64;
    }

    fn operation(&self, payload: &str) -> Bytes {
        frame::encode(&Request::from(Body::Operations(wire::Operations {
            document: self.handle,
            client_seq: self.sequence,
            first_clock: self.sequence,
            operations: vec![Bytes::copy_from_slice(payload.as_bytes())],
            ..Default::default()
        })))
    }

    /// A Yjs update (version 1) in a sync message: a string behind the writer's last one.
    fn update(&self, payload: &str, mut message: Vec<u8>) -> Vec<u8> {
        let client = self.index as u64 + 1;
        let mut update = vec![1, 1];
        number(&mut update, client);
        number(&mut update, self.characters);
        if self.characters == 0 {
            // A string (4) without neighbours in the shared type of that name.
            update.extend([4, 1]);
            string(&mut update, "text");
        } else {
            // A string with a left neighbour (0x80).
            update.push(0x84);
            number(&mut update, client);
            number(&mut update, self.characters - 1);
        }
        string(&mut update, payload);
        // Nothing is deleted.
        update.push(0);
        message.extend([0, 2]);
        number(&mut message, update.len() as u64);
        message.extend(update);
        message
    }
}

//! A client's end of the wire: requests to bytes and bytes to events, over TCP, WebSocket and event streams.
//!
//! Written from the protocol's specification, RFC 6455 and the specification of server-sent events, and not with the
//! relay's codec, so that the two judge each other.

use corelay::codec::wire::{Event, Request, request};
use corelay::engine::shard::Transport;
use prost::Message;

use super::json::Names;
use super::judge::Position;
use super::random::Random;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CONTINUATION: u8 = 0;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

#[derive(Debug)]
pub struct Connection {
    transport: Transport,
    /// Of a client that speaks JSON.
    names: Option<Names>,
    /// Of one: the relay has answered in it.
    is_dialect_known: bool,
    /// Messages that are not among `output`.
    messages: Vec<Vec<u8>>,
    /// Bytes for the network.
    pub output: Vec<u8>,
    input: Vec<u8>,
    /// Of an event stream: the newest id.
    pub last_event_id: Option<Position>,
}

/// What came from the relay.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// JSON for who speaks protobuf.
    Text(serde_json::Value),
    Event(Box<Event>),
    /// A WebSocket ping.
    Ping(Vec<u8>),
    Pong,
    /// The WebSocket's closing frame.
    Close(u16),
}

impl Connection {
    /// `names`: the client speaks JSON.
    pub fn new(transport: Transport, names: Option<Names>) -> Self {
        Self {
            transport,
            names,
            is_dialect_known: false,
            messages: Vec::new(),
            output: Vec::new(),
            input: Vec::new(),
            last_event_id: None,
        }
    }

    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// What has not gone to the network.
    pub fn unsent_bytes(&self) -> usize {
        self.messages.iter().map(Vec::len).sum::<usize>() + self.output.len()
    }

    pub fn send(&mut self, body: request::Body) {
        self.ask(String::new(), body);
    }

    /// A request whose answers have `id`.
    pub fn ask(&mut self, id: String, body: request::Body) {
        let request = Request {
            id,
            body: Some(body),
        };
        self.messages.push(match &self.names {
            Some(names) => names.request(&request).into_bytes(),
            None => request.encode_to_vec(),
        });
    }

    /// What was sent since the last flush becomes bytes: over a WebSocket text messages, or binary ones of as many frames
    /// as the relay takes in one.
    pub fn flush(&mut self, frame_bytes_max: usize, random: &mut Random) {
        let messages = std::mem::take(&mut self.messages);
        match self.transport {
            Transport::Tcp | Transport::EventStream => {
                self.output.extend(messages.iter().flat_map(frame));
            }
            Transport::WebSocket if self.names.is_some() => {
                for message in messages {
                    self.append_message(TEXT, &message, random);
                }
            }
            Transport::WebSocket => {
                let mut joined = Vec::new();
                for message in messages {
                    if joined.len() + message.len() > frame_bytes_max || random.happens(2000) {
                        self.append_message(BINARY, &std::mem::take(&mut joined), random);
                    }
                    joined.extend(frame(&message));
                }
                self.append_message(BINARY, &joined, random);
            }
        }
    }

    /// A message in up to three fragments with control frames between them.
    fn append_message(&mut self, mut opcode: u8, message: &[u8], random: &mut Random) {
        if message.is_empty() {
            return;
        }
        let mut rest = message;
        for _ in 0..random.below(3) {
            let (fragment, after) = rest.split_at(random.up_to(rest.len()));
            self.append_frame(opcode, false, fragment, random);
            opcode = CONTINUATION;
            rest = after;
            if random.happens(2000) {
                self.append_frame(PING, true, b"between", random);
            }
        }
        self.append_frame(opcode, true, rest, random);
    }

    pub fn pong(&mut self, payload: &[u8], random: &mut Random) {
        self.append_frame(PONG, true, payload, random);
    }

    /// A WebSocket frame with any opcode.
    pub fn append_frame(
        &mut self,
        opcode: u8,
        is_final: bool,
        payload: &[u8],
        random: &mut Random,
    ) {
        self.output.push(opcode | if is_final { 0x80 } else { 0 });
        match payload.len() {
            length @ 0..=125 => self.output.push(0x80 | length as u8),
            length @ 126..=0xffff => {
                self.output.push(0x80 | 126);
                self.output.extend((length as u16).to_be_bytes());
            }
            length => {
                self.output.push(0x80 | 127);
                self.output.extend((length as u64).to_be_bytes());
            }
        }
        let mask = random.number().to_le_bytes();
        self.output.extend(&mask[..4]);
        let masked = payload.iter().zip(mask[..4].iter().cycle());
        self.output.extend(masked.map(|(byte, mask)| byte ^ mask));
    }

    /// Everything that is whole.
    ///
    /// # Errors
    ///
    /// What the relay must never send.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Incoming>, String> {
        self.input.extend_from_slice(bytes);
        let input = std::mem::take(&mut self.input);
        let mut rest = &input[..];
        let mut incoming = Vec::new();
        match self.transport {
            Transport::Tcp => split_frames(&mut rest, &mut incoming)?,
            Transport::WebSocket => {
                let is_known = &mut self.is_dialect_known;
                split_messages(self.names.as_ref(), is_known, &mut rest, &mut incoming)?;
            }
            Transport::EventStream => self.split_events(&mut rest, &mut incoming)?,
        }
        self.input = rest.to_vec();
        Ok(incoming)
    }

    /// Server-sent events, each up to an empty line.
    fn split_events(
        &mut self,
        bytes: &mut &[u8],
        incoming: &mut Vec<Incoming>,
    ) -> Result<(), String> {
        while let Some(length) = bytes.windows(2).position(|two| two == b"\n\n") {
            let (event, rest) = bytes.split_at(length + 2);
            *bytes = rest;
            let mut data: Vec<&[u8]> = Vec::new();
            for line in event.split(|byte| *byte == b'\n') {
                if let Some(line) = line.strip_prefix(b"data: ") {
                    data.push(line);
                } else if let Some(id) = line.strip_prefix(b"id: ") {
                    self.last_event_id = Some(event_id(id).ok_or("an id that is no position")?);
                } else if !line.is_empty() && line != b":" {
                    return Err(format!("a line {:?}", String::from_utf8_lossy(line)));
                }
            }
            if !data.is_empty() {
                let names = self.names.as_ref().ok_or("events for who reads none")?;
                let event = names.event(&data.join(&b"\n"[..]))?;
                incoming.push(Incoming::Event(Box::new(event)));
            }
        }
        Ok(())
    }
}

fn frame(message: &Vec<u8>) -> Vec<u8> {
    let mut frame = (message.len() as u32).to_be_bytes().to_vec();
    frame.extend(message);
    frame
}

/// `epoch.revision`.
fn event_id(id: &[u8]) -> Option<Position> {
    let (epoch, revision) = std::str::from_utf8(id).ok()?.split_once('.')?;
    Some(Position {
        epoch: epoch.parse().ok()?,
        revision: revision.parse().ok()?,
    })
}

fn split_frames(bytes: &mut &[u8], incoming: &mut Vec<Incoming>) -> Result<(), String> {
    while let Some((prefix, rest)) = bytes.split_first_chunk() {
        let length = u32::from_be_bytes(*prefix) as usize;
        let Some((message, rest)) = rest.split_at_checked(length) else {
            break;
        };
        let event = Event::decode(message).map_err(|error| error.to_string())?;
        if event.body.is_none() {
            return Err("an event without a body".to_owned());
        }
        incoming.push(Incoming::Event(Box::new(event)));
        *bytes = rest;
    }
    Ok(())
}

fn split_messages(
    names: Option<&Names>,
    is_known: &mut bool,
    bytes: &mut &[u8],
    incoming: &mut Vec<Incoming>,
) -> Result<(), String> {
    while let Some((opcode, mut payload, rest)) = split_message(bytes)? {
        match opcode {
            // To who has said nothing yet the relay speaks protobuf, if it must.
            BINARY if names.is_none() || !*is_known => {
                split_frames(&mut payload, incoming)?;
                if !payload.is_empty() {
                    return Err("a WebSocket message ends inside a frame".to_owned());
                }
            }
            TEXT if let Some(names) = names => {
                *is_known = true;
                incoming.push(Incoming::Event(Box::new(names.event(payload)?)));
            }
            TEXT => {
                let message = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
                incoming.push(Incoming::Text(message));
            }
            CLOSE => {
                let code = payload.first_chunk().ok_or("a close without a code")?;
                incoming.push(Incoming::Close(u16::from_be_bytes(*code)));
            }
            PING => incoming.push(Incoming::Ping(payload.to_vec())),
            PONG => incoming.push(Incoming::Pong),
            other => return Err(format!("a WebSocket frame with opcode {other}")),
        }
        *bytes = rest;
    }
    Ok(())
}

/// A message's opcode and payload, and what follows it.
#[allow(clippy::type_complexity, reason = "three slices of one buffer")]
fn split_message(bytes: &[u8]) -> Result<Option<(u8, &[u8], &[u8])>, String> {
    let Some(([first, second], rest)) = bytes.split_first_chunk() else {
        return Ok(None);
    };
    if first & 0xf0 != 0x80 || second & 0x80 != 0 {
        return Err(format!("a WebSocket header of {first:#x} {second:#x}"));
    }
    let (length, rest) = match second {
        126 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from_be_bytes(*length), rest),
            None => return Ok(None),
        },
        short => (u64::from(*short), rest),
    };
    Ok(rest
        .split_at_checked(length as usize)
        .map(|(payload, rest)| (first & 0x0f, payload, rest)))
}

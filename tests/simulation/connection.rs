//! A client's end of the wire: requests to bytes and bytes to events, over TCP and WebSocket.
//!
//! Written from the protocol's specification and RFC 6455, and not with the relay's codec, so that the two judge
//! each other.

use corelay::codec::wire::{Event, Request, event, request};
use corelay::engine::shard::Transport;
use prost::Message;

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
    /// Frames that no WebSocket message has been made of.
    frames: Vec<Vec<u8>>,
    /// Bytes for the network.
    pub output: Vec<u8>,
    input: Vec<u8>,
}

/// What came from the relay.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    Text(serde_json::Value),
    Event(event::Body),
    /// A WebSocket ping.
    Ping(Vec<u8>),
    Pong,
    /// The WebSocket's closing frame.
    Close(u16),
}

impl Connection {
    pub fn new(transport: Transport) -> Self {
        Self {
            transport,
            frames: Vec::new(),
            output: Vec::new(),
            input: Vec::new(),
        }
    }

    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// What has not gone to the network.
    pub fn unsent_bytes(&self) -> usize {
        self.frames.iter().map(Vec::len).sum::<usize>() + self.output.len()
    }

    pub fn send(&mut self, body: request::Body) {
        let message = Request::from(body).encode_to_vec();
        let mut frame = (message.len() as u32).to_be_bytes().to_vec();
        frame.extend(message);
        self.frames.push(frame);
    }

    /// What was sent since the last flush becomes bytes: over a WebSocket messages of as many frames as the relay
    /// takes in one.
    pub fn flush(&mut self, frame_bytes_max: usize, random: &mut Random) {
        let frames = std::mem::take(&mut self.frames);
        if self.transport == Transport::Tcp {
            return self.output.extend(frames.into_iter().flatten());
        }
        let mut message = Vec::new();
        for frame in frames {
            if message.len() + frame.len() > frame_bytes_max || random.happens(2000) {
                self.append_message(&std::mem::take(&mut message), random);
            }
            message.extend(frame);
        }
        self.append_message(&message, random);
    }

    /// A message in up to three fragments with control frames between them.
    fn append_message(&mut self, message: &[u8], random: &mut Random) {
        if message.is_empty() {
            return;
        }
        let mut rest = message;
        let mut opcode = BINARY;
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
            Transport::Tcp | Transport::EventStream => split_frames(&mut rest, &mut incoming)?,
            Transport::WebSocket => split_messages(&mut rest, &mut incoming)?,
        }
        self.input = rest.to_vec();
        Ok(incoming)
    }
}

fn split_frames(bytes: &mut &[u8], incoming: &mut Vec<Incoming>) -> Result<(), String> {
    while let Some((prefix, rest)) = bytes.split_first_chunk() {
        let length = u32::from_be_bytes(*prefix) as usize;
        let Some((message, rest)) = rest.split_at_checked(length) else {
            break;
        };
        let event = Event::decode(message).map_err(|error| error.to_string())?;
        let body = event.body.ok_or("an event without a body")?;
        incoming.push(Incoming::Event(body));
        *bytes = rest;
    }
    Ok(())
}

fn split_messages(bytes: &mut &[u8], incoming: &mut Vec<Incoming>) -> Result<(), String> {
    while let Some((opcode, mut payload, rest)) = split_message(bytes)? {
        match opcode {
            BINARY => {
                split_frames(&mut payload, incoming)?;
                if !payload.is_empty() {
                    return Err("a WebSocket message ends inside a frame".to_owned());
                }
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

//! The client's end of a connection: what the relay sends, as events.

use std::collections::VecDeque;

use prost::Message;

use corelay::codec::wire::{self, Event, event};
use corelay::codec::{frame, websocket};
use corelay::engine::shard::{ConnectionId, Transport};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The client's end of a connection.
pub struct End {
    pub shard: usize,
    pub connection: ConnectionId,
    pub transport: Transport,
    /// The socket takes so much more.
    pub room: usize,
    /// Of what the socket has taken, so much is on its way.
    pub unconfirmed_bytes: u64,
    pub received: Vec<u8>,
    pub events: VecDeque<Event>,
    /// What came in JSON, with the id of the server-sent event or "".
    pub texts: VecDeque<(String, serde_json::Value)>,
    pub controls: Vec<OpCode>,
    pub close_code: Option<u16>,
    pub is_closed: bool,
    /// It does not answer pings.
    pub is_mute: bool,
    /// Pings to answer.
    pub owed: Vec<wire::Ping>,
    /// What the relay has not read.
    pub unread: Vec<u8>,
}

impl End {
    pub fn new(shard: usize, connection: ConnectionId, transport: Transport) -> Self {
        Self {
            shard,
            connection,
            transport,
            room: usize::MAX,
            unconfirmed_bytes: 0,
            received: Vec::new(),
            events: VecDeque::new(),
            texts: VecDeque::new(),
            controls: Vec::new(),
            close_code: None,
            is_closed: false,
            is_mute: false,
            owed: Vec::new(),
            unread: Vec::new(),
        }
    }

    pub fn receive(&mut self, bytes: &[u8]) {
        assert!(!self.is_closed || bytes.is_empty());
        self.received.extend_from_slice(bytes);
        match self.transport {
            Transport::Tcp => {
                let received = std::mem::take(&mut self.received);
                let mut rest = &received[..];
                self.read_frames(&mut rest);
                self.received = rest.to_vec();
            }
            Transport::WebSocket => while self.read_websocket() {},
            Transport::EventStream => self.read_stream(),
        }
    }

    /// As the HTML standard reads a stream of server-sent events.
    fn read_stream(&mut self) {
        let received = String::from_utf8(std::mem::take(&mut self.received)).expect("UTF-8");
        let mut rest = &received[..];
        while let Some((block, after)) = rest.split_once("\n\n") {
            rest = after;
            let field = |name: &str| -> Vec<&str> {
                let lines = block.lines();
                lines.filter_map(|line| line.strip_prefix(name)).collect()
            };
            let data = field("data: ").join("\n");
            if !data.is_empty() {
                let id = field("id: ").concat();
                let message = serde_json::from_str(&data).expect("JSON");
                self.texts.push_back((id, message));
            }
        }
        self.received = rest.as_bytes().to_vec();
    }

    fn read_frames(&mut self, rest: &mut &[u8]) {
        while let Some(message) = frame::split(rest, usize::MAX).expect("frames") {
            let event = Event::decode(message).expect("the relay sends events");
            match event.body {
                Some(event::Body::Ping(ping)) if !self.is_mute => self.owed.push(ping),
                Some(_) => self.events.push_back(event),
                None => panic!("the relay sends events that it knows"),
            }
        }
    }

    fn read_websocket(&mut self) -> bool {
        let mut cursor = std::io::Cursor::new(&self.received[..]);
        let Some((header, length)) = FrameHeader::parse(&mut cursor).expect("a header") else {
            return false;
        };
        let start = cursor.position() as usize;
        let end = start + length as usize;
        if self.received.len() < end {
            return false;
        }
        assert!(header.is_final && header.mask.is_none());
        let payload = self.received[start..end].to_vec();
        self.received.drain(..end);
        match header.opcode {
            OpCode::Data(Data::Binary) => {
                let mut rest = &payload[..];
                self.read_frames(&mut rest);
                assert!(rest.is_empty(), "a message has whole frames");
            }
            OpCode::Data(Data::Text) => {
                let message = serde_json::from_slice(&payload).expect("JSON");
                self.texts.push_back((String::new(), message));
            }
            OpCode::Control(Control::Close) => {
                self.close_code = Some(u16::from_be_bytes([payload[0], payload[1]]));
            }
            OpCode::Control(Control::Ping) if !self.is_mute => {
                self.owed.push(wire::Ping::default());
            }
            control => self.controls.push(control),
        }
        true
    }
}

/// One WebSocket frame as a client sends it.
pub fn masked(opcode: OpCode, is_final: bool, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        is_final,
        opcode,
        mask: Some(MASK),
        ..FrameHeader::default()
    };
    let mut bytes = Vec::new();
    header
        .format(payload.len() as u64, &mut bytes)
        .expect("a Vec takes it");
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    websocket::unmask(&mut bytes[start..], MASK);
    bytes
}

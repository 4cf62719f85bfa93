//! WebSocket framing as a server needs it (RFC 6455), over bytes that somebody else reads and writes.
//!
//! Headers are parsed and written by tungstenite. What is here on top: unmasking in place, joining fragments,
//! limits that hold before anything is kept, and building messages of many frames in one buffer. There is no
//! buffer for a connection that is between messages.

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// Control frames carry at most so much (RFC 6455, 5.5).
const CONTROL_BYTES_MAX: u64 = 125;
/// An unmasked header in front of 64 KiB or more.
const HEADER_BYTES_MAX: usize = 10;

/// What is wrong with the bytes that a client sent. The connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebSocketError {
    #[error("the WebSocket header is invalid")]
    HeaderInvalid,
    #[error("a client must mask what it sends")]
    Unmasked,
    #[error("reserved bits are set, and no extension was agreed on")]
    ReservedBits,
    #[error("a control frame is fragmented or too long")]
    ControlInvalid,
    #[error("a continuation without a beginning, or a beginning inside a message")]
    FragmentUnexpected,
    #[error("a message of {length} bytes is longer than the limit of {length_max} bytes")]
    TooLarge { length: u64, length_max: usize },
}

/// One thing that a client sent, its payload unmasked.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    Binary(&'a [u8]),
    Text(&'a [u8]),
    Ping(&'a [u8]),
    Pong,
    /// The close code, if there was one.
    Close(Option<u16>),
}

/// The state of one connection's incoming side: what has arrived of a fragmented message.
#[derive(Debug, Default)]
pub struct Reader {
    fragments: Vec<u8>,
    kind: Option<Data>,
    /// The last call gave the fragments away as a message.
    delivered: bool,
}

impl Reader {
    /// Takes one message or control frame off the front of `input`, unmasking it in place. `None`: more bytes are
    /// needed, and `input` still has all that belongs to the unfinished frame, untouched.
    ///
    /// A message longer than `length_max` is refused from its header alone.
    pub fn next<'a, 'input: 'a>(
        &'a mut self,
        input: &mut &'input mut [u8],
        length_max: usize,
    ) -> Result<Option<Incoming<'a>>, WebSocketError> {
        if self.delivered {
            self.fragments = Vec::new();
            self.delivered = false;
        }
        loop {
            let mut cursor = Cursor::new(&input[..]);
            let Some((header, length)) =
                FrameHeader::parse(&mut cursor).map_err(|_| WebSocketError::HeaderInvalid)?
            else {
                return Ok(None);
            };
            let header_bytes =
                usize::try_from(cursor.position()).expect("a header is at most 14 bytes");
            self.check(&header, length, length_max)?;
            let length = usize::try_from(length).expect("checked against the limit");
            if input.len() - header_bytes < length {
                return Ok(None);
            }
            let (frame, rest) = std::mem::take(input).split_at_mut(header_bytes + length);
            *input = rest;
            let payload = &mut frame[header_bytes..];
            unmask(payload, header.mask.ok_or(WebSocketError::Unmasked)?);

            match header.opcode {
                OpCode::Control(Control::Ping) => return Ok(Some(Incoming::Ping(payload))),
                OpCode::Control(Control::Pong) => return Ok(Some(Incoming::Pong)),
                OpCode::Control(Control::Close) => {
                    let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                    return Ok(Some(Incoming::Close(code)));
                }
                OpCode::Control(Control::Reserved(_)) | OpCode::Data(Data::Reserved(_)) => {
                    return Err(WebSocketError::HeaderInvalid);
                }
                OpCode::Data(kind @ (Data::Text | Data::Binary)) if header.is_final => {
                    return Ok(Some(message(kind, payload)));
                }
                OpCode::Data(Data::Continue) if header.is_final => {
                    self.fragments.extend_from_slice(payload);
                    let kind = self.kind.take().ok_or(WebSocketError::FragmentUnexpected)?;
                    self.delivered = true;
                    return Ok(Some(message(kind, &self.fragments)));
                }
                OpCode::Data(kind) => {
                    self.fragments.extend_from_slice(payload);
                    self.kind.get_or_insert(kind);
                }
            }
        }
    }

    /// The bytes that are kept for a message whose fragments have not all arrived.
    pub fn held_bytes(&self) -> usize {
        if self.delivered {
            0
        } else {
            self.fragments.capacity()
        }
    }

    fn check(
        &self,
        header: &FrameHeader,
        length: u64,
        length_max: usize,
    ) -> Result<(), WebSocketError> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(WebSocketError::ReservedBits);
        }
        if header.mask.is_none() {
            return Err(WebSocketError::Unmasked);
        }
        match header.opcode {
            OpCode::Control(_) => {
                if !header.is_final || length > CONTROL_BYTES_MAX {
                    return Err(WebSocketError::ControlInvalid);
                }
                Ok(())
            }
            OpCode::Data(kind) => {
                if (kind == Data::Continue) != self.kind.is_some() {
                    return Err(WebSocketError::FragmentUnexpected);
                }
                let length = length.saturating_add(self.fragments.len() as u64);
                if length > length_max as u64 {
                    return Err(WebSocketError::TooLarge { length, length_max });
                }
                Ok(())
            }
        }
    }
}

fn message(kind: Data, payload: &[u8]) -> Incoming<'_> {
    match kind {
        Data::Text => Incoming::Text(payload),
        Data::Binary | Data::Continue | Data::Reserved(_) => Incoming::Binary(payload),
    }
}

/// Applies a mask, which also takes it away again.
pub fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let wide = u64::from_ne_bytes([
        mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3],
    ]);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Appends one binary message to `out`; `write` appends its payload. Nothing is appended for an empty payload.
pub fn append_binary(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    append_data(Data::Binary, out, write);
}

/// Appends one text message to `out`.
pub fn append_text(out: &mut Vec<u8>, text: &[u8]) {
    append_data(Data::Text, out, |out| out.extend_from_slice(text));
}

fn append_data(kind: Data, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES_MAX]);
    let payload_start = out.len();
    write(out);
    let length = out.len() - payload_start;
    if length == 0 {
        out.truncate(start);
        return;
    }
    let mut header = [0; HEADER_BYTES_MAX];
    let header_bytes = header_of(OpCode::Data(kind), length, &mut header);
    out[start..start + header_bytes].copy_from_slice(&header[..header_bytes]);
    out.copy_within(payload_start.., start + header_bytes);
    out.truncate(start + header_bytes + length);
}

/// Appends a ping with an empty payload.
pub fn append_ping(out: &mut Vec<u8>) {
    append_control(out, Control::Ping, &[]);
}

/// Appends a pong that repeats the ping's payload, at most 125 bytes.
pub fn append_pong(out: &mut Vec<u8>, payload: &[u8]) {
    append_control(out, Control::Pong, payload);
}

/// Appends a close frame. Of `reason` what fits is sent.
pub fn append_close(out: &mut Vec<u8>, code: u16, reason: &str) {
    let mut end = reason.len().min(CONTROL_BYTES_MAX as usize - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = Vec::with_capacity(2 + end);
    payload.extend_from_slice(&code.to_be_bytes());
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    append_control(out, Control::Close, &payload);
}

fn append_control(out: &mut Vec<u8>, control: Control, payload: &[u8]) {
    let mut header = [0; HEADER_BYTES_MAX];
    let header_bytes = header_of(OpCode::Control(control), payload.len(), &mut header);
    out.extend_from_slice(&header[..header_bytes]);
    out.extend_from_slice(payload);
}

fn header_of(opcode: OpCode, length: usize, header: &mut [u8; HEADER_BYTES_MAX]) -> usize {
    let fields = FrameHeader {
        opcode,
        ..FrameHeader::default()
    };
    let mut unwritten = &mut header[..];
    fields
        .format(length as u64, &mut unwritten)
        .expect("an unmasked header fits into 10 bytes");
    fields.len(length as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![first];
        match payload.len() {
            0..126 => frame.push(0x80 | payload.len() as u8),
            126..65536 => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&mask);
        let start = frame.len();
        frame.extend_from_slice(payload);
        unmask(&mut frame[start..], mask);
        frame
    }

    fn next_of(reader: &mut Reader, bytes: &mut [u8]) -> Result<Option<String>, WebSocketError> {
        let mut input = bytes;
        Ok(reader
            .next(&mut input, 100_000)?
            .map(|incoming| format!("{incoming:?}")))
    }

    #[test]
    fn a_message_of_any_length_comes_out_unmasked() {
        for length in [0, 1, 7, 8, 125, 126, 65535, 65536, 70_001] {
            let payload: Vec<u8> = (0..length).map(|index| index as u8).collect();
            let mut bytes = client_frame(0x82, &payload);
            let mut reader = Reader::default();
            for end in [0, 1, 2, 5, bytes.len() - 1] {
                let mut piece = bytes[..end.min(bytes.len() - 1)].to_vec();
                assert_eq!(reader.next(&mut &mut piece[..], 100_000), Ok(None));
            }
            let mut input = &mut bytes[..];
            assert_eq!(
                reader.next(&mut input, 100_000),
                Ok(Some(Incoming::Binary(&payload)))
            );
            assert!(input.is_empty());
        }
    }

    #[test]
    fn fragments_are_joined_around_control_frames() {
        let mut bytes = client_frame(0x02, b"one ");
        bytes.extend(client_frame(0x89, b"ping"));
        bytes.extend(client_frame(0x00, b"two "));
        bytes.extend(client_frame(0x80, b"three"));
        bytes.extend(client_frame(0x88, &[0x03, 0xe8, b'x']));
        let mut reader = Reader::default();
        let mut input = &mut bytes[..];
        let mut seen = Vec::new();
        while !input.is_empty() {
            let mut piece = std::mem::take(&mut input);
            let next = reader.next(&mut piece, 13).expect("valid");
            seen.push(format!("{:?}", next.expect("whole")));
            input = piece;
        }
        assert_eq!(
            seen,
            [
                format!("{:?}", Incoming::Ping(b"ping")),
                format!("{:?}", Incoming::Binary(b"one two three")),
                format!("{:?}", Incoming::Close(Some(1000))),
            ]
        );
        assert_eq!(reader.held_bytes(), 0);
    }

    #[test]
    fn what_a_client_must_not_send_is_refused() {
        let unmasked = &mut [0x82, 0x01, 0x00][..];
        let table: [(&mut [u8], WebSocketError); 6] = [
            (unmasked, WebSocketError::Unmasked),
            (&mut client_frame(0xc2, b"x"), WebSocketError::ReservedBits),
            (&mut client_frame(0x83, b"x"), WebSocketError::HeaderInvalid),
            (
                &mut client_frame(0x09, b"x"),
                WebSocketError::ControlInvalid,
            ),
            (
                &mut client_frame(0x89, &[0; 126]),
                WebSocketError::ControlInvalid,
            ),
            (
                &mut client_frame(0x80, b"x"),
                WebSocketError::FragmentUnexpected,
            ),
        ];
        for (bytes, error) in table {
            assert_eq!(next_of(&mut Reader::default(), bytes), Err(error));
        }

        let mut reader = Reader::default();
        assert_eq!(
            next_of(&mut reader, &mut client_frame(0x02, b"x")),
            Ok(None)
        );
        assert_eq!(
            next_of(&mut reader, &mut client_frame(0x82, b"x")),
            Err(WebSocketError::FragmentUnexpected)
        );
    }

    #[test]
    fn the_limit_holds_before_the_payload_and_across_fragments() {
        let mut reader = Reader::default();
        let huge = &mut [0x82, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4][..];
        assert!(matches!(
            next_of(&mut reader, huge),
            Err(WebSocketError::TooLarge {
                length_max: 100_000,
                ..
            })
        ));
        let mut first = client_frame(0x02, &[0; 60_000]);
        assert_eq!(reader.next(&mut &mut first[..], 100_000), Ok(None));
        let mut second = client_frame(0x80, &[0; 40_001]);
        assert!(matches!(
            reader.next(&mut &mut second[..], 100_000),
            Err(WebSocketError::TooLarge {
                length: 100_001,
                ..
            })
        ));
    }

    #[test]
    fn what_is_written_is_what_an_independent_reader_reads() {
        use tungstenite::protocol::{Message, Role, WebSocket};

        let mut out = Vec::new();
        let mut expected = Vec::new();
        for length in [1_usize, 125, 126, 65_535, 65_536] {
            append_binary(&mut out, |out| out.resize(out.len() + length, 7));
            expected.push(Message::binary(vec![7; length]));
        }
        append_binary(&mut out, |_| ());
        append_ping(&mut out);
        append_pong(&mut out, b"echo");
        append_close(&mut out, 4030, "slow");
        let mut socket = WebSocket::from_raw_socket(Cursor::new(out), Role::Client, None);
        for message in expected {
            assert_eq!(socket.read().expect("valid"), message);
        }
        assert_eq!(socket.read().expect("valid"), Message::Ping("".into()));
        assert_eq!(socket.read().expect("valid"), Message::Pong("echo".into()));
        let Message::Close(Some(close)) = socket.read().expect("valid") else {
            panic!("not a close");
        };
        assert_eq!(
            (u16::from(close.code), close.reason.as_str()),
            (4030, "slow")
        );
    }
}

//! What is written: an operation that says who wrote it, as which of its own, and when it was due.
//!
//! The rest of the payload follows from that, so that whoever receives an operation can tell whether it arrived as
//! it was sent.

use bytes::Bytes;

use crate::text::{Component, Operation};

use super::Kind;

/// A stamp in an operation of kind `log`, in bytes; in one of kind `text` it is as many pairs of hexadecimal digits.
const STAMP_BYTES: usize = 20;

/// What an operation carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub writer: u32,
    /// The writer's own count, from 0.
    pub sequence: u64,
    /// When it was due, in microseconds of the run's clock.
    pub due_us: u64,
}

/// The least that `--payload-bytes` may be.
pub(super) fn bytes_min(kind: Kind) -> usize {
    match kind {
        Kind::Log => STAMP_BYTES,
        Kind::Text => 2 * STAMP_BYTES,
    }
}

impl Stamp {
    /// `bytes` of opaque payload.
    pub fn log_payload(self, bytes: usize) -> Bytes {
        let mut payload = Vec::with_capacity(bytes);
        payload.extend_from_slice(&self.to_bytes());
        payload.extend((STAMP_BYTES..bytes).map(|at| self.filler(at)));
        payload.into()
    }

    /// `bytes` of printable payload.
    pub fn text_payload(self, bytes: usize) -> String {
        let mut payload = String::with_capacity(bytes);
        for byte in self.to_bytes() {
            payload.push_str(&format!("{byte:02x}"));
        }
        payload.extend((2 * STAMP_BYTES..bytes).map(|at| self.letter(at)));
        payload
    }

    /// The stamp of an operation as it is in the history. `None`: nobody here wrote it like that.
    pub fn read(kind: Kind, operation: &[u8]) -> Option<Self> {
        match kind {
            Kind::Log => {
                let (stamp, rest) = operation.split_first_chunk::<STAMP_BYTES>()?;
                let stamp = Self::from_bytes(stamp);
                let mut filler = (STAMP_BYTES..).zip(rest);
                filler
                    .all(|(at, byte)| *byte == stamp.filler(at))
                    .then_some(stamp)
            }
            Kind::Text => {
                let operation = Operation::decode(operation).ok()?;
                let mut inserted = operation
                    .components()
                    .filter_map(|component| match component {
                        Component::Insert(text) => Some(text),
                        Component::Retain(_) | Component::Delete(_) => None,
                    });
                Self::read_text(inserted.next()?).filter(|_| inserted.next().is_none())
            }
        }
    }

    fn read_text(text: &str) -> Option<Self> {
        let (digits, rest) = text.split_at_checked(2 * STAMP_BYTES)?;
        let mut bytes = [0; STAMP_BYTES];
        for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
        }
        let stamp = Self::from_bytes(&bytes);
        let mut filler = (2 * STAMP_BYTES..).zip(rest.chars());
        filler
            .all(|(at, letter)| letter == stamp.letter(at))
            .then_some(stamp)
    }

    fn to_bytes(self) -> [u8; STAMP_BYTES] {
        let mut bytes = [0; STAMP_BYTES];
        bytes[..4].copy_from_slice(&self.writer.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[12..].copy_from_slice(&self.due_us.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; STAMP_BYTES]) -> Self {
        let number = |from: usize| {
            let (number, _) = bytes[from..].split_first_chunk().expect("20 bytes");
            u64::from_be_bytes(*number)
        };
        Self {
            writer: u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            sequence: number(4),
            due_us: number(12),
        }
    }

    fn filler(self, at: usize) -> u8 {
        (self.sequence as u8)
            .wrapping_mul(31)
            .wrapping_add(self.writer as u8)
            .wrapping_add(at as u8)
    }

    fn letter(self, at: usize) -> char {
        char::from(b'a' + self.filler(at) % 26)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        writer: 3,
        sequence: 1_000_000_007,
        due_us: 123_456_789,
    };

    #[test]
    fn a_stamp_is_read_back_and_a_changed_byte_is_noticed() {
        for bytes in [20, 21, 300] {
            let payload = STAMP.log_payload(bytes);
            assert_eq!(payload.len(), bytes);
            assert_eq!(Stamp::read(Kind::Log, &payload), Some(STAMP));
            let mut changed = payload.to_vec();
            changed[bytes - 1] ^= 1;
            assert_ne!(Stamp::read(Kind::Log, &changed), Some(STAMP));
        }
        for bytes in [40, 41, 300] {
            let payload = STAMP.text_payload(bytes);
            assert_eq!(payload.len(), bytes);
            let operation = Operation::splice(7, 3, &payload).encode();
            assert_eq!(Stamp::read(Kind::Text, &operation), Some(STAMP));
        }
        assert_eq!(Stamp::read(Kind::Log, b"too short"), None);
        let foreign = Operation::splice(0, 0, "something that somebody else has written");
        assert_eq!(Stamp::read(Kind::Text, &foreign.encode()), None);
    }
}

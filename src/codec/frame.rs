//! Length-prefixed frames: a 4-byte big-endian length, then one protobuf message.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

/// The bytes of the length in front of every frame.
pub const PREFIX_BYTES: usize = 4;

/// What is wrong with the bytes that a peer sent. The connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of {length} bytes is longer than the limit of {length_max} bytes")]
    TooLarge { length: usize, length_max: usize },
    #[error("the message ends inside a frame")]
    Truncated,
}

/// Splits the first frame's message off the front of `bytes`. `None`: more bytes are needed.
///
/// A length over `length_max` is refused from the prefix alone, before anything is kept for it.
pub fn split<'a>(bytes: &mut &'a [u8], length_max: usize) -> Result<Option<&'a [u8]>, FrameError> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX_BYTES>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*prefix) as usize;
    if length > length_max {
        return Err(FrameError::TooLarge { length, length_max });
    }
    if rest.len() < length {
        return Ok(None);
    }
    let (message, rest) = rest.split_at(length);
    *bytes = rest;
    Ok(Some(message))
}

/// Appends `message` as one frame.
///
/// # Panics
///
/// If the message is longer than 4 GiB, which no limit of ours allows.
pub fn append(message: &impl Message, out: &mut Vec<u8>) {
    let length = message.encoded_len();
    out.reserve(PREFIX_BYTES + length);
    out.put_u32(u32::try_from(length).expect("messages are far below 4 GiB"));
    // `encode` would ask for the length again.
    message.encode_raw(out);
}

/// Appends what `write` appends as one frame.
///
/// # Panics
///
/// As [`append`].
pub fn append_with(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX_BYTES]);
    write(out);
    let length = out.len() - start - PREFIX_BYTES;
    let length = u32::try_from(length).expect("messages are far below 4 GiB");
    out[start..start + PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
}

/// The messages of whole frames.
///
/// # Panics
///
/// If the bytes do not end with a frame's end: they are our own.
pub fn messages(mut frames: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (prefix, rest) = frames.split_first_chunk::<PREFIX_BYTES>()?;
        let (message, rest) = rest.split_at(u32::from_be_bytes(*prefix) as usize);
        frames = rest;
        Some(message)
    })
}

/// `message` as one frame of its own.
pub fn encode(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut out = BytesMut::with_capacity(PREFIX_BYTES + length);
    out.put_u32(u32::try_from(length).expect("messages are far below 4 GiB"));
    message.encode_raw(&mut out);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_arrives_in_any_pieces() {
        let bytes = [0, 0, 0, 2, 7, 8, 0, 0, 0, 0, 0];
        for end in 0..6 {
            assert_eq!(split(&mut &bytes[..end], 10), Ok(None));
        }
        let mut rest = &bytes[..];
        assert_eq!(split(&mut rest, 10), Ok(Some(&[7, 8][..])));
        assert_eq!(split(&mut rest, 10), Ok(Some(&[][..])));
        assert_eq!(split(&mut rest, 10), Ok(None));
        assert_eq!(rest, [0]);
    }

    #[test]
    fn a_length_past_the_limit_is_refused_from_the_prefix_alone() {
        assert_eq!(split(&mut &[0, 0, 0, 10][..], 10), Ok(None));
        assert_eq!(
            split(&mut &[0, 0, 0, 11][..], 10),
            Err(FrameError::TooLarge {
                length: 11,
                length_max: 10
            })
        );
    }
}

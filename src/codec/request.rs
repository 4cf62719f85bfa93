//! A client's message to a [`Request`], within bounds.

use bytes::{Buf, Bytes};
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::wire::Request;

/// The one field of a request that has a length and is no message: `id`.
const ID_TAG: u32 = 15;
/// Fields of a request beside its operations.
const OTHER_FIELDS_MAX: usize = 1000;

/// The bytes are no [`Request`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("{0}")]
    Malformed(#[from] prost::DecodeError),
    #[error("it ends too early")]
    Truncated,
    #[error("it has more than {fields_max} fields")]
    TooManyFields { fields_max: usize },
    #[error("it asks for nothing that this version knows")]
    Unknown,
}

/// Decodes a message whose operations share its memory.
///
/// An element of a list takes two bytes on the wire and many times that when decoded, so elements are counted
/// before anything is made of them: what decoding takes is bounded by the message's length and
/// `operations_max`.
pub fn decode(message: Bytes, operations_max: usize) -> Result<Request, RequestError> {
    let fields_max = operations_max + OTHER_FIELDS_MAX;
    let mut fields = 0;
    count_fields(&mut &message[..], &mut fields, fields_max, true)?;
    let message_bytes = message.len();
    let request = Request::decode(message)?;
    if request.body.is_none() {
        return Err(RequestError::Unknown);
    }
    if request.encoded_len() < message_bytes / 2 {
        // Its fields would keep in memory what they are not made of, and what nobody counts.
        return Ok(Request::decode(Bytes::from(request.encode_to_vec()))?);
    }
    Ok(request)
}

/// Counts the fields of the message and of the messages directly in it.
fn count_fields(
    bytes: &mut &[u8],
    fields: &mut usize,
    fields_max: usize,
    is_outer: bool,
) -> Result<(), RequestError> {
    while bytes.has_remaining() {
        *fields += 1;
        if *fields > fields_max {
            return Err(RequestError::TooManyFields { fields_max });
        }
        let (tag, wire_type) = decode_key(bytes)?;
        if is_outer && wire_type == WireType::LengthDelimited && tag != ID_TAG {
            let length = decode_varint(bytes)?;
            let Some((mut inner, rest)) = usize::try_from(length)
                .ok()
                .and_then(|length| bytes.split_at_checked(length))
            else {
                return Err(RequestError::Truncated);
            };
            count_fields(&mut inner, fields, fields_max, false)?;
            *bytes = rest;
        } else {
            skip_field(wire_type, tag, bytes, DecodeContext::default())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::wire::{Operations, Ping, request::Body};

    fn encoded(body: Body) -> Bytes {
        Request::from(body).encode_to_vec().into()
    }

    #[test]
    fn requests_come_out_as_they_went_in() {
        let operations = Body::Operations(Operations {
            document: 7,
            operations: vec![Bytes::from_static(b"x"); 50],
            ..Default::default()
        });
        for body in [operations, Body::Ping(Ping { nonce: 300 })] {
            let request = decode(encoded(body.clone()), 50).expect("valid");
            assert_eq!(request.body, Some(body));
        }
    }

    #[test]
    fn many_small_fields_are_refused_before_they_are_made() {
        let operations = Body::Operations(Operations {
            operations: vec![Bytes::new(); 2000],
            ..Default::default()
        });
        assert_eq!(
            decode(encoded(operations), 50),
            Err(RequestError::TooManyFields { fields_max: 1050 })
        );
    }

    #[test]
    fn a_small_request_keeps_no_large_message_in_memory() {
        let operations = Operations {
            operations: vec![Bytes::from_static(b"x")],
            ..Default::default()
        };
        // Field 15, a string of 10000 bytes, which this version does not know.
        let mut fields = operations.encode_to_vec();
        fields.extend_from_slice(&[0x7a, 0x90, 0x4e]);
        fields.resize(fields.len() + 10_000, b'x');
        let mut message = vec![0x1a];
        prost::encoding::encode_varint(fields.len() as u64, &mut message);
        message.extend(fields);
        let message = Bytes::from(message);
        let request = decode(message.clone(), 50).expect("valid");
        assert_eq!(request.body, Some(Body::Operations(operations)));
        assert!(message.is_unique(), "the request has its own memory");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        assert_eq!(decode(Bytes::new(), 50), Err(RequestError::Unknown));
        let from_the_future = Bytes::from_static(&[0xfa, 0x01, 0x00]);
        assert_eq!(decode(from_the_future, 50), Err(RequestError::Unknown));
        let cut = Bytes::from_static(&[0x0a, 0x05, 0x00]);
        assert_eq!(decode(cut, 50), Err(RequestError::Truncated));
        let garbage = Bytes::from_static(&[0xff, 0xff, 0xff]);
        assert!(matches!(
            decode(garbage, 50),
            Err(RequestError::Malformed(_))
        ));
    }
}

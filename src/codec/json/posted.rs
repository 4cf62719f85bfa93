//! The body of a POST: one message of the dialect, or an array of them.

use std::fmt;

use serde::de::{self, Deserializer as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::JsonError;
use crate::codec::frame;

/// The messages as frames. What they say is not looked at, but each is an object. The frames take at most twice as many
/// bytes as the body, and four more.
///
/// # Errors
///
/// [`JsonError::Malformed`]
pub fn frames(body: &[u8]) -> Result<Vec<u8>, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let is_array = body.trim_ascii_start().first() == Some(&b'[');
    let frames = if is_array {
        deserializer.deserialize_seq(Messages {
            body_bytes: body.len(),
        })?
    } else {
        let message: &RawValue = de::Deserialize::deserialize(&mut deserializer)?;
        let mut frames = Vec::with_capacity(frame::PREFIX_BYTES + message.get().len());
        append::<serde_json::Error>(message, &mut frames)?;
        frames
    };
    deserializer.end()?;
    Ok(frames)
}

struct Messages {
    body_bytes: usize,
}

impl<'de> Visitor<'de> for Messages {
    type Value = Vec<u8>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of messages")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        // Enough, but for messages that say next to nothing.
        let mut frames = Vec::with_capacity(self.body_bytes + frame::PREFIX_BYTES);
        while let Some(message) = array.next_element()? {
            append(message, &mut frames)?;
        }
        Ok(frames)
    }
}

fn append<E: de::Error>(message: &RawValue, frames: &mut Vec<u8>) -> Result<(), E> {
    let text = message.get();
    if !text.starts_with('{') {
        return Err(E::custom("a message is an object"));
    }
    frame::append_with(frames, |frames| frames.extend_from_slice(text.as_bytes()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(body: &str) -> Option<Vec<String>> {
        let frames = frames(body.as_bytes()).ok()?;
        assert!(frames.len() <= 2 * body.len() + frame::PREFIX_BYTES);
        let text = |message: &[u8]| String::from_utf8(message.to_vec()).expect("it was text");
        Some(frame::messages(&frames).map(text).collect())
    }

    #[test]
    fn a_body_is_a_message_or_an_array_of_them() {
        let table: &[(&str, &[&str])] = &[
            (r#"{"type":"ping"}"#, &[r#"{"type":"ping"}"#]),
            (" {} \n", &["{}"]),
            ("[]", &[]),
            ("[{}]", &["{}"]),
            (r#" [ {"a": [1]} ,{}] "#, &[r#"{"a": [1]}"#, "{}"]),
        ];
        for (body, expected) in table {
            assert_eq!(messages(body).expect(body), *expected);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for body in [
            "", "1", "null", "\"x\"", "[1]", "[[]]", "[{}", "{", "{}{}", "[{},]", "[{}] x", "a=b",
        ] {
            assert_eq!(messages(body), None, "{body}");
        }
        frames(b"{\"a\":\"\xff\"}").expect_err("it is no text");
        let deep = "[".repeat(100_000);
        frames(deep.as_bytes()).expect_err("it does not end");
    }
}

//! Bytes as the JSON value that they are the text of, or in base64.
//!
//! Whatever the bytes are, what is read from what was written is the same bytes. So a value stands for its own text,
//! byte for byte, only where every JSON parser takes it and it does not look like bytes in base64.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::JsonError;
use super::object::object;
use super::write::Members;

const PADDING: DecodePaddingMode = DecodePaddingMode::Indifferent;
pub const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(PADDING),
);
pub const BASE64_URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(PADDING),
);

/// How deep a value may be nested that is passed on. Parsers allow 128 levels and more, of which the message around it
/// takes some.
const DEPTH_MAX: usize = 100;
/// The one member of an object that stands for bytes.
const BASE64_MEMBER: &str = "base64";

/// The bytes that a value stands for.
pub fn read(json: &RawValue) -> Result<Bytes, JsonError> {
    match shape(json.get())? {
        Shape::Base64 => read_base64(json),
        Shape::Value => Ok(Bytes::copy_from_slice(json.get().as_bytes())),
    }
}

/// The bytes in `{"base64": …}`.
pub fn read_base64(json: &RawValue) -> Result<Bytes, JsonError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wrapped<'a> {
        #[serde(borrow)]
        base64: Cow<'a, str>,
    }

    let wrapped: Wrapped<'_> = object(json.get())?;
    from_base64(&BASE64, &wrapped.base64)
}

pub fn from_base64(alphabet: &GeneralPurpose, text: &str) -> Result<Bytes, JsonError> {
    match alphabet.decode(text) {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(JsonError::Malformed(format!("no base64: {error}"))),
    }
}

/// Appends the value that the bytes are the text of, or the bytes in base64.
pub fn write(bytes: &[u8], out: &mut Vec<u8>) {
    let is_value = starts_and_ends(bytes)
        && std::str::from_utf8(bytes).is_ok_and(|text| matches!(shape(text), Ok(Shape::Value)));
    if is_value {
        out.extend_from_slice(bytes);
    } else {
        write_base64(bytes, out);
    }
}

/// Appends `{"base64": …}`.
pub fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let mut members = Members::open(out);
    members.base64(BASE64_MEMBER, &BASE64, bytes);
    members.close();
}

/// Whether the first and the last byte can be those of a value without whitespace around it.
fn starts_and_ends(bytes: &[u8]) -> bool {
    match bytes {
        [b'{', .., b'}'] | [b'[', .., b']'] | [b'"', .., b'"'] => true,
        [b'-' | b'0'..=b'9' | b't' | b'f' | b'n', ..] => {
            bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        }
        _nothing_else => false,
    }
}

/// What a value stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Its own text.
    Value,
    /// All its members, one as a rule, are called `base64`.
    Base64,
}

/// What the value stands for.
///
/// # Errors
///
/// If it is not one that every parser takes.
fn shape(text: &str) -> Result<Shape, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let shape = Nested { depth: 0 }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(shape)
}

/// Reads everything in a value, and keeps nothing of it.
#[derive(Clone, Copy)]
struct Nested {
    depth: usize,
}

impl Nested {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth + 1;
        if depth > DEPTH_MAX {
            let reason = format!("a value is nested more than {DEPTH_MAX} levels deep");
            return Err(E::custom(reason));
        }
        Ok(Self { depth })
    }
}

impl<'de> DeserializeSeed<'de> for Nested {
    type Value = Shape;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested {
    type Value = Shape;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Value)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Value)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Value)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Value)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Value)
    }

    fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::Value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Shape, A::Error> {
        let inner = self.inner()?;
        while elements.next_element_seed(inner)?.is_some() {}
        Ok(Shape::Value)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Shape, A::Error> {
        let inner = self.inner()?;
        let mut is_empty = true;
        let mut is_base64 = true;
        while let Some(is_called_so) = members.next_key_seed(Name)? {
            members.next_value_seed(inner)?;
            is_empty = false;
            is_base64 &= is_called_so;
        }
        Ok(if is_base64 && !is_empty {
            Shape::Base64
        } else {
            Shape::Value
        })
    }
}

/// Whether a member is called `base64`.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == BASE64_MEMBER)
    }
}

//! Bytes that the relay passes on, as JSON.
//!
//! Whatever the bytes are, what is read from what was written is the same bytes. So it is the text of a value that
//! stands for itself, byte for byte, only where every JSON parser takes it and it does not look like bytes in base64.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use prost::Message as _;
use prost::encoding::message;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::codec::wire::{TextComponent, TextOperation, text_component::Edit};

use super::JsonError;
use super::object::{Object, object};
use super::write::{Array, Members};

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
/// `TextOperation.components`.
const COMPONENTS_TAG: u32 = 1;

/// How a kind's operations stand in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// The value that the bytes are the text of, or `{"base64": …}`.
    Json,
    /// The components of a `TextOperation`.
    TextComponents,
}

impl Payload {
    pub fn of_kind(kind: &str) -> Self {
        if kind == "text" {
            Self::TextComponents
        } else {
            Self::Json
        }
    }

    /// An operation's bytes. For [`Payload::Json`] these are the value's text as it stands there, or what is in
    /// `{"base64": …}`.
    ///
    /// # Errors
    ///
    /// If the value is not one that every parser takes: nested too deep, a surrogate without its other half, a number
    /// out of range.
    pub fn read(self, json: &RawValue) -> Result<Bytes, JsonError> {
        match self {
            Self::Json => value_bytes(json),
            Self::TextComponents => component_bytes(json),
        }
    }

    /// Appends the JSON of an operation.
    pub fn write(self, bytes: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Json => write_value(bytes, out),
            Self::TextComponents => write_components(bytes, out),
        }
    }
}

/// The bytes that a value stands for.
pub fn value_bytes(json: &RawValue) -> Result<Bytes, JsonError> {
    match shape(json.get())? {
        Shape::Base64 => base64_bytes(json),
        Shape::Value => Ok(Bytes::copy_from_slice(json.get().as_bytes())),
    }
}

/// The bytes in `{"base64": …}`.
pub fn base64_bytes(json: &RawValue) -> Result<Bytes, JsonError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wrapped<'a> {
        #[serde(borrow)]
        base64: Cow<'a, str>,
    }

    let wrapped: Wrapped<'_> = object(json.get())?;
    decoded(&BASE64, &wrapped.base64)
}

pub fn decoded(alphabet: &GeneralPurpose, text: &str) -> Result<Bytes, JsonError> {
    match alphabet.decode(text) {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(JsonError::Malformed(format!("no base64: {error}"))),
    }
}

/// Appends the value that the bytes are the text of, or the bytes in base64.
pub fn write_value(bytes: &[u8], out: &mut Vec<u8>) {
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

/// An array of components as an encoded `TextOperation`. Whether it is an operation is for the text to say.
fn component_bytes(json: &RawValue) -> Result<Bytes, JsonError> {
    struct Components(Vec<u8>);

    impl<'de> Visitor<'de> for Components {
        type Value = Bytes;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an array of components")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut array: A) -> Result<Bytes, A::Error> {
            // One at a time: a list of them would take many times the memory of their text.
            while let Some(Object(component)) = array.next_element::<Object<Component>>()? {
                let edit = match component {
                    Component {
                        retain: Some(length),
                        insert: None,
                        delete: None,
                    } => Edit::Retain(length),
                    Component {
                        retain: None,
                        insert: Some(text),
                        delete: None,
                    } => Edit::Insert(text),
                    Component {
                        retain: None,
                        insert: None,
                        delete: Some(length),
                    } => Edit::Delete(length),
                    _none_or_many => {
                        return Err(A::Error::custom(
                            "a component is one of retain, insert, delete",
                        ));
                    }
                };
                let component = TextComponent { edit: Some(edit) };
                message::encode(COMPONENTS_TAG, &component, &mut self.0);
            }
            Ok(self.0.into())
        }
    }

    #[derive(Deserialize)]
    struct Component {
        retain: Option<u64>,
        insert: Option<String>,
        delete: Option<u64>,
    }

    let mut deserializer = serde_json::Deserializer::from_str(json.get());
    Ok(deserializer.deserialize_seq(Components(Vec::new()))?)
}

/// Appends the components of an encoded `TextOperation`. What is none is our own mistake, and stands there as bytes.
fn write_components(bytes: &[u8], out: &mut Vec<u8>) {
    let Ok(operation) = TextOperation::decode(bytes) else {
        return write_base64(bytes, out);
    };
    let mut array = Array::open(out);
    for component in &operation.components {
        let mut members = Members::open(array.element());
        match &component.edit {
            Some(Edit::Retain(length)) => members.value("retain", length),
            Some(Edit::Insert(text)) => members.value("insert", text),
            Some(Edit::Delete(length)) => members.value("delete", length),
            None => {}
        }
        members.close();
    }
    array.close();
}

//! Operations in JSON, by the kind of their document.

use std::fmt;

use bytes::Bytes;
use prost::Message as _;
use prost::encoding::message;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::codec::wire::{TextComponent, TextOperation, text_component::Edit};

use super::JsonError;
use super::object::Object;
use super::value;
use super::write::{Array, Members};

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
            Self::Json => value::read(json),
            Self::TextComponents => read_components(json),
        }
    }

    /// Appends the JSON of an operation.
    pub fn write(self, bytes: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Json => value::write(bytes, out),
            Self::TextComponents => write_components(bytes, out),
        }
    }
}

/// An array of components as an encoded `TextOperation`. Whether it is an operation is for the text to say.
fn read_components(json: &RawValue) -> Result<Bytes, JsonError> {
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
        return value::write_base64(bytes, out);
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

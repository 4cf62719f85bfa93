//! Operations as the protocol's `TextOperation`.

use prost::Message;
use prost::encoding::{DecodeContext, decode_key, message, skip_field};

use crate::codec::wire::{TextComponent, TextOperation, text_component::Edit};

use super::TextError;
use super::operation::{Component, Operation};

/// Longer than any document, in code units. It keeps what peers send far from where sums of lengths overflow.
const REACH_MAX: u64 = u32::MAX as u64;
/// `TextOperation.components`.
const COMPONENTS_TAG: u32 = 1;

impl Operation {
    /// Reads an encoded `TextOperation`. What it returns is canonical; whether it fits a document is for the document
    /// to say, unless no document is so long.
    pub fn decode(bytes: &[u8]) -> Result<Self, TextError> {
        let mut builder = Self::builder();
        let mut reach = 0_u64;
        let mut rest = bytes;
        // One at a time: a list of decoded components would take many times the memory of their bytes.
        while let Some(component) = next_component(&mut rest)? {
            match component.edit.ok_or(TextError::EmptyComponent)? {
                Edit::Retain(length) => {
                    builder.retain(checked_length(length, &mut reach)?);
                }
                Edit::Delete(length) => {
                    builder.delete(checked_length(length, &mut reach)?);
                }
                Edit::Insert(text) if text.is_empty() => return Err(TextError::EmptyComponent),
                Edit::Insert(text) => {
                    builder.insert(&text);
                }
            }
        }
        Ok(builder.build())
    }

    /// The encoded `TextOperation`.
    pub fn encode(&self) -> Vec<u8> {
        let components = self
            .components()
            .map(|component| TextComponent {
                edit: Some(match component {
                    Component::Retain(length) => Edit::Retain(length as u64),
                    Component::Insert(text) => Edit::Insert(text.to_owned()),
                    Component::Delete(length) => Edit::Delete(length as u64),
                }),
            })
            .collect();
        TextOperation { components }.encode_to_vec()
    }
}

/// The next component of an encoded `TextOperation`; other fields are skipped.
fn next_component(rest: &mut &[u8]) -> Result<Option<TextComponent>, prost::DecodeError> {
    while !rest.is_empty() {
        let (tag, wire_type) = decode_key(rest)?;
        if tag == COMPONENTS_TAG {
            let mut component = TextComponent::default();
            message::merge(wire_type, &mut component, rest, DecodeContext::default())?;
            return Ok(Some(component));
        }
        skip_field(wire_type, tag, rest, DecodeContext::default())?;
    }
    Ok(None)
}

fn checked_length(length: u64, reach: &mut u64) -> Result<usize, TextError> {
    if length == 0 {
        return Err(TextError::EmptyComponent);
    }
    *reach = reach.saturating_add(length);
    if *reach > REACH_MAX {
        return Err(TextError::OutOfBounds);
    }
    usize::try_from(length).map_err(|_| TextError::OutOfBounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(edits: impl IntoIterator<Item = Option<Edit>>) -> Vec<u8> {
        let components = edits
            .into_iter()
            .map(|edit| TextComponent { edit })
            .collect();
        TextOperation { components }.encode_to_vec()
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let operation = Operation::builder()
            .retain(300)
            .insert("grüß 👋")
            .delete(2)
            .retain(1)
            .delete(1)
            .build();
        assert_eq!(Operation::decode(&operation.encode()), Ok(operation));
        assert_eq!(Operation::decode(&[]), Ok(Operation::default()));
    }

    #[test]
    fn empty_components_are_refused() {
        for edit in [
            None,
            Some(Edit::Retain(0)),
            Some(Edit::Delete(0)),
            Some(Edit::Insert(String::new())),
        ] {
            let bytes = encoded([Some(Edit::Retain(1)), edit]);
            assert_eq!(Operation::decode(&bytes), Err(TextError::EmptyComponent));
        }
    }

    #[test]
    fn lengths_that_no_document_has_are_out_of_bounds() {
        for edits in [
            [Edit::Retain(u64::MAX), Edit::Delete(1)],
            [Edit::Delete(REACH_MAX), Edit::Retain(1)],
        ] {
            let bytes = encoded(edits.map(Some));
            assert_eq!(Operation::decode(&bytes), Err(TextError::OutOfBounds));
        }
    }

    #[test]
    fn bytes_that_are_no_message_are_malformed() {
        for bytes in [
            &[0xff][..],
            // A component that claims more bytes than there are.
            &[0x0a, 0x05, 0x08],
            // An insert that is not UTF-8.
            &[0x0a, 0x03, 0x12, 0x01, 0xff],
        ] {
            assert!(matches!(
                Operation::decode(bytes),
                Err(TextError::Malformed(_))
            ));
        }
    }
}

//! A document's text.
//!
//! Cloning it is cheap (the clones share what neither has changed), so that a snapshot can be sent while edits go
//! on. An operation that does not fit changes nothing.

use std::fmt;
use std::ops::Range;

use ropey::{Rope, RopeSlice};
use smallvec::SmallVec;

use super::TextError;
use super::operation::{Component, Operation};

/// A document of kind `text`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Text {
    rope: Rope,
}

impl Text {
    /// The whole document, from the bytes of a snapshot.
    pub fn from_utf8(bytes: &[u8]) -> Result<Self, TextError> {
        Ok(Self::from(std::str::from_utf8(bytes)?))
    }

    pub fn len_bytes(&self) -> usize {
        self.rope.len_bytes()
    }

    pub fn len_utf16(&self) -> usize {
        self.rope.len_utf16_cu()
    }

    pub fn is_empty(&self) -> bool {
        self.len_bytes() == 0
    }

    /// Applies an operation, or changes nothing.
    pub fn apply(&mut self, operation: &Operation) -> Result<(), TextError> {
        self.apply_within(operation, usize::MAX)
    }

    /// Applies an operation, or changes nothing, if the document would get longer than `bytes_max`, too.
    pub fn apply_within(
        &mut self,
        operation: &Operation,
        bytes_max: usize,
    ) -> Result<(), TextError> {
        let edits = self.edits(operation)?;
        let length = self.len_bytes() + operation.inserted_bytes();
        if length > bytes_max {
            let length = length - self.deleted_bytes(&edits);
            // A document that is over a lowered limit can still be made shorter.
            if length > bytes_max.max(self.len_bytes()) {
                return Err(TextError::TooLarge {
                    length,
                    length_max: bytes_max,
                });
            }
        }
        // From the end, so that the places before stay where they are.
        for edit in edits.iter().rev() {
            if !edit.deleted.is_empty() {
                self.rope.remove(edit.deleted.clone());
            }
            if !edit.inserted.is_empty() {
                self.rope.insert(edit.deleted.start, edit.inserted);
            }
        }
        Ok(())
    }

    /// The position of the character with this number, or of the end.
    pub fn position_of_character(&self, index: usize) -> Option<usize> {
        self.rope.try_char_to_utf16_cu(index).ok()
    }

    /// The bytes of the document from `offset`, at most `bytes_max` of them, never ending inside a character; one
    /// character at least, unless the document ends at `offset`. `None`: `offset` is past the end or in a character.
    pub fn page(&self, offset: usize, bytes_max: usize) -> Option<Vec<u8>> {
        let length = self.len_bytes();
        if offset > length || self.boundary(offset) != offset {
            return None;
        }
        let mut end = self.boundary(offset.saturating_add(bytes_max).min(length));
        if end == offset && end < length {
            end += self.rope.char(self.rope.byte_to_char(offset)).len_utf8();
        }
        let mut bytes = Vec::with_capacity(end - offset);
        for chunk in self.rope.byte_slice(offset..end).chunks() {
            bytes.extend_from_slice(chunk.as_bytes());
        }
        Some(bytes)
    }

    /// One edit that makes this document into `target`: what stands between their common start and end.
    pub fn difference(&self, target: &Self) -> Operation {
        let shorter = self.rope.len_chars().min(target.rope.len_chars());
        let equal = |(a, b): &(char, char)| a == b;
        let start = self.rope.chars().zip(target.rope.chars());
        let start = start.take_while(equal).count();
        let end = backwards(&self.rope).zip(backwards(&target.rope));
        let end = end.take(shorter - start).take_while(equal).count();

        let position = self.rope.char_to_utf16_cu(start);
        let deleted_end = self.rope.char_to_utf16_cu(self.rope.len_chars() - end);
        let mut operation = Operation::builder();
        operation.retain(position).delete(deleted_end - position);
        let inserted = target.rope.slice(start..target.rope.len_chars() - end);
        for chunk in inserted.chunks() {
            operation.insert(chunk);
        }
        operation.build()
    }

    /// A piece of the document, its ends in code units.
    pub(super) fn slice(&self, range: Range<usize>) -> Result<RopeSlice<'_>, TextError> {
        let start = self.char_index(range.start)?;
        let end = self.char_index(range.end)?;
        Ok(self.rope.slice(start..end))
    }

    /// What the operation does, with its places as characters of this document.
    fn edits<'a>(&self, operation: &'a Operation) -> Result<SmallVec<[Edit<'a>; 1]>, TextError> {
        let mut edits = SmallVec::<[Edit<'a>; 1]>::new();
        let mut position = 0;
        let mut character = 0;
        let mut inserted = None;
        for component in operation.components() {
            match component {
                Component::Retain(length) => {
                    edits.extend(
                        inserted
                            .take()
                            .map(|text| Edit::new(character..character, text)),
                    );
                    position += length;
                    character = self.char_index(position)?;
                }
                Component::Insert(text) => inserted = Some(text),
                Component::Delete(length) => {
                    position += length;
                    let start = character;
                    character = self.char_index(position)?;
                    let text = inserted.take().unwrap_or_default();
                    edits.push(Edit::new(start..character, text));
                }
            }
        }
        edits.extend(inserted.map(|text| Edit::new(character..character, text)));
        Ok(edits)
    }

    fn deleted_bytes(&self, edits: &[Edit<'_>]) -> usize {
        edits
            .iter()
            .map(|edit| {
                self.rope.char_to_byte(edit.deleted.end)
                    - self.rope.char_to_byte(edit.deleted.start)
            })
            .sum()
    }

    /// The character that starts at a position.
    fn char_index(&self, position: usize) -> Result<usize, TextError> {
        let index = self
            .rope
            .try_utf16_cu_to_char(position)
            .map_err(|_| TextError::OutOfBounds)?;
        // Inside a surrogate pair the rope answers with the character that the pair stands for.
        if self.rope.char_to_utf16_cu(index) == position {
            Ok(index)
        } else {
            Err(TextError::SurrogateSplit { position })
        }
    }

    /// The start of the character that `offset` is in, in bytes.
    fn boundary(&self, offset: usize) -> usize {
        self.rope.char_to_byte(self.rope.byte_to_char(offset))
    }
}

fn backwards(rope: &Rope) -> impl Iterator<Item = char> + '_ {
    rope.chars_at(rope.len_chars()).reversed()
}

/// A range of characters, and what stands there instead.
struct Edit<'a> {
    deleted: Range<usize>,
    inserted: &'a str,
}

impl<'a> Edit<'a> {
    fn new(deleted: Range<usize>, inserted: &'a str) -> Self {
        Self { deleted, inserted }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self {
            rope: Rope::from_str(text),
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rope
            .chunks()
            .try_for_each(|chunk| formatter.write_str(chunk))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(text: &str, operation: &Operation) -> Result<String, TextError> {
        let mut document = Text::from(text);
        let result = document.apply(operation);
        if result.is_err() {
            assert_eq!(
                document,
                Text::from(text),
                "a refused operation changes nothing"
            );
        }
        result.map(|()| document.to_string())
    }

    #[test]
    fn several_edits_of_one_operation_land_where_they_should() {
        let operation = Operation::builder()
            .insert("<")
            .retain(2)
            .insert("é")
            .delete(3)
            .retain(1)
            .delete(1)
            .retain(1)
            .insert(">")
            .build();
        assert_eq!(applied("ab👋cdef", &operation), Ok("<abédf>".to_owned()));
    }

    #[test]
    fn a_position_past_the_end_is_refused() {
        assert_eq!(
            applied("a👋", &Operation::splice(3, 0, "b")),
            Ok("a👋b".to_owned())
        );
        for operation in [Operation::splice(4, 0, "b"), Operation::splice(0, 4, "")] {
            assert_eq!(applied("a👋", &operation), Err(TextError::OutOfBounds));
        }
    }

    #[test]
    fn a_position_inside_a_pair_is_refused() {
        let first_edit_fits = Operation::builder().delete(1).retain(1).insert("b").build();
        for operation in [
            Operation::splice(2, 0, "b"),
            Operation::splice(0, 2, ""),
            Operation::splice(2, 1, ""),
            first_edit_fits,
        ] {
            assert_eq!(
                applied("a👋b", &operation),
                Err(TextError::SurrogateSplit { position: 2 })
            );
        }
    }

    #[test]
    fn a_document_stops_at_its_limit_and_can_always_shrink() {
        let mut document = Text::from("grüß");
        let grown = Operation::splice(4, 0, "!!");
        assert_eq!(
            document.apply_within(&grown, 7),
            Err(TextError::TooLarge {
                length: 8,
                length_max: 7
            })
        );
        document
            .apply_within(&Operation::splice(2, 1, "ue"), 6)
            .expect("as long as before");
        document
            .apply_within(&Operation::splice(4, 1, ""), 3)
            .expect("it gets shorter");
        assert_eq!(document.to_string(), "grue");
    }

    #[test]
    fn pages_never_cut_a_character_and_make_up_the_document() {
        let text = "a👋é€\r\n".repeat(500);
        let document = Text::from(text.as_str());
        for bytes_max in [1, 2, 3, 4, 5, 1000, usize::MAX] {
            let mut bytes = Vec::new();
            while bytes.len() < document.len_bytes() {
                let page = document.page(bytes.len(), bytes_max).expect("a boundary");
                assert!(!page.is_empty() && page.len() <= bytes_max.max(4));
                assert!(std::str::from_utf8(&page).is_ok());
                bytes.extend(page);
            }
            assert_eq!(Text::from_utf8(&bytes), Ok(document.clone()));
        }
        assert_eq!(document.page(2, 10), None);
        assert_eq!(document.page(document.len_bytes(), 10), Some(Vec::new()));
        assert_eq!(document.page(document.len_bytes() + 1, 10), None);
    }

    #[test]
    fn a_snapshot_that_is_not_utf8_is_refused() {
        assert!(matches!(
            Text::from_utf8(&[b'a', 0xff]),
            Err(TextError::NotUtf8(_))
        ));
    }

    #[test]
    fn the_difference_makes_one_document_into_the_other() {
        for (from, to, operation) in [
            ("", "", Operation::default()),
            ("aa", "aaa", Operation::splice(2, 0, "a")),
            ("a👋b", "a👌b", Operation::splice(1, 2, "👌")),
            ("one two", "one", Operation::splice(3, 4, "")),
        ] {
            assert_eq!(Text::from(from).difference(&Text::from(to)), operation);
            assert_eq!(applied(from, &operation), Ok(to.to_owned()));
        }
    }
}

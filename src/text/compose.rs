//! Composition, two operations in sequence as one, and inversion, the operation that undoes another.

use super::operation::{Component, Operation, utf16_length};
use super::{Text, TextError};

impl Operation {
    /// One operation that does what this one and then `next` does.
    ///
    /// Fails with [`TextError::SurrogateSplit`] where `next` cuts a surrogate pair that this operation inserts; the
    /// position is then that in the inserted text.
    pub fn compose(&self, next: &Self) -> Result<Self, TextError> {
        let mut composed = Self::builder();
        let mut before = Walk::new(self);
        for component in next.components() {
            let (mut length, kept) = match component {
                Component::Insert(text) => {
                    composed.insert(text);
                    continue;
                }
                Component::Retain(length) => (length, true),
                Component::Delete(length) => (length, false),
            };
            while length > 0 {
                match before.take(length)? {
                    Component::Delete(deleted) => {
                        composed.delete(deleted);
                    }
                    Component::Retain(retained) => {
                        if kept {
                            composed.retain(retained);
                        } else {
                            composed.delete(retained);
                        }
                        length -= retained;
                    }
                    Component::Insert(text) => {
                        if kept {
                            composed.insert(text);
                        }
                        length -= utf16_length(text);
                    }
                }
            }
        }
        while let Some(component) = before.take_rest() {
            match component {
                Component::Retain(length) => composed.retain(length),
                Component::Insert(text) => composed.insert(text),
                Component::Delete(length) => composed.delete(length),
            };
        }
        Ok(composed.build())
    }

    /// The operation that brings back `document`, to which this one must fit, after this one was applied to it.
    pub fn invert(&self, document: &Text) -> Result<Self, TextError> {
        let mut inverse = Self::builder();
        let mut position = 0;
        for component in self.components() {
            match component {
                Component::Retain(length) => {
                    inverse.retain(length);
                    position += length;
                }
                Component::Insert(text) => {
                    inverse.delete(utf16_length(text));
                }
                Component::Delete(length) => {
                    for chunk in document.slice(position..position + length)?.chunks() {
                        inverse.insert(chunk);
                    }
                    position += length;
                }
            }
        }
        Ok(inverse.build())
    }
}

/// A walk over the document that an operation leaves behind, and over what it deleted.
struct Walk<'a, I> {
    components: I,
    /// The rest of the component that has been begun.
    begun: Option<Component<'a>>,
}

impl<'a> Walk<'a, ()> {
    fn new(operation: &'a Operation) -> Walk<'a, impl Iterator<Item = Component<'a>>> {
        Walk {
            components: operation.components(),
            begun: None,
        }
    }
}

impl<'a, I: Iterator<Item = Component<'a>>> Walk<'a, I> {
    fn take_rest(&mut self) -> Option<Component<'a>> {
        self.begun.take().or_else(|| self.components.next())
    }

    /// The next piece: what was deleted here, or at most `length` units of the document that is left.
    fn take(&mut self, length: usize) -> Result<Component<'a>, TextError> {
        match self.take_rest() {
            Some(Component::Delete(deleted)) => Ok(Component::Delete(deleted)),
            Some(Component::Retain(retained)) if retained > length => {
                self.begun = Some(Component::Retain(retained - length));
                Ok(Component::Retain(length))
            }
            Some(Component::Retain(retained)) => Ok(Component::Retain(retained)),
            Some(Component::Insert(text)) => {
                let (piece, rest) = split_utf16(text, length)?;
                if !rest.is_empty() {
                    self.begun = Some(Component::Insert(rest));
                }
                Ok(Component::Insert(piece))
            }
            None => Ok(Component::Retain(length)),
        }
    }
}

/// The first `length` code units of `text`, or all of it, and the rest.
fn split_utf16(text: &str, length: usize) -> Result<(&str, &str), TextError> {
    let mut position = 0;
    for (index, character) in text.char_indices() {
        match position.cmp(&length) {
            std::cmp::Ordering::Less => position += character.len_utf16(),
            std::cmp::Ordering::Equal => return Ok(text.split_at(index)),
            std::cmp::Ordering::Greater => break,
        }
    }
    if position > length {
        return Err(TextError::SurrogateSplit { position: length });
    }
    Ok((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_becomes_one_insert() {
        let mut typed = Operation::splice(3, 0, "h");
        for (offset, letter) in ["e", "l", "l", "o"].into_iter().enumerate() {
            typed = typed
                .compose(&Operation::splice(4 + offset, 0, letter))
                .expect("nothing is cut");
        }
        assert_eq!(typed, Operation::splice(3, 0, "hello"));
    }

    #[test]
    fn deleting_what_was_inserted_leaves_nothing() {
        let typed = Operation::splice(3, 0, "a💡b");
        let erased = typed.compose(&Operation::splice(3, 4, ""));
        assert_eq!(erased, Ok(Operation::default()));
    }

    #[test]
    fn a_pair_that_was_inserted_cannot_be_cut() {
        let typed = Operation::splice(0, 0, "a💡");
        for next in [Operation::splice(2, 0, "b"), Operation::splice(0, 2, "")] {
            assert_eq!(
                typed.compose(&next),
                Err(TextError::SurrogateSplit { position: 2 })
            );
        }
    }

    #[test]
    fn the_inverse_brings_deleted_text_back() {
        let document = Text::from("grüß 👋 dich");
        let operation = Operation::splice(5, 2, "Gott");
        let mut edited = document.clone();
        edited.apply(&operation).expect("it fits");
        let inverse = operation.invert(&document).expect("it fits");
        edited.apply(&inverse).expect("it fits");
        assert_eq!(edited, document);
    }
}

//! One edit of a document, in canonical form.
//!
//! An operation walks over the whole document: it retains, inserts and deletes; what it does not reach is retained.
//! It is always canonical: no component is empty, none is followed by one of the same kind, an insert stands before
//! the delete that it touches, and no retain is last. So operations that do the same the same way are equal, and
//! everybody who transforms them sees the same inserts at the same positions.
//!
//! The inserted text is kept in one string, in the order of the inserts; the components only say how much of it
//! they take. Transforming an operation never touches its text.

use smallvec::SmallVec;

/// An edit of a whole document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Operation {
    parts: Parts,
    text: String,
}

/// Most edits are one retain and one insert or delete, or both.
type Parts = SmallVec<[Part; 3]>;

/// A component as it is kept: an insert's text is the next `bytes` bytes of the operation's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Retain(usize),
    Insert { bytes: usize, utf16: usize },
    Delete(usize),
}

/// A component, with lengths in UTF-16 code units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component<'a> {
    Retain(usize),
    Insert(&'a str),
    Delete(usize),
}

impl Operation {
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// At `position`, deletes `deleted` code units and inserts `inserted`.
    pub fn splice(position: usize, deleted: usize, inserted: &str) -> Self {
        Self::builder()
            .retain(position)
            .insert(inserted)
            .delete(deleted)
            .build()
    }

    /// Whether it changes nothing, whatever the document.
    pub fn is_identity(&self) -> bool {
        self.parts.is_empty()
    }

    pub fn components(&self) -> impl Iterator<Item = Component<'_>> {
        let mut rest = self.text.as_str();
        self.parts.iter().map(move |part| match *part {
            Part::Retain(length) => Component::Retain(length),
            Part::Delete(length) => Component::Delete(length),
            Part::Insert { bytes, .. } => {
                let (text, after) = rest.split_at(bytes);
                rest = after;
                Component::Insert(text)
            }
        })
    }

    /// How much of a document it walks over, in code units: the shortest document that it fits.
    pub fn reach(&self) -> usize {
        self.parts
            .iter()
            .map(|part| match *part {
                Part::Retain(length) | Part::Delete(length) => length,
                Part::Insert { .. } => 0,
            })
            .sum()
    }

    /// How much longer it makes a document, in code units; negative: shorter.
    pub fn growth(&self) -> isize {
        self.parts
            .iter()
            .map(|part| match *part {
                Part::Retain(_) => 0,
                Part::Insert { utf16, .. } => utf16 as isize,
                Part::Delete(length) => -(length as isize),
            })
            .sum()
    }

    /// Whether two operations on one document change places that overlap or meet.
    pub fn touches(&self, other: &Self) -> bool {
        let start = |operation: &Self| match operation.parts.first() {
            Some(Part::Retain(length)) => *length,
            Some(Part::Insert { .. } | Part::Delete(_)) | None => 0,
        };
        let changes = !self.is_identity() && !other.is_identity();
        changes && start(self) <= other.reach() && start(other) <= self.reach()
    }

    /// All the text that it inserts, in bytes.
    pub fn inserted_bytes(&self) -> usize {
        self.text.len()
    }

    /// How many components it has. Transforming two operations costs time in proportion to the sum of theirs.
    pub fn components_count(&self) -> usize {
        self.parts.len()
    }

    /// What keeping it costs, in bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        let spilled = if self.parts.spilled() {
            self.parts.capacity() * size_of::<Part>()
        } else {
            0
        };
        size_of::<Self>() + spilled + self.text.capacity()
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Puts other components around the same text.
    pub(super) fn replace_parts(&mut self, mut builder: Builder) {
        builder.text = std::mem::take(&mut self.text);
        *self = builder.build();
    }
}

/// Makes an [`Operation`] from its start to its end, in any form; what it builds is canonical.
#[derive(Debug, Default)]
pub struct Builder {
    parts: Parts,
    text: String,
    /// Retained since the last edit. It becomes a component when another edit follows.
    retained: usize,
}

impl Builder {
    pub fn retain(&mut self, length: usize) -> &mut Self {
        self.retained += length;
        self
    }

    pub fn insert(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self.insert_part(text.len(), utf16_length(text))
    }

    pub fn delete(&mut self, length: usize) -> &mut Self {
        if length == 0 {
            return self;
        }
        self.flush_retained();
        match self.parts.last_mut() {
            Some(Part::Delete(before)) => *before += length,
            Some(Part::Retain(_) | Part::Insert { .. }) | None => {
                self.parts.push(Part::Delete(length));
            }
        }
        self
    }

    /// The operation so far; the builder is empty again.
    pub fn build(&mut self) -> Operation {
        let Self { parts, text, .. } = std::mem::take(self);
        Operation { parts, text }
    }

    /// An insert whose text the caller adds to the operation's text.
    pub(super) fn insert_part(&mut self, bytes: usize, utf16: usize) -> &mut Self {
        if bytes == 0 {
            return self;
        }
        self.flush_retained();
        let place = match self.parts.last() {
            Some(Part::Delete(_)) => self.parts.len() - 1,
            Some(Part::Retain(_) | Part::Insert { .. }) | None => self.parts.len(),
        };
        match self.parts[..place].last_mut() {
            Some(Part::Insert {
                bytes: bytes_before,
                utf16: utf16_before,
            }) => {
                *bytes_before += bytes;
                *utf16_before += utf16;
            }
            Some(Part::Retain(_) | Part::Delete(_)) | None => {
                self.parts.insert(place, Part::Insert { bytes, utf16 });
            }
        }
        self
    }

    fn flush_retained(&mut self) {
        let retained = std::mem::take(&mut self.retained);
        if retained > 0 {
            self.parts.push(Part::Retain(retained));
        }
    }
}

/// The length of `text` in UTF-16 code units.
pub(super) fn utf16_length(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    text.chars().map(char::len_utf16).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn components(operation: &Operation) -> Vec<Component<'_>> {
        operation.components().collect()
    }

    #[test]
    fn what_is_built_is_canonical() {
        let operation = Operation::builder()
            .retain(1)
            .retain(0)
            .retain(2)
            .delete(1)
            .insert("a")
            .insert("")
            .delete(1)
            .insert("💡")
            .retain(0)
            .delete(2)
            .retain(9)
            .build();
        use Component::{Delete, Insert, Retain};
        assert_eq!(
            components(&operation),
            [Retain(3), Insert("a💡"), Delete(4)]
        );
        assert_eq!(operation.reach(), 7);
        assert_eq!(operation.components_count(), 3);
        assert_eq!(operation.inserted_bytes(), 5);
    }

    #[test]
    fn operations_touch_where_their_places_overlap_or_meet() {
        let delete = Operation::splice(3, 2, "");
        let touching =
            [2, 3, 4, 5, 6].map(|place| Operation::splice(place, 0, "a").touches(&delete));
        assert_eq!(touching, [false, true, true, true, false]);
        assert!(!Operation::default().touches(&delete));
    }

    #[test]
    fn an_operation_that_only_retains_is_the_identity() {
        let operation = Operation::builder().retain(5).build();
        assert!(operation.is_identity());
        assert_eq!(operation, Operation::default());
        assert!(!Operation::splice(5, 1, "").is_identity());
    }

    #[test]
    fn a_builder_starts_again_after_building() {
        let mut builder = Operation::builder();
        builder.insert("a").retain(1).build();
        assert_eq!(
            components(&builder.insert("b").build()),
            [Component::Insert("b")]
        );
    }
}

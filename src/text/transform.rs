//! Transformation: what an operation becomes after another one that was made against the same document.
//!
//! For operations `a` and `b` on one document, `a` and then `b` transformed over `a` lead to the same document as
//! `b` and then `a` transformed over `b` (the property called TP1). The relay puts all operations into one order, so
//! nothing more is needed for everybody to agree.
//!
//! Two inserts at the same position are the one case that the operations themselves do not decide. There the insert
//! of the lower client id stands left. Unlike the order of arrival it is the same for every order in which the relay
//! could have taken them, and people who type at the same place at once never get their words mixed.

use std::cmp::Ordering;

use super::operation::{Builder, Operation, Part};

/// Where an operation's insert stands when the other inserts at the same position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

impl Side {
    /// The side of `client_id`'s inserts, beside those of `other`.
    pub fn of(client_id: u64, other: u64) -> Self {
        match client_id.cmp(&other) {
            Ordering::Less => Self::Left,
            Ordering::Equal | Ordering::Greater => Self::Right,
        }
    }

    pub fn opposite(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

/// Both operations, each as it is after the other. `side` is that of `a`.
pub fn transform(a: &Operation, b: &Operation, side: Side) -> (Operation, Operation) {
    (a.rebased(b, side), b.rebased(a, side.opposite()))
}

/// Brings a batch of operations of the client `origin` to the end of a history.
///
/// The first operation was made against the document before `since`, each later one against the result of the one
/// before it. `since` has what the document has seen since, in order, each with the client id of its origin.
/// Afterwards the first operation applies after the last of `since`, and each later one after the one before it.
///
/// It meets each of `since` on its own, in time that does not depend on the document. Composing them first would not do:
/// of a text that replaces another one the composition says that it stands before the deleted place, and no longer that
/// what was inserted in that place has met it at one point.
pub fn transform_batch<'a>(
    batch: &mut [Operation],
    origin: u64,
    since: impl IntoIterator<Item = (u64, &'a Operation)>,
) {
    let Some((last, others)) = batch.split_last_mut() else {
        return;
    };
    for (other, operation) in since {
        let side = Side::of(origin, other);
        if others.is_empty() {
            last.rebase(operation, side);
        } else {
            let mut operation = operation.clone();
            cross(others.iter_mut(), &mut operation, side);
            last.rebase(&operation, side);
        }
    }
}

/// Exchanges a sequence of operations with one that was made against the same document: `other` becomes what it is
/// after all of them, and each of them what it is after `other`. `side` is that of the sequence.
pub fn cross<'a>(
    sequence: impl IntoIterator<Item = &'a mut Operation>,
    other: &mut Operation,
    side: Side,
) {
    for operation in sequence {
        let other_after = other.rebased(operation, side.opposite());
        operation.rebase(other, side);
        *other = other_after;
    }
}

impl Operation {
    /// What this operation becomes after `over`.
    pub fn rebased(&self, over: &Self, side: Side) -> Self {
        let mut operation = self.clone();
        operation.rebase(over, side);
        operation
    }

    /// Makes this operation what it becomes after `over`.
    pub fn rebase(&mut self, over: &Self, side: Side) {
        let parts = rebased_parts(self.parts(), over.parts(), side);
        self.replace_parts(parts);
    }
}

impl Operation {
    /// Where a position (a cursor, an end of a selection) is after this operation. `side` is that of the position where
    /// text is inserted right there: `Left` stays in front of it.
    pub fn moved(&self, position: usize, side: Side) -> usize {
        let mut passed = 0;
        let mut moved = position;
        for part in self.parts() {
            match *part {
                Part::Retain(length) => passed += length,
                Part::Insert { utf16, .. } => match (passed.cmp(&position), side) {
                    (Ordering::Less, _) | (Ordering::Equal, Side::Right) => moved += utf16,
                    (Ordering::Equal, Side::Left) | (Ordering::Greater, _) => return moved,
                },
                Part::Delete(length) => {
                    moved -= length.min(position.saturating_sub(passed));
                    passed += length;
                }
            }
        }
        moved
    }
}

fn rebased_parts(parts: &[Part], over: &[Part], side: Side) -> Builder {
    let mut rebased = Builder::default();
    let mut over = Cursor::new(over);
    for &part in parts {
        match part {
            Part::Insert { bytes, utf16 } => {
                if side == Side::Right {
                    rebased.retain(over.take_inserts());
                }
                rebased.insert_part(bytes, utf16);
            }
            Part::Retain(mut length) => {
                while length > 0 {
                    rebased.retain(over.take_inserts());
                    let (taken, kept) = over.take(length);
                    if kept {
                        rebased.retain(taken);
                    }
                    length -= taken;
                }
            }
            Part::Delete(mut length) => {
                while length > 0 {
                    rebased.retain(over.take_inserts());
                    let (taken, kept) = over.take(length);
                    if kept {
                        rebased.delete(taken);
                    }
                    length -= taken;
                }
            }
        }
    }
    rebased
}

/// A walk over what another operation does to the document.
struct Cursor<'a> {
    /// What has not been begun.
    parts: &'a [Part],
    /// The rest of the retain or delete that has been begun.
    begun: Option<(usize, bool)>,
}

impl<'a> Cursor<'a> {
    fn new(parts: &'a [Part]) -> Self {
        Self { parts, begun: None }
    }

    /// The length of what is inserted at this position.
    fn take_inserts(&mut self) -> usize {
        match (self.begun, self.parts) {
            (None, [Part::Insert { utf16, .. }, rest @ ..]) => {
                self.parts = rest;
                *utf16
            }
            (None | Some(_), _) => 0,
        }
    }

    /// Walks over at most `length` units of the document that have one fate: how many, and whether they are kept.
    /// There must be no insert at this position.
    fn take(&mut self, length: usize) -> (usize, bool) {
        let (rest, kept) = match self.begun.take() {
            Some(begun) => begun,
            None => match self.parts {
                [] => return (length, true),
                [Part::Retain(retained), rest @ ..] => {
                    self.parts = rest;
                    (*retained, true)
                }
                [Part::Delete(deleted), rest @ ..] => {
                    self.parts = rest;
                    (*deleted, false)
                }
                [Part::Insert { .. }, ..] => {
                    unreachable!("the inserts at this position have been taken")
                }
            },
        };
        let taken = rest.min(length);
        if taken < rest {
            self.begun = Some((rest - taken, kept));
        }
        (taken, kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_stays_with_the_text_around_it() {
        let operation = Operation::builder()
            .retain(2)
            .insert("ab")
            .delete(3)
            .retain(1)
            .insert("c")
            .build();
        let moved = |side| [0, 2, 3, 5, 6, 7].map(|position| operation.moved(position, side));
        assert_eq!(moved(Side::Left), [0, 2, 4, 4, 5, 7]);
        assert_eq!(moved(Side::Right), [0, 4, 4, 4, 6, 7]);
    }

    #[test]
    fn of_two_inserts_at_one_place_that_of_the_lower_client_id_stands_left() {
        let (a, b) = (Operation::splice(1, 0, "a"), Operation::splice(1, 0, "b"));
        assert_eq!(a.rebased(&b, Side::of(4, 5)), a);
        assert_eq!(a.rebased(&b, Side::of(6, 5)), Operation::splice(2, 0, "a"));
    }

    #[test]
    fn a_history_is_more_than_its_composition() {
        let (delete, insert) = (Operation::splice(3, 5, ""), Operation::splice(3, 0, "y"));
        let replace = delete.compose(&insert).expect("nothing is cut");
        let late = Operation::splice(5, 0, "x");
        for (origin, after_each) in [(1, 3), (3, 4)] {
            let mut batch = [late.clone()];
            transform_batch(&mut batch, origin, [(2, &delete), (2, &insert)]);
            assert_eq!(batch, [Operation::splice(after_each, 0, "x")]);
            let mut batch = [late.clone()];
            transform_batch(&mut batch, origin, [(2, &replace)]);
            assert_eq!(batch, [Operation::splice(4, 0, "x")]);
        }
    }

    #[test]
    fn text_inserted_inside_a_deleted_range_stays() {
        let (insert, delete) = (Operation::splice(2, 0, "x"), Operation::splice(1, 3, ""));
        let (insert_after, delete_after) = transform(&insert, &delete, Side::Left);
        assert_eq!(insert_after, Operation::splice(1, 0, "x"));
        let around = Operation::builder()
            .retain(1)
            .delete(1)
            .retain(1)
            .delete(2)
            .build();
        assert_eq!(delete_after, around);
    }
}

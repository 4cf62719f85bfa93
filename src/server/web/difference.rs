//! From one text to another with as little change as makes sense to whoever reads it: whole words first, and of each place
//! that differs only what does.

use std::time::{Duration, Instant};

use similar::{Algorithm, DiffOp, capture_diff_slices_deadline};

use super::memory::Held;
use super::reading::beside;
use crate::server::http::problem::Problem;
use crate::text::{Builder, Operation, Text};

/// When it is taken as it is found by then: more is changed than had to be.
const DEADLINE: Duration = Duration::from_millis(500);

/// Larger places are replaced as they are: nobody could read what is common to them, and finding it takes memory.
const COMPARED_BYTES_MAX: usize = 1024 * 1024;

/// What finding it takes in memory, beside the texts: words, and where they are.
const MEMORY_BYTES_MAX: usize = 40 * 2 * COMPARED_BYTES_MAX;

/// The operation that makes a text into another. What it takes is held with the text.
///
/// # Errors
///
/// There is no memory for it.
pub async fn of_texts(text: Text, target: String, mut held: Held) -> Result<Operation, Problem> {
    let bytes = text.len_bytes() + target.len();
    held.grow(bytes + MEMORY_BYTES_MAX.min(40 * bytes))?;
    let difference = move || {
        let _held = held;
        operation(&text.to_string(), &target)
    };
    // The work can grow with the square.
    Ok(beside(bytes.saturating_mul(bytes), difference).await)
}

/// The operation that makes `before` into `after`.
fn operation(before: &str, after: &str) -> Operation {
    let start = common_start(before, after);
    let (before, after) = (before.split_at(start), after.split_at(start));
    let end = common_end(before.1, after.1);
    let middle = |text: &str| text.len() - end;
    let (old, new) = (&before.1[..middle(before.1)], &after.1[..middle(after.1)]);
    if old.len().max(new.len()) > COMPARED_BYTES_MAX {
        let (position, deleted) = (utf16(before.0), utf16(old));
        return Operation::splice(position, deleted, new);
    }
    let (old, new) = (words(old), words(new));
    let deadline = Instant::now() + DEADLINE;
    let differences = capture_diff_slices_deadline(Algorithm::Myers, &old, &new, Some(deadline));

    let mut operation = Operation::builder();
    operation.retain(utf16(before.0));
    for difference in differences {
        match difference {
            DiffOp::Equal { old_index, len, .. } => {
                let kept = old[old_index..old_index + len].iter();
                operation.retain(kept.map(|word| utf16(word)).sum());
            }
            DiffOp::Delete { .. } | DiffOp::Insert { .. } | DiffOp::Replace { .. } => {
                let (_, from, to) = difference.as_tag_tuple();
                replace(&mut operation, &old[from].concat(), &new[to].concat());
            }
        }
    }
    operation.build()
}

/// Puts one text in the place of another, as far as they differ.
fn replace(operation: &mut Builder, old: &str, new: &str) {
    let start = common_start(old, new);
    let (kept, old) = old.split_at(start);
    let (_, new) = new.split_at(start);
    let end = common_end(old, new);
    operation.retain(utf16(kept));
    operation.insert(&new[..new.len() - end]);
    operation.delete(utf16(&old[..old.len() - end]));
    operation.retain(utf16(&old[old.len() - end..]));
}

/// The bytes of what both begin with, in whole characters.
fn common_start(a: &str, b: &str) -> usize {
    let pairs = a.chars().zip(b.chars());
    let equal = pairs.take_while(|(a, b)| a == b);
    equal.map(|(character, _)| character.len_utf8()).sum()
}

fn common_end(a: &str, b: &str) -> usize {
    let pairs = a.chars().rev().zip(b.chars().rev());
    let equal = pairs.take_while(|(a, b)| a == b);
    equal.map(|(character, _)| character.len_utf8()).sum()
}

fn utf16(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// Letters and digits that stand together, and everything else one by one.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first.is_alphanumeric() {
            true => rest
                .find(|character: char| !character.is_alphanumeric())
                .unwrap_or(rest.len()),
            false => first.len_utf8(),
        };
        let (word, after) = rest.split_at(length);
        words.push(word);
        rest = after;
    }
    words
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::{Context, Waker};

    use proptest::prelude::*;

    use super::super::memory::Memory;
    use super::*;
    use crate::text::Component;

    fn applied(before: &str, after: &str) -> Operation {
        let operation = operation(before, after);
        let mut text = Text::from_utf8(before.as_bytes()).expect("it is text");
        text.apply(&operation).expect("it fits");
        assert_eq!(text.to_string(), after, "{before:?}");
        operation
    }

    #[test]
    fn only_what_differs_is_changed() {
        let operation = applied("The colour of money", "The color of money, again");
        assert_eq!(
            operation.components().collect::<Vec<_>>(),
            [
                Component::Retain(8),
                Component::Delete(1),
                Component::Retain(10),
                Component::Insert(", again"),
            ]
        );
        assert!(applied("same 𝄞", "same 𝄞").is_identity());
        assert!(applied("", "").is_identity());
        // Two characters with the same first half.
        let operation = applied("a😀b", "a😁b");
        assert_eq!(
            operation.components().collect::<Vec<_>>(),
            [
                Component::Retain(1),
                Component::Insert("😁"),
                Component::Delete(2),
            ]
        );
    }

    #[test]
    fn it_is_looked_for_beside_the_control_thread() {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(async {
            let memory = Arc::new(Memory::new(1 << 30));
            let of_words = |word: &str| format!("{word} ").repeat(1000);
            let text = Text::from_utf8(of_words("old").as_bytes()).expect("it is text");
            let held = memory.hold(0).expect("there is room");
            let mut found = Box::pin(of_texts(text, of_words("new"), held));
            let mut context = Context::from_waker(Waker::noop());
            assert!(found.as_mut().poll(&mut context).is_pending());
            assert!(!found.await.expect("there is room").is_identity());
            assert!(memory.hold(1 << 30).is_ok(), "nothing is held any more");
        });
    }

    #[test]
    fn large_texts_that_share_nothing_do_not_take_for_ever() {
        let text = |word: &str| {
            (0..60_000)
                .map(|n| format!("{word}{n} "))
                .collect::<String>()
        };
        applied(&text("old"), &text("new"));
    }

    proptest! {
        #[test]
        fn it_always_leads_there(before in "[ab😀😁é \n]{0,40}", after in "[ab😀😁é \n]{0,40}") {
            applied(&before, &after);
        }
    }
}

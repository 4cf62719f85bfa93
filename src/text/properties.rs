//! What must hold for all operations on all documents, astral characters included.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Component, Operation, Side, Text, cross, transform, transform_batch};

/// An edit that fits any document: how many characters to pass, how many to delete there, what to insert before
/// and after them.
type Step = (usize, usize, String, String);

fn text() -> impl Strategy<Value = String> {
    "[ab\n👋é𝄞]{0,12}"
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec((0..4_usize, 0..4_usize, "[xy💡]{0,2}", "[zß]{0,1}"), 0..4)
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Left), Just(Side::Right)]
}

/// The operation that takes these steps through `document`.
fn operation(document: &Text, steps: &[Step]) -> Operation {
    let document = document.to_string();
    let mut characters = document.chars();
    let mut length = |count: usize| {
        let passed = characters.by_ref().take(count);
        passed.map(char::len_utf16).sum::<usize>()
    };
    let mut builder = Operation::builder();
    for (retained, deleted, before, after) in steps {
        builder
            .retain(length(*retained))
            .insert(before)
            .delete(length(*deleted))
            .insert(after);
    }
    builder.build()
}

/// Operations in sequence, and the document after them.
fn sequence(document: &Text, recipe: &[Vec<Step>]) -> (Vec<Operation>, Text) {
    let mut document = document.clone();
    let operations = recipe
        .iter()
        .map(|steps| {
            let operation = operation(&document, steps);
            apply(&mut document, &operation);
            operation
        })
        .collect();
    (operations, document)
}

fn apply(document: &mut Text, operation: &Operation) {
    document.apply(operation).expect("it fits");
}

fn applied<'a>(document: &Text, operations: impl IntoIterator<Item = &'a Operation>) -> Text {
    let mut document = document.clone();
    for operation in operations {
        apply(&mut document, operation);
    }
    document
}

fn rebuilt(operation: &Operation) -> Operation {
    let mut builder = Operation::builder();
    for component in operation.components() {
        match component {
            Component::Retain(length) => builder.retain(length),
            Component::Insert(text) => builder.insert(text),
            Component::Delete(length) => builder.delete(length),
        };
    }
    builder.build()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn an_operation_does_to_a_document_what_it_says(start in text(), steps in steps()) {
        let document = Text::from(start.as_str());
        let operation = operation(&document, &steps);
        let units: Vec<u16> = start.encode_utf16().collect();
        let mut rest = &units[..];
        let mut expected = Vec::new();
        for component in operation.components() {
            match component {
                Component::Retain(length) => {
                    expected.extend(&rest[..length]);
                    rest = &rest[length..];
                }
                Component::Insert(text) => expected.extend(text.encode_utf16()),
                Component::Delete(length) => rest = &rest[length..],
            }
        }
        expected.extend(rest);
        let edited = applied(&document, [&operation]);
        prop_assert_eq!(edited.len_utf16(), expected.len());
        prop_assert_eq!(edited.to_string(), String::from_utf16(&expected).expect("whole pairs"));
    }

    #[test]
    fn two_operations_in_either_order_lead_to_one_document(
        start in text(), a in steps(), b in steps(), side in side(),
    ) {
        let document = Text::from(start.as_str());
        let (a, b) = (operation(&document, &a), operation(&document, &b));
        let (a_after, b_after) = transform(&a, &b, side);
        prop_assert_eq!(applied(&document, [&a, &b_after]), applied(&document, [&b, &a_after]));
        for operation in [a_after, b_after] {
            prop_assert_eq!(rebuilt(&operation), operation);
        }
    }

    #[test]
    fn a_composition_does_what_its_parts_do(start in text(), recipe in vec(steps(), 3)) {
        let document = Text::from(start.as_str());
        let (parts, end) = sequence(&document, &recipe);
        let left = parts[0].compose(&parts[1]).and_then(|ab| ab.compose(&parts[2]));
        let left = left.expect("nothing is cut");
        let right = parts[1].compose(&parts[2]).and_then(|bc| parts[0].compose(&bc));
        let right = right.expect("nothing is cut");
        prop_assert_eq!(applied(&document, [&left]), end.clone());
        prop_assert_eq!(applied(&document, [&right]), end);
        prop_assert_eq!(rebuilt(&left), left);
    }

    #[test]
    fn compositions_transform_like_any_operation(
        start in text(), a in vec(steps(), 2), b in vec(steps(), 2), side in side(),
    ) {
        let document = Text::from(start.as_str());
        let composed = |recipe: &[Vec<Step>]| {
            let (parts, _) = sequence(&document, recipe);
            parts[0].compose(&parts[1]).expect("nothing is cut")
        };
        let (a, b) = (composed(&a), composed(&b));
        let (a_after, b_after) = transform(&a, &b, side);
        prop_assert_eq!(applied(&document, [&a, &b_after]), applied(&document, [&b, &a_after]));
    }

    #[test]
    fn an_inverse_brings_the_document_back(start in text(), steps in steps()) {
        let document = Text::from(start.as_str());
        let operation = operation(&document, &steps);
        let inverse = operation.invert(&document).expect("it fits");
        prop_assert_eq!(applied(&document, [&operation, &inverse]), document.clone());
        let nothing = operation.compose(&inverse).expect("nothing is cut");
        prop_assert_eq!(applied(&document, [&nothing]), document);
    }

    #[test]
    fn a_batch_and_a_history_in_either_order_lead_to_one_document(
        start in text(), batch in vec(steps(), 0..4), history in vec(steps(), 0..4), origin in 1..4_u64,
    ) {
        let document = Text::from(start.as_str());
        let (batch, batch_end) = sequence(&document, &batch);
        let (history, history_end) = sequence(&document, &history);
        // Different origins: some left of the batch's, some right of it.
        let origins = [0, 4, 2_u64].map(|other| if other == origin { 5 } else { other });
        let since = || origins.iter().copied().cycle().zip(&history);

        let mut transformed = batch.clone();
        transform_batch(&mut transformed, origin, since());
        let mut history_after = Vec::new();
        let mut crossed = batch.clone();
        for (other, operation) in since() {
            let mut operation = operation.clone();
            cross(&mut crossed, &mut operation, Side::of(origin, other));
            history_after.push(operation);
        }
        prop_assert_eq!(&transformed, &crossed);
        prop_assert_eq!(applied(&history_end, &transformed), applied(&batch_end, &history_after));
    }

    #[test]
    fn what_is_encoded_is_decoded(start in text(), steps in steps()) {
        let operation = operation(&Text::from(start.as_str()), &steps);
        prop_assert_eq!(Operation::decode(&operation.encode()), Ok(operation));
    }

    #[test]
    fn no_bytes_make_decoding_panic(
        start in text(), steps in steps(), noise in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut bytes = operation(&Text::from(start.as_str()), &steps).encode();
        bytes.extend([0; 2]);
        for (place, byte) in noise {
            *place.get_mut(&mut bytes) = byte;
        }
        if let Ok(operation) = Operation::decode(&bytes) {
            prop_assert_eq!(rebuilt(&operation), operation.clone());
            let document = Text::from(start.as_str());
            let mut edited = document.clone();
            if edited.apply(&operation).is_err() {
                prop_assert_eq!(edited, document);
            }
        }
    }

    #[test]
    fn the_difference_of_two_documents_leads_from_one_to_the_other(from in text(), to in text()) {
        let (from, to) = (Text::from(from.as_str()), Text::from(to.as_str()));
        prop_assert_eq!(applied(&from, [&from.difference(&to)]), to);
    }
}

/// The relay's part: one order for all operations.
#[derive(Default)]
struct Server {
    document: Text,
    history: Vec<(u64, Operation)>,
}

/// A client's part: its own operations wait, rebased, until it sees them in the history.
struct Client {
    id: u64,
    document: Text,
    revision: usize,
    waiting: Vec<Operation>,
    /// How many of them are on their way.
    sent: usize,
}

impl Client {
    fn new(id: u64) -> Self {
        Self {
            id,
            document: Text::default(),
            revision: 0,
            waiting: Vec::new(),
            sent: 0,
        }
    }

    fn edit(&mut self, operation: Operation) {
        apply(&mut self.document, &operation);
        self.waiting.push(operation);
    }

    /// Sends up to `count` operations, unless some are on their way.
    fn send(&mut self, count: usize, server: &mut Server) {
        if self.sent > 0 {
            return;
        }
        self.sent = count.min(self.waiting.len());
        let mut batch = self.waiting[..self.sent].to_vec();
        let since = &server.history[self.revision..];
        transform_batch(
            &mut batch,
            self.id,
            since.iter().map(|(id, operation)| (*id, operation)),
        );
        for operation in batch {
            apply(&mut server.document, &operation);
            server.history.push((self.id, operation));
        }
    }

    /// Sees up to `count` more operations of the history.
    fn receive(&mut self, count: usize, server: &Server) {
        for (origin, operation) in server.history.iter().skip(self.revision).take(count) {
            self.revision += 1;
            if *origin == self.id {
                assert_eq!(
                    self.waiting.remove(0),
                    *operation,
                    "both sides transform alike"
                );
                self.sent -= 1;
            } else {
                let mut operation = operation.clone();
                cross(
                    &mut self.waiting,
                    &mut operation,
                    Side::of(self.id, *origin),
                );
                apply(&mut self.document, &operation);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn clients_of_one_server_end_with_one_document(
        moves in vec((0..3_usize, 0..3_u8, 1..4_usize, steps()), 0..40),
    ) {
        let mut server = Server::default();
        let mut clients = [3, 1, 2].map(Client::new);
        for (client, action, count, steps) in moves {
            let client = &mut clients[client];
            match action {
                0 => client.edit(operation(&client.document, &steps)),
                1 => client.send(count, &mut server),
                _ => client.receive(count, &server),
            }
        }
        while clients.iter().any(|client| !client.waiting.is_empty()) {
            for client in &mut clients {
                client.receive(usize::MAX, &server);
                client.send(usize::MAX, &mut server);
            }
        }
        for client in &mut clients {
            client.receive(usize::MAX, &server);
            prop_assert_eq!(&client.document, &server.document);
        }
    }
}

#[test]
fn people_who_type_at_one_place_do_not_mix_their_words() {
    for (ids, expected) in [([1, 2], "abcxyz"), ([2, 1], "xyzabc")] {
        let mut server = Server::default();
        let mut clients = ids.map(Client::new);
        for (client, word) in clients.iter_mut().zip(["abc", "xyz"]) {
            for (offset, letter) in word.char_indices() {
                client.edit(Operation::splice(
                    offset,
                    0,
                    letter.encode_utf8(&mut [0; 4]),
                ));
            }
        }
        // Their keystrokes reach the server in turns.
        for _ in 0..3 {
            for client in &mut clients {
                client.receive(usize::MAX, &server);
                client.send(1, &mut server);
            }
        }
        assert_eq!(server.document.to_string(), expected);
    }
}

use proptest::collection::vec;
use proptest::prelude::*;

use super::relay::{Event, Relay, Request};
use super::*;

const CLIENTS: usize = 3;

/// A client, and an editor that is only told what changes.
struct Editor {
    client: TextClient,
    view: Text,
    index: usize,
    connected: bool,
}

impl Editor {
    fn new(index: usize, client_id: u64, waiting_operations_max: usize) -> Self {
        Self {
            client: TextClient::new(client_id, waiting_operations_max),
            view: Text::default(),
            index,
            connected: false,
        }
    }

    fn edit(&mut self, operation: Operation) {
        self.view.apply(&operation).expect("it fits");
        self.client.edit(operation).expect("it fits");
    }

    fn send(&mut self, operations_max: usize, relay: &mut Relay) {
        if let Some(batch) = self.client.take_batch(operations_max, 60) {
            self.request(Request::Batch(batch), relay);
        }
    }

    fn request(&mut self, request: Request, relay: &mut Relay) {
        relay.connections[self.index].requests.push_back(request);
    }

    fn disconnect(&mut self, relay: &mut Relay) {
        relay.disconnect(self.index);
        self.client.disconnected();
        self.connected = false;
    }

    fn connect(&mut self, relay: &mut Relay, snapshot: Option<usize>) {
        self.disconnect(relay);
        relay.connect(self.index, self.client.revision(), snapshot);
        self.connected = true;
    }

    /// Takes up to `count` events.
    fn receive(&mut self, count: usize, relay: &mut Relay) {
        for _ in 0..count {
            let Some(event) = relay.connections[self.index].events.pop_front() else {
                return;
            };
            let result = match event {
                Event::Resync => {
                    self.client.resyncing();
                    Ok(Vec::new())
                }
                Event::Snapshot {
                    revision,
                    next_clock,
                    data,
                } => Ok(vec![self.client.snapshot(
                    revision,
                    next_clock,
                    Text::from(data.as_str()),
                )]),
                Event::Operations {
                    first_revision,
                    origin,
                    first_clock,
                    operations,
                } => self
                    .client
                    .remote(first_revision, origin, first_clock, &operations),
                Event::CaughtUp { next_clock } => {
                    self.client.caught_up(next_clock);
                    Ok(Vec::new())
                }
                Event::Ack {
                    first_revision,
                    count,
                } => self
                    .client
                    .acknowledged(first_revision, count)
                    .map(|()| Vec::new()),
                Event::Nack => {
                    self.client.nacked();
                    Ok(Vec::new())
                }
            };
            match result {
                Ok(changes) => {
                    for change in changes {
                        self.view.apply(&change).expect("it fits the view");
                    }
                }
                Err(TextClientError::OutOfStep { revision, .. }) => {
                    self.request(Request::Sync { have: revision }, relay);
                }
                Err(error @ TextClientError::Operation { .. }) => panic!("{error}"),
            }
            assert_eq!(&self.view, self.client.text());
        }
    }
}

#[derive(Debug, Clone)]
enum Move {
    Edit {
        place: usize,
        deleted: usize,
        inserted: String,
    },
    Send {
        operations_max: usize,
    },
    Handle {
        fickle: bool,
    },
    Sync {
        count: usize,
    },
    Receive {
        count: usize,
    },
    Disconnect,
    Connect {
        snapshot: Option<usize>,
    },
    Lap {
        snapshot: Option<usize>,
    },
}

fn moves() -> impl Strategy<Value = Vec<(usize, Move)>> {
    let snapshot = || proptest::option::of(0..3_usize);
    let one = prop_oneof![
        5 => (0..100_usize, 0..3_usize, "[ab💡]{0,3}")
            .prop_map(|(place, deleted, inserted)| Move::Edit { place, deleted, inserted }),
        4 => (1..4_usize).prop_map(|operations_max| Move::Send { operations_max }),
        4 => prop::bool::weighted(0.2).prop_map(|fickle| Move::Handle { fickle }),
        3 => (1..3_usize).prop_map(|count| Move::Sync { count }),
        4 => (1..5_usize).prop_map(|count| Move::Receive { count }),
        1 => Just(Move::Disconnect),
        2 => snapshot().prop_map(|snapshot| Move::Connect { snapshot }),
        1 => snapshot().prop_map(|snapshot| Move::Lap { snapshot }),
    ];
    vec((0..CLIENTS, one), 0..400)
}

/// A splice between characters: `place` and `deleted` count characters.
fn splice(document: &Text, place: usize, deleted: usize, inserted: &str) -> Operation {
    let document = document.to_string();
    let characters: Vec<char> = document.chars().collect();
    let place = place % (characters.len() + 1);
    let end = (place + deleted).min(characters.len());
    let length = |characters: &[char]| {
        characters
            .iter()
            .map(|character| character.len_utf16())
            .sum()
    };
    Operation::splice(
        length(&characters[..place]),
        length(&characters[place..end]),
        inserted,
    )
}

/// Plays the moves, then connects everybody and lets everything arrive.
fn played(
    moves: Vec<(usize, Move)>,
    waiting_operations_max: usize,
    mut change: impl FnMut(&Text, usize, usize, &str) -> Operation,
) -> (Relay, Vec<Editor>) {
    let client_ids = [20, 10, 30];
    let mut relay = Relay::new(client_ids);
    let mut editors: Vec<Editor> = client_ids
        .iter()
        .enumerate()
        .map(|(index, id)| Editor::new(index, *id, waiting_operations_max))
        .collect();
    for (index, step) in moves {
        let editor = &mut editors[index];
        match step {
            Move::Edit {
                place,
                deleted,
                inserted,
            } => {
                let operation = change(editor.client.text(), place, deleted, &inserted);
                editor.edit(operation);
            }
            Move::Send { operations_max } => editor.send(operations_max, &mut relay),
            Move::Handle { fickle } => relay.handle_request(index, fickle),
            Move::Sync { count } => relay.sync(count),
            Move::Receive { count } => editor.receive(count, &mut relay),
            Move::Disconnect => editor.disconnect(&mut relay),
            Move::Connect { snapshot } => editor.connect(&mut relay, snapshot),
            Move::Lap { snapshot } if editor.connected => {
                relay.lap(index, editor.client.revision(), snapshot);
            }
            Move::Lap { .. } => {}
        }
    }
    for editor in &mut editors {
        if !editor.connected {
            editor.connect(&mut relay, None);
        }
    }
    let mut rounds = 0;
    loop {
        relay.sync(usize::MAX);
        for editor in &mut editors {
            editor.receive(usize::MAX, &mut relay);
            editor.send(50, &mut relay);
            relay.handle_request(editor.index, false);
        }
        let idle = |editor: &Editor| {
            let connection = &relay.connections[editor.index];
            editor.client.pending_operations() == 0
                && connection.events.is_empty()
                && connection.requests.is_empty()
        };
        if editors.iter().all(idle) {
            break;
        }
        rounds += 1;
        assert!(rounds < 1000, "everything arrives some time");
    }
    relay.sync(usize::MAX);
    for editor in &mut editors {
        editor.receive(usize::MAX, &mut relay);
    }
    (relay, editors)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn everybody_ends_with_one_document(moves in moves(), waiting_operations_max in 0..6_usize) {
        let (relay, editors) = played(moves, waiting_operations_max, splice);
        for editor in editors {
            prop_assert_eq!(&editor.view, &relay.document);
        }
    }

    #[test]
    fn every_edit_is_there_once(moves in moves(), waiting_operations_max in 0..6_usize) {
        let mut typed = Vec::new();
        let (relay, _) = played(moves, waiting_operations_max, |document, place, _, _| {
            let letter = char::from_u32(0x1F300 + typed.len() as u32).expect("a pictograph");
            typed.push(letter);
            splice(document, place, 0, letter.encode_utf8(&mut [0; 4]))
        });
        let mut found: Vec<char> = relay.document.to_string().chars().collect();
        found.sort_unstable();
        prop_assert_eq!(found, typed);
    }
}

fn typing(client: &mut TextClient, word: &str) {
    for letter in word.chars() {
        let end = client.text().len_utf16();
        client
            .edit(Operation::splice(end, 0, letter.encode_utf8(&mut [0; 4])))
            .expect("it fits");
    }
}

fn opened() -> TextClient {
    let mut client = TextClient::new(1, 4);
    client.caught_up(7);
    client
}

#[test]
fn one_batch_is_on_its_way_at_a_time() {
    let mut client = opened();
    assert_eq!(client.take_batch(50, 1000), None);
    typing(&mut client, "abc");
    let batch = client.take_batch(2, 1000).expect("there are edits");
    assert_eq!((batch.base_revision, batch.first_clock), (0, 7));
    assert_eq!(batch.operations.len(), 2);
    assert_eq!(client.take_batch(2, 1000), None);
    client.acknowledged(1, 2).expect("the next revisions");
    let batch = client.take_batch(2, 1000).expect("one is left");
    assert_eq!((batch.base_revision, batch.first_clock), (2, 9));
    client.acknowledged(3, 1).expect("the next revision");
    assert_eq!((client.revision(), client.pending_operations()), (3, 0));
    assert_eq!(client.next_clock(), 10);
}

#[test]
fn a_batch_has_a_limit_in_bytes_but_never_no_operation() {
    let mut client = opened();
    typing(&mut client, "abc");
    let one = Operation::splice(0, 0, "a").encode().len();
    assert_eq!(
        client.take_batch(50, 0).map(|batch| batch.operations.len()),
        Some(1)
    );
    client.acknowledged(1, 1).expect("the next revision");
    // Each of the others also has a retain before its insert.
    let batch = client.take_batch(50, 2 * one).expect("two are left");
    assert_eq!(batch.operations.len(), 1);
}

#[test]
fn edits_that_wait_are_composed_past_a_limit() {
    let mut client = opened();
    typing(&mut client, "ab");
    client.take_batch(50, 1000).expect("there are edits");
    typing(&mut client, "cdefghi");
    assert_eq!(client.pending_operations(), 2 + 4);
    assert_eq!(client.text().to_string(), "abcdefghi");
}

#[test]
fn a_refused_batch_is_rebased_and_sent_again_as_the_same_operations() {
    let mut client = opened();
    typing(&mut client, "ab");
    let batch = client.take_batch(50, 1000).expect("there are edits");
    let other = Operation::splice(0, 0, "xyz").encode().into();
    let view = client.remote(1, 0, 0, &[other]).expect("the next revision");
    assert_eq!(view, [Operation::splice(0, 0, "xyz")]);
    client.nacked();
    typing(&mut client, "c");
    let again = client.take_batch(50, 1000).expect("it is to be sent again");
    assert_eq!(
        (again.base_revision, again.first_clock),
        (1, batch.first_clock)
    );
    let rebased = [Operation::splice(3, 0, "a"), Operation::splice(4, 0, "b")];
    assert_eq!(
        again.operations,
        rebased.map(|operation| operation.encode())
    );
}

#[test]
fn edits_that_are_given_up_leave_the_view() {
    let mut client = opened();
    let other = Operation::splice(0, 0, "xyz").encode().into();
    client.remote(1, 9, 0, &[other]).expect("the next revision");
    typing(&mut client, "ab");
    client.take_batch(50, 1000).expect("there are edits");
    assert_eq!(client.abandon(), Operation::splice(3, 2, ""));
    assert_eq!(client.text().to_string(), "xyz");
    assert_eq!(
        (client.take_batch(50, 1000), client.next_clock()),
        (None, 7)
    );
}

#[test]
fn what_does_not_follow_changes_nothing() {
    let mut client = opened();
    typing(&mut client, "a");
    let other: Bytes = Operation::splice(0, 0, "x").encode().into();
    let out_of_step = |found| TextClientError::OutOfStep { revision: 0, found };
    assert_eq!(
        client.remote(2, 9, 0, std::slice::from_ref(&other)),
        Err(out_of_step(2))
    );
    client.take_batch(50, 1000).expect("there is an edit");
    assert_eq!(client.acknowledged(2, 1), Err(out_of_step(2)));
    assert_eq!(client.acknowledged(0, 1), Err(out_of_step(0)));
    let unfit = Operation::splice(9, 0, "x").encode().into();
    assert_eq!(
        client.remote(1, 9, 0, &[unfit]),
        Err(TextClientError::Operation {
            revision: 1,
            source: TextError::OutOfBounds
        })
    );
    assert_eq!((client.revision(), client.pending_operations()), (0, 1));
    client.acknowledged(1, 1).expect("the next revision");
}

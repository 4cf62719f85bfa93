//! Somebody who edits a text with the Rust client, as the tests of the TypeScript client tell it to.
//!
//!     typescript_peer URL DOCUMENT
//!
//! Of its standard input it takes `edit SEED COUNT` (so many random edits, which it does not answer) and `report` (answered
//! with one line of JSON, the revision and the text, as soon as all its edits are acknowledged). It ends with its input.

use std::io::BufRead;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use corelay::client::{Batching, Client, Event, Reconnect, Settings, TextDocument};
use corelay::text::{Operation, Text};

/// What is typed: characters of one and of two code units, of one to four bytes, and some that stand for one together.
const PIECES: [&str; 10] = ["a", "xyz", " ", "\n", "é", "漢", "👋", "𝄞", "👩‍👩‍👧", "🇨🇭🇫🇷"];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().expect("the relay's URL");
    let document = arguments.next().expect("the document");
    let mut client = Client::new(&url, settings()).expect("a relay's URL");
    let mut text = TextDocument::open(client.session(), &document, true);
    let commands = commands();
    let mut is_asked = false;
    loop {
        match commands.try_recv() {
            Ok(command) => match command.split(' ').collect::<Vec<_>>()[..] {
                ["edit", seed, count] => {
                    let mut random = Random(seed.parse().expect("a seed"));
                    for _ in 0..count.parse().expect("a count") {
                        edit(&mut text, &mut random, &client);
                    }
                }
                ["report"] => is_asked = true,
                _ => panic!("no such command: {command}"),
            },
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return,
        }
        let now = client.now();
        let given_up = text.poll(client.session(), now);
        assert_eq!(given_up, None, "every edit fits into a message");
        if let Some(event) = client.next_event(Duration::from_millis(2)) {
            assert!(!is_failure(&event), "{event:?}");
            let told = text.handle_event(&event, client.session());
            told.expect("what the relay sends fits");
        }
        if is_asked
            && text.pending_operations() == 0
            && let Some(view) = text.text()
        {
            is_asked = false;
            let report = serde_json::json!({"revision": text.revision(), "text": view.to_string()});
            println!("{report}");
        }
    }
}

fn is_failure(event: &Event) -> bool {
    matches!(
        event,
        Event::Violation(_) | Event::Stopped { .. } | Event::Closed { .. } | Event::Refused { .. }
    )
}

fn settings() -> Settings {
    Settings {
        client_uuid: *b"the-rust-client!",
        user_name: "Rust".to_owned(),
        batching: Batching {
            age_max: Duration::from_millis(5),
            pause: Duration::from_millis(2),
            ..Batching::default()
        },
        reconnect: Reconnect {
            delay: Duration::from_millis(5),
            delay_max: Duration::from_millis(20),
            ..Reconnect::default()
        },
        ..Settings::default()
    }
}

fn commands() -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let line = line.expect("the input is text");
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Deletes a few characters somewhere, and types some there, or does one of both.
fn edit(text: &mut TextDocument, random: &mut Random, client: &Client) {
    let view = text.text().map(Text::to_string).unwrap_or_default();
    let length = view.chars().count();
    let start = random.below(length + 1);
    let most = if length > 400 { 60 } else { 4 };
    let deleted = random.below(most.min(length - start) + 1);
    let units = |from: usize, count: usize| {
        let characters = view.chars().skip(from).take(count);
        characters.map(char::len_utf16).sum::<usize>()
    };
    let inserted = match random.below(3) {
        0 => String::new(),
        _ => PIECES[random.below(PIECES.len())].repeat(1 + random.below(2)),
    };
    let operation = Operation::splice(units(0, start), units(start, deleted), &inserted);
    if !operation.is_identity() && text.text().is_some() {
        let edited = text.edit(operation, client.now());
        edited.expect("the edit is of whole characters of the text");
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        (bits % bound as u64) as usize
    }
}

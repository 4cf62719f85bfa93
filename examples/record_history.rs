//! Writes the recorded history that the tests replay: three people write a text together, over connections of very
//! different delays. The same seed gives the same file.
//!
//! ```text
//! cargo run --example record_history > tests/data/three_authors.json.gz
//! ```
//!
//! Each is a text client of this crate, and one order of all edits stands for the relay. They like to write where
//! somebody else is writing, delete what somebody else is still changing, and use characters outside the basic plane.

use std::collections::VecDeque;
use std::io::Write;

use bytes::Bytes;
use corelay::client::text::{TextBatch, TextClient};
use corelay::text::{Operation, Side, Text, transform_batch};
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};

const SEED: u64 = 2026;
const TRANSACTIONS: usize = 4000;
/// How many turns pass between two looks at what has arrived.
const DELAYS: [usize; 3] = [4, 12, 30];
const WORDS: [&str; 16] = [
    "tide",
    "harbour",
    "we",
    "said",
    "𝄞",
    "and",
    "the",
    "🦀",
    "naïve",
    "gull",
    "👩‍🚀",
    "of",
    "𠮷野家",
    "light",
    "—",
    "rope",
];

fn main() -> std::io::Result<()> {
    // Without a time in its head, so that the file is the same every time.
    let mut gzip = GzBuilder::new()
        .mtime(0)
        .write(std::io::stdout(), Compression::best());
    serde_json::to_writer(&mut gzip, &history())?;
    gzip.finish()?.flush()
}

/// The content of the file.
pub fn history() -> Value {
    let mut chance = Chance(SEED);
    let mut order = Order::default();
    let mut authors: Vec<Author> = (0..DELAYS.len()).map(Author::new).collect();
    while order.transactions.len() < TRANSACTIONS {
        let places: Vec<usize> = authors.iter().map(|author| author.cursor).collect();
        let index = chance.below(authors.len());
        let author = &mut authors[index];
        if chance.below(3) > 0 {
            author.write(&places, &mut chance);
        }
        if chance.below(DELAYS[index]) == 0 {
            author.send(&mut order);
            author.receive(&order);
        }
    }
    while authors.iter().any(|author| !author.made.is_empty()) {
        for author in &mut authors {
            author.receive(&order);
            author.send(&mut order);
        }
    }
    json!({
        "kind": "concurrent",
        "endContent": order.text.to_string(),
        "numAgents": authors.len(),
        "txns": order.transactions,
    })
}

/// One order of all edits, and the record of it.
#[derive(Default)]
struct Order {
    text: Text,
    edits: Vec<(usize, Operation)>,
    transactions: Vec<Value>,
    /// The transaction that each edit became, by author.
    numbers: [Vec<usize>; DELAYS.len()],
    /// What had been seen with each transaction.
    seen: Vec<[usize; DELAYS.len()]>,
}

impl Order {
    fn add(&mut self, author: usize, batch: &TextBatch, made: impl Iterator<Item = Made>) {
        let decoded = batch
            .operations
            .iter()
            .map(|bytes| Operation::decode(bytes));
        let mut operations: Vec<Operation> = decoded
            .map(|operation| operation.expect("it was encoded"))
            .collect();
        let since = &self.edits[batch.base_revision as usize..];
        let since = since.iter().map(|(other, edit)| (*other as u64, edit));
        transform_batch(&mut operations, author as u64, since);
        for (operation, made) in operations.into_iter().zip(made) {
            self.text.apply(&operation).expect("it fits");
            self.edits.push((author, operation));
            self.record(author, &made);
        }
    }

    fn record(&mut self, author: usize, made: &Made) {
        let heads: Vec<usize> = (0..DELAYS.len())
            .filter(|other| made.seen[*other] > 0)
            .map(|other| self.numbers[other][made.seen[other] - 1])
            .collect();
        // Only what no other head had seen.
        let parents: Vec<usize> = heads
            .iter()
            .copied()
            .filter(|head| {
                !heads.iter().any(|other| {
                    other != head
                        && (0..DELAYS.len())
                            .all(|author| self.seen[*other][author] >= self.seen[*head][author])
                })
            })
            .collect();
        let mut seen = made.seen;
        seen[author] += 1;
        self.seen.push(seen);
        self.numbers[author].push(self.transactions.len());
        self.transactions.push(json!({
            "parents": parents,
            "agent": author,
            "patches": made.patches,
        }));
    }
}

/// An edit, and what its author had seen.
struct Made {
    patches: Vec<(usize, usize, String)>,
    seen: [usize; DELAYS.len()],
}

struct Author {
    index: usize,
    client: TextClient,
    /// In UTF-16 code units.
    cursor: usize,
    /// What is being typed.
    words: VecDeque<char>,
    /// Edits that are not in the order.
    made: VecDeque<Made>,
    seen: [usize; DELAYS.len()],
}

impl Author {
    fn new(index: usize) -> Self {
        let mut client = TextClient::new(index as u64, usize::MAX);
        client.caught_up(0);
        Self {
            index,
            client,
            cursor: 0,
            words: VecDeque::new(),
            made: VecDeque::new(),
            seen: [0; DELAYS.len()],
        }
    }

    /// One keystroke, or the like.
    fn write(&mut self, places: &[usize], chance: &mut Chance) {
        let characters: Vec<char> = self.client.text().to_string().chars().collect();
        let mut place = character_at(&characters, self.cursor);
        if let Some(letter) = self.words.pop_front() {
            if chance.below(12) == 0 && place > 0 {
                // A slip, taken back.
                self.words.push_front(letter);
                self.edit(&characters, vec![(place - 1, 1, String::new())]);
            } else {
                self.edit(&characters, vec![(place, 0, letter.to_string())]);
            }
            return;
        }
        match chance.below(5) {
            0 => place = chance.below(characters.len() + 1),
            1 | 2 => place = character_at(&characters, places[chance.below(places.len())]),
            _ => {}
        }
        let reach = (characters.len() - place).min(12);
        match chance.below(8) {
            0 if reach > 0 => {
                self.edit(
                    &characters,
                    vec![(place, 1 + chance.below(reach), String::new())],
                );
            }
            1 if reach > 4 => {
                // A word is moved: two patches, the second counted after the first.
                let moved: String = characters[place..place + 3].iter().collect();
                let target = place + chance.below(reach - 3);
                self.edit(
                    &characters,
                    vec![(place, 3, String::new()), (target, 0, moved)],
                );
            }
            2 => {
                let word = WORDS[chance.below(WORDS.len())];
                self.edit(&characters, vec![(place, 0, format!("{word}\n"))]);
            }
            _ => {
                for _ in 0..=chance.below(4) {
                    self.words.extend(WORDS[chance.below(WORDS.len())].chars());
                    self.words.push_back(' ');
                }
                self.cursor = length(&characters[..place]);
            }
        }
    }

    fn edit(&mut self, characters: &[char], patches: Vec<(usize, usize, String)>) {
        let mut characters = characters.to_vec();
        let mut operation = Operation::default();
        for (place, deleted, inserted) in &patches {
            let start = length(&characters[..*place]);
            let edit = Operation::splice(
                start,
                length(&characters[*place..place + deleted]),
                inserted,
            );
            operation = operation.compose(&edit).expect("whole characters");
            characters.splice(*place..place + deleted, inserted.chars());
            self.cursor = start + inserted.encode_utf16().count();
        }
        self.client.edit(operation).expect("it fits");
        self.made.push_back(Made {
            patches,
            seen: self.seen,
        });
        self.seen[self.index] += 1;
    }

    fn send(&mut self, order: &mut Order) {
        if let Some(batch) = self.client.take_batch(50, usize::MAX) {
            let made = self.made.drain(..batch.operations.len());
            order.add(self.index, &batch, made);
        }
    }

    fn receive(&mut self, order: &Order) {
        let mut clocks = [0; DELAYS.len()];
        for (revision, (author, edit)) in (1..).zip(&order.edits) {
            let clock = clocks[*author];
            clocks[*author] += 1;
            if revision <= self.client.revision() {
                continue;
            }
            let changes = self
                .client
                .remote(
                    revision,
                    *author as u64,
                    clock,
                    &[Bytes::from(edit.encode())],
                )
                .expect("the next revision");
            if *author != self.index {
                self.seen[*author] += 1;
            }
            for change in changes {
                self.cursor = change.moved(self.cursor, Side::Left);
            }
        }
    }
}

fn length(characters: &[char]) -> usize {
    characters
        .iter()
        .map(|character| character.len_utf16())
        .sum()
}

/// The number of the character at or after a position.
fn character_at(characters: &[char], position: usize) -> usize {
    let mut passed = 0;
    characters
        .iter()
        .take_while(|character| {
            let before = passed < position;
            passed += character.len_utf16();
            before
        })
        .count()
}

/// A small generator of numbers, the same on every machine.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

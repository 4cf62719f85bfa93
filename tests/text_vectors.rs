//! What operations on texts come to, for whoever transforms them in another language: `clients/typescript` does the same
//! to the byte.
//!
//! The vectors are in `clients/typescript/test/vectors/text.json`. `CORELAY_WRITE_VECTORS=1` writes them anew.

use std::fmt::Write as _;
use std::path::Path;

use corelay::text::{Component, Operation, Side, Text, cross, transform};
use serde_json::{Value, json};

const CASES: u64 = 400;
const PIECES: [&str; 8] = ["a", "bc", " ", "\n", "é", "漢", "👋", "👩‍👧"];

#[test]
fn the_vectors_are_what_the_code_does() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/typescript/test/vectors/text.json");
    let vectors = vectors();
    if std::env::var_os("CORELAY_WRITE_VECTORS").is_some() {
        std::fs::write(&path, &vectors).expect("the vectors can be written");
    }
    let committed = std::fs::read_to_string(&path).expect("the vectors are there");
    assert!(
        committed == vectors,
        "write them anew with CORELAY_WRITE_VECTORS=1"
    );
}

/// One case a line.
fn vectors() -> String {
    let mut text = String::from("[\n");
    for seed in 0..CASES {
        let end = if seed + 1 < CASES { "," } else { "" };
        writeln!(text, "{}{end}", case(seed)).expect("a string takes everything");
    }
    text.push_str("]\n");
    text
}

fn case(seed: u64) -> Value {
    let random = &mut Random(seed);
    let document = Text::from(random.text(12).as_str());
    let (a, b) = (random.operation(&document), random.operation(&document));
    let side = [Side::Left, Side::Right][random.below(2)];
    let (a_after, b_after) = transform(&a, &b, side);
    let after_a = applied(&document, &a);
    let next = random.operation(&after_a);
    let mut sequence = [a.clone(), next.clone()];
    let mut crossed = b.clone();
    cross(&mut sequence, &mut crossed, side);
    let composed = a.compose(&next).expect("it is made of whole characters");
    let other = Text::from(random.text(12).as_str());
    let positions = 0..=document.len_utf16();
    let moved = |side| {
        positions
            .clone()
            .map(|position| a.moved(position, side))
            .collect::<Vec<_>>()
    };
    json!({
        "document": document.to_string(),
        "a": components(&a), "b": components(&b), "side": side_name(side),
        "encoded": hex(&a.encode()),
        "afterA": after_a.to_string(),
        "aAfter": components(&a_after), "bAfter": components(&b_after),
        "afterBoth": applied(&after_a, &b_after).to_string(),
        "next": components(&next), "composed": components(&composed),
        "crossed": components(&crossed), "sequence": sequence.each_ref().map(components),
        "movedLeft": moved(Side::Left), "movedRight": moved(Side::Right),
        "other": other.to_string(), "difference": components(&document.difference(&other)),
    })
}

fn applied(document: &Text, operation: &Operation) -> Text {
    let mut document = document.clone();
    document.apply(operation).expect("it fits");
    document
}

fn components(operation: &Operation) -> Value {
    let component = |component| match component {
        Component::Retain(length) => json!({"retain": length}),
        Component::Insert(text) => json!({"insert": text}),
        Component::Delete(length) => json!({"delete": length}),
    };
    operation.components().map(component).collect()
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Left => "left",
        Side::Right => "right",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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

    fn text(&mut self, pieces_max: usize) -> String {
        let count = self.below(pieces_max + 1);
        (0..count)
            .map(|_| PIECES[self.below(PIECES.len())])
            .collect()
    }

    /// Some edits of `document`, from its start to its end.
    fn operation(&mut self, document: &Text) -> Operation {
        let document = document.to_string();
        let mut characters = document.chars();
        let mut builder = Operation::builder();
        for _ in 0..self.below(4) {
            let mut length = |count: usize| {
                let passed = characters.by_ref().take(count);
                passed.map(char::len_utf16).sum::<usize>()
            };
            let (retained, deleted) = (length(self.below(4)), length(self.below(4)));
            builder.retain(retained);
            builder
                .insert(&self.text(1))
                .delete(deleted)
                .insert(&self.text(1));
        }
        builder.build()
    }
}

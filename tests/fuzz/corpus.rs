//! The inputs that mutations begin with.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// The files of a decoder, in the order of their names.
pub fn read(decoder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut files: Vec<_> = fs::read_dir(folder.join(decoder))
        .expect("every decoder has a folder")
        .map(|entry| entry.expect("it can be listed").path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
        .iter()
        .map(|file| bytes_of(&fs::read_to_string(file).expect("it can be read")))
        .collect()
}

fn bytes_of(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|character| !character.is_whitespace())
        .map(|digit| digit.to_digit(16).expect("hexadecimal"))
        .collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    assert!(rest.is_empty(), "half a byte");
    pairs
        .iter()
        .map(|[high, low]| (high << 4 | low) as u8)
        .collect()
}

/// Prints the input when the thread panics while it is there.
pub struct Shown<'a>(pub &'a str, pub &'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut text = String::new();
            for byte in self.1 {
                write!(text, "{byte:02x}").expect("a String takes it");
            }
            eprintln!("the input, for tests/fuzz/corpus/{}: {text}", self.0);
        }
    }
}

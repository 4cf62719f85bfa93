//! Mutations of JSON texts that leave most of them JSON: values and tokens are put in place of others.

use crate::mutation;
use crate::random::Random;

const LENGTH_MAX: usize = 64 * 1024;
const VALUES: [&str; 24] = [
    "null",
    "true",
    "0",
    "-1",
    "-0",
    "1.5",
    "1e999",
    "9007199254740993",
    "18446744073709551615",
    "18446744073709551616",
    "\"\"",
    "\"42\"",
    "\"doc\"",
    "\"\\ud800\"",
    "\"\\ud83d\\udc4b\"",
    "\"00112233-4455-6677-8899-aabbccddeeff\"",
    "[]",
    "[{\"retain\":5},{\"insert\":\"x\"},{\"delete\":2}]",
    "{}",
    "{\"1\":10,\"2\":-1}",
    "{\"base64\":\"AAEC\"}",
    "{\"base64\":\"~\"}",
    "{\"base64\":\"\",\"base64\":\"\"}",
    "{\"blockId\":\"p1\",\"offset\":42}",
];
const NAMES: [&str; 10] = [
    "\"type\"",
    "\"payload\"",
    "\"documentId\"",
    "\"operations\"",
    "\"ops\"",
    "\"stateVector\"",
    "\"base64\"",
    "\"b\\u0061se64\"",
    "\"42\"",
    "\"\\udc00\"",
];

/// One of the corpus, changed in a few values.
pub fn mutated(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    if random.one_in(4) {
        return mutation::mutated(random, corpus);
    }
    let mut bytes = random.pick(corpus).clone();
    for _ in 0..=random.below(3) {
        replace(random, &mut bytes);
    }
    bytes.truncate(LENGTH_MAX);
    bytes
}

/// Puts something else in place of a name, or of a value that is no object and no array.
fn replace(random: &mut Random, bytes: &mut Vec<u8>) {
    let is_separator = |byte: &u8| b",:[]{}".contains(byte);
    let place = random.below(bytes.len() + 1);
    let start = bytes[..place]
        .iter()
        .rposition(is_separator)
        .map_or(0, |separator| separator + 1);
    let end = bytes[start..]
        .iter()
        .position(is_separator)
        .map_or(bytes.len(), |length| start + length);
    let piece = bytes[start..end].to_vec();
    if piece.is_empty() {
        return;
    }
    if bytes.get(end) == Some(&b':') {
        let name = random.pick(&NAMES).bytes();
        bytes.splice(start..end, name);
        return;
    }
    let new = match random.below(12) {
        0 => Vec::new(),
        1 => [&piece[..], b",", &piece[..]].concat(),
        2 => {
            let depth = random.below(300);
            [&b"[".repeat(depth)[..], &piece, &b"]".repeat(depth)].concat()
        }
        3 => [&piece[..], b","].concat().repeat(random.below(1500)),
        _value => random.pick(&VALUES).as_bytes().to_vec(),
    };
    bytes.splice(start..end, new);
}

//! Mutations of bytes, whatever they mean.

use crate::random::Random;

const LENGTH_MAX: usize = 64 * 1024;

/// One of the corpus, changed in a few places.
pub fn mutated(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = random.pick(corpus).clone();
    for _ in 0..=random.below(4) {
        mutate(random, &mut bytes, corpus);
    }
    bytes.truncate(LENGTH_MAX);
    bytes
}

fn mutate(random: &mut Random, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let place = random.below(bytes.len() + 1);
    match random.below(9) {
        0 => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte = *random.pick(&[0, 1, 0x7f, 0x80, 0xff, random_byte(place)]);
            }
        }
        2 => {
            let byte = random.next() as u8;
            bytes.insert(place, byte);
        }
        3 => {
            let end = (place + 1 + random.below(8)).min(bytes.len());
            bytes.drain(place.min(end)..end);
        }
        4 => bytes.truncate(place),
        5 => {
            // A piece once more, or many times.
            let end = (place + 1 + random.below(16)).min(bytes.len());
            let piece = bytes[place.min(end)..end].to_vec();
            let times = if random.one_in(40) {
                random.below(2000)
            } else {
                1
            };
            for _ in 0..times {
                if bytes.len() < LENGTH_MAX {
                    let tail = bytes.split_off(end.min(bytes.len()));
                    bytes.extend_from_slice(&piece);
                    bytes.extend(tail);
                }
            }
        }
        6 => {
            let other = random.pick(corpus);
            let from = random.below(other.len() + 1);
            bytes.truncate(place);
            bytes.extend_from_slice(&other[from..]);
        }
        7 => {
            let number = random.number();
            let width = *random.pick(&[1, 2, 4, 8]);
            let number = if random.one_in(2) {
                number.to_le_bytes()[..width].to_vec()
            } else {
                number.to_be_bytes()[8 - width..].to_vec()
            };
            for (byte, value) in bytes[place..].iter_mut().zip(number) {
                *byte = value;
            }
        }
        _swap => {
            if place < bytes.len() {
                let other = random.below(bytes.len());
                bytes.swap(place, other);
            }
        }
    }
}

fn random_byte(place: usize) -> u8 {
    (place as u8).wrapping_mul(37)
}

/// Cuts `bytes` into pieces, most of them small.
pub fn pieces<'a>(random: &mut Random, mut bytes: &'a [u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let length_max = *random.pick(&[1, 3, 20, 500, usize::MAX - 1]);
    while !bytes.is_empty() {
        let end = (1 + random.below(length_max)).min(bytes.len());
        let (piece, rest) = bytes.split_at(end);
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

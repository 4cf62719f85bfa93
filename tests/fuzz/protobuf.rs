//! Mutations of protobuf messages that leave them protobuf messages: fields are changed, repeated, dropped, swapped.

use prost::encoding::{decode_varint, encode_varint};

use crate::random::Random;

const DEPTH_MAX: usize = 6;
const LENGTH_MAX: usize = 64 * 1024;

struct Field {
    key: u64,
    value: Value,
}

enum Value {
    Number(u64),
    Fixed(Vec<u8>),
    Bytes(Vec<u8>),
}

/// One of the corpus, changed in a few fields; the same bytes where it is no message.
pub fn mutated(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = random.pick(corpus).clone();
    for _ in 0..=random.below(3) {
        bytes = changed(random, &bytes, corpus, 0);
    }
    bytes.truncate(LENGTH_MAX);
    bytes
}

fn changed(random: &mut Random, bytes: &[u8], corpus: &[Vec<u8>], depth: usize) -> Vec<u8> {
    let Some(mut fields) = parsed(bytes) else {
        return bytes.to_vec();
    };
    if fields.is_empty() {
        return encoded(&[Field {
            key: random.number() >> 40,
            value: Value::Number(random.number()),
        }]);
    }
    let place = random.below(fields.len());
    match random.below(8) {
        0 => drop(fields.remove(place)),
        1 => {
            let times = if random.one_in(20) {
                random.below(3000)
            } else {
                1
            };
            let again = encoded(&fields[place..=place]);
            let mut bytes = encoded(&fields);
            for _ in 0..times {
                bytes.extend_from_slice(&again);
            }
            return bytes;
        }
        2 => {
            let other = random.below(fields.len());
            fields.swap(place, other);
        }
        3 => {
            // Another field of the same type.
            let field = &mut fields[place];
            field.key = ((1 + random.below(17) as u64) << 3) | (field.key & 7);
        }
        4 => {
            let other = random.pick(corpus).clone();
            fields[place].key = (fields[place].key & !7) | 2;
            fields[place].value = Value::Bytes(other);
        }
        _value => match &mut fields[place].value {
            Value::Number(number) => *number = random.number(),
            Value::Fixed(bytes) => bytes.reverse(),
            Value::Bytes(bytes) => {
                *bytes = if depth < DEPTH_MAX && !random.one_in(4) {
                    changed(random, bytes, corpus, depth + 1)
                } else {
                    let length = random.below(300);
                    vec![*random.pick(b"ax\x00\xff"); length]
                };
            }
        },
    }
    encoded(&fields)
}

fn parsed(mut bytes: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = decode_varint(&mut bytes).ok()?;
        let value = match key & 7 {
            0 => Value::Number(decode_varint(&mut bytes).ok()?),
            1 => Value::Fixed(taken(&mut bytes, 8)?),
            2 => {
                let length = decode_varint(&mut bytes).ok()?;
                Value::Bytes(taken(&mut bytes, usize::try_from(length).ok()?)?)
            }
            5 => Value::Fixed(taken(&mut bytes, 4)?),
            _group => return None,
        };
        fields.push(Field { key, value });
    }
    Some(fields)
}

fn taken(bytes: &mut &[u8], count: usize) -> Option<Vec<u8>> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken.to_vec())
}

fn encoded(fields: &[Field]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in fields {
        encode_varint(field.key, &mut bytes);
        match &field.value {
            Value::Number(number) => encode_varint(*number, &mut bytes),
            Value::Fixed(fixed) => bytes.extend_from_slice(fixed),
            Value::Bytes(inner) => {
                encode_varint(inner.len() as u64, &mut bytes);
                bytes.extend_from_slice(inner);
            }
        }
    }
    bytes
}

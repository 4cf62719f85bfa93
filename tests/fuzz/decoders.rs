//! One test for each decoder: what it does with any bytes, and how much memory it takes for it.

use std::io::Write as _;

use bytes::Bytes;
use corelay::codec::json::{self, Body, Limits, Payload};
use corelay::codec::websocket::{self, Reader};
use corelay::codec::{frame, record, request};
use corelay::config::{Draft, Origins};
use corelay::load::trace::History;
use corelay::server::http::{self, Head, Rules};
use corelay::text::{Operation, Side, Text, transform};
use prost::Message;
use serde::de::IgnoredAny;

use crate::allocation::measured;
use crate::corpus::{self, Shown};
use crate::random::Random;
use crate::{inputs, json as json_mutation, mutation, protobuf};

/// What a decoder may take for its own small things, whatever the input.
const FREE_BYTES: usize = 2048;

/// Tries the corpus, then `count` mutations of it.
fn fuzz(
    decoder: &str,
    count: u64,
    mutate: impl Fn(&mut Random, &[Vec<u8>]) -> Vec<u8>,
    mut check: impl FnMut(&mut Random, &[u8]),
) {
    let corpus = corpus::read(decoder);
    let mut random = Random::new(decoder.len() as u64);
    for input in &corpus {
        let _shown = Shown(decoder, input);
        check(&mut random, input);
    }
    for _ in 0..count {
        let input = mutate(&mut random, &corpus);
        let _shown = Shown(decoder, &input);
        check(&mut random, &input);
    }
}

fn any_way(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    if random.one_in(3) {
        mutation::mutated(random, corpus)
    } else {
        protobuf::mutated(random, corpus)
    }
}

#[test]
fn frames() {
    const LENGTH_MAX: usize = 1000;
    fuzz("frame", inputs(1), mutation::mutated, |random, input| {
        let split_all = |mut bytes: &[u8]| {
            let mut lengths = Vec::new();
            let end = loop {
                match frame::split(&mut bytes, LENGTH_MAX) {
                    Ok(Some(message)) => lengths.push(message.len()),
                    Ok(None) => break Ok(bytes.len()),
                    Err(error) => break Err(error),
                }
            };
            (lengths, end)
        };
        let whole = split_all(input);
        assert!(whole.0.iter().all(|length| *length <= LENGTH_MAX));
        // In pieces it comes to the same.
        let mut kept = Vec::new();
        let mut lengths = Vec::new();
        let mut end = Ok(0);
        for piece in mutation::pieces(random, input) {
            kept.extend_from_slice(piece);
            let (more, now) = split_all(&kept);
            lengths.extend(more);
            end = now;
            match now {
                Ok(rest) => drop(kept.drain(..kept.len() - rest)),
                Err(_) => break,
            }
        }
        assert_eq!((lengths, end), whole);
    });
}

#[test]
fn websocket_messages() {
    const LENGTH_MAX: usize = 3000;
    /// What came, and how it ended.
    type Seen = (Vec<String>, Option<websocket::WebSocketError>);
    fn read(reader: &mut Reader, kept: &mut Vec<u8>, seen: &mut Seen) {
        let mut input = &mut kept[..];
        loop {
            match reader.next(&mut input, LENGTH_MAX) {
                Ok(Some(incoming)) => seen.0.push(format!("{incoming:?}")),
                Ok(None) => break,
                Err(error) => {
                    seen.1 = Some(error);
                    break;
                }
            }
        }
        let rest = input.len();
        kept.drain(..kept.len() - rest);
        assert!(reader.held_bytes() <= 2 * LENGTH_MAX);
    }
    fuzz(
        "websocket",
        inputs(1),
        mutation::mutated,
        |random, input| {
            let mut whole = Seen::default();
            read(&mut Reader::default(), &mut input.to_vec(), &mut whole);
            let mut reader = Reader::default();
            let mut kept = Vec::new();
            let mut seen = Seen::default();
            for piece in mutation::pieces(random, input) {
                kept.extend_from_slice(piece);
                read(&mut reader, &mut kept, &mut seen);
                if seen.1.is_some() {
                    break;
                }
            }
            assert_eq!(seen, whole);
        },
    );
}

#[test]
fn requests() {
    const OPERATIONS_MAX: usize = 50;
    /// The fields that are made of a request at most, and what one takes.
    const FIELDS_MAX: usize = OPERATIONS_MAX + 1000;
    const FIELD_BYTES_MAX: usize = 256;
    fuzz("request", inputs(1), any_way, |_, input| {
        let message = Bytes::copy_from_slice(input);
        let own = message.clone();
        let (decoded, most, _) = measured(|| request::decode(message, OPERATIONS_MAX));
        let limit = 4 * input.len() + FIELDS_MAX * FIELD_BYTES_MAX + FREE_BYTES;
        assert!(most <= limit, "{most} bytes for {}", input.len());
        let Ok(decoded) = decoded else {
            return;
        };
        // It holds on to the message only if that is what it is made of.
        let length = decoded.encoded_len();
        assert!(own.is_unique() || input.len() <= 2 * length + 1, "{length}");
        let again = request::decode(decoded.encode_to_vec().into(), OPERATIONS_MAX);
        assert_eq!(again.as_ref(), Ok(&decoded));
    });
}

#[test]
fn json_messages() {
    const LIMITS: Limits = Limits {
        operations_max: 50,
        vector_entries_max: 50,
    };
    /// The operations, entries and fields that are made of a message at most, and what one takes.
    const PARTS_MAX: usize = 50 + 50 + 1000;
    const PART_BYTES_MAX: usize = 200;
    fuzz("json", inputs(1), json_mutation::mutated, |_, input| {
        let (message, most, _) = measured(|| json::decode(input, &LIMITS));
        let limit = 4 * input.len() + PARTS_MAX * PART_BYTES_MAX + FREE_BYTES;
        assert!(most <= limit, "{most} bytes for {}", input.len());
        let Ok(message) = message else {
            return;
        };
        let Body::Operations(batch) = message.body else {
            return;
        };
        assert!(batch.operations.len() <= LIMITS.operations_max);
        assert!(batch.expected_server_vector.len() <= LIMITS.vector_entries_max);
        for operation in batch.operations {
            let length = operation.get().len();
            for payload in [Payload::Json, Payload::TextComponents] {
                let (bytes, most, _) = measured(|| payload.read(&operation));
                assert!(most <= 4 * length + FREE_BYTES, "{most} bytes for {length}");
                let Ok(bytes) = bytes else {
                    continue;
                };
                let mut text = Vec::new();
                payload.write(&bytes, &mut text);
                let again = serde_json::from_slice(&text).expect("it is JSON");
                assert_eq!(payload.read(again), Ok(bytes));
            }
        }
    });
}

#[test]
fn bytes_in_json() {
    fuzz(
        "json_bytes",
        inputs(1),
        json_mutation::mutated,
        |_, input| {
            let mut text = Vec::with_capacity(2 * input.len() + 100);
            let ((), most, _) = measured(|| Payload::Json.write(input, &mut text));
            assert!(
                most <= 4 * input.len() + FREE_BYTES,
                "{most} bytes for {}",
                input.len()
            );
            let value = serde_json::from_slice(&text).expect("it is JSON");
            assert_eq!(Payload::Json.read(value), Ok(Bytes::copy_from_slice(input)));
            // Whatever the bytes of a text operation are, it is JSON.
            text.clear();
            Payload::TextComponents.write(input, &mut text);
            serde_json::from_slice::<serde_json::Value>(&text).expect("it is JSON");
        },
    );
}

#[test]
fn posted_bodies() {
    fuzz("posted", inputs(1), json_mutation::mutated, |_, input| {
        let (frames, most, _) = measured(|| json::frames(input));
        assert!(
            most <= 4 * input.len() + FREE_BYTES,
            "{most} bytes for {}",
            input.len()
        );
        let Ok(frames) = frames else { return };
        assert!(frames.len() <= 2 * input.len() + frame::PREFIX_BYTES);
        let mut messages = Vec::new();
        for message in frame::messages(&frames) {
            messages.push(serde_json::from_slice::<IgnoredAny>(message).expect("JSON"));
        }
        match serde_json::from_slice::<Vec<IgnoredAny>>(input) {
            Ok(array) => assert_eq!(array.len(), messages.len()),
            Err(_one) => assert_eq!(messages.len(), 1),
        }
    });
}

#[test]
fn operations_records() {
    fuzz(
        "operations_record",
        inputs(1),
        mutation::mutated,
        |_, input| {
            let bytes = Bytes::copy_from_slice(input);
            let (decoded, most, _) = measured(|| record::decode_operations(&bytes));
            assert!(
                most <= 8 * input.len() + FREE_BYTES,
                "{most} bytes for {}",
                input.len()
            );
            let range = record::operations_range(input);
            match decoded {
                Ok(decoded) => {
                    let count = decoded.operations.len() as u32;
                    assert_eq!(range, Ok((decoded.revision, count)));
                    let encoded = record::encode_operations(&decoded);
                    let again = record::decode_operations(&encoded);
                    assert_eq!(again, Ok(decoded));
                }
                Err(error) => assert_eq!(range, Err(error)),
            }
        },
    );
}

#[test]
fn snapshot_records() {
    fuzz(
        "snapshot_record",
        inputs(1),
        mutation::mutated,
        |_, input| {
            let bytes = Bytes::copy_from_slice(input);
            let (decoded, most, _) = measured(|| record::decode_snapshot(&bytes));
            assert!(
                most <= 8 * input.len() + FREE_BYTES,
                "{most} bytes for {}",
                input.len()
            );
            if let Ok(decoded) = decoded {
                let again = record::decode_snapshot(&record::encode_snapshot(&decoded));
                assert_eq!(again, Ok(decoded));
            }
        },
    );
}

#[test]
fn text_operations() {
    /// A component takes four bytes at least, and 24 decoded, in a list that grows by doubling.
    const MULTIPLE: usize = 24;
    let document = Text::from("a👋é€\r\nplain words and more of them ".repeat(20).as_str());
    let mut other = Operation::splice(7, 5, "other");
    fuzz("text_operation", inputs(1), any_way, |_, input| {
        let (decoded, most, _) = measured(|| Operation::decode(input));
        assert!(
            most <= MULTIPLE * input.len() + FREE_BYTES,
            "{most} bytes for {}",
            input.len()
        );
        let Ok(operation) = decoded else {
            return;
        };
        let (encoded, most, _) = measured(|| operation.encode());
        assert!(
            most <= 2 * MULTIPLE * input.len() + FREE_BYTES,
            "{most} bytes to encode"
        );
        assert!(encoded.len() <= input.len() + 16, "canonical is not longer");
        assert_eq!(Operation::decode(&encoded).as_ref(), Ok(&operation));
        let mut edited = document.clone();
        if edited.apply(&operation).is_err() {
            assert_eq!(edited, document, "a refused operation changes nothing");
            return;
        }
        let inverse = operation.invert(&document).expect("it fits");
        let mut back = edited.clone();
        back.apply(&inverse).expect("it fits");
        assert_eq!(back, document);
        // In either order with another, it comes to the same.
        let (over, after) = transform(&operation, &other, Side::Left);
        let mut with_other = document.clone();
        with_other.apply(&other).expect("it fits");
        with_other.apply(&over).expect("what was transformed fits");
        edited.apply(&after).expect("what was transformed fits");
        assert_eq!(edited, with_other);
        other = operation;
    });
}

#[test]
fn handshakes() {
    const LENGTH_MAX: usize = 16 * 1024;
    let limits = Limits {
        operations_max: 0,
        vector_entries_max: 0,
    };
    let rules = Rules {
        head_bytes_max: LENGTH_MAX,
        body_bytes_max: 1000,
        origins: &Origins::Any,
    };
    let mut draft = Draft::default();
    draft.set("listen.proxies=0.0.0.0/0");
    let proxies = draft.finish().expect("it is in order").listen.proxies;
    fuzz(
        "handshake",
        inputs(1),
        mutation::mutated,
        |random, input| {
            let (head, most, _) = measured(|| http::read_head(input, &rules));
            assert!(
                most <= 8 * input.len().min(LENGTH_MAX) + 2 * FREE_BYTES,
                "{most} bytes"
            );
            match head {
                Ok(Some((head, length))) => {
                    assert!(length <= input.len().min(LENGTH_MAX));
                    if let Ok(Some(client)) = http::forwarded_for(&input[..length], &proxies) {
                        assert_eq!(client, client.to_canonical());
                    }
                    let caller = match &head {
                        Head::Upgrade(upgrade) => Some(&upgrade.caller),
                        Head::Stream(opening) => {
                            if let Some(request) = opening.sync_request() {
                                json::decode(request.as_bytes(), &limits).expect("a message");
                            }
                            Some(&opening.caller)
                        }
                        Head::Post(post) => {
                            assert!(post.body_bytes <= rules.body_bytes_max);
                            None
                        }
                        Head::Exchange(exchange) => {
                            assert!(exchange.body_bytes <= rules.body_bytes_max);
                            None
                        }
                        Head::Answered(_) => None,
                    };
                    if let Some(document) = caller.and_then(|caller| caller.document.as_ref()) {
                        assert!(corelay::engine::is_document_id(document));
                    }
                    let more = random.below(input.len() - length + 1);
                    let shorter = http::read_head(&input[..length + more], &rules);
                    assert!(matches!(shorter, Ok(Some((_, same))) if same == length));
                }
                Ok(None) => assert!(input.len() < LENGTH_MAX, "it must be refused some time"),
                Err(_answer) => {}
            }
        },
    );
}

#[test]
fn recorded_histories() {
    fuzz("history", inputs(10), mutation::mutated, |random, input| {
        let compression = flate2::Compression::fast();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), compression);
        gzip.write_all(input).expect("a Vec takes it");
        let mut file = gzip.finish().expect("a Vec takes it");
        if random.one_in(10) {
            file.truncate(random.below(file.len()));
        }
        if let Ok(history) = History::read(&file) {
            let transactions: usize = history.agents.iter().map(Vec::len).sum();
            assert_eq!(history.transactions(), transactions);
        }
    });
}

//! What is read when a document comes into memory is bounded by its state, not by its history.

#[path = "../benches/support/stored.rs"]
mod stored;

use bytes::Bytes;
use corelay::codec::record;
use corelay::config::{self, Durability};
use corelay::store::LoadedDocument;
use corelay::text::Operation;
use stored::Stored;
use tempfile::TempDir;

const OPERATIONS: [u64; 3] = [150, 10_050, 100_050];
/// As `document.snapshot_operations`, and one that is on its way.
const REPLAYED_MAX: u64 = 101;

fn store(directory: &TempDir) -> Stored {
    let config = config::Store {
        path: directory.path().to_owned(),
        durability: Durability::Never,
        ..config::Store::default()
    };
    Stored::new(corelay::store::open(&config).expect("an empty store").store)
}

/// What a relay reads that opens the document for the first time.
fn opened(stored: Stored, document: &str) -> (Stored, LoadedDocument) {
    let mut stored = stored.restarted();
    stored.open(document, "");
    let loaded = stored.loaded.take().expect("it has been written to");
    (stored, loaded)
}

/// The operations that are replayed.
fn replayed(loaded: &LoadedDocument) -> u64 {
    let count = |bytes| u64::from(record::operations_range(bytes).expect("a record").1);
    loaded.records.iter().map(|bytes| count(bytes)).sum()
}

#[test]
fn a_log_is_opened_from_its_clients_clocks_and_its_last_operations() {
    let directory = TempDir::new().expect("there is room");
    let mut stored = store(&directory);
    for operations in OPERATIONS {
        let document = format!("log-{operations}");
        stored.open(&document, "log");
        for clock in 0..operations {
            stored.write(clock, Bytes::from_static(&[7; 100]));
        }
        let loaded;
        (stored, loaded) = opened(stored, &document);
        let snapshot = loaded.snapshot.as_ref().map_or(0, |(_, bytes)| bytes.len());
        println!(
            "{document}: {} operations replayed, a snapshot of {snapshot} bytes",
            replayed(&loaded)
        );
        assert!(replayed(&loaded) <= REPLAYED_MAX && snapshot < 1024);
    }
}

#[test]
fn a_text_is_opened_from_a_snapshot_and_what_costs_no_more_than_that() {
    const STATE_BYTES: usize = 100_000;
    let directory = TempDir::new().expect("there is room");
    let mut stored = store(&directory);
    for operations in OPERATIONS {
        let document = format!("text-{operations}");
        stored.open(&document, "text");
        let text = "a line of text\n".repeat(STATE_BYTES / 15);
        stored.write(0, Operation::splice(0, 0, &text).encode().into());
        for clock in 1..=operations {
            let position = (clock as usize).wrapping_mul(7919) % 90_000;
            let operation = match clock % 2 {
                0 => Operation::splice(position, 5, ""),
                _ => Operation::splice(position, 0, "words"),
            };
            stored.write(clock, operation.encode().into());
        }
        let loaded;
        (stored, loaded) = opened(stored, &document);
        let (_, snapshot) = loaded.snapshot.as_ref().expect("one was taken");
        println!(
            "{document}: {} operations replayed, a snapshot of {} bytes",
            replayed(&loaded),
            snapshot.len()
        );
        // As the engine counts them: a hundred bytes for each beside its own.
        let replayed_max = REPLAYED_MAX + STATE_BYTES as u64 / 100;
        assert!(replayed(&loaded) <= replayed_max && snapshot.len() < 2 * STATE_BYTES);
    }
}

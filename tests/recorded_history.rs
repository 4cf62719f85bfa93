//! The recorded history in `tests/data` is what its program writes.

#[path = "../examples/record_history.rs"]
#[allow(dead_code, reason = "its main writes the file")]
mod record_history;

use std::path::Path;

use corelay::load::trace::History;
use flate2::read::GzDecoder;

#[test]
fn the_recorded_history_is_what_its_program_writes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/three_authors.json.gz");
    let bytes = std::fs::read(path).expect("the file is in the repository");
    let content: serde_json::Value =
        serde_json::from_reader(GzDecoder::new(&bytes[..])).expect("it is JSON");
    assert!(content == record_history::history(), "record it again");

    let history = History::read(&bytes).expect("it is a history");
    assert_eq!(history.agents.len(), 3);
    assert!(history.transactions() >= 4000);
}

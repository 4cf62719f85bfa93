//! Recorded histories through the real relay with two shards: everybody ends with exactly the recorded text.

use std::path::{Path, PathBuf};

use crate::common::Server;
use crate::support::{Ended, load};

fn replay(server: &Server, transport: &str, history: &Path, arguments: &str) -> Ended {
    let url = match transport {
        "ws" => format!("ws://{}", server.websocket),
        _ => format!("tcp://{}", server.tcp),
    };
    let ended = load(&url, &format!("--trace {} {arguments}", history.display()));
    assert!(ended.success, "{}: {}", history.display(), ended.output);
    ended
}

/// What the operations of a relay that has stored nothing else take on disk, each.
fn print_stored(server: &Server) {
    let operations = server.metric("store_operations_total");
    let [records, tables, journals] = [
        "store_operation_bytes_total",
        "store_table_bytes",
        "store_journal_bytes",
    ]
    .map(|name| server.metric(name));
    println!(
        "{operations} operations, bytes of each: {} in its record, {} in tables, {} in journals",
        records / operations,
        tables / operations,
        journals / operations
    );
    assert!(records > 0 && tables + journals > records);
}

fn spawn() -> Server {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(2));
    Server::spawn(&[&format!("shards.cores={cores}")])
}

#[test]
fn our_own_history_is_transformed_by_the_relay_and_ends_as_recorded() {
    let history = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/three_authors.json.gz");
    let server = spawn();
    for transport in ["ws", "tcp"] {
        let ended = replay(&server, transport, &history, "--readers 2 --documents 2");
        print_stored(&server);
        assert_eq!(ended.number("agents"), 3.0);
        assert!(ended.number("transactions") >= 4000.0);
        assert!(
            ended.number("transformed_transactions") > 100.0,
            "{}",
            ended.output
        );
    }
}

#[test]
fn real_histories_end_as_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/traces");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("SKIPPED: there are no histories in {}", folder.display());
        return;
    };
    let mut histories: Vec<PathBuf> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    histories.sort();
    for history in &histories {
        let server = spawn();
        let ended = replay(&server, "ws", history, "--readers 1");
        println!("{}: {}", history.display(), ended.output);
        print_stored(&server);
    }
}

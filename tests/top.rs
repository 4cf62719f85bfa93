//! `corelay top` in a terminal, beside a relay under load.

mod common;
#[path = "load/support.rs"]
mod load;
#[path = "common/terminal.rs"]
mod terminal;

use std::process::{Command, Output, Stdio};

use common::Server;
use load::Load;
use serde_json::Value;
use terminal::Terminal;

fn top(server: &Server, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corelay"));
    command.args(["top", "--admin", &server.admin.to_string()]);
    command.args(["--interval", "100ms"]).args(arguments);
    command
}

fn load(server: &Server, arguments: &str) -> Load {
    let load = "--documents 6 --clients 5 --writers 2 --operations-per-second 600 --warm-up 0.2";
    Load::spawn(
        &format!("ws://{}", server.websocket),
        &format!("{load} {arguments}"),
    )
}

/// What stands before a name among the figures, without commas.
fn figure(text: &str, name: &str) -> Option<u64> {
    let before = text.split_once(&format!(" {name}"))?.0;
    let word = before.rsplit(' ').next()?.trim();
    word.rsplit('\n').next()?.replace(',', "").parse().ok()
}

/// Lines of these few blocks, from a screen.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

#[test]
fn the_screen_follows_a_relay_under_load() {
    let server = Server::spawn(&["shards.cores=2"]);
    let mut top = Terminal::start(&mut top(&server, &[]), 40, 160);
    top.until_shown("● ready");
    let load = load(&server, "--duration 2");
    top.until("operations, as they come", |screen| {
        let text = screen.contents();
        let moves = figure(&text, "operations in all")? > 0 && text.contains(BARS);
        moves.then_some(())
    });
    top.until_shown("Hottest documents");
    // It asks again when nothing moves any more; then both have counted the same.
    let ended = load.wait();
    assert!(ended.success, "{}", ended.output);
    top.until("what /metrics says", |screen| {
        let text = screen.contents();
        let [operations, deliveries, commits] = [
            "operations_total",
            "deliveries_total",
            "store_commits_total",
        ]
        .map(|name| server.metric(name));
        let is_same = figure(&text, "operations in all")? == operations
            && figure(&text, "deliveries in all")? == deliveries;
        (is_same && operations > 500 && commits > 0).then_some(())
    });

    top.press("s");
    top.until_shown("sort shards (by busy)");
    top.press("ssss");
    top.until_shown("sort shards (by number)");
    top.press("\x1b[B\x1b[B");
    top.until_shown("Hottest documents of shard 1");
    top.press("\x1b[B");
    top.until("all shards", |screen| {
        (!screen.contents().contains("of shard")).then_some(())
    });
    top.press("\x1b[A");
    top.until_shown("Slowest consumers of shard 1");
    top.press("a");

    for (rows, columns) in [(5, 20), (1, 3), (24, 80)] {
        top.resize(rows, columns);
    }
    top.until_shown("q quit");
    top.until_shown("until acknowledged");
    top.press("q");
    assert!(top.wait().success(), "{}", top.text());
    top.until_given_back();
}

#[test]
fn a_relay_that_goes_and_comes_back() {
    let directory = tempfile::TempDir::new().expect("there is room for a directory");
    let mut server = Server::spawn_in(directory.path(), &[]);
    let address = format!("listen.admin={}", server.admin);
    let mut top = Terminal::start(&mut top(&server, &[]), 5, 60);
    top.until_shown("● ready");
    server.kill();
    top.until_shown("● no answer");
    let _server = Server::spawn_in(directory.path(), &[&address]);
    top.until_shown("● ready");
    top.press("\x03");
    assert!(top.wait().success());
    top.until_given_back();
}

#[test]
fn a_signal_ends_it_and_the_terminal_is_as_before() {
    let server = Server::spawn(&[]);
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let mut top = Terminal::start(&mut top(&server, &[]), 5, 20);
        top.until_shown("corelay");
        assert!(!top.is_given_back());
        top.signal(signal);
        assert_eq!(top.wait().code(), Some(128 + signal));
        top.until_given_back();
    }
}

fn ended(mut command: Command) -> Output {
    command.stdin(Stdio::null()).output().expect("it runs")
}

#[test]
fn one_reading_for_scripts() {
    let mut server = Server::spawn(&["shards.cores=2"]);
    // Names are as their clients like them.
    let ended_load = load(&server, "--duration 0.5 --document-prefix \u{202e}<b>x").wait();
    assert!(ended_load.success, "{}", ended_load.output);
    let operations = server.wait_for("the last operation", || {
        let operations = server.metric("operations_total");
        (operations == server.metric("store_operations_total") && operations > 0)
            .then_some(operations)
    });

    let plain = ended(top(&server, &["--once"]));
    assert!(plain.status.success());
    let text = String::from_utf8(plain.stdout).expect("it is text");
    let line = text
        .lines()
        .find(|line| line.starts_with("operations in all"));
    let counted = line.and_then(|line| line.rsplit(' ').next());
    let counted: Option<u64> = counted.and_then(|word| word.replace(',', "").parse().ok());
    assert_eq!(counted, Some(operations), "{text}");
    assert!(text.starts_with(&format!("corelay {}: ready\n", env!("CARGO_PKG_VERSION"))));
    assert!(text.contains("�<b>x"), "{text}");
    assert!(!text.contains(['\u{202e}', '\u{1b}']), "{text}");

    let json = ended(top(&server, &["--json"]));
    let json: Value = serde_json::from_slice(&json.stdout).expect("it is JSON");
    let shards = json["overview"]["shards"]
        .as_array()
        .expect("they are there");
    let counted = shards.iter().map(|shard| shard["operations"].as_u64());
    assert_eq!(counted.sum::<Option<u64>>(), Some(operations));
    assert_eq!(json["change"]["operations_per_second"], 0.0);
    assert!(json["change"]["seconds"].as_f64() > Some(0.05), "{json}");

    let nowhere = ended(top(&server, &[]));
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("--once"));
    server.kill();
    let gone = ended(top(&server, &["--once"]));
    assert_eq!(gone.status.code(), Some(1));
    assert!(gone.stdout.is_empty());
    assert!(String::from_utf8_lossy(&gone.stderr).contains(&server.admin.to_string()));
}

#[test]
#[ignore = "writes docs/top.txt, what it looks like"]
fn the_capture_in_docs() {
    let server = Server::spawn(&["shards.cores=2"]);
    let mut top = Terminal::start(&mut top(&server, &[]), 36, 164);
    let _invoices = load(&server, "--duration 60 --document-prefix invoice");
    let _board = load(
        &server,
        "--duration 60 --document-prefix board --payload-bytes 8000 --stalled-percent 20",
    );
    top.until("who is slow", |screen| {
        let text = screen.contents();
        (!text.contains("Everybody") && text.matches(BARS).count() > 150).then_some(())
    });
    // A picture that stands still is whole.
    let mut text = String::new();
    while text != top.text() {
        text = top.text();
        std::thread::sleep(std::time::Duration::from_millis(30));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/top.txt");
    std::fs::write(path, text + "\n").expect("it can be written");
    top.press("q");
    assert!(top.wait().success());
}

//! The JSON dialect as others speak it: an editor in Node, with its standard library alone, and one in Rust write one
//! text on the real relay.

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use common::{PATIENCE, Server};
use corelay::client::{Client, Event, Settings, TextDocument};
use corelay::text::{Operation, Text};

const NODE_EDITS: usize = 200;
const RUST_EDITS: usize = 100;

/// The editor in Node. It is killed when this is dropped.
struct Node {
    child: Child,
    lines: Receiver<String>,
}

impl Node {
    fn start(server: &Server) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node/editor.mjs");
        let mut child = Command::new("node")
            .args([script, &server.websocket.port().to_string(), "a novel"])
            .arg(NODE_EDITS.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is installed (tests/all does it)");
        let stdout = child.stdout.take().expect("it is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The editor in Rust.
struct Editor {
    client: Client,
    document: TextDocument,
    view: Text,
}

impl Editor {
    fn new(server: &Server) -> Self {
        let url = format!("ws://{}", server.websocket);
        let mut client = Client::new(&url, Settings::default()).expect("a valid URL");
        let document = TextDocument::open(client.session(), "a novel", true);
        Self {
            client,
            document,
            view: Text::default(),
        }
    }

    fn step(&mut self) {
        let now = self.client.now();
        let mut changes = Vec::new();
        changes.extend(self.document.poll(self.client.session(), now));
        if let Some(event) = self.client.next_event(Duration::from_millis(2)) {
            if let Event::Violation(violation) = event {
                panic!("{violation}");
            }
            let come = self.document.handle_event(&event, self.client.session());
            changes.extend(come.expect("the relay agrees with the text"));
        }
        for change in &changes {
            self.view.apply(change).expect("changes fit the view");
        }
    }

    fn edit(&mut self, edit: Operation) {
        let now = self.client.now();
        self.document.edit(edit.clone(), now).expect("it fits");
        self.view.apply(&edit).expect("it fits");
    }
}

#[test]
fn an_editor_in_node_and_one_in_rust_write_one_text() {
    let server = Server::spawn(&[]);
    let mut rust = Editor::new(&server);
    let node = Node::start(&server);
    let deadline = Instant::now() + PATIENCE;
    let mut edits = 0;
    let mut is_node_done = false;
    // Both write at the same time, until both have written enough.
    while !is_node_done || edits < RUST_EDITS {
        assert!(Instant::now() < deadline, "Node is not done");
        rust.step();
        match node.lines.try_recv() {
            Ok(line) => {
                assert_eq!(line, "done");
                is_node_done = true;
            }
            Err(TryRecvError::Empty) => {}
            Err(error) => panic!("Node has given up: {error}"),
        }
        if rust.document.text().is_none() || rust.document.pending_operations() > 20 {
            continue;
        }
        let length = rust.view.len_utf16();
        let first = rust.view.to_string().chars().next();
        rust.edit(match (edits % 4, first) {
            (3, Some(first)) => Operation::splice(0, first.len_utf16(), ""),
            (1, _) => Operation::splice(0, 0, "[Rust 👋]"),
            _ => Operation::splice(length, 0, "[Rust é]"),
        });
        edits += 1;
    }
    let length = rust.view.len_utf16();
    rust.edit(Operation::splice(length, 0, "THE END"));
    let of_node = loop {
        assert!(Instant::now() < deadline, "Node does not see the end");
        rust.step();
        match node.lines.try_recv() {
            Ok(line) => break serde_json::from_str::<String>(&line).expect("a text in JSON"),
            Err(TryRecvError::Empty) => {}
            Err(error) => panic!("Node has given up: {error}"),
        }
    };
    assert_eq!(rust.view.to_string(), of_node);
    assert!(of_node.contains("[Rust") && of_node.contains("é👋)"));
}

//! A text is read as it was, by whoever has nothing of it, from the history that a real relay tells.

mod common;

use std::time::{Duration, Instant};

use common::Server;
use corelay::client::{Client, Event, HistoryOptions, Settings, TextAt, revision_at};
use corelay::codec::record::{self, OperationsRecord};
use corelay::config::{self, Durability};
use corelay::store::{Backend, Write};
use corelay::text::{Operation, Text};
use tempfile::TempDir;

const TIMEOUT: Duration = Duration::from_secs(60);
const STARTED_AT_MS: u64 = 1_700_000_000_000;

/// The edit that leads to a revision: typing that moves on, with a word taken back now and then.
fn edit(revision: u64, length: usize) -> Operation {
    let position = (revision / 40).wrapping_mul(7919) as usize % (length + 1);
    match revision % 4 {
        0 if length > position => Operation::splice(position, 1, ""),
        _ => Operation::splice(position, 0, "xy"),
    }
}

/// A store with a text of so many operations, each committed alone, a second after the other. Returns the text at
/// `revision`.
fn write(directory: &TempDir, operations: u64, revision: u64) -> Text {
    let config = config::Store {
        path: directory.path().join("data"),
        durability: Durability::Never,
        ..config::Store::default()
    };
    let mut store = corelay::store::open(&config).expect("an empty store").store;
    let (mut text, mut then) = (Text::default(), Text::default());
    for newest in 1..=operations {
        let operation = edit(newest, text.len_utf16());
        text.apply(&operation).expect("it fits");
        if newest == revision {
            then = text.clone();
        }
        let record = record::encode_operations(&OperationsRecord {
            revision: newest,
            origin: 1,
            first_clock: newest - 1,
            operations: vec![operation.encode().into()],
            time_ms: STARTED_AT_MS + newest * 1000,
            author: "ada".into(),
        });
        let append = Write::Append {
            document: "paper".into(),
            kind: "text".into(),
            first_revision: newest,
            count: 1,
            record,
        };
        store.commit(&[append]).expect("there is room");
    }
    store.close().expect("there is room");
    then
}

fn page(client: &mut Client, options: HistoryOptions) -> corelay::codec::wire::HistoryPage {
    let asked = client.session().history(options).expect("there is room");
    loop {
        match client.next_event(TIMEOUT).expect("an answer in time") {
            Event::History { request, page } if request == asked => return page,
            Event::RequestRefused { refusal, .. } => panic!("{refusal:?}"),
            _other => (),
        }
    }
}

#[test]
fn a_text_is_read_at_a_revision_and_at_a_time() {
    let operations = std::env::var("CORELAY_OPERATIONS").map_or(20_000, |count| {
        count.parse().expect("CORELAY_OPERATIONS is a number")
    });
    let directory = TempDir::new().expect("there is room");
    let revision = operations - 100;
    let expected = write(&directory, operations, revision);
    let server = Server::spawn_in(directory.path(), &[]);
    let url = format!("tcp://{}", server.tcp);
    let mut client = Client::new(&url, Settings::default()).expect("it is a URL");

    let time_ms = STARTED_AT_MS + revision * 1000 + 999;
    let at_time = HistoryOptions::at_time("paper", time_ms);
    assert_eq!(revision_at(&page(&mut client, at_time)), revision);

    let begin = Instant::now();
    let (mut at, mut pages) = (TextAt::new("paper", Some(revision)), 0);
    while let Some(options) = at.next() {
        let page = page(&mut client, options);
        at.take(&page).expect("it fits");
        pages += 1;
    }
    let elapsed = begin.elapsed();
    println!("revision {revision} of {operations}: {pages} pages, {elapsed:?}");
    assert_eq!(*at.text(), expected);
}

//! What the blocking client asks of the real relay beside operations: snapshots of logs, and documents by name.

mod common;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{PATIENCE, Server};
use corelay::client::{
    Client, ConnectionRequest, DocumentKey, Event, ListOptions, OpenOptions, Session, Settings,
};
use corelay::codec::wire::ErrorCode;

fn client(url: &str, number: u8) -> Client {
    Client::new(url, common::settings(number)).expect("a valid URL")
}

fn open(client: &mut Client, document: &str) -> DocumentKey {
    client.session().open(OpenOptions {
        document: document.to_owned(),
        kind: "log".to_owned(),
        create: true,
        have: None,
    })
}

fn submit(client: &mut Client, document: DocumentKey, operation: &'static [u8]) {
    let now = client.now();
    let operation = Bytes::from_static(operation);
    let taken = client.session().submit(document, operation, now);
    taken.expect("there is room");
}

/// What `pick` makes of the first event that it takes.
fn until<T>(client: &mut Client, what: &str, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "{what} does not happen");
        let Some(event) = client.next_event(Duration::from_millis(100)) else {
            continue;
        };
        if let Some(picked) = pick(&event) {
            return picked;
        }
        if let Event::Violation(violation) = event {
            panic!("{violation}");
        }
    }
}

fn until_acknowledged(client: &mut Client) -> u64 {
    until(client, "an acknowledgement", |event| match event {
        Event::Acknowledged {
            first_revision,
            count,
            ..
        } => Some(first_revision + count - 1),
        _ => None,
    })
}

fn until_synced(client: &mut Client) -> Vec<Event> {
    let mut events = Vec::new();
    until(client, "catching up", |event| {
        events.push(event.clone());
        matches!(event, Event::Synced { .. }).then_some(())
    });
    events
}

/// The snapshot that came, if one did, and the operations after it.
fn content(events: &[Event]) -> (Option<(u64, Bytes)>, Vec<Bytes>) {
    let mut snapshot = None;
    let mut after = Vec::new();
    for event in events {
        match event {
            Event::Snapshot { revision, data, .. } => snapshot = Some((*revision, data.clone())),
            Event::Remote { operations, .. } => after.extend_from_slice(operations),
            _ => {}
        }
    }
    (snapshot, after)
}

#[test]
fn who_joins_a_log_is_sent_what_another_client_has_offered() {
    let server = Server::spawn(&["connection.message_bytes_max=64 KiB"]);
    // More than the socket takes at once, in messages of both transports.
    let summary: Bytes = (0..3 << 20).map(|at: u32| (at / 7) as u8).collect();
    for (number, url) in [
        (1, format!("ws://{}", server.websocket)),
        (3, format!("tcp://{}", server.tcp)),
    ] {
        let document = format!("board {number}");
        let mut ann = client(&url, number);
        let board = open(&mut ann, &document);
        submit(&mut ann, board, b"one");
        let revision = until_acknowledged(&mut ann);
        let early = ann
            .session()
            .offer_snapshot(board, revision + 1, Bytes::new());
        early.expect("the first");
        let refused = until(&mut ann, "a refusal", |event| match event {
            Event::SnapshotRefused { refusal, .. } => Some(refusal.clone()),
            _ => None,
        });
        assert!(refused.is(ErrorCode::SnapshotInvalid), "{refused:?}");
        let offered = ann
            .session()
            .offer_snapshot(board, revision, summary.clone());
        offered.expect("the one before is answered");
        submit(&mut ann, board, b"two");
        let mut waits_for = (true, true);
        until(&mut ann, "both answers", |event| {
            match event {
                Event::SnapshotAccepted { revision: 1, .. } => waits_for.0 = false,
                Event::Acknowledged {
                    first_revision: 2, ..
                } => waits_for.1 = false,
                _ => {}
            }
            (waits_for == (false, false)).then_some(())
        });

        let mut bob = client(&url, number + 1);
        open(&mut bob, &document);
        let (snapshot, after) = content(&until_synced(&mut bob));
        assert!(snapshot == Some((1, summary.clone())), "another snapshot");
        assert_eq!(after, [Bytes::from_static(b"two")]);
    }
}

#[test]
fn an_offer_in_more_pieces_than_may_come_at_once_is_accepted() {
    let server = Server::spawn(&[
        "connection.message_bytes_max=64 KiB",
        "rate.connection_requests_per_second=10",
        "rate.burst=1 s",
    ]);
    let mut ann = client(&format!("tcp://{}", server.tcp), 1);
    let board = open(&mut ann, "board");
    submit(&mut ann, board, b"one");
    until_acknowledged(&mut ann);
    let summary = Bytes::from(vec![7; 1 << 20]);
    let offered = ann.session().offer_snapshot(board, 1, summary);
    offered.expect("the first");
    until(&mut ann, "the acceptance", |event| match event {
        Event::SnapshotAccepted { .. } => Some(()),
        Event::SnapshotRefused { refusal, .. } => panic!("{refusal:?}"),
        _ => None,
    });
}

#[test]
fn documents_are_watched_deleted_and_restored() {
    let server = Server::spawn(&[]);
    let url = format!("tcp://{}", server.tcp);
    let mut watcher = client(&url, 1);
    let list = ListOptions {
        prefix: "notes/".to_owned(),
        watch: true,
        ..ListOptions::default()
    };
    let list = watcher.session().list(list).expect("room");
    let is_empty = until(&mut watcher, "the list", |event| match event {
        Event::Directory {
            request,
            documents,
            has_more,
        } if *request == list => Some(documents.is_empty() && !has_more),
        _ => None,
    });
    assert!(is_empty);

    let mut ann = client(&url, 2);
    let notes = open(&mut ann, "notes/today");
    submit(&mut ann, notes, b"one");
    until_acknowledged(&mut ann);
    let created = until(&mut watcher, "the news", |event| match event {
        Event::DirectoryUpdate { created, .. } => Some(created.clone()),
        _ => None,
    });
    assert_eq!(
        (created[0].document_id.as_str(), created[0].kind.as_str()),
        ("notes/today", "log")
    );

    // Who had it open does not ask for it again, and who asks is refused.
    delete(&mut watcher);
    until_deleted(&mut ann);
    open(&mut ann, "notes/today");
    until_deleted(&mut ann);
    watcher.session().restore("notes/today").expect("room");
    until(&mut watcher, "the restoring", |event| {
        matches!(event, Event::Deleted { undone: true, .. }).then_some(())
    });
    open(&mut ann, "notes/today");
    let (snapshot, operations) = content(&until_synced(&mut ann));
    assert_eq!(
        (snapshot, operations),
        (None, vec![Bytes::from_static(b"one")])
    );
    let absent = watcher.session().delete("notes/never").expect("room");
    let refusal = until(&mut watcher, "a refusal", |event| match event {
        Event::RequestRefused { request, refusal } if *request == absent => Some(refusal.clone()),
        _ => None,
    });
    assert!(refusal.is(ErrorCode::DocumentNotFound), "{refusal:?}");
    ann.stop();
}

fn delete(client: &mut Client) {
    client.session().delete("notes/today").expect("room");
    until(client, "the deletion", |event| {
        matches!(event, Event::Deleted { undone: false, .. }).then_some(())
    });
}

fn until_deleted(client: &mut Client) {
    let refusal = until(client, "the end of the document", |event| match event {
        Event::Closed { refusal, .. } => Some(refusal.clone()),
        _ => None,
    });
    assert!(refusal.is(ErrorCode::DocumentDeleted), "{refusal:?}");
}

/// Reads until the session has something to tell that `is_it`, or for `bytes_max`. Returns the bytes.
fn read_some(
    session: &mut Session,
    server: &Server,
    bytes_max: usize,
    is_it: impl Fn(&Event) -> bool,
) -> usize {
    let now = session.poll_timeout().expect("it wants to connect");
    let wants = session.poll_connection(now);
    assert_eq!(wants, Some(ConnectionRequest::Connect));
    session.handle_connected(now);
    let mut socket = common::client::stream(server.tcp);
    let mut bytes = 0;
    while bytes < bytes_max {
        let mut frames = Vec::new();
        session.poll_transmit(&mut frames, now);
        socket.write_all(&frames).expect("the relay reads");
        let mut some = vec![0; (bytes_max - bytes).min(16 * 1024)];
        let read = socket.read(&mut some).expect("the relay answers");
        assert!(read > 0, "the relay has closed the connection");
        bytes += read;
        session.handle_bytes(&some[..read], now);
        while let Some(event) = session.poll_event() {
            if is_it(&event) {
                return bytes;
            }
        }
    }
    session.handle_disconnected(now);
    bytes
}

#[test]
fn a_snapshot_that_was_cut_off_is_not_sent_again_from_its_beginning() {
    let server = Server::spawn(&["connection.message_bytes_max=64 KiB"]);
    let summary: Bytes = (0..1 << 20).map(|at: u32| (at / 7) as u8).collect();
    let mut ann = client(&format!("tcp://{}", server.tcp), 1);
    let board = open(&mut ann, "board");
    submit(&mut ann, board, b"one");
    until_acknowledged(&mut ann);
    let offered = ann.session().offer_snapshot(board, 1, summary.clone());
    offered.expect("the first");
    until(&mut ann, "the acceptance", |event| {
        matches!(event, Event::SnapshotAccepted { .. }).then_some(())
    });

    let settings = Settings {
        client_uuid: [2; 16],
        ..Settings::default()
    };
    let mut session = Session::new(settings, corelay::engine::Instant::default());
    session.open(OpenOptions {
        document: "board".to_owned(),
        ..OpenOptions::default()
    });
    let is_whole =
        |event: &Event| matches!(event, Event::Snapshot { data, .. } if *data == summary);
    let first = read_some(&mut session, &server, summary.len() / 2, is_whole);
    assert_eq!(first, summary.len() / 2);
    let rest = read_some(&mut session, &server, usize::MAX, is_whole);
    assert!(
        first + rest < summary.len() * 5 / 4,
        "{first} and {rest} bytes"
    );
}

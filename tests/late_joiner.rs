//! A client that comes back late is sent what it lacks, not the history.

mod common;

use std::time::Instant;

use bytes::Bytes;
use common::Server;
use common::client::Client;
use corelay::codec::wire::{Open, Operations, event, request};
use corelay::text::Operation;

const BATCHES: u64 = 100;
const BATCH_OPERATIONS: u64 = 100;

/// Opens the document with that state vector, and reads up to the last page. Returns how many operations and how many
/// bytes came.
fn catch_up(server: &Server, number: u64, vector: &[(u64, u64)]) -> (u64, usize) {
    let mut client = Client::tcp(server);
    client.hello(number);
    let before = client.bytes_received;
    client.request(request::Body::Open(Open {
        document: "long".to_owned(),
        state_vector: vector.iter().copied().collect(),
        ..Open::default()
    }));
    let mut operations = 0;
    client.expect("the last page", |event| match event {
        event::Body::SyncResponse(page) => {
            let batches = page.operations.iter();
            operations += batches.map(|it| it.operations.len() as u64).sum::<u64>();
            (!page.has_more).then_some(())
        }
        event::Body::RemoteOps(remote) => {
            operations += remote.operations.len() as u64;
            None
        }
        event::Body::Error(error) => panic!("{error:?}"),
        _another => None,
    });
    (operations, client.bytes_received - before)
}

#[test]
fn a_late_joiner_with_an_old_state_vector_gets_the_delta_only() {
    let server = Server::spawn(&[]);
    let mut writers: Vec<_> = (1..=2)
        .map(|number| {
            let mut client = Client::tcp(&server);
            let id = client.hello(number).client_id;
            let handle = client.open("long").document;
            (client, id, handle)
        })
        .collect();
    let payload = "an operation of sixty-four bytes, more or less as editors make it";
    let operations = vec![payload; BATCH_OPERATIONS as usize];
    for batch in 0..BATCHES {
        let (client, _, handle) = &mut writers[(batch % 2) as usize];
        let clock = batch / 2 * BATCH_OPERATIONS;
        client.send(*handle, batch, clock, &operations);
        client.ack(batch);
    }
    let total = BATCHES * BATCH_OPERATIONS;
    let of_each = total / 2;
    let [first, second] = [writers[0].1, writers[1].1];

    let (all, full_bytes) = catch_up(&server, 3, &[]);
    assert_eq!(all, total);
    for (missing, vector) in [
        (300, [(first, of_each - 101), (second, of_each - 201)]),
        // With a hole: all of one, not the last of the other.
        (400, [(first, of_each - 1), (second, of_each - 401)]),
    ] {
        let (sent, delta_bytes) = catch_up(&server, 3, &vector);
        println!(
            "{sent} of {all} operations: {delta_bytes} bytes on the wire, the full history {full_bytes}"
        );
        assert_eq!(sent, missing);
        assert!(delta_bytes * 10 < full_bytes);
    }
}

#[test]
fn a_late_joiner_gets_a_text_of_ten_megabytes_in_pieces() {
    const PIECES: u64 = 20;
    let server = Server::spawn(&[]);
    let open = |create| {
        request::Body::Open(Open {
            document: "large".to_owned(),
            kind: "text".to_owned(),
            create,
            ..Open::default()
        })
    };
    let mut writer = Client::tcp(&server);
    writer.hello(1);
    writer.request(open(true));
    let handle = writer.expect("Opened", |event| match event {
        event::Body::Opened(opened) => Some(opened.document),
        event::Body::Error(error) => panic!("{error:?}"),
        _another => None,
    });
    let text = "a line of text\n".repeat(33_334);
    let piece: Bytes = Operation::splice(0, 0, &text).encode().into();
    for batch in 0..PIECES {
        writer.request(request::Body::Operations(Operations {
            document: handle,
            client_seq: batch,
            first_clock: batch,
            base_revision: batch,
            operations: vec![piece.clone()],
            ..Operations::default()
        }));
        writer.ack(batch);
    }

    let mut joiner = Client::tcp(&server);
    joiner.hello(2);
    let started = Instant::now();
    joiner.request(open(false));
    let (mut bytes, mut pages) = (0, 0);
    joiner.expect("the last page", |event| match event {
        event::Body::SyncResponse(page) => {
            let data = page.snapshot.map_or(0, |chunk| chunk.data.len());
            assert!(data <= 1 << 20, "it comes in pieces");
            bytes += data;
            pages += 1;
            (!page.has_more).then_some(())
        }
        event::Body::Error(error) => panic!("{error:?}"),
        _another => None,
    });
    println!(
        "a text of {bytes} bytes in {pages} pages: {:?} after it was asked for",
        started.elapsed()
    );
    assert_eq!(bytes, PIECES as usize * text.len());
}

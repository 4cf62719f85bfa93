//! What the relay's own memory is for connections and documents that are quiet, byte by byte.

#[path = "fuzz/allocation.rs"]
mod allocation;
#[path = "../benches/support/forgetful.rs"]
mod forgetful;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corelay::codec::frame;
use corelay::codec::wire::{self, Request, request::Body};
use corelay::config::{self, Config, Durability};
use corelay::engine::shard::{Arrival, Authority, ConnectionId, Settings, Transport};
use corelay::engine::{Instant, Shard};
use corelay::text::Operation;

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;

const NOW: Instant = Instant::from_micros(0);
const CONNECTIONS: usize = 10_000;
const DOCUMENTS: usize = 1000;
/// How long a document is quiet before it rests: less than a connection is before it is pinged.
const QUIET: Duration = Duration::from_secs(10);

/// What the shell has of a connection at the most (see `server::connections`).
const SHELL_BYTES: usize = 224;
const CONNECTION_BYTES_MAX: usize = 1024;
const CONNECTION_WITH_DOCUMENT_BYTES_MAX: usize = 2048;
/// Also of one that was edited, when it is quiet.
const DOCUMENT_BYTES_MAX: usize = 4096;

fn shard() -> Shard {
    let config = Config::default();
    let document = config::Document {
        idle_timeout: QUIET,
        ..config.document
    };
    Shard::new(Settings {
        index: 0,
        shards: 1,
        connection: config.connection,
        rate: config.rate,
        document,
        fanout: config.fanout,
        presence: config.presence,
        memory: config.memory,
        durability: Durability::Always,
        epoch: 1,
        census: Arc::default(),
        identity_key: [0; 32],
        notes_occupancy: false,
        authority: Authority::Anybody,
        started_at_ms: 0,
    })
}

/// A client's binary WebSocket message; a mask of zeros leaves the payload as it is.
fn say(shard: &mut Shard, connection: ConnectionId, body: Body) {
    let payload = frame::encode(&Request::from(body));
    let length = u16::try_from(payload.len()).expect("it is short");
    let mut message = vec![0x82, 0xfe];
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(&payload);
    shard.handle_bytes(connection, &mut message, NOW);
}

fn hello(shard: &mut Shard, number: usize) -> ConnectionId {
    let arrival = Arrival::new(Transport::WebSocket);
    let connection = shard.connect(arrival, NOW).expect("there is room");
    let mut uuid = [0; 16];
    uuid[..8].copy_from_slice(&number.to_le_bytes());
    let hello = wire::Hello {
        protocol_version: 3,
        client_uuid: Bytes::copy_from_slice(&uuid),
        user_id: format!("user-{number}"),
        user_name: format!("User {number}"),
        ..Default::default()
    };
    say(shard, connection, Body::Hello(hello));
    connection
}

fn open(shard: &mut Shard, connection: ConnectionId, document: usize, kind: &str) {
    let open = wire::Open {
        document: format!("document-{document}"),
        kind: kind.to_owned(),
        create: true,
        ..Default::default()
    };
    say(shard, connection, Body::Open(open));
}

fn settle(shard: &mut Shard) {
    forgetful::store(shard, NOW);
    let mut out = Vec::new();
    while let Some(connection) = shard.poll_writable() {
        out.clear();
        shard.poll_transmit(connection, &mut out);
        let taken = out.len();
        shard.handle_sent(connection, &out, taken, NOW);
    }
}

/// What each of so many is of all that `work` leaves behind.
fn bytes_each(count: usize, work: impl FnOnce() -> Shard) -> usize {
    let (_shard, _, kept) = allocation::measured(work);
    kept / count
}

/// Connections that have said Hello and then open a document each, `members` the same one.
fn connected(documents: Option<(&str, usize)>) -> Shard {
    let mut shard = shard();
    for number in 0..CONNECTIONS {
        let connection = hello(&mut shard, number);
        if let Some((kind, members)) = documents {
            open(&mut shard, connection, number / members, kind);
        }
        settle(&mut shard);
    }
    shard
}

#[test]
fn a_quiet_connection_takes_a_kilobyte_and_two_with_a_document() {
    let alone = bytes_each(CONNECTIONS, || connected(None));
    println!("a connection: {alone} bytes in the engine, and at most {SHELL_BYTES} beside it");
    assert!(alone + SHELL_BYTES <= CONNECTION_BYTES_MAX);
    for kind in ["log", "text"] {
        let each = bytes_each(CONNECTIONS, || connected(Some((kind, 10))));
        println!("a connection, ten of which have a {kind} open: {each} bytes");
        assert!(each + SHELL_BYTES <= CONNECTION_WITH_DOCUMENT_BYTES_MAX);
        let with_own = bytes_each(CONNECTIONS, || connected(Some((kind, 1))));
        println!("an open {kind} that is empty: {} bytes", with_own - alone);
        assert!(with_own - alone <= DOCUMENT_BYTES_MAX);
    }
}

/// Documents, a hundred on each connection, with so many batches of operations in each.
fn edited(kind: &str, batches: u64) -> Shard {
    const OF_EACH_CONNECTION: usize = 100;
    let mut shard = shard();
    for number in 0..DOCUMENTS / OF_EACH_CONNECTION {
        let connection = hello(&mut shard, number);
        for index in 0..OF_EACH_CONNECTION {
            let document = number * OF_EACH_CONNECTION + index;
            open(&mut shard, connection, document, kind);
            settle(&mut shard);
            for clock in 0..batches {
                edit(&mut shard, connection, document, kind, clock);
                settle(&mut shard);
            }
        }
    }
    shard
}

/// The next operation of the one client of a document.
fn edit(shard: &mut Shard, connection: ConnectionId, document: usize, kind: &str, clock: u64) {
    let operation = match (kind, clock % 2) {
        ("text", 0) => Operation::splice(0, 0, "some words").encode().into(),
        ("text", _) => Operation::splice(0, 10, "").encode().into(),
        _log => Bytes::from_static(&[7; 100]),
    };
    let operations = wire::Operations {
        // Handles are given in the order in which documents are opened.
        document: document as u64 + 1,
        client_seq: clock,
        first_clock: clock,
        base_revision: clock,
        operations: vec![operation],
        ..Default::default()
    };
    say(shard, connection, Body::Operations(operations));
}

#[test]
fn a_document_that_was_edited_takes_little_when_it_is_quiet() {
    for kind in ["log", "text"] {
        let busy = bytes_each(DOCUMENTS, || edited(kind, 500));
        let quiet = bytes_each(DOCUMENTS, || {
            let mut shard = edited(kind, 500);
            shard.handle_timeout(NOW + QUIET);
            settle(&mut shard);
            shard
        });
        println!("a {kind} of 500 operations: {busy} bytes, {quiet} when it is quiet");
        assert!(busy > 100_000 && quiet <= DOCUMENT_BYTES_MAX);
    }
}

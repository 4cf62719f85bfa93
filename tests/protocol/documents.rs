//! A document's life: snapshots, idleness, and the memory that all of them share.

use std::time::Duration;

use corelay::codec::record;
use corelay::codec::wire::{ErrorCode, SyncMode};
use corelay::engine::shard::Settings;
use corelay::store::StoreRequest;
use corelay::text::Operation;

use crate::expect;
use crate::fixture::Relay;
use crate::requests::{close, log_batch, open, text_batch};

const IDLE: Duration = Duration::from_secs(300);
const SECOND: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(1);

/// The revisions of the snapshots that the store was given.
fn snapshots(relay: &Relay) -> Vec<u64> {
    let revision = |request: &StoreRequest| match request {
        StoreRequest::PutSnapshot { revision, .. } => Some(*revision),
        StoreRequest::Append { .. }
        | StoreRequest::Load { .. }
        | StoreRequest::Read { .. }
        | StoreRequest::Delete { .. }
        | StoreRequest::Restore { .. }
        | StoreRequest::Sweep { .. }
        | StoreRequest::List { .. }
        | StoreRequest::History { .. }
        | StoreRequest::SaveVersion { .. }
        | StoreRequest::DeleteVersion { .. }
        | StoreRequest::ListVersions { .. } => None,
    };
    relay.served.iter().filter_map(revision).collect()
}

#[test]
fn a_snapshot_is_taken_after_so_many_operations() {
    let mut relay = Relay::with(1, |settings| settings.document.snapshot_operations = 10);
    let (ann, notes) = relay.joined("ann", "notes", "log");
    for clock in 0..9 {
        relay.send(
            ann,
            log_batch(notes, clock, ["a payload that pays for the snapshot"]),
        );
    }
    assert_eq!(snapshots(&relay), [0; 0]);
    relay.send(ann, log_batch(notes, 9, ["x", "y", "z"]));
    assert_eq!(snapshots(&relay), [12]);
    let Some(StoreRequest::PutSnapshot { snapshot, .. }) = relay.served.last() else {
        panic!("it is last");
    };
    let record = record::decode_snapshot(snapshot).expect("the engine wrote it");
    assert_eq!((record.revision, record.clients.len()), (12, 1));
    assert_eq!(record.clients[0].next_clock, 12);
}

#[test]
fn a_snapshot_is_taken_after_so_long() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "log");
    let period = relay_period();
    relay.send(ann, log_batch(notes, 0, [vec![0; 500]]));
    relay.pass(period - MOMENT);
    assert_eq!(snapshots(&relay), [0; 0]);
    relay.pass(MOMENT);
    relay.send(ann, log_batch(notes, 1, ["x"]));
    assert_eq!(snapshots(&relay).len(), 1);
    relay.pass(3 * period);
    assert!(snapshots(&relay).len() <= 2, "nothing has happened");
}

fn relay_period() -> Duration {
    corelay::config::Config::default().document.snapshot_period
}

#[test]
fn snapshots_cost_no_more_than_the_operations_did() {
    let mut relay = Relay::with(1, |settings| settings.document.snapshot_operations = 2);
    let (ann, notes) = relay.joined("ann", "notes", "text");
    let large = Operation::splice(0, 0, &"x".repeat(20_000));
    relay.send(ann, text_batch(notes, 0, 0, &[large]));
    let mut written = 0;
    for clock in 1..200 {
        let edit = Operation::splice(7, 1, "y");
        // What an operation costs beside its own bytes is counted, too.
        written += edit.encode().len() + 100;
        relay.send(ann, text_batch(notes, clock, clock, &[edit]));
    }
    assert!((20_000..40_000).contains(&written));
    let snapshots = snapshots(&relay);
    assert_eq!(snapshots.len(), 2, "{snapshots:?}");
}

#[test]
fn what_late_operations_need_is_let_go_when_a_document_is_quiet() {
    let mut relay = Relay::with(1, |settings| settings.document.idle_timeout = SECOND);
    let (ann, notes) = relay.joined("ann", "notes", "text");
    let (ben, _) = relay.joined("ben", "notes", "text");
    for clock in 0..2 {
        let edit = Operation::splice(0, 0, "some text");
        relay.send(ann, text_batch(notes, clock, clock, &[edit]));
    }
    relay.drain(ann);
    relay.drain(ben);
    let document_bytes = |relay: &Relay| relay.shards[0].metrics().document_bytes;
    let busy = document_bytes(&relay);

    relay.pass(SECOND);
    assert!(document_bytes(&relay) < busy);
    let edit = Operation::splice(0, 0, "late");
    relay.send(ben, text_batch(notes, 0, 1, std::slice::from_ref(&edit)));
    let nack = expect!(relay, ben, Nack);
    assert_eq!(nack.code, ErrorCode::SyncConflict as i32);
    relay.send(ben, text_batch(notes, 0, 2, &[edit]));
    expect!(relay, ben, Ack);
    assert_eq!(expect!(relay, ann, RemoteOps).revision, 3);
    relay.assert_quiet(ann);
    relay.assert_quiet(ben);
}

#[test]
fn a_document_does_not_rest_while_somebody_reads_its_ring() {
    let mut relay = Relay::with(1, |settings| settings.document.idle_timeout = SECOND);
    let (ann, notes) = relay.joined("ann", "notes", "log");
    let (ben, _) = relay.joined("ben", "notes", "log");
    relay.limit(ben, 0);
    for clock in 0..2 {
        relay.send(ann, log_batch(notes, clock, ["an operation"]));
    }
    relay.pass(3 * SECOND);
    relay.limit(ben, usize::MAX);
    for revision in 1..=2 {
        assert_eq!(expect!(relay, ben, RemoteOps).revision, revision);
    }
    relay.assert_quiet(ben);
}

#[test]
fn one_more_snapshot_when_the_last_peer_leaves_and_only_if_there_is_something() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "text");
    let (ben, _) = relay.joined("ben", "notes", "text");
    let edits = [
        Operation::splice(0, 0, &"x".repeat(500)),
        Operation::splice(0, 400, ""),
    ];
    relay.send(ann, text_batch(notes, 0, 0, &edits));
    expect!(relay, ann, Ack);
    relay.send(ann, close(notes));
    assert_eq!(snapshots(&relay), [0; 0]);
    relay.vanish(ben);
    assert_eq!(snapshots(&relay), [2]);
    relay.open(ann, "notes", "text");
    relay.send(ann, close(notes));
    assert_eq!(snapshots(&relay), [2], "it is the same");
}

#[test]
fn who_comes_and_goes_has_no_more_stored_than_they_write() {
    const WORTH: u64 = 10;
    let mut relay = Relay::with(1, |settings| settings.document.snapshot_operations = WORTH);
    let (ann, mut notes) = relay.joined("ann", "notes", "text");
    let edits = [
        Operation::splice(0, 0, &"x".repeat(20_000)),
        Operation::splice(0, 1000, ""),
    ];
    relay.send(ann, text_batch(notes, 0, 0, &edits));
    relay.send(ann, close(notes));
    relay.drain(ann);
    assert_eq!(snapshots(&relay), [2], "it has been paid for");
    let mut last = 2;
    let mut visit = |relay: &mut Relay, idle: Duration| {
        let opened = relay.open(ann, "notes", "text");
        notes = opened.document;
        let edit = text_batch(notes, last, last, &[Operation::splice(7, 1, "y")]);
        relay.send(ann, edit);
        relay.send(ann, close(notes));
        relay.drain(ann);
        last += 1;
        relay.pass(idle);
    };
    for _ in 0..30 {
        visit(&mut relay, MOMENT);
    }
    assert_eq!(snapshots(&relay), [2], "30 letters do not pay for 19,000");
    // Once it has left memory, it comes back with fewer operations to replay than a snapshot is worth.
    relay.pass(IDLE);
    assert_eq!(snapshots(&relay), [2, 32]);
    for _ in 1..WORTH {
        visit(&mut relay, IDLE);
        assert_eq!(relay.shards[0].metrics().documents, 0);
    }
    assert_eq!(snapshots(&relay), [2, 32]);
    visit(&mut relay, IDLE);
    assert_eq!(snapshots(&relay), [2, 32, 42]);
}

#[test]
fn an_idle_document_is_dropped_after_five_minutes_with_all_it_held() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "text");
    relay.send(
        ann,
        text_batch(notes, 0, 0, &[Operation::splice(0, 0, "kept")]),
    );
    relay.drain(ann);
    relay.send(ann, close(notes));
    relay.pass(IDLE - MOMENT);
    assert_eq!(relay.shards[0].metrics().documents, 1);
    // Somebody comes and goes: it begins again.
    relay.open(ann, "notes", "text");
    relay.drain(ann);
    relay.send(ann, close(notes));
    relay.pass(IDLE - MOMENT);
    assert_eq!(relay.shards[0].metrics().documents, 1);
    relay.pass(MOMENT);
    let metrics = relay.shards[0].metrics();
    assert_eq!((metrics.documents, metrics.document_bytes), (0, 0));
    let again = relay.open(ann, "notes", "text");
    assert_ne!(again.document, notes, "a handle is given once");
    assert_eq!(again.sync(), SyncMode::Snapshot);
    assert_eq!(again.next_clock, 1);
}

#[test]
fn an_idle_document_waits_for_what_is_on_its_way_to_the_disk() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "log");
    relay.hold_store();
    relay.send(ann, log_batch(notes, 0, ["x"]));
    relay.send(ann, close(notes));
    relay.pass(2 * IDLE);
    assert_eq!(relay.shards[0].metrics().documents, 1);
    relay.release_store();
    relay.pass(IDLE);
    let metrics = relay.shards[0].metrics();
    assert_eq!((metrics.documents, metrics.pending_bytes), (0, 0));
    assert_eq!(relay.open(ann, "notes", "log").next_clock, 1);
}

#[test]
fn when_memory_is_used_up_idle_documents_make_room_and_then_it_is_said() {
    let small = |settings: &mut Settings| settings.memory.document_bytes_max = 50_000;
    let mut relay = Relay::with(1, small);
    let (ann, first) = relay.joined("ann", "first", "text");
    let large = || Operation::splice(0, 0, &"x".repeat(30_000));
    relay.send(ann, text_batch(first, 0, 0, &[large()]));
    expect!(relay, ann, Ack);
    assert!(relay.shards[0].metrics().document_bytes > 50_000);
    // Its members cannot write, and others cannot open; nobody is closed.
    relay.send(
        ann,
        text_batch(first, 1, 1, &[Operation::splice(0, 0, "y")]),
    );
    let nack = expect!(relay, ann, Nack);
    assert_eq!(
        (nack.code(), nack.retryable),
        (ErrorCode::ServiceUnavailable, true)
    );
    assert!(nack.message.contains("memory") && nack.retry_after_ms > 0);
    let ben = relay.greeted("ben");
    relay.send(ben, open("second", "log", true));
    let error = expect!(relay, ben, Error);
    assert_eq!(error.code(), ErrorCode::ServiceUnavailable);
    assert!(error.message.contains("memory") && error.retryable);
    // What is open can be joined.
    relay.open(ben, "first", "text");
    relay.drain(ben);
    // As soon as the large one is idle, it goes.
    relay.send(ann, close(first));
    relay.send(ben, close(first));
    let second = relay.open(ben, "second", "log");
    relay.send(ben, log_batch(second.document, 0, ["x"]));
    expect!(relay, ben, Ack);
    assert_eq!(relay.shards[0].metrics().documents, 1);
}

#[test]
fn slow_readers_of_a_large_text_share_what_they_read() {
    const BYTES: usize = 400_000;
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "text");
    let large = Operation::splice(0, 0, &"x".repeat(BYTES));
    relay.send(ann, text_batch(notes, 0, 0, &[large]));
    let alone = relay.shards[0].metrics().document_bytes;
    for number in 1..20 {
        let reader = relay.greeted(&format!("reader-{number}"));
        relay.limit(reader, 0);
        relay.push(reader, open("notes", "text", false));
        let edit = Operation::splice(number, 1, "y");
        let clock = number as u64;
        relay.send(ann, text_batch(notes, clock, clock, &[edit]));
        assert_eq!(expect!(relay, ann, Ack).clock, clock - 1);
    }
    let held = relay.shards[0].metrics().document_bytes - alone;
    assert!(
        held >= BYTES as u64,
        "a version that was left behind counts"
    );
    assert!(
        held < 2 * BYTES as u64,
        "there is one for all: {held} bytes"
    );
}

//! Open: what a client that joins is told, and what it is brought up to.

use corelay::codec::wire::{ErrorCode, SyncMode, event, request};
use corelay::codec::{record, wire};
use corelay::store::{Loaded, ReadError, StoreReply, StoreRequest};
use corelay::text::Operation;

use crate::expect;
use crate::fixture::{Client, Relay, STARTED_AT_MS, TRANSPORTS};
use crate::history::open_with;
use crate::requests::{close, hello, log_batch, open, open_from, text_batch};

/// What is left of catching up: the operations, from pages and from the broadcast, and the snapshot, if there was
/// one.
pub fn pages(relay: &mut Relay, client: Client) -> (Vec<wire::RemoteOps>, Option<Vec<u8>>) {
    let mut operations = Vec::new();
    let mut snapshot: Option<Vec<u8>> = None;
    loop {
        let page = match relay.next(client) {
            Some(event::Body::SyncResponse(page)) => page,
            Some(event::Body::RemoteOps(remote)) => {
                operations.push(remote);
                continue;
            }
            other => panic!("expected a page or operations, got {other:#?}"),
        };
        if let Some(chunk) = page.snapshot {
            let data = snapshot.get_or_insert_default();
            assert_eq!(chunk.offset, data.len() as u64);
            assert!(
                std::str::from_utf8(&chunk.data).is_ok(),
                "never cut inside a character"
            );
            data.extend_from_slice(&chunk.data);
            assert!(data.len() as u64 <= chunk.bytes_total);
        }
        operations.extend(page.operations);
        if !page.has_more {
            return (operations, snapshot);
        }
    }
}

pub fn text_of(snapshot: Option<Vec<u8>>) -> String {
    String::from_utf8(snapshot.expect("a snapshot came")).expect("texts are UTF-8")
}

fn payloads(operations: &[wire::RemoteOps]) -> Vec<&[u8]> {
    let all = operations.iter().flat_map(|remote| &remote.operations);
    all.map(|operation| &operation[..]).collect()
}

#[test]
fn hello_is_answered_with_who_one_is_and_what_holds() {
    for transport in TRANSPORTS {
        let mut relay = Relay::new();
        let [first, again, other] = ["ann", "ann", "ben"].map(|name| {
            let client = relay.connect(transport);
            relay.send(client, hello(name));
            expect!(relay, client, Connected)
        });
        assert_eq!(first.client_id, again.client_id);
        assert_ne!(first.client_id, other.client_id);
        assert!((1..1 << 53).contains(&first.client_id));
        assert_eq!(first.protocol_version, 3);
        assert_eq!(first.server_time_ms, STARTED_AT_MS);
        assert_eq!(first.message_bytes_max, 1024 * 1024);
        assert_eq!(first.batch_operations_max, 1000);
        assert_eq!(first.ping_period_ms, 54_000);
        assert_eq!(first.presence_ttl_ms, 30_000);
    }
}

#[test]
fn a_client_that_speaks_a_later_version_too_is_served() {
    let mut relay = Relay::new();
    let client = relay.connect(TRANSPORTS[0]);
    let request::Body::Hello(ann) = hello("ann") else {
        unreachable!()
    };
    let later = wire::Hello {
        protocol_version: 900,
        ..ann
    };
    relay.send(client, request::Body::Hello(later));
    assert_eq!(expect!(relay, client, Connected).protocol_version, 3);
}

#[test]
fn a_document_that_is_created_begins_at_revision_0() {
    for transport in TRANSPORTS {
        for kind in ["log", "text"] {
            let mut relay = Relay::new();
            let ann = relay.greeted_over("ann", transport);
            relay.hold_store();
            relay.send(ann, open("notes", kind, true));
            relay.assert_quiet(ann);
            relay.release_store();
            let opened = expect!(relay, ann, Opened);
            assert_eq!(opened.request_id, 1);
            assert_ne!(opened.document, 0);
            assert_eq!(opened.kind, kind);
            let position = wire::Position {
                epoch: 1,
                revision: 0,
            };
            assert_eq!(opened.position, Some(position));
            assert_eq!(opened.sync(), SyncMode::UpToDate);
            assert_eq!((opened.from_revision, opened.next_clock), (0, 0));
            let permissions = opened.permissions.expect("they are told");
            assert!(permissions.read && permissions.write);
            assert!(opened.presences.is_empty());
            assert!(opened.color.starts_with('#') && opened.color.len() == 7);
            relay.assert_quiet(ann);
        }
    }
}

#[test]
fn a_document_that_nobody_creates_is_not_found_and_leaves_nothing() {
    let mut relay = Relay::new();
    let ann = relay.greeted("ann");
    for request in [
        open("notes", "log", false),
        open("notes", "", true),
        open("notes", "", false),
    ] {
        relay.send(ann, request);
        let error = expect!(relay, ann, Error);
        assert_eq!(error.code(), ErrorCode::DocumentNotFound);
        assert_eq!((error.request_id, error.retryable), (1, false));
        let metrics = relay.shards[0].metrics();
        assert_eq!((metrics.documents, metrics.document_bytes), (0, 0));
    }
    relay.open(ann, "notes", "log");
}

#[test]
fn a_document_that_got_no_operation_is_forgotten_with_its_last_peer() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "log");
    relay.send(ann, close(notes));
    relay.send(ann, open("notes", "", false));
    assert_eq!(
        expect!(relay, ann, Error).code(),
        ErrorCode::DocumentNotFound
    );
    assert_eq!(relay.open(ann, "notes", "text").kind, "text");
}

#[test]
fn a_warm_join_gets_what_is_there() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "log");
    relay.send(ann, log_batch(notes, 0, ["one", "two"]));
    relay.send(ann, log_batch(notes, 2, ["three"]));
    let ben = relay.greeted("ben");
    let opened = relay.open(ben, "notes", "");
    assert_eq!(opened.document, notes, "the handle is everybody's");
    assert_eq!(opened.kind, "log");
    assert_eq!(opened.position.map(|p| p.revision), Some(3));
    assert_eq!((opened.sync(), opened.from_revision), (SyncMode::Delta, 0));
    let (missed, _) = pages(&mut relay, ben);
    let places = missed
        .iter()
        .map(|batch| (batch.revision, batch.first_clock));
    assert_eq!(places.collect::<Vec<_>>(), [(1, 0), (3, 2)]);
    assert_eq!(payloads(&missed), [b"one" as &[u8], b"two", b"three"]);
}

#[test]
fn a_warm_join_of_a_text_gets_a_snapshot() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "text");
    relay.send(
        ann,
        text_batch(notes, 0, 0, &[Operation::splice(0, 0, "grüß 👋")]),
    );
    let ben = relay.greeted("ben");
    let opened = relay.open(ben, "notes", "text");
    assert_eq!(
        (opened.sync(), opened.from_revision),
        (SyncMode::Snapshot, 1)
    );
    let (operations, snapshot) = pages(&mut relay, ben);
    assert!(operations.is_empty());
    assert_eq!(text_of(snapshot), "grüß 👋");
}

#[test]
fn a_client_that_has_it_all_or_half_gets_no_more_than_it_lacks() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "text");
    for revision in 0..3 {
        let edit = Operation::splice(0, 0, "x");
        relay.send(ann, text_batch(notes, revision, revision, &[edit]));
    }
    let ben = relay.greeted("ben");
    relay.send(ben, open_from("notes", 1, 3));
    let opened = expect!(relay, ben, Opened);
    assert_eq!(
        (opened.sync(), opened.from_revision),
        (SyncMode::UpToDate, 3)
    );
    relay.assert_quiet(ben);

    let cid = relay.greeted("cid");
    relay.send(cid, open_from("notes", 1, 2));
    let opened = expect!(relay, cid, Opened);
    assert_eq!((opened.sync(), opened.from_revision), (SyncMode::Delta, 2));
    let (missed, snapshot) = pages(&mut relay, cid);
    assert_eq!((missed.len(), missed[0].revision, snapshot), (1, 3, None));
    relay.assert_quiet(cid);
}

#[test]
fn what_is_of_another_epoch_or_from_the_future_is_void() {
    for (epoch, revision) in [(2, 1), (0, 1), (1, 2), (1, u64::MAX)] {
        let mut relay = Relay::new();
        let (ann, notes) = relay.joined("ann", "notes", "text");
        relay.send(
            ann,
            text_batch(notes, 0, 0, &[Operation::splice(0, 0, "x")]),
        );
        let ben = relay.greeted("ben");
        relay.send(ben, open_from("notes", epoch, revision));
        let opened = expect!(relay, ben, Opened);
        assert_eq!(
            (opened.sync(), opened.from_revision),
            (SyncMode::Snapshot, 1)
        );
        assert_eq!(text_of(pages(&mut relay, ben).1), "x");

        let (cid, log) = relay.joined("cid", "log", "log");
        relay.send(cid, log_batch(log, 0, ["x"]));
        relay.send(ben, open_from("log", epoch, revision));
        let opened = expect!(relay, ben, Opened);
        assert_eq!((opened.sync(), opened.from_revision), (SyncMode::Delta, 0));
    }
}

#[test]
fn a_cold_join_finds_snapshot_and_operations() {
    for kind in ["log", "text"] {
        let mut relay = Relay::with(1, |settings| settings.document.snapshot_operations = 4);
        let (ann, notes) = relay.joined("ann", "notes", kind);
        for clock in 0..20 {
            let edit = Operation::splice(0, 0, &format!("{clock} and some more text; "));
            relay.send(ann, text_batch(notes, clock, clock, &[edit]));
        }
        let snapshots =
            |request: &StoreRequest| matches!(request, StoreRequest::PutSnapshot { .. });
        assert!(relay.served.iter().any(snapshots), "{kind}");
        relay.restart(|_| ());

        let ben = relay.greeted("ben");
        let opened = relay.open(ben, "notes", "");
        assert_eq!(opened.kind, kind);
        assert_eq!(opened.position.map(|p| p.revision), Some(20));
        let (operations, snapshot) = pages(&mut relay, ben);
        if kind == "text" {
            assert!(text_of(snapshot).starts_with("19 and some more text; 18 and"));
        } else {
            let revisions: Vec<u64> = operations.iter().map(|remote| remote.revision).collect();
            assert_eq!(revisions, (1..=20).collect::<Vec<_>>());
        }
        relay.assert_quiet(ben);

        // Ann is known by what she had sent, and goes on.
        let ann = relay.greeted("ann");
        relay.send(ann, open_from("notes", 1, 20));
        assert_eq!(expect!(relay, ann, Opened).next_clock, 20);
    }
}

#[test]
fn first_joins_at_the_same_time_wait_for_one_load() {
    let mut relay = Relay::new();
    relay.hold_store();
    let clients = ["ann", "ben", "cid"].map(|name| relay.greeted(name));
    for client in clients {
        relay.send(client, open("notes", "log", client == clients[1]));
    }
    assert_eq!(relay.held.len(), 1);
    relay.release_store();
    for client in clients {
        assert_eq!(expect!(relay, client, Opened).kind, "log");
    }
}

#[test]
fn a_failed_load_is_said_to_all_who_wait_and_leaves_nothing() {
    let mut relay = Relay::new();
    relay.hold_store();
    let clients = ["ann", "ben"].map(|name| relay.greeted(name));
    for client in clients {
        relay.send(client, open("notes", "log", true));
    }
    let fail = |relay: &mut Relay| {
        let Some((0, StoreRequest::Load { document })) = relay.held.pop_front() else {
            panic!("a load is asked for");
        };
        let result = Err(ReadError::passing("a bad sector"));
        let token = document.token;
        relay.reply(0, StoreReply::Loaded { token, result });
    };
    fail(&mut relay);
    for client in clients {
        let error = expect!(relay, client, Error);
        assert_eq!(error.code(), ErrorCode::ServiceUnavailable);
        assert!(error.retryable && error.retry_after_ms > 0);
        assert!(!error.message.contains("a bad sector"), "{}", error.message);
    }
    let metrics = relay.shards[0].metrics();
    assert_eq!((metrics.documents, metrics.document_bytes), (0, 0));
    relay.release_store();
    relay.open(clients[0], "notes", "log");
}

#[test]
fn a_stored_document_that_does_not_fit_together_is_a_failed_load() {
    let operations = |revision: u64, first_clock| {
        record::encode_operations(&record::OperationsRecord {
            revision,
            origin: 5,
            first_clock,
            operations: vec![Operation::splice(0, 0, "x").encode().into()],
            time_ms: 0,
            author: "".into(),
        })
    };
    let snapshot = |state: &'static [u8]| {
        let record = record::SnapshotRecord {
            revision: 1,
            state: state.into(),
            ..Default::default()
        };
        Some((1, record::encode_snapshot(&record)))
    };
    let good = || corelay::store::LoadedDocument {
        kind: "text".into(),
        snapshot: None,
        records: vec![operations(1, 0), operations(2, 1)],
        first_revision: 1,
        history_from_revision: 1,
        stored_bytes: 0,
    };
    let cases = [
        ("a gap in revisions", None, vec![operations(2, 0)], "text"),
        ("a gap in clocks", None, vec![operations(1, 1)], "text"),
        (
            "garbage",
            None,
            vec![bytes::Bytes::from_static(b"\x01junk")],
            "text",
        ),
        (
            "another format",
            None,
            vec![bytes::Bytes::from_static(b"\xffjunk")],
            "text",
        ),
        ("no UTF-8", snapshot(b"\xff"), vec![], "text"),
        ("an unknown kind", None, vec![operations(1, 0)], "sheet"),
    ];
    for (what, snapshot, records, kind) in cases {
        let mut relay = Relay::new();
        relay.hold_store();
        let ann = relay.greeted("ann");
        let load = |relay: &mut Relay, loaded| {
            relay.send(ann, open("notes", "", false));
            let Some((0, StoreRequest::Load { document })) = relay.held.pop_front() else {
                panic!("a load is asked for");
            };
            let token = document.token;
            let result = Ok(Loaded::Live(loaded));
            relay.reply(0, StoreReply::Loaded { token, result });
        };
        let broken = corelay::store::LoadedDocument {
            kind: kind.into(),
            snapshot,
            records,
            ..good()
        };
        load(&mut relay, broken);
        let error = expect!(relay, ann, Error);
        assert_eq!(
            (error.code(), error.retryable),
            (ErrorCode::InternalError, false),
            "{what}"
        );
        let told = relay.shards[0].poll_unreadable().expect("it is said");
        assert!(&*told.document == "notes" && told.is_damaged, "{told:?}");
        assert!(!error.message.contains(&told.reason), "{}", error.message);
        let metrics = relay.shards[0].metrics();
        assert_eq!((metrics.documents, metrics.load_failures), (0, 1));
        load(&mut relay, good());
        assert_eq!(expect!(relay, ann, Opened).next_clock, 0);
    }
}

#[test]
fn who_leaves_before_the_load_is_done_is_not_waited_for() {
    let mut relay = Relay::new();
    relay.hold_store();
    let ann = relay.greeted("ann");
    relay.send(ann, open("notes", "log", true));
    relay.vanish(ann);
    relay.release_store();
    assert_eq!(relay.shards[0].metrics().documents, 0);
}

#[test]
fn opening_again_on_the_same_connection_starts_again() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "log");
    relay.send(ann, log_batch(notes, 0, ["one", "two"]));
    expect!(relay, ann, Ack);
    let opened = relay.open(ann, "notes", "log");
    assert_eq!((opened.sync(), opened.next_clock), (SyncMode::Delta, 2));
    // It said that it has nothing: it is given what it wrote itself, not told that it wrote it.
    let (own, _) = pages(&mut relay, ann);
    assert_eq!((own[0].revision, own[0].operations.len()), (1, 2));
    relay.assert_quiet(ann);
    relay.send(ann, log_batch(notes, 2, ["three"]));
    assert_eq!(expect!(relay, ann, Ack).first_revision, 3);
}

#[test]
fn leaving_and_opening_again_gives_everything_back() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "log");
    relay.send(ann, log_batch(notes, 0, ["one"]));
    expect!(relay, ann, Ack);
    relay.send(ann, close(notes));
    relay.open(ann, "notes", "log");
    assert_eq!(pages(&mut relay, ann).0[0].operations, ["one"]);
    relay.assert_quiet(ann);
}

#[test]
fn a_second_connection_of_the_same_client_replaces_the_first() {
    let mut relay = Relay::new();
    let (first, notes) = relay.joined("ann", "notes", "log");
    let second = relay.greeted("ann");
    relay.open(second, "notes", "log");
    let closed = expect!(relay, first, Close);
    assert_eq!(
        (closed.document, closed.code()),
        (notes, ErrorCode::Replaced)
    );
    assert!(!closed.retryable);
    assert!(
        !relay.is_closed(first),
        "the connection has other documents"
    );
    relay.send(first, log_batch(notes, 0, ["late"]));
    assert_eq!(
        expect!(relay, first, Nack).code(),
        ErrorCode::DocumentNotOpen
    );
    relay.send(second, log_batch(notes, 0, ["one"]));
    assert_eq!(expect!(relay, second, Ack).first_revision, 1);
    relay.open(first, "elsewhere", "log");
    // The one that was replaced does not take the other with it.
    relay.vanish(first);
    relay.send(second, log_batch(notes, 1, ["two"]));
    assert_eq!(expect!(relay, second, Ack).first_revision, 2);
}

#[test]
fn a_url_names_the_document_that_an_empty_name_opens() {
    let mut relay = Relay::new();
    let ann = relay.connect_to(0, TRANSPORTS[1], Some("notes"));
    relay.send(ann, hello("ann"));
    expect!(relay, ann, Connected);
    let notes = relay.open(ann, "", "log").document;
    assert_eq!(relay.open(ann, "notes", "log").document, notes);
    assert_ne!(relay.open(ann, "others", "log").document, notes);
}

#[test]
fn only_so_many_documents_are_loaded_at_one_time() {
    let mut relay = Relay::with(1, |settings| settings.memory.document_loads_max = 2);
    relay.hold_store();
    let ann = relay.greeted("ann");
    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        relay.send(ann, open(name, "log", true));
    }
    assert_eq!(relay.held.len(), 2);
    for _ in names {
        assert!(relay.held.len() <= 2);
        assert!(relay.serve_one());
        expect!(relay, ann, Opened);
    }
    assert!(relay.held.is_empty());
}

#[test]
fn what_waits_for_a_document_is_held_in_memory_and_refused_where_there_is_none() {
    const MAX: u64 = 100_000;
    let mut relay = Relay::with(1, |settings| {
        settings.memory.document_bytes_max = MAX as usize;
    });
    relay.hold_store();
    let mut taken = 0;
    let refused = loop {
        let client = relay.greeted(&format!("client{taken}"));
        relay.send(
            client,
            open_with("notes", |open| {
                open.kind = "log".to_owned();
                open.create = true;
                open.state_vector = (0..500).map(|id| (id, 0)).collect();
                open.resume_token = vec![0; 1000].into();
            }),
        );
        assert!(relay.shards[0].metrics().document_bytes < MAX + 20_000);
        match relay.next(client) {
            None => taken += 1,
            Some(event::Body::Error(error)) => break error,
            Some(other) => panic!("{other:?}"),
        }
    };
    assert!((3..10).contains(&taken), "{taken}");
    assert_eq!(
        (refused.code(), refused.retryable),
        (ErrorCode::ServiceUnavailable, true)
    );
    relay.release_store();
    assert!(relay.shards[0].metrics().document_bytes < MAX / 2);
}

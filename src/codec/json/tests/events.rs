//! What clients are told.

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use crate::codec::wire::request::Body as Request;
use crate::codec::wire::{Cursor, Durability, ErrorCode, Ping, Selection, SyncMode, event};
use crate::text::Operation;

use super::payloads::any_bytes;
use super::*;

/// The payload of an event about a log.
fn payload_of(body: event::Body) -> String {
    let text = encoded_with(&body.into(), &context(Payload::Json));
    let start = text.find("\"payload\":").expect("there is one") + 10;
    text[start..text.len() - 1].to_owned()
}

#[test]
fn the_envelope_says_what_it_answers() {
    let mut event = Event::from(event::Body::Ping(Ping { nonce: 1 }));
    assert_eq!(
        encoded_with(&event, &context(Payload::Json)),
        r#"{"type":"ping","timestamp":1699900000000,"payload":{"nonce":1}}"#
    );
    event.reply_to = "a\"b\n".to_owned();
    event.debug = Some(wire::Debug {
        message_id: "m".to_owned(),
        processing_us: 12_030,
        queue_depth: 2,
        vector_delta: BTreeMap::from([(42, 7)]),
    });
    assert_eq!(
        encoded_with(&event, &context(Payload::Json)),
        r#"{"type":"ping","id":"a\"b\n","timestamp":1699900000000,"payload":{"nonce":1},"debug":{"messageId":"m","serverProcessing":12.03,"queueDepth":2,"stateVectorDelta":{"42":7}}}"#
    );
}

#[test]
fn every_event_has_its_members() {
    let operations = |texts: &[&'static str]| -> Vec<Bytes> {
        texts
            .iter()
            .map(|text| Bytes::from_static(text.as_bytes()))
            .collect()
    };
    let presence = wire::UserPresence {
        client_id: 1,
        user_id: "u".to_owned(),
        name: "Zoë".to_owned(),
        color: "#e6194b".to_owned(),
        cursor: Some(Cursor {
            block_id: "p1".to_owned(),
            offset: 42,
        }),
        selection: Some(Selection {
            anchor: Some(Cursor::default()),
            focus: None,
        }),
        is_typing: true,
        fields: BTreeMap::from([
            ("a".to_owned(), Bytes::from_static(b"[1]")),
            ("\"".to_owned(), Bytes::from_static(&[0xff])),
        ]),
        last_seen_ms: 5,
        left: false,
    };
    let entry = wire::DocumentEntry {
        document_id: "doc".to_owned(),
        kind: "log".to_owned(),
    };
    let version = wire::Version {
        name: "a draft".to_owned(),
        revision: 3,
        author: "ada".to_owned(),
        time_ms: 5,
    };
    let table = [
        (
            event::Body::Connected(wire::Connected {
                client_id: 42,
                server_time_ms: 1_699_900_000_000,
                protocol_version: 1,
                features: vec!["sync".to_owned()],
                message_bytes_max: 1,
                batch_operations_max: 2,
                ping_period_ms: 3,
                presence_ttl_ms: 4,
            }),
            r#"{"clientId":42,"serverTime":1699900000000,"protocolVersion":1,"features":["sync"],"messageBytesMax":1,"batchOperationsMax":2,"pingPeriodMs":3,"presenceTtlMs":4}"#,
        ),
        (
            event::Body::Opened(wire::Opened {
                request_id: 9,
                document: 7,
                kind: "log".to_owned(),
                position: position(1, 2),
                sync: SyncMode::Delta.into(),
                from_revision: 1,
                next_clock: 3,
                permissions: Some(wire::Permissions {
                    read: true,
                    write: false,
                }),
                presences: vec![presence],
                color: "#000075".to_owned(),
                shard: 1,
                content_bytes: 6,
                unwritten: true,
            }),
            r##"{"requestId":9,"documentId":"doc","kind":"log","position":{"epoch":1,"revision":2},"sync":"delta","fromRevision":1,"nextClock":3,"permissions":{"read":true,"write":false},"presences":[{"clientId":1,"userId":"u","name":"Zoë","color":"#e6194b","cursor":{"blockId":"p1","offset":42},"selection":{"anchor":{"blockId":"","offset":0}},"isTyping":true,"fields":{"\"":{"base64":"/w=="},"a":[1]},"lastSeen":5,"left":false}],"color":"#000075","shard":1,"contentBytes":6,"unwritten":true}"##,
        ),
        (
            event::Body::RemoteOps(wire::RemoteOps {
                document: 7,
                revision: 5,
                origin: 1,
                first_clock: 15,
                operations: operations(&[r#"{"a": 1}"#, "not JSON"]),
            }),
            r#"{"documentId":"doc","origin":1,"revision":5,"firstClock":15,"operations":[{"a": 1},{"base64":"bm90IEpTT04="}],"serverVector":{"1":16}}"#,
        ),
        (
            event::Body::Ack(wire::Ack {
                document: 7,
                client_seq: 1,
                first_revision: 8,
                count: 2,
                clock: 1,
                persisted_at_ms: 6,
                durability: Durability::Interval.into(),
                duplicate: false,
            }),
            r#"{"documentId":"doc","clientSeq":1,"firstRevision":8,"count":2,"clock":1,"serverVector":{"42":1},"persistedAt":6,"durability":"interval","duplicate":false}"#,
        ),
        (
            event::Body::Nack(wire::Nack {
                document: 7,
                client_seq: 1,
                code: ErrorCode::ClockGap.into(),
                message: "gap".to_owned(),
                retryable: true,
                retry_after_ms: 0,
                next_clock: 3,
                revision: 4,
            }),
            r#"{"documentId":"doc","clientSeq":1,"code":4024,"message":"gap","retryable":true,"nextClock":3,"revision":4}"#,
        ),
        (
            event::Body::SyncResponse(wire::SyncResponse {
                document: 7,
                operations: vec![
                    wire::RemoteOps {
                        revision: 1,
                        origin: 1,
                        first_clock: 0,
                        operations: operations(&["1", "2"]),
                        ..wire::RemoteOps::default()
                    },
                    wire::RemoteOps {
                        revision: 4,
                        origin: 2,
                        first_clock: 8,
                        operations: operations(&["3"]),
                        ..wire::RemoteOps::default()
                    },
                ],
                server_vector: BTreeMap::from([(1, 15), (2, 8)]),
                position: position(1, 4),
                sync: SyncMode::Delta.into(),
                ..wire::SyncResponse::default()
            }),
            r#"{"documentId":"doc","operations":[1,2,3],"batches":[{"origin":1,"revision":1,"firstClock":0,"count":2},{"origin":2,"revision":4,"firstClock":8,"count":1}],"serverVector":{"1":15,"2":8,"42":-1},"hasMore":false,"position":{"epoch":1,"revision":4},"sync":"delta"}"#,
        ),
        (
            event::Body::SyncResponse(wire::SyncResponse {
                document: 7,
                snapshot: Some(wire::SnapshotChunk {
                    revision: 3,
                    bytes_total: 10,
                    offset: 2,
                    data: Bytes::from_static(b"12"),
                    next_clock: 1,
                }),
                has_more: true,
                resume_token: Bytes::from_static(&[0xfb, 0xff]),
                sync: SyncMode::Snapshot.into(),
                ..wire::SyncResponse::default()
            }),
            r#"{"documentId":"doc","snapshot":{"revision":3,"bytesTotal":10,"offset":2,"data":{"base64":"MTI="},"nextClock":1},"operations":[],"batches":[],"serverVector":{},"hasMore":true,"resumeToken":"-_8","sync":"snapshot"}"#,
        ),
        (
            event::Body::PresenceUpdate(wire::PresenceUpdate {
                document: 7,
                presences: vec![wire::UserPresence {
                    client_id: 5,
                    left: true,
                    ..wire::UserPresence::default()
                }],
                full: true,
            }),
            r#"{"documentId":"doc","presences":[{"clientId":5,"userId":"","name":"","color":"","isTyping":false,"lastSeen":0,"left":true}],"full":true}"#,
        ),
        (
            event::Body::Warning(wire::Warning {
                document: 7,
                pending_operations: 800,
                pending_bytes: 9000,
            }),
            r#"{"documentId":"doc","pendingOperations":800,"pendingBytes":9000}"#,
        ),
        (
            event::Body::Resync(wire::Resync {
                document: 7,
                reason: wire::ResyncReason::Lapped.into(),
                from: position(1, 2),
                sync: SyncMode::UpToDate.into(),
                next_clock: 3,
            }),
            r#"{"documentId":"doc","reason":"lapped","from":{"epoch":1,"revision":2},"sync":"up_to_date","nextClock":3}"#,
        ),
        (
            event::Body::Error(wire::Error {
                code: ErrorCode::VersionMismatch.into(),
                message: "no".to_owned(),
                retryable: false,
                retry_after_ms: 1500,
                request_id: 9,
                document: 7,
                supported_versions: vec![1, 2, 3],
            }),
            r#"{"code":4009,"message":"no","retryable":false,"retryAfter":1.5,"details":{"requestId":9,"documentId":"doc","supportedVersions":[1,2,3]}}"#,
        ),
        (
            event::Body::Pong(wire::Pong {
                nonce: 1,
                server_time_ms: 2,
            }),
            r#"{"nonce":1,"serverTime":2}"#,
        ),
        (
            event::Body::Goaway(wire::Goaway {
                reason: "stop".to_owned(),
                reconnect_after_ms: 1,
                jitter_ms: 2,
            }),
            r#"{"reason":"stop","reconnectAfterMs":1,"jitterMs":2}"#,
        ),
        (
            event::Body::SyncRequest(wire::SyncRequest {
                document: 7,
                next_clock: 0,
                ..wire::SyncRequest::default()
            }),
            r#"{"documentId":"doc","stateVector":{"42":-1},"nextClock":0}"#,
        ),
        (
            event::Body::SyncRequest(wire::SyncRequest {
                document: 7,
                next_clock: 8,
                ..wire::SyncRequest::default()
            }),
            r#"{"documentId":"doc","stateVector":{"42":-1},"nextClock":8}"#,
        ),
        (
            event::Body::SnapshotAccepted(wire::SnapshotAccepted {
                document: 7,
                revision: 3,
            }),
            r#"{"documentId":"doc","revision":3}"#,
        ),
        (
            event::Body::Deleted(wire::Deleted {
                request_id: 0,
                document_id: "gone".to_owned(),
                undone: true,
            }),
            r#"{"documentId":"gone","undone":true}"#,
        ),
        (
            event::Body::Directory(wire::Directory {
                request_id: 1,
                documents: vec![entry.clone()],
                has_more: true,
            }),
            r#"{"requestId":1,"documents":[{"documentId":"doc","kind":"log"}],"hasMore":true}"#,
        ),
        (
            event::Body::DirectoryUpdate(wire::DirectoryUpdate {
                created: vec![entry],
                deleted: vec!["a".to_owned(), "b".to_owned()],
                is_incomplete: false,
            }),
            r#"{"created":[{"documentId":"doc","kind":"log"}],"deleted":["a","b"],"isIncomplete":false}"#,
        ),
        (
            event::Body::HistoryPage(wire::HistoryPage {
                request_id: 2,
                document_id: "doc".to_owned(),
                kind: "log".to_owned(),
                entries: vec![
                    wire::HistoryEntry {
                        revision: 3,
                        count: 2,
                        origin: 42,
                        author: "ada".to_owned(),
                        time_ms: 1_700_000_000_000,
                        bytes: 6,
                        operations: vec![Bytes::from_static(b"[1]"), Bytes::from_static(b"[2]")],
                    },
                    wire::HistoryEntry {
                        revision: 2,
                        count: 1,
                        origin: 42,
                        ..wire::HistoryEntry::default()
                    },
                ],
                next_revision: 1,
                position: Some(wire::Position {
                    epoch: 1,
                    revision: 4,
                }),
                first_revision: 1,
                oldest_revision: 1,
            }),
            concat!(
                r#"{"requestId":2,"documentId":"doc","kind":"log","entries":["#,
                r#"{"revision":3,"count":2,"origin":42,"author":"ada","time":1700000000000,"bytes":6,"operations":[[1],[2]]},"#,
                r#"{"revision":2,"count":1,"origin":42,"author":"","time":0,"bytes":0}],"#,
                r#""nextRevision":1,"position":{"epoch":1,"revision":4},"firstRevision":1,"oldestRevision":1}"#,
            ),
        ),
        (
            event::Body::VersionSaved(wire::VersionSaved {
                request_id: 2,
                document_id: "doc".to_owned(),
                version: Some(version.clone()),
            }),
            r#"{"requestId":2,"documentId":"doc","version":{"name":"a draft","revision":3,"author":"ada","time":5}}"#,
        ),
        (
            event::Body::Versions(wire::Versions {
                request_id: 0,
                document_id: "doc".to_owned(),
                versions: vec![version],
            }),
            r#"{"documentId":"doc","versions":[{"name":"a draft","revision":3,"author":"ada","time":5}]}"#,
        ),
        (
            event::Body::VersionDeleted(wire::VersionDeleted {
                request_id: 2,
                document_id: "doc".to_owned(),
                name: "a draft".to_owned(),
            }),
            r#"{"requestId":2,"documentId":"doc","name":"a draft"}"#,
        ),
    ];
    for (body, text) in table {
        assert_eq!(payload_of(body), text);
    }
}

#[test]
fn closing_a_connection_is_called_disconnect() {
    let close = |document| wire::Close {
        document,
        code: ErrorCode::ServiceUnavailable.into(),
        message: "later".to_owned(),
        retryable: true,
        retry_after_ms: 1000,
    };
    let says = r#""code":5003,"message":"later","retryable":true,"retryAfter":1}}"#;
    let text = |document| {
        encoded_with(
            &event::Body::Close(close(document)).into(),
            &context(Payload::Json),
        )
    };
    let time = r#""timestamp":1699900000000,"payload":{"#;
    assert_eq!(text(0), format!(r#"{{"type":"disconnect",{time}{says}"#));
    assert_eq!(
        text(7),
        format!(r#"{{"type":"close",{time}"documentId":"doc",{says}"#)
    );
}

#[test]
fn text_stands_there_as_text() {
    let operation = Operation::splice(5, 2, "x\"é👋");
    let components = r#"[{"retain":5},{"insert":"x\"é👋"},{"delete":2}]"#;
    assert_eq!(
        written(Payload::TextComponents, &operation.encode()),
        components
    );
    let event = event::Body::SyncResponse(wire::SyncResponse {
        snapshot: Some(wire::SnapshotChunk {
            data: Bytes::from_static("\"é".as_bytes()),
            ..wire::SnapshotChunk::default()
        }),
        ..wire::SyncResponse::default()
    });
    let text = encoded_with(&event.into(), &context(Payload::of_kind("text")));
    assert!(text.contains(r#""data":"\"é""#), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn what_both_sides_say_is_read_as_it_was_written(
        number in any::<u64>(),
        vector in btree_map(any::<u64>(), 0..1_u64 << 53, 0..3),
        document in 0..2_u64,
        reply_to in any::<String>(),
    ) {
        let sync = wire::SyncRequest { document, state_vector: vector.clone(), ..Default::default() };
        let pong = wire::Pong { nonce: number, server_time_ms: 0 };
        let table = [
            (event::Body::Ping(Ping { nonce: number }), Request::Ping(Ping { nonce: number })),
            (event::Body::Pong(pong), Request::Pong(pong)),
            (
                event::Body::Close(wire::Close { document, ..Default::default() }),
                Request::Close(wire::Close::default()),
            ),
            (
                event::Body::SyncRequest(sync.clone()),
                Request::SyncRequest(wire::SyncRequest {
                    document: 0,
                    document_id: "doc".to_owned(),
                    create: true,
                    ..sync
                }),
            ),
        ];
        for (body, expected) in table {
            let event = Event { reply_to: reply_to.clone(), body: Some(body), debug: None };
            let text = encoded_with(&event, &context(Payload::Json));
            let message = decode(text.as_bytes(), &LIMITS).expect("it was written");
            prop_assert_eq!(message.id, reply_to.as_str());
            let Body::Request(request) = message.body else {
                panic!("no request");
            };
            prop_assert_eq!(request, expected);
        }
    }

    #[test]
    fn events_with_any_bytes_are_json(
        operations in vec(any_bytes(), 0..4),
        fields in btree_map(any::<String>(), any_bytes(), 0..3),
        is_text in any::<bool>(),
    ) {
        let operations: Vec<Bytes> = operations.into_iter().map(Bytes::from).collect();
        let fields = fields.into_iter().map(|(name, value)| (name, value.into())).collect();
        let remote = wire::RemoteOps { operations: operations.clone(), ..Default::default() };
        let chunk = wire::SnapshotChunk {
            data: operations.first().cloned().unwrap_or_default(),
            ..Default::default()
        };
        let page = wire::SyncResponse {
            snapshot: Some(chunk),
            operations: vec![remote.clone()],
            ..Default::default()
        };
        let presence = wire::UserPresence { fields, ..Default::default() };
        let update = wire::PresenceUpdate { presences: vec![presence], ..Default::default() };
        let payload = if is_text { Payload::TextComponents } else { Payload::Json };
        for body in [
            event::Body::RemoteOps(remote),
            event::Body::SyncResponse(page),
            event::Body::PresenceUpdate(update),
        ] {
            let text = encoded_with(&body.into(), &context(payload));
            let value: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
            if let Some(written) = value["payload"]["operations"].as_array() {
                prop_assert_eq!(written.len(), operations.len());
            }
        }
    }
}

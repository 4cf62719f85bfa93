//! What clients write, what they are told, and that what was written is what is read.

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use crate::codec::wire::request::Body as Request;
use crate::codec::wire::{
    self, Cursor, Durability, ErrorCode, Event, Hello, Ping, Position, Selection, SyncMode, event,
};
use crate::text::Operation;

use super::*;

const LIMITS: Limits = Limits {
    operations_max: 3,
    vector_entries_max: 3,
};

fn decoded(text: &str) -> Result<Message, JsonError> {
    decode(text.as_bytes(), &LIMITS)
}

/// The document and the request.
fn request(text: &str) -> (Option<String>, Request) {
    let message = decoded(text).expect(text);
    let Body::Request(request) = message.body else {
        panic!("operations in {text}");
    };
    (message.document_id, request)
}

fn operations(text: &str) -> (Option<String>, Operations) {
    let message = decoded(text).expect(text);
    let Body::Operations(operations) = message.body else {
        panic!("no operations in {text}");
    };
    (message.document_id, operations)
}

fn texts(operations: &Operations) -> Vec<&str> {
    operations.operations.iter().map(|raw| raw.get()).collect()
}

fn context(payload: Payload) -> Context<'static> {
    Context {
        document_id: Some("doc"),
        payload,
        timestamp_ms: 1_699_900_000_000,
        client_id: 42,
    }
}

fn encoded_with(event: &Event, context: &Context<'_>) -> String {
    let mut out = b"before".to_vec();
    encode(event, context, &mut out);
    assert!(out.starts_with(b"before"));
    String::from_utf8(out.split_off(6)).expect("JSON is UTF-8")
}

/// The payload of an event about a log.
fn payload_of(body: event::Body) -> String {
    let text = encoded_with(&body.into(), &context(Payload::Json));
    let start = text.find("\"payload\":").expect("there is one") + 10;
    text[start..text.len() - 1].to_owned()
}

fn written(payload: Payload, bytes: &[u8]) -> String {
    let mut out = Vec::new();
    payload.write(bytes, &mut out);
    String::from_utf8(out).expect("JSON is UTF-8")
}

fn read(payload: Payload, text: &str) -> Result<Bytes, JsonError> {
    payload.read(serde_json::from_str(text).expect("JSON"))
}

fn position(epoch: u64, revision: u64) -> Option<Position> {
    Some(Position { epoch, revision })
}

// --- what clients write

#[test]
fn the_envelope_may_have_its_members_in_any_order_and_more_of_them() {
    let message = decoded(
        r#" {"payload": {"nonce": 7, "more": [{"deep": null}]}, "more": 1, "timestamp": 1.5, "id": "a\u0031", "type": "ping"} "#,
    )
    .expect("valid");
    assert_eq!(message.id, "a1");
    let Body::Request(body) = message.body else {
        panic!("not a request");
    };
    assert_eq!(body, Request::Ping(Ping { nonce: 7 }));
    for text in [
        r#"{"type":"ping"}"#,
        r#"{"type":"ping","id":null,"timestamp":null,"payload":null}"#,
        r#"{"type":"pin\u0067","payload":{"nonce":null}}"#,
    ] {
        assert_eq!(request(text), (None, Request::Ping(Ping { nonce: 0 })));
    }
}

#[test]
fn a_session_as_the_sync_protocol_document_tells_it() {
    let connect = r#"{"type":"connect","timestamp":1699900000000,"payload":{"clientId":"00112233-4455-6677-8899-aabbccddeeff","protocolVersion":2,"token":"t"}}"#;
    let hello = Hello {
        protocol_version: 2,
        client_uuid: Bytes::from_static(&[
            0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd,
            0xee, 0xff,
        ]),
        token: "t".to_owned(),
        ..Hello::default()
    };
    assert_eq!(request(connect), (None, Request::Hello(hello)));

    let sync_request = r#"{"type":"sync_request","timestamp":1,"payload":{"documentId":"doc","stateVector":{"1":10,"2":5,"42":-1}}}"#;
    let (document_id, Request::SyncRequest(sync)) = request(sync_request) else {
        panic!("not a sync_request");
    };
    assert_eq!(document_id.as_deref(), Some("doc"));
    let expected = wire::SyncRequest {
        document_id: "doc".to_owned(),
        state_vector: BTreeMap::from([(1, 10), (2, 5)]),
        create: true,
        ..wire::SyncRequest::default()
    };
    assert_eq!(sync, expected);

    let batch = r#"{"type":"operations","timestamp":1,"payload":{"ops":[{ "type": "text_insert" , "text":"\u00e9" }],"clientSeq":1}}"#;
    let (document_id, batch) = operations(batch);
    assert_eq!(document_id, None);
    assert_eq!(batch.client_seq, 1);
    assert_eq!(batch.first_clock, None);
    assert_eq!(
        texts(&batch),
        [r#"{ "type": "text_insert" , "text":"\u00e9" }"#]
    );

    let presence = r#"{"type":"presence","timestamp":1,"payload":{"documentId":"doc","cursor":{"blockId":"p1","offset":42},"selection":{"anchor":{"blockId":"p1","offset":1},"focus":{"blockId":"p2","offset":2}},"isTyping":true}}"#;
    let cursor = |block_id: &str, offset| {
        Some(Cursor {
            block_id: block_id.to_owned(),
            offset,
        })
    };
    let expected = wire::Presence {
        cursor: cursor("p1", 42),
        selection: Some(Selection {
            anchor: cursor("p1", 1),
            focus: cursor("p2", 2),
        }),
        is_typing: true,
        ..wire::Presence::default()
    };
    assert_eq!(
        request(presence),
        (Some("doc".to_owned()), Request::Presence(expected))
    );

    assert_eq!(
        request(r#"{"type":"disconnect","payload":{"documentId":"doc"}}"#),
        (None, Request::Close(wire::Close::default()))
    );
}

#[test]
fn every_request_has_its_members() {
    let doc = || Some("doc".to_owned());
    let table = [
        (
            r#"{"type":"connect","payload":{"clientUuid":"000102030405060708090A0B0C0D0E0F","userId":"u","userName":"n","debug":true}}"#,
            None,
            Request::Hello(Hello {
                protocol_version: 1,
                client_uuid: Bytes::from_iter(0..16),
                user_id: "u".to_owned(),
                user_name: "n".to_owned(),
                debug: true,
                ..Hello::default()
            }),
        ),
        (
            r#"{"type":"open","payload":{"documentId":"doc"}}"#,
            doc(),
            Request::Open(wire::Open {
                document: "doc".to_owned(),
                ..wire::Open::default()
            }),
        ),
        (
            r#"{"type":"open","payload":{"requestId":9,"documentId":"doc","kind":"text","have":{"epoch":1,"revision":2},"create":true,"stateVector":{"5":0},"resumeToken":"-_8","subscribe":false,"snapshots":false,"bidirectional":true}}"#,
            doc(),
            Request::Open(wire::Open {
                request_id: 9,
                document: "doc".to_owned(),
                kind: "text".to_owned(),
                have: position(1, 2),
                create: true,
                state_vector: BTreeMap::from([(5, 0)]),
                resume_token: Bytes::from_static(&[0xfb, 0xff]),
                subscribe: Some(false),
                snapshots: Some(false),
                bidirectional: true,
            }),
        ),
        (
            r#"{"type":"sync_request","payload":{"documentId":"","kind":"text","create":false,"have":{"revision":2},"resumeToken":"AA==","subscribe":true}}"#,
            None,
            Request::SyncRequest(wire::SyncRequest {
                kind: "text".to_owned(),
                have: position(0, 2),
                resume_token: Bytes::from_static(&[0]),
                subscribe: Some(true),
                ..wire::SyncRequest::default()
            }),
        ),
        (
            r#"{"type":"presence","payload":{"cursor":null,"fields":{"a":[1, 2],"b":{"base64":"/w"}},"leave":true}}"#,
            None,
            Request::Presence(wire::Presence {
                fields: BTreeMap::from([
                    ("a".to_owned(), Bytes::from_static(b"[1, 2]")),
                    ("b".to_owned(), Bytes::from_static(&[0xff])),
                ]),
                leave: true,
                ..wire::Presence::default()
            }),
        ),
        (
            r#"{"type":"heartbeat","payload":{"documentId":"doc"}}"#,
            doc(),
            Request::Heartbeat(wire::Heartbeat { document: 0 }),
        ),
        (
            r#"{"type":"pong","payload":{"nonce":18446744073709551615}}"#,
            None,
            Request::Pong(wire::Pong {
                nonce: u64::MAX,
                server_time_ms: 0,
            }),
        ),
        (
            r#"{"type":"close","payload":{"documentId":"doc"}}"#,
            doc(),
            Request::Close(wire::Close::default()),
        ),
        (
            r#"{"type":"snapshot_offer","payload":{"documentId":"doc","revision":3,"bytesTotal":9,"offset":4,"data":{"base64":"AQI="}}}"#,
            doc(),
            Request::SnapshotOffer(wire::SnapshotOffer {
                document: 0,
                revision: 3,
                bytes_total: 9,
                offset: 4,
                data: Bytes::from_static(&[1, 2]),
            }),
        ),
        (
            r#"{"type":"delete","payload":{"requestId":1,"documentId":"doc","undo":true}}"#,
            doc(),
            Request::Delete(wire::Delete {
                request_id: 1,
                document_id: "doc".to_owned(),
                undo: true,
            }),
        ),
        (
            r#"{"type":"list","payload":{"requestId":1,"prefix":"a/","after":"a/b","limit":5,"watch":true}}"#,
            None,
            Request::List(wire::List {
                request_id: 1,
                prefix: "a/".to_owned(),
                after: "a/b".to_owned(),
                limit: 5,
                watch: true,
            }),
        ),
    ];
    for (text, document_id, body) in table {
        assert_eq!(request(text), (document_id, body), "{text}");
    }
    let (document_id, batch) = operations(
        r#"{"type":"operations","payload":{"documentId":"doc","operations":[1,"two"],"clientSeq":2,"firstClock":3,"baseRevision":4,"expectedServerVector":{"1":2,"3":-1}}}"#,
    );
    assert_eq!(document_id, doc());
    assert_eq!((batch.client_seq, batch.first_clock), (2, Some(3)));
    assert_eq!(batch.base_revision, 4);
    assert_eq!(texts(&batch), ["1", "\"two\""]);
    assert_eq!(batch.expected_server_vector, BTreeMap::from([(1, 2)]));
}

#[test]
fn what_is_no_message_is_refused() {
    let deep = format!(r#"{{"type":"ping","payload":{}"#, "[".repeat(200_000));
    let deep_type = format!(r#"{{"type":{}"#, "[".repeat(200_000));
    for text in [
        "",
        "ping",
        "null",
        r#"["ping"]"#,
        r#"{"payload":{}}"#,
        r#"{"type":1}"#,
        r#"{"type":"ping"} {}"#,
        r#"{"type":"ping","type":"ping"}"#,
        r#"{"type":"ping","payload":{},"payload":{}}"#,
        r#"{"type":"ping","id":5}"#,
        r#"{"type":"ping","id":"\ud800"}"#,
        r#"{"type":"ping","payload":[]}"#,
        r#"{"type":"ping","payload":{"nonce":-1}}"#,
        r#"{"type":"ping","payload":{"nonce":NaN}}"#,
        r#"{"type":"ping","payload":{"nonce":18446744073709551616}}"#,
        r#"{"type":"ping","payload":{"nonce":1,"nonce":1}}"#,
        r#"{"type":"connect","payload":{"protocolVersion":4294967296}}"#,
        r#"{"type":"open","payload":{"have":[1,2]}}"#,
        r#"{"type":"open","payload":{"resumeToken":"???"}}"#,
        r#"{"type":"sync_request","payload":{"stateVector":[1]}}"#,
        r#"{"type":"sync_request","payload":{"stateVector":{"one":1}}}"#,
        r#"{"type":"sync_request","payload":{"stateVector":{"-1":1}}}"#,
        r#"{"type":"sync_request","payload":{"stateVector":{"1":1,"1":2}}}"#,
        r#"{"type":"sync_request","payload":{"stateVector":{"1":-2}}}"#,
        r#"{"type":"sync_request","payload":{"stateVector":{"1":1e300}}}"#,
        r#"{"type":"operations","payload":{}}"#,
        r#"{"type":"operations","payload":{"operations":{}}}"#,
        r#"{"type":"operations","payload":{"operations":[1],"ops":[1]}}"#,
        r#"{"type":"presence","payload":{"fields":{"a":1,"\u0061":2}}}"#,
        r#"{"type":"presence","payload":{"fields":{"a":"\udc00"}}}"#,
        r#"{"type":"snapshot_offer","payload":{"revision":1,"bytesTotal":1,"data":"AA"}}"#,
        r#"{"type":"snapshot_offer","payload":{"revision":1,"bytesTotal":1,"data":{"base64":"A"}}}"#,
        &deep,
        &deep_type,
    ] {
        let error = decoded(text).map(|_| text).expect_err("it is no message");
        assert!(
            matches!(&error, JsonError::Malformed(reason) if reason.len() < 300),
            "{error:?}"
        );
    }
    let not_utf8 = b"{\"type\":\"ping\",\"more\":\"\xff\"}";
    assert!(matches!(
        decode(not_utf8, &LIMITS),
        Err(JsonError::Malformed(_))
    ));
    assert_eq!(
        decoded(r#"{"type":"connected"}"#).err(),
        Some(JsonError::TypeUnknown("connected".to_owned()))
    );
    for id in [
        "",
        "0011",
        "00112233-4455-6677-8899-aabbccddeef\u{e9}",
        &"0".repeat(33),
    ] {
        let text = format!(r#"{{"type":"connect","payload":{{"clientId":"{id}"}}}}"#);
        assert_eq!(decoded(&text).err(), Some(JsonError::ClientIdInvalid));
    }
}

#[test]
fn more_than_the_limits_is_refused() {
    let batch =
        |operations| format!(r#"{{"type":"operations","payload":{{"operations":{operations}}}}}"#);
    assert_eq!(texts(&operations(&batch("[1,2,3]")).1).len(), 3);
    assert_eq!(
        decoded(&batch("[1,2,3,4]")).err(),
        Some(JsonError::TooManyOperations { operations_max: 3 })
    );
    let sync =
        |vector| format!(r#"{{"type":"sync_request","payload":{{"stateVector":{vector}}}}}"#);
    assert!(decoded(&sync(r#"{"1":1,"2":1,"3":1}"#)).is_ok());
    assert_eq!(
        decoded(&sync(r#"{"1":1,"2":1,"3":1,"4":-1}"#)).err(),
        Some(JsonError::TooManyEntries { entries_max: 3 })
    );
    let fields: Vec<_> = (0..1001).map(|field| format!(r#""{field}":1"#)).collect();
    let presence = |fields: &[String]| {
        let fields = fields.join(",");
        format!(r#"{{"type":"presence","payload":{{"fields":{{{fields}}}}}}}"#)
    };
    assert!(decoded(&presence(&fields[..1000])).is_ok());
    assert_eq!(
        decoded(&presence(&fields)).err(),
        Some(JsonError::TooManyFields { fields_max: 1000 })
    );
}

// --- what they are told

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
            }),
            r##"{"requestId":9,"documentId":"doc","kind":"log","position":{"epoch":1,"revision":2},"sync":"delta","fromRevision":1,"nextClock":3,"permissions":{"read":true,"write":false},"presences":[{"clientId":1,"userId":"u","name":"Zoë","color":"#e6194b","cursor":{"blockId":"p1","offset":42},"selection":{"anchor":{"blockId":"","offset":0}},"isTyping":true,"fields":{"\"":{"base64":"/w=="},"a":[1]},"lastSeen":5,"left":false}],"color":"#000075"}"##,
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
            r#"{"documentId":"doc","stateVector":{"42":7},"nextClock":8}"#,
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

// --- bytes

#[test]
fn bytes_are_the_value_that_they_are_the_text_of() {
    for text in [
        "0",
        "-1",
        "1e5",
        "true",
        "null",
        "\"\"",
        "[]",
        "{}",
        "{\"a\": [1,\n2]}",
        "\"\u{1f44b}\"",
        r#"{"base64":"AA","more":1}"#,
        r#"{"BASE64":"AA"}"#,
    ] {
        assert_eq!(written(Payload::Json, text.as_bytes()), text);
        assert_eq!(read(Payload::Json, text), Ok(Bytes::from(text)));
    }
    let at_most = "[".repeat(100) + &"]".repeat(100);
    assert_eq!(written(Payload::Json, at_most.as_bytes()), at_most);
    let deep = format!("[{at_most}]");
    for bytes in [
        &b""[..],
        b" 1",
        b"1\n",
        b"1 2",
        b"nul",
        b"\"\xff\"",
        br#""\ud800""#,
        b"1e999",
        b"NaN",
        b"-",
        b"{",
        br#"{"base64":"AA"}"#,
        br#"{"b\u0061se64": 1}"#,
        br#"{"base64":"AA","base64":"AB"}"#,
        deep.as_bytes(),
    ] {
        let text = written(Payload::Json, bytes);
        assert!(text.starts_with(r#"{"base64":""#), "{text}");
        assert_eq!(
            read(Payload::Json, &text),
            Ok(Bytes::copy_from_slice(bytes))
        );
    }
}

#[test]
fn values_that_some_parsers_do_not_take_are_refused() {
    let deep = "[".repeat(50_000) + &"]".repeat(50_000);
    for text in [
        r#""\ud800""#,
        r#"{"\udc00":1}"#,
        "1e999",
        &deep,
        r#"{"base64":1}"#,
        r#"{"base64":"~"}"#,
        r#"{"base64":"AA","base64":"AA"}"#,
    ] {
        let is_refused = matches!(read(Payload::Json, text), Err(JsonError::Malformed(_)));
        assert!(is_refused, "{text}");
    }
}

#[test]
fn a_component_is_one_edit() {
    let read = |text| read(Payload::TextComponents, text);
    assert_eq!(read("[]"), Ok(Bytes::new()));
    let with_more = r#"[{"more":{"bold":true},"retain":5},{"insert":"\u00e9","delete":null}]"#;
    assert_eq!(
        read(with_more),
        Ok(Operation::splice(5, 0, "é").encode().into())
    );
    // Whether it is an operation is for the text to say.
    assert!(Operation::decode(&read(r#"[{"retain":0}]"#).expect("a component")).is_err());
    for text in [
        "{}",
        "5",
        "[5]",
        "[[5,null,null]]",
        "[{}]",
        r#"[{"more":1}]"#,
        r#"[{"retain":-1}]"#,
        r#"[{"retain":1.5}]"#,
        r#"[{"retain":1,"delete":1}]"#,
        r#"[{"retain":1,"retain":1}]"#,
        r#"[{"insert":"\ud800"}]"#,
        r#"[{"insert":5}]"#,
        r#"{"base64":""}"#,
    ] {
        assert!(matches!(read(text), Err(JsonError::Malformed(_))), "{text}");
    }
}

fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f32>().prop_map(|number| number.to_string()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).expect("a string")),
        "\"[ -~]{0,6}\"",
    ];
    leaf.prop_recursive(4, 20, 4, |inner| {
        let name = prop_oneof![Just("base64".to_owned()), "[a-c]{1,2}"];
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|elements| format!("[{}]", elements.join(" ,"))),
            vec((name, inner), 0..3).prop_map(|members| {
                let members: Vec<_> = members
                    .iter()
                    .map(|(name, value)| format!("\"{name}\": {value}"))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..40),
        "[\\[\\]{}\":,\\\\u0-9a-f. \n-]{0,12}".prop_map(String::into_bytes),
        json_text().prop_map(String::into_bytes),
        vec(any::<u8>(), 0..6).prop_map(|bytes| written(Payload::Json, &bytes).into_bytes()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn bytes_come_back_as_they_were(bytes in any_bytes()) {
        let text = written(Payload::Json, &bytes);
        prop_assert_eq!(read(Payload::Json, &text), Ok(Bytes::from(bytes)));
    }

    #[test]
    fn values_come_back_as_they_were(text in json_text()) {
        // What a JSON client sent, others get as it wrote it, or it was bytes.
        if let Ok(value) = serde_json::from_str::<&RawValue>(&text)
            && let Ok(bytes) = Payload::Json.read(value)
        {
            let again = written(Payload::Json, &bytes);
            prop_assert!(again == text || text.contains("base64"), "{} {}", again, text);
            prop_assert_eq!(read(Payload::Json, &again), Ok(bytes));
        }
    }

    #[test]
    fn text_operations_come_back_as_they_were(edits in vec((0..3, 1..300_usize, any::<String>()), 0..8)) {
        let mut builder = Operation::builder();
        for (edit, length, text) in edits {
            match edit {
                0 => builder.retain(length),
                1 => builder.insert(&text),
                _delete => builder.delete(length),
            };
        }
        let bytes = Bytes::from(builder.build().encode());
        let text = written(Payload::TextComponents, &bytes);
        prop_assert_eq!(read(Payload::TextComponents, &text), Ok(bytes));
    }

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

//! What clients write.

use bytes::Bytes;

use crate::codec::wire::request::Body as Request;
use crate::codec::wire::{Cursor, Hello, Ping, Selection};

use super::*;
use crate::codec::json::decode::TYPES;

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
            r#"{"type":"open","payload":{"requestId":9,"documentId":"doc","kind":"text","have":{"epoch":1,"revision":2},"create":true,"stateVector":{"5":0},"resumeToken":"-_8","subscribe":false,"snapshots":false,"bidirectional":true,"fromNewest":true}}"#,
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
                from_newest: true,
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
                expected_revision: None,
            }),
        ),
        (
            r#"{"type":"delete","payload":{"documentId":"doc","expectedRevision":7}}"#,
            doc(),
            Request::Delete(wire::Delete {
                document_id: "doc".to_owned(),
                expected_revision: Some(7),
                ..wire::Delete::default()
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
        (
            r#"{"type":"history","payload":{"requestId":3,"documentId":"doc","newestFirst":true,"fromRevision":9,"fromTime":1700000000000,"limit":5,"withOperations":true}}"#,
            doc(),
            Request::History(wire::History {
                request_id: 3,
                document_id: "doc".to_owned(),
                newest_first: true,
                from_revision: 9,
                from_time_ms: 1_700_000_000_000,
                limit: 5,
                with_operations: true,
            }),
        ),
        (
            r#"{"type":"history"}"#,
            None,
            Request::History(wire::History::default()),
        ),
        (
            r#"{"type":"save_version","payload":{"requestId":2,"documentId":"doc","name":"a draft","revision":3}}"#,
            doc(),
            Request::SaveVersion(wire::SaveVersion {
                request_id: 2,
                document_id: "doc".to_owned(),
                name: "a draft".to_owned(),
                revision: 3,
            }),
        ),
        (
            r#"{"type":"list_versions","payload":{"requestId":2,"documentId":"doc"}}"#,
            doc(),
            Request::ListVersions(wire::ListVersions {
                request_id: 2,
                document_id: "doc".to_owned(),
            }),
        ),
        (
            r#"{"type":"delete_version","payload":{"documentId":"doc","name":"a draft"}}"#,
            doc(),
            Request::DeleteVersion(wire::DeleteVersion {
                request_id: 0,
                document_id: "doc".to_owned(),
                name: "a draft".to_owned(),
            }),
        ),
    ];
    for (text, document_id, body) in table {
        assert_eq!(request(text), (document_id, body), "{text}");
    }
    let (document_id, batch) = operations(
        r#"{"type":"operations","payload":{"documentId":"doc","operations":[1,"two"],"clientSeq":2,"firstClock":3,"baseRevision":4,"expectedServerVector":{"1":2,"3":-1},"expectedRevision":5}}"#,
    );
    assert_eq!(document_id, doc());
    assert_eq!((batch.client_seq, batch.first_clock), (2, Some(3)));
    assert_eq!(batch.base_revision, 4);
    assert_eq!(texts(&batch), ["1", "\"two\""]);
    assert_eq!(batch.expected_server_vector, BTreeMap::from([(1, 2)]));
    assert_eq!(batch.expected_revision, Some(5));
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
        Some(JsonError::TypeUnknown {
            name: "connected".to_owned()
        })
    );
    for name in TYPES {
        let decoded = decoded(&format!(r#"{{"type":"{name}"}}"#));
        assert!(
            !matches!(decoded, Err(JsonError::TypeUnknown { .. })),
            "{name}"
        );
    }
    for id in [
        "",
        "0011",
        "00112233-4455-6677-8899-aabbccddeef\u{e9}",
        &"0".repeat(33),
    ] {
        let text = format!(r#"{{"type":"connect","payload":{{"clientId":"{id}"}}}}"#);
        let (_, Request::Hello(hello)) = request(&text) else {
            panic!("{text}");
        };
        assert_eq!(hello.client_uuid, "", "{id}");
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

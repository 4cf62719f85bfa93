//! Versions of the protocol: what is agreed, what each has, and what an older client gets in place of a newer form.

use corelay::codec::wire::{self, ErrorCode, SyncMode, request};
use corelay::engine::shard::Transport;
use corelay::text::Operation;
use serde_json::json;

use crate::expect;
use crate::fixture::{Client, Relay, TRANSPORTS};
use crate::history::open_with;
use crate::join::pages;
use crate::requests::{hello, open, text_batch};
use crate::resume::compact;
use crate::scene::Scene;

fn hello_of(name: &str, protocol_version: u32) -> request::Body {
    let request::Body::Hello(hello) = hello(name) else {
        unreachable!("that is what it makes")
    };
    request::Body::Hello(wire::Hello {
        protocol_version,
        ..hello
    })
}

/// Connects with that version.
fn greeted(relay: &mut Relay, name: &str, version: u32) -> Client {
    let client = relay.connect(Transport::Tcp);
    relay.send(client, hello_of(name, version));
    assert_eq!(expect!(relay, client, Connected).protocol_version, version);
    client
}

/// What a client offers, and what is agreed with it in protobuf and in JSON.
const AGREED: [(u32, Option<u32>, Option<u32>); 5] = [
    (0, None, None),
    (1, None, Some(1)),
    (2, Some(2), Some(2)),
    (3, Some(3), Some(3)),
    (u32::MAX, Some(3), Some(3)),
];

/// What a version has.
fn features(version: u32) -> &'static [&'static str] {
    const FEATURES: [&str; 10] = [
        "log",
        "text",
        "presence",
        "resume",
        "snapshot_offers",
        "deletion",
        "directory",
        "history",
        "protobuf",
        "paging",
    ];
    match version {
        1 => &FEATURES[..8],
        2 => &FEATURES[..9],
        _newest => &FEATURES,
    }
}

#[test]
fn the_highest_version_that_both_speak_is_agreed_and_says_what_it_has() {
    for (offered, agreed, _) in AGREED {
        for transport in TRANSPORTS {
            let mut scene = Scene::new();
            let client = scene.relay.connect(transport);
            scene.relay.send(client, hello_of("ann", offered));
            let Some(agreed) = agreed else {
                let error = scene.refused(client, ErrorCode::VersionMismatch, "too old");
                assert_eq!(error.supported_versions, [2, 3]);
                continue;
            };
            let connected = expect!(scene.relay, client, Connected);
            assert_eq!(connected.protocol_version, agreed);
            assert_eq!(connected.features, features(agreed));
        }
    }
}

#[test]
fn the_same_is_agreed_in_json_which_has_one_version_more() {
    for (offered, _, agreed) in AGREED {
        let mut relay = Relay::new();
        let client = relay.connect(Transport::WebSocket);
        let payload = json!({
            "clientId": "00112233-4455-6677-8899-aabbccddeeff",
            "protocolVersion": offered,
        });
        relay.say(client, &json!({"type": "connect", "payload": payload}));
        let Some(agreed) = agreed else {
            let error = relay.text(client, "error", "");
            assert_eq!(error["code"], 4009);
            assert_eq!(error["details"]["supportedVersions"], json!([1, 2, 3]));
            assert!(relay.is_closed(client));
            continue;
        };
        let connected = relay.text(client, "connected", "");
        assert_eq!(connected["protocolVersion"], agreed);
        assert_eq!(connected["features"], json!(features(agreed)));
    }
}

/// A text of that size, whose history up to its second revision is gone.
fn with_text(bytes: usize, message_bytes_max: usize) -> Relay {
    let mut relay = Relay::with(1, |settings| {
        settings.connection.message_bytes_max = message_bytes_max;
        settings.fanout.flush_bytes_max = 1024;
    });
    let (ann, notes) = relay.joined("ann", "notes", "text");
    let half = "x".repeat(bytes / 2);
    relay.send(
        ann,
        text_batch(notes, 0, 0, &[Operation::splice(0, 0, &half)]),
    );
    // It writes more than there is in the end, so that a snapshot is paid for.
    let rest = "y".repeat(bytes - half.len() + 1000);
    relay.send(
        ann,
        text_batch(notes, 1, 1, &[Operation::splice(0, 1000, &rest)]),
    );
    relay.vanish(ann);
    relay
}

#[test]
fn an_older_client_gets_a_snapshot_in_one_message_as_far_as_it_fits() {
    let bytes_max = 20_000;
    for (bytes, is_compacted, expected) in [
        (20_000, false, Ok(SyncMode::Snapshot)),
        (20_000, true, Ok(SyncMode::Snapshot)),
        (20_001, false, Ok(SyncMode::Delta)),
        (20_001, true, Err(ErrorCode::SnapshotRequired)),
    ] {
        let mut relay = with_text(bytes, bytes_max);
        if is_compacted {
            compact(&mut relay, 2);
        }
        let ben = greeted(&mut relay, "ben", 2);
        relay.send(ben, open("notes", "", false));
        match expected {
            Ok(sync) => {
                assert_eq!(expect!(relay, ben, Opened).sync(), sync, "{bytes}");
                if sync == SyncMode::Snapshot {
                    let page = expect!(relay, ben, SyncResponse);
                    let chunk = page.snapshot.expect("the snapshot");
                    assert_eq!(chunk.data.len(), bytes);
                }
                assert!(pages(&mut relay, ben).1.is_none());
            }
            Err(code) => assert_eq!(expect!(relay, ben, Error).code(), code),
        }
        relay.assert_quiet(ben);
        // The same in JSON, of version 1.
        let cat = relay.greeted_in_json("cat", 0, Some("notes"));
        relay.text(cat, "connected", "");
        relay.say(cat, &json!({"type": "sync_request"}));
        match expected {
            Ok(SyncMode::Snapshot) => {
                let page = relay.text(cat, "sync_response", "");
                let data = page["snapshot"]["data"].as_str().expect("a text");
                assert_eq!(data.len(), bytes);
            }
            Ok(_delta) => {
                let messages = relay.drain_texts(cat);
                let mut snapshots = messages.iter().map(|it| &it["payload"]["snapshot"]);
                assert!(!messages.is_empty() && snapshots.all(serde_json::Value::is_null));
            }
            Err(code) => assert_eq!(relay.text(cat, "error", "")["code"], code as i32),
        }
        // And in pages, of version 3.
        let dan = greeted(&mut relay, "dan", 3);
        relay.send(dan, open("notes", "", false));
        assert_eq!(expect!(relay, dan, Opened).sync(), SyncMode::Snapshot);
        let first = expect!(relay, dan, SyncResponse);
        let chunk = first.snapshot.expect("the snapshot");
        assert!(chunk.data.len() <= 1024 && chunk.bytes_total == bytes as u64);
        let mut received = chunk.data.len();
        while let Some(chunk) = expect!(relay, dan, SyncResponse).snapshot {
            assert_eq!(chunk.offset, received as u64);
            received += chunk.data.len();
        }
        assert_eq!(received, bytes);
        // An older client cannot go on in the middle of what it could not have begun.
        if bytes > bytes_max {
            let token = first.resume_token;
            relay.send(ben, open_with("notes", |open| open.resume_token = token));
            assert_eq!(
                expect!(relay, ben, Error).code(),
                ErrorCode::SnapshotRequired
            );
        }
    }
}

//! A table of the store goes bad under a relay: who wants the document is told so in plain words, the log says which one it
//! is, and everybody else is served.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::common::Server;
use crate::common::api::Api;
use crate::common::client::Client;
use crate::common::tokens::{self, greet, token};
use corelay::codec::wire::{Open, event, request};
use serde_json::json;
use tempfile::TempDir;

const OPERATIONS: usize = 120;
const OPERATION_BYTES: usize = 60 * 1024;

/// Noise that nothing compresses.
fn noise(seed: usize) -> String {
    let mut state = seed as u64 + 1;
    let digit = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + u8::try_from((state >> 33) % 90).expect("below 90"))
    };
    (0..OPERATION_BYTES).map(digit).collect()
}

fn tables(folder: &Path) -> Vec<PathBuf> {
    let mut tables = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            tables.extend(self::tables(&path));
        } else if path
            .parent()
            .is_some_and(|parent| parent.ends_with("tables"))
        {
            tables.push(path);
        }
    }
    tables
}

#[test]
fn a_damaged_document_is_named_and_the_others_are_served() {
    let directory = TempDir::new().expect("a directory");
    let [mode, secret] = tokens::settings(directory.path());
    // The smallest buffers, so that what is written comes into tables soon.
    let settings = [
        &*mode,
        &secret,
        "store.write_buffer_bytes=20MiB",
        "log.format=text",
    ];
    let mut server = Server::spawn_in(directory.path(), &settings);
    let token = token(json!({"tenant": "acme"}));
    let mut writer = Client::tcp(&server);
    greet(&mut writer, 1, &token).expect("it is good");
    let opened = writer.open("large");
    for number in 0..OPERATIONS {
        writer.send(
            opened.document,
            number as u64 + 1,
            number as u64,
            &[&noise(number)],
        );
        writer.ack(number as u64 + 1);
    }
    let small = writer.open("small");
    writer.send(small.document, 1, 0, &["hello"]);
    writer.ack(1);
    server.wait_for("a table", || {
        (!tables(&server.data()).is_empty()).then_some(())
    });
    server.terminate();
    assert!(server.wait().success());
    let length = |path: &PathBuf| path.metadata().expect("a file").len();
    let largest = tables(&server.data())
        .into_iter()
        .max_by_key(length)
        .expect("a table");
    let table = File::options()
        .write(true)
        .open(&largest)
        .expect("it can be written");
    table
        .write_all_at(b"\xde\xad\xbe\xef\xde\xad\xbe\xef", length(&largest) / 2)
        .expect("it is written");
    drop(server);

    let server = Server::spawn_in(directory.path(), &settings);
    let mut api = Api::with_token(&server, &token);
    let failed = (0..OPERATIONS).find_map(|after| {
        let path = format!("/v1/documents/large/operations?after={after}&limit=1");
        let answer = api.get(&path);
        (answer.status != 200).then_some(answer)
    });
    let problem = failed.expect("a damaged operation").whole_problem(500);
    assert_eq!(problem["name"], "INTERNAL_ERROR");
    let detail = problem["detail"].as_str().expect("words");
    assert!(
        !detail.contains("Checksum") && !detail.contains("Error"),
        "{detail}"
    );
    assert_eq!(problem["retryable"], false);
    server.wait_for("it to be counted", || {
        (server.metric("load_failures_total") > 0).then_some(())
    });

    // The same for whoever reads it over a socket.
    let mut reader = Client::tcp(&server);
    greet(&mut reader, 2, &token).expect("it is good");
    reader.request(request::Body::Open(Open {
        request_id: 1,
        document: "large".to_owned(),
        snapshots: Some(false),
        ..Open::default()
    }));
    let (code, message, is_retryable) = reader.expect("a refusal", |event| match event {
        event::Body::Error(error) => Some((error.code, error.message, error.retryable)),
        event::Body::Close(close) => Some((close.code, close.message, close.retryable)),
        _other => None,
    });
    assert_eq!((code, is_retryable), (5000, false), "{message}");
    assert!(!message.contains("Checksum"), "{message}");

    let text = "cannot be read, and its clients are refused";
    server.wait_for_log(text);
    let log = server.log();
    let told: Vec<_> = log.lines().filter(|line| line.contains(text)).collect();
    assert_eq!(told.len(), 1, "once for the document: {told:?}");
    for part in [
        "document=\"large\"",
        "tenant=\"acme\"",
        "ChecksumMismatch",
        "corelay store verify",
    ] {
        assert!(told[0].contains(part), "{part}: {}", told[0]);
    }
    let others = api.get("/v1/documents/small/operations?after=0").ok();
    assert_eq!(others["operations"].as_array().expect("a list").len(), 1);
}

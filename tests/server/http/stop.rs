//! The HTTP interface while the relay stops, and after it was killed.

use crate::common::Server;
use crate::common::api::Api;
use crate::common::events::{Http, uuid};
use serde_json::json;

#[test]
fn a_planned_stop_answers_what_was_asked_and_closes_what_is_kept() {
    let directory = tempfile::TempDir::new().expect("room");
    let mut server = Server::spawn_in(directory.path(), &["shards.cores=2"]);
    let mut kept = Api::of(&server);
    kept.put(
        "/v1/documents/log",
        json!({"kind": "log", "operations": [0]}),
    )
    .ok();
    // One whose body is still on its way.
    let mut begun = Http::connect(server.websocket);
    let body = r#"{"operations":["late"]}"#;
    let head = format!(
        "POST /v1/documents/log/operations HTTP/1.1\r\nHost: relay\r\nContent-Type: application/json\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    begun.write(head.as_bytes());
    assert_eq!(begun.read().status, 100);
    server.terminate();
    assert!(kept.http().is_closed());
    begun.write(body.as_bytes());
    let answer = begun.read();
    let problem = answer.whole_problem(503);
    assert_eq!(
        (&problem["code"], &problem["retryable"]),
        (&json!(5003), &json!(true))
    );
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());

    let server = Server::spawn_in(directory.path(), &[]);
    let mut api = Api::of(&server);
    assert_eq!(api.get("/v1/documents/log").ok()["revision"], 1);
}

#[test]
fn what_was_answered_is_there_after_a_kill_and_what_was_not_can_be_sent_again() {
    const WRITERS: u64 = 4;
    let directory = tempfile::TempDir::new().expect("room");
    let path = "/v1/documents/ledger/operations";
    let mut accepted = vec![0_u64; WRITERS as usize];
    for round in 0..3 {
        let mut server = Server::spawn_in(directory.path(), &["shards.cores=2"]);
        let counts: Vec<_> = std::thread::scope(|scope| {
            let writers = (0..WRITERS).map(|writer| {
                let address = server.websocket;
                let first = accepted[writer as usize];
                scope.spawn(move || write_until_it_ends(address, path, writer, first))
            });
            let writers: Vec<_> = writers.collect();
            std::thread::sleep(std::time::Duration::from_millis(300 + 100 * round));
            server.kill();
            let ended = writers.into_iter();
            ended
                .map(|writer| writer.join().expect("it ends"))
                .collect()
        });
        accepted = counts;
    }
    assert!(accepted.iter().all(|count| *count > 0), "{accepted:?}");
    let server = Server::spawn_in(directory.path(), &[]);
    let mut api = Api::of(&server);
    // Each says again what it cannot know of: it is there once.
    for (writer, count) in accepted.iter().enumerate() {
        let headers = format!("X-Client-ID: {}\n", uuid(writer as u64));
        let body = json!({"operations": [[writer, count]], "firstClock": count, "create": "log"});
        api.send("POST", path, &headers, &body).ok();
    }
    let mut after = json!(0);
    let mut next = vec![0_u64; WRITERS as usize];
    while !after.is_null() {
        let page = api.get(&format!("{path}?after={after}")).ok();
        for entry in page["operations"].as_array().expect("an array") {
            let pair = entry["operation"].as_array().expect("a pair");
            let writer = pair[0].as_u64().expect("a number") as usize;
            assert_eq!(pair[1], next[writer]);
            assert_eq!(entry["clock"], next[writer]);
            next[writer] += 1;
        }
        after = page["next"].clone();
    }
    let expected: Vec<_> = accepted.iter().map(|count| count + 1).collect();
    assert_eq!(next, expected);
}

/// Writes one number after the other until the relay is gone. Returns how many were accepted.
fn write_until_it_ends(address: std::net::SocketAddr, path: &str, writer: u64, first: u64) -> u64 {
    use std::io::{Read as _, Write as _};
    let mut socket = std::net::TcpStream::connect(address).expect("it listens");
    for clock in first.. {
        let body = json!({"operations": [[writer, clock]], "firstClock": clock, "create": "log"});
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: relay\r\nContent-Type: application/json\r\nX-Client-ID: {}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            uuid(writer),
            body.len()
        );
        let mut answer = [0; 4096];
        let mut length = 0;
        let is_sent = socket.write_all(head.as_bytes()).is_ok();
        while is_sent && !String::from_utf8_lossy(&answer[..length]).ends_with('}') {
            match socket.read(&mut answer[length..]) {
                Ok(read @ 1..) => length += read,
                _gone => return clock,
            }
        }
        if !is_sent {
            return clock;
        }
        let answer = String::from_utf8_lossy(&answer[..length]);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    unreachable!("it is killed")
}

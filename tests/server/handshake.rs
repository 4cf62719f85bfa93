//! The HTTP side of the WebSocket port, over real sockets: answers in words, limits, and heads in pieces.

use std::io::{Read, Write};

use crate::common::client::{Client, Socket, hello, stream};
use crate::common::{Server, http};
use corelay::codec::wire::{Request, event};
use prost::Message as _;

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[test]
fn wrong_requests_are_answered_and_the_connection_ends() {
    let server = Server::spawn(&["connection.handshake_bytes_max=1KiB"]);
    let long = format!(
        "GET /ws HTTP/1.1\r\nHost: relay\r\nX: {}\r\n\r\n",
        "x".repeat(2000)
    );
    let table = [
        (
            "GET / HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n",
            200,
            "corelay relay",
        ),
        (
            "GET /favicon.ico HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n",
            404,
            "nothing here",
        ),
        (
            "GET /ws HTTP/1.1\r\nHost: relay\r\n\r\n",
            426,
            "WebSocket endpoint",
        ),
        (
            "GET /ws/documents/%00 HTTP/1.1\r\nHost: relay\r\n\r\n",
            400,
            "control characters",
        ),
        (
            "\u{16}\u{3}\u{1} this is TLS\r\n\r\n",
            400,
            "no HTTP/1.1 request",
        ),
        (long.as_str(), 431, "1024 bytes"),
        // What comes after the head is not lost on the way, but read and thrown away.
        (
            &format!(
                "POST /ws HTTP/1.1\r\nHost: relay\r\n\r\n{}",
                "body".repeat(50_000)
            ),
            405,
            "GET",
        ),
    ];
    for (request, status, words) in table {
        let (got, body) = http(server.websocket, request);
        assert_eq!(got, status, "{request}: {body}");
        assert!(body.contains(words), "{request}: {body}");
    }
}

#[test]
fn a_head_may_come_in_pieces_and_bring_the_first_frame_along() {
    let server = Server::spawn(&[]);
    let mut slow = stream(server.websocket);
    let key = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    for byte in UPGRADE.as_bytes() {
        slow.write_all(&[*byte]).expect("it is taken");
    }
    let mut answer = [0; 1024];
    let length = slow.read(&mut answer).expect("an answer");
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(
        answer.starts_with("HTTP/1.1 101 ") && answer.contains(key),
        "{answer}"
    );

    let mut quick = stream(server.websocket);
    let message = Request::from(hello(1)).encode_to_vec();
    let mut bytes = UPGRADE.as_bytes().to_vec();
    let length = u8::try_from(message.len() + 4).expect("a short frame");
    assert!(length < 126);
    // A final binary message, masked with zeros.
    bytes.extend_from_slice(&[0x82, 0x80 | length, 0, 0, 0, 0, 0, 0, 0, length - 4]);
    bytes.extend_from_slice(&message);
    quick.write_all(&bytes).expect("it is taken");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        quick.read_exact(&mut byte).expect("the head of the answer");
        head.push(byte[0]);
    }
    let socket =
        tungstenite::WebSocket::from_raw_socket(quick, tungstenite::protocol::Role::Client, None);
    let mut client = Client::over(Socket::WebSocket(Box::new(socket)));
    let event = client.next_event();
    assert!(
        matches!(event, Some(event::Body::Connected(_))),
        "{event:?}"
    );
}

#[test]
fn a_head_that_does_not_come_is_not_waited_for() {
    let server = Server::spawn(&["connection.handshake_timeout=200ms"]);
    for begun in ["", "GET /ws HTTP/1.1\r\n"] {
        let mut stream = stream(server.websocket);
        stream.write_all(begun.as_bytes()).expect("it is taken");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .expect("the relay closes");
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
}

#[test]
fn too_many_connections_are_told_so() {
    let server = Server::spawn(&["connection.count_max=2"]);
    let mut first = Client::websocket(&server, "/ws");
    first.hello(1);
    let second = Client::websocket(&server, "/ws");
    let (status, body) = http(server.websocket, UPGRADE);
    assert_eq!(
        (status, body.contains("as many connections")),
        (503, true),
        "{body}"
    );
    let mut refused = stream(server.tcp);
    assert_eq!(refused.read(&mut [0; 16]).expect("the relay closes"), 0);
    drop(second);
    let mut third = server.wait_for("room for another", || {
        let mut stream = stream(server.tcp);
        let message = Request::from(hello(3)).encode_to_vec();
        stream.write_all(&[0, 0, 0, message.len() as u8]).ok()?;
        stream.write_all(&message).ok()?;
        let length = stream.read(&mut [0; 1024]).unwrap_or(0);
        (length > 0).then_some(stream)
    });
    third.write_all(&[0]).expect("it is open");
    first.open("still-served");
}

#[test]
fn the_subprotocol_is_taken_when_it_is_offered() {
    let server = Server::spawn(&[]);
    for (offer, taken) in [
        ("Sec-WebSocket-Protocol: x, corelay.v1\r\n", true),
        ("", false),
    ] {
        let mut stream = stream(server.websocket);
        let request = UPGRADE.replacen("Host:", &format!("{offer}Host:"), 1);
        stream.write_all(request.as_bytes()).expect("it is taken");
        let mut answer = [0; 1024];
        let length = stream.read(&mut answer).expect("an answer");
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert_eq!(
            answer.contains("Sec-WebSocket-Protocol: corelay.v1\r\n"),
            taken,
            "{answer}"
        );
    }
}

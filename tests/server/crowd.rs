//! Who may connect at all, over real sockets: so many of one address, and pages of listed origins.

use std::io::{Read as _, Write as _};

use crate::common::client::{Client, hello, stream};
use crate::common::{Server, http, upgrade};
use corelay::codec::wire::{ErrorCode, event};

#[test]
fn an_address_has_as_many_connections_as_it_may() {
    let server = Server::spawn(&["connection.per_address_max=3", "shards.cores=2"]);
    let mut websocket = Client::websocket(&server, "/ws");
    websocket.hello(1);
    // One that its document's shard has taken over.
    let mut elsewhere = Client::websocket(&server, "/ws/documents/paper");
    elsewhere.hello(2);
    let mut tcp = Client::tcp(&server);
    tcp.hello(3);
    for _ in 0..5 {
        let mut refused = Client::tcp(&server);
        refused.request(hello(4));
        match (refused.next_event(), refused.next_event()) {
            (Some(event::Body::Error(error)), Some(event::Body::Close(close))) => {
                assert_eq!(error.code(), ErrorCode::TooManyConnections);
                assert_eq!((close.document, close.code()), (0, error.code()));
                assert!(close.retryable && close.retry_after_ms > 0);
            }
            other => panic!("{other:?}"),
        }
        assert!(refused.next_event().is_none());
        let (status, body) = http(server.websocket, &upgrade(""));
        assert_eq!(status, 429, "{body}");
        assert!(body.contains("3 connections"), "{body}");
    }
    for one in [websocket, elsewhere, tcp] {
        drop(one);
        server.wait_for("a place to be free", || {
            let mut next = Client::tcp(&server);
            next.request(hello(5));
            matches!(next.next_event(), Some(event::Body::Connected(_))).then_some(())
        });
    }
}

#[test]
fn pages_of_other_origins_get_no_websocket() {
    let origins = "listen.origins=https://app.example, http://localhost:3000";
    let server = Server::spawn(&[origins]);
    for (header, expected) in [
        ("", "101"),
        ("Origin: https://app.example\r\n", "101"),
        ("Origin: http://localhost:3000\r\n", "101"),
        ("Origin: https://app.example.org\r\n", "403"),
        ("Origin: null\r\n", "403"),
        (
            "Origin: https://app.example\r\nOrigin: https://evil.example\r\n",
            "403",
        ),
    ] {
        assert_eq!(status_of(&server, header), expected, "{header}");
    }
    let open_to_all = Server::spawn(&[]);
    let anywhere = "Origin: https://anywhere.example\r\n";
    assert_eq!(status_of(&open_to_all, anywhere), "101");
}

fn status_of(server: &Server, header: &str) -> String {
    let mut stream = stream(server.websocket);
    let request = upgrade(header);
    stream.write_all(request.as_bytes()).expect("it is taken");
    let mut answer = [0; "HTTP/1.1 101".len()];
    stream.read_exact(&mut answer).expect("an answer");
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.strip_prefix("HTTP/1.1 ").expect("an HTTP answer");
    status.to_owned()
}

//! Clients behind proxies, over real sockets: whom the relay takes a request to be from, and how many each may have.

use std::net::TcpStream;

use crate::common::Server;
use crate::common::client::{Client, stream, stream_from};
use crate::common::events::{Events, Http, Response, uuid};
use serde_json::Value;
use tempfile::TempDir;

const PROXY: [u8; 4] = [127, 0, 0, 9];
/// In front of that one.
const FIRST_PROXY: &str = "10.1.2.3";
const ADA: &str = "203.0.113.7";
const GRACE: &str = "2001:db8::7";

fn by_proxy(server: &Server) -> TcpStream {
    stream_from(PROXY, server.websocket)
}

fn greeted(mut client: Client) -> Client {
    client.hello(1);
    client
}

fn get(http: &mut Http, path: &str, client: &str) -> Response {
    let head = format!("GET {path} HTTP/1.1\nX-Forwarded-For: {client}");
    http.request(&head, "")
}

/// What the admin address says of whoever is connected: `address` and `proxy`, in order.
fn connections(server: &Server) -> Vec<(String, Option<String>)> {
    let (status, text) = server.control("/connections");
    assert_eq!(status, 200, "{text}");
    let list: Value = serde_json::from_str(&text).expect("JSON");
    let list = list["connections"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut connections: Vec<_> = list
        .iter()
        .map(|one| {
            (
                text(&one["address"]).expect("an address"),
                text(&one["proxy"]),
            )
        })
        .collect();
    connections.sort();
    connections
}

#[test]
fn a_client_is_whom_a_trusted_proxy_names() {
    let server = Server::spawn(&["listen.proxies=127.0.0.9, 10.1.2.0/24", "shards.cores=2"]);
    for (forwarded_for, expected) in [
        (ADA, ADA),
        ("203.0.113.7:4711", ADA),
        // What the client has written itself, and what the first of two proxies has added.
        ("6.6.6.6, 203.0.113.7, 10.1.2.3", ADA),
        ("10.1.2.4, 203.0.113.7", ADA),
        ("[2001:db8::7]", GRACE),
        (FIRST_PROXY, FIRST_PROXY),
    ] {
        for path in ["/ws", "/ws/documents/paper"] {
            let socket = by_proxy(&server);
            let end = socket.local_addr().expect("it is connected").to_string();
            let client = Client::websocket_over(socket, path, forwarded_for);
            let client = greeted(client.expect("the relay opens it"));
            let expected = (expected.to_owned(), Some(end));
            assert_eq!(connections(&server), [expected], "{forwarded_for}");
            drop(client);
            server.wait_for("the end", || connections(&server).is_empty().then_some(()));
        }
    }
    let path = format!("/events?version=3&client={}", uuid(1));
    let header = format!("X-Forwarded-For: {ADA}\r\n");
    let mut events = Events::open_over(by_proxy(&server), &path, &header).expect("a stream");
    events.expect("connected");
    assert_eq!(connections(&server)[0].0, ADA);
}

#[test]
fn nobody_else_is_believed() {
    let server = Server::spawn(&["listen.proxies=127.0.0.9", "connection.per_address_max=2"]);
    let mut sockets = Vec::new();
    for number in [1, 2] {
        let socket = stream(server.websocket);
        let own = socket.local_addr().expect("it is connected").to_string();
        let spoofed = format!("203.0.113.{number}");
        let client = Client::websocket_over(socket, "/ws", &spoofed).expect("it may");
        sockets.push((greeted(client), (own, None)));
    }
    let mut expected: Vec<_> = sockets.iter().map(|(_, one)| one.clone()).collect();
    expected.sort();
    assert_eq!(connections(&server), expected);
    let third = Client::websocket_over(stream(server.websocket), "/ws", ADA);
    assert_eq!(third.err(), Some(429), "it is the third of its own address");
    // Nor does it take what belongs to whom it says that it is.
    let ada = Client::websocket_over(by_proxy(&server), "/ws", "203.0.113.1");
    ada.expect("her first");
}

#[test]
fn a_limit_is_of_each_client_and_not_of_their_proxy() {
    let server = Server::spawn(&[
        "listen.proxies=127.0.0.9",
        "connection.per_address_max=2",
        "shards.cores=2",
    ]);
    let open = |client: &str| Client::websocket_over(by_proxy(&server), "/ws", client);
    // A proxy keeps connections for requests to come.
    let idle: Vec<_> = (0..5).map(|_| by_proxy(&server)).collect();
    let others: Vec<_> = (1..6)
        .map(|number| greeted(open(&format!("198.51.100.{number}")).expect("its first")))
        .collect();
    let adas = [(); 2].map(|()| greeted(open(ADA).expect("one of two")));
    assert_eq!(open(ADA).err(), Some(429));
    let refused = get(&mut Http::over(by_proxy(&server)), "/v1/documents", ADA);
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(
        refused.head.contains("application/problem+json"),
        "{refused:?}"
    );
    // Of IPv6, the whole /64 is one client.
    let _graces = ["2001:db8::7", "2001:db8::8"].map(|address| open(address).expect("one of two"));
    assert_eq!(open("2001:db8::9").err(), Some(429));

    // One connection of the proxy, for one request of each client after the other.
    let mut http = Http::over(by_proxy(&server));
    for number in [1, 2, 1, 2, 1] {
        let client = format!("198.51.100.{number}");
        let response = get(&mut http, "/v1/documents", &client);
        assert_eq!(response.status, 200, "{response:?}");
    }
    // Between two requests it is nobody's: of them each can have another connection, once the answer has left.
    let second: Vec<_> = (1..3)
        .map(|number| {
            let client = format!("198.51.100.{number}");
            server.wait_for("a second place", || open(&client).ok())
        })
        .collect();
    assert_eq!(get(&mut http, "/", "198.51.100.1").status, 429);
    drop(adas);
    server.wait_for("a place to be free", || open(ADA).ok());
    drop((idle, others, second));
}

#[test]
fn a_proxy_that_names_no_address_is_told_and_one_that_says_nothing_is_its_own_client() {
    let server = Server::spawn(&["listen.proxies=127.0.0.9", "connection.per_address_max=1"]);
    for wrong in ["unknown", "203.0.113.7, unix:"] {
        let response = get(&mut Http::over(by_proxy(&server)), "/v1/documents", wrong);
        assert_eq!(response.status, 400, "{response:?}");
        assert!(response.body.contains("listen.proxies"), "{response:?}");
    }
    let socket = by_proxy(&server);
    let end = socket.local_addr().expect("it is connected").to_string();
    let client = Client::websocket_over(socket, "/ws", "").expect("the relay opens it");
    let _client = greeted(client);
    assert_eq!(connections(&server), [(end, None)]);
    let second = Client::websocket_over(by_proxy(&server), "/ws", "");
    assert_eq!(second.err(), Some(429));
    // Over TCP nobody can be named, and a proxy's clients are not counted as one.
    for _ in 0..3 {
        let socket = stream_from(PROXY, server.tcp);
        let mut client = Client::over(crate::common::client::Socket::Tcp(socket));
        client.hello(1);
    }
}

#[test]
fn a_proxy_may_have_an_address_of_ipv6() {
    let server = Server::spawn(&["listen.websocket=[::]:0", "listen.proxies=::1, 127.0.0.1"]);
    let port = server.websocket.port();
    for own in ["[::1]", "127.0.0.1"] {
        let address = format!("{own}:{port}").parse().expect("an address");
        let client = Client::websocket_over(stream(address), "/ws", GRACE);
        let _client = greeted(client.expect("the relay opens it"));
        let connections = connections(&server);
        assert_eq!(connections.len(), 1, "{connections:?}");
        let (client, proxy) = &connections[0];
        assert_eq!(client, GRACE);
        let proxy = proxy.as_deref().expect("there is one");
        assert!(proxy.contains(own.trim_matches(['[', ']'])), "{proxy}");
    }
}

#[test]
fn a_reload_says_who_is_a_proxy_from_then_on() {
    let directory = TempDir::new().expect("there is room");
    let write = |proxies: &str| {
        let text = format!("[listen]\nproxies = {proxies:?}\n");
        std::fs::write(directory.path().join("corelay.toml"), text).expect("there is room");
    };
    write("");
    let server = Server::spawn_in(directory.path(), &["connection.per_address_max=1"]);
    let mut kept = Http::over(by_proxy(&server));
    assert_eq!(get(&mut kept, "/v1/documents", ADA).status, 200);
    let other = get(&mut Http::over(by_proxy(&server)), "/v1/documents", GRACE);
    assert_eq!(other.status, 429, "both are of one address");
    write("127.0.0.9");
    let log = server.reload();
    assert!(log.contains("listen.proxies: now \"127.0.0.9\""), "{log}");
    assert_eq!(get(&mut kept, "/v1/documents", ADA).status, 200);
    let mut other = Http::over(by_proxy(&server));
    assert_eq!(get(&mut other, "/v1/documents", GRACE).status, 200);
    write("");
    server.reload();
    let other = Client::websocket_over(other.into_stream(), "/ws", GRACE);
    let _other = greeted(other.expect("the relay opens it"));
    let both = get(&mut kept, "/v1/documents", ADA);
    assert_eq!(both.status, 429, "both are of one address again");
}

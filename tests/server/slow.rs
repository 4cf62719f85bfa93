//! Clients that read slowly get everything, and those that stop are given up, whatever the system holds for them.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::common::Server;
use crate::common::api::Api;
use crate::common::client::{Client, Socket, narrow, stream};
use corelay::codec::wire::{Open, event, request};

/// More than the system holds for a client.
const TEXT_BYTES: usize = 6_000_000;

/// The system says that a socket takes more when a good part of what it has is gone, which is several of these timeouts
/// over the line below. Nobody waits for long for the answer to a ping, either.
const SETTINGS: [&str; 3] = [
    "connection.write_timeout=1s",
    "connection.ping_period=1s",
    "connection.pong_timeout=1500ms",
];

/// A line to that address, over which some 600 kB come in a second, and nothing is on its way but what the relay's own
/// system has.
fn slow_line(address: SocketAddr) -> TcpStream {
    use std::io::{Read as _, Write as _};
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let line = stream(listener.local_addr().expect("it has one"));
    std::thread::spawn(move || {
        let (mut near, _) = listener.accept().expect("the client has connected");
        let mut far = narrow(address);
        let ends = (near.try_clone(), far.try_clone());
        std::thread::spawn(move || {
            let (Ok(mut near), Ok(mut far)) = ends else {
                panic!("no descriptor is free");
            };
            let _ = std::io::copy(&mut near, &mut far);
        });
        let mut piece = [0; 4000];
        while let Ok(length @ 1..) = far.read(&mut piece)
            && near.write_all(&piece[..length]).is_ok()
        {
            std::thread::sleep(Duration::from_millis(6));
        }
    });
    line
}

/// Opens the text, which comes as a snapshot in pages.
fn ask(client: &mut Client, number: u64) {
    client.hello(number);
    client.request(request::Body::Open(Open {
        document: "long".to_owned(),
        ..Open::default()
    }));
}

fn read_text(client: &mut Client) -> String {
    let mut text = Vec::new();
    client.expect("the last page", |event| match event {
        event::Body::SyncResponse(page) => {
            let chunk = page.snapshot.iter().flat_map(|chunk| &chunk.data);
            text.extend(chunk);
            (!page.has_more).then_some(())
        }
        event::Body::Error(error) => panic!("{error:?}, after {} bytes", text.len()),
        _another => None,
    });
    String::from_utf8(text).expect("UTF-8")
}

#[test]
fn who_reads_slowly_gets_all_of_a_large_text() {
    let server = Server::spawn(&SETTINGS);
    let text = Api::of(&server).write_text("/v1/documents/long", TEXT_BYTES);
    let tcp = Client::over(Socket::Tcp(slow_line(server.tcp)));
    let line = slow_line(server.websocket);
    let url = format!("ws://{}/ws/documents/long", server.websocket);
    let (websocket, _) = tungstenite::client(url, line).expect("it is opened");
    let websocket = Client::over(Socket::WebSocket(Box::new(websocket)));
    std::thread::scope(|scope| {
        for (number, mut client) in (1..).zip([tcp, websocket]) {
            let text = &text;
            scope.spawn(move || {
                ask(&mut client, number);
                assert!(read_text(&mut client) == *text);
            });
        }
    });
    assert_eq!(server.metric("backpressure_closes_total"), 0);
}

#[test]
fn who_stops_reading_is_given_up_although_the_system_holds_much_of_it() {
    let server = Server::spawn(&SETTINGS);
    Api::of(&server).write_text("/v1/documents/long", TEXT_BYTES);
    let mut client = Client::narrow(&server);
    ask(&mut client, 1);
    for _ in 0..3 {
        client.next_event().expect("it is served");
    }
    server.wait_for("the end of its patience", || {
        (server.metric("backpressure_closes_total") == 1).then_some(())
    });
    server.wait_for("the end of the connection", || {
        (server.metric("connections") == 0).then_some(())
    });
}

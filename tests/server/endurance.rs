//! Many connections: neither those that come and go nor those that stay cost more than they should.

use crate::common::Server;
use crate::common::client::{Client, stream};
use corelay::codec::wire::{Ping, event, request};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

/// Waits until the relay has let go of all connections, and returns its descriptors.
fn settled(server: &Server, descriptors_max: usize) -> usize {
    server.wait_for("the end of the connections", || {
        let count = server.descriptors();
        (count <= descriptors_max).then_some(count)
    })
}

fn come_and_go(server: &Server, rounds: u64) {
    for round in 0..rounds {
        match round % 5 {
            0 => {
                let mut client = Client::websocket(server, "/ws/documents/door");
                client.hello(round % 7 + 1);
                client.open("");
            }
            1 => {
                let mut client = Client::tcp(server);
                client.hello(round % 7 + 1);
            }
            // Gone before a word.
            2 => drop(stream(server.websocket)),
            3 => drop(stream(server.tcp)),
            // Gone in the middle of a word, and answered.
            _ => {
                let mut half = stream(server.websocket);
                half.write_all(b"GET /ws HTTP/1.1\r\nHost:")
                    .expect("it is taken");
                drop(half);
                let mut wrong = stream(server.websocket);
                wrong
                    .write_all(b"PUT /ws HTTP/1.1\r\n\r\n")
                    .expect("it is taken");
                let mut answer = String::new();
                wrong.read_to_string(&mut answer).expect("an answer");
                assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
            }
        }
    }
}

#[test]
fn clients_that_come_and_go_leave_nothing_behind() {
    let server = Server::spawn(&["shards.cores=2"]);
    let idle = server.descriptors();
    come_and_go(&server, 2000);
    settled(&server, idle);
    let before = server.resident_bytes();
    come_and_go(&server, 12_000);
    settled(&server, idle);
    let after = server.resident_bytes();
    // These are 14,400 connections: half a kibibyte left behind by each would be 7 MiB.
    assert!(after < before + 6 * 1024 * 1024, "{before} {after}");
}

#[test]
fn a_thousand_idle_connections_cost_little_and_all_answer() {
    let server = Server::spawn(&["shards.cores=2"]);
    let mut warm = Client::websocket(&server, "/ws");
    warm.hello(9999);
    let before = server.resident_bytes();
    let mut clients: Vec<_> = (0..1000)
        .map(|number| {
            let mut client = match number % 2 {
                0 => Client::tcp(&server),
                _ => Client::websocket(&server, "/ws"),
            };
            client.hello(number + 1);
            client
        })
        .collect();
    let each = server.resident_bytes().saturating_sub(before) / clients.len();
    println!("{each} bytes for each idle connection");
    assert!(each < 16 * 1024, "{each} bytes for each idle connection");
    for client in &mut clients {
        client.open("everybody");
    }
    clients[0].open("everybody");
}

#[test]
fn sleeping_and_waking_leaves_nothing_behind() {
    let server = Server::spawn(&[]);
    let mut client = Client::tcp(&server);
    client.hello(1);
    let mut pings = |count: u64| {
        for nonce in 0..count {
            client.request(request::Body::Ping(Ping { nonce }));
            let pong = client.expect("a Pong", |event| match event {
                event::Body::Pong(pong) => Some(pong.nonce),
                _ => None,
            });
            assert_eq!(pong, nonce);
        }
    };
    pings(2000);
    assert_eq!(
        server.metric("nothing"),
        0,
        "the control thread is warm, too"
    );
    let before = server.resident_bytes();
    // A relay that is kept busy by others does not sleep between two pings.
    let parks = server.wait_for("twenty thousand parks", || {
        pings(4000);
        let parks = server.metric("parks_total");
        (parks > 20_000).then_some(parks)
    });
    let after = server.resident_bytes();
    // The executor's smallest trace of a wait is some 200 bytes: 4 MB.
    assert!(
        after < before + 2 * 1024 * 1024,
        "{before} {after} after {parks} parks"
    );
}

#[test]
fn without_free_descriptors_clients_wait_and_nothing_spins() {
    let server = Server::spawn(&[]);
    let mut first = Client::tcp(&server);
    first.hello(1);
    let free = 5;
    let before = server.set_limit(libc::RLIMIT_NOFILE, server.descriptors() as u64 + free);
    let waiting: Vec<_> = (0..20).map(|_| stream(server.tcp)).collect();
    server.wait_for_log("cannot accept");
    let cpu = server.cpu_seconds();
    let document = first.open("document").document;
    for number in 0..200 {
        first.send(
            document,
            number + 1,
            number,
            &["served without a descriptor to spare"],
        );
        first.ack(number + 1);
    }
    std::thread::sleep(std::time::Duration::from_secs(1));
    let spent = server.cpu_seconds() - cpu;
    assert!(spent < 0.8, "{spent} s of one core");
    server.set_limit(libc::RLIMIT_NOFILE, before);
    for (stream, number) in waiting.into_iter().zip(100..) {
        let mut client = Client::over(crate::common::client::Socket::Tcp(stream));
        client.hello(number);
    }
}

/// Whether the relay has closed it, in a while.
fn is_closed(mut stream: &TcpStream) -> bool {
    let end = stream.read(&mut [0; 16]);
    matches!(end, Ok(0)) || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

#[test]
fn clients_have_no_descriptor_that_the_store_may_need() {
    // 64 for this and that, 16 of the shard, 256 for tables of the store and of a backup, 64 of the admin address, and as
    // many as HTTP requests.
    let reserved = 64 + 16 + 256 + 64 + 10;
    let room = 50;
    let server = Server::spawn_with_descriptors(reserved + room, &["http.requests_max=10"]);
    server.wait_for_log("room for 50 connections");
    let mut first = Client::tcp(&server);
    first.hello(1);
    let others: Vec<_> = (1..room).map(|_| stream(server.tcp)).collect();
    server.wait_for("that they are taken", || {
        (server.metric("accepted_total") >= room).then_some(())
    });
    for address in [server.tcp, server.websocket] {
        for _ in 0..200 {
            assert!(is_closed(&stream(address)));
        }
    }
    server.wait_for("that all are counted", || {
        (server.metric("refused_total") >= 400).then_some(())
    });
    assert!(!server.log().contains("cannot accept"));
    let document = first.open("document").document;
    first.send(document, 1, 0, &["there is room on the disk"]);
    first.ack(1);
    drop(others);
    server.wait_for("places to be free", || {
        (server.metric("connections") == 1).then_some(())
    });
    let request = "GET /v1/documents/document HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n";
    assert_eq!(crate::common::http(server.websocket, request).0, 200);
}

#[test]
fn who_says_nothing_at_the_admin_address_costs_a_few_descriptors() {
    let server = Server::spawn(&[]);
    let before = server.descriptors();
    let silent: Vec<_> = (0..500).map(|_| stream(server.admin)).collect();
    server.wait_for("those that are taken", || {
        (server.descriptors() >= before + 60).then_some(())
    });
    for _ in 0..3 {
        let mut client = Client::tcp(&server);
        client.hello(1);
    }
    let now = server.descriptors();
    assert!(now < before + 90, "{before} before, {now} now");
    drop(silent);
    assert_eq!(server.control("/healthz").0, 200);
}

#[test]
fn handshakes_that_nobody_finishes_do_not_keep_others_out() {
    let server = Server::spawn(&[]);
    let half: Vec<_> = (0..1500)
        .map(|_| {
            let mut stream = stream(server.websocket);
            stream
                .write_all(b"GET /ws HTTP/1.1\r\n")
                .expect("it is taken");
            stream
        })
        .collect();
    let mut client = Client::websocket(&server, "/ws");
    client.hello(1);
    // The oldest are closed, the newest may still finish.
    assert_eq!((&half[0]).read(&mut [0; 16]).expect("closed"), 0);
    let mut newest = &half[half.len() - 1];
    newest.write_all(b"\r\n").expect("it is open");
    let mut answer = [0; 64];
    let length = newest.read(&mut answer).expect("an answer");
    assert!(answer[..length].starts_with(b"HTTP/1.1 426 "));
}

//! How the process begins and ends: planned stops, impatient ones, and starts that cannot be.

use std::io::Read;

use crate::common::client::{Client, stream};
use crate::common::{Server, http};
use corelay::codec::wire::event;

/// All events until the relay closes.
fn rest(mut client: Client) -> Vec<event::Body> {
    std::iter::from_fn(|| client.next_event()).collect()
}

#[test]
fn a_planned_stop_says_goodbye_and_keeps_what_it_took() {
    let directory = tempfile::TempDir::new().unwrap();
    let mut server = Server::spawn_in(directory.path(), &["shards.cores=2"]);
    let mut clients: Vec<_> = (0..6)
        .map(|number| {
            let mut client = match number % 2 {
                0 => Client::tcp(&server),
                _ => Client::websocket(&server, "/ws"),
            };
            client.hello(number + 1);
            let handle = client.open(&format!("document-{number}")).document;
            client.send(handle, 1, 0, &["kept"]);
            client
        })
        .collect();
    for client in &mut clients {
        client.ack(1);
    }
    let idle = stream(server.websocket);
    server.terminate();
    for client in clients {
        let events = rest(client);
        assert!(
            events
                .iter()
                .any(|event| matches!(event, event::Body::Goaway(_))),
            "{events:?}"
        );
    }
    let mut answer = String::new();
    let _ = (&idle).read_to_string(&mut answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 503 "),
        "{answer}"
    );
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());

    let server = Server::spawn_in(directory.path(), &[]);
    for number in 0..6 {
        let mut client = Client::tcp(&server);
        client.hello(100 + number);
        let opened = client.open(&format!("document-{number}"));
        assert_eq!(opened.position.expect("a position").revision, 1);
    }
}

/// A relay that owes a client more than any socket's buffers hold, and the client, which reads nothing of it.
fn relay_with_a_stubborn_client() -> (Server, Client) {
    let server = Server::spawn(&[]);
    let mut writer = Client::tcp(&server);
    writer.hello(1);
    let document = writer.open("long").document;
    for number in 0..100 {
        writer.send(document, number + 1, number, &[&"x".repeat(100_000)]);
        writer.ack(number + 1);
    }
    let mut stubborn = Client::narrow(&server);
    stubborn.hello(2);
    stubborn.open("long");
    (server, stubborn)
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (mut server, _stubborn) = relay_with_a_stubborn_client();
    server.terminate();
    server.wait_for_log("stopping");
    let (status, body) = server.control("/readyz");
    assert_eq!((status, body.as_str()), (503, "draining\n"));
    server.terminate();
    let status = server.wait();
    assert_eq!(status.code(), Some(130), "{status}: {}", server.log());
}

#[test]
fn a_client_that_takes_nothing_does_not_hold_up_a_stop_for_long() {
    let (mut server, _stubborn) = relay_with_a_stubborn_client();
    let begun = std::time::Instant::now();
    server.terminate();
    let status = server.wait();
    assert_eq!(status.code(), Some(0), "{status}: {}", server.log());
    assert!(begun.elapsed().as_secs() < 15, "five seconds are given");
}

#[test]
fn the_control_thread_says_how_it_is() {
    let server = Server::spawn(&["listen.tcp=0.0.0.0:0"]);
    assert_eq!(server.control("/healthz"), (200, "alive\n".to_owned()));
    assert_eq!(server.control("/readyz"), (200, "ready\n".to_owned()));
    let mut client = Client::tcp(&server);
    client.hello(1);
    server.wait_for("a published connection", || {
        (server.metric("connections") == 1).then_some(())
    });
    let (_, text) = server.control("/metrics");
    assert!(text.contains("process_resident_memory_bytes "), "{text}");
    server.wait_for_log("THERE IS NO AUTHENTICATION");
    server.wait_for_log("EVERY WEB PAGE MAY CONNECT");
}

#[test]
fn a_port_that_is_taken_is_named_with_what_to_do() {
    let server = Server::spawn(&["shards.cores=2"]);
    for (key, address) in [
        ("websocket", server.websocket),
        ("tcp", server.tcp),
        ("admin", server.admin),
    ] {
        let setting = format!("listen.{key}={address}");
        let refused = Server::try_spawn(&[&setting])
            .err()
            .expect("the port is taken");
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(refused.log.contains(&address.to_string()), "{refused:?}");
        assert!(
            refused.log.contains(&format!("listen.{key}")),
            "{refused:?}"
        );
    }
    let (status, _) = http(
        server.websocket,
        "GET / HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(status, 200, "the first one goes on");
}

#[test]
fn cores_that_are_not_there_are_named() {
    let refused = Server::try_spawn(&["shards.cores=1023-1023"])
        .err()
        .expect("no such core");
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(refused.log.contains("1023"), "{refused:?}");
}

#[test]
fn an_idle_relay_sleeps() {
    let server = Server::spawn(&[]);
    let mut client = Client::tcp(&server);
    client.hello(1);
    client.open("document");
    server.wait_for("the last publication", || {
        (server.metric("connections") == 1).then_some(())
    });
    let before = (server.cpu_seconds(), server.metric("turns_total"));
    std::thread::sleep(std::time::Duration::from_secs(3));
    let after = (server.cpu_seconds(), server.metric("turns_total"));
    // A loop that never sleeps would take all three seconds, and turn a million times.
    assert!(after.0 - before.0 < 1.0, "{before:?} {after:?}");
    assert!(after.1 - before.1 < 3000, "{before:?} {after:?}");
}

#[test]
fn a_disk_that_fails_ends_the_relay_and_nothing_more_is_acknowledged() {
    let directory = tempfile::TempDir::new().unwrap();
    let mut server = Server::spawn_in(directory.path(), &[]);
    let mut client = Client::tcp(&server);
    client.hello(1);
    let document = client.open("document").document;
    client.send(document, 1, 0, &["kept"]);
    client.ack(1);
    // No file may grow any more: the next write to the store fails.
    server.set_limit(libc::RLIMIT_FSIZE, 0);
    client.send(document, 2, 1, &["lost"]);
    let events = rest(client);
    assert!(
        !events
            .iter()
            .any(|event| matches!(event, event::Body::Ack(_))),
        "{events:?}"
    );
    let status = server.wait();
    assert_eq!(status.code(), Some(1), "{status}: {}", server.log());
}

//! How the process begins and ends: planned stops, impatient ones, and starts that cannot be.

mod common;

use std::io::Read;

use common::client::{Client, stream};
use common::{PATIENCE, Server, http};
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

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut server = Server::spawn(&[]);
    // A client that reads nothing and does not close keeps the relay waiting.
    let mut stubborn = Client::tcp(&server);
    stubborn.hello(1);
    stubborn.open("document");
    server.terminate();
    server.wait_for("the stop", || {
        server.log().contains("stopping").then_some(())
    });
    server.terminate();
    let status = server.wait();
    assert!(
        matches!(status.code(), Some(130 | 0)),
        "{status}: {}",
        server.log()
    );
}

#[test]
fn the_control_thread_says_how_it_is() {
    let server = Server::spawn(&[]);
    assert_eq!(server.control("/health"), (200, "alive\n".to_owned()));
    assert_eq!(server.control("/ready"), (200, "ready\n".to_owned()));
    let mut client = Client::tcp(&server);
    client.hello(1);
    server.wait_for("a published connection", || {
        (server.metric("connections") == 1).then_some(())
    });
    let (_, text) = server.control("/metrics");
    assert!(text.contains("process_resident_memory_bytes "), "{text}");
    assert!(
        server.log().contains("THERE IS NO AUTHENTICATION"),
        "{}",
        server.log()
    );
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
    let (status, _) = http(server.websocket, "GET / HTTP/1.1\r\nHost: relay\r\n\r\n");
    assert_eq!(status, 200, "the first one goes on");
}

#[test]
fn cores_that_are_not_there_are_named() {
    let refused = Server::try_spawn(&["shards.cores=1023-1023"])
        .err()
        .expect("no such core");
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
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
    let cpu_ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
        let fields: Vec<_> = stat
            .rsplit(") ")
            .next()
            .unwrap()
            .split(' ')
            .map(str::to_owned)
            .collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = (cpu_ticks(), server.metric("turns_total"));
    std::thread::sleep(std::time::Duration::from_secs(3));
    let after = (cpu_ticks(), server.metric("turns_total"));
    assert!(
        after.0 - before.0 < 100,
        "a third of the time would be a busy loop: {before:?} {after:?}"
    );
    assert!(after.1 - before.1 < 3000, "{before:?} {after:?}");
    assert!(PATIENCE.as_secs() > 3);
}

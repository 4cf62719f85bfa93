//! Operations on their way through the real binary: over each transport, and from core to core.

use crate::common::Server;
use crate::common::client::Client;
use crate::common::events::Events;
use corelay::codec::wire::event::Body;
use corelay::engine::route::shard_of;

/// A document that lives on that shard of two.
fn document_on(shard: usize) -> String {
    (0..)
        .map(|number| format!("document-{number}"))
        .find(|name| shard_of(name, 2) == shard)
        .expect("every shard has documents")
}

#[test]
fn clients_of_both_transports_see_each_other() {
    let server = Server::spawn(&[]);
    let mut editor = Client::websocket(&server, "/ws/documents/shared%20notes");
    let mut agent = Client::tcp(&server);
    editor.hello(1);
    agent.hello(2);
    let opened = editor.open("");
    let again = agent.open("shared notes");
    assert_eq!(
        opened.document, again.document,
        "the handle is the same for all"
    );

    editor.send(opened.document, 1, 0, &["from the editor"]);
    assert_eq!(editor.ack(1), 1);
    assert_eq!(agent.remote(), (1, vec!["from the editor".into()]));
    agent.send(opened.document, 7, 0, &["a", "b"]);
    assert_eq!(agent.ack(7), 2);
    assert_eq!(editor.remote(), (2, vec!["a".into(), "b".into()]));
}

#[test]
fn a_connection_is_served_by_the_shard_of_its_document() {
    let server = Server::spawn(&["shards.cores=2"]);
    let mut clients = Vec::new();
    for number in 0..40 {
        let document = document_on(number % 2);
        let mut client = Client::websocket(&server, &format!("/ws/documents/{document}"));
        client.hello(number as u64 + 1);
        let opened = client.open("");
        client.send(opened.document, 1, 0, &["x"]);
        client.ack(1);
        clients.push(client);
    }
    // The kernel spreads the connections by their ports: of 40, some begin on the wrong shard.
    server.wait_for("a hand-off", || {
        (server.metric("handed_off_total") > 0).then_some(())
    });
    let (_, text) = server.control("/metrics");
    for shard in 0..2 {
        let line = format!("corelay_connections{{shard=\"{shard}\"}} 20");
        server.wait_for("twenty connections on each", || {
            server.control("/metrics").1.contains(&line).then_some(())
        });
    }
    assert!(
        text.contains("# TYPE corelay_accepted_total counter"),
        "{text}"
    );
}

#[test]
fn documents_of_another_shard_are_reached_over_the_lanes() {
    let server = Server::spawn(&["shards.cores=2"]);
    let documents = [document_on(0), document_on(1)];
    let mut writers: Vec<_> = (1..=8)
        .map(|number| {
            let mut client = match number % 2 {
                0 => Client::tcp(&server),
                _ => Client::websocket(&server, &format!("/ws/documents/{}", documents[0])),
            };
            client.hello(number);
            let handles = documents
                .each_ref()
                .map(|document| client.open(document).document);
            (client, handles)
        })
        .collect();
    const ROUNDS: u64 = 50;
    for round in 0..ROUNDS {
        for (client, handles) in &mut writers {
            for handle in handles {
                client.send(*handle, round + 1, round, &["x"]);
            }
        }
    }
    // Each one sees, on each document, all revisions in their order, its own as acknowledgements.
    for (client, handles) in &mut writers {
        let mut next = [1, 1];
        while next != [ROUNDS * 8 + 1; 2] {
            let (handle, first, count) = client.expect("a revision", revisions);
            let index = handles
                .iter()
                .position(|&own| own == handle)
                .expect("a document that is open");
            assert_eq!(first, next[index]);
            next[index] += count;
        }
    }
}

fn revisions(event: Body) -> Option<(u64, u64, u64)> {
    match event {
        Body::Ack(ack) => Some((ack.document, ack.first_revision, u64::from(ack.count))),
        Body::RemoteOps(remote) => Some((
            remote.document,
            remote.revision,
            remote.operations.len() as u64,
        )),
        Body::Nack(nack) => panic!("{nack:?}"),
        Body::Error(error) => panic!("{error:?}"),
        _ => None,
    }
}

#[test]
fn a_busy_document_is_served_by_both_shards() {
    let server = Server::spawn(&["shards.cores=2", "fanout.edge_subscribers_min=4"]);
    let path = format!("/ws/documents/{}", document_on(0));
    let mut clients: Vec<_> = (1..=40)
        .map(|number| {
            let mut client = Client::websocket(&server, &path);
            client.hello(number);
            let handle = client.open("").document;
            (client, handle)
        })
        .collect();
    let stream_path = format!("/events/documents/{}", document_on(0));
    let mut streams: Vec<_> = (41..=50)
        .map(|number| {
            let mut stream = Events::of(&server, number, &stream_path);
            stream.expect_caught_up();
            stream
        })
        .collect();
    let elsewhere = |name: &str| {
        let (_, text) = server.control("/metrics");
        let line = format!("corelay_{name}{{shard=\"1\"}} ");
        let value = text.lines().find_map(|it| it.strip_prefix(&line));
        value
            .expect("it is there")
            .parse::<u64>()
            .expect("a number")
    };
    let there = server.wait_for("subscribers at the edge", || {
        Some(elsewhere("edge_subscribers")).filter(|there| *there > 0)
    });
    assert!(
        there <= 50 - 4,
        "the first were moved to the document's shard"
    );
    const ROUNDS: u64 = 20;
    for round in 0..ROUNDS {
        for (client, handle) in &mut clients {
            client.send(*handle, round + 1, round, &["1"]);
        }
    }
    for (client, _) in &mut clients {
        let mut next = 1;
        while next <= ROUNDS * 40 {
            let (_, first, count) = client.expect("a revision", revisions);
            assert_eq!(first, next);
            next += count;
        }
    }
    for stream in &mut streams {
        let mut next = 1;
        while next <= ROUNDS * 40 {
            let remote = stream.expect("remote_ops");
            assert_eq!(remote.json["payload"]["revision"], next);
            let operations = remote.json["payload"]["operations"].as_array();
            next += operations.expect("a batch").len() as u64;
        }
    }
    let carried = server.wait_for("what was carried", || {
        let carried = elsewhere("edge_events_total");
        (carried >= ROUNDS * 40).then_some(carried)
    });
    assert_eq!(carried, ROUNDS * 40, "each batch crosses once");
    assert!(elsewhere("deliveries_total") >= ROUNDS * 40);
}

#[test]
fn a_full_socket_is_gone_on_with_when_it_has_room() {
    let server = Server::spawn(&[]);
    let mut writer = Client::websocket(&server, "/ws");
    writer.hello(1);
    let document = writer.open("long").document;
    let operation = "x".repeat(100_000);
    const OPERATIONS: u64 = 200;
    for number in 0..OPERATIONS {
        writer.send(document, number + 1, number, &[&operation]);
        writer.ack(number + 1);
    }
    // 20 MB are more than any socket's buffers.
    let mut reader = Client::narrow(&server);
    reader.hello(2);
    reader.open("long");
    let sends = server.wait_for("a full socket", || {
        let before = server.metric("sent_bytes_total");
        std::thread::sleep(std::time::Duration::from_millis(1100));
        (server.metric("sent_bytes_total") == before).then(|| server.metric("sends_total"))
    });
    // Pages from the store, and then what the relay still had in memory.
    let mut next = 1;
    while next <= OPERATIONS {
        let pages = reader.expect("operations", |event| match event {
            Body::SyncResponse(page) => Some(page.operations),
            Body::RemoteOps(remote) => Some(vec![remote]),
            _ => None,
        });
        for remote in pages {
            assert_eq!(remote.revision, next);
            assert!(
                remote
                    .operations
                    .iter()
                    .all(|bytes| bytes.len() == operation.len())
            );
            next += remote.operations.len() as u64;
        }
    }
    server.wait_for("the sends after that", || {
        (server.metric("sends_total") > sends + 10).then_some(())
    });
}

#[test]
fn a_client_that_ends_its_side_is_let_go() {
    let server = Server::spawn(&[]);
    let mut client = Client::tcp(&server);
    client.hello(1);
    if let crate::common::client::Socket::Tcp(socket) = &client.socket {
        socket.shutdown(std::net::Shutdown::Write).unwrap();
    }
    assert!(client.next_event().is_none());
    server.wait_for("the end of the session", || {
        (server.metric("connections") == 0).then_some(())
    });
}

//! Busy documents: subscribers who are connected to another shard are served there, and notice nothing of it.

use corelay::codec::wire::{self, ErrorCode, event, request};
use corelay::engine::shard::{Lane, Settings, Transport};
use serde_json::json;

use crate::expect;
use crate::fixture::{Client, Relay, TRANSPORTS};
use crate::mesh::{joined_to, name_on};
use crate::requests::{close, log_batch};
use crate::tokens::{self, hello_with, token};

/// Two shards, and a document is busy as soon as somebody is there.
fn relay(change: impl FnOnce(&mut Settings)) -> Relay {
    Relay::with(2, |settings| {
        settings.fanout.edge_subscribers_min = Some(1);
        change(settings);
    })
}

/// Ann is on the document's shard, and so many others are not. Returns them and the document's handle.
fn room(relay: &mut Relay, others: usize) -> (Client, Vec<Client>, u64) {
    let ann = joined_to(relay, "ann", 1, Transport::Tcp);
    let notes = relay.open(ann, &name_on(1), "log").document;
    let others = (0..others).map(|number| {
        let transport = TRANSPORTS[number % 2];
        let client = joined_to(relay, &format!("other {number}"), 0, transport);
        relay.open(client, &name_on(1), "log");
        client
    });
    let others = others.collect();
    (ann, others, notes)
}

fn edge_subscribers(relay: &Relay) -> [u64; 2] {
    [0, 1].map(|shard| relay.shards[shard].metrics().edge_subscribers)
}

fn presence(document: u64) -> request::Body {
    request::Body::Presence(wire::Presence {
        document,
        is_typing: true,
        ..Default::default()
    })
}

/// What a client is told of revisions from `next` on must have no gap. Returns the next one, and how many Resyncs came.
#[track_caller]
fn read(relay: &mut Relay, client: Client, mut next: u64) -> (u64, usize) {
    let mut resyncs = 0;
    for event in relay.drain(client) {
        let (revision, count) = match event {
            event::Body::RemoteOps(remote) => (remote.revision, remote.operations.len() as u64),
            event::Body::Ack(ack) => (ack.first_revision, u64::from(ack.count)),
            event::Body::SyncResponse(page) => {
                for remote in page.operations {
                    assert_eq!(remote.revision, next);
                    next += remote.operations.len() as u64;
                }
                continue;
            }
            event::Body::Resync(_) => {
                resyncs += 1;
                continue;
            }
            event::Body::Warning(_) | event::Body::PresenceUpdate(_) => continue,
            other => panic!("{other:?}"),
        };
        assert_eq!(revision, next);
        next += count;
    }
    (next, resyncs)
}

#[test]
fn an_event_crosses_once_for_all_and_who_sent_it_gets_its_ack() {
    let mut relay = relay(|_| ());
    let (ann, others, notes) = room(&mut relay, 10);
    assert_eq!(edge_subscribers(&relay), [10, 0]);
    let before = relay.shards[0].metrics();
    relay.send(ann, log_batch(notes, 0, ["one"]));
    assert_eq!(expect!(relay, ann, Ack).first_revision, 1);
    for other in &others {
        assert_eq!(expect!(relay, *other, RemoteOps).revision, 1);
    }
    let after = relay.shards[0].metrics();
    assert_eq!(after.edge_events - before.edge_events, 1);
    assert_eq!(after.deliveries - before.deliveries, 10);

    relay.send(others[3], log_batch(notes, 0, ["two", "three"]));
    assert_eq!(expect!(relay, others[3], Ack).first_revision, 2);
    assert_eq!(expect!(relay, ann, RemoteOps).revision, 2);
    assert_eq!(expect!(relay, others[4], RemoteOps).revision, 2);
    let [home, owner] = [0, 1].map(|shard| relay.shards[shard].metrics());
    assert_eq!((home.deliveries, owner.deliveries), (20, 2));
    assert_eq!(home.acks, 1, "it was made where it was sent");
}

#[test]
fn clients_stay_where_they_are_accepted_while_a_document_is_busy() {
    let mut relay = Relay::with(2, |settings| {
        settings.fanout.edge_subscribers_min = Some(4);
    });
    let name = name_on(1);
    let homes = |relay: &Relay| [0, 1].map(|shard| relay.shards[shard].home_of(&name, None));
    let clients: Vec<Client> = (0..4)
        .map(|number| {
            assert_eq!(homes(&relay), [1, 1], "{number} are not many");
            let client = joined_to(&mut relay, &format!("{number}"), 0, Transport::Tcp);
            relay.open(client, &name, "log");
            client
        })
        .collect();
    assert_eq!(homes(&relay), [0, 1]);
    relay.vanish(clients[0]);
    relay.vanish(clients[1]);
    assert_eq!(homes(&relay), [0, 1], "half as many are still many");
    relay.vanish(clients[2]);
    assert_eq!(homes(&relay), [1, 1]);
    // Who is served by an edge stays there.
    let handle = relay.open(clients[3], &name, "log").document;
    relay.send(clients[3], log_batch(handle, 0, ["x"]));
    expect!(relay, clients[3], Ack);
    relay.vanish(clients[3]);
    assert_eq!(edge_subscribers(&relay), [0, 0]);
}

#[test]
fn who_is_overtaken_at_an_edge_is_told_and_comes_back_to_it() {
    let mut relay = relay(|settings| {
        settings.fanout.lag_operations_max = 100;
        settings.fanout.ring_slots = 200;
    });
    let (ann, others, notes) = room(&mut relay, 3);
    relay.limit(others[0], 0);
    for clock in 0..1000 {
        relay.send(ann, log_batch(notes, clock, ["x"]));
    }
    relay.limit(others[0], usize::MAX);
    for (other, resyncs) in [(others[0], 1), (others[1], 0), (others[2], 0)] {
        assert_eq!(read(&mut relay, other, 1), (1001, resyncs));
    }
    assert_eq!(edge_subscribers(&relay), [3, 0]);
    relay.send(ann, log_batch(notes, 1000, ["x"]));
    for other in others {
        assert_eq!(read(&mut relay, other, 1001), (1002, 0));
    }
}

#[test]
fn who_is_nearly_overtaken_is_warned_and_gets_no_presence_before_the_rest() {
    let mut relay = relay(|settings| settings.fanout.lag_operations_max = 100);
    let (ann, others, notes) = room(&mut relay, 1);
    relay.limit(others[0], 10);
    for clock in 0..90 {
        relay.send(ann, log_batch(notes, clock, ["x"]));
    }
    relay.send(ann, presence(notes));
    relay.limit(others[0], usize::MAX);
    let events = relay.drain(others[0]);
    let warning = |event: &event::Body| matches!(event, event::Body::Warning(_));
    assert_eq!(events.iter().filter(|event| warning(event)).count(), 1);
    assert!(matches!(
        events.last(),
        Some(event::Body::PresenceUpdate(_))
    ));
    assert_eq!(relay.shards[0].metrics().warnings, 1);
}

#[test]
fn an_edge_that_is_overtaken_sends_all_its_subscribers_back() {
    let mut relay = relay(|settings| {
        settings.fanout.lag_operations_max = 15;
        settings.fanout.ring_slots = 16;
        settings.connection.batch_operations_max = 15;
    });
    let (ann, others, notes) = room(&mut relay, 3);
    relay.is_mesh_held = true;
    for clock in 0..40 {
        relay.send(ann, log_batch(notes, clock, ["x"]));
        expect!(relay, ann, Ack);
    }
    relay.release_mesh();
    for other in &others {
        assert_eq!(read(&mut relay, *other, 1), (41, 1));
    }
    assert_eq!(edge_subscribers(&relay), [3, 0], "back again");
    relay.send(ann, log_batch(notes, 40, ["x"]));
    for other in &others {
        assert_eq!(read(&mut relay, *other, 41), (42, 0));
    }
}

#[test]
fn who_asks_again_is_answered_from_the_document_and_goes_on_at_the_edge() {
    let mut relay = relay(|_| ());
    let (ann, others, notes) = room(&mut relay, 2);
    let ben = others[0];
    relay.send(ben, log_batch(notes, 0, ["one"]));
    assert_eq!(read(&mut relay, ben, 1), (2, 0));
    let sync = || {
        request::Body::SyncRequest(wire::SyncRequest {
            document: notes,
            ..Default::default()
        })
    };
    // Half of it is on the way when it asks, the other half comes after.
    relay.is_mesh_held = true;
    relay.send(ann, log_batch(notes, 0, ["two"]));
    relay.push(ben, sync());
    relay.send(ann, log_batch(notes, 1, ["three"]));
    relay.release_mesh();
    let events = relay.drain(ben);
    let resync = events
        .iter()
        .position(|event| matches!(event, event::Body::Resync(_)))
        .expect("it asked for it");
    let mut next = 1;
    for event in &events[resync + 1..] {
        match event {
            event::Body::SyncResponse(page) => {
                for remote in &page.operations {
                    assert_eq!(remote.revision, next, "its own, too");
                    next += 1;
                }
            }
            event::Body::RemoteOps(remote) => {
                assert_eq!(remote.revision, next);
                next += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(next, 4);
    assert_eq!(edge_subscribers(&relay), [2, 0]);
    relay.open(ben, &name_on(1), "log");
    relay.drain(ben);
    relay.send(ben, log_batch(notes, 1, ["four"]));
    assert_eq!(expect!(relay, ben, Ack).first_revision, 4);
    relay.send(ben, close(notes));
    relay.send(ann, log_batch(notes, 2, ["five"]));
    relay.assert_quiet(ben);
    assert_eq!(edge_subscribers(&relay), [1, 0]);
}

#[test]
fn a_document_that_is_deleted_is_closed_at_its_edges_after_the_last_that_was_written() {
    let mut relay = relay(|_| ());
    let (ann, others, notes) = room(&mut relay, 3);
    relay.limit(others[2], 0);
    relay.hold_store();
    relay.push(others[0], log_batch(notes, 0, ["the last"]));
    relay.settle();
    relay.send(
        ann,
        request::Body::Delete(wire::Delete {
            document_id: name_on(1),
            ..Default::default()
        }),
    );
    relay.is_mesh_held = true;
    relay.release_store();
    relay.release_mesh();
    assert_eq!(expect!(relay, others[0], Ack).first_revision, 1);
    assert_eq!(expect!(relay, others[1], RemoteOps).revision, 1);
    for other in &others[..2] {
        let close = expect!(relay, *other, Close);
        assert_eq!(close.code(), ErrorCode::DocumentDeleted);
        relay.assert_quiet(*other);
    }
    assert_eq!(edge_subscribers(&relay), [0, 0]);
    let name = name_on(1);
    assert_eq!(relay.shards[0].home_of(&name, None), 1, "nobody is there");
}

#[test]
fn who_may_no_longer_read_gets_nothing_more_at_once() {
    let mut relay = tokens::relay(2);
    relay.restart(|settings| settings.fanout.edge_subscribers_min = Some(1));
    let [ann, ben] = [("ann", 1), ("ben", 0)].map(|(device, shard)| {
        let client = relay.connect_to(shard, Transport::Tcp, None);
        relay.send(client, hello_with(device, token(&json!({}))));
        expect!(relay, client, Connected);
        client
    });
    let name = name_on(1);
    let notes = relay.open(ann, &name, "log").document;
    relay.open(ben, &name, "log");
    assert_eq!(edge_subscribers(&relay), [1, 0]);
    // The document's shard has sent something, and does not know of the token.
    relay.is_mesh_held = true;
    relay.send(ann, log_batch(notes, 0, ["secret"]));
    relay.send(
        ben,
        hello_with("ben", token(&json!({"documents": ["another"]}))),
    );
    assert_eq!(edge_subscribers(&relay), [0, 0]);
    relay.release_mesh();
    let events = relay.drain(ben);
    let is_close = |event: &event::Body| matches!(event, event::Body::Close(close) if close.code() == ErrorCode::Forbidden);
    assert!(events.iter().any(is_close), "{events:?}");
    let is_secret = |event: &event::Body| matches!(event, event::Body::RemoteOps(_));
    assert!(!events.iter().any(is_secret), "{events:?}");
}

#[test]
fn where_there_is_no_room_for_an_edge_the_document_s_shard_serves_its_subscribers() {
    let mut relay = relay(|settings| settings.memory.document_bytes_max = 300_000);
    let filler = |relay: &mut Relay, name: &str| {
        let client = joined_to(relay, name, 0, Transport::Tcp);
        let far = (0..)
            .map(|number| format!("{name} {number}"))
            .find(|name| corelay::engine::route::shard_of(name, 2) == 0)
            .expect("every shard has some");
        let handle = relay.open(client, &far, "log").document;
        for clock in 0.. {
            if relay.shards[0].metrics().document_bytes >= 300_000 {
                break;
            }
            relay.send(client, log_batch(handle, clock, [vec![0; 5000]]));
            relay.drain(client);
        }
        (client, handle)
    };
    // An edge that is there is given up, and nobody is told to start again.
    let (ann, others, notes) = room(&mut relay, 2);
    relay.send(ann, log_batch(notes, 0, ["one"]));
    let (full, _) = filler(&mut relay, "full");
    assert_eq!(edge_subscribers(&relay), [2, 0], "it has not grown since");
    for clock in 1..5 {
        relay.send(ann, log_batch(notes, clock, ["more"]));
        assert_eq!(edge_subscribers(&relay), [0, 0]);
    }
    for other in &others {
        assert_eq!(read(&mut relay, *other, 1), (6, 0));
    }
    // One that is not there is not made.
    let late = joined_to(&mut relay, "late", 0, Transport::Tcp);
    relay.open(late, &name_on(1), "log");
    relay.drain(late);
    relay.send(ann, log_batch(notes, 5, ["more"]));
    assert_eq!(expect!(relay, late, RemoteOps).revision, 6);
    assert_eq!(edge_subscribers(&relay), [0, 0]);
    // It is, for who comes when there is room again.
    relay.vanish(full);
    relay.pass(std::time::Duration::from_secs(301));
    let later = joined_to(&mut relay, "later", 0, Transport::Tcp);
    relay.open(later, &name_on(1), "log");
    assert_eq!(edge_subscribers(&relay), [1, 0]);
}

#[test]
fn presence_goes_round_over_edges_and_who_leaves_is_gone() {
    let mut relay = relay(|settings| settings.fanout.presence_ring_slots = 16);
    let (ann, others, notes) = room(&mut relay, 20);
    for client in others.iter().chain([&ann]) {
        relay.send(*client, presence(notes));
    }
    for (number, client) in others.iter().enumerate() {
        let told = relay.drain(*client).len();
        assert_eq!(told, 20, "{number}: everybody but itself");
    }
    relay.vanish(others[0]);
    let event::Body::PresenceUpdate(update) = relay.next(others[1]).expect("news") else {
        panic!("not presence");
    };
    assert!(update.presences[0].left);
    // More changes on the way than an edge is told one by one.
    relay.drain(ann);
    relay.pass(std::time::Duration::from_secs(1));
    relay.drain(others[1]);
    relay.is_mesh_held = true;
    let names: Vec<String> = (0..17).map(|number| format!("peer {number}")).collect();
    for name in &names {
        let peer = joined_to(&mut relay, name, 1, Transport::Tcp);
        relay.open(peer, &name_on(1), "log");
        relay.send(peer, presence(notes));
    }
    relay.release_mesh();
    let update = expect!(relay, others[1], PresenceUpdate);
    assert!(update.full);
    assert_eq!(update.presences.len(), 19 + 17, "everybody but itself");
    relay.assert_quiet(others[1]);
}

#[test]
fn so_much_is_on_its_way_to_an_edge_and_no_more() {
    let mut relay = relay(|settings| settings.memory.lane_window_bytes = 20_000);
    let (ann, others, notes) = room(&mut relay, 3);
    relay.is_mesh_held = true;
    let mut taken = Vec::new();
    for clock in 0..100 {
        relay.send(ann, log_batch(notes, clock, [vec![0; 5000]]));
        taken.extend(relay.shards[1].poll_mesh(0, Lane::Reply));
    }
    assert_eq!(taken.len(), 4, "the window is full");
    let now = relay.now();
    for message in taken {
        relay.shards[0].handle_mesh(1, message, now);
    }
    relay.release_mesh();
    for other in others {
        assert_eq!(read(&mut relay, other, 1), (101, 0));
    }
}

#[test]
fn what_an_edge_says_of_an_earlier_stay_is_void() {
    let mut relay = relay(|settings| {
        settings.fanout.lag_operations_max = 100;
        settings.fanout.ring_slots = 200;
    });
    let (ann, others, notes) = room(&mut relay, 1);
    let ben = others[0];
    relay.limit(ben, 0);
    for clock in 0..150 {
        relay.send(ann, log_batch(notes, clock, ["x"]));
    }
    // It asks to be brought up to date, and then its edge finds that it was overtaken.
    relay.is_mesh_held = true;
    let have = wire::Position {
        epoch: 1,
        revision: 1,
    };
    relay.send(
        ben,
        request::Body::SyncRequest(wire::SyncRequest {
            document: notes,
            have: Some(have),
            ..Default::default()
        }),
    );
    relay.limit(ben, usize::MAX);
    assert_eq!(edge_subscribers(&relay), [0, 0]);
    let now = relay.now();
    let asked = relay.shards[0].poll_mesh(1, Lane::Request);
    relay.shards[1].handle_mesh(0, asked.expect("the request"), now);
    for _ in 0..3 {
        relay.settle();
        while let Some(answer) = relay.shards[1].poll_mesh(0, Lane::Reply) {
            relay.shards[0].handle_mesh(1, answer, now);
        }
    }
    assert_eq!(edge_subscribers(&relay), [1, 0], "it is there again");
    relay.release_mesh();
    assert_eq!(edge_subscribers(&relay), [1, 0], "and stays");
    relay.send(ann, log_batch(notes, 150, ["x"]));
    assert_eq!(read(&mut relay, ben, 1), (152, 1));
}

//! Presence: who is there, what the others are told, and when somebody is gone.

use std::time::Duration;

use corelay::codec::wire::{self, UserPresence, request};

use crate::expect;
use crate::fixture::{Client, Relay, STARTED_AT_MS, TRANSPORTS};
use crate::requests::{close, hello, log_batch, open};

const TTL: Duration = Duration::from_secs(30);

fn presence(document: u64, offset: u64) -> request::Body {
    request::Body::Presence(wire::Presence {
        document,
        cursor: Some(wire::Cursor {
            block_id: "body".to_owned(),
            offset,
        }),
        is_typing: true,
        fields: [("mood".to_owned(), vec![1, 2].into())].into(),
        ..Default::default()
    })
}

fn leave(document: u64) -> request::Body {
    request::Body::Presence(wire::Presence {
        document,
        leave: true,
        ..Default::default()
    })
}

fn heartbeat(document: u64) -> request::Body {
    request::Body::Heartbeat(wire::Heartbeat { document })
}

/// The one presence of the next update.
#[track_caller]
fn told(relay: &mut Relay, client: Client) -> UserPresence {
    let mut update = expect!(relay, client, PresenceUpdate);
    assert!(!update.full);
    assert_eq!(update.presences.len(), 1);
    update.presences.remove(0)
}

#[track_caller]
fn cursor(relay: &mut Relay, client: Client) -> u64 {
    told(relay, client).cursor.expect("it has one").offset
}

fn room(names: [&str; 2]) -> (Relay, [Client; 2], u64) {
    let mut relay = Relay::new();
    let [(ann, notes), (ben, _)] = names.map(|name| relay.joined(name, "notes", "log"));
    (relay, [ann, ben], notes)
}

#[test]
fn the_others_are_told_and_oneself_is_not() {
    for transport in TRANSPORTS {
        let mut relay = Relay::new();
        let ann = relay.connect(transport);
        relay.send(ann, hello("ann"));
        let ann_id = expect!(relay, ann, Connected).client_id;
        let notes = relay.open(ann, "notes", "log");
        let ben = relay.greeted_over("ben", transport);
        relay.open(ben, "notes", "log");
        relay.pass(Duration::from_millis(3));
        relay.send(ann, presence(notes.document, 7));
        relay.assert_quiet(ann);
        let seen = told(&mut relay, ben);
        assert_eq!(seen.client_id, ann_id);
        assert_eq!((&*seen.user_id, &*seen.name), ("ann", "ANN"));
        assert_eq!(seen.color, notes.color);
        assert_eq!(seen.cursor.as_ref().map(|cursor| cursor.offset), Some(7));
        assert!(seen.is_typing && !seen.left);
        assert_eq!(seen.fields["mood"], vec![1, 2]);
        assert_eq!(seen.last_seen_ms, STARTED_AT_MS + 3);

        // Who joins gets everybody in the answer, and itself never.
        let cid = relay.greeted_over("cid", transport);
        let opened = relay.open(cid, "notes", "log");
        assert_eq!(opened.presences, [seen]);
        assert_ne!(opened.color, notes.color);
        relay.assert_quiet(cid);
        assert!(relay.open(ann, "notes", "log").presences.is_empty());
    }
}

#[test]
fn ten_updates_a_second_are_passed_on_and_the_newest_wins() {
    let (mut relay, [ann, ben], notes) = room(["ann", "ben"]);
    for offset in 0..100 {
        relay.send(ann, presence(notes, offset));
        relay.pass(Duration::from_millis(10));
    }
    relay.pass(Duration::from_millis(200));
    let mut seen = Vec::new();
    while let Some(event) = relay.next(ben) {
        let wire::event::Body::PresenceUpdate(update) = event else {
            panic!("{event:?}");
        };
        seen.extend(update.presences);
    }
    assert!((10..=11).contains(&seen.len()), "{}", seen.len());
    let offsets: Vec<u64> = seen
        .iter()
        .map(|p| p.cursor.as_ref().expect("set").offset)
        .collect();
    assert!(offsets.is_sorted());
    assert_eq!(offsets.last(), Some(&99));
}

#[test]
fn leaving_and_coming_back_does_not_go_around_the_rate() {
    let (mut relay, [ann, ben], notes) = room(["ann", "ben"]);
    for offset in 0..100 {
        relay.send(ann, presence(notes, offset));
        relay.send(ann, leave(notes));
        relay.pass(Duration::from_millis(10));
    }
    relay.send(ann, presence(notes, 100));
    relay.pass(Duration::from_millis(200));
    let events = relay.drain(ben);
    assert!(
        (11..=24).contains(&events.len()),
        "{} in 1.2 s",
        events.len()
    );
    let Some(wire::event::Body::PresenceUpdate(last)) = events.last() else {
        panic!("presence updates");
    };
    assert!(!last.presences[0].left, "the newest wins");
    let cid = relay.greeted("cid");
    assert_eq!(relay.open(cid, "notes", "log").presences.len(), 1);
}

#[test]
fn a_silent_peer_is_gone_after_its_time_and_a_heartbeat_keeps_it() {
    let (mut relay, [ann, ben], notes) = room(["ann", "ben"]);
    relay.send(ann, presence(notes, 1));
    relay.send(ben, presence(notes, 2));
    told(&mut relay, ben);
    told(&mut relay, ann);
    relay.pass(TTL - Duration::from_millis(1));
    relay.send(ann, heartbeat(notes));
    relay.assert_quiet(ben);
    relay.pass(Duration::from_millis(1));
    let gone = told(&mut relay, ann);
    assert!(gone.left);
    assert_eq!(gone.user_id, "", "only the client id is set");
    relay.assert_quiet(ben);
    relay.pass(TTL - Duration::from_millis(2));
    relay.assert_quiet(ben);
    relay.pass(Duration::from_millis(1));
    assert!(told(&mut relay, ben).left);
    // It may come back.
    relay.send(ann, presence(notes, 3));
    assert_eq!(cursor(&mut relay, ben), 3);
}

#[test]
fn a_heartbeat_alone_makes_nobody_present() {
    let (mut relay, [ann, ben], notes) = room(["ann", "ben"]);
    relay.send(ann, heartbeat(notes));
    relay.send(ann, leave(notes));
    relay.assert_quiet(ann);
    relay.assert_quiet(ben);
}

#[test]
fn whoever_leaves_closes_or_breaks_off_is_gone_at_once() {
    let gone_by: [fn(&mut Relay, Client, u64); 4] = [
        |relay, client, notes| relay.send(client, leave(notes)),
        |relay, client, notes| relay.send(client, close(notes)),
        |relay, client, _| relay.send(client, close(0)),
        |relay, client, _| relay.vanish(client),
    ];
    for go in gone_by {
        let (mut relay, [ann, ben], notes) = room(["ann", "ben"]);
        relay.send(ann, presence(notes, 1));
        told(&mut relay, ben);
        relay.pass(Duration::from_millis(500));
        go(&mut relay, ann, notes);
        assert!(told(&mut relay, ben).left);
        relay.assert_quiet(ben);
        let cid = relay.greeted("cid");
        assert!(relay.open(cid, "notes", "log").presences.is_empty());
    }
}

#[test]
fn an_update_that_waits_is_not_told_of_one_who_left() {
    let (mut relay, [ann, ben], notes) = room(["ann", "ben"]);
    relay.send(ann, presence(notes, 1));
    relay.send(ann, presence(notes, 2));
    relay.send(ann, close(notes));
    told(&mut relay, ben);
    assert!(told(&mut relay, ben).left);
    relay.pass(Duration::from_secs(1));
    relay.assert_quiet(ben);
}

#[test]
fn the_newer_connection_of_a_client_has_its_presence() {
    let (mut relay, [first, ben], notes) = room(["ann", "ben"]);
    relay.send(first, presence(notes, 1));
    told(&mut relay, ben);
    let second = relay.greeted("ann");
    relay.open(second, "notes", "log");
    expect!(relay, first, Close);
    assert!(told(&mut relay, ben).left);
    relay.pass(Duration::from_millis(100));
    relay.send(second, presence(notes, 2));
    assert_eq!(cursor(&mut relay, ben), 2);
    relay.vanish(first);
    relay.assert_quiet(ben);
}

#[test]
fn whoever_misses_more_than_is_kept_gets_everybody() {
    let mut relay = Relay::with(1, |settings| settings.fanout.presence_ring_slots = 16);
    let (ben, notes) = relay.joined("ben", "notes", "log");
    relay.limit(ben, 0);
    let names: Vec<String> = (0..20).map(|number| format!("peer-{number}")).collect();
    let peers: Vec<Client> = names
        .iter()
        .map(|name| relay.joined(name, "notes", "log").0)
        .collect();
    for (offset, peer) in peers.iter().enumerate() {
        relay.send(*peer, presence(notes, offset as u64));
    }
    // The first goes before it was ever seen.
    relay.send(peers[0], close(notes));
    relay.limit(ben, usize::MAX);
    let first = expect!(relay, ben, PresenceUpdate);
    // What was with the socket when it filled up is old; then everybody.
    let full = if first.full {
        first
    } else {
        expect!(relay, ben, PresenceUpdate)
    };
    assert!(full.full);
    assert_eq!(full.presences.len(), 19);
    relay.assert_quiet(ben);
}

#[test]
fn presence_waits_for_operations_and_never_the_other_way() {
    let mut relay = Relay::with(1, |settings| settings.fanout.flush_bytes_max = 1024);
    let (ann, notes) = relay.joined("ann", "notes", "log");
    let (ben, _) = relay.joined("ben", "notes", "log");
    relay.limit(ben, 0);
    relay.send(ann, presence(notes, 1));
    for clock in 0..20 {
        relay.send(ann, log_batch(notes, clock, [vec![0; 400]]));
    }
    relay.pass(Duration::from_millis(100));
    relay.send(ann, presence(notes, 2));
    relay.limit(ben, usize::MAX);
    let events = relay.drain(ben);
    let is_presence = |event: &_| matches!(event, wire::event::Body::PresenceUpdate(_));
    let Some(wire::event::Body::PresenceUpdate(last)) = events.last() else {
        panic!("the newest presence comes last: {events:?}");
    };
    assert_eq!(last.presences[0].cursor.as_ref().map(|c| c.offset), Some(2));
    assert!(events.iter().filter(|event| is_presence(event)).count() <= 2);
}

#[test]
fn a_document_has_as_much_presence_as_it_may_and_leaving_always_works() {
    let mut relay = Relay::with(1, |settings| {
        settings.presence.document_bytes_max = 65_536;
        settings.presence.bytes_max = 65_536;
    });
    let (ann, notes) = relay.joined("ann", "notes", "log");
    let (ben, _) = relay.joined("ben", "notes", "log");
    let large = |bytes: usize| {
        request::Body::Presence(wire::Presence {
            document: notes,
            fields: [("x".to_owned(), vec![0; bytes].into())].into(),
            ..Default::default()
        })
    };
    relay.send(ann, large(60_000));
    relay.drain(ben);
    relay.send(ben, large(60_000));
    let error = expect!(relay, ben, Error);
    assert_eq!(error.code(), wire::ErrorCode::ServiceUnavailable);
    assert!(error.retryable);
    relay.send(ann, leave(notes));
    assert!(told(&mut relay, ben).left);
    relay.send(ben, large(60_000));
    relay.assert_quiet(ben);

    // The memory of all documents is used up.
    let mut relay = Relay::with(1, |settings| settings.memory.document_bytes_max = 1);
    let (ann, notes) = relay.joined("ann", "notes", "log");
    relay.send(ann, presence(notes, 1));
    let error = expect!(relay, ann, Error);
    assert!(error.message.contains("memory"));
    relay.send(ann, leave(notes));
    relay.assert_quiet(ann);
    relay.send(ann, open("other", "log", true));
    assert!(expect!(relay, ann, Error).message.contains("memory"));
}

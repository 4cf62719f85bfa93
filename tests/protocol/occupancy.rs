//! Whoever drives a shard hears which documents have peers.

use corelay::codec::wire::{self, request};

use crate::expect;
use crate::fixture::Relay;
use crate::life::{delete, written};
use crate::requests::open;

/// (document, occupied) of all that the shards have noted since.
fn noted(relay: &mut Relay) -> Vec<(String, bool)> {
    let mut noted = Vec::new();
    for shard in &mut relay.shards {
        while let Some(occupancy) = shard.poll_occupancy() {
            assert_eq!(&*occupancy.kind, "log");
            noted.push((
                occupancy.document.as_ref().to_owned(),
                occupancy.is_occupied,
            ));
        }
    }
    noted
}

fn telling(shards: usize) -> Relay {
    Relay::with(shards, |settings| settings.notes_occupancy = true)
}

#[test]
fn the_first_peer_and_the_last_are_noted_and_none_in_between() {
    for shards in [1, 3] {
        let mut relay = telling(shards);
        let joined = || [("notes".to_owned(), true)];
        let left = || [("notes".to_owned(), false)];
        let (ann, notes) = relay.joined("ann", "notes", "log");
        assert_eq!(noted(&mut relay), joined());
        let (ben, _) = relay.joined("ben", "notes", "log");
        // Once more, and again on another connection.
        relay.send(ann, open("notes", "log", false));
        let (ann_again, _) = relay.joined("ann", "notes", "log");
        relay.vanish(ann);
        relay.vanish(ben);
        assert_eq!(noted(&mut relay), []);
        let close = wire::Close {
            document: notes,
            ..wire::Close::default()
        };
        relay.send(ann_again, request::Body::Close(close));
        assert_eq!(noted(&mut relay), left());
        relay.send(ann_again, open("notes", "log", true));
        relay.vanish(ann_again);
        assert_eq!(noted(&mut relay), [joined(), left()].concat());
    }
}

#[test]
fn who_only_reads_is_no_peer_and_nobody_is_in_what_is_deleted() {
    let mut relay = telling(1);
    written(&mut relay, "ann", "notes");
    assert_eq!(noted(&mut relay), [("notes".to_owned(), true)]);
    let cleo = relay.greeted("cleo");
    relay.send(cleo, delete("notes", false));
    expect!(relay, cleo, Deleted);
    assert_eq!(noted(&mut relay), [("notes".to_owned(), false)]);
    relay.send(cleo, delete("notes", true));
    expect!(relay, cleo, Deleted);
    let request::Body::Open(once) = open("notes", "log", false) else {
        unreachable!("it is an Open");
    };
    relay.send(
        cleo,
        request::Body::Open(wire::Open {
            subscribe: Some(false),
            ..once
        }),
    );
    expect!(relay, cleo, Opened);
    relay.vanish(cleo);
    assert_eq!(noted(&mut relay), []);
}

#[test]
fn where_nobody_asks_nothing_is_noted() {
    let mut relay = Relay::new();
    relay.joined("ann", "notes", "log");
    assert_eq!(noted(&mut relay), []);
}

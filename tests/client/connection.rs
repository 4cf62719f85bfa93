//! The connection itself: frames, pings, an end for ever.

use corelay::client::{ConnectionRequest, Event, Violation};
use corelay::codec::frame;
use corelay::codec::wire::{self, ErrorCode, event::Body as Told, request::Body};

use crate::fixture::{OTHER, Play, operations, remote_revisions, up_to_date, violation};

#[test]
fn frames_may_come_in_single_bytes() {
    let (mut play, _) = Play::opened("log", up_to_date(0, 0));
    let mut bytes = Vec::new();
    for revision in 1..=3 {
        let body = Some(Told::RemoteOps(operations(
            revision,
            OTHER,
            revision - 1,
            1,
        )));
        frame::append(
            &wire::Event {
                body,
                ..Default::default()
            },
            &mut bytes,
        );
    }
    for byte in bytes {
        play.session.handle_bytes(&[byte], play.now);
    }
    assert_eq!(remote_revisions(&play.events()), [(1, 1), (2, 1), (3, 1)]);
}

#[test]
fn a_permanent_refusal_ends_the_reconnecting() {
    let mut play = Play::new();
    play.session.poll_connection(play.now);
    play.session.handle_connected(play.now);
    play.sent();
    play.tell(Told::Error(wire::Error {
        code: ErrorCode::Unauthorized as i32,
        message: "no".to_owned(),
        ..wire::Error::default()
    }));
    let events = play.events();
    assert!(
        matches!(&events[..], [Event::Stopped { refusal }] if refusal.is(ErrorCode::Unauthorized)),
        "{events:?}"
    );
    assert_eq!(
        play.session.poll_connection(play.now),
        Some(ConnectionRequest::Disconnect)
    );
    play.session.handle_disconnected(play.now);
    play.pass(1_000_000);
    assert_eq!(play.session.poll_connection(play.now), None);
    assert_eq!(play.session.poll_timeout(), None);
}

#[test]
fn a_silent_relay_is_pinged_and_then_given_up() {
    let (mut play, _) = Play::opened("log", up_to_date(0, 0));
    play.tell(Told::Ping(wire::Ping { nonce: 3 }));
    assert!(matches!(&play.sent()[..], [Body::Pong(pong)] if pong.nonce == 3));
    play.pass(54_000);
    assert!(matches!(&play.sent()[..], [Body::Ping(_)]));
    play.pass(9_999);
    assert!(play.session.is_live());
    play.pass(1);
    assert_eq!(violation(&play.events()), Some(&Violation::PongMissing));
    assert!(!play.session.is_live());
}

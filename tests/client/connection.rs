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

#[test]
fn a_fresh_token_is_shown_at_once_and_on_every_later_connection() {
    let (mut play, document) = Play::opened("log", up_to_date(0, 0));
    let hello = |sent: Vec<Body>| match &sent[..] {
        [Body::Hello(hello)] => (hello.client_uuid.to_vec(), hello.token.clone()),
        other => panic!("{other:?}"),
    };
    let fresh = |token: &str| (vec![9; 16], token.to_owned());
    play.session.renew_token("second");
    assert_eq!(hello(play.sent()), fresh("second"));
    // Others can follow before the first is answered; what is open stays so.
    play.session.renew_token("third");
    assert_eq!(hello(play.sent()), fresh("third"));
    for _ in 0..2 {
        play.tell(Told::Connected(wire::Connected::default()));
        let events = play.events();
        let is_renewal = matches!(
            &events[..],
            [Event::Connected {
                is_renewal: true,
                ..
            }]
        );
        assert!(is_renewal, "{events:?}");
    }
    assert!(play.session.is_live() && play.session.position(document).is_some());
    // One that cannot be judged now changes nothing.
    play.session.renew_token("fourth");
    play.sent();
    play.tell(Told::Error(wire::Error {
        code: ErrorCode::ServiceUnavailable as i32,
        retryable: true,
        ..wire::Error::default()
    }));
    assert!(matches!(
        &play.events()[..],
        [Event::Error { document: None, refusal }] if refusal.retryable
    ));
    assert!(play.session.is_live());

    play.session.handle_disconnected(play.now);
    play.session.renew_token("fifth");
    assert_eq!(play.sent(), []);
    play.pass(1300);
    play.session.poll_connection(play.now);
    play.session.handle_connected(play.now);
    assert_eq!(hello(play.sent()), fresh("fifth"));
    play.tell(Told::Connected(wire::Connected::default()));
    let events = play.events();
    assert!(
        matches!(
            &events[..],
            [
                Event::Disconnected { .. },
                Event::Connected {
                    is_renewal: false,
                    ..
                }
            ]
        ),
        "{events:?}"
    );
    // Who is greeted without having asked is not spoken to by a relay.
    play.tell(Told::Connected(wire::Connected::default()));
    assert!(violation(&play.events()).is_some());
}

//! The own presence.

use corelay::codec::wire::{self, request::Body};

use crate::fixture::{HANDLE, Play, up_to_date};

#[test]
fn presence_is_thinned_out_and_kept_alive_and_announced_again() {
    let (mut play, document) = Play::opened("log", up_to_date(0, 0));
    let typing = wire::Presence {
        is_typing: true,
        ..wire::Presence::default()
    };
    play.session.announce(document, typing.clone());
    let sent = play.sent();
    assert!(
        matches!(&sent[..], [Body::Presence(presence)] if presence.is_typing && presence.document == HANDLE)
    );
    play.pass(50);
    play.session.announce(document, wire::Presence::default());
    play.session.announce(document, typing);
    assert_eq!(play.sent(), []);
    play.pass(50);
    assert!(matches!(&play.sent()[..], [Body::Presence(presence)] if presence.is_typing));
    play.pass(9_999);
    assert_eq!(play.sent(), []);
    play.pass(1);
    assert!(matches!(&play.sent()[..], [Body::Heartbeat(_)]));
    play.reconnect();
    play.answer_open("log", up_to_date(0, 0));
    assert!(matches!(&play.sent()[..], [Body::Presence(presence)] if presence.is_typing));
    let leave = wire::Presence {
        leave: true,
        ..wire::Presence::default()
    };
    play.session.announce(document, leave);
    play.pass(100);
    assert!(matches!(&play.sent()[..], [Body::Presence(presence)] if presence.leave));
    play.pass(20_000);
    assert_eq!(play.sent(), []);
}

//! What the relay refuses for now is asked again when it allows.

use std::time::Duration;

use corelay::client::Event;
use corelay::codec::wire::{self, ErrorCode, ResyncReason, SyncMode, event::Body as Told};

use crate::fixture::{HANDLE, OTHER, Play, at, batch, nack, operations, up_to_date};

#[test]
fn too_fast_means_the_same_again_later() {
    for (retry_after_ms, wait_ms) in [(700, 700), (3, 3), (0, 100)] {
        let (mut play, document) = Play::opened("log", up_to_date(0, 0));
        play.submit(document, 150);
        play.batches();
        play.tell(Told::Nack(wire::Nack {
            retry_after_ms,
            ..nack(1, ErrorCode::RateLimited, 0)
        }));
        play.tell(Told::Nack(nack(2, ErrorCode::ClockGap, 0)));
        play.tell(Told::Nack(wire::Nack {
            retry_after_ms: 5000,
            ..nack(3, ErrorCode::RateLimited, 0)
        }));
        assert_eq!(
            play.session.poll_timeout(),
            Some(play.now + Duration::from_millis(wait_ms))
        );
        play.pass(wait_ms - 1);
        assert_eq!(play.batches(), []);
        play.pass(1);
        assert_eq!(play.batches(), [(4, 0, 50), (5, 50, 50), (6, 100, 50)]);
        assert_eq!(play.events(), []);
    }
}

#[test]
fn a_text_that_is_too_fast_is_rebased_and_sent_later() {
    let (mut play, document) = Play::opened("text", up_to_date(0, 0));
    play.session.submit_batch(document, batch(0, 2)).unwrap();
    assert_eq!(play.batches(), [(1, 0, 2)]);
    play.tell(Told::Nack(wire::Nack {
        retry_after_ms: 40,
        ..nack(1, ErrorCode::RateLimited, 0)
    }));
    play.pass(39);
    assert_eq!(play.events(), []);
    assert!(!play.session.is_ready(document));
    play.pass(1);
    assert_eq!(play.events(), [Event::Rebase { document }]);
    assert!(play.session.is_ready(document));
}

#[test]
fn a_sync_that_was_asked_for_too_often_is_not_waited_for() {
    let (mut play, document) = Play::opened("log", up_to_date(0, 0));
    play.tell(Told::RemoteOps(operations(1, OTHER, 0, 9)));
    play.events();
    play.session.request_sync(document, at(0));
    play.tell(Told::Error(wire::Error {
        code: ErrorCode::RateLimited.into(),
        retryable: true,
        retry_after_ms: 40,
        document: HANDLE,
        ..wire::Error::default()
    }));
    let events = play.events();
    assert!(
        matches!(&events[..], [Event::Error { refusal, .. }] if refusal.is(ErrorCode::RateLimited))
    );
    // One that comes on the relay's own account does not go back.
    play.tell(Told::Resync(wire::Resync {
        document: HANDLE,
        reason: ResyncReason::Requested.into(),
        from: at(9),
        sync: SyncMode::Delta.into(),
        next_clock: 0,
    }));
    play.events();
    assert_eq!(play.session.position(document), at(9));
}

#[test]
fn a_goaway_says_when_to_come_back() {
    let (mut play, _) = Play::opened("log", up_to_date(0, 0));
    play.tell(Told::Goaway(wire::Goaway {
        reason: "restart".to_owned(),
        reconnect_after_ms: 5000,
        jitter_ms: 2000,
    }));
    play.pass(100);
    play.session.handle_disconnected(play.now);
    let Some(Event::Disconnected {
        retry_at: Some(retry_at),
    }) = play.events().pop()
    else {
        panic!("the session comes back");
    };
    let wait = retry_at.since(play.now) + Duration::from_millis(100);
    assert!((5000..=7000).contains(&wait.as_millis()), "{wait:?}");
}

//! What the relay refuses for now is asked again when it allows.

use std::time::Duration;

use corelay::client::{ConnectionRequest, Event};
use corelay::codec::wire::{
    self, ErrorCode, Position, ResyncReason, SyncMode, event::Body as Told, request::Body,
};

use crate::fixture::{HANDLE, OTHER, Play, at, batch, nack, operations, page, up_to_date};

/// One answer said so.
fn assert_too_fast(events: &[Event]) {
    let [Event::Error { document, refusal }] = events else {
        panic!("{events:?}");
    };
    assert!(
        document.is_some() && refusal.is(ErrorCode::RateLimited),
        "{events:?}"
    );
}

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
        assert_too_fast(&play.events());
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
    assert_too_fast(&play.events());
    play.pass(39);
    assert_eq!(play.events(), []);
    assert!(!play.session.is_ready(document));
    play.pass(1);
    assert_eq!(play.events(), [Event::Rebase { document }]);
    assert!(play.session.is_ready(document));
}

#[test]
fn a_sync_that_was_asked_for_too_often_is_asked_for_again() {
    let (mut play, document) = Play::opened("log", up_to_date(0, 0));
    play.tell(Told::RemoteOps(operations(1, OTHER, 0, 9)));
    play.events();
    play.session.request_sync(document, at(0));
    assert_eq!(syncs(&mut play), [at(0)]);
    play.tell(Told::Error(wire::Error {
        code: ErrorCode::RateLimited.into(),
        retryable: true,
        retry_after_ms: 40,
        document: HANDLE,
        ..wire::Error::default()
    }));
    assert_too_fast(&play.events());
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
    play.tell(page(Vec::new(), false));
    play.pass(39);
    assert_eq!(syncs(&mut play), []);
    play.pass(1);
    assert_eq!(syncs(&mut play), [at(0)]);
}

fn syncs(play: &mut Play) -> Vec<Option<Position>> {
    let sent = play.sent().into_iter();
    let syncs = sent.filter_map(|body| match body {
        Body::SyncRequest(request) => Some(request.have),
        _ => None,
    });
    syncs.collect()
}

/// When the session comes back after what the relay said in answer to Hello, or later.
fn comes_back_after(told: Told, is_greeted: bool) -> Duration {
    let (mut play, _) = Play::opened("log", up_to_date(0, 0));
    if !is_greeted {
        play.session.handle_disconnected(play.now);
        play.pass(1300);
        play.session.poll_connection(play.now);
        play.session.handle_connected(play.now);
    }
    play.events();
    play.tell(told);
    let events = play.events();
    assert_eq!(
        play.session.poll_connection(play.now),
        Some(ConnectionRequest::Disconnect)
    );
    match events.last() {
        Some(Event::Disconnected {
            retry_at: Some(retry_at),
        }) => retry_at.since(play.now),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_relay_that_wants_nobody_now_is_left_alone_for_as_long_as_it_says() {
    let unavailable = ErrorCode::ServiceUnavailable.into();
    let error = |retry_after_ms| {
        Told::Error(wire::Error {
            code: unavailable,
            retryable: true,
            retry_after_ms,
            ..wire::Error::default()
        })
    };
    let close = |retry_after_ms| {
        Told::Close(wire::Close {
            code: unavailable,
            retryable: true,
            retry_after_ms,
            ..wire::Close::default()
        })
    };
    for (told, is_greeted) in [
        (error(5000), false),
        (close(5000), false),
        (close(5000), true),
    ] {
        let wait = comes_back_after(told, is_greeted);
        assert!((5000..=6500).contains(&wait.as_millis()), "{wait:?}");
    }
    // A short time is no reason to come back faster than after any other failure.
    let wait = comes_back_after(close(1), true);
    assert!(wait >= Duration::from_millis(700), "{wait:?}");
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

#[test]
fn a_goaway_gives_a_time_that_holds_unless_the_close_behind_it_says_later() {
    for (reconnect_after_ms, expected_ms) in [(5000, 4990..=4990), (500, 1000..=1300)] {
        let (mut play, _) = Play::opened("log", up_to_date(0, 0));
        play.tell(Told::Goaway(wire::Goaway {
            reason: "restart".to_owned(),
            reconnect_after_ms,
            jitter_ms: 0,
        }));
        play.pass(10);
        play.tell(Told::Close(wire::Close {
            code: ErrorCode::ServiceUnavailable.into(),
            retryable: true,
            retry_after_ms: 1000,
            ..wire::Close::default()
        }));
        let retry_at = play.events().into_iter().find_map(|event| match event {
            Event::Disconnected { retry_at } => retry_at,
            _other => None,
        });
        let wait = retry_at.expect("it comes back").since(play.now);
        assert!(expected_ms.contains(&wait.as_millis()), "{wait:?}");
    }
}

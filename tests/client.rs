//! The client session against a relay that is played frame by frame.

use std::time::Duration;

use bytes::Bytes;
use corelay::client::text::TextBatch;
use corelay::client::{
    ConnectionRequest, DocumentKey, Event, OpenOptions, Session, Settings, SubmitError, Violation,
};
use corelay::codec::frame;
use corelay::codec::wire::{
    self, ErrorCode, Position, ResyncReason, SyncMode, event::Body as Told, request::Body,
};
use corelay::engine::Instant;
use prost::Message;

const CLIENT: u64 = 77;
const OTHER: u64 = 88;
const HANDLE: u64 = 5;

/// A session, its time, and the relay's side of its connection.
struct Play {
    session: Session,
    now: Instant,
}

impl Play {
    fn new() -> Self {
        let settings = Settings {
            client_uuid: [9; 16],
            token: "secret".to_owned(),
            ..Settings::default()
        };
        Self {
            session: Session::new(settings, Instant::default()),
            now: Instant::default(),
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
        self.session.handle_timeout(self.now);
    }

    fn connect(&mut self) {
        assert_eq!(
            self.session.poll_connection(self.now),
            Some(ConnectionRequest::Connect)
        );
        self.session.handle_connected(self.now);
        let sent = self.sent();
        let [Body::Hello(hello)] = &sent[..] else {
            panic!("{sent:?}");
        };
        assert_eq!(
            (&hello.client_uuid[..], &hello.token[..]),
            (&[9; 16][..], "secret")
        );
        self.tell(Told::Connected(wire::Connected {
            client_id: CLIENT,
            protocol_version: 3,
            message_bytes_max: 1 << 20,
            batch_operations_max: 1000,
            ping_period_ms: 54_000,
            ..wire::Connected::default()
        }));
    }

    /// Connected, with one document open that the application has `have` of.
    fn opened(kind: &str, opened: wire::Opened) -> (Self, DocumentKey) {
        let mut play = Self::new();
        let document = play.session.open(OpenOptions {
            document: "paper".to_owned(),
            kind: kind.to_owned(),
            create: true,
            have: None,
        });
        play.connect();
        assert!(matches!(&play.sent()[..], [Body::Open(open)] if open.document == "paper"));
        play.answer_open(kind, opened);
        play.events();
        (play, document)
    }

    fn answer_open(&mut self, kind: &str, opened: wire::Opened) {
        self.tell(Told::Opened(wire::Opened {
            request_id: 1,
            document: HANDLE,
            kind: kind.to_owned(),
            ..opened
        }));
    }

    fn reconnect(&mut self) -> Vec<Body> {
        self.session.handle_disconnected(self.now);
        self.pass(1300);
        self.connect();
        self.sent()
    }

    fn tell(&mut self, body: Told) {
        let bytes = frame::encode(&wire::Event::from(body));
        self.session.handle_bytes(&bytes, self.now);
    }

    fn sent(&mut self) -> Vec<Body> {
        let mut out = Vec::new();
        self.session.poll_transmit(&mut out, self.now);
        let mut rest = &out[..];
        let mut sent = Vec::new();
        while let Some(message) = frame::split(&mut rest, usize::MAX).expect("whole frames") {
            let request = wire::Request::decode(message).expect("a request");
            sent.extend(request.body);
        }
        assert!(rest.is_empty());
        sent
    }

    fn batches(&mut self) -> Vec<(u64, u64, usize)> {
        let sent = self.sent();
        let batches = sent.iter().map(|body| match body {
            Body::Operations(batch) => {
                (batch.client_seq, batch.first_clock, batch.operations.len())
            }
            other => panic!("{other:?}"),
        });
        batches.collect()
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    fn submit(&mut self, document: DocumentKey, count: usize) {
        for number in 0..count {
            let operation = Bytes::from(number.to_string());
            self.session
                .submit(document, operation, self.now)
                .expect("room");
        }
    }
}

fn at(revision: u64) -> Option<Position> {
    Some(Position { epoch: 1, revision })
}

fn up_to_date(revision: u64, next_clock: u64) -> wire::Opened {
    wire::Opened {
        position: at(revision),
        from_revision: revision,
        sync: SyncMode::UpToDate as i32,
        next_clock,
        ..wire::Opened::default()
    }
}

fn delta(from_revision: u64, next_clock: u64) -> wire::Opened {
    wire::Opened {
        from_revision,
        sync: SyncMode::Delta as i32,
        ..up_to_date(from_revision, next_clock)
    }
}

fn operations(revision: u64, origin: u64, first_clock: u64, count: usize) -> wire::RemoteOps {
    wire::RemoteOps {
        document: HANDLE,
        revision,
        origin,
        first_clock,
        operations: vec![Bytes::from_static(b"x"); count],
    }
}

fn page(operations: Vec<wire::RemoteOps>, has_more: bool) -> Told {
    Told::SyncResponse(wire::SyncResponse {
        document: HANDLE,
        snapshot: None,
        operations,
        has_more,
        ..Default::default()
    })
}

fn ack(client_seq: u64, first_revision: u64, count: u32, clock: u64) -> wire::Ack {
    wire::Ack {
        document: HANDLE,
        client_seq,
        first_revision,
        count,
        clock,
        ..wire::Ack::default()
    }
}

fn nack(client_seq: u64, code: ErrorCode, next_clock: u64) -> wire::Nack {
    wire::Nack {
        document: HANDLE,
        client_seq,
        code: code as i32,
        retryable: matches!(
            code,
            ErrorCode::RateLimited | ErrorCode::ClockGap | ErrorCode::SyncConflict
        ),
        next_clock,
        ..wire::Nack::default()
    }
}

fn batch(base_revision: u64, count: usize) -> TextBatch {
    TextBatch {
        base_revision,
        first_clock: 0,
        operations: vec![Bytes::from_static(b"a"); count],
    }
}

fn remote_revisions(events: &[Event]) -> Vec<(u64, usize)> {
    let remote = events.iter().filter_map(|event| match event {
        Event::Remote {
            revision,
            operations,
            ..
        } => Some((*revision, operations.len())),
        _ => None,
    });
    remote.collect()
}

fn acknowledged(events: &[Event]) -> Vec<(u64, u64, usize)> {
    let acknowledged = events.iter().filter_map(|event| match event {
        Event::Acknowledged {
            first_revision,
            first_clock,
            operations,
            ..
        } => Some((*first_revision, *first_clock, operations.len())),
        _ => None,
    });
    acknowledged.collect()
}

fn violation(events: &[Event]) -> Option<&Violation> {
    events.iter().find_map(|event| match event {
        Event::Violation(violation) => Some(violation),
        _ => None,
    })
}

#[test]
fn operations_go_out_in_batches_and_come_back_acknowledged_among_the_others() {
    let (mut play, document) = Play::opened("log", up_to_date(0, 0));
    play.submit(document, 3);
    assert_eq!(play.batches(), []);
    play.pass(50);
    assert_eq!(play.batches(), [(1, 0, 3)]);
    play.tell(Told::RemoteOps(operations(1, OTHER, 0, 2)));
    play.tell(Told::Ack(ack(1, 3, 3, 2)));
    play.tell(Told::RemoteOps(operations(6, OTHER, 2, 1)));
    let events = play.events();
    assert_eq!(remote_revisions(&events), [(1, 2), (6, 1)]);
    assert_eq!(acknowledged(&events), [(3, 0, 3)]);
    assert_eq!(play.session.position(document), at(6));
    assert_eq!(play.session.pending_operations(document), 0);
}

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
fn after_a_reconnect_only_what_was_not_applied_is_sent_again() {
    let (mut play, document) = Play::opened("log", up_to_date(0, 0));
    play.submit(document, 150);
    assert_eq!(play.batches().len(), 3);
    play.tell(Told::Ack(ack(1, 1, 50, 49)));
    play.events();

    // The second batch was applied, but its Ack is lost.
    let sent = play.reconnect();
    assert!(
        matches!(&sent[..], [Body::Open(open)] if open.have == at(50)),
        "{sent:?}"
    );
    play.answer_open(
        "log",
        wire::Opened {
            position: at(102),
            ..delta(50, 100)
        },
    );
    assert_eq!(
        play.batches(),
        [],
        "nothing is sent before the pages are there"
    );
    play.tell(page(vec![operations(51, OTHER, 0, 2)], true));
    play.tell(page(vec![operations(53, CLIENT, 50, 50)], false));
    let events = play.events();
    assert_eq!(remote_revisions(&events), [(51, 2)]);
    assert_eq!(acknowledged(&events), [(53, 50, 50)]);
    assert_eq!(play.batches(), [(4, 100, 50)]);
    play.tell(Told::Ack(ack(4, 103, 50, 149)));
    assert_eq!(acknowledged(&play.events()), [(103, 100, 50)]);
    assert_eq!(play.session.pending_operations(document), 0);
}

#[test]
fn an_answer_that_is_repeated_moves_nothing() {
    let (mut play, document) = Play::opened("log", up_to_date(0, 0));
    play.submit(document, 50);
    play.batches();
    play.reconnect();
    play.answer_open("log", up_to_date(0, 50));
    assert_eq!(play.batches(), [(2, 0, 50)]);
    play.events();
    let duplicate = wire::Ack {
        duplicate: true,
        ..ack(2, 1, 50, 49)
    };
    play.tell(Told::Ack(duplicate));
    assert_eq!(play.events(), [], "what it is about is still to come");
    play.tell(Told::RemoteOps(operations(1, CLIENT, 0, 50)));
    assert_eq!(acknowledged(&play.events()), [(1, 0, 50)]);
    play.tell(Told::Ack(duplicate));
    assert_eq!(acknowledged(&play.events()), [(1, 0, 0)]);
    assert_eq!(play.session.position(document), at(50));
    assert_eq!(play.session.pending_operations(document), 0);
}

#[test]
fn a_gap_or_a_repeat_in_the_revisions_is_a_violation_and_starts_a_new_connection() {
    for (revision, expected) in [(4, 3), (2, 3)] {
        let (mut play, _) = Play::opened("log", up_to_date(0, 0));
        play.tell(Told::RemoteOps(operations(1, OTHER, 0, 2)));
        play.tell(Told::RemoteOps(operations(revision, OTHER, 2, 1)));
        let events = play.events();
        assert_eq!(
            violation(&events),
            Some(&Violation::Revision {
                document: "paper".to_owned(),
                expected,
                found: revision
            })
        );
        assert_eq!(
            play.session.poll_connection(play.now),
            Some(ConnectionRequest::Disconnect)
        );
        play.pass(1300);
        play.connect();
        assert!(matches!(&play.sent()[..], [Body::Open(open)] if open.have == at(2)));
    }
}

#[test]
fn a_resync_may_go_back_but_the_application_sees_no_repeat() {
    let (mut play, document) = Play::opened("log", up_to_date(0, 0));
    play.tell(Told::RemoteOps(operations(1, OTHER, 0, 10)));
    let resync = |from| {
        Told::Resync(wire::Resync {
            document: HANDLE,
            reason: ResyncReason::Lapped as i32,
            from: at(from),
            sync: SyncMode::Delta as i32,
            ..wire::Resync::default()
        })
    };
    play.tell(resync(7));
    play.tell(page(vec![operations(8, OTHER, 7, 5)], false));
    let events = play.events();
    assert_eq!(remote_revisions(&events), [(1, 10), (11, 2)]);
    assert!(events.contains(&Event::Synced {
        document,
        revision: 12,
        next_clock: 0
    }));
    play.tell(resync(13));
    assert!(violation(&play.events()).is_some(), "that would be a gap");
}

#[test]
fn a_snapshot_is_put_together_and_settles_what_it_contains() {
    let (mut play, document) = Play::opened("text", up_to_date(0, 0));
    play.session
        .submit_batch(document, batch(0, 2))
        .expect("ready");
    assert!(!play.session.is_ready(document));
    assert_eq!(play.batches(), [(1, 0, 2)]);
    play.reconnect();
    play.events();
    play.answer_open(
        "text",
        wire::Opened {
            sync: SyncMode::Snapshot as i32,
            ..up_to_date(9, 2)
        },
    );
    let chunk = |offset: u64, data: &'static [u8]| {
        Told::SyncResponse(wire::SyncResponse {
            document: HANDLE,
            snapshot: Some(wire::SnapshotChunk {
                revision: 8,
                bytes_total: 5,
                offset,
                data: Bytes::from_static(data),
                next_clock: 2,
            }),
            operations: Vec::new(),
            has_more: true,
            ..Default::default()
        })
    };
    play.tell(chunk(0, b"hel"));
    play.tell(chunk(3, b"lo"));
    play.tell(page(vec![operations(9, OTHER, 0, 1)], false));
    let events = play.events();
    assert_eq!(play.session.pending_operations(document), 0);
    assert!(events.contains(&Event::Snapshot {
        document,
        revision: 8,
        data: Bytes::from_static(b"hello"),
        next_clock: 2
    }));
    assert_eq!(remote_revisions(&events), [(9, 1)]);
    assert!(play.session.is_ready(document));
}

#[test]
fn another_epoch_starts_the_document_again_and_numbers_operations_anew() {
    let (mut play, document) = Play::opened("log", up_to_date(0, 0));
    play.submit(document, 100);
    play.batches();
    play.tell(Told::Ack(ack(1, 1, 50, 49)));
    play.reconnect();
    play.events();
    play.answer_open(
        "log",
        wire::Opened {
            position: Some(Position {
                epoch: 2,
                revision: 20,
            }),
            ..delta(0, 20)
        },
    );
    play.tell(page(vec![operations(1, CLIENT, 0, 20)], false));
    let events = play.events();
    let reset = events
        .iter()
        .position(|event| matches!(event, Event::Reset { next_clock: 20, .. }));
    assert!(reset.is_some(), "{events:?}");
    assert_eq!(remote_revisions(&events), [(1, 20)]);
    assert_eq!(play.batches(), [(3, 20, 50)]);
}

#[test]
fn a_refused_batch_is_given_back_and_those_behind_it_are_sent_again() {
    let (mut play, document) = Play::opened("log", up_to_date(0, 0));
    play.submit(document, 150);
    play.batches();
    play.tell(Told::Nack(nack(1, ErrorCode::OperationInvalid, 0)));
    play.tell(Told::Nack(nack(2, ErrorCode::ClockGap, 0)));
    play.tell(Told::Nack(nack(3, ErrorCode::ClockGap, 0)));
    let events = play.events();
    let [
        Event::Refused {
            operations,
            refusal,
            ..
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!((operations.len(), &operations[49][..]), (50, &b"49"[..]));
    assert!(refusal.is(ErrorCode::OperationInvalid));
    assert_eq!(play.batches(), [(4, 0, 50), (5, 50, 50)]);
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
fn a_conflict_is_rebased_once_the_missing_operations_are_there() {
    let (mut play, document) = Play::opened("text", up_to_date(0, 0));
    play.session
        .submit_batch(document, batch(0, 1))
        .expect("ready");
    assert_eq!(
        play.session.submit_batch(document, batch(0, 1)),
        Err(SubmitError::NotReady)
    );
    play.batches();
    play.tell(Told::Nack(wire::Nack {
        revision: 2,
        ..nack(1, ErrorCode::SyncConflict, 0)
    }));
    play.pass(1);
    assert_eq!(play.events(), []);
    play.tell(Told::RemoteOps(operations(1, OTHER, 0, 2)));
    play.pass(1);
    let events = play.events();
    assert_eq!(events.last(), Some(&Event::Rebase { document }));
    play.session
        .submit_batch(document, batch(2, 1))
        .expect("ready again");
    assert!(matches!(
        &play.sent()[..],
        [Body::Operations(batch)] if batch.base_revision == 2 && batch.first_clock == 0
    ));
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
fn a_document_that_cannot_be_opened_does_not_end_the_others() {
    let mut play = Play::new();
    let options = |document: &str| OpenOptions {
        document: document.to_owned(),
        kind: "log".to_owned(),
        ..OpenOptions::default()
    };
    let missing = play.session.open(options("missing"));
    let later = play.session.open(options("later"));
    play.connect();
    assert_eq!(play.sent().len(), 2);
    play.submit(missing, 2);
    play.events();
    play.tell(Told::Error(wire::Error {
        code: ErrorCode::DocumentNotFound as i32,
        request_id: 1,
        ..wire::Error::default()
    }));
    play.tell(Told::Error(wire::Error {
        code: ErrorCode::ServiceUnavailable as i32,
        retryable: true,
        retry_after_ms: 2000,
        request_id: 2,
        ..wire::Error::default()
    }));
    let events = play.events();
    assert!(matches!(
        &events[..],
        [
            Event::Refused { document: refused, operations, .. },
            Event::Closed { document: closed, .. },
            Event::Error { document: Some(error), .. },
        ] if (*refused, *closed, *error) == (missing, missing, later) && operations.len() == 2
    ));
    assert_eq!(
        play.session.submit(missing, Bytes::new(), play.now),
        Err(SubmitError::Closed)
    );
    play.pass(1999);
    assert_eq!(play.sent(), []);
    play.pass(1);
    assert!(matches!(&play.sent()[..], [Body::Open(open)] if open.document == "later"));
}

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
fn whatever_the_relay_sends_there_is_an_answer_and_no_panic() {
    let mut random = 1_u64;
    let mut next = move || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        random >> 33
    };
    let mut violations = 0;
    for _ in 0..2_000 {
        let (mut play, document) = Play::opened("text", up_to_date(0, 0));
        play.session
            .submit_batch(document, batch(0, 1))
            .expect("ready");
        play.batches();
        for _ in 0..6 {
            let mut small = || next() % 4;
            let body = match small() + small() {
                0 => Told::Ack(ack(small(), small(), small() as u32, small())),
                1 => Told::RemoteOps(operations(small(), CLIENT, small(), small() as usize)),
                2 => page(vec![operations(small(), OTHER, small(), 1)], small() > 1),
                3 => Told::Resync(wire::Resync {
                    document: HANDLE,
                    from: at(small()),
                    sync: small() as i32,
                    next_clock: small(),
                    ..wire::Resync::default()
                }),
                4 => Told::Nack(nack(small(), ErrorCode::SyncConflict, small())),
                5 => Told::Opened(delta(small(), u64::MAX - small())),
                _ => Told::RemoteOps(operations(u64::MAX - small(), OTHER, u64::MAX, 2)),
            };
            play.tell(body);
            play.pass(60);
            play.sent();
        }
        violations += usize::from(violation(&play.events()).is_some());
    }
    assert!(violations > 1_000, "{violations}");
}

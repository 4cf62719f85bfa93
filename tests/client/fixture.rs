//! A session, and the relay's side of its connection, played frame by frame.

use std::time::Duration;

use bytes::Bytes;
use corelay::client::text::TextBatch;
use corelay::client::{
    ConnectionRequest, DocumentKey, Event, OpenOptions, Session, Settings, Violation,
};
use corelay::codec::frame;
use corelay::codec::wire::{
    self, ErrorCode, Position, SyncMode, event::Body as Told, request::Body,
};
use corelay::engine::Instant;
use prost::Message;

pub const CLIENT: u64 = 77;
pub const OTHER: u64 = 88;
pub const HANDLE: u64 = 5;
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// A session, its time, and the relay's side of its connection.
pub struct Play {
    pub session: Session,
    pub now: Instant,
}

impl Play {
    pub fn new() -> Self {
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

    pub fn pass(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
        self.session.handle_timeout(self.now);
    }

    pub fn connect(&mut self) {
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
            message_bytes_max: MESSAGE_BYTES_MAX as u32,
            batch_operations_max: 1000,
            ping_period_ms: 54_000,
            ..wire::Connected::default()
        }));
    }

    /// Connected, with one document open that the application has `have` of.
    pub fn opened(kind: &str, opened: wire::Opened) -> (Self, DocumentKey) {
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

    pub fn answer_open(&mut self, kind: &str, opened: wire::Opened) {
        self.tell(Told::Opened(wire::Opened {
            request_id: 1,
            document: HANDLE,
            kind: kind.to_owned(),
            ..opened
        }));
    }

    pub fn reconnect(&mut self) -> Vec<Body> {
        self.session.handle_disconnected(self.now);
        self.pass(1300);
        self.connect();
        self.sent()
    }

    pub fn tell(&mut self, body: Told) {
        self.answer("", body);
    }

    /// As an answer to the request `id`.
    pub fn answer(&mut self, id: &str, body: Told) {
        let bytes = frame::encode(&wire::Event {
            reply_to: id.to_owned(),
            ..wire::Event::from(body)
        });
        self.session.handle_bytes(&bytes, self.now);
    }

    /// One message, which is no longer than the relay takes.
    pub fn message(&mut self) -> Vec<wire::Request> {
        let mut out = Vec::new();
        self.session.poll_transmit(&mut out, self.now);
        assert!(out.len() <= MESSAGE_BYTES_MAX + frame::PREFIX_BYTES);
        let requests = frame::messages(&out).map(wire::Request::decode);
        requests
            .collect::<Result<_, _>>()
            .expect("whole frames of requests")
    }

    /// Everything that there is to send.
    pub fn requests(&mut self) -> Vec<wire::Request> {
        let messages = std::iter::from_fn(|| Some(self.message()).filter(|it| !it.is_empty()));
        messages.flatten().collect()
    }

    pub fn sent(&mut self) -> Vec<Body> {
        let requests = self.requests().into_iter();
        requests.filter_map(|request| request.body).collect()
    }

    pub fn batches(&mut self) -> Vec<(u64, u64, usize)> {
        let sent = self.sent();
        let batches = sent.iter().map(|body| match body {
            Body::Operations(batch) => {
                (batch.client_seq, batch.first_clock, batch.operations.len())
            }
            other => panic!("{other:?}"),
        });
        batches.collect()
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    pub fn submit(&mut self, document: DocumentKey, count: usize) {
        for number in 0..count {
            let operation = Bytes::from(number.to_string());
            self.session
                .submit(document, operation, self.now)
                .expect("room");
        }
    }
}

pub fn at(revision: u64) -> Option<Position> {
    Some(Position { epoch: 1, revision })
}

pub fn up_to_date(revision: u64, next_clock: u64) -> wire::Opened {
    wire::Opened {
        position: at(revision),
        from_revision: revision,
        sync: SyncMode::UpToDate as i32,
        next_clock,
        ..wire::Opened::default()
    }
}

pub fn delta(from_revision: u64, next_clock: u64) -> wire::Opened {
    wire::Opened {
        from_revision,
        sync: SyncMode::Delta as i32,
        ..up_to_date(from_revision, next_clock)
    }
}

pub fn operations(revision: u64, origin: u64, first_clock: u64, count: usize) -> wire::RemoteOps {
    wire::RemoteOps {
        document: HANDLE,
        revision,
        origin,
        first_clock,
        operations: vec![Bytes::from_static(b"x"); count],
    }
}

pub fn page(operations: Vec<wire::RemoteOps>, has_more: bool) -> Told {
    Told::SyncResponse(wire::SyncResponse {
        document: HANDLE,
        snapshot: None,
        operations,
        has_more,
        ..Default::default()
    })
}

pub fn ack(client_seq: u64, first_revision: u64, count: u32, clock: u64) -> wire::Ack {
    wire::Ack {
        document: HANDLE,
        client_seq,
        first_revision,
        count,
        clock,
        ..wire::Ack::default()
    }
}

pub fn nack(client_seq: u64, code: ErrorCode, next_clock: u64) -> wire::Nack {
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

pub fn batch(base_revision: u64, count: usize) -> TextBatch {
    TextBatch {
        base_revision,
        first_clock: 0,
        operations: vec![Bytes::from_static(b"a"); count],
    }
}

pub fn remote_revisions(events: &[Event]) -> Vec<(u64, usize)> {
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

pub fn acknowledged(events: &[Event]) -> Vec<(u64, u64, usize)> {
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

pub fn violation(events: &[Event]) -> Option<&Violation> {
    events.iter().find_map(|event| match event {
        Event::Violation(violation) => Some(violation),
        _ => None,
    })
}

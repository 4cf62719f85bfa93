//! A document that several clients have written, and what a reader has been sent of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use corelay::codec::wire::{self, event, request};
use corelay::engine::shard::{Settings, Transport};
use corelay::text::Operation;

use crate::expect;
use crate::fixture::{Client, Relay};
use crate::requests::{hello, log_batch, open_from, text_batch};

pub type Vector = BTreeMap<u64, u64>;

/// One operation as somebody was sent it: its revision, client and clock.
pub type Sent = (u64, u64, u64);

pub fn open_with(document: &str, change: impl FnOnce(&mut wire::Open)) -> request::Body {
    let mut open = wire::Open {
        document: document.to_owned(),
        ..wire::Open::default()
    };
    change(&mut open);
    request::Body::Open(open)
}

pub fn sync_with(change: impl FnOnce(&mut wire::SyncRequest)) -> request::Body {
    let mut sync = wire::SyncRequest::default();
    change(&mut sync);
    request::Body::SyncRequest(sync)
}

pub fn position(revision: u64) -> Option<wire::Position> {
    Some(wire::Position { epoch: 1, revision })
}

/// Clients who write, and what all of them have written.
pub struct History {
    pub relay: Relay,
    pub document: u64,
    pub kind: &'static str,
    pub writers: Vec<(Client, u64)>,
    /// Of the operation with revision 1, 2, …: its client and clock.
    pub operations: Vec<(u64, u64)>,
}

impl History {
    pub fn new(writers: usize, kind: &'static str, change: impl FnOnce(&mut Settings)) -> Self {
        let mut history = Self {
            relay: Relay::with(1, change),
            document: 0,
            kind,
            writers: Vec::new(),
            operations: Vec::new(),
        };
        history.come(writers);
        history
    }

    pub fn come(&mut self, writers: usize) {
        for number in 0..writers {
            let name = format!("writer{number}");
            let client = self.relay.connect(Transport::Tcp);
            self.relay.send(client, hello(&name));
            let id = expect!(self.relay, client, Connected).client_id;
            let have = position(self.operations.len() as u64);
            let kind = self.kind;
            let open = open_with("notes", |open| {
                open.kind = kind.to_owned();
                open.create = true;
                open.have = have;
            });
            self.relay.send(client, open);
            self.document = expect!(self.relay, client, Opened).document;
            self.writers.push((client, id));
        }
    }

    /// The process begins anew, so that nothing is in memory, and the writers come back.
    pub fn evict(&mut self) {
        let writers = self.writers.len();
        self.relay.restart(|_| ());
        self.writers.clear();
        self.come(writers);
    }

    pub fn id(&self, writer: usize) -> u64 {
        self.writers[writer].1
    }

    pub fn next_clock(&self, id: u64) -> u64 {
        self.operations.iter().filter(|(of, _)| *of == id).count() as u64
    }

    /// A writer writes a batch. Its acknowledgement is not waited for.
    pub fn write(&mut self, writer: usize, count: u64) {
        let (client, id) = self.writers[writer];
        let first = self.next_clock(id);
        let payload = |clock: u64| format!("{id} {clock} {}", "x".repeat(200));
        let batch = match self.kind {
            "log" => log_batch(self.document, first, (first..first + count).map(payload)),
            _text => {
                let operations = vec![Operation::splice(0, 0, "t"); count as usize];
                let base = self.operations.len() as u64;
                text_batch(self.document, first, base, &operations)
            }
        };
        self.operations
            .extend((first..first + count).map(|clock| (id, clock)));
        self.relay.send(client, batch);
    }

    /// The document's state vector at a revision.
    pub fn vector_at(&self, revision: usize) -> Vector {
        self.operations[..revision].iter().copied().collect()
    }

    /// What follows for who has this.
    pub fn after(&self, vector: &Vector) -> Vec<Sent> {
        let all = (1..).zip(&self.operations);
        let missing = all.filter(|(_, (id, clock))| vector.get(id).is_none_or(|had| clock > had));
        missing
            .map(|(revision, (id, clock))| (revision, *id, *clock))
            .collect()
    }
}

/// Everything that a client has been sent of a log, and the last page, if it has come.
pub fn received(relay: &mut Relay, client: Client) -> (Vec<Sent>, Option<wire::SyncResponse>) {
    let mut sent = Vec::new();
    let mut last = None;
    for event in relay.drain(client) {
        match event {
            event::Body::SyncResponse(page) => {
                assert_eq!(page.snapshot, None);
                page.operations
                    .iter()
                    .for_each(|remote| note(remote, &mut sent));
                if page.has_more {
                    assert_eq!((last.as_ref(), page.position), (None, None));
                    assert!(!page.resume_token.is_empty() && page.server_vector.is_empty());
                } else {
                    assert!(page.resume_token.is_empty());
                    last = Some(page);
                }
            }
            event::Body::RemoteOps(remote) => note(&remote, &mut sent),
            event::Body::Opened(_) | event::Body::Resync(_) | event::Body::PresenceUpdate(_) => {}
            other => panic!("{other:?}"),
        }
    }
    (sent, last)
}

pub fn note(remote: &wire::RemoteOps, sent: &mut Vec<Sent>) {
    assert!(!remote.operations.is_empty());
    for (index, operation) in (0..).zip(&remote.operations) {
        let (id, clock) = (remote.origin, remote.first_clock + index);
        let start = format!("{id} {clock} ");
        assert!(
            operation.starts_with(start.as_bytes()),
            "{operation:?} is not {start}"
        );
        sent.push((remote.revision + index, id, clock));
    }
}

/// How a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Open,
    /// With a SyncRequest, on a document that is not open.
    ById,
    /// With a SyncRequest, on a document that is.
    Again,
}

pub const WAYS: [Way; 3] = [Way::Open, Way::ById, Way::Again];

/// Lets a client who has this ask.
pub fn ask(history: &mut History, client: Client, way: Way, vector: &Vector, token: &Bytes) {
    let (document, revision) = (history.document, history.operations.len() as u64);
    let relay = &mut history.relay;
    let state_vector = vector.clone();
    let resume_token = token.clone();
    match way {
        Way::Open => relay.send(
            client,
            open_with("notes", |open| {
                open.state_vector = state_vector;
                open.resume_token = resume_token;
            }),
        ),
        Way::ById => relay.send(
            client,
            sync_with(|sync| {
                sync.document_id = "notes".to_owned();
                sync.state_vector = state_vector;
                sync.resume_token = resume_token;
            }),
        ),
        Way::Again => {
            relay.send(client, open_from("notes", 1, revision));
            relay.drain(client);
            relay.send(
                client,
                sync_with(|sync| {
                    sync.document = document;
                    sync.state_vector = state_vector;
                    sync.resume_token = resume_token;
                }),
            );
        }
    }
}

/// The resume token of the newest page that a client was sent, if it has not caught up.
pub fn newest_token(relay: &mut Relay, client: Client, sent: &mut Vec<Sent>) -> Option<Bytes> {
    let mut token = None;
    let mut kept = Vec::new();
    for event in relay.drain(client) {
        match &event {
            event::Body::SyncResponse(page) if page.has_more => {
                page.operations.iter().for_each(|remote| note(remote, sent));
                token = Some(page.resume_token.clone());
            }
            event::Body::Opened(_) => {}
            _other => kept.push(event),
        }
    }
    // What has come after the page comes again.
    if token.is_none() {
        for event in kept {
            if let event::Body::RemoteOps(remote) = event {
                note(&remote, sent);
            }
        }
    }
    token
}

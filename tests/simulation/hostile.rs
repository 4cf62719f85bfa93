//! Somebody who does not keep to the protocol, and is to be no trouble to anybody else.

use std::collections::BTreeSet;
use std::sync::Arc;

use corelay::codec::wire::{self, event, request::Body};
use corelay::engine::shard::Transport;
use corelay::text::Operation;

use super::connection::{Connection, Incoming};
use super::judge::broken;
use super::network::Link;
use super::random::Random;

pub struct Hostile {
    pub link: u64,
    connection: Connection,
    manner: Manner,
    uuid: Vec<u8>,
    has_said_hello: bool,
    /// Nobody asks for tokens.
    may_enter: bool,
    document: Arc<str>,
    handles: BTreeSet<u64>,
    /// It never reads.
    is_deaf: bool,
}

#[derive(Debug, Clone, Copy)]
enum Manner {
    Silence,
    Noise,
    /// Requests before Hello.
    Haste,
    /// Lengths that nothing is meant to have.
    Giants,
    /// WebSocket frames that are not allowed.
    Fragments,
    /// A proper Hello, and then requests that are wrong.
    Nonsense,
    /// Requests that ask for answers, faster than it reads.
    Flood,
}

impl Hostile {
    pub fn new(
        link: u64,
        transport: Transport,
        document: Arc<str>,
        may_enter: bool,
        random: &mut Random,
    ) -> Self {
        Self {
            link,
            connection: Connection::new(transport, None),
            manner: random.pick(&[
                Manner::Silence,
                Manner::Noise,
                Manner::Haste,
                Manner::Giants,
                Manner::Fragments,
                Manner::Nonsense,
                Manner::Nonsense,
                Manner::Flood,
            ]),
            uuid: random.bytes(16),
            has_said_hello: false,
            may_enter,
            document,
            handles: BTreeSet::new(),
            is_deaf: random.happens(3000),
        }
    }

    /// False: the connection is at its end.
    pub fn step(&mut self, link: &mut Link, random: &mut Random) -> bool {
        if link.down.is_at_end() {
            return false;
        }
        if !self.is_deaf {
            let bytes = link.down.read(1000);
            match self.connection.receive(&bytes) {
                Ok(incoming) => incoming.into_iter().for_each(|event| self.check(event)),
                Err(error) => broken!("S8", "a hostile client gets {error}"),
            }
        }
        if self.connection.unsent_bytes() < 10_000 && random.happens(3000) {
            self.act(random);
        }
        self.connection.flush(usize::MAX, random);
        let taken = link.up.write(&self.connection.output);
        self.connection.output.drain(..taken);
        true
    }

    fn act(&mut self, random: &mut Random) {
        match self.manner {
            Manner::Silence => (),
            Manner::Noise => {
                let length = random.up_to(100);
                let noise = random.bytes(length);
                self.connection.output.extend(noise);
            }
            Manner::Haste => self.nonsense(random),
            Manner::Giants => match self.connection.transport() {
                Transport::Tcp | Transport::EventStream => {
                    self.connection.output.extend([0x7f, 0xff, 0xff, 0xff])
                }
                Transport::WebSocket => {
                    let header = [0x82, 0xff, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 1, 2, 3, 4];
                    self.connection.output.extend(header);
                }
            },
            Manner::Fragments => {
                let opcode = random.pick(&[0, 0, 1, 2, 2, 9, 10]);
                let length = random.up_to(300);
                let payload = random.bytes(length);
                let is_final = random.happens(2000);
                self.connection
                    .append_frame(opcode, is_final, &payload, random);
            }
            Manner::Nonsense | Manner::Flood if !self.has_said_hello => {
                self.has_said_hello = true;
                self.connection.send(self.hello());
            }
            Manner::Nonsense => self.nonsense(random),
            Manner::Flood => {
                for _ in 0..random.below(40) {
                    self.connection.send(Body::Ping(wire::Ping { nonce: 1 }));
                    self.nonsense(random);
                }
            }
        }
    }

    fn hello(&self) -> Body {
        Body::Hello(wire::Hello {
            protocol_version: 3,
            client_uuid: self.uuid.clone().into(),
            ..Default::default()
        })
    }

    fn nonsense(&mut self, random: &mut Random) {
        let known = self.handles.iter().copied().next().unwrap_or_default();
        let document = random.pick(&[known, known, 0, 1, 2, 3, u64::MAX]);
        let body = match random.below(10) {
            0 if self.has_said_hello => self.hello(),
            1 | 2 => Body::Open(wire::Open {
                request_id: random.number(),
                document: match random.below(4) {
                    0 => "a\nb".to_owned(),
                    1 => "x".repeat(300),
                    2 => format!("junk-{}", random.below(5)),
                    _ => self.document.as_ref().to_owned(),
                },
                kind: random.pick(&["text", "text", "yjs", ""]).to_owned(),
                have: random.happens(5000).then(|| wire::Position {
                    epoch: random.within(0..=3),
                    revision: random.number() >> random.below(64),
                }),
                create: random.happens(5000),
                ..Default::default()
            }),
            3 => Body::SyncRequest(wire::SyncRequest {
                document,
                have: random.happens(5000).then(|| wire::Position {
                    epoch: random.within(0..=3),
                    revision: random.number() >> random.below(64),
                }),
                ..Default::default()
            }),
            4 => Body::Heartbeat(wire::Heartbeat { document }),
            5 => Body::Presence(wire::Presence {
                document,
                fields: [("x".to_owned(), random.bytes(5000).into())].into(),
                leave: random.happens(3000),
                ..Default::default()
            }),
            6 => Body::Close(wire::Close {
                document: document.max(1),
                ..Default::default()
            }),
            _ => Body::Operations(wire::Operations {
                document,
                client_seq: random.number(),
                first_clock: random.pick(&[0, 0, 0, 1, u64::MAX, u64::MAX - 1]),
                base_revision: random.pick(&[0, 1, 5, u64::MAX]),
                operations: wrong_operations(random),
                ..Default::default()
            }),
        };
        self.connection.send(body);
    }

    fn check(&mut self, incoming: Incoming) {
        let body = match incoming {
            Incoming::Event(event) => event.body.expect("it was checked"),
            Incoming::Text(message) => {
                // Its text messages are no JSON.
                if message["type"] != "error" && message["type"] != "disconnect" {
                    broken!("S8", "a hostile client gets {message}");
                }
                return;
            }
            Incoming::Ping(_) | Incoming::Pong | Incoming::Close(_) => return,
        };
        let document = match &body {
            event::Body::Connected(_) if self.has_said_hello && self.may_enter => return,
            event::Body::Opened(opened) if self.may_enter => {
                self.handles.insert(opened.document);
                return;
            }
            event::Body::Error(_)
            | event::Body::Nack(_)
            | event::Body::Close(_)
            | event::Body::Goaway(_)
            | event::Body::Ping(_)
            | event::Body::Pong(_) => return,
            event::Body::Connected(_)
            | event::Body::Opened(_)
            | event::Body::Ack(_)
            | event::Body::SyncRequest(_)
            | event::Body::SnapshotAccepted(_)
            | event::Body::Deleted(_)
            | event::Body::Directory(_)
            | event::Body::DirectoryUpdate(_)
            | event::Body::HistoryPage(_)
            | event::Body::VersionSaved(_)
            | event::Body::Versions(_)
            | event::Body::VersionDeleted(_) => {
                broken!("S8", "a hostile client gets {body:?}")
            }
            event::Body::RemoteOps(remote) => remote.document,
            event::Body::SyncResponse(page) => page.document,
            event::Body::PresenceUpdate(update) => update.document,
            event::Body::Warning(warning) => warning.document,
            event::Body::Resync(resync) => resync.document,
        };
        if !self.handles.contains(&document) {
            broken!("S8", "a hostile client gets {body:?}");
        }
    }
}

/// Batches that no text takes.
fn wrong_operations(random: &mut Random) -> Vec<bytes::Bytes> {
    let far = Operation::splice(1_000_000_000, 0, "x").encode();
    match random.below(5) {
        0 => vec![],
        1 => vec![far.into()],
        2 => vec![Operation::splice(0, 0, "x").encode().into(), far.into()],
        3 => vec![vec![0xff; random.up_to(20) + 1].into()],
        _ => vec![far.into(); 1200],
    }
}

//! A relay in small, for tests: one text document, one order, a delay before anything is durable, and connections
//! that deliver in order until they break.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::text::{Operation, Text, transform_batch};

use super::TextBatch;

#[derive(Debug)]
pub enum Request {
    Batch(TextBatch),
    Sync { have: u64 },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Resync,
    Snapshot {
        revision: u64,
        next_clock: u64,
        data: String,
    },
    Operations {
        first_revision: u64,
        origin: u64,
        first_clock: u64,
        operations: Vec<Bytes>,
    },
    /// The last page, with what `Opened` or `Resync` said.
    CaughtUp {
        next_clock: u64,
    },
    Ack {
        first_revision: u64,
        count: u64,
    },
    Nack,
}

/// One client's connections, one after the other.
#[derive(Debug, Default)]
pub struct Connection {
    pub client_id: u64,
    /// `None`: not connected.
    pub number: Option<u64>,
    /// Batches that have been delivered on it.
    position: usize,
    pub requests: VecDeque<Request>,
    pub events: VecDeque<Event>,
}

#[derive(Debug)]
struct Batch {
    /// On which connection it came last.
    connection: u64,
    first_revision: u64,
    origin: u64,
    first_clock: u64,
    operations: Vec<Operation>,
}

impl Batch {
    fn count(&self) -> u64 {
        self.operations.len() as u64
    }
}

#[derive(Debug, Default)]
pub struct Relay {
    pub document: Text,
    pub connections: Vec<Connection>,
    history: Vec<Batch>,
    durable: usize,
    next_clocks: BTreeMap<u64, u64>,
    numbers: u64,
}

impl Relay {
    pub fn new(client_ids: impl IntoIterator<Item = u64>) -> Self {
        let connection = |client_id| Connection {
            client_id,
            ..Connection::default()
        };
        Self {
            connections: client_ids.into_iter().map(connection).collect(),
            ..Self::default()
        }
    }

    /// The connection breaks; what is under way on it is lost.
    pub fn disconnect(&mut self, client: usize) {
        let connection = &mut self.connections[client];
        connection.number = None;
        connection.requests.clear();
        connection.events.clear();
    }

    /// Opens the document on a new connection.
    pub fn connect(&mut self, client: usize, have: u64, snapshot: Option<usize>) {
        self.disconnect(client);
        self.numbers += 1;
        self.connections[client].number = Some(self.numbers);
        self.catch_up(client, have, snapshot);
    }

    /// Puts a subscription somewhere else: pages from `have`, or a snapshot that is some batches old and what follows.
    pub fn resync(&mut self, client: usize, have: u64, snapshot: Option<usize>) {
        self.connections[client].events.push_back(Event::Resync);
        self.catch_up(client, have, snapshot);
    }

    /// The client, which has seen everything up to `have`, fell too far behind: what it has not taken is lost to it,
    /// but for direct answers.
    pub fn lap(&mut self, client: usize, have: u64, snapshot: Option<usize>) {
        let events = &mut self.connections[client].events;
        events.retain(|event| *event == Event::Nack);
        self.resync(client, have, snapshot);
    }

    /// The relay takes the client's next request. `fickle`: it refuses a batch for the time being, or delivers one
    /// that came before as if it had come on another connection.
    pub fn handle_request(&mut self, client: usize, fickle: bool) {
        match self.connections[client].requests.pop_front() {
            None => {}
            Some(Request::Sync { have }) => self.resync(client, have, fickle.then_some(1)),
            Some(Request::Batch(batch)) => self.handle_batch(client, &batch, fickle),
        }
    }

    /// Makes so many more batches durable, and delivers them.
    pub fn sync(&mut self, count: usize) {
        self.durable = self.durable.saturating_add(count).min(self.history.len());
        for client in 0..self.connections.len() {
            if self.connections[client].number.is_some() {
                self.deliver(client, false);
            }
        }
    }

    fn handle_batch(&mut self, client: usize, batch: &TextBatch, fickle: bool) {
        let Connection {
            client_id, number, ..
        } = self.connections[client];
        let connection = number.expect("requests come on a connection");
        let next_clock = self.next_clocks.entry(client_id).or_default();
        let count = batch.operations.len() as u64;
        if batch.first_clock < *next_clock {
            self.repeat(client, batch.first_clock, count, fickle);
            return;
        }
        assert_eq!(batch.first_clock, *next_clock, "clocks have no gaps");
        if fickle {
            self.connections[client].events.push_back(Event::Nack);
            return;
        }
        *next_clock += count;
        let decoded = batch
            .operations
            .iter()
            .map(|bytes| Operation::decode(bytes));
        let mut operations: Vec<Operation> = decoded
            .map(|operation| operation.expect("it was encoded"))
            .collect();
        let since: Vec<_> = self.history_after(batch.base_revision).collect();
        assert!(
            since.iter().all(|(origin, _)| *origin != client_id),
            "a client has seen its own operations before it sends others"
        );
        transform_batch(&mut operations, client_id, since);
        for operation in &operations {
            self.document.apply(operation).expect("it fits");
        }
        self.history.push(Batch {
            connection,
            first_revision: self.revision_before(self.history.len()) + 1,
            origin: client_id,
            first_clock: batch.first_clock,
            operations,
        });
    }

    /// A batch came that had come before.
    fn repeat(&mut self, client: usize, first_clock: u64, count: u64, fickle: bool) {
        let Connection {
            client_id,
            number,
            position,
            ..
        } = self.connections[client];
        let (index, batch) = self
            .history
            .iter_mut()
            .enumerate()
            .find(|(_, batch)| (batch.origin, batch.first_clock) == (client_id, first_clock))
            .expect("it was taken as the same batch");
        assert_eq!(batch.count(), count, "a batch is sent again as it was");
        if index < position {
            let first_revision = batch.first_revision;
            let ack = Event::Ack {
                first_revision,
                count,
            };
            self.connections[client].events.push_back(ack);
        } else if !fickle {
            batch.connection = number.expect("requests come on a connection");
        }
    }

    fn catch_up(&mut self, client: usize, have: u64, snapshot: Option<usize>) {
        let client_id = self.connections[client].client_id;
        if let Some(age) = snapshot {
            let position = self.durable.saturating_sub(age);
            if self.revision_before(position) >= have {
                let event = self.snapshot(client_id, position);
                self.connections[client].events.push_back(event);
                self.connections[client].position = position;
            } else {
                self.connections[client].position = self.position_of(have);
            }
        } else {
            self.connections[client].position = self.position_of(have);
        }
        self.deliver(client, true);
        let next_clock = self.next_clocks.get(&client_id).copied().unwrap_or(0);
        let event = Event::CaughtUp { next_clock };
        self.connections[client].events.push_back(event);
    }

    fn snapshot(&self, client_id: u64, position: usize) -> Event {
        let mut document = Text::default();
        let mut next_clock = 0;
        for batch in &self.history[..position] {
            for operation in &batch.operations {
                document.apply(operation).expect("it fits");
            }
            if batch.origin == client_id {
                next_clock = batch.first_clock + batch.count();
            }
        }
        Event::Snapshot {
            revision: self.revision_before(position),
            next_clock,
            data: document.to_string(),
        }
    }

    fn deliver(&mut self, client: usize, pages: bool) {
        let connection = &mut self.connections[client];
        for batch in &self.history[connection.position.min(self.durable)..self.durable] {
            let own = connection.number == Some(batch.connection);
            connection.events.push_back(if own && !pages {
                Event::Ack {
                    first_revision: batch.first_revision,
                    count: batch.count(),
                }
            } else {
                Event::Operations {
                    first_revision: batch.first_revision,
                    origin: batch.origin,
                    first_clock: batch.first_clock,
                    operations: batch
                        .operations
                        .iter()
                        .map(|operation| operation.encode().into())
                        .collect(),
                }
            });
        }
        connection.position = connection.position.max(self.durable);
    }

    /// A base can stand inside a batch.
    fn history_after(&self, revision: u64) -> impl Iterator<Item = (u64, &Operation)> {
        let first = self
            .history
            .partition_point(|batch| batch.first_revision + batch.count() <= revision + 1);
        self.history[first..]
            .iter()
            .flat_map(|batch| {
                (batch.first_revision..)
                    .zip(&batch.operations)
                    .map(|(revision, operation)| (revision, batch.origin, operation))
            })
            .skip_while(move |(stands_at, _, _)| *stands_at <= revision)
            .map(|(_, origin, operation)| (origin, operation))
    }

    /// What has been delivered always ends between two batches.
    fn position_of(&self, revision: u64) -> usize {
        let position = self
            .history
            .partition_point(|batch| batch.first_revision <= revision);
        assert_eq!(self.revision_before(position), revision);
        position
    }

    fn revision_before(&self, position: usize) -> u64 {
        self.history[..position]
            .last()
            .map_or(0, |batch| batch.first_revision + batch.count() - 1)
    }
}

//! `--trace`: a recorded history, done again through a relay by as many clients as it had authors.
//!
//! Every client has a thread and a connection of its own. Agents all join before the first of them writes, and the
//! one with the lowest client id plays the first agent, since histories and the relay both put the lower one's text
//! first. Some readers are there from the start, as many join halfway. Everybody must end with the history's text.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::client::{
    Client, Endpoint, EndpointError, Event, OpenOptions, Reconnect, Settings, TextDocument,
    Transport,
};

use super::Arguments;
use super::tally;
use super::trace::{Agent, History, HistoryError, ReplayError};
use super::verify::DOCUMENT;

/// Without anything happening for so long, a client gives up.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long one wait for an event is, so that a failure elsewhere is noticed.
const WAIT: Duration = Duration::from_millis(50);

#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("{path}: {source}")]
    History { path: PathBuf, source: HistoryError },
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error("{who}: {what}")]
    Relay { who: String, what: String },
    #[error("{who} ends with another text: {bytes} bytes, the history's has {expected}")]
    Text {
        who: String,
        bytes: usize,
        expected: usize,
    },
}

/// What a replay found out.
#[derive(Debug)]
pub(super) struct Replayed {
    agents: usize,
    readers: usize,
    documents: usize,
    transactions: usize,
    seconds: f64,
    transformed: u64,
    /// From a batch's submission until it was in the history, in microseconds.
    ack: Histogram<u64>,
    batches: u64,
}

/// Replays the file, as often as there are to be documents, all at once.
pub(super) fn replay(
    arguments: &Arguments,
    path: &PathBuf,
    prefix: &str,
) -> Result<Replayed, TraceError> {
    let gzip = fs::read(path).map_err(|source| TraceError::File {
        path: path.clone(),
        source,
    })?;
    let history = History::read(&gzip).map_err(|source| TraceError::History {
        path: path.clone(),
        source,
    })?;
    let started = std::time::Instant::now();
    let stages: Vec<Stage> = (0..arguments.documents)
        .map(|number| Stage::new(arguments, &history, format!("{prefix}-{number}")))
        .collect();
    let mut replayed = Replayed {
        agents: history.agents.len(),
        readers: 2 * arguments.readers,
        documents: stages.len(),
        transactions: history.transactions(),
        seconds: 0.0,
        transformed: 0,
        ack: tally::histogram(),
        batches: 0,
    };
    thread::scope(|scope| {
        let mut writers = Vec::new();
        let mut readers = Vec::new();
        for stage in &stages {
            for place in 0..history.agents.len() {
                writers.push(scope.spawn(move || stage.watch(stage.write(place))));
            }
            for number in 0..2 * arguments.readers {
                let is_late = number >= arguments.readers;
                readers.push(scope.spawn(move || stage.watch(stage.read(number, is_late))));
            }
        }
        let mut failure = None;
        for writer in writers {
            match writer.join().expect("a thread's panic ends the process") {
                Ok(written) => {
                    replayed.transformed += written.transformed;
                    replayed.batches += written.ack.len();
                    replayed.ack.add(&written.ack).expect("the same bounds");
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        replayed.seconds = started.elapsed().as_secs_f64();
        for reader in readers {
            let read = reader.join().expect("a thread's panic ends the process");
            failure = failure.or(read.err());
        }
        failure.map_or(Ok(()), Err)
    })?;
    Ok(replayed)
}

/// What one agent ends with.
struct Written {
    transformed: u64,
    ack: Histogram<u64>,
}

/// One document's replay: what its clients share.
struct Stage<'a> {
    arguments: &'a Arguments,
    history: &'a History,
    document: String,
    /// The client ids of the agents that have joined.
    joined: Mutex<Vec<u64>>,
    all_joined: Condvar,
    /// Transactions that are in the document.
    written: AtomicUsize,
    has_failed: AtomicBool,
}

impl<'a> Stage<'a> {
    fn new(arguments: &'a Arguments, history: &'a History, document: String) -> Self {
        Self {
            arguments,
            history,
            document,
            joined: Mutex::default(),
            all_joined: Condvar::new(),
            written: AtomicUsize::new(0),
            has_failed: AtomicBool::new(false),
        }
    }

    /// Where one fails, the others need not wait.
    fn watch<T>(&self, result: Result<T, TraceError>) -> Result<T, TraceError> {
        if result.is_err() {
            self.has_failed.store(true, Ordering::Relaxed);
            self.all_joined.notify_all();
        }
        result
    }

    fn client(&self, who: &str) -> Result<Client, TraceError> {
        let url = &self.arguments.url;
        let transport = match &url.transport {
            Transport::Tcp => Transport::Tcp,
            Transport::WebSocket { .. } => Transport::WebSocket {
                path: Endpoint::document_path(&self.document),
            },
        };
        let endpoint = Endpoint {
            transport,
            authority: url.authority.clone(),
        };
        let identity = blake3::hash(format!("{}/{who}", self.document).as_bytes());
        let (client_uuid, _) = identity.as_bytes().split_first_chunk().expect("32 bytes");
        let settings = Settings {
            client_uuid: *client_uuid,
            token: self.arguments.token.clone(),
            user_id: who.to_owned(),
            reconnect: Reconnect {
                delay: Duration::from_millis(200),
                delay_max: Duration::from_secs(2),
                ..Reconnect::default()
            },
            seed: self.arguments.seed,
            ..Settings::default()
        };
        Ok(Client::new(&endpoint.to_string(), settings)?)
    }

    /// The next event; an error where there cannot be a good end any more.
    fn event(&self, client: &mut Client, who: &str) -> Result<Event, TraceError> {
        let failed = |what: String| TraceError::Relay {
            who: who.to_owned(),
            what,
        };
        let until = client.now() + SILENCE_MAX;
        loop {
            match client.next_event(WAIT) {
                Some(Event::Stopped { refusal } | Event::Closed { refusal, .. }) => {
                    return Err(failed(format!(
                        "{}: {}",
                        refusal.code_name(),
                        refusal.message
                    )));
                }
                Some(Event::Refused { refusal, .. }) => {
                    return Err(failed(format!(
                        "its edit was refused with {}: {}",
                        refusal.code_name(),
                        refusal.message
                    )));
                }
                Some(Event::Violation(violation)) => return Err(failed(violation.to_string())),
                Some(event) => return Ok(event),
                None if self.has_failed.load(Ordering::Relaxed) => {
                    return Err(failed("it waits for another client that failed".to_owned()));
                }
                None if client.now() >= until => {
                    return Err(failed("nothing has come for too long".to_owned()));
                }
                None => {}
            }
        }
    }

    /// Joins, and waits until everybody has. Returns the client ids of all agents in their order, and the clock that
    /// the relay expects.
    fn join(&self, client: &mut Client, who: &str) -> Result<(Vec<u64>, u64), TraceError> {
        client.session().open(OpenOptions {
            document: self.document.clone(),
            kind: "text".to_owned(),
            create: true,
            have: None,
        });
        let next_clock = loop {
            if let Event::Synced { next_clock, .. } = self.event(client, who)? {
                break next_clock;
            }
        };
        let mut joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        joined.push(client.session().client_id());
        joined.sort_unstable();
        self.all_joined.notify_all();
        let joined = self
            .all_joined
            .wait_while(joined, |joined| {
                joined.len() < self.history.agents.len() && !self.has_failed.load(Ordering::Relaxed)
            })
            .unwrap_or_else(PoisonError::into_inner);
        if joined.len() < self.history.agents.len() {
            return Err(TraceError::Relay {
                who: who.to_owned(),
                what: "another agent could not join".to_owned(),
            });
        }
        Ok((joined.clone(), next_clock))
    }

    /// Plays one agent, from its first transaction to the last of all.
    fn write(&self, place: usize) -> Result<Written, TraceError> {
        let name = format!("client {place}");
        let mut client = self.client(&name)?;
        let (client_ids, next_clock) = self.join(&mut client, &name)?;
        let own = client.session().client_id();
        let index = client_ids
            .iter()
            .position(|id| *id == own)
            .expect("it has joined");
        let who = format!("agent {index}");
        let mut agent = Agent::new(self.history, index, &client_ids);
        agent.handle_caught_up(next_clock);
        let mut ack = tally::histogram();
        let mut submitted_at = None;
        let batching = client.session().batching().clone();
        while !agent.is_finished() {
            if client.session().is_ready(DOCUMENT)
                && let Some(batch) =
                    agent.poll_batch(batching.operations_max, batching.bytes_max)?
            {
                let submitted = client.session().submit_batch(DOCUMENT, batch);
                submitted.map_err(|error| TraceError::Relay {
                    who: who.clone(),
                    what: error.to_string(),
                })?;
                // One that is submitted again has been waited for all the while.
                submitted_at.get_or_insert(client.now());
            }
            match self.event(&mut client, &who)? {
                Event::Remote {
                    revision,
                    origin,
                    first_clock,
                    operations,
                    ..
                } => {
                    agent.handle_remote(revision, origin, first_clock, &operations)?;
                    if origin == own {
                        self.written.fetch_add(operations.len(), Ordering::Relaxed);
                    }
                }
                Event::Acknowledged {
                    first_revision,
                    count,
                    durability,
                    ..
                } => {
                    let is_new = first_revision > agent.revision();
                    agent.handle_ack(first_revision, count)?;
                    if is_new && durability.is_some() {
                        self.written.fetch_add(count as usize, Ordering::Relaxed);
                    }
                    if let Some(at) = submitted_at.take() {
                        let micros = client.now().since(at).as_micros();
                        ack.saturating_record(u64::try_from(micros).unwrap_or(u64::MAX));
                    }
                }
                Event::Rebase { .. } => agent.handle_nack()?,
                Event::Disconnected { .. } => agent.handle_disconnected(),
                Event::Synced { next_clock, .. } => agent.handle_caught_up(next_clock),
                Event::Snapshot { .. } | Event::Reset { .. } => {
                    return Err(TraceError::Relay {
                        who,
                        what: "the history that it was away for is only there as a snapshot"
                            .to_owned(),
                    });
                }
                Event::Connected { .. }
                | Event::Stopped { .. }
                | Event::Goaway { .. }
                | Event::Violation(_)
                | Event::Error { .. }
                | Event::Opened { .. }
                | Event::Closed { .. }
                | Event::Refused { .. }
                | Event::Presence { .. }
                | Event::Warning { .. }
                | Event::Resync { .. }
                | Event::SnapshotAccepted { .. }
                | Event::SnapshotRefused { .. }
                | Event::Directory { .. }
                | Event::DirectoryUpdate { .. }
                | Event::Deleted { .. }
                | Event::History { .. }
                | Event::VersionSaved { .. }
                | Event::Versions { .. }
                | Event::VersionDeleted { .. }
                | Event::RequestRefused { .. } => {}
            }
        }
        client.stop();
        self.compare(&who, &agent.text().to_string())?;
        Ok(Written {
            transformed: agent.transformed_transactions(),
            ack,
        })
    }

    /// Reads until the last transaction; `is_late`: from when half of them are there.
    fn read(&self, number: usize, is_late: bool) -> Result<(), TraceError> {
        let who = format!("reader {number}");
        let transactions = self.history.transactions();
        while is_late && self.written.load(Ordering::Relaxed) < transactions / 2 {
            if self.has_failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(1));
        }
        let mut client = self.client(&who)?;
        let mut text = TextDocument::open(client.session(), &self.document, true);
        while text.revision() < transactions as u64 {
            let event = self.event(&mut client, &who)?;
            text.handle_event(&event, client.session())
                .map_err(|error| TraceError::Relay {
                    who: who.clone(),
                    what: error.to_string(),
                })?;
        }
        client.stop();
        let end = text.text().map(ToString::to_string).unwrap_or_default();
        self.compare(&who, &end)
    }

    fn compare(&self, who: &str, text: &str) -> Result<(), TraceError> {
        if text == self.history.end {
            return Ok(());
        }
        Err(TraceError::Text {
            who: who.to_owned(),
            bytes: text.len(),
            expected: self.history.end.len(),
        })
    }
}

impl Replayed {
    fn per_second(&self) -> f64 {
        (self.transactions * self.documents) as f64 / self.seconds
    }

    pub fn to_json(&self) -> Value {
        let quantile = |quantile| self.ack.value_at_quantile(quantile);
        json!({
            "documents": self.documents,
            "agents": self.agents,
            "readers": self.readers,
            "transactions": self.transactions,
            "seconds": self.seconds,
            "transactions_per_second": self.per_second(),
            "transformed_transactions": self.transformed,
            "batches": self.batches,
            "ack_us": {
                "p50": quantile(0.5), "p90": quantile(0.9), "p99": quantile(0.99),
                "p99.9": quantile(0.999), "max": quantile(1.0),
            },
        })
    }
}

impl fmt::Display for Replayed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |quantile| self.ack.value_at_quantile(quantile) as f64 / 1000.0;
        writeln!(
            out,
            "{} documents, each with {} agents and {} readers: {} transactions each in {:.2} s, {:.0} per second",
            self.documents,
            self.agents,
            self.readers,
            self.transactions,
            self.seconds,
            self.per_second(),
        )?;
        writeln!(
            out,
            "{} transactions were transformed by the relay; {} batches, ack p50 {:.3} ms, p99 {:.3} ms, max {:.3} ms",
            self.transformed,
            self.batches,
            ms(0.5),
            ms(0.99),
            ms(1.0),
        )?;
        write!(out, "everybody ends with the history's text")
    }
}

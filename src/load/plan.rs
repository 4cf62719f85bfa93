//! What a run does, worked out before anything starts: who is there, and who sends what when.
//!
//! Operations have their times on a fixed grid: the k-th of all is due `k / operations_per_second` after the start,
//! and the writers take turns. Nothing that happens moves the grid, so a relay that is slow is seen to be slow.

use std::time::Duration;

use crate::client::{Batching, Endpoint, Reconnect, Settings, Transport};

use super::{Arguments, Kind};

/// The kernel's receive buffer of clients that do not read: small, so that they fall behind soon.
const SLOW_RECEIVE_BUFFER_BYTES: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Plan {
    pub endpoint: Endpoint,
    pub kind: Kind,
    /// The ids of the documents.
    pub documents: Vec<String>,
    pub clients: Vec<ClientPlan>,
    pub writers: usize,
    pub payload_bytes: usize,
    /// Between two operations of all writers together. `None`: nothing is written.
    pub interval: Option<Duration>,
    /// Between two presence updates of one client.
    pub presence_period: Option<Duration>,
    pub slow_bytes_per_second: f64,
    pub warm_up: Duration,
    pub duration: Duration,
    pub drain: Duration,
    pub reconnect: bool,
    pub verify: bool,
    pub seed: u64,
    pub token: String,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ClientPlan {
    /// Its place among all clients.
    pub index: usize,
    /// Index into `Plan::documents`.
    pub document: usize,
    /// Its place among the writers.
    pub writer: Option<usize>,
    pub pace: Pace,
}

/// How a client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pace {
    Healthy,
    /// So many bytes a second and no more.
    Slow,
    /// Not at all, from the start of the operations to their end.
    Stalled,
}

impl Pace {
    pub const ALL: [Self; 3] = [Self::Healthy, Self::Slow, Self::Stalled];

    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Slow => "slow",
            Self::Stalled => "stalled",
        }
    }

    pub fn receive_buffer_bytes(self) -> Option<usize> {
        match self {
            Self::Healthy => None,
            Self::Slow | Self::Stalled => Some(SLOW_RECEIVE_BUFFER_BYTES),
        }
    }
}

/// A combination of arguments that makes no run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("--documents and --clients must be at least 1")]
    Nobody,
    #[error("--writers {writers} are more than --clients {clients}")]
    Writers { writers: usize, clients: usize },
    #[error("--payload-bytes must be at least {min} to carry what is measured")]
    Payload { min: usize },
    #[error("{wanted} clients are to be slow or stalled, but only {readers} do not write")]
    Readers { wanted: usize, readers: usize },
    #[error("{argument} must be a number from 0 up, and for a share at most 100")]
    Number { argument: &'static str },
    #[error("a ws:// URL with a path names one document; leave the path away")]
    Path,
}

impl Plan {
    /// `prefix`: what the documents' names begin with.
    pub fn new(
        arguments: &Arguments,
        prefix: String,
        payload_bytes_min: usize,
    ) -> Result<Self, PlanError> {
        check_numbers(arguments)?;
        let (documents, per_document) = (arguments.documents, arguments.clients);
        if documents == 0 || per_document == 0 {
            return Err(PlanError::Nobody);
        }
        if arguments.writers > per_document {
            return Err(PlanError::Writers {
                writers: arguments.writers,
                clients: per_document,
            });
        }
        if arguments.payload_bytes < payload_bytes_min {
            return Err(PlanError::Payload {
                min: payload_bytes_min,
            });
        }
        if let Transport::WebSocket { path } = &arguments.url.transport
            && path != "/ws"
        {
            return Err(PlanError::Path);
        }
        let writers = documents * arguments.writers;
        let rate = if writers > 0 {
            arguments.operations_per_second
        } else {
            0.0
        };
        Ok(Self {
            endpoint: arguments.url.clone(),
            kind: arguments.kind,
            documents: (0..documents)
                .map(|number| format!("{prefix}-{number}"))
                .collect(),
            clients: clients(arguments)?,
            writers,
            payload_bytes: arguments.payload_bytes,
            interval: period(rate),
            presence_period: period(arguments.presence_rate),
            slow_bytes_per_second: arguments.slow_bytes_per_second,
            warm_up: Duration::from_secs_f64(arguments.warm_up),
            duration: Duration::from_secs_f64(arguments.duration),
            drain: Duration::from_secs_f64(arguments.drain),
            reconnect: arguments.reconnect,
            verify: arguments.verify,
            seed: arguments.seed,
            token: arguments.token.clone(),
        })
    }

    /// Where a client connects: over WebSocket the URL names its document, so that the relay can put the connection
    /// where the document is.
    pub fn endpoint_of(&self, client: &ClientPlan) -> Endpoint {
        let transport = match &self.endpoint.transport {
            Transport::Tcp => Transport::Tcp,
            Transport::WebSocket { .. } => Transport::WebSocket {
                path: Endpoint::document_path(&self.documents[client.document]),
            },
        };
        Endpoint {
            transport,
            authority: self.endpoint.authority.clone(),
        }
    }

    /// A client's session: batches are sent as soon as they may be, and it comes back soon.
    pub fn settings_of(&self, client: &ClientPlan) -> Settings {
        Settings {
            client_uuid: self.uuid_of(client.index),
            token: self.token.clone(),
            user_id: format!("load-{}", client.index),
            batching: Batching {
                pause: Duration::ZERO,
                ..Batching::default()
            },
            reconnect: Reconnect {
                delay: Duration::from_millis(200),
                delay_max: Duration::from_secs(2),
                ..Reconnect::default()
            },
            seed: self.seed ^ client.index as u64,
            ..Settings::default()
        }
    }

    /// Different for every client, every seed and every document prefix.
    pub fn uuid_of(&self, client: usize) -> [u8; 16] {
        let name = format!("{}/{}/{client}", self.documents[0], self.seed);
        let hash = blake3::hash(name.as_bytes());
        let (uuid, _) = hash.as_bytes().split_first_chunk().expect("32 bytes");
        *uuid
    }

    /// When a writer's operation with this number is due, after the start.
    pub fn due(&self, writer: usize, sequence: u64) -> Option<Duration> {
        let number = sequence * self.writers as u64 + writer as u64;
        let due = self.interval?.as_secs_f64() * number as f64;
        (due < (self.warm_up + self.duration).as_secs_f64()).then(|| Duration::from_secs_f64(due))
    }
}

fn check_numbers(arguments: &Arguments) -> Result<(), PlanError> {
    let numbers = [
        (
            "--operations-per-second",
            arguments.operations_per_second,
            f64::MAX,
        ),
        ("--presence-rate", arguments.presence_rate, f64::MAX),
        ("--slow-percent", arguments.slow_percent, 100.0),
        ("--stalled-percent", arguments.stalled_percent, 100.0),
        (
            "--slow-bytes-per-second",
            arguments.slow_bytes_per_second,
            f64::MAX,
        ),
        ("--warm-up", arguments.warm_up, 1e9),
        ("--duration", arguments.duration, 1e9),
        ("--drain", arguments.drain, 1e9),
    ];
    match numbers
        .into_iter()
        .find(|(_, number, max)| !(0.0..=*max).contains(number))
    {
        Some((argument, ..)) => Err(PlanError::Number { argument }),
        None => Ok(()),
    }
}

fn period(rate: f64) -> Option<Duration> {
    (rate > 0.0).then(|| Duration::from_secs_f64(1.0 / rate))
}

/// In every document the writers come first; the slow and the stalled are the last readers of the documents, in
/// turns.
fn clients(arguments: &Arguments) -> Result<Vec<ClientPlan>, PlanError> {
    let (documents, per_document) = (arguments.documents, arguments.clients);
    let total = documents * per_document;
    let share = |percent: f64| (total as f64 * percent / 100.0).round() as usize;
    let (slow, stalled) = (
        share(arguments.slow_percent),
        share(arguments.stalled_percent),
    );
    let readers = total - documents * arguments.writers;
    if slow + stalled > readers {
        return Err(PlanError::Readers {
            wanted: slow + stalled,
            readers,
        });
    }
    let mut clients = Vec::with_capacity(total);
    for place in 0..per_document {
        for document in 0..documents {
            let index = clients.len();
            let from_end = total - 1 - index;
            clients.push(ClientPlan {
                index,
                document,
                writer: (place < arguments.writers).then_some(place * documents + document),
                pace: if from_end < stalled {
                    Pace::Stalled
                } else if from_end < stalled + slow {
                    Pace::Slow
                } else {
                    Pace::Healthy
                },
            });
        }
    }
    Ok(clients)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn plan(line: &str) -> Result<Plan, PlanError> {
        let words = ["load", "--url", "tcp://localhost:1"].into_iter();
        let line = Line::parse_from(words.chain(line.split_whitespace()));
        Plan::new(&line.arguments, "plan".to_owned(), 20)
    }

    #[test]
    fn writers_take_turns_on_a_fixed_grid() {
        let plan = plan("--documents 2 --clients 3 --writers 2 --operations-per-second 8 --duration 1 --warm-up 0")
            .expect("a plan");
        let mut dues: Vec<(u128, usize)> = Vec::new();
        for writer in 0..plan.writers {
            let due = (0..).map_while(|sequence| plan.due(writer, sequence));
            dues.extend(due.map(|due| (due.as_millis(), writer)));
        }
        dues.sort_unstable();
        assert_eq!(
            dues,
            [
                (0, 0),
                (125, 1),
                (250, 2),
                (375, 3),
                (500, 0),
                (625, 1),
                (750, 2),
                (875, 3)
            ]
        );
    }

    #[test]
    fn those_who_do_not_read_are_the_last_who_do_not_write() {
        let plan =
            plan("--documents 2 --clients 5 --writers 1 --slow-percent 20 --stalled-percent 10")
                .expect("a plan");
        let of = |pace| {
            let clients = plan
                .clients
                .iter()
                .filter(move |client| client.pace == pace);
            clients.map(|client| client.index).collect::<Vec<_>>()
        };
        assert_eq!(of(Pace::Slow), [7, 8]);
        assert_eq!(of(Pace::Stalled), [9]);
        let writers = plan.clients.iter().filter_map(|client| client.writer);
        assert_eq!(writers.collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn arguments_that_contradict_each_other_are_refused() {
        assert_eq!(
            plan("--clients 2 --writers 3").err(),
            Some(PlanError::Writers {
                writers: 3,
                clients: 2
            })
        );
        assert_eq!(plan("--documents 0").err(), Some(PlanError::Nobody));
        assert_eq!(
            plan("--payload-bytes 19").err(),
            Some(PlanError::Payload { min: 20 })
        );
        assert_eq!(
            plan("--clients 4 --writers 2 --slow-percent 75").err(),
            Some(PlanError::Readers {
                wanted: 3,
                readers: 2
            })
        );
        assert_eq!(
            plan("--duration=-1").err(),
            Some(PlanError::Number {
                argument: "--duration"
            })
        );
    }
}

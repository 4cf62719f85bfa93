//! What a run does, worked out before anything starts: who is there, and who sends what when.
//!
//! Operations have their times on a fixed grid: the k-th of all is due `k / operations_per_second` after the start,
//! and the writers take turns. Nothing that happens moves the grid, so a relay that is slow is seen to be slow.

use std::time::Duration;

use crate::client::{Batching, Endpoint, Reconnect, Settings, Transport};

use super::scenario::Scenario;
use super::{Arguments, Kind};

/// The kernel's receive buffer of clients that do not read: small, so that they fall behind soon.
const SLOW_RECEIVE_BUFFER_BYTES: usize = 16 * 1024;
/// Times are counted in microseconds, or less for many together.
const RATE_MAX: f64 = 1e9;
/// Of each client: more is no cursor.
const PRESENCE_RATE_MAX: f64 = 10_000.0;
const SLICES_MAX: u32 = 100;
const SLICE_MIN: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Plan {
    /// Its name, if it has one.
    pub scenario: Option<String>,
    pub endpoint: Endpoint,
    pub kind: Kind,
    /// The ids of the documents.
    pub documents: Vec<String>,
    pub clients: Vec<ClientPlan>,
    pub writers: usize,
    pub payload_bytes: usize,
    /// Between two operations of all writers together. `None`: nothing is written.
    pub interval: Option<Duration>,
    /// Operations of one writer that are due at once.
    pub burst: u64,
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
    /// It joins when the measured time begins.
    pub joins_late: bool,
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
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    #[error("--documents and --clients must be at least 1")]
    Nobody,
    #[error("--writers {writers} are more than --clients {clients}")]
    Writers { writers: usize, clients: usize },
    #[error("--payload-bytes must be at least {min} to carry what is measured")]
    Payload { min: usize },
    #[error("--burst must be at least 1")]
    Burst,
    #[error("{wanted} clients are to be slow or stalled or late, but only {readers} do not write")]
    Readers { wanted: usize, readers: usize },
    #[error("{argument} must be a number from 0 to {max}")]
    Number { argument: &'static str, max: f64 },
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
        if arguments.burst == 0 {
            return Err(PlanError::Burst);
        }
        let writers = active_documents(arguments) * arguments.writers;
        let rate = if writers > 0 {
            arguments.operations_per_second
        } else {
            0.0
        };
        Ok(Self {
            scenario: arguments.scenario.map(Scenario::name),
            endpoint: arguments.url.clone(),
            kind: arguments.kind,
            documents: (0..documents)
                .map(|number| format!("{prefix}-{number}"))
                .collect(),
            clients: clients(arguments)?,
            writers,
            payload_bytes: arguments.payload_bytes,
            interval: period(rate),
            burst: arguments.burst,
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
            presence_period_min: Duration::ZERO,
            seed: self.seed ^ client.index as u64,
            ..Settings::default()
        }
    }

    /// The parts of the measured time that are looked at on their own.
    pub fn slice(&self) -> Duration {
        (self.duration / SLICES_MAX).max(SLICE_MIN)
    }

    /// Different for every client, every seed and every document prefix.
    pub fn uuid_of(&self, client: usize) -> [u8; 16] {
        let name = format!("{}/{}/{client}", self.documents[0], self.seed);
        let hash = blake3::hash(name.as_bytes());
        let (uuid, _) = hash.as_bytes().split_first_chunk().expect("32 bytes");
        *uuid
    }

    /// When a writer's operation with this number is due, after the start. The writers take turns, a burst each.
    pub fn due(&self, writer: usize, sequence: u64) -> Option<Duration> {
        let burst = sequence / self.burst * self.writers as u64 + writer as u64;
        let due = self.interval?.as_secs_f64() * (burst * self.burst) as f64;
        (due < (self.warm_up + self.duration).as_secs_f64()).then(|| Duration::from_secs_f64(due))
    }
}

fn check_numbers(arguments: &Arguments) -> Result<(), PlanError> {
    let numbers = [
        (
            "--operations-per-second",
            arguments.operations_per_second,
            RATE_MAX,
        ),
        (
            "--presence-rate",
            arguments.presence_rate,
            PRESENCE_RATE_MAX,
        ),
        ("--active-percent", arguments.active_percent, 100.0),
        ("--joiners-percent", arguments.joiners_percent, 100.0),
        ("--slow-percent", arguments.slow_percent, 100.0),
        ("--stalled-percent", arguments.stalled_percent, 100.0),
        (
            "--slow-bytes-per-second",
            arguments.slow_bytes_per_second,
            RATE_MAX,
        ),
        ("--warm-up", arguments.warm_up, 1e9),
        ("--duration", arguments.duration, 1e9),
        ("--drain", arguments.drain, 1e9),
    ];
    match numbers
        .into_iter()
        .find(|(_, number, max)| !(0.0..=*max).contains(number))
    {
        Some((argument, _, max)) => Err(PlanError::Number { argument, max }),
        None => Ok(()),
    }
}

fn period(rate: f64) -> Option<Duration> {
    (rate > 0.0).then(|| Duration::from_secs_f64(1.0 / rate))
}

/// The first ones are written in.
fn active_documents(arguments: &Arguments) -> usize {
    (arguments.documents as f64 * arguments.active_percent / 100.0).ceil() as usize
}

/// In every document the writers come first; the late, the slow and the stalled are the last readers of the
/// documents, in turns.
fn clients(arguments: &Arguments) -> Result<Vec<ClientPlan>, PlanError> {
    let (documents, per_document) = (arguments.documents, arguments.clients);
    let total = documents * per_document;
    let active = active_documents(arguments);
    let mut clients: Vec<ClientPlan> = (0..total)
        .map(|index| {
            let (place, document) = (index / documents, index % documents);
            let is_writer = place < arguments.writers && document < active;
            ClientPlan {
                index,
                document,
                writer: is_writer.then_some(place * active + document),
                pace: Pace::Healthy,
                joins_late: false,
            }
        })
        .collect();
    let share = |percent: f64| (total as f64 * percent / 100.0).round() as usize;
    let (slow, stalled, late) = (
        share(arguments.slow_percent),
        share(arguments.stalled_percent),
        share(arguments.joiners_percent),
    );
    let readers = total - active * arguments.writers;
    if slow + stalled + late > readers {
        return Err(PlanError::Readers {
            wanted: slow + stalled + late,
            readers,
        });
    }
    let mut readers = clients
        .iter_mut()
        .rev()
        .filter(|client| client.writer.is_none());
    let mut take = |count: usize| readers.by_ref().take(count).collect::<Vec<_>>();
    take(stalled)
        .into_iter()
        .for_each(|client| client.pace = Pace::Stalled);
    take(slow)
        .into_iter()
        .for_each(|client| client.pace = Pace::Slow);
    take(late)
        .into_iter()
        .for_each(|client| client.joins_late = true);
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
    fn bursts_are_due_at_once_and_keep_the_rate() {
        let plan = plan(
            "--clients 2 --writers 2 --operations-per-second 8 --burst 2 --duration 1 --warm-up 0",
        )
        .expect("a plan");
        let of = |writer| {
            let due = (0..).map_while(|sequence| plan.due(writer, sequence));
            due.map(|due| due.as_millis()).collect::<Vec<_>>()
        };
        assert_eq!(
            (of(0), of(1)),
            (vec![0, 0, 500, 500], vec![250, 250, 750, 750])
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
                argument: "--duration",
                max: 1e9
            })
        );
    }
}

//! `corelay load`: many clients that put load on a running relay and measure what comes of it, or replay a recorded
//! editing history through it.
//!
//! The load is an open loop: operations are due at times that were fixed before the run, and latency is measured
//! from then, whatever has held them up since. The clients are real ones, [`crate::client::Session`] each, on
//! non-blocking sockets, many to a thread.

mod audit;
pub mod compare;
mod html;
mod member;
mod payload;
mod plan;
mod plot;
mod process;
mod replay;
mod report;
mod run;
pub mod scenario;
pub mod scrape;
mod socket;
mod stage;
mod tally;
mod timeline;
mod timers;
pub mod trace;
mod verify;
mod worker;

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::client::Endpoint;
use crate::config::time;

use scenario::Scenario;

#[derive(Debug, Clone, clap::Args)]
#[command(args_override_self = true)]
pub struct Arguments {
    /// The relay: ws://HOST:PORT or tcp://HOST:PORT. TLS is not spoken: behind a proxy, its own address.
    #[arg(long)]
    pub url: Endpoint,
    /// A credential, where the relay asks for one.
    #[arg(long, default_value = "")]
    pub token: String,
    /// A run with a name: it sets the arguments below, and what is given besides wins.
    #[arg(long, value_enum, value_name = "NAME", conflicts_with = "trace")]
    pub scenario: Option<Scenario>,
    /// How many documents.
    #[arg(long, default_value_t = 1)]
    pub documents: usize,
    /// Documents are called PREFIX-0, PREFIX-1, …; by default a prefix that was not used before.
    #[arg(long, value_name = "PREFIX")]
    pub document_prefix: Option<String>,
    #[arg(long, value_enum, default_value_t = Kind::Log)]
    pub kind: Kind,
    /// Clients of each document: of all there are as many times --documents.
    #[arg(long, default_value_t = 10)]
    pub clients: usize,
    /// How many of each document's clients write.
    #[arg(long, default_value_t = 1)]
    pub writers: usize,
    /// The share of the documents that are written in, in percent.
    #[arg(long, default_value_t = 100.0, value_name = "PERCENT")]
    pub active_percent: f64,
    /// Operations per second of all writers together.
    #[arg(long, default_value_t = 100.0, value_name = "RATE")]
    pub operations_per_second: f64,
    /// So many operations of a writer are due at once.
    #[arg(long, default_value_t = 1, value_name = "OPERATIONS")]
    pub burst: u64,
    /// What an operation carries, in bytes: at least 20, for kind text at least 40.
    #[arg(long, default_value_t = 64)]
    pub payload_bytes: usize,
    /// Presence updates per second of each healthy client, at most 10000.
    #[arg(long, default_value_t = 0.0, value_name = "RATE")]
    pub presence_rate: f64,
    /// The share of all clients that read slowly, in percent; they are taken from those that do not write.
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    pub slow_percent: f64,
    /// How much a slow client reads.
    #[arg(long, default_value_t = 2048.0, value_name = "BYTES")]
    pub slow_bytes_per_second: f64,
    /// The share of all clients that do not read while operations are written, in percent; they are taken from those
    /// that do not write.
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    pub stalled_percent: f64,
    /// The share of all clients that join when the measured time begins, all at once, in percent; they are taken from
    /// those that do not write.
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    pub joiners_percent: f64,
    /// How long it is measured: seconds, as 10 or 0.5, or with a unit (ms, s, min, h), as 2min.
    #[arg(long, default_value_t = 10.0, value_name = "TIME", value_parser = seconds)]
    pub duration: f64,
    /// How long the same load runs before that.
    #[arg(long, default_value_t = 2.0, value_name = "TIME", value_parser = seconds)]
    pub warm_up: f64,
    /// How long everything may take to arrive after the last operation.
    #[arg(long, default_value_t = 10.0, value_name = "TIME", value_parser = seconds)]
    pub drain: f64,
    /// Cores to run on, one thread each, as 1 or 1,3. By default one thread, wherever it is put.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub cores: Vec<usize>,
    /// Write the figures to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a page with plots to this file: percentiles, and throughput and latency over time.
    #[arg(long, value_name = "FILE", conflicts_with = "trace")]
    pub html: Option<PathBuf>,
    /// Check the relay's promises S1 to S6 from what the clients see, and end with 1 if one is broken.
    #[arg(long)]
    pub verify: bool,
    /// Clients that lose their connection come back and resume, as often as it takes.
    #[arg(long)]
    pub reconnect: bool,
    /// The relay's process on this machine, to report its processor time and memory.
    #[arg(long)]
    pub pid: Option<u32>,
    /// The relay's admin address (listen.admin): what it counts meanwhile is reported, too, such as the parts of the way
    /// to an acknowledgement.
    #[arg(long, value_name = "HOST:PORT")]
    pub metrics: Option<String>,
    /// Replay the recorded editing history in this file instead, as fast as it goes: one client for each of its
    /// authors. Of the arguments above, only the relay, the documents and the files count.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// With --trace: so many clients read each document from the start, and as many join halfway.
    #[arg(long, default_value_t = 1, requires = "trace")]
    pub readers: usize,
    /// What everything random follows from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// A time as configuration has it, or seconds, which may have a fraction and no unit. Whether so many make sense is the
/// plan's to say.
fn seconds(text: &str) -> Result<f64, String> {
    if let Ok(time) = time(text) {
        return Ok(time.as_secs_f64());
    }
    let number = text.trim().trim_end_matches('s').trim_end();
    number
        .parse()
        .map_err(|_| "give a time as in 10s, \"2 min\", 500ms, 1h, or seconds as in 0.5".to_owned())
}

/// What the documents are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Opaque operations.
    Log,
    /// Plain text; every writer inserts at random places.
    Text,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Text => "text",
        }
    }
}

/// Whoever has read enough of it may have closed it; otherwise it has to be there.
fn print(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Runs what the arguments say. The exit code is 0 if it could be done, somebody was let in and, with `--verify`, no promise
/// was broken.
pub fn run(arguments: Arguments) -> ExitCode {
    match run::run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("corelay load: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn times_are_written_as_in_the_configuration_or_as_seconds() {
        for (text, expected) in [
            ("10", 10.0),
            ("10s", 10.0),
            ("0.5", 0.5),
            ("0.5 s", 0.5),
            ("500ms", 0.5),
            ("2 min", 120.0),
            ("1h", 3600.0),
        ] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for text in ["", "2m", "soon"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}

//! What must be true of the machine before the relay starts, in plain words.
//!
//! `serve` runs it first and `doctor` prints it. Each check looks at one thing and answers with one [`Check`]; what
//! it saw and what that means are kept apart, so that the meaning can be tested with any machine. Limits that the
//! process may raise for itself are raised. Nothing is left behind: no socket, no file, no directory.
//!
//! A port that is free here can be taken before the listeners are made, and a store can be open elsewhere: the
//! listeners and the store say so themselves.

mod limits;
mod machine;
mod places;
mod tokens;

use std::fmt;

use crate::config::{Budget, Config, Cores};

/// Everything that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at, in a word or two.
    pub name: String,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be; in a few words.
    Good(String),
    /// The relay runs, with less than it is configured for.
    Warning(Finding),
    /// The relay cannot run.
    Fatal(Finding),
}

/// Something that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub what: String,
    pub why: String,
    /// What to do about it.
    pub remedy: String,
}

/// Looks at everything that this configuration needs, and raises the process's limits as far as it may.
pub fn run(config: &Config) -> Report {
    let shards = shard_count(&config.shards.cores);
    let budget = Budget::new(config, shards);
    let mut checks = vec![
        machine::kernel(),
        machine::io_uring(),
        machine::cores(&config.shards.cores),
        machine::memory(budget.bytes()),
        limits::locked_memory(shards),
        limits::open_files(shards, config.connection.count_max),
        places::directory(&config.store.path),
    ];
    checks.extend(tokens::keys(&config.auth));
    let listeners = [
        ("listen.websocket", config.listen.websocket),
        ("listen.tcp", config.listen.tcp),
        ("listen.admin", config.listen.admin),
    ];
    for (key, address) in listeners {
        checks.extend(address.map(|address| places::address(key, address)));
    }
    Report { checks }
}

/// How many shards there will be; one where the configured cores are not there, which `run` reports.
pub fn shard_count(cores: &Cores) -> usize {
    cores
        .choose(&machine::allowed_cores())
        .map_or(1, |chosen| chosen.len())
}

pub(super) use tokens::source as token_source;

/// The cores that this process may run on, in rising order.
pub use machine::allowed_cores;

impl Report {
    pub fn is_fatal(&self) -> bool {
        self.checks
            .iter()
            .any(|check| matches!(check.outcome, Outcome::Fatal(_)))
    }
}

impl Check {
    fn good(name: impl Into<String>, seen: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            outcome: Outcome::Good(seen.into()),
        }
    }

    fn warning(name: impl Into<String>, finding: Finding) -> Self {
        Self {
            name: name.into(),
            outcome: Outcome::Warning(finding),
        }
    }

    fn fatal(name: impl Into<String>, finding: Finding) -> Self {
        Self {
            name: name.into(),
            outcome: Outcome::Fatal(finding),
        }
    }

    /// Writes it to the log.
    pub fn log(&self) {
        let name = &self.name;
        match &self.outcome {
            Outcome::Good(seen) => tracing::debug!("{name}: {seen}"),
            Outcome::Warning(finding) => tracing::warn!("{name}: {finding}"),
            Outcome::Fatal(finding) => tracing::error!("{name}: {finding}"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}). {}", self.what, self.why, self.remedy)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Check { name, outcome } in &self.checks {
            let (word, finding) = match outcome {
                Outcome::Good(seen) => {
                    writeln!(f, "ok       {name}: {seen}")?;
                    continue;
                }
                Outcome::Warning(finding) => ("warning", finding),
                Outcome::Fatal(finding) => ("FATAL", finding),
            };
            writeln!(f, "{word:<9}{name}: {}", finding.what)?;
            writeln!(f, "         why: {}", finding.why)?;
            writeln!(f, "         do:  {}", finding.remedy)?;
        }
        let (mut warnings, mut fatal) = (0, 0);
        for check in &self.checks {
            match check.outcome {
                Outcome::Good(_) => {}
                Outcome::Warning(_) => warnings += 1,
                Outcome::Fatal(_) => fatal += 1,
            }
        }
        match (fatal, warnings) {
            (0, 0) => writeln!(f, "The relay can run here."),
            (0, _) => writeln!(f, "The relay can run here, with {warnings} warning(s)."),
            (_, _) => writeln!(f, "The relay cannot run here."),
        }
    }
}

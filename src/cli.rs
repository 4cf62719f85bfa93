//! The command line: what can be asked of the binary, and the configuration that its arguments name.
//!
//! This is where the configuration file is read; `config` only sees its text.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use corelay::config::{Config, ConfigError, Draft};
use corelay::{load, store_tool, top};

/// A thread-per-core relay for real-time collaboration.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct CommandLine {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the relay until it is told to stop (SIGTERM, Ctrl-C).
    Serve(Serve),
    /// Say whether this machine can run the relay, what to do where it cannot, and what would make it faster.
    Doctor(Doctor),
    /// Ask the relay that runs here with this configuration whether it takes clients; for those who watch containers.
    Health(Sources),
    /// Put load on a running relay, or replay a recorded editing history through it.
    Load(Box<load::Arguments>),
    /// Show what a running relay does, in this terminal.
    Top(top::Arguments),
    /// Compare two runs of `load` by the reports that it wrote.
    Compare(load::compare::Arguments),
    /// Look at, check, copy and move what a relay has stored.
    Store(Store),
}

#[derive(Debug, Args)]
pub struct Store {
    #[command(flatten)]
    pub sources: Sources,
    /// The data directory, in place of the configuration's store.path.
    #[arg(long, global = true, value_name = "DIR")]
    pub path: Option<PathBuf>,
    #[command(subcommand)]
    pub action: store_tool::Action,
}

#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    pub sources: Sources,
    /// Print the effective configuration and its memory budget, and exit.
    #[arg(long)]
    pub check: bool,
    /// Print the effective configuration, each key with its meaning, unit and range, and exit.
    #[arg(long, conflicts_with = "check")]
    pub explain: bool,
}

#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    pub sources: Sources,
    /// Print JSON: for each check its name, its outcome (ok, not_visible, advice, wrong) and what there is to say.
    #[arg(long)]
    pub json: bool,
}

/// Where the configuration comes from.
#[derive(Debug, Args)]
pub struct Sources {
    /// A TOML file. Keys that it leaves out have their defaults.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One key, as in connection.ping_period="30 s"; it wins over the file. May be repeated.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl Sources {
    pub fn config(&self) -> Result<Config, SourceError> {
        self.draft()?.finish().map_err(SourceError::Wrong)
    }

    /// The defaults, the file over them, the arguments over that.
    pub fn draft(&self) -> Result<Draft, SourceError> {
        let mut draft = Draft::default();
        if let Some(path) = &self.config {
            let text = std::fs::read_to_string(path).map_err(|error| SourceError::Unreadable {
                path: path.clone(),
                error,
            })?;
            draft.file(&path.display().to_string(), &text);
        }
        for argument in &self.set {
            draft.set(argument);
        }
        Ok(draft)
    }
}

/// There is no configuration to run with. Its message is for whoever started the binary.
#[derive(Debug)]
pub enum SourceError {
    Unreadable {
        path: PathBuf,
        error: std::io::Error,
    },
    Wrong(Vec<ConfigError>),
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, error } => {
                write!(
                    f,
                    "the configuration file {} cannot be read: {error}",
                    path.display()
                )
            }
            Self::Wrong(errors) => {
                let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
        }
    }
}

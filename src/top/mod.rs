//! `corelay top`: what a relay does, in a terminal; the same figures as on the page at its admin address.

mod figure;
mod plain;
mod screen;
mod tables;
mod terminal;
mod view;
mod watch;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::config::time;
use crate::overview::Change;

/// What was asked cannot be done.
const USAGE_ERROR: u8 = 2;
const INTERVAL_MIN: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// The relay's admin address (listen.admin).
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7402")]
    pub admin: String,
    /// How often it is asked: a time with its unit, 100ms at the least.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub interval: Duration,
    /// Print what it did in one interval, in plain text, and exit.
    #[arg(long)]
    pub once: bool,
    /// The same in JSON: the relay's newest overview, and what changed since the one before.
    #[arg(long)]
    pub json: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = time(text)?;
    match interval >= INTERVAL_MIN {
        true => Ok(interval),
        false => Err("give at least 100ms".to_owned()),
    }
}

/// Runs until it is ended. Exit status 1: the relay does not answer (`--once`, `--json`), or the terminal is gone.
pub fn run(arguments: &Arguments) -> ExitCode {
    if arguments.once || arguments.json {
        return once(arguments);
    }
    if !std::io::stdout().is_terminal() {
        eprintln!("this is no terminal; with --once, one reading is printed as plain text");
        return ExitCode::from(USAGE_ERROR);
    }
    match terminal::run(arguments) {
        Ok(terminal::End::Wanted) => ExitCode::SUCCESS,
        Ok(terminal::End::Signal(signal)) => ExitCode::from(signal),
        Err(error) => {
            eprintln!("the terminal cannot be used: {error}");
            ExitCode::FAILURE
        }
    }
}

fn once(arguments: &Arguments) -> ExitCode {
    let (older, newer) = match watch::two(&arguments.admin, arguments.interval) {
        Ok(both) => both,
        Err(error) => {
            eprintln!("{}: {error}", arguments.admin);
            return ExitCode::FAILURE;
        }
    };
    let change = Change::between(&older, &newer);
    let text = match arguments.json {
        true => serde_json::json!({"overview": newer, "change": change}).to_string() + "\n",
        false => plain::text(&newer, change.as_ref()),
    };
    // Whoever reads it may have gone, as `head` does.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
    ExitCode::SUCCESS
}

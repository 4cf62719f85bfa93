//! The `corelay` binary: reads the command line, sets up the log, and hands over.

mod allocator;
mod cli;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use corelay::config::{Budget, Config, Log};
use corelay::server::{self, log, preflight};
use corelay::{load, store_tool, top};

use cli::{Command, CommandLine, Doctor, Serve, SourceError};

/// What was asked cannot be done; usage and configuration errors end with 2, as clap's do.
const USAGE_ERROR: u8 = 2;

fn main() -> ExitCode {
    let words = load::scenario::spelled_out(std::env::args_os());
    match CommandLine::parse_from(words).command {
        Command::Serve(serve) => serve
            .sources
            .config()
            .map_or_else(refuse, |config| run(serve, config)),
        Command::Doctor(arguments) => arguments
            .sources
            .config()
            .map_or_else(refuse, |config| doctor(&arguments, &config)),
        Command::Health(sources) => sources
            .config()
            .map_or_else(refuse, |config| health(&config)),
        Command::Load(arguments) => {
            let _last_lines = log::start(&Log::default());
            // What it waits for would seem to be the relay's time.
            allocator::set_up(false);
            load::run(*arguments)
        }
        Command::Top(arguments) => top::run(&arguments),
        Command::Compare(arguments) => load::compare::run(&arguments),
        Command::Store(store) => store.sources.config().map_or_else(refuse, |config| {
            store_tool::run(store.action, store.path, &config)
        }),
    }
}

fn refuse(error: SourceError) -> ExitCode {
    eprintln!("{error}");
    ExitCode::from(USAGE_ERROR)
}

fn run(serve: Serve, config: Config) -> ExitCode {
    if serve.explain {
        return print(&config.to_commented_toml());
    }
    if serve.check {
        if let Err(error) = server::check(&config) {
            eprintln!("{error}");
            return ExitCode::from(USAGE_ERROR);
        }
        let budget = Budget::new(&config, preflight::shard_count(&config.shards.cores));
        let budget = budget.to_string().replace('\n', "\n# ");
        return print(&format!("{}# {}\n", config.to_toml(), budget.trim_end()));
    }
    let _last_lines = log::start(&config.log);
    allocator::set_up(config.memory.huge_pages);
    let report = preflight::requirements(&config);
    for check in &report.checks {
        check.log();
    }
    if report.is_wrong() {
        return match server::check(&config) {
            Ok(()) => ExitCode::FAILURE,
            Err(_reported) => ExitCode::from(USAGE_ERROR),
        };
    }
    let sources = serve.sources;
    let source = Arc::new(move || sources.draft().map_err(|error| error.to_string()));
    match server::run(config, source) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn doctor(arguments: &Doctor, config: &Config) -> ExitCode {
    let report = preflight::examine(config);
    let text = match arguments.json {
        true => report.to_json() + "\n",
        false => report.to_string(),
    };
    let printed = print(&text);
    if report.is_wrong() {
        ExitCode::FAILURE
    } else {
        printed
    }
}

/// Whoever has read enough of it may have closed it; otherwise it has to be there.
fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("standard output cannot be written: {error}");
            ExitCode::FAILURE
        }
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

/// Whether a relay with this configuration serves on this machine.
fn health(config: &Config) -> ExitCode {
    let Some(address) = config.listen.admin else {
        eprintln!("listen.admin is \"off\", and nobody else says whether the relay is ready");
        return ExitCode::from(USAGE_ERROR);
    };
    match server::ask_health(address) {
        Ok(word) => print(&format!("{word}\n")),
        Err(reason) => {
            eprintln!("http://{address}: {reason}");
            ExitCode::FAILURE
        }
    }
}

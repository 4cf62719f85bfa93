//! The `corelay` binary: reads the command line, sets up the log, and hands over.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use corelay::config::{Budget, Config, Log, LogFormat};
use corelay::server::{self, preflight};
use corelay::{config, load};
use tracing_subscriber::EnvFilter;

use cli::{Command, CommandLine, Serve, SourceError};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What was asked cannot be done; usage and configuration errors end with 2, as clap's do.
const USAGE_ERROR: u8 = 2;

fn main() -> ExitCode {
    match CommandLine::parse().command {
        Command::Serve(serve) => serve
            .sources
            .config()
            .map_or_else(refuse, |config| run(&serve, config)),
        Command::Doctor(sources) => sources
            .config()
            .map_or_else(refuse, |config| doctor(&config)),
        Command::Load(arguments) => {
            start_log(&Log::default());
            load::run(arguments)
        }
    }
}

fn refuse(error: SourceError) -> ExitCode {
    eprintln!("{error}");
    ExitCode::from(USAGE_ERROR)
}

fn run(serve: &Serve, config: Config) -> ExitCode {
    if serve.explain {
        print!("{}", config.to_commented_toml());
        return ExitCode::SUCCESS;
    }
    if serve.check {
        print!("{}", config.to_toml());
        for line in budget(&config).to_string().lines() {
            println!("# {line}");
        }
        return ExitCode::SUCCESS;
    }
    start_log(&config.log);
    let report = preflight::run(&config);
    for check in &report.checks {
        check.log();
    }
    if report.is_fatal() {
        return ExitCode::FAILURE;
    }
    for line in budget(&config).to_string().lines() {
        tracing::info!("{line}");
    }
    match server::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn doctor(config: &Config) -> ExitCode {
    let report = preflight::run(config);
    print!("{report}");
    if report.is_fatal() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn budget(config: &Config) -> Budget {
    Budget::new(config, preflight::shard_count(&config.shards.cores))
}

fn start_log(log: &config::Log) {
    let log_lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&log.filter))
        .with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => log_lines.init(),
        LogFormat::Json => log_lines.json().init(),
    }
}

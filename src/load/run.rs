//! One run from its start to its report: the phases, the line of every second, the figures.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::Value;

use crate::engine::Instant;

use super::Arguments;
use super::audit::{AuditError, audit};
use super::html::{self, page};
use super::payload;
use super::plan::{Plan, PlanError};
use super::print;
use super::process::{Usage, own_cpu, raise_open_files};
use super::replay::{TraceError, replay};
use super::report::{LoadUsage, Report, ServerUsage};
use super::scrape::{Activity, Scrape};
use super::stage::{Outcome, Phase, Stage};
use super::tally::{Tally, Totals};
use super::verify::{Ledgers, Verdict};
use super::worker::Worker;

/// Between the last client's opening and the first operation.
const START_DELAY: Duration = Duration::from_millis(200);
/// How long connecting may take: so much, and so much more per client.
const OPENING_TIMEOUT: Duration = Duration::from_secs(20);
const OPENING_TIMEOUT_PER_CLIENT: Duration = Duration::from_millis(10);
const LOOK_PERIOD: Duration = Duration::from_millis(20);

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("{0} has no address")]
    Address(String),
    #[error("{remaining} of {clients} clients could not open their document: {why}")]
    Opening {
        remaining: u64,
        clients: usize,
        why: String,
    },
    #[error("none of {sent} operations was acknowledged: {why}")]
    NothingAcknowledged { sent: u64, why: String },
    #[error("--verify: nothing was written, so that nothing was checked")]
    NothingVerified,
    #[error("--metrics {address}: {source}")]
    Metrics { address: String, source: io::Error },
    #[error("process {pid}: {source}")]
    Process { pid: u32, source: io::Error },
    #[error("cannot write {path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("core {core}: {source}")]
    Core { core: usize, source: io::Error },
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Trace(#[from] TraceError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// False: a promise was broken, or somebody did not get through.
///
/// # Errors
///
/// There is nothing to report, or it is of no load: all clients were refused, or all that they wrote. What the relay has
/// in the end could not be read, or there was nothing to check.
pub(super) fn run(arguments: &Arguments) -> Result<bool, RunError> {
    let prefix = arguments.document_prefix.clone().unwrap_or_else(|| {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        format!("load-{:x}", since_epoch.unwrap_or_default().as_millis())
    });
    if let Some(path) = &arguments.trace {
        let replayed = replay(arguments, path, &prefix)?;
        print(&format!("{replayed}\n"))?;
        write(arguments.json.as_ref(), || pretty(&replayed.to_json()))?;
        return Ok(true);
    }
    let plan = Plan::new(arguments, prefix, payload::bytes_min(arguments.kind))?;
    for path in [&arguments.json, &arguments.html].into_iter().flatten() {
        check_folder(path)?;
    }
    let addresses = plan.endpoint.addresses()?;
    let address = *addresses
        .first()
        .ok_or_else(|| RunError::Address(plan.endpoint.authority.clone()))?;
    let ledgers = plan
        .verify
        .then(|| Ledgers::new(plan.kind, &plan.documents));
    let stage = Stage::new(arguments.cores.len().max(1));

    raise_open_files();
    let (outcome, usage, relay, load) = thread::scope(|scope| {
        let mut threads = Vec::new();
        for index in 0..stage.progress.len() {
            let core = arguments.cores.get(index).copied();
            let (plan, stage, ledgers) = (&plan, &stage, ledgers.as_ref());
            threads.push(scope.spawn(move || work(plan, stage, ledgers, index, core, address)));
        }
        let conducted = conduct(arguments, &plan, &stage, || {
            threads.iter().any(thread::ScopedJoinHandle::is_finished)
        });
        stage.enter(Phase::Done);
        let mut outcome = Outcome::default();
        for thread in threads {
            let worked = thread.join().expect("a thread's panic ends the process")?;
            outcome.tally.add(&worked.tally);
            outcome.written.extend(worked.written);
            outcome.unfinished.extend(worked.unfinished);
            outcome.texts.extend(worked.texts);
        }
        match conducted? {
            Conducted::Through {
                server,
                relay,
                load,
            } => Ok((outcome, server, relay, load)),
            Conducted::NotOpened { remaining } => Err(RunError::Opening {
                remaining,
                clients: plan.clients.len(),
                why: why(&outcome.tally),
            }),
        }
    })?;

    let totals = Totals::of(&stage.progress);
    // What was measured is told also where nobody can be asked any more.
    let (verdict, unread) = match &ledgers {
        Some(ledgers) if totals.sent > 0 => match audit(&plan, ledgers, &outcome) {
            Ok(()) => (Some(ledgers.verdict()), None),
            Err(error) => (None, Some(error)),
        },
        _ => (None, None),
    };
    let report = Report {
        plan: &plan,
        tally: &outcome.tally,
        server: usage,
        relay,
        load,
        unfinished: &outcome.unfinished,
        verdict,
    };
    print(&format!("{report}\n"))?;
    let figures = report.to_json();
    write(arguments.json.as_ref(), || pretty(&figures))?;
    write(arguments.html.as_ref(), || {
        page(&[html::Run {
            name: "run",
            figures: &figures,
        }])
    })?;
    if let Some(error) = unread {
        return Err(error.into());
    }
    if plan.verify && totals.sent == 0 {
        return Err(RunError::NothingVerified);
    }
    if totals.sent > 0 && totals.acknowledged == 0 {
        return Err(RunError::NothingAcknowledged {
            sent: totals.sent,
            why: why(&outcome.tally),
        });
    }
    let is_kept = report.verdict.as_ref().is_none_or(Verdict::is_empty);
    Ok(is_kept && (outcome.unfinished.is_empty() || !plan.verify))
}

/// What has gone wrong most often.
fn why(tally: &Tally) -> String {
    // Of equals the first.
    let most = tally.errors.iter().rev().max_by_key(|(_, count)| **count);
    most.map_or_else(|| "no answer".to_owned(), |(what, _)| what.clone())
}

fn pretty(figures: &Value) -> String {
    format!("{figures:#}\n")
}

/// Where a file was asked for.
fn write(path: Option<&PathBuf>, content: impl FnOnce() -> String) -> Result<(), RunError> {
    let Some(path) = path else {
        return Ok(());
    };
    fs::write(path, content()).map_err(|source| RunError::File {
        path: path.clone(),
        source,
    })
}

/// Before anything runs, what a wrong name would only say afterwards.
fn check_folder(path: &Path) -> Result<(), RunError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let refuse = |kind: io::ErrorKind| {
        Err(RunError::File {
            path: path.to_owned(),
            source: kind.into(),
        })
    };
    match (folder.is_dir(), path.is_dir()) {
        (false, _) => refuse(io::ErrorKind::NotFound),
        (true, true) => refuse(io::ErrorKind::IsADirectory),
        (true, false) => Ok(()),
    }
}

fn work(
    plan: &Plan,
    stage: &Stage,
    ledgers: Option<&Ledgers>,
    index: usize,
    core: Option<usize>,
    address: SocketAddr,
) -> Result<Outcome, RunError> {
    if let Some(core) = core {
        let mut cores = CpuSet::new();
        if core >= CpuSet::MAX_CPU {
            let source = io::Error::from(io::ErrorKind::InvalidInput);
            return Err(RunError::Core { core, source });
        }
        cores.set(core);
        sched_setaffinity(None, &cores).map_err(|error| RunError::Core {
            core,
            source: error.into(),
        })?;
    }
    let threads = stage.progress.len();
    let clients = plan.clients.iter().copied();
    let own = clients.filter(|client| client.index % threads == index);
    let worker = Worker::new(plan, stage, ledgers, index, address, own)?;
    Ok(worker.run()?)
}

enum Conducted {
    Through {
        server: Option<ServerUsage>,
        relay: Option<Activity>,
        load: LoadUsage,
    },
    NotOpened {
        remaining: u64,
    },
}

/// Leads the threads through the phases.
fn conduct(
    arguments: &Arguments,
    plan: &Plan,
    stage: &Stage,
    is_broken: impl Fn() -> bool,
) -> Result<Conducted, RunError> {
    let clients = u32::try_from(plan.clients.len()).unwrap_or(u32::MAX);
    let opening = OPENING_TIMEOUT + OPENING_TIMEOUT_PER_CLIENT * clients;
    let mut line = Line::new(plan);
    let usage = || match arguments.pid {
        Some(pid) => match Usage::of(pid) {
            Ok(usage) => Ok(Some(usage)),
            Err(source) => Err(RunError::Process { pid, source }),
        },
        None => Ok(None),
    };
    usage()?;
    let scrape = || match &arguments.metrics {
        Some(address) => match Scrape::ask(address) {
            Ok(scrape) => Ok(Some(scrape)),
            Err(source) => Err(RunError::Metrics {
                address: address.clone(),
                source,
            }),
        },
        None => Ok(None),
    };
    scrape()?;
    // Until all threads are through the phase, or as long as it may take at most.
    let mut wait = |phase: Option<Phase>, timeout: Duration| {
        let until = stage.now() + timeout;
        let is_through = || phase.is_some_and(|phase| stage.remaining(phase) == Some(0));
        while !is_through() && stage.now() < until && !is_broken() {
            thread::sleep(LOOK_PERIOD);
            line.print(stage);
        }
    };
    wait(Some(Phase::Opening), opening);
    // Those that were refused are not waited for.
    let early = plan.clients.iter().filter(|client| !client.joins_late);
    let early = early.count() as u64;
    match stage.remaining(Phase::Opening) {
        Some(0) if early == 0 || Totals::of(&stage.progress).opened > 0 => {}
        Some(0) => return Ok(Conducted::NotOpened { remaining: early }),
        remaining => {
            return Ok(Conducted::NotOpened {
                remaining: remaining.unwrap_or_default(),
            });
        }
    }

    let start = stage.now() + START_DELAY;
    stage.start_at(start);
    stage.enter(Phase::Running);
    wait(None, START_DELAY + plan.warm_up);
    let scraped_before = scrape()?;
    let (before, own_before) = (usage()?, own_cpu());
    wait(None, plan.duration);
    // The process may have been ended meanwhile, on purpose; then there is no figure.
    let (after, own_after) = (usage().ok().flatten(), own_cpu());
    let scraped_after = scrape().ok().flatten();
    wait(Some(Phase::Running), Duration::from_secs(1));
    stage.enter(Phase::Settling);
    wait(Some(Phase::Settling), plan.drain);
    stage.enter(Phase::Converging);
    wait(Some(Phase::Converging), plan.drain);
    line.print_last(stage);
    let server = before
        .zip(after)
        .map(|(before, after)| ServerUsage::between(before, after));
    let load = LoadUsage {
        cpu: own_after.saturating_sub(own_before),
        threads: stage.progress.len(),
    };
    let relay = scraped_before
        .zip(scraped_after)
        .map(|(before, after)| Activity::between(before, after));
    Ok(Conducted::Through {
        server,
        relay,
        load,
    })
}

/// The line on the standard error that says, every second, how it goes.
struct Line {
    clients: usize,
    printed_at: Instant,
    last: Totals,
}

impl Line {
    fn new(plan: &Plan) -> Self {
        Self {
            clients: plan.clients.len(),
            printed_at: Instant::default(),
            last: Totals::default(),
        }
    }

    fn print(&mut self, stage: &Stage) {
        if stage.now().since(self.printed_at) >= Duration::from_secs(1) {
            self.print_last(stage);
        }
    }

    fn print_last(&mut self, stage: &Stage) {
        let now = stage.now();
        let seconds = now.since(self.printed_at).as_secs_f64().max(1e-3);
        let totals = Totals::of(&stage.progress);
        let rate = |now: u64, before: u64| (now - before) as f64 / seconds;
        let trouble = stage.progress.iter().find_map(|one| one.trouble.get());
        let trouble = trouble.map_or_else(String::new, |what| format!(" ({what})"));
        eprintln!(
            "{:>4.0} s  {:<10}  {}/{} connected  sent {:.0}/s  acknowledged {:.0}/s  delivered {:.0}/s  errors {}{trouble}",
            Duration::from_micros(now.as_micros()).as_secs_f64(),
            format!("{:?}", stage.phase()).to_lowercase(),
            totals.connected,
            self.clients,
            rate(totals.sent, self.last.sent),
            rate(totals.acknowledged, self.last.acknowledged),
            rate(totals.delivered, self.last.delivered),
            totals.errors,
        );
        self.last = totals;
        self.printed_at = now;
    }
}

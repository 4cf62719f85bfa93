//! From a configuration to a running relay: every thread and what it is made from.

use std::io::Write as _;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Sender, unbounded};
use glommio::{LocalExecutorBuilder, Placement};
use tokio::sync::{Notify, mpsc};

use super::admin::{Admin, Backups, Running};
use super::authority::Sources;
use super::clock::Clock;
use super::control::Control;
use super::crowd::Crowd;
use super::doorbell::Doorbell;
use super::doors::{Addresses, Doors};
use super::driver::{Driver, Parts};
use super::lifecycle::{Lifecycle, Report};
use super::listener::Listeners;
use super::mailbox::{Mailbox, mailbox};
use super::mesh::Mesh;
use super::metrics::{Gauge, Level};
use super::notify::{self, Notifier};
use super::preflight::{self, allowed_cores, token_source};
use super::refusals::Refusals;
use super::reload::{Reloader, Source};
use super::supervisor::REST_TIMEOUT;
use super::watch::RoomGauge;
use super::{ServerError, log, service_manager, signal, supervisor, watch, web};
use crate::config::{Budget, Config, Durability, LogFormat, mebibytes_text};
use crate::engine::Census;
use crate::engine::shard::Settings;
use crate::store::{
    self, CommitterHandle, Reader, Recovery, ReplySink, Room, TenantUsage, committer,
};

/// Memory that an executor registers for files, which a shard never touches. The least that it takes.
const IO_MEMORY_BYTES: usize = 64 * 1024;
/// Threads that read the store for cold documents and clients that catch up.
const READERS: usize = 2;
/// How long the answers may take that are still to be written when the shards have left.
const LAST_ANSWERS_TIMEOUT: Duration = Duration::from_secs(1);
/// A shard has one task: there is nobody to give way to.
const PREEMPT_TIMER: Duration = Duration::from_secs(60);

/// Serves until a signal ends it, or it has to end. `source` is asked for the configuration when it is reloaded.
///
/// # Errors
///
/// Why it has not started, or ended other than by a planned stop.
pub fn run(config: Config, source: Source) -> Result<(), ServerError> {
    end_on_panic();
    let signals = signal::hold_reloads()?;
    let cores = config.shards.cores.choose(&allowed_cores())?;
    let clock = Clock::start();
    let control = Control::new()?;
    let keys_wanted = Arc::new(Notify::new());
    let (questions, questions_out) = mpsc::unbounded_channel();
    let sources = control.wait_for(Sources::open(&config.auth, clock, &keys_wanted, None))?;
    let doors = Doors::open(&config.listen, cores.len())?;
    let doorbells = doorbells(cores.len())?;
    let (mailboxes, inboxes): (Vec<_>, Vec<_>) = doorbells.iter().cloned().map(mailbox).unzip();
    let mailboxes: Arc<[Mailbox]> = mailboxes.into();
    let lifecycle = Arc::new(Lifecycle::new(doorbells.clone()));
    let admin = Admin::new(clock, Arc::clone(&lifecycle), Arc::clone(&mailboxes));
    let admin = Arc::new(admin);
    // To recover a large store takes a while, in which it says so.
    let tasks = control.start(doors.admin, Arc::clone(&admin))?;
    let revocations = Arc::new(Level::default());
    let (authority, keeper) = sources.keep(
        &config,
        Arc::clone(&revocations),
        &tasks,
        clock,
        Arc::clone(&mailboxes),
        questions_out,
    )?;
    let store = start_store(&config, &mailboxes, clock)?;
    let (board, notices, notify) = match store.notifier {
        Some(notifier) => {
            tasks.add(notifier.work);
            let (board, gauge) = (notifier.board, notifier.gauge);
            (Some(board), Some(gauge), Some(notifier.handle))
        }
        None => (None, None, None),
    };
    let gauges: Vec<_> = cores.iter().map(|_| Arc::new(Gauge::default())).collect();
    let mesh = Arc::new(Mesh::new(doorbells.clone()));
    let sockets_max = preflight::client_sockets_max(&config, cores.len());
    let crowd = Crowd::new(sockets_max, config.connection.per_address_max);
    let crowd = Arc::new(crowd);
    let census = Census::new(&config.connection, &config.quota, &store.usage);
    let census = Arc::new(census);
    let (reports, incoming) = unbounded();
    let reload_wanted = Arc::new(Notify::new());
    signal::watch(signals, reports.clone(), Arc::clone(&reload_wanted))?;

    let refusals = Arc::<Refusals>::default();
    let (intake, desk, limiter) = web::open(
        &config,
        Arc::clone(&mailboxes),
        Arc::clone(&lifecycle),
        store.epoch,
        Arc::clone(&crowd),
        Arc::clone(&refusals),
    );

    let mut shards = Vec::with_capacity(cores.len());
    for (index, (inbox, sockets)) in inboxes.into_iter().zip(doors.shards).enumerate() {
        let settings = Settings {
            index,
            shards: cores.len(),
            epoch: store.epoch,
            census: Arc::clone(&census),
            identity_key: store.identity_key,
            started_at_ms: clock.origin_unix_ms(),
            ..Settings::new(&config, authority.clone())
        };
        let parts = Parts {
            settings,
            clock,
            doorbell: Arc::clone(&doorbells[index]),
            listeners: Listeners::new(sockets),
            crowd: Arc::clone(&crowd),
            origins: config.listen.origins.clone(),
            proxies: config.listen.proxies.clone(),
            inbox,
            mailboxes: Arc::clone(&mailboxes),
            mesh: Arc::clone(&mesh),
            store: store.committer.queue(index),
            store_counters: store.committer.counters(),
            stall_after: config.shards.stall_after,
            keys_wanted: Arc::clone(&keys_wanted),
            questions: questions.clone(),
            board: board.clone(),
            refusals: Arc::clone(&refusals),
            web: intake.clone(),
            lifecycle: Arc::clone(&lifecycle),
            reports: reports.clone(),
            gauge: Arc::clone(&gauges[index]),
        };
        shards.push(start_shard(parts, cores[index], reports.clone())?);
    }
    let reloader = Reloader {
        source,
        config: config.clone(),
        clock,
        mailboxes,
        census,
        crowd,
        web: limiter,
        keeper: keeper.clone(),
        keys_wanted,
        notify,
        reports: reports.clone(),
    };
    let room = Arc::new(RoomGauge::new(&config.store.path));
    let running = Running {
        gauges,
        refusals: Arc::clone(&refusals),
        room: Arc::clone(&room),
        store: store.committer.counters(),
        store_path: config.store.path.clone(),
        keeper,
        revocations,
        web: intake.clone(),
        backups: Arc::new(store.backups),
        notices,
    };
    let served = supervisor::await_start(&incoming, shards.len(), &reports).and_then(|()| {
        tasks.add(desk.serve());
        tasks.add(watch::watch(config.store.path.clone(), room, refusals));
        tasks.add(reloader.follow(reload_wanted));
        admin.run(running);
        announce(&config, &cores, &doors.addresses);
        service_manager::tell("READY=1");
        supervisor::supervise(&incoming, &lifecycle, config.shutdown.clone())
    });
    match served {
        Ok(()) => {
            for shard in shards {
                let joined = shard.join();
                joined.expect("a panic ends the process where it happens");
            }
            intake.wait_until_idle(LAST_ANSWERS_TIMEOUT);
            stop_store(store.committer)?;
            tracing::info!("stopped");
            Ok(())
        }
        // There is nothing to finish, and waiting for that disk could take for ever.
        Err(ServerError::StoreFailed { reason }) => {
            let path = &config.store.path;
            Err(ServerError::of_store(path, reason, Room::of(path).ok()))
        }
        Err(error) => {
            stop_store(store.committer)?;
            Err(error)
        }
    }
}

/// Waits until the store has written what it has. A disk that does not answer is not waited for: nobody is served any
/// more, and whoever could mend it waits for the end.
fn stop_store(committer: CommitterHandle) -> Result<(), ServerError> {
    let (sender, ended) = unbounded();
    let stop = move || {
        let _ = sender.send(committer.stop());
    };
    std::thread::Builder::new()
        .name("stop".to_owned())
        .spawn(stop)
        .map_err(|source| ServerError::System {
            what: "a thread",
            source,
        })?;
    match ended.recv_timeout(REST_TIMEOUT) {
        Ok(stopped) => Ok(stopped?),
        Err(_) => Err(ServerError::StoreStuck {
            seconds: REST_TIMEOUT.as_secs(),
        }),
    }
}

/// One executor on one core, with one task.
fn start_shard(
    parts: Parts,
    core: usize,
    reports: Sender<Report>,
) -> Result<JoinHandle<()>, ServerError> {
    let shard = parts.settings.index;
    let refuse = move |reason: String| ServerError::Shard {
        shard,
        core,
        reason,
    };
    let run = move || {
        let executor = LocalExecutorBuilder::new(Placement::Fixed(core))
            .io_memory(IO_MEMORY_BYTES)
            .preempt_timer(PREEMPT_TIMER)
            .make();
        let executor = match executor {
            Ok(executor) => executor,
            Err(error) => {
                let _ = reports.send(Report::NotStarted(refuse(error.to_string())));
                return;
            }
        };
        executor.run(async move {
            match Driver::new(parts) {
                Ok(driver) => {
                    let _ = reports.send(Report::Started);
                    driver.run().await;
                }
                Err(error) => {
                    let _ = reports.send(Report::NotStarted(refuse(error.to_string())));
                }
            }
        });
    };
    std::thread::Builder::new()
        .name(format!("shard-{shard}"))
        .spawn(run)
        .map_err(|source| ServerError::System {
            what: "a thread for a shard",
            source,
        })
}

fn doorbells(count: usize) -> Result<Vec<Arc<Doorbell>>, ServerError> {
    let system = |source: rustix::io::Errno| ServerError::System {
        what: "an event descriptor",
        source: source.into(),
    };
    let doorbell = |_| Doorbell::new().map(Arc::new).map_err(system);
    (0..count).map(doorbell).collect()
}

/// Half a relay with a dead shard would lose edits quietly, so a panic anywhere ends the whole process.
fn end_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        log::flush();
        print(panic);
        eprintln!(
            "corelay: this is a fault of the relay itself. It ends now; what it acknowledged is kept."
        );
        std::process::abort();
    }));
}

/// Says what has been started: to people in the log, to scripts in one line on standard output.
fn announce(config: &Config, cores: &[usize], addresses: &Addresses) {
    let durability = match config.store.durability {
        Durability::Always => "always: acknowledged means synced to disk",
        Durability::Interval => "interval: acknowledged means written, and synced a little later",
        Durability::Never => "never: acknowledged means written, and synced when the system likes",
    };
    let version = env!("CARGO_PKG_VERSION");
    let shards = cores.len();
    let store = config.store.path.display();
    let tokens = token_source(&config.auth);
    let memory = mebibytes_text(Budget::new(config, shards).bytes());
    match config.log.format {
        LogFormat::Text => tracing::info!(
            "corelay {version} is up\n  \
             listening   {addresses}\n  \
             shards      {shards} on cores {cores:?}\n  \
             store       {store}\n  \
             durability  {durability}\n  \
             tokens      {tokens}\n  \
             memory      at most {memory}, see serve --check",
        ),
        LogFormat::Json => tracing::info!(
            version, listening = %addresses, shards, ?cores, %store, durability, tokens, memory, "corelay is up"
        ),
    }
    // Whoever waits for this line finds all before it in the log.
    log::flush();
    let line = format!("listening {addresses}\n");
    // Whoever reads it may take nothing, or be gone, and neither is a reason not to serve.
    let say = move || std::io::stdout().write_all(line.as_bytes());
    let _ = std::thread::Builder::new().spawn(say);
}

/// The store with its committer, which answers into the shards' mailboxes.
fn start_store(
    config: &Config,
    mailboxes: &[Mailbox],
    clock: Clock,
) -> Result<StartedStore, ServerError> {
    let mut open = store::open(&config.store)?;
    if let Some(recovery) = open.recovery {
        tell_of_recovery(recovery);
    }
    let notifier = Notifier::open(&config.notify, &mut open.store, &open.identity_key, clock)?;
    let reader = || -> Box<dyn Reader> { Box::new(open.store.reader()) };
    let readers = (0..READERS).map(|_| reader()).collect();
    let sink = |mailbox: &Mailbox| -> ReplySink {
        let mailbox = mailbox.clone();
        Box::new(move |replies| mailbox.put_replies(replies))
    };
    let sinks = mailboxes.iter().map(sink).collect();
    let backups = Backups::new(open.store.reader(), &config.store);
    let committer = committer::start(open.store, readers, &config.store, sinks)?;
    Ok(StartedStore {
        epoch: open.epoch,
        identity_key: open.identity_key,
        usage: open.usage,
        backups,
        notifier: notifier.map(|notifier| notifier.start(&committer)),
        committer,
    })
}

/// The last run was killed, or the machine went down.
fn tell_of_recovery(recovery: Recovery) {
    let Recovery {
        commit,
        synced_commit,
        is_cut,
        is_new_epoch,
    } = recovery;
    let lost = match is_new_epoch {
        true => {
            "what was acknowledged and not synced may be lost, so that clients are given their documents again (a new epoch)"
        }
        false => "everything that was acknowledged is there",
    };
    tracing::warn!(
        commit,
        synced_commit,
        cut_unfinished_write = is_cut,
        "the relay did not stop as planned the last time. The store is recovered: {lost}"
    );
}

struct StartedStore {
    epoch: u64,
    identity_key: [u8; 32],
    usage: Vec<TenantUsage>,
    backups: Backups,
    notifier: Option<notify::Started>,
    committer: CommitterHandle,
}

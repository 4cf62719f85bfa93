//! From a configuration to a running relay, and from a signal to its end.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use glommio::{LocalExecutorBuilder, Placement};

use super::clock::Clock;
use super::doorbell::Doorbell;
use super::driver::{Driver, Parts};
use super::lifecycle::{Lifecycle, Phase, Report};
use super::listener::{Listeners, listen};
use super::mailbox::{Mailbox, mailbox};
use super::mesh::Mesh;
use super::metrics::{Gauge, Observed};
use super::preflight::allowed_cores;
use super::{ServerError, control, signal};
use crate::config::{Config, Durability};
use crate::engine::shard::{Settings, Transport};
use crate::store::{self, CommitterHandle, Reader, ReplySink, committer};

/// How long a planned stop may take before the sockets are closed all the same.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Memory that an executor registers for files, which a shard never touches. The least that it takes.
const IO_MEMORY_BYTES: usize = 64 * 1024;
/// Threads that read the store for cold documents and clients that catch up.
const READERS: usize = 2;
/// A shard has one task: there is nobody to give way to.
const PREEMPT_TIMER: Duration = Duration::from_secs(60);

/// Serves until a signal ends it, or it has to end.
pub fn run(config: Config) -> Result<(), ServerError> {
    end_on_panic();
    let cores = config.shards.cores.choose(&allowed_cores())?;
    let doors = Doors::open(&config, cores.len())?;
    let addresses = doors.addresses;

    let (reports, incoming) = unbounded();
    let doorbells = doorbells(cores.len())?;
    let lifecycle = Arc::new(Lifecycle::new(doorbells.clone()));
    let gauges: Vec<_> = cores.iter().map(|_| Arc::new(Gauge::default())).collect();
    let (mailboxes, inboxes): (Vec<_>, Vec<_>) = doorbells.iter().cloned().map(mailbox).unzip();
    let mailboxes: Arc<[Mailbox]> = mailboxes.into();
    let store = start_store(&config, &mailboxes)?;
    let mesh = Arc::new(Mesh::new(doorbells.clone()));
    let clock = Clock::start();

    signal::watch(reports.clone())?;
    if let Some(listener) = doors.admin {
        let observed = Observed {
            gauges: gauges.clone(),
            store: store.committer.counters(),
        };
        control::serve(listener, Arc::clone(&lifecycle), observed)?;
    }
    let mut shards = Vec::with_capacity(cores.len());
    let each = doors
        .shards
        .into_iter()
        .zip(doorbells)
        .zip(inboxes)
        .zip(gauges);
    for (index, (((sockets, doorbell), inbox), gauge)) in each.enumerate() {
        let settings = Settings {
            index,
            shards: cores.len(),
            connection: config.connection.clone(),
            document: config.document.clone(),
            fanout: config.fanout.clone(),
            presence: config.presence.clone(),
            memory: config.memory.clone(),
            durability: config.store.durability,
            epoch: store.epoch,
            identity_key: store.identity_key,
            started_at_ms: clock.origin_unix_ms(),
        };
        let parts = Parts {
            settings,
            clock,
            doorbell,
            listeners: Listeners::new(sockets),
            inbox,
            mailboxes: Arc::clone(&mailboxes),
            mesh: Arc::clone(&mesh),
            store: store.committer.queue(index),
            lifecycle: Arc::clone(&lifecycle),
            reports: reports.clone(),
            gauge,
        };
        shards.push(start_shard(parts, cores[index], reports.clone())?);
    }
    for _ in &shards {
        match incoming.recv() {
            Ok(Report::Started) => {}
            Ok(Report::NotStarted(error)) => return Err(error),
            // Whoever wants the process to stop before it serves gets that.
            Ok(Report::Signal) => return Ok(()),
            Ok(Report::StoreFailed { reason }) => return Err(ServerError::StoreFailed { reason }),
            Ok(Report::Finished) | Err(_) => unreachable!("nothing finishes before it is told to"),
        }
    }
    announce(&config, &cores, &addresses);
    supervise(&incoming, &lifecycle)?;
    for shard in shards {
        shard
            .join()
            .expect("a panic ends the process where it happens");
    }
    store.committer.stop()?;
    tracing::info!("stopped");
    Ok(())
}

/// Waits for the reason to stop, and sees that everything taken is finished. Returns when the shards leave.
fn supervise(incoming: &Receiver<Report>, lifecycle: &Lifecycle) -> Result<(), ServerError> {
    let mut deadline: Option<std::time::Instant> = None;
    while lifecycle.phase() != Phase::Leaving {
        let report = match deadline {
            None => incoming.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(deadline) => incoming.recv_deadline(deadline),
        };
        match report {
            Ok(Report::Signal) => {
                tracing::info!("stopping: everything that was taken is finished first");
                deadline = Some(std::time::Instant::now() + STOP_TIMEOUT);
                lifecycle.advance(Phase::Draining);
            }
            Ok(Report::Finished) if lifecycle.all_finished() => {
                lifecycle.advance(match lifecycle.phase() {
                    Phase::Serving | Phase::Draining => Phase::Closing,
                    Phase::Closing | Phase::Leaving => Phase::Leaving,
                });
            }
            Ok(Report::Started | Report::Finished) => {}
            Ok(Report::NotStarted(error)) => return Err(error),
            Ok(Report::StoreFailed { reason }) => return Err(ServerError::StoreFailed { reason }),
            Err(RecvTimeoutError::Timeout) => {
                tracing::warn!("some clients did not take what they were owed in time");
                lifecycle.advance(Phase::Leaving);
            }
            Err(RecvTimeoutError::Disconnected) => {
                unreachable!("the signals' thread has a sender for as long as the process lives")
            }
        }
    }
    Ok(())
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

/// The listening sockets, before anybody answers them.
struct Doors {
    addresses: Addresses,
    /// Those of each shard.
    shards: Vec<Vec<(Transport, OwnedFd)>>,
    admin: Option<TcpListener>,
}

/// Where the relay really listens.
#[derive(Debug, Clone, Copy)]
struct Addresses {
    websocket: Option<SocketAddr>,
    tcp: Option<SocketAddr>,
    admin: Option<SocketAddr>,
}

impl Doors {
    fn open(config: &Config, count: usize) -> Result<Self, ServerError> {
        let mut shards: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
        let mut open = |name, transport, address| -> Result<SocketAddr, ServerError> {
            let (address, sockets) = listen(name, address, count)?;
            for (shard, socket) in shards.iter_mut().zip(sockets) {
                shard.push((transport, socket));
            }
            Ok(address)
        };
        let listen_config = &config.listen;
        let websocket = listen_config
            .websocket
            .map(|address| open("websocket", Transport::WebSocket, address))
            .transpose()?;
        let tcp = listen_config
            .tcp
            .map(|address| open("tcp", Transport::Tcp, address))
            .transpose()?;
        let mut admin = None;
        let mut admin_address = None;
        if let Some(address) = listen_config.admin {
            let (address, sockets) = listen("admin", address, 1)?;
            admin_address = Some(address);
            admin = sockets.into_iter().next().map(TcpListener::from);
        }
        let addresses = Addresses {
            websocket,
            tcp,
            admin: admin_address,
        };
        Ok(Self {
            addresses,
            shards,
            admin,
        })
    }
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
        print(panic);
        eprintln!(
            "corelay: this is a fault of the relay itself. It ends now; what it acknowledged is kept."
        );
        std::process::abort();
    }));
}

/// Says what has been started: to people in the log, to scripts in one line on standard output.
fn announce(config: &Config, cores: &[usize], addresses: &Addresses) {
    let text = |address: Option<SocketAddr>| {
        address.map_or("off".to_owned(), |address| address.to_string())
    };
    let (websocket, tcp, admin) = (
        text(addresses.websocket),
        text(addresses.tcp),
        text(addresses.admin),
    );
    let durability = match config.store.durability {
        Durability::Always => "always: acknowledged means synced to disk",
        Durability::Interval => "interval: acknowledged means written, and synced a little later",
        Durability::Never => "never: acknowledged means written, and synced when the system likes",
    };
    tracing::info!(
        "corelay {} is up\n  \
         websocket   {websocket}\n  \
         tcp         {tcp}\n  \
         admin       {admin}\n  \
         shards      {} on cores {cores:?}\n  \
         store       {}\n  \
         durability  {durability}",
        env!("CARGO_PKG_VERSION"),
        cores.len(),
        config.store.path.display(),
    );
    tracing::warn!(
        "THERE IS NO AUTHENTICATION: whoever reaches the ports above can read and change every document"
    );
    println!("listening websocket={websocket} tcp={tcp} admin={admin}");
}

/// The store with its committer, which answers into the shards' mailboxes.
fn start_store(config: &Config, mailboxes: &[Mailbox]) -> Result<StartedStore, ServerError> {
    let open = store::open(&config.store)?;
    let reader = || -> Box<dyn Reader> { Box::new(open.store.reader()) };
    let readers = (0..READERS).map(|_| reader()).collect();
    let sink = |mailbox: &Mailbox| -> ReplySink {
        let mailbox = mailbox.clone();
        Box::new(move |replies| mailbox.put_replies(replies))
    };
    let sinks = mailboxes.iter().map(sink).collect();
    Ok(StartedStore {
        epoch: open.epoch,
        identity_key: open.identity_key,
        committer: committer::start(open.store, readers, &config.store, sinks)?,
    })
}

struct StartedStore {
    epoch: u64,
    identity_key: [u8; 32],
    committer: CommitterHandle,
}

//! The HTTP interface for backends and scripts, and the demo page: what the control thread answers on the clients' port.
//!
//! A shard that reads the head of a request that is for neither a WebSocket nor an event stream lends the socket to the
//! control thread ([`Intake`]), which answers and gives it back (`exchange`). Nothing here touches a shard's state: for
//! a document, a request is a client like any other, over a connection of its own to the document's shard, in the
//! protocol (`call`). So permissions, rates, quotas and tenants are those of any other client.

mod accept;
mod call;
mod content;
mod difference;
mod documents;
mod exchange;
mod gate;
mod history;
mod input;
mod leaving;
mod memory;
mod openapi;
mod operations;
mod pages;
mod presence;
mod problem;
mod reading;
mod submission;
pub mod tag;
mod time;
mod turns;
mod versions;
mod visitor;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use crate::config::{Config, Connection, Durability};
use crate::server::crowd::Crowd;
use crate::server::http::Exchange;
use crate::server::lifecycle::Lifecycle;
use crate::server::mailbox::Mailbox;
use crate::server::refusals::Refusals;

use exchange::Admission;
pub use exchange::Asked;
use gate::{Full, Gate};
use memory::Memory;
use turns::Turns;

/// What all requests share.
#[derive(Clone)]
pub struct Web {
    mailboxes: Arc<[Mailbox]>,
    lifecycle: Arc<Lifecycle>,
    crowd: Arc<Crowd>,
    /// That of the store.
    epoch: u64,
    durability: Durability,
    limits: Connection,
    request_timeout: Duration,
    is_demo_on: bool,
    memory: Arc<Memory>,
    turns: Arc<Turns>,
    refusals: Arc<Refusals>,
}

/// The shards' side: requests for the control thread.
#[derive(Clone)]
pub struct Intake {
    gate: Arc<Gate>,
    memory: Arc<Memory>,
    asked: UnboundedSender<Asked>,
}

/// The control thread's side.
pub struct Desk {
    web: Web,
    /// What holds from now on.
    limits: watch::Receiver<Limits>,
    asked: UnboundedReceiver<Asked>,
}

/// The side of the configuration.
pub struct Limiter {
    gate: Arc<Gate>,
    memory: Arc<Memory>,
    limits: watch::Sender<Limits>,
}

struct Limits {
    connection: Connection,
    request_timeout: Duration,
    is_demo_on: bool,
}

impl Limits {
    fn new(config: &Config) -> Self {
        Self {
            connection: config.connection.clone(),
            request_timeout: config.http.request_timeout,
            is_demo_on: config.listen.demo,
        }
    }
}

/// All sides.
pub fn open(
    config: &Config,
    mailboxes: Arc<[Mailbox]>,
    lifecycle: Arc<Lifecycle>,
    epoch: u64,
    crowd: Arc<Crowd>,
    refusals: Arc<Refusals>,
) -> (Intake, Desk, Limiter) {
    // Whoever asks is admitted, so that those bound what is in it.
    let (asked, asked_out) = unbounded_channel();
    let memory = Arc::new(Memory::new(config.http.bytes_max));
    let intake = Intake {
        gate: Arc::new(Gate::new(config.http.requests_max)),
        memory: Arc::clone(&memory),
        asked,
    };
    let web = Web {
        mailboxes,
        lifecycle,
        crowd,
        epoch,
        durability: config.store.durability,
        limits: config.connection.clone(),
        request_timeout: config.http.request_timeout,
        is_demo_on: config.listen.demo,
        memory,
        turns: Arc::default(),
        refusals,
    };
    let (limits, limits_out) = watch::channel(Limits::new(config));
    let limiter = Limiter {
        gate: Arc::clone(&intake.gate),
        memory: Arc::clone(&web.memory),
        limits,
    };
    let desk = Desk {
        web,
        limits: limits_out,
        asked: asked_out,
    };
    (intake, desk, limiter)
}

impl Limiter {
    /// From the next request on this holds.
    pub fn set(&self, config: &Config) {
        self.gate.set_max(config.http.requests_max);
        self.memory.set_max(config.http.bytes_max);
        self.limits.send_replace(Limits::new(config));
    }
}

impl Intake {
    /// `None`: there are as many requests as there may be, or they hold all that they may.
    pub fn admit(&self, exchange: &Exchange) -> Option<Admission> {
        // The body is there as it came, and as what is made of it.
        let bytes = exchange.head_bytes() + 2 * exchange.body_bytes;
        let pass = self.gate.enter();
        if pass.as_ref().is_err_and(|full| *full == Full::Answers) {
            self.memory.refuse();
        }
        Some(Admission {
            pass: pass.ok()?,
            held: self.memory.hold(bytes).ok()?,
        })
    }

    pub fn ask(&self, asked: Asked) {
        // Nobody takes it only when the process ends.
        let _ = self.asked.send(asked);
    }

    /// Requests that are being answered, and how many may be.
    pub fn requests(&self) -> (u64, u64) {
        self.gate.level()
    }

    /// What they and their answers hold, and may hold, in bytes.
    pub fn memory(&self) -> (u64, u64) {
        self.memory.level()
    }

    /// Returns when all that was asked is answered, or the time is over.
    pub fn wait_until_idle(&self, timeout: Duration) {
        self.gate.wait_until_empty(timeout);
    }
}

impl Desk {
    /// Answers for as long as the process lives.
    pub async fn serve(mut self) {
        let mut web = Arc::new(self.web);
        let mut routes = openapi::routes(Arc::clone(&web), web.is_demo_on);
        while let Some(asked) = self.asked.recv().await {
            if self.limits.has_changed().unwrap_or(false) {
                let limits = self.limits.borrow_and_update();
                web = Arc::new(Web {
                    limits: limits.connection.clone(),
                    request_timeout: limits.request_timeout,
                    is_demo_on: limits.is_demo_on,
                    ..Web::clone(&web)
                });
                routes = openapi::routes(Arc::clone(&web), web.is_demo_on);
            }
            tokio::spawn(exchange::answer(Arc::clone(&web), routes.clone(), asked));
        }
    }
}

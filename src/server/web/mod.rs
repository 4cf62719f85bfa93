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
mod memory;
mod openapi;
mod operations;
mod pages;
mod presence;
mod problem;
mod reading;
mod submission;
mod tag;
mod turns;
mod versions;
mod visitor;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::config::{Config, Connection, Durability};
use crate::server::lifecycle::Lifecycle;
use crate::server::mailbox::Mailbox;

pub use exchange::Asked;
use gate::{Gate, Pass};
use memory::Memory;
use turns::Turns;

/// What all requests share.
pub struct Web {
    mailboxes: Arc<[Mailbox]>,
    lifecycle: Arc<Lifecycle>,
    /// That of the store.
    epoch: u64,
    durability: Durability,
    limits: Connection,
    request_timeout: Duration,
    memory: Arc<Memory>,
    turns: Arc<Turns>,
}

/// The shards' side: requests for the control thread.
#[derive(Clone)]
pub struct Intake {
    gate: Arc<Gate>,
    asked: UnboundedSender<Asked>,
}

/// The control thread's side.
pub struct Desk {
    web: Arc<Web>,
    is_demo_on: bool,
    asked: UnboundedReceiver<Asked>,
}

/// Both sides.
pub fn open(
    config: &Config,
    mailboxes: Arc<[Mailbox]>,
    lifecycle: Arc<Lifecycle>,
    epoch: u64,
) -> (Intake, Desk) {
    // Whoever asks has a pass, so that these bound what is in it.
    let (asked, asked_out) = unbounded_channel();
    let intake = Intake {
        gate: Arc::new(Gate::new(config.http.requests_max)),
        asked,
    };
    let web = Web {
        mailboxes,
        lifecycle,
        epoch,
        durability: config.store.durability,
        limits: config.connection.clone(),
        request_timeout: config.http.request_timeout,
        memory: Arc::new(Memory::new(config.http.bytes_max)),
        turns: Arc::default(),
    };
    let desk = Desk {
        web: Arc::new(web),
        is_demo_on: config.listen.demo,
        asked: asked_out,
    };
    (intake, desk)
}

impl Intake {
    /// `None`: the control thread has as many requests as it may.
    pub fn enter(&self) -> Option<Pass> {
        self.gate.enter()
    }

    pub fn ask(&self, asked: Asked) {
        // Nobody takes it only when the process ends.
        let _ = self.asked.send(asked);
    }

    /// Returns when all that was asked is answered, or the time is over.
    pub fn wait_until_idle(&self, timeout: Duration) {
        self.gate.wait_until_empty(timeout);
    }
}

impl Desk {
    /// Answers for as long as the process lives.
    pub async fn serve(mut self) {
        let routes = openapi::routes(Arc::clone(&self.web), self.is_demo_on);
        while let Some(asked) = self.asked.recv().await {
            tokio::spawn(exchange::answer(
                Arc::clone(&self.web),
                routes.clone(),
                asked,
            ));
        }
    }
}

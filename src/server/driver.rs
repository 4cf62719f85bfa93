//! What a shard's core does all day: the one task of its executor.
//!
//! The driver moves bytes and values between the engine's shard and everything else, in turns. It takes what other
//! threads sent, accepts, reads every socket that is ready (`input`), hands out what the engine asks of the store
//! and of other shards, and gives every connection what it has for it in one send (`output`). A turn that found
//! nothing to do is followed by a park.
//!
//! There is no task per connection and no await but the park. Nothing here decides anything about documents.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use rustc_hash::FxHashMap;
use rustix::io::Errno;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use super::clock::Clock;
use super::connections::Connections;
use super::crowd::Crowd;
use super::doorbell::Doorbell;
use super::lifecycle::{Lifecycle, Phase, Report};
use super::listener::Listeners;
use super::mailbox::{Inbox, Mailbox, NewAuthority, NewLimits, Replies};
use super::mesh::{LANES, Mesh};
use super::metrics::{Counters, Gauge, Reading};
use super::notify::Board;
use super::poller::Poller;
use super::refusals::Refusals;
use super::streams::Streams;
use super::unreadable::UnreadableLog;
use super::web::Intake;
use super::webhook::Question;
use crate::config::{Config, Origins, Proxies};
use crate::engine::shard::{ConnectionId, MeshMessage, Settings};
use crate::engine::{Instant, Shard};
use crate::store::{self, StoreQueue, StoreReply};

/// One read takes at most this much.
const SCRATCH_BYTES: usize = 256 * 1024;
/// How old the published metrics of a shard may be while it works.
const PUBLISH_PERIOD: Duration = Duration::from_secs(1);
/// How often a shard looks at the progress of a stop.
const STOP_LOOK_PERIOD: Duration = Duration::from_millis(2);
/// How long clients may take to close when the shard leaves.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(500);

pub struct Driver {
    pub(super) index: usize,
    pub(super) engine: Shard,
    pub(super) clock: Clock,
    pub(super) poller: Poller,
    pub(super) doorbell: Arc<Doorbell>,
    pub(super) listeners: Listeners,
    pub(super) connections: Connections,
    pub(super) streams: Streams,
    pub(super) limits: crate::config::Connection,
    pub(super) crowd: Arc<Crowd>,
    pub(super) origins: Origins,
    pub(super) proxies: Proxies,
    pub(super) inbox: Inbox,
    /// Those of all shards, by their number.
    pub(super) mailboxes: Arc<[Mailbox]>,
    pub(super) mesh: Arc<Mesh<MeshMessage>>,
    pub(super) store: StoreQueue,
    pub(super) store_counters: Arc<store::Counters>,
    /// Whoever can read keys again is told to.
    pub(super) keys_wanted: Arc<Notify>,
    /// Those for the operator's backend.
    pub(super) questions: UnboundedSender<Question>,
    /// Where it is noted which documents have peers, if somebody is told.
    pub(super) board: Option<Arc<Board>>,
    pub(super) refusals: Arc<Refusals>,
    pub(super) unreadable: UnreadableLog,
    /// Who has asked the control thread over HTTP, which is a client here for them.
    pub(super) askers: FxHashMap<ConnectionId, IpAddr>,
    /// Requests for the control thread.
    pub(super) web: Intake,
    pub(super) lifecycle: Arc<Lifecycle>,
    pub(super) phase: Phase,
    pub(super) reports: Sender<Report>,
    /// Every socket is read into it.
    pub(super) scratch: Vec<u8>,
    /// Everything is sent from it.
    pub(super) out: Vec<u8>,
    pub(super) counters: Counters,
    /// A turn that takes longer is a stall.
    pub(super) stall_after: Duration,
    pub(super) gauge: Arc<Gauge>,
    pub(super) published_at: Instant,
    /// Nothing has happened since.
    pub(super) is_published: bool,
}

/// What a driver is made from; each shard has its own.
pub struct Parts {
    pub settings: Settings,
    pub clock: Clock,
    pub doorbell: Arc<Doorbell>,
    pub listeners: Listeners,
    pub crowd: Arc<Crowd>,
    pub origins: Origins,
    pub proxies: Proxies,
    pub inbox: Inbox,
    pub mailboxes: Arc<[Mailbox]>,
    pub mesh: Arc<Mesh<MeshMessage>>,
    pub store: StoreQueue,
    pub store_counters: Arc<store::Counters>,
    pub stall_after: Duration,
    pub keys_wanted: Arc<Notify>,
    pub questions: UnboundedSender<Question>,
    pub board: Option<Arc<Board>>,
    pub refusals: Arc<Refusals>,
    pub web: Intake,
    pub lifecycle: Arc<Lifecycle>,
    pub reports: Sender<Report>,
    pub gauge: Arc<Gauge>,
}

impl Driver {
    /// Makes everything that a shard owns, on the core where it is used.
    pub fn new(parts: Parts) -> Result<Self, Errno> {
        let poller = Poller::new(Arc::clone(&parts.doorbell))?;
        for (token, socket) in parts.listeners.sockets() {
            poller.add(socket, token)?;
        }
        Ok(Self {
            index: parts.settings.index,
            limits: parts.settings.connection.clone(),
            engine: Shard::new(parts.settings),
            clock: parts.clock,
            poller,
            doorbell: parts.doorbell,
            listeners: parts.listeners,
            connections: Connections::default(),
            streams: Streams::default(),
            crowd: parts.crowd,
            origins: parts.origins,
            proxies: parts.proxies,
            inbox: parts.inbox,
            mailboxes: parts.mailboxes,
            mesh: parts.mesh,
            store: parts.store,
            store_counters: parts.store_counters,
            stall_after: parts.stall_after,
            keys_wanted: parts.keys_wanted,
            questions: parts.questions,
            board: parts.board,
            refusals: parts.refusals,
            unreadable: UnreadableLog::default(),
            askers: FxHashMap::default(),
            web: parts.web,
            lifecycle: parts.lifecycle,
            phase: Phase::Serving,
            reports: parts.reports,
            scratch: vec![0; SCRATCH_BYTES],
            out: Vec::new(),
            counters: Counters::default(),
            gauge: parts.gauge,
            published_at: Instant::default(),
            is_published: false,
        })
    }

    /// Runs until the process leaves.
    pub async fn run(mut self) {
        let mut leave_at = None;
        let mut now = self.clock.now();
        loop {
            let is_idle = !self.turn(now);
            let ended_at = self.clock.now();
            self.counters
                .count_turn(ended_at.since(now), self.stall_after);
            now = ended_at;
            if self.phase == Phase::Leaving {
                let leave_at = *leave_at.get_or_insert(now + LEAVE_TIMEOUT);
                if self.connections.is_empty() || now >= leave_at {
                    break;
                }
            }
            if is_idle {
                self.park().await;
                now = self.clock.now();
            }
        }
        self.publish(self.clock.now());
    }

    /// What there is to publish.
    pub(super) fn reading(&self) -> Reading {
        Reading {
            engine: self.engine.metrics(),
            counters: self.counters,
            posted_bytes: self.connections.body_bytes() as u64,
            posted_bytes_max: self.limits.posted_bytes_max as u64,
            requests_held: self.connections.requests_count() as u64,
        }
    }

    fn publish(&mut self, now: Instant) {
        self.gauge.publish(self.reading());
        self.published_at = now;
        self.is_published = true;
    }

    /// One turn. Returns whether there was anything to do.
    fn turn(&mut self, now: Instant) -> bool {
        let mut work = self.follow_phase(now);
        work += self.take_inbox(now);
        work += self.look(now);
        work += self.accept(now);
        work += self.read(now);
        work += self.expire(now);
        work += self.hand_out(now);
        work += self.flush(now);
        work += self.close(now);
        self.report_progress();
        self.is_published &= work == 0;
        if !self.is_published && self.published_at + PUBLISH_PERIOD <= now {
            self.publish(now);
        }
        work > 0
    }

    async fn park(&mut self) {
        self.doorbell.arm();
        // The last look: whoever puts something there from here on finds the bell armed.
        let is_quiet = self.inbox.is_empty()
            && !self.mesh.has_messages(self.index)
            && self.lifecycle.phase() == self.phase;
        if is_quiet {
            let now = self.clock.now();
            let deadlines = [
                self.engine.poll_timeout(),
                self.connections.next_deadline(),
                self.listeners.next_deadline(now),
                // In a stop it matters what other shards have taken, and that rings no bell.
                (self.phase >= Phase::Draining).then(|| now + STOP_LOOK_PERIOD),
                (!self.is_published).then(|| self.published_at + PUBLISH_PERIOD),
            ];
            let until = deadlines.into_iter().flatten().min();
            self.counters.parks += 1;
            self.poller.park(until, now).await;
        }
        self.doorbell.disarm();
    }

    /// Takes part in the stop of the process.
    fn follow_phase(&mut self, now: Instant) -> usize {
        let phase = self.lifecycle.phase();
        if phase == self.phase {
            return 0;
        }
        if self.phase < Phase::Draining && phase >= Phase::Draining {
            self.listeners.close();
            self.refuse_requests(now);
            self.engine.stop();
        }
        if self.phase < Phase::Closing && phase >= Phase::Closing {
            self.engine.close(now);
        }
        if phase == Phase::Leaving {
            self.leave(now);
        }
        self.phase = phase;
        1
    }

    /// Says whether everything is done that belongs to this phase of a stop.
    fn report_progress(&self) {
        let is_done = match self.phase {
            Phase::Draining => self.engine.is_drained(),
            Phase::Closing => self.engine.is_stopped() && self.connections.is_empty(),
            Phase::Serving | Phase::Announced | Phase::Leaving => return,
        };
        if !is_done || !self.mesh.is_empty() {
            self.lifecycle.resume(self.index);
        } else if self.lifecycle.finish(self.index, self.phase) {
            let _ = self.reports.send(Report::Finished);
        }
    }

    fn take_inbox(&mut self, now: Instant) -> usize {
        let mut count = 0;
        while let Some(Replies { replies, sent_at }) = self.inbox.next_replies() {
            self.store_counters.count_reply(sent_at.elapsed());
            for reply in replies {
                if let StoreReply::Failed { reason } = &reply {
                    let reason = reason.clone();
                    self.lifecycle.note_store_failure();
                    let _ = self.reports.send(Report::StoreFailed { reason });
                }
                self.engine.handle_store(reply, now);
                count += 1;
            }
        }
        if self.phase >= Phase::Draining && self.mesh.has_messages(self.index) {
            self.lifecycle.resume(self.index);
        }
        for from in (0..self.mesh.shards()).filter(|&from| from != self.index) {
            for lane in LANES {
                count += self.mesh.receive(from, self.index, lane, |message| {
                    self.engine.handle_mesh(from, message, now);
                });
            }
        }
        // Before the sockets from other shards, which may be there because of it.
        while let Some(NewAuthority { authority, taken }) = self.inbox.next_authority() {
            let closed = self.engine.set_authority(authority, now);
            let _ = taken.send(closed);
            count += 1;
        }
        while let Some(NewLimits { config, taken }) = self.inbox.next_limits() {
            self.set_limits(&config, now);
            let _ = taken.send(());
            count += 1;
        }
        while let Some((connection, verdict)) = self.inbox.next_verdict() {
            self.engine.handle_verdict(connection, verdict, now);
            count += 1;
        }
        if let Some(question) = self.inbox.next_question() {
            question(self, now);
            count += 1;
        }
        while let Some(handoff) = self.inbox.next_handoff() {
            self.take_over(handoff, now);
            count += 1;
        }
        count
    }

    fn set_limits(&mut self, config: &Config, now: Instant) {
        self.limits = config.connection.clone();
        self.origins = config.listen.origins.clone();
        self.proxies = config.listen.proxies.clone();
        self.stall_after = config.shards.stall_after;
        self.engine.set_limits(config, now);
    }

    /// Hands out what the engine asks of the store and of other shards, as far as there is room.
    fn hand_out(&mut self, now: Instant) -> usize {
        // What finds the queue full stays where it is: every request that is in the queue is answered, and the answer
        // brings the next turn.
        let since = self.clock.system(now);
        let mut count = self.store.send(since, || self.engine.poll_store());
        while let Some(inquiry) = self.engine.poll_inquiry() {
            // Nobody takes it only when the process ends.
            let _ = self.questions.send((self.index, inquiry));
            count += 1;
        }
        if let Some(board) = &self.board {
            while let Some(occupancy) = self.engine.poll_occupancy() {
                board.note(occupancy);
                count += 1;
            }
        }
        while let Some(note) = self.engine.poll_refusal() {
            let address = note.connection.and_then(|id| self.address_of(id));
            self.refusals.tell(&note, address);
        }
        while let Some(unreadable) = self.engine.poll_unreadable() {
            self.unreadable.tell(&unreadable);
        }
        if self.engine.poll_keys_wanted() {
            self.keys_wanted.notify_one();
        }
        for to in (0..self.mesh.shards()).filter(|&to| to != self.index) {
            for lane in LANES {
                count += self
                    .mesh
                    .send(self.index, to, lane, || self.engine.poll_mesh(to, lane));
            }
        }
        count
    }

    /// Where the client of a connection is.
    fn address_of(&self, id: ConnectionId) -> Option<IpAddr> {
        let asker = self.askers.get(&id).copied();
        asker.or_else(|| self.connections.socket(id)?.client())
    }

    fn expire(&mut self, now: Instant) -> usize {
        let mut count = 0;
        while let Some(key) = self.connections.next_late_request(now) {
            self.refuse_late(key, now);
            count += 1;
        }
        while let Some(key) = self.connections.next_lingered(now) {
            self.connections.remove(key);
            count += 1;
        }
        if self.engine.poll_timeout().is_some_and(|at| at <= now) {
            self.engine.handle_timeout(now);
            self.look_at_doubted(now);
            count += 1;
        }
        count
    }
}

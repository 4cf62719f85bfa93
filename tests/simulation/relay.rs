//! One process of the relay: its shards, their sockets, and the lanes between them.
//!
//! It drives each shard by the rules of `engine::shard` and no more: a socket is read while `wants_bytes` says so
//! and again when `poll_wants_bytes` names it, and sent to when `poll_writable` names it. So a wake-up that the
//! engine forgets is a client that waits for ever.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use corelay::auth::{Grant, TokenError};
use corelay::config::Config;
use corelay::engine::shard::{Arrival, Authority, ConnectionId, Lane, MeshMessage, Settings};
use corelay::engine::{Census, Instant, Shard};

use super::judge::broken;
use super::network::Link;
use super::random::Random;
use super::scenario::{Flaw, Rates, Scenario};
use super::storage::Storage;
use super::trace::Trace;

/// When the first process starts, as a Unix time.
pub const UNIX_MS: u64 = 1_700_000_000_000;

/// What is read at once when nothing goes wrong.
pub const CALM_READ_BYTES: usize = 65_536;
/// What a connection may hold whatever the others do.
const PIECE_BYTES: usize = 8 * 1024;
/// What a request takes while it is on its way to the disk, and what its answer takes, as a multiple of its bytes.
const REQUEST_COST_MAX: usize = 8;

pub struct Relay {
    shards: Vec<Shard>,
    sockets: BTreeMap<(usize, ConnectionId), Socket>,
    /// By from, to, and whether it is the lane of replies.
    lanes: BTreeMap<(usize, usize, bool), VecDeque<MeshMessage>>,
    started_us: u64,
    stop: Stop,
    /// What shards have not heard of yet, of how tokens are checked.
    authorities: Vec<Option<Authority>>,
    /// New limits that shards have not heard of yet, and the chance by which they do.
    limits: Vec<Option<Config>>,
    reloads: Random,
    /// A connection that a flaw of the rig keeps from being sent to.
    forgotten: Option<(usize, ConnectionId)>,
}

#[derive(Debug)]
struct Socket {
    link: u64,
    wants_bytes: bool,
    is_full: bool,
}

/// How far a planned stop is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    Draining,
    Closing,
    Over,
}

/// What the relay's turn may use.
pub struct Turn<'a> {
    pub now_us: u64,
    pub random: &'a mut Random,
    pub trace: &'a mut Trace,
    pub scenario: &'a Scenario,
    pub rates: &'a Rates,
    pub links: &'a mut BTreeMap<u64, Link>,
    pub storage: &'a mut Storage,
    pub is_calm: bool,
    pub flaw: &'a mut Option<Flaw>,
}

impl Relay {
    pub fn new(
        scenario: &Scenario,
        shards: usize,
        epoch: u64,
        authority: Authority,
        census: Census,
        now_us: u64,
    ) -> Self {
        let started_at_ms = UNIX_MS + now_us / 1000;
        let settings = Settings {
            authority,
            census: Arc::new(census),
            ..scenario.settings(shards, epoch, started_at_ms)
        };
        let shard = |index| {
            Shard::new(Settings {
                index,
                ..settings.clone()
            })
        };
        Self {
            shards: (0..shards).map(shard).collect(),
            sockets: BTreeMap::new(),
            lanes: BTreeMap::new(),
            started_us: now_us,
            stop: Stop::No,
            authorities: vec![None; shards],
            limits: vec![None; shards],
            reloads: Random::new(now_us),
            forgotten: None,
        }
    }

    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// From here on, or a little later, tokens are checked so.
    pub fn set_authority(&mut self, authority: &Authority) {
        self.authorities.fill(Some(authority.clone()));
    }

    /// From here on, or a little later, these limits hold.
    pub fn set_limits(&mut self, config: &Config) {
        self.limits.fill(Some(config.clone()));
    }

    /// Every shard has heard how tokens are checked.
    pub fn is_authority_known(&self) -> bool {
        self.authorities.iter().all(Option::is_none)
    }

    /// What a token grants that comes with a handshake.
    pub fn authenticate(
        &mut self,
        token: &str,
        now_us: u64,
        random: &mut Random,
    ) -> Result<Option<Arc<Grant>>, TokenError> {
        let shard = random.below(self.shards.len());
        let now = self.instant(now_us);
        self.shards[shard].authenticate(token, now)
    }

    /// A client's connection. False: it is refused.
    pub fn accept(
        &mut self,
        link: u64,
        arrival: Arrival,
        now_us: u64,
        random: &mut Random,
    ) -> bool {
        let shards = self.shards.len();
        let shard = match &arrival.document {
            Some(document) => {
                let accepting = &self.shards[link as usize % shards];
                accepting.home_of(document, arrival.grant.as_deref())
            }
            None => random.below(shards),
        };
        let now = self.instant(now_us);
        let Some(connection) = self.shards[shard].connect(arrival, now) else {
            return false;
        };
        let socket = Socket {
            link,
            wants_bytes: true,
            is_full: false,
        };
        self.sockets.insert((shard, connection), socket);
        true
    }

    pub fn has_link(&self, link: u64) -> bool {
        self.sockets.values().any(|socket| socket.link == link)
    }

    pub fn begin_stop(&mut self) {
        if self.stop == Stop::No {
            self.stop = Stop::Draining;
            self.shards.iter_mut().for_each(Shard::stop);
        }
    }

    /// The planned stop is over.
    pub fn is_stopped(&self) -> bool {
        self.stop == Stop::Over
    }

    /// One turn of every shard, in any order.
    pub fn turn(&mut self, turn: &mut Turn<'_>) {
        let mut order: Vec<usize> = (0..self.shards.len()).collect();
        turn.random.shuffle(&mut order);
        for shard in order {
            if turn.random.happens(turn.rates.skip) {
                continue;
            }
            self.hear(shard, turn);
            self.take_mesh(shard, turn);
            self.take_replies(shard, turn);
            self.read(shard, turn);
            self.ring(shard, turn);
            self.hand_out(shard, turn);
            self.write(shard, turn);
            self.end(shard, turn);
        }
        self.go_on_stopping(turn);
    }

    /// Promise S7: what is held stays within its pools. Past the mark goes what a connection may always hold, what
    /// came with the one read or the forwarded requests that reached it, the answers to one read of each, and one
    /// snapshot.
    pub fn check_memory(&self, scenario: &Scenario, read_bytes_max: usize) {
        let limits = scenario.limits();
        let memory = &limits.memory;
        let message_bytes = limits.connection.message_bytes_max;
        let window_bytes = memory.lane_window_bytes + message_bytes;
        for shard in &self.shards {
            let held = shard.metrics();
            let sockets = self.sockets.len() + 1;
            let input_bytes = sockets * PIECE_BYTES + message_bytes;
            let answers_bytes = read_bytes_max * REQUEST_COST_MAX;
            let output_bytes = input_bytes + sockets * answers_bytes;
            let forwarded_bytes = match self.shards.len() {
                1 => 0,
                _ => self.sockets.len() * window_bytes,
            };
            let arriving_bytes = read_bytes_max + forwarded_bytes;
            let pending_bytes = arriving_bytes * REQUEST_COST_MAX
                + message_bytes
                + PIECE_BYTES / 8
                + limits.document.bytes_max;
            let pools = [
                (
                    "input",
                    held.input_bytes,
                    memory.input_bytes_max,
                    input_bytes,
                ),
                (
                    "output",
                    held.output_bytes,
                    memory.output_bytes_max,
                    output_bytes,
                ),
                (
                    "document",
                    held.document_bytes,
                    memory.document_bytes_max,
                    pending_bytes,
                ),
                (
                    "pending",
                    held.pending_bytes,
                    memory.pending_bytes_max,
                    pending_bytes,
                ),
            ];
            for (pool, bytes, bytes_max, slack_bytes) in pools {
                if bytes > (bytes_max + slack_bytes) as u64 {
                    broken!(
                        "S7",
                        "{bytes} bytes of {pool}, and {bytes_max} are allowed: {held:?}"
                    );
                }
            }
        }
    }

    /// Everybody has gone, and the documents were idle for long enough: nothing is held.
    pub fn check_empty(&self) {
        for shard in &self.shards {
            let metrics = shard.metrics();
            let held = [
                metrics.connections,
                metrics.documents,
                metrics.input_bytes,
                metrics.output_bytes,
                metrics.document_bytes,
                metrics.pending_bytes,
            ];
            if held.iter().any(|held| *held != 0) {
                broken!("S7", "nobody is there, and a shard holds {metrics:?}");
            }
        }
    }

    fn instant(&self, now_us: u64) -> Instant {
        Instant::from_micros(now_us - self.started_us)
    }

    fn hear(&mut self, shard: usize, turn: &mut Turn<'_>) {
        let now = self.instant(turn.now_us);
        if self.authorities[shard].is_some() && (turn.is_calm || turn.random.happens(3000)) {
            let authority = self.authorities[shard].take().expect("just seen");
            let closed = self.shards[shard].set_authority(authority, now);
            turn.trace
                .note(format_args!("{shard} hears of tokens, and closes {closed}"));
        }
        if self.limits[shard].is_some() && (turn.is_calm || self.reloads.happens(3000)) {
            let config = self.limits[shard].take().expect("just seen");
            self.shards[shard].set_limits(&config, now);
            turn.trace.note(format_args!("{shard} has new limits"));
        }
    }

    fn take_mesh(&mut self, shard: usize, turn: &mut Turn<'_>) {
        let now = self.instant(turn.now_us);
        for ((from, to, is_reply), lane) in &mut self.lanes {
            if *to != shard {
                continue;
            }
            let count = if turn.is_calm {
                lane.len()
            } else {
                turn.random.up_to(lane.len())
            };
            for _ in 0..count {
                let message = lane.pop_front().expect("no more than there are");
                turn.trace
                    .note(format_args!("shard {from} > {to}: {message:?}"));
                turn.trace.absorb("mesh", u64::from(*is_reply), &[]);
                self.shards[shard].handle_mesh(*from, message, now);
            }
        }
    }

    fn take_replies(&mut self, shard: usize, turn: &mut Turn<'_>) {
        let now = self.instant(turn.now_us);
        for _ in 0..turn.random.below(20) {
            let Some(reply) = turn.storage.next_reply(shard) else {
                break;
            };
            turn.trace.note(format_args!("store > {shard}: {reply:?}"));
            turn.trace.absorb("reply", shard as u64, &[]);
            self.shards[shard].handle_store(reply, now);
        }
    }

    fn read(&mut self, shard: usize, turn: &mut Turn<'_>) {
        let now = self.instant(turn.now_us);
        let engine = &mut self.shards[shard];
        while let Some(connection) = engine.poll_wants_bytes() {
            if let Some(socket) = self.sockets.get_mut(&(shard, connection)) {
                socket.wants_bytes = true;
            }
        }
        let of_shard = (shard, ConnectionId(0))..=(shard, ConnectionId(u64::MAX));
        let mut ended = Vec::new();
        for ((_, connection), socket) in self.sockets.range_mut(of_shard) {
            let link = turn.links.get_mut(&socket.link).expect("it has a socket");
            if link.up.is_at_end() {
                ended.push(*connection);
                continue;
            }
            if !socket.wants_bytes || !link.up.has_arrived() {
                continue;
            }
            if !engine.wants_bytes(*connection) {
                socket.wants_bytes = false;
                continue;
            }
            let pending_bytes = engine.metrics().pending_bytes;
            if pending_bytes > turn.scenario.limits().memory.pending_bytes_max as u64 {
                broken!(
                    "S7",
                    "a connection is read, and {pending_bytes} bytes are pending"
                );
            }
            let length = if turn.is_calm {
                CALM_READ_BYTES
            } else {
                turn.random.up_to(turn.scenario.read_bytes_max)
            };
            let mut bytes = link.up.read(length);
            turn.trace.absorb("in", connection.0, &bytes);
            engine.handle_bytes(*connection, &mut bytes, now);
        }
        for connection in ended {
            self.sockets.remove(&(shard, connection));
            turn.trace
                .note(format_args!("{connection:?} of {shard} is at its end"));
            self.shards[shard].handle_eof(connection, now);
        }
    }

    fn ring(&mut self, shard: usize, turn: &mut Turn<'_>) {
        let now = self.instant(turn.now_us);
        let engine = &mut self.shards[shard];
        if engine.poll_timeout().is_some_and(|at| at <= now) {
            engine.handle_timeout(now);
            while let Some(connection) = engine.poll_doubted() {
                if let Some(socket) = self.sockets.get(&(shard, connection)) {
                    let bytes = turn.links[&socket.link].down.unconfirmed_bytes();
                    engine.handle_unconfirmed(connection, bytes, now);
                }
            }
            // Of those that are given up documents may have something to do at once.
            engine.handle_timeout(now);
            if let Some(at) = engine.poll_timeout().filter(|at| *at <= now) {
                broken!("L1", "a timer at {at:?} is still due at {now:?}");
            }
        }
    }

    fn hand_out(&mut self, shard: usize, turn: &mut Turn<'_>) {
        let engine = &mut self.shards[shard];
        while turn.storage.waiting_requests() < turn.scenario.queue_requests_max
            && let Some(request) = engine.poll_store()
        {
            turn.trace
                .note(format_args!("{shard} > store: {request:?}"));
            turn.trace.absorb("store", shard as u64, &[]);
            turn.storage.ask(shard, request);
        }
        let lane_messages_max = if turn.is_calm {
            64
        } else {
            turn.scenario.lane_messages_max
        };
        for to in (0..self.shards.len()).filter(|to| *to != shard) {
            for (lane, is_reply) in [(Lane::Request, false), (Lane::Reply, true)] {
                let queue = self.lanes.entry((shard, to, is_reply)).or_default();
                while queue.len() < lane_messages_max
                    && let Some(message) = self.shards[shard].poll_mesh(to, lane)
                {
                    queue.push_back(message);
                }
            }
        }
    }

    fn write(&mut self, shard: usize, turn: &mut Turn<'_>) {
        let now = self.instant(turn.now_us);
        let engine = &mut self.shards[shard];
        let of_shard = (shard, ConnectionId(0))..=(shard, ConnectionId(u64::MAX));
        for ((_, connection), socket) in self.sockets.range_mut(of_shard) {
            if socket.is_full && turn.links[&socket.link].is_writable() {
                socket.is_full = false;
                engine.handle_writable(*connection);
            }
        }
        // A turn may end before everything is sent.
        let sends_max = if turn.is_calm {
            1000
        } else {
            turn.random.up_to(50)
        };
        for _ in 0..sends_max {
            let Some(connection) = engine.poll_writable() else {
                break;
            };
            let place = (shard, connection);
            if turn.is_calm && *turn.flaw == Some(Flaw::LostWakeup) {
                *turn.flaw = None;
                self.forgotten = Some(place);
            }
            if self.forgotten == Some(place) {
                continue;
            }
            let mut out = Vec::new();
            engine.poll_transmit(connection, &mut out);
            let Some(socket) = self.sockets.get_mut(&place) else {
                broken!(
                    "S8",
                    "{connection:?} is gone, and there is something for it"
                );
            };
            let link = turn.links.get_mut(&socket.link).expect("it has a socket");
            let taken = link.down.write(&out);
            turn.trace.absorb("out", connection.0, &out);
            turn.trace.absorb("taken", taken as u64, &[]);
            socket.is_full = taken < out.len();
            engine.handle_sent(connection, &out, taken, now);
        }
    }

    fn end(&mut self, shard: usize, turn: &mut Turn<'_>) {
        while let Some(connection) = self.shards[shard].poll_closed() {
            turn.trace
                .note(format_args!("{connection:?} of {shard} is closed"));
            let socket = self.sockets.remove(&(shard, connection));
            if let Some(link) = socket.and_then(|socket| turn.links.get_mut(&socket.link)) {
                link.down.end();
            }
        }
    }

    fn go_on_stopping(&mut self, turn: &mut Turn<'_>) {
        let now = self.instant(turn.now_us);
        let are_lanes_empty = self.lanes.values().all(VecDeque::is_empty);
        let is_drained = self.shards.iter().all(Shard::is_drained) && are_lanes_empty;
        let is_stopped = self.shards.iter().all(Shard::is_stopped);
        match self.stop {
            Stop::Draining if is_drained => {
                self.stop = Stop::Closing;
                for shard in &mut self.shards {
                    shard.close(now);
                }
            }
            Stop::Closing if is_stopped && turn.storage.waiting_requests() == 0 => {
                self.stop = Stop::Over;
            }
            Stop::No | Stop::Draining | Stop::Closing | Stop::Over => (),
        }
    }
}

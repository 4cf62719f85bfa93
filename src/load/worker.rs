//! One thread of a run: many clients over one epoll set.
//!
//! A turn is: write what is due, let time pass for the sessions whose time has come, read every socket that is
//! ready, wait. Slow clients are not in the set for reading; they are given their allowance every few milliseconds.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::client::ConnectionRequest;
use crate::engine::Instant;

use super::member::{Context, LoadClient, Totals, Window};
use super::plan::{ClientPlan, Pace, Plan};
use super::socket::Socket;
use super::stage::{Outcome, Phase, Stage};
use super::tally::Tally;
use super::timers::Timers;
use super::verify::Ledgers;

/// Connections that one thread makes at the same time.
const CONNECTING_MAX: usize = 64;
const SCRATCH_BYTES: usize = 256 * 1024;
const EVENTS_MAX: usize = 1024;
/// Without anything to do, a thread looks up so often.
const TURN_MAX: Duration = Duration::from_millis(20);
/// How often slow clients are given their allowance.
const ALLOWANCE_PERIOD: Duration = Duration::from_millis(20);
/// How often a thread says how far it is.
const PUBLISH_PERIOD: Duration = Duration::from_millis(10);

pub(super) struct Worker<'a> {
    plan: &'a Plan,
    stage: &'a Stage,
    ledgers: Option<&'a Ledgers>,
    index: usize,
    address: SocketAddr,
    epoll: OwnedFd,
    clients: Vec<LoadClient>,
    /// What each client's socket is watched for.
    interests: Vec<EventFlags>,
    /// Clients whose sessions want to connect.
    to_connect: VecDeque<usize>,
    connecting: usize,
    /// Writers by when their next operation is due.
    dues: BinaryHeap<Reverse<(Instant, usize)>>,
    announcements: BinaryHeap<Reverse<(Instant, usize)>>,
    timers: Timers,
    allowance_at: Instant,
    publish_at: Instant,
    phase: Phase,
    window: Window,
    tally: Tally,
    totals: Totals,
    frames: Vec<u8>,
    scratch: Vec<u8>,
}

impl<'a> Worker<'a> {
    pub fn new(
        plan: &'a Plan,
        stage: &'a Stage,
        ledgers: Option<&'a Ledgers>,
        index: usize,
        address: SocketAddr,
        clients: impl Iterator<Item = ClientPlan>,
    ) -> io::Result<Self> {
        let now = stage.now();
        let clients: Vec<LoadClient> = clients
            .map(|client| LoadClient::new(plan, client, now))
            .collect();
        let mut timers = Timers::new(clients.len());
        for (index, client) in clients.iter().enumerate() {
            if !client.plan.joins_late {
                timers.set(index, now);
            }
        }
        let never = Instant::from_micros(u64::MAX);
        Ok(Self {
            plan,
            stage,
            ledgers,
            index,
            address,
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            interests: vec![EventFlags::empty(); clients.len()],
            to_connect: VecDeque::new(),
            connecting: 0,
            dues: BinaryHeap::new(),
            announcements: BinaryHeap::new(),
            timers,
            clients,
            allowance_at: now,
            publish_at: now,
            phase: Phase::Opening,
            window: Window {
                start: never,
                end: never,
            },
            tally: Tally::default(),
            totals: Totals::default(),
            frames: Vec::new(),
            scratch: vec![0; SCRATCH_BYTES],
        })
    }

    pub fn run(mut self) -> io::Result<Outcome> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let mut outcome = Outcome::default();
        loop {
            let phase = self.stage.phase();
            if phase != self.phase {
                if self.phase == Phase::Settling {
                    outcome.unfinished.extend(self.unfinished("writing"));
                }
                if phase == Phase::Done {
                    outcome.unfinished.extend(self.unfinished("catching up"));
                    break;
                }
                self.enter(phase);
            }
            self.write_due();
            self.announce_due();
            self.fire_timers();
            self.read_slowly();
            self.connect_waiting();
            self.publish();

            self.wait()?;
            events.clear();
            let spare = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, spare, Some(&Timespec::default())) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in events.drain(..) {
                self.handle_ready(event.data.u64() as usize, event.flags);
            }
        }
        for client in &self.clients {
            if let Some(writer) = client.plan.writer {
                outcome.written.insert(writer, client.sequence);
            }
            if let Some(text) = client.final_text().filter(|_| !client.is_lost()) {
                let entry = (client.plan.document, client.plan.index, text);
                outcome.texts.push(entry);
            }
        }
        outcome.tally = self.tally;
        Ok(outcome)
    }

    fn unfinished(&self, phase: &'static str) -> Vec<(usize, &'static str)> {
        let clients = self.clients.iter().filter(|client| self.remains(client));
        clients.map(|client| (client.plan.index, phase)).collect()
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        match phase {
            Phase::Opening | Phase::Converging | Phase::Done => {}
            Phase::Running => {
                let start = self.stage.start();
                let measured = start + self.plan.warm_up;
                self.window = Window {
                    start: measured,
                    end: measured + self.plan.duration,
                };
                for (index, client) in self.clients.iter().enumerate() {
                    let first = client
                        .plan
                        .writer
                        .and_then(|writer| self.plan.due(writer, 0));
                    if let Some(due) = first {
                        self.dues.push(Reverse((start + due, index)));
                    }
                    if client.plan.joins_late {
                        self.timers.set(index, measured);
                    }
                    if let Some(period) = self.plan.presence_period {
                        let share = client.plan.index as f64 / self.plan.clients.len() as f64;
                        let first = start + period.mul_f64(share);
                        self.announcements.push(Reverse((first, index)));
                    }
                }
                self.watch_all();
            }
            Phase::Settling => {
                self.announcements.clear();
                self.watch_all();
                (0..self.clients.len()).for_each(|index| self.schedule(index));
            }
        }
    }

    fn watch_all(&mut self) {
        for index in 0..self.clients.len() {
            self.watch(index);
        }
    }

    fn context(&mut self, now: Instant) -> (&mut Vec<LoadClient>, Context<'_>, &mut Vec<u8>) {
        let context = Context {
            plan: self.plan,
            ledgers: self.ledgers,
            tally: &mut self.tally,
            totals: &mut self.totals,
            window: self.window,
            now,
        };
        (&mut self.clients, context, &mut self.frames)
    }

    fn write_due(&mut self) {
        let now = self.stage.now();
        while let Some(Reverse((due, index))) = self.dues.peek().copied()
            && due <= now
        {
            let (clients, mut context, _) = self.context(now);
            let client = &mut clients[index];
            client.write(&mut context, due);
            let (writer, sequence) = (client.plan.writer, client.sequence);
            let next = writer.and_then(|writer| self.plan.due(writer, sequence));
            self.dues.pop();
            if let Some(next) = next {
                self.dues.push(Reverse((self.stage.start() + next, index)));
            }
            // Another one that is due at once goes into the same send.
            let is_behind = self
                .dues
                .peek()
                .is_some_and(|Reverse((due, next))| *next == index && *due <= now);
            if !is_behind {
                self.serve(index);
            }
        }
    }

    fn announce_due(&mut self) {
        let now = self.stage.now();
        let Some(period) = self.plan.presence_period else {
            return;
        };
        while let Some(Reverse((due, index))) = self.announcements.peek().copied()
            && due <= now
        {
            self.announcements.pop();
            self.announcements.push(Reverse((due + period, index)));
            let (clients, mut context, _) = self.context(now);
            let client = &mut clients[index];
            if client.plan.pace == Pace::Healthy && client.has_opened() {
                client.announce(&mut context, due);
                self.serve(index);
            }
        }
    }

    fn fire_timers(&mut self) {
        let now = self.stage.now();
        while let Some(index) = self.timers.poll(now) {
            // Time stands still for those who are stalled: they do not even notice that they hear nothing.
            if self.clients[index].pace_in(self.phase) != Pace::Stalled {
                self.clients[index].session.handle_timeout(now);
                self.serve(index);
            }
        }
    }

    /// Slow clients read what they have been allowed meanwhile.
    fn read_slowly(&mut self) {
        let now = self.stage.now();
        if self.phase != Phase::Running || now < self.allowance_at {
            return;
        }
        let passed = now.since(self.allowance_at) + ALLOWANCE_PERIOD;
        let allowance = self.plan.slow_bytes_per_second * passed.as_secs_f64();
        self.allowance_at = now + ALLOWANCE_PERIOD;
        for index in 0..self.clients.len() {
            if self.clients[index].plan.pace == Pace::Slow {
                let client = &mut self.clients[index];
                client.allowance_bytes = (client.allowance_bytes + allowance).min(64.0 * 1024.0);
                let bytes = client.allowance_bytes as usize;
                if bytes > 0
                    && client
                        .socket
                        .as_ref()
                        .is_some_and(|socket| socket.is_open())
                {
                    self.read(index, bytes);
                }
            }
        }
    }

    fn connect_waiting(&mut self) {
        while self.connecting < CONNECTING_MAX
            && let Some(index) = self.to_connect.pop_front()
        {
            let client = &mut self.clients[index];
            if client.session.is_stopped() {
                continue;
            }
            let connected = Socket::connect(
                &self.plan.endpoint_of(&client.plan),
                self.address,
                client.plan.pace.receive_buffer_bytes(),
                client.plan.index as u32,
            );
            let watched = connected.and_then(|socket| {
                let data = EventData::new_u64(index as u64);
                epoll::add(&self.epoll, socket.fd(), data, EventFlags::OUT)?;
                Ok(socket)
            });
            match watched {
                Ok(socket) => {
                    self.interests[index] = EventFlags::OUT;
                    client.socket = Some(socket);
                    self.connecting += 1;
                }
                Err(error) => self.lose(index, &error),
            }
        }
    }

    fn handle_ready(&mut self, index: usize, flags: EventFlags) {
        let Some(socket) = &mut self.clients[index].socket else {
            return;
        };
        let was_open = socket.is_open();
        if flags.contains(EventFlags::OUT)
            && let Err(error) = socket.handle_writable()
        {
            self.lose(index, &error);
            return;
        }
        let broken = EventFlags::ERR | EventFlags::HUP;
        if flags.intersects(EventFlags::IN | broken) {
            self.read(index, SCRATCH_BYTES);
        }
        let Some(socket) = &self.clients[index].socket else {
            return;
        };
        if socket.is_open() && !was_open {
            self.connecting -= 1;
            self.clients[index]
                .session
                .handle_connected(self.stage.now());
        }
        self.serve(index);
    }

    fn read(&mut self, index: usize, bytes_max: usize) {
        let client = &mut self.clients[index];
        let Some(socket) = &mut client.socket else {
            return;
        };
        let now = self.stage.now();
        let session = &mut client.session;
        let was_open = socket.is_open();
        let scratch = &mut self.scratch[..bytes_max.min(SCRATCH_BYTES)];
        let read = socket.read(scratch, |bytes| {
            if !was_open {
                session.handle_connected(now);
            }
            session.handle_bytes(bytes, now);
        });
        match read {
            Ok(bytes) => {
                client.allowance_bytes -= bytes as f64;
                if self.window.contains(now) {
                    self.tally.bytes_received += bytes as u64;
                }
                self.serve(index);
            }
            Err(error) => self.lose(index, &error),
        }
    }

    /// After anything that has happened to a client: events, sends, connection, timer, interest.
    fn serve(&mut self, index: usize) {
        let now = self.stage.now();
        let (clients, mut context, frames) = self.context(now);
        let client = &mut clients[index];
        client.handle_events(&mut context);
        if let Err(error) = client.transmit(frames, &mut context) {
            self.lose(index, &error);
            return;
        }
        while let Some(request) = self.clients[index].session.poll_connection(now) {
            match request {
                ConnectionRequest::Connect => self.to_connect.push_back(index),
                ConnectionRequest::Disconnect => self.drop_socket(index),
            }
        }
        self.schedule(index);
        self.watch(index);
    }

    fn schedule(&mut self, index: usize) {
        let client = &self.clients[index];
        if client.pace_in(self.phase) != Pace::Stalled
            && let Some(at) = client.session.poll_timeout()
        {
            self.timers.set(index, at);
        }
    }

    /// A closed socket leaves the epoll set by itself.
    fn drop_socket(&mut self, index: usize) {
        if let Some(socket) = self.clients[index].socket.take()
            && !socket.is_open()
        {
            self.connecting -= 1;
        }
    }

    fn lose(&mut self, index: usize, error: &io::Error) {
        let client = &self.clients[index];
        if !client.has_opened() && !client.is_lost() {
            self.tally.error(format!("cannot connect: {error}"));
            self.totals.errors += 1;
        }
        self.drop_socket(index);
        let now = self.stage.now();
        self.clients[index].disconnected(now);
        let (clients, mut context, _) = self.context(now);
        clients[index].handle_events(&mut context);
        self.schedule(index);
    }

    fn watch(&mut self, index: usize) {
        let client = &self.clients[index];
        let Some(socket) = &client.socket else {
            return;
        };
        let mut interest = EventFlags::empty();
        if !socket.is_open() || client.pace_in(self.phase) == Pace::Healthy {
            interest |= EventFlags::IN;
        }
        if socket.wants_writable() {
            interest |= EventFlags::OUT;
        }
        if interest != self.interests[index] {
            self.interests[index] = interest;
            let data = EventData::new_u64(index as u64);
            epoll::modify(&self.epoll, socket.fd(), data, interest)
                .expect("the socket is in the set");
        }
    }

    /// Waits with the precision of the clock, which epoll's own milliseconds do not have.
    fn wait(&self) -> io::Result<()> {
        let now = self.stage.now();
        let next = [&self.dues, &self.announcements]
            .into_iter()
            .filter_map(|times| times.peek().map(|Reverse((at, _))| *at))
            .chain(self.timers.first())
            .min();
        let timeout = next.map_or(TURN_MAX, |at| at.since(now).min(TURN_MAX));
        let timeout = Timespec::try_from(timeout).expect("a turn is short");
        match poll(
            &mut [PollFd::from_borrowed_fd(self.epoll.as_fd(), PollFlags::IN)],
            Some(&timeout),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn remains(&self, client: &LoadClient) -> bool {
        let last = self
            .ledgers
            .map(|ledgers| ledgers.last(client.plan.document));
        client.remains(self.phase, last)
    }

    fn publish(&mut self) {
        let now = self.stage.now();
        let progress = &self.stage.progress[self.index];
        if now < self.publish_at {
            return;
        }
        self.publish_at = now + PUBLISH_PERIOD;
        let store = |field: &AtomicU64, figure: u64| field.store(figure, Ordering::Relaxed);
        store(&progress.sent, self.totals.sent);
        store(&progress.acknowledged, self.totals.acknowledged);
        store(&progress.delivered, self.totals.delivered);
        store(&progress.errors, self.totals.errors);
        if let Some(what) = self.tally.errors.keys().next() {
            progress.trouble.get_or_init(|| what.clone());
        }
        let remaining = if self.phase == Phase::Running {
            self.dues.len()
        } else {
            let remaining = self.clients.iter().filter(|client| self.remains(client));
            remaining.count()
        };
        let live = self
            .clients
            .iter()
            .filter(|client| client.session.is_live());
        store(&progress.connected, live.count() as u64);
        let opened = self.clients.iter().filter(|client| client.has_opened());
        store(&progress.opened, opened.count() as u64);
        store(&progress.remaining, remaining as u64);
        progress.phase.store(self.phase as u64, Ordering::Release);
    }
}

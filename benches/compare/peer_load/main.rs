//! Puts the same load on relays that speak different protocols, at the same price: every protocol is spoken just well
//! enough to publish and to subscribe, and whoever receives only looks for stamps in the bytes.
//!
//! A delivery is an operation that reached a client other than its writer. Prints the figures as JSON.

mod connection;
mod protocol;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::Parser;
use hdrhistogram::Histogram;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use connection::{Connection, STAMP_BYTES, Stamp};
use protocol::{Protocol, Writer};

use corelay::load::scrape::{Activity, Scrape};

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, value_enum)]
    protocol: Protocol,
    #[arg(long)]
    address: SocketAddr,
    #[arg(long, default_value_t = 1)]
    documents: usize,
    /// Of each document.
    #[arg(long, default_value_t = 1001)]
    clients: usize,
    /// Of each document's clients.
    #[arg(long, default_value_t = 1)]
    writers: usize,
    /// Operations per second of all writers together.
    #[arg(long, default_value_t = 25.0)]
    rate: f64,
    /// Operations of a writer that are due, and sent, at once.
    #[arg(long, default_value_t = 1)]
    burst: u64,
    /// In place of a rate: as fast as it goes, with so many of each writer's operations on their way.
    #[arg(long)]
    in_flight: Option<u64>,
    #[arg(long, default_value_t = 64)]
    payload_bytes: usize,
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// The server's process, for its CPU time.
    #[arg(long)]
    pid: u32,
    /// Where a corelay tells its metrics.
    #[arg(long)]
    metrics: Option<String>,
}

/// Everybody has what was said while joining before the first operation.
const SETTLE: Duration = Duration::from_secs(1);
/// After the last operation.
const DRAIN: Duration = Duration::from_millis(500);

struct Document {
    operations: u64,
    deliveries: u64,
}

struct Run {
    arguments: Arguments,
    connections: Vec<Connection>,
    /// Those of the connections that write: the first of each document.
    writers: Vec<Writer>,
    documents: Vec<Document>,
    clock: Instant,
    /// Microseconds of the clock.
    window: std::ops::Range<u64>,
    latency: Histogram<u64>,
    sent: u64,
    delivered: u64,
    echoed: u64,
    scratch: Vec<u8>,
}

fn main() {
    let arguments = Arguments::parse();
    assert!(
        arguments.payload_bytes >= STAMP_BYTES,
        "a stamp has {STAMP_BYTES} bytes"
    );
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).expect("up to the hard limit it is allowed");
    Run::new(arguments).run();
}

/// User and system time of a process.
fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the server runs");
    let (_, fields) = stat.rsplit_once(") ").expect("as in proc(5)");
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks: u64 = ticks
        .map(|field| field.parse::<u64>().expect("as in proc(5)"))
        .sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

fn own_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).expect("time is positive")
}

impl Run {
    fn new(arguments: Arguments) -> Self {
        let (documents, protocol) = (arguments.documents, arguments.protocol);
        let (mut connections, mut writers) = (Vec::new(), Vec::new());
        for index in 0..documents * arguments.clients {
            let document = index % documents;
            let name = format!("d{document}");
            let (stream, handle) = protocol.join(arguments.address, index, &name);
            if index < documents * arguments.writers {
                writers.push(Writer::new(protocol, index, name, handle));
            }
            connections.push(Connection::new(stream, document));
        }
        Self {
            writers,
            connections,
            documents: (0..documents)
                .map(|_| Document {
                    operations: 0,
                    deliveries: 0,
                })
                .collect(),
            clock: Instant::now(),
            window: u64::MAX..u64::MAX,
            latency: Histogram::new_with_bounds(1, 600_000_000, 3)
                .expect("the bounds are in order"),
            sent: 0,
            delivered: 0,
            echoed: 0,
            scratch: vec![0; 256 * 1024],
            arguments,
        }
    }

    fn now_us(&self) -> u64 {
        self.clock.elapsed().as_micros() as u64
    }

    fn run(mut self) {
        let set = epoll::create(CreateFlags::CLOEXEC).expect("the kernel has epoll");
        for (index, connection) in self.connections.iter().enumerate() {
            let data = EventData::new_u64(index as u64);
            epoll::add(&set, &connection.stream, data, EventFlags::IN).expect("it is new");
        }
        let settled = self.now_us() + SETTLE.as_micros() as u64;
        self.turn_until(&set, settled, &mut Dues::default());

        let start = self.now_us() + 1000;
        let measured = start + (self.arguments.warm_up * 1e6) as u64;
        let end = measured + (self.arguments.seconds * 1e6) as u64;
        self.window = measured..end;
        let mut dues = Dues::new(&self.arguments, self.writers.len(), start);
        self.turn_until(&set, measured, &mut dues);
        let scraped_before = self.scrape();
        let before = (cpu(self.arguments.pid), own_cpu());
        self.turn_until(&set, end, &mut dues);
        let after = (cpu(self.arguments.pid), own_cpu());
        let (sent, delivered, echoed) = (self.sent, self.delivered, self.echoed);
        let relay = scraped_before
            .zip(self.scrape())
            .map(|(before, after)| Activity::between(before, after));
        let drained = self.now_us() + DRAIN.as_micros() as u64;
        self.turn_until(&set, drained, &mut Dues::default());

        let seconds = self.arguments.seconds;
        let server = (after.0 - before.0).as_secs_f64();
        let own = (after.1 - before.1).as_secs_f64();
        let receivers = (self.arguments.clients - 1) as f64;
        let micros = |quantile: f64| self.latency.value_at_quantile(quantile);
        println!(
            "{}",
            json!({
                "sent_per_second": sent as f64 / seconds,
                "delivered_per_second": delivered as f64 / seconds,
                "delivered_share": delivered as f64 / (sent as f64 * receivers).max(1.0),
                "echoed": echoed,
                "server_cpu_us_per_delivery": server * 1e6 / (delivered as f64).max(1.0),
                "server_busy": server / seconds,
                "client_cpu_us_per_delivery": own * 1e6 / (delivered as f64).max(1.0),
                "client_busy": own / seconds,
                "p50_us": micros(0.5),
                "p99_us": micros(0.99),
                "p999_us": micros(0.999),
                "relay": relay.as_ref().map(Activity::to_json),
            })
        );
    }

    fn scrape(&self) -> Option<Scrape> {
        let address = self.arguments.metrics.as_ref()?;
        Some(Scrape::ask(address).expect("the relay tells its metrics"))
    }

    fn turn_until(&mut self, set: &impl std::os::fd::AsFd, until: u64, dues: &mut Dues) {
        let mut events = Vec::with_capacity(1024);
        loop {
            let now = self.now_us();
            if now >= until {
                return;
            }
            while let Some((due, writer)) = dues.poll(now) {
                self.write(writer, due, self.arguments.burst);
            }
            if dues.is_closed_loop {
                self.fill();
            }
            let wait = dues
                .next()
                .unwrap_or(until)
                .min(until)
                .saturating_sub(now)
                .min(20_000);
            let wait = Timespec {
                tv_sec: 0,
                tv_nsec: (wait * 1000) as i64,
            };
            // poll() has the clock's precision where epoll has milliseconds.
            let fd = set.as_fd();
            let mut fds = [rustix::event::PollFd::from_borrowed_fd(
                fd,
                rustix::event::PollFlags::IN,
            )];
            let _ = rustix::event::poll(&mut fds, Some(&wait));
            events.clear();
            let spare = rustix::buffer::spare_capacity(&mut events);
            let _ = epoll::wait(set, spare, Some(&Timespec::default()));
            for event in events.drain(..) {
                self.read(event.data.u64() as usize);
            }
            for connection in 0..self.writers.len() {
                self.connections[connection].flush();
            }
        }
    }

    fn write(&mut self, writer: usize, due_us: u64, count: u64) {
        let connection = &mut self.connections[writer];
        for _ in 0..count {
            let stamp = Stamp {
                writer: writer as u32,
                due_us,
            };
            let payload = stamp.payload(self.arguments.payload_bytes);
            self.writers[writer].publish(&payload, &mut connection.unsent);
            self.documents[connection.document].operations += 1;
            self.sent += u64::from(self.window.contains(&due_us));
        }
        connection.flush();
    }

    /// Writers whose operations have arrived everywhere write again.
    fn fill(&mut self) {
        let in_flight = self.arguments.in_flight.unwrap_or_default();
        let receivers = (self.arguments.clients - 1) as u64;
        for writer in 0..self.writers.len() {
            let document = &self.documents[self.connections[writer].document];
            let arrived = document.deliveries / receivers;
            let free = (arrived + in_flight * self.arguments.writers as u64)
                .saturating_sub(document.operations);
            let share = free.min(in_flight);
            if share * 2 >= in_flight {
                let now = self.now_us();
                self.write(writer, now, share);
            }
        }
    }

    fn read(&mut self, index: usize) {
        let now = self.clock.elapsed().as_micros() as u64;
        let connection = &mut self.connections[index];
        let document = &mut self.documents[connection.document];
        let is_measured = self.window.contains(&now);
        let (delivered, echoed, latency, window) = (
            &mut self.delivered,
            &mut self.echoed,
            &mut self.latency,
            &self.window,
        );
        connection.read(&mut self.scratch, |stamp| {
            if stamp.writer as usize == index {
                *echoed += u64::from(is_measured);
                return;
            }
            document.deliveries += 1;
            *delivered += u64::from(is_measured);
            if window.contains(&stamp.due_us) {
                latency.saturating_record((now - stamp.due_us.min(now)).max(1));
            }
        });
    }
}

/// When who is to write: bursts on a fixed grid, the writers in turns.
#[derive(Default)]
struct Dues {
    entries: BinaryHeap<Reverse<(u64, usize)>>,
    period_us: f64,
    start: u64,
    turns: Vec<u64>,
    is_closed_loop: bool,
}

impl Dues {
    fn new(arguments: &Arguments, writers: usize, start: u64) -> Self {
        let mut dues = Self {
            period_us: arguments.burst as f64 * 1e6 / arguments.rate,
            start,
            turns: vec![0; writers],
            is_closed_loop: arguments.in_flight.is_some(),
            ..Self::default()
        };
        if !dues.is_closed_loop {
            (0..writers).for_each(|writer| dues.push(writer));
        }
        dues
    }

    fn push(&mut self, writer: usize) {
        let number = self.turns[writer] * self.turns.len() as u64 + writer as u64;
        let due = self.start + (number as f64 * self.period_us) as u64;
        self.turns[writer] += 1;
        self.entries.push(Reverse((due, writer)));
    }

    fn next(&self) -> Option<u64> {
        self.entries.peek().map(|Reverse((due, _))| *due)
    }

    fn poll(&mut self, now: u64) -> Option<(u64, usize)> {
        let Reverse((due, writer)) = *self.entries.peek()?;
        if due > now {
            return None;
        }
        self.entries.pop();
        self.push(writer);
        Some((due, writer))
    }
}

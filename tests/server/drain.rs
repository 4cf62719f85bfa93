//! A planned stop with five hundred clients at work, and a start on the same store and port: all are told to come back,
//! all do, each at a time of its own, nothing that was acknowledged is lost, and nobody sees a gap.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::common::client::{Client as Raw, Socket};
use crate::common::events::Events;
use crate::common::{PATIENCE, Server, events};
use bytes::Bytes;
use corelay::client::{Client, DocumentKey, Event, OpenOptions, Settings};
use corelay::codec::wire::{Close, ErrorCode, event};
use corelay::engine::Instant as SessionInstant;
use serde_json::Value;
use tempfile::TempDir;
use tungstenite::Message;

const WEBSOCKETS: usize = 230;
const TCPS: usize = 230;
const STREAMS: usize = 40;
const DOCUMENTS: usize = 20;
/// Between two operations of a writer: five hundred a second in all.
const PERIOD: Duration = Duration::from_millis(920);

/// How far the test is.
#[derive(Default)]
struct Stage {
    /// Clients that have everything of their document, again after the stop.
    here: AtomicUsize,
    back: AtomicUsize,
    is_writing_over: AtomicBool,
    is_over: AtomicBool,
}

/// What one client has been through.
#[derive(Default)]
struct Outcome {
    document: usize,
    acknowledged: Vec<Bytes>,
    /// After Goaway, until the client comes back, and what of it Goaway asks for.
    pause: Option<Duration>,
    asked: Option<(Duration, Duration)>,
}

fn document_name(number: usize) -> String {
    format!("document-{}", number % DOCUMENTS)
}

/// A client of this crate that writes, and reads without a gap.
struct Writer<'a> {
    stage: &'a Stage,
    number: usize,
    client: Client,
    document: DocumentKey,
    next_revision: u64,
    told_at: Option<SessionInstant>,
    is_back: bool,
    unanswered: usize,
    outcome: Outcome,
}

impl<'a> Writer<'a> {
    fn new(stage: &'a Stage, number: usize, url: &str) -> Self {
        let settings = Settings {
            client_uuid: (number as u128 + 1).to_be_bytes(),
            seed: number as u64,
            ..Settings::default()
        };
        let mut client = Client::new(url, settings).expect("a URL");
        let document = client.session().open(OpenOptions {
            document: document_name(number),
            kind: "log".to_owned(),
            create: true,
            have: None,
        });
        Self {
            stage,
            number,
            client,
            document,
            next_revision: 1,
            told_at: None,
            is_back: false,
            unanswered: 0,
            outcome: Outcome {
                document: number % DOCUMENTS,
                ..Outcome::default()
            },
        }
    }

    fn run(mut self) -> Outcome {
        // They do not write all at once.
        let offset = PERIOD.mul_f64(self.number as f64 / (WEBSOCKETS + TCPS) as f64);
        let mut due = Instant::now() + offset;
        let mut written = 0;
        let deadline = Instant::now() + 4 * PATIENCE;
        while !self.stage.is_over.load(Ordering::Relaxed) || self.unanswered > 0 {
            assert!(
                Instant::now() < deadline,
                "client {} waits in vain",
                self.number
            );
            if Instant::now() >= due && !self.stage.is_writing_over.load(Ordering::Relaxed) {
                due += PERIOD;
                let operation = Bytes::from(format!("{}:{written}", self.number));
                written += 1;
                self.unanswered += 1;
                let now = self.client.now();
                let taken = self.client.session().submit(self.document, operation, now);
                taken.expect("there is room");
            }
            if let Some(event) = self.client.next_event(Duration::from_millis(40)) {
                self.handle(event);
            }
        }
        self.outcome
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Remote {
                revision,
                operations,
                ..
            } => self.see(revision, operations.len() as u64),
            Event::Acknowledged {
                first_revision,
                count,
                operations,
                ..
            } => {
                self.unanswered -= operations.len();
                if !operations.is_empty() {
                    self.see(first_revision, count);
                }
                self.outcome.acknowledged.extend(operations);
            }
            Event::Goaway {
                reconnect_after,
                jitter,
                reason,
            } => {
                assert_eq!(reason, "the relay is stopping");
                self.told_at = Some(self.client.now());
                self.outcome.asked = Some((reconnect_after, jitter));
            }
            Event::Disconnected { retry_at } => {
                let told_at = self.told_at.expect("nobody is dropped without a word");
                let retry_at = retry_at.expect("it comes back");
                let pause = &mut self.outcome.pause;
                pause.get_or_insert(retry_at.since(told_at));
            }
            Event::Synced { .. } => match self.told_at {
                None => drop(self.stage.here.fetch_add(1, Ordering::Relaxed)),
                Some(_) if !self.is_back => {
                    self.is_back = true;
                    self.stage.back.fetch_add(1, Ordering::Relaxed);
                }
                Some(_) => {}
            },
            Event::Error { refusal, .. } => {
                assert!(refusal.retryable, "{refusal:?}");
            }
            Event::Connected { .. } | Event::Opened { .. } | Event::Presence { .. } => {}
            other => panic!("client {} is told {other:?}", self.number),
        }
    }

    fn see(&mut self, revision: u64, count: u64) {
        assert_eq!(revision, self.next_revision, "client {}", self.number);
        self.next_revision += count;
    }
}

/// A reader by event stream, which comes back as Goaway says.
fn read_stream(stage: &Stage, number: usize, server: std::net::SocketAddr) -> Outcome {
    let path = format!(
        "/events/documents/{}?version=3&client={}",
        document_name(number),
        events::uuid(1000 + number as u64)
    );
    let mut outcome = Outcome::default();
    let mut last_id = String::new();
    let mut next = 1;
    while let Some(mut stream) = open_stream(stage, server, &path, &last_id) {
        let mut is_counted = false;
        while let Some(message) = stream.next() {
            let payload = &message.json["payload"];
            let number = |name: &str| payload[name].as_u64().expect("a number");
            match message.json["type"].as_str().expect("a type") {
                "remote_ops" => {
                    assert_eq!(number("revision"), next, "stream {path}");
                    next += payload["operations"].as_array().expect("an array").len() as u64;
                }
                "sync_response" => {
                    for batch in payload["batches"].as_array().expect("an array") {
                        assert_eq!(batch["revision"], next, "stream {path}");
                        next += batch["count"].as_u64().expect("a number");
                    }
                    if payload["hasMore"] == false && !is_counted {
                        is_counted = true;
                        let counted = match outcome.asked {
                            None => &stage.here,
                            Some(_) => &stage.back,
                        };
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                }
                "goaway" => {
                    let time = |name: &str| Duration::from_millis(number(name));
                    outcome.asked = Some((time("reconnectAfterMs"), time("jitterMs")));
                }
                "disconnect" => {
                    assert_eq!(payload["retryable"], Value::Bool(true), "{payload}");
                    assert!(payload["retryAfter"].as_f64() > Some(0.0), "{payload}");
                }
                "connected" | "opened" | "sync_request" | "presence_update" | "ping" => {}
                other => panic!("{other}: {payload}"),
            }
            if !message.id.is_empty() {
                last_id = message.id;
            }
            if stage.is_over.load(Ordering::Relaxed) {
                return outcome;
            }
        }
        let (after, jitter) = outcome.asked.expect("nobody is dropped without a word");
        let share = number as f64 / STREAMS as f64;
        std::thread::sleep(after + jitter.mul_f64(share));
    }
    outcome
}

/// Asks until there is a stream.
fn open_stream(
    stage: &Stage,
    server: std::net::SocketAddr,
    path: &str,
    last_id: &str,
) -> Option<Events> {
    let headers = match last_id {
        "" => String::new(),
        id => format!("Last-Event-ID: {id}\r\n"),
    };
    while !stage.is_over.load(Ordering::Relaxed) {
        if let Ok(socket) = std::net::TcpStream::connect(server) {
            let patience = Some(PATIENCE);
            socket.set_read_timeout(patience).expect("it is not zero");
            if let Ok(events) = Events::open_over(socket, path, &headers) {
                return Some(events);
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    None
}

/// What a client that looks at every frame is told until the end, and the close code of a WebSocket.
fn last_words(mut client: Raw) -> (Vec<event::Body>, Option<u16>) {
    let mut told = Vec::new();
    loop {
        match &mut client.socket {
            Socket::WebSocket(socket) => match socket.read() {
                Ok(Message::Binary(bytes)) => told.extend(split(&bytes)),
                Ok(Message::Close(close)) => {
                    return (told, Some(close.expect("it has a code").code.into()));
                }
                Ok(_ping) => {}
                Err(error) => panic!("it ends without a close frame: {error}"),
            },
            Socket::Tcp(_) => match client.next_event() {
                Some(event) => told.push(event),
                None => return (told, None),
            },
        }
    }
}

fn split(mut bytes: &[u8]) -> Vec<event::Body> {
    use corelay::codec::{frame, wire};
    use prost::Message as _;
    let mut told = Vec::new();
    while let Some(message) = frame::split(&mut bytes, 1 << 20).expect("frames") {
        let event = wire::Event::decode(message).expect("an event");
        told.extend(event.body);
    }
    told
}

#[test]
fn five_hundred_clients_come_back_after_a_stop_and_miss_nothing() {
    let directory = TempDir::new().expect("there is room");
    let mut server = Server::spawn_in(directory.path(), &["shards.cores=2"]);
    let addresses = [
        "shards.cores=2".to_owned(),
        format!("listen.websocket={}", server.websocket),
        format!("listen.tcp={}", server.tcp),
    ];
    let settings = addresses.each_ref().map(String::as_str);
    let (websocket, tcp) = (server.websocket, server.tcp);
    let stage = Stage::default();
    let all = WEBSOCKETS + TCPS + STREAMS;
    let outcomes = std::thread::scope(|scope| {
        let stage = &stage;
        let spawn = |number: usize| {
            let thread = std::thread::Builder::new().stack_size(512 * 1024);
            let run = move || match number.checked_sub(WEBSOCKETS + TCPS) {
                Some(number) => read_stream(stage, number, websocket),
                None if number < WEBSOCKETS => {
                    Writer::new(stage, number, &format!("ws://{websocket}")).run()
                }
                None => Writer::new(stage, number, &format!("tcp://{tcp}")).run(),
            };
            thread.spawn_scoped(scope, run).expect("a thread")
        };
        // The streams come after the writers, who make the documents.
        let mut clients: Vec<_> = (0..WEBSOCKETS + TCPS).map(spawn).collect();
        server.wait_for("everybody to be there", || {
            (stage.here.load(Ordering::Relaxed) >= WEBSOCKETS + TCPS).then_some(())
        });
        clients.extend((WEBSOCKETS + TCPS..all).map(spawn));
        server.wait_for("the streams to be there", || {
            (stage.here.load(Ordering::Relaxed) >= all).then_some(())
        });
        let mut raw = [Raw::tcp(&server), Raw::websocket(&server, "/ws")];
        for (number, client) in (900..).zip(&mut raw) {
            client.hello(number);
        }
        server.terminate();
        for (client, close_code) in raw.into_iter().zip([None, Some(1001)]) {
            let (told, code) = last_words(client);
            assert_eq!(code, close_code);
            let [event::Body::Goaway(goaway), event::Body::Close(close)] = &told[..] else {
                panic!("{told:?}");
            };
            assert!(goaway.reconnect_after_ms > 0 && goaway.jitter_ms > 0);
            let Close {
                retryable,
                retry_after_ms,
                ..
            } = *close;
            assert_eq!(close.code(), ErrorCode::ServiceUnavailable);
            assert!(retryable && retry_after_ms > 0 && !close.message.is_empty());
        }
        assert_eq!(server.wait().code(), Some(0), "{}", server.log());
        server = Server::spawn_in(directory.path(), &settings);
        let deadline = Instant::now() + 2 * PATIENCE;
        while stage.back.load(Ordering::Relaxed) < all {
            let back = stage.back.load(Ordering::Relaxed);
            assert!(Instant::now() < deadline, "{back} of {all} are back");
            assert!(
                !clients
                    .iter()
                    .any(std::thread::ScopedJoinHandle::is_finished),
                "a client has failed"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(4 * PERIOD);
        stage.is_writing_over.store(true, Ordering::Relaxed);
        stage.is_over.store(true, Ordering::Relaxed);
        // A stream looks up when something comes.
        let mut caller = Raw::tcp(&server);
        caller.hello(999);
        for (clock, number) in (0..).zip(0..DOCUMENTS) {
            let document = caller.open(&document_name(number)).document;
            caller.send(document, clock + 1, 0, &["{}"]);
        }
        let join = |client: std::thread::ScopedJoinHandle<'_, Outcome>| client.join();
        clients
            .into_iter()
            .map(|client| join(client).expect("it misses nothing"))
            .collect::<Vec<_>>()
    });

    assert!(
        outcomes.iter().all(|outcome| outcome.asked.is_some()),
        "all are told"
    );
    let writers = &outcomes[..WEBSOCKETS + TCPS];
    check_pauses(writers);
    check_history(writers, &server);
}

/// Everybody comes back when asked to, and they do not come together.
fn check_pauses(writers: &[Outcome]) {
    let mut eighths = [0; 8];
    for outcome in writers {
        let (after, jitter) = outcome.asked.expect("all are told");
        let pause = outcome.pause.expect("all are disconnected");
        assert!(pause >= after, "{pause:?}");
        let share = (pause - after).as_secs_f64() / jitter.as_secs_f64();
        eighths[((share * 8.0) as usize).min(7)] += 1;
    }
    let fair = writers.len() / 8;
    assert!(
        eighths
            .iter()
            .all(|count| (fair / 3..=fair * 2).contains(count)),
        "{eighths:?}"
    );
    let mut pauses: Vec<_> = writers.iter().filter_map(|outcome| outcome.pause).collect();
    pauses.sort_unstable();
    let together = pauses
        .windows(10)
        .filter(|pauses| pauses[9] - pauses[0] < Duration::from_millis(2));
    assert_eq!(together.count(), 0, "ten come within two milliseconds");
}

/// Whatever was acknowledged is in its document, once.
fn check_history(writers: &[Outcome], server: &Server) {
    let mut acknowledged = 0;
    for number in 0..DOCUMENTS {
        let mut reader = Raw::tcp(server);
        reader.hello(2000 + number as u64);
        let newest = reader.open(&document_name(number)).position;
        let newest = newest.expect("a position").revision;
        let mut stored = BTreeMap::<Bytes, usize>::new();
        let mut next = 1;
        while next <= newest {
            let batches = reader.expect("operations", |event| match event {
                event::Body::SyncResponse(page) => Some(page.operations),
                event::Body::RemoteOps(remote) => Some(vec![remote]),
                _other => None,
            });
            for batch in batches {
                assert_eq!(batch.revision, next);
                next += batch.operations.len() as u64;
                for operation in batch.operations {
                    *stored.entry(operation).or_default() += 1;
                }
            }
        }
        for outcome in writers.iter().filter(|outcome| outcome.document == number) {
            for operation in &outcome.acknowledged {
                acknowledged += 1;
                assert_eq!(stored.get(operation), Some(&1), "{operation:?}");
            }
        }
    }
    assert!(acknowledged > 5 * writers.len(), "{acknowledged} are few");
}

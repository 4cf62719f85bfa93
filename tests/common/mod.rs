//! The real binary for tests: spawned with settings of its own, on free ports, in a directory that goes away.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod api;
pub mod backend;
pub mod client;
pub mod events;
pub mod http_server;
pub mod readme;
pub mod receiver;
pub mod store_tool;
pub mod tokens;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use corelay::client::{Reconnect, Settings};
use tempfile::TempDir;

/// How long anything in a test may take that must happen at some time. It is only ever waited out by a failure.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Of a client of this crate that comes back soon; each has a number of its own.
pub fn settings(number: u8) -> Settings {
    Settings {
        client_uuid: [number; 16],
        reconnect: Reconnect {
            delay: Duration::from_millis(20),
            ..Reconnect::default()
        },
        seed: number.into(),
        ..Settings::default()
    }
}

/// A running relay. It is killed when this is dropped.
pub struct Server {
    child: Child,
    pub websocket: SocketAddr,
    pub tcp: SocketAddr,
    pub admin: SocketAddr,
    directory: Directory,
}

/// A relay that ended before it listened.
#[derive(Debug)]
pub struct NotStarted {
    pub status: ExitStatus,
    pub log: String,
}

enum Directory {
    Own(TempDir),
    Given(PathBuf),
}

impl Directory {
    fn path(&self) -> &Path {
        match self {
            Self::Own(directory) => directory.path(),
            Self::Given(path) => path,
        }
    }
}

impl Server {
    /// A relay with an empty store. `settings` are `table.key=value`, over the tests' own.
    pub fn spawn(settings: &[&str]) -> Self {
        Self::try_spawn(settings).expect("the relay starts")
    }

    pub fn try_spawn(settings: &[&str]) -> Result<Self, NotStarted> {
        let directory = TempDir::new().expect("there is room for a directory");
        Self::start(Directory::Own(directory), settings)
    }

    /// A relay whose store and log are in a directory that stays. If there is a `corelay.toml`, it is its configuration,
    /// over which the settings are.
    pub fn spawn_in(directory: &Path, settings: &[&str]) -> Self {
        Self::try_spawn_in(directory, settings).expect("the relay starts")
    }

    pub fn try_spawn_in(directory: &Path, settings: &[&str]) -> Result<Self, NotStarted> {
        Self::start(Directory::Given(directory.to_owned()), settings)
    }

    /// A relay whose log goes there.
    pub fn spawn_logging_to(log: impl Into<Stdio>, settings: &[&str]) -> Self {
        let directory = TempDir::new().expect("there is room for a directory");
        let program = Command::new(env!("CARGO_BIN_EXE_corelay"));
        let directory = Directory::Own(directory);
        let started = Self::start_program(program, log.into(), directory, settings);
        started.expect("the relay starts")
    }

    /// A relay that may have no more than so many descriptors.
    pub fn spawn_with_descriptors(count: u64, settings: &[&str]) -> Self {
        let directory = TempDir::new().expect("there is room for a directory");
        let mut program = Command::new("sh");
        program.args(["-c", "ulimit -n \"$1\"; shift; exec \"$@\"", "sh"]);
        program.args([&count.to_string(), env!("CARGO_BIN_EXE_corelay")]);
        let log = log_in(directory.path());
        let directory = Directory::Own(directory);
        let started = Self::start_program(program, log, directory, settings);
        started.expect("the relay starts")
    }

    fn start(directory: Directory, settings: &[&str]) -> Result<Self, NotStarted> {
        let program = Command::new(env!("CARGO_BIN_EXE_corelay"));
        let log = log_in(directory.path());
        Self::start_program(program, log, directory, settings)
    }

    fn start_program(
        mut command: Command,
        log: Stdio,
        directory: Directory,
        settings: &[&str],
    ) -> Result<Self, NotStarted> {
        let data = format!("store.path={}", directory.path().join("data").display());
        let own = [
            "listen.websocket=127.0.0.1:0",
            "listen.tcp=127.0.0.1:0",
            "listen.admin=127.0.0.1:0",
            "shards.cores=1",
            data.as_str(),
        ];
        command.arg("serve");
        let file = directory.path().join("corelay.toml");
        if file.exists() {
            command.arg("--config").arg(file);
        }
        for setting in own.iter().chain(settings) {
            command.args(["--set", setting]);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary runs");
        let stdout = child.stdout.take().expect("it is piped");
        let (lines, listening) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = lines.send(line);
            }
        });
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut server = Self {
            child,
            websocket: nowhere,
            tcp: nowhere,
            admin: nowhere,
            directory,
        };
        let line = match listening.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(NotStarted {
                    status: server.wait(),
                    log: server.log(),
                });
            }
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("no word from it: {}", server.log()),
        };
        let address = |name: &str| {
            let word = line.split(' ').find_map(|word| word.strip_prefix(name))?;
            word.strip_prefix('=')?.parse().ok()
        };
        server.websocket = address("websocket").unwrap_or(nowhere);
        server.tcp = address("tcp").unwrap_or(nowhere);
        server.admin = address("admin").unwrap_or(nowhere);
        Ok(server)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it has logged, earlier relays in the same directory included.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Waits until it has logged this.
    pub fn wait_for_log(&self, text: &str) {
        self.wait_for(text, || self.log().contains(text).then_some(()));
    }

    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.pid()).expect("process ids are small");
        // SAFETY: it sends a signal to our own child, which has not been waited for.
        unsafe { libc::kill(pid, signal) };
    }

    /// Asks it to stop, as a service manager does.
    pub fn terminate(&self) {
        self.signal(libc::SIGTERM);
    }

    /// Asks it to read its configuration again, and returns what it logs until it has.
    pub fn reload(&self) -> String {
        let before = self.log().len();
        self.signal(libc::SIGHUP);
        self.wait_for("a reload", || {
            let news = self.log().split_off(before);
            let is_over = ["configuration is reloaded", "configuration is not reloaded"];
            let is_whole = news.ends_with('\n') && is_over.iter().any(|end| news.contains(end));
            is_whole.then_some(news)
        })
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        self.wait();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until `ready` gives something.
    pub fn wait_for<T>(&self, what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = ready() {
                return value;
            }
            assert!(
                Instant::now() < deadline,
                "{what} does not happen: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Changes a limit of the running process (`libc::RLIMIT_…`), and returns what it was.
    pub fn set_limit(&self, limit: libc::__rlimit_resource_t, value: u64) -> u64 {
        let pid = i32::try_from(self.pid()).expect("process ids are small");
        let mut old = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: both pointers are to values that live until the call returns, or null.
        let read = unsafe { libc::prlimit(pid, limit, std::ptr::null(), &mut old) };
        let new = libc::rlimit {
            rlim_cur: value.min(old.rlim_max),
            ..old
        };
        // SAFETY: as above.
        let written = unsafe { libc::prlimit(pid, limit, &new, std::ptr::null_mut()) };
        assert_eq!((read, written), (0, 0), "a child's limits can be changed");
        old.rlim_cur
    }

    /// Seconds of a core that it has used.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it lives");
        let fields: Vec<_> = stat
            .rsplit(") ")
            .next()
            .expect("a name")
            .split(' ')
            .collect();
        let ticks = |field: usize| fields[field].parse::<f64>().expect("a number");
        // Ticks are hundredths of a second on every Linux that there is.
        (ticks(11) + ticks(12)) / 100.0
    }

    pub fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.pid());
        std::fs::read_dir(path).expect("it lives").count()
    }

    pub fn resident_bytes(&self) -> usize {
        let statm =
            std::fs::read_to_string(format!("/proc/{}/statm", self.pid())).expect("it lives");
        let pages: usize = statm
            .split(' ')
            .nth(1)
            .and_then(|pages| pages.parse().ok())
            .expect("a number");
        pages * 4096
    }

    /// Asks the control thread: status code and body.
    pub fn control(&self, path: &str) -> (u16, String) {
        http(
            self.admin,
            &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
        )
    }

    /// Posts to the control thread: status code and body.
    pub fn post_control(&self, path: &str, kind: &str, body: &str) -> (u16, String) {
        let length = body.len();
        http(
            self.admin,
            &format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {kind}\r\n\
                 Content-Length: {length}\r\n\r\n{body}"
            ),
        )
    }

    /// The sum of a metric over the shards, as it was published last, or the one there is.
    pub fn metric(&self, name: &str) -> u64 {
        let (status, text) = self.control("/metrics");
        assert_eq!(status, 200);
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix("corelay_")?.strip_prefix(name)?;
            let value = match rest.strip_prefix("{shard=") {
                Some(series) => series.split_once("} ")?.1,
                None => rest.strip_prefix(' ')?,
            };
            value.parse::<u64>().ok()
        });
        values.sum()
    }
}

fn log_in(directory: &Path) -> Stdio {
    let log = File::options()
        .create(true)
        .append(true)
        .open(directory.join("log"));
    log.expect("the log can be written").into()
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.signal(libc::SIGKILL);
        }
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the relay's log:\n{}", self.log());
        }
    }
}

/// Where nobody listens.
pub fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound")
}

/// A WebSocket's request for `/ws`, with a line of headers, or more, of the test's own.
pub fn upgrade(header: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n{header}\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// Sends a request as it is and reads the answer to its end: status code and body.
pub fn http(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time that is not zero");
    stream
        .write_all(request.as_bytes())
        .expect("the request is taken");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("the answer ends with the connection");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP head");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.expect("a status"), body.to_owned())
}

//! Typed configuration: every key with its default. `tuning/corelay.toml` says what each one costs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Everything that can be configured; one field per table of the file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    pub listen: Listen,
    pub shards: Shards,
    pub store: Store,
    pub connection: Connection,
    pub document: Document,
    pub fanout: Fanout,
    pub presence: Presence,
    pub memory: Memory,
    pub log: Log,
}

/// Where the relay listens. `None`: not at all ("off").
#[derive(Debug, Clone, PartialEq)]
pub struct Listen {
    pub websocket: Option<SocketAddr>,
    pub tcp: Option<SocketAddr>,
    pub admin: Option<SocketAddr>,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            websocket: Some(([0, 0, 0, 0], 7400).into()),
            tcp: Some(([0, 0, 0, 0], 7401).into()),
            admin: Some(([127, 0, 0, 1], 7402).into()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shards {
    pub cores: Cores,
}

/// Which cores get a shard.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Cores {
    /// Every core that the process may run on.
    #[default]
    All,
    /// The first so many of them.
    Count(usize),
    /// These.
    List(Vec<usize>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Store {
    pub path: PathBuf,
    pub durability: Durability,
    /// How often `interval` syncs.
    pub sync_interval: Duration,
    /// The most bytes of operations in one commit.
    pub commit_bytes_max: usize,
    /// Requests that wait for the committer, per shard.
    pub queue_requests_max: usize,
    /// The block cache of the embedded store.
    pub cache_bytes: usize,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            path: PathBuf::from("./data"),
            durability: Durability::Always,
            sync_interval: Duration::from_secs(1),
            commit_bytes_max: 8 * MIB,
            queue_requests_max: 4096,
            cache_bytes: 64 * MIB,
        }
    }
}

/// What an acknowledgement promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Synced to disk.
    #[default]
    Always,
    /// Written; synced every `sync_interval`.
    Interval,
    /// Written; synced when the operating system likes.
    Never,
}

/// One client's connection. Limits named per process are divided evenly among the shards.
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    /// Connections per shard.
    pub count_max: usize,
    pub message_bytes_max: usize,
    pub batch_operations_max: usize,
    pub documents_max: usize,
    /// From accept to Hello, the HTTP handshake included.
    pub handshake_timeout: Duration,
    pub handshake_bytes_max: usize,
    pub ping_period: Duration,
    pub pong_timeout: Duration,
    /// No progress of a blocked write for this long closes the connection.
    pub write_timeout: Duration,
    /// Unacknowledged operations of one connection, past which it is not read.
    pub inflight_bytes_max: usize,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            count_max: 20_000,
            message_bytes_max: MIB,
            batch_operations_max: 1000,
            documents_max: 100,
            handshake_timeout: Duration::from_secs(10),
            handshake_bytes_max: 16 * KIB,
            ping_period: Duration::from_secs(54),
            pong_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(10),
            inflight_bytes_max: 4 * MIB,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The state of one document of a kind that the relay reads (`text`).
    pub bytes_max: usize,
    /// Different writers over a document's whole life.
    pub clients_max: usize,
    /// Operations kept in memory to transform late ones against (`text`).
    pub history_operations_max: usize,
    pub history_bytes_max: usize,
    /// After the last subscriber left.
    pub idle_timeout: Duration,
    pub snapshot_operations: u64,
    pub snapshot_period: Duration,
}

impl Default for Document {
    fn default() -> Self {
        Self {
            bytes_max: 64 * MIB,
            clients_max: 65_536,
            history_operations_max: 8192,
            history_bytes_max: 4 * MIB,
            idle_timeout: Duration::from_secs(300),
            snapshot_operations: 100,
            snapshot_period: Duration::from_secs(300),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Fanout {
    /// Slots of a document's operation ring; a slot holds one batch.
    pub ring_slots: usize,
    /// Bytes of a document's operation ring; one larger batch is kept all the same.
    pub ring_bytes_max: usize,
    pub presence_ring_slots: usize,
    /// How far a subscriber may fall behind before it is lapped.
    pub lag_operations_max: u64,
    pub lag_bytes_max: usize,
    /// Where the warning comes, in percent of either.
    pub warning_percent: u64,
    /// The most bytes of one send.
    pub flush_bytes_max: usize,
}

impl Default for Fanout {
    fn default() -> Self {
        Self {
            ring_slots: 1024,
            ring_bytes_max: 2 * MIB,
            presence_ring_slots: 256,
            lag_operations_max: 1000,
            lag_bytes_max: MIB,
            warning_percent: 80,
            flush_bytes_max: 64 * KIB,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Presence {
    /// Updates per second and client that are passed on; of more, the newest wins.
    pub updates_per_second_max: u32,
    pub ttl: Duration,
    pub bytes_max: usize,
}

impl Default for Presence {
    fn default() -> Self {
        Self {
            updates_per_second_max: 10,
            ttl: Duration::from_secs(30),
            bytes_max: 64 * KIB,
        }
    }
}

impl Presence {
    /// The time between two updates of one client that are passed on.
    pub fn update_interval(&self) -> Duration {
        Duration::from_secs(1) / self.updates_per_second_max
    }
}

/// What each shard may hold, in bytes. Their sum over the shards, and what the store holds, is the budget that is
/// printed at start.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    /// Pieces of frames that have not arrived whole.
    pub input_bytes_max: usize,
    /// What sockets have not taken: unsent rests, replies, pages, frames from other shards.
    pub output_bytes_max: usize,
    /// Open documents: state, history, rings, presence, tables of clients.
    pub document_bytes_max: usize,
    /// Operations that are on their way to the disk, past which no connection is read.
    pub pending_bytes_max: usize,
    /// Reads from the store at one time, each up to `catch_up_page_bytes`.
    pub catch_up_reads_max: usize,
    pub catch_up_page_bytes: usize,
    /// Bytes on their way between two shards for one connection, in each direction.
    pub lane_window_bytes: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            input_bytes_max: 64 * MIB,
            output_bytes_max: 128 * MIB,
            document_bytes_max: 1024 * MIB,
            pending_bytes_max: 64 * MIB,
            catch_up_reads_max: 64,
            catch_up_page_bytes: 256 * KIB,
            lane_window_bytes: 256 * KIB,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// A `tracing` filter: `info`, `corelay=debug`, …
    pub filter: String,
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

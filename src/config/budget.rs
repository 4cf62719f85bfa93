//! The memory budget: what the named limits add up to, printed at start.
//!
//! It is what corelay's own limits bound. Code, thread stacks and the allocator's slack come on top; connections
//! cost the kernel memory too.

use std::fmt;

use super::{AuthMode, Config};

/// What a connection takes that is at rest, with a document open: about half of this was measured.
const CONNECTION_BYTES: usize = 4096;
/// A revocation at its longest: the entry, its copy while the list changes, and its lines in the file.
const REVOCATION_BYTES: usize = 2048;
/// A notice that waits, in the store's table and in that of whoever sends it, with a name at its longest.
const NOTICE_BYTES: usize = 1024;
/// The most that is remembered of what a backend said of tokens.
pub const VERDICT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What a backup that is being made holds, beside the record that it copies.
pub const BACKUP_BYTES: usize = 28 * 1024 * 1024;
/// The most of the log that waits for whoever reads it.
pub const LOG_BYTES_MAX: usize = 1024 * 1024;
/// HTTP requests of one shard that may be going on at once, connections that are kept for another one included; of
/// more, the one is given up that has the least time left.
pub const REQUESTS_MAX: usize = 1024;

/// One line of the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    pub what: &'static str,
    /// The keys that it is made of.
    pub keys: &'static str,
    /// The bytes of one of them.
    pub bytes_each: u64,
    /// How many of them there are: the number of shards, or one.
    pub count: u64,
}

impl Share {
    pub fn bytes(&self) -> u64 {
        self.bytes_each.saturating_mul(self.count)
    }
}

/// What the relay may hold in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    pub shards: usize,
    pub shares: Vec<Share>,
}

impl Budget {
    /// The budget of this configuration on so many shards.
    pub fn new(config: &Config, shards: usize) -> Self {
        let memory = &config.memory;
        let per_shard = |what, keys, bytes: usize| Share {
            what,
            keys,
            bytes_each: bytes as u64,
            count: shards as u64,
        };
        let once = |what, keys, bytes: usize| Share {
            what,
            keys,
            bytes_each: bytes as u64,
            count: 1,
        };
        let catch_up_bytes = memory
            .catch_up_reads_max
            .saturating_mul(memory.catch_up_page_bytes);
        let mut shares = vec![
            per_shard(
                "connections",
                "connection.count_max",
                config.connection.count_max.saturating_mul(CONNECTION_BYTES),
            ),
            per_shard(
                "requests",
                "connection.handshake_bytes_max",
                REQUESTS_MAX.saturating_mul(config.connection.handshake_bytes_max),
            ),
            per_shard(
                "posts",
                "connection.posted_bytes_max",
                config.connection.posted_bytes_max,
            ),
            per_shard(
                "frames arriving",
                "memory.input_bytes_max",
                memory.input_bytes_max,
            ),
            per_shard(
                "bytes leaving",
                "memory.output_bytes_max",
                memory.output_bytes_max,
            ),
            per_shard(
                "open documents",
                "memory.document_bytes_max",
                memory.document_bytes_max,
            ),
            per_shard(
                "on the way to disk",
                "memory.pending_bytes_max",
                memory.pending_bytes_max,
            ),
            per_shard(
                "catching up",
                "memory.catch_up_reads_max × catch_up_page_bytes",
                catch_up_bytes,
            ),
            once("HTTP requests", "http.bytes_max", config.http.bytes_max),
            once(
                "revoked tokens",
                "auth.revocations_max",
                config.auth.revocations_max.saturating_mul(REVOCATION_BYTES),
            ),
            once("the log's last lines", "fixed", LOG_BYTES_MAX),
            once(
                "the commit at work",
                "store.commit_bytes_max",
                config.store.commit_bytes_max,
            ),
            once(
                "the store's cache",
                "store.cache_bytes",
                config.store.cache_bytes,
            ),
            once(
                "the store's buffers",
                "store.write_buffer_bytes",
                config.store.write_buffer_bytes,
            ),
            once(
                "a backup",
                "28 MiB + 4 × connection.message_bytes_max",
                BACKUP_BYTES.saturating_add(config.connection.message_bytes_max.saturating_mul(4)),
            ),
        ];
        if config.notify.url.is_some() {
            shares.push(once(
                "notices",
                "notify.queue_max",
                config.notify.queue_max.saturating_mul(NOTICE_BYTES),
            ));
        }
        if config.auth.mode == AuthMode::Webhook {
            // Once with the shard, and in the request as JSON, where six bytes can stand for one.
            let inquiry_bytes = 8 * config.auth.token_bytes_max;
            shares.push(per_shard(
                "tokens asked about",
                "8 × auth.webhook_inquiries_max × token_bytes_max",
                config
                    .auth
                    .webhook_inquiries_max
                    .saturating_mul(inquiry_bytes),
            ));
            shares.push(once("verdicts", "fixed", VERDICT_BYTES_MAX));
        }
        Self { shards, shares }
    }

    pub fn bytes(&self) -> u64 {
        self.shares
            .iter()
            .fold(0, |sum, share| sum.saturating_add(share.bytes()))
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.shards == 1 { "" } else { "s" };
        writeln!(f, "memory budget of {} shard{plural}", self.shards)?;
        let mut line = |what: &str, each: &str, total: &str, keys: &str| {
            let line = format!("  {what:<20}{each:>12}  {total:>12}  {keys}");
            writeln!(f, "{}", line.trim_end())
        };
        line("", "each", "in all", "")?;
        for share in &self.shares {
            let (each, total) = (tenths_text(share.bytes_each), tenths_text(share.bytes()));
            line(share.what, &each, &total, share.keys)?;
        }
        line("sum", "", &tenths_text(self.bytes()), "")
    }
}

/// One unit for all of them, so that they can be compared at a glance.
fn tenths_text(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0))
}

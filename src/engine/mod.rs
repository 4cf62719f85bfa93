//! The relay itself: a synchronous, deterministic state machine for a whole shard.
//!
//! A [`Shard`] owns all documents, sessions, rings, presence and timers of one core. It does no IO, reads no
//! clock and takes no lock: whoever drives it hands in bytes, store replies, other shards' messages and the time
//! (`handle_*`), and pulls out what there is to do (`poll_*`). The shell in `server` does that with sockets, the
//! simulator in `tests/simulation` with a seed.

pub mod route;
pub mod shard;
pub mod time;

pub use shard::Shard;
pub use time::Instant;

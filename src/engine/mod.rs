//! The relay itself: a synchronous, deterministic state machine for a whole shard.
//!
//! A [`Shard`] owns all documents, sessions, rings, presence and timers of one core. It does no IO, reads no
//! clock and takes no lock but that of the [`Census`], when a client comes or goes: whoever drives it hands in bytes, store replies, other shards' messages and the time
//! (`handle_*`), and pulls out what there is to do (`poll_*`). The shell in `server` does that with sockets, the
//! simulator in `tests/simulation` with a seed.

mod branch;
mod bucket;
mod census;
mod dedupe;
mod deletion;
mod directory;
mod document;
mod edge;
mod flush;
mod gather;
mod greeting;
mod heat;
mod histogram;
mod history;
mod identity;
mod input;
mod inquiry;
mod inspection;
mod key;
mod kind;
mod lane;
mod lifecycle;
mod limits;
mod liveness;
mod load;
mod mesh;
mod metrics;
mod offer;
mod open;
mod operations;
mod pause;
mod peers;
mod presence;
mod rate;
mod refusal;
mod refusals;
mod request;
mod rest;
mod resume;
mod ring;
mod roster;
pub mod route;
mod session;
mod settings;
pub mod shard;
mod snapshot;
mod start;
mod sync;
pub mod time;
mod timer;
mod transmit;
mod unreadable;
mod users;
mod version;
mod versions;
mod voice;
mod waiting;
mod wants;

pub use census::Census;
pub use histogram::Histogram;
pub use open::{DOCUMENT_ID_BYTES_MAX, is_document_id};
pub use refusal::{PROTOCOL_VERSIONS, Refusal, http_status};
pub use refusals::{REFUSAL_CODES, RefusalCounts, RefusalNote};
pub use shard::Shard;
pub use time::Instant;
pub use versions::is_version_name;

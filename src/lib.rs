//! corelay: a thread-per-core relay for real-time collaboration, and its client.
//!
//! What applications use is [`client`], and [`text`] for the operations of texts. Only they are meant to
//! stay as they are; before version 1.0 a minor version may still change them.
//!
//! The rest is the relay itself. It is public for the binary, the tests and the benchmarks of this package, changes
//! without notice, and is left out of these pages. `ARCHITECTURE.md` is its map. The layers, from the bottom: `codec`,
//! `text`, `config` and `auth` are values; `engine` is the relay itself, a deterministic state machine without IO; `store`
//! makes operations durable and `client` is the other end of the wire; `server`, and what looks at a
//! relay from outside (`load`, `overview`, `top`), are the only places that know sockets, threads and clocks.

#[doc(hidden)]
pub mod auth;
pub mod client;
#[doc(hidden)]
pub mod codec;
#[doc(hidden)]
pub mod config;
#[doc(hidden)]
pub mod engine;
#[doc(hidden)]
pub mod load;
#[doc(hidden)]
pub mod overview;
#[doc(hidden)]
pub mod server;
#[doc(hidden)]
pub mod store;
#[doc(hidden)]
pub mod store_tool;
pub mod text;
#[doc(hidden)]
pub mod top;

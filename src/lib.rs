//! corelay: a thread-per-core relay for real-time collaboration.
//!
//! `ARCHITECTURE.md` is the map. The layers, from the bottom: [`codec`], [`text`], [`config`] and [`auth`] are
//! values; [`engine`] is the relay itself, a deterministic state machine without IO; [`store`] makes operations durable
//! and [`client`] is the other end of the wire; [`server`] and [`load`] are the only places that know sockets,
//! threads and clocks.

pub mod auth;
pub mod client;
pub mod codec;
pub mod config;
pub mod engine;
pub mod load;
pub mod server;
pub mod store;
pub mod text;

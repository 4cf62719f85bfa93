//! The relay as its clients, its operator and what stands beside it meet it: the real binary, over real sockets.

#[path = "../common/mod.rs"]
mod common;

mod admin;
mod crowd;
mod drain;
mod endurance;
mod events;
mod handshake;
mod http;
mod key_set;
mod log;
mod notify;
mod operator;
mod posts;
mod proxy;
mod refusals;
mod reload;
mod reload_keys;
mod revocation;
mod slow;
mod stop;
mod tokens;
mod transport;
mod unreadable;
mod webhook;

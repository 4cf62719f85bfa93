//! The protocol, request by request: one shard (or two, with their lanes) driven through its face.

mod connection;
mod errors;
mod fixture;
mod flow;
mod join;
mod operations;
mod presence;

//! The store: every backend does the same, and fjall's keeps what it has said to keep, whatever happens to the process
//! and the disk.

#[path = "../common/mod.rs"]
mod common;
mod support;

mod backends;
mod backup;
mod committer;
mod damage;
mod flush;
mod kill;
mod lives;
mod notices;
mod reopen;
mod tool;

//! The client session against a relay that is played frame by frame.

mod connection;
mod documents;
mod fixture;
mod hostile;
mod operations;
mod patience;
mod presence;
mod snapshots;
mod sync;

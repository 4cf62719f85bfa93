//! The client session against a relay that is played frame by frame.

mod connection;
mod documents;
mod fixture;
mod hostile;
mod offers;
mod operations;
mod patience;
mod presence;
mod requests;
mod snapshots;
mod sync;
mod texts;

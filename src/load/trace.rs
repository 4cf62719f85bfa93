//! Replaying recorded editing histories: files, plans, and the agents that carry them out.
//!
//! A [`History`] is read from a file, with what each agent has to do and when. An [`Agent`] is one of the people who
//! wrote the text, as a text client that makes its edits when it has seen exactly what they had seen: it holds back
//! everything else that arrives. Sockets, sessions and time are the driver's. Readers are plain text clients: they have
//! the whole text at revision [`History::transactions`].

mod agent;
mod history;
mod plan;
#[cfg(test)]
mod tests;

pub use agent::{Agent, ReplayError};
pub use history::{Counts, History, HistoryError, Transaction};

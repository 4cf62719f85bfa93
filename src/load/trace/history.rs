//! Recorded histories as files: gzip around JSON, in two forms.
//!
//! *Sequential*: `startContent`, `endContent`, `txns` of `patches`, all by one author. *Concurrent*: `numAgents`, and
//! each of the `txns` has its `agent` and `parents`, the transactions that its author had seen last; what those had
//! seen counts as seen. A patch is `[position, deleted, inserted]`, counted in Unicode code points, and the patches of
//! a transaction follow each other.

use std::io::Read;

use flate2::read::GzDecoder;
use serde::Deserialize;
use smallvec::SmallVec;

use crate::text::{Operation, TextError};

use super::plan;

/// More authors than a text has, and than a replay has connections.
const AGENTS_MAX: usize = 1000;

/// What each agent did, ready to be done again, and what the text was in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    pub end: String,
    /// The transactions of each agent, in its order.
    pub agents: Vec<Vec<Transaction>>,
}

/// One edit, and when it may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Made against what its author had seen.
    pub operation: Operation,
    /// How many transactions of each agent its author had seen, its own included.
    pub seen: Counts,
    /// How many transactions of each agent must stand before it in the relay's order.
    pub after: Counts,
}

/// A number of transactions of each agent.
pub type Counts = SmallVec<[usize; 2]>;

#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("the file is no gzip: {0}")]
    Gzip(#[from] std::io::Error),
    #[error("the file is no history: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{agents} agents are more than {AGENTS_MAX}")]
    TooManyAgents { agents: usize },
    #[error("transaction {transaction}: its agent {agent} is not one of {agents}")]
    Agent {
        transaction: usize,
        agent: usize,
        agents: usize,
    },
    #[error("transaction {transaction}: its parent {parent} does not come before it")]
    Parent { transaction: usize, parent: usize },
    #[error("transaction {transaction}: its agent had not seen its own transaction before it")]
    Branch { transaction: usize },
    #[error("transaction {transaction}: a patch does not fit the text: {source}")]
    Patch {
        transaction: usize,
        source: TextError,
    },
    #[error("there is no one order of the transactions in which everybody sees what they had seen")]
    Order,
    #[error(
        "the transactions do not end with the file's text where the first agent's inserts stand left"
    )]
    End,
}

/// A transaction as the file has it, and what its author had seen.
#[derive(Debug)]
pub(super) struct Recorded {
    pub agent: usize,
    pub seen: Counts,
    pub patches: Vec<Patch>,
}

/// At a position, so many characters are replaced by a text.
pub(super) type Patch = (usize, usize, String);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    start_content: String,
    end_content: String,
    /// Only in the concurrent form.
    num_agents: Option<usize>,
    txns: Vec<FileTransaction>,
}

#[derive(Deserialize)]
struct FileTransaction {
    #[serde(default)]
    agent: usize,
    #[serde(default)]
    parents: Vec<usize>,
    patches: Vec<Patch>,
}

impl History {
    /// Reads a history from the bytes of its file.
    pub fn read(gzip: &[u8]) -> Result<Self, HistoryError> {
        let mut json = Vec::new();
        GzDecoder::new(gzip).read_to_end(&mut json)?;
        let mut file: File = serde_json::from_slice(&json)?;
        let agents = match file.num_agents {
            Some(agents) => agents,
            None => {
                file.make_concurrent();
                1
            }
        };
        if agents > AGENTS_MAX {
            return Err(HistoryError::TooManyAgents { agents });
        }
        let recorded = recorded(file.txns, agents)?;
        let agents = plan::plan(recorded, agents, &file.end_content)?;
        Ok(Self {
            end: file.end_content,
            agents,
        })
    }

    /// All transactions: the revision of the document in the end.
    pub fn transactions(&self) -> usize {
        self.agents.iter().map(Vec::len).sum()
    }
}

impl File {
    /// Makes the sequential form into the concurrent one, of one agent who also wrote what was there at the start.
    fn make_concurrent(&mut self) {
        if !self.start_content.is_empty() {
            let start = FileTransaction {
                agent: 0,
                parents: Vec::new(),
                patches: vec![(0, 0, std::mem::take(&mut self.start_content))],
            };
            self.txns.insert(0, start);
        }
        for (before, transaction) in self.txns.iter_mut().skip(1).enumerate() {
            transaction.parents = vec![before];
        }
    }
}

fn recorded(
    transactions: Vec<FileTransaction>,
    agents: usize,
) -> Result<Vec<Recorded>, HistoryError> {
    let mut made: Counts = SmallVec::from_elem(0, agents);
    let mut recorded = Vec::<Recorded>::with_capacity(transactions.len());
    for (transaction, entry) in transactions.into_iter().enumerate() {
        let agent = entry.agent;
        if agent >= agents {
            return Err(HistoryError::Agent {
                transaction,
                agent,
                agents,
            });
        }
        let mut seen: Counts = SmallVec::from_elem(0, agents);
        for parent in entry.parents {
            let before = recorded.get(parent).ok_or(HistoryError::Parent {
                transaction,
                parent,
            })?;
            for (seen, before) in seen.iter_mut().zip(&before.seen) {
                *seen = (*seen).max(*before);
            }
            // A parent's agent has seen all its own transactions before it.
            seen[before.agent] = seen[before.agent].max(before.seen[before.agent] + 1);
        }
        if seen[agent] != made[agent] {
            return Err(HistoryError::Branch { transaction });
        }
        made[agent] += 1;
        recorded.push(Recorded {
            agent,
            seen,
            patches: entry.patches,
        });
    }
    Ok(recorded)
}

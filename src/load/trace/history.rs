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

/// What each agent did, and what the text was in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    pub end: String,
    /// The transactions of each agent, in its order.
    pub agents: Vec<Vec<Transaction>>,
}

/// One edit, and when it may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    pub patches: SmallVec<[Patch; 1]>,
    /// How many transactions of each agent its author had seen, its own included.
    pub seen: SmallVec<[usize; 2]>,
    /// How many transactions of each agent must stand before it in the relay's order. Somebody saw those without
    /// seeing this one, and clients of one order can only see beginnings of it.
    pub after: SmallVec<[usize; 2]>,
}

/// At `position`, `deleted` characters are replaced by `inserted`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    pub position: usize,
    pub deleted: usize,
    pub inserted: String,
}

#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("the file is no gzip: {0}")]
    Gzip(#[from] std::io::Error),
    #[error("the file is no history: {0}")]
    Json(#[from] serde_json::Error),
    #[error("transaction {transaction}: its agent {agent} is not one of {agents}")]
    Agent {
        transaction: usize,
        agent: usize,
        agents: usize,
    },
    #[error("transaction {transaction}: its parent {parent} does not come before it")]
    Parent { transaction: usize, parent: usize },
    #[error("transaction {transaction}: its agent has not seen its own transaction before it")]
    Branch { transaction: usize },
    #[error("no one order of the transactions lets everybody see what they had seen")]
    Order,
}

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
    patches: Vec<(usize, usize, String)>,
}

impl History {
    /// Reads a history from the bytes of its file.
    pub fn read(gzip: &[u8]) -> Result<Self, HistoryError> {
        let mut json = Vec::new();
        GzDecoder::new(gzip).read_to_end(&mut json)?;
        let file: File = serde_json::from_slice(&json)?;
        let concurrent = file.num_agents.is_some();
        let agents = file.num_agents.unwrap_or(1);

        let mut history = Self {
            end: file.end_content,
            agents: vec![Vec::new(); agents],
        };
        if !file.start_content.is_empty() && agents > 0 {
            // The relay's documents start empty: the first agent writes what was there.
            history.push(
                0,
                vec![(0, 0, file.start_content)],
                SmallVec::from_elem(0, agents),
            );
        }
        let first = history.agents.first().map_or(0, Vec::len);

        // What has been seen with each transaction.
        let mut seen: Vec<SmallVec<[usize; 2]>> = Vec::with_capacity(file.txns.len());
        for (transaction, entry) in file.txns.into_iter().enumerate() {
            let agent = entry.agent;
            if agent >= agents {
                return Err(HistoryError::Agent {
                    transaction,
                    agent,
                    agents,
                });
            }
            let mut before = SmallVec::<[usize; 2]>::from_elem(0, agents);
            before[0] = first;
            let implied = (!concurrent && transaction > 0).then(|| transaction - 1);
            for parent in entry.parents.into_iter().chain(implied) {
                let parent_seen = seen.get(parent).ok_or(HistoryError::Parent {
                    transaction,
                    parent,
                })?;
                for (before, parent_seen) in before.iter_mut().zip(parent_seen) {
                    *before = (*before).max(*parent_seen);
                }
            }
            let own = history.agents[agent].len();
            if before[agent] != own {
                return Err(HistoryError::Branch { transaction });
            }
            let mut with = before.clone();
            with[agent] += 1;
            seen.push(with);
            history.push(agent, entry.patches, before);
        }
        history.order()?;
        Ok(history)
    }

    /// All transactions: the revision of the document in the end.
    pub fn transactions(&self) -> usize {
        self.agents.iter().map(Vec::len).sum()
    }

    fn push(
        &mut self,
        agent: usize,
        patches: Vec<(usize, usize, String)>,
        seen: SmallVec<[usize; 2]>,
    ) {
        let patches = patches
            .into_iter()
            .map(|(position, deleted, inserted)| Patch {
                position,
                deleted,
                inserted,
            });
        self.agents[agent].push(Transaction {
            patches: patches.collect(),
            after: SmallVec::from_elem(0, seen.len()),
            seen,
        });
    }

    /// Finds out what has to stand before what, and whether it can.
    fn order(&mut self) -> Result<(), HistoryError> {
        let agents = self.agents.len();
        for author in 0..agents {
            for index in 0..self.agents[author].len() {
                let seen = self.agents[author][index].seen.clone();
                // Of everybody else: what was seen comes before what was not.
                for other in (0..agents).filter(|other| *other != author) {
                    let Some(unseen) = self.agents[other].get_mut(seen[other]) else {
                        continue;
                    };
                    for before in (0..agents).filter(|before| ![author, other].contains(before)) {
                        unseen.after[before] = unseen.after[before].max(seen[before]);
                    }
                }
            }
        }
        let mut done = vec![0; agents];
        loop {
            let mut progress = false;
            for agent in 0..agents {
                while let Some(transaction) = self.agents[agent].get(done[agent])
                    && covers(&done, &transaction.seen)
                    && covers(&done, &transaction.after)
                {
                    done[agent] += 1;
                    progress = true;
                }
            }
            if !progress {
                break;
            }
        }
        let finished = done
            .iter()
            .zip(&self.agents)
            .all(|(done, all)| *done == all.len());
        finished.then_some(()).ok_or(HistoryError::Order)
    }
}

/// Whether there are at least so many of each.
pub(super) fn covers(counts: &[usize], needed: &[usize]) -> bool {
    counts
        .iter()
        .zip(needed)
        .all(|(count, needed)| count >= needed)
}

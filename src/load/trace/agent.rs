//! One author of a history, at work again.
//!
//! The driver gives it what the session receives, in order, and takes batches from it. Two things are kept apart: the
//! *view*, the text with exactly the transactions that the author had seen, and the text client, which is where the
//! protocol stands. The view is only a place in the history: nobody looks at its text.
//!
//! What arrives and was not yet seen waits, if it can, in front of the text client: so edits are sent with the oldest
//! base that the protocol allows, and it is the relay that transforms them. It cannot wait there when an
//! acknowledgement stands behind it; then the text client takes it, and it waits in front of the view.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::client::text::{TextBatch, TextClient, TextClientError};
use crate::text::{Operation, Side, Text, TextError, cross};

use super::history::{History, Transaction};
use super::plan::covers;

/// An author who has the next transaction to make.
#[derive(Debug)]
pub struct Agent {
    index: usize,
    /// The client id of every agent of the history.
    client_ids: Vec<u64>,
    transactions: VecDeque<Transaction>,
    /// How many transactions of each agent there are.
    totals: Vec<usize>,
    /// How many transactions of each agent the view has.
    seen: Vec<usize>,
    /// How many of each other agent the text client has.
    taken: Vec<usize>,
    /// What the text client has and the view has not, in sequence, the first made against the view.
    held: VecDeque<(usize, Operation)>,
    client: TextClient,
    /// What has arrived and the text client does not have.
    arrived: VecDeque<Arrival>,
    /// Those of `arrived` that the text client must take with all before them.
    urgent: usize,
    /// How many transactions of each agent have arrived.
    received: Vec<usize>,
    received_revision: u64,
    base_revision: u64,
    transformed: u64,
}

#[derive(Debug)]
enum Arrival {
    Operation {
        revision: u64,
        agent: usize,
        clock: u64,
        operation: Bytes,
    },
    Ack {
        first_revision: u64,
        count: u64,
    },
}

/// The replay cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    #[error("agent {agent}: {source}")]
    Client {
        agent: usize,
        source: TextClientError,
    },
    #[error("agent {agent}: its transaction {transaction} does not fit the text: {source}")]
    Edit {
        agent: usize,
        transaction: usize,
        source: TextError,
    },
    #[error("somebody who is no agent of the history, client {client_id}, writes to the document")]
    Stranger { client_id: u64 },
    #[error("agent {agent}: revision {revision} came where {expected} was due")]
    Revision {
        agent: usize,
        revision: u64,
        expected: u64,
    },
}

impl Agent {
    /// The agent `index` of a history.
    ///
    /// `client_ids` are those of all its agents, in their order. Where two agents write at one place, histories have
    /// the text of the lower agent first, as the relay has that of the lower client id: give the lowest client id to
    /// the first agent, and so on.
    pub fn new(history: &History, index: usize, client_ids: &[u64]) -> Self {
        assert_eq!(
            client_ids.len(),
            history.agents.len(),
            "one client per agent"
        );
        let agents = history.agents.len();
        Self {
            index,
            client_ids: client_ids.to_vec(),
            transactions: history.agents[index].iter().cloned().collect(),
            totals: history.agents.iter().map(Vec::len).collect(),
            seen: vec![0; agents],
            taken: vec![0; agents],
            held: VecDeque::new(),
            client: TextClient::new(client_ids[index], usize::MAX),
            arrived: VecDeque::new(),
            urgent: 0,
            received: vec![0; agents],
            received_revision: 0,
            base_revision: 0,
            transformed: 0,
        }
    }

    /// The next batch to send, of the transactions that can be made, up to `operations_max` of them and of together
    /// up to `bytes_max` bytes (one at least). Ask again whenever something was handled.
    pub fn poll_batch(
        &mut self,
        operations_max: usize,
        bytes_max: usize,
    ) -> Result<Option<TextBatch>, ReplayError> {
        loop {
            while self.client.pending_operations() < operations_max && self.make_transaction()? {}
            if let Some(batch) = self.client.take_batch(operations_max, bytes_max) {
                self.base_revision = batch.base_revision;
                return Ok(Some(batch));
            }
            // Only with nothing left to send: what the next transaction's author had seen moves its base.
            if !self
                .arrived
                .front()
                .is_some_and(|next| self.is_wanted(next))
            {
                return Ok(None);
            }
            self.take_next()?;
        }
    }

    /// Operations of the document's history, the first at `first_revision`. What has arrived before is passed over.
    pub fn handle_remote(
        &mut self,
        first_revision: u64,
        origin: u64,
        first_clock: u64,
        operations: &[Bytes],
    ) -> Result<(), ReplayError> {
        let agent = self.client_ids.iter().position(|id| *id == origin);
        let agent = agent.ok_or(ReplayError::Stranger { client_id: origin })?;
        for (offset, operation) in (0..).zip(operations) {
            let revision = first_revision.saturating_add(offset);
            if revision <= self.received_revision {
                continue;
            }
            self.advance(revision, 1)?;
            self.received[agent] += 1;
            self.urgent += usize::from(agent == self.index);
            self.arrived.push_back(Arrival::Operation {
                revision,
                agent,
                clock: first_clock.saturating_add(offset),
                operation: operation.clone(),
            });
        }
        self.settle()
    }

    /// The batch on its way is in the history.
    pub fn handle_ack(&mut self, first_revision: u64, count: u64) -> Result<(), ReplayError> {
        if first_revision.saturating_add(count) <= self.received_revision + 1 {
            return Ok(());
        }
        self.advance(first_revision, count)?;
        self.received[self.index] += count as usize;
        if first_revision > self.base_revision + 1 {
            self.transformed += count;
        }
        self.urgent += 1;
        self.arrived.push_back(Arrival::Ack {
            first_revision,
            count,
        });
        self.settle()
    }

    /// The batch on its way was refused, but not for ever: it is sent again, on top of all that has arrived.
    pub fn handle_nack(&mut self) -> Result<(), ReplayError> {
        while !self.arrived.is_empty() {
            self.take_next()?;
        }
        self.client.nacked();
        Ok(())
    }

    /// The connection is gone. Open again from `revision`.
    pub fn handle_disconnected(&mut self) {
        self.client.disconnected();
    }

    /// The document is open and caught up; `next_clock` is what the relay expects.
    pub fn handle_caught_up(&mut self, next_clock: u64) {
        self.client.caught_up(next_clock);
    }

    /// Up to where the document's history has arrived.
    pub fn revision(&self) -> u64 {
        self.received_revision
    }

    /// Whether all transactions of all agents have arrived.
    pub fn is_finished(&self) -> bool {
        self.received == self.totals && self.client.pending_operations() == 0
    }

    /// The document as this agent has it.
    pub fn text(&self) -> &Text {
        self.client.text()
    }

    /// Transactions of this agent that the relay had to transform: others had come before them since their base.
    pub fn transformed_transactions(&self) -> u64 {
        self.transformed
    }

    fn advance(&mut self, revision: u64, count: u64) -> Result<(), ReplayError> {
        let expected = self.received_revision + 1;
        if revision != expected {
            return Err(ReplayError::Revision {
                agent: self.index,
                revision,
                expected,
            });
        }
        self.received_revision = self.received_revision.saturating_add(count);
        Ok(())
    }

    /// Makes the next transaction, if the view is what its author saw and everything stands before it that must.
    fn make_transaction(&mut self) -> Result<bool, ReplayError> {
        self.see();
        let Some(transaction) = self.transactions.front() else {
            return Ok(false);
        };
        if !covers(&self.seen, &transaction.seen) || !covers(&self.received, &transaction.after) {
            return Ok(false);
        }
        let number = self.seen[self.index];
        let mut operation = transaction.operation.clone();
        let id = self.client_ids[self.index];
        for (agent, held) in &mut self.held {
            let side = Side::of(self.client_ids[*agent], id);
            cross([held], &mut operation, side);
        }
        self.client
            .edit(operation)
            .map_err(|source| ReplayError::Edit {
                agent: self.index,
                transaction: number,
                source,
            })?;
        self.transactions.pop_front();
        self.seen[self.index] += 1;
        Ok(true)
    }

    /// Gives the text client what it must have: all that stands before an acknowledgement, and everything when there is
    /// nothing left to do.
    fn settle(&mut self) -> Result<(), ReplayError> {
        while self.urgent > 0 || self.is_done() && !self.arrived.is_empty() {
            self.take_next()?;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.transactions.is_empty() && self.client.pending_operations() == 0
    }

    /// Gives the text client the next of what has arrived.
    fn take_next(&mut self) -> Result<(), ReplayError> {
        let Some(arrival) = self.arrived.pop_front() else {
            return Ok(());
        };
        let client_error = |source| ReplayError::Client {
            agent: self.index,
            source,
        };
        match arrival {
            Arrival::Ack {
                first_revision,
                count,
            } => {
                self.urgent -= 1;
                self.client
                    .acknowledged(first_revision, count)
                    .map_err(client_error)
            }
            Arrival::Operation {
                revision,
                agent,
                clock,
                operation,
            } => {
                let origin = self.client_ids[agent];
                let changes = self
                    .client
                    .remote(revision, origin, clock, &[operation])
                    .map_err(client_error)?;
                if agent == self.index {
                    self.urgent -= 1;
                } else if !self.transactions.is_empty() {
                    self.taken[agent] += 1;
                    self.held
                        .extend(changes.into_iter().map(|change| (agent, change)));
                }
                Ok(())
            }
        }
    }

    /// Moves the view on, as far as the author of the next transaction had seen the text.
    fn see(&mut self) {
        while let Some((agent, _)) = self
            .held
            .pop_front_if(|(agent, _)| wanted(self.transactions.front(), &self.seen, *agent))
        {
            self.seen[agent] += 1;
        }
    }

    fn is_wanted(&self, arrival: &Arrival) -> bool {
        match arrival {
            Arrival::Ack { .. } => true,
            Arrival::Operation { agent, .. } => {
                wanted(self.transactions.front(), &self.taken, *agent)
            }
        }
    }
}

/// Whether the author of the next transaction had seen more of that agent.
fn wanted(next: Option<&Transaction>, had: &[usize], agent: usize) -> bool {
    next.is_some_and(|transaction| had[agent] < transaction.seen[agent])
}

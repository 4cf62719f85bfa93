//! From a recorded history to what each agent has to do, and in which order it matters.
//!
//! A relay puts all transactions into one order, and a client sees beginnings of it and its own edits. So where an
//! author had seen one transaction and not another, the one must come first. Within that, agents run freely, except
//! where concurrent edits touch: what three edits at one place lead to can depend on the order in which a relay takes
//! them, and there the order of the file is kept. It is kept by waiting until the earlier edit has arrived, not by
//! seeing it: transforming is the relay's work all the same.
//!
//! The plan is made by playing the whole history through, once, in the order of the file.

use std::collections::VecDeque;

use smallvec::SmallVec;

use crate::text::{Operation, Side, Text, TextError, cross};

use super::history::{Counts, HistoryError, Patch, Recorded, Transaction};

/// What each of `agents` agents has to do so that the text in the end is `end`.
pub(super) fn plan(
    recorded: Vec<Recorded>,
    agents: usize,
    end: &str,
) -> Result<Vec<Vec<Transaction>>, HistoryError> {
    let mut after = required_order(&recorded, agents);
    let order = one_order(&recorded, &after, agents)?;

    let mut text = Text::default();
    let mut authors: Vec<Author> = (0..agents).map(|_| Author::default()).collect();
    let mut transactions = vec![Vec::new(); agents];
    for number in order {
        let Recorded {
            agent,
            seen,
            patches,
        } = &recorded[number];
        let author = &mut authors[*agent];
        author.see(seen);
        let operation = author.edit(patches).map_err(|source| HistoryError::Patch {
            transaction: number,
            source,
        })?;

        let mut sequenced = operation.clone();
        let mut after = std::mem::take(&mut after[number]);
        for held in &mut author.held {
            if sequenced.touches(&held.operation) {
                after[held.agent] = after[held.agent].max(held.count);
            }
            let side = Side::of(held.agent as u64, *agent as u64);
            cross([&mut held.operation], &mut sequenced, side);
        }
        text.apply(&sequenced)
            .expect("it was transformed over all that is there");
        for (_, other) in authors
            .iter_mut()
            .enumerate()
            .filter(|(other, _)| other != agent)
        {
            other.held.push_back(Held {
                agent: *agent,
                count: seen[*agent] + 1,
                operation: sequenced.clone(),
            });
        }
        transactions[*agent].push(Transaction {
            operation,
            seen: seen.clone(),
            after,
        });
    }
    if text != Text::from(end) {
        return Err(HistoryError::End);
    }
    Ok(transactions)
}

/// An author's view of the text, and what comes next in it: all that the others have made.
#[derive(Default)]
struct Author {
    view: Text,
    held: VecDeque<Held>,
}

struct Held {
    agent: usize,
    /// It is the agent's transaction with this number, from 1.
    count: usize,
    operation: Operation,
}

impl Author {
    fn see(&mut self, seen: &Counts) {
        while let Some(next) = self
            .held
            .pop_front_if(|held| held.count <= seen[held.agent])
        {
            self.view
                .apply(&next.operation)
                .expect("what is held is in sequence");
        }
    }

    /// The patches as one operation.
    fn edit(&mut self, patches: &[Patch]) -> Result<Operation, TextError> {
        let mut operation = Operation::default();
        for (position, deleted, inserted) in patches {
            let place = |index| {
                let position = self.view.position_of_character(index);
                position.ok_or(TextError::OutOfBounds)
            };
            let start = place(*position)?;
            let end = place(position.saturating_add(*deleted))?;
            let edit = Operation::splice(start, end - start, inserted);
            self.view.apply(&edit)?;
            operation = operation.compose(&edit)?;
        }
        Ok(operation)
    }
}

/// For each transaction, how many of each other agent's have to come before it: somebody had seen those and not it.
fn required_order(recorded: &[Recorded], agents: usize) -> Vec<Counts> {
    let numbers = numbers(recorded, agents);
    let mut after: Vec<Counts> = vec![SmallVec::from_elem(0, agents); recorded.len()];
    for Recorded { agent, seen, .. } in recorded {
        for other in (0..agents).filter(|other| other != agent) {
            let Some(unseen) = numbers[other].get(seen[other]) else {
                continue;
            };
            for before in (0..agents).filter(|before| before != agent && *before != other) {
                after[*unseen][before] = after[*unseen][before].max(seen[before]);
            }
        }
    }
    after
}

/// One order in which everything comes after what it has to come after: the file's, if possible.
fn one_order(
    recorded: &[Recorded],
    after: &[Counts],
    agents: usize,
) -> Result<Vec<usize>, HistoryError> {
    let numbers = numbers(recorded, agents);
    let mut done: Counts = SmallVec::from_elem(0, agents);
    let mut order = Vec::with_capacity(recorded.len());
    while order.len() < recorded.len() {
        let next = (0..agents)
            .filter_map(|agent| numbers[agent].get(done[agent]))
            .filter(|number| covers(&done, &recorded[**number].seen))
            .filter(|number| covers(&done, &after[**number]))
            .min()
            .ok_or(HistoryError::Order)?;
        done[recorded[*next].agent] += 1;
        order.push(*next);
    }
    Ok(order)
}

/// The numbers of each agent's transactions in the file.
fn numbers(recorded: &[Recorded], agents: usize) -> Vec<Vec<usize>> {
    let mut numbers = vec![Vec::new(); agents];
    for (number, transaction) in recorded.iter().enumerate() {
        numbers[transaction.agent].push(number);
    }
    numbers
}

/// Whether there are at least so many of each.
pub(super) fn covers(counts: &[usize], needed: &[usize]) -> bool {
    counts
        .iter()
        .zip(needed)
        .all(|(count, needed)| count >= needed)
}

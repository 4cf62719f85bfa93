//! Which operations of which client a document has: what makes every operation count once.
//!
//! A [`Dedupe`] is the document's state vector, and for each client the places of its newest batches, so that a
//! repeated batch can be acknowledged with its first revision. It is part of every snapshot; its size is bounded
//! by `document.clients_max`.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use crate::codec::record::{ClientRecord, RunRecord};

use super::refusal::Refusal;
use super::wants::Vector;

/// Runs kept per client; a client has at most 3 batches on its way.
const RUNS_MAX: usize = 8;

/// Clocks and revisions that rise together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    first_clock: u64,
    first_revision: u64,
    count: u64,
}

#[derive(Debug, Default)]
struct Client {
    next_clock: u64,
    runs: SmallVec<[Run; 1]>,
}

/// What a batch is to the document.
#[derive(Debug, PartialEq, Eq)]
pub enum Novelty {
    Fresh,
    /// All of it has been applied. `None`: in several places, or too long ago to know where.
    Duplicate {
        first_revision: Option<u64>,
    },
}

#[derive(Debug, Default)]
pub struct Dedupe {
    clients: BTreeMap<u64, Client>,
    /// The clients in the order in which they came, each with a revision that its first operation is not before.
    arrivals: Vec<(u64, u64)>,
}

impl Dedupe {
    pub fn restore(records: Vec<ClientRecord>) -> Self {
        let clients = records.into_iter().map(|record| {
            let runs = record.runs.into_iter().map(|run| Run {
                first_clock: run.first_clock,
                first_revision: run.first_revision,
                count: run.count,
            });
            let client = Client {
                next_clock: record.next_clock,
                runs: runs.collect(),
            };
            (record.client_id, client)
        });
        let mut dedupe = Self {
            clients: clients.collect(),
            arrivals: Vec::new(),
        };
        let arrival = |client: &u64| (dedupe.revision_min(*client, 0), *client);
        dedupe.arrivals = dedupe.clients.keys().map(arrival).collect();
        dedupe.arrivals.sort_unstable();
        dedupe
    }

    /// In the order of client ids.
    pub fn records(&self) -> Vec<ClientRecord> {
        let record = |(client_id, client): (&u64, &Client)| ClientRecord {
            client_id: *client_id,
            next_clock: client.next_clock,
            runs: client
                .runs
                .iter()
                .map(|run| RunRecord {
                    first_clock: run.first_clock,
                    first_revision: run.first_revision,
                    count: run.count,
                })
                .collect(),
        };
        self.clients.iter().map(record).collect()
    }

    /// The clock that the client's next operation must have.
    pub fn next_clock(&self, client_id: u64) -> u64 {
        self.clients
            .get(&client_id)
            .map_or(0, |client| client.next_clock)
    }

    /// The highest clock of each client.
    pub fn vector(&self) -> Vector {
        let newest = |(id, client): (&u64, &Client)| Some((*id, client.next_clock.checked_sub(1)?));
        self.clients.iter().filter_map(newest).collect()
    }

    /// The next clock of every client at `revision`, in the order of their ids. `None`: that was too long ago.
    pub fn next_clocks_at(&self, revision: u64) -> Option<Vec<(u64, u64)>> {
        let next_clock = |client: &u64| Some((*client, self.next_clock_at(*client, revision)?));
        self.clients.keys().map(next_clock).collect()
    }

    /// Whether there are operations of clients other than `origin` that are not in `vector`.
    pub fn goes_beyond(&self, vector: &Vector, origin: u64) -> bool {
        let mut others = self.clients.iter().filter(|(id, _)| **id != origin);
        others.any(|(id, client)| {
            let expected = vector.get(id).map_or(0, |clock| clock.saturating_add(1));
            client.next_clock > expected
        })
    }

    /// A revision that the client's operation with this clock is not before: its own, where that is still known.
    pub fn revision_min(&self, client_id: u64, clock: u64) -> u64 {
        let runs = self.clients.get(&client_id).map(|client| &client.runs);
        let run = runs.and_then(|runs| runs.iter().rev().find(|run| run.first_clock <= clock));
        match run {
            Some(run) => run.first_revision + (clock - run.first_clock).min(run.count - 1),
            None => clock + 1,
        }
    }

    /// A revision that no operation is before of a client that is not in `vector`: the first of those, where that is
    /// still known. `None`: all clients are.
    pub fn first_revision_without(&self, vector: &Vector) -> Option<u64> {
        let mut arrivals = self.arrivals.iter();
        let first = arrivals.find(|(_, client)| !vector.contains_key(client));
        first.map(|(revision, _)| *revision)
    }

    /// The clock that the client's next operation had to have at `revision`. `None`: that was too long ago.
    pub fn next_clock_at(&self, client_id: u64, revision: u64) -> Option<u64> {
        let Some(client) = self.clients.get(&client_id) else {
            return Some(0);
        };
        let run = client
            .runs
            .iter()
            .rev()
            .find(|run| run.first_revision <= revision);
        match run {
            Some(run) => Some(run.first_clock + run.count.min(revision - run.first_revision + 1)),
            None => client
                .runs
                .first()
                .map(|run| run.first_clock)
                .filter(|clock| *clock == 0),
        }
    }

    /// What to do with a batch of `count` operations.
    ///
    /// # Errors
    ///
    /// [`Refusal::ClockGap`] if operations before it are missing, or only a part of it is new;
    /// [`Refusal::TooManyClients`] if it is the first of one client too many.
    pub fn check(
        &self,
        client_id: u64,
        first_clock: u64,
        count: u64,
        clients_max: usize,
    ) -> Result<Novelty, Refusal> {
        let next_clock = self.next_clock(client_id);
        if first_clock == next_clock {
            if next_clock == 0
                && self.clients.len() >= clients_max
                && !self.clients.contains_key(&client_id)
            {
                return Err(Refusal::TooManyClients { clients_max });
            }
            return Ok(Novelty::Fresh);
        }
        if first_clock + count > next_clock {
            return Err(Refusal::ClockGap { next_clock });
        }
        let runs = &self.clients[&client_id].runs;
        let run = runs.iter().rev().find(|run| run.first_clock <= first_clock);
        let first_revision = run
            .filter(|run| first_clock + count <= run.first_clock + run.count)
            .map(|run| run.first_revision + (first_clock - run.first_clock));
        Ok(Novelty::Duplicate { first_revision })
    }

    /// The batch has its place.
    ///
    /// # Panics
    ///
    /// If its first clock is not the client's next one.
    pub fn record(&mut self, client_id: u64, first_clock: u64, first_revision: u64, count: u64) {
        let client = self.clients.entry(client_id).or_default();
        assert_eq!(client.next_clock, first_clock, "clocks have no gaps");
        if first_clock == 0 {
            self.arrivals.push((first_revision, client_id));
        }
        client.next_clock += count;
        if let Some(last) = client.runs.last_mut()
            && last.first_revision + last.count == first_revision
        {
            last.count += count;
            return;
        }
        if client.runs.len() == RUNS_MAX {
            client.runs.remove(0);
        }
        client.runs.push(Run {
            first_clock,
            first_revision,
            count,
        });
    }

    /// What it takes in a snapshot, about.
    pub fn snapshot_bytes(&self) -> usize {
        self.clients.len() * (size_of::<u64>() + size_of::<Client>() + size_of::<Run>())
    }

    /// What it takes in memory, about.
    pub fn footprint_bytes(&self) -> usize {
        self.snapshot_bytes() + self.arrivals.capacity() * size_of::<(u64, u64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_counts_once() {
        let mut dedupe = Dedupe::default();
        assert_eq!(dedupe.check(7, 0, 3, 2), Ok(Novelty::Fresh));
        dedupe.record(7, 0, 11, 3);
        dedupe.record(8, 0, 14, 1);
        dedupe.record(7, 3, 15, 2);
        for (first_clock, first_revision) in [(0, 11), (1, 12), (2, 13), (3, 15), (4, 16)] {
            assert_eq!(
                dedupe.check(7, first_clock, 1, 2),
                Ok(Novelty::Duplicate {
                    first_revision: Some(first_revision)
                })
            );
        }
        assert_eq!(
            dedupe.check(7, 2, 2, 2),
            Ok(Novelty::Duplicate {
                first_revision: None
            }),
            "its revisions do not follow each other"
        );
        assert_eq!(dedupe.check(7, 5, 1, 2), Ok(Novelty::Fresh));
        assert_eq!(
            dedupe.check(7, 6, 1, 2),
            Err(Refusal::ClockGap { next_clock: 5 })
        );
        assert_eq!(
            dedupe.check(7, 4, 2, 2),
            Err(Refusal::ClockGap { next_clock: 5 }),
            "half of it is new"
        );
        assert_eq!(
            dedupe.check(9, 0, 1, 2),
            Err(Refusal::TooManyClients { clients_max: 2 })
        );
        assert_eq!(dedupe.check(9, 0, 1, 3), Ok(Novelty::Fresh));
    }

    #[test]
    fn what_a_client_had_written_is_known_of_the_past_too() {
        let mut dedupe = Dedupe::default();
        dedupe.record(7, 0, 5, 3);
        dedupe.record(7, 3, 10, 2);
        let clocks =
            [0, 4, 5, 6, 7, 9, 10, 11, 50].map(|revision| dedupe.next_clock_at(7, revision));
        assert_eq!(clocks, [0, 0, 1, 2, 3, 3, 4, 5, 5].map(Some));
        assert_eq!(dedupe.next_clock_at(8, 50), Some(0));
        for clock in 5..20 {
            dedupe.record(7, clock, 100 + 2 * clock, 1);
        }
        assert_eq!(dedupe.next_clock_at(7, 50), None, "forgotten");
    }

    #[test]
    fn who_is_not_in_a_vector_is_looked_for_in_the_order_of_arrival() {
        let mut dedupe = Dedupe::default();
        for (client, clock, revision) in [(9, 0, 1), (7, 0, 2), (9, 1, 3), (8, 0, 4)] {
            dedupe.record(client, clock, revision, 1);
        }
        for dedupe in [&dedupe, &Dedupe::restore(dedupe.records())] {
            for (vector, first) in [
                (&[][..], Some(1)),
                (&[7, 8], Some(1)),
                (&[9], Some(2)),
                (&[9, 8], Some(2)),
                (&[9, 7, 5], Some(4)),
                (&[9, 7, 8], None),
            ] {
                let vector = vector.iter().map(|client| (*client, 0)).collect();
                assert_eq!(dedupe.first_revision_without(&vector), first, "{vector:?}");
            }
        }
        for clock in 1..20 {
            dedupe.record(7, clock, 100 + 2 * clock, 1);
        }
        let vector = Vector::from([(9, 0)]);
        assert_eq!(dedupe.first_revision_without(&vector), Some(2));
        let restored = Dedupe::restore(dedupe.records());
        let first = restored.first_revision_without(&vector);
        assert_eq!(first, Some(1), "where it was first is forgotten");
    }

    #[test]
    fn only_the_newest_places_are_known_and_all_clocks() {
        let mut dedupe = Dedupe::default();
        for clock in 0..20 {
            dedupe.record(7, clock, 1 + 2 * clock, 1);
        }
        let duplicate = |first_revision| Ok(Novelty::Duplicate { first_revision });
        assert_eq!(dedupe.check(7, 0, 1, 1), duplicate(None));
        assert_eq!(dedupe.check(7, 11, 1, 1), duplicate(None));
        assert_eq!(dedupe.check(7, 12, 1, 1), duplicate(Some(25)));
        assert_eq!(dedupe.check(7, 19, 1, 1), duplicate(Some(39)));
    }

    #[test]
    fn a_snapshot_keeps_it_all() {
        let mut dedupe = Dedupe::default();
        dedupe.record(7, 0, 1, 3);
        dedupe.record(9, 0, 4, 1);
        dedupe.record(7, 3, 5, 1);
        let restored = Dedupe::restore(dedupe.records());
        assert_eq!(restored.records(), dedupe.records());
        assert_eq!(restored.next_clock(7), 4);
        assert_eq!(restored.next_clock(8), 0);
        assert_eq!(restored.check(7, 3, 1, 1), dedupe.check(7, 3, 1, 1));
    }
}

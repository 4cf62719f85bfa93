//! Where a client starts in a document: what it has decides what it is sent, and that is whatever is least to send.

use std::sync::Arc;

use crate::codec::wire::SyncMode;

use super::document::Open;
use super::refusal::Refusal;
use super::resume::{Place, Sealer};
use super::session::{Filter, Stage};
use super::version::Version;
use super::wants::{Have, Vector, Wants};

/// What the relay can do for a client.
pub(super) struct Terms<'a> {
    pub client_id: u64,
    pub sealer: Sealer<'a>,
    /// There is memory for another version of the document's state.
    pub has_room: bool,
    /// The longest snapshot that the client can take.
    pub snapshot_bytes_max: usize,
}

/// Where a client starts.
#[derive(Debug)]
pub(super) struct Start {
    pub stage: Stage,
    pub sync: SyncMode,
    /// After which revision the operations start that follow.
    pub from_revision: u64,
}

impl Start {
    fn delta(next_revision: u64, filter: Option<Box<Filter>>) -> Self {
        Self {
            stage: Stage::CatchUp {
                next_revision,
                ticket: None,
                filter,
            },
            sync: SyncMode::Delta,
            from_revision: next_revision - 1,
        }
    }

    fn snapshot(version: Arc<Version>, next_clock: u64, offset: usize) -> Self {
        Self {
            sync: SyncMode::Snapshot,
            from_revision: version.revision,
            stage: Stage::Snapshot {
                version,
                next_clock,
                offset,
            },
        }
    }
}

impl Open {
    /// # Errors
    ///
    /// [`Refusal::ResumeTokenInvalid`]; [`Refusal::SnapshotRequired`] where what the client asks for is gone.
    pub(super) fn start(&mut self, wants: &Wants, terms: &Terms<'_>) -> Result<Start, Refusal> {
        let (have, filter) = self.understand(&wants.have, terms);
        if !wants.resume_token.is_empty() {
            let place = terms.sealer.open(&wants.resume_token)?;
            return self.resume(place, filter, terms);
        }
        if have == self.durable_revision {
            return Ok(Start {
                stage: Stage::Live(self.ring.head()),
                sync: SyncMode::UpToDate,
                from_revision: have,
            });
        }
        let is_kept = have >= self.horizon_revision;
        let is_wanted = wants.takes_snapshots
            && self.kind.state_bytes() <= terms.snapshot_bytes_max
            && (!is_kept || self.is_snapshot_shorter(have));
        if is_wanted && let Some((version, next_clock)) = self.version(have, terms) {
            return Ok(Start::snapshot(version, next_clock, 0));
        }
        if !is_kept {
            return Err(Refusal::SnapshotRequired);
        }
        Ok(Start::delta(have + 1, filter))
    }

    /// The revision up to which a client has everything, and what it has beyond that.
    fn understand(&self, have: &Have, terms: &Terms<'_>) -> (u64, Option<Box<Filter>>) {
        match have {
            Have::Nothing => (0, None),
            Have::Position { epoch, revision } => {
                let is_known = *epoch == terms.sealer.epoch && *revision <= self.durable_revision;
                (if is_known { *revision } else { 0 }, None)
            }
            Have::Vector(vector) => self.understand_vector(vector),
        }
    }

    fn understand_vector(&self, vector: &Vector) -> (u64, Option<Box<Filter>>) {
        let durable = self.durable_vector();
        // What only the client knows of is none of the relay's history.
        let known: Vector = durable
            .iter()
            .filter_map(|(client, newest)| {
                let clock = vector.get(client)?;
                Some((*client, *clock.min(newest)))
            })
            .collect();
        // Each operation raises one clock by one and the revision by one.
        let total = known.values().map(|clock| clock + 1).sum();
        let is_prefix = durable.keys().all(|client| {
            let next_clock = known.get(client).map_or(0, |clock| clock + 1);
            self.dedupe.next_clock_at(*client, total) == Some(next_clock)
        });
        if is_prefix {
            return (total, None);
        }
        if !self.kind.operations_stand_alone() {
            return (0, None);
        }
        let missing = durable.iter().filter_map(|(client, newest)| {
            let next_clock = known.get(client).map_or(0, |clock| clock + 1);
            let is_missing = next_clock <= *newest;
            is_missing.then(|| self.dedupe.revision_min(*client, next_clock))
        });
        let first_missing = missing.min().unwrap_or(self.durable_revision + 1);
        let filter = Filter {
            vector: known,
            until_revision: self.durable_revision,
        };
        (first_missing - 1, Some(Box::new(filter)))
    }

    fn resume(
        &mut self,
        place: Place,
        filter: Option<Box<Filter>>,
        terms: &Terms<'_>,
    ) -> Result<Start, Refusal> {
        match place {
            Place::Operations { next_revision } => {
                if !(1..=self.durable_revision + 1).contains(&next_revision) {
                    return Err(Refusal::ResumeTokenInvalid);
                }
                if next_revision <= self.horizon_revision {
                    return Err(Refusal::SnapshotRequired);
                }
                Ok(Start::delta(next_revision, filter))
            }
            Place::Snapshot { revision, offset } => {
                let version = self.version(0, terms);
                let (version, next_clock) = version
                    .filter(|(version, _)| version.revision == revision)
                    .ok_or(Refusal::SnapshotRequired)?;
                let offset = usize::try_from(offset)
                    .ok()
                    .filter(|offset| *offset < version.snapshot.bytes_total().max(1))
                    .ok_or(Refusal::ResumeTokenInvalid)?;
                Ok(Start::snapshot(version, next_clock, offset))
            }
        }
    }

    /// The state to send to a client that has everything up to `have`, and its next clock there. `None`: the kind has
    /// none, or there is no room.
    fn version(&mut self, have: u64, terms: &Terms<'_>) -> Option<(Arc<Version>, u64)> {
        if let Some(newest) = self.versions.newest()
            && newest.revision >= have
            && self.leads_on_from(newest.revision)
            && let Some(next_clock) = self.dedupe.next_clock_at(terms.client_id, newest.revision)
        {
            return Some((newest, next_clock));
        }
        let snapshot = self.kind.snapshot().filter(|_| terms.has_room)?;
        let version = self.versions.add(snapshot, self.head_revision);
        Some((version, self.dedupe.next_clock(terms.client_id)))
    }

    /// Whether everything after `revision` is in the ring or on its way there.
    fn leads_on_from(&self, revision: u64) -> bool {
        revision >= self.durable_revision || self.ring.cursor(revision + 1).is_some()
    }

    /// Whether the snapshot is less to send than the operations after `have`. A client that has nothing always
    /// gets the snapshot.
    fn is_snapshot_shorter(&self, have: u64) -> bool {
        /// What an operation takes beside its payload.
        const OVERHEAD_BYTES: u64 = 16;
        /// A difference below this is not worth losing the history for.
        const WORTH_BYTES: u64 = 64 * 1024;
        let missing = self.durable_revision - have;
        let operations = missing * (self.operation_bytes_mean() + OVERHEAD_BYTES);
        have == 0 || operations > self.kind.state_bytes() as u64 + WORTH_BYTES
    }

    /// The highest durable clock of each client.
    pub(super) fn durable_vector(&self) -> Vector {
        let mut vector = self.dedupe.vector();
        for batch in self.pending.iter().rev() {
            match batch.first_clock.checked_sub(1) {
                Some(clock) => vector.insert(batch.origin, clock),
                None => vector.remove(&batch.origin),
            };
        }
        vector
    }
}

//! Where a client starts in a document: what it has decides what it is sent, and that is whatever is least to send.

use std::sync::Arc;

use bytes::Bytes;

use crate::codec::wire::SyncMode;

use super::document::Open;
use super::kind::Snapshot;
use super::metrics::Pool;
use super::refusal::Refusal;
use super::resume::{Place, Sealer};
use super::session::{Filter, Stage};
use super::version::Version;
use super::wants::{Have, Vector, Wants, vector_bytes};

/// What the relay can do for a client.
pub(super) struct Terms<'a> {
    pub client_id: u64,
    pub sealer: Sealer<'a>,
    /// There is memory for another version of the document's state.
    pub has_room: bool,
    /// Where the client's state vector is counted while it is kept.
    pub filters: &'a Pool,
    /// How much of it can be kept.
    pub filter_bytes_max: usize,
    /// The longest snapshot that the client can take.
    pub snapshot_bytes_max: usize,
}

/// Up to which revision a client has everything, and what it has beyond that.
type Understood = (Option<u64>, Option<Box<Filter>>);

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
    /// [`Refusal::ResumeTokenInvalid`]; [`Refusal::SnapshotRequired`] where what the client asks for is gone;
    /// [`Refusal::Unavailable`] where there is no memory.
    pub(super) fn start(&mut self, wants: &Wants, terms: &Terms<'_>) -> Result<Start, Refusal> {
        if wants.is_from_newest {
            return Ok(self.up_to_date());
        }
        let (have, filter) = self.understand(&wants.have, terms)?;
        if !wants.resume_token.is_empty() {
            let place = terms.sealer.open(&wants.resume_token)?;
            return self.resume(place, filter, terms);
        }
        // Whoever has nothing of this life of a document may have something of an earlier one, and must be told.
        let must_begin = have.is_none() && self.origin_revision > 0;
        let have = have.unwrap_or(self.origin_revision);
        if have == self.durable_revision && !must_begin {
            return Ok(self.up_to_date());
        }
        let is_kept = have >= self.horizon_revision && !must_begin;
        if wants.takes_snapshots
            && (!is_kept || self.is_snapshot_shorter(have))
            && let Some((version, next_clock)) = self.version(have, terms)
            && version.snapshot.bytes_total() <= terms.snapshot_bytes_max
        {
            return Ok(Start::snapshot(version, next_clock, 0));
        }
        if !is_kept && wants.takes_snapshots && !terms.has_room {
            let reason = "no memory for another version of the document";
            return Err(Refusal::Unavailable(reason.to_owned()));
        }
        if have < self.horizon_revision {
            return Err(Refusal::SnapshotRequired);
        }
        Ok(Start::delta(have + 1, filter))
    }

    fn up_to_date(&self) -> Start {
        Start {
            stage: Stage::Live(self.ring.head()),
            sync: SyncMode::UpToDate,
            from_revision: self.durable_revision,
        }
    }

    /// The revision up to which a client has everything, and what it has beyond that. `None`: it has nothing.
    fn understand(&self, have: &Have, terms: &Terms<'_>) -> Result<Understood, Refusal> {
        match have {
            Have::Nothing => Ok((None, None)),
            Have::Position { epoch, revision } => {
                let is_known = self.knows(*epoch == terms.sealer.epoch, *revision);
                Ok((is_known.then_some(*revision), None))
            }
            Have::Vector { .. } if self.voids(have, terms.sealer.epoch) => Ok((None, None)),
            Have::Vector { vector, .. } => self.understand_vector(vector, terms),
        }
    }

    /// Whether a revision is one of this life of the document.
    fn knows(&self, is_of_epoch: bool, revision: u64) -> bool {
        let is_of_this_life = revision > self.origin_revision || self.origin_revision == 0;
        is_of_epoch && revision <= self.durable_revision && is_of_this_life
    }

    /// Whether what a client says to have is none of the document's history, and is to be thrown away.
    pub(super) fn voids(&self, have: &Have, current_epoch: u64) -> bool {
        match have {
            Have::Nothing => false,
            Have::Position { epoch, revision } => {
                *revision > 0 && !self.knows(*epoch == current_epoch, *revision)
            }
            Have::Vector { seen_at, .. } => {
                // The same clocks can be of an earlier life.
                let revision = seen_at.map_or(0, |(_, revision)| revision);
                let is_of_earlier_life =
                    self.origin_revision > 0 && revision <= self.origin_revision;
                seen_at.is_some_and(|(epoch, _)| epoch != current_epoch) || is_of_earlier_life
            }
        }
    }

    /// The steps that this takes are as many as the vector has clients, however many have written to the document.
    fn understand_vector(&self, vector: &Vector, terms: &Terms<'_>) -> Result<Understood, Refusal> {
        // What only the client knows of is none of the relay's history.
        let known = vector.iter().filter_map(|(client, clock)| {
            let newest = self.durable_next_clock(*client).checked_sub(1)?;
            Some((*client, *clock.min(&newest)))
        });
        let known: Vector = known.collect();
        // Each operation raises one clock by one and the revision by one.
        let operations: u64 = known.values().map(|clock| clock + 1).sum();
        if operations == 0 {
            return Ok((None, None));
        }
        let revision = self.origin_revision + operations;
        // If these had written so much by then, nobody else had written anything.
        let is_prefix = known
            .iter()
            .all(|(client, clock)| self.dedupe.next_clock_at(*client, revision) == Some(clock + 1));
        if is_prefix {
            return Ok((Some(revision), None));
        }
        if !self.kind.operations_stand_alone() {
            return Ok((None, None));
        }
        let bytes = vector_bytes(&known);
        if bytes > terms.filter_bytes_max {
            let reason = "no memory for the state vector";
            return Err(Refusal::Unavailable(reason.to_owned()));
        }
        let missing = known.iter().filter_map(|(client, clock)| {
            let is_missing = clock + 1 < self.durable_next_clock(*client);
            is_missing.then(|| self.dedupe.revision_min(*client, clock + 1))
        });
        let first_missing = missing
            .chain(self.dedupe.first_revision_without(vector))
            .fold(self.durable_revision + 1, u64::min);
        let filter = Filter {
            vector: known,
            until_revision: self.durable_revision,
            _held: terms.filters.hold(bytes),
        };
        let have = (first_missing - 1).max(self.origin_revision);
        Ok((Some(have), Some(Box::new(filter))))
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
                    .filter(|(version, _)| {
                        version.snapshot.bytes_total() <= terms.snapshot_bytes_max
                    })
                    .ok_or(Refusal::SnapshotRequired)?;
                let offset = usize::try_from(offset)
                    .ok()
                    .filter(|offset| *offset < version.snapshot.bytes_total().max(1))
                    .ok_or(Refusal::ResumeTokenInvalid)?;
                Ok(Start::snapshot(version, next_clock, offset))
            }
        }
    }

    /// The state to send to a client that has everything up to `have`, and its next clock there. `None`: there is none
    /// that is newer, or no room.
    fn version(&mut self, have: u64, terms: &Terms<'_>) -> Option<(Arc<Version>, u64)> {
        if self.kind.operations_stand_alone() {
            return self.offered_version(have, terms);
        }
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

    /// What a client has offered, or, where a document begins a new life, that there is nothing yet.
    fn offered_version(&mut self, have: u64, terms: &Terms<'_>) -> Option<(Arc<Version>, u64)> {
        let (revision, data, next_clock) = match self.kind.offer() {
            Some(offer) => {
                let clock = offer
                    .next_clocks
                    .binary_search_by_key(&terms.client_id, |(client, _)| *client);
                let next_clock = clock.map_or(0, |index| offer.next_clocks[index].1);
                (offer.revision, offer.data.clone(), next_clock)
            }
            None if self.origin_revision > 0 => (self.origin_revision, Bytes::new(), 0),
            None => return None,
        };
        if revision < have {
            return None;
        }
        let newest = self.versions.newest();
        let version = newest.filter(|newest| newest.revision == revision);
        let version =
            version.unwrap_or_else(|| self.versions.add(Snapshot::Opaque(data), revision));
        Some((version, next_clock))
    }

    /// Whether everything after `revision` is in the ring or on its way there.
    fn leads_on_from(&self, revision: u64) -> bool {
        revision >= self.durable_revision || self.ring.cursor(revision + 1).is_some()
    }

    /// Whether the snapshot is less to send than the operations after `have` that it stands for. A client that has
    /// nothing always gets the snapshot.
    fn is_snapshot_shorter(&self, have: u64) -> bool {
        /// What an operation takes beside its payload.
        const OVERHEAD_BYTES: u64 = 16;
        /// A difference below this is not worth losing the history for.
        const WORTH_BYTES: u64 = 64 * 1024;
        let offer = self.kind.offer().map(|offer| offer.revision);
        let missing = offer.unwrap_or(self.durable_revision).saturating_sub(have);
        let operations = missing * (self.operation_bytes_mean() + OVERHEAD_BYTES);
        have == self.origin_revision || operations > self.kind.state_bytes() as u64 + WORTH_BYTES
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

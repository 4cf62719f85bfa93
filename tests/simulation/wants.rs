//! What a client says it has of a document, and how it wants the rest.

use std::collections::BTreeMap;

use bytes::Bytes;
use corelay::codec::wire;

use super::judge::Position;
use super::random::Random;
use super::replica::Replica;

/// The highest clock of each client.
pub type Vector = BTreeMap<u64, u64>;

#[derive(Debug, Clone, Default)]
pub struct Wants {
    pub have: Option<Position>,
    /// In place of `have`.
    pub vector: Option<Vector>,
    pub resume: Option<Resume>,
    /// It reads once, and does not stay.
    pub is_once: bool,
    pub is_bidirectional: bool,
    pub refuses_snapshots: bool,
    /// When it was asked, everything up to here was of an earlier life of the document.
    pub floor: u64,
}

/// Where catching up broke off.
#[derive(Debug, Clone)]
pub struct Resume {
    token: Bytes,
    have: Option<Position>,
    vector: Option<Vector>,
    pub next_revision: u64,
    /// What had come of a snapshot.
    pub snapshot: Option<Vec<u8>>,
    /// After which revision the life began that it is of.
    life: u64,
}

impl Wants {
    pub fn after(have: Option<Position>) -> Self {
        Self {
            have,
            ..Self::default()
        }
    }

    /// `is_plain`: nothing but a position is to be said.
    pub fn any(replica: &Replica, is_plain: bool, random: &mut Random) -> Self {
        // A text with edits that may have been taken cannot tell them from those before them without its history.
        let may_forget = replica.kind == "log" || replica.content.pending_operations() == 0;
        let have = replica.seen.filter(|_| !random.happens(500) || !may_forget);
        if is_plain {
            return Self::after(have);
        }
        // Whoever has nothing would be put where the newest life of the document begins.
        let has_something = have.is_some_and(|have| have.revision > 0);
        let mut wants = Self {
            have,
            is_bidirectional: random.happens(1000),
            refuses_snapshots: random.happens(500) && !replica.needs_snapshot && has_something,
            ..Self::default()
        };
        if let Some(resume) = replica.resume.as_ref().filter(|_| random.happens(8000)) {
            wants.have = resume.have;
            wants.vector = resume.vector.clone();
            wants.resume = Some(resume.clone());
            wants.refuses_snapshots = false;
        } else if replica.kind == "log" && random.happens(4000) {
            let claim = claim(&replica.known, random);
            wants.vector = Some(claim).filter(|claim| !claim.is_empty());
        }
        wants
    }

    /// What `page` says about going on after it.
    pub fn resume_after(
        &self,
        page: &wire::SyncResponse,
        next: u64,
        data: Option<&[u8]>,
        life: u64,
    ) -> Resume {
        Resume {
            token: page.resume_token.clone(),
            have: self.have,
            vector: self.vector.clone(),
            next_revision: next,
            snapshot: data.map(<[u8]>::to_vec),
            life,
        }
    }

    pub fn open(&self) -> wire::Open {
        let request = self.sync_request();
        wire::Open {
            have: request.have,
            state_vector: request.state_vector,
            resume_token: request.resume_token,
            subscribe: request.subscribe,
            snapshots: request.snapshots,
            bidirectional: request.bidirectional,
            ..Default::default()
        }
    }

    pub fn sync_request(&self) -> wire::SyncRequest {
        let have = self.have.filter(|_| self.vector.is_none());
        wire::SyncRequest {
            have: have.map(|have| wire::Position {
                epoch: have.epoch,
                revision: have.revision,
            }),
            state_vector: self.vector.clone().unwrap_or_default(),
            resume_token: self
                .resume
                .as_ref()
                .map_or_else(Bytes::new, |resume| resume.token.clone()),
            subscribe: self.is_once.then_some(false),
            snapshots: self.refuses_snapshots.then_some(false),
            bidirectional: self.is_bidirectional,
            ..Default::default()
        }
    }

    /// Whether the client says that it has an operation of the life that began after a revision.
    pub fn claims(&self, life: u64, origin: u64, clock: u64) -> bool {
        let vector = self.vector.as_ref();
        let is_of_life = life == 0 || self.have.is_some_and(|have| have.revision > life);
        is_of_life
            && vector
                .is_some_and(|vector| vector.get(&origin).is_some_and(|newest| *newest >= clock))
    }

    /// Whether all that the client has was known to be of an earlier life when it asked.
    pub fn is_void(&self) -> bool {
        if let Some(resume) = &self.resume {
            return resume.life < self.floor;
        }
        let has = self.have.map_or(0, |have| have.revision);
        let has_something = has > 0 || self.vector.is_some();
        self.floor > 0 && has_something && has <= self.floor
    }
}

/// As if some of it had been lost.
fn claim(known: &Vector, random: &mut Random) -> Vector {
    let is_whole = random.happens(4000);
    let mut claim = Vector::new();
    for (origin, clock) in known {
        match random.below(6) {
            0 if !is_whole => (),
            1 if !is_whole => {
                claim.insert(*origin, random.within(0..=*clock));
            }
            _ => {
                claim.insert(*origin, *clock);
            }
        }
    }
    claim
}

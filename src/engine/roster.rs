//! What subscribers are told of who is in a document: everybody's newest state, and a small ring of changes.
//!
//! A change is encoded once; subscribers have a place in the ring, as in that of operations. Of one client only the
//! newest change counts, so older ones are passed over, and whoever is overtaken gets the full set, which is all that
//! it missed. Nobody is sent its own state.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::codec::dialect::Broadcast;
use crate::codec::wire::{self, event};

use super::request::Asked;
use super::voice::Voice;

#[derive(Debug)]
pub struct Roster {
    /// The document's handle.
    document: u64,
    slots_max: usize,
    told: BTreeMap<u64, Told>,
    ring: VecDeque<Slot>,
    /// How many changes there have been.
    sequence: u64,
    state_bytes: usize,
    ring_bytes: usize,
}

#[derive(Debug)]
struct Slot {
    client_id: u64,
    broadcast: Broadcast,
}

#[derive(Debug)]
struct Told {
    state: Arc<wire::UserPresence>,
    /// Which change it is.
    sequence: u64,
}

/// A client has a new state.
#[derive(Debug)]
pub struct Change {
    pub client_id: u64,
    /// Its newest. `None`: it has left.
    pub state: Option<Arc<wire::UserPresence>>,
    /// As the others get it.
    pub broadcast: Broadcast,
}

/// What has changed since a place in the ring.
#[derive(Debug)]
pub enum News {
    Changes(Vec<Change>),
    /// The ring has gone on too far.
    Everybody(Everybody),
}

/// Who is there.
#[derive(Debug)]
pub struct Everybody {
    states: Vec<Arc<wire::UserPresence>>,
    /// How many changes there have been.
    sequence: u64,
}

impl News {
    /// What it takes in memory, as if it shared none.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Changes(changes) => changes.iter().map(Change::bytes).sum(),
            Self::Everybody(everybody) => {
                let states = everybody.states.iter();
                states.map(|state| held_bytes(state)).sum()
            }
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Changes(changes) => changes.len(),
            Self::Everybody(everybody) => everybody.states.len(),
        }
    }
}

impl Change {
    fn bytes(&self) -> usize {
        let state = self.state.as_ref().map_or(0, |state| held_bytes(state));
        self.broadcast.frame_bytes() + self.broadcast.other_bytes() + state
    }
}

impl Slot {
    fn bytes(&self) -> usize {
        self.broadcast.frame_bytes() + self.broadcast.other_bytes()
    }
}

impl Roster {
    /// One with nobody on it. `document` is the document's handle.
    pub fn new(document: u64, slots_max: usize) -> Self {
        Self {
            document,
            slots_max,
            told: BTreeMap::new(),
            ring: VecDeque::new(),
            sequence: 0,
            state_bytes: 0,
            ring_bytes: 0,
        }
    }

    /// From the next change on the ring has so many slots.
    pub fn set_slots_max(&mut self, slots_max: usize) {
        self.slots_max = slots_max;
    }

    /// The place after the newest change.
    pub fn head(&self) -> u64 {
        self.sequence
    }

    /// Everybody but `client_id`.
    pub fn full_set(&self, client_id: u64) -> Vec<wire::UserPresence> {
        let others = self.told.iter().filter(|(told, _)| **told != client_id);
        others.map(|(_, told)| (*told.state).clone()).collect()
    }

    pub fn everybody(&self) -> Everybody {
        let told = self.told.values();
        Everybody {
            states: told.map(|told| Arc::clone(&told.state)).collect(),
            sequence: self.sequence,
        }
    }

    pub fn push(&mut self, change: Change) {
        let Change {
            client_id,
            state,
            broadcast,
        } = change;
        self.set(client_id, state);
        let slot = Slot {
            client_id,
            broadcast,
        };
        self.ring_bytes += slot.bytes();
        self.ring.push_back(slot);
        self.sequence += 1;
        while self.ring.len() > self.slots_max {
            let oldest = self.ring.pop_front().expect("longer than its limit");
            self.ring_bytes -= oldest.bytes();
        }
    }

    /// These are there, and nobody else. Whoever has not seen as many changes is overtaken.
    pub fn replace(&mut self, everybody: Everybody) {
        self.ring.clear();
        self.ring_bytes = 0;
        self.told.clear();
        self.state_bytes = 0;
        self.sequence = everybody.sequence;
        for state in everybody.states {
            self.set(state.client_id, Some(state));
        }
    }

    fn set(&mut self, client_id: u64, state: Option<Arc<wire::UserPresence>>) {
        let before = match state {
            Some(state) => {
                self.state_bytes += held_bytes(&state);
                let sequence = self.sequence;
                self.told.insert(client_id, Told { state, sequence })
            }
            None => self.told.remove(&client_id),
        };
        self.state_bytes -= before.map_or(0, |before| held_bytes(&before.state));
    }

    /// The changes from `seen` on, each with its place. `None`: some of them are no longer there.
    fn since(&self, seen: u64) -> Option<impl Iterator<Item = (u64, &Slot)>> {
        let oldest = self.sequence - self.ring.len() as u64;
        let skipped = usize::try_from(seen.checked_sub(oldest)?).expect("within the ring");
        Some((seen..).zip(self.ring.range(skipped..)))
    }

    /// What another roster of the same document needs that is at `seen`.
    pub fn news(&self, seen: u64) -> News {
        let change = |slot: &Slot| Change {
            client_id: slot.client_id,
            state: self
                .told
                .get(&slot.client_id)
                .map(|told| Arc::clone(&told.state)),
            broadcast: slot.broadcast.clone(),
        };
        match self.since(seen) {
            Some(slots) => News::Changes(slots.map(|(_, slot)| change(slot)).collect()),
            None => News::Everybody(self.everybody()),
        }
    }

    pub fn take(&mut self, news: News) {
        match news {
            News::Changes(changes) => changes.into_iter().for_each(|change| self.push(change)),
            News::Everybody(everybody) => self.replace(everybody),
        }
    }

    /// Appends what a subscriber at `cursor` has missed, as frames, and moves the cursor.
    /// A subscriber that has seen nobody gets everybody, if there is anybody.
    pub fn gather(&self, cursor: &mut Option<u64>, voice: &Voice<'_>, out: &mut Vec<u8>) {
        let client_id = voice.client_id();
        if let Some(slots) = cursor.and_then(|seen| self.since(seen)) {
            for (sequence, slot) in slots {
                let newest = self.told.get(&slot.client_id);
                let is_superseded = newest.is_some_and(|told| told.sequence != sequence);
                if slot.client_id != client_id && !is_superseded {
                    voice.append_broadcast(&slot.broadcast, None, out);
                }
            }
        } else {
            let presences = self.full_set(client_id);
            if cursor.is_some() || !presences.is_empty() {
                let update = event::Body::PresenceUpdate(wire::PresenceUpdate {
                    document: self.document,
                    presences,
                    full: true,
                });
                voice.append(&Asked::default(), update, out);
            }
        }
        *cursor = Some(self.sequence);
    }

    /// Lets go of all changes: whoever has not had them gets the full set.
    pub fn rest(&mut self) {
        self.ring = VecDeque::new();
        self.ring_bytes = 0;
    }

    /// What the ring takes in memory.
    pub fn ring_bytes(&self) -> usize {
        self.ring_bytes
    }

    /// What it takes in memory with everybody's states.
    pub fn footprint_bytes(&self) -> usize {
        self.state_bytes + self.ring_bytes
    }
}

fn held_bytes(state: &wire::UserPresence) -> usize {
    super::presence::held_bytes(state, &state.fields)
}

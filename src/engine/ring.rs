//! The broadcast buffer of one document: the newest batches that are durable, each encoded once.
//!
//! A [`Ring`] has a fixed number of slots and a fixed number of bytes; a batch that needs room overwrites the
//! oldest. Subscribers are [`Cursor`]s into it: nothing is stored for them here, so a slow one costs nothing and
//! holds up nobody. Its storage grows to what is in use, so that a quiet document has next to none.

use std::collections::VecDeque;

use crate::codec::dialect::Broadcast;

use super::key::SessionKey;
use super::request::Asked;
use super::time::Instant;

/// One batch, as its subscribers get it.
#[derive(Debug, Clone)]
pub struct Slot {
    /// The revision of the first operation.
    pub first_revision: u64,
    pub count: u32,
    /// Whose session sent it: that one gets an Ack in its place.
    pub session: SessionKey,
    pub asked: Asked,
    pub client_seq: u64,
    /// The highest clock in it.
    pub clock: u64,
    pub persisted_at_ms: u64,
    /// When its shard was told that.
    pub confirmed_at: Instant,
    /// Who made it.
    pub origin: u64,
    /// The RemoteOps.
    pub broadcast: Broadcast,
}

impl Slot {
    /// What it takes in memory beside itself.
    pub fn bytes(&self) -> usize {
        self.broadcast.frame_bytes() + self.broadcast.other_bytes()
    }

    /// The revision after the last operation.
    pub fn end_revision(&self) -> u64 {
        self.first_revision + u64::from(self.count)
    }
}

/// A subscriber's place: everything before it has been delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// How many slots had been written before the one it wants next.
    sequence: u64,
    /// The revision that it wants next.
    pub revision: u64,
    /// How many bytes had been written before that slot.
    bytes: u64,
}

/// How far a cursor is behind the newest batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    pub operations: u64,
    pub bytes: u64,
}

#[derive(Debug)]
pub struct Ring {
    slots: VecDeque<Slot>,
    slots_max: usize,
    bytes_max: usize,
    /// What the slots hold beside their frames.
    other_bytes: usize,
    /// Where the oldest slot is.
    tail: Cursor,
    /// Where the next slot will be.
    head: Cursor,
}

impl Ring {
    /// An empty ring whose first slot will start at `next_revision`.
    pub fn new(next_revision: u64, slots_max: usize, bytes_max: usize) -> Self {
        let start = Cursor {
            sequence: 0,
            revision: next_revision,
            bytes: 0,
        };
        Self {
            slots: VecDeque::new(),
            slots_max,
            bytes_max,
            other_bytes: 0,
            tail: start,
            head: start,
        }
    }

    /// From the next batch on it has so much room.
    pub fn set_limits(&mut self, slots_max: usize, bytes_max: usize) {
        self.slots_max = slots_max;
        self.bytes_max = bytes_max;
    }

    /// # Panics
    ///
    /// If the slot does not start at the revision after the newest one: revisions have no gaps.
    pub fn push(&mut self, slot: Slot) {
        assert_eq!(slot.first_revision, self.head.revision, "no gaps");
        self.head = after(self.head, &slot);
        self.other_bytes += slot.broadcast.other_bytes();
        self.slots.push_back(slot);
        while self.slots.len() > self.slots_max
            || (self.bytes() > self.bytes_max && self.slots.len() > 1)
        {
            let oldest = self.slots.pop_front().expect("more than one");
            self.other_bytes -= oldest.broadcast.other_bytes();
            self.tail = after(self.tail, &oldest);
        }
    }

    /// Lets go of all batches. Whoever was at the head is there still.
    pub fn rest(&mut self) {
        self.slots = VecDeque::new();
        self.other_bytes = 0;
        self.tail = self.head;
    }

    /// Lets go of all batches; the next one will start at `next_revision`. Every cursor is overtaken.
    pub fn restart(&mut self, next_revision: u64) {
        self.slots.clear();
        self.other_bytes = 0;
        self.head.sequence += 1;
        self.head.revision = next_revision;
        self.tail = self.head;
    }

    /// The place after the newest batch.
    pub fn head(&self) -> Cursor {
        self.head
    }

    /// The place of a batch that starts at `revision`, or the head if that is the next revision. `None`: it is no
    /// longer here, or no batch starts there.
    pub fn cursor(&self, revision: u64) -> Option<Cursor> {
        if revision == self.head.revision {
            return Some(self.head);
        }
        let index = self
            .slots
            .binary_search_by_key(&revision, |slot| slot.first_revision)
            .ok()?;
        let bytes_before: usize = self
            .slots
            .range(..index)
            .map(|slot| slot.broadcast.frame_bytes())
            .sum();
        Some(Cursor {
            sequence: self.tail.sequence + index as u64,
            revision,
            bytes: self.tail.bytes + bytes_before as u64,
        })
    }

    /// The slot at `cursor`, and the place after it. `Ok(None)`: it is at the head. `Err`: it was overtaken.
    pub fn read(&self, cursor: Cursor) -> Result<Option<(&Slot, Cursor)>, Lapped> {
        let index = cursor
            .sequence
            .checked_sub(self.tail.sequence)
            .ok_or(Lapped)?;
        let slot = usize::try_from(index)
            .ok()
            .and_then(|index| self.slots.get(index));
        Ok(slot.map(|slot| (slot, after(cursor, slot))))
    }

    pub fn lag(&self, cursor: Cursor) -> Lag {
        Lag {
            operations: self.head.revision - cursor.revision,
            bytes: self.head.bytes - cursor.bytes,
        }
    }

    /// The newest batches first.
    pub fn newest(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().rev()
    }

    /// How many batches it has, and may have.
    pub fn slots(&self) -> (usize, usize) {
        (self.slots.len(), self.slots_max)
    }

    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// The bytes of all frames in it.
    pub fn bytes(&self) -> usize {
        usize::try_from(self.head.bytes - self.tail.bytes).expect("they are all in memory")
    }

    /// What it takes in memory.
    pub fn footprint_bytes(&self) -> usize {
        self.bytes() + self.other_bytes + self.slots.capacity() * size_of::<Slot>()
    }
}

/// The cursor's slot has been overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lapped;

fn after(cursor: Cursor, slot: &Slot) -> Cursor {
    Cursor {
        sequence: cursor.sequence + 1,
        revision: slot.end_revision(),
        bytes: cursor.bytes + slot.broadcast.frame_bytes() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(first_revision: u64, count: u32, bytes: usize) -> Slot {
        Slot {
            first_revision,
            count,
            session: SessionKey::default(),
            client_seq: 0,
            clock: 0,
            persisted_at_ms: 0,
            confirmed_at: Instant::default(),
            origin: 1,
            asked: Asked::default(),
            broadcast: Broadcast::of_bytes(bytes),
        }
    }

    #[test]
    fn a_cursor_reads_every_slot_once_and_in_order() {
        let mut ring = Ring::new(8, 4, 1000);
        let mut cursor = ring.head();
        assert_eq!(ring.read(cursor).expect("not lapped").map(|_| ()), None);
        ring.push(slot(8, 2, 10));
        ring.push(slot(10, 1, 10));
        let mut seen = Vec::new();
        while let Some((slot, next)) = ring.read(cursor).expect("not lapped") {
            seen.push(slot.first_revision);
            cursor = next;
        }
        assert_eq!(seen, [8, 10]);
        assert_eq!(cursor, ring.head());
        assert_eq!(ring.cursor(8).map(|cursor| cursor.revision), Some(8));
        assert_eq!(ring.cursor(9), None, "inside a batch");
        assert_eq!(ring.cursor(11), Some(ring.head()));
        assert_eq!(ring.cursor(12), None);
        assert_eq!(ring.cursor(7), None);
    }

    #[test]
    fn whoever_read_a_ring_that_begins_anew_is_lapped() {
        let mut ring = Ring::new(1, 4, 1000);
        ring.push(slot(1, 2, 10));
        let cursors = [ring.cursor(1).expect("there"), ring.head()];
        ring.restart(9);
        for cursor in cursors {
            assert_eq!(ring.read(cursor).map(|_| ()), Err(Lapped));
        }
        assert_eq!(ring.bytes(), 0);
        let cursor = ring.head();
        ring.push(slot(9, 1, 10));
        let read = ring.read(cursor).expect("not lapped");
        assert_eq!(read.map(|(slot, _)| slot.first_revision), Some(9));
    }

    #[test]
    fn the_oldest_slots_make_room_and_their_readers_are_lapped() {
        let mut ring = Ring::new(1, 2, 1000);
        let start = ring.head();
        ring.push(slot(1, 5, 100));
        ring.push(slot(6, 1, 100));
        let second = ring.cursor(6).expect("there");
        assert_eq!(
            ring.lag(start),
            Lag {
                operations: 6,
                bytes: 200
            }
        );
        ring.push(slot(7, 1, 100));
        assert_eq!(ring.read(start).map(|_| ()), Err(Lapped));
        assert_eq!(
            ring.lag(start),
            Lag {
                operations: 7,
                bytes: 300
            }
        );
        assert!(ring.read(second).is_ok());
        assert_eq!(ring.bytes(), 200);

        ring.push(slot(8, 1, 2000));
        assert_eq!(ring.read(second).map(|_| ()), Err(Lapped));
        assert_eq!(ring.bytes(), 2000, "one batch is kept whatever its size");

        let head = ring.head();
        ring.rest();
        assert_eq!(ring.footprint_bytes(), 0);
        assert_eq!(ring.read(head).map(|read| read.is_none()), Ok(true));
        assert_eq!(ring.cursor(8), None);
        ring.push(slot(9, 1, 10));
        assert_eq!(ring.cursor(9), Some(head));
    }
}

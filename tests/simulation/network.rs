//! Connections between clients and the relay: bounded buffers on both ends, and bytes that cross in any pieces.

use std::collections::VecDeque;

use super::random::Random;

/// One connection, as a pair of one-way pipes.
#[derive(Debug)]
pub struct Link {
    /// From the client to the relay.
    pub up: Pipe,
    /// From the relay to the client.
    pub down: Pipe,
    /// The client has given the connection up without a word: nobody reads `down`, and `up` ends some time later.
    pub is_abandoned: bool,
    /// The line towards the client is slow, and never stands still.
    is_slow: bool,
}

/// What a slow line carries in a second, …
const SLOW_BYTES_PER_SECOND: u64 = 1600;
/// … and how much is on it: for so long that a relay could think it dead.
const SLOW_CAPACITY: usize = 2000;

/// Bytes on their way in one direction.
#[derive(Debug)]
pub struct Pipe {
    sending: VecDeque<u8>,
    arrived: VecDeque<u8>,
    /// How many bytes each of the two buffers holds.
    capacity: usize,
    /// The sender writes no more; the end follows the last byte.
    is_ending: bool,
    /// Neither side can use it any more.
    is_broken: bool,
}

impl Link {
    pub fn new(capacity: usize) -> Self {
        Self {
            up: Pipe::new(capacity),
            down: Pipe::new(capacity),
            is_abandoned: false,
            is_slow: false,
        }
    }

    pub fn slow() -> Self {
        Self {
            is_slow: true,
            ..Self::new(SLOW_CAPACITY)
        }
    }

    /// Whether the relay's system says that its socket takes more: not of every byte, if the line is slow.
    pub fn is_writable(&self) -> bool {
        let room_min = match self.is_slow {
            true => SLOW_CAPACITY / 3,
            false => 1,
        };
        self.down.room() >= room_min
    }

    /// Something is on its way.
    pub fn is_in_use(&self) -> bool {
        let mut pipes = [&self.up, &self.down].into_iter();
        pipes.any(|pipe| !pipe.sending.is_empty() || pipe.has_arrived())
    }

    /// What was on its way is lost, and both sides see the end.
    pub fn reset(&mut self) {
        self.up.cut();
        self.down.cut();
    }

    pub fn carry(&mut self, bytes_max: usize, step_us: u64, random: &mut Random) {
        self.up.carry(random.up_to(bytes_max));
        self.down.carry(match self.is_slow {
            true => (SLOW_BYTES_PER_SECOND * step_us).div_ceil(1_000_000) as usize,
            false => random.up_to(bytes_max),
        });
    }

    pub fn set_capacity(&mut self, capacity: usize) {
        self.up.capacity = capacity;
        self.down.capacity = capacity;
    }
}

impl Pipe {
    fn new(capacity: usize) -> Self {
        Self {
            sending: VecDeque::new(),
            arrived: VecDeque::new(),
            capacity,
            is_ending: false,
            is_broken: false,
        }
    }

    /// How much the sender's buffer can take.
    pub fn room(&self) -> usize {
        if self.is_broken {
            return 0;
        }
        self.capacity.saturating_sub(self.sending.len())
    }

    /// What the sender's buffer holds.
    pub fn unconfirmed_bytes(&self) -> u64 {
        self.sending.len() as u64
    }

    /// Takes the first part of `bytes`, as far as there is room.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room());
        self.sending.extend(&bytes[..taken]);
        taken
    }

    /// Up to `bytes_max` of the bytes that have arrived.
    pub fn read(&mut self, bytes_max: usize) -> Vec<u8> {
        let count = bytes_max.min(self.arrived.len());
        self.arrived.drain(..count).collect()
    }

    pub fn has_arrived(&self) -> bool {
        !self.arrived.is_empty()
    }

    /// The reader has everything, and there will be no more.
    pub fn is_at_end(&self) -> bool {
        self.arrived.is_empty() && (self.is_broken || (self.is_ending && self.sending.is_empty()))
    }

    pub fn end(&mut self) {
        self.is_ending = true;
    }

    fn cut(&mut self) {
        self.sending.clear();
        self.arrived.clear();
        self.is_broken = true;
    }

    fn carry(&mut self, bytes_max: usize) {
        let room = self.capacity.saturating_sub(self.arrived.len());
        let count = bytes_max.min(room).min(self.sending.len());
        self.arrived.extend(self.sending.drain(..count));
    }
}

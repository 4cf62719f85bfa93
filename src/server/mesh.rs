//! The lanes between shards: bounded queues of the engines' messages.
//!
//! From each shard to each other go two lanes, so that a reply never waits behind requests. A full lane is not
//! pushed to: the sending engine keeps the message, and is woken when the receiver has made room.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::doorbell::Doorbell;
use crate::engine::shard::{Lane, MeshMessage};

/// Enough for one turn's traffic. The bytes in a lane are bounded by the engine's window per connection.
const LANE_MESSAGES_MAX: usize = 1024;

/// Replies first: they let go of what requests hold.
pub const LANES: [Lane; 2] = [Lane::Reply, Lane::Request];

/// All lanes of the process. Each one has one sender and one receiver.
pub struct Mesh {
    queues: Vec<[Queue; 2]>,
    doorbells: Vec<Arc<Doorbell>>,
}

struct Queue {
    sender: Sender<MeshMessage>,
    receiver: Receiver<MeshMessage>,
    /// The sender found it full and wants to be woken.
    was_full: AtomicBool,
}

impl Queue {
    fn new() -> Self {
        let (sender, receiver) = bounded(LANE_MESSAGES_MAX);
        Self {
            sender,
            receiver,
            was_full: AtomicBool::new(false),
        }
    }
}

impl Mesh {
    pub fn new(doorbells: Vec<Arc<Doorbell>>) -> Self {
        let pairs = doorbells.len() * doorbells.len();
        let queues = (0..pairs).map(|_| [Queue::new(), Queue::new()]).collect();
        Self { queues, doorbells }
    }

    pub fn shards(&self) -> usize {
        self.doorbells.len()
    }

    fn queue(&self, from: usize, to: usize, lane: Lane) -> &Queue {
        let lane = match lane {
            Lane::Reply => 0,
            Lane::Request => 1,
        };
        &self.queues[from * self.doorbells.len() + to][lane]
    }

    /// Moves messages into the lane until there are none or it is full, and wakes the receiver if it sleeps.
    /// Returns how many.
    pub fn send(
        &self,
        from: usize,
        to: usize,
        lane: Lane,
        mut next: impl FnMut() -> Option<MeshMessage>,
    ) -> usize {
        let queue = self.queue(from, to, lane);
        let mut count = 0;
        while self.has_room(queue) {
            let Some(message) = next() else { break };
            queue.sender.try_send(message).expect(
                "a lane has one sender, which has seen room, and lives as long as the mesh",
            );
            count += 1;
        }
        if count > 0 {
            self.doorbells[to].ring();
        }
        count
    }

    fn has_room(&self, queue: &Queue) -> bool {
        if !queue.sender.is_full() {
            return true;
        }
        queue.was_full.store(true, Ordering::Relaxed);
        // With the fence in `receive`: either this sees the room, or the receiver sees the wish to be woken.
        fence(Ordering::SeqCst);
        !queue.sender.is_full()
    }

    /// Takes what is in the lane, at most one lane full, and wakes a sender that waits for room. Returns how many.
    pub fn receive(
        &self,
        from: usize,
        to: usize,
        lane: Lane,
        mut take: impl FnMut(MeshMessage),
    ) -> usize {
        let queue = self.queue(from, to, lane);
        let mut count = 0;
        while count < LANE_MESSAGES_MAX {
            let Ok(message) = queue.receiver.try_recv() else {
                break;
            };
            take(message);
            count += 1;
        }
        if count > 0 {
            fence(Ordering::SeqCst);
            if queue.was_full.swap(false, Ordering::Relaxed) {
                self.doorbells[from].ring();
            }
        }
        count
    }

    /// Whether there is something for this shard.
    pub fn has_messages(&self, to: usize) -> bool {
        (0..self.shards()).any(|from| {
            LANES
                .iter()
                .any(|&lane| !self.queue(from, to, lane).receiver.is_empty())
        })
    }
}

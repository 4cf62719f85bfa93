//! The lanes between shards: bounded queues of the engines' messages.
//!
//! From each shard to each other go two lanes, so that a reply never waits behind requests. A full lane is not
//! pushed to: the sending engine keeps the message, and is woken when the receiver has made room.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::doorbell::Doorbell;
use crate::engine::shard::Lane;

/// Enough for one turn's traffic. The bytes in a lane are bounded by the engine's window per connection.
const LANE_MESSAGES_MAX: usize = 1024;

/// Replies first: they let go of what requests hold.
pub const LANES: [Lane; 2] = [Lane::Reply, Lane::Request];

/// All lanes of the process. Each one has one sender and one receiver.
pub struct Mesh<M> {
    queues: Vec<[Queue<M>; 2]>,
    doorbells: Vec<Arc<Doorbell>>,
}

struct Queue<M> {
    sender: Sender<M>,
    receiver: Receiver<M>,
    /// The sender found it full and wants to be woken.
    was_full: AtomicBool,
}

impl<M> Queue<M> {
    fn new() -> Self {
        let (sender, receiver) = bounded(LANE_MESSAGES_MAX);
        Self {
            sender,
            receiver,
            was_full: AtomicBool::new(false),
        }
    }
}

impl<M> Mesh<M> {
    pub fn new(doorbells: Vec<Arc<Doorbell>>) -> Self {
        let pairs = doorbells.len() * doorbells.len();
        let queues = (0..pairs).map(|_| [Queue::new(), Queue::new()]).collect();
        Self { queues, doorbells }
    }

    pub fn shards(&self) -> usize {
        self.doorbells.len()
    }

    fn queue(&self, from: usize, to: usize, lane: Lane) -> &Queue<M> {
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
        mut next: impl FnMut() -> Option<M>,
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

    fn has_room(&self, queue: &Queue<M>) -> bool {
        if !queue.sender.is_full() {
            return true;
        }
        queue.was_full.store(true, Ordering::Relaxed);
        // With the fence in `receive`: either this sees the room, or the receiver sees the wish to be woken.
        fence(Ordering::SeqCst);
        !queue.sender.is_full()
    }

    /// Takes what is in the lane, at most one lane full, and wakes a sender that waits for room. Returns how many.
    pub fn receive(&self, from: usize, to: usize, lane: Lane, mut take: impl FnMut(M)) -> usize {
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

    /// Whether nothing is on its way between any two shards.
    pub fn is_empty(&self) -> bool {
        (0..self.shards()).all(|to| !self.has_messages(to))
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn mesh(shards: usize) -> Mesh<usize> {
        Mesh::new(
            (0..shards)
                .map(|_| Arc::new(Doorbell::new().unwrap()))
                .collect(),
        )
    }

    /// Whether somebody has rung since the bell was armed.
    fn has_rung(doorbell: &Doorbell) -> bool {
        let mut count = [0; 8];
        rustix::io::read(doorbell, &mut count).is_ok()
    }

    #[test]
    fn messages_stay_in_their_lane_and_in_order() {
        let mesh = mesh(3);
        let mut numbers = 0..4;
        assert_eq!(mesh.send(0, 2, Lane::Request, || numbers.next()), 4);
        let mut numbers = 10..12;
        assert_eq!(mesh.send(1, 2, Lane::Reply, || numbers.next()), 2);
        let mut got = Vec::new();
        for from in 0..3 {
            for lane in LANES {
                mesh.receive(from, 2, lane, |number| got.push((from, number)));
            }
        }
        assert_eq!(got, [(0, 0), (0, 1), (0, 2), (0, 3), (1, 10), (1, 11)]);
        assert!(!mesh.has_messages(2));
    }

    #[test]
    fn a_full_lane_is_left_alone_and_wakes_its_sender_when_there_is_room() {
        let mesh = mesh(2);
        let mut numbers = 0..;
        assert_eq!(
            mesh.send(0, 1, Lane::Request, || numbers.next()),
            LANE_MESSAGES_MAX
        );
        assert_eq!(
            numbers.next(),
            Some(LANE_MESSAGES_MAX),
            "nothing was taken and lost"
        );
        mesh.doorbells[0].arm();
        assert!(mesh.has_messages(1) && !mesh.has_messages(0));
        assert_eq!(mesh.receive(0, 1, Lane::Request, drop), LANE_MESSAGES_MAX);
        assert!(has_rung(&mesh.doorbells[0]));
        mesh.doorbells[0].arm();
        let mut one = Some(7);
        mesh.send(0, 1, Lane::Request, || one.take());
        mesh.receive(0, 1, Lane::Request, drop);
        assert!(!has_rung(&mesh.doorbells[0]), "there was room all the time");
    }

    #[test]
    fn only_an_armed_bell_rings_and_only_once() {
        let doorbell = Doorbell::new().unwrap();
        doorbell.ring();
        assert!(!has_rung(&doorbell));
        doorbell.arm();
        doorbell.ring();
        doorbell.ring();
        let mut count = [0; 8];
        rustix::io::read(&doorbell, &mut count).unwrap();
        assert_eq!(u64::from_ne_bytes(count), 1);
    }

    #[test]
    fn no_message_is_slept_over() {
        const MESSAGES: usize = 200_000;
        let mesh = Arc::new(mesh(2));
        let receiver = std::thread::spawn({
            let mesh = Arc::clone(&mesh);
            move || {
                let mut next = 0;
                while next < MESSAGES {
                    let doorbell = &mesh.doorbells[1];
                    doorbell.arm();
                    if !mesh.has_messages(1) {
                        let mut bell = [rustix::event::PollFd::new(
                            doorbell,
                            rustix::event::PollFlags::IN,
                        )];
                        let patience =
                            rustix::event::Timespec::try_from(Duration::from_secs(20)).unwrap();
                        let woken = rustix::event::poll(&mut bell, Some(&patience)).unwrap();
                        assert_eq!(woken, 1, "slept over message {next}");
                    }
                    doorbell.disarm();
                    has_rung(doorbell);
                    mesh.receive(0, 1, Lane::Reply, |number| {
                        assert_eq!(number, next);
                        next += 1;
                    });
                }
            }
        });
        let mut numbers = 0..MESSAGES;
        while !numbers.is_empty() && !receiver.is_finished() {
            mesh.send(0, 1, Lane::Reply, || numbers.next());
        }
        receiver.join().unwrap();
    }
}

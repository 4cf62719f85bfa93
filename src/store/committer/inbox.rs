//! The committer's queue, with a choice of how to wait for the next message.
//!
//! A receiver of crossbeam's looks again and yields for some microseconds before it sleeps. That finds what a busy shard
//! is about to send, and nothing where little comes; there it takes the time of the shard whose core it is on.

use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, SendError, Sender, TryRecvError, unbounded};
use crossbeam_utils::sync::{Parker, Unparker};

/// A queue of any length, and the ways to it.
pub fn inbox<T>() -> (InboxSender<T>, Inbox<T>) {
    let (sender, receiver) = unbounded();
    let parker = Parker::new();
    let bell = Bell(parker.unparker().clone());
    (InboxSender { sender, bell }, Inbox { receiver, parker })
}

pub struct InboxSender<T> {
    sender: Sender<T>,
    /// Dropped after the sender: whom it wakes finds that nobody sends any more.
    bell: Bell,
}

#[derive(Clone)]
struct Bell(Unparker);

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.unpark();
    }
}

impl<T> Clone for InboxSender<T> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            bell: self.bell.clone(),
        }
    }
}

impl<T> InboxSender<T> {
    /// # Errors
    ///
    /// Nobody receives any more.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.sender.send(message)?;
        self.bell.0.unpark();
        Ok(())
    }
}

/// The end that receives. Only one thread has it.
pub struct Inbox<T> {
    receiver: Receiver<T>,
    parker: Parker,
}

impl<T> Inbox<T> {
    /// The next message, if it is there.
    ///
    /// # Errors
    ///
    /// It is empty, or nobody sends any more.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.receiver.try_recv()
    }

    /// Waits for the next message until `deadline`, if there is one, and looks for it for a while before it sleeps if it
    /// `is_expected`.
    ///
    /// # Errors
    ///
    /// The time is over, or nobody sends any more.
    pub fn recv(
        &self,
        deadline: Option<Instant>,
        is_expected: bool,
    ) -> Result<T, RecvTimeoutError> {
        if is_expected {
            return match deadline {
                Some(deadline) => self.receiver.recv_deadline(deadline),
                None => self
                    .receiver
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected),
            };
        }
        loop {
            match self.receiver.try_recv() {
                Ok(message) => return Ok(message),
                Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                Err(TryRecvError::Empty) => {}
            }
            match deadline {
                None => self.parker.park(),
                Some(deadline) if Instant::now() >= deadline => {
                    return Err(RecvTimeoutError::Timeout);
                }
                Some(deadline) => self.parker.park_deadline(deadline),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// What arrives until nobody sends any more.
    fn receive_all(inbox: &Inbox<u32>, is_expected: impl Fn(u32) -> bool) -> Vec<u32> {
        let next = |last: u32| match inbox.recv(None, is_expected(last)) {
            Ok(message) => Some(message),
            Err(error) => {
                assert_eq!(error, RecvTimeoutError::Disconnected);
                None
            }
        };
        std::iter::successors(next(0), |&last| next(last)).collect()
    }

    #[test]
    fn everything_is_received_in_order_however_it_is_waited_for() {
        let (sender, inbox) = inbox();
        let receiver = thread::spawn(move || receive_all(&inbox, |last| last / 100 % 2 == 0));
        let other = sender.clone();
        for number in 0..10_000 {
            [&sender, &other][number as usize % 2]
                .send(number)
                .expect("it receives");
            if number % 250 == 0 {
                thread::sleep(Duration::from_millis(1));
            }
        }
        drop((sender, other));
        let received = receiver.join().expect("it ends");
        assert!(received.into_iter().eq(0..10_000));
    }

    #[test]
    fn whoever_sleeps_is_woken_by_a_message_and_by_the_end() {
        for is_expected in [false, true] {
            let (sender, inbox) = inbox();
            let (told, heard) = std::sync::mpsc::channel();
            let receiver = thread::spawn(move || {
                while let Ok(number) = inbox.recv(None, is_expected) {
                    told.send(number).expect("the test lives");
                }
            });
            for number in 0..100 {
                sender.send(number).expect("it receives");
                assert_eq!(heard.recv().expect("it lives"), number);
            }
            drop(sender);
            receiver.join().expect("it ends");
        }
    }

    #[test]
    fn nobody_waits_longer_than_said() {
        for is_expected in [false, true] {
            let (sender, inbox) = inbox();
            let soon = Instant::now() + Duration::from_millis(5);
            let timeout = Err(RecvTimeoutError::Timeout);
            assert_eq!(inbox.recv(Some(soon), is_expected), timeout);
            assert!(Instant::now() >= soon);
            sender.send(7).expect("it receives");
            assert_eq!(inbox.recv(Some(soon), is_expected), Ok(7), "what is there");
        }
    }
}

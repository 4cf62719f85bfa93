//! A shard's set of descriptors, and the one await of its driver.
//!
//! All of a shard's sockets, its doorbell and its alarm are in one epoll set. The driver asks the set without
//! waiting in every turn, and waits for it when a turn found nothing to do. It dozes in the set itself, which is one
//! system call: under load the next event is near, and nothing else runs on the executor. Only when nothing comes it
//! awaits the set through the executor, which takes a dozen system calls: the set is itself a descriptor that io_uring
//! can poll. So the driver awaits exactly one thing, and no await is ever cancelled.
//!
//! The set is edge-triggered. A socket is registered once, for both directions, and never touched again: that a
//! connection is not to be read, or that its socket was full, is remembered beside the socket and costs no system
//! call. Neither the doorbell nor the alarm is ever read, their edges are all that counts.

use std::os::fd::{AsFd, FromRawFd, IntoRawFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_io::AsyncRead;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use super::doorbell::Doorbell;
use crate::engine::Instant;

/// What a descriptor is known by in the set. Sockets use numbers from 2^32 on.
pub type Token = u64;

const DOORBELL: Token = 0;
const ALARM: Token = 1;
/// The listeners have numbers from here on.
pub const LISTENER: Token = 2;

/// How many events one look takes. What is left over is there at the next look.
const EVENTS: usize = 1024;
/// So long a driver dozes before it awaits the executor. Less than a second.
const DOZE_MAX: Duration = Duration::from_millis(10);

pub struct Poller {
    set: OwnedFd,
    alarm: OwnedFd,
    alarm_at: Option<Instant>,
    doorbell: Arc<Doorbell>,
    events: Vec<epoll::Event>,
    /// The events came while the driver dozed, and the next look gives them out.
    is_fresh: bool,
}

/// What has happened to a descriptor.
#[derive(Debug, Clone, Copy)]
pub struct Readiness {
    pub token: Token,
    pub readable: bool,
    pub writable: bool,
    /// The other side sends no more, or the socket is broken: reading leads to the end without another event.
    pub hung_up: bool,
    pub broken: bool,
}

impl Poller {
    pub fn new(doorbell: Arc<Doorbell>) -> Result<Self, Errno> {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let alarm = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        let poller = Self {
            set,
            alarm,
            alarm_at: None,
            doorbell,
            events: Vec::with_capacity(EVENTS),
            is_fresh: false,
        };
        poller.add(&*poller.doorbell, DOORBELL)?;
        poller.add(&poller.alarm, ALARM)?;
        Ok(poller)
    }

    /// Watch a descriptor until it is closed or removed.
    pub fn add(&self, descriptor: impl AsFd, token: Token) -> Result<(), Errno> {
        epoll::add(
            &self.set,
            descriptor,
            epoll::EventData::new_u64(token),
            epoll::EventFlags::IN
                | epoll::EventFlags::OUT
                | epoll::EventFlags::RDHUP
                | epoll::EventFlags::ET,
        )
    }

    /// Only needed for a descriptor that will live on elsewhere: closing one removes it.
    pub fn remove(&self, descriptor: impl AsFd) {
        // It can only fail if the descriptor is not in the set, which is what is wanted.
        let _ = epoll::delete(&self.set, descriptor);
    }

    /// Take what has happened since the last look, without waiting. Returns how many things that were.
    pub fn look(&mut self) -> usize {
        if !std::mem::take(&mut self.is_fresh) {
            self.wait(Duration::ZERO);
        }
        self.events.len()
    }

    /// Takes what has happened, or happens before the timeout, which is less than a second.
    fn wait(&mut self, timeout: Duration) {
        self.events.clear();
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        match epoll::wait(&self.set, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => panic!("the shard's own epoll set does not answer: {error}"),
        }
    }

    /// The `index`th event of the last look; `None` for the doorbell and the alarm, which only wake.
    pub fn event(&self, index: usize) -> Option<Readiness> {
        let event = self.events[index];
        let (flags, token) = (event.flags, event.data.u64());
        let broken = flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP);
        let hung_up = broken || flags.contains(epoll::EventFlags::RDHUP);
        (token != DOORBELL && token != ALARM).then_some(Readiness {
            token,
            readable: hung_up || flags.contains(epoll::EventFlags::IN),
            writable: flags.contains(epoll::EventFlags::OUT),
            hung_up,
            broken,
        })
    }

    /// Sleep until something happens to a descriptor, somebody rings, or `until` has come. The caller has armed
    /// the doorbell and looked everywhere once more.
    pub async fn park(&mut self, until: Option<Instant>, now: Instant) {
        self.set_alarm(until, now);
        self.wait(DOZE_MAX);
        self.is_fresh = !self.events.is_empty();
        if self.is_fresh {
            return;
        }
        match fcntl_dupfd_cloexec(&self.set, 0) {
            Ok(duplicate) => await_readable(duplicate).await,
            // No descriptor is free for the executor's sake. Nothing else runs on it: it can sleep right here.
            Err(_) => {
                self.events.clear();
                // The events are not taken: nobody has looked at them yet.
                let mut set = [rustix::event::PollFd::new(
                    &self.set,
                    rustix::event::PollFlags::IN,
                )];
                let _ = rustix::event::poll(&mut set, None);
            }
        }
    }

    /// The alarm is only moved when it would ring too late: deadlines mostly move away, and then one needless
    /// turn when it rings is cheaper than a system call at every park.
    fn set_alarm(&mut self, until: Option<Instant>, now: Instant) {
        let Some(until) = until else { return };
        let pending = self.alarm_at.filter(|&at| at > now);
        if pending.is_some_and(|at| at <= until) {
            return;
        }
        // At least a moment: zero would disarm it.
        let left = until.since(now).max(Duration::from_micros(1));
        let value = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let once = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: value,
        };
        timerfd_settime(&self.alarm, TimerfdTimerFlags::empty(), &once)
            .expect("a timer of our own takes any time that is not negative");
        self.alarm_at = Some(until);
    }
}

/// Completes once the descriptor is readable, and closes it.
///
/// The executor has no call for this, but a stream of it begins to poll its descriptor for readability as soon as
/// it is made, and its first read waits for that before it receives. The descriptor is no socket, so the receive
/// that follows the wake-up takes nothing: it fails, and the stream has done its work. Nothing is cancelled.
async fn await_readable(descriptor: OwnedFd) {
    // SAFETY: the descriptor is open and owned by nobody else; the stream takes it over and closes it.
    let mut stream = unsafe { glommio::net::TcpStream::from_raw_fd(descriptor.into_raw_fd()) };
    let mut nothing = [0; 1];
    let outcome =
        std::future::poll_fn(|context| Pin::new(&mut stream).poll_read(context, &mut nothing))
            .await;
    debug_assert!(outcome.is_err(), "an epoll set is no socket");
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::server::clock::Clock;

    fn descriptors() -> usize {
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    }

    #[test]
    fn the_alarm_ends_a_park() {
        glommio::LocalExecutor::default().run(async {
            let clock = Clock::start();
            let mut poller = Poller::new(Arc::new(Doorbell::new().unwrap())).unwrap();
            for _ in 0..5 {
                let now = clock.now();
                let until = now + Duration::from_millis(3);
                while clock.now() < until {
                    poller.park(Some(until), clock.now()).await;
                    assert_eq!(poller.look(), 1);
                    assert!(poller.event(0).is_none());
                }
            }
        });
    }

    #[test]
    fn a_bell_wakes_each_time_and_parks_leave_no_descriptor_behind() {
        let doorbell = Arc::new(Doorbell::new().unwrap());
        let (parked, parks) = mpsc::channel();
        let shard = std::thread::spawn({
            let doorbell = Arc::clone(&doorbell);
            move || {
                glommio::LocalExecutor::default().run(async move {
                    let mut poller = Poller::new(Arc::clone(&doorbell)).unwrap();
                    for _ in 0..5000 {
                        doorbell.arm();
                        parked.send(()).unwrap();
                        poller.park(None, Instant::default()).await;
                        assert_eq!(poller.look(), 1);
                        assert!(poller.event(0).is_none());
                    }
                });
            }
        });
        let before = descriptors();
        for (park, ()) in parks.into_iter().enumerate() {
            // Most rings end a doze, some the executor's wait.
            if park % 50 == 0 {
                std::thread::sleep(DOZE_MAX + Duration::from_millis(2));
            }
            doorbell.ring();
        }
        shard.join().unwrap();
        // Other tests of this process have some, too.
        assert!(descriptors() < before + 1000);
    }
}

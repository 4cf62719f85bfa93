//! Sends on loopback, and nothing else.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// Sends before a figure begins: to each socket so many.
const WARM_UP: usize = 3;

/// Sockets, and a thread that reads whatever comes out of their other ends.
pub struct Fanout {
    sockets: Vec<TcpStream>,
    sent_bytes: u64,
    received_bytes: Arc<AtomicU64>,
    reader: JoinHandle<()>,
}

fn pin(cores: &[usize], place: usize) {
    if let Some(core) = cores.get(place) {
        let mut set = CpuSet::new();
        set.set(*core);
        sched_setaffinity(None, &set).expect("the machine has the core");
    }
}

/// Of this thread, which is charged for the kernel's way to the receiver's socket, too.
fn cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("time is positive")
}

impl Fanout {
    pub fn new(subscribers: usize, cores: &[usize]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a port");
        let address = listener.local_addr().expect("it is bound");
        let (mut sockets, mut ends) = (Vec::new(), Vec::new());
        for _ in 0..subscribers {
            ends.push(TcpStream::connect(address).expect("the machine has sockets"));
            let (socket, _) = listener.accept().expect("somebody has connected");
            socket.set_nodelay(true).expect("it is TCP");
            socket.set_nonblocking(true).expect("it is a socket");
            sockets.push(socket);
        }
        let received_bytes = Arc::<AtomicU64>::default();
        let (counter, reader_cores) = (Arc::clone(&received_bytes), cores.to_vec());
        let reader = thread::spawn(move || {
            pin(&reader_cores, 1);
            read(ends, &counter);
        });
        pin(cores, 0);
        Self {
            sockets,
            sent_bytes: 0,
            received_bytes,
            reader,
        }
    }

    /// The sender's CPU time for one send of so many bytes to one socket, in microseconds. Everybody is sent to, then
    /// everybody has received, then everybody is sent to.
    pub fn cpu_us_per_send(&mut self, bytes: usize, period: Duration) -> f64 {
        let buffer = vec![7; bytes];
        for _ in 0..WARM_UP {
            self.send(&buffer);
        }
        let (mut spent, mut turns) = (Duration::ZERO, 0_u32);
        let started = Instant::now();
        while turns == 0 || started.elapsed() < period {
            spent += self.send(&buffer);
            turns += 1;
        }
        spent.as_secs_f64() * 1e6 / (f64::from(turns) * self.sockets.len() as f64)
    }

    fn send(&mut self, buffer: &[u8]) -> Duration {
        let before = cpu();
        for socket in &mut self.sockets {
            let sent = socket.write(buffer).expect("the receiver keeps up");
            assert_eq!(sent, buffer.len(), "the socket has room");
        }
        let spent = cpu() - before;
        self.sent_bytes += (buffer.len() * self.sockets.len()) as u64;
        while self.received_bytes.load(Ordering::Acquire) < self.sent_bytes {
            thread::sleep(Duration::from_micros(50));
        }
        spent
    }

    pub fn finish(self) {
        drop(self.sockets);
        self.reader.join().expect("it reads to the end");
    }
}

/// Until all of them are closed.
fn read(mut ends: Vec<TcpStream>, received_bytes: &AtomicU64) {
    let set = epoll::create(CreateFlags::CLOEXEC).expect("the kernel has epoll");
    for (index, end) in ends.iter().enumerate() {
        end.set_nonblocking(true).expect("it is a socket");
        epoll::add(&set, end, EventData::new_u64(index as u64), EventFlags::IN).expect("it is new");
    }
    let mut scratch = vec![0; 256 * 1024];
    let mut events = Vec::with_capacity(1024);
    let mut open = ends.len();
    while open > 0 {
        events.clear();
        let spare = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(&set, spare, None::<&Timespec>) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("{error}"),
        }
        for event in events.drain(..) {
            let end = &mut ends[event.data.u64() as usize];
            match end.read(&mut scratch) {
                Ok(0) => {
                    epoll::delete(&set, &*end).expect("it is in the set");
                    open -= 1;
                }
                Ok(bytes) => {
                    received_bytes.fetch_add(bytes as u64, Ordering::Release);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

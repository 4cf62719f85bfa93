//! Sends on loopback, and nothing else.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::loopback::{Readiness, pairs};
use crate::processor::{pin, used};

/// Sends before a figure begins: to each socket so many.
const WARM_UP: usize = 3;

/// Sockets, and a thread that reads whatever comes out of their other ends.
pub struct Fanout {
    sockets: Vec<TcpStream>,
    sent_bytes: u64,
    received_bytes: Arc<AtomicU64>,
    reader: JoinHandle<()>,
}

impl Fanout {
    pub fn new(subscribers: usize, cores: &[usize]) -> Self {
        let (ends, sockets) = pairs(subscribers);
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
        let before = used();
        for socket in &mut self.sockets {
            let sent = socket.write(buffer).expect("the receiver keeps up");
            assert_eq!(sent, buffer.len(), "the socket has room");
        }
        let spent = used() - before;
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
    let mut readiness = Readiness::new(&ends);
    let mut scratch = vec![0; 256 * 1024];
    let mut closed = Vec::new();
    let mut open = ends.len();
    while open > 0 {
        for index in readiness.wait() {
            match ends[index].read(&mut scratch) {
                Ok(0) => closed.push(index),
                Ok(bytes) => {
                    received_bytes.fetch_add(bytes as u64, Ordering::Release);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
        for index in closed.drain(..) {
            readiness.leave_out(&ends[index]);
            open -= 1;
        }
    }
}

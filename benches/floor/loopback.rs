//! Sockets in pairs over loopback, and which of them have something to read.

use std::net::{TcpListener, TcpStream};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;

/// So many connections: one end of each, and the other.
pub fn pairs(count: usize) -> (Vec<TcpStream>, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a port");
    let address = listener.local_addr().expect("it is bound");
    let connect = |_| {
        let connected = TcpStream::connect(address).expect("the machine has sockets");
        let (accepted, _) = listener.accept().expect("somebody has connected");
        for end in [&connected, &accepted] {
            end.set_nodelay(true).expect("it is TCP");
            end.set_nonblocking(true).expect("it is a socket");
        }
        (connected, accepted)
    };
    (0..count).map(connect).unzip()
}

/// Sockets that are waited for together.
pub struct Readiness {
    set: OwnedFd,
    events: Vec<Event>,
}

impl Readiness {
    pub fn new(sockets: &[TcpStream]) -> Self {
        let set = epoll::create(CreateFlags::CLOEXEC).expect("the kernel has epoll");
        for (index, socket) in sockets.iter().enumerate() {
            let data = EventData::new_u64(index as u64);
            epoll::add(&set, socket, data, EventFlags::IN).expect("it is new");
        }
        Self {
            set,
            events: Vec::with_capacity(1024),
        }
    }

    pub fn leave_out(&self, socket: &TcpStream) {
        epoll::delete(&self.set, socket).expect("it is in the set");
    }

    /// Waits until there is something to read, and says where: the sockets' places.
    pub fn wait(&mut self) -> impl Iterator<Item = usize> {
        self.events.clear();
        let spare = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.set, spare, None::<&Timespec>) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("{error}"),
        }
        self.events.iter().map(|event| event.data.u64() as usize)
    }
}

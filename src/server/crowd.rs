//! How many sockets clients have, and how many connections each address has, over all shards.
//!
//! Clients have only those descriptors that nobody else needs: a store that finds none left ends the relay.
//!
//! The table is locked when a socket is accepted and when it is closed, and has an entry for each address that has a
//! socket, so that the sockets bound it. It is kept without a limit, too, which a reload can bring.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;
use rustix::net::getpeername;

use crate::engine::Refusal;

#[derive(Debug)]
pub struct Crowd {
    sockets_max: AtomicUsize,
    sockets: AtomicUsize,
    /// Of one address. `usize::MAX`: there is no limit.
    connections_max: AtomicUsize,
    connections: Mutex<FxHashMap<IpAddr, usize>>,
}

/// A client's socket, with what it takes until it is closed.
#[derive(Debug)]
pub struct ClientSocket {
    descriptor: OwnedFd,
    places: Places,
}

/// What a socket takes: a seat among all, and maybe a place among those of its client's address.
#[derive(Debug)]
pub struct Places {
    seat: Seat,
    /// `None`: it is a proxy's that asks for nobody, or one of our own.
    place: Option<Place>,
}

/// One among all sockets.
#[derive(Debug)]
pub struct Seat {
    crowd: Arc<Crowd>,
}

#[derive(Debug)]
struct Place {
    address: IpAddr,
    is_counted: bool,
    /// Of a client for whom a proxy asks: the socket itself is the proxy's.
    is_of_request: bool,
}

impl Crowd {
    /// So many sockets in all, and so many of one address; `None`: addresses are not limited.
    pub fn new(sockets_max: usize, connections_max: Option<usize>) -> Self {
        Self {
            sockets_max: sockets_max.into(),
            sockets: AtomicUsize::default(),
            connections_max: connections_max.unwrap_or(usize::MAX).into(),
            connections: Mutex::default(),
        }
    }

    /// From here on one more socket finds these limits.
    pub fn set_max(&self, sockets_max: usize, connections_max: Option<usize>) {
        let connections_max = connections_max.unwrap_or(usize::MAX);
        self.sockets_max.store(sockets_max, Ordering::Relaxed);
        self.connections_max
            .store(connections_max, Ordering::Relaxed);
    }

    /// A seat for one more socket, if there is any.
    pub fn enter(self: &Arc<Self>) -> Option<Seat> {
        let sockets_max = self.sockets_max.load(Ordering::Relaxed);
        let one_more = |sockets: usize| (sockets < sockets_max).then_some(sockets + 1);
        let entered = self
            .sockets
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        entered.ok().map(|_| Seat {
            crowd: Arc::clone(self),
        })
    }

    /// One more of this address, if it may have one.
    fn count(&self, address: IpAddr) -> Result<(), Refusal> {
        let mut connections = self.connections();
        let count = connections.entry(neighbourhood(address)).or_default();
        let connections_max = self.connections_max.load(Ordering::Relaxed);
        if *count >= connections_max {
            return Err(Refusal::TooManyConnections {
                whose: "address",
                connections_max,
            });
        }
        *count += 1;
        Ok(())
    }

    fn connections(&self) -> MutexGuard<'_, FxHashMap<IpAddr, usize>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.crowd.sockets.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Places {
    /// Takes a place in exchange for the one that there is.
    fn exchange(&mut self, address: IpAddr, is_of_request: bool) -> Result<(), Refusal> {
        let address = address.to_canonical();
        self.leave();
        let counted = self.seat.crowd.count(address);
        self.place = Some(Place {
            address,
            is_counted: counted.is_ok(),
            is_of_request,
        });
        counted
    }

    fn leave(&mut self) {
        let Some(place) = self.place.take_if(|place| place.is_counted) else {
            return;
        };
        let mut connections = self.seat.crowd.connections();
        let neighbourhood = neighbourhood(place.address);
        if let Some(count) = connections.get_mut(&neighbourhood) {
            *count -= 1;
            if *count == 0 {
                connections.remove(&neighbourhood);
            }
        }
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.leave();
    }
}

/// What counts as one address: of IPv6, the /64, of which a single host can use every address.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
    }
}

impl ClientSocket {
    pub fn new(descriptor: OwnedFd, seat: Seat) -> Self {
        let places = Places { seat, place: None };
        Self { descriptor, places }
    }

    /// With places that were another's.
    pub fn with_places(descriptor: OwnedFd, places: Places) -> Self {
        Self { descriptor, places }
    }

    /// The socket, and its places, which are to be kept for as long.
    pub fn into_parts(self) -> (OwnedFd, Places) {
        (self.descriptor, self.places)
    }

    /// The other end, if it is on the network.
    pub fn peer(&self) -> Option<SocketAddr> {
        getpeername(self).ok()??.try_into().ok()
    }

    /// Whose it is: of whom a proxy asks for, or has asked for in vain, otherwise of the other end.
    pub fn client(&self) -> Option<IpAddr> {
        match &self.places.place {
            Some(place) => Some(place.address),
            None => self.peer().map(|peer| peer.ip().to_canonical()),
        }
    }

    /// Whether it counts among those of its client's address.
    pub fn is_counted(&self) -> bool {
        let place = self.places.place.as_ref();
        place.is_some_and(|place| place.is_counted)
    }

    /// From here on it counts among those of this address.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooManyConnections`].
    pub fn settle(&mut self, address: IpAddr) -> Result<(), Refusal> {
        self.places.exchange(address, false)
    }

    /// A proxy asks for this client over it, and for nobody else until that is answered.
    ///
    /// # Errors
    ///
    /// As [`settle`](Self::settle).
    pub fn ask_for(&mut self, client: IpAddr) -> Result<(), Refusal> {
        self.places.exchange(client, true)
    }

    /// The request is answered.
    pub fn end_request(&mut self) {
        let place = self.places.place.as_ref();
        if place.is_some_and(|place| place.is_of_request) {
            self.places.leave();
            self.places.place = None;
        }
    }
}

impl AsFd for ClientSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn socket(seat: Seat) -> ClientSocket {
        let (ours, _theirs) = UnixStream::pair().expect("the system has sockets");
        ClientSocket::new(ours.into(), seat)
    }

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let crowd = Arc::new(Crowd::new(usize::MAX, Some(2)));
        let enter = |address: &str| {
            let mut socket = socket(crowd.enter().expect("there is room"));
            let settled = socket.settle(address.parse().unwrap());
            settled.map(|()| socket)
        };
        let table = [
            ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"],
            [
                "2001:db8::1",
                "2001:db8::ffff:2",
                "2001:db8:0:0:9::",
                "2001:db8:0:1::1",
            ],
        ];
        for [first, second, third, other] in table {
            let places = [enter(first).unwrap(), enter(second).unwrap()];
            assert_eq!(
                enter(third).unwrap_err(),
                Refusal::TooManyConnections {
                    whose: "address",
                    connections_max: 2
                }
            );
            enter(other).expect("another address");
            let [place, _other] = places;
            drop(place);
            let last = enter(third).expect("there is room again");
            let second = enter(third);
            crowd.set_max(usize::MAX, None);
            let third = [enter(third).expect("there is no limit"), last];
            crowd.set_max(usize::MAX, Some(2));
            drop((second, third));
        }
        assert!(crowd.connections.lock().unwrap().is_empty());
        assert_eq!(crowd.sockets.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn all_sockets_count_whether_their_address_takes_them_or_not() {
        let crowd = Arc::new(Crowd::new(2, Some(1)));
        let address = "192.0.2.1".parse().unwrap();
        let mut sockets = [(); 2].map(|()| socket(crowd.enter().expect("there is room")));
        let settled = sockets[0].settle(address);
        settled.expect("it is the first");
        let settled = sockets[1].settle(address);
        settled.expect_err("it is the second");
        assert!(crowd.enter().is_none());
        crowd.set_max(3, None);
        let third = crowd.enter().expect("there is room again");
        crowd.set_max(2, None);
        let [first, _second] = sockets;
        drop(first);
        assert!(crowd.enter().is_none());
        drop(third);
        assert!(crowd.enter().is_some());
    }
}

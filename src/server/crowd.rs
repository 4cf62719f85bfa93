//! How many sockets clients have, and how many connections each address has, over all shards.
//!
//! Clients have only those descriptors that nobody else needs: a store that finds none left ends the relay.
//!
//! The table is locked when a socket is accepted and when it is closed, and has an entry for each address that has a
//! socket, so that the sockets bound it. It is kept without a limit, too, which a reload can bring.

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;

use crate::engine::Refusal;

#[derive(Debug)]
pub struct Crowd {
    sockets_max: AtomicUsize,
    sockets: AtomicUsize,
    /// Of one address. `usize::MAX`: there is no limit.
    connections_max: AtomicUsize,
    connections: Mutex<FxHashMap<IpAddr, usize>>,
}

/// A client's socket, and the place that it takes until it is closed.
#[derive(Debug)]
pub struct ClientSocket {
    descriptor: OwnedFd,
    place: Option<Place>,
}

/// One among all sockets, and one among those of its address.
#[derive(Debug)]
pub struct Place {
    crowd: Arc<Crowd>,
    /// `None`: it counts among no address's.
    address: Option<IpAddr>,
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

    /// A place for one more socket, if there is any.
    pub fn enter(self: &Arc<Self>) -> Option<Place> {
        let sockets_max = self.sockets_max.load(Ordering::Relaxed);
        let one_more = |sockets: usize| (sockets < sockets_max).then_some(sockets + 1);
        let entered = self
            .sockets
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        entered.ok().map(|_| Place {
            crowd: Arc::clone(self),
            address: None,
        })
    }

    fn connections(&self) -> MutexGuard<'_, FxHashMap<IpAddr, usize>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// From here on the socket counts among those of its address.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooManyConnections`].
    pub fn settle(&mut self, address: IpAddr) -> Result<(), Refusal> {
        let address = neighbourhood(address);
        let mut connections = self.crowd.connections();
        let count = connections.entry(address).or_default();
        let connections_max = self.crowd.connections_max.load(Ordering::Relaxed);
        if *count >= connections_max {
            return Err(Refusal::TooManyConnections {
                whose: "address",
                connections_max,
            });
        }
        *count += 1;
        self.address = Some(address);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.sockets.fetch_sub(1, Ordering::Relaxed);
        let Some(address) = self.address else { return };
        let mut connections = self.crowd.connections();
        if let Some(count) = connections.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                connections.remove(&address);
            }
        }
    }
}

/// What counts as one address: of IPv6, the /64, of which a single host can use every address.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
    }
}

impl ClientSocket {
    pub fn new(descriptor: OwnedFd, place: Option<Place>) -> Self {
        Self { descriptor, place }
    }

    /// The socket, and its place, which is to be kept for as long.
    pub fn into_parts(self) -> (OwnedFd, Option<Place>) {
        (self.descriptor, self.place)
    }
}

impl AsFd for ClientSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let crowd = Arc::new(Crowd::new(usize::MAX, Some(2)));
        let enter = |address: &str| {
            let mut place = crowd.enter().expect("there is room");
            place.settle(address.parse().unwrap()).map(|()| place)
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
        let mut places = [(); 2].map(|()| crowd.enter().expect("there is room"));
        places[0].settle(address).expect("it is the first");
        places[1].settle(address).expect_err("it is the second");
        assert!(crowd.enter().is_none());
        crowd.set_max(3, None);
        let third = crowd.enter().expect("there is room again");
        crowd.set_max(2, None);
        let [first, _second] = places;
        drop(first);
        assert!(crowd.enter().is_none());
        drop(third);
        assert!(crowd.enter().is_some());
    }
}

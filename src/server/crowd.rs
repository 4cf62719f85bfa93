//! How many connections each address has, over all shards.
//!
//! The table is locked when a socket is accepted and when it is closed, and has an entry for each address that has a
//! socket, so that the sockets bound it. It is kept without a limit, too, which a reload can bring.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;
use rustix::net::getpeername;

use crate::engine::Refusal;

#[derive(Debug)]
pub struct Crowd {
    /// `usize::MAX`: there is no limit.
    connections_max: AtomicUsize,
    connections: Mutex<FxHashMap<IpAddr, usize>>,
}

/// A socket, and the place of its client among those of its address: until it is closed, or if it is a proxy's, until the
/// request is answered.
#[derive(Debug)]
pub struct ClientSocket {
    descriptor: OwnedFd,
    /// `None`: it is a proxy's that asks for nobody, or one of our own.
    place: Option<Place>,
}

#[derive(Debug)]
pub struct Place {
    crowd: Arc<Crowd>,
    address: IpAddr,
    is_counted: bool,
    /// Of a client for whom a proxy asks: the socket itself is the proxy's.
    is_of_request: bool,
}

impl Crowd {
    /// `None`: addresses are not limited.
    pub fn new(connections_max: Option<usize>) -> Self {
        Self {
            connections_max: connections_max.unwrap_or(usize::MAX).into(),
            connections: Mutex::default(),
        }
    }

    /// From here on one more socket finds this limit.
    pub fn set_max(&self, connections_max: Option<usize>) {
        let connections_max = connections_max.unwrap_or(usize::MAX);
        self.connections_max
            .store(connections_max, Ordering::Relaxed);
    }

    /// A place for one more socket of the address.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooManyConnections`].
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Place, Refusal> {
        let address = address.to_canonical();
        self.count(address)?;
        Ok(Place {
            crowd: Arc::clone(self),
            address,
            is_counted: true,
            is_of_request: false,
        })
    }

    fn count(&self, address: IpAddr) -> Result<(), Refusal> {
        let mut connections = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
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
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_counted {
            return;
        }
        let connections = &self.crowd.connections;
        let mut connections = connections.lock().unwrap_or_else(PoisonError::into_inner);
        let neighbourhood = neighbourhood(self.address);
        if let Some(count) = connections.get_mut(&neighbourhood) {
            *count -= 1;
            if *count == 0 {
                connections.remove(&neighbourhood);
            }
        }
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
    pub fn new(descriptor: OwnedFd, place: Option<Place>) -> Self {
        Self { descriptor, place }
    }

    /// The socket, and its place, which is to be kept for as long.
    pub fn into_parts(self) -> (OwnedFd, Option<Place>) {
        (self.descriptor, self.place)
    }

    /// The other end, if it is on the network.
    pub fn peer(&self) -> Option<SocketAddr> {
        getpeername(self).ok()??.try_into().ok()
    }

    /// Whose it is: of whom a proxy asks for, or has asked for in vain, otherwise of the other end.
    pub fn client(&self) -> Option<IpAddr> {
        match &self.place {
            Some(place) => Some(place.address),
            None => self.peer().map(|peer| peer.ip().to_canonical()),
        }
    }

    /// Whether it takes a place.
    pub fn is_counted(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.is_counted)
    }

    /// A proxy asks for this client over it, and for nobody else until that is answered.
    ///
    /// # Errors
    ///
    /// As [`Crowd::enter`].
    pub fn ask_for(&mut self, client: IpAddr, crowd: &Arc<Crowd>) -> Result<(), Refusal> {
        let address = client.to_canonical();
        self.place = None;
        let counted = crowd.count(address);
        self.place = Some(Place {
            crowd: Arc::clone(crowd),
            address,
            is_counted: counted.is_ok(),
            is_of_request: true,
        });
        counted
    }

    /// The request is answered.
    pub fn end_request(&mut self) {
        self.place.take_if(|place| place.is_of_request);
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
        let crowd = Arc::new(Crowd::new(Some(2)));
        let enter = |address: &str| crowd.enter(address.parse().unwrap());
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
            crowd.set_max(None);
            let third = [enter(third).expect("there is no limit"), last];
            crowd.set_max(Some(2));
            drop((second, third));
        }
        assert!(crowd.connections.lock().unwrap().is_empty());
    }
}

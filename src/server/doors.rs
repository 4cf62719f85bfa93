//! The listening sockets of the whole process, opened before anything else is started.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use super::ServerError;
use super::listener::listen;
use crate::config::Listen;
use crate::engine::shard::Transport;

/// The listening sockets, before anybody answers them.
pub struct Doors {
    pub addresses: Addresses,
    /// Those of each shard.
    pub shards: Vec<Vec<(Transport, OwnedFd)>>,
    pub admin: Option<TcpListener>,
}

/// Where the relay really listens.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    websocket: Option<SocketAddr>,
    tcp: Option<SocketAddr>,
    admin: Option<SocketAddr>,
}

impl Doors {
    pub fn open(config: &Listen, count: usize) -> Result<Self, ServerError> {
        let mut shards: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
        let mut open = |name, transport, address| -> Result<SocketAddr, ServerError> {
            let (address, sockets) = listen(name, address, count)?;
            for (shard, socket) in shards.iter_mut().zip(sockets) {
                shard.push((transport, socket));
            }
            Ok(address)
        };
        let websocket = config
            .websocket
            .map(|address| open("websocket", Transport::WebSocket, address))
            .transpose()?;
        let tcp = config
            .tcp
            .map(|address| open("tcp", Transport::Tcp, address))
            .transpose()?;
        let mut admin = None;
        let mut admin_address = None;
        if let Some(address) = config.admin {
            let (address, sockets) = listen("admin", address, 1)?;
            admin_address = Some(address);
            admin = sockets.into_iter().next().map(TcpListener::from);
        }
        let addresses = Addresses {
            websocket,
            tcp,
            admin: admin_address,
        };
        Ok(Self {
            addresses,
            shards,
            admin,
        })
    }
}

/// `name=address` for each, as scripts read it.
impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = [
            ("websocket", self.websocket),
            (" tcp", self.tcp),
            (" admin", self.admin),
        ];
        each.into_iter()
            .try_for_each(|(name, address)| match address {
                Some(address) => write!(f, "{name}={address}"),
                None => write!(f, "{name}=off"),
            })
    }
}

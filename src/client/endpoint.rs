//! Where a relay is: `ws://HOST:PORT[/PATH]` or `tcp://HOST:PORT`.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

/// How long connecting may take, per address, before it counts as failed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A relay's address, read from a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The URL's scheme and path.
    pub transport: Transport,
    /// HOST:PORT.
    pub authority: String,
}

/// What carries the frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// Frames and nothing else.
    Tcp,
    /// Frames in binary messages.
    WebSocket {
        /// `/ws`, or that of a document.
        path: String,
    },
}

/// The URL is of no relay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It is no URL of a form that is known here.
    #[error("{0:?} is neither ws://HOST:PORT[/PATH] nor tcp://HOST:PORT")]
    NoRelay(String),
    /// It asks for TLS.
    #[error(
        "TLS is not spoken here; take the relay's own address behind the proxy, ws://HOST:PORT, and not {0:?}"
    )]
    Tls(String),
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let error = || EndpointError::NoRelay(url.to_owned());
        let (scheme, rest) = url.split_once("://").ok_or_else(error)?;
        if matches!(scheme, "wss" | "https" | "tls") {
            return Err(EndpointError::Tls(url.to_owned()));
        }
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let port = authority.rsplit_once(':').map(|(_, port)| port);
        if port.is_none_or(|port| port.parse::<u16>().is_err()) {
            return Err(error());
        }
        let transport = match (scheme, path) {
            ("tcp", "" | "/") => Transport::Tcp,
            ("ws", "" | "/") => Transport::WebSocket {
                path: "/ws".to_owned(),
            },
            ("ws", path) => Transport::WebSocket {
                path: path.to_owned(),
            },
            _ => return Err(error()),
        };
        Ok(Self {
            transport,
            authority: authority.to_owned(),
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.transport {
            Transport::Tcp => write!(formatter, "tcp://{}", self.authority),
            Transport::WebSocket { path } => write!(formatter, "ws://{}{path}", self.authority),
        }
    }
}

impl Endpoint {
    /// What the name resolves to.
    ///
    /// # Errors
    ///
    /// It does not.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        Ok(self.authority.to_socket_addrs()?.collect())
    }

    /// A blocking connection to the first address that answers, without Nagle's delay.
    pub fn connect(&self) -> io::Result<TcpStream> {
        let mut error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in self.addresses()? {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(failed) => error = failed,
            }
        }
        Err(error)
    }

    /// The WebSocket path of a document: its id, percent-encoded.
    pub fn document_path(document: &str) -> String {
        let mut path = String::from("/ws/documents/");
        for byte in document.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                path.push(char::from(byte));
            } else {
                path.push_str(&format!("%{byte:02X}"));
            }
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_written_back() {
        for (url, written) in [
            ("tcp://localhost:7401", "tcp://localhost:7401"),
            ("tcp://[::1]:7401/", "tcp://[::1]:7401"),
            ("ws://127.0.0.1:7400", "ws://127.0.0.1:7400/ws"),
            (
                "ws://127.0.0.1:7400/ws/documents/a",
                "ws://127.0.0.1:7400/ws/documents/a",
            ),
        ] {
            assert_eq!(url.parse::<Endpoint>().expect(url).to_string(), written);
        }
        for url in [
            "localhost:7401",
            "tcp://localhost",
            "tcp://a:1/path",
            "ws://a:x",
        ] {
            let error = EndpointError::NoRelay(url.to_owned());
            assert_eq!(url.parse::<Endpoint>(), Err(error));
        }
        let error = "wss://relay.example".parse::<Endpoint>().expect_err("TLS");
        assert!(
            error.to_string().contains("TLS is not spoken here"),
            "{error}"
        );
    }

    #[test]
    fn any_document_id_fits_into_a_path() {
        assert_eq!(
            Endpoint::document_path("a/b ü?"),
            "/ws/documents/a%2Fb%20%C3%BC%3F"
        );
    }
}

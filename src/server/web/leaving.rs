//! An answer on its way to a client, which may be slow.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::memory::Memory;
use crate::server::unconfirmed::unconfirmed_bytes;

/// How often a client's progress is looked at before it is given up.
const LOOKS: u32 = 8;

pub struct Leaving {
    stream: TcpStream,
    /// A client that takes nothing for so long is given up.
    timeout: Duration,
    begun: Instant,
    memory: Arc<Memory>,
    /// As it was at the last look.
    refusals: u64,
}

impl Leaving {
    pub fn new(stream: TcpStream, timeout: Duration, memory: Arc<Memory>) -> Self {
        Self {
            stream,
            timeout,
            begun: Instant::now(),
            refusals: memory.refusals(),
            memory,
        }
    }

    /// The socket, when everything is sent.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// # Errors
    ///
    /// Also if the client is given up.
    pub async fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(length) => bytes = &bytes[length..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until the socket takes more, as long as there is progress.
    async fn wait(&mut self) -> io::Result<()> {
        let mut unconfirmed = unconfirmed_bytes(&self.stream)?;
        let mut looks_in_vain = 0;
        while looks_in_vain < LOOKS {
            self.check_memory()?;
            let look = self.timeout / LOOKS;
            if let Ok(ready) = tokio::time::timeout(look, self.stream.writable()).await {
                return ready;
            }
            let now = unconfirmed_bytes(&self.stream)?;
            looks_in_vain = match now < unconfirmed {
                true => 0,
                false => looks_in_vain + 1,
            };
            unconfirmed = now;
        }
        Err(ErrorKind::TimedOut.into())
    }

    /// # Errors
    ///
    /// The answer has been on its way for long, and others need the memory that it takes.
    fn check_memory(&mut self) -> io::Result<()> {
        let refusals = self.memory.refusals();
        let is_short = std::mem::replace(&mut self.refusals, refusals) < refusals;
        match is_short && self.begun.elapsed() > self.timeout {
            true => Err(ErrorKind::OutOfMemory.into()),
            false => Ok(()),
        }
    }
}

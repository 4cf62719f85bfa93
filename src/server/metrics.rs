//! What the drivers count, and how the control thread gets to see it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::shard::Metrics;

/// What a shard's driver has counted since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted, on any listener.
    pub accepted: u64,
    /// Handshakes answered with anything but a WebSocket, and connections closed because there are too many.
    pub refused: u64,
    /// WebSockets opened.
    pub upgraded: u64,
    /// Connections given to the shard of their document.
    pub handed_off: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub sends: u64,
    pub turns: u64,
    pub parks: u64,
}

/// What one shard has published last. Its driver writes it about once a second, and the lock is held for no longer
/// than a copy takes.
#[derive(Debug, Default)]
pub struct Gauge {
    reading: Mutex<Reading>,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    pub engine: Metrics,
    pub counters: Counters,
}

impl Gauge {
    pub fn publish(&self, engine: Metrics, counters: Counters) {
        *self.reading.lock().unwrap_or_else(PoisonError::into_inner) = Reading { engine, counters };
    }

    pub fn read(&self) -> Reading {
        *self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything that there is to see of the process.
pub struct Observed {
    pub gauges: Vec<Arc<Gauge>>,
}

/// The name of a number, what it means, and whether it only rises.
type Described = (&'static str, &'static str, Kind, u64);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
}

impl Reading {
    /// Every number of a shard. A field that is forgotten here does not compile.
    fn described(&self) -> Vec<Described> {
        use Kind::{Counter, Gauge};
        let Metrics { connections } = self.engine;
        let Counters {
            accepted,
            refused,
            upgraded,
            handed_off,
            bytes_in,
            bytes_out,
            sends,
            turns,
            parks,
        } = self.counters;
        vec![
            (
                "connections",
                "Connections that are open.",
                Gauge,
                connections,
            ),
            ("accepted", "Connections accepted.", Counter, accepted),
            (
                "refused",
                "Handshakes and connections refused.",
                Counter,
                refused,
            ),
            ("upgraded", "WebSockets opened.", Counter, upgraded),
            (
                "handed_off",
                "Connections given to the shard of their document.",
                Counter,
                handed_off,
            ),
            (
                "received_bytes",
                "Bytes read from sockets.",
                Counter,
                bytes_in,
            ),
            (
                "sent_bytes",
                "Bytes written to sockets.",
                Counter,
                bytes_out,
            ),
            (
                "sends",
                "System calls that wrote to a socket.",
                Counter,
                sends,
            ),
            ("turns", "Turns of the driver.", Counter, turns),
            ("parks", "Times that the driver slept.", Counter, parks),
        ]
    }
}

/// The text format of Prometheus: one series per shard, which it can add up.
impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shards: Vec<_> = self
            .gauges
            .iter()
            .map(|gauge| gauge.read().described())
            .collect();
        let Some(first) = shards.first() else {
            return Ok(());
        };
        for (index, (name, help, kind, _)) in first.iter().enumerate() {
            let (kind, suffix) = match kind {
                Kind::Counter => ("counter", "_total"),
                Kind::Gauge => ("gauge", ""),
            };
            writeln!(f, "# HELP corelay_{name}{suffix} {help}")?;
            writeln!(f, "# TYPE corelay_{name}{suffix} {kind}")?;
            for (shard, numbers) in shards.iter().enumerate() {
                writeln!(
                    f,
                    "corelay_{name}{suffix}{{shard=\"{shard}\"}} {}",
                    numbers[index].3
                )?;
            }
        }
        writeln!(
            f,
            "# HELP process_resident_memory_bytes Memory of the process."
        )?;
        writeln!(f, "# TYPE process_resident_memory_bytes gauge")?;
        writeln!(f, "process_resident_memory_bytes {}", resident_bytes())
    }
}

/// 0 where the system does not say.
fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages
        .as_deref()
        .and_then(|text| text.split(' ').nth(1)?.parse().ok());
    pages.unwrap_or(0_usize) * rustix::param::page_size()
}

//! What a client has of a document: its own operations that are not acknowledged, and for a text the text.

use std::collections::VecDeque;

use bytes::Bytes;
use corelay::client::text::{TextClient, TextClientError};
use corelay::codec::wire::RemoteOps;
use corelay::text::{Operation, Text};

use super::random::Random;

/// Batches of a log that may be on their way at once.
const LOG_BATCHES_MAX: usize = 3;
/// In JSON it is several times as long.
const BATCH_BYTES_MAX: usize = 800;

#[derive(Debug)]
pub enum Content {
    Log(Log),
    Text(Box<TextClient>),
}

/// A client's side of a log.
#[derive(Debug, Default)]
pub struct Log {
    /// In the order of their clocks. Once a batch has been sent it stays as it is.
    batches: VecDeque<Batch>,
    waiting: VecDeque<Bytes>,
    next_clock: u64,
}

#[derive(Debug, Clone)]
pub struct Batch {
    pub base_revision: u64,
    pub first_clock: u64,
    pub operations: Vec<Bytes>,
    is_in_flight: bool,
}

impl Batch {
    fn end_clock(&self) -> u64 {
        self.first_clock + self.operations.len() as u64
    }
}

/// What arrived is not what the client can go on from: it has to ask for a sync.
#[derive(Debug)]
pub struct OutOfStep;

impl Content {
    pub fn new(kind: &str, client_id: u64, random: &mut Random) -> Self {
        match kind {
            "log" => Self::Log(Log::default()),
            _text => Self::Text(Box::new(TextClient::new(client_id, random.pick(&[1, 5])))),
        }
    }

    /// Operations that have not been acknowledged.
    pub fn pending_operations(&self) -> usize {
        match self {
            Self::Log(log) => {
                let sent = log.batches.iter().map(|batch| batch.operations.len());
                log.waiting.len() + sent.sum::<usize>()
            }
            Self::Text(text) => text.pending_operations(),
        }
    }

    /// The clocks that the client may be expected to use next: from the first operation that was not acknowledged to
    /// after the last one that was sent.
    pub fn clocks(&self) -> Option<std::ops::RangeInclusive<u64>> {
        match self {
            Self::Log(log) => {
                let first = log.batches.front().map(|batch| batch.first_clock);
                Some(first.unwrap_or(log.next_clock)..=log.next_clock)
            }
            Self::Text(_) => None,
        }
    }

    pub fn text(&self) -> Option<&Text> {
        match self {
            Self::Log(_) => None,
            Self::Text(text) => Some(text.text()),
        }
    }

    /// The user does something.
    pub fn edit(&mut self, payload: Bytes, text_bytes: usize, random: &mut Random) {
        match self {
            Self::Log(log) => log.waiting.push_back(payload),
            Self::Text(text) => {
                let operation = any_edit(text.text(), text_bytes, random);
                text.edit(operation).expect("it was made for this text");
            }
        }
    }

    /// What to send next.
    pub fn take_batch(&mut self, operations_max: usize) -> Option<Batch> {
        match self {
            Self::Log(log) => log.take_batch(operations_max),
            Self::Text(text) => {
                let batch = text.take_batch(operations_max, BATCH_BYTES_MAX)?;
                Some(Batch {
                    base_revision: batch.base_revision,
                    first_clock: batch.first_clock,
                    operations: batch.operations,
                    is_in_flight: true,
                })
            }
        }
    }

    pub fn acknowledged(
        &mut self,
        first_revision: u64,
        first_clock: u64,
        count: u64,
    ) -> Result<(), OutOfStep> {
        match self {
            Self::Log(log) => {
                log.forget(first_clock + count);
                Ok(())
            }
            Self::Text(text) => step(text.acknowledged(first_revision, count)),
        }
    }

    pub fn remote(&mut self, remote: &RemoteOps, client_id: u64) -> Result<(), OutOfStep> {
        match self {
            Self::Log(log) => {
                if remote.origin == client_id {
                    log.forget(remote.first_clock + remote.operations.len() as u64);
                }
                Ok(())
            }
            Self::Text(text) => step(text.remote(
                remote.revision,
                remote.origin,
                remote.first_clock,
                &remote.operations,
            )),
        }
    }

    /// The client's operations below this clock are in the history.
    pub fn is_kept(&mut self, end_clock: u64) {
        match self {
            Self::Log(log) => log.forget(end_clock),
            Self::Text(_) => (),
        }
    }

    pub fn snapshot(&mut self, revision: u64, next_clock: u64, text: Text) {
        match self {
            Self::Log(_) => unreachable!("a log's snapshot is no text"),
            Self::Text(client) => {
                client.snapshot(revision, next_clock, text);
            }
        }
    }

    /// The relay's history is another one. `next_clock` is what it expects; `is_empty`: it has nothing.
    pub fn epoch_changed(&mut self, next_clock: u64, is_empty: bool) {
        match self {
            Self::Log(log) => log.renumber(next_clock),
            Self::Text(text) => {
                text.epoch_changed();
                if is_empty {
                    text.snapshot(0, 0, Text::default());
                }
            }
        }
    }

    pub fn caught_up(&mut self, next_clock: u64) {
        match self {
            Self::Log(_) => (),
            Self::Text(text) => text.caught_up(next_clock),
        }
    }

    pub fn resyncing(&mut self) {
        match self {
            Self::Log(_) => (),
            Self::Text(text) => text.resyncing(),
        }
    }

    pub fn refused(&mut self, first_clock: u64) {
        match self {
            Self::Log(log) => log.unsend(first_clock),
            Self::Text(text) => text.nacked(),
        }
    }

    /// What is pending will never be taken.
    pub fn abandon(&mut self) {
        match self {
            Self::Log(_) => unreachable!("nothing of a log is refused for ever"),
            Self::Text(text) => {
                text.abandon();
            }
        }
    }

    pub fn disconnected(&mut self) {
        match self {
            Self::Log(log) => log.unsend(0),
            Self::Text(text) => text.disconnected(),
        }
    }
}

impl Log {
    fn take_batch(&mut self, operations_max: usize) -> Option<Batch> {
        if let Some(batch) = self.batches.iter_mut().find(|batch| !batch.is_in_flight) {
            batch.is_in_flight = true;
            return Some(batch.clone());
        }
        if self.waiting.is_empty() || self.batches.len() >= LOG_BATCHES_MAX {
            return None;
        }
        let mut bytes = 0;
        let operations = self.waiting.iter().take(operations_max);
        let count = operations
            .take_while(|operation| {
                bytes += operation.len();
                bytes <= BATCH_BYTES_MAX
            })
            .count();
        let batch = Batch {
            base_revision: 0,
            first_clock: self.next_clock,
            operations: self.waiting.drain(..count.max(1)).collect(),
            is_in_flight: true,
        };
        self.next_clock = batch.end_clock();
        self.batches.push_back(batch.clone());
        Some(batch)
    }

    /// Everything below `end_clock` is in the history.
    fn forget(&mut self, end_clock: u64) {
        while let Some(batch) = self.batches.front()
            && batch.end_clock() <= end_clock
        {
            self.batches.pop_front();
        }
    }

    fn unsend(&mut self, first_clock: u64) {
        for batch in &mut self.batches {
            if batch.first_clock >= first_clock {
                batch.is_in_flight = false;
            }
        }
    }

    /// What was acknowledged can be lost with an epoch; what was not is sent after what is left.
    fn renumber(&mut self, next_clock: u64) {
        let first = self
            .batches
            .front()
            .map_or(self.next_clock, |batch| batch.first_clock);
        if next_clock >= first {
            return;
        }
        let mut clock = next_clock;
        for batch in &mut self.batches {
            batch.first_clock = clock;
            clock = batch.end_clock();
        }
        self.next_clock = clock;
    }
}

fn step<T>(result: Result<T, TextClientError>) -> Result<(), OutOfStep> {
    match result {
        Ok(_) => Ok(()),
        Err(TextClientError::OutOfStep { .. }) => Err(OutOfStep),
        Err(error @ TextClientError::Operation { .. }) => {
            panic!("S2: an operation does not fit its document: {error}")
        }
    }
}

/// Inserts and deletes somewhere, between characters; a long text gets shorter.
fn any_edit(text: &Text, bytes_max: usize, random: &mut Random) -> Operation {
    const PIECES: [&str; 6] = ["a", "bc", "ä", "💡", "👩‍🚀x", "\n"];
    let characters: Vec<usize> = text.to_string().chars().map(char::len_utf16).collect();
    let start = random.up_to(characters.len());
    let rest = characters.len() - start;
    let is_long = text.len_bytes() > bytes_max;
    let deleted = match random.below(3) {
        _ if is_long => rest.min(random.up_to(30)),
        0 => rest.min(random.up_to(4)),
        _ => 0,
    };
    let inserted: String = (0..random.up_to(3)).map(|_| random.pick(&PIECES)).collect();
    let inserted = match deleted {
        0 if inserted.is_empty() => "z",
        _ => &inserted,
    };
    let units = |range: &[usize]| range.iter().sum::<usize>();
    Operation::splice(
        units(&characters[..start]),
        units(&characters[start..start + deleted]),
        inserted,
    )
}

//! A document's operations and state, as a client is sent them that has nothing or knows a revision.

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::Web;
use super::call::{Call, random_uuid, unexpected};
use super::memory::Held;
use super::visitor::Visitor;
use crate::codec::wire::{self, ErrorCode, Position, SyncMode, event};
use crate::server::http::problem::Problem;
use crate::text::{Operation, Text};

/// What is decoded or made into text on the control thread itself; more is done beside it.
const AT_ONCE_BYTES_MAX: usize = 64 * 1024;
/// Those who do something beside the control thread at one time.
static PLACES: Semaphore = Semaphore::const_new(4);
/// What an operation takes beside its payload, about.
const OPERATION_BYTES: usize = 64;

/// An operation in its place.
#[derive(Debug, Clone)]
pub struct Placed {
    pub revision: u64,
    pub origin: u64,
    pub clock: u64,
    pub operation: Bytes,
}

/// Where to stop.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    pub operations: usize,
    pub bytes: usize,
}

impl Limit {
    pub const NONE: Self = Self {
        operations: usize::MAX,
        bytes: usize::MAX,
    };
}

/// What the relay sent.
#[derive(Debug)]
pub struct Sent {
    /// What begins it, and up to which revision it is.
    pub snapshot: Option<(u64, Vec<u8>)>,
    pub operations: Vec<Placed>,
    /// There is more.
    pub has_more: bool,
    operation_bytes: usize,
    pub held: Held,
}

/// Only reads: nobody sees the reader.
pub fn once(document: &str) -> wire::Open {
    wire::Open {
        document: document.to_owned(),
        subscribe: Some(false),
        ..wire::Open::default()
    }
}

/// Only what Opened says.
pub fn glance(document: &str) -> wire::Open {
    wire::Open {
        from_newest: true,
        ..once(document)
    }
}

impl Call {
    /// A call of somebody who reads and leaves no trace.
    pub async fn to_read(web: &Web, visitor: &Visitor, document: &str) -> Result<Self, Problem> {
        Self::connect(web, visitor, random_uuid(), Some(document)).await
    }

    /// Opens a document to be sent its operations after a revision.
    ///
    /// # Errors
    ///
    /// They are no longer there, or the document has not been at that revision.
    pub async fn open_after(
        &mut self,
        web: &Web,
        open: wire::Open,
        revision: u64,
    ) -> Result<wire::Opened, Problem> {
        let after = |revision| wire::Open {
            have: Some(Position {
                epoch: web.epoch,
                revision,
            }),
            snapshots: Some(false),
            ..open.clone()
        };
        let opened = match self.open(after(revision)).await {
            // A document that was deleted and made again begins after a revision that is none of its own: whoever has that
            // has nothing.
            Err(problem) if problem.is(ErrorCode::SnapshotRequired) && revision > 0 => {
                let opened = self.open(after(0)).await?;
                let newest = position_of(&opened).revision;
                if opened.from_revision != revision && revision <= newest {
                    return Err(problem);
                }
                opened
            }
            opened => opened?,
        };
        if revision > 0 && opened.from_revision != revision {
            let newest = position_of(&opened).revision;
            let words = format!("the document has no revision {revision}; its newest is {newest}");
            return Err(Problem::of_code(ErrorCode::SyncConflict, words).at_revision(newest));
        }
        Ok(opened)
    }

    /// Takes what follows an Opened, up to the last page or to where the limit is reached.
    pub async fn take_pages(&mut self, web: &Web, limit: Limit) -> Result<Sent, Problem> {
        let mut sent = Sent {
            snapshot: None,
            operations: Vec::new(),
            has_more: false,
            operation_bytes: 0,
            held: web.memory.hold(0)?,
        };
        loop {
            let is_last = match self.next().await? {
                event::Body::SyncResponse(page) => {
                    if let Some(chunk) = &page.snapshot {
                        sent.add_chunk(chunk)?;
                    }
                    for batch in page.operations {
                        sent.add_batch(batch)?;
                    }
                    !page.has_more
                }
                event::Body::RemoteOps(batch) => {
                    sent.add_batch(batch)?;
                    false
                }
                // It fell behind.
                event::Body::Resync(resync) => {
                    sent.go_back(&resync);
                    false
                }
                other => return Err(unexpected(&other)),
            };
            let is_enough = sent.operations.len() > limit.operations
                || sent.operation_bytes > limit.bytes && sent.operations.len() > 1;
            if is_enough {
                sent.cut(limit);
            }
            if is_last || is_enough {
                return Ok(sent);
            }
        }
    }
}

impl Sent {
    fn add_chunk(&mut self, chunk: &wire::SnapshotChunk) -> Result<(), Problem> {
        if self.snapshot.is_none() {
            let bytes = usize::try_from(chunk.bytes_total).unwrap_or(usize::MAX);
            self.held.grow(bytes)?;
            self.snapshot = Some((chunk.revision, Vec::with_capacity(bytes)));
        }
        let (_, data) = self.snapshot.as_mut().expect("it is there now");
        data.extend_from_slice(&chunk.data);
        Ok(())
    }

    fn add_batch(&mut self, batch: wire::RemoteOps) -> Result<(), Problem> {
        for (index, operation) in (0..).zip(batch.operations) {
            self.held.grow(OPERATION_BYTES + operation.len())?;
            self.operation_bytes += operation.len();
            self.operations.push(Placed {
                revision: batch.revision + index,
                origin: batch.origin,
                clock: batch.first_clock + index,
                operation,
            });
        }
        Ok(())
    }

    fn go_back(&mut self, resync: &wire::Resync) {
        let from = resync.from.unwrap_or_default().revision;
        match resync.sync() {
            SyncMode::Snapshot => {
                self.snapshot = None;
                self.operations.clear();
            }
            SyncMode::Delta | SyncMode::UpToDate => {
                self.operations.retain(|placed| placed.revision <= from);
            }
        }
    }

    /// Leaves out what is beyond the limit, but for one operation at least.
    fn cut(&mut self, limit: Limit) {
        let mut bytes = 0;
        let within = |placed: &Placed| {
            bytes += placed.operation.len();
            bytes <= limit.bytes
        };
        let fitting = self.operations.iter().take(limit.operations);
        let count = fitting.map(within).take_while(|fits| *fits).count().max(1);
        self.has_more = count < self.operations.len();
        self.operations.truncate(count);
    }

    /// The revision that it leads to.
    pub fn revision(&self, opened: &wire::Opened) -> u64 {
        let last = self.operations.last().map(|placed| placed.revision);
        let snapshot = self.snapshot.as_ref().map(|(revision, _)| *revision);
        last.or(snapshot).unwrap_or(opened.from_revision)
    }

    /// The text that it makes.
    ///
    /// # Errors
    ///
    /// What the relay sent does not fit together, which is a fault of its own.
    pub async fn into_text(mut self) -> Result<(Text, Held), Problem> {
        let bytes = self.operation_bytes + self.snapshot.as_ref().map_or(0, |(_, data)| data.len());
        // As pieces of a rope.
        self.held.grow(bytes)?;
        let make = move || -> Result<_, crate::text::TextError> {
            let (_, data) = self.snapshot.unwrap_or_default();
            let mut text = Text::from_utf8(&data)?;
            for placed in &self.operations {
                text.apply(&Operation::decode(&placed.operation)?)?;
            }
            Ok((text, self.held))
        };
        let made = beside(bytes, make).await;
        made.map_err(misfit)
    }
}

/// What the relay sent does not fit together, which is a fault of its own.
pub fn misfit(error: impl std::fmt::Display) -> Problem {
    tracing::error!(%error, "a text does not fit together");
    Problem::of_code(ErrorCode::InternalError, "the text does not fit together")
}

/// Does what takes the longer the more bytes there are: beside the control thread's own work where they are many, and then
/// only so much at one time, since it takes its time from the shards.
pub async fn beside<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    if bytes <= AT_ONCE_BYTES_MAX {
        return work();
    }
    let place = PLACES.acquire().await.expect("they are never closed");
    let done = tokio::task::spawn_blocking(move || {
        let _place = place;
        work()
    });
    done.await
        .expect("it does not panic, and nobody cancels it")
}

pub fn position_of(opened: &wire::Opened) -> Position {
    opened.position.unwrap_or_default()
}

/// The same for who has conditions: what has had no operation is none, whatever the revision at which it begins.
pub fn condition_of(opened: &wire::Opened) -> Position {
    let position = position_of(opened);
    match opened.unwritten {
        true => Position {
            revision: 0,
            ..position
        },
        false => position,
    }
}

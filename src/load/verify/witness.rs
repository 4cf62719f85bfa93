//! One client's own check of what it is given, and its way into the ledger.

use crate::client::Event;
use crate::codec::wire::ResyncReason;

use super::super::Kind;
use super::super::payload::Stamp;
use super::{Content, Entry, Ledgers, locked};

/// Sees every event of one client's one document, in order.
#[derive(Debug)]
pub struct Witness {
    document: usize,
    client: usize,
    epoch: u64,
    /// The revision that it was given last.
    revision: u64,
}

impl Witness {
    pub fn new(document: usize, client: usize) -> Self {
        Self {
            document,
            client,
            epoch: 0,
            revision: 0,
        }
    }

    pub fn see(&mut self, ledgers: &Ledgers, client_id: u64, event: &Event) {
        match event {
            Event::Opened { position, .. } => self.epoch = position.epoch,
            Event::Resync { from, reason, .. } => {
                self.epoch = from.epoch;
                if *reason == ResyncReason::Requested {
                    self.revision = self.revision.min(from.revision);
                }
            }
            Event::Reset { .. } => self.revision = 0,
            Event::Snapshot { revision, .. } => self.revision = *revision,
            Event::Remote {
                revision,
                origin,
                first_clock,
                operations,
                ..
            } => {
                self.advance(ledgers, *revision, operations.len() as u64);
                for ((revision, clock), operation) in
                    (*revision..).zip(*first_clock..).zip(operations)
                {
                    let entry = Entry {
                        origin: *origin,
                        clock,
                        content: Some(Content::of(ledgers.kind, operation)),
                    };
                    if entry.content.is_some_and(|content| content.stamp.is_none()) {
                        let name = &locked(&ledgers.documents[self.document]).name.clone();
                        ledgers.report(
                            "S4 no phantom",
                            format!("{name} revision {revision}: nobody here wrote what came"),
                        );
                    }
                    ledgers.see(self.document, self.epoch, revision, entry);
                }
            }
            Event::Acknowledged {
                first_revision,
                first_clock,
                count,
                operations,
                durability,
                ..
            } => {
                let is_new = *first_revision > self.revision;
                if is_new {
                    self.advance(ledgers, *first_revision, *count);
                    for (offset, clock) in (0..*count).zip(*first_clock..) {
                        let own = operations.get(offset as usize);
                        let entry = Entry {
                            origin: client_id,
                            clock,
                            content: own
                                .filter(|_| ledgers.kind == Kind::Log)
                                .map(|operation| Content::of(ledgers.kind, operation)),
                        };
                        ledgers.see(self.document, self.epoch, first_revision + offset, entry);
                    }
                }
                let mut ledger = locked(&ledgers.documents[self.document]);
                for stamp in operations
                    .iter()
                    .filter_map(|operation| Stamp::read(ledgers.kind, operation))
                {
                    let acknowledged = ledger.acknowledged.entry(stamp.writer).or_default();
                    acknowledged.push((stamp.sequence, *durability));
                }
            }
            Event::Violation(violation) => {
                ledgers.report("S1 order", format!("client {}: {violation}", self.client));
            }
            Event::Connected { .. }
            | Event::Disconnected { .. }
            | Event::Stopped { .. }
            | Event::Goaway { .. }
            | Event::Error { .. }
            | Event::Closed { .. }
            | Event::Refused { .. }
            | Event::Rebase { .. }
            | Event::Synced { .. }
            | Event::Presence { .. }
            | Event::Warning { .. }
            | Event::SnapshotAccepted { .. }
            | Event::SnapshotRefused { .. }
            | Event::Directory { .. }
            | Event::DirectoryUpdate { .. }
            | Event::Deleted { .. }
            | Event::History { .. }
            | Event::VersionSaved { .. }
            | Event::Versions { .. }
            | Event::VersionDeleted { .. }
            | Event::RequestRefused { .. } => {}
        }
    }

    fn advance(&mut self, ledgers: &Ledgers, first_revision: u64, count: u64) {
        if first_revision != self.revision + 1 {
            let name = locked(&ledgers.documents[self.document]).name.clone();
            ledgers.report(
                "S1 order",
                format!(
                    "{name}: client {} was given revision {first_revision} after {}",
                    self.client, self.revision
                ),
            );
        }
        self.revision = first_revision + count - 1;
    }
}

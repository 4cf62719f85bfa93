//! What a document's records and snapshot say, and whether they agree with each other: told as a
//! [`Visitor`](crate::store::Visitor) is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::auth::USER_BYTES_MAX;
use crate::codec::record::{self, OperationsRecord, RunRecord, SnapshotRecord};
use crate::engine::is_version_name;
use crate::store::{DocumentRow, Inspector, Life, ReadError, StoredVersion, Visitor};
use crate::text::{Operation, Text};

/// Of one document so many complaints are kept.
const COMPLAINTS_MAX: usize = 20;

/// The content of one document at a time.
#[derive(Default)]
pub struct Content {
    kind: Kind,
    first_revision: u64,
    history_from_revision: u64,
    /// What has come of the snapshot; it is read when there is no more.
    snapshot_bytes: Vec<u8>,
    snapshot: Option<SnapshotRecord>,
    snapshot_revision: Option<u64>,
    is_begun: bool,
    /// The newest revision so far.
    revision: u64,
    time_ms: u64,
    operation_bytes: u64,
    /// By client: the clock of its next operation.
    next_clocks: BTreeMap<u64, u64>,
    complaints: Vec<String>,
    complaints_left_out: u64,
}

#[derive(Default)]
enum Kind {
    /// Or one that this version does not know.
    #[default]
    Log,
    /// `None`: it is not known after an operation that does not fit.
    Text(Option<Text>),
}

impl Content {
    /// The text of a text, as it is after what was told.
    pub fn text(&self) -> Option<&Text> {
        match &self.kind {
            Kind::Text(text) => text.as_ref(),
            Kind::Log => None,
        }
    }

    fn complain(&mut self, complaint: impl Into<String>) {
        if self.complaints.len() < COMPLAINTS_MAX {
            self.complaints.push(complaint.into());
        } else {
            self.complaints_left_out += 1;
        }
    }

    /// Whether all operations of this life are kept.
    fn is_whole(&self) -> bool {
        self.history_from_revision == self.first_revision
    }

    /// The snapshot is there, and records come.
    fn begin_records(&mut self) {
        if std::mem::replace(&mut self.is_begun, true) {
            return;
        }
        let bytes = Bytes::from(std::mem::take(&mut self.snapshot_bytes));
        if let Some(revision) = self.snapshot_revision {
            match record::decode_snapshot(&bytes) {
                Ok(snapshot) if snapshot.revision == revision => self.snapshot = Some(snapshot),
                Ok(snapshot) => self.complain(format!(
                    "its snapshot is of revision {}, and should be of {revision}",
                    snapshot.revision
                )),
                Err(error) => self.complain(format!("its snapshot: {error}")),
            }
        }
        self.revision = self.history_from_revision - 1;
        self.check_clients();
        self.check_state();
        if !self.is_whole() {
            self.go_on_from_snapshot();
        }
    }

    /// Where the operations of clients stand, as the snapshot has it.
    fn check_clients(&mut self) {
        let Some(snapshot) = &self.snapshot else {
            return;
        };
        let revision = snapshot.revision;
        let mut seen = BTreeSet::new();
        let stands = |run: &RunRecord, next_clock| {
            let clocks_end = run.first_clock.checked_add(run.count);
            let revisions_end = run.first_revision.checked_add(run.count);
            (run.count > 0 && run.first_revision > 0)
                && clocks_end.is_some_and(|end| end <= next_clock)
                && revisions_end.is_some_and(|end| end <= revision.saturating_add(1))
        };
        let wrong = snapshot.clients.iter().find(|client| {
            let mut runs = client.runs.iter();
            !seen.insert(client.client_id) || !runs.all(|run| stands(run, client.next_clock))
        });
        if let Some(client) = wrong {
            let id = client.client_id;
            self.complain(format!(
                "its snapshot of revision {revision} has operations of client {id} where none can be"
            ));
        }
    }

    /// What the kind makes of the snapshot's state.
    fn check_state(&mut self) {
        let Some(snapshot) = &self.snapshot else {
            return;
        };
        let (revision, state) = (snapshot.revision, snapshot.state.clone());
        match self.kind {
            Kind::Text(_) => {
                if let Err(error) = Text::from_utf8(&state) {
                    self.complain(format!("the text in its snapshot: {error}"));
                }
            }
            Kind::Log if state.is_empty() => {
                if !self.is_whole() {
                    self.complain("nothing stands in place of the operations that are not kept");
                }
            }
            Kind::Log => match record::decode_offer(&state) {
                Ok(offer)
                    if offer.revision > revision
                        || offer.revision + 1 < self.history_from_revision =>
                {
                    self.complain(format!(
                        "a client's snapshot in it is of revision {}, and operations are kept from {} on",
                        offer.revision, self.history_from_revision
                    ));
                }
                Ok(_) => {}
                Err(error) => self.complain(format!("a client's snapshot in it: {error}")),
            },
        }
    }

    /// Only the snapshot tells what was before.
    fn go_on_from_snapshot(&mut self) {
        let Some(snapshot) = &self.snapshot else {
            return;
        };
        if let Kind::Text(text) = &mut self.kind {
            *text = Text::from_utf8(&snapshot.state).ok();
        }
        let clients = snapshot.clients.iter();
        self.next_clocks = clients
            .map(|client| (client.client_id, client.next_clock))
            .collect();
    }

    /// Everything up to the snapshot's revision has been told, from the first operation on.
    fn compare_snapshot(&mut self) {
        let Some(snapshot) = self.snapshot.take() else {
            return;
        };
        let revision = snapshot.revision;
        if let Kind::Text(Some(text)) = &self.kind
            && text.to_string().as_bytes() != &*snapshot.state
        {
            self.complain(format!(
                "its snapshot of revision {revision} has another text than its operations make"
            ));
        }
        let clients = snapshot.clients.iter();
        let next_clocks: BTreeMap<u64, u64> = clients
            .map(|client| (client.client_id, client.next_clock))
            .collect();
        if next_clocks != self.next_clocks {
            self.complain(format!(
                "its snapshot of revision {revision} has other clients and clocks than its operations"
            ));
        }
        if snapshot.operation_bytes_total != self.operation_bytes {
            self.complain(format!(
                "its snapshot of revision {revision} counts {} bytes of operations, which have {}",
                snapshot.operation_bytes_total, self.operation_bytes
            ));
        }
        if snapshot.time_ms != self.time_ms {
            self.complain(format!(
                "its snapshot of revision {revision} has another time than its newest operation"
            ));
        }
        self.snapshot = Some(snapshot);
    }

    fn take(&mut self, record: &OperationsRecord<'_>) {
        let revision = record.revision;
        if record.time_ms < self.time_ms {
            self.complain(format!(
                "revision {revision} is earlier than the one before"
            ));
        }
        if record.author.len() > USER_BYTES_MAX {
            self.complain(format!(
                "revision {revision} has an author that none can have"
            ));
        }
        self.time_ms = record.time_ms;
        let bytes: usize = record.operations.iter().map(Bytes::len).sum();
        self.operation_bytes += bytes as u64;
        let newest = revision + record.operations.len() as u64 - 1;
        let snapshot_revision = self.snapshot_revision;
        let is_in_snapshot = |at: u64| snapshot_revision.is_some_and(|snapshot| at <= snapshot);
        if is_in_snapshot(revision) && !is_in_snapshot(newest) {
            self.complain(format!(
                "its snapshot ends within the batch that begins with revision {revision}"
            ));
        }
        let is_told_by_snapshot = is_in_snapshot(revision) && !self.is_whole();
        self.revision = newest;
        if is_told_by_snapshot {
            return;
        }
        self.count_clocks(record);
        self.apply(record);
        if self.is_whole() && self.snapshot_revision == Some(newest) {
            self.compare_snapshot();
        }
    }

    fn count_clocks(&mut self, record: &OperationsRecord<'_>) {
        let next = self.next_clocks.entry(record.origin).or_default();
        let expected = *next;
        *next = record.first_clock + record.operations.len() as u64;
        if record.first_clock != expected {
            self.complain(format!(
                "client {} has clock {} at revision {}, and its next is {expected}",
                record.origin, record.first_clock, record.revision
            ));
        }
    }

    fn apply(&mut self, record: &OperationsRecord<'_>) {
        let Kind::Text(text) = &mut self.kind else {
            return;
        };
        let Some(applied) = text else {
            return;
        };
        for (revision, bytes) in (record.revision..).zip(&record.operations) {
            let operation = Operation::decode(bytes);
            let result = operation.and_then(|operation| applied.apply(&operation));
            if let Err(error) = result {
                *text = None;
                self.complain(format!(
                    "revision {revision} does not fit the text: {error}"
                ));
                return;
            }
        }
    }
}

impl Visitor for Content {
    type Error = ReadError;

    fn begin(&mut self, _name: &Arc<str>, document: &DocumentRow) -> Result<(), ReadError> {
        *self = Self {
            kind: match &*document.kind {
                "text" => Kind::Text(Some(Text::default())),
                _log => Kind::Log,
            },
            first_revision: document.first_revision,
            history_from_revision: document.history_from_revision,
            snapshot_revision: document.snapshot.map(|place| place.revision),
            ..Self::default()
        };
        if document.life != Life::Gone && !matches!(&*document.kind, "log" | "text") {
            self.complain(format!("nobody knows its kind {:?}", document.kind));
        }
        Ok(())
    }

    fn snapshot_piece(&mut self, piece: &[u8]) -> Result<(), ReadError> {
        self.snapshot_bytes.extend_from_slice(piece);
        Ok(())
    }

    fn record(&mut self, first_revision: u64, count: u32, record: Bytes) -> Result<(), ReadError> {
        self.begin_records();
        match record::decode_operations(&record) {
            Ok(record)
                if record.revision == first_revision
                    && record.operations.len() == count as usize =>
            {
                self.take(&record);
            }
            Ok(record) => self.complain(format!(
                "what stands at revision {first_revision}, with {count} operations, says that it is {} of them from \
                 revision {} on",
                record.operations.len(),
                record.revision
            )),
            Err(error) => self.complain(format!("revision {first_revision}: {error}")),
        }
        Ok(())
    }

    fn version(&mut self, version: StoredVersion) -> Result<(), ReadError> {
        self.begin_records();
        if !is_version_name(&version.name) || version.author.len() > USER_BYTES_MAX {
            self.complain(format!(
                "its version {:?} has a name, or an author, that none can have",
                version.name
            ));
        }
        Ok(())
    }

    fn end(&mut self, _life: Life, _next_revision: u64) -> Result<(), ReadError> {
        self.begin_records();
        Ok(())
    }
}

impl Inspector for Content {
    fn complaints(&mut self) -> Vec<String> {
        let mut complaints = std::mem::take(&mut self.complaints);
        let left_out = std::mem::take(&mut self.complaints_left_out);
        if left_out > 0 {
            complaints.push(format!("and {left_out} things more"));
        }
        complaints
    }
}

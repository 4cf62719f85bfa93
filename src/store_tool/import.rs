//! `corelay store import`: documents from lines of JSON, each checked as `verify` would before it is there.

use std::io::{BufRead, ErrorKind, Read};
use std::sync::Arc;

use bytes::Bytes;

use super::ToolError;
use super::content::Content;
use super::lines::{Document, End, Gone, Line, Operations, Snapshot, VERSION, Version};
use crate::auth;
use crate::codec::record;
use crate::engine::is_document_id;
use crate::store::{
    Arrival, Arriving, Backend, DocumentRow, FjallStore, Inspector, Life, SnapshotPlace,
    StoreError, StoredVersion, Visitor,
};

/// The longest line that is read: room for a text of a gigabyte.
const LINE_BYTES_MAX: u64 = 4 << 30;
/// After so many documents what came is synced.
const SYNC_DOCUMENTS: u64 = 1000;

/// What became of the documents in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    pub documents: u64,
    /// That were there already, or had been.
    pub passed_over: u64,
}

/// Reads all of `input` into `store`. With `merge` documents are passed over that are there, or were; otherwise they are
/// an error.
pub fn import(
    store: &mut FjallStore,
    input: &mut impl BufRead,
    merge: bool,
) -> Result<Imported, ToolError> {
    let mut importer = Importer {
        store,
        merge,
        imported: Imported::default(),
        current: None,
    };
    let mut number = 0;
    let mut line = String::new();
    let mut is_ended = false;
    loop {
        line.clear();
        number += 1;
        let wrong = |what: String| ToolError::Line { number, what };
        let length = (&mut *input).take(LINE_BYTES_MAX).read_line(&mut line);
        match length {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                return Err(wrong("this is no text in UTF-8".to_owned()));
            }
            Err(error) => return Err(error.into()),
        }
        if is_ended {
            return Err(wrong("the export has ended before this line".to_owned()));
        }
        let parsed: Line = serde_json::from_str(&line).map_err(|error| wrong(error.to_string()))?;
        match (parsed, number) {
            (Line::CorelayExport(head), 1) if head.version == VERSION => {}
            (Line::CorelayExport(head), 1) => {
                return Err(wrong(format!(
                    "the file has version {}, and this version of corelay reads version {VERSION}",
                    head.version
                )));
            }
            (_, 1) | (Line::CorelayExport(_), _) => {
                return Err(wrong("no export begins like this".to_owned()));
            }
            (Line::Exported(exported), _) => {
                let found = importer.imported.documents + importer.imported.passed_over;
                if importer.current.is_some() || exported.documents != found {
                    return Err(wrong(format!(
                        "the export had {} documents, and {found} came",
                        exported.documents
                    )));
                }
                is_ended = true;
            }
            (line, _) => importer.take(line).map_err(|problem| match problem {
                Problem::Line(what) => wrong(what),
                Problem::Store(error) => error.into(),
            })?,
        }
    }
    match is_ended {
        true => Ok(importer.imported),
        false => Err(ToolError::Line {
            number,
            what: "the file ends here, and the export does not".to_owned(),
        }),
    }
}

enum Problem {
    Line(String),
    Store(StoreError),
}

impl From<String> for Problem {
    fn from(what: String) -> Self {
        Self::Line(what)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

struct Importer<'a> {
    store: &'a mut FjallStore,
    merge: bool,
    imported: Imported,
    current: Option<Current>,
}

/// The document that is being read.
struct Current {
    name: Arc<str>,
    kind: Arc<str>,
    life: Life,
    /// Of the snapshot that is to come.
    snapshot_revision: Option<u64>,
    has_snapshot_of: Option<u64>,
    first_revision: u64,
    history_from_revision: u64,
    next_revision: u64,
    content: Content,
    /// `None`: it is passed over.
    arrival: Option<Arrival>,
    /// The versions' names so far.
    last_version: Option<Arc<str>>,
}

impl Importer<'_> {
    fn take(&mut self, line: Line) -> Result<(), Problem> {
        match line {
            Line::Document(document) => self.begin(document),
            Line::Gone(gone) => self.gone(&gone),
            Line::Snapshot(snapshot) => {
                let store = &mut *self.store;
                of(&mut self.current)?.snapshot(&snapshot, store)
            }
            Line::Operations(operations) => {
                let store = &mut *self.store;
                of(&mut self.current)?.operations(&operations, store)
            }
            Line::Version(version) => {
                let store = &mut *self.store;
                of(&mut self.current)?.version(version, store)
            }
            Line::End(end) => {
                of(&mut self.current)?;
                let current = self.current.take().expect("just seen");
                let is_new = current.end(&end, self.store)?;
                self.count(is_new)
            }
            Line::CorelayExport(_) | Line::Exported(_) => unreachable!("its caller knows these"),
        }
    }

    fn begin(&mut self, document: Document) -> Result<(), Problem> {
        if let Some(current) = &self.current {
            return Err(format!("the document {:?} has not ended", current.name).into());
        }
        let name = global_id(&document.tenant, &document.name)?;
        let kind: Arc<str> = document.kind.into();
        let history_from_revision = document
            .history_from_revision
            .unwrap_or(document.first_revision);
        if document.first_revision == 0 || history_from_revision < document.first_revision {
            return Err("no document begins so".to_owned().into());
        }
        let is_new = self.is_new(&name)?;
        let life = match document.deleted_at_ms {
            Some(at_ms) => Life::Deleted { at_ms },
            None => Life::Live,
        };
        let mut content = Content::default();
        let row = DocumentRow {
            history_from_revision,
            life,
            snapshot: document.snapshot_revision.map(|revision| SnapshotPlace {
                revision,
                generation: 0,
                bytes: 0,
            }),
            ..DocumentRow::begin(0, &kind, document.first_revision)
        };
        content.begin(&name, &row).map_err(|error| error.reason)?;
        let arrival = is_new.then(|| {
            self.store.receive(Arriving {
                name: Arc::clone(&name),
                kind: Arc::clone(&kind),
                first_revision: document.first_revision,
                history_from_revision,
                snapshot_revision: document.snapshot_revision,
            })
        });
        self.current = Some(Current {
            name,
            kind,
            life,
            snapshot_revision: document.snapshot_revision,
            has_snapshot_of: document.snapshot_revision,
            first_revision: document.first_revision,
            history_from_revision,
            next_revision: history_from_revision,
            content,
            arrival,
            last_version: None,
        });
        Ok(())
    }

    fn gone(&mut self, gone: &Gone) -> Result<(), Problem> {
        if let Some(current) = &self.current {
            return Err(format!("the document {:?} has not ended", current.name).into());
        }
        let name = global_id(&gone.tenant, &gone.name)?;
        let next_revision = gone.revision.checked_add(1);
        let next_revision = next_revision.ok_or("no document has that revision".to_owned())?;
        let is_new = self.is_new(&name)?;
        if is_new {
            self.store.receive_gone(&name, next_revision)?;
        }
        self.count(is_new)
    }

    fn is_new(&self, name: &str) -> Result<bool, Problem> {
        let is_known = self.store.reader().knows(name);
        match is_known.map_err(|error| error.reason)? {
            true if self.merge => Ok(false),
            true => Err(format!("the store has, or had, a document {name:?}").into()),
            false => Ok(true),
        }
    }

    fn count(&mut self, is_new: bool) -> Result<(), Problem> {
        match is_new {
            true => self.imported.documents += 1,
            false => self.imported.passed_over += 1,
        }
        if self.imported.documents.is_multiple_of(SYNC_DOCUMENTS) {
            self.store.sync()?;
        }
        Ok(())
    }
}

fn of(current: &mut Option<Current>) -> Result<&mut Current, Problem> {
    let missing = || Problem::Line("this is no document's".to_owned());
    current.as_mut().ok_or_else(missing)
}

/// The name of a tenant's document inside the relay.
fn global_id(tenant: &str, name: &str) -> Result<Arc<str>, Problem> {
    if !auth::is_tenant(tenant) {
        return Err(format!("{tenant:?} is no tenant").into());
    }
    if !is_document_id(name) {
        return Err(format!("{name:?} is no name of a document").into());
    }
    Ok(auth::global_id(tenant, name).into())
}

impl Current {
    /// What there is to say against the document so far.
    fn check(&mut self) -> Result<(), Problem> {
        let complaints = self.content.complaints();
        match complaints.is_empty() {
            true => Ok(()),
            false => Err(format!("{:?}: {}", self.name, complaints.join("; ")).into()),
        }
    }

    fn snapshot(&mut self, snapshot: &Snapshot, store: &mut FjallStore) -> Result<(), Problem> {
        let revision = self.snapshot_revision.take();
        let revision = revision.filter(|_| self.next_revision == self.history_from_revision);
        let revision = revision.ok_or("no snapshot was announced here".to_owned())?;
        let bytes = record::encode_snapshot(&snapshot.record(&self.kind, revision)?);
        let taken = self.content.snapshot_piece(&bytes);
        taken.map_err(|error| error.reason)?;
        if let Some(arrival) = &mut self.arrival {
            arrival.snapshot(store, &bytes)?;
        }
        Ok(())
    }

    fn operations(
        &mut self,
        operations: &Operations,
        store: &mut FjallStore,
    ) -> Result<(), Problem> {
        let record = operations.record(&self.kind)?;
        if record.revision != self.next_revision || self.last_version.is_some() {
            let expected = self.next_revision;
            return Err(format!("revision {expected} should come here").into());
        }
        let count = u32::try_from(record.operations.len());
        let count = count.map_err(|_| "these are too many operations".to_owned())?;
        let bytes = record::encode_operations(&record);
        self.take_record(record.revision, count, &bytes)?;
        self.next_revision += u64::from(count);
        if let Some(arrival) = &mut self.arrival {
            arrival.record(store, record.revision, count, &bytes)?;
        }
        Ok(())
    }

    fn take_record(&mut self, revision: u64, count: u32, bytes: &Bytes) -> Result<(), Problem> {
        self.expect_no_snapshot()?;
        let taken = self.content.record(revision, count, bytes.clone());
        taken.map_err(|error| error.reason)?;
        self.check()
    }

    fn expect_no_snapshot(&self) -> Result<(), Problem> {
        match self.snapshot_revision {
            Some(_) => Err("the snapshot should come here".to_owned().into()),
            None => Ok(()),
        }
    }

    fn version(&mut self, version: Version, store: &mut FjallStore) -> Result<(), Problem> {
        self.expect_no_snapshot()?;
        let version: StoredVersion = version.into();
        let StoredVersion { name, revision, .. } = &version;
        if self.last_version.as_ref().is_some_and(|last| last >= name) {
            return Err("versions come in the order of their names"
                .to_owned()
                .into());
        }
        if *revision == 0 || *revision >= self.next_revision {
            return Err(format!("there is no revision {revision}").into());
        }
        self.last_version = Some(Arc::clone(name));
        let taken = self.content.version(version.clone());
        taken.map_err(|error| error.reason)?;
        self.check()?;
        if let Some(arrival) = &mut self.arrival {
            arrival.version(store, &version)?;
        }
        Ok(())
    }

    /// Returns whether it is there now that was not.
    fn end(mut self, end: &End, store: &mut FjallStore) -> Result<bool, Problem> {
        self.expect_no_snapshot()?;
        let newest = self.next_revision - 1;
        let is_snapshot_right = match self.has_snapshot_of {
            Some(revision) => (self.history_from_revision - 1..=newest).contains(&revision),
            None => self.history_from_revision == self.first_revision,
        };
        if !is_snapshot_right {
            return Err("its snapshot and its operations leave a gap"
                .to_owned()
                .into());
        }
        if end.revision != newest {
            return Err(format!("its newest revision is {newest}").into());
        }
        let ended = self.content.end(self.life, self.next_revision);
        ended.map_err(|error| error.reason)?;
        self.check()?;
        let text = self.content.text().map(ToString::to_string);
        if end.text.is_some() && end.text != text {
            let what = format!("{:?} is not the text that its operations make", self.name);
            return Err(what.into());
        }
        match self.arrival {
            Some(arrival) => arrival.finish(store, self.life).map(|()| true),
            None => Ok(false),
        }
        .map_err(Problem::Store)
    }
}

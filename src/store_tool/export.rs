//! `corelay store export`: documents as lines of JSON.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;

use super::content::Content;
use super::lines::{Document, End, Exported, Gone, Head, Line, Operations, Snapshot, VERSION};
use super::{Scope, ToolError};
use crate::auth;
use crate::codec::record;
use crate::store::{DocumentRow, FjallReader, Inspector, Life, ReadError, StoredVersion, Visitor};

/// Writes what `scope` means, and says how many documents that was.
pub fn export(reader: &FjallReader, scope: &Scope, out: &mut impl Write) -> Result<u64, ToolError> {
    let mut exporter = Exporter {
        out,
        kind: "".into(),
        snapshot_revision: None,
        snapshot: Vec::new(),
        content: Content::default(),
        gone: None,
    };
    exporter.line(&Line::CorelayExport(Head { version: VERSION }))?;
    let mut documents = 0;
    scope.each(reader, |name| {
        reader.walk(name, &mut exporter)?;
        documents += 1;
        let complaints = exporter.content.complaints();
        match complaints.is_empty() {
            true => Ok(()),
            false => Err(ToolError::Damaged {
                document: Arc::clone(name),
                what: complaints.join("; "),
            }),
        }
    })?;
    exporter.line(&Line::Exported(Exported { documents }))?;
    exporter.out.flush()?;
    Ok(documents)
}

struct Exporter<'a, W> {
    out: &'a mut W,
    kind: Arc<str>,
    snapshot_revision: Option<u64>,
    /// What has come of it.
    snapshot: Vec<u8>,
    content: Content,
    /// (tenant, name) of a document of which nothing is left.
    gone: Option<(String, String)>,
}

impl<W: Write> Exporter<'_, W> {
    fn line(&mut self, line: &Line) -> io::Result<()> {
        self.out.write_all(line.to_json().as_bytes())?;
        self.out.write_all(b"\n")
    }

    /// The snapshot is there.
    fn end_snapshot(&mut self) -> Result<(), ToolError> {
        if self.snapshot_revision.take().is_none() {
            return Ok(());
        }
        let bytes = Bytes::from(std::mem::take(&mut self.snapshot));
        let snapshot = record::decode_snapshot(&bytes).map_err(read_error)?;
        let line = Line::Snapshot(Box::new(Snapshot::new(&self.kind, &snapshot)));
        Ok(self.line(&line)?)
    }
}

impl<W: Write> Visitor for Exporter<'_, W> {
    type Error = ToolError;

    fn begin(&mut self, name: &Arc<str>, document: &DocumentRow) -> Result<(), ToolError> {
        self.content.begin(name, document)?;
        let (tenant, name) = auth::split_global_id(name);
        let (tenant, name) = (tenant.to_owned(), name.to_owned());
        self.kind = Arc::clone(&document.kind);
        self.snapshot.clear();
        self.snapshot_revision = document.snapshot.map(|place| place.revision);
        let deleted_at_ms = match document.life {
            Life::Live => None,
            Life::Deleted { at_ms } => Some(at_ms),
            Life::Gone => {
                self.gone = Some((tenant, name));
                return Ok(());
            }
        };
        let history_from = document.history_from_revision;
        self.line(&Line::Document(Document {
            tenant,
            name,
            kind: document.kind.to_string(),
            first_revision: document.first_revision,
            history_from_revision: (history_from != document.first_revision)
                .then_some(history_from),
            snapshot_revision: self.snapshot_revision,
            deleted_at_ms,
        }))?;
        Ok(())
    }

    fn snapshot_piece(&mut self, piece: &[u8]) -> Result<(), ToolError> {
        self.snapshot.extend_from_slice(piece);
        Ok(self.content.snapshot_piece(piece)?)
    }

    fn record(&mut self, first_revision: u64, count: u32, record: Bytes) -> Result<(), ToolError> {
        self.end_snapshot()?;
        self.content.record(first_revision, count, record.clone())?;
        let operations = record::decode_operations(&record).map_err(read_error)?;
        let line = Line::Operations(Box::new(Operations::new(&self.kind, &operations)));
        Ok(self.line(&line)?)
    }

    fn version(&mut self, version: StoredVersion) -> Result<(), ToolError> {
        self.end_snapshot()?;
        self.content.version(version.clone())?;
        Ok(self.line(&Line::Version(version.into()))?)
    }

    fn end(&mut self, life: Life, next_revision: u64) -> Result<(), ToolError> {
        self.end_snapshot()?;
        self.content.end(life, next_revision)?;
        let revision = next_revision - 1;
        let line = match self.gone.take() {
            Some((tenant, name)) => Line::Gone(Gone {
                tenant,
                name,
                revision,
            }),
            None => Line::End(End {
                revision,
                text: self.content.text().map(ToString::to_string),
            }),
        };
        Ok(self.line(&line)?)
    }
}

fn read_error(error: record::RecordError) -> ReadError {
    ReadError::damaged(error.to_string())
}

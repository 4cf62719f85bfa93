//! `corelay store inspect`: what a store is, and what is known of one of its documents.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::time::Time;
use super::{ToolError, global_id};
use crate::codec::record::{self, OperationsRecord};
use crate::config::{Durability, bytes_text};
use crate::store::{
    Description, Disk, DocumentRow, FjallReader, LastRun, Life, ReadError, ReadStore,
};

/// So many of a document's newest batches are shown.
const BATCHES_MAX: usize = 10;

/// What a tenant has.
#[derive(Default)]
struct Tenant {
    name: String,
    live: u64,
    deleted: u64,
    gone: u64,
    /// Of snapshots and records.
    bytes: u64,
}

impl Tenant {
    fn add(&mut self, document: &DocumentRow) {
        match document.life {
            Life::Live => self.live += 1,
            Life::Deleted { .. } => self.deleted += 1,
            Life::Gone => self.gone += 1,
        }
        self.bytes = self.bytes.saturating_add(document.stored_bytes());
    }

    fn to_json(&self) -> Value {
        json!({
            "tenant": self.name,
            "documents": self.live,
            "deleted": self.deleted,
            "gone": self.gone,
            "bytes": self.bytes,
        })
    }
}

/// The store as a whole, and its documents by tenant.
pub fn store(
    store: &ReadStore,
    path: &Path,
    json: bool,
    out: &mut impl Write,
) -> Result<(), ToolError> {
    let condition = &store.condition;
    let instance = &condition.instance;
    let disk = Disk::of(path);
    let durability = match instance.durability {
        Durability::Always => "always",
        Durability::Interval => "interval",
        Durability::Never => "never",
    };
    let (last_run, last_run_words) = match instance.last_run {
        LastRun::Unfinished => ("unfinished", "its last run did not stop, but ended"),
        LastRun::Stopped => ("stopped", "its last run was stopped"),
        LastRun::Copied => ("none", "a copy on which no relay has run"),
    };
    if json {
        let about = json!({
            "path": path.display().to_string(),
            "format": condition.format,
            "epoch": instance.epoch,
            "durability": durability,
            "lastRun": last_run,
            "commit": condition.commit.number,
            "highWaterMark": condition.high_water_mark,
            "tablesBytes": disk.tables_bytes,
            "journalsBytes": disk.journals_bytes,
        });
        let about = about.to_string();
        // There can be many tenants.
        write!(out, "{},\"tenants\":[", &about[..about.len() - 1])?;
        let mut separator = "";
        each_tenant(&store.reader, |tenant| {
            write!(out, "{separator}{}", tenant.to_json())?;
            separator = ",";
            Ok(())
        })?;
        writeln!(out, "]}}")?;
        return Ok(());
    }
    writeln!(
        out,
        "{}: format {}, epoch {}, durability {durability}; {last_run_words}",
        path.display(),
        condition.format,
        instance.epoch
    )?;
    let mark = match condition.high_water_mark {
        Some(mark) => format!("its mark says that commit {mark} was durable"),
        None => "it has no mark of what was durable".to_owned(),
    };
    writeln!(out, "newest commit {}; {mark}", condition.commit.number)?;
    writeln!(
        out,
        "on disk {} in tables, {} in journals\n",
        bytes_text(disk.tables_bytes),
        bytes_text(disk.journals_bytes)
    )?;
    let mut line = |tenant: &str, numbers: [String; 4]| {
        let [live, deleted, gone, bytes] = numbers;
        writeln!(
            out,
            "{live:>10} {deleted:>10} {gone:>10} {bytes:>16}  {tenant}"
        )
    };
    line(
        "tenant",
        ["documents", "deleted", "gone", "bytes"].map(str::to_owned),
    )?;
    each_tenant(&store.reader, |tenant| {
        let numbers = [tenant.live, tenant.deleted, tenant.gone, tenant.bytes];
        let name = match &*tenant.name {
            "" => "(without a name)",
            name => name,
        };
        line(name, numbers.map(|number| number.to_string()))
    })
}

fn each_tenant(
    reader: &FjallReader,
    mut show: impl FnMut(&Tenant) -> io::Result<()>,
) -> Result<(), ToolError> {
    let mut current: Option<Tenant> = None;
    reader.each_document(|tenant, document| {
        if current
            .as_ref()
            .is_none_or(|current| current.name != tenant)
        {
            let next = Tenant {
                name: tenant.to_owned(),
                ..Tenant::default()
            };
            if let Some(ended) = current.replace(next) {
                show(&ended)?;
            }
        }
        let current = current.as_mut().expect("it has just been seen to");
        current.add(document);
        Ok::<(), ToolError>(())
    })?;
    match current {
        Some(last) => Ok(show(&last)?),
        None => Ok(()),
    }
}

/// What is known of one document.
pub fn document(
    reader: &FjallReader,
    tenant: &str,
    name: &str,
    json: bool,
    out: &mut impl Write,
) -> Result<(), ToolError> {
    let global_id = global_id(tenant, name)?;
    let description = reader.describe(&global_id, BATCHES_MAX)?;
    let description = description.ok_or_else(|| ToolError::NoDocument {
        tenant: tenant.to_owned(),
        name: name.to_owned(),
    })?;
    let batches = description.records.iter();
    let batches: Result<Vec<_>, _> = batches.map(record::decode_operations).collect();
    let batches = batches.map_err(|error| ReadError::damaged(error.to_string()))?;
    match json {
        true => writeln!(out, "{}", as_json(tenant, name, &description, &batches))?,
        false => as_text(tenant, name, &description, &batches, out)?,
    }
    Ok(())
}

fn as_json(
    tenant: &str,
    name: &str,
    description: &Description,
    batches: &[OperationsRecord<'_>],
) -> Value {
    let document = &description.document;
    let (life, deleted_at_ms) = match document.life {
        Life::Live => ("live", None),
        Life::Deleted { at_ms } => ("deleted", Some(at_ms)),
        Life::Gone => ("gone", None),
    };
    let snapshot = document
        .snapshot
        .map(|place| json!({ "revision": place.revision, "bytes": place.bytes }));
    let versions = description.versions.iter().map(|version| {
        json!({
            "name": &*version.name,
            "revision": version.revision,
            "timeMs": version.time_ms,
            "author": &*version.author,
        })
    });
    let batches = batches.iter().map(|batch| {
        json!({
            "revision": batch.revision,
            "operations": batch.operations.len(),
            "bytes": bytes(batch),
            "timeMs": batch.time_ms,
            "author": batch.author,
            "client": batch.origin,
        })
    });
    json!({
        "tenant": tenant,
        "name": name,
        "kind": &*document.kind,
        "life": life,
        "deletedAtMs": deleted_at_ms,
        "firstRevision": document.first_revision,
        "historyFromRevision": document.history_from_revision,
        "revision": description.next_revision - 1,
        "bytes": document.stored_bytes(),
        "snapshot": snapshot,
        "versions": versions.collect::<Vec<_>>(),
        "newest": batches.collect::<Vec<_>>(),
    })
}

fn bytes(batch: &OperationsRecord<'_>) -> usize {
    batch.operations.iter().map(bytes::Bytes::len).sum()
}

fn as_text(
    tenant: &str,
    name: &str,
    description: &Description,
    batches: &[OperationsRecord<'_>],
    out: &mut impl Write,
) -> io::Result<()> {
    let document = &description.document;
    let newest = description.next_revision - 1;
    let of_tenant = super::of_tenant(tenant);
    write!(out, "{name:?}{of_tenant}: ")?;
    match document.life {
        Life::Live => writeln!(out, "a {}", document.kind)?,
        Life::Deleted { at_ms } => {
            writeln!(out, "a {}, deleted {}", document.kind, Time(at_ms))?;
        }
        Life::Gone => {
            return writeln!(
                out,
                "gone; the next of that name begins with revision {}",
                newest + 1
            );
        }
    }
    write!(out, "revisions {} to {newest}", document.first_revision)?;
    if document.history_from_revision > document.first_revision {
        write!(out, ", kept from {} on", document.history_from_revision)?;
    }
    writeln!(out, "; {} bytes", document.stored_bytes())?;
    match document.snapshot {
        Some(place) => writeln!(
            out,
            "snapshot of revision {}, {} bytes",
            place.revision, place.bytes
        )?,
        None => writeln!(out, "no snapshot")?,
    }
    for version in &description.versions {
        writeln!(
            out,
            "version {:?}: revision {}, {} by {:?}",
            version.name,
            version.revision,
            Time(version.time_ms),
            version.author
        )?;
    }
    for batch in batches {
        writeln!(
            out,
            "revision {}: {} operations, {} bytes, {} by {:?} (client {})",
            batch.revision,
            batch.operations.len(),
            bytes(batch),
            Time(batch.time_ms),
            batch.author,
            batch.origin
        )?;
    }
    Ok(())
}

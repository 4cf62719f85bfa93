//! `corelay store verify`: everything is read, and what does not fit together is said, by document.

use std::io::{self, Write};

use super::content::Content;
use crate::config::bytes_text;
use crate::store::{self, FjallReader};

/// Returns whether nothing is wrong.
pub fn verify(reader: &FjallReader, out: &mut impl Write) -> io::Result<bool> {
    let mut findings = 0_u64;
    let mut written = Ok(());
    let counts = store::check(reader, &mut Content::default(), &mut |finding| {
        findings += 1;
        let document = match &finding.document {
            Some(document) => format!("{document:?}"),
            None => "the store".to_owned(),
        };
        if written.is_ok() {
            written = writeln!(out, "{document}: {}", finding.what);
        }
    });
    written?;
    writeln!(
        out,
        "{} documents, {} deleted, {} gone; {} operations, {} snapshots, {} versions; {}",
        counts.live,
        counts.deleted,
        counts.gone,
        counts.operations,
        counts.snapshots,
        counts.versions,
        bytes_text(counts.bytes),
    )?;
    if counts.rows_unneeded > 0 {
        writeln!(out, "{} rows wait for their removal", counts.rows_unneeded)?;
    }
    match findings {
        0 => writeln!(out, "everything fits together")?,
        1 => writeln!(out, "1 thing is wrong")?,
        _ => writeln!(out, "{findings} things are wrong")?,
    }
    Ok(findings == 0)
}

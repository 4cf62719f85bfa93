//! What can go wrong with the store as a whole, in words for the person who runs the relay.

use std::path::{Path, PathBuf};

/// The store cannot be opened, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "the data directory {path} cannot be used: {reason}. Make it a directory that this user may write to, \
         or name another one with store.path"
    )]
    Directory { path: PathBuf, reason: String },

    #[error(
        "the data directory {path} is in use by another process. Stop that one first, or name another \
         directory with store.path"
    )]
    InUse { path: PathBuf },

    #[error("there is no store in {path}")]
    NoStore { path: PathBuf },

    #[error(
        "to read the store in {path}, its journals are copied to {temporary}, and that failed: {reason}. Name another \
         directory for temporary files with TMPDIR"
    )]
    NoShadow {
        path: PathBuf,
        temporary: PathBuf,
        reason: String,
    },

    #[error(
        "the data directory {path} has format {found}, and this version of corelay reads format {known}. \
         Start it with the version that wrote it, or a newer one"
    )]
    UnknownFormat {
        path: PathBuf,
        found: String,
        known: u64,
    },

    #[error(
        "the data directory {path} is damaged: {reason}. Nothing that was durable has been changed. Check the disk, and restore \
         the directory from a backup"
    )]
    Damaged { path: PathBuf, reason: String },

    #[error(
        "the data directory {path} has lost acknowledged operations: commit {mark} was on disk, and only commit \
         {recovered} is there. Restore the directory from a backup, or, to go on with what is left, delete the \
         file {mark_path}; clients are then given their documents again"
    )]
    Behind {
        path: PathBuf,
        mark_path: PathBuf,
        mark: u64,
        recovered: u64,
    },

    /// A write or a sync failed: nothing may be acknowledged any more. What was acknowledged is on disk.
    #[error("the store failed: {reason}")]
    Failed { reason: String },
}

impl StoreError {
    pub(super) fn directory(path: &Path, reason: impl ToString) -> Self {
        Self::Directory {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }

    pub(super) fn damaged(path: &Path, reason: impl ToString) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }

    pub(super) fn failed(reason: impl ToString) -> Self {
        Self::Failed {
            reason: reason.to_string(),
        }
    }

    /// A write does not continue its document: the caller's mistake, after which nothing it says can be trusted.
    pub(super) fn out_of_place(document: &str, what: &str, revision: u64) -> Self {
        Self::failed(format!(
            "{what} at revision {revision} does not continue the document {document:?}"
        ))
    }
}

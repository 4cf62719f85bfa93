//! What can go wrong with the store as a whole, in words for the person who runs the relay.

use std::error::Error as _;
use std::io;
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

    /// The embedded store has failed.
    pub(super) fn of_fjall(error: fjall::Error) -> Self {
        Self::failed(words(&error))
    }

    pub(super) fn of_io(error: io::Error) -> Self {
        Self::failed(io_words(&error))
    }

    /// What went wrong, where it is the store as a whole that failed.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Failed { reason } => reason.clone(),
            other => other.to_string(),
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

/// What the embedded store says, in words.
pub(super) fn words(error: &fjall::Error) -> String {
    match (io_error(error), error) {
        (Some(error), _) => io_words(error),
        (None, fjall::Error::Poisoned) => {
            "what had been written before could not be brought to its tables".to_owned()
        }
        (None, fjall::Error::Storage(error)) => format!("its tables are damaged: {error:?}"),
        (None, error) => format!("{error:?}"),
    }
}

fn io_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => "there is no space left".to_owned(),
        io::ErrorKind::QuotaExceeded => "its user has as much on the disk as it may".to_owned(),
        _other => error.to_string(),
    }
}

/// Whether what is stored is not what was written, so that to read it again does not help.
pub(super) fn is_damage(error: &fjall::Error) -> bool {
    let is_of_system = matches!(
        error,
        fjall::Error::Poisoned | fjall::Error::Locked | fjall::Error::KeyspaceDeleted
    );
    match io_error(error) {
        // A table is shorter than it was, or not one at all.
        Some(error) => matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData
        ),
        None => !is_of_system,
    }
}

/// That the system has refused something is the reason of all that is said about it.
fn io_error(error: &fjall::Error) -> Option<&io::Error> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        source = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_embedded_store_says_is_put_into_words() {
        let io = |kind: io::ErrorKind| fjall::Error::Io(kind.into());
        for (error, expected_words, expected_damage) in [
            (
                io(io::ErrorKind::StorageFull),
                "there is no space left",
                false,
            ),
            (
                io(io::ErrorKind::PermissionDenied),
                "permission denied",
                false,
            ),
            (
                io(io::ErrorKind::UnexpectedEof),
                "unexpected end of file",
                true,
            ),
            (
                fjall::Error::Poisoned,
                "what had been written before",
                false,
            ),
            (fjall::Error::InvalidTrailer, "InvalidTrailer", true),
        ] {
            let found = words(&error);
            assert!(found.starts_with(expected_words), "{found}");
            assert_eq!(is_damage(&error), expected_damage, "{found}");
        }
    }
}

//! The file that keeps revocations over a restart, beside the store.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::ServerError;
use crate::auth::Revocations;

const FILE_NAME: &str = "revocations";
const FRESH_FILE_NAME: &str = "revocations.new";

/// What was revoked before; nothing if there is no file.
///
/// # Errors
///
/// [`ServerError::Revocations`] if there is one and it cannot be read: what it held must not be let in.
pub fn read(directory: &Path) -> Result<Revocations, ServerError> {
    let path = directory.join(FILE_NAME);
    let refuse = |reason: String| ServerError::Revocations {
        path: path.clone(),
        reason,
    };
    match fs::read_to_string(&path) {
        Ok(text) => Revocations::from_text(&text).map_err(|error| refuse(error.to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Revocations::default()),
        Err(error) => Err(refuse(error.to_string())),
    }
}

/// Puts the text in the place of what was there, all of it or nothing, and returns when it is on disk.
pub fn write(directory: &Path, text: &str) -> io::Result<()> {
    let fresh = directory.join(FRESH_FILE_NAME);
    let mut file = File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, directory.join(FILE_NAME))?;
    File::open(directory)?.sync_all()
}

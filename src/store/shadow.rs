//! What fjall opens in place of a store that is not to change: journals as copies, tables as links, because they are
//! never written again.
//!
//! fjall cannot open a database without writing to it: it cuts journals off, makes tables of them, and merges tables.
//! Nobody should find files of another user in the directory of a relay because somebody looked at it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::directory::{DATABASE, FORMAT, KEPT_JOURNAL};
use super::mark;

/// fjall's folders with tables are called so.
const TABLES: &str = "tables";

/// A directory in the system's temporary one, readable by this user only. It goes when this is dropped.
#[derive(Debug)]
pub struct Shadow {
    path: PathBuf,
}

impl Shadow {
    /// Of the data directory `of`, which nobody may change meanwhile.
    pub fn new(of: &Path) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let path = loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("corelay-store-{}-{count}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match DirBuilder::new().mode(0o700).create(&path) {
                // Whoever made it could read what is put there. An earlier process may have left it.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => break made.map(|()| path)?,
            }
        };
        let shadow = Self { path };
        let of = of.canonicalize()?;
        for file in [FORMAT, mark::FILE_NAME] {
            copy_if_there(&of.join(file), &shadow.path.join(file))?;
        }
        for folder in [DATABASE, KEPT_JOURNAL] {
            if of.join(folder).is_dir() {
                stand_for(&of.join(folder), &shadow.path.join(folder))?;
            }
        }
        Ok(shadow)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        // What is left is in nobody's way.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn copy_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::copy(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn stand_for(folder: &Path, stand_in: &Path) -> io::Result<()> {
    fs::create_dir(stand_in)?;
    let is_tables = folder.file_name().is_some_and(|name| name == TABLES);
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (from, to) = (entry.path(), stand_in.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            stand_for(&from, &to)?;
        } else if is_tables {
            symlink(from, to)?;
        } else {
            fs::copy(from, to)?;
        }
    }
    Ok(())
}

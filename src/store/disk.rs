//! What a store takes on disk, and what is left there.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::journal;

/// What the blocks are counted in, whatever the file system.
const BLOCK_BYTES: u64 = 512;

/// What its files take, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Disk {
    /// Where everything stands in the end, compressed.
    pub tables_bytes: u64,
    /// What has been written and is not all in tables yet. Journals go when it is.
    pub journals_bytes: u64,
}

/// What a file system has left for the relay's user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    pub free_bytes: u64,
    pub total_bytes: u64,
    /// `None` where the file system does not count them.
    pub free_inodes: Option<u64>,
}

impl Room {
    /// Of the file system that this directory is on.
    ///
    /// # Errors
    ///
    /// It is not there, or does not say.
    pub fn of(path: &Path) -> io::Result<Self> {
        let stat = rustix::fs::statvfs(path)?;
        // Some of it is for root alone.
        let blocks = match rustix::process::geteuid().is_root() {
            true => stat.f_bfree,
            false => stat.f_bavail,
        };
        Ok(Self {
            free_bytes: blocks.saturating_mul(stat.f_frsize),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            free_inodes: (stat.f_files > 0).then_some(stat.f_favail),
        })
    }
}

impl Disk {
    /// Of the store in this directory. A file that goes meanwhile is left out.
    pub fn of(path: &Path) -> Self {
        let mut disk = Self::default();
        // What cannot be read is not there for us.
        let _ = disk.add(path);
        disk
    }

    fn add(&mut self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let Ok(entry) = entry else { continue };
            let Ok(file) = entry.metadata() else { continue };
            let path = entry.path();
            // A journal is made at its full length, and has blocks as it fills.
            let bytes = BLOCK_BYTES * file.blocks();
            if file.is_dir() {
                let _ = self.add(&path);
            } else if journal::is_journal(&path) {
                self.journals_bytes += bytes;
            } else {
                self.tables_bytes += bytes;
            }
        }
        Ok(())
    }
}

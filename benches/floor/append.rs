//! Appends to a file whose blocks are there already.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const FILE_BYTES: usize = 64 << 20;

pub struct Append {
    path: PathBuf,
    file: File,
    position: usize,
}

impl Append {
    pub fn new(directory: &Path) -> Self {
        let path = directory.join(format!("corelay-floor-{}", std::process::id()));
        let file = File::create(&path).expect("the directory takes a file");
        let filled = file.write_all_at(&vec![1; FILE_BYTES], 0);
        filled.expect("the disk has room");
        file.sync_all().expect("the disk syncs");
        Self {
            path,
            file,
            position: 0,
        }
    }

    /// Operations per second if so many are written and synced at once.
    pub fn per_second(&mut self, in_flight: usize, bytes: usize, period: Duration) -> f64 {
        let buffer = vec![7; in_flight * bytes];
        let (started, mut groups) = (Instant::now(), 0_u64);
        while groups == 0 || started.elapsed() < period {
            self.append(&buffer);
            groups += 1;
        }
        (groups * in_flight as u64) as f64 / started.elapsed().as_secs_f64()
    }

    /// At most [`FILE_BYTES`]; they are durable when it returns.
    pub fn append(&mut self, bytes: &[u8]) {
        if self.position + bytes.len() > FILE_BYTES {
            self.position = 0;
        }
        let written = self.file.write_all_at(bytes, self.position as u64);
        written.expect("the disk writes");
        self.file.sync_data().expect("the disk syncs");
        self.position += bytes.len();
    }
}

impl Drop for Append {
    fn drop(&mut self) {
        // It is a temporary file: if it stays, it is in the way of nobody.
        let _ = fs::remove_file(&self.path);
    }
}

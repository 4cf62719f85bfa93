//! What the kernel says of the host, in files.

use std::fs;
use std::path::PathBuf;

/// The tree that has `proc` and `sys` in it.
pub struct Host {
    root: PathBuf,
}

impl Host {
    pub fn here() -> Self {
        Self {
            root: PathBuf::from("/"),
        }
    }

    /// A file's text without the spaces around it; `None`: it is not there, or not for us.
    pub fn read(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.root.join(path)).ok()?;
        Some(text.trim().to_owned())
    }

    pub fn number(&self, path: &str) -> Option<u64> {
        self.read(path)?.parse().ok()
    }

    /// A list of cores, as in `0-3,8`.
    pub fn cores(&self, path: &str) -> Option<Vec<usize>> {
        parse_cores(&self.read(path)?)
    }

    /// The names in a directory, in order; none if it is not there.
    pub fn names(&self, path: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.root.join(path)) else {
            return Vec::new();
        };
        let name = |entry: fs::DirEntry| entry.file_name().into_string().ok();
        let mut names: Vec<_> = entries.flatten().filter_map(name).collect();
        names.sort();
        names
    }
}

fn parse_cores(text: &str) -> Option<Vec<usize>> {
    let mut cores = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let core = |text: &str| text.trim().parse::<usize>().ok();
        cores.extend(core(first)?..=core(last)?);
    }
    Some(cores)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A host with these files only.
    pub fn host(files: &[(&str, &str)]) -> (Host, tempfile::TempDir) {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        for (path, text) in files {
            let path = directory.path().join(path);
            let folder = path.parent().expect("a file is in a folder");
            fs::create_dir_all(folder).expect("the directory is writable");
            fs::write(path, text).expect("the directory is writable");
        }
        let root = directory.path().to_owned();
        (Host { root }, directory)
    }

    #[test]
    fn lists_of_cores_are_read_as_the_kernel_writes_them() {
        assert_eq!(parse_cores("0-2,5"), Some(vec![0, 1, 2, 5]));
        assert_eq!(parse_cores(""), Some(vec![]));
        assert_eq!(parse_cores("a"), None);
    }

    #[test]
    fn what_is_not_there_is_nothing() {
        let (host, _directory) = host(&[("proc/a", " 7\n"), ("proc/b", "x")]);
        assert_eq!(host.number("proc/a"), Some(7));
        assert_eq!(host.number("proc/c"), None);
        assert_eq!(host.names("proc"), ["a", "b"]);
        assert!(host.names("sys").is_empty());
    }
}

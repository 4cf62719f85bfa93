//! `corelay load` as a test runs it: the real binary, and the figures that it writes.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A run that is under way. It is killed when this is dropped.
pub struct Load {
    child: Child,
    directory: TempDir,
}

/// What a run ended with.
pub struct Ended {
    pub success: bool,
    pub figures: Value,
    pub output: String,
}

impl Load {
    /// `arguments` are separated by blanks.
    pub fn spawn(url: &str, arguments: &str) -> Self {
        let directory = TempDir::new().expect("there is room for a directory");
        let file = |name: &str| {
            std::fs::File::create(directory.path().join(name)).expect("the directory is ours")
        };
        let child = Command::new(env!("CARGO_BIN_EXE_corelay"))
            .args(["load", "--url", url, "--json"])
            .arg(directory.path().join("figures"))
            .args(arguments.split_whitespace())
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .expect("the binary runs");
        Self { child, directory }
    }

    pub fn wait(mut self) -> Ended {
        let status = self.child.wait().expect("it is our child");
        let read = |name: &str| {
            std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
        };
        Ended {
            success: status.success(),
            figures: serde_json::from_str(&read("figures")).unwrap_or_default(),
            output: read("stdout") + &read("stderr"),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn load(url: &str, arguments: &str) -> Ended {
    Load::spawn(url, arguments).wait()
}

impl Ended {
    /// A figure by its path, as `operations.sent`.
    pub fn number(&self, path: &str) -> f64 {
        let figure = path
            .split('.')
            .fold(&self.figures, |figures, name| &figures[name]);
        figure
            .as_f64()
            .unwrap_or_else(|| panic!("no figure {path}: {}", self.output))
    }

    pub fn expect_kept(&self) {
        assert!(self.success, "{}", self.output);
        assert_eq!(self.number("verified.violations"), 0.0, "{}", self.output);
    }
}

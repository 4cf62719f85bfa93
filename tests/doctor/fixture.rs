//! Child processes that lack something: limits, io_uring, files, mounts.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use serde_json::Value;

pub fn corelay(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corelay"));
    command.args(arguments);
    command
}

/// What a child process has to do with: a directory of its own, and what is taken away from it.
pub struct Machine {
    pub directory: tempfile::TempDir,
    settings: Vec<String>,
    mounts: String,
    action: Option<fn() -> io::Result<()>>,
}

impl Machine {
    /// One core, one listener on any port, and otherwise nothing to complain about.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let store = format!("store.path={}/data", directory.path().display());
        let machine = Self {
            directory,
            settings: Vec::new(),
            mounts: String::new(),
            action: None,
        };
        machine
            .with("listen.websocket=127.0.0.1:0")
            .with("listen.origins=https://app.example")
            .with("listen.tcp=off")
            .with("listen.admin=off")
            .with("shards.cores=1")
            .with("connection.count_max=100")
            .with(&store)
    }

    /// With a setting; the last one of a key counts.
    pub fn with(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    /// With something done in the child between fork and exec. It may only make system calls, on memory of its own.
    pub fn after(mut self, action: fn() -> io::Result<()>) -> Self {
        self.action = Some(action);
        self
    }

    /// With mounts that only the child sees: lines of shell, in the directory.
    pub fn mounting(mut self, script: &str) -> Self {
        self.mounts += script;
        self
    }

    /// The binary with these arguments and all settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let binary = env!("CARGO_BIN_EXE_corelay");
        let mut command = Command::new(binary);
        if !self.mounts.is_empty() {
            command = Command::new("unshare");
            command.arg("--mount");
            if !rustix::process::geteuid().is_root() {
                command.arg("--map-root-user");
            }
            let script = format!("{}\nexec \"$@\"", self.mounts);
            command.args(["sh", "-ec", &script, "sh", binary]);
        }
        command.current_dir(self.directory.path()).args(arguments);
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        if let Some(action) = self.action {
            // SAFETY: the actions only make system calls, on memory of their own.
            unsafe { command.pre_exec(action) };
        }
        command
    }

    /// What `doctor` prints, and its status.
    pub fn doctor(&self) -> (String, Option<i32>) {
        let output = finish(&mut self.command(&["doctor"]));
        assert_eq!(stderr(&output), "");
        (stdout(&output), output.status.code())
    }

    /// What `doctor --json` found.
    pub fn checks(&self) -> Vec<Value> {
        let output = finish(&mut self.command(&["doctor", "--json"]));
        let report: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
        let checks = report["checks"].as_array().expect("a list");
        checks.clone()
    }
}

pub fn finish(command: &mut Command) -> Output {
    command.output().expect("the binary starts")
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn limit(resource: libc::__rlimit_resource_t, value: libc::rlim_t) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: the limit is read during the call only.
    match unsafe { libc::setrlimit(resource, &raw const limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// From here on, io_uring_setup answers EPERM, as under a container's seccomp profile.
pub fn forbid_io_uring() -> io::Result<()> {
    let step = |code: u32, jt, jf, k| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    // Load the number of the system call; if it is io_uring_setup refuse it, else allow it.
    let filter = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            libc::SYS_io_uring_setup as u32,
        ),
        step(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::EPERM as u32,
        ),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel copies the program, which lives until the call is over.
    let results = unsafe {
        [
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
            libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            ),
        ]
    };
    match results {
        [0, 0] => Ok(()),
        [_, _] => Err(io::Error::last_os_error()),
    }
}

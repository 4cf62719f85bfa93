//! The binary as its user meets it before anything is served: `serve --check`, refusals, and `doctor` on machines
//! that lack something. What is lacking is taken away from a child process: limits, io_uring, ports, directories.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use corelay::config::{Config, Draft};
use socket2::{Domain, Socket, Type};

fn corelay(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corelay"));
    command.args(arguments);
    command
}

/// `doctor` on a directory of its own, with the given listeners and otherwise nothing to complain about.
fn doctor(websocket: SocketAddr) -> (Command, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let mut command = corelay(&[
        "doctor",
        "--set",
        "listen.tcp=off",
        "--set",
        "listen.admin=off",
    ]);
    command
        .args([
            "--set",
            "shards.cores=1",
            "--set",
            "connection.count_max=100",
        ])
        .arg("--set")
        .arg(format!("listen.websocket={websocket}"))
        .arg("--set")
        .arg(format!("store.path={}/data", directory.path().display()));
    (command, directory)
}

fn finish(command: &mut Command) -> Output {
    command.output().expect("the binary starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The port is only tried, so that any free one will do.
fn any_port() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// Makes the child call this between fork and exec.
fn in_child(command: &mut Command, action: fn() -> io::Result<()>) {
    // SAFETY: the actions of this file only make system calls, on memory of their own.
    unsafe { command.pre_exec(action) };
}

fn limit(resource: libc::__rlimit_resource_t, value: libc::rlim_t) -> io::Result<()> {
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
fn forbid_io_uring() -> io::Result<()> {
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

#[test]
fn check_prints_the_effective_configuration_and_its_budget() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let file = directory.path().join("mine.toml");
    std::fs::write(&file, "[connection]\ncount_max = 77\n").expect("the directory is writable");
    let file = file.display().to_string();
    let output = finish(&mut corelay(&[
        "serve",
        "--check",
        "--config",
        &file,
        "--set",
        "listen.tcp=off",
        "--set",
        "shards.cores=1",
    ]));
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("# memory budget of 1 shard\n"), "{text}");

    let mut draft = Draft::default();
    draft.file("printed", &text);
    let mut expected = Config::default();
    expected.connection.count_max = 77;
    expected.listen.tcp = None;
    expected.shards.cores = corelay::config::Cores::Count(1);
    assert_eq!(draft.finish(), Ok(expected), "{text}");
}

#[test]
fn explain_prints_the_file_of_all_keys() {
    let output = finish(&mut corelay(&["serve", "--explain"]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), include_str!("../tuning/corelay.toml"));
}

#[test]
fn a_wrong_configuration_ends_with_2_and_says_why() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let file = directory.path().join("mine.toml");
    std::fs::write(&file, "[presence]\nttl = 30\n").expect("the directory is writable");
    let file = file.display().to_string();
    let table = [
        (
            vec!["serve", "--config", &file],
            format!(
                "{file} line 2: presence.ttl = \"30\" is wrong: it has no unit (ms, s, min, h); write it as in \
                 \"10 s\". Range: 100 ms to 1 h\n"
            ),
        ),
        (
            vec!["doctor", "--set", "presence.tll=3 s"],
            "--set presence.tll=3 s: there is no key presence.tll; did you mean presence.ttl?\n".to_owned(),
        ),
        (
            vec!["serve", "--config", "/nowhere/corelay.toml"],
            "the configuration file /nowhere/corelay.toml cannot be read: No such file or directory (os error 2)\n"
                .to_owned(),
        ),
    ];
    for (arguments, expected) in table {
        let output = finish(&mut corelay(&arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(stderr(&output), expected);
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn a_port_where_somebody_shares_the_listening_is_taken_all_the_same() {
    // As the relay's own shards listen: any other socket that asks for it may share the port.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket can be made");
    rustix::net::sockopt::set_socket_reuseport(&socket, true).expect("Linux has SO_REUSEPORT");
    socket
        .bind(&any_port().into())
        .and_then(|()| socket.listen(1))
        .expect("the system finds a free port");
    let address = TcpListener::from(socket);
    let port = address.local_addr().expect("it is bound").port();

    let (mut command, _directory) = doctor(([127, 0, 0, 1], port).into());
    let output = finish(&mut command);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let expected = format!(
        "FATAL    listen.websocket: port {port} is taken\n         why: another process listens on 127.0.0.1:{port}\n"
    );
    assert!(text.contains(&expected), "{text}");
    assert!(text.ends_with("The relay cannot run here.\n"), "{text}");
}

#[test]
fn serve_refuses_a_taken_port_before_it_starts() {
    let listener = TcpListener::bind(any_port()).expect("the system finds a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let output = finish(
        corelay(&[
            "serve",
            "--set",
            "listen.tcp=off",
            "--set",
            "listen.admin=off",
        ])
        .args(["--set", "log.format=json", "--set"])
        .arg(format!("listen.websocket=127.0.0.1:{port}"))
        .arg("--set")
        .arg(format!("store.path={}/data", directory.path().display())),
    );
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let said = stderr(&output)
        .lines()
        .map(|line| serde_json::from_str(line).expect("every line of the log is JSON"))
        .any(|line: serde_json::Value| {
            let message = line["fields"]["message"].as_str().unwrap_or_default();
            line["level"] == "ERROR" && message.contains(&format!("port {port} is taken"))
        });
    assert!(said, "{}", stderr(&output));
}

#[test]
fn an_unwritable_directory_is_fatal() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    let (mut command, _directory) = doctor(any_port());
    command.arg("--set");
    command.arg(format!("store.path={}/data", file.path().display()));
    let output = finish(&mut command);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("FATAL    store.path: "), "{text}");
    assert!(text.contains("do:  Move the file away"), "{text}");
}

#[test]
fn too_few_file_descriptors_are_a_warning() {
    let (mut command, _directory) = doctor(any_port());
    in_child(&mut command, || limit(libc::RLIMIT_NOFILE, 300));
    let text = stdout(&finish(&mut command));
    assert!(
        text.contains("warning  open files: 300 may be open, and 356 are wanted"),
        "{text}"
    );
    assert!(text.contains("room for 44 connections"), "{text}");
}

#[test]
fn a_soft_limit_below_the_hard_one_is_raised() {
    let (mut command, _directory) = doctor(any_port());
    in_child(&mut command, || {
        let limit = libc::rlimit {
            rlim_cur: 64,
            rlim_max: 2000,
        };
        // SAFETY: the limit is read during the call only.
        match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    });
    let text = stdout(&finish(&mut command));
    assert!(text.contains("ok       open files: 356\n"), "{text}");
}

#[test]
fn too_little_locked_memory_is_fatal() {
    let (mut command, _directory) = doctor(any_port());
    in_child(&mut command, || limit(libc::RLIMIT_MEMLOCK, 64 * 1024));
    let output = finish(&mut command);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("FATAL    locked memory: the limit is 64 KiB, and 1 MiB are wanted"),
        "{text}"
    );
    assert!(text.contains("LimitMEMLOCK=infinity"), "{text}");
}

#[test]
fn forbidden_io_uring_is_fatal_and_names_the_profile() {
    let (mut command, _directory) = doctor(any_port());
    in_child(&mut command, forbid_io_uring);
    let output = finish(&mut command);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("FATAL    io_uring: it cannot be used"),
        "{text}"
    );
    let sysctl = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    if sysctl.map_or(true, |value| value.trim() == "0") {
        assert!(text.contains("seccomp profile"), "{text}");
    }
}

#[test]
fn a_core_that_is_not_there_is_fatal() {
    let (mut command, _directory) = doctor(any_port());
    let output = finish(command.args(["--set", "shards.cores=1023-1023"]));
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("FATAL    shards.cores: the process may not run on core 1023"),
        "{text}"
    );
}

#[test]
fn a_key_that_cannot_be_read_is_named_before_anybody_serves() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let store = format!("store.path={}", directory.path().display());
    let nowhere = "auth.jwt_secret_file=/nowhere/secret";
    let said =
        "tokens cannot be checked with auth.jwt_secret_file = \"/nowhere/secret\": No such file";
    let settings = ["--set", &store, "--set", "auth.mode=jwt", "--set", nowhere];
    let off = ["listen.websocket=off", "listen.admin=off"];
    let settings = settings
        .into_iter()
        .chain(["--set", off[0], "--set", off[1]]);
    let settings: Vec<_> = settings
        .chain(["--set", "listen.tcp=127.0.0.1:0"])
        .collect();

    let output = finish(corelay(&["doctor"]).args(&settings));
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stdout(&output).contains(said), "{}", stdout(&output));

    for arguments in [vec!["serve", "--check"], vec!["serve"]] {
        let output = finish(corelay(&arguments).args(&settings));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
}

#[test]
fn cores_that_are_not_there_are_a_wrong_configuration() {
    for arguments in [vec!["serve", "--check"], vec!["serve"]] {
        let output = finish(corelay(&arguments).args(["--set", "shards.cores=1023-1023"]));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = "the process may not run on core 1023";
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
}

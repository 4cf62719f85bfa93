//! Machines on which the relay cannot run, or not as it is configured: `doctor` names what is lacking and what to do,
//! and `serve` refuses with the same words.

use std::io::{self, BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Stdio};

use socket2::{Domain, Socket, Type};

use crate::fixture::{Machine, finish, forbid_io_uring, limit, stderr};

/// Where the relay cannot run: the check that says so, and some words of what it says.
fn assert_refused(machine: &Machine, name: &str, words: &[&str]) {
    let checks = machine.checks();
    let wrong: Vec<_> = checks
        .iter()
        .filter(|check| check["outcome"] == "wrong")
        .collect();
    let text = |check: &serde_json::Value, member: &str| {
        let text = check[member].as_str().expect("every finding has it");
        assert!(!text.is_empty());
        text.to_owned()
    };
    let found = wrong.iter().find(|check| check["name"] == name);
    let found = found.unwrap_or_else(|| panic!("{name} is not wrong: {checks:#?}"));
    let said = format!(
        "{} ({}). {}",
        text(found, "what"),
        text(found, "why"),
        text(found, "remedy")
    );
    for words in words {
        assert!(said.contains(words), "{words}: {said}");
    }

    let (text_form, status) = machine.doctor();
    assert_eq!(status, Some(1), "{text_form}");
    let expected = format!("wrong    {name}: ");
    assert!(text_form.contains(&expected), "{text_form}");
    assert!(
        text_form.ends_with("The relay cannot run here.\n"),
        "{text_form}"
    );

    let served = finish(&mut machine.command(&["serve"]));
    let log = stderr(&served);
    assert!(matches!(served.status.code(), Some(1 | 2)), "{log}");
    // What others have to be there for is asked again until it is given up, and has no remedy in the log.
    let why = text(found, "why");
    assert!(
        log.contains(&format!("{name}: {said}")) || log.contains(&why),
        "{said}\n{log}"
    );
}

#[test]
fn little_locked_memory() {
    let machine = Machine::new().after(|| limit(libc::RLIMIT_MEMLOCK, 64 * 1024));
    let words = [
        "the limit is 64 KiB, and 1 MiB are wanted",
        "LimitMEMLOCK=infinity",
    ];
    assert_refused(&machine, "locked memory", &words);
}

/// Whoever has this capability may lock what it likes.
fn without_cap_ipc_lock() -> io::Result<()> {
    const CAP_IPC_LOCK: libc::c_ulong = 14;
    // SAFETY: it changes what the process may have after exec, and nothing else. Who may not do so has no capability.
    unsafe { libc::prctl(libc::PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0) };
    Ok(())
}

/// What an executor would lock for files is more than this, and nothing that a shard needs.
#[test]
fn locked_memory_that_is_enough_is_enough_for_serve_too() {
    let machine = Machine::new().after(|| {
        limit(libc::RLIMIT_MEMLOCK, 1024 * 1024)?;
        without_cap_ipc_lock()
    });
    let (text, _) = machine.doctor();
    assert!(text.contains("ok       locked memory: 1 MiB\n"), "{text}");
    let mut relay = machine
        .command(&["serve"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut line = String::new();
    let stdout = relay.stdout.as_mut().expect("it is piped");
    BufReader::new(stdout).read_line(&mut line).expect("text");
    assert!(line.starts_with("listening"), "{line}");
    relay.kill().expect("it is our child");
    let log = stderr(&relay.wait_with_output().expect("it ends"));
    assert!(
        log.contains("is up") && !log.contains("registering buffers"),
        "{log}"
    );
}

#[test]
fn a_profile_that_forbids_io_uring() {
    let machine = Machine::new().after(forbid_io_uring);
    let mut words = vec!["it cannot be used"];
    let sysctl = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    if sysctl.map_or(true, |value| value.trim() == "0") {
        words.push("seccomp profile");
    }
    assert_refused(&machine, "io_uring", &words);
}

#[test]
fn descriptors_for_nobody() {
    let machine = Machine::new().after(|| limit(libc::RLIMIT_NOFILE, 600));
    let words = [
        "600 may be open, and 1780 are wanted",
        "room for 0 connections",
        "LimitNOFILE=1780",
    ];
    assert_refused(&machine, "open files", &words);
}

#[test]
fn descriptors_for_some_are_advice() {
    let machine = Machine::new().after(|| limit(libc::RLIMIT_NOFILE, 700));
    let (text, status) = machine.doctor();
    assert_eq!(status, Some(0), "{text}");
    assert!(
        text.contains("advice   open files: 700 may be open, and 1780 are wanted"),
        "{text}"
    );
    assert!(text.contains("room for 44 connections"), "{text}");
}

#[test]
fn a_soft_limit_below_the_hard_one_is_raised() {
    let machine = Machine::new().after(|| {
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
    let (text, _) = machine.doctor();
    assert!(text.contains("ok       open files: 1780\n"), "{text}");
}

/// A small disk of its own.
const SMALL_DISK: &str = "mkdir -p disk; mount -t tmpfs -o size=24m,nr_inodes=100 tmpfs disk\n";

#[test]
fn a_disk_without_any_room() {
    // The last write fails, and is what fills it.
    let fill = "head -c 30M /dev/zero >disk/fill 2>/dev/null || true\n";
    let machine = Machine::new()
        .mounting(SMALL_DISK)
        .mounting(fill)
        .with("store.path=disk/data");
    let words = ["disk/data cannot be written", "No space left", "Make room"];
    assert_refused(&machine, "store.path", &words);
    let words = ["has 0 MiB and", "the first write that fails", "df -h"];
    assert_refused(&machine, "disk space", &words);
}

#[test]
fn a_disk_with_hardly_any_room() {
    let machine = Machine::new()
        .mounting(SMALL_DISK)
        .mounting("head -c 10M /dev/zero >disk/fill\n")
        .with("store.path=disk/data");
    let words = [
        "disk has 14 MiB and",
        "does not begin with less than 16 MiB",
    ];
    assert_refused(&machine, "disk space", &words);
}

#[test]
fn a_disk_without_inodes() {
    let machine = Machine::new()
        .mounting(SMALL_DISK)
        .mounting("for i in $(seq 98); do : >disk/$i 2>/dev/null || true; done\n")
        .with("store.path=disk/data");
    assert_refused(&machine, "disk space", &["inodes left", "df -i"]);
}

#[test]
fn a_store_in_memory_is_advice() {
    let machine = Machine::new()
        .mounting("mkdir -p disk; mount -t tmpfs tmpfs disk\n")
        .with("store.path=disk/data");
    let (text, status) = machine.doctor();
    assert_eq!(status, Some(0), "{text}");
    assert!(
        text.contains("advice   disk sync: store.path is in memory (tmpfs)"),
        "{text}"
    );
}

#[test]
fn a_directory_that_is_mounted_for_reading_only() {
    let machine = Machine::new()
        .mounting("mkdir -p disk; mount --bind disk disk; mount -o remount,bind,ro disk\n")
        .with("store.path=disk/data");
    let words = ["disk/data cannot be written", "Read-only", "ReadWritePaths"];
    assert_refused(&machine, "store.path", &words);
}

#[test]
fn a_file_where_the_directory_should_be() {
    let machine = Machine::new().with("store.path=here/data");
    std::fs::write(machine.directory.path().join("here"), "").expect("the directory is writable");
    assert_refused(&machine, "store.path", &["Move the file away"]);
}

#[test]
fn a_core_that_is_not_there() {
    let machine = Machine::new().with("shards.cores=1023-1023");
    let words = ["the process may not run on core 1023"];
    assert_refused(&machine, "shards.cores", &words);
}

#[test]
fn a_port_that_somebody_listens_on() {
    // As the relay's own shards listen: any other socket that asks for it may share the port.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket can be made");
    rustix::net::sockopt::set_socket_reuseport(&socket, true).expect("Linux has SO_REUSEPORT");
    socket
        .bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .and_then(|()| socket.listen(1))
        .expect("the system finds a free port");
    let listener = TcpListener::from(socket);
    let port = listener.local_addr().expect("it is bound").port();
    let machine = Machine::new().with(&format!("listen.websocket=127.0.0.1:{port}"));
    let taken = format!("port {port} is taken");
    let words = [taken.as_str(), "another process listens on 127.0.0.1"];
    assert_refused(&machine, "listen.websocket", &words);
}

/// Ends with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn ports_of_the_relay_that_runs_here_are_no_fault() {
    let machine = Machine::new();
    let relay = machine.command(&["serve"]).stdout(Stdio::piped()).spawn();
    let mut relay = Running(relay.expect("the binary starts"));
    let mut line = String::new();
    BufReader::new(relay.0.stdout.take().expect("it is piped"))
        .read_line(&mut line)
        .expect("it says where it listens");
    let address = line.split(['=', ' ']).nth(2).expect("an address");
    let machine = machine.with(&format!("listen.websocket={address}"));
    let checks = machine.checks();
    drop(relay);
    let check = checks
        .iter()
        .find(|check| check["name"] == "listen.websocket");
    let seen = format!("{address} is taken, by the relay that runs here with this store");
    assert_eq!(check.expect("it was looked at")["seen"], seen);
    // To another store it is somebody else.
    let machine = machine.with("store.path=elsewhere");
    let relay = TcpListener::bind(address).expect("it is free again");
    assert_refused(&machine, "listen.websocket", &["is taken"]);
    drop(relay);
}

#[test]
fn a_key_set_that_cannot_be_reached() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("the system finds a free port");
    let address = nobody.local_addr().expect("it is bound");
    drop(nobody);
    let url = format!("http://{address}/keys");
    let machine = Machine::new()
        .with("auth.mode=jwt")
        .with(&format!("auth.jwks_url={url}"));
    let words = ["whose keys cannot be had", "refused", "curl -i http://127"];
    assert_refused(&machine, "auth.jwks_url", &words);
}

#[test]
fn a_list_of_revocations_that_cannot_be_read() {
    let machine = Machine::new()
        .with("auth.mode=jwt")
        .with("auth.jwt_secret_file=secret");
    let file = |name: &str, text: &str| {
        let path = machine.directory.path().join(name);
        std::fs::write(path, text).expect("the directory is writable");
    };
    std::fs::create_dir(machine.directory.path().join("data")).expect("it is writable");
    file(
        "secret",
        "a secret of more than thirty-two bytes, for tests",
    );
    file("data/revocations", "nonsense");
    assert_refused(
        &machine,
        "revocations",
        &["what was revoked cannot be read"],
    );
}

#[test]
fn a_backend_that_cannot_be_reached_is_advice() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("the system finds a free port");
    let address = nobody.local_addr().expect("it is bound");
    let machine = Machine::new()
        .with("auth.mode=webhook")
        .with(&format!("auth.webhook_url=http://{address}/who"));
    let (text, _) = machine.doctor();
    assert!(text.contains("ok       auth.webhook_url: "), "{text}");
    drop(nobody);
    let (text, status) = machine.doctor();
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("advice   auth.webhook_url: "), "{text}");
}

//! What is told to a service manager, and to whoever watches a container.

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::fixture::{Machine, finish, stderr, stdout};

/// Longer than any of this takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the relay tells how it is.
const SOCKET: &str = "notify";

fn service_manager(machine: &Machine) -> UnixDatagram {
    let path = machine.directory.path().join(SOCKET);
    let socket = UnixDatagram::bind(path).expect("the directory is writable");
    socket
        .set_read_timeout(Some(PATIENCE))
        .expect("a time that is not zero");
    socket
}

/// A relay that a service manager watches.
fn start(machine: &Machine, output: Stdio) -> Child {
    machine
        .command(&["serve"])
        .env("NOTIFY_SOCKET", machine.directory.path().join(SOCKET))
        .stdout(output)
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts")
}

fn next(socket: &UnixDatagram) -> String {
    let mut text = [0; 256];
    let length = socket.recv(&mut text).expect("the relay says something");
    String::from_utf8_lossy(&text[..length]).into_owned()
}

fn signal(child: &Child, signal: i32) {
    let pid = i32::try_from(child.id()).expect("process ids are small");
    // SAFETY: it sends a signal to our own child, which has not been waited for.
    unsafe { libc::kill(pid, signal) };
}

fn terminate(child: &Child) {
    signal(child, libc::SIGTERM);
}

#[test]
fn a_service_manager_is_told_when_it_serves_and_when_it_stops() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("the system finds a free port");
    let admin = nobody.local_addr().expect("it is bound");
    drop(nobody);
    let machine = Machine::new().with(&format!("listen.admin={admin}"));
    let socket = service_manager(&machine);

    let health = || finish(&mut machine.command(&["health"]));
    let before = health();
    assert_eq!(before.status.code(), Some(1));
    assert!(stderr(&before).contains("refused"), "{}", stderr(&before));

    let mut relay = start(&machine, Stdio::null());
    assert_eq!(next(&socket), "READY=1");
    let serving = health();
    assert_eq!(
        (stdout(&serving).as_str(), serving.status.code()),
        ("ready\n", Some(0))
    );
    terminate(&relay);
    assert_eq!(next(&socket), "STOPPING=1");
    // shutdown.timeout, and a minute for the store.
    assert_eq!(next(&socket), "EXTEND_TIMEOUT_USEC=65000000");
    let status = relay.wait().expect("it is our child");
    assert!(status.success(), "{status}");
}

#[test]
fn a_service_manager_is_told_how_long_an_announced_stop_takes() {
    let machine = Machine::new()
        .with("shutdown.pause=100ms")
        .with("shutdown.timeout=1h");
    let socket = service_manager(&machine);
    let mut relay = start(&machine, Stdio::null());
    assert_eq!(next(&socket), "READY=1");
    terminate(&relay);
    assert_eq!(next(&socket), "EXTEND_TIMEOUT_USEC=3660100000");
    assert_eq!(next(&socket), "STOPPING=1");
    let status = relay.wait().expect("it is our child");
    assert!(status.success(), "{status}");
}

#[test]
fn the_unit_waits_for_a_stop_as_it_is_by_default() {
    let unit = include_str!("../../tuning/corelay.service");
    let line = |name: &str| {
        let mut lines = unit.lines().filter_map(|line| line.split_once('='));
        lines.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    assert_eq!(line("Type"), Some("notify"));
    let seconds = line("TimeoutStopSec").and_then(|value| value.strip_suffix('s'));
    let seconds: u64 = seconds.and_then(|it| it.parse().ok()).expect("seconds");
    let shutdown = corelay::config::Shutdown::default();
    let takes = shutdown.pause.unwrap_or_default() + shutdown.timeout;
    assert!(
        Duration::from_secs(seconds) > takes,
        "a stop takes {takes:?}"
    );
}

#[test]
fn a_unit_that_kills_the_relay_amid_its_stop_is_advice() {
    let doctor = |kind: &str, pause: &str| {
        let machine = Machine::new().mounting("export PATH=\"$PWD:$PATH\"\n");
        let path = machine.directory.path().join("systemctl");
        let said = format!("LoadState=loaded\nType={kind}\nTimeoutStopUSec=1min");
        std::fs::write(&path, format!("#!/bin/sh\ncat <<END\n{said}\nEND\n"))
            .and_then(|()| std::fs::set_permissions(&path, Permissions::from_mode(0o755)))
            .expect("the directory is writable");
        machine.with(pause).doctor().0
    };
    let text = doctor("simple", "shutdown.pause=1min");
    let expected = "advice   stop timeout: corelay.service kills the relay 60s after it is told to stop, which may take 65s";
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("TimeoutStopSec=125"), "{text}");
    let text = doctor("notify", "shutdown.pause=1min");
    assert!(
        text.contains("ok       stop timeout: corelay.service is told"),
        "{text}"
    );
    let text = doctor("simple", "shutdown.pause=50s");
    assert!(
        text.contains("ok       stop timeout: corelay.service waits longer than 55s"),
        "{text}"
    );
}

#[test]
fn without_an_admin_address_there_is_no_health() {
    let output = finish(&mut Machine::new().command(&["health"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("listen.admin"),
        "{}",
        stderr(&output)
    );
}

/// Nobody reads what it says on standard output, which is a pipe without another end or a full disk.
#[test]
fn a_relay_serves_whoever_reads_its_first_line() {
    let full = std::fs::File::options().write(true).open("/dev/full");
    let full = full.expect("Linux has it");
    let (reader, closed) = std::io::pipe().expect("a pipe");
    drop(reader);
    for nobody in [Stdio::from(full), Stdio::from(closed)] {
        let machine = Machine::new();
        let socket = service_manager(&machine);
        let mut relay = start(&machine, nobody);
        assert_eq!(next(&socket), "READY=1");
        terminate(&relay);
        assert_eq!(next(&socket), "STOPPING=1");
        let status = relay.wait().expect("it is our child");
        assert!(status.success(), "{status}");
    }
}

#[test]
fn a_reload_that_is_asked_for_before_the_relay_serves_does_not_end_it() {
    let keys = TcpListener::bind("127.0.0.1:0").expect("the system finds a free port");
    let url = keys.local_addr().expect("it is bound");
    let machine = Machine::new()
        .with("auth.mode=jwt")
        .with(&format!("auth.jwks_url=http://{url}/"));
    let mut relay = machine
        .command(&["serve"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    // It waits for the keys.
    let (mut asker, _) = keys.accept().expect("the relay asks");
    signal(&relay, libc::SIGHUP);
    answer_with_key(&mut asker);
    let serving = std::thread::spawn(move || {
        // The reload asks again.
        let (mut asker, _) = keys.accept().expect("the relay asks");
        answer_with_key(&mut asker);
    });
    let stdout = relay.stdout.take().expect("it is piped");
    let line = BufReader::new(stdout).lines().next();
    let line = line.expect("it serves").expect("it is text");
    assert!(line.starts_with("listening "), "{line}");
    serving.join().expect("it was asked again");
    terminate(&relay);
    let status = relay.wait().expect("it is our child");
    assert!(status.success(), "{status}");
}

/// Answers a request with a key set, and ends the connection.
fn answer_with_key(asker: &mut TcpStream) {
    let key = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","alg":"EdDSA","use":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let mut request = [0; 4096];
    let length = asker.read(&mut request).expect("it sends its request");
    assert!(length > 0, "it sends its request");
    let length = key.len();
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    let answered = asker.write_all((head + key).as_bytes());
    answered.expect("the relay takes it");
}

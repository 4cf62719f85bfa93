//! What is told to a service manager, and to whoever watches a container.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::fixture::{Machine, finish, stderr, stdout};

/// Longer than any of this takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn next(socket: &UnixDatagram) -> String {
    let mut text = [0; 256];
    let length = socket.recv(&mut text).expect("the relay says something");
    String::from_utf8_lossy(&text[..length]).into_owned()
}

fn terminate(child: &Child) {
    let pid = i32::try_from(child.id()).expect("process ids are small");
    // SAFETY: it sends a signal to our own child, which has not been waited for.
    unsafe { libc::kill(pid, libc::SIGTERM) };
}

#[test]
fn a_service_manager_is_told_when_it_serves_and_when_it_stops() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("the system finds a free port");
    let admin = nobody.local_addr().expect("it is bound");
    drop(nobody);
    let machine = Machine::new().with(&format!("listen.admin={admin}"));
    let path = machine.directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("the directory is writable");
    socket
        .set_read_timeout(Some(PATIENCE))
        .expect("a time that is not zero");

    let health = || finish(&mut machine.command(&["health"]));
    let before = health();
    assert_eq!(before.status.code(), Some(1));
    assert!(stderr(&before).contains("refused"), "{}", stderr(&before));

    let mut relay = machine
        .command(&["serve"])
        .env("NOTIFY_SOCKET", &path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
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
    let path = machine.directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("the directory is writable");
    socket
        .set_read_timeout(Some(PATIENCE))
        .expect("a time that is not zero");
    let mut relay = machine
        .command(&["serve"])
        .env("NOTIFY_SOCKET", &path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
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

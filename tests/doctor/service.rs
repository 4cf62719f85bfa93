//! What is told to a service manager, and to whoever watches a container.

use std::net::TcpListener;
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
    let status = relay.wait().expect("it is our child");
    assert!(status.success(), "{status}");
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

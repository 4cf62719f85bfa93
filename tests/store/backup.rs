//! A backup of a relay that is at work, and a relay that is started on it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::common::Server;
use crate::common::api::Api;
use crate::common::client::Client;
use corelay::codec::wire::event;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::store_tool::{Ended, tool, verify};

const WRITERS: u64 = 3;
/// What is written last.
const END: &str = "\"end\"";

/// What was acknowledged of one log: by revision, what stands there.
type Acknowledged = Arc<Mutex<BTreeMap<u64, String>>>;

/// Writes to its log until it is told to stop, one batch at a time.
fn write(server: SocketAddr, number: u64, acknowledged: &Acknowledged, is_over: &AtomicBool) {
    let mut client = Client::over(crate::common::client::Socket::Tcp(
        crate::common::client::stream(server),
    ));
    client.hello(number + 1);
    let document = client.open(&format!("log-{number}")).document;
    let mut clock = 0;
    for client_seq in 1.. {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let long = "x".repeat((client_seq as usize * 37) % 3000);
        let words = [
            format!("\"{number} {clock} {long}\""),
            format!("\"{}\"", clock + 1),
        ];
        client.send(document, client_seq, clock, &[&words[0], &words[1]]);
        clock += 2;
        let first = client.ack(client_seq);
        let mut acknowledged = acknowledged.lock().unwrap();
        for (revision, word) in (first..).zip(words) {
            acknowledged.insert(revision, word);
        }
    }
}

/// Texts that are edited, named, deleted and brought back, over HTTP. What is certain of each stands in `done`.
fn edit(server: &Server, done: &Mutex<BTreeMap<String, Option<String>>>, is_over: &AtomicBool) {
    let mut api = Api::of(server);
    for round in 0_u64.. {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let name = format!("text-{round}");
        let path = format!("/v1/documents/{name}");
        let text = format!("Round {round} 🎉");
        api.put(&path, json!({"kind": "text", "text": text})).ok();
        api.post(&format!("{path}/versions"), json!({"name": "begun"}))
            .ok();
        let is_deleted = round % 3 == 0;
        if is_deleted {
            assert_eq!(api.request("DELETE", &path, "", "").status, 204);
        }
        done.lock()
            .unwrap()
            .insert(name, (!is_deleted).then_some(text));
    }
}

/// Hears every revision of a log after the one before it, and nothing else, until the end.
fn listen(server: &Server) {
    let mut reader = Client::tcp(server);
    reader.hello(99);
    reader.open("log-0");
    let mut next = 1;
    loop {
        match reader.next_event().expect("it stays open") {
            event::Body::RemoteOps(remote) => {
                assert_eq!(remote.revision, next);
                next += remote.operations.len() as u64;
                if remote.operations.iter().any(|operation| *operation == END) {
                    return;
                }
            }
            event::Body::Resync(resync) => panic!("{resync:?}"),
            event::Body::Error(error) => panic!("{error:?}"),
            _other => {}
        }
    }
}

/// However it ends, the writers stop.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// All operations of a log after a revision, as they stand.
fn operations(server: &Server, document: &str, mut since: u64) -> BTreeMap<u64, String> {
    let mut api = Api::of(server);
    let mut all = BTreeMap::new();
    loop {
        let path = format!("/v1/documents/{document}/operations?after={since}&limit=10000");
        let page = api.get(&path).ok();
        for entry in page["operations"].as_array().unwrap() {
            let revision = entry["revision"].as_u64().unwrap();
            all.insert(revision, entry["operation"].to_string());
        }
        match page["next"].as_u64() {
            Some(next) => since = next,
            None => return all,
        }
    }
}

/// `corelay store backup` of the relay, or of its store when it is gone.
fn back_up(server: &Server, to: &Path) -> Ended {
    let admin = format!("listen.admin={}", server.admin);
    let to = to.to_str().unwrap();
    tool("backup", &server.data(), &["--to", to, "--set", &admin])
}

#[test]
fn a_backup_under_load_has_all_that_was_acknowledged_and_nobody_notices() {
    let mut server = Server::spawn(&["shards.cores=2", "document.snapshot_operations=50"]);
    let backups = TempDir::new().unwrap();
    let to = backups.path().join("data");
    let is_over = AtomicBool::new(false);
    let logs: Vec<Acknowledged> = (0..WRITERS).map(|_| Arc::default()).collect();
    let texts = Mutex::new(BTreeMap::new());
    let (before, texts_before) = thread::scope(|scope| {
        let listens = scope.spawn(|| listen(&server));
        let before = thread::scope(|scope| {
            let _over = Over(&is_over);
            let tcp = server.tcp;
            for (number, log) in (0..).zip(&logs) {
                let is_over = &is_over;
                scope.spawn(move || write(tcp, number, log, is_over));
            }
            scope.spawn(|| edit(&server, &texts, &is_over));
            server.wait_for("some documents", || {
                let is_much = logs.iter().all(|log| log.lock().unwrap().len() > 600);
                (is_much && texts.lock().unwrap().len() > 30).then_some(())
            });
            let before: Vec<_> = logs.iter().map(|log| log.lock().unwrap().clone()).collect();
            let texts_before = texts.lock().unwrap().clone();
            let said = back_up(&server, &to).good();
            assert!(said.contains("documents with"), "{said}");
            (before, texts_before)
        });
        let mut last = Client::tcp(&server);
        last.hello(98);
        let document = last.open("log-0").document;
        last.send(document, 1, 0, &[END]);
        listens.join().expect("it has heard all");
        before
    });
    assert_eq!(server.metric("backpressure_closes_total"), 0);
    server.kill();

    let (is_sound, said) = verify(&to);
    assert!(is_sound, "{said}");
    let restored = Server::spawn_in(backups.path(), &[]);
    for (number, before) in before.iter().enumerate() {
        let found = operations(&restored, &format!("log-{number}"), 0);
        for (revision, word) in before {
            assert_eq!(
                found.get(revision),
                Some(word),
                "log {number} at {revision}"
            );
        }
        let newest = *found.keys().next_back().unwrap();
        assert_eq!(found.len() as u64, newest);
        // It goes on, where the one that was copied may have gone another way.
        let path = format!("/v1/documents/log-{number}/operations");
        let posted = Api::of(&restored).post(&path, json!({"operations": ["on"]}));
        assert_eq!(posted.ok()["firstRevision"], newest + 1);
    }
    let mut api = Api::of(&restored);
    for (name, text) in &texts_before {
        let content = api.get(&format!("/v1/documents/{name}/content"));
        match text {
            Some(text) => {
                assert_eq!(content.ok()["text"], *text);
                let versions = api.get(&format!("/v1/documents/{name}/versions")).ok();
                assert_eq!(versions["versions"][0]["name"], "begun");
            }
            None => assert!((400..500).contains(&content.status), "{name}: {content:?}"),
        }
    }
    // No client takes what it knew of the one for the other.
    let epoch = api.get("/v1/documents/log-0/operations").ok()["epoch"].clone();
    assert!(epoch.as_u64() > Some(1_700_000_000), "{epoch}");
}

#[test]
fn a_store_that_nobody_uses_is_copied_without_a_relay() {
    let directory = TempDir::new().unwrap();
    let mut server = Server::spawn_in(directory.path(), &[]);
    let mut api = Api::of(&server);
    api.put(
        "/v1/documents/poem",
        json!({"kind": "text", "text": "Roses are red"}),
    )
    .ok();
    server.terminate();
    server.wait();
    let (data, copy) = (server.data(), directory.path().join("copy"));
    back_up(&server, &copy).good();
    let export = |path: &Path| tool("export", path, &[]).good();
    assert_eq!(export(&copy), export(&data));
    let inspected: Value =
        serde_json::from_str(&tool("inspect", &copy, &["--json"]).good()).unwrap();
    assert_eq!(inspected["lastRun"], "none");
    // Never over what is there.
    let refused = back_up(&server, &copy);
    assert!(refused.error.contains("is there already"), "{refused:?}");
    assert_eq!(refused.code, Some(1));
}

#[test]
fn what_an_interrupted_backup_has_left_is_known_and_in_nobody_s_way() {
    let directory = TempDir::new().unwrap();
    let server = Server::spawn_in(directory.path(), &["store.backup_bytes_per_second=64 KiB"]);
    let mut client = Client::tcp(&server);
    client.hello(1);
    let document = client.open("log").document;
    let long = "x".repeat(900_000);
    for client_seq in 1..4 {
        client.send(document, client_seq, client_seq - 1, &[&long]);
        client.ack(client_seq);
    }
    let (to, unfinished) = (
        directory.path().join("copy"),
        directory.path().join("copy.unfinished"),
    );
    let mut asker = Command::new(env!("CARGO_BIN_EXE_corelay"))
        .args(["store", "backup", "--path"])
        .arg(server.data())
        .args(["--set", &format!("listen.admin={}", server.admin), "--to"])
        .arg(&to)
        .spawn()
        .unwrap();
    server.wait_for("its beginning", || unfinished.exists().then_some(()));
    // One at a time.
    let other = back_up(&server, &directory.path().join("other"));
    assert!(other.error.contains("another backup"), "{other:?}");
    asker.kill().unwrap();
    asker.wait().unwrap();
    server.wait_for_log("was given up");
    assert!(!to.exists() && !unfinished.exists());

    // As if the machine had stopped in the middle, and as if it were somebody else's.
    std::fs::create_dir(&unfinished).unwrap();
    std::fs::write(unfinished.join("lock"), "").unwrap();
    std::fs::write(directory.path().join("other.unfinished"), "a letter").unwrap();
    drop(client);
    drop(server);
    let copy = |to: &str| {
        let to = directory.path().join(to);
        let data = directory.path().join("data");
        tool("backup", &data, &["--to", to.to_str().unwrap()])
    };
    copy("copy").good();
    assert!(verify(&to).0);
    let refused = copy("other");
    assert_eq!(refused.code, Some(1), "{refused:?}");
}

#[test]
fn a_backup_goes_where_it_was_meant_to_and_never_into_the_store() {
    let directory = TempDir::new().unwrap();
    let mut server = Server::spawn_in(directory.path(), &[]);
    // As a shell completes it, with the directory there or not.
    let there = directory.path().join("there/");
    std::fs::create_dir(&there).unwrap();
    for to in [there, directory.path().join("new/")] {
        back_up(&server, &to).good();
        assert!(verify(&to).0);
    }
    let inside = [
        server.data().join("copy"),
        server.data().join("database/copy"),
    ];
    for to in &inside {
        let refused = back_up(&server, to);
        assert!(refused.error.contains("inside the store"), "{refused:?}");
    }
    server.kill();
    for to in &inside {
        let to = to.to_str().unwrap();
        let refused = tool("backup", &server.data(), &["--to", to]);
        assert!(refused.error.contains("inside the store"), "{refused:?}");
    }
    let mut names: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["data", "log", "new", "there"]);
}

#[test]
fn a_backup_leaves_room_and_tells_who_has_none() {
    let server = Server::spawn(&["store.backup_free_bytes_min=1000 GiB"]);
    let directory = TempDir::new().unwrap();
    let to = directory.path().join("copy");
    let refused = back_up(&server, &to);
    assert_eq!(refused.code, Some(1));
    assert!(refused.error.contains("MiB left"), "{refused:?}");
    let nowhere = back_up(&server, Path::new("/proc/nowhere/copy"));
    assert!(
        nowhere.error.contains("cannot be written to"),
        "{nowhere:?}"
    );
    let ask = |headers: &str, body: &str| {
        let length = body.len();
        let request = format!(
            "POST /backup HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        crate::common::http(server.admin, &request)
    };
    let json = "Content-Type: application/json\r\n";
    // A page in somebody's browser cannot say that it is JSON without being asked first.
    assert_eq!(ask("", "{\"to\": \"/tmp/x\"}").0, 415);
    assert_eq!(ask(json, "{\"to\": \"x\"}").0, 400);
    assert_eq!(ask(json, "{\"from\": \"/x\"}").0, 400);
    assert_eq!(ask(json, "{\"to\": \"/tmp/a\\nforged line\"}").0, 400);
    // It is none the worse for all that.
    let mut client = Client::tcp(&server);
    client.hello(1);
    let document = client.open("log").document;
    client.send(document, 1, 0, &["on"]);
    client.ack(1);
}

/// A file system of its own that is soon full. It goes when this is dropped.
struct Small(TempDir);

impl Small {
    /// `None`: this process may not mount any.
    fn mount() -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=12m", "none"])
            .arg(directory.path())
            .status();
        status
            .is_ok_and(|it| it.success())
            .then_some(Self(directory))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_ends_a_backup_and_not_the_relay() {
    let Some(small) = Small::mount() else {
        println!("not checked: it takes the right to mount a file system");
        return;
    };
    let settings = [
        "store.backup_free_bytes_min=1 MiB",
        "store.backup_bytes_per_second=1 GiB",
    ];
    let server = Server::spawn(&settings);
    let mut client = Client::tcp(&server);
    client.hello(1);
    let document = client.open("log").document;
    let mut seed = 1_u64;
    for client_seq in 1..30 {
        // What cannot be compressed.
        let long: String = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'!' + (seed >> 57) as u8 % 90)
        })
        .take(900_000)
        .collect();
        client.send(document, client_seq, client_seq - 1, &[&long]);
        client.ack(client_seq);
    }
    let to = small.0.path().join("copy");
    let refused = back_up(&server, &to);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let is_said = ["cannot be written to", "MiB left"].map(|it| refused.error.contains(it));
    assert!(is_said.contains(&true), "{refused:?}");
    assert!(!to.exists());
    client.send(document, 30, 29, &["on"]);
    client.ack(30);
    let elsewhere = TempDir::new().unwrap();
    back_up(&server, &elsewhere.path().join("copy")).good();
}

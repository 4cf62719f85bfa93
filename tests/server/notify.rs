//! Somebody is told what happens to documents, over real sockets: signed, in order for each document, at least once, also
//! when they fail for a while and the relay is killed meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use crate::common::Server;
use crate::common::client::Client;
use crate::common::receiver::{Notice, Receiver, SECRETS, settings};
use crate::common::store_tool::verify;
use corelay::codec::wire::{Delete, event, request};
use serde_json::{Value, json};

const AT_ONCE: Duration = Duration::ZERO;
/// Longer than the relay waits.
const NEVER: Duration = Duration::from_secs(600);

fn spawn(directory: &Path, address: SocketAddr, more: &[&str]) -> Server {
    let own = settings(address, directory, SECRETS[0]);
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    Server::spawn_in(directory, &[&own, more].concat())
}

fn client(server: &Server, number: u64) -> Client {
    let mut client = Client::tcp(server);
    client.hello(number);
    client
}

/// Writes so many batches of two operations to a document, as a client of that number, and leaves. Returns the revision of the
/// last.
fn write(server: &Server, number: u64, document: &str, batches: u64) -> u64 {
    let mut client = client(server, number);
    let handle = client.open(document).document;
    let mut revision = 0;
    for batch in 0..batches {
        client.send(handle, batch + 1, 2 * batch, &["one", "two"]);
        revision = client.ack(batch + 1) + 1;
    }
    revision
}

fn delete(client: &mut Client, document: &str, undo: bool) {
    client.request(request::Body::Delete(Delete {
        request_id: 1,
        document_id: document.to_owned(),
        undo,
        ..Delete::default()
    }));
    client.expect("the word that it is done", |event| {
        matches!(event, event::Body::Deleted(_)).then_some(())
    });
}

/// Waits until a document's notices, without repetitions, end in one of that type; returns all of them.
fn told_until(server: &Server, receiver: &Receiver, document: &str, last: &str) -> Vec<Notice> {
    server.wait_for(last, || {
        let mut told = receiver.taken();
        let mut ids = BTreeSet::new();
        told.retain(|notice| notice.document() == document && ids.insert(notice.id.clone()));
        (told.last()?.kind() == last).then_some(told)
    })
}

fn types(notices: &[Notice]) -> Vec<&str> {
    notices.iter().map(Notice::kind).collect()
}

#[test]
fn what_happens_to_a_document_is_told_once_and_in_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let receiver = Receiver::start();
    let server = spawn(directory.path(), receiver.address, &[]);
    let mut ann = client(&server, 1);
    let notes = ann.open("notes").document;
    told_until(&server, &receiver, "notes", "peers.joined");
    ann.send(notes, 1, 0, &["one", "two"]);
    ann.ack(1);
    told_until(&server, &receiver, "notes", "document.created");
    for batch in 1..5 {
        ann.send(notes, batch + 1, 2 * batch, &["more", "and more"]);
        ann.ack(batch + 1);
    }
    server.wait_for("the last of the changes", || {
        let is_last = |notice: &Notice| {
            notice.kind() == "document.changed" && notice.number("revision") == 10
        };
        receiver.taken().iter().any(is_last).then_some(())
    });
    drop(ann);
    told_until(&server, &receiver, "notes", "peers.left");
    let mut ben = client(&server, 2);
    delete(&mut ben, "notes", false);
    delete(&mut ben, "notes", true);
    let told = told_until(&server, &receiver, "notes", "document.restored");
    assert_eq!(types(&told[..2]), ["peers.joined", "document.created"]);
    let changes = &told[2..told.len() - 3];
    let mut revision = 2;
    for change in changes {
        assert_eq!(change.kind(), "document.changed");
        assert_eq!(change.number("fromRevision"), revision);
        revision = change.number("revision");
    }
    assert_eq!(revision, 10);
    let rest = &told[told.len() - 3..];
    let expected = ["peers.left", "document.deleted", "document.restored"];
    assert_eq!(types(rest), expected);
    assert_eq!(rest[1].number("revision"), 10);

    let created = &told[1].body;
    let time = created["timestamp"].as_str().expect("a time");
    assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
    let mut data = created["data"].clone();
    data.as_object_mut().expect("members").remove("sequence");
    let expected = json!({
        "id": told[1].id, "tenant": "", "document": "notes", "kind": "log", "fromRevision": 0, "revision": 2,
        "authors": ["user-1"],
    });
    assert_eq!(data, expected);
    let ids: BTreeSet<_> = receiver.notices().into_iter().map(|it| it.id).collect();
    assert_eq!(ids.len(), receiver.notices().len(), "each was sent once");
    let sent = receiver.notices().len() as u64;
    server.wait_for("the count", || {
        (server.metric("notices_sent_total") == sent).then_some(())
    });
    server.wait_for("the end", || {
        (server.metric("notices_queued") == 0).then_some(())
    });
}

#[test]
fn a_receiver_that_fails_for_a_while_is_told_everything_later() {
    let directory = tempfile::tempdir().expect("a directory");
    let address = {
        let nobody = TcpListener::bind("127.0.0.1:0").expect("a free port");
        nobody.local_addr().expect("it is bound")
    };
    let documents: Vec<String> = (0..5).map(|number| format!("document-{number}")).collect();
    let mut acknowledged: BTreeMap<&str, u64> = BTreeMap::new();
    let mut number = 0;
    let mut write_all = |server: &Server| {
        for document in &documents {
            number += 1;
            let revision = write(server, number, document, 3);
            acknowledged.insert(document, revision);
        }
    };

    // Nobody is there.
    let mut server = spawn(directory.path(), address, &[]);
    write_all(&server);
    server.wait_for("an attempt", || {
        (server.metric("notices_failed_total") > 2).then_some(())
    });
    write_all(&server);
    server.kill();
    let (is_well, verdict) = verify(&server.data());
    assert!(is_well, "{verdict}");
    // It is there, and cannot.
    let receiver = Receiver::start_at(address, 500);
    for status in [500, 429, 302, 404, 503] {
        receiver.answer(status, AT_ONCE);
        let mut server = spawn(directory.path(), address, &[]);
        write_all(&server);
        let before = receiver.notices().len();
        server.wait_for("an attempt", || {
            (receiver.notices().len() > before + 2).then_some(())
        });
        server.kill();
    }
    // It does not answer.
    receiver.answer(200, NEVER);
    let mut server = spawn(directory.path(), address, &[]);
    write_all(&server);
    server.wait_for("an attempt", || {
        (server.metric("notices_failed_total") > 2).then_some(())
    });
    assert_eq!(receiver.taken().len(), 0);
    receiver.answer(200, AT_ONCE);
    // It takes some, and the relay is killed again.
    server.wait_for("a notice", || (receiver.taken().len() > 3).then_some(()));
    server.kill();
    let server = spawn(directory.path(), address, &[]);
    write_all(&server);
    server.wait_for("everything", || {
        let is_told = |(document, revision): (&&str, &u64)| {
            let is_it = |notice: &Notice| {
                notice.document() == *document && notice.body["data"]["revision"] == *revision
            };
            receiver.taken().iter().any(is_it)
        };
        acknowledged.iter().all(is_told).then_some(())
    });

    let mut bodies: BTreeMap<String, Value> = BTreeMap::new();
    for notice in receiver.notices() {
        let mut body = notice.body;
        body["data"]["authors"].take();
        let first = bodies.entry(notice.id).or_insert_with(|| body.clone());
        assert_eq!(*first, body, "an id stands for one thing");
    }
    for document in &documents {
        let mut told = receiver.taken();
        told.retain(|notice| notice.document() == document);
        let mut ids = BTreeSet::new();
        let mut revision = 0;
        let mut sequence = 0;
        for notice in told.iter().filter(|notice| ids.insert(notice.id.clone())) {
            assert!(notice.number("sequence") > sequence, "in order");
            sequence = notice.number("sequence");
            let is_first = revision == 0;
            match notice.kind() {
                "document.created" if is_first => {}
                "document.changed" if !is_first => {}
                "peers.joined" | "peers.left" => continue,
                other => panic!("{other} after revision {revision}"),
            }
            assert_eq!(
                notice.number("fromRevision"),
                revision,
                "nothing is left out"
            );
            revision = notice.number("revision");
        }
        assert_eq!(revision, acknowledged[document.as_str()]);
    }
    server.wait_for_log("does not take what it is told");
}

#[test]
fn secrets_are_changed_one_after_the_other_while_it_runs() {
    let directory = tempfile::tempdir().expect("a directory");
    let receiver = Receiver::start();
    let server = spawn(directory.path(), receiver.address, &["notify.peers=off"]);
    let secrets = directory.path().join("secrets");
    write(&server, 1, "a", 1);
    told_until(&server, &receiver, "a", "document.created");
    std::fs::write(&secrets, SECRETS.join("\n")).expect("it is there");
    write(&server, 2, "b", 1);
    told_until(&server, &receiver, "b", "document.created");
    receiver.trust(SECRETS[1]);
    write(&server, 3, "c", 1);
    told_until(&server, &receiver, "c", "document.created");
    std::fs::write(&secrets, SECRETS[1]).expect("it is there");
    write(&server, 4, "d", 1);
    told_until(&server, &receiver, "d", "document.created");
    // What cannot be read changes nothing.
    std::fs::write(&secrets, "no secret").expect("it is there");
    write(&server, 5, "e", 1);
    told_until(&server, &receiver, "e", "document.created");
    server.wait_for_log("The secrets of before are used");
    let taken = receiver.taken();
    assert_eq!(receiver.notices().len(), taken.len(), "nobody was in doubt");
    assert!(taken.iter().all(|it| !it.kind().starts_with("peers.")));
}

#[test]
fn what_waits_is_bounded_and_what_is_lost_is_said() {
    let directory = tempfile::tempdir().expect("a directory");
    let receiver = Receiver::start();
    receiver.answer(500, AT_ONCE);
    let limits = ["notify.queue_max=16", "notify.peers=off"];
    let server = spawn(directory.path(), receiver.address, &limits);
    for number in 0..20 {
        write(&server, number, &format!("document-{number}"), 1);
    }
    server.wait_for("the loss", || {
        (server.metric("notices_lost_total") == 4).then_some(())
    });
    assert_eq!(server.metric("notices_queued"), 16);
    server.wait_for_log("are lost");
    receiver.answer(200, AT_ONCE);
    server.wait_for("the rest", || {
        (server.metric("notices_queued") == 0).then_some(())
    });
    let told: BTreeSet<_> = receiver
        .taken()
        .iter()
        .map(|it| it.document().to_owned())
        .collect();
    let expected: BTreeSet<_> = (0..16).map(|number| format!("document-{number}")).collect();
    assert_eq!(told, expected);
}

#[test]
fn peers_who_do_not_come_back_after_a_crash_have_left() {
    let directory = tempfile::tempdir().expect("a directory");
    let receiver = Receiver::start();
    let mut server = spawn(directory.path(), receiver.address, &[]);
    let mut ann = client(&server, 1);
    ann.open("unwritten");
    let mut ben = client(&server, 2);
    let handle = ben.open("written").document;
    ben.send(handle, 1, 0, &["one"]);
    ben.ack(1);
    for document in ["unwritten", "written"] {
        told_until(&server, &receiver, document, "peers.joined");
    }
    server.kill();
    let server = spawn(directory.path(), receiver.address, &[]);
    for document in ["unwritten", "written"] {
        let told = told_until(&server, &receiver, document, "peers.left");
        let kind = &told[told.len() - 1].body["data"]["kind"];
        let is_known = document == "written";
        assert_eq!(kind.as_str(), is_known.then_some("log"));
        let peers: Vec<_> = types(&told)
            .into_iter()
            .filter(|it| it.starts_with("peers"))
            .collect();
        assert_eq!(peers, ["peers.joined", "peers.left"]);
    }
}

#[test]
fn who_is_gone_is_sent_nothing_more_until_the_next_reload_or_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let receiver = Receiver::start();
    receiver.answer(410, AT_ONCE);
    let mut server = spawn(directory.path(), receiver.address, &["notify.peers=off"]);
    write(&server, 1, "a", 1);
    server.wait_for("the stop", || {
        (server.metric("notices_stopped") == 1).then_some(())
    });
    write(&server, 2, "b", 1);
    server.wait_for("what waits", || {
        (server.metric("notices_queued") == 2).then_some(())
    });
    assert_eq!(receiver.notices().len(), 1);
    server.wait_for_log("is gone (410)");
    receiver.answer(204, AT_ONCE);
    server.reload();
    server.wait_for("the rest", || {
        (server.metric("notices_sent_total") == 2).then_some(())
    });
    assert_eq!(server.metric("notices_stopped"), 0);
    receiver.answer(410, AT_ONCE);
    write(&server, 3, "c", 1);
    server.wait_for("the stop", || {
        (server.metric("notices_stopped") == 1).then_some(())
    });
    receiver.answer(204, AT_ONCE);
    server.terminate();
    server.wait();
    let server = spawn(directory.path(), receiver.address, &["notify.peers=off"]);
    server.wait_for("the rest", || {
        (server.metric("notices_sent_total") == 1).then_some(())
    });
}

/// The configuration of a relay that tells whoever is at this address, with one of the secrets.
fn configure(directory: &Path, address: SocketAddr, secret: &str, rest: &str) {
    let secrets = directory.join("secrets");
    std::fs::write(&secrets, secret).expect("the directory is there");
    let text = format!(
        "[notify]\nurl = \"http://{address}/told\"\nsecret_file = {secrets:?}\ndebounce = \"1 h\"\n\
         debounce_max = \"2 h\"\npeers_debounce = \"1 h\"\n{rest}"
    );
    std::fs::write(directory.join("corelay.toml"), text).expect("the directory is there");
}

#[test]
fn another_receiver_is_told_from_a_reload_on_and_of_what_waits() {
    let directory = tempfile::tempdir().expect("a directory");
    let [first, second] = [(); 2].map(|()| Receiver::start());
    first.answer(500, AT_ONCE);
    second.trust(SECRETS[1]);
    configure(directory.path(), first.address, SECRETS[0], "");
    let server = Server::spawn_in(directory.path(), &[]);
    let mut ann = client(&server, 1);
    let notes = ann.open("notes").document;
    ann.send(notes, 1, 0, &["one", "two"]);
    ann.ack(1);
    for number in 0..9 {
        write(&server, 2 + number, &format!("document-{number}"), 2);
    }
    server.wait_for("attempts", || (first.notices().len() >= 10).then_some(()));

    configure(directory.path(), second.address, "no secret", "");
    let log = server.reload();
    assert!(log.contains("line 1 does not begin with"), "{log}");
    assert!(log.contains("nothing has changed"), "{log}");
    assert!(second.notices().is_empty());

    let kept = "peers = \"off\"\nqueue_max = 20\n";
    configure(directory.path(), second.address, SECRETS[1], kept);
    let log = server.reload();
    let url = format!("notify.url: now \"http://{}/told\"", second.address);
    for line in [
        url.as_str(),
        "notify.peers: needs a restart (still \"on\")",
        "notify.queue_max: needs a restart (still 100000)",
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
    server.wait_for("what waited", || (second.taken().len() == 10).then_some(()));
    // How long a document has to be quiet is changed for those that are already waited for.
    let soon = "debounce = \"20 ms\"\npeers_debounce = \"20 ms\"\n";
    configure(directory.path(), second.address, SECRETS[1], "");
    let file = directory.path().join("corelay.toml");
    let text = std::fs::read_to_string(&file).expect("it was written");
    let text = text.replace("peers_debounce = \"1 h\"\n", "");
    std::fs::write(&file, text.replace("debounce = \"1 h\"\n", soon)).expect("it is there");
    server.reload();
    for number in 0..9 {
        let told = told_until(
            &server,
            &second,
            &format!("document-{number}"),
            "document.changed",
        );
        assert_eq!(types(&told), ["document.created", "document.changed"]);
        assert_eq!(told[0].number("revision"), told[1].number("fromRevision"));
    }
    let told = told_until(&server, &second, "notes", "peers.joined");
    assert_eq!(types(&told), ["document.created", "peers.joined"]);

    // Nobody at all: it is told as before until a restart.
    std::fs::write(&file, "").expect("it is there");
    let log = server.reload();
    let url = format!(
        "notify.url: needs a restart (still \"http://{}/told\")",
        second.address
    );
    assert!(log.contains(&url), "{log}");
    ann.send(notes, 2, 2, &["three"]);
    ann.ack(2);
    told_until(&server, &second, "notes", "document.changed");
    assert_eq!(
        (first.taken().len(), server.metric("notices_lost_total")),
        (0, 0)
    );
}

#[test]
fn a_secret_that_is_none_is_named_and_nothing_is_served() {
    let directory = tempfile::tempdir().expect("a directory");
    let address = SocketAddr::from(([127, 0, 0, 1], 9));
    let own = settings(address, directory.path(), "secret");
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    let refused = Server::try_spawn_in(directory.path(), &own);
    let log = refused.err().expect("it must not serve").log;
    assert!(log.contains("notify.secret_file"), "{log}");
    assert!(
        log.contains("line 1 does not begin with \"whsec_\""),
        "{log}"
    );
}

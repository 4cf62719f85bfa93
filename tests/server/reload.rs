//! SIGHUP: the relay reads its configuration again, and nobody who is connected notices more of it than was meant.

use std::path::Path;
use std::time::Duration;

use crate::common::backend::Backend;
use crate::common::client::{Client, connect, hello};
use crate::common::tokens::{self, greet};
use crate::common::{Server, http};
use corelay::codec::wire::{ErrorCode, event};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;
use tempfile::TempDir;

fn write(directory: &Path, name: &str, text: &str) {
    std::fs::write(directory.join(name), text).expect("there is room");
}

/// A secret of 32 bytes, and a token of ada that is signed with it.
fn secret(letter: char) -> String {
    letter.to_string().repeat(32)
}

fn token(letter: char) -> String {
    let key = EncodingKey::from_secret(secret(letter).as_bytes());
    encode(&Header::default(), &tokens::claims(json!({})), &key).expect("the key signs")
}

fn configuration(directory: &Path, rest: &str) {
    let secret = directory.join("secret");
    let auth = format!("[auth]\nmode = \"jwt\"\njwt_secret_file = {secret:?}\n");
    write(directory, "corelay.toml", &(auth + rest));
}

/// Sends one operation: whether it was taken.
fn writes(client: &mut Client, document: u64, clock: u64) -> Result<(), ErrorCode> {
    client.send(document, clock + 1, clock, &["more"]);
    client.expect("an answer", |event| match event {
        event::Body::Ack(_) => Some(Ok(())),
        event::Body::Nack(nack) => Some(Err(nack.code())),
        _other => None,
    })
}

#[test]
fn a_reload_changes_log_limits_and_keys_and_drops_nobody() {
    let directory = TempDir::new().expect("there is room");
    write(directory.path(), "secret", &secret('a'));
    configuration(directory.path(), "");
    let server = Server::spawn_in(directory.path(), &["shards.cores=2"]);
    let mut clients: Vec<_> = (0..60)
        .map(|number| {
            let mut client = match number % 2 {
                0 => Client::tcp(&server),
                _ => Client::websocket(&server, "/ws"),
            };
            greet(&mut client, number, &token('a')).expect("it is signed with the secret");
            let document = client.open(&format!("document-{}", number % 5)).document;
            assert_eq!(writes(&mut client, document, 0), Ok(()));
            (client, document)
        })
        .collect();
    assert_eq!(
        server.control("/log"),
        (200, "warn,corelay=info\n".to_owned())
    );

    write(directory.path(), "secret", &secret('b'));
    let rest = "[rate]\nconnection_operations_per_second = 1\nburst = \"1 s\"\n\
                [connection]\npong_timeout = \"2 min\"\n[log]\nfilter = \"corelay=debug\"\nformat = \"json\"\n";
    configuration(directory.path(), rest);
    let log = server.reload();
    let last: serde_json::Value =
        serde_json::from_str(log.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["fields"]["changed"], 5, "{log}");
    assert_eq!(server.control("/log"), (200, "corelay=debug\n".to_owned()));

    // Each is there still, and goes as fast as it may now: it has more than a minute's debt.
    for (client, document) in &mut clients {
        client.send(*document, 2, 1, &["more"; 100]);
        client.ack(2);
        assert_eq!(writes(client, *document, 101), Err(ErrorCode::RateLimited));
    }
    // Its keys are those of the file, whose name is the same.
    let mut refused = Client::tcp(&server);
    let error = greet(&mut refused, 101, &token('a')).expect_err("the secret is another one");
    assert_eq!(error.code(), ErrorCode::Unauthorized);
    let mut client = Client::tcp(&server);
    greet(&mut client, 102, &token('b')).expect("it is signed with the secret");
}

#[test]
fn a_secret_is_changed_for_another_and_nobody_is_refused_meanwhile() {
    let directory = TempDir::new().expect("there is room");
    write(directory.path(), "secret", &secret('a'));
    configuration(directory.path(), "");
    let server = Server::spawn_in(directory.path(), &["shards.cores=2"]);
    let accepts = |letter| greet(&mut Client::tcp(&server), 1, &token(letter)).is_ok();
    assert_eq!(['a', 'b'].map(accepts), [true, false]);
    let both = format!("{}\n{}\n", secret('a'), secret('b'));
    for (secrets, expected) in [(both, [true, true]), (secret('b'), [false, true])] {
        write(directory.path(), "secret", &secrets);
        server.reload();
        assert_eq!(['a', 'b'].map(accepts), expected, "{secrets}");
    }
}

#[test]
fn a_broken_file_changes_nothing_and_all_that_is_wrong_is_said() {
    let directory = TempDir::new().expect("there is room");
    write(directory.path(), "secret", &secret('a'));
    configuration(directory.path(), "[log]\nfilter = \"info\"\n");
    let server = Server::spawn_in(directory.path(), &[]);
    write(directory.path(), "secret", &secret('b'));
    let accepts = |letter| greet(&mut Client::tcp(&server), 1, &token(letter)).is_ok();
    let broken: [(&str, &[&str]); 5] = [
        (
            "[log]\nfilter = \"loud\"\n[connection]\ncuont_max = 3\nping_period = \"3 s\"\n",
            &[
                "line 5: log.filter",
                "line 7: there is no key connection.cuont_max",
                "did you mean connection.count_max?",
            ],
        ),
        ("[log\n", &["line 4: this is no TOML"]),
        (
            "[connection]\nping_period = \"2 min\"\n",
            &[
                "connection.pong_timeout must be more than connection.ping_period",
                "line 5",
            ],
        ),
        // Each fits the other in the file, and one of them needs a restart.
        (
            "[document]\nclients_max = 10\n[connection]\nmessage_bytes_max = \"4 KiB\"\ninflight_bytes_max = \"8 KiB\"\n[presence]\nbytes_max = 4096\n",
            &[
                "connection.inflight_bytes_max must be at least connection.message_bytes_max",
                "until a restart",
            ],
        ),
        (
            "jwt_secret_env = \"NOT_SET_AT_ALL\"\n",
            &["auth.jwt_secret_env"],
        ),
    ];
    for (rest, expected) in broken {
        configuration(directory.path(), rest);
        let log = server.reload();
        assert!(log.contains("nothing has changed"), "{log}");
        for part in expected {
            assert!(log.contains(part), "{part}: {log}");
        }
        assert!(accepts('a') && !accepts('b'), "{rest}");
        assert_eq!(server.control("/log").1, "info\n");
    }
    for missing in ["secret", "corelay.toml"] {
        let path = directory.path().join(missing);
        configuration(directory.path(), "");
        std::fs::remove_file(&path).expect("it is there");
        let log = server.reload();
        assert!(log.contains(&path.display().to_string()), "{log}");
        assert!(accepts('a'));
        write(directory.path(), "secret", &secret('b'));
    }
    configuration(directory.path(), "");
    server.reload();
    assert!(accepts('b') && !accepts('a'));
}

#[test]
fn what_needs_a_restart_is_named_and_stays() {
    let directory = TempDir::new().expect("there is room");
    write(directory.path(), "corelay.toml", "");
    let server = Server::spawn_in(directory.path(), &[]);
    write(
        directory.path(),
        "corelay.toml",
        "[listen]\ntcp = \"off\"\n[store]\npath = \"elsewhere\"\ndurability = \"never\"\n[shards]\ncores = 1000\n\
         [quota]\ndocuments_max = 1\n[document]\nclients_max = 5\nversions_max = 5\n[auth]\nmode = \"jwt\"\n\
         jwt_secret_env = \"HOME\"\n",
    );
    let log = server.reload();
    // The command line wins over the file, as at the start.
    assert!(
        !log.contains("listen.tcp") && !log.contains("store.path"),
        "{log}"
    );
    // A secret without a mode that asks for it is as wrong as at the start.
    assert!(
        log.contains("until a restart") && log.contains("nothing has changed"),
        "{log}"
    );
    write(
        directory.path(),
        "corelay.toml",
        "[store]\ndurability = \"never\"\n[quota]\ndocuments_max = 1\n[document]\nclients_max = 5\nversions_max = 5\n",
    );
    let log = server.reload();
    for line in [
        "store.durability: needs a restart (still \"always\")",
        "quota.documents_max: needs a restart (still \"off\")",
        "document.clients_max: needs a restart (still 65536)",
        "document.versions_max: now 5 (was 1000)",
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
    let mut client = Client::tcp(&server);
    client.hello(1);
    for document in ["one", "two"] {
        let document = client.open(document).document;
        assert_eq!(writes(&mut client, document, 0), Ok(()));
    }
}

#[test]
fn what_is_beside_the_shards_follows_too() {
    let directory = TempDir::new().expect("there is room");
    write(directory.path(), "corelay.toml", "");
    let server = Server::spawn_in(directory.path(), &["shards.cores=2"]);
    let mut client = Client::tcp(&server);
    client.hello(1);
    let page = |server: &Server| {
        let request =
            "GET / HTTP/1.1\r\nHost: relay\r\nAccept: text/html\r\nConnection: close\r\n\r\n";
        http(server.websocket, request).1.contains("<html")
    };
    let from_elsewhere = |server: &Server| {
        let origin = ("Origin", "https://elsewhere.example".to_owned());
        connect(server, "/ws", Some(origin)).err()
    };
    assert_eq!((page(&server), from_elsewhere(&server)), (true, None));
    let text = "[listen]\ndemo = \"off\"\norigins = \"https://app.example\"\n[connection]\nper_address_max = 2\n\
                [http]\nrequests_max = 1\nrequest_timeout = \"1 s\"\nbytes_max = \"300 MiB\"\n[shards]\nstall_after = \"1 s\"\n\
                [shutdown]\npause = \"10 min\"\ntimeout = \"6 s\"\n";
    write(directory.path(), "corelay.toml", text);
    let log = server.reload();
    assert!(log.contains("changed=9 need_restart=0"), "{log}");
    // The first client's connection counts, though addresses had no limit when it came, and one that was closed until
    // the relay has seen that.
    let place_for = |status: u16| (status != 429).then_some(status);
    server.wait_for("the page is gone", || (!page(&server)).then_some(()));
    let refused = server.wait_for("a place", || from_elsewhere(&server).and_then(place_for));
    assert_eq!(refused, 403);
    let second = server.wait_for("a place", || {
        let mut second = Client::tcp(&server);
        second.request(hello(2));
        matches!(second.next_event(), Some(event::Body::Connected(_))).then_some(second)
    });
    let mut third = Client::tcp(&server);
    third.request(hello(3));
    let refusal = third.expect("a refusal", |event| match event {
        event::Body::Error(error) => Some(error.code()),
        _other => None,
    });
    assert_eq!(refusal, ErrorCode::TooManyConnections);
    drop(second);
    let document = client.open("document").document;
    assert_eq!(writes(&mut client, document, 0), Ok(()));
}

#[test]
fn another_backend_is_asked_from_the_next_token_on() {
    let directory = TempDir::new().expect("there is room");
    let [first, second] = [(); 2].map(|()| Backend::start());
    let configure = |backend: &Backend, secret: &str| {
        write(directory.path(), "secret", secret);
        let file = directory.path().join("secret");
        let url = backend.url();
        let text = format!(
            "[auth]\nmode = \"webhook\"\nwebhook_url = \"{url}\"\nwebhook_secret_file = {file:?}\n"
        );
        write(directory.path(), "corelay.toml", &text);
    };
    for backend in [&first, &second] {
        backend.answer(200, json!({"sub": "ada"}));
    }
    configure(&first, "the first's");
    let server = Server::spawn_in(directory.path(), &[]);
    let mut stays = Client::tcp(&server);
    greet(&mut stays, 1, "a token").expect("the backend lets it in");
    configure(&second, "the second's");
    server.reload();
    let mut comes = Client::tcp(&server);
    greet(&mut comes, 1, "another token").expect("the backend lets it in");
    assert_eq!((first.requests().len(), second.requests().len()), (1, 1));
    let (headers, _) = second.requests().remove(0);
    assert_eq!(headers["authorization"], "Bearer the second's");
}

#[test]
fn a_stop_is_announced_before_it_begins() {
    let directory = TempDir::new().expect("there is room");
    write(
        directory.path(),
        "corelay.toml",
        "[shutdown]\npause = \"10 min\"\n",
    );
    let mut server = Server::spawn_in(directory.path(), &["shards.cores=2"]);
    let mut early = Client::websocket(&server, "/ws");
    early.hello(1);
    write(
        directory.path(),
        "corelay.toml",
        "[shutdown]\npause = \"5 s\"\n",
    );
    server.reload();
    server.terminate();
    server.wait_for("the announcement", || {
        (server.control("/readyz").0 == 503).then_some(())
    });
    // Whoever comes all the same is served as before.
    let mut late = Client::tcp(&server);
    late.hello(2);
    for client in [&mut early, &mut late] {
        let document = client.open("document").document;
        assert_eq!(writes(client, document, 0), Ok(()));
    }
    for mut client in [early, late] {
        client.expect("Goaway", |event| match event {
            event::Body::Goaway(goaway) => Some(goaway),
            event::Body::RemoteOps(_) => None,
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
}

#[test]
fn reloads_one_after_the_other_under_load_lose_nothing() {
    let directory = TempDir::new().expect("there is room");
    write(directory.path(), "corelay.toml", "");
    let server = Server::spawn_in(directory.path(), &["shards.cores=2"]);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|number| {
                let server = &server;
                scope.spawn(move || {
                    let mut client = Client::tcp(server);
                    client.hello(number);
                    let document = client.open(&format!("document-{}", number % 3)).document;
                    for clock in 0..300 {
                        assert_eq!(writes(&mut client, document, clock), Ok(()));
                    }
                })
            })
            .collect();
        let mut reloads = 0;
        while !writers
            .iter()
            .all(std::thread::ScopedJoinHandle::is_finished)
        {
            reloads += 1;
            let edges = ["\"off\"", "1", "2"][reloads % 3];
            let text = format!(
                "[fanout]\nedge_subscribers_min = {edges}\nring_slots = {}\n[presence]\nttl = \"{reloads} s\"\n",
                1000 + reloads
            );
            write(directory.path(), "corelay.toml", &text);
            server.reload();
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(reloads > 0);
    });
}

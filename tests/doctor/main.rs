//! The binary as its user meets it before anything is served: `serve --check`, refusals, what `doctor` says of machines
//! that lack something, and what a service manager and a container's watcher are told.

mod fixture;
mod host;
mod lacking;
mod service;

use corelay::config::{Config, Draft};
use fixture::{corelay, finish, stderr, stdout};

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
    assert_eq!(stdout(&output), include_str!("../../tuning/corelay.toml"));
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

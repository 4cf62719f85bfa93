//! Every example against a real relay, used as its readers use it.

mod common;
#[path = "common/terminal.rs"]
mod terminal;

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use common::{Server, http, tokens};
use serde_json::Value;
use terminal::{Conversation, Terminal};

/// The examples, which cargo does not build for a test.
fn built() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let test = std::env::current_exe().expect("it runs");
        let profile = test.ancestors().nth(2).expect("target/debug/deps/examples");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--examples", "--locked"]);
        if profile.ends_with("release") {
            build.arg("--release");
        }
        let status = build.status().expect("cargo runs");
        assert!(status.success(), "the examples are built");
        profile.join("examples")
    })
}

fn example(name: &str, server: &Server, arguments: &[&str]) -> Command {
    let mut command = Command::new(built().join(name));
    command.args(["--url", &format!("ws://{}", server.websocket)]);
    command.args(arguments);
    command
}

/// Where something stands on a screen: row and column.
fn place(screen: &vt100::Screen, symbol: &str) -> Option<(u16, u16)> {
    let (rows, columns) = screen.size();
    let mut places =
        (0..rows.get()).flat_map(|row| (0..columns.get()).map(move |column| (row, column)));
    places.find(|(row, column)| {
        let cell = screen.cell(*row, *column);
        cell.is_some_and(|cell| cell.contents() == symbol)
    })
}

#[test]
fn people_chat_and_who_comes_later_reads_what_was_said() {
    let directory = tempfile::TempDir::new().expect("there is room for a directory");
    let mut server = Server::spawn_in(directory.path(), &[]);
    let mut ada = Conversation::start(&mut example("chat", &server, &["Ada"]));
    ada.until_written("here: you");
    ada.say("Is anybody here?");
    ada.until_written("Ada: Is anybody here?");
    let mut bob = Conversation::start(&mut example("chat", &server, &["Bob"]));
    ada.until_written("Bob is here");
    bob.until_written("here: Ada, you");
    let heard = bob.output();
    assert!(heard.starts_with("Ada: Is anybody here?\n"), "{heard}");
    bob.say("I am \x1b[31mhere\x1b[0m");
    ada.until_written("Bob: I am [31mhere[0m");

    // While the relay is away what is said waits; it is said once.
    let address = format!("listen.websocket={}", server.websocket);
    server.kill();
    ada.until_written("the relay cannot be reached");
    ada.say("Are you still there?");
    ada.until_written("(waits) Are you still there?");
    let server = Server::spawn_in(directory.path(), &[&address]);
    bob.until_written("Ada: Are you still there?");
    bob.end();
    assert!(bob.wait().success());
    ada.until_written("Bob has left");
    ada.end();
    assert!(ada.wait().success());
    assert_eq!(ada.output().matches("Ada: Are you").count(), 1);

    // The history, for whoever only looks in.
    let mut late = Conversation::start(&mut example("chat", &server, &["Eve"]));
    late.end();
    assert!(late.wait().success());
    assert_eq!(
        late.output(),
        "Ada: Is anybody here?\nBob: I am [31mhere[0m\nAda: Are you still there?\nhere: you\n"
    );
}

#[test]
fn two_people_write_one_text_in_their_terminals() {
    let directory = tempfile::TempDir::new().expect("there is room for a directory");
    let mut server = Server::spawn_in(directory.path(), &[]);
    let mut ada = Terminal::start(&mut example("editor", &server, &["Ada"]), 12, 40);
    ada.until_shown("saved");
    ada.press("Once upon 𝄞 é\r\rthe end");
    ada.until_shown("the end");
    ada.until_shown("saved");
    let mut bob = Terminal::start(&mut example("editor", &server, &["Bob"]), 12, 40);
    bob.until_shown("the end  Ada");
    ada.until_shown("Once upon 𝄞 é  Bob");
    // Bob writes in front, and Ada's cursor stays where it is, behind her words.
    bob.press("Title\r");
    ada.until_shown("Title\n");
    ada.press("\x7f\x7f\x7fstart");
    bob.until_shown("the start  Ada");
    // Ada, two lines up and at their end, stands behind the last letter of a long line that is broken.
    ada.press("\x1b[A\x1b[A\x1b[F and a time, in a land far away");
    bob.until_shown("Once upon 𝄞 é and a time, in a land far");
    bob.until_shown("away  Ada");

    // They go on while the relay is away.
    let address = format!("listen.websocket={}", server.websocket);
    server.kill();
    ada.until_shown("offline");
    ada.press("!");
    ada.until_shown("offline, 1 edit waits");
    bob.press("by Bob\r");
    bob.until_shown("offline, 7 edits wait");
    let _server = Server::spawn_in(directory.path(), &[&address]);
    for screen in [&ada, &bob] {
        screen.until_shown("saved");
        screen.until_shown("Title\nby Bob\nOnce upon 𝄞 é and a time, in a land");
        screen.until_shown("away!");
    }
    for terminal in [&mut ada, &mut bob] {
        terminal.press("\x11");
        assert!(terminal.wait().success(), "{}", terminal.text());
    }
}

#[test]
fn a_bot_answers_in_the_text_and_leaves_the_rest_alone() {
    let server = Server::spawn(&[]);
    let bot = Conversation::start(&mut example("bot", &server, &[]));
    bot.until_written("reading novel");
    let mut ada = Terminal::start(&mut example("editor", &server, &["Ada"]), 12, 70);
    ada.until_shown("  bot");
    ada.press("# One\rtwo three\r@bot how many words?");
    ada.until_shown("saved");
    bot.until_written("reading novel");
    ada.press("\r");
    ada.until_shown("@bot how many words? — 3 words");
    ada.press("@bot what headings are there?\r@bot who is here?\r@bot why?\r");
    ada.until_shown("@bot what headings are there? — One");
    ada.until_shown("@bot who is here? — Ada");
    ada.until_shown("@bot why? — ask about");
    // Its answer is deleted, and given again.
    ada.press("\x1b[A\x1b[A\x1b[F\x7f\x7f\x7f\x7f\x7f\x7f");
    ada.until("a second answer", |_| {
        (bot.output().matches("who is here? — Ada").count() == 2).then_some(())
    });
    ada.until_shown("@bot who is here? — Ada");

    // Of two bots the newer one goes on.
    let mut bot = bot;
    let second = Conversation::start(&mut example("bot", &server, &[]));
    second.until_written("reading novel");
    assert!(!bot.wait().success());
    bot.until_written("REPLACED");
}

#[test]
fn people_see_where_the_others_are() {
    let server = Server::spawn(&[]);
    let mut ada = Terminal::start(&mut example("presence", &server, &["Ada"]), 13, 63);
    ada.until_shown("here: Ada");
    // Another terminal is of another size: her place is a part of the field.
    let mut bob = Terminal::start(&mut example("presence", &server, &["Bob"]), 23, 103);
    ada.until_shown("here: Ada, Bob");
    bob.until_shown("here: Bob, Ada");
    // To the upper left corner, by keys; to the lower right one, by mouse.
    ada.press(&"\x1b[D".repeat(40));
    ada.press(&"\x1b[A".repeat(20));
    bob.until("Ada in the corner", |screen| {
        (place(screen, "●") == Some((1, 1))).then_some(())
    });
    bob.press("\x1b[<35;102;21M");
    ada.until("Bob in the other corner", |screen| {
        let cell = screen.cell(10, 61)?;
        (cell.contents() == "●").then_some(())
    });
    bob.press("q");
    assert!(bob.wait().success());
    ada.until("the end of Bob", |screen| {
        (!screen.contents().contains("Bob")).then_some(())
    });
}

#[test]
fn a_backend_logs_people_in_and_the_relay_knows_them() {
    let directory = tempfile::TempDir::new().expect("there is room for a directory");
    let settings = tokens::settings(directory.path());
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let server = Server::spawn_in(directory.path(), &settings);
    let mut command = Command::new(built().join("token_backend"));
    let secret = directory.path().join("secret");
    command
        .arg("--secret-file")
        .arg(secret)
        .args(["--listen", "127.0.0.1:0"]);
    let backend = Conversation::start(&mut command);
    backend.until_written("log in at http://");
    let output = backend.output();
    let address = output.trim().rsplit('/').next().expect("an address");
    let address = address.parse().expect("an address");
    let (status, page) = http(
        address,
        "GET / HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n",
    );
    assert!(status == 200 && page.contains("<form method=\"post\" action=\"/login\">"));
    let log_in = |form: &str| {
        let length = form.len();
        http(
            address,
            &format!(
                "POST /login HTTP/1.1\r\nHost: b\r\nConnection: close\r\nContent-Length: {length}\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}"
            ),
        )
    };
    assert_eq!(log_in("user=ada&password=byron").0, 401);
    let token = |form: &str| {
        let (status, answer) = log_in(form);
        assert_eq!(status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        answer["token"].as_str().expect("a token").to_owned()
    };
    let ada = token("user=ada&password=lovelace");
    let guest = token("user=guest&password=guest");

    let mut ada = Conversation::start(&mut example("chat", &server, &["x", "--token", &ada]));
    ada.until_written("here: you");
    ada.say("only who is known");
    ada.until_written("only who is known");
    let mut looker = Conversation::start(&mut example("chat", &server, &["x", "--token", &guest]));
    looker.until_written("here: Ada, you");
    ada.until_written("a guest is here");
    looker.say("let me in");
    looker.until_written("not said: ");
    let refused = [vec![], vec!["--token", &guest, "--room", "team-a"]];
    for (arguments, code) in refused.iter().zip(["UNAUTHORIZED", "FORBIDDEN"]) {
        let mut refused = Conversation::start(&mut example("chat", &server, arguments));
        assert!(!refused.wait().success());
        refused.until_written(code);
    }
}

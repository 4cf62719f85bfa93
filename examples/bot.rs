//! A bot in a text: it answers the questions that people write there.
//!
//! ```console
//! $ cargo run --release -- serve
//! $ cargo run --example bot                         # in a second terminal
//! $ cargo run --example editor -- Ada               # in a third
//! ```
//!
//! In the editor write `@bot how many words?` and Enter: at the end of that line appears how many. It also knows the
//! `headings` (lines with `#`) and `who` is here. Undo its answer and it answers again; change it and it lets it be.
//!
//! Why it fights nobody: it writes only at the end of a line that asks for it, which no longer asks then; it never
//! deletes; and it does not follow the text with its own idea of it, but merges like everybody else. Its UUID is always
//! the same, so that of two that run one has to go: the relay knows them as one client.
//!
//! What to look at: a bot is an editor without a screen. [`TextDocument`] does the rest.

mod support;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use corelay::client::{Client, Cursor, Event, Presence, Roster, Selection, Settings, TextDocument};
use corelay::text::Operation;
use support::printable;

const CLIENT_UUID: &[u8; 16] = b"corelay's bot 01";
/// How long it waits for news before it looks whether something is to be sent.
const TURN: Duration = Duration::from_millis(50);

/// A bot that answers questions in a text.
#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, default_value = "ws://127.0.0.1:7400")]
    url: String,
    #[arg(long, default_value = "")]
    token: String,
    #[arg(long, default_value = "novel")]
    document: String,
}

fn main() -> ExitCode {
    support::ended(answer_questions(Arguments::parse()))
}

fn answer_questions(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let settings = Settings {
        client_uuid: *CLIENT_UUID,
        token: arguments.token,
        ..Settings::new("bot")
    };
    let mut client = Client::new(&arguments.url, settings)?;
    let mut text = TextDocument::open(client.session(), &arguments.document, true);
    client.session().announce(text.key(), presence_at(0));
    let mut here = Roster::default();
    let mut is_caught_up = false;
    loop {
        let now = client.now();
        text.poll(client.session(), now);
        let Some(event) = client.next_event(TURN) else {
            continue;
        };
        text.handle_event(&event, client.session())?;
        match event {
            Event::Synced { .. } => {
                is_caught_up = true;
                println!("reading {}", arguments.document);
            }
            Event::Disconnected { .. } => is_caught_up = false,
            Event::Presence {
                presences, full, ..
            } => {
                here.update(&presences, full);
            }
            Event::Stopped { refusal } | Event::Closed { refusal, .. } => {
                return Err(refusal.into());
            }
            _ => {}
        }
        if is_caught_up {
            answer_all(&mut client, &mut text, &here)?;
        }
    }
}

fn answer_all(
    client: &mut Client,
    text: &mut TextDocument,
    here: &Roster,
) -> Result<(), Box<dyn Error>> {
    while let Some(content) = text.text().map(ToString::to_string)
        && let Some((question, end)) = question_in(&content)
    {
        let answer = answer(question, &content, here);
        println!("{} — {answer}", printable(question));
        let now = client.now();
        text.edit(Operation::splice(end, 0, &format!(" — {answer}")), now)?;
        client.session().announce(text.key(), presence_at(end));
    }
    Ok(())
}

/// The first line that asks and is finished, and where it ends, in UTF-16 code units.
fn question_in(text: &str) -> Option<(&str, usize)> {
    let mut end = 0;
    text.split_inclusive('\n').find_map(|line| {
        end += line.encode_utf16().count();
        let question = line.strip_suffix('\n')?;
        let asks = question.starts_with("@bot ") && question.ends_with('?');
        asks.then_some((question, end - 1))
    })
}

/// It does not end with a question mark: an answer is no question.
fn answer(question: &str, text: &str, here: &Roster) -> String {
    let list = |of: Vec<String>| match of.is_empty() {
        true => "none".to_owned(),
        false => of.join(", "),
    };
    if question.contains("word") {
        let lines = text.lines().filter(|line| !line.starts_with("@bot "));
        let words = lines.flat_map(str::split_whitespace);
        let words = words.filter(|word| word.chars().any(char::is_alphanumeric));
        format!("{} words", words.count())
    } else if question.contains("heading") {
        let headings = text.lines().filter(|line| line.starts_with('#'));
        list(
            headings
                .map(|line| line.trim_start_matches('#').trim().to_owned())
                .collect(),
        )
    } else if question.contains("who") {
        list(
            here.iter()
                .map(|person| printable(&person.name).replace('?', ""))
                .collect(),
        )
    } else {
        "ask about words, headings, or who is here".to_owned()
    }
}

/// Others see where it wrote last.
fn presence_at(offset: usize) -> Presence {
    let cursor = Some(Cursor {
        offset: offset as u64,
        ..Cursor::default()
    });
    Presence {
        selection: Some(Selection {
            anchor: cursor.clone(),
            focus: cursor,
        }),
        ..Presence::default()
    }
}

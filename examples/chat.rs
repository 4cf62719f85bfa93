//! A chat room in the terminal: a document of kind `log`, each message one operation.
//!
//! ```console
//! $ cargo run --release -- serve
//! $ cargo run --example chat -- Ada                 # in a second terminal
//! $ cargo run --example chat -- Bob                 # in a third
//! ```
//!
//! Whoever comes reads what was said before, then who is here, then what is said. What you type is shown, to you and to
//! everybody else, when the relay has it on its disk. While the relay cannot be reached it waits, and is sent once when
//! it can. `/who` says who is here; Ctrl-D leaves. `--room` names another room.
//!
//! What to look at: [`Event::Remote`] is what others said, [`Event::Acknowledged`] what you did, both in one order that
//! is the same for everybody; [`Event::Synced`] is where the past ends.

mod support;

use std::error::Error;
use std::process::ExitCode;
use std::sync::mpsc::TryRecvError;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use corelay::client::{Client, DocumentKey, Event, OpenOptions, Presence, Roster};
use serde::{Deserialize, Serialize};
use support::{bold, dim, printable};

/// How long what is typed may wait for what is read.
const TURN: Duration = Duration::from_millis(50);

/// A chat room in the terminal.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    relay: support::Relay,
    #[arg(long, default_value = "lobby")]
    room: String,
}

/// One operation. The relay does not read it: it could as well be encrypted.
#[derive(Serialize, Deserialize)]
struct Message {
    /// Who says so. Of whoever is present the relay knows better.
    name: String,
    text: String,
}

fn main() -> ExitCode {
    support::ended(chat(Arguments::parse()))
}

fn chat(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let mut chat = Chat::enter(&arguments)?;
    let lines = support::lines();
    loop {
        match lines.try_recv() {
            Ok(line) => chat.say(&line)?,
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) if chat.is_done() => break,
            Err(TryRecvError::Disconnected) => {}
        }
        if let Some(event) = chat.client.next_event(TURN) {
            chat.show(event)?;
        }
    }
    chat.client.stop();
    Ok(())
}

struct Chat {
    client: Client,
    room: DocumentKey,
    name: String,
    here: Roster,
    is_offline: bool,
    /// The past has been read.
    is_caught_up: bool,
}

impl Chat {
    fn enter(arguments: &Arguments) -> Result<Self, Box<dyn Error>> {
        let mut client = arguments.relay.client()?;
        let room = client.session().open(OpenOptions {
            document: arguments.room.clone(),
            kind: "log".to_owned(),
            create: true,
            have: None,
        });
        client.session().announce(room, Presence::default());
        Ok(Self {
            client,
            room,
            name: arguments.relay.name.clone(),
            here: Roster::default(),
            is_offline: false,
            is_caught_up: false,
        })
    }

    fn say(&mut self, line: &str) -> Result<(), Box<dyn Error>> {
        support::take_back_echo();
        match line.trim() {
            "" => {}
            "/who" => self.tell_who(),
            text => {
                let message = Message {
                    name: self.name.clone(),
                    text: text.to_owned(),
                };
                let operation = Bytes::from(serde_json::to_vec(&message)?);
                let now = self.client.now();
                let taken = self.client.session().submit(self.room, operation, now);
                if let Err(why) = taken {
                    println!("{}", dim(&format!("not said: {why}")));
                } else if self.is_offline {
                    println!("{}", dim(&format!("(waits) {text}")));
                }
            }
        }
        Ok(())
    }

    fn show(&mut self, event: Event) -> Result<(), Box<dyn Error>> {
        match event {
            Event::Remote {
                origin, operations, ..
            } => {
                let known = self.here.get(origin).map(|person| person.name.as_str());
                operations
                    .iter()
                    .for_each(|operation| print(operation, known));
            }
            Event::Acknowledged { operations, .. } => {
                operations
                    .iter()
                    .for_each(|operation| print(operation, None));
            }
            Event::Synced { .. } if !self.is_caught_up => {
                self.is_caught_up = true;
                self.tell_who();
            }
            Event::Presence {
                presences, full, ..
            } => {
                let change = self.here.update(&presences, full);
                if self.is_caught_up {
                    let tell = |name: &str, what| println!("{}", dim(&format!("{name} {what}")));
                    (change.came.iter())
                        .for_each(|person| tell(&printable(&person.name), "is here"));
                    (change.left.iter())
                        .for_each(|person| tell(&printable(&person.name), "has left"));
                }
            }
            Event::Connected { .. } if self.is_offline => {
                self.is_offline = false;
                println!("{}", dim("connected again"));
            }
            Event::Disconnected { .. } if !self.is_offline => {
                self.is_offline = true;
                println!("{}", dim("the relay cannot be reached: what you say waits"));
            }
            // What the relay will never take: the words are given back, or the whole client is sent away.
            Event::Refused { refusal, .. } => {
                println!("{}", dim(&format!("not said: {}", refusal.message)))
            }
            Event::Stopped { refusal } | Event::Closed { refusal, .. } => {
                return Err(refusal.into());
            }
            _ => {}
        }
        Ok(())
    }

    fn tell_who(&self) {
        let mut names: Vec<_> = self
            .here
            .iter()
            .map(|person| printable(&person.name))
            .collect();
        names.push("you".to_owned());
        println!("{}", dim(&format!("here: {}", names.join(", "))));
    }

    /// Everything was read, and everything that was said is on the relay's disk.
    fn is_done(&mut self) -> bool {
        self.is_caught_up && self.client.session().pending_operations(self.room) == 0
    }
}

/// `known`: the name that the relay knows, of somebody who is here.
fn print(operation: &[u8], known: Option<&str>) {
    match serde_json::from_slice::<Message>(operation) {
        Ok(Message { name, text }) => {
            let name = printable(known.unwrap_or(&name));
            println!("{}: {}", bold(&name), printable(&text));
        }
        Err(_) => println!("{}", dim("(something that is no message)")),
    }
}

//! What the examples share: where the relay is and who you are, lines from the keyboard, and a little colour.
#![allow(dead_code, reason = "each example uses its own part")]

use std::error::Error;
use std::io::{IsTerminal, stdin, stdout};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver};

use clap::Args;
use corelay::client::{Client, EndpointError, Settings};

/// Where the relay is, and who you are there.
#[derive(Debug, Args)]
pub struct Relay {
    /// Your name, as others see it
    #[arg(default_value = "somebody")]
    pub name: String,
    /// Where the relay is: ws://HOST:PORT or tcp://HOST:PORT
    #[arg(long, default_value = "ws://127.0.0.1:7400")]
    pub url: String,
    /// For a relay that asks who you are; a name in it comes before yours
    #[arg(long, default_value = "")]
    pub token: String,
}

impl Relay {
    /// A client that has not been there before. It connects when it is driven.
    pub fn client(&self) -> Result<Client, EndpointError> {
        let settings = Settings {
            token: self.token.clone(),
            ..Settings::new(&self.name)
        };
        Client::new(&self.url, settings)
    }
}

/// How an example ends: where it failed, it says why.
pub fn ended(result: Result<(), Box<dyn Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// The lines that are typed, until the end of the input.
pub fn lines() -> Receiver<String> {
    let (typed, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in stdin().lines().map_while(Result::ok) {
            if typed.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

/// What somebody else wrote, without what a terminal would obey.
pub fn printable(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).collect()
}

/// As a terminal shows it less loudly.
pub fn dim(text: &str) -> String {
    painted("2", text)
}

pub fn bold(text: &str) -> String {
    painted("1", text)
}

fn painted(style: &str, text: &str) -> String {
    match stdout().is_terminal() {
        true => format!("\x1b[{style}m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}

/// Takes the line that was just typed from the screen: it comes back when it is said.
pub fn take_back_echo() {
    if stdin().is_terminal() && stdout().is_terminal() {
        print!("\x1b[1A\x1b[2K");
    }
}

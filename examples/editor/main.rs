//! A text that several people write at once, in the terminal: a document of kind `text`.
//!
//! ```console
//! $ cargo run --release -- serve
//! $ cargo run --example editor -- Ada               # in a second terminal
//! $ cargo run --example editor -- Bob               # in a third
//! ```
//!
//! Type: the other sees it, and where you are, in your colour and with your name. The last line says what is saved:
//! `saved` means that the relay has every word of yours on its disk, `saving…` that it does not yet, and while the relay
//! cannot be reached you go on writing and it catches up later. Ctrl-Q leaves. `--document` names another text.
//!
//! What to look at: [`TextDocument::edit`] takes what you type and [`TextDocument::handle_event`] gives what others did
//! to the text that you see; [`Operation::moved`] keeps everybody's cursor at its letter in between.

#[path = "../support/mod.rs"]
mod support;

mod page;
mod view;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use corelay::client::{Client, Cursor, Event, Presence, Roster, Selection, TextDocument};
use corelay::text::{Operation, Side};
use page::Page;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{
    self, Event as Input, KeyCode, KeyEvent, KeyEventKind, KeyModifiers,
};

/// How long what is typed may wait for what is read.
const TURN: Duration = Duration::from_millis(20);

/// A text that several people write at once.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    relay: support::Relay,
    #[arg(long, default_value = "novel")]
    document: String,
}

fn main() -> ExitCode {
    support::ended(edit(Arguments::parse()))
}

fn edit(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let mut editor = Editor::open(&arguments)?;
    let mut terminal = ratatui::init();
    let ended = editor.run(&mut terminal);
    ratatui::restore();
    editor.client.stop();
    ended
}

#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    Leave,
}

struct Editor {
    client: Client,
    text: TextDocument,
    document: String,
    name: String,
    /// In UTF-16 code units, as everywhere in a text.
    cursor: usize,
    here: Roster,
    /// Everything that the relay had has been read.
    is_caught_up: bool,
    /// How the text was laid out on the screen last.
    page: Page,
    first_row: usize,
}

impl Editor {
    fn open(arguments: &Arguments) -> Result<Self, Box<dyn Error>> {
        let mut client = arguments.relay.client()?;
        let text = TextDocument::open(client.session(), &arguments.document, true);
        let mut editor = Self {
            client,
            text,
            document: arguments.document.clone(),
            name: arguments.relay.name.clone(),
            cursor: 0,
            here: Roster::default(),
            is_caught_up: false,
            page: Page::default(),
            first_row: 0,
        };
        editor.tell_cursor();
        Ok(editor)
    }

    fn run(&mut self, terminal: &mut DefaultTerminal) -> Result<(), Box<dyn Error>> {
        loop {
            terminal.draw(|frame| self.draw(frame))?;
            while event::poll(Duration::ZERO)? {
                if self.handle_input(&event::read()?)? == Next::Leave {
                    return Ok(());
                }
            }
            self.turn()?;
        }
    }

    /// Sends what is due and takes in what has come.
    fn turn(&mut self) -> Result<(), Box<dyn Error>> {
        let mut wait = TURN;
        loop {
            let now = self.client.now();
            if let Some(change) = self.text.poll(self.client.session(), now) {
                self.move_cursors(&change, None);
            }
            let Some(event) = self.client.next_event(wait) else {
                return Ok(());
            };
            let author = match &event {
                Event::Remote { origin, .. } => Some(*origin),
                _ => None,
            };
            for change in self.text.handle_event(&event, self.client.session())? {
                self.move_cursors(&change, author);
            }
            match event {
                Event::Synced { .. } => self.is_caught_up = true,
                Event::Disconnected { .. } => self.is_caught_up = false,
                Event::Presence {
                    presences, full, ..
                } => {
                    self.here.update(&presences, full);
                }
                Event::Stopped { refusal } | Event::Closed { refusal, .. } => {
                    return Err(refusal.into());
                }
                _ => {}
            }
            wait = Duration::ZERO;
        }
    }

    /// Somebody, or the relay, has changed the text.
    fn move_cursors(&mut self, change: &Operation, author: Option<u64>) {
        self.cursor = change.moved(self.cursor, Side::Left);
        self.move_others(change, author);
    }

    /// But not the author's: where that is they say themselves, and maybe have already.
    fn move_others(&mut self, change: &Operation, author: Option<u64>) {
        let others = self.here.iter_mut();
        for person in others.filter(|person| Some(person.client_id) != author) {
            let selection = person.selection.iter_mut();
            let ends =
                selection.flat_map(|selection| [&mut selection.anchor, &mut selection.focus]);
            for end in ends.flatten() {
                let position = usize::try_from(end.offset).unwrap_or(usize::MAX);
                end.offset = change.moved(position, Side::Left) as u64;
            }
        }
    }

    fn handle_input(&mut self, input: &Input) -> Result<Next, Box<dyn Error>> {
        match input {
            Input::Key(key) if key.kind != KeyEventKind::Release => self.handle_key(*key),
            _ => Ok(Next::GoOn),
        }
    }

    fn handle_key(&mut self, key: KeyEvent) -> Result<Next, Box<dyn Error>> {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return Ok(match key.code {
                KeyCode::Char('q' | 'c') => Next::Leave,
                _ => Next::GoOn,
            });
        }
        let (row, column) = self.page.place(self.cursor);
        match key.code {
            KeyCode::Char(letter) => {
                self.replace(self.cursor, self.cursor, letter.encode_utf8(&mut [0; 4]))?
            }
            KeyCode::Enter => self.replace(self.cursor, self.cursor, "\n")?,
            KeyCode::Tab => self.replace(self.cursor, self.cursor, "    ")?,
            KeyCode::Backspace => self.replace(self.page.before(self.cursor), self.cursor, "")?,
            KeyCode::Delete => self.replace(self.cursor, self.page.after(self.cursor), "")?,
            KeyCode::Left => self.go(self.page.before(self.cursor)),
            KeyCode::Right => self.go(self.page.after(self.cursor)),
            KeyCode::Up if row > 0 => self.go(self.page.offset(row - 1, column)),
            KeyCode::Down => self.go(self.page.offset(row + 1, column)),
            KeyCode::Home => self.go(self.page.offset(row, 0)),
            KeyCode::End => self.go(self.page.offset(row, usize::MAX)),
            KeyCode::PageUp => self.go(self
                .page
                .offset(row.saturating_sub(view::PAGE_ROWS), column)),
            KeyCode::PageDown => self.go(self.page.offset(row + view::PAGE_ROWS, column)),
            _ => {}
        }
        Ok(Next::GoOn)
    }

    fn go(&mut self, offset: usize) {
        self.cursor = offset;
        self.tell_cursor();
    }

    /// The user's edit: what is from `start` to `end` becomes `words`.
    fn replace(&mut self, start: usize, end: usize, words: &str) -> Result<(), Box<dyn Error>> {
        let Some(text) = self.text.text() else {
            // Not opened yet: there is nothing to be edited.
            return Ok(());
        };
        let edit = Operation::splice(start, end - start, words);
        let now = self.client.now();
        debug_assert!(end <= text.len_utf16());
        self.text.edit(edit.clone(), now)?;
        self.move_others(&edit, None);
        self.go(start + words.encode_utf16().count());
        self.lay_out(self.page.width());
        Ok(())
    }

    fn lay_out(&mut self, width: usize) {
        let text = self.text.text().map(ToString::to_string);
        self.page = Page::new(&text.unwrap_or_default(), width);
    }

    fn tell_cursor(&mut self) {
        let here = Some(Cursor {
            offset: self.cursor as u64,
            ..Cursor::default()
        });
        let presence = Presence {
            selection: Some(Selection {
                anchor: here.clone(),
                focus: here,
            }),
            ..Presence::default()
        };
        let key = self.text.key();
        self.client.session().announce(key, presence);
    }
}

//! Who is where: everybody's cursor on one field in the terminal, moving. Nothing of it is kept.
//!
//! ```console
//! $ cargo run --release -- serve
//! $ cargo run --example presence -- Ada             # in a second terminal
//! $ cargo run --example presence -- Bob             # in a third
//! ```
//!
//! Move with the mouse or the arrow keys: the others see it at once, under your name and in your colour, at most ten
//! times a second. Who leaves (`q`) is gone from their field at once, whose machine dies after the TTL
//! (`presence.ttl`). Whoever is in the example `chat` is in the same room, and listed, but nowhere on the field.
//!
//! What to look at: [`Session::announce`](corelay::client::Session::announce) says where you are, as often as you like;
//! [`Event::Presence`] says where the others are, and [`Roster`] keeps what it said.

mod support;

use std::error::Error;
use std::io::stdout;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use corelay::client::{Client, DocumentKey, Event, OpenOptions, Presence, Roster, UserPresence};
use ratatui::crossterm::event::{self, Event as Input, KeyCode, KeyEventKind};
use ratatui::crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use ratatui::crossterm::execute;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::Block;
use ratatui::{DefaultTerminal, Frame};
use support::printable;

/// How long a movement of yours may wait for those of others.
const TURN: Duration = Duration::from_millis(20);

/// Everybody's cursor on one field.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    relay: support::Relay,
    #[arg(long, default_value = "lobby")]
    room: String,
}

fn main() -> ExitCode {
    support::ended(move_about(Arguments::parse()))
}

fn move_about(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let mut field = Field::enter(&arguments)?;
    let mut terminal = ratatui::init();
    let _ = execute!(stdout(), EnableMouseCapture);
    let ended = field.run(&mut terminal);
    let _ = execute!(stdout(), DisableMouseCapture);
    ratatui::restore();
    field.client.stop();
    ended
}

struct Field {
    client: Client,
    room: DocumentKey,
    name: String,
    here: Roster,
    color: Color,
    is_connected: bool,
    /// In cells of this terminal.
    me: (u16, u16),
    area: Rect,
}

impl Field {
    fn enter(arguments: &Arguments) -> Result<Self, Box<dyn Error>> {
        let mut client = arguments.relay.client()?;
        let room = client.session().open(OpenOptions {
            document: arguments.room.clone(),
            kind: "log".to_owned(),
            create: true,
            have: None,
        });
        Ok(Self {
            client,
            room,
            name: arguments.relay.name.clone(),
            here: Roster::default(),
            color: Color::Reset,
            is_connected: false,
            me: (0, 0),
            area: Rect::default(),
        })
    }

    fn run(&mut self, terminal: &mut DefaultTerminal) -> Result<(), Box<dyn Error>> {
        terminal.draw(|frame| self.draw(frame))?;
        self.go_to(
            self.area.x + self.area.width / 2,
            self.area.y + self.area.height / 2,
        );
        loop {
            terminal.draw(|frame| self.draw(frame))?;
            while event::poll(Duration::ZERO)? {
                let (x, y) = self.me;
                match event::read()? {
                    Input::Mouse(mouse) => self.go_to(mouse.column, mouse.row),
                    Input::Key(key) if key.kind != KeyEventKind::Release => match key.code {
                        KeyCode::Left => self.go_to(x.saturating_sub(1), y),
                        KeyCode::Right => self.go_to(x + 1, y),
                        KeyCode::Up => self.go_to(x, y.saturating_sub(1)),
                        KeyCode::Down => self.go_to(x, y + 1),
                        KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                        _ => {}
                    },
                    _ => {}
                }
            }
            if let Some(event) = self.client.next_event(TURN) {
                self.handle(event)?;
            }
        }
    }

    fn handle(&mut self, event: Event) -> Result<(), Box<dyn Error>> {
        match event {
            Event::Presence {
                presences, full, ..
            } => {
                self.here.update(&presences, full);
            }
            Event::Opened { color, .. } => {
                self.color = Color::from_str(&color).unwrap_or_default();
                self.is_connected = true;
            }
            Event::Disconnected { .. } => self.is_connected = false,
            Event::Stopped { refusal } | Event::Closed { refusal, .. } => {
                return Err(refusal.into());
            }
            _ => {}
        }
        Ok(())
    }

    /// Moves there, or to the edge, and says so: as parts of the field, since others' are of another size.
    fn go_to(&mut self, x: u16, y: u16) {
        let area = self.area;
        self.me = (
            x.clamp(area.x, area.right().saturating_sub(1)),
            y.clamp(area.y, area.bottom().saturating_sub(1)),
        );
        let part = |at: u16, length: u16| {
            let part = f64::from(at) / f64::from(length.max(2) - 1);
            Bytes::from(format!("{part:.4}"))
        };
        let presence = Presence {
            fields: [
                ("x".to_owned(), part(self.me.0 - area.x, area.width)),
                ("y".to_owned(), part(self.me.1 - area.y, area.height)),
            ]
            .into(),
            ..Presence::default()
        };
        self.client.session().announce(self.room, presence);
    }

    /// Where somebody is on this terminal, if they say so.
    fn place(&self, person: &UserPresence) -> Option<(u16, u16)> {
        let part = |name: &str| {
            let part: f64 = std::str::from_utf8(person.fields.get(name)?)
                .ok()?
                .parse()
                .ok()?;
            Some(part.clamp(0.0, 1.0))
        };
        let cell = |part: f64, length: u16| (part * f64::from(length.max(1) - 1)).round() as u16;
        let (x, y) = (part("x")?, part("y")?);
        Some((
            self.area.x + cell(x, self.area.width),
            self.area.y + cell(y, self.area.height),
        ))
    }

    fn draw(&mut self, frame: &mut Frame) {
        let layout = Layout::vertical([Constraint::Min(3), Constraint::Length(1)]);
        let [field, below] = layout.areas(frame.area());
        let block = Block::bordered().border_style(Style::new().dim());
        self.area = block.inner(field);
        frame.render_widget(block, field);
        for person in self.here.iter() {
            if let Some(place) = self.place(person) {
                self.draw_cursor(frame, place, &printable(&person.name), color(person));
            }
        }
        self.draw_cursor(frame, self.me, &self.name, self.color);
        frame.render_widget(self.list(), below);
    }

    fn draw_cursor(&self, frame: &mut Frame, (x, y): (u16, u16), name: &str, color: Color) {
        let cursor = Line::from_iter([Span::raw("●").fg(color), format!(" {name}").fg(color)]);
        let inside = Rect::new(x, y, cursor.width() as u16, 1).intersection(self.area);
        frame.render_widget(cursor, inside);
    }

    fn list(&self) -> Line<'static> {
        if !self.is_connected {
            return Line::from("connecting…".yellow());
        }
        let mut line = Line::from_iter(["here: ".dim(), self.name.clone().fg(self.color)]);
        for person in self.here.iter() {
            line.push_span(Span::raw(", "));
            line.push_span(printable(&person.name).fg(color(person)));
        }
        line.push_span("   arrows or mouse move, q leaves".dim());
        line
    }
}

/// Everybody has a colour from the relay.
fn color(person: &UserPresence) -> Color {
    Color::from_str(&person.color).unwrap_or_default()
}

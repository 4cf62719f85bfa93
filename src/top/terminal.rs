//! The terminal: taken, shown in, and given back on every way out.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::Arguments;
use super::screen;
use super::view::View;
use super::watch::{History, answers};

/// So long a key, a signal or news may wait.
const TURN: Duration = Duration::from_millis(50);

/// Why it ended.
pub enum End {
    /// Somebody pressed a key.
    Wanted,
    /// The exit status of whoever is ended by this signal.
    Signal(u8),
}

/// # Errors
///
/// The terminal cannot be used any more.
pub fn run(arguments: &Arguments) -> io::Result<End> {
    let signal = Arc::new(AtomicUsize::new(0));
    for number in [SIGINT, SIGTERM, SIGHUP] {
        let value = usize::try_from(number).expect("signals have positive numbers");
        signal_hook::flag::register_usize(number, Arc::clone(&signal), value)?;
    }
    let answers = answers(&arguments.admin, arguments.interval)?;
    // It also gives the terminal back when something panics.
    let mut terminal = ratatui::try_init()?;
    let end = watch(&mut terminal, arguments, &answers, &signal);
    ratatui::try_restore()?;
    end
}

fn watch(
    terminal: &mut DefaultTerminal,
    arguments: &Arguments,
    answers: &crossbeam_channel::Receiver<Result<crate::overview::Overview, String>>,
    signal: &AtomicUsize,
) -> io::Result<End> {
    let (mut history, mut view) = (History::default(), View::default());
    let mut is_new = true;
    loop {
        while let Ok(answer) = answers.try_recv() {
            history.take(answer);
            is_new = true;
        }
        if is_new {
            terminal.draw(|frame| screen::draw(frame, &arguments.admin, &history, &view))?;
            is_new = false;
        }
        if let Ok(number @ 1..) = u8::try_from(signal.load(Ordering::Relaxed)) {
            return Ok(End::Signal(128 + number));
        }
        if !event::poll(TURN)? {
            continue;
        }
        is_new = true;
        match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                let change = history.change();
                if !view.press(key, history.newest(), change.as_ref()) {
                    return Ok(End::Wanted);
                }
            }
            _other => {}
        }
    }
}

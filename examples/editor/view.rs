//! How the editor looks: a title, the text with everybody's cursors, and what is saved.

use std::str::FromStr;

use corelay::client::UserPresence;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};

use super::Editor;
use super::support::printable;

/// How far PageUp and PageDown go.
pub const PAGE_ROWS: usize = 20;

impl Editor {
    pub fn draw(&mut self, frame: &mut Frame) {
        let layout = Layout::vertical([
            Constraint::Length(2),
            Constraint::Min(1),
            Constraint::Length(1),
        ]);
        let [title, text, state] = layout.areas(frame.area());
        frame.render_widget(self.title(), title);
        self.draw_text(frame, text);
        frame.render_widget(self.state(), state);
    }

    fn title(&self) -> Line<'_> {
        let mut line = Line::from_iter([
            self.document.as_str().bold(),
            "  ".into(),
            self.name.as_str().into(),
            " (you)".dim(),
        ]);
        for person in self.here.iter() {
            line.push_span(Span::raw("  "));
            line.push_span(Span::styled(printable(&person.name), color(person)));
        }
        line
    }

    fn state(&mut self) -> Line<'static> {
        let waiting = self.text.pending_operations();
        let state = match (self.is_caught_up, waiting) {
            (true, 0) => "saved".green(),
            (true, _) => "saving…".yellow(),
            (false, _) if self.text.text().is_none() => "connecting…".yellow(),
            (false, 0) => "offline".red(),
            (false, 1) => "offline, 1 edit waits".red(),
            (false, many) => format!("offline, {many} edits wait").red(),
        };
        Line::from_iter([state, "   Ctrl-Q leaves".dim()])
    }

    fn draw_text(&mut self, frame: &mut Frame, area: Rect) {
        // A cursor may stand behind the last column's letter.
        self.lay_out(usize::from(area.width).saturating_sub(1).max(1));
        let (row, column) = self.page.place(self.cursor);
        let rows = usize::from(area.height);
        self.first_row = self.first_row.clamp((row + 1).saturating_sub(rows), row);
        let visible = self.page.rows.iter().skip(self.first_row).take(rows);
        let mut others: Vec<(usize, usize, &UserPresence)> = Vec::new();
        for person in self.here.iter() {
            if let Some(offset) = focus(person) {
                let (row, column) = self.page.place(offset);
                others.push((row, column, person));
            }
        }
        for (y, (number, row)) in (area.y..).zip((self.first_row..).zip(visible)) {
            let mut line = Line::default();
            line.extend(row.cells.iter().map(|cell| Span::raw(cell.symbol.as_str())));
            frame.render_widget(&line, Rect::new(area.x, y, area.width, 1));
            let mut end = area.x + row.width() as u16 + 1;
            for (_, column, person) in others.iter().filter(|(row, ..)| *row == number) {
                let place = (area.x + *column as u16, y);
                if let Some(cell) = frame.buffer_mut().cell_mut(place) {
                    cell.set_style(Style::new().bg(color(person)).fg(Color::White));
                }
                let name = format!(" {}", printable(&person.name));
                let label = Span::styled(name, Style::new().fg(color(person)).italic());
                let width = (label.width() as u16).min(area.width);
                // Behind the row, or where that is full, over its end.
                let start = end.min(area.right() - width);
                frame.render_widget(&label, Rect::new(start, y, width, 1));
                end = start + width;
            }
        }
        let y = area.y + (row - self.first_row) as u16;
        frame.set_cursor_position((area.x + column as u16, y));
    }
}

/// Where somebody is in the text.
fn focus(person: &UserPresence) -> Option<usize> {
    let focus = person.selection.as_ref()?.focus.as_ref()?;
    usize::try_from(focus.offset).ok()
}

/// Everybody has a colour from the relay.
fn color(person: &UserPresence) -> Color {
    Color::from_str(&person.color).unwrap_or(Color::Gray)
}

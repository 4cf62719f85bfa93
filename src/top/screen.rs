//! How it stands on the screen, whatever its size.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{
    Block, Borders, Cell, Paragraph, Row, Sparkline, Table as Grid, TableState,
};

use super::figure;
use super::tables::{self, Table};
use super::view::View;
use super::watch::History;
use crate::overview::{Change, Overview};

const ACCENT: Color = Color::Cyan;
/// From here on two tables stand beside each other.
const WIDE: u16 = 130;
/// From here on there is room for lines over time.
const HIGH: u16 = 30;
const LINES_HEIGHT: u16 = 5;
/// Between two columns.
const SPACING: u16 = 2;
/// A longer name is cut off where there is no room.
const NAME_WIDTH_MAX: u16 = 28;
/// The table of latencies needs no more.
const LATENCIES_WIDTH: u16 = 58;

pub fn draw(frame: &mut Frame, admin: &str, history: &History, view: &View) {
    let area = frame.area();
    let lines_height = if area.height >= HIGH { LINES_HEIGHT } else { 0 };
    let [head, figures, lines, body, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(2),
        Constraint::Length(lines_height),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(title(admin, history), head);
    frame.render_widget(help(view), keys);
    let Some(overview) = history.newest() else {
        return;
    };
    let change = history.change();
    draw_figures(frame, figures, overview, change.as_ref());
    draw_lines(frame, lines, history);
    draw_tables(frame, body, overview, change.as_ref(), view);
}

fn title(admin: &str, history: &History) -> Line<'static> {
    let mut words = vec![Span::from("corelay").bold().fg(ACCENT)];
    if let Some(overview) = history.newest() {
        words.push(format!(" {}", figure::name(&overview.version)).into());
    }
    words.push(format!("  {}  ", figure::name(admin)).into());
    words.push(match (&history.silence, history.newest()) {
        (Some(why), _) => Span::from(format!("● no answer: {}", figure::name(why))).red(),
        (None, None) => "● looking".yellow(),
        (None, Some(overview)) if overview.state == "ready" => "● ready".green(),
        (None, Some(overview)) => {
            Span::from(format!("● {}", figure::name(&overview.state))).yellow()
        }
    });
    Line::from(words)
}

fn help(view: &View) -> Line<'static> {
    let order = view.order.name();
    let text = format!("q quit   s sort shards (by {order})   ↑↓ choose a shard   a all");
    Line::from(text).dim()
}

fn draw_figures(frame: &mut Frame, area: Rect, overview: &Overview, change: Option<&Change>) {
    let mut lines = vec![Line::default()];
    let mut width = 0;
    for (name, value) in tables::summary(overview, change) {
        let taken = value.chars().count() + 1 + name.len() + 3;
        if width + taken > usize::from(area.width) {
            lines.push(Line::default());
            width = 0;
        }
        width += taken;
        let line = lines.last_mut().expect("there is one");
        line.push_span(Span::from(value).bold());
        line.push_span(Span::from(format!(" {name}   ")).dim());
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn draw_lines(frame: &mut Frame, area: Rect, history: &History) {
    let halves: [Rect; 2] = Layout::horizontal([Constraint::Fill(1); 2])
        .spacing(2)
        .areas(area);
    let shown = [
        (
            "Operations/s",
            history.lately(|change| change.operations_per_second),
        ),
        (
            "Deliveries/s",
            history.lately(|change| change.deliveries_per_second),
        ),
    ];
    for (half, (name, values)) in halves.into_iter().zip(shown) {
        let newest = values.len().saturating_sub(usize::from(half.width));
        let values = &values[newest..];
        let most = values.iter().max().copied().unwrap_or(0);
        let title = format!("{name}, up to {}", figure::whole(most));
        let line = Sparkline::default()
            .data(values)
            .style(Style::new().fg(ACCENT));
        frame.render_widget(line.block(block(title)), half);
    }
}

fn draw_tables(
    frame: &mut Frame,
    area: Rect,
    overview: &Overview,
    change: Option<&Change>,
    view: &View,
) {
    let rows = view.rows(overview, change);
    let place = view
        .chosen
        .and_then(|chosen| rows.iter().position(|(shard, _)| shard.shard == chosen));
    let shards = tables::shards(&rows, &overview.silent_shards);
    let latencies = tables::latencies(change, view);
    let lists = [
        tables::hottest(overview, view),
        tables::slowest(overview, view),
    ];
    let height = |table: &Table| {
        u16::try_from(table.rows.len())
            .unwrap_or(u16::MAX)
            .saturating_add(2)
    };
    let areas: [Rect; 4] = if area.width >= WIDE {
        // A table of many shards leaves the others half of the screen.
        let upper = height(&shards)
            .max(height(&latencies))
            .min(area.height.div_ceil(2));
        let [upper, lower] =
            Layout::vertical([Constraint::Length(upper), Constraint::Fill(1)]).areas(area);
        let [left, right] =
            Layout::horizontal([Constraint::Fill(1), Constraint::Length(LATENCIES_WIDTH)])
                .spacing(2)
                .areas(upper);
        let [below_left, below_right] = Layout::horizontal([Constraint::Fill(1); 2])
            .spacing(2)
            .areas(lower);
        [left, right, below_left, below_right]
    } else {
        let [hot, slow] = lists.each_ref().map(height);
        Layout::vertical([
            Constraint::Length(height(&shards).min(area.height.div_ceil(3).max(3))),
            Constraint::Length(height(&latencies)),
            Constraint::Max(hot.max(3)),
            Constraint::Max(slow.max(3)),
        ])
        .areas(area)
    };
    draw_table(frame, areas[0], &shards, place);
    draw_table(frame, areas[1], &latencies, None);
    for (area, list) in areas[2..].iter().zip(&lists) {
        draw_table(frame, *area, list, None);
    }
}

fn draw_table(frame: &mut Frame, area: Rect, table: &Table, chosen: Option<usize>) {
    let block = block(table.title.clone());
    if table.rows.is_empty() {
        frame.render_widget(Paragraph::new(table.empty).dim().block(block), area);
        return;
    }
    let widths = fitting(table, area.width);
    let cell = |(column, word): (usize, &str)| {
        let alignment = if column == 0 {
            Alignment::Left
        } else {
            Alignment::Right
        };
        Cell::new(Line::from(word.to_owned()).alignment(alignment))
    };
    let shown = widths.len();
    let head = table.head.iter().take(shown).copied();
    let head = Row::new(head.enumerate().map(cell)).dim();
    let rows = table.rows.iter().map(|row| {
        let words = row.iter().take(shown).map(String::as_str);
        Row::new(words.enumerate().map(cell))
    });
    let grid = Grid::new(rows, widths)
        .header(head)
        .column_spacing(SPACING)
        .row_highlight_style(Style::new().fg(ACCENT).bold().reversed())
        .block(block);
    frame.render_stateful_widget(grid, area, &mut TableState::new().with_selected(chosen));
}

/// The widths of as many columns as there is room for. The first takes what the others leave.
fn fitting(table: &Table, width: u16) -> Vec<Constraint> {
    let widest = |column: usize| {
        let words = table.rows.iter().filter_map(|row| row.get(column));
        let widest = words.map(|word| word.chars().count()).max().unwrap_or(0);
        let widest = widest.max(table.head[column].chars().count());
        u16::try_from(widest).unwrap_or(u16::MAX)
    };
    let mut taken = widest(0).min(NAME_WIDTH_MAX);
    let mut widths = vec![Constraint::Fill(1)];
    for column in 1..table.head.len() {
        let wanted = widest(column).min(NAME_WIDTH_MAX);
        taken = taken.saturating_add(SPACING + wanted);
        if taken > width {
            break;
        }
        widths.push(Constraint::Length(wanted));
    }
    widths
}

fn block(title: String) -> Block<'static> {
    Block::new()
        .borders(Borders::TOP)
        .border_style(Style::new().dim())
        .title(Span::from(title + " ").bold())
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::overview::example;

    #[test]
    fn a_screen_may_have_any_size() {
        for (width, height) in [(1, 1), (20, 5), (7, 40), (80, 24), (131, 3), (200, 60)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a screen");
            let mut history = History::default();
            let mut draw = |history: &History, chosen| {
                let view = View {
                    chosen,
                    ..View::default()
                };
                let drawn =
                    terminal.draw(|frame| super::draw(frame, "127.0.0.1:1", history, &view));
                drawn.expect("it is drawn");
            };
            draw(&history, None);
            for second in 1..=3 {
                let shards = (0..40).map(|shard| example::shard(shard, 900 * second, second));
                history.take(Ok(example::overview(
                    2000 * second,
                    shards.collect(),
                    second,
                )));
                draw(&history, None);
                draw(&history, Some(30));
            }
            history.take(Err("it is gone".to_owned()));
            draw(&history, Some(99));
        }
    }
}

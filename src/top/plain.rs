//! One reading as plain text.

use super::figure::name;
use super::tables::{self, Table};
use super::view::View;
use crate::overview::{Change, Overview};

/// So many of the slowest and the hottest.
const LINES_MAX: usize = 10;

/// `change`: what the relay did until then, unless it was restarted meanwhile.
pub fn text(overview: &Overview, change: Option<&Change>) -> String {
    let view = View::default();
    let (version, state) = (name(&overview.version), name(&overview.state));
    let mut text = format!("corelay {version}: {state}\n\n");
    for (what, value) in tables::summary(overview, change) {
        text += &format!("{what:18} {value}\n");
    }
    let rows = view.rows(overview, change);
    let tables = [
        tables::shards(&rows, &overview.silent_shards),
        tables::latencies(change, &view),
        tables::hottest(overview, &view),
        tables::slowest(overview, &view),
    ];
    for (index, table) in tables.iter().enumerate() {
        let is_list = index >= 2;
        text += &format!("\n{}\n", table.title);
        text += &lines(table, if is_list { LINES_MAX } else { usize::MAX });
    }
    text
}

fn lines(table: &Table, count_max: usize) -> String {
    if table.rows.is_empty() {
        return format!("{}\n", table.empty);
    }
    let head = table.head.iter().map(|word| (*word).to_owned()).collect();
    let shown = table.rows.iter().take(count_max);
    let lines: Vec<&Vec<String>> = std::iter::once(&head).chain(shown).collect();
    let width = |column: usize| {
        let widths = lines.iter().filter_map(|line| line.get(column));
        widths.map(|word| word.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (column, (word, width)) in line.iter().zip(&widths).enumerate() {
            match column {
                0 => row += &format!("{word:width$}"),
                _ => row += &format!("  {word:>width$}"),
            }
        }
        text += row.trim_end();
        text.push('\n');
    }
    text
}

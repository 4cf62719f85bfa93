//! A text as it stands on the screen: in rows, each character with its place in the text. A character is what a reader
//! takes for one, of however many code points.

use ratatui::style::Style;
use ratatui::text::Span;

/// One character of a row.
pub struct Cell {
    /// Where it begins in the text, in UTF-16 code units.
    pub offset: usize,
    pub symbol: String,
    /// In columns of the screen, at least 1.
    pub width: usize,
}

/// What stands beside each other, up to the end of a line or to where it had to be broken.
#[derive(Default)]
pub struct Row {
    pub cells: Vec<Cell>,
    /// Where its line goes on, or ends.
    pub end: usize,
    /// Its line goes on in the next row.
    is_broken: bool,
}

pub struct Page {
    /// One at least.
    pub rows: Vec<Row>,
    width: usize,
}

impl Default for Page {
    fn default() -> Self {
        Self::new("", usize::MAX)
    }
}

impl Page {
    pub fn new(text: &str, width: usize) -> Self {
        let mut page = Self {
            rows: vec![Row::default()],
            width,
        };
        for piece in text.split_inclusive(char::is_control) {
            let words = piece.trim_end_matches(char::is_control);
            for grapheme in Span::raw(words).styled_graphemes(Style::new()) {
                page.push(grapheme.symbol);
            }
            match &piece[words.len()..] {
                "" => {}
                "\n" => page.rows.push(Row::starting(page.end() + 1)),
                _control => page.push("·"),
            }
        }
        page
    }

    /// The next character.
    fn push(&mut self, symbol: &str) {
        let width = Span::raw(symbol).width().max(1);
        let offset = self.end();
        let mut row = self.rows.last_mut().expect("there is one");
        if row.width() + width > self.width {
            row.is_broken = true;
            self.rows.push(Row::starting(offset));
            row = self.rows.last_mut().expect("it was pushed");
        }
        row.end = offset + symbol.encode_utf16().count();
        row.cells.push(Cell {
            offset,
            symbol: symbol.to_owned(),
            width,
        });
    }

    fn end(&self) -> usize {
        self.rows.last().expect("there is one").end
    }

    pub fn width(&self) -> usize {
        self.width
    }

    /// Row and column of an offset.
    pub fn place(&self, offset: usize) -> (usize, usize) {
        let row = self.rows.partition_point(|row| row.start() <= offset) - 1;
        let before = self.rows[row]
            .cells
            .iter()
            .filter(|cell| cell.offset < offset);
        (row, before.map(|cell| cell.width).sum())
    }

    /// The offset of what stands at a place, or nearest before it.
    pub fn offset(&self, row: usize, column: usize) -> usize {
        let row = &self.rows[row.min(self.rows.len() - 1)];
        let mut end = 0;
        let cell = row.cells.iter().find(|cell| {
            end += cell.width;
            end > column
        });
        match cell.or(row.cells.last().filter(|_| row.is_broken)) {
            Some(cell) => cell.offset,
            None => row.end,
        }
    }

    /// Where the character before an offset begins.
    pub fn before(&self, offset: usize) -> usize {
        let starts = self.starts().take_while(|start| *start < offset);
        starts.last().unwrap_or(0)
    }

    /// Where the character after an offset begins.
    pub fn after(&self, offset: usize) -> usize {
        self.starts()
            .find(|start| *start > offset)
            .unwrap_or(offset)
    }

    /// Where a cursor can be.
    fn starts(&self) -> impl Iterator<Item = usize> {
        self.rows.iter().flat_map(|row| {
            let cells = row.cells.iter().map(|cell| cell.offset);
            cells.chain([row.end])
        })
    }
}

impl Row {
    fn starting(offset: usize) -> Self {
        Self {
            end: offset,
            ..Self::default()
        }
    }

    /// In columns of the screen.
    pub fn width(&self) -> usize {
        self.cells.iter().map(|cell| cell.width).sum()
    }

    pub fn start(&self) -> usize {
        self.cells.first().map_or(self.end, |cell| cell.offset)
    }
}

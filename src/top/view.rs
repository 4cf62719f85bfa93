//! What somebody has chosen to see: the order of the shards, and one of them.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::overview::{Change, Overview, Shard, ShardChange};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Number,
    Busy,
    Operations,
    Deliveries,
    Connections,
}

impl Order {
    fn next(self) -> Self {
        match self {
            Self::Number => Self::Busy,
            Self::Busy => Self::Operations,
            Self::Operations => Self::Deliveries,
            Self::Deliveries => Self::Connections,
            Self::Connections => Self::Number,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Busy => "busy",
            Self::Operations => "operations",
            Self::Deliveries => "deliveries",
            Self::Connections => "connections",
        }
    }
}

/// A shard as it is, and what it did if that is known.
pub type Row<'a> = (&'a Shard, Option<&'a ShardChange>);

#[derive(Debug)]
pub struct View {
    pub order: Order,
    /// Only this shard's documents, connections and latencies are shown.
    pub chosen: Option<usize>,
}

impl Default for View {
    fn default() -> Self {
        Self {
            order: Order::Number,
            chosen: None,
        }
    }
}

impl View {
    /// The shards in their order.
    pub fn rows<'a>(&self, overview: &'a Overview, change: Option<&'a Change>) -> Vec<Row<'a>> {
        let shards = overview.shards.iter();
        let mut rows: Vec<Row> = shards
            .map(|shard| (shard, change.and_then(|change| change.shard(shard.shard))))
            .collect();
        let key = |(shard, change): &Row| match (self.order, change) {
            (Order::Number, _) => 0.0,
            (Order::Connections, _) => shard.connections as f64,
            (Order::Busy | Order::Operations | Order::Deliveries, None) => 0.0,
            (Order::Busy, Some(change)) => change.busy_share,
            (Order::Operations, Some(change)) => change.operations_per_second,
            (Order::Deliveries, Some(change)) => change.deliveries_per_second,
        };
        rows.sort_by(|one, other| key(other).total_cmp(&key(one)));
        rows
    }

    pub fn shows(&self, shard: usize) -> bool {
        self.chosen.is_none_or(|chosen| chosen == shard)
    }

    /// False: it is enough.
    pub fn press(
        &mut self,
        key: KeyEvent,
        overview: Option<&Overview>,
        change: Option<&Change>,
    ) -> bool {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('q') => return false,
            KeyCode::Char('c') if is_control => return false,
            KeyCode::Char('s') => self.order = self.order.next(),
            KeyCode::Char('a') | KeyCode::Esc => self.chosen = None,
            KeyCode::Down | KeyCode::Char('j') => self.choose(1, overview, change),
            KeyCode::Up | KeyCode::Char('k') => self.choose(-1, overview, change),
            _other => {}
        }
        true
    }

    /// The next one in the order that is shown, or the one before; all of them lie between the last and the first.
    fn choose(&mut self, step: isize, overview: Option<&Overview>, change: Option<&Change>) {
        let Some(overview) = overview else { return };
        let rows = self.rows(overview, change);
        let numbers: Vec<usize> = rows.iter().map(|(shard, _)| shard.shard).collect();
        let chosen = |number| numbers.iter().position(|one| *one == number);
        // 0 is all of them.
        let place = self.chosen.and_then(chosen).map_or(0, |index| index + 1);
        let count = numbers.len() as isize + 1;
        let next = (place as isize + step).rem_euclid(count) as usize;
        self.chosen = next.checked_sub(1).map(|index| numbers[index]);
    }
}

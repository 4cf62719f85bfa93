//! The text format of Prometheus, and OpenMetrics, which differs in little.

use std::fmt::{Display, Write as _};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A number: its name without its prefix and without what its kind adds, what it means, and what it is.
pub type Described = (&'static str, &'static str, Kind, Value);

#[derive(Clone, Copy)]
pub enum Value {
    Whole(u64),
    /// In microseconds; told in seconds.
    Micros(u64),
}

impl Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(value) => value.fmt(f),
            Self::Micros(micros) => seconds(*micros).fmt(f),
        }
    }
}

pub fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

pub fn counter(name: &'static str, help: &'static str, value: u64) -> Described {
    (name, help, Kind::Counter, Value::Whole(value))
}

pub fn gauge(name: &'static str, help: &'static str, value: u64) -> Described {
    (name, help, Kind::Gauge, Value::Whole(value))
}

/// The text, as far as it is written.
pub struct Page {
    is_open: bool,
    text: String,
}

impl Page {
    pub fn new(is_open: bool) -> Self {
        Self {
            is_open,
            text: String::new(),
        }
    }

    pub fn finish(mut self) -> String {
        if self.is_open {
            self.text += "# EOF\n";
        }
        self.text
    }

    /// What the following samples are. OpenMetrics has the name of a counter without its `_total` there.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let (kind, suffix) = match kind {
            Kind::Counter if self.is_open => ("counter", ""),
            Kind::Counter => ("counter", "_total"),
            Kind::Gauge => ("gauge", ""),
            Kind::Histogram => ("histogram", ""),
        };
        self.line(format_args!("# HELP {name}{suffix} {help}"));
        self.line(format_args!("# TYPE {name}{suffix} {kind}"));
    }

    fn line(&mut self, line: impl Display) {
        writeln!(self.text, "{line}").expect("a string takes everything");
    }

    pub fn sample(&mut self, name: &str, kind: Kind, labels: &str, value: impl Display) {
        let suffix = if kind == Kind::Counter { "_total" } else { "" };
        self.line(format_args!("{name}{suffix}{labels} {value}"));
    }

    pub fn alone(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, kind, "", value);
    }

    /// Numbers by themselves.
    pub fn numbers(&mut self, prefix: &str, numbers: impl IntoIterator<Item = Described>) {
        for (name, help, kind, value) in numbers {
            self.alone(&format!("{prefix}{name}"), kind, help, value);
        }
    }

    /// One histogram of a family. `labels` are those besides `le`, as in `shard="0"`; `buckets` are upper bounds, the last
    /// of them infinite, and how many values are up to each.
    pub fn histogram(
        &mut self,
        name: &str,
        labels: &str,
        buckets: impl Iterator<Item = (f64, u64)>,
        sum: f64,
    ) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut count = 0;
        for (bound, up_to) in buckets {
            let le = match bound.is_finite() {
                true => format!("{bound:?}"),
                false => "+Inf".to_owned(),
            };
            self.line(format_args!(
                "{name}_bucket{{{labels}{comma}le=\"{le}\"}} {up_to}"
            ));
            count = up_to;
        }
        let labels = match labels {
            "" => String::new(),
            labels => format!("{{{labels}}}"),
        };
        self.line(format_args!("{name}_sum{labels} {sum}"));
        self.line(format_args!("{name}_count{labels} {count}"));
    }
}

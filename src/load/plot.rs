//! Plots as SVG, to be put into a page. They take their colours from it: `--line-0`, `--line-1`, …

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 64.0;
/// Half of the longest label below, `99.9999 %`, which stands in the middle under its place.
const RIGHT: f64 = 36.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 34.0;

/// One direction of a plot: the range, and where it has labels.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    pub min: f64,
    pub max: f64,
    pub ticks: Vec<(f64, String)>,
}

#[derive(Debug, Clone)]
pub(super) struct Series {
    pub name: String,
    /// Series of one colour belong together.
    pub colour: usize,
    pub is_dashed: bool,
    /// In the units of the axes, with what is said of each point.
    pub points: Vec<(f64, f64, String)>,
}

impl Axis {
    /// From 0, with a handful of round steps.
    pub fn linear(max: f64) -> Self {
        let max = if max > 0.0 { max } else { 1.0 };
        let magnitude = 10_f64.powf((max / 5.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|step| step * magnitude)
            .into_iter()
            .find(|step| max / step <= 6.0)
            .unwrap_or(10.0 * magnitude);
        let steps = (max / step).ceil() as usize;
        let ticks = (0..=steps).map(|at| (at as f64 * step, short(at as f64 * step)));
        Self {
            min: 0.0,
            max: steps as f64 * step,
            ticks: ticks.collect(),
        }
    }

    /// Decades of microseconds, labelled as times. The points are decimal logarithms.
    pub fn times(log_min: f64, log_max: f64) -> Self {
        let (min, max) = (log_min.floor(), log_max.ceil().max(log_min.floor() + 1.0));
        let decades = min as i32..=max as i32;
        let ticks = decades.map(|log| (f64::from(log), time(10_f64.powi(log))));
        Self {
            min,
            max,
            ticks: ticks.collect(),
        }
    }

    fn share(&self, at: f64) -> f64 {
        ((at - self.min) / (self.max - self.min)).clamp(0.0, 1.0)
    }
}

/// 1500 as 1.5 k.
pub(super) fn short(number: f64) -> String {
    let (scaled, unit) = match number.abs() {
        1e6.. => (number / 1e6, " M"),
        1e3.. => (number / 1e3, " k"),
        _ => (number, ""),
    };
    let digits = if scaled.fract() == 0.0 || scaled >= 100.0 {
        0
    } else if scaled >= 10.0 {
        1
    } else {
        2
    };
    format!("{scaled:.digits$}{unit}")
}

/// Microseconds in the unit that suits them.
pub(super) fn time(micros: f64) -> String {
    let (scaled, unit) = match micros {
        1e6.. => (micros / 1e6, "s"),
        1e3.. => (micros / 1e3, "ms"),
        _ => (micros, "µs"),
    };
    format!("{} {unit}", short(scaled))
}

/// Text that stands in HTML or SVG.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// The plot, its legend above it.
pub(super) fn svg(x: &Axis, y: &Axis, series: &[Series]) -> String {
    let across = |at: f64| LEFT + x.share(at) * (WIDTH - LEFT - RIGHT);
    let up = |at: f64| HEIGHT - BOTTOM - y.share(at) * (HEIGHT - TOP - BOTTOM);
    let mut out = String::from("<p class=\"legend\">");
    for Series {
        name,
        colour,
        is_dashed,
        ..
    } in series
    {
        let class = if *is_dashed { " class=\"dashed\"" } else { "" };
        let name = escaped(name);
        let _ = write!(
            out,
            "<span{class} style=\"--c:var(--line-{colour})\">{name}</span>"
        );
    }
    let _ = write!(
        out,
        "</p>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n"
    );
    for (at, label) in &y.ticks {
        let (y, label) = (up(*at), escaped(label));
        let _ = writeln!(
            out,
            "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{:.1}\"/><text class=\"left\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.0
        );
    }
    for (at, label) in &x.ticks {
        let (x, label) = (across(*at), escaped(label));
        let _ = writeln!(
            out,
            "<path class=\"tick\" d=\"M{x:.1} {:.1}v5\"/><text class=\"below\" x=\"{x:.1}\" y=\"{:.1}\">{label}</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 20.0
        );
    }
    for one in series {
        let path: Vec<String> = one
            .points
            .iter()
            .map(|(x, y, _)| format!("{:.1} {:.1}", across(*x), up(*y)))
            .collect();
        let dash = if one.is_dashed { " dashed" } else { "" };
        if !path.is_empty() {
            let _ = writeln!(
                out,
                "<path class=\"line{dash}\" style=\"--c:var(--line-{})\" d=\"M{}\"/>",
                one.colour,
                path.join("L")
            );
        }
        for (x, y, said) in &one.points {
            let _ = writeln!(
                out,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"5\" style=\"--c:var(--line-{})\"><title>{}</title></circle>",
                across(*x),
                up(*y),
                one.colour,
                escaped(said)
            );
        }
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_short() {
        let numbers = [0.0, 7.5, 1500.0, 45_000.0, 250_000.0, 2e6].map(short);
        assert_eq!(numbers, ["0", "7.50", "1.50 k", "45 k", "250 k", "2 M"]);
        let times = [1.0, 100.0, 1000.0, 12_345.0, 1e7].map(time);
        assert_eq!(times, ["1 µs", "100 µs", "1 ms", "12.3 ms", "10 s"]);
    }

    #[test]
    fn an_axis_covers_what_is_on_it() {
        for max in [0.0, 0.3, 7.0, 99.0, 45_000.0, 1e7] {
            let axis = Axis::linear(max);
            assert!(
                axis.max >= max && (2..=8).contains(&axis.ticks.len()),
                "{axis:?}"
            );
        }
        let axis = Axis::times(1.7, 1.9);
        assert_eq!((axis.min, axis.max), (1.0, 2.0));
    }

    #[test]
    fn labels_stay_inside_the_plot() {
        let x = Axis {
            min: 0.0,
            max: 6.0,
            ticks: vec![(0.0, "0 %".to_owned()), (6.0, "99.9999 %".to_owned())],
        };
        let svg = svg(&x, &Axis::times(0.0, 7.0), &[]);
        let labels: Vec<_> = svg.split("class=\"below\" x=\"").skip(1).collect();
        assert_eq!(labels.len(), 2);
        for label in labels {
            let (middle, rest) = label.split_once('"').expect("an attribute ends");
            let text = rest.split(['>', '<']).nth(1).expect("a label has a text");
            let middle: f64 = middle.parse().expect("a coordinate");
            // Figures of 11 px are no wider than 7 px.
            let half = text.chars().count() as f64 * 7.0 / 2.0;
            assert!((0.0..=WIDTH).contains(&(middle - half)), "{label}");
            assert!((0.0..=WIDTH).contains(&(middle + half)), "{label}");
        }
    }

    #[test]
    fn names_cannot_break_out_of_the_plot() {
        let series = Series {
            name: "<script>".to_owned(),
            colour: 0,
            is_dashed: false,
            points: vec![(0.0, 1.0, "\"<b>".to_owned())],
        };
        let svg = svg(&Axis::linear(1.0), &Axis::linear(1.0), &[series]);
        assert!(!svg.contains("<script>") && !svg.contains("<b>"), "{svg}");
    }
}

//! One run's report, or several beside each other, as one page that needs nothing else: made from what `--json` says.

use std::fmt::Write as _;

use serde_json::Value;

use super::plot::{Axis, Series, escaped, short, svg, time};

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2430; --soft: #6b7684; --edge: #e3e7ec; --page: #fbfcfd; --card: #fff;
  --line-0: #2563c9; --line-1: #c2571a; --line-2: #1d8a5f; --line-3: #8a4bc2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9f0; --soft: #93a0b0; --edge: #2b333f; --page: #12161c;
  --card: #191f27; --line-0: #6ea8ff; --line-1: #f0965c; --line-2: #56c898; --line-3: #c08ff0; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 780px;
  margin: 40px auto; padding: 0 20px; }
h1 { font-size: 24px; margin: 0; } h2 { font-size: 16px; margin: 0 0 8px; } p { margin: 4px 0; }
.soft, .legend { color: var(--soft); font-size: 13px; }
section { background: var(--card); border: 1px solid var(--edge); border-radius: 10px; padding: 18px 20px;
  margin-top: 20px; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
td, th { text-align: right; padding: 5px 0 5px 16px; border-top: 1px solid var(--edge); font-weight: normal; }
td:first-child, th:first-child { text-align: left; padding-left: 0; } thead th { border: 0; color: var(--soft); }
svg { width: 100%; height: auto; font-size: 11px; } text { fill: var(--soft); }
.left { text-anchor: end; } .below { text-anchor: middle; }
.grid, .tick { stroke: var(--edge); fill: none; } .line { stroke: var(--c); fill: none; stroke-width: 2;
  stroke-linejoin: round; } .line.dashed { stroke-dasharray: 6 4; }
circle { fill: transparent; } circle:hover { fill: var(--c); }
.legend span { margin-right: 18px; } .legend span::before { content: ''; display: inline-block; width: 18px;
  border-top: 3px solid var(--c); vertical-align: middle; margin-right: 6px; }
.legend .dashed::before { border-top-style: dashed; }
";

/// A run that has a name where there are several.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run<'a> {
    pub name: &'a str,
    /// As `--json` writes them.
    pub figures: &'a Value,
}

pub(super) fn page(runs: &[Run<'_>]) -> String {
    let Some(first) = runs.first() else {
        return String::new();
    };
    let title = first.figures["scenario"].as_str().unwrap_or("load");
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>corelay: {title}</title>\n\
         <style>{STYLE}</style>\n<h1>{title}</h1>\n<p class=\"soft\">{}</p>\n",
        escaped(&about(first.figures))
    );
    section(&mut out, "Figures", &table(runs));
    section(&mut out, "Latency by percentile", &percentiles(runs));
    section(&mut out, "Deliveries per second", &throughput(runs));
    section(
        &mut out,
        "Delivery to healthy clients over time",
        &latency(runs),
    );
    out.push_str("</html>\n");
    out
}

fn section(out: &mut String, title: &str, content: &str) {
    let _ = writeln!(out, "<section><h2>{title}</h2>\n{content}</section>");
}

fn about(figures: &Value) -> String {
    format!(
        "{} documents, {} clients of whom {} write{}, {} bytes an operation, kind {}, {} s, acknowledged as {}",
        figures["documents"],
        figures["clients"],
        figures["writers"],
        readers(figures),
        figures["payload_bytes"],
        figures["kind"].as_str().unwrap_or("?"),
        figures["duration_s"],
        figures["durability"].as_str().unwrap_or("nothing"),
    )
}

/// Those of whom more is to be said than that they read.
fn readers(figures: &Value) -> String {
    ["slow", "stalled"]
        .into_iter()
        .fold(String::new(), |said, pace| match figures[pace].as_u64() {
            None | Some(0) => said,
            Some(count) => format!("{said} and {count} are {pace}"),
        })
}

/// A figure's path and how it is said.
type Row = (&'static str, &'static str, fn(f64) -> String);

const ROWS: [Row; 13] = [
    ("Operations not sent", "/operations/not_submitted", short),
    ("Delivered per second", "/per_second/delivered", short),
    ("Acknowledged per second", "/per_second/acknowledged", short),
    ("Acknowledgement, p50", "/latency_us/ack/p50", time),
    ("Acknowledgement, p99", "/latency_us/ack/p99", time),
    ("Delivery, p50", "/latency_us/delivery_healthy/p50", time),
    ("Delivery, p99", "/latency_us/delivery_healthy/p99", time),
    (
        "Delivery, p99.9",
        "/latency_us/delivery_healthy/p99.9",
        time,
    ),
    ("Presence, p50", "/latency_us/presence/p50", time),
    ("Join, p50", "/latency_us/join/p50", time),
    (
        "Relay's CPU per delivery or presence update",
        "/server/cpu_us_per_delivery",
        time,
    ),
    (
        "Load's own CPU per delivery or presence update",
        "/load/cpu_us_per_delivery",
        time,
    ),
    ("Load's own cores were busy, %", "/load/busy_percent", short),
];

fn table(runs: &[Run<'_>]) -> String {
    let mut out = String::from("<table>");
    if runs.len() > 1 {
        out.push_str("<thead><tr><th></th>");
        for run in runs {
            let _ = write!(out, "<th>{}</th>", escaped(run.name));
        }
        out.push_str("</tr></thead>");
    }
    for (name, path, said) in ROWS {
        let figures = runs
            .iter()
            .map(|run| run.figures.pointer(path).and_then(Value::as_f64));
        let figures: Vec<Option<f64>> = figures.collect();
        if figures.iter().all(Option::is_none) {
            continue;
        }
        let _ = write!(out, "\n<tr><th>{name}</th>");
        for figure in figures {
            let _ = write!(out, "<td>{}</td>", figure.map(said).unwrap_or_default());
        }
        out.push_str("</tr>");
    }
    out + "\n</table>"
}

/// Each kind of latency has a colour; runs after the first are dashed.
fn percentiles(runs: &[Run<'_>]) -> String {
    let kinds = ["delivery_healthy", "ack", "presence", "join"];
    let mut series = Vec::new();
    for (number, run) in runs.iter().enumerate() {
        for (colour, kind) in kinds.into_iter().enumerate() {
            let Some(curve) = run.figures["percentiles_us"][kind].as_array() else {
                continue;
            };
            let points = curve.iter().filter_map(|point| {
                let (percentile, micros) = (point[0].as_f64()?, point[1].as_f64()?.max(1.0));
                // The last one is infinitely many nines away.
                let nines = -(1.0 - percentile / 100.0).log10();
                let said = format!("{percentile} %: {}", time(micros));
                nines.is_finite().then(|| (nines, micros.log10(), said))
            });
            series.push(Series {
                name: named(run, runs, &kind.replace('_', ", ")),
                colour,
                is_dashed: number > 0,
                points: points.collect(),
            });
        }
    }
    let across = series
        .iter()
        .flat_map(|one| &one.points)
        .map(|point| point.0);
    let nines = [
        (0.0, "0 %"),
        (0.301, "50 %"),
        (1.0, "90 %"),
        (2.0, "99 %"),
        (3.0, "99.9 %"),
    ];
    let more = [(4.0, "99.99 %"), (5.0, "99.999 %"), (6.0, "99.9999 %")];
    let max = across.fold(2.0, f64::max);
    let ticks = nines.into_iter().chain(more).filter(|(at, _)| *at <= max);
    let x = Axis {
        min: 0.0,
        max,
        ticks: ticks.map(|(at, label)| (at, label.to_owned())).collect(),
    };
    svg(&x, &times(&series), &series)
}

fn throughput(runs: &[Run<'_>]) -> String {
    over_time(runs, &[("delivered_per_second", "delivered")], |series| {
        let rates = series
            .iter()
            .flat_map(|one| &one.points)
            .map(|point| point.1);
        Axis::linear(rates.fold(0.0, f64::max))
    })
}

fn latency(runs: &[Run<'_>]) -> String {
    over_time(runs, &[("p50_us", "p50"), ("p99_us", "p99")], times)
}

/// Figures of the timeline: where their name ends with `_us`, on a logarithmic axis.
fn over_time(runs: &[Run<'_>], names: &[(&str, &str)], y: fn(&[Series]) -> Axis) -> String {
    let mut series = Vec::new();
    let mut end = 0.0_f64;
    for (number, run) in runs.iter().enumerate() {
        let timeline = &run.figures["timeline"];
        let slice = timeline["slice_s"].as_f64().unwrap_or(1.0);
        for (colour, (name, said)) in names.iter().enumerate() {
            let figures = timeline[*name].as_array().map_or(&[][..], Vec::as_slice);
            end = end.max(figures.len() as f64 * slice);
            let points = figures.iter().enumerate().filter_map(|(index, figure)| {
                let (figure, at) = (figure.as_f64()?, (index as f64 + 0.5) * slice);
                Some(if name.ends_with("_us") {
                    (
                        at,
                        figure.max(1.0).log10(),
                        format!("{at:.1} s: {}", time(figure)),
                    )
                } else {
                    (at, figure, format!("{at:.1} s: {}", short(figure)))
                })
            });
            series.push(Series {
                name: named(run, runs, said),
                colour,
                is_dashed: number > 0,
                points: points.collect(),
            });
        }
    }
    let mut x = Axis::linear(end);
    x.max = end.max(0.1);
    x.ticks.retain(|(at, _)| *at <= end);
    x.ticks
        .iter_mut()
        .for_each(|(_, label)| label.push_str(" s"));
    svg(&x, &y(&series), &series)
}

fn times(series: &[Series]) -> Axis {
    let logs = || {
        series
            .iter()
            .flat_map(|one| &one.points)
            .map(|point| point.1)
    };
    let min = logs().fold(f64::INFINITY, f64::min);
    Axis::times(
        if min.is_finite() { min } else { 0.0 },
        logs().fold(0.0, f64::max),
    )
}

fn named(run: &Run<'_>, runs: &[Run<'_>], what: &str) -> String {
    if runs.len() > 1 {
        format!("{}: {what}", run.name)
    } else {
        what.to_owned()
    }
}

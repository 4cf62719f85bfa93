//! `corelay compare`: two runs beside each other, or several runs of each, from the reports that `load --json` wrote.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;

use super::html::{Run, page};
use super::print;

#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Reports of `corelay load --json`: A.json, or several runs of the same as A1.json,A2.json,A3.json.
    #[arg(
        value_name = "BASE[,BASE…]",
        value_delimiter = ',',
        num_args = 1,
        required = true
    )]
    pub base: Vec<PathBuf>,
    /// The runs to compare with them. Of several, medians are compared.
    #[arg(
        value_name = "NEW[,NEW…]",
        value_delimiter = ',',
        num_args = 1,
        required = true
    )]
    pub new: Vec<PathBuf>,
    /// Write a page with the first run's plots over those of the first new one to this file.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    #[error("{path}: {source}")]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is not JSON: {source}")]
    Json {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("{path} is not a report of `corelay load --json`: it has no {missing}")]
    Report {
        path: PathBuf,
        missing: &'static str,
    },
    #[error("standard output cannot be written: {0}")]
    Output(std::io::Error),
    #[error("{path} is another run than {other}: {key} is {found} instead of {expected}")]
    Other {
        path: PathBuf,
        other: PathBuf,
        key: &'static str,
        found: String,
        expected: String,
    },
}

/// What has to be the same for two runs to be comparable.
const PLAN: [&str; 13] = [
    "kind",
    "documents",
    "clients",
    "writers",
    "payload_bytes",
    "operations_per_second",
    "burst",
    "presence_rate",
    "slow",
    "slow_bytes_per_second",
    "stalled",
    "joiners",
    "duration_s",
];

/// Which way a figure gets better.
#[derive(Debug, Clone, Copy)]
enum Better {
    Higher,
    Lower,
    /// It follows from the others, or from the plan.
    Neither,
}

/// Figures by their path in a report.
const FIGURES: [(&str, &str, Better); 19] = [
    ("delivered/s", "/per_second/delivered", Better::Higher),
    ("acknowledged/s", "/per_second/acknowledged", Better::Higher),
    ("ack p50, µs", "/latency_us/ack/p50", Better::Lower),
    ("ack p99, µs", "/latency_us/ack/p99", Better::Lower),
    ("ack p99.9, µs", "/latency_us/ack/p99.9", Better::Lower),
    (
        "delivery p50, µs",
        "/latency_us/delivery_healthy/p50",
        Better::Lower,
    ),
    (
        "delivery p99, µs",
        "/latency_us/delivery_healthy/p99",
        Better::Lower,
    ),
    (
        "delivery p99.9, µs",
        "/latency_us/delivery_healthy/p99.9",
        Better::Lower,
    ),
    (
        "presence p50, µs",
        "/latency_us/presence/p50",
        Better::Lower,
    ),
    (
        "presence p99, µs",
        "/latency_us/presence/p99",
        Better::Lower,
    ),
    ("join p50, µs", "/latency_us/join/p50", Better::Lower),
    ("join p99, µs", "/latency_us/join/p99", Better::Lower),
    ("relay CPU, s", "/server/cpu_s", Better::Lower),
    (
        "relay CPU/delivery, µs",
        "/server/cpu_us_per_delivery",
        Better::Lower,
    ),
    ("relay resident, bytes", "/server/rss_bytes", Better::Lower),
    (
        "load CPU/delivery, µs",
        "/load/cpu_us_per_delivery",
        Better::Lower,
    ),
    ("load busy, %", "/load/busy_percent", Better::Lower),
    (
        "bytes received/s",
        "/per_second/bytes_received",
        Better::Neither,
    ),
    ("resyncs", "/resyncs", Better::Lower),
];

/// The reports of one side.
struct Side {
    paths: Vec<PathBuf>,
    reports: Vec<Value>,
}

impl Side {
    fn read(paths: &[PathBuf]) -> Result<Self, CompareError> {
        let mut reports = Vec::new();
        for path in paths {
            let path = path.clone();
            let text = match fs::read_to_string(&path) {
                Ok(text) => text,
                Err(source) => return Err(CompareError::File { path, source }),
            };
            let report: Value = match serde_json::from_str(&text) {
                Ok(report) => report,
                Err(source) => return Err(CompareError::Json { path, source }),
            };
            let wanted = PLAN.into_iter().chain(["per_second", "latency_us"]);
            if let Some(missing) = wanted.into_iter().find(|key| report.get(key).is_none()) {
                return Err(CompareError::Report { path, missing });
            }
            reports.push(report);
        }
        Ok(Self {
            paths: paths.to_vec(),
            reports,
        })
    }

    /// Everything here is the same run as the first of `other`.
    fn check(&self, other: &Self) -> Result<(), CompareError> {
        for (path, report) in self.paths.iter().zip(&self.reports) {
            if let Some(key) = PLAN
                .into_iter()
                .find(|key| report[key] != other.reports[0][key])
            {
                return Err(CompareError::Other {
                    path: path.clone(),
                    other: other.paths[0].clone(),
                    key,
                    found: report[key].to_string(),
                    expected: other.reports[0][key].to_string(),
                });
            }
        }
        Ok(())
    }

    /// Of those runs that have the figure, the least first.
    fn sorted(&self, path: &str) -> Vec<f64> {
        let figures = self
            .reports
            .iter()
            .filter_map(|report| report.pointer(path)?.as_f64());
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        figures
    }

    fn median(&self, path: &str) -> Option<f64> {
        let figures = self.sorted(path);
        let middle = figures.len() / 2;
        match figures.len() {
            0 => None,
            count if count % 2 == 1 => Some(figures[middle]),
            _ => Some(f64::midpoint(figures[middle - 1], figures[middle])),
        }
    }
}

struct Comparison {
    base: Side,
    new: Side,
}

impl Comparison {
    fn is_of_single_runs(&self) -> bool {
        self.base.reports.len().min(self.new.reports.len()) < 2
    }

    /// Some run of one side is as good as some run of the other, so that the difference may be none.
    fn overlaps(&self, path: &str) -> bool {
        let [base, new] = [&self.base, &self.new].map(|side| side.sorted(path));
        let is_below = |one: &[f64], other: &[f64]| one.last() < other.first();
        !is_below(&base, &new) && !is_below(&new, &base)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = |side: &Side| match side.paths.as_slice() {
            [path] => path.file_name().map_or_else(
                || path.display().to_string(),
                |name| name.to_string_lossy().into_owned(),
            ),
            several => format!("median of {}", several.len()),
        };
        writeln!(
            out,
            "{:26} {:>14} {:>14} {:>8}  better",
            "",
            runs(&self.base),
            runs(&self.new),
            "ratio"
        )?;
        for (name, path, better) in FIGURES {
            if let Some((base, new)) = self.base.median(path).zip(self.new.median(path)) {
                write!(out, "{name:26} {base:>14.2} {new:>14.2}")?;
                if base == 0.0 {
                    write!(out, " {:>8}", "")?;
                } else {
                    write!(out, " {:>8.3}", new / base)?;
                }
                let better = match better {
                    Better::Higher => "higher",
                    Better::Lower => "lower",
                    Better::Neither => "",
                };
                let mark = match !self.is_of_single_runs() && self.overlaps(path) {
                    true => "~",
                    false => "",
                };
                writeln!(out, "{}", format!("  {better:6} {mark}").trim_end())?;
            }
        }
        match self.is_of_single_runs() {
            true => writeln!(
                out,
                "One run says little: run each several times, in turn, and give A1.json,A2.json,A3.json."
            ),
            false => writeln!(
                out,
                "~: runs of both sides overlap, so that it may be no difference."
            ),
        }
    }
}

fn compare(arguments: &Arguments) -> Result<(), CompareError> {
    let comparison = Comparison {
        base: Side::read(&arguments.base)?,
        new: Side::read(&arguments.new)?,
    };
    comparison.base.check(&comparison.base)?;
    comparison.new.check(&comparison.base)?;
    print(&comparison.to_string()).map_err(CompareError::Output)?;
    if let Some(path) = &arguments.html {
        let (base, new) = (arguments.base[0].display(), arguments.new[0].display());
        let (base, new) = (base.to_string(), new.to_string());
        let page = page(&[
            Run {
                name: &base,
                figures: &comparison.base.reports[0],
            },
            Run {
                name: &new,
                figures: &comparison.new.reports[0],
            },
        ]);
        fs::write(path, page).map_err(|source| CompareError::File {
            path: path.clone(),
            source,
        })?;
    }
    Ok(())
}

/// Prints the comparison. The exit code is 0 if the runs could be compared, whatever came of it.
#[must_use]
pub fn run(arguments: &Arguments) -> ExitCode {
    match compare(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("corelay compare: {error}");
            ExitCode::FAILURE
        }
    }
}

//! Runs with a name. A scenario is flags, put in front of those that were given, which win.

use std::ffi::OsString;

/// What kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// One document, one writer, 1,000 subscribers; every operation is sent on its own.
    BusyDocument,
    /// The same, and eight operations are due at once.
    BusyDocumentBatched,
    /// 100 documents of 10 clients each, who all write: 45,000 deliveries a second.
    ManyDocuments,
    /// 10,000 connections with 1,000 documents; 1 % of them write.
    Town,
    /// 900 clients join 100 documents, which are written in, at the same moment.
    JoinStorm,
    /// 20 documents of 10 clients each, whose cursors move 10 times a second: try --presence-rate 1 and 20, too.
    Presence,
    /// 20 documents of 20 clients each, of whom a tenth read slowly; the healthy ones' latencies are their own.
    SlowTenth,
}

impl Scenario {
    /// As on the command line.
    pub fn name(self) -> String {
        let value = clap::ValueEnum::to_possible_value(&self);
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What it stands for on the command line.
    pub fn flags(self) -> &'static str {
        match self {
            Self::BusyDocument => "--documents 1 --clients 1001 --operations-per-second 25",
            Self::BusyDocumentBatched => {
                "--documents 1 --clients 1001 --operations-per-second 200 --burst 8"
            }
            Self::ManyDocuments => {
                "--documents 100 --clients 10 --writers 10 --operations-per-second 5000"
            }
            Self::Town => {
                "--documents 1000 --clients 10 --active-percent 10 --operations-per-second 100"
            }
            Self::JoinStorm => {
                "--documents 100 --clients 10 --joiners-percent 90 --operations-per-second 1000 --warm-up 5"
            }
            Self::Presence => {
                "--documents 20 --clients 10 --operations-per-second 20 --presence-rate 10"
            }
            Self::SlowTenth => {
                "--documents 20 --clients 20 --writers 2 --operations-per-second 1500 \
                 --payload-bytes 300 --slow-percent 10"
            }
        }
    }
}

/// The words of a command line; in those of `load`, the flags of the scenario come before what was given.
pub fn spelled_out(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = words.into_iter().collect();
    if words.get(1).is_some_and(|word| word == "load")
        && let Some(scenario) = named(&words)
    {
        let flags = scenario.flags().split_whitespace();
        words.splice(2..2, flags.map(OsString::from));
    }
    words
}

/// A name that is none is left for the command line's own parser to refuse.
fn named(words: &[OsString]) -> Option<Scenario> {
    let words: Vec<&str> = words
        .iter()
        .map(|word| word.to_str().unwrap_or(""))
        .collect();
    let separate = words.windows(2).filter(|pair| pair[0] == "--scenario");
    let joined = words
        .iter()
        .filter_map(|word| word.strip_prefix("--scenario="));
    let name = separate.map(|pair| pair[1]).chain(joined).last()?;
    clap::ValueEnum::from_str(name, false).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Arguments;
    use crate::load::plan::Plan;
    use clap::{Parser, ValueEnum};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn arguments(line: &str) -> Arguments {
        let words = format!("corelay load --url tcp://localhost:1 {line}");
        let words = spelled_out(words.split_whitespace().map(OsString::from));
        Line::parse_from(words.iter().skip(1)).arguments
    }

    #[test]
    fn every_scenario_is_a_run() {
        for scenario in Scenario::value_variants() {
            let arguments = arguments(&format!("--scenario {}", scenario.name()));
            assert_eq!(arguments.scenario, Some(*scenario));
            let plan = Plan::new(&arguments, "plan".to_owned(), 40).expect("a plan");
            assert!(plan.interval.is_some(), "{scenario:?} writes");
        }
    }

    #[test]
    fn what_was_given_wins_over_the_scenario() {
        let arguments = arguments("--clients 30 --scenario=busy-document --duration 1");
        assert_eq!((arguments.clients, arguments.duration), (30, 1.0));
        assert_eq!(arguments.operations_per_second, 25.0);
    }

    #[test]
    fn a_tenth_is_slow_and_one_percent_of_the_town_writes() {
        let plan = |line| Plan::new(&arguments(line), "plan".to_owned(), 40).expect("a plan");
        let tenth = plan("--scenario slow-tenth");
        let slow = tenth
            .clients
            .iter()
            .filter(|client| client.pace == crate::load::plan::Pace::Slow);
        assert_eq!((slow.count(), tenth.clients.len()), (40, 400));
        let town = plan("--scenario town");
        let writers = town.clients.iter().filter(|client| client.writer.is_some());
        assert_eq!((writers.count(), town.clients.len()), (100, 10_000));
        let storm = plan("--scenario join-storm");
        let late = storm.clients.iter().filter(|client| client.joins_late);
        assert_eq!(late.count(), 900);
    }
}

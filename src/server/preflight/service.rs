//! How long the service manager waits for the relay's planned stop.

use std::process::Command;
use std::time::Duration;

use super::{Check, Finding};
use crate::config::Shutdown;

const STOP: &str = "stop timeout";
/// As `tuning/corelay.service` and the package have it.
const UNIT: &str = "corelay.service";

/// What systemd says of the unit.
struct Unit {
    /// It listens to what the relay says, which is also how long its stop takes.
    is_told: bool,
    /// How long after SIGTERM it kills.
    stop_timeout: Duration,
}

pub fn stop(config: &Shutdown) -> Check {
    judge(ask().as_deref().and_then(read), config)
}

/// `None`: there is no systemd that answers.
fn ask() -> Option<String> {
    let properties = "--property=LoadState,Type,TimeoutStopUSec";
    let output = Command::new("systemctl")
        .args(["show", properties, UNIT])
        .env("LC_ALL", "C")
        .output()
        .ok()?;
    String::from_utf8(output.stdout).ok()
}

/// `None`: there is no such unit.
fn read(properties: &str) -> Option<Unit> {
    let property = |name: &str| {
        let mut lines = properties.lines().filter_map(|line| line.split_once('='));
        lines.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    if property("LoadState")? != "loaded" {
        return None;
    }
    Some(Unit {
        is_told: ["notify", "notify-reload"].contains(&property("Type")?),
        stop_timeout: span(property("TimeoutStopUSec")?)?,
    })
}

/// A time as systemd prints it: `1min 30s`, `infinity`.
fn span(text: &str) -> Option<Duration> {
    if text == "infinity" {
        return Some(Duration::MAX);
    }
    let part = |word: &str| {
        let (number, unit) = word.split_at(word.find(|letter: char| letter.is_alphabetic())?);
        let seconds = match unit {
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            "w" => 604_800.0,
            "month" => 2_629_800.0,
            "y" => 31_557_600.0,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        Duration::try_from_secs_f64(number * seconds).ok()
    };
    text.split_whitespace().map(part).sum()
}

fn judge(unit: Option<Unit>, config: &Shutdown) -> Check {
    let Some(unit) = unit else {
        return Check::not_visible(STOP, format!("no systemd here has a unit {UNIT}"));
    };
    let takes = config.pause.unwrap_or_default() + config.timeout;
    if unit.stop_timeout > takes {
        return Check::good(STOP, format!("{UNIT} waits longer than {takes:?}"));
    }
    if unit.is_told {
        let seen = format!("{UNIT} is told that a stop may take {takes:?} and more");
        return Check::good(STOP, seen);
    }
    let waits = unit.stop_timeout;
    Check::advice(
        STOP,
        Finding {
            what: format!(
                "{UNIT} kills the relay {waits:?} after it is told to stop, which may take {takes:?} (shutdown.pause and \
                 shutdown.timeout)"
            ),
            why: "clients that are being told to come back are cut off instead".to_owned(),
            remedy: format!(
                "systemctl edit corelay: in [Service], Type=notify as in tuning/corelay.service, or TimeoutStopSec={}; or \
                 lower shutdown.pause.",
                takes.as_secs() + 60
            ),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    #[test]
    fn times_are_read_as_systemd_prints_them() {
        let table = [
            ("1min", Some(60_000)),
            ("1min 30s", Some(90_000)),
            ("1h 500ms", Some(3_600_500)),
            ("1.5s", Some(1500)),
            ("0", None),
            ("", Some(0)),
            ("5 bananas", None),
        ];
        for (text, expected) in table {
            assert_eq!(span(text), expected.map(Duration::from_millis), "{text}");
        }
        assert_eq!(span("infinity"), Some(Duration::MAX));
    }

    #[test]
    fn a_unit_that_kills_too_early_is_advice_unless_it_is_told() {
        let shutdown = Shutdown {
            pause: Some(Duration::from_secs(60)),
            timeout: Duration::from_secs(5),
        };
        let outcome = |kind: &str, timeout: &str| {
            let text = format!("Type={kind}\nTimeoutStopUSec={timeout}\nLoadState=loaded\n");
            judge(read(&text), &shutdown).outcome
        };
        assert!(matches!(outcome("simple", "1min 6s"), Outcome::Good { .. }));
        assert!(matches!(
            outcome("simple", "infinity"),
            Outcome::Good { .. }
        ));
        assert!(matches!(outcome("notify", "1min"), Outcome::Good { .. }));
        let Outcome::Advice(finding) = outcome("simple", "1min 5s") else {
            panic!("it is too early");
        };
        assert!(finding.remedy.contains("TimeoutStopSec=125"), "{finding:?}");
        let missing = judge(
            read("Type=\nTimeoutStopUSec=1min\nLoadState=not-found\n"),
            &shutdown,
        );
        assert!(matches!(missing.outcome, Outcome::NotVisible { .. }));
        assert!(read("").is_none());
    }
}

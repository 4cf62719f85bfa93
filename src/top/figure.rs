//! How numbers are written, and names that others have given.

use crate::overview::shown;

const NOTHING: &str = "–";

pub fn number(value: f64) -> String {
    match value {
        value if value <= 0.0 => "0".to_owned(),
        value if value < 100.0 => format!("{value:.1}"),
        value => whole(value.round() as u64),
    }
}

/// With a comma between thousands.
pub fn whole(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

pub fn time(ms: Option<f64>) -> String {
    match ms {
        None => NOTHING.to_owned(),
        Some(ms) if ms < 0.1 => format!("{:.0} µs", 1000.0 * ms),
        Some(ms) if ms < 10.0 => format!("{ms:.2} ms"),
        Some(ms) if ms < 100.0 => format!("{ms:.1} ms"),
        Some(ms) if ms < 1000.0 => format!("{ms:.0} ms"),
        Some(ms) => format!("{:.1} s", ms / 1000.0),
    }
}

pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut size, mut unit) = (value as f64, 0);
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        (size, unit) = (size / 1024.0, unit + 1);
    }
    match unit > 0 && size < 10.0 {
        true => format!("{size:.1} {}", UNITS[unit]),
        false => format!("{size:.0} {}", UNITS[unit]),
    }
}

pub fn span(ms: u64) -> String {
    let minutes = ms / 60_000;
    match minutes {
        0 => format!("{} s", ms / 1000),
        1..60 => format!("{minutes} min"),
        60..2880 => format!("{} h {} min", minutes / 60, minutes % 60),
        2880.. => format!("{} days", minutes / 1440),
    }
}

/// A name that a client has given.
pub fn name(given: &str) -> String {
    const LENGTH_MAX: usize = 256;
    shown(given).chars().take(LENGTH_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(number(0.0), "0");
        assert_eq!(number(12.34), "12.3");
        assert_eq!(number(33_012.6), "33,013");
        assert_eq!(whole(1_234_567), "1,234,567");
        assert_eq!(whole(999), "999");
        assert_eq!(percent(0.256), "26 %");
        let times = [0.085, 0.734, 12.34, 123.4, 1234.0];
        assert_eq!(
            times.map(|ms| time(Some(ms))),
            ["85 µs", "0.73 ms", "12.3 ms", "123 ms", "1.2 s"]
        );
        assert_eq!(time(None), "–");
        assert_eq!(
            [1023, 1536, 64 << 20].map(bytes),
            ["1023 B", "1.5 KiB", "64 MiB"]
        );
        let spans = [59_000, 60_000, 5_400_000, 200_000_000];
        assert_eq!(spans.map(span), ["59 s", "1 min", "1 h 30 min", "2 days"]);
    }

    #[test]
    fn names_do_nothing_to_the_terminal() {
        assert_eq!(name("plan \u{1b}[31m\n\u{202e}x"), "plan �[31m��x");
        assert_eq!(name("Zoë 李 🦀"), "Zoë 李 🦀");
        assert_eq!(name(&"x".repeat(1000)).len(), 256);
    }
}

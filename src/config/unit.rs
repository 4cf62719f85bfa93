//! How values are written: a unit reads and prints the values of a key, and says which of them are allowed.
//!
//! Every value arrives as text, from the file and from `--set` alike. Refusals are phrases that finish the sentence
//! "… is wrong:".

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;

/// The values of type `T` that a key takes, and how they are written.
pub trait Unit<T> {
    /// In one word.
    fn name(&self) -> &'static str;
    /// The values that it takes, as a phrase.
    fn range(&self) -> String;
    fn parse(&self, text: &str) -> Result<T, String>;
    fn show(&self, value: &T) -> String;
    /// As TOML writes it.
    fn literal(&self, value: &T) -> String {
        toml::Value::String(self.show(value)).to_string()
    }
}

pub const KIB: u64 = 1024;
pub const MIB: u64 = 1024 * KIB;
pub const GIB: u64 = 1024 * MIB;

/// How much is logged of a module, from nothing on.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

const BYTE_UNITS: [(&str, u64); 4] = [("B", 1), ("KiB", KIB), ("MiB", MIB), ("GiB", GIB)];
const TIME_UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("min", 60_000), ("h", 3_600_000)];

/// A size: `"64 KiB"`, or a plain number of bytes.
pub struct Bytes(pub RangeInclusive<u64>);

/// A whole number of things.
pub struct Count(pub RangeInclusive<u64>);

/// A part of a hundred, written as a whole number.
pub struct Percent(pub RangeInclusive<u64>);

/// A length of time: `"10 s"`. Never without its unit. The bounds are in milliseconds.
pub struct Time(pub RangeInclusive<u64>);

/// A limit of that unit, or none: `"off"` or 0.
pub struct OrOff<U>(pub U);

/// Where to listen: `"0.0.0.0:7400"`, or `"off"`.
pub struct Address;

/// A path of the file system.
pub struct Path;

/// A file, or none.
pub struct File;

/// Where to ask over HTTP, or nowhere.
pub struct Url;

/// The name of an environment variable, or none.
pub struct Variable;

/// Any text, or none.
pub struct Text;

/// What the log shows, in the language of `tracing`.
pub struct Filter;

/// The bytes as people write them, in the largest unit that divides them.
pub(crate) fn bytes_text(bytes: u64) -> String {
    quantity_text(bytes, &BYTE_UNITS)
}

/// Whole mebibytes, for numbers that are to be compared with each other.
pub(crate) fn mebibytes_text(bytes: u64) -> String {
    format!("{} MiB", bytes / MIB)
}

/// A time and its unit, as configuration has them.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    quantity(text.trim(), &TIME_UNITS, None).map(Duration::from_millis)
}

fn quantity_text(quantity: u64, units: &[(&str, u64)]) -> String {
    let (unit, size) = units
        .iter()
        .rev()
        .find(|(_, size)| quantity >= *size && quantity.is_multiple_of(*size))
        .unwrap_or(&units[0]);
    format!("{} {unit}", quantity / size)
}

/// Reads a number and its unit, `bare` being what a number without one is counted in.
fn quantity(text: &str, units: &[(&str, u64)], bare: Option<u64>) -> Result<u64, String> {
    let end = text
        .find(|character: char| !character.is_ascii_digit() && character != '_')
        .unwrap_or(text.len());
    let (digits, unit) = (&text[..end], text[end..].trim());
    let known = units.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    let example = format!("\"10 {}\"", units[1].0);
    if unit.starts_with('.') {
        return Err(format!(
            "it has a fraction; write a whole number of a smaller unit ({})",
            known.join(", ")
        ));
    }
    let number = whole(digits).map_err(|_| {
        format!(
            "it is not a whole number and a unit ({}), as in {example}",
            known.join(", ")
        )
    })?;
    let size = if unit.is_empty() {
        bare.ok_or_else(|| {
            format!(
                "it has no unit ({}); write it as in {example}",
                known.join(", ")
            )
        })?
    } else {
        units
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, size)| *size)
            .ok_or_else(|| format!("its unit is none of {}", known.join(", ")))?
    };
    number
        .checked_mul(size)
        .ok_or_else(|| "it is too large".to_owned())
}

fn whole(digits: &str) -> Result<u64, String> {
    digits
        .replace('_', "")
        .parse()
        .map_err(|_| "it is not a whole number".to_owned())
}

/// Puts a number into its field, if it is within the range and the field can hold it.
fn within<T: TryFrom<u64>>(number: u64, range: &RangeInclusive<u64>) -> Result<T, String> {
    let below = if number < *range.start() {
        "small"
    } else {
        "large"
    };
    T::try_from(number)
        .ok()
        .filter(|_| range.contains(&number))
        .ok_or_else(|| format!("it is too {below}"))
}

fn number<T: Copy + TryInto<u64>>(value: &T) -> u64 {
    (*value).try_into().unwrap_or(u64::MAX)
}

impl<T: Copy + TryFrom<u64> + TryInto<u64>> Unit<T> for Bytes {
    fn name(&self) -> &'static str {
        "bytes"
    }

    fn range(&self) -> String {
        let (start, end) = (bytes_text(*self.0.start()), bytes_text(*self.0.end()));
        format!("{start} to {end}")
    }

    fn parse(&self, text: &str) -> Result<T, String> {
        within(quantity(text, &BYTE_UNITS, Some(1))?, &self.0)
    }

    fn show(&self, value: &T) -> String {
        bytes_text(number(value))
    }
}

impl<T: Copy + TryFrom<u64> + TryInto<u64>> Unit<T> for Count {
    fn name(&self) -> &'static str {
        "count"
    }

    fn range(&self) -> String {
        format!("{} to {}", self.0.start(), self.0.end())
    }

    fn parse(&self, text: &str) -> Result<T, String> {
        within(whole(text)?, &self.0)
    }

    fn show(&self, value: &T) -> String {
        number(value).to_string()
    }

    fn literal(&self, value: &T) -> String {
        self.show(value)
    }
}

impl<T: Copy + TryFrom<u64> + TryInto<u64>> Unit<T> for Percent {
    fn name(&self) -> &'static str {
        "percent"
    }

    fn range(&self) -> String {
        format!("{} to {}", self.0.start(), self.0.end())
    }

    fn parse(&self, text: &str) -> Result<T, String> {
        within(whole(text)?, &self.0)
    }

    fn show(&self, value: &T) -> String {
        number(value).to_string()
    }

    fn literal(&self, value: &T) -> String {
        self.show(value)
    }
}

impl<T, U: Unit<T>> Unit<Option<T>> for OrOff<U> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn range(&self) -> String {
        format!("{}, or \"off\" (or 0)", self.0.range())
    }

    fn parse(&self, text: &str) -> Result<Option<T>, String> {
        match text {
            "off" | "0" | "0 s" => Ok(None),
            limit => self.0.parse(limit).map(Some),
        }
    }

    fn show(&self, value: &Option<T>) -> String {
        match value {
            None => "off".to_owned(),
            Some(limit) => self.0.show(limit),
        }
    }

    fn literal(&self, value: &Option<T>) -> String {
        match value {
            None => "\"off\"".to_owned(),
            Some(limit) => self.0.literal(limit),
        }
    }
}

impl Unit<Duration> for Time {
    fn name(&self) -> &'static str {
        "time"
    }

    fn range(&self) -> String {
        let text = |milliseconds| quantity_text(milliseconds, &TIME_UNITS);
        format!("{} to {}", text(*self.0.start()), text(*self.0.end()))
    }

    fn parse(&self, text: &str) -> Result<Duration, String> {
        within(quantity(text, &TIME_UNITS, None)?, &self.0).map(Duration::from_millis)
    }

    fn show(&self, value: &Duration) -> String {
        quantity_text(number(&value.as_millis()), &TIME_UNITS)
    }
}

impl Unit<Option<SocketAddr>> for Address {
    fn name(&self) -> &'static str {
        "address"
    }

    fn range(&self) -> String {
        "an IP address and a port (0: any free one) as in \"0.0.0.0:7400\" or \"[::]:7400\", or \"off\""
            .to_owned()
    }

    fn parse(&self, text: &str) -> Result<Option<SocketAddr>, String> {
        if text == "off" {
            return Ok(None);
        }
        if let Some(port) = text.strip_prefix("localhost:") {
            return Err(format!(
                "names are not looked up; write \"127.0.0.1:{port}\""
            ));
        }
        if let Ok(port) = text.trim_start_matches(':').parse::<u16>() {
            return Err(format!("it has no IP address; write \"0.0.0.0:{port}\""));
        }
        text.parse()
            .map(Some)
            .map_err(|_| "it is not an IP address and a port".to_owned())
    }

    fn show(&self, value: &Option<SocketAddr>) -> String {
        value.map_or_else(|| "off".to_owned(), |address| address.to_string())
    }
}

impl Unit<PathBuf> for Path {
    fn name(&self) -> &'static str {
        "path"
    }

    fn range(&self) -> String {
        "a directory; a relative one starts where the relay was started".to_owned()
    }

    fn parse(&self, text: &str) -> Result<PathBuf, String> {
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        Ok(PathBuf::from(text))
    }

    fn show(&self, value: &PathBuf) -> String {
        value.display().to_string()
    }
}

impl Unit<Option<PathBuf>> for File {
    fn name(&self) -> &'static str {
        "file"
    }

    fn range(&self) -> String {
        "a file, a relative one starts where the relay was started, or \"\" for none".to_owned()
    }

    fn parse(&self, text: &str) -> Result<Option<PathBuf>, String> {
        Ok((!text.is_empty()).then(|| PathBuf::from(text)))
    }

    fn show(&self, value: &Option<PathBuf>) -> String {
        value
            .as_ref()
            .map_or_else(String::new, |path| path.display().to_string())
    }
}

impl Unit<Option<Uri>> for Url {
    fn name(&self) -> &'static str {
        "url"
    }

    fn range(&self) -> String {
        "an address that starts with https:// or http://, or \"\" for none".to_owned()
    }

    fn parse(&self, text: &str) -> Result<Option<Uri>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        let url: Uri = text.parse().map_err(|_| "it is no URL".to_owned())?;
        if !matches!(url.scheme_str(), Some("https" | "http")) {
            return Err("it starts with neither https:// nor http://".to_owned());
        }
        let authority = url.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') {
            return Err("a name or a password in it would be written to the log".to_owned());
        }
        Ok(Some(url))
    }

    fn show(&self, value: &Option<Uri>) -> String {
        value.as_ref().map_or_else(String::new, Uri::to_string)
    }
}

impl Unit<Option<String>> for Variable {
    fn name(&self) -> &'static str {
        "variable"
    }

    fn range(&self) -> String {
        "letters, digits and \"_\", or \"\" for none".to_owned()
    }

    fn parse(&self, text: &str) -> Result<Option<String>, String> {
        let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
        if !text.chars().all(is_name) {
            return Err("it is not the name of an environment variable".to_owned());
        }
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    fn show(&self, value: &Option<String>) -> String {
        value.clone().unwrap_or_default()
    }
}

impl Unit<Option<String>> for Text {
    fn name(&self) -> &'static str {
        "text"
    }

    fn range(&self) -> String {
        "any, or \"\" for none".to_owned()
    }

    fn parse(&self, text: &str) -> Result<Option<String>, String> {
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    fn show(&self, value: &Option<String>) -> String {
        value.clone().unwrap_or_default()
    }
}

impl Unit<String> for Filter {
    fn name(&self) -> &'static str {
        "filter"
    }

    fn range(&self) -> String {
        "off, error, warn, info, debug or trace, also for one module as in \"info,corelay::server=debug\""
            .to_owned()
    }

    fn parse(&self, text: &str) -> Result<String, String> {
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        // A word that is no level would be taken for a module of which everything is logged.
        text.split(',').try_for_each(|directive| {
            let (module, level) = match directive.rsplit_once('=') {
                Some((module, level)) => (Some(module.trim()), level.trim()),
                None => (None, directive.trim()),
            };
            if !LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
                let levels = LEVELS.join(", ");
                return Err(format!("{level:?} is no level ({levels})"));
            }
            let is_path = |module: &str| {
                let is_word = |character: char| {
                    character.is_ascii_alphanumeric() || "_:-".contains(character)
                };
                !module.is_empty() && module.chars().all(is_word)
            };
            match module {
                Some(module) if !is_path(module) => Err(format!("{module:?} is no module")),
                Some(_) | None => Ok(()),
            }
        })?;
        let text = text.replace(' ', "");
        tracing_subscriber::EnvFilter::try_new(&text)
            .map(|_| text)
            .map_err(|error| error.to_string())
    }

    fn show(&self, value: &String) -> String {
        value.clone()
    }
}

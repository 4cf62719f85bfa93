//! What can be wrong with a configuration, in words for whoever wrote it.

use std::fmt;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Line {
        file: String,
        line: usize,
    },
    Argument(String),
    Default,
    /// It needs a restart, and is as it was.
    Running,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line } => write!(f, "{file} line {line}"),
            Self::Argument(text) => write!(f, "--set {text}"),
            Self::Default => f.write_str("the default"),
            Self::Running => f.write_str("until a restart"),
        }
    }
}

/// One thing that is wrong. Whoever wrote the configuration is at fault, and the message says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file is no TOML, or the argument no `table.key=value`.
    #[error("{place}: {reason}")]
    Syntax { place: Place, reason: String },
    #[error("{place}: there is no table [{table}]; {hint}")]
    TableUnknown {
        place: Place,
        table: String,
        hint: String,
    },
    #[error("{place}: there is no key {key}; {hint}")]
    KeyUnknown {
        place: Place,
        key: String,
        hint: String,
    },
    #[error("{place}: {key} = {value} is wrong: {reason}. Range: {range}")]
    ValueInvalid {
        place: Place,
        key: String,
        value: String,
        reason: String,
        range: String,
    },
    /// Each value is in its range, and they do not fit each other.
    #[error("{rule}: {why}. Here: {values}")]
    Relation {
        /// What must hold.
        rule: String,
        why: &'static str,
        /// The values at fault, and where they were written.
        values: String,
    },
}

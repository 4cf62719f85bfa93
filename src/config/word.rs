//! Values that are one of a few words.

use super::draft::nearest;
use super::unit::Unit;

/// What an acknowledgement promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Synced to disk.
    #[default]
    Always,
    /// Written; synced every `sync_interval`.
    Interval,
    /// Written; synced when the operating system likes.
    Never,
}

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// How the relay learns who a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuthMode {
    /// From the client, which may say anything.
    #[default]
    None,
    /// From a signed JSON Web Token.
    Jwt,
    /// From the operator's backend, which is asked about each token.
    Webhook,
}

/// A type whose values are words.
pub(super) trait Words: Copy + PartialEq + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

impl Words for Durability {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("always", Self::Always),
        ("interval", Self::Interval),
        ("never", Self::Never),
    ];
}

impl Words for bool {
    const WORDS: &'static [(&'static str, Self)] = &[("on", true), ("off", false)];
}

impl Words for LogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

impl Words for AuthMode {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("none", Self::None),
        ("jwt", Self::Jwt),
        ("webhook", Self::Webhook),
    ];
}

/// One of the words of `T`.
pub(super) struct Word;

impl<T: Words> Unit<T> for Word {
    fn name(&self) -> &'static str {
        "word"
    }

    fn range(&self) -> String {
        let words: Vec<_> = T::WORDS
            .iter()
            .map(|(word, _)| format!("{word:?}"))
            .collect();
        words.join(", ")
    }

    fn parse(&self, text: &str) -> Result<T, String> {
        T::WORDS
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, value)| *value)
            .ok_or_else(|| {
                let words = T::WORDS.iter().map(|(word, _)| *word);
                match nearest(text, words) {
                    Some(near) => format!("there is no such choice; {near:?} is the nearest"),
                    None => "there is no such choice".to_owned(),
                }
            })
    }

    fn show(&self, value: &T) -> String {
        let (word, _) = T::WORDS
            .iter()
            .find(|(_, known)| known == value)
            .expect("every value of a choice has its word");
        (*word).to_owned()
    }
}

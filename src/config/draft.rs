//! A configuration in the making: the defaults, then the file over them, then the arguments over that.
//!
//! A draft goes on after a mistake, so that `finish` can name all of them at once. Each value remembers where it was
//! written.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::error::{ConfigError, Place};
use super::key::{Change, Key};
use super::relation::RELATIONS;
use super::table::{Config, KEYS, TABLES};

/// How alike two names must be for one to be offered for the other; 1 is equal.
const LIKENESS_MIN: f64 = 0.6;

/// Text goes in through [`file`](Self::file) and [`set`](Self::set); [`finish`](Self::finish) makes the
/// configuration.
#[derive(Debug, Default)]
pub struct Draft {
    config: Config,
    places: BTreeMap<String, Place>,
    errors: Vec<ConfigError>,
}

impl Draft {
    /// Takes the text of a TOML file. `name` is what messages call it.
    pub fn file(&mut self, name: &str, text: &str) {
        let place = |span: Range<usize>| Place::Line {
            file: name.to_owned(),
            line: text[..span.start.min(text.len())].matches('\n').count() + 1,
        };
        let root = match DeTable::parse(text) {
            Ok(root) => root,
            Err(error) => {
                self.errors.push(ConfigError::Syntax {
                    place: place(error.span().unwrap_or(0..0)),
                    reason: format!("this is no TOML: {}", error.message()),
                });
                return;
            }
        };
        for (table, content) in root.get_ref() {
            self.table(table, content, &place);
        }
    }

    fn table(
        &mut self,
        table: &Spanned<DeString<'_>>,
        content: &Spanned<DeValue<'_>>,
        place: &dyn Fn(Range<usize>) -> Place,
    ) {
        let name: &str = table.get_ref();
        let DeValue::Table(keys) = content.get_ref() else {
            let place = place(table.span());
            self.errors.push(match TABLES.contains(&name) {
                true => ConfigError::Syntax {
                    place,
                    reason: format!("{name} is a table; write its keys below [{name}]"),
                },
                false => key_unknown(place, None, name),
            });
            return;
        };
        if !TABLES.contains(&name) {
            self.errors.push(table_unknown(place(table.span()), name));
            return;
        }
        for (key, value) in keys {
            let place = place(key.span());
            match find(name, key.get_ref()) {
                Some(key) => match value_text(value.get_ref()) {
                    Ok(text) => self.write(key, place, &text),
                    Err(kind) => self.errors.push(ConfigError::Syntax {
                        place,
                        reason: format!("{} is {kind}, not a text or a whole number", key.path()),
                    }),
                },
                None => self
                    .errors
                    .push(key_unknown(place, Some(name), key.get_ref())),
            }
        }
    }

    /// Takes one `table.key=value` of the command line; it wins over the file and over earlier ones.
    pub fn set(&mut self, argument: &str) {
        let place = Place::Argument(argument.to_owned());
        let Some((path, value)) = argument.split_once('=') else {
            self.errors.push(ConfigError::Syntax {
                place,
                reason: "there is no \"=\"; write table.key=value".to_owned(),
            });
            return;
        };
        let (path, value) = (path.trim(), unquoted(value.trim()));
        let Some((table, name)) = path.split_once('.') else {
            self.errors.push(key_unknown(place, None, path));
            return;
        };
        if !TABLES.contains(&table) {
            self.errors.push(table_unknown(place, table));
            return;
        }
        match find(table, name) {
            Some(key) => self.write(key, place, value),
            None => self.errors.push(key_unknown(place, Some(table), name)),
        }
    }

    fn write(&mut self, key: &Key, place: Place, text: &str) {
        match (key.write)(&mut self.config, text) {
            Ok(()) => {
                self.places.insert(key.path(), place);
            }
            Err(reason) => self.errors.push(ConfigError::ValueInvalid {
                place,
                key: key.path(),
                value: format!("{text:?}"),
                reason,
                range: (key.unit)().1,
            }),
        }
    }

    /// The configuration, or everything that is wrong with it, in the order in which it was written.
    pub fn finish(mut self) -> Result<Config, Vec<ConfigError>> {
        self.check_relations();
        match self.errors.is_empty() {
            true => Ok(self.config),
            false => Err(self.errors),
        }
    }

    /// What a relay that runs with `running` becomes: what only a restart changes stays as it is, and is named.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the draft itself, or else with what the relay would become.
    pub fn finish_over(mut self, running: &Config) -> Result<Reload, Vec<ConfigError>> {
        self.check_relations();
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        let mut reload = Reload::default();
        let is_told = running.notify.url.is_some() && self.config.notify.url.is_some();
        for key in KEYS.iter() {
            let (was, wanted) = (key.value(running), key.value(&self.config));
            if was == wanted {
                continue;
            }
            let changes = match key.change {
                Change::Reload => true,
                Change::Counted => running.quota.is_some(),
                Change::Told => is_told,
                Change::Restart => false,
            };
            if changes {
                reload.changed.push(Changed { key, was });
            } else {
                (key.copy)(running, &mut self.config);
                self.places.insert(key.path(), Place::Running);
                reload.kept.push(key);
            }
        }
        reload.config = self.finish()?;
        Ok(reload)
    }

    fn check_relations(&mut self) {
        let broken = RELATIONS
            .iter()
            .filter(|relation| !(relation.holds)(&self.config));
        for relation in broken {
            let values: Vec<_> = relation.keys.iter().map(|path| self.origin(path)).collect();
            self.errors.push(ConfigError::Relation {
                rule: relation.rule(),
                why: relation.why,
                values: values.join("; "),
            });
        }
    }

    /// A key's value and where it was written.
    fn origin(&self, path: &str) -> String {
        let (table, name) = path.split_once('.').expect("a relation names whole keys");
        let key = find(table, name).expect("a relation names keys that there are");
        let place = self.places.get(path).unwrap_or(&Place::Default);
        format!("{path} = {} ({place})", key.value(&self.config))
    }
}

/// What a configuration changes of a relay that runs with another one.
#[derive(Debug, Default)]
pub struct Reload {
    /// What is in effect from now on.
    pub config: Config,
    pub changed: Vec<Changed>,
    /// Those that would have changed and need a restart.
    pub kept: Vec<&'static Key>,
}

/// A key whose value changes.
#[derive(Debug)]
pub struct Changed {
    pub key: &'static Key,
    /// As TOML writes it.
    pub was: String,
}

fn find(table: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter()
        .find(|key| key.table == table && key.name == name)
}

/// A value of the file as `--set` would write it.
fn value_text(value: &DeValue<'_>) -> Result<String, &'static str> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Float(_) => Err("a number with a fraction"),
        DeValue::Boolean(_) => Err("true or false"),
        DeValue::Datetime(_) => Err("a date or a time of day"),
        DeValue::Array(_) => Err("an array"),
        DeValue::Table(_) => Err("a table"),
    }
}

/// The text without the quotes that TOML would need and a command line does not.
fn unquoted(text: &str) -> &str {
    let inner = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}

/// The candidate that is most like the word, if one is.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .map(|candidate| {
            let likeness = strsim::normalized_damerau_levenshtein(word, candidate);
            (likeness, candidate)
        })
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

fn table_unknown(place: Place, table: &str) -> ConfigError {
    let hint = match nearest(table, TABLES.iter().copied()) {
        Some(near) => format!("did you mean [{near}]?"),
        None => format!("the tables are {}", TABLES.join(", ")),
    };
    ConfigError::TableUnknown {
        place,
        table: table.to_owned(),
        hint,
    }
}

fn key_unknown(place: Place, table: Option<&str>, name: &str) -> ConfigError {
    let of_table = || KEYS.iter().filter(|key| Some(key.table) == table);
    let near = nearest(name, of_table().map(|key| key.name));
    let elsewhere = || {
        let near = nearest(name, KEYS.iter().map(|key| key.name))?;
        KEYS.iter().find(|key| key.name == near)
    };
    let candidate = of_table()
        .find(|key| Some(key.name) == near)
        .or_else(elsewhere);
    let hint = match (candidate, table) {
        (Some(key), _) => format!("did you mean {}?", key.path()),
        (None, Some(table)) => {
            let names: Vec<_> = of_table().map(|key| key.name).collect();
            format!("the keys of [{table}] are {}", names.join(", "))
        }
        (None, None) => format!(
            "a key stands in its table; the tables are {}",
            TABLES.join(", ")
        ),
    };
    ConfigError::KeyUnknown {
        place,
        key: table.map_or_else(|| name.to_owned(), |table| format!("{table}.{name}")),
        hint,
    }
}

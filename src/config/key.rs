//! One key of the configuration, as data, and the macro that declares them all.

use super::Config;

/// What it takes to change a key of a relay that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A reload of the configuration.
    Reload,
    /// A reload, where some quota was set before: otherwise nothing has been counted.
    Counted,
    /// A reload, where webhooks are on before and after: otherwise there is no outbox, or one that nobody empties.
    Told,
    /// A restart.
    Restart,
}

impl Change {
    /// Where it is in effect, in the words of the commented file.
    fn words(self) -> &'static str {
        match self {
            Self::Reload => "Changed by a reload",
            Self::Counted => "Changed by a reload if a quota was set before",
            Self::Told => {
                "Changed by a reload from one to another, and by a restart from or to none"
            }
            Self::Restart => "Changed by a restart",
        }
    }
}

/// What is known about one key. There is exactly one for every field of [`Config`]'s tables.
pub struct Key {
    pub table: &'static str,
    pub name: &'static str,
    /// What it does and what more of it costs, in lines.
    pub effect: &'static [&'static str],
    /// The unit in one word, and the values that it takes.
    pub unit: fn() -> (&'static str, String),
    /// What changes it while the relay runs.
    pub change: Change,
    pub(super) read: fn(&Config) -> String,
    pub(super) write: fn(&mut Config, &str) -> Result<(), String>,
    /// Makes its value in the second what it is in the first.
    pub(super) copy: fn(&Config, &mut Config),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.path())
    }
}

impl Key {
    /// `table.name`, as `--set` and messages write it.
    pub fn path(&self) -> String {
        format!("{}.{}", self.table, self.name)
    }

    /// The value in this configuration, as TOML writes it.
    pub fn value(&self, config: &Config) -> String {
        (self.read)(config)
    }

    /// What the file says above the key: its effect, then its unit and range, and what changes it.
    pub fn comment(&self) -> String {
        let mut comment = String::from("\n");
        for line in self.effect {
            comment += &format!("#{line}\n");
        }
        let (unit, range) = (self.unit)();
        let change = self.change.words();
        comment + &format!("# Unit: {unit}. Range: {range}. {change}.\n")
    }
}

/// Declares the tables: a struct for each, [`Config`] over them, their defaults, and a [`Key`] for each field.
///
/// A key is written `/// effect`, then `name: type = default, unit, change;`, where the unit implements
/// [`Unit`](super::unit::Unit) for the type and says the range, and the change is one of [`Change`].
macro_rules! tables {
    ($(
        $(#[doc = $about:literal])+
        $table:ident: $struct:ident {
            $(
                $(#[doc = $effect:literal])+
                $name:ident: $type:ty = $default:expr, $unit:expr, $change:ident;
            )+
        }
    )+) => {
        /// Everything that can be configured; one field per table of the file.
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct Config {
            $(pub $table: $struct,)+
        }

        $(
            $(#[doc = $about])+
            #[derive(Debug, Clone, PartialEq)]
            pub struct $struct {
                $(
                    $(#[doc = $effect])+
                    pub $name: $type,
                )+
            }

            impl Default for $struct {
                fn default() -> Self {
                    Self { $($name: $default,)+ }
                }
            }
        )+

        /// The names of the tables, in the order of the file.
        pub static TABLES: &[&str] = &[$(stringify!($table),)+];

        /// Every key, in the order of the file.
        pub static KEYS: &[Key] = &[$($(
            Key {
                table: stringify!($table),
                name: stringify!($name),
                effect: &[$($effect,)+],
                unit: || (Unit::<$type>::name(&$unit), Unit::<$type>::range(&$unit)),
                change: Change::$change,
                read: |config| Unit::<$type>::literal(&$unit, &config.$table.$name),
                write: |config, text| {
                    config.$table.$name = Unit::<$type>::parse(&$unit, text)?;
                    Ok(())
                },
                copy: |from, to| to.$table.$name = from.$table.$name.clone(),
            },
        )+)+];
    };
}

pub(super) use tables;

//! One key of the configuration, as data, and the macro that declares them all.

use super::Config;

/// What is known about one key. There is exactly one for every field of [`Config`]'s tables.
pub struct Key {
    pub table: &'static str,
    pub name: &'static str,
    /// What it does and what more of it costs, in lines.
    pub effect: &'static [&'static str],
    /// The unit in one word, and the values that it takes.
    pub unit: fn() -> (&'static str, String),
    pub(super) read: fn(&Config) -> String,
    pub(super) write: fn(&mut Config, &str) -> Result<(), String>,
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

    /// What the file says above the key: its effect, then its unit and range.
    pub fn comment(&self) -> String {
        let mut comment = String::from("\n");
        for line in self.effect {
            comment += &format!("#{line}\n");
        }
        let (unit, range) = (self.unit)();
        comment + &format!("# Unit: {unit}. Range: {range}.\n")
    }
}

/// Declares the tables: a struct for each, [`Config`] over them, their defaults, and a [`Key`] for each field.
///
/// A key is written `/// effect`, then `name: type = default, unit;`, where the unit implements
/// [`Unit`](super::unit::Unit) for the type and says the range.
macro_rules! tables {
    ($(
        $(#[doc = $about:literal])+
        $table:ident: $struct:ident {
            $(
                $(#[doc = $effect:literal])+
                $name:ident: $type:ty = $default:expr, $unit:expr;
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
                read: |config| Unit::<$type>::literal(&$unit, &config.$table.$name),
                write: |config, text| {
                    config.$table.$name = Unit::<$type>::parse(&$unit, text)?;
                    Ok(())
                },
            },
        )+)+];
    };
}

pub(super) use tables;

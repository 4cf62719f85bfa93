//! Typed configuration: what can be set, how it is written, and what must hold between the values.
//!
//! `table` declares every key once; what parses, checks and explains values is driven by it. `tuning/corelay.toml`
//! is its printed form. A [`Draft`] gathers the text of a file and the arguments of the command line, and becomes a
//! [`Config`] or the list of everything that is wrong. Nothing here reads a file, the environment or the machine:
//! whoever calls hands in text, and whether a core or a port exists is the preflight's question.

use std::path::Path;

use hyper::Uri;

mod budget;
mod cores;
mod draft;
mod error;
mod key;
mod origins;
mod proxies;
mod relation;
mod table;
mod unit;
mod word;

pub use budget::{BACKUP_BYTES, Budget, LOG_BYTES_MAX, REQUESTS_MAX, Share, VERDICT_BYTES_MAX};
pub(crate) use cores::cores_text;
pub use cores::{Cores, CoresError};
pub use draft::{Changed, Draft, Reload};
pub use error::{ConfigError, Place};
pub use key::{Change, Key};
pub use origins::Origins;
pub use proxies::Proxies;
pub use table::{
    Auth, Config, Connection, Document, Fanout, KEYS, Listen, Log, Memory, Notify, Presence, Quota,
    Rate, Shards, Shutdown, Store, TABLES,
};
pub(crate) use unit::{bytes_text, mebibytes_text, time};
pub use word::{AuthMode, Durability, LogFormat};

impl Config {
    /// Every key with its value, as a file that gives this configuration.
    pub fn to_toml(&self) -> String {
        self.print(|_| String::new())
    }

    /// The same, each key under what it does, its unit and its range. Of the defaults, this is
    /// `tuning/corelay.toml`.
    pub fn to_commented_toml(&self) -> String {
        let head = "# Every key of corelay with its meaning, its unit, its range and its value.\n\
                    # All keys are optional; one that is left out has its default.\n\n";
        head.to_owned() + &self.print(Key::comment)
    }

    fn print(&self, comment: impl Fn(&Key) -> String) -> String {
        let mut text = String::new();
        for table in TABLES {
            if !text.is_empty() {
                text.push('\n');
            }
            text += &format!("[{table}]\n");
            for key in KEYS.iter().filter(|key| key.table == *table) {
                text += &comment(key);
                text += &format!("{} = {}\n", key.name, key.value(self));
            }
        }
        text
    }
}

/// Where the relay finds what it checks tokens with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySource<'a> {
    KeyFile(&'a Path),
    JwksFile(&'a Path),
    JwksUrl(&'a Uri),
    SecretFile(&'a Path),
    /// The name of an environment variable.
    SecretEnv(&'a str),
}

impl Auth {
    /// The sources that are set: one with the mode "jwt", otherwise none.
    pub fn key_sources(&self) -> impl Iterator<Item = KeySource<'_>> {
        [
            self.jwt_key_file.as_deref().map(KeySource::KeyFile),
            self.jwks_file.as_deref().map(KeySource::JwksFile),
            self.jwks_url.as_ref().map(KeySource::JwksUrl),
            self.jwt_secret_file.as_deref().map(KeySource::SecretFile),
            self.jwt_secret_env.as_deref().map(KeySource::SecretEnv),
        ]
        .into_iter()
        .flatten()
    }
}

impl Quota {
    /// Whether tenants have any.
    pub fn is_some(&self) -> bool {
        self.connections_max.is_some()
            || self.documents_max.is_some()
            || self.stored_bytes_max.is_some()
    }
}

impl Presence {
    /// The time between two updates of one client that are passed on.
    pub fn update_interval(&self) -> std::time::Duration {
        std::time::Duration::from_secs(1) / self.updates_per_second_max
    }
}

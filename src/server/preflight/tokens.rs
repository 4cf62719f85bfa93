//! What tokens are checked with, here and elsewhere.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;

use hyper::Uri;
use tokio::sync::Notify;

use super::super::clock::Clock;
use super::super::control::Control;
use super::super::key_set::KeySet;
use super::super::{ServerError, check_auth, keys, revocation_file};
use super::{Check, Finding};
use crate::config::{Auth, AuthMode};

const KEYS: &str = "auth";
const REVOCATIONS: &str = "revocations";
const KEY_SET: &str = "auth.jwks_url";
const WEBHOOK: &str = "auth.webhook_url";

/// `None`: nobody is asked for a token.
pub fn keys(config: &Auth) -> Option<Check> {
    if config.mode == AuthMode::None {
        return None;
    }
    Some(match check_auth(config) {
        Ok(()) => Check::good(KEYS, source(config)),
        Err(error) => Check::wrong(
            KEYS,
            Finding {
                what: "nobody's token could be checked".to_owned(),
                why: error.to_string(),
                remedy: "Put it there, readable by the relay's user, or name another one: [auth] in the configuration."
                    .to_owned(),
            },
        ),
    })
}

/// Who says who somebody is, as the configuration has it.
pub fn source(config: &Auth) -> String {
    match config.mode {
        AuthMode::None => "none".to_owned(),
        AuthMode::Jwt => {
            let sources: Vec<_> = config.key_sources().map(|it| keys::name(&it)).collect();
            format!("jwt: tokens checked with {}", sources.join(", "))
        }
        AuthMode::Webhook => {
            let url = config.webhook_url.as_ref();
            let url = url.map_or_else(String::new, ToString::to_string);
            format!("webhook: tokens judged by {url}")
        }
    }
}

/// What was taken back before. `None`: nobody is asked for a token.
pub fn revocations(config: &Auth, store: &Path) -> Option<Check> {
    if config.mode == AuthMode::None {
        return None;
    }
    Some(match revocation_file::read(store) {
        Ok(_) => Check::good(REVOCATIONS, "readable"),
        Err(error) => Check::wrong(
            REVOCATIONS,
            Finding {
                what: "tokens that were taken back could be let in".to_owned(),
                why: error.to_string(),
                remedy: "Put the file back as it was, from a backup of the store.".to_owned(),
            },
        ),
    })
}

/// Asks for the keys of tokens, once. `None`: they are not elsewhere.
pub fn key_set(config: &Auth) -> Option<Check> {
    let url = config.jwks_url.as_ref()?;
    let ask = || -> Result<(), ServerError> {
        let control = Control::new()?;
        let mut key_set = KeySet::new(config, url, Clock::start(), Arc::new(Notify::new()))?;
        control.wait_for(key_set.ask()).map(drop)
    };
    Some(match ask() {
        Ok(()) => Check::good(KEY_SET, format!("{url} has keys")),
        Err(error) => Check::wrong(
            KEY_SET,
            Finding {
                what: "nobody's token could be checked".to_owned(),
                why: error.to_string(),
                remedy: format!(
                    "See whether curl -i {url} gives a key set on this machine, as the relay's user; it is a name, a \
                     firewall, a certificate, or the address itself."
                ),
            },
        ),
    })
}

/// Connects to the operator's backend, and asks it nothing. `None`: there is none.
pub fn webhook(config: &Auth) -> Option<Check> {
    let url = config.webhook_url.as_ref()?;
    Some(match connect(url, config.webhook_timeout) {
        Ok(()) => Check::good(WEBHOOK, format!("{url} can be reached")),
        Err(error) => Check::advice(
            WEBHOOK,
            Finding {
                what: format!("{url} cannot be reached: {error}"),
                why: "the relay starts, and tells everybody who comes to try again".to_owned(),
                remedy: format!(
                    "See whether curl -i {url} answers on this machine, as the relay's user."
                ),
            },
        ),
    })
}

fn connect(url: &Uri, timeout: std::time::Duration) -> std::io::Result<()> {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_u16().unwrap_or(match url.scheme_str() {
        Some("https") => 443,
        _ => 80,
    });
    let mut error = std::io::Error::from(std::io::ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(_) => return Ok(()),
            Err(refused) => error = refused,
        }
    }
    Err(error)
}

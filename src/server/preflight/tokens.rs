//! What tokens are checked with, as far as it is on this machine.

use super::super::{check_auth, keys};
use super::{Check, Finding};
use crate::config::{Auth, AuthMode};

const KEYS: &str = "auth";

/// `None`: nobody is asked for a token.
pub fn keys(config: &Auth) -> Option<Check> {
    if config.mode == AuthMode::None {
        return None;
    }
    Some(match check_auth(config) {
        Ok(()) => Check::good(KEYS, source(config)),
        Err(error) => Check::fatal(
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

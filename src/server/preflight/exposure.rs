//! Who may come without being asked who they are.

use super::{Check, Finding};
use crate::config::{AuthMode, Config, Origins};

/// What whoever runs the relay should know of it. Empty where everybody is asked for a token.
pub fn all(config: &Config) -> Vec<Check> {
    if config.auth.mode != AuthMode::None {
        return Vec::new();
    }
    [strangers(config), pages(config)]
        .into_iter()
        .flatten()
        .collect()
}

/// Other machines, or whoever reaches a proxy.
fn strangers(config: &Config) -> Option<Check> {
    let listen = &config.listen;
    let addresses = [listen.websocket, listen.tcp].into_iter().flatten();
    let mut elsewhere = addresses.filter(|address| !address.ip().to_canonical().is_loopback());
    let is_reached = elsewhere.next().is_some() || listen.proxies.is_some();
    is_reached.then(|| {
        let finding = Finding {
            what: "THERE IS NO AUTHENTICATION".to_owned(),
            why: "whoever reaches the relay can read and change every document".to_owned(),
            remedy: "Set auth.mode = \"jwt\" or \"webhook\" to ask for tokens, or listen where only this machine \
                     reaches it: listen.websocket = \"127.0.0.1:7400\", listen.tcp = \"off\"."
                .to_owned(),
        };
        Check::advice("auth.mode", finding)
    })
}

/// A browser asks nobody whether a page may open a WebSocket, and it is on this machine or on one that reaches it.
fn pages(config: &Config) -> Option<Check> {
    let is_open = config.listen.websocket.is_some() && config.listen.origins == Origins::Any;
    is_open.then(|| {
        let finding = Finding {
            what: "EVERY WEB PAGE MAY CONNECT, and nobody is asked for a token".to_owned(),
            why: "any page that somebody opens in a browser that reaches the relay can read and change every document"
                .to_owned(),
            remedy: "List the pages that may, as in listen.origins = \"https://app.example\", or ask for tokens \
                     (auth.mode)."
                .to_owned(),
        };
        Check::advice("listen.origins", finding)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Draft;

    fn names(settings: &[&str]) -> Vec<String> {
        let mut draft = Draft::default();
        settings.iter().for_each(|setting| draft.set(setting));
        let config = draft.finish().expect("it is in order");
        let checks = all(&config).into_iter();
        checks.map(|check| check.name).collect()
    }

    #[test]
    fn who_is_open_to_others_is_told() {
        let own = "listen.websocket=127.0.0.1:7400";
        let off = "listen.tcp=off";
        let listed = "listen.origins=https://app.example";
        let secret = "auth.jwt_secret_env=SECRET";
        let table: &[(&[&str], &[&str])] = &[
            (&[], &["auth.mode", "listen.origins"]),
            (&["auth.mode=jwt", secret], &[]),
            (&[own], &["auth.mode", "listen.origins"]),
            (&[own, off], &["listen.origins"]),
            (&[own, off, listed], &[]),
            (&["listen.websocket=[::1]:7400", off, listed], &[]),
            (&["listen.websocket=[::]:7400", off, listed], &["auth.mode"]),
            (
                &[own, off, listed, "listen.proxies=127.0.0.1"],
                &["auth.mode"],
            ),
            (&["listen.websocket=off", "listen.tcp=127.0.0.1:7401"], &[]),
        ];
        for (settings, expected) in table {
            assert_eq!(names(settings), *expected, "{settings:?}");
        }
    }
}

//! What must hold between keys, each with its reason.

use std::net::SocketAddr;
use std::time::Duration;

use super::table::Config;
use super::word::AuthMode;

/// A rule over the values of some keys.
pub struct Relation {
    pub(super) keys: &'static [&'static str],
    /// How the first key stands to the second, or a sentence of its own.
    must: Must,
    pub(super) why: &'static str,
    pub(super) holds: fn(&Config) -> bool,
}

enum Must {
    Compare(&'static str),
    Say(&'static str),
}

impl Relation {
    pub(super) fn rule(&self) -> String {
        match self.must {
            Must::Compare(how) => format!("{} must be {how} {}", self.keys[0], self.keys[1]),
            Must::Say(sentence) => sentence.to_owned(),
        }
    }
}

/// A value that can be compared with others of its dimension.
trait Magnitude {
    fn magnitude(&self) -> u128;
}

impl Magnitude for usize {
    fn magnitude(&self) -> u128 {
        *self as u128
    }
}

impl Magnitude for u64 {
    fn magnitude(&self) -> u128 {
        u128::from(*self)
    }
}

impl Magnitude for Duration {
    fn magnitude(&self) -> u128 {
        self.as_nanos()
    }
}

macro_rules! relation {
    ($table:ident.$key:ident at least $other_table:ident.$other:ident, $why:literal) => {
        relation!($table.$key, $other_table.$other, "at least", >=, $why)
    };
    ($table:ident.$key:ident more than $other_table:ident.$other:ident, $why:literal) => {
        relation!($table.$key, $other_table.$other, "more than", >, $why)
    };
    ($table:ident.$key:ident, $other_table:ident.$other:ident, $how:literal, $compare:tt, $why:literal) => {
        Relation {
            keys: &[
                concat!(stringify!($table), ".", stringify!($key)),
                concat!(stringify!($other_table), ".", stringify!($other)),
            ],
            must: Must::Compare($how),
            why: $why,
            holds: |config| {
                config.$table.$key.magnitude() $compare config.$other_table.$other.magnitude()
            },
        }
    };
}

const LISTENERS: &[&str] = &["listen.websocket", "listen.tcp", "listen.admin"];

const KEY_SOURCES: &[&str] = &[
    "auth.mode",
    "auth.jwt_key_file",
    "auth.jwks_file",
    "auth.jwks_url",
    "auth.jwt_secret_file",
    "auth.jwt_secret_env",
];

pub static RELATIONS: &[Relation] = &[
    Relation {
        keys: &["listen.websocket", "listen.tcp"],
        must: Must::Say("listen.websocket and listen.tcp must not both be off"),
        why: "no client could connect",
        holds: |config| config.listen.websocket.is_some() || config.listen.tcp.is_some(),
    },
    Relation {
        keys: LISTENERS,
        must: Must::Say("the addresses of [listen] must not share a port"),
        why: "each speaks another protocol",
        holds: listeners_differ,
    },
    Relation {
        keys: KEY_SOURCES,
        must: Must::Say(
            "auth.mode = \"jwt\" needs exactly one of auth.jwt_key_file, auth.jwks_file, auth.jwks_url, \
             auth.jwt_secret_file and auth.jwt_secret_env",
        ),
        why: "a token is checked with what one of them holds",
        holds: |config| config.auth.mode != AuthMode::Jwt || config.auth.key_sources().count() == 1,
    },
    Relation {
        keys: KEY_SOURCES,
        must: Must::Say("the keys of tokens need auth.mode = \"jwt\""),
        why: "with \"none\" no token is asked for and everybody may do everything, with \"webhook\" the backend checks them",
        holds: |config| config.auth.mode == AuthMode::Jwt || config.auth.key_sources().count() == 0,
    },
    Relation {
        keys: &["auth.mode", "auth.webhook_url"],
        must: Must::Say("auth.webhook_url and auth.mode = \"webhook\" need each other"),
        why: "a backend that is not asked decides nothing",
        holds: |config| {
            (config.auth.mode == AuthMode::Webhook) == config.auth.webhook_url.is_some()
        },
    },
    Relation {
        keys: &["connection.handshake_timeout", "auth.webhook_timeout"],
        must: Must::Say(
            "with auth.mode = \"webhook\", connection.handshake_timeout must be more than auth.webhook_timeout",
        ),
        why: "a client waits for the backend's word before it is let in",
        holds: |config| {
            config.auth.mode != AuthMode::Webhook
                || config.connection.handshake_timeout > config.auth.webhook_timeout
        },
    },
    Relation {
        keys: &["notify.url", "notify.secret_file"],
        must: Must::Say("notify.url and notify.secret_file need each other"),
        why: "what is not signed can be anybody's",
        holds: |config| config.notify.url.is_some() == config.notify.secret_file.is_some(),
    },
    relation!(notify.debounce_max at least notify.debounce,
        "a change is told at the latest after that"),
    relation!(notify.retry_for at least notify.retry_pause_max,
        "a notice is tried again before it is given up"),
    relation!(auth.jwks_refresh at least auth.jwks_refetch_after,
        "nothing is asked for more often than that"),
    Relation {
        keys: &[
            "connection.posted_bytes_max",
            "connection.message_bytes_max",
        ],
        must: Must::Say(
            "connection.posted_bytes_max must be at least twice connection.message_bytes_max",
        ),
        why: "the largest message must be able to be posted",
        holds: |config| {
            config.connection.posted_bytes_max / 2 >= config.connection.message_bytes_max
        },
    },
    Relation {
        keys: &["http.bytes_max", "document.bytes_max"],
        must: Must::Say("http.bytes_max must be at least four times document.bytes_max"),
        why: "the largest text must be able to be read",
        holds: |config| config.http.bytes_max / 4 >= config.document.bytes_max,
    },
    relation!(connection.pong_timeout more than connection.ping_period,
        "a quiet client is asked before it is given up"),
    relation!(connection.inflight_bytes_max at least connection.message_bytes_max,
        "a client must be able to send its largest message"),
    relation!(fanout.ring_slots at least fanout.lag_operations_max,
        "a subscriber is kept in the ring as long as it does not lag too far"),
    relation!(fanout.ring_bytes_max at least fanout.lag_bytes_max,
        "a subscriber is kept in the ring as long as it does not lag too far"),
    relation!(fanout.ring_bytes_max at least connection.message_bytes_max,
        "the ring must hold the largest message"),
    relation!(fanout.lag_bytes_max at least connection.message_bytes_max,
        "one large message must not overtake every subscriber"),
    relation!(fanout.lag_operations_max at least connection.batch_operations_max,
        "one large batch must not overtake every subscriber"),
    relation!(fanout.lag_bytes_max at least fanout.flush_bytes_max,
        "a subscriber may always be as far behind as one send"),
    relation!(connection.message_bytes_max at least presence.bytes_max,
        "a presence arrives in one message"),
    relation!(store.commit_bytes_max at least connection.message_bytes_max,
        "a commit must hold the largest message"),
    relation!(memory.input_bytes_max at least connection.message_bytes_max,
        "the largest message must be able to arrive"),
    relation!(memory.input_bytes_max at least connection.handshake_bytes_max,
        "the largest handshake must be able to arrive"),
    relation!(memory.output_bytes_max at least fanout.flush_bytes_max,
        "the unsent rest of a send is kept there"),
    relation!(memory.output_bytes_max at least connection.message_bytes_max,
        "the largest message must be able to leave"),
    relation!(memory.output_bytes_max at least memory.catch_up_page_bytes,
        "a page must be able to leave"),
    relation!(memory.pending_bytes_max at least connection.inflight_bytes_max,
        "one client must be able to send what it may have unacknowledged"),
    relation!(memory.document_bytes_max at least document.bytes_max,
        "the largest document must be able to open"),
    relation!(memory.document_bytes_max at least document.history_bytes_max,
        "a document's history is part of it"),
    relation!(memory.document_bytes_max at least fanout.ring_bytes_max,
        "a document's ring is part of it"),
];

fn listeners_differ(config: &Config) -> bool {
    let listen = &config.listen;
    let addresses: Vec<SocketAddr> = [listen.websocket, listen.tcp, listen.admin]
        .into_iter()
        .flatten()
        .collect();
    addresses.iter().enumerate().all(|(index, left)| {
        addresses[..index].iter().all(|right| {
            let one_host = left.ip() == right.ip()
                || left.ip().is_unspecified()
                || right.ip().is_unspecified();
            // The system chooses for port 0, and chooses a free one.
            left.port() != right.port() || left.port() == 0 || !one_host
        })
    })
}

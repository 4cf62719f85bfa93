//! What a seed makes of a run: the relay's limits, who takes part, and how much goes wrong.

use std::time::Duration;

use corelay::config::{Config, Durability, Quota};
use corelay::engine::shard::{Authority, Settings};

use super::document::Document;
use super::random::Random;
use super::storage::StorageRates;

/// A deliberate fault of the rig itself, which the checks must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The store confirms what it has not synced.
    EarlyConfirmation,
    /// One RemoteOps that was sent does not arrive.
    LostDelivery,
    /// One Ack arrives twice.
    RepeatedAcknowledgement,
    /// One bit of what another client wrote is changed on the way.
    ChangedOperation,
    /// A PresenceUpdate that says that somebody left does not arrive.
    LostLeave,
    /// One operation of a page does not arrive.
    LostFromPage,
    /// What a resume token stands for is further than what came with it.
    SkippingToken,
    /// One piece of a snapshot is something else.
    ChangedSnapshot,
    /// The relay never sees what a batch's sender expects.
    OverlookedExpectation,
    /// What the relay has to send to one connection is never asked for.
    LostWakeup,
    /// The relay takes tokens for longer than they say.
    OverlookedExpiry,
    /// The relay does not hear that a token was taken back.
    LostRevocation,
    /// To the relay everybody is of one tenant.
    OneTenant,
    /// To the relay every token is for every document.
    EveryDocument,
    /// To the relay every token permits everything.
    EveryPermission,
    /// An entry of a history has another time.
    ChangedPast,
    /// A list has a document that its reader's token does not name.
    ForeignEntry,
    /// An event stream goes on further than where its client was.
    SkippingEventId,
    /// The relay does not know that a state vector is of an earlier life of its document.
    RevivedVector,
    /// The relay does not know that tenants have quotas.
    OverlookedQuota,
    /// A notice is gone when the commit that it is about is written.
    LostNotice,
    /// A notice of changes does not arrive.
    LostChange,
    /// Notices have the number of the one before.
    RepeatedSequence,
    /// Notices are told before they are synced.
    EarlyNotice,
}

/// Whose documents do not meet those of others.
#[derive(Debug, Clone)]
pub struct Tenant {
    pub name: &'static str,
    pub documents: Vec<Document>,
}

/// Clients have to show tokens.
#[derive(Debug, Clone)]
pub struct Tokens {
    pub lifetimes_ms: Vec<u64>,
    /// How likely it is in one step, in ten thousand, that a client shows another one, …
    pub refresh: u64,
    /// … that one is taken back, …
    pub take_back: u64,
    /// … and that a client tries what it may not.
    pub trespass: u64,
    /// What each tenant may have while things go wrong.
    pub quota: Quota,
}

/// How likely things are, in ten thousand, in one step of the one concerned.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    pub edit: u64,
    pub presence: u64,
    pub heartbeat: u64,
    pub leave: u64,
    pub open_again: u64,
    pub sync_request: u64,
    pub expect: u64,
    pub offer: u64,
    pub delete: u64,
    pub list: u64,
    pub past: u64,
    pub resend: u64,
    pub reset: u64,
    pub abandon: u64,
    pub close: u64,
    pub stall: u64,
    pub skip: u64,
    pub jump: u64,
    pub reload: u64,
    pub kill: u64,
    pub stop: u64,
    pub storage: StorageRates,
}

#[derive(Debug, Clone)]
pub struct Scenario {
    pub durability: Durability,
    pub clients: usize,
    pub tenants: Vec<Tenant>,
    /// `None`: nobody asks for them.
    pub tokens: Option<Tokens>,
    pub hostiles: usize,
    /// Documents are deleted, and made again.
    pub is_deleting: bool,
    pub steps: u64,
    pub step_us_max: u64,
    pub jump_us_max: u64,
    pub link_capacity: usize,
    pub link_bytes_max: usize,
    pub read_bytes_max: usize,
    pub lane_messages_max: usize,
    pub queue_requests_max: usize,
    pub payload_bytes_max: usize,
    pub text_bytes: usize,
    /// When nothing goes wrong any more, the first client's line is slow.
    pub has_slow_client: bool,
    pub rates: Rates,
    settings: Settings,
}

impl Scenario {
    pub fn new(seed: u64, flaw: Option<Flaw>) -> Self {
        let random = &mut Random::new(seed);
        let durability = match (flaw, random.below(4)) {
            (Some(_), _) | (None, 0 | 1) => Durability::Always,
            (None, 2) => Durability::Interval,
            (None, _) => Durability::Never,
        };
        let documents = (0..random.within(1..=3)).map(|number| {
            let kind = random.pick(&["log", "text", "text"]);
            Document::new("", &format!("{kind}-{number}"), kind)
        });
        let nobodys = Tenant {
            name: "",
            documents: documents.collect(),
        };
        let is_small = random.happens(7000);
        let clients = random.within(2..=6) as usize;
        let of_tokens = &mut Random::new(seed ^ 0x70ce);
        let tokens = of_tokens.happens(3500).then(|| Tokens::new(of_tokens));
        let (tenants, clients) = match tokens {
            None => (vec![nobodys], clients),
            Some(_) => (tenants(of_tokens), clients.max(4)),
        };
        let scenario = Self {
            durability,
            tenants,
            tokens,
            clients,
            hostiles: random.up_to(2),
            is_deleting: durability == Durability::Always && random.happens(5000),
            steps: random.within(400..=2000),
            step_us_max: random.pick(&[500, 5_000, 20_000]),
            jump_us_max: random.pick(&[1_000_000, 70_000_000, 700_000_000]),
            link_capacity: random.pick(&[150, 1_000, 65_536]),
            link_bytes_max: random.pick(&[60, 2_000, 65_536]),
            read_bytes_max: random.pick(&[30, 1_000, 65_536]),
            lane_messages_max: random.pick(&[1, 3, 64]),
            queue_requests_max: random.pick(&[1, 4, 4096]),
            payload_bytes_max: random.pick(&[20, 200, 1500]),
            text_bytes: random.pick(&[20, 200, 3000]),
            has_slow_client: false,
            rates: with_reloads(with_past(Rates::new(random), seed), seed),
            settings: with_edges(settings(random, is_small, durability), seed),
        };
        scenario.with_slow_client(seed)
    }

    /// In some, where there is memory for what a slow client has not taken. It is no draw of the others', so that the
    /// rest of a seed is as without it.
    fn with_slow_client(self, seed: u64) -> Self {
        let is_roomy = self.settings.memory.output_bytes_max > 5000;
        Self {
            has_slow_client: is_roomy && Random::new(seed ^ 0x510e).happens(4000),
            ..self
        }
    }

    /// The settings of a process that starts.
    pub fn settings(&self, shards: usize, epoch: u64, started_at_ms: u64) -> Settings {
        Settings {
            shards,
            epoch,
            started_at_ms,
            ..self.settings.clone()
        }
    }

    /// What a client has is never void.
    pub fn is_everlasting(&self) -> bool {
        self.is_lossless() && !self.is_deleting
    }

    pub fn documents_of(&self, tenant: &str) -> &[Document] {
        let tenant = self.tenants.iter().find(|known| known.name == tenant);
        &tenant.expect("everybody is of a tenant").documents
    }

    pub fn has_quota(&self) -> bool {
        let tokens = self.tokens.as_ref();
        tokens.is_some_and(|tokens| tokens.quota != Quota::default())
    }

    pub fn documents(&self) -> impl Iterator<Item = &Document> {
        self.tenants.iter().flat_map(|tenant| &tenant.documents)
    }

    /// State vectors and resume tokens mean the same for ever.
    pub fn is_lossless(&self) -> bool {
        self.durability == Durability::Always
    }

    pub fn limits(&self) -> &Settings {
        &self.settings
    }

    /// The configuration that the relay starts with.
    pub fn config(&self) -> Config {
        let settings = self.settings.clone();
        Config {
            connection: settings.connection,
            rate: settings.rate,
            document: settings.document,
            fanout: settings.fanout,
            presence: settings.presence,
            memory: settings.memory,
            ..Config::default()
        }
    }

    /// Another one, of which nothing needs a restart.
    pub fn another_config(&self, random: &mut Random) -> Config {
        let mut config = self.config();
        let milliseconds = Duration::from_millis;
        let rate = &mut config.rate;
        rate.connection_operations_per_second = random.pick(&[None, Some(30)]);
        rate.connection_requests_per_second = random.pick(&[None, Some(20)]);
        rate.user_operations_per_second = random.pick(&[None, Some(100)]);
        rate.document_bytes_per_second = random.pick(&[None, Some(10_000)]);
        let connection = &mut config.connection;
        connection.ping_period = milliseconds(random.pick(&[300, 5000, 54_000]));
        connection.pong_timeout = connection.ping_period + milliseconds(6000);
        let document = &mut config.document;
        document.history_operations_max = random.pick(&[4, 16, 1000]);
        document.idle_timeout = milliseconds(random.pick(&[100, 5000, 300_000]));
        document.snapshot_operations = random.pick(&[1, 7, 100]);
        let fanout = &mut config.fanout;
        fanout.edge_subscribers_min = random.pick(&[None, Some(1), Some(2), Some(3)]);
        fanout.ring_slots = fanout.lag_operations_max as usize + random.up_to(30);
        fanout.presence_ring_slots = random.pick(&[2, 16]);
        fanout.coalesce_us = random.pick(&[None, Some(1000)]);
        config.presence.updates_per_second_max = random.pick(&[1, 10, 1000]);
        config.presence.ttl = milliseconds(random.pick(&[1000, 30_000]));
        config.memory.catch_up_reads_max = random.pick(&[1, 2, 64]);
        config
    }
}

impl Tokens {
    fn new(random: &mut Random) -> Self {
        let is_limited = random.happens(4000);
        Self {
            lifetimes_ms: random.pick(&[
                vec![250, 2000],
                vec![1000, 20_000, 3_600_000],
                vec![60_000, 1_000_000],
            ]),
            refresh: random.pick(&[5, 50, 300]),
            take_back: random.pick(&[0, 20, 100]),
            trespass: random.pick(&[20, 200]),
            quota: match is_limited {
                true => Quota {
                    connections_max: random.pick(&[None, Some(3), Some(4)]),
                    documents_max: random.pick(&[None, Some(1), Some(2)]),
                    stored_bytes_max: random.pick(&[None, Some(1500), Some(20_000)]),
                },
                false => Quota::default(),
            },
        }
    }
}

/// Several who call their documents the same, and one whose names look like another's.
fn tenants(random: &mut Random) -> Vec<Tenant> {
    let mut names = ["acme", "beta", ""];
    random.shuffle(&mut names);
    let count = random.within(2..=3) as usize;
    let tenants = names[..count].iter().map(|name| {
        let mut ids = vec!["notes-0", "notes-1", "other"];
        ids.truncate(random.within(1..=3) as usize);
        if name.is_empty() {
            ids.push("acme::notes-0");
        }
        let documents = ids.iter().map(|id| {
            let kind = random.pick(&["log", "text", "text"]);
            Document::new(name, id, kind)
        });
        Tenant {
            name,
            documents: documents.collect(),
        }
    });
    tenants.collect()
}

impl Rates {
    fn new(random: &mut Random) -> Self {
        let weather = random.pick(&[0, 1, 1, 4]);
        let mut rate = |rates: &[u64]| random.pick(rates);
        Self {
            edit: rate(&[300, 1500, 6000]),
            presence: rate(&[0, 100, 1500]),
            heartbeat: rate(&[10, 200]),
            leave: rate(&[0, 10, 50]),
            open_again: rate(&[0, 5, 30]),
            sync_request: rate(&[0, 10, 100]),
            expect: rate(&[0, 300, 2000]),
            offer: rate(&[0, 30, 300]),
            delete: rate(&[5, 20, 100]),
            list: rate(&[0, 20, 200]),
            past: 0,
            resend: rate(&[0, 20, 500]),
            reset: weather * rate(&[0, 5, 20]),
            abandon: weather * rate(&[0, 5, 20]),
            close: weather * rate(&[0, 5, 20]),
            stall: weather * rate(&[0, 10, 60]),
            skip: weather * rate(&[0, 500, 1500]),
            jump: weather * rate(&[0, 5, 10]),
            reload: 0,
            kill: weather * rate(&[0, 10, 30]),
            stop: weather * rate(&[0, 0, 5]),
            storage: StorageRates {
                commit: rate(&[500, 3000, 10_000]),
                sync: rate(&[300, 3000, 10_000]),
                read_failure: weather * rate(&[0, 100, 500]),
                write_failure: weather * rate(&[0, 0, 10]),
            },
        }
    }

    /// Nothing goes wrong, and nobody writes any more.
    pub fn calm(&self) -> Self {
        Self {
            edit: 0,
            presence: 0,
            heartbeat: 0,
            leave: 0,
            open_again: 0,
            sync_request: 0,
            expect: 0,
            offer: 0,
            delete: 0,
            list: 0,
            past: 0,
            resend: 0,
            reset: 0,
            abandon: 0,
            close: 0,
            stall: 0,
            skip: 0,
            jump: 0,
            reload: 0,
            kill: 0,
            stop: 0,
            storage: StorageRates {
                commit: 10_000,
                sync: 10_000,
                read_failure: 0,
                write_failure: 0,
            },
        }
    }
}

/// In some, clients ask about the past. It is no draw of the others', so that the rest of a seed is as without it.
fn with_past(rates: Rates, seed: u64) -> Rates {
    let mut random = Random::new(seed ^ 0x9a57);
    Rates {
        past: random.pick(&[0, 0, 30, 300]),
        ..rates
    }
}

/// In some, limits change while the relay runs. It is no draw of the others', so that the rest of a seed is as without
/// it.
fn with_reloads(rates: Rates, seed: u64) -> Rates {
    let mut random = Random::new(seed ^ 0x4e10);
    Rates {
        reload: random.pick(&[0, 0, 20, 200]),
        ..rates
    }
}

/// Some have documents that are busy as soon as anybody is there. It is no draw of the others', so that the rest of a seed
/// is as without it.
fn with_edges(mut settings: Settings, seed: u64) -> Settings {
    let mut random = Random::new(seed ^ 0xed9e);
    settings.fanout.edge_subscribers_min = random.pick(&[None, Some(1), Some(2), Some(3)]);
    settings.document.versions_max = random.pick(&[1, 3]);
    settings
}

/// Limits so small that everything that happens at a limit happens all the time.
fn settings(random: &mut Random, is_small: bool, durability: Durability) -> Settings {
    let mut settings = Settings {
        durability,
        identity_key: [7; 32],
        ..Settings::new(&Config::default(), Authority::Anybody)
    };
    let milliseconds = Duration::from_millis;
    settings.document.delete_grace = milliseconds(random.pick(&[100, 5000, 60_000]));
    if random.happens(2500) {
        let rate = &mut settings.rate;
        rate.burst = milliseconds(random.pick(&[1000, 3000]));
        rate.connection_operations_per_second = random.pick(&[None, Some(30)]);
        rate.connection_bytes_per_second = random.pick(&[None, Some(3000)]);
        rate.connection_requests_per_second = random.pick(&[None, Some(5), Some(20)]);
        rate.user_operations_per_second = random.pick(&[None, Some(100)]);
        rate.document_operations_per_second = random.pick(&[None, Some(50)]);
        rate.document_bytes_per_second = random.pick(&[None, Some(10_000)]);
    }
    if !is_small {
        return settings;
    }
    let connection = &mut settings.connection;
    connection.message_bytes_max = 8192;
    connection.batch_operations_max = random.pick(&[3, 10]);
    connection.inflight_bytes_max = random.pick(&[4096, 100_000]);
    connection.handshake_timeout = milliseconds(random.pick(&[500, 10_000]));
    connection.ping_period = milliseconds(random.pick(&[300, 54_000]));
    connection.pong_timeout = connection.ping_period + milliseconds(random.pick(&[200, 6000]));
    connection.write_timeout = milliseconds(random.pick(&[300, 10_000]));

    let document = &mut settings.document;
    document.bytes_max = random.pick(&[2048, 64 * 1024]);
    document.history_operations_max = random.pick(&[4, 16, 1000]);
    document.history_bytes_max = random.pick(&[1000, 4096, 1_000_000]);
    document.idle_timeout = milliseconds(random.pick(&[100, 5000, 300_000]));
    document.snapshot_operations = random.pick(&[1, 7, 100]);
    document.log_compaction = random.happens(7000);
    document.snapshot_period = milliseconds(random.pick(&[1000, 300_000]));

    let fanout = &mut settings.fanout;
    fanout.lag_operations_max = random.pick(&[10, 30]);
    fanout.ring_slots = random.pick(&[30, 60]);
    fanout.lag_bytes_max = random.pick(&[4096, 10_000]);
    fanout.ring_bytes_max = random.pick(&[10_000, 20_000]);
    fanout.presence_ring_slots = random.pick(&[2, 16]);
    fanout.flush_bytes_max = random.pick(&[100, 1024, 4096]);

    let presence = &mut settings.presence;
    presence.updates_per_second_max = random.pick(&[1, 10, 1000]);
    presence.ttl = milliseconds(random.pick(&[1000, 3000, 30_000]));
    presence.bytes_max = 4096;

    let connection = &settings.connection;
    let memory = &mut settings.memory;
    memory.input_bytes_max = random.pick(&[4096, 64 * 1024]);
    memory.output_bytes_max = random.pick(&[5000, 64 * 1024]);
    memory.document_bytes_max = 4 * 1024 * 1024;
    memory.pending_bytes_max = connection.inflight_bytes_max + random.pick(&[0, 4096, 100_000]);
    memory.catch_up_reads_max = random.pick(&[1, 2, 64]);
    memory.catch_up_page_bytes = random.pick(&[1, 500, 4096]);
    memory.lane_window_bytes = random.pick(&[256, 4096, 100_000]);
    settings
}

//! A run: one seed plays the clients, the network, the relay, its disk and the time, first with faults and then
//! without, and every promise is checked on the way.

use std::collections::BTreeMap;
use std::sync::Arc;

use corelay::auth::Grant;
use corelay::config::{Durability, Quota};
use corelay::engine::Census;
use corelay::engine::shard::{Arrival, Transport};

use super::bearer::Bearer;
use super::client::{Client, Outcome, Surroundings};
use super::hostile::Hostile;
use super::issuer::{Issuer, Token};
use super::judge::{Judge, broken};
use super::network::Link;
use super::random::Random;
use super::relay::{CALM_READ_BYTES, Relay, Turn, UNIX_MS};
use super::scenario::{Flaw, Rates, Scenario};
use super::storage::Storage;
use super::trace::Trace;

/// What was on its way for longer is lost, and with it the connection.
const UNDER_WAY_US_MAX: u64 = 20_000_000;

pub struct World {
    pub(super) scenario: Scenario,
    pub(super) rates: Rates,
    pub(super) is_calm: bool,
    pub(super) flaw: Option<Flaw>,
    pub(super) random: Random,
    /// When limits change, and to what.
    reloads: Random,
    pub(super) trace: Trace,
    pub(super) judge: Judge,
    pub(super) issuer: Issuer,
    pub(super) now_us: u64,
    pub(super) links: BTreeMap<u64, Link>,
    pub(super) links_made: u64,
    pub(super) relay: Option<Relay>,
    pub(super) starts_at_us: u64,
    pub(super) storage: Storage,
    pub(super) clients: Vec<Client>,
    pub(super) hostiles: Vec<Hostile>,
}

/// What a run was like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    pub digest: u64,
    pub deliveries: u64,
    pub acknowledgements: u64,
    pub operations: u64,
}

/// Plays a seed.
///
/// # Panics
///
/// If a promise is broken.
pub fn play(seed: u64, flaw: Option<Flaw>, is_printed: bool) -> Summary {
    let mut world = World::new(seed, flaw, is_printed);
    for _ in 0..world.scenario.steps {
        world.storm();
    }
    world.calm_down();
    world.settle();
    world.check_presence();
    world.check_views();
    world.leave();
    world.read_everything_again();
    world.summary()
}

impl World {
    fn new(seed: u64, flaw: Option<Flaw>, is_printed: bool) -> Self {
        let scenario = Scenario::new(seed, flaw);
        let mut random = Random::new(seed ^ 0x5eed);
        let storage = Storage::new(scenario.durability, flaw);
        let mut judge = Judge::new(storage.epoch(), scenario.tokens.is_some());
        if let Some(tokens) = &scenario.tokens {
            judge.quota = tokens.quota.clone();
        }
        let clients = (0..scenario.clients)
            .map(|number| client(number, &scenario, &mut random))
            .collect();
        let trace = Trace::new(is_printed);
        trace.note(format_args!("{scenario:#?}"));
        Self {
            rates: scenario.rates,
            is_calm: false,
            flaw,
            trace,
            judge,
            issuer: Issuer::new(scenario.tokens.is_some(), flaw),
            now_us: 0,
            links: BTreeMap::new(),
            links_made: 0,
            relay: None,
            starts_at_us: 0,
            storage,
            clients,
            hostiles: Vec::new(),
            random,
            reloads: Random::new(seed ^ 0x11317),
            scenario,
        }
    }

    /// One step with faults.
    fn storm(&mut self) {
        let step_us = self.random.within(1..=self.scenario.step_us_max);
        let jump_us = if self.random.happens(self.rates.jump) {
            self.random.within(1..=self.scenario.jump_us_max)
        } else {
            0
        };
        if jump_us > UNDER_WAY_US_MAX {
            for link in self.links.values_mut().filter(|link| link.is_in_use()) {
                link.reset();
            }
        }
        self.step(step_us + jump_us);
        let is_weak = self.scenario.durability != Durability::Always;
        if self.relay.is_some()
            && (self.random.happens(self.rates.kill)
                || (self.storage.has_failed() && self.random.happens(500)))
        {
            let is_machine = self.random.happens(if is_weak { 5000 } else { 10_000 });
            self.kill(is_machine);
        }
        if self.random.happens(self.rates.stop)
            && let Some(relay) = &mut self.relay
        {
            self.trace.note(format_args!("the relay is asked to stop"));
            relay.begin_stop();
        }
        self.take_back();
        self.reload();
    }

    /// The operator may change limits.
    fn reload(&mut self) {
        if self.reloads.happens(self.rates.reload) {
            let config = self.scenario.another_config(&mut self.reloads);
            if let Some(relay) = &mut self.relay {
                relay.set_limits(&config);
            }
        }
    }

    /// Somebody's token, or all of a user's, may be taken back.
    fn take_back(&mut self) {
        let rate = self.scenario.tokens.as_ref().map_or(0, |it| it.take_back);
        if !self.random.happens(rate) {
            return;
        }
        let index = self.random.below(self.clients.len());
        let Some(token) = self.clients[index].bearer.newest() else {
            return;
        };
        let is_whole_user = self.random.happens(5000);
        self.trace
            .note(format_args!("taken back: {token:?}, {is_whole_user}"));
        self.issuer.take_back(token, is_whole_user, self.now_us);
        if let Some(relay) = &mut self.relay {
            relay.set_authority(&self.issuer.authority());
        }
    }

    pub(super) fn step(&mut self, step_us: u64) {
        self.now_us += step_us;
        self.trace.set_time(self.now_us);
        self.judge.set_time(self.now_us);
        self.start_relay();
        let mut order: Vec<usize> = (0..self.clients.len()).collect();
        self.random.shuffle(&mut order);
        for index in order {
            self.step_client(index);
        }
        self.step_hostiles();
        let bytes_max = if self.is_calm {
            usize::MAX / 2
        } else {
            self.scenario.link_bytes_max
        };
        for link in self.links.values_mut() {
            link.carry(bytes_max, step_us, &mut self.random);
            // Whoever is gone does not answer for ever.
            if link.is_abandoned && self.random.happens(100) {
                link.reset();
            }
        }
        self.step_relay();
        let now_ms = UNIX_MS + self.now_us / 1000;
        let shards = self.relay.as_ref().map_or(0, Relay::shards);
        self.storage.step(
            &self.rates.storage,
            now_ms,
            shards,
            &mut self.random,
            &mut self.judge,
        );
        let relay = self.relay.as_ref();
        self.links.retain(|link, state| {
            !state.is_abandoned || relay.is_some_and(|relay| relay.has_link(*link))
        });
    }

    fn start_relay(&mut self) {
        if self.relay.is_some() || self.now_us < self.starts_at_us {
            return;
        }
        let shards = 1 + self.random.below(2);
        let epoch = self.storage.epoch();
        self.trace
            .note(format_args!("{shards} shards start in epoch {epoch}"));
        let quota = match self.flaw {
            Some(Flaw::OverlookedQuota) => Quota::default(),
            _sound => self.judge.quota.clone(),
        };
        let usage = self.storage.usage(&self.scenario.tenants);
        let connection = &self.scenario.limits().connection;
        self.relay = Some(Relay::new(
            &self.scenario,
            shards,
            epoch,
            self.issuer.authority(),
            Census::new(connection, &quota, &usage),
            self.now_us,
        ));
        self.issuer.is_in_force(self.now_us);
    }

    fn step_client(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let Some(session) = &client.session else {
            if self.relay.is_some() && (self.is_calm || self.random.happens(1500)) {
                self.connect_client(index);
            }
            return;
        };
        let link_number = session.link;
        let link = self
            .links
            .get_mut(&link_number)
            .expect("links outlive their clients");
        let mut around = Surroundings {
            now_us: self.now_us,
            random: &mut self.random,
            judge: &mut self.judge,
            trace: &mut self.trace,
            issuer: &mut self.issuer,
            shards: self.relay.as_ref().map_or(0, Relay::shards),
            has_quota: self.scenario.has_quota(),
            scenario: &self.scenario,
            rates: &self.rates,
            is_calm: self.is_calm,
            flaw: &mut self.flaw,
        };
        let outcome = client.step(link, &mut around);
        if outcome == Outcome::Stays {
            return;
        }
        self.trace
            .note(format_args!("{}: {outcome:?}", client.name));
        client.disconnected();
        link.is_abandoned = true;
        match outcome {
            Outcome::Closed => link.up.end(),
            Outcome::Reset => link.reset(),
            Outcome::Stays | Outcome::Abandoned => (),
        }
    }

    fn connect_client(&mut self, index: usize) {
        let has_token = self.issuer.asks_for_tokens();
        let client = &mut self.clients[index];
        let manner = client.any_manner(has_token, &mut self.random);
        let token = client.bearer.token(
            &mut self.issuer,
            self.now_us,
            self.is_calm,
            &mut self.random,
        );
        let mut arrival = client.arrival(&manner, &token);
        if manner.shows_token_early {
            match self.authenticate(&token) {
                Some(grant) => arrival.grant = grant,
                None => return,
            }
        }
        let is_slow = self.is_calm && self.scenario.has_slow_client && index == 0;
        if let Some(link) = self.connect(arrival, is_slow) {
            let client = &mut self.clients[index];
            self.trace
                .note(format_args!("{} connects: {manner:?}", client.name));
            client.connected(link, manner, token, self.now_us, self.is_calm);
        }
    }

    /// What a token grants that comes with a handshake. `None`: the relay does not accept it.
    fn authenticate(&mut self, token: &Token) -> Option<Option<Arc<Grant>>> {
        let relay = self.relay.as_mut().expect("the caller knows");
        match relay.authenticate(&token.text, self.now_us, &mut self.random) {
            Ok(_) if self.issuer.counts_until_us(token) < self.now_us => {
                broken!("S8", "{token:?} is over, and was accepted")
            }
            Ok(grant) => Some(grant),
            Err(_) if self.issuer.may_be_refused(token, self.now_us) => None,
            Err(error) => broken!("L1", "{token:?} is refused: {error}"),
        }
    }

    /// A connection to the relay, if it takes one.
    fn connect(&mut self, arrival: Arrival, is_slow: bool) -> Option<u64> {
        let relay = self.relay.as_mut()?;
        let number = self.links_made;
        let is_taken = relay.accept(number, arrival, self.now_us, &mut self.random);
        is_taken.then(|| {
            self.links_made += 1;
            let capacity = if self.is_calm {
                65_536
            } else {
                self.scenario.link_capacity
            };
            let link = match is_slow {
                true => Link::slow(),
                false => Link::new(capacity),
            };
            self.links.insert(number, link);
            number
        })
    }

    fn step_hostiles(&mut self) {
        if !self.is_calm
            && self.hostiles.len() < self.scenario.hostiles
            && self.random.happens(1000)
        {
            let transport = self.random.pick(&[Transport::Tcp, Transport::WebSocket]);
            if let Some(link) = self.connect(Arrival::new(transport), false) {
                let document = self.any_text();
                let may_enter = !self.issuer.asks_for_tokens();
                let hostile = Hostile::new(link, transport, document, may_enter, &mut self.random);
                self.hostiles.push(hostile);
            }
        }
        let (links, random) = (&mut self.links, &mut self.random);
        self.hostiles.retain_mut(|hostile| {
            let link = links
                .get_mut(&hostile.link)
                .expect("links outlive their clients");
            let stays = hostile.step(link, random) && !random.happens(50);
            if !stays {
                link.up.end();
                link.is_abandoned = true;
            }
            stays
        });
    }

    /// A text, for operations that no text takes: a log takes any.
    fn any_text(&mut self) -> Arc<str> {
        let documents = self.scenario.documents();
        let texts = documents.filter(|document| document.kind == "text");
        let mut names: Vec<_> = texts.map(|document| document.id.clone()).collect();
        names.push("junk-0".into());
        self.random.pick(&names)
    }

    fn step_relay(&mut self) {
        let Some(relay) = &mut self.relay else {
            return;
        };
        relay.turn(&mut Turn {
            now_us: self.now_us,
            random: &mut self.random,
            trace: &mut self.trace,
            scenario: &self.scenario,
            rates: &self.rates,
            links: &mut self.links,
            storage: &mut self.storage,
            is_calm: self.is_calm,
            flaw: &mut self.flaw,
        });
        let read_bytes_max = if self.is_calm {
            CALM_READ_BYTES
        } else {
            self.scenario.read_bytes_max
        };
        relay.check_memory(&self.scenario, read_bytes_max);
        if relay.is_authority_known() {
            self.issuer.is_in_force(self.now_us);
        }
        if relay.is_stopped() {
            self.trace.note(format_args!("the relay has stopped"));
            self.storage.close();
            self.judge.synced();
            self.end_process(false);
        }
    }

    /// The process ends at once, with the machine or alone.
    pub(super) fn kill(&mut self, is_machine: bool) {
        self.trace
            .note(format_args!("killed, with the machine: {is_machine}"));
        self.storage.crash(is_machine, &mut self.random);
        self.end_process(is_machine);
    }

    fn end_process(&mut self, is_machine: bool) {
        self.relay = None;
        self.starts_at_us = self.now_us + self.random.within(1..=200_000);
        for link in self.links.values_mut() {
            // What a process has sent still arrives, what a machine has not.
            if is_machine || self.random.happens(5000) {
                link.reset();
            } else {
                link.down.end();
            }
        }
        let is_lossless = self.scenario.durability == Durability::Always || !is_machine;
        let storage = &self.storage;
        self.judge
            .restarted(storage.epoch(), is_lossless, |document| {
                storage.fate(document)
            });
        self.judge
            .found_versions(is_lossless, |document| storage.versions(document));
    }

    fn summary(&self) -> Summary {
        let documents = self.judge.current();
        Summary {
            digest: self.trace.digest(),
            deliveries: self.judge.deliveries,
            acknowledgements: self.judge.acknowledgements,
            operations: documents
                .map(|document| self.judge.revision(document))
                .sum(),
        }
    }
}

/// A client with some of the documents.
fn client(number: usize, scenario: &Scenario, random: &mut Random) -> Client {
    let tenant = &scenario.tenants[number % scenario.tenants.len()];
    let documents = tenant.documents.iter();
    let mut chosen: Vec<_> = documents
        .filter(|_| random.happens(7000))
        .cloned()
        .collect();
    if chosen.is_empty() {
        chosen.push(tenant.documents[0].clone());
    }
    let mut uuid = random.bytes(16);
    let bearer = match &scenario.tokens {
        None => Bearer::anybody(),
        Some(tokens) => {
            // Across tenants, the same is somebody else.
            uuid[1..].fill(7);
            uuid[0] = (number / scenario.tenants.len()) as u8;
            Bearer::any(tenant.name, &tenant.documents, &tokens.lifetimes_ms, random)
        }
    };
    Client::new(format!("client {number}"), uuid, bearer, chosen)
}

//! The second part of a run: the faults have stopped, and everybody must get everything.

use std::collections::BTreeMap;

use corelay::config::{Durability, Quota};

use super::bearer::Bearer;
use super::client::Client;
use super::judge::broken;
use super::rights::Right;
use super::world::World;

/// When faults have stopped, everybody has everything within this time.
const SETTLED_US_MAX: u64 = 240_000_000;
const CALM_STEP_US: u64 = 5_000;
/// A planned stop takes no longer, whatever clients do.
const STOP_US_MAX: u64 = 60_000_000;

impl World {
    /// The faults stop. One client is gone for ever.
    pub(super) fn calm_down(&mut self) {
        self.trace.note(format_args!("calm"));
        if self.storage.has_failed() {
            self.kill(true);
        }
        self.is_calm = true;
        self.rates = self.scenario.rates.calm();
        if let Some(relay) = &mut self.relay {
            relay.set_limits(&self.scenario.config());
        }
        if self.scenario.has_quota() {
            // The operator lets every tenant have more.
            self.judge.quota = Quota::default();
            if self.relay.is_some() {
                self.kill(false);
            }
        }
        for hostile in std::mem::take(&mut self.hostiles) {
            let link = self.links.get_mut(&hostile.link).expect("it has one");
            link.reset();
            link.is_abandoned = true;
        }
        for link in self.links.values_mut() {
            link.set_capacity(65_536);
        }
        if self.scenario.has_slow_client
            && let Some(session) = self.clients[0].session.take()
        {
            // It comes back, and from then on the relay has no reason to give it up.
            self.clients[0].disconnected();
            let link = self.links.get_mut(&session.link).expect("it has one");
            link.reset();
            link.is_abandoned = true;
        }
        // A presence can have died of silence without its client's knowing.
        for replica in self
            .clients
            .iter_mut()
            .flat_map(|client| &mut client.replicas)
        {
            replica.presence = None;
        }
        if self.clients.len() > 2 {
            let mut gone = self.clients.pop().expect("more than two");
            if let Some(session) = gone.session.take() {
                let link = self.links.get_mut(&session.link).expect("it has one");
                link.is_abandoned = true;
            }
        }
    }

    /// Promise L1.
    pub(super) fn settle(&mut self) {
        let until_us = self.now_us + SETTLED_US_MAX;
        while self.relay.is_none()
            || !self
                .clients
                .iter()
                .all(|client| client.is_settled(&self.judge))
            || !self.clients.iter().all(|client| self.has_all(client))
        {
            if self.now_us > until_us {
                for client in &self.clients {
                    self.trace.note(format_args!("{client:#?}"));
                    client.check_open();
                }
                let waiting = self.clients.iter();
                let waiting = waiting
                    .filter(|client| !client.is_settled(&self.judge) || !self.has_all(client));
                let names: Vec<&str> = waiting.map(|client| &*client.name).collect();
                broken!("L1", "{names:?} do not have everything");
            }
            self.step(CALM_STEP_US);
        }
    }

    /// Whether a client has seen the newest revisions and the list of documents.
    fn has_all(&self, client: &Client) -> bool {
        let judge = &self.judge;
        let documents = self.scenario.documents_of(client.bearer.tenant).iter();
        let readable = documents.filter(|document| {
            client.bearer.home.allow(Right::Read, document) && judge.is_live(&document.name)
        });
        let listed: BTreeMap<String, String> = readable
            .map(|document| (document.id.to_string(), document.kind.to_owned()))
            .collect();
        let session = client.session.as_ref();
        let open = client.replicas.iter();
        let mut open = open.filter(|replica| replica.is_open());
        session.is_some_and(|session| session.directory.documents == listed)
            && open.all(|replica| {
                let seen = replica.seen.map_or(0, |seen| seen.revision);
                seen == judge.revision(&replica.document)
            })
    }

    /// Promise S9: when it has been quiet for as long as a presence lives, everybody sees who is there.
    pub(super) fn check_presence(&mut self) {
        let limits = self.scenario.limits();
        let connection = &limits.connection;
        let longest = [limits.presence.ttl, connection.pong_timeout];
        let quiet: u64 = longest.map(|time| time.as_micros() as u64).iter().sum();
        let until_us = self.now_us + quiet + 1_000_000;
        if self.scenario.has_slow_client {
            // As long as it had not taken its answers it was not read, and its presence can have died of that silence.
            for replica in &mut self.clients[0].replicas {
                replica.presence = None;
            }
        }
        while self.now_us < until_us {
            self.step(CALM_STEP_US * 5);
        }
        for client in &self.clients {
            let open = client.replicas.iter();
            for replica in open.filter(|replica| replica.is_open()) {
                let others = self
                    .clients
                    .iter()
                    .filter(|other| other.client_id() != client.client_id());
                let there = others
                    .flat_map(|other| &other.replicas)
                    .filter(|other| other.document == replica.document && other.presence.is_some());
                let expected: BTreeMap<u64, Vec<u8>> = there
                    .map(|other| (other.client_id, other.presence.clone().expect("just seen")))
                    .collect();
                if replica.peers != expected {
                    broken!(
                        "S9",
                        "{} on {} sees {:?}, and there are {expected:?}",
                        client.name,
                        replica.document,
                        replica.peers
                    );
                }
            }
        }
    }

    /// Every text is the relay's.
    pub(super) fn check_views(&self) {
        for client in &self.clients {
            let open = client.replicas.iter();
            for replica in open.filter(|replica| replica.is_open()) {
                if let Some(text) = replica.content.text()
                    && *text != self.judge.text(&replica.document)
                {
                    broken!(
                        "S2",
                        "{} has {text:?} of {}, and the relay {:?}",
                        client.name,
                        replica.document,
                        self.judge.text(&replica.document)
                    );
                }
            }
        }
    }

    /// Everybody goes, and after a while the relay holds nothing.
    pub(super) fn leave(&mut self) {
        for client in std::mem::take(&mut self.clients) {
            if let Some(session) = client.session {
                let link = self.links.get_mut(&session.link).expect("it has one");
                link.up.end();
                link.is_abandoned = true;
            }
        }
        for link in self.links.values_mut().filter(|link| link.is_abandoned) {
            link.up.end();
        }
        let limits = self.scenario.limits();
        let idle_us = limits.document.idle_timeout.as_micros() as u64;
        for step_us in [CALM_STEP_US; 100]
            .into_iter()
            .chain([idle_us; 3])
            .chain([CALM_STEP_US; 20])
        {
            self.step(step_us);
        }
        if let Some(relay) = &self.relay {
            relay.check_empty();
        }
    }

    /// Promise S3: after one more restart a stranger finds everything.
    pub(super) fn read_everything_again(&mut self) {
        if self.scenario.durability == Durability::Always {
            self.kill(true);
        } else if let Some(relay) = &mut self.relay {
            relay.begin_stop();
            let until_us = self.now_us + STOP_US_MAX;
            while self.relay.is_some() {
                self.step(CALM_STEP_US);
                if self.now_us > until_us {
                    broken!("L1", "the relay does not stop");
                }
            }
        }
        let tenants = self.scenario.tenants.iter();
        let strangers = tenants.map(|tenant| {
            let name = format!("stranger of {:?}", tenant.name);
            let bearer = Bearer::stranger(tenant.name);
            Client::new(
                name,
                self.random.bytes(16),
                bearer,
                tenant.documents.clone(),
            )
        });
        self.clients = strangers.collect();
        // Everything is much for a slow line.
        self.scenario.has_slow_client = false;
        self.settle();
        self.check_views();
    }
}

//! Promise S8: who may be told what, and who may do what.

use std::collections::BTreeMap;
use std::sync::Arc;

use corelay::codec::wire::UserPresence;

use super::super::document::tenant_of;
use super::super::rights::Right;
use super::history::Placed;
use super::{Judge, broken};

/// Whoever reads what the relay has sent.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    pub tenant: &'static str,
    /// Nothing that has happened since is for it, in microseconds.
    pub until_us: u64,
}

/// What is known of who takes part.
#[derive(Debug)]
pub struct Isolation {
    reader: Reader,
    /// By client id.
    members: BTreeMap<u64, Member>,
    /// When each presence was sent, by document, client id and number.
    presences: BTreeMap<(Arc<str>, u64, Vec<u8>), u64>,
    /// What was asked of documents by somebody who may.
    wanted: Vec<(Arc<str>, Right)>,
}

#[derive(Debug, PartialEq, Eq)]
struct Member {
    name: String,
    tenant: &'static str,
    user: String,
}

impl Default for Isolation {
    fn default() -> Self {
        Self {
            reader: Reader {
                tenant: "",
                until_us: 0,
            },
            members: BTreeMap::new(),
            presences: BTreeMap::new(),
            wanted: Vec::new(),
        }
    }
}

impl Judge {
    /// From here on, this one is told.
    pub fn listens(&mut self, reader: Reader) {
        self.isolation.reader = reader;
    }

    /// A client has its id.
    pub fn greeted(&mut self, client_id: u64, name: &str, tenant: &'static str, user: &str) {
        let member = Member {
            name: name.to_owned(),
            tenant,
            user: user.to_owned(),
        };
        let members = &mut self.isolation.members;
        if let Some(other) = members.get(&client_id).filter(|other| **other != member) {
            broken!("S8", "{member:?} has the id {client_id} of {other:?}");
        }
        members.insert(client_id, member);
    }

    /// Somebody who may do so asks that a document be made, or deleted.
    pub fn wanted(&mut self, document: &Arc<str>, right: Right) {
        let wanted = (document.clone(), right);
        if !self.isolation.wanted.contains(&wanted) {
            self.isolation.wanted.push(wanted);
        }
    }

    /// A client has a document open.
    pub fn may_be_there(&self, document: &Arc<str>) {
        if !self.is_wanted(document, Right::Create) {
            broken!("S8", "{document} is there, and nobody may make it");
        }
    }

    pub fn presence_sent(&mut self, document: &Arc<str>, client_id: u64, number: &[u8]) {
        let key = (document.clone(), client_id, number.to_vec());
        self.isolation.presences.insert(key, self.now_us);
    }

    /// A client is told of somebody.
    pub fn presence_seen(&self, document: &Arc<str>, presence: &UserPresence, number: &[u8]) {
        let isolation = &self.isolation;
        let Some(member) = isolation.members.get(&presence.client_id) else {
            // Where nobody asks for tokens, there may be hostile clients.
            if self.asks_for_tokens {
                broken!("S8", "{document}: nobody is {presence:?}");
            }
            return;
        };
        let key = (document.clone(), presence.client_id, number.to_vec());
        let sent_at_us = isolation.presences.get(&key);
        let is_for_reader = sent_at_us.is_some_and(|at_us| *at_us <= isolation.reader.until_us);
        if member.tenant != tenant_of(document) || member.user != presence.user_id || !is_for_reader
        {
            broken!(
                "S8",
                "{document}: {:?} sees {presence:?} of {member:?}, sent at {sent_at_us:?} µs",
                isolation.reader
            );
        }
    }

    /// The user that a client was greeted as.
    pub(super) fn user_of(&self, client_id: u64) -> Option<&str> {
        let member = self.isolation.members.get(&client_id);
        member.map(|member| &*member.user)
    }

    pub(super) fn is_wanted(&self, document: &Arc<str>, right: Right) -> bool {
        let wanted = (document.clone(), right);
        self.isolation.wanted.contains(&wanted)
    }

    /// An operation is written.
    pub(super) fn may_be_placed(&self, document: &Arc<str>, origin: u64) {
        self.may_be_there(document);
        let member = self.isolation.members.get(&origin);
        if member.is_none_or(|member| member.tenant != tenant_of(document)) {
            broken!("S8", "{document} has an operation of {member:?}");
        }
    }

    /// An operation is told, or something that it is part of.
    pub(super) fn may_be_told(&self, document: &Arc<str>, placed: &Placed) {
        let reader = self.isolation.reader;
        if reader.tenant != tenant_of(document) || placed.written_at_us > reader.until_us {
            broken!("S8", "{document}: {placed:?} is told to {reader:?}");
        }
    }
}

//! What a client asks about the past of its documents, and the names that it gives to revisions.

use std::collections::BTreeMap;

use corelay::codec::wire::{self, request::Body};

use super::connection::Connection;
use super::document::Document;
use super::judge::Judge;
use super::random::Random;

/// Questions that may wait for an answer: one more than the relay takes.
const ASKED_MAX: usize = 5;

#[derive(Debug, Default)]
pub struct Past {
    /// By request id, with the document that it is about.
    asked: BTreeMap<u64, (usize, Asked)>,
    retry_at_us: u64,
}

#[derive(Debug, Clone)]
pub enum Asked {
    History(wire::History),
    Versions,
    /// A version of that name.
    Save(String),
    Delete(String),
}

impl Past {
    pub fn may_ask(&self, now_us: u64) -> bool {
        self.asked.len() < ASKED_MAX && now_us >= self.retry_at_us
    }

    /// Asks for a page from anywhere, in either direction.
    pub fn ask(
        &mut self,
        index: usize,
        document: &Document,
        connection: &mut Connection,
        judge: &Judge,
        random: &mut Random,
    ) {
        let newest = judge.revision(&document.name);
        let revision = random.up_to(newest as usize + 2) as u64;
        let is_timed = random.happens(3000);
        let from_time_ms = judge.time_ms_at(&document.name, revision);
        let request = wire::History {
            document_id: document.id.as_ref().to_owned(),
            newest_first: random.happens(5000),
            from_revision: random.pick(&[0, 0, revision]),
            from_time_ms: if is_timed { from_time_ms } else { 0 },
            limit: random.pick(&[0, 0, 1, 3]),
            with_operations: random.happens(5000),
            ..Default::default()
        };
        self.send(index, request, connection, random);
    }

    /// Asks for a list of versions, or for one to be saved or deleted.
    pub fn name(
        &mut self,
        index: usize,
        document: &Document,
        may_write: bool,
        connection: &mut Connection,
        judge: &mut Judge,
        random: &mut Random,
    ) {
        let document_id = document.id.as_ref().to_owned();
        let request_id = 1 + random.number() / 2;
        let newest = judge.revision(&document.name);
        let revision = 1 + random.up_to(newest as usize) as u64;
        let mut name = random
            .pick(&["first", "draft", "final", "final 2"])
            .to_owned();
        let (body, asked) = match random.below(4) {
            0 => {
                let list = wire::ListVersions {
                    request_id,
                    document_id,
                };
                (Body::ListVersions(list), Asked::Versions)
            }
            1 if may_write => {
                let delete = wire::DeleteVersion {
                    request_id,
                    document_id,
                    name: name.clone(),
                };
                (Body::DeleteVersion(delete), Asked::Delete(name))
            }
            _saves => {
                if !may_write {
                    name = format!("trespass {request_id}");
                    judge.trespassed(&document.name, &name);
                }
                let save = wire::SaveVersion {
                    request_id,
                    document_id,
                    name: name.clone(),
                    revision: random.pick(&[0, 0, revision]),
                };
                (Body::SaveVersion(save), Asked::Save(name))
            }
        };
        connection.send(body);
        self.asked.insert(request_id, (index, asked));
    }

    fn send(
        &mut self,
        index: usize,
        mut request: wire::History,
        connection: &mut Connection,
        random: &mut Random,
    ) {
        let request_id = 1 + random.number() / 2;
        request.request_id = request_id;
        connection.send(Body::History(request.clone()));
        self.asked
            .insert(request_id, (index, Asked::History(request)));
    }

    /// What was asked. `None`: nothing was.
    pub fn answered(&mut self, request_id: u64) -> Option<(usize, Asked)> {
        self.asked.remove(&request_id)
    }

    /// Asks for what follows a page.
    pub fn go_on(
        &mut self,
        index: usize,
        request: wire::History,
        page: &wire::HistoryPage,
        connection: &mut Connection,
        random: &mut Random,
    ) {
        if page.next_revision > 0 && self.asked.len() < ASKED_MAX {
            let request = wire::History {
                from_revision: page.next_revision,
                from_time_ms: 0,
                ..request
            };
            self.send(index, request, connection, random);
        }
    }

    /// A request was refused, which may have been one of these.
    pub fn refused(&mut self, request_id: u64, retry_at_us: u64) -> Option<(usize, Asked)> {
        let asked = self.asked.remove(&request_id)?;
        self.retry_at_us = retry_at_us;
        Some(asked)
    }
}

//! What a client asks about the past of its documents.

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
    asked: BTreeMap<u64, (usize, wire::History)>,
    retry_at_us: u64,
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

    fn send(
        &mut self,
        index: usize,
        mut request: wire::History,
        connection: &mut Connection,
        random: &mut Random,
    ) {
        request.request_id = 1 + random.number() / 2;
        connection.send(Body::History(request.clone()));
        self.asked.insert(request.request_id, (index, request));
    }

    /// What was asked. `None`: nothing was.
    pub fn answered(&mut self, request_id: u64) -> Option<(usize, wire::History)> {
        self.asked.remove(&request_id)
    }

    /// Asks for what follows a page.
    pub fn go_on(
        &mut self,
        (index, request): (usize, wire::History),
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

    /// A request was refused, which may have been one of these: which document it was about.
    pub fn refused(&mut self, request_id: u64, retry_at_us: u64) -> Option<usize> {
        let (index, _) = self.asked.remove(&request_id)?;
        self.retry_at_us = retry_at_us;
        Some(index)
    }
}

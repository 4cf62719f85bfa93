//! The list of documents that a client keeps: what the relay has listed, and what it has told since.

use std::collections::BTreeMap;

use corelay::codec::wire::{self, request::Body};

use super::connection::Connection;
use super::random::Random;

#[derive(Debug, Default)]
pub struct Directory {
    /// The List that was not answered.
    asked: Option<u64>,
    /// Of a list that was given up.
    given_up: Vec<u64>,
    /// The last document of the page before.
    after: String,
    /// Kinds by id.
    pub documents: BTreeMap<String, String>,
    pub is_complete: bool,
    pub retry_at_us: u64,
}

impl Directory {
    pub fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    /// Begins a list, or goes on with it.
    pub fn ask(&mut self, connection: &mut Connection, random: &mut Random) {
        let request_id = 1 + random.number() / 2;
        self.asked = Some(request_id);
        self.is_complete = false;
        connection.send(Body::List(wire::List {
            request_id,
            after: self.after.clone(),
            limit: random.pick(&[0, 0, 1, 2]),
            watch: true,
            ..Default::default()
        }));
    }

    /// False: it was not asked for.
    pub fn answered(
        &mut self,
        list: wire::Directory,
        connection: &mut Connection,
        random: &mut Random,
    ) -> bool {
        if self.given_up.contains(&list.request_id) {
            return true;
        }
        if self.asked.take() != Some(list.request_id) {
            return false;
        }
        if self.after.is_empty() {
            self.documents.clear();
        }
        let last = list.documents.last().map(|entry| entry.document_id.clone());
        let entries = list.documents.into_iter();
        self.documents
            .extend(entries.map(|entry| (entry.document_id, entry.kind)));
        match last {
            Some(last) if list.has_more => {
                self.after = last;
                self.ask(connection, random);
            }
            _ => {
                self.after.clear();
                self.is_complete = true;
            }
        }
        true
    }

    /// Another token is shown: what the client may see may be something else.
    pub fn begin_again(&mut self) {
        self.given_up.extend(self.asked.take());
        self.after.clear();
        self.is_complete = false;
    }

    /// A request was refused, which may have been this.
    pub fn refused(&mut self, request_id: u64, retry_at_us: u64) {
        if self.asked == Some(request_id) {
            self.asked = None;
            self.retry_at_us = retry_at_us;
        }
    }

    pub fn updated(&mut self, update: wire::DirectoryUpdate) {
        self.is_complete &= !update.is_incomplete;
        for entry in update.created {
            self.documents.insert(entry.document_id, entry.kind);
        }
        for id in update.deleted {
            self.documents.remove(&id);
        }
    }
}
